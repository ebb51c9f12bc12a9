"""Who wants no direct messages, and messages to those who do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.cards import cards
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import muted_people


async def set_muted(connection: AsyncConnection, user_id: str, at: datetime | None) -> None:
    """Since when somebody wants no direct messages about what happens; None: they want them."""
    if at is None:
        await connection.execute(delete(muted_people).where(muted_people.c.user_id == user_id))
    else:
        await connection.execute(insert_or_ignore(connection, muted_people, {"user_id": user_id, "at": at}))


async def muted_since(connection: AsyncConnection, user_id: str) -> datetime | None:
    found = await connection.execute(select(muted_people.c.at).where(muted_people.c.user_id == user_id))
    return found.scalar_one_or_none()


async def tell(
    connection: AsyncConnection,
    user_id: str,
    key: str,
    kind: str,
    body: Mapping[str, Any],
    now: datetime,
    *,
    live: bool = False,
) -> None:
    """Writes to somebody about what happens, unless they want no such messages; answers always come."""
    if await muted_since(connection, user_id) is None:
        await cards.add_message(connection, user_id, key, kind, body, now, live=live)
