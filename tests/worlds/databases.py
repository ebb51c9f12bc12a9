"""Databases with our schema and no rows, and SQLite without its threads.

The schema is made once in each test process: that takes longer than most tests do.
"""

import asyncio
import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.engine import Compiled

from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate


def sqlite_url(folder: Path, name: str = "meshbot.db") -> str:
    """The URL of a new SQLite file in the folder."""
    shutil.copyfile(_template(), folder / name)
    return f"sqlite:///{folder}/{name}"


def make_schema(url: str) -> None:
    """Migrates a database, for whoever is no coroutine."""

    async def made() -> None:
        database = Database.open(url)
        await migrate(database)
        await database.close()

    with ThreadPoolExecutor(1) as thread:  # the test's own event loop may be running in this one
        thread.submit(asyncio.run, made()).result()


@cache
def _template() -> Path:
    file = Path(tempfile.mkdtemp(prefix="meshbot-schema-")) / "empty.db"
    atexit.register(shutil.rmtree, file.parent)
    make_schema(f"sqlite:///{file}")
    return file


class _Compilations(dict[Any, Compiled]):
    """What SQLAlchemy has compiled, by driver and statement, not by engine: each test has its own engine."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_by_driver(key), default)

    def __setitem__(self, key: Any, compiled: Compiled) -> None:
        super().__setitem__(_by_driver(key), compiled)


def _by_driver(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *statement = key
    return (dialect.driver, *statement)


_COMPILATIONS = _Compilations()


@contextmanager
def statements_compiled_once() -> Iterator[None]:
    """A statement is compiled once in a test process, and not again by the engine of each test."""
    with _listening("engine_connect", _share_compilations):
        yield


def _share_compilations(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILATIONS)


@contextmanager
def sqlite_in_the_loop() -> Iterator[None]:
    """Connections of aiosqlite that are opened meanwhile do without their threads.

    A statement goes four times to that thread and back, which takes longer than the statement.
    """
    with _listening("do_connect", _without_a_thread):
        yield


@contextmanager
def _listening(to: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(Engine, to, listener)
    try:
        yield
    finally:
        event.remove(Engine, to, listener)


def _without_a_thread(dialect: Dialect, _record: object, _arguments: object, options: dict[str, Any]) -> None:
    if dialect.driver == "aiosqlite":
        options["async_creator_fn"] = _inline


def _inline(file: str, **options: Any) -> aiosqlite.Connection:
    connect = partial(sqlite3.connect, file, **{**options, "check_same_thread": False})
    return _InlineConnection(connect, iter_chunk_size=64)


class _InlineConnection(aiosqlite.Connection):
    """It would put each step into a queue for its thread."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        super().__init__(connector, iter_chunk_size)
        self._tx = _Inline()  # type: ignore[assignment] # the end of a queue that is written to

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._connect().__await__()


class _Inline:
    """What is put into this queue is done at once, but for the beginning of a transaction.

    Others take a turn there. One that writes may have to wait for the end of another: it begins in a thread.
    What comes meanwhile waits for it: SQLite crashes where one thread closes what another still uses.
    """

    def __init__(self) -> None:
        self._beginning: asyncio.Future[Any] | None = None

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        if self._beginning is None:
            self._do(*item)
        else:
            self._beginning.add_done_callback(lambda _: self.put_nowait(item))

    def _do(self, future: asyncio.Future[Any] | None, function: Callable[[], Any]) -> None:
        statement = function.args[:1] if isinstance(function, partial) else ()
        if future is None:
            function()
        elif statement == ("BEGIN IMMEDIATE",):
            self._beginning = future.get_loop().run_in_executor(None, function)
            self._beginning.add_done_callback(lambda begun: self._begun(future, begun))
        elif statement == ("BEGIN",):
            future.get_loop().call_soon(_settle, future, function)
        else:
            _settle(future, function)

    def _begun(self, future: asyncio.Future[Any], begun: asyncio.Future[Any]) -> None:
        self._beginning = None
        _settle(future, begun.result)


def _settle(future: asyncio.Future[Any], function: Callable[[], Any]) -> None:
    try:
        done = function()
    except Exception as error:
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(done)
