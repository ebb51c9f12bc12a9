"""Incidents of gateways that go on and off: who joins them, and who has been quiet for long enough."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import IncidentKind, Leave
from bot.domain.gateways import Connectivity, GatewayId
from bot.storage.alerts.membership import Moved, expected_ids, find_ids, is_in, moved
from bot.storage.cards.cards import CardKind, touch_all
from bot.storage.connectivity import changed_ids, flapping_ids
from bot.storage.db.statements import among
from bot.storage.db.tables import RANKS, gateways, incident_gateways, incidents

_KIND = IncidentKind.FLAPPING


async def who_flaps(connection: AsyncConnection, at: datetime) -> Sequence[GatewayId]:
    """Gateways of the fleet that flap, in no such incident; what a rollout restarts does not flap."""
    flap = select(gateways.c.id).where(gateways.c.id.in_(flapping_ids(at)))
    in_one = select(incident_gateways.c.gateway_id).where(is_in(_KIND))
    return await find_ids(connection, flap.except_(in_one, expected_ids()))


async def who_is_quiet(connection: AsyncConnection, at: datetime) -> Sequence[GatewayId]:
    """Gateways in such an incident that did not change for an hour."""
    return await find_ids(
        connection,
        select(incident_gateways.c.gateway_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(is_in(_KIND), incident_gateways.c.gateway_id.not_in(changed_ids(at))),
    )


async def leave_as_quiet(connection: AsyncConnection, ids: Sequence[GatewayId], at: datetime) -> Moved:
    """They leave with the state they are in now."""
    online = gateways.c.rank == RANKS[Connectivity.ONLINE]
    leaving = (
        update(incident_gateways)
        .where(
            is_in(_KIND),
            among(connection, incident_gateways.c.gateway_id, ids),
            incident_gateways.c.gateway_id == gateways.c.id,
            gateways.c.id.not_in(changed_ids(at)),
        )
        .values(left_at=at, left_as=case((online, Leave.BACK.value), else_=Leave.STILL_DOWN.value))
    )
    return await moved(connection, leaving)


async def touch_changed(connection: AsyncConnection, listing: int) -> None:
    """The cards of gateways that changed in this listing show it."""
    changed = await connection.execute(
        select(incident_gateways.c.incident_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .join(incidents, incidents.c.id == incident_gateways.c.incident_id)
        .where(is_in(_KIND), gateways.c.since_listing == listing)
        .distinct()
    )
    await touch_all(connection, CardKind.INCIDENT, {str(one) for one in changed.scalars()})
