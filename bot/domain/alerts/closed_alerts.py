"""Which alerts that are over somebody asks for: ``alerts closed tag:oslo for 7d``."""

import re
from dataclasses import dataclass
from datetime import timedelta

from bot.domain.times.retention import KEPT
from bot.domain.times.written_times import parse_duration

CLOSED = frozenset({"closed", "over", "resolved", "past"})  # the words that ask for what is over
_PERIOD = re.compile(r"(?:^|\s+)(?:for|last|in the last)\s+((?:\d+\s*[wdhms]\s*)+)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClosedSearch:
    """``text`` is a query of gateways, or a part of a site's name; empty: all. Since so long ago."""

    text: str
    period: timedelta = KEPT


def closed_search(text: str) -> ClosedSearch | None:
    """None where the text does not begin with "closed". Raises InvalidInput for a period that is none."""
    word, _, rest = text.strip().partition(" ")
    if word.casefold() not in CLOSED:
        return None
    if (found := _PERIOD.search(rest)) is None:
        return ClosedSearch(rest.strip())
    return ClosedSearch(rest[: found.start()].strip(), min(parse_duration(found[1]), KEPT))
