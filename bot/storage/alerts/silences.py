"""Silences as rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.silences import Silence, SilenceId, SilenceRequest
from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.incident_kinds import IncidentId
from bot.storage.db.statements import among, insert_or_ignore
from bot.storage.db.tables import gateways as fleet
from bot.storage.db.tables import incident_gateways, silences
from bot.storage.db.unreadable_rows import legible


async def add(
    connection: AsyncConnection,
    asked: SilenceRequest,
    incident: IncidentId | None,
    by: tuple[str, str],
    now: datetime,
    *,
    limits: Sequence[str],
    gateways: Sequence[str] | None,
    asked_once: str | None = None,
) -> Silence | None:
    """``gateways``, where it holds these and no others; ``limits`` are those of its author. None when the
    yes to the question ``asked_once`` made one before.
    """
    values = {
        "query": asked.query,
        "incident_id": incident,
        "by": by[0],
        "by_name": by[1],
        "reason": asked.reason,
        "created_at": now,
        "until": asked.until,
        "limits": list(limits),
        "gateways": None if gateways is None else list(gateways),
        "asked": asked_once,
    }
    made = await connection.execute(insert_or_ignore(connection, silences, values).returning(*silences.c))
    row = made.first()
    return None if row is None else _silence(row)


async def find(connection: AsyncConnection, silence: SilenceId) -> Silence | None:
    """None when it was never made, or is kept no longer."""
    row = (await connection.execute(select(silences).where(silences.c.id == silence))).first()
    return None if row is None else _silence(row)


async def find_active(connection: AsyncConnection, silence: SilenceId, now: datetime) -> Silence | None:
    """None when it does not hold now."""
    rows = await connection.execute(select(silences).where(silences.c.id == silence, _holds(now)))
    row = rows.first()
    return None if row is None else _silence(row)


async def active(connection: AsyncConnection, now: datetime) -> Sequence[Silence]:
    """Those that hold now, the first to end first."""
    rows = await connection.execute(
        select(silences).where(_holds(now)).order_by(silences.c.until, silences.c.id)
    )
    return legible(rows, _silence)


async def count_active(connection: AsyncConnection, now: datetime) -> int:
    """How many hold now."""
    found = await connection.execute(select(func.count()).select_from(silences).where(_holds(now)))
    return found.scalar_one()


async def between(connection: AsyncConnection, begins: datetime, ends: datetime) -> Sequence[Silence]:
    """Those that held at some moment between these two."""
    rows = await connection.execute(
        select(silences)
        .where(silences.c.created_at < ends, silences.c.until > begins)
        .order_by(silences.c.id)
    )
    return legible(rows, _silence)


async def end(connection: AsyncConnection, silence: SilenceId, by: str, now: datetime) -> Silence | None:
    """The silence that somebody ended early; None when it does not hold any more."""
    ended = await connection.execute(
        update(silences)
        .where(silences.c.id == silence, _holds(now))
        .values(ended_by=by, until=now)
        .returning(*silences.c)
    )
    row = ended.first()
    return None if row is None else _silence(row)


async def to_announce(connection: AsyncConnection, now: datetime, before: timedelta) -> Sequence[Silence]:
    """Those that end soon, of which nobody was told."""
    rows = await connection.execute(
        select(silences)
        .where(silences.c.until > now, silences.c.until <= now + before, _is_untold())
        .order_by(silences.c.id)
    )
    return legible(rows, _silence)


async def record_announced(connection: AsyncConnection, silence: SilenceId, now: datetime) -> bool:
    """Whether this process is the one to tell."""
    told = await connection.execute(
        update(silences).where(silences.c.id == silence, _is_untold()).values(announced_at=now)
    )
    return told.rowcount == 1


async def gateways_of(connection: AsyncConnection, incident: IncidentId) -> Sequence[GatewayId]:
    rows = await connection.execute(
        select(incident_gateways.c.gateway_id).where(incident_gateways.c.incident_id == incident)
    )
    return [GatewayId(one) for one in rows.scalars()]


async def down_among(connection: AsyncConnection, gateway_ids: Sequence[str]) -> Sequence[str]:
    """The names of those that are offline, and the ids of those without one, in their order."""
    rows = await connection.execute(
        select(func.coalesce(fleet.c.name, fleet.c.id))
        .where(fleet.c.state == Connectivity.OFFLINE.value, among(connection, fleet.c.id, gateway_ids))
        .order_by(fleet.c.name_folded, fleet.c.id)
    )
    return list(rows.scalars())


async def over(connection: AsyncConnection, now: datetime) -> Sequence[Silence]:
    """Those whose time is up, and that nobody has ended yet."""
    rows = await connection.execute(
        select(silences).where(silences.c.until <= now, silences.c.ended_by.is_(None)).order_by(silences.c.id)
    )
    return legible(rows, _silence)


async def record_over(connection: AsyncConnection, silence: SilenceId, by: str) -> None:
    """It has ended by itself."""
    await connection.execute(
        update(silences).where(silences.c.id == silence, silences.c.ended_by.is_(None)).values(ended_by=by)
    )


def _holds(now: datetime) -> ColumnElement[bool]:
    return (silences.c.until > now) & silences.c.ended_by.is_(None)


def _is_untold() -> ColumnElement[bool]:
    return silences.c.ended_by.is_(None) & silences.c.announced_at.is_(None)


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        SilenceId(row.id),
        row.query,
        None if row.incident_id is None else IncidentId(row.incident_id),
        row.by,
        row.by_name,
        row.reason,
        row.created_at,
        row.until,
        tuple(row.limits),
        None if row.gateways is None else tuple(row.gateways),
        row.ended_by,
    )
