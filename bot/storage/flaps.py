"""How often gateways changed their connectivity, from their events: what several features ask."""

from datetime import datetime

from sqlalchemy import Select, func, select

from bot.domain.events import CONNECTIVITY_KINDS
from bot.domain.fleet import FLAPPING_CHANGES, FLAPPING_WITHIN
from bot.storage.tables import fleet_events


def flapping_ids(now: datetime) -> Select[tuple[str]]:
    """Gateways that changed their connectivity too often in the last hour."""
    return changed_ids(now).group_by(fleet_events.c.gateway_id).having(func.count() >= FLAPPING_CHANGES)


def changed_ids(now: datetime) -> Select[tuple[str]]:
    """Gateways that changed their connectivity in the last hour, once for each change."""
    return select(fleet_events.c.gateway_id).where(
        fleet_events.c.at >= now - FLAPPING_WITHIN,
        fleet_events.c.kind.in_(sorted(kind.value for kind in CONNECTIVITY_KINDS)),
    )
