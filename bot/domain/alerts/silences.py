"""Silences: nobody is told of some gateways for a while. Each has an end, and a long one a reason."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType
from zoneinfo import ZoneInfo

from bot.domain.alerts.incidents import Incident
from bot.domain.errors import InvalidInput
from bot.domain.gateways import NO_SITE
from bot.domain.incident_kinds import IncidentId, Scope
from bot.domain.query import FARING, Field, Query, exactly
from bot.domain.times.written_times import later, parse_duration, parse_start

SilenceId = NewType("SilenceId", int)

LONGEST = timedelta(days=7)
REASON_ABOVE = timedelta(hours=4)
CHOICES = ("30m", "1h", "4h", "12h", "24h")
ENDS = {
    "for 1h": "1 h",
    "for 4h": "4 h",
    "until tomorrow 06:00": "Until 06:00",
}  # offered where none is named
ANNOUNCED = timedelta(minutes=15)  # before its end
LONGEST_TEXT = 1500  # characters of a request, which a button carries while it waits for a yes
USAGE = (
    "Write it as /mesh silence tag:oslo for 4h because the mast is being painted, "
    "or with “until 22:00” instead of “for”."
)


class ReasonMissing(InvalidInput):
    """It lasts so long, or holds so much, that it has to say why. ``sentence`` is for where that is asked."""

    def __init__(self, what: str) -> None:
        self.sentence = f"A silence of {what} needs a reason, for those who wonder."
        super().__init__(f"{self.sentence.removesuffix('.')}: add “because …”.")


class EndMissing(InvalidInput):
    """It names gateways, and perhaps a reason, and no end."""

    def __init__(self, query: str, reason: str | None) -> None:
        self.query, self.reason = query, reason
        super().__init__(f"A silence needs gateways and an end; there is none for ever. {USAGE}")

    def with_end(self, end: str) -> str:
        """The same as it is typed with one of ``ENDS``."""
        return f"{self.query} {end}" + (f" because {self.reason}" if self.reason else "")


BECAUSE = re.compile(r"\s+because\s+", re.IGNORECASE)
_SHORT = re.compile(
    r"(?!for\s|until\s)(.+)\s+()((?:\d+[wdhms])+)", re.IGNORECASE | re.DOTALL
)  # silence tag:oslo 2h
_ASKED = re.compile(r"(.+)\s+(for|until)\s+(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Silence:
    """``query`` says whose alerts are held; an empty one means the gateways of the incident.

    ``gateways`` are those that matched when it was made, where it means no others. ``limits`` are queries:
    its author may silence only what matches one of them.
    """

    id: SilenceId
    query: str
    incident_id: IncidentId | None
    by: str
    by_name: str
    reason: str | None
    created_at: datetime
    until: datetime
    limits: tuple[str, ...] = ()
    gateways: tuple[str, ...] | None = None
    ended_by: str | None = None  # who, or the bot when its time was up

    @property
    def title(self) -> str:
        return f"S-{self.id}"


@dataclass(frozen=True, slots=True)
class SilencedDown:
    """How many of a silence's gateways are offline now, with the labels of the first."""

    silence: Silence
    down: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SilenceRequest:
    """What somebody wants silenced."""

    query: str
    until: datetime
    reason: str | None = None


def parse_silence(text: str, zone: ZoneInfo, now: datetime) -> SilenceRequest:
    """``<query> for <duration> [because <reason>]``, or ``until <date>``. Raises InvalidInput."""
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"That has {len(text)} characters; a silence takes {LONGEST_TEXT} at most.")
    asked, *reason = BECAUSE.split(text.strip(), maxsplit=1)
    match = _ASKED.fullmatch(asked) or _SHORT.fullmatch(asked)
    if match is None:
        raise EndMissing(asked, reason[0] if reason else None)
    query, word, end = match.groups()
    until = now + parse_duration(end) if word.lower() in {"for", ""} else parse_start(end, zone, now)
    return checked(SilenceRequest(query.strip(), until, reason[0] if reason else None), zone, now)


def checked(asked: SilenceRequest, zone: ZoneInfo, now: datetime) -> SilenceRequest:
    """Raises InvalidInput for one that is over already or lasts too long, ReasonMissing for no reason."""
    length = asked.until - now
    if length <= timedelta(0):
        raise InvalidInput("That silence would be over before it begins. Please choose a later end.")
    if asked.until > later(now, LONGEST, zone):
        raise InvalidInput(
            "Seven days are the longest silence. Please choose an earlier end; you can silence them again."
        )
    if length > REASON_ABOVE and not asked.reason:
        raise ReasonMissing("more than four hours")
    return asked


def offered(asked: EndMissing, zone: ZoneInfo, now: datetime) -> Mapping[str, datetime]:
    """Those of ``ENDS`` that it may have, and when that would be: a long one only with a reason."""
    ends = {}
    for end in ENDS:
        try:
            ends[end] = parse_silence(asked.with_end(end), zone, now).until
        except ReasonMissing:
            continue
    return ends


def query_of(incident: Incident) -> str:
    """What silencing an incident covers: all of its site, also what is online; empty, where it has no site of
    its own: the gateways in it.
    """
    whole_site = incident.kind.rules.scope is Scope.SITE and incident.site != NO_SITE
    return (exactly(Field.SITE, incident.site) if whole_site else None) or ""


def means_those_of_now(query: Query) -> bool:
    """Whether a silence of it holds the gateways that match as it is made, and no others later."""
    return any(term.field in FARING for term in query.single_terms)


def check_reason(reason: str | None, covered: int, fleet: int) -> None:
    """Raises ReasonMissing for most of the fleet without one."""
    if covered * 2 > fleet and not reason:
        raise ReasonMissing("more than half of the fleet")


def parse_number(text: str) -> SilenceId:
    """``S-3`` or ``3``. Raises InvalidInput."""
    match = re.fullmatch(r"(?:s-?)?(\d{1,15})", text.strip(), re.IGNORECASE)
    if match is None:
        raise InvalidInput(
            "Name the silence by its number, such as /mesh unsilence S-3. /mesh silences lists them."
        )
    return SilenceId(int(match[1]))
