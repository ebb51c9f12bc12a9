"""A question before something large, whose button says yes once, and to just what was asked."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bot.domain.errors import Unconfirmed
from bot.slack.ids import PageRef
from bot.slack.views.blocks import Message


@dataclass(frozen=True, slots=True)
class Yes:
    """To the question ``asked_once``, when it was about ``seen`` gateways; neither where nobody was asked."""

    seen: int | None = None
    asked_once: str | None = None


NOT_ASKED: Final = Yes()


async def asking_first(
    act: Awaitable[Message], draw: Callable[[PageRef, int], Message], kind: str, text: str
) -> Message:
    """What is done; where it covers much or nothing, the question, drawn for what its button carries and for
    the size of the fleet. A question has a name of its own, so that two clicks on its button are one yes.
    """
    try:
        return await act
    except Unconfirmed as question:
        ref = PageRef(kind, question.covered, f"{name_of_a_question()} {text}")
        return draw(ref, question.fleet)


def name_of_a_question() -> str:
    return secrets.token_hex(8)


def yes_to(page: PageRef) -> tuple[Yes, str]:
    """The yes that the button of a question says, and what was asked: both are checked anew."""
    asked_once, _, text = page.question.partition(" ")
    return Yes(page.offset, asked_once), text
