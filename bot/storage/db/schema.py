"""Which schema the database has, which one this code needs, and the way from one to the other.

Alembic is loaded when there is a way to go: it is a tenth of what a start takes, and most have none.
"""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from bot.domain.errors import StartupError, Unavailable
from bot.storage.db.engine import SETTING, Database, reason

_MIGRATIONS = Path(__file__).parent / "migrations"


async def ensure_schema(database: Database) -> None:
    """Brings SQLite up to date; on PostgreSQL raises StartupError when the schema is not the one needed.

    Several replicas share a PostgreSQL: when its schema changes is the operator's choice.
    """
    if database.is_sqlite:
        await migrate(database)
    else:
        await require_schema(database)
    await require_changes(database)


async def require_schema(database: Database) -> None:
    """Raises StartupError when the schema is not the one needed; changes nothing."""
    if (have := await current(database)) != needed():
        raise StartupError(
            f"The database has schema {have or 'none'} and this version needs {needed()}: "
            "run `meshbot migrate` once, then start again."
        )


async def migrate(database: Database) -> tuple[str | None, str]:
    """Applies what is missing; returns the revision before and after. Raises StartupError when it cannot."""
    before = await current(database)
    if before is not None and before not in known():
        raise StartupError(
            f"The database has schema {before}, which this version does not know: it was written by a newer "
            "one. Run that version, or restore the backup that was made before the upgrade."
        )
    if before != needed():
        try:
            async with database.write() as connection:
                await connection.run_sync(_upgrade)
        except Unavailable as error:
            raise _takes_no_changes(database, error) from error
    return before, needed()


async def require_changes(database: Database) -> None:
    """Raises StartupError when a database with our schema may only be read; changes nothing."""
    try:
        await database.try_writing(datetime.now(UTC))
    except Unavailable as error:
        raise _takes_no_changes(database, error) from error


def _takes_no_changes(database: Database, error: Unavailable) -> StartupError:
    how = (
        "let the bot's user write the file and its folder, and see that its disk has room"
        if database.is_sqlite
        else "name the primary there, and not a standby"
    )
    why = reason(error.__cause__ or error)
    return StartupError(f"{SETTING}: the database takes no changes ({why}): {how}.")


async def current(database: Database) -> str | None:
    """The database's revision, or None when it is empty. Raises StartupError when it does not open."""
    try:
        async with database.engine.connect() as connection:
            return await connection.run_sync(_current)
    except (DBAPIError, OSError) as error:
        how = (
            "name a file that the bot's user may write, or restore a backup of it"
            if database.is_sqlite
            else "start it, or correct its address there"
        )
        raise StartupError(f"{SETTING}: the database does not open ({reason(error)}): {how}.") from error


def needed() -> str:
    """The newest revision that this code knows."""
    return max(known())


def known() -> set[str]:
    """Every revision that this code can bring up to date: the name of its file begins with it."""
    return {path.name.partition("_")[0] for path in _MIGRATIONS.glob("versions/[0-9]*.py")}


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
