"""Sends messages: in plain words where Slack does not take their blocks, and no faster than Slack allows.

It knows no cards and no database: what is sent, and whether it was, is its caller's to remember.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from bot.slack.outgoing.newer_blocks import REFUSAL
from bot.slack.outgoing.pictures import illustrated
from bot.slack.outgoing.rate_limits import Edits, NotYet, Posts, Retries
from bot.slack.outgoing.web_api import BAD_BLOCKS, Json, SlackFailed, Sleep, WebApi
from bot.slack.views.blocks import Block, File, Message, context, message, plain, section
from bot.storage.cards.card_outbox import EditPace

log = logging.getLogger(__name__)

TWICE: Final = "Slack did not confirm my first try, so this may stand here twice."
NOTES_EVERY: Final = timedelta(minutes=1)
_PICTURE_WAITS = (2.0, 0.0)  # seconds after each refusal of a message with pictures
_SHORT_TEXT = 1900  # under half of what is taken: Slack may count emoji twice


async def send(api: WebApi, method: str, drawn: Message, *, as_text: bool = True, **more: Any) -> Json:
    """Sends it, in its newer form where that is taken; ``as_text``: in plain words if neither form is."""
    call, newer = api.call, api.newer_blocks
    if newer.suits(drawn):
        try:
            return await call(method, text=drawn.text, blocks=list(drawn.newer), **more)
        except SlackFailed as error:
            if error.code != REFUSAL:
                raise
            newer.refused(error.detail)
    try:
        return await call(method, text=drawn.text, blocks=list(drawn.blocks), **more)
    except SlackFailed as error:
        if error.code not in BAD_BLOCKS or not as_text:
            raise
        log.error("Slack does not take my message (%s), I send its text: %s", error.code, error.detail)
        return await call(method, text=plain(drawn.text, _SHORT_TEXT), blocks=[], **more)


def said_twice(drawn: Message) -> Message:
    """The message for its second try, when nobody knows whether the first arrived."""
    again = message(f"{drawn.text}\n{TWICE}", [*shown(drawn), context(TWICE)], drawn.files, drawn.pictures)
    return replace(again, is_over=drawn.is_over)


def shown(drawn: Message) -> Sequence[Block]:
    """Its blocks; its text as one where it has none."""
    return drawn.blocks or (section(drawn.text),)


class MessageSender:
    """Posts and edits for one process. ``posts``, ``edits`` and ``rejected`` only ever grow."""

    def __init__(
        self,
        api: WebApi,
        *,
        now: Callable[[], datetime],
        edit_every: timedelta,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._api = api
        self._now = now
        self._sleep = sleep
        self._post_pace = Posts()
        self._edit_pace = Edits(edit_every)
        self._retries = Retries()
        self.posts = 0
        self.edits = 0
        self.rejected = 0

    def pause(self) -> timedelta:
        """How long it is too early to take a message in hand."""
        return self._post_pace.pause(self._now())

    def pace(self, now: datetime, live_cards: int = 0) -> EditPace:
        """What may be sent now."""
        return EditPace(
            edited_before=now - self._edit_pace.every(live_cards),
            posts=not self._post_pace.pause(now),
            edits=self._edit_pace.may(now),
            urgent_edits=self._edit_pace.may_urgently(now),
            full_channels=self._post_pace.full_channels(now),
            notes_before=now - NOTES_EVERY,
        )

    async def wait_for_turn(self, channel: str) -> None:
        """Waits until the channel takes a post. Raises NotYet when that is too long with a card in hand."""
        wait = self._post_pace.take(channel, self._now())
        if wait > timedelta(0):
            await self._sleep(wait.total_seconds())

    async def post(self, channel: str, drawn: Message, metadata: Mapping[str, Any], **more: Any) -> Json:
        """Posts it; its turn was waited for. Raises SlackFailed."""
        await self._keep_distance()
        answer = await send(
            self._api,
            "chat.postMessage",
            drawn,
            channel=channel,
            metadata=metadata,
            unfurl_links=False,
            unfurl_media=False,
            **more,
        )
        self.posts += 1
        return answer

    async def post_illustrated(
        self, channel: str, drawn: Message, images: Mapping[File, Block], **more: Any
    ) -> tuple[Json, Mapping[File, Block]]:
        """The answer, and which of its pictures it shows: all, or none where Slack does not take them."""
        with_pictures = illustrated(drawn, images)
        for wait in _PICTURE_WAITS if images else ():
            try:
                return await self.post(channel, with_pictures, as_text=False, **more), images
            except SlackFailed as error:
                if error.code not in BAD_BLOCKS:
                    raise
                log.info("Slack does not show pictures in a note (%s): %s", error.code, error.detail)
            await self._sleep(wait)
        return await self.post(channel, drawn, **more), {}

    async def edit(self, channel: str, ts: str, drawn: Message) -> None:
        """Edits a message of ours. Raises SlackFailed."""
        self._edit_pace.take(self._now())
        await send(self._api, "chat.update", drawn, channel=channel, ts=ts)
        self.edits += 1

    def try_after(self, uid: str, channel: str, what: str, error: Exception) -> datetime:
        """When to try ``what`` again, after a failure that leaves nothing lost."""
        now = self._now()
        if isinstance(error, NotYet):
            return now + error.wait
        if isinstance(error, SlackFailed) and error.is_rate_limit:
            return now + self._slowed_down(channel, what, error, now)
        wait = self._retries.failed(uid)
        if isinstance(error, SlackFailed):
            log.warning("%s: %s %s; again in %s", what, error.method, error.code, wait)
        else:
            log.error("%s failed; again in %s", what, wait, exc_info=error)
        return now + wait

    def forget(self, uid: str) -> None:
        """What failed before is over: shown, or given up."""
        self._retries.forget(uid)

    def _slowed_down(self, channel: str, what: str, error: SlackFailed, now: datetime) -> timedelta:
        wait = timedelta(seconds=error.retry_after or 1.0)
        self.rejected += 1
        log.info("Slack wants %s to wait %s (%s)", what, wait, error.method)
        if error.method == "chat.postMessage":
            self._post_pace.refused(channel, now, wait)
        elif error.method == "chat.update":
            self._edit_pace.refused(now, wait)
        return wait

    async def _keep_distance(self) -> None:
        """Between the turn and the call lies a transaction, which may take longer than the one behind it."""
        while (wait := self._post_pace.too_soon(self._now())) > timedelta(0):
            await self._sleep(wait.total_seconds())
        self._post_pace.sent(self._now())
