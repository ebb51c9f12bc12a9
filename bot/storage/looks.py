"""The last listings, as the rule about lost sight looks at them."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.sight import LOOKBACK, Look
from bot.storage.tables import listings


async def looks(connection: AsyncConnection) -> Sequence[Look]:
    """Newest first; one that is under way says nothing yet."""
    rows = await connection.execute(
        select(listings)
        .where(listings.c.outcome != "running")
        .order_by(listings.c.number.desc())
        .limit(LOOKBACK)
    )
    return [
        Look(
            row.number,
            row.outcome == "completed",
            row.finished_at or row.started_at,
            row.online_before,
            row.online_lost,
            row.online,
        )
        for row in rows
    ]
