"""The database itself: transactions, claims, and what is said when it does not answer."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Insert, Update, event, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import StartupError, Unavailable
from bot.storage.db.engine import Contended, Database, async_url, repeated
from bot.storage.db.leases import LASTS, claim_tick
from bot.storage.db.schema import migrate
from bot.storage.db.tables import ticks
from bot.storage.db.timestamps import from_micros, to_micros
from tests.worlds.builders import NOW
from tests.worlds.databases import sqlite_url

pytestmark = pytest.mark.on_both


@asynccontextmanager
async def closing(database: Database) -> AsyncIterator[Database]:
    try:
        yield database
    finally:
        await database.close()


async def owners(database: Database) -> list[str]:
    async with database.read() as connection:
        return list(await connection.scalars(select(ticks.c.owner).order_by(ticks.c.name)))


async def write(database: Database, statement: Insert) -> None:
    async with database.write() as connection:
        await connection.execute(statement)


async def write_and_fail(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert(ticks).values(name="a", owner="me", lease_until=NOW))
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///meshbot.db", "sqlite+aiosqlite"),
        ("postgresql://user@host/name", "postgresql+psycopg"),
        ("postgres://user@host/name", "postgresql+psycopg"),
    ],
)
def test_a_plain_url_gets_its_async_driver(url: str, driver: str) -> None:
    assert async_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://host/name", "not a url", ""])
def test_any_other_url_is_refused_by_the_name_of_its_setting(url: str) -> None:
    with pytest.raises(StartupError, match="MESHBOT_DATABASE_URL"):
        Database.open(url)


def test_a_file_in_a_folder_that_does_not_exist_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="create the folder"):
        Database.open(f"sqlite:///{tmp_path}/nowhere/meshbot.db")


async def test_what_a_transaction_wrote_is_gone_when_it_fails(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(database)
    assert await owners(database) == []


async def test_a_reader_sees_nothing_that_is_committed_after_its_first_look(database: Database) -> None:
    names = select(ticks.c.name).order_by(ticks.c.name)
    async with database.read() as connection:
        before = list(await connection.scalars(names))
        await write(database, insert(ticks).values(name="late", owner="me", lease_until=NOW))
        assert list(await connection.scalars(names)) == before
    async with database.read() as connection:
        assert "late" in list(await connection.scalars(names))


async def test_writers_at_the_same_time_wait_for_each_other(database: Database) -> None:
    async def count_up() -> None:
        async with database.write() as connection:
            locked = select(ticks.c.owner).where(ticks.c.name == "a").with_for_update()
            before = int((await connection.execute(locked)).scalar_one())
            await connection.execute(ticks.update().values(owner=str(before + 1)))

    async with database.write() as connection:
        await connection.execute(insert(ticks).values(name="a", owner="0", lease_until=NOW))
    await asyncio.gather(*(count_up() for _ in range(20)))
    assert await owners(database) == ["20"]


async def test_ten_processes_write_to_one_sqlite_at_once_and_none_fails(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    opened = [Database.open(url) for _ in range(10)]

    async def read_then_write(database: Database, number: int) -> None:
        for _ in range(5):
            async with database.write() as connection:
                before = (await connection.execute(select(ticks.c.name))).scalars().all()
                row = {"name": f"{number}-{len(before)}", "owner": "me", "lease_until": NOW}
                await connection.execute(insert(ticks).values(row))

    await asyncio.gather(*(read_then_write(one, number) for number, one in enumerate(opened)))
    assert len(await owners(opened[0])) == 50
    for one in opened:
        await one.close()


async def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert(ticks).values(name="a", owner="me", lease_until=NOW))
        async with asyncio.timeout(100):
            assert await owners(database) == []


async def test_a_question_sees_all_that_was_committed(database: Database) -> None:
    await write(database, insert(ticks).values(name="a", owner="me", lease_until=NOW))
    asked = await database.ask(lambda connection: list(connection.scalars(select(ticks.c.owner))))
    assert asked == ["me"]


async def test_the_room_for_a_scan_is_given_back_also_when_it_fails(tmp_path: Path) -> None:
    opened = Database.open(sqlite_url(tmp_path))

    async def room(connection: AsyncConnection) -> int:
        return int((await connection.exec_driver_sql("PRAGMA cache_size")).scalar_one())

    async def failing() -> None:
        async with opened.scan() as connection:
            rooms.append(await room(connection))
            raise ZeroDivisionError

    rooms: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await failing()
    async with opened.read() as connection:
        assert [await room(connection) * 8] == rooms
    await opened.close()


async def test_a_long_question_to_sqlite_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    answered = threading.Event()
    asked = asyncio.create_task(database.ask(lambda _connection: answered.wait(100)))
    await asyncio.sleep(0)
    answered.set()  # which nobody could while the question held the loop
    assert await asked
    await database.close()


async def test_a_database_that_is_not_there_says_so_in_a_sentence(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}", "postgresql://nobody@127.0.0.1:1/nothing"):
        database = Database.open(url)
        with pytest.raises(Unavailable, match="does not answer"):
            await database.check()
        with pytest.raises(Unavailable, match="does not answer"):
            await database.ask(lambda connection: connection.scalar(select(1)))
        await database.close()


async def test_a_database_that_may_only_be_read_is_told_from_one_that_takes_changes(
    database: Database, database_url: str
) -> None:
    await database.check_writing(NOW)
    assert database.unwritable_since is None
    options = "" if database.is_sqlite else "&options=-c%20default_transaction_read_only%3Don"
    async with closing(Database.open(database_url + options)) as reader:
        if database.is_sqlite:
            only = "PRAGMA query_only = ON"
            event.listen(reader.engine.sync_engine, "connect", lambda one, _: one.execute(only))
        for later in (0, 1):
            with pytest.raises(Unavailable, match="nothing was changed"):
                await reader.check_writing(NOW + later * LASTS)
        assert reader.unwritable_since == NOW
        assert await owners(reader) == await owners(database) == [""]


async def test_a_damaged_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "meshbot.db"
    async with closing(Database.open(f"sqlite:///{file}")) as database:
        await migrate(database)
    file.write_bytes(b"not what it was " * (file.stat().st_size // 16))
    async with closing(Database.open(f"sqlite:///{file}")) as database:
        with pytest.raises(Unavailable, match="does not answer"):
            await database.check()


@pytest.mark.postgres
async def test_a_postgresql_that_was_restarted_is_used_again(postgres_url: str) -> None:
    async with closing(Database.open(postgres_url)) as database:
        await database.check()
        with pytest.raises(Unavailable, match="does not answer"):
            async with database.write() as connection:
                await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        await database.check()


def test_a_postgresql_that_vanished_is_waited_for_as_long_as_the_url_says() -> None:
    assert async_url("postgresql://user@host/name").query["tcp_user_timeout"] == "30000"
    own = async_url("postgresql://user@host/name?tcp_user_timeout=5000&sslmode=require").query
    assert (own["tcp_user_timeout"], own["sslmode"], own["connect_timeout"]) == ("5000", "require", "10")


@pytest.mark.postgres
@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
async def test_whatever_isolation_the_database_is_set_to_ours_is_asked_for(
    level: str, postgres_url: str
) -> None:
    ask = text("SELECT current_setting('transaction_isolation')")
    options = f"&options=-c%20default_transaction_isolation%3D{level.replace(' ', '%5C%20')}"
    async with closing(Database.open(postgres_url + options)) as database:
        for _ in range(2):  # a connection that is used again
            async with database.read() as connection:
                assert await connection.scalar(ask) == "repeatable read"
            async with database.write() as connection:
                assert await connection.scalar(ask) == "read committed"


@pytest.mark.postgres
async def test_who_loses_a_deadlock_does_it_again(postgres_url: str) -> None:
    """Ours holds “a” and wants “b”, a patient other the other way round; the impatient one is told."""
    patient, tries = f"{postgres_url}&options=-c%20deadlock_timeout%3D60s", []
    async with (
        closing(Database.open(f"{postgres_url}&options=-c%20deadlock_timeout%3D1s")) as ours,
        closing(Database.open(patient)) as theirs,
    ):
        for name in ("a", "b"):
            await write(ours, insert(ticks).values(name=name, owner="nobody", lease_until=NOW))
        holds, wants = asyncio.Event(), asyncio.Event()

        async def other() -> None:
            async with theirs.write() as connection:
                await connection.execute(_taken("b", "they"))
                holds.set()
                await wants.wait()
                await connection.execute(_taken("a", "they"))

        async def work() -> None:
            tries.append("a try")
            async with ours.write() as connection:
                await connection.execute(_taken("a", "we"))
                wants.set()
                await connection.execute(_taken("b", "we"))

        waiting = asyncio.create_task(other())
        await holds.wait()
        await repeated(work)
        await waiting
        assert await owners(ours) == ["we", "we"]
    assert len(tries) > 1


def _taken(name: str, owner: str) -> Update:
    return ticks.update().where(ticks.c.name == name).values(owner=owner)


FAILS = text("DO $$ BEGIN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END $$")


@pytest.mark.postgres
async def test_what_cannot_be_serialised_is_done_again_a_few_times(postgres_url: str) -> None:
    tries = []
    async with closing(Database.open(postgres_url)) as database:

        async def work() -> None:
            tries.append("a try")
            async with database.write() as connection:
                await connection.execute(FAILS)

        with pytest.raises(Contended, match="nothing was changed"):
            await repeated(work)
        assert 2 < len(tries) < 10


@pytest.mark.postgres
@pytest.mark.parametrize("resumes", [False, True])
async def test_what_has_committed_something_is_begun_again_only_where_it_resumes(
    resumes: bool, postgres_url: str
) -> None:
    tries = []
    async with closing(Database.open(postgres_url)) as database:

        async def work() -> None:
            tries.append("a try")
            await claim_tick(database, "a", "we", NOW)
            async with database.write() as connection:
                await connection.execute(FAILS)

        with pytest.raises(Contended):
            await repeated(work, resumes=resumes)
        assert (len(tries) > 1) is resumes


@pytest.mark.postgres
async def test_who_finds_no_connection_free_is_told_that_the_bot_is_busy(postgres_url: str) -> None:
    async with closing(Database.open(postgres_url, patience=0.01)) as database, AsyncExitStack() as held:
        for _ in range(8):
            await held.enter_async_context(database.read())
        with pytest.raises(Unavailable, match=r"I am busy: .*nothing was changed"):
            await database.check()


@pytest.mark.postgres
@pytest.mark.pgbouncer
async def test_behind_pgbouncer_a_statement_may_come_as_often_as_it_likes(pooled_url: str) -> None:
    """More sessions of ours than it has of the server, each of whose statements another may serve."""
    async with closing(Database.open(pooled_url)) as database:

        async def work(number: int) -> None:
            for turn in range(8):
                assert await claim_tick(database, f"{number}", f"{turn}", NOW + turn * LASTS)
                await database.check()

        await asyncio.gather(*map(work, range(12)))
        assert len(await owners(database)) == 12


async def test_a_mistake_of_ours_is_not_called_an_outage(database: Database) -> None:
    twice = insert(ticks).values(name="a", owner="me", lease_until=NOW)
    await write(database, twice)
    with pytest.raises(IntegrityError):
        await write(database, twice)


async def test_what_a_dead_process_had_claimed_is_free_again_on_sqlite_only(database: Database) -> None:
    await claim_tick(database, "listing", "dead", NOW)
    await database.forget_leases()
    assert await claim_tick(database, "listing", "new", NOW) is database.is_sqlite


def test_a_time_is_stored_to_the_microsecond() -> None:
    odd = NOW + timedelta(microseconds=1)
    assert from_micros(to_micros(odd)) == odd
    assert to_micros(odd) == to_micros(NOW) + 1
