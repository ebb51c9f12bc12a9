"""The database: SQLite or PostgreSQL by URL, and its transactions.

Nothing above the storage layer sees SQLAlchemy. A transaction is short and holds no network call. What people
ask goes over connections and threads of their own, so that nobody keeps the bot from listing and publishing.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, func, make_url, select, update
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.domain.errors import StartupError, Unavailable
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import metadata, ticks

log = logging.getLogger(__name__)

# What services hand from one storage function to the next: of a transaction, and inside of one question.
Transaction: TypeAlias = AsyncConnection
Reading: TypeAlias = Connection

BUSY_TIMEOUT_MS = 15_000
# SQLite's pages, of each of two dozen connections: more is no faster for most queries, since the operating
# system has the pages too, and one scan of a fleet of 100,000 would fill them.
_CACHE_KB, _SCAN_CACHE_KB = 4_000, 32_000
# By itself libpq waits two minutes for a host that does not answer, and hours for one that vanished.
_LOST_AFTER = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# What PostgreSQL calls it.
_READ_ONLY = "25006"  # a standby, or one that was told to take no changes
_CONTENDED = {"40001", "40P01"}  # a serialisation failure, a deadlock
_FULL = {"53300"}  # it takes no more connections
_POOL_PATIENCE = 20.0
_TRIES = 5
_LETTING_GO = 1.5
SETTING = "MESHBOT_DATABASE_URL"
_PROBE = "probe"  # the row of ``ticks`` by which one tells whether changes are taken
_TOUCHED = "meshbot_touched"
_LAST = "meshbot_last"
_AFTER = "meshbot_after"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# Of the bot's own pool, and of that for people, of whom one has three requests at work. Twice as many, except
# of threads, when there is much to do.
_SIZES = (4, 4)
_Answer = TypeVar("_Answer")
# The sqlite3 module asks for an adapter of all but numbers and texts, and longest where there is none: a row
# of a gateway, with a digest and a few NULLs, took a fifth longer to write.
sqlite3.register_adapter(type(None), lambda nothing: nothing)
sqlite3.register_adapter(bytes, bytes)
_for_people: ContextVar[bool] = ContextVar("for_people", default=False)


def work_for_people() -> None:
    """From here on this task, and what it starts, uses the connections that are kept for people."""
    _for_people.set(True)


def work_for_itself() -> None:
    """From here on this task uses the bot's own connections, whoever started it."""
    _for_people.set(False)


@dataclass(frozen=True, slots=True)
class _Connections:
    """A pool, and on SQLite another for whole questions, with a thread for each of its connections."""

    engine: AsyncEngine
    reader: Engine | None = None
    threads: ThreadPoolExecutor | None = None

    @classmethod
    def to_sqlite(cls, url: URL, size: int) -> Self:
        # The last one used is the next: each connection keeps pages of its own in memory.
        engine = create_async_engine(url, pool_size=size, max_overflow=size, pool_use_lifo=True)
        _prepare_sqlite(engine.sync_engine)
        plain = url.set(drivername="sqlite")
        reader = create_engine(plain, pool_size=size, max_overflow=0, pool_use_lifo=True)
        _prepare_sqlite(reader)
        return cls(engine, reader, ThreadPoolExecutor(size, thread_name_prefix="database"))

    @classmethod
    def to_postgresql(cls, url: URL, size: int, patience: float) -> Self:
        return cls(
            create_async_engine(
                url,
                connect_args={
                    # PgBouncer in transaction mode hands a session to others, who find our statements in it.
                    # Preparing them saved a fraction of a millisecond each (psycopg 3.3, PostgreSQL 15).
                    "prepare_threshold": None,
                    "client_encoding": "utf8",  # whatever the role or PGCLIENTENCODING says
                },
                isolation_level="READ COMMITTED",  # another may be set on the database
                pool_size=size,
                max_overflow=size,
                pool_timeout=patience,
                pool_pre_ping=True,
            )
        )

    async def close(self) -> None:
        await self.engine.dispose()
        if self.reader is not None and self.threads is not None:
            self.threads.shutdown(wait=False, cancel_futures=True)
            self.reader.dispose()


class _Unit:
    """A piece of work, and whether it has committed anything."""

    has_committed = False


_unit: ContextVar[_Unit | None] = ContextVar("unit", default=None)


class Contended(Unavailable):
    """Another transaction had the right of way, so nothing was kept of this one; see ``repeated``."""


class Database:
    """An open database. ``read()`` and ``write()`` give a connection inside one transaction.

    A write transaction on SQLite takes the write lock at its beginning: one that reads first and writes
    later would fail at once when another has written meanwhile, whatever the busy timeout says.
    """

    def __init__(self, named: str, own: _Connections, peoples: _Connections) -> None:
        self.named = named
        """Who says where it is: a setting, or an argument; complaints begin with it."""
        self._own = own
        self._peoples = peoples
        self.is_sqlite = own.reader is not None
        # SQLite has one writer: waiting here, in turn, is fairer and cheaper than waiting in the file lock.
        self._writer = asyncio.Lock() if self.is_sqlite else None
        self._listeners: list[Callable[[], None]] = []
        self.unwritable_since: datetime | None = None
        """Since when it takes no changes, by ``check_writing``: a disk that is full can still be read."""

    @classmethod
    def open(cls, url: str, *, patience: float = _POOL_PATIENCE, named: str = SETTING) -> Self:
        """Raises StartupError when the URL is not one of ours. Nothing is connected yet.

        ``patience``: seconds that somebody waits for one of PostgreSQL's connections.
        """
        parsed = async_url(url)
        if parsed.get_backend_name() == "sqlite":
            path = parsed.database
            if path and path != ":memory:" and not Path(path).absolute().parent.is_dir():
                raise StartupError(
                    f"{named} names the file {path}, and its folder does not exist: create the folder."
                )
            if path and path != ":memory:":
                with suppress(OSError):  # of one that cannot be made, more is said when it is opened
                    if not Path(path).exists():  # touching changes its time
                        Path(path).touch(0o600)  # nobody else reads what is in it
            return cls(named, *(_Connections.to_sqlite(parsed, size) for size in _SIZES))
        return cls(named, *(_Connections.to_postgresql(parsed, size, patience) for size in _SIZES))

    @property
    def engine(self) -> AsyncEngine:
        """The one that this task uses."""
        return self._connections.engine

    @property
    def _connections(self) -> _Connections:
        return self._peoples if _for_people.get() else self._own

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, all of it as of one moment: what is committed meanwhile is not seen.

        Raises Unavailable when the database does not answer.
        """
        with _translated():
            async with self.engine.connect() as plain:
                connection = plain
                if not self.is_sqlite:  # whose every transaction is such a snapshot
                    connection = await plain.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def scan(self) -> AsyncIterator[AsyncConnection]:
        """The same for what reads and sorts much of the database: SQLite is faster with room for that."""
        async with self.read() as connection:
            if not self.is_sqlite:
                yield connection
                return
            await connection.exec_driver_sql(f"PRAGMA cache_size=-{_SCAN_CACHE_KB}")
            try:
                yield connection
            finally:
                await connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KB}")

    async def ask(self, question: Callable[[Connection], _Answer]) -> _Answer:
        """What a function finds that puts all its statements one after the other, in a read transaction.

        SQLite runs it in one thread, with a connection that is not async: there and back once, where an async
        one goes four times for each statement, which takes longer than most statements.
        """
        reader, threads = self._connections.reader, self._connections.threads
        if reader is None:
            async with self.read() as connection:
                return await connection.run_sync(question)

        def asked() -> _Answer:
            with reader.begin() as connection:
                return question(connection)

        with _translated():
            return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, asked)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; committed when the block ends, rolled back when it raises."""
        with _translated():
            async with self._begin_writing() as connection:
                # The connection's notes outlive a transaction that was rolled back.
                connection.info.update({_TOUCHED: False, _LAST: [], _AFTER: []})
                yield connection
                for work in connection.info[_LAST]:
                    await work()
                touched, after = connection.info[_TOUCHED], connection.info[_AFTER]
        if unit := _unit.get():
            unit.has_committed = True
        for tell in after:
            tell()
        if touched:
            for listener in self._listeners:
                listener()

    @asynccontextmanager
    async def _begin_writing(self) -> AsyncIterator[AsyncConnection]:
        if self._writer is None:
            async with self.engine.begin() as connection:
                yield connection
            return
        # In the bot's own connections, always: who waits for one here keeps all others from writing.
        async with self._writer, self._own.engine.connect() as plain:
            connection = await plain.execution_options(meshbot_write=True)
            async with connection.begin():
                yield connection

    def when_touched(self, listener: Callable[[], None]) -> None:
        """Has the listener called after each commit of this process that gives Slack something to show."""
        self._listeners.append(listener)

    async def check(self) -> None:
        """Raises Unavailable when the database does not answer."""
        async with self.read() as connection:
            await connection.execute(select(1))

    async def try_writing(self, now: datetime, *, keep: bool = False) -> None:
        """Writes a row that nobody reads, and takes it back unless it is to be kept.

        Raises Unavailable when the database takes no changes.
        """
        probe = {"name": _PROBE, "owner": "", "lease_until": now}
        async with self.write() as connection:
            await connection.execute(insert_or_ignore(connection, ticks, probe))
            await connection.execute(update(ticks).where(ticks.c.name == _PROBE).values(lease_until=now))
            if not keep:
                await connection.rollback()

    async def check_writing(self, now: datetime) -> None:
        """Remembers since when no changes are taken, and raises Unavailable then."""
        try:
            await self.try_writing(now, keep=True)
        except Unavailable:
            if self.unwritable_since is None:
                log.error("the database takes no changes")
                self.unwritable_since = now
            raise
        if self.unwritable_since is not None:
            log.warning("the database takes changes again")
            self.unwritable_since = None

    async def close(self) -> None:
        await self._own.close()
        await self._peoples.close()

    async def forget_leases(self) -> None:
        """On SQLite one process works at a time, so what the last one had claimed when it died is free again.

        A lease is ended, not erased: that work was begun under it is why the work is taken up again at once.
        Replicas on PostgreSQL wait instead until a lease ends: another may be alive and hold it.
        """
        if not self.is_sqlite:
            return
        async with self.write() as connection:
            for table in metadata.tables.values():
                if "lease_until" in table.c and table is not ticks:
                    held = table.c.lease_until.is_not(None)
                    await connection.execute(update(table).where(held).values(lease_until=_LONG_AGO))
            await connection.execute(delete(ticks))


def mark_touched(connection: Transaction) -> None:
    """Says that this transaction gives Slack something to show."""
    connection.info[_TOUCHED] = True


def before_commit(connection: Transaction, work: Callable[[], Awaitable[None]]) -> None:
    """Does this last in the transaction: a lock that all others wait for is held shortly, and taken last."""
    connection.info[_LAST].append(work)


def after_commit(connection: Transaction, tell: Callable[[], None]) -> None:
    """Calls this once the transaction is committed, and never when it is rolled back."""
    connection.info[_AFTER].append(tell)


async def repeated(work: Callable[[], Awaitable[_Answer]], *, resumes: bool = False) -> _Answer:
    """Does a piece of work, and again from its start where another transaction had the right of way.

    Not when it has committed something before, unless it ``resumes`` by itself what it began.
    """
    for attempt in range(1, _TRIES + 1):
        unit = _Unit()
        _unit.set(unit)
        try:
            return await work()
        except Contended:
            if (unit.has_committed and not resumes) or attempt == _TRIES:
                raise
        await asyncio.sleep(random.random() * 0.05 * attempt)  # noqa: S311 - both must not come back at once
    raise AssertionError("unreachable")


async def end_now(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels them, and once more those that wait for the database to give back what they hold."""
    left = set(tasks)
    for _ in range(2):
        if left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_LETTING_GO)


async def take_turn(connection: Transaction, key: int) -> None:
    """Lets one process at a time go on with what this key stands for, until its transaction ends.

    SQLite's write transactions take turns by themselves.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(key)))


def async_url(text: str) -> URL:
    """The URL with an async driver. Raises StartupError for anything but SQLite and PostgreSQL."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StartupError(
            f"{SETTING} is not a database URL: use sqlite:///meshbot.db or postgresql://user@host/name."
        ) from error
    backend = url.get_backend_name()
    if backend == "sqlite":
        return url.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"}:
        asked = {name: value for name, value in _LOST_AFTER.items() if name not in url.query}
        return url.set(drivername="postgresql+psycopg").update_query_dict(asked)
    raise StartupError(f"{SETTING} names {backend}: only sqlite:/// and postgresql:// work.")


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by us, below
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"cache_size=-{_CACHE_KB}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("meshbot_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def reason(error: BaseException) -> str:
    """What the driver says, in one line and without the statement."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class _translated:  # noqa: N801 - reads as a phrase where it is used
    """Turns a database that does not answer into a sentence; leaves mistakes of ours as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if isinstance(error, PoolTimeout) or state in _FULL:
            log.warning("all connections to the database are in use: %s", reason(error))
            raise Unavailable(
                "I am busy: all my connections to the database are in use, so nothing was changed. "
                "Please try again in a minute."
            ) from error
        if state in _CONTENDED:
            log.info("another transaction had the right of way: %s", reason(error))
            raise Contended(
                "Others changed the same at this moment, so nothing was changed. Please try again."
            ) from error
        if (
            isinstance(error, InterfaceError | OperationalError)
            or type(error) is DatabaseError  # SQLite's for a file that is damaged
            or (isinstance(error, DBAPIError) and (error.connection_invalidated or state == _READ_ONLY))
        ):
            # One line: while it is away every tick comes here, and a traceback each would bury the rest.
            log.warning("the database does not answer: %s", reason(error))
            raise Unavailable(
                "My database does not answer, so nothing was changed. Please try again in a minute; "
                "if it stays so, whoever runs the bot finds the reason in its log."
            ) from error
