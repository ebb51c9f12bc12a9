"""All stored moments at once: they move with a clock that was set, and so keep their distance from now.

Only those that something outside is compared with stand where they are: what the vendor or the calendar says,
what a message in Slack carries, and the audit log, which is never rewritten.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import audit, cards, gateways, maintenance, metadata, notes, plans, rollouts, ticks
from bot.storage.db.timestamps import UtcMicros, from_micros

_WRITTEN: Final = "written"  # the row of ``ticks`` with the time that all stored moments go by
RECENT: Final = timedelta(days=8)  # no rule but forgetting looks further back
STANDING: Final = frozenset(
    {
        audit.c.at,
        cards.c.attempted_at,  # Slack's history is searched from here
        cards.c.created_at,  # part of what marks a message as ours
        gateways.c.changed_at,
        maintenance.c.opens_at,
        maintenance.c.closes_at,
        maintenance.c.announced,
        notes.c.attempted_at,
        notes.c.created_at,
        plans.c.start_at,
        rollouts.c.start_at,
    }
)
MOVING: Final = {
    table: columns
    for table in metadata.sorted_tables
    if (columns := [one for one in table.c if isinstance(one.type, UtcMicros) and one not in STANDING])
}


async def time_there(connection: AsyncConnection) -> datetime | None:
    """The time of the database's own machine; None for SQLite, which has none."""
    if connection.dialect.name == "sqlite":
        return None
    # As a number: how a time is written hangs on the database's DateStyle, of which its driver reads one.
    since_1970 = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
    found = await connection.exec_driver_sql(f"SELECT {since_1970}")
    return from_micros(found.scalar_one())


async def write(connection: AsyncConnection, now: datetime) -> None:
    """Writes down what time it is. Only for who holds the row, and read the time after that."""
    row = {"name": _WRITTEN, "owner": "", "lease_until": now}
    await connection.execute(insert_or_ignore(connection, ticks, row))
    await connection.execute(update(ticks).where(ticks.c.name == _WRITTEN).values(lease_until=now))


async def last_written(connection: AsyncConnection, *, to_change: bool = False) -> datetime | None:
    """What time was written down last; ``to_change`` waits for whoever else writes it, and holds it."""
    row = select(ticks.c.lease_until).where(ticks.c.name == _WRITTEN)
    last: datetime | None = await connection.scalar(row.with_for_update() if to_change else row)
    return last


async def move(connection: AsyncConnection, by: timedelta, to: datetime) -> bool:
    """Moves what is stored from a clock that shows ``to`` now and showed ``to - by`` before.

    False when another replica has done so. Rollouts are looked at anew: when one is due hangs on moments that
    moved and on others that did not.
    """
    last = await last_written(connection, to_change=True)
    if last is not None and abs(last - to) < abs(last - (to - by)):
        return False
    since = to - by - RECENT
    for table, columns in MOVING.items():
        moved = {one: case((one > since, one + by), else_=one) for one in columns}
        await connection.execute(update(table).where(or_(*(one > since for one in columns))).values(moved))
    await connection.execute(update(rollouts).where(rollouts.c.due_at.is_not(None)).values(due_at=to))
    await write(connection, to)
    return True
