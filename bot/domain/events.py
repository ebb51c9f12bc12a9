"""What happened, as frozen values: they feed the audit log, the alerts, the cards and the charts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

KEPT: Final = timedelta(days=365)  # the audit log; rollouts and incidents, after their end


class FleetEventKind(StrEnum):
    """What can happen to a gateway between two listings."""

    WENT_OFFLINE = "went_offline"
    CAME_BACK = "came_back"
    LOST_SIGHT = "lost_sight"  # the vendor says neither online nor offline any more
    FIRMWARE = "firmware"
    RENAMED = "renamed"
    TAGGED = "tagged"
    APPEARED = "appeared"
    VANISHED = "vanished"


CONNECTIVITY_KINDS = frozenset(
    {FleetEventKind.WENT_OFFLINE, FleetEventKind.CAME_BACK, FleetEventKind.LOST_SIGHT}
)


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """One change of one gateway. ``before`` and ``after`` are texts; tags are joined by line feeds."""

    kind: FleetEventKind
    gateway_id: str
    at: datetime
    listing: int
    before: str | None = None
    after: str | None = None


class Outcome(StrEnum):
    """How something that a person asked for ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did, or was refused, what: one row of the append-only audit log."""

    at: datetime
    actor: str  # Slack user id, or "meshbot" for what the bot decided
    action: str
    subject: str
    outcome: Outcome
    before: str | None = None
    after: str | None = None
    channel: str | None = None
    reason: str | None = None
    plan_hash: str | None = None
