"""What people asked of the bot, so that one replica acts on it."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import heard


async def hear(connection: AsyncConnection, key: str, at: datetime) -> bool:
    """Whether no replica heard this before."""
    # Of an INSERT, PostgreSQL's driver does not count the rows.
    added = insert_or_ignore(connection, heard, {"key": key, "at": at}).returning(heard.c.key)
    return (await connection.execute(added)).first() is not None
