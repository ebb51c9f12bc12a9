"""Silences: nobody is told of some gateways for a while. Each has an end, and a long one a reason."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType
from zoneinfo import ZoneInfo

from bot.domain.durations import parse_duration
from bot.domain.errors import InvalidInput
from bot.domain.incident_kinds import IncidentId
from bot.domain.windows import parse_start

SilenceId = NewType("SilenceId", int)

LONGEST = timedelta(days=7)
REASON_ABOVE = timedelta(hours=4)
CHOICES = ("30m", "1h", "4h", "12h", "24h")
ANNOUNCED = timedelta(minutes=15)  # before its end
USAGE = (
    "Write it as “silence tag:oslo for 4h because the mast is being painted”, "
    "or with “until 22:00” instead of “for”."
)


class ReasonMissing(InvalidInput):
    """It lasts so long that it has to say why."""


_BECAUSE = re.compile(r"\s+because\s+", re.IGNORECASE)
_ASKED = re.compile(r"(.+)\s+(for|until)\s+(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Silence:
    """``query`` says whose alerts are held; an empty one means the gateways of the incident."""

    id: SilenceId
    query: str
    incident_id: IncidentId | None
    by: str
    by_name: str
    reason: str | None
    created_at: datetime
    until: datetime

    @property
    def title(self) -> str:
        return f"S-{self.id}"


@dataclass(frozen=True, slots=True)
class SilenceRequest:
    """What somebody wants silenced."""

    query: str
    until: datetime
    reason: str | None = None


def parse_silence(text: str, zone: ZoneInfo, now: datetime) -> SilenceRequest:
    """``<query> for <duration> [because <reason>]``, or ``until <date>``. Raises InvalidInput."""
    asked, *reason = _BECAUSE.split(text.strip(), maxsplit=1)
    match = _ASKED.fullmatch(asked)
    if match is None:
        raise InvalidInput(f"A silence needs gateways and an end; there is none for ever. {USAGE}")
    query, word, end = match.groups()
    until = now + parse_duration(end) if word.lower() == "for" else parse_start(end, zone, now)
    return checked(SilenceRequest(query.strip(), until, reason[0] if reason else None), now)


def checked(asked: SilenceRequest, now: datetime) -> SilenceRequest:
    """Raises InvalidInput for one that is over already or lasts too long, ReasonMissing for no reason."""
    length = asked.until - now
    if length <= timedelta(0):
        raise InvalidInput("That silence would be over before it begins. Please choose a later end.")
    if length > LONGEST:
        raise InvalidInput(
            "Seven days are the longest silence. Please choose an earlier end; you can silence them again."
        )
    if length > REASON_ABOVE and not asked.reason:
        raise ReasonMissing(
            "A silence of more than four hours needs a reason, for those who wonder: add “because …”."
        )
    return asked


def parse_number(text: str) -> SilenceId:
    """``S-3`` or ``3``. Raises InvalidInput."""
    match = re.fullmatch(r"(?:s-?)?(\d{1,15})", text.strip(), re.IGNORECASE)
    if match is None:
        raise InvalidInput("Name the silence by its number, such as “unsilence S-3”; “silences” lists them.")
    return SilenceId(int(match[1]))
