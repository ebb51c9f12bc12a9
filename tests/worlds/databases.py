"""Databases with our schema and no rows.

The schema is made once in each test process: that takes longer than most tests do.
"""

import asyncio
import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

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
