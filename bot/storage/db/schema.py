"""Which schema the database has, which one this code needs, and the way from one to the other.

Alembic is loaded when there is a way to go: it is a tenth of what a start takes, and most have none.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import StartupError, Unavailable
from bot.storage.db.engine import Database, reason
from bot.storage.db.tables import metadata

_ALONE = text("SELECT pg_advisory_xact_lock(7235946)")  # any number that is ours
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
        await require_owner(database)
        with _told(database):
            async with database.write() as connection:
                if not database.is_sqlite:  # of several that start at once one does it, and the others wait
                    await connection.execute(_ALONE)
                await connection.run_sync(_upgrade, database.named)
    return before, needed()


async def require_changes(database: Database) -> None:
    """Raises StartupError when a database with our schema may only be read; changes nothing."""
    if not database.is_sqlite:
        async with _looking(database) as connection:
            await _require_primary(database, connection)
            if denied := (await connection.scalars(_DENIED, _OURS)).all():
                raise StartupError(
                    f"{database.named}: its role may not use {denied[0]}: let the role that ran "
                    "`meshbot migrate` "
                    "run the bot, or grant this one SELECT, INSERT, UPDATE and DELETE on all tables, and "
                    "USAGE on all sequences."
                )
    with _told(database):
        await database.try_writing(datetime.now(UTC))


async def require_owner(database: Database) -> None:
    """Raises StartupError when the tables may not be made; changes nothing."""
    if database.is_sqlite:
        return
    async with _looking(database) as connection:
        await _require_primary(database, connection)
        role, schema, may_create = (await connection.execute(_MAY_CREATE)).one()
    if not may_create:
        raise StartupError(
            f"{database.named}: the role {role} may not create tables in the schema {schema or 'public'}: "
            f"make it the owner of the database (ALTER DATABASE … OWNER TO {role}) or grant it CREATE there."
        )


async def _require_primary(database: Database, connection: AsyncConnection) -> None:
    if await connection.scalar(text("SHOW transaction_read_only")) == "on":
        raise _takes_no_changes(database, "it may only be read")


@contextmanager
def _told(database: Database) -> Iterator[None]:
    """Says of a database that takes no changes what to do."""
    try:
        yield
    except (Unavailable, DBAPIError) as error:
        raise _takes_no_changes(database, reason(error.__cause__ or error)) from error


def _takes_no_changes(database: Database, why: str) -> StartupError:
    how = (
        "let the bot's user write the file and its folder, and see that its disk has room"
        if database.is_sqlite
        else "name the primary there, and not a standby"
    )
    return StartupError(f"{database.named}: the database takes no changes ({why}): {how}.")


async def current(database: Database) -> str | None:
    """The database's revision, or None when it is empty.

    Raises StartupError when it does not open, or cannot hold every name.
    """
    async with _looking(database) as connection:
        if not database.is_sqlite:
            encoding = await connection.scalar(text("SHOW server_encoding"))
            if encoding != "UTF8":
                raise StartupError(
                    f"{database.named}: the database has the encoding {encoding}, which cannot hold "
                    "every name: make another with ENCODING 'UTF8' TEMPLATE template0, and name that."
                )
        return await connection.run_sync(_current)


@asynccontextmanager
async def _looking(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection; what the database refuses becomes a sentence."""
    try:
        async with database.engine.connect() as connection:
            yield connection
    except (DBAPIError, OSError, UnicodeError) as error:  # the last for a host that no name can be
        how = (
            "name a file that the bot's user may write, or restore a backup of it"
            if database.is_sqlite
            else "start it, or correct its address, its role and what that may do there"
        )
        raise StartupError(
            f"{database.named}: the database does not open ({reason(error)}): {how}."
        ) from error


_MAY_CREATE = text(
    "SELECT current_user, current_schema(), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
)
_OURS = {
    "tables": sorted(metadata.tables),
    "sequences": [
        f"{table.name}_{table.autoincrement_column.name}_seq"
        for table in metadata.sorted_tables
        if table.autoincrement_column is not None
    ],
}
# Several rights in one word would ask for one of them.
_DENIED = text(
    """
    SELECT name FROM unnest(CAST(:tables AS text[])) AS name
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS a_right
    WHERE NOT coalesce(has_table_privilege(to_regclass(name), a_right), false)
    UNION ALL
    SELECT name FROM unnest(CAST(:sequences AS text[])) AS name
    WHERE NOT coalesce(has_sequence_privilege(to_regclass(name), 'USAGE'), false)
    """
)


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


def _upgrade(connection: Connection, named: str) -> None:
    from alembic import command
    from alembic.config import Config

    if _current(connection) is None:
        there = set(inspect(connection).get_table_names())
        if foreign := sorted(there & set(metadata.tables)):
            raise StartupError(
                f"{named}: the database has a table {foreign[0]} that is not the bot's: "
                "name an empty database."
            )
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
