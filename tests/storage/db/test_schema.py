"""The schema's way from one version to the next."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text

from bot.domain.errors import StartupError
from bot.storage.db import schema
from bot.storage.db.engine import Database
from bot.storage.db.schema import current, ensure_schema, known, migrate, needed
from bot.storage.db.tables import metadata, ticks
from tests.storage.db.test_move_database import value_of

pytestmark = pytest.mark.on_both


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(empty_database_url)
    yield opened
    await opened.close()


def test_the_name_of_a_migration_begins_with_its_revision_and_the_last_is_the_newest() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert known() == {script.revision for script in scripts.walk_revisions()}
    assert needed() == scripts.get_current_head()


async def test_an_empty_database_is_brought_up_to_date(database: Database) -> None:
    assert await migrate(database) == (None, needed())
    assert await current(database) == needed()


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await migrate(database)
    assert await migrate(database) == (needed(), needed())


@pytest.mark.postgres
async def test_of_several_that_migrate_at_once_each_finds_it_done(empty_postgres_url: str) -> None:
    both = [Database.open(empty_postgres_url) for _ in range(2)]
    try:
        assert {after for _, after in await asyncio.gather(*map(migrate, both))} == {needed()}
    finally:
        for one in both:
            await one.close()


async def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    await migrate(database)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_migrations_write_each_table_as_the_tables_would_themselves(tmp_path: Path) -> None:
    """Defaults and collations too, which the comparison above leaves out."""
    migrated, made = (Database.open(f"sqlite:///{tmp_path}/{name}.db") for name in ("migrated", "made"))
    await migrate(migrated)
    async with made.write() as connection:
        await connection.run_sync(metadata.create_all)
    assert await _statements(migrated) == await _statements(made)
    for database in (migrated, made):
        await database.close()


async def _statements(database: Database) -> set[tuple[str, ...]]:
    """The words of each statement; in which order a table's constraints stand makes no difference."""
    kinds = "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND tbl_name != 'alembic_version'"
    async with database.read() as connection:
        statements = await connection.scalars(text(kinds))
        return {tuple(sorted(re.findall(r"\w+", sql))) for sql in statements if sql}


async def test_a_newer_schema_than_the_code_knows_is_left_alone(database: Database) -> None:
    await migrate(database)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="newer"):
        await migrate(database)


async def test_only_sqlite_is_migrated_by_a_start(database: Database) -> None:
    if database.is_sqlite:
        await ensure_schema(database)
        assert await current(database) == needed()
        return
    with pytest.raises(StartupError, match="meshbot migrate"):
        await ensure_schema(database)


async def test_a_start_accepts_the_schema_it_needs(database: Database) -> None:
    await migrate(database)
    await ensure_schema(database)


@pytest.mark.postgres
@pytest.mark.parametrize("work", [ensure_schema, migrate])
async def test_a_database_that_may_only_be_read_is_named_with_what_to_do(
    work: Callable[[Database], Awaitable[object]], postgres_url: str, empty_postgres_url: str
) -> None:
    url = postgres_url if work is ensure_schema else empty_postgres_url
    standby = Database.open(f"{url}&options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(StartupError, match=r"_URL: the database takes no changes .*primary"):
        await work(standby)
    await standby.close()


async def test_a_start_leaves_nothing_behind_of_its_look_at_the_database(database: Database) -> None:
    await migrate(database)
    await ensure_schema(database)
    async with database.read() as connection:
        assert list(await connection.scalars(select(ticks.c.name))) == []


async def test_the_running_version_reads_and_writes_tables_that_a_newer_one_has_widened(
    database: Database,
) -> None:
    await migrate(database)
    async with database.write() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN of_the_next_version TEXT"))
            await connection.execute(insert(table), {column.name: value_of(column) for column in table.c})
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            (row,) = (await connection.execute(select(table))).mappings()
            assert set(row) == set(table.c.keys())
