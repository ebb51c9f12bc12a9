"""Channels in which nothing can be posted, as rows: from the first refusal until they are mended."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.engine import mark_touched
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import broken_channels, cards


async def record_broken(connection: AsyncConnection, channel: str, reason: str, now: datetime) -> bool:
    """Nothing can be posted there. Whether that is news."""
    row = {"channel": channel, "reason": reason, "since": now}
    news = insert_or_ignore(connection, broken_channels, row).returning(broken_channels.c.channel)
    return (await connection.execute(news)).first() is not None


async def mark_channel_working(connection: AsyncConnection, channel: str) -> bool:
    """Something can be posted there again. Cards that broke there are brought up to date; those that were
    never posted make room for what is due now.
    """
    healed = await connection.execute(delete(broken_channels).where(broken_channels.c.channel == channel))
    if healed.rowcount != 1:
        return False
    mark_touched(connection)
    broken = (cards.c.channel == channel) & (cards.c.state == "broken")
    await connection.execute(delete(cards).where(broken, cards.c.ts.is_(None)))
    await connection.execute(
        update(cards).where(broken).values(state="live", error=None, wanted=cards.c.wanted + 1)
    )
    return True


async def broken(connection: AsyncConnection) -> Mapping[str, str]:
    """Each broken channel, and why."""
    rows = await connection.execute(select(broken_channels.c.channel, broken_channels.c.reason))
    return {row.channel: row.reason for row in rows}


async def untold(connection: AsyncConnection) -> Sequence[tuple[str, str, datetime]]:
    """Channel, reason and since when, of those that the admins were not told of."""
    rows = await connection.execute(
        select(broken_channels.c.channel, broken_channels.c.reason, broken_channels.c.since)
        .where(broken_channels.c.told_at.is_(None))
        .order_by(broken_channels.c.channel)
    )
    return [(row.channel, row.reason, row.since) for row in rows]


async def record_told(connection: AsyncConnection, channel: str, now: datetime) -> bool:
    """Whether it is this caller who tells of it."""
    told = await connection.execute(
        update(broken_channels)
        .where(broken_channels.c.channel == channel, broken_channels.c.told_at.is_(None))
        .values(told_at=now)
    )
    return told.rowcount == 1
