"""Which alerts touched a rollout's gateways while it ran, and who acknowledged them: for its timeline."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_, select

from bot.domain.incident_kinds import IncidentKind, IncidentState
from bot.domain.rollouts.events import (
    AlertAcknowledged,
    AlertOpened,
    AlertOutgrown,
    MoreAlerts,
    Person,
    TimelineEntry,
)
from bot.domain.rollouts.lifecycle import Rollout
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import incident_gateways, incidents, rollout_targets

MOST = 10  # alerts that are told of one by one
_TOLD = [IncidentState.OPEN.value, IncidentState.RESOLVED.value]


async def alerts_during(connection: Transaction, rollout: Rollout, now: datetime) -> Sequence[TimelineEntry]:
    """Alerts about gateways of its waves that went offline while it ran, and those of its own doing."""
    if rollout.started_at is None:
        return ()
    member, target = incident_gateways.c, rollout_targets.c
    meanwhile = member.offline_since.between(rollout.started_at, rollout.finished_at or now)
    found = await connection.execute(
        select(incidents, func.count().label("gateways"))
        .select_from(
            incident_gateways.join(incidents, incidents.c.id == member.incident_id).join(
                rollout_targets,
                and_(target.rollout_id == rollout.id, target.gateway_id == member.gateway_id),
            )
        )
        .where(
            incidents.c.state.in_(_TOLD),
            target.wave > 0,
            or_(meanwhile, incidents.c.rollout_id == rollout.id),
        )
        .group_by(incidents.c.id)
        .order_by(incidents.c.opened_at, incidents.c.id)
    )
    rows = found.all()
    told = [entry for row in rows[:MOST] for entry in _entries(rollout, row)]
    if len(rows) > MOST:
        told.append(TimelineEntry(rollout.id, rows[MOST].opened_at, None, MoreAlerts(len(rows) - MOST)))
    return told


def _entries(rollout: Rollout, row: Row[Any]) -> Iterator[TimelineEntry]:
    opened = AlertOpened(row.id, IncidentKind(row.kind), row.site, row.gateways)
    yield TimelineEntry(rollout.id, row.opened_at, None, opened)
    if row.lapsed_by:
        had = Person(row.lapsed_by, row.lapsed_name or row.lapsed_by)
        yield TimelineEntry(rollout.id, row.lapsed_given_at, had, AlertAcknowledged(row.id))
        if row.lapsed_more:  # else they gave it back
            outgrown = AlertOutgrown(row.id, row.lapsed_more, row.lapsed_by)
            yield TimelineEntry(rollout.id, row.lapsed_at, None, outgrown)
    if row.acknowledged_by:
        by = Person(row.acknowledged_by, row.acknowledged_name or row.acknowledged_by)
        yield TimelineEntry(rollout.id, row.acknowledged_at, by, AlertAcknowledged(row.id))
