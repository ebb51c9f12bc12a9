"""What happened, as frozen values: they feed the audit log, the alerts, the cards and the charts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FleetEventKind(StrEnum):
    """What can happen to a gateway between two listings."""

    WENT_OFFLINE = "went_offline"
    CAME_BACK = "came_back"
    BECAME_UNKNOWN = "became_unknown"  # the vendor says neither online nor offline any more
    FIRMWARE = "firmware"
    RENAMED = "renamed"
    TAGGED = "tagged"
    APPEARED = "appeared"
    VANISHED = "vanished"


CONNECTIVITY_KINDS = frozenset(
    {FleetEventKind.WENT_OFFLINE, FleetEventKind.CAME_BACK, FleetEventKind.BECAME_UNKNOWN}
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
