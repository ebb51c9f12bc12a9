"""What is stored when a clock is set: it keeps its distance from now, but for what something outside says."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from bot.storage.db import clock_change
from bot.storage.db.engine import Database
from bot.storage.db.tables import metadata, silences
from bot.storage.db.timestamps import UtcMicros

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONG_AGO = NOW - 8 * DAY
SILENCE = {"query": "", "limits": [], "by": "U0ANA00001", "by_name": "Ana"}


def test_every_moment_moves_or_is_known_to_stand() -> None:
    stored = {one for table in metadata.sorted_tables for one in table.c if isinstance(one.type, UtcMicros)}
    moving = {one for columns in clock_change.MOVING.values() for one in columns}
    assert moving | clock_change.STANDING == stored
    assert {f"{one.table.name}.{one.name}" for one in clock_change.STANDING} == {
        "audit.at",
        "cards.attempted_at",
        "cards.created_at",
        "gateways.changed_at",
        "maintenance.announced",
        "maintenance.closes_at",
        "maintenance.opens_at",
        "notes.attempted_at",
        "notes.created_at",
        "plans.start_at",
        "rollouts.start_at",
    }


@pytest.mark.on_both
@pytest.mark.parametrize("by", [-HOUR, DAY])
async def test_what_is_stored_keeps_its_distance_from_now(by: timedelta, database: Database) -> None:
    made, until = NOW - HOUR, NOW + 3 * HOUR
    async with database.write() as connection:
        await clock_change.write(connection, NOW)
        row = SILENCE | {"created_at": made, "until": until}
        old = SILENCE | {"created_at": LONG_AGO, "until": LONG_AGO + timedelta(microseconds=1)}
        await connection.execute(insert(silences), [row, old])
        assert await clock_change.move(connection, by, NOW + by)
    async with database.read() as connection:
        kept = select(silences.c.created_at, silences.c.until, silences.c.announced_at).order_by(
            silences.c.id
        )
        first, second = (await connection.execute(kept)).all()
        assert tuple(first) == (made + by, until + by, None)
        assert tuple(second) == (LONG_AGO, LONG_AGO + timedelta(microseconds=1) + by, None)


@pytest.mark.on_both
@pytest.mark.parametrize("by", [-HOUR, DAY])
async def test_of_replicas_whose_clocks_jump_together_one_moves_what_is_stored(
    by: timedelta, database: Database
) -> None:
    second = timedelta(seconds=1)
    async with database.write() as connection:
        await clock_change.write(connection, NOW)
        assert await clock_change.move(connection, by, NOW + by + second)
    async with database.write() as connection:
        assert not await clock_change.move(connection, by, NOW + by + 2 * second)
        assert await clock_change.last_written(connection) == NOW + by + second


@pytest.mark.postgres
async def test_replicas_share_the_clock_of_their_database_however_it_writes_a_time(postgres_url: str) -> None:
    database = Database.open(f"{postgres_url}&options=-c%20DateStyle%3DGerman%20-c%20TimeZone%3DAsia/Kolkata")
    async with database.read() as connection:
        there = await clock_change.time_there(connection)
    await database.close()
    assert there is not None
    assert abs(there - datetime.now(UTC)) < HOUR
