"""Which schema the database has, which one this code needs, and the way from one to the other."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bot.domain.errors import StartupError
from bot.storage.engine import SETTING, Database


async def ensure_schema(database: Database) -> None:
    """Brings SQLite up to date; on PostgreSQL raises StartupError when the schema is not the one needed.

    Several replicas share a PostgreSQL: when its schema changes is the operator's choice.
    """
    if database.is_sqlite:
        await migrate(database)
        return
    have = await current(database)
    if have != needed():
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
        async with database.write() as connection:
            await connection.run_sync(_upgrade)
    return before, needed()


async def current(database: Database) -> str | None:
    """The database's revision, or None when it is empty. Raises StartupError when it does not open."""
    try:
        async with database.engine.connect() as connection:
            return await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_revision()
            )
    except (DBAPIError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StartupError(f"{SETTING}: the database does not open: {reason}.") from error


def needed() -> str:
    """The newest revision that this code knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package holds its migrations"
    return head


def known() -> set[str]:
    """Every revision that this code can bring up to date."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
