"""Maintenance windows as rows."""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import Row, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.maintenance import (
    Change,
    Every,
    Maintenance,
    MaintenanceId,
    MaintenanceRequest,
    Opening,
    Schedule,
)
from bot.domain.incident_kinds import IncidentId
from bot.storage.alerts.membership import IS_LIVE
from bot.storage.db.statements import among, insert_or_ignore
from bot.storage.db.tables import incident_gateways, incidents, maintenance
from bot.storage.db.unreadable_rows import legible


async def add(
    connection: AsyncConnection,
    asked: MaintenanceRequest,
    by: tuple[str, str],
    now: datetime,
    *,
    limits: Sequence[str],
    opening: Opening | None,
    announced: datetime | None,
    asked_once: str | None = None,
) -> Maintenance | None:
    """``limits`` are those of its author, ``announced`` as if it had been announced then. None when the yes
    to the question ``asked_once`` planned one before.
    """
    schedule = asked.schedule
    values = {
        "query": asked.query,
        "limits": list(limits),
        "by": by[0],
        "by_name": by[1],
        "reason": asked.reason,
        "created_at": now,
        "zone": schedule.zone,
        "first": f"{schedule.first:%Y-%m-%dT%H:%M}",
        "ends": f"{schedule.ends:%H:%M}",
        "every": schedule.every.value,
        "until": None if schedule.until is None else schedule.until.isoformat(),
        "skipped": [],
        "opens_at": None if opening is None else opening.begins,
        "closes_at": None if opening is None else opening.ends,
        "is_open": False,
        "announced": announced,
        "version": 1,
        "decided": 1,
        "last": Change.PLANNED.value,
        "asked": asked_once,
    }
    made = await connection.execute(
        insert_or_ignore(connection, maintenance, values).returning(*maintenance.c)
    )
    row = made.first()
    return None if row is None else _window(row)


async def find(connection: AsyncConnection, number: MaintenanceId) -> Maintenance | None:
    """None when it was never planned, or is kept no longer."""
    row = (await connection.execute(select(maintenance).where(maintenance.c.id == number))).first()
    return None if row is None else _window(row)


async def planned(connection: AsyncConnection) -> Sequence[Maintenance]:
    """Those with an opening that is open or to come, the first to open first."""
    rows = await connection.execute(
        select(maintenance)
        .where(maintenance.c.opens_at.is_not(None))
        .order_by(maintenance.c.opens_at, maintenance.c.id)
    )
    return legible(rows, _window)


async def between(connection: AsyncConnection, begins: datetime, ends: datetime) -> Sequence[Maintenance]:
    """Those that may have been open between two moments."""
    rows = await connection.execute(
        select(maintenance)
        .where(
            maintenance.c.created_at < ends,
            or_(maintenance.c.ended_at.is_(None), maintenance.c.ended_at > begins),
        )
        .order_by(maintenance.c.id)
    )
    return legible(rows, _window)


async def save(connection: AsyncConnection, before: Maintenance, after: Maintenance) -> bool:
    """Whether nobody was faster: only what stands as ``before`` was read becomes ``after``."""
    opening = after.opening
    saved = await connection.execute(
        update(maintenance)
        .where(maintenance.c.id == before.id, maintenance.c.version == before.version)
        .values(
            skipped=[day.isoformat() for day in after.schedule.skipped],
            opens_at=None if opening is None else opening.begins,
            closes_at=None if opening is None else opening.ends,
            is_open=after.is_open,
            announced=after.announced,
            version=before.version + 1,
            decided=after.decided,
            last=after.last.value,
            ended_by=after.ended_by,
            ended_at=after.ended_at,
        )
    )
    return saved.rowcount == 1


async def live_incidents_with(
    connection: AsyncConnection, gateway_ids: Sequence[str]
) -> Sequence[IncidentId]:
    """Those in which one of these is down."""
    rows = await connection.execute(
        select(incident_gateways.c.incident_id)
        .join(incidents, incidents.c.id == incident_gateways.c.incident_id)
        .where(
            IS_LIVE,
            incident_gateways.c.left_at.is_(None),
            among(connection, incident_gateways.c.gateway_id, gateway_ids),
        )
        .distinct()
    )
    return [IncidentId(one) for one in rows.scalars()]


async def down_in(connection: AsyncConnection, incident: IncidentId) -> Sequence[str]:
    """The ids of the gateways that are down in it."""
    rows = await connection.execute(
        select(incident_gateways.c.gateway_id).where(
            incident_gateways.c.incident_id == incident, incident_gateways.c.left_at.is_(None)
        )
    )
    return list(rows.scalars())


def _window(row: Row[Any]) -> Maintenance:
    opening = None if row.opens_at is None else Opening(row.opens_at, row.closes_at)
    return Maintenance(
        id=MaintenanceId(row.id),
        query=row.query,
        limits=tuple(row.limits),
        by=row.by,
        by_name=row.by_name,
        reason=row.reason,
        created_at=row.created_at,
        schedule=Schedule(
            row.zone,
            datetime.fromisoformat(row.first),
            time.fromisoformat(row.ends),
            Every(row.every),
            None if row.until is None else date.fromisoformat(row.until),
            tuple(map(date.fromisoformat, row.skipped)),
        ),
        opening=opening,
        is_open=row.is_open,
        announced=row.announced,
        version=row.version,
        decided=row.decided,
        last=Change(row.last),
        ended_by=row.ended_by,
        ended_at=row.ended_at,
    )
