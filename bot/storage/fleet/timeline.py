"""What happened to some gateways, from all that the bot keeps of it: changes, alerts, rollouts."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.fleet.timeline import JoinedAlert, TakenAlong
from bot.domain.gateways import FleetEvent, FleetEventKind
from bot.domain.incident_kinds import IncidentKind
from bot.storage.db.statements import among
from bot.storage.db.tables import fleet_events, incident_gateways, incidents, rollout_targets, rollouts


async def events(
    connection: AsyncConnection, ids: Sequence[str], begins: datetime, most: int
) -> list[FleetEvent]:
    """The newest."""
    table = fleet_events.c
    found = await connection.execute(
        select(table.kind, table.gateway_id, table.at, table.listing, table.before, table.after)
        .where(among(connection, table.gateway_id, ids), table.at >= begins)
        .order_by(table.at.desc(), table.id.desc())
        .limit(most)
    )
    return [FleetEvent(FleetEventKind(kind), *rest) for kind, *rest in found]


async def alerts(
    connection: AsyncConnection, ids: Sequence[str], begins: datetime, most: int
) -> list[JoinedAlert]:
    """Those that any of the gateways joined, the newest."""
    member, joined = incident_gateways.c, func.min(incident_gateways.c.joined_at)
    found = await connection.execute(
        select(joined, incidents.c.id, incidents.c.kind, incidents.c.site, func.count())
        .join(incident_gateways, member.incident_id == incidents.c.id)
        .where(among(connection, member.gateway_id, ids), member.joined_at >= begins)
        .group_by(incidents.c.id, incidents.c.kind, incidents.c.site)
        .order_by(joined.desc())
        .limit(most)
    )
    return [JoinedAlert(at, number, IncidentKind(kind), *rest) for at, number, kind, *rest in found]


async def taken_along(
    connection: AsyncConnection, ids: Sequence[str], begins: datetime, most: int
) -> list[TakenAlong]:
    """Rollouts that started on any of the gateways, the newest."""
    target, started = rollout_targets.c, func.min(rollout_targets.c.started_at)
    found = await connection.execute(
        select(started, rollouts.c.id, rollouts.c.firmware_version, func.count())
        .join(rollout_targets, target.rollout_id == rollouts.c.id)
        .where(among(connection, target.gateway_id, ids), target.started_at >= begins)
        .group_by(rollouts.c.id, rollouts.c.firmware_version)
        .order_by(started.desc())
        .limit(most)
    )
    return [TakenAlong(*row) for row in found]
