"""The daily digest: when one is due, and what makes a day a quiet one.

A digest belongs to a local date, and each date has one moment at which it is due, so a clock change, a
restart or a second process cannot make two of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import Silence
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.gateways import MISSED_POLLS, Counts, KnownGateway
from bot.domain.query import Query, parse
from bot.domain.rollouts.lifecycle import Rollout, TargetState
from bot.domain.subscriptions import Subscription

LATE = timedelta(hours=4)  # a digest of the morning is no use in the afternoon
LATE_IN_A_MONTH = timedelta(days=7)  # but what tells of a month still is
PATIENCE = timedelta(minutes=10)  # for a listing that is newer than the moment of the digest
LONG = parse("is:offline for:>24h")
FLAPPING = parse("is:flapping")
ENDING = timedelta(hours=24)  # silences that end within it are told of
STALE = timedelta(minutes=15)  # without a listing, after which a digest says so
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Listed:
    """The first gateways of a kind, and how many there are."""

    first: Sequence[KnownGateway] = ()
    total: int = 0


class DigestPart(StrEnum):
    """What a digest tells beside the numbers of the fleet: each is the name of a field of ``Digest``."""

    LONG_OFFLINE = "long_offline"
    POLICIES = "policies"
    FLAPPING = "flapping"
    INCIDENTS = "incidents"
    ROLLOUTS = "rollouts"
    CATCH_UP = "catch_up"
    SILENCES = "silences"


@dataclass(frozen=True, slots=True)
class Digest:
    """The fleet, or the part of it that a query names, as somebody should know it in the morning."""

    query: str
    now: datetime
    counts: Counts
    as_of: datetime | None
    stale_after: timedelta
    long_offline: Listed = Listed()  # the longest first
    flapping: Listed = Listed()
    incidents: Sequence[Incident] = ()  # open ones that nobody has
    rollouts: Sequence[tuple[Rollout, Mapping[TargetState, int]]] = ()  # under way
    catch_up: Sequence[tuple[Rollout, int]] = ()  # how many of its skipped gateways are back
    silences: Sequence[Silence] = ()  # that end soon
    policies: Sequence[PolicyState] = ()  # that gateways do not comply with
    missing: Sequence[DigestPart] = ()  # those that could not be told
    left_out: Mapping[DigestPart, int] = field(default_factory=dict)  # rows of each that could not be read

    @property
    def is_stale(self) -> bool:
        return self.as_of is None or self.now - self.as_of > self.stale_after

    @property
    def is_quiet(self) -> bool:
        """Whether nobody has to do or to know anything: one line says so."""
        waits = (
            *(self.incidents, self.rollouts, self.catch_up, self.silences, self.policies),
            *(self.missing, self.left_out),
        )
        return not (self.long_offline.total or self.flapping.total or any(waits) or self.is_stale)


def stale_after(poll_every: timedelta) -> timedelta:
    """How old a listing may be before a digest says so: longer where they are rare."""
    return max(STALE, MISSED_POLLS * poll_every)


def due_since(at: time, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The local moment of the digest that is due now and not too late; None when there is none.

    A time that a clock change leaves out counts as if the clock had not changed, one that it repeats counts
    once, the first time.
    """
    today = now.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        moment = datetime.combine(day, at, zone)
        if timedelta(0) <= now - moment.astimezone(UTC) < LATE:
            return moment
    return None


def month_due_since(at: time, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The same of what comes on the first day of a month about the month before."""
    moment = datetime.combine(now.astimezone(zone).date().replace(day=1), at, zone)
    return moment if timedelta(0) <= now - moment.astimezone(UTC) < LATE_IN_A_MONTH else None


def is_replaced(channel: str, subscribed_to: Iterable[Subscription]) -> bool:
    """Whether the usual digest is left out: its channel asked for one of the whole fleet itself, or an admin
    keeps some of it to another channel.
    """
    return any(one.only or (one.channel == channel and not one.query) for one in subscribed_to)


def narrowed(query: Query, by: Query) -> Query:
    """The gateways that both match."""
    return Query((*query.terms, *by.terms))
