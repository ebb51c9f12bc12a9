"""What a phone shows of a message: the beginning of its notification text, which says what it is about.

Every whole bot of the tests is read at its end: each card, note and direct message that it posted.
"""

import re
from collections.abc import Iterable

from bot.demo.slack.text import readable
from bot.demo.slack.wire_log import ApiCall

FIRST = 60  # characters that a locked phone shows
# A text with one of these words is about something that has a number, or about some number of it.
_ABOUT = re.compile(
    r"\b(?:[RASMP]-\d+|(?:gateway|alert|rollout|job|site|silence|subscription)s?)\b", re.IGNORECASE
)
_NUMBERED = re.compile(
    r"\b[RASMP]-\d+\b|\b[Ss]ubscription \d+\b"
    r"|\b(?:\d[\d,.]*|[Nn]o) (?:of \d[\d,]* )?(?:more |open |new )?"
    r"(?:gateway|alert|rollout|job|site|silence|subscription|card)s?\b"
)


def unnamed(text: str) -> str | None:
    """The beginning of a notification text that names no subject with its number; None of one that does."""
    shown = " ".join(readable(text).split())
    first = shown[:FIRST]
    return first if _ABOUT.search(shown) and not _NUMBERED.search(first) else None


def unnamed_on_a_phone(calls: Iterable[ApiCall]) -> list[str]:
    """Of what was posted as a card or a note: an answer is read by whoever just asked."""
    posted = (one.args for one in calls if one.method == "chat.postMessage" and one.args.get("metadata"))
    found = (unnamed(str(args.get("text") or "")) for args in posted)
    return sorted({first for first in found if first is not None})
