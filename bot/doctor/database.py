"""The database: it opens, takes changes, and has the schema that this version needs."""

import os
from dataclasses import replace
from functools import partial

from bot.doctor.findings import Finding, Findings, fatal, ok
from bot.domain.errors import BotError
from bot.settings.definitions import Settings
from bot.settings.env_file import is_sqlite, sqlite_file
from bot.storage.db.engine import Database
from bot.storage.db.schema import current, known, migrate, needed, require_changes, require_owner

DATABASE_URL = "MESHBOT_DATABASE_URL"


async def database(settings: Settings) -> Findings:
    url = settings.database_url.get_secret_value()
    try:
        if finding := unopened(url):
            yield finding
            return
        opened = Database.open(url)
        try:
            have = await current(opened)
            if have == needed():
                await require_changes(opened)
            elif have is None or have in known():
                await require_owner(opened)
        finally:
            await opened.close()
    except BotError as error:
        yield fatal("database", str(error), DATABASE_URL)
        return
    yield ok("database", "it opens and takes changes" if have == needed() else "it opens")
    yield _schema(have, url, is_sqlite=opened.is_sqlite)


def unopened(url: str) -> Finding | None:
    """What is said of a file that is no SQLite database, or not yet: to open it would change or make it."""
    path = sqlite_file(url)
    if path is None or is_sqlite(path):
        return None
    folder = path.absolute().parent
    if os.path.exists(path):  # Path's raises where the folder may not be searched
        is_to_be = os.path.isfile(path) and not path.stat().st_size and os.access(path, os.W_OK)
        if not is_to_be:
            return fatal(
                "database",
                f"{DATABASE_URL}: the database does not open ({path} is no SQLite file, or may not be read): "
                "name a file that the bot's user may write, or restore a backup of it.",
                DATABASE_URL,
            )
    elif not folder.is_dir() or not os.access(folder, os.W_OK):
        return fatal(
            "database",
            f"{folder} does not exist or may not be written to. Create it for the bot's user, or set "
            "MESHBOT_DATABASE_URL to another file.",
            DATABASE_URL,
        )
    return ok("database", f"{path} is made by the first start")


def _schema(have: str | None, url: str, *, is_sqlite: bool) -> Finding:
    if have == needed():
        return ok("schema", f"{have}, the one this version needs")
    if have is not None and have not in known():
        return fatal(
            "schema",
            f"{have} is not known to this version: a newer one wrote it. Run that version, or restore the "
            "backup that was made before the upgrade.",
        )
    if is_sqlite:
        return ok("schema", f"{have or 'none'}; the next start brings it to {needed()}")
    text = f"{have or 'none'}, and this version needs {needed()}. Run `meshbot migrate` once."
    return replace(fatal("schema", text), fix=partial(_migrate, url))


async def _migrate(url: str) -> str:
    opened = Database.open(url)
    try:
        before, after = await migrate(opened)
    finally:
        await opened.close()
    return f"{after} now; it was {before or 'none'}"
