"""What was said to remind people of incidents, so that it is said once."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import IncidentId, IncidentState
from bot.domain.gateways import GatewayId
from bot.storage.alerts.membership import expected_ids
from bot.storage.db.tables import incident_gateways, incidents


async def down_in(connection: AsyncConnection, incident: IncidentId) -> Sequence[GatewayId]:
    """Those that are down in it and that no rollout has in flight."""
    rows = await connection.execute(
        select(incident_gateways.c.gateway_id).where(
            incident_gateways.c.incident_id == incident,
            incident_gateways.c.left_at.is_(None),
            incident_gateways.c.gateway_id.not_in(expected_ids()),
        )
    )
    return [GatewayId(one) for one in rows.scalars()]


async def record_reminded(connection: AsyncConnection, incident: IncidentId, before: int, after: int) -> bool:
    """Whether this process is the one to remind: nobody else did, nor acknowledged it meanwhile."""
    done = await connection.execute(
        update(incidents)
        .where(
            incidents.c.id == incident,
            incidents.c.reminded == before,
            incidents.c.acknowledged_by.is_(None),
            incidents.c.state == IncidentState.OPEN.value,
        )
        .values(reminded=after)
    )
    return done.rowcount == 1


async def record_asked(
    connection: AsyncConnection, incident: IncidentId, before: datetime | None, now: datetime
) -> bool:
    done = await connection.execute(
        update(incidents)
        .where(
            incidents.c.id == incident,
            incidents.c.ack_reminded_at.is_(None)
            if before is None
            else incidents.c.ack_reminded_at == before,
            incidents.c.acknowledged_by.is_not(None),
            incidents.c.state == IncidentState.OPEN.value,
        )
        .values(ack_reminded_at=now)
    )
    return done.rowcount == 1
