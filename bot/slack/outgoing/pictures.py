"""Pictures inside of messages: uploaded to nobody first, then shown by their id in a block."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.slack.outgoing.web_api import SlackFailed, WebApi
from bot.slack.views.blocks import Block, File, Message, image, section

log = logging.getLogger(__name__)


async def uploaded(api: WebApi, pictures: Sequence[File]) -> Mapping[File, Block]:
    """The blocks that show them, of those that Slack took.

    Slack may not know a fresh file for a moment, and refuses the block with ``invalid_blocks`` until it does.
    """
    blocks: dict[File, Block] = {}
    for picture in pictures:
        try:
            blocks[picture] = image(picture.alt, file_id=await api.upload(picture))
        except SlackFailed as error:
            log.warning("the picture %s could not be uploaded: %s", picture.name, error)
    return blocks


def illustrated(drawn: Message, images: Mapping[File, Block]) -> Message:
    """The message with these pictures; small print stays below them."""
    *blocks, last = drawn.blocks or (section(drawn.text),)
    below = last["type"] == "context"
    ends = [*images.values(), last] if below else [last, *images.values()]
    return replace(drawn, blocks=(*blocks, *ends))
