"""The database fixtures themselves: everything in tests/storage stands on them."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from bot.storage.db.engine import Database
from tests.worlds import databases, postgres


@pytest.mark.postgres
def test_each_test_gets_an_empty_postgresql_database(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
    assert tables == []


@pytest.mark.postgres
def test_a_connection_left_open_does_not_keep_a_database_from_being_dropped(
    postgres_cluster: postgres.Cluster,
) -> None:
    with postgres_cluster.empty_database() as url:
        connection = psycopg.connect(url)
    with connection, pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


@pytest.mark.postgres
async def test_what_a_test_left_in_a_postgresql_database_the_next_does_not_find(
    postgres_cluster: postgres.Cluster,
) -> None:
    for _ in range(2):
        with postgres_cluster.database_with_schema() as url, psycopg.connect(url) as connection:
            columns = "INSERT INTO listings (started_at, outcome, gateways, changes)"
            added = connection.execute(f"{columns} VALUES (0, 'failed', 0, 0) RETURNING number".encode())
            assert added.fetchall() == [(1,)]


@pytest.mark.on_both
def test_every_kind_of_database_is_named_by_its_url(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql://"))


async def test_a_connection_whose_transaction_still_begins_is_closed_after_that(tmp_path: Path) -> None:
    with databases.sqlite_in_the_loop():
        url = databases.sqlite_url(tmp_path)
        waits, holds = Database.open(url), Database.open(url)
        async with waits.read() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        async with holds.write():
            begins = asyncio.ensure_future(raw.execute("BEGIN IMMEDIATE"))
            await asyncio.sleep(0)
            closes = asyncio.ensure_future(raw.close())
            await asyncio.sleep(0)
        await closes
        assert begins.done()
        await waits.close()
        await holds.close()
