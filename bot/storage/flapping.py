"""How often gateways changed their connectivity, from their events: what several features ask."""

from datetime import datetime
from typing import TypeAlias

from sqlalchemy import BindParameter, Select, exists, func, or_, select

from bot.domain.gateways import CONNECTIVITY_KINDS, FLAPPING_CHANGES, FLAPPING_WITHIN
from bot.storage.db.tables import fleet_events, rollout_targets

Now: TypeAlias = datetime | BindParameter[datetime]


def flapping_ids(now: Now) -> Select[tuple[str]]:
    """Gateways that changed their connectivity too often in the last hour."""
    return changed_ids(now).group_by(fleet_events.c.gateway_id).having(func.count() >= FLAPPING_CHANGES)


def changed_ids(now: Now) -> Select[tuple[str]]:
    """Gateways that changed their connectivity in the last hour, once for each change.

    What a rollout did to them, from a gateway's start to its verdict, is no change of their own.
    """
    target = rollout_targets.c
    updated = exists().where(
        target.gateway_id == fleet_events.c.gateway_id,
        target.started_at <= fleet_events.c.at,
        or_(target.settled_at.is_(None), target.settled_at >= fleet_events.c.at),
    )
    return select(fleet_events.c.gateway_id).where(
        fleet_events.c.at >= now - FLAPPING_WITHIN,
        or_(*(fleet_events.c.kind == kind.value for kind in sorted(CONNECTIVITY_KINDS))),
        ~updated,
    )
