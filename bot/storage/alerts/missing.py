"""Gateways that a rollout started and that did not come back: one incident for each rollout."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import IncidentId, IncidentKind, IncidentState
from bot.domain.gateways import Connectivity, GatewayId
from bot.storage.alerts.membership import IS_LIVE, Moved, is_in, join_one
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import RANKS, gateways, incident_gateways, incidents, rollout_targets

_KIND = IncidentKind.NOT_RETURNED
_LATELY = timedelta(days=7)
_STATE = "not_returned"


async def who_did_not_return(connection: AsyncConnection, at: datetime) -> Mapping[int, Sequence[GatewayId]]:
    """By rollout, those that are still down since before they were given up, in no such incident."""
    table = rollout_targets.c
    rows = await connection.execute(
        select(table.gateway_id, func.max(table.rollout_id))
        .join(gateways, gateways.c.id == table.gateway_id)
        .where(
            table.state == _STATE,
            table.settled_at >= at - _LATELY,
            gateways.c.rank != RANKS[Connectivity.ONLINE],
            gateways.c.since <= table.settled_at,
            table.gateway_id.not_in(select(incident_gateways.c.gateway_id).where(is_in(_KIND))),
        )
        .group_by(table.gateway_id)
        .order_by(table.gateway_id)
    )
    found: defaultdict[int, list[GatewayId]] = defaultdict(list)
    for gateway_id, rollout in rows.all():
        found[rollout].append(GatewayId(gateway_id))
    return found


async def begin(connection: AsyncConnection, rollout: int, at: datetime, post_at: datetime) -> int:
    """The live incident of a rollout; 1 when it is new."""
    row = {
        "kind": _KIND.value,
        "site": f"R-{rollout}",
        "site_folded": f"r-{rollout}",
        "state": IncidentState.GATHERING.value,
        "version": 1,
        "opened_at": at,
        "post_at": post_at,
        "rollout_id": rollout,
    }
    return (await connection.execute(insert_or_ignore(connection, incidents, row))).rowcount


async def join(connection: AsyncConnection, rollout: int, ids: Sequence[GatewayId], at: datetime) -> Moved:
    incident = await connection.execute(
        select(incidents.c.id).where(
            incidents.c.kind == _KIND.value, incidents.c.site_folded == f"r-{rollout}", IS_LIVE
        )
    )
    return await join_one(connection, IncidentId(incident.scalar_one()), _KIND, ids, at)
