"""Storms as rows: gateways of many sites in one incident. The rule is in bot/domain/alerts/storms.py."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.storms import LiveStorm, Outage, StormWindow, WentOffline
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from bot.storage.alerts.membership import IS_GATHERING, IS_LIVE
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import gateways, incident_gateways, incidents


async def outage(
    connection: AsyncConnection,
    gone: Mapping[GatewayId, WentOffline],
    left: Collection[GatewayId],
) -> Outage:
    """What those that are gone may join; all of it read at one moment with them."""
    live = await _live(connection)
    return Outage(
        gone=gone,
        left=left,
        fleet=await fleet_size(connection),
        seen_dark=await _seen_dark(connection),
        storms={storm: LiveStorm(went, await _who_left(connection, storm)) for storm, went in live.items()},
        gathering=await _gathering(connection),
    )


async def _gathering(connection: AsyncConnection) -> Mapping[GatewayId, WentOffline]:
    """Those that are down in incidents of sites that nobody has seen yet."""
    rows = await connection.execute(
        select(incident_gateways.c.gateway_id, incident_gateways.c.offline_since, incidents.c.site_folded)
        .join(incidents, incidents.c.id == incident_gateways.c.incident_id)
        .where(_IS_OF_A_SITE, IS_GATHERING, incident_gateways.c.left_at.is_(None))
    )
    return {GatewayId(row.gateway_id): WentOffline(row.offline_since, row.site_folded) for row in rows}


async def _live(connection: AsyncConnection) -> Mapping[IncidentId, Sequence[tuple[datetime, int]]]:
    """The storms that go on: when their gateways went, in order, and how many."""
    rows = await connection.execute(
        select(incidents.c.id, incident_gateways.c.offline_since, func.count())
        .join(incident_gateways, incident_gateways.c.incident_id == incidents.c.id)
        .where(incidents.c.kind == IncidentKind.STORM.value, IS_LIVE)
        .group_by(incidents.c.id, incident_gateways.c.offline_since)
        .order_by(incidents.c.id, incident_gateways.c.offline_since)
    )
    went: defaultdict[IncidentId, list[tuple[datetime, int]]] = defaultdict(list)
    for incident, moment, number in rows.all():
        went[IncidentId(incident)].append((moment, number))
    return went


async def _who_left(connection: AsyncConnection, storm: IncidentId) -> frozenset[GatewayId]:
    """Those that came back from it: when they go again, that is another matter."""
    rows = await connection.execute(
        select(incident_gateways.c.gateway_id).where(
            incident_gateways.c.incident_id == storm, incident_gateways.c.left_at.is_not(None)
        )
    )
    return frozenset(GatewayId(one) for one in rows.scalars())


async def fleet_size(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(func.count()).select_from(gateways))).scalar_one())


async def _seen_dark(connection: AsyncConnection) -> IncidentId | None:
    """The incident of what was dark before it was first seen, while nobody has been told of it."""
    found = await connection.execute(
        select(incidents.c.id).where(incidents.c.kind == IncidentKind.SEEN_DARK.value, IS_GATHERING)
    )
    number = found.scalar()
    return None if number is None else IncidentId(number)


async def begin(
    connection: AsyncConnection,
    kind: IncidentKind,
    key: str,
    at: datetime,
    post_at: datetime,
    *,
    site: str = "",
) -> IncidentId:
    """The live incident of that kind and key; begun twice, it is the same."""
    row = {
        "kind": kind.value,
        "site": site,
        "site_folded": key,
        "state": IncidentState.GATHERING.value,
        "version": 1,
        "opened_at": at,
        "post_at": post_at,
    }
    await connection.execute(insert_or_ignore(connection, incidents, row))
    found = await connection.execute(
        select(incidents.c.id).where(incidents.c.kind == kind.value, incidents.c.site_folded == key, IS_LIVE)
    )
    return IncidentId(found.scalar_one())


async def absorb(connection: AsyncConnection, storm: IncidentId, window: StormWindow) -> None:
    """What gathers for sites and went in that time is the storm's; emptied incidents end unposted."""
    unposted = select(incidents.c.id).where(_IS_OF_A_SITE, IS_GATHERING)
    await connection.execute(
        update(incident_gateways)
        .where(
            incident_gateways.c.incident_id.in_(unposted),
            incident_gateways.c.left_at.is_(None),
            incident_gateways.c.offline_since >= window.first,
            incident_gateways.c.offline_since <= window.last,
        )
        .values(incident_id=storm)
    )


_IS_OF_A_SITE = incidents.c.kind == IncidentKind.OFFLINE.value
