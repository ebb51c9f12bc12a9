"""What Slack told one replica, as rows: the requests that are acted on, and whose roles may have changed."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import changed_people, heard


async def hear(connection: AsyncConnection, key: str, at: datetime) -> bool:
    """Whether no replica heard this before."""
    # Of an INSERT, PostgreSQL's driver does not count the rows.
    added = insert_or_ignore(connection, heard, {"key": key, "at": at}).returning(heard.c.key)
    return (await connection.execute(added)).first() is not None


async def add_change(connection: AsyncConnection, subject: str, at: datetime) -> None:
    """One row for each, with the newest moment."""
    await connection.execute(insert_or_ignore(connection, changed_people, {"subject": subject, "at": at}))
    await connection.execute(update(changed_people).where(changed_people.c.subject == subject).values(at=at))


async def changes_since(connection: AsyncConnection, since: datetime) -> dict[str, datetime]:
    rows = await connection.execute(select(changed_people).where(changed_people.c.at > since))
    return {row.subject: row.at for row in rows}
