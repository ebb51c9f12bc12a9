"""What people were told of incidents: how large they were, and what was said to remind, each once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import Acknowledgement, Growth, Incident
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from bot.storage.alerts.incidents import PlaceKey, sizes
from bot.storage.alerts.membership import IS_LIVE, down_now
from bot.storage.alerts.troubles import expected_ids
from bot.storage.db.tables import incident_gateways, incidents


async def larger(connection: AsyncConnection, ids: Collection[IncidentId]) -> Sequence[Growth]:
    """Those of the incidents in which more are down than people heard of, held until the transaction ends:
    who acknowledges one meanwhile, does it after.
    """
    row = incidents.c
    down = down_now()
    rows = (
        await connection.execute(
            select(
                row.id,
                row.kind,
                row.site_folded,
                row.rollout_id,
                row.told,
                row.acknowledged_by,
                row.acknowledged_name,
                row.acknowledged_at,
                down.label("down"),
            )
            .where(row.id.in_(ids), IS_LIVE, row.told.is_not(None), row.told < down)
            .order_by(row.id)
            .with_for_update(key_share=True)
        )
    ).all()
    places = [PlaceKey(IncidentKind(one.kind).rules.scope, one.site_folded, one.rollout_id) for one in rows]
    return [
        Growth(
            IncidentId(one.id),
            one.told,
            one.down,
            of,
            Acknowledgement(one.acknowledged_by, one.acknowledged_name or "Somebody", one.acknowledged_at)
            if one.acknowledged_by
            else None,
        )
        for one, of in zip(rows, await sizes(connection, places), strict=True)
    ]


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


async def record_reminded(connection: AsyncConnection, incident: Incident, times: int) -> bool:
    """Whether this process is the one to remind: nobody else did, and nobody decided anything meanwhile."""
    return await _record(connection, incident, {"reminded": times})


async def record_asked(connection: AsyncConnection, incident: Incident, now: datetime) -> bool:
    """The same of the question to whoever has it."""
    return await _record(connection, incident, {"ack_reminded_at": now})


async def _record(connection: AsyncConnection, incident: Incident, values: Mapping[str, object]) -> bool:
    row = incidents.c
    asked = row.ack_reminded_at
    done = await connection.execute(
        update(incidents)
        .where(
            row.id == incident.id,
            row.version == incident.version,
            row.reminded == incident.reminded,
            asked.is_(None) if incident.asked_at is None else asked == incident.asked_at,
            row.state == IncidentState.OPEN.value,
        )
        .values(dict(values))
    )
    return done.rowcount == 1
