"""From SQLite to PostgreSQL: no row is lost or changed, and no number is given twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    delete,
    event,
    func,
    insert,
    select,
    update,
)

from bot.domain.errors import StartupError
from bot.storage.db.engine import Database
from bot.storage.db.move_database import move
from bot.storage.db.tables import metadata, subscriptions, ticks
from bot.storage.db.timestamps import EPOCH, UtcMicros
from tests.worlds.builders import NOW
from tests.worlds.databases import sqlite_url

pytestmark = pytest.mark.postgres


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(sqlite_url(tmp_path))
    async with opened.write() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(insert(table), {column.name: value_of(column) for column in table.c})
    yield opened
    await opened.close()


@pytest.fixture
async def new(empty_postgres_url: str) -> AsyncIterator[Database]:
    opened = Database.open(empty_postgres_url)
    yield opened
    await opened.close()


def value_of(column: Column[Any]) -> object:
    """Something for each type; what refers to another row finds it."""
    kinds: list[tuple[type, object]] = [
        (UtcMicros, NOW + timedelta(microseconds=1)),
        (JSON, ["Tromsø"]),
        (Boolean, True),
        (LargeBinary, bytes(range(16))),
        (String, "ø"),
        (Integer, 7),
    ]
    return next(value for kind, value in kinds if isinstance(column.type, kind))


async def rows_of(database: Database, table: Table) -> list[dict[str, Any]]:
    async with database.read() as connection:
        return [dict(row) for row in (await connection.execute(select(table))).mappings()]


async def test_every_row_is_there_and_nobody_holds_a_lease(old: Database, new: Database) -> None:
    assert await move(old, new) == len(metadata.tables)
    for table in metadata.sorted_tables:
        expected = await rows_of(old, table)
        for row in expected:
            if "lease_until" in row and table is not ticks:
                row["lease_until"] = EPOCH
        assert await rows_of(new, table) == expected, table.name


async def test_a_number_is_not_given_again_even_if_its_row_is_forgotten(old: Database, new: Database) -> None:
    async with old.write() as connection:
        await connection.execute(delete(subscriptions))
    await move(old, new)
    counted = [table.autoincrement_column for table in metadata.sorted_tables]
    async with new.write() as connection:
        given = {
            number.table.name: await connection.scalar(
                select(func.nextval(func.pg_get_serial_sequence(number.table.name, number.name)))
            )
            for number in counted
            if number is not None
        }
    assert "subscriptions" in given
    assert set(given.values()) == {8}


async def test_what_is_not_empty_is_left_alone(old: Database, new: Database) -> None:
    await move(old, new)
    with pytest.raises(StartupError, match="not empty"):
        await move(old, new)
    with pytest.raises(StartupError, match="in this order"):
        await move(new, old)


async def test_a_copy_that_is_cancelled_in_the_midst_ends_and_leaves_no_row(
    old: Database, new: Database
) -> None:
    async with old.write() as connection:
        rows = [
            {**row, "id": number, "query": str(number)}
            for row in await rows_of(old, subscriptions)
            for number in (8, 9)
        ]
        await connection.execute(insert(subscriptions), rows)

    @event.listens_for(new.engine.sync_engine, "before_cursor_execute")
    def cancel(
        _connection: object, _cursor: object, _text: str, _rows: object, _context: object, many: bool
    ) -> None:
        if many:
            copying.get_loop().call_soon(copying.cancel)

    copying = asyncio.ensure_future(move(old, new))
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert await rows_of(new, subscriptions) == []


async def test_a_row_that_postgresql_refuses_is_told_by_its_table_and_the_reason(
    old: Database, new: Database
) -> None:
    async with old.write() as connection:
        await connection.execute(update(subscriptions).values(query="geheim\0"))
    with pytest.raises(StartupError, match=r"a row of subscriptions \(.*NUL.*\), so nothing") as caught:
        await move(old, new)
    assert "geheim" not in str(caught.value)
    assert await rows_of(new, subscriptions) == []


async def test_a_table_of_somebody_else_in_the_new_database_is_named(
    old: Database, empty_postgres_url: str
) -> None:
    target = Database.open(empty_postgres_url, named="TO")
    async with target.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE gateways (id int)")
    with pytest.raises(StartupError, match="TO: the database has a table gateways that is not the bot's"):
        await move(old, target)
    await target.close()
