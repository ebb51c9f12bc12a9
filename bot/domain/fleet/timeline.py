"""One line of time of some gateways: what changed, and the alerts, rollouts and silences about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from bot.domain.gateways import CONNECTIVITY_KINDS, FleetEvent, FleetEventKind
from bot.domain.incident_kinds import IncidentKind

MOST = 1_000  # of each, the newest


@dataclass(frozen=True, slots=True)
class GatewayChanged:
    """``after``: how long it had been offline, where it came back."""

    at: datetime
    event: FleetEvent
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class JoinedAlert:
    """So many of the gateways joined an alert, the first of them at that moment."""

    at: datetime
    number: int
    kind: IncidentKind
    site: str
    gateways: int


@dataclass(frozen=True, slots=True)
class TakenAlong:
    """A rollout was started on so many of the gateways, on the first of them at that moment."""

    at: datetime
    number: int
    version: str
    gateways: int


@dataclass(frozen=True, slots=True)
class AlertsHeld:
    """By a silence or a maintenance window: of so many of the gateways, for as long."""

    at: datetime
    until: datetime
    gateways: int


Happening: TypeAlias = GatewayChanged | JoinedAlert | TakenAlong | AlertsHeld


@dataclass(frozen=True, slots=True)
class Timeline:
    """Newest first. ``of`` is a gateway or a site; ``is_cut``: there is more than is told."""

    of: str
    is_site: bool
    happenings: Sequence[Happening]
    is_cut: bool


def changes(events: Sequence[FleetEvent]) -> list[GatewayChanged]:
    """From events, the newest first."""
    since: dict[str, datetime] = {}
    told = []
    for event in reversed(events):
        after = None
        if event.kind in CONNECTIVITY_KINDS:
            went = since.pop(event.gateway_id, None)
            if event.kind is FleetEventKind.WENT_OFFLINE:
                since[event.gateway_id] = event.at
            elif event.kind is FleetEventKind.CAME_BACK and went is not None:
                after = event.at - went
        told.append(GatewayChanged(event.at, event, after))
    return told[::-1]


def in_order(*parts: Iterable[Happening]) -> list[Happening]:
    """Newest first; of one moment in the order of the parts."""
    return sorted((one for part in parts for one in part), key=lambda one: one.at, reverse=True)
