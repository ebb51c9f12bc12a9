"""From a SQLite file to PostgreSQL: every row as it is, in one transaction, and the numbers that come next.

The bot is stopped meanwhile. What it had begun is free for whoever goes on, since nobody holds a lease then.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Column, Table, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import StartupError
from bot.storage.db.engine import Database, reason
from bot.storage.db.schema import current, migrate, needed
from bot.storage.db.tables import metadata, ticks
from bot.storage.db.timestamps import EPOCH

_CHUNK = 1_000


async def move(source: Database, target: Database) -> int:
    """Copies everything into an empty database and returns the number of rows. Raises StartupError.

    The file stays as it is, and nobody writes to it meanwhile.
    """
    if not source.is_sqlite or target.is_sqlite:
        raise StartupError("A database is moved from sqlite:///… to postgresql://…, in this order.")
    if (have := await current(source)) != needed():
        raise StartupError(
            f"The file has schema {have or 'none'} and this version needs {needed()}: name another file, or "
            "run `meshbot migrate` with it first."
        )
    await migrate(target)
    rows = 0
    async with source.write() as old, target.write() as new:
        for table in metadata.sorted_tables:
            if (await new.execute(select(func.count()).select_from(table))).scalar_one():
                raise StartupError(f"The new database is not empty: there are rows in {table.name}.")
        for table in metadata.sorted_tables:
            async for chunk in _rows(old, table):
                await _insert(new, table, chunk)
                rows += len(chunk)
            if (number := table.autoincrement_column) is not None:
                await _go_on_counting(old, new, number)
    return rows


async def _insert(new: AsyncConnection, table: Table, chunk: list[dict[str, Any]]) -> None:
    """All of them, also where it is cancelled meanwhile: psycopg 3.3 fails in the midst of a pipeline."""
    inserting = asyncio.ensure_future(new.execute(insert(table), chunk))
    try:
        await asyncio.shield(inserting)
    except asyncio.CancelledError:
        await asyncio.wait({inserting})
        raise
    except (DataError, IntegrityError) as error:
        why = reason(error).partition(': "')[0]  # behind it stands what is in the row
        raise StartupError(
            f"PostgreSQL refuses a row of {table.name} ({why}), so nothing was copied: "
            "mend the row in the file."
        ) from error


async def _rows(old: AsyncConnection, table: Table) -> AsyncIterator[list[dict[str, Any]]]:
    ends = "lease_until" in table.c and table is not ticks
    found = await old.stream(select(table).order_by(*table.primary_key))
    async for part in found.mappings().partitions(_CHUNK):
        chunk = [dict(row) for row in part]
        for row in chunk if ends else ():
            row["lease_until"] = row["lease_until"] and EPOCH
        yield chunk


async def _go_on_counting(old: AsyncConnection, new: AsyncConnection, number: Column[Any]) -> None:
    """A number that was given is given to nothing else, not even where its row was forgotten."""
    name = {"table": number.table.name}
    asked = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
    if last := (await old.execute(asked, name)).scalar_one_or_none():
        counted = text("SELECT setval(pg_get_serial_sequence(:table, :number), :last)")
        await new.execute(counted, {**name, "number": number.name, "last": last})
