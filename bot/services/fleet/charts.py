"""Charts of the fleet: reads what they are made of, and has the numbers worked out beside the event loop."""

import asyncio
from datetime import datetime, timedelta

from bot.domain.errors import NotFound
from bot.domain.fleet.charts import YOUNGEST, FirmwareChart, OfflineChart, Replay, firmware_chart
from bot.domain.query import Query
from bot.services.context import Context
from bot.storage.fleet import charts as store

NOTHING = "No gateway matches, so there is nothing to draw. Try /mesh devices with that query."


class ChartService:
    """Nothing is kept: each chart is of the moment in which it is asked for."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def offline(self, query: Query, period: timedelta, ends: datetime | None = None) -> OfflineChart:
        """The share offline over a period that ends now, or at a moment before.

        Raises NotFound when there is nothing to draw.
        """
        now = self._now()
        async with self._database.read() as connection:
            since = await store.known_since(connection, query, now)
            if since is None:
                raise NotFound(NOTHING)
            if (ends or now) - since < YOUNGEST:
                raise NotFound("I have known these gateways for less than a minute. Ask again in a minute.")
            replay = Replay(since, period, ends or now)
            async for some in store.tracks(connection, query, replay.begins, now):
                await asyncio.to_thread(replay.add, some)
        return await asyncio.to_thread(replay.chart)

    async def firmware(self, query: Query) -> FirmwareChart:
        """Who runs what now. Raises NotFound when nothing matches."""
        async with self._database.read() as connection:
            found = await store.firmware(connection, query, self._now())
        if not found:
            raise NotFound(NOTHING)
        return await asyncio.to_thread(firmware_chart, found)
