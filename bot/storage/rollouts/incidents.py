"""Which alerts touched a rollout's gateways while it ran, and who acknowledged them: for its timeline."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_, select

from bot.domain.incident_kinds import IncidentState
from bot.domain.rollouts.rollout import Rollout, RolloutEvent
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import incident_gateways, incidents, rollout_targets

MOST = 10  # alerts that are told of one by one
_TOLD = [IncidentState.OPEN.value, IncidentState.RESOLVED.value]


async def alerts_during(connection: Transaction, rollout: Rollout, now: datetime) -> Sequence[RolloutEvent]:
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
    told = [event for row in rows[:MOST] for event in _events(rollout, row)]
    if len(rows) > MOST:
        body = {"rollout": rollout.id, "count": len(rows) - MOST}
        told.append(RolloutEvent(rows[MOST].opened_at, "more_alerts", None, body))
    return told


def _events(rollout: Rollout, row: Row[Any]) -> Iterator[RolloutEvent]:
    body = {
        "rollout": rollout.id,
        "alert": row.id,
        "trouble": row.kind,
        "site": row.site,
        "count": row.gateways,
    }
    yield RolloutEvent(row.opened_at, "alert", None, body)
    if row.lapsed_by:
        outgrown = body | {"count": row.lapsed_more, "had": row.lapsed_by}
        yield RolloutEvent(row.lapsed_given_at, "acknowledged", row.lapsed_by, body)
        yield RolloutEvent(row.lapsed_at, "outgrown", None, outgrown)
    if row.acknowledged_by:
        yield RolloutEvent(row.acknowledged_at, "acknowledged", row.acknowledged_by, body)
