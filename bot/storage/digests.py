"""What a digest asks of the database besides what others ask too."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.gateways import KnownGateway
from bot.domain.incident_kinds import IncidentId
from bot.domain.query import Query
from bot.domain.rollouts.lifecycle import RolloutId
from bot.storage.db.tables import gateways, incident_gateways, listings, notes, rollout_targets
from bot.storage.fleet import gateways as fleet
from bot.storage.query import condition


async def first_listing(connection: AsyncConnection) -> datetime | None:
    """When the fleet was first looked at, as far as is remembered."""
    began: datetime | None = await connection.scalar(
        select(listings.c.started_at).order_by(listings.c.number).limit(1)
    )
    return began


async def written(connection: AsyncConnection, keys: Collection[str]) -> set[str]:
    """Those of the keys of messages that were used."""
    found = await connection.scalars(select(notes.c.key).where(notes.c.key.in_(list(keys))))
    return set(found)


async def longest(connection: AsyncConnection, query: Query, now: datetime, limit: int) -> list[KnownGateway]:
    """Gateways that match, those first that have been in their state for longest."""
    rows = fleet.rows().order_by(gateways.c.since, gateways.c.id).limit(limit)
    wanted = condition(query, now)
    return await fleet.read(connection, rows if wanted is None else rows.where(wanted))


async def rollouts_of(
    connection: AsyncConnection, rollouts: Sequence[RolloutId], query: Query, now: datetime
) -> set[RolloutId]:
    """Those of the rollouts that have a gateway which matches."""
    table = rollout_targets.c
    found = await connection.scalars(
        select(table.rollout_id)
        .where(table.rollout_id.in_(rollouts), table.gateway_id.in_(_matching(query, now)))
        .distinct()
    )
    return {RolloutId(one) for one in found}


async def incidents_of(
    connection: AsyncConnection, incidents: Collection[IncidentId], query: Query, now: datetime
) -> set[IncidentId]:
    """Those of the incidents in which a gateway that matches is or was."""
    table = incident_gateways.c
    found = await connection.scalars(
        select(table.incident_id)
        .where(table.incident_id.in_(list(incidents)), table.gateway_id.in_(_matching(query, now)))
        .distinct()
    )
    return {IncidentId(one) for one in found}


def _matching(query: Query, now: datetime) -> Select[tuple[str]]:
    wanted = condition(query, now)
    every = select(gateways.c.id)
    return every if wanted is None else every.where(wanted)
