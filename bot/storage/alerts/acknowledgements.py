"""In whose hands incidents are, as rows: each change is one statement about what still is as it was drawn."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, literal, null, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import Acknowledgement
from bot.domain.incident_kinds import IncidentId
from bot.storage.alerts.membership import IS_LIVE, down_now
from bot.storage.db.tables import incidents
from bot.storage.db.timestamps import UtcMicros


async def acknowledge(
    connection: AsyncConnection, incident_id: IncidentId, version: int, by: Acknowledgement
) -> bool:
    """Whether this was the first acknowledgement of a live incident, as the version was drawn."""
    return await _hand_to(connection, incident_id, version, by, incidents.c.acknowledged_by.is_(None))


async def hand_over(
    connection: AsyncConnection, incident_id: IncidentId, version: int, to: Acknowledgement
) -> bool:
    """Whether they have it now, whoever had it before, as the version was drawn."""
    return await _hand_to(connection, incident_id, version, to, true())


async def give_back(
    connection: AsyncConnection, incident_id: IncidentId, version: int, user_id: str, at: datetime
) -> bool:
    """Whether nobody has it now that they had, as the version was drawn; reminders begin anew."""
    row = incidents.c
    given = await connection.execute(
        update(incidents)
        .where(row.id == incident_id, row.version == version, IS_LIVE, row.acknowledged_by == user_id)
        .values(_lapsed(at, literal(0)) | {"version": version + 1})
    )
    return given.rowcount == 1


async def unacknowledged(connection: AsyncConnection, most: int) -> Sequence[tuple[IncidentId, int]]:
    """The live incidents that nobody has, the oldest first, each with its version."""
    rows = await connection.execute(
        select(incidents.c.id, incidents.c.version)
        .where(IS_LIVE, incidents.c.acknowledged_by.is_(None))
        .order_by(incidents.c.id)
        .limit(most)
    )
    return [(IncidentId(row.id), row.version) for row in rows]


async def who_has(connection: AsyncConnection, ids: Collection[IncidentId]) -> Mapping[IncidentId, str]:
    """The Slack user ids of those who have one of the incidents, by incident."""
    rows = await connection.execute(
        select(incidents.c.id, incidents.c.acknowledged_by).where(
            incidents.c.id.in_(ids), incidents.c.acknowledged_by.is_not(None)
        )
    )
    return {IncidentId(row.id): row.acknowledged_by for row in rows}


async def _hand_to(
    connection: AsyncConnection,
    incident_id: IncidentId,
    version: int,
    by: Acknowledgement,
    where: ColumnElement[bool],
) -> bool:
    taken = await connection.execute(
        update(incidents)
        .where(incidents.c.id == incident_id, incidents.c.version == version, IS_LIVE, where)
        .values(
            acknowledged_by=by.user_id,
            acknowledged_name=by.name,
            acknowledged_at=by.at,
            acknowledged_note=by.note,
            assigned_by=by.assigned_by,
            told=down_now(),
            lapsed_by=None,
            version=version + 1,
        )
    )
    return taken.rowcount == 1


async def tell(connection: AsyncConnection, ids: Collection[IncidentId], at: datetime) -> None:
    """People hear of the incidents as they are now; who had one of them has it no longer."""
    row = incidents.c
    down = down_now()
    had = row.acknowledged_by.is_not(None)
    lapsed = _lapsed(at, down - row.told)
    kept = {name: case((had, value), else_=row[name]) for name, value in lapsed.items()}
    await connection.execute(
        update(incidents)
        .where(row.id.in_(ids))
        .values(kept | {"told": down, "version": row.version + case((had, 1), else_=0)})
    )


def _lapsed(at: datetime, more: ColumnElement[int]) -> dict[str, ColumnElement[Any]]:
    """Who had it has it no longer."""
    row = incidents.c
    return {
        "reminded": literal(0),
        "lapsed_by": row.acknowledged_by,
        "lapsed_name": row.acknowledged_name,
        "lapsed_given_at": row.acknowledged_at,
        "lapsed_gateways": row.told,
        "lapsed_more": more,
        "lapsed_at": literal(at, UtcMicros),
        "acknowledged_by": null(),
        "acknowledged_name": null(),
        "acknowledged_at": null(),
        "acknowledged_note": null(),
        "assigned_by": null(),
    }
