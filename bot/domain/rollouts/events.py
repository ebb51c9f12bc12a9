"""What happens in a rollout: a value for each kind of event, of which its timeline consists.

The notes in its thread, the direct messages to its requester and its rows of the audit log are made from
these values. Says whose move it is after an event, and until when; nothing about how one is worded or stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from bot.domain.access import Actor
from bot.domain.incident_kinds import IncidentKind
from bot.domain.rollouts.lifecycle import RolloutId


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something."""

    user_id: str
    name: str

    @classmethod
    def of(cls, actor: Actor) -> "Person":
        return cls(actor.user_id, actor.name)


@dataclass(frozen=True, slots=True)
class NamedGateway:
    """A gateway by the name and the site that people know."""

    label: str
    site: str


# ---- before it starts


@dataclass(frozen=True, slots=True)
class Requested:
    kind: ClassVar = "requested"


@dataclass(frozen=True, slots=True)
class Approved:
    """One approval. ``reason`` is an admin's for their own request; ``missing`` is how many more it needs."""

    kind: ClassVar = "approved"
    missing: int
    start_at: datetime | None = None  # when it starts, if that is later
    reason: str | None = None
    held: str | None = None  # what it waits for, if it would start now


@dataclass(frozen=True, slots=True)
class Denied:
    kind: ClassVar = "denied"
    reason: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    kind: ClassVar = "withdrawn"


@dataclass(frozen=True, slots=True)
class Voided:
    """What was approved is not what would be done; ``by`` is whose approval it was that showed it."""

    kind: ClassVar = "void"
    reason: str


@dataclass(frozen=True, slots=True)
class Expired:
    kind: ClassVar = "expired"


@dataclass(frozen=True, slots=True)
class ApprovalReminder:
    kind: ClassVar = "reminder"
    missing: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Scheduled:
    kind: ClassVar = "scheduled"
    start_at: datetime


@dataclass(frozen=True, slots=True)
class Started:
    kind: ClassVar = "started"


# ---- while it runs


@dataclass(frozen=True, slots=True)
class WaveStarted:
    kind: ClassVar = "wave"
    wave: int
    verified: int
    failed: int


@dataclass(frozen=True, slots=True)
class CanaryDone:
    kind: ClassVar = "canary_done"
    verified: int
    failed: int


@dataclass(frozen=True, slots=True)
class Promoted:
    kind: ClassVar = "promoted"


@dataclass(frozen=True, slots=True)
class Paused:
    """``reason`` is a gate's; a person gives none."""

    kind: ClassVar = "paused"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """``reason`` is an admin's, to start through a freeze."""

    kind: ClassVar = "resumed"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Aborted:
    """``reason`` is a gate's; ``frozen``: that gate froze the firmware, too."""

    kind: ClassVar = "aborted"
    reason: str | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Retried:
    kind: ClassVar = "retried"
    count: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Gateways that were offline follow in a wave of their own."""

    kind: ClassVar = "catch_up"
    count: int
    wave: int


@dataclass(frozen=True, slots=True)
class WaitBegan:
    """All others are done: what is left are gateways that are offline."""

    kind: ClassVar = "waits"
    verified: int
    failed: int
    count: int
    until: datetime


@dataclass(frozen=True, slots=True)
class WaitEnded:
    """So many gateways are waited for no longer. ``reason`` is why it ended before its time, by itself."""

    kind: ClassVar = "wait_ended"
    count: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """``skipped`` gateways were offline to the end; the first of them are named."""

    kind: ClassVar = "finished"
    verified: int
    failed: int
    requester: str
    skipped: int = 0
    gateways: tuple[NamedGateway, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReturned:
    """Gateways did not come back; the first of them are named."""

    kind: ClassVar = "not_returned"
    count: int
    version: str
    gateways: tuple[NamedGateway, ...]


@dataclass(frozen=True, slots=True)
class LateResult:
    """How the vendor's job ended for a gateway that had failed by its silence."""

    label: str
    site: str
    words: str


@dataclass(frozen=True, slots=True)
class LateResults:
    """Results of gateways that count as failed already; the first of them are named."""

    kind: ClassVar = "late"
    count: int
    results: tuple[LateResult, ...]


@dataclass(frozen=True, slots=True)
class NotCalledOff:
    """The vendor did not take back a job of an aborted rollout."""

    kind: ClassVar = "not_called_off"
    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class Frozen:
    """The firmware, or everything (``version`` is empty), was frozen: nothing more is started."""

    kind: ClassVar = "frozen"
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unfrozen:
    kind: ClassVar = "unfrozen"
    version: str


RecordedEvent = (
    Requested
    | Approved
    | Denied
    | Withdrawn
    | Voided
    | Expired
    | ApprovalReminder
    | Scheduled
    | Started
    | WaveStarted
    | CanaryDone
    | Promoted
    | Paused
    | Resumed
    | Aborted
    | Retried
    | CaughtUp
    | WaitBegan
    | WaitEnded
    | Finished
    | NotReturned
    | LateResults
    | NotCalledOff
    | Frozen
    | Unfrozen
)
"""What a rollout's own timeline keeps."""


# ---- alerts about its gateways: looked up for the report, and kept by the alerts


@dataclass(frozen=True, slots=True)
class AlertOpened:
    kind: ClassVar = "alert"
    alert: int
    trouble: IncidentKind
    site: str
    count: int


@dataclass(frozen=True, slots=True)
class AlertAcknowledged:
    kind: ClassVar = "acknowledged"
    alert: int


@dataclass(frozen=True, slots=True)
class AlertOutgrown:
    """More gateways joined than ``had_by`` acknowledged."""

    kind: ClassVar = "outgrown"
    alert: int
    count: int
    had_by: str


@dataclass(frozen=True, slots=True)
class MoreAlerts:
    kind: ClassVar = "more_alerts"
    count: int


RolloutEvent = RecordedEvent | AlertOpened | AlertAcknowledged | AlertOutgrown | MoreAlerts


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event with its time; ``by`` is None for what the rollout did by itself.

    ``number`` grows within a rollout; an alert's entry has none.
    """

    rollout_id: RolloutId
    at: datetime
    by: Person | None
    event: RolloutEvent
    number: int = 0


# ---- whose move it is

_BEGUN_OR_OVER = (Denied, Withdrawn, Voided, Expired, Scheduled, Started)
_OVER_WITH: Mapping[type[RolloutEvent], tuple[type[RolloutEvent], ...]] = {
    Requested: _BEGUN_OR_OVER,
    Approved: (Approved, Denied, Withdrawn, Voided, Expired, Started),
    Paused: (Resumed, Aborted),
    CanaryDone: (Promoted, Paused, Aborted),
    NotReturned: (Paused, Aborted, Finished),
    Finished: (Retried, CaughtUp),
}
CALLS_THE_REQUESTER = (Paused, CanaryDone, NotReturned, Aborted, Finished)


def leaves_a_move(event: RolloutEvent) -> bool:
    """Whether somebody can do something about it, until something else is over with that."""
    return isinstance(event, tuple(_OVER_WITH))


def over_with(entry: TimelineEntry, later: Sequence[TimelineEntry]) -> TimelineEntry | None:
    """What came after the entry and left nothing to do about it; None while there is."""
    for one in later:
        is_last_approval = isinstance(one.event, Approved) and not one.event.missing
        if isinstance(one.event, _OVER_WITH.get(type(entry.event), ())):
            return one
        if isinstance(entry.event, Requested) and is_last_approval:
            return one
    return None
