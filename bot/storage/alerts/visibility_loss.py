"""The incident that tells that the fleet cannot be seen. The rule is in bot/domain/visibility_loss.py."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from bot.domain.visibility_loss import VisibilityLoss
from bot.storage.alerts.membership import IS_LIVE
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import incidents

_KIND = IncidentKind.VISIBILITY.value


async def live(connection: AsyncConnection) -> IncidentId | None:
    found = await connection.execute(select(incidents.c.id).where(incidents.c.kind == _KIND, IS_LIVE))
    number = found.scalar()
    return None if number is None else IncidentId(number)


async def begin(connection: AsyncConnection, lost: VisibilityLoss, at: datetime) -> None:
    """Says so at once, unless it is said: gathering is for gateways."""
    row = {
        "kind": _KIND,
        "site": "",
        "site_folded": "",
        "state": IncidentState.OPEN.value,
        "version": 1,
        "opened_at": lost.since,
        "post_at": at,
        "cause": {"failures": lost.failures, "lost": lost.lost, "online_before": lost.online_before},
    }
    await connection.execute(insert_or_ignore(connection, incidents, row))


async def end(connection: AsyncConnection, at: datetime, *, outage: bool) -> Sequence[IncidentId]:
    """The fleet can be seen again, or what was lost is an outage."""
    known = (
        await connection.execute(
            select(incidents.c.id, incidents.c.cause).where(incidents.c.kind == _KIND, IS_LIVE)
        )
    ).all()
    for row in known:
        await connection.execute(
            update(incidents)
            .where(incidents.c.id == row.id)
            .values(
                state=IncidentState.RESOLVED.value,
                resolved_at=at,
                version=incidents.c.version + 1,
                cause={**row.cause, "outage": outage},
            )
        )
    return [IncidentId(row.id) for row in known]
