"""What Slack told one replica: whose roles may have changed."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import changed_people


async def add_change(connection: AsyncConnection, subject: str, at: datetime) -> None:
    """One row for each, with the newest moment."""
    await connection.execute(insert_or_ignore(connection, changed_people, {"subject": subject, "at": at}))
    await connection.execute(update(changed_people).where(changed_people.c.subject == subject).values(at=at))


async def changes_since(connection: AsyncConnection, since: datetime) -> dict[str, datetime]:
    rows = await connection.execute(select(changed_people).where(changed_people.c.at > since))
    return {row.subject: row.at for row in rows}
