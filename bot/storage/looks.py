"""The last listings, as the rules look back on them."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.fleet import Listing
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


async def completed_listings(
    connection: AsyncConnection, many: int, newest: int | None = None
) -> tuple[Listing, ...]:
    """The last completed listings, newest first; with ``newest``, none after that number."""
    query = select(listings).where(listings.c.outcome == "completed")
    if newest is not None:
        query = query.where(listings.c.number <= newest)
    rows = await connection.execute(query.order_by(listings.c.number.desc()).limit(many))
    return tuple(Listing(row.number, row.started_at, row.finished_at) for row in rows)
