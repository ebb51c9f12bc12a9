"""What was: how available gateways were over a period, which were the worst, and what happened to some.

It is worked out beside the event loop, for all who ask for the same within a moment. Knows nothing of Slack.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.domain.errors import NotFound
from bot.domain.fleet.availability import (
    AvailabilityReport,
    GatewayUptime,
    Uptimes,
    WorstBy,
    span_of_month,
)
from bot.domain.fleet.timeline import MOST, AlertsHeld, Timeline, changes, in_order
from bot.domain.gateways import Held
from bot.domain.query import Query
from bot.services.context import Context
from bot.services.fleet.garbage_collection import no_collecting
from bot.services.shared_work import Shared
from bot.storage import listings
from bot.storage.fleet import availability as store
from bot.storage.fleet import timeline

KEPT: Final = timedelta(seconds=30)  # for who turns the page

HeldBetween = Callable[[datetime, datetime, Collection[str] | None], Awaitable[Held]]
"""When alerts were held between two moments: those of the gateways with these ids, or with None of all."""


class HistoryService:
    """``held`` tells when alerts were held: such time does not count.

    What was not seen for ``unseen_after`` is time without data.
    """

    def __init__(self, context: Context, *, held: HeldBetween, unseen_after: timedelta) -> None:
        self._database = context.database
        self._now = context.now
        self._held = held
        self._unseen_after = unseen_after
        self._uptimes = Shared[Uptimes](context.now, KEPT)

    async def availability(self, query: Query, period: timedelta) -> AvailabilityReport:
        """By site, over a period that ends now. Raises NotFound when no gateway matches."""
        uptimes = await self._of(query, period)
        return await asyncio.to_thread(uptimes.report)

    def today(self, zone: ZoneInfo) -> date:
        return self._now().astimezone(zone).date()

    async def availability_in(self, query: Query, month: str, zone: ZoneInfo) -> AvailabilityReport:
        """The same of a month such as ``2026-11``. Raises InvalidInput for one of another time."""
        begins, ends = span_of_month(month, zone, self._now())
        uptimes = await self._of(query, ends - begins, ends)
        return await asyncio.to_thread(uptimes.report)

    async def worst(
        self, query: Query, period: timedelta, by: WorstBy, first: int = 0, most: int | None = None
    ) -> tuple[list[GatewayUptime], int]:
        """Some of those that were offline, or flapped, the worst first, and how many there are in all.

        Raises NotFound when no gateway matches.
        """
        uptimes = await self._of(query, period)
        return await asyncio.to_thread(uptimes.worst, by, first, most)

    async def without_data(self, query: Query, period: timedelta) -> int:
        """Of how many gateways no time counts, so that nobody knows whether they are among the worst."""
        return (await self._of(query, period)).without_data

    async def timeline(self, of: str, ids: Sequence[str], period: timedelta, *, is_site: bool) -> Timeline:
        """What happened to these gateways over a period that ends now."""
        ends = self._now()
        begins = ends - period
        planned = await self._held(begins, ends, ids)
        counted = Counter(interval for found in planned.values() for interval in found)
        held = [AlertsHeld(since, until, many) for (since, until), many in counted.items()]
        async with self._database.read() as connection:
            events = await timeline.events(connection, ids, begins, MOST + 1)
            alerts = await timeline.alerts(connection, ids, begins, MOST + 1)
            rollouts = await timeline.taken_along(connection, ids, begins, MOST + 1)
        parts = (changes(events[:MOST]), alerts[:MOST], rollouts[:MOST], held)
        is_cut = any(len(one) > MOST for one in (events, alerts, rollouts))
        found = await asyncio.to_thread(in_order, *parts)
        return Timeline(of, is_site, found, is_cut)

    async def _of(self, query: Query, period: timedelta, ends: datetime | None = None) -> Uptimes:
        return await self._uptimes.get(
            (query.text, period, ends), lambda: self._measure(query, period, ends or self._now())
        )

    async def _measure(self, query: Query, period: timedelta, ends: datetime) -> Uptimes:
        begins, now = ends - period, self._now()
        planned = await self._held(begins, ends, None)
        with no_collecting():  # what is made stays as long as this lasts, and is made twice as fast
            async with self._database.scan() as connection:
                unseen = await listings.unseen(connection, begins, ends, self._unseen_after)
                uptimes = Uptimes(begins, ends, unseen, planned)
                async for some in store.changes(connection, query, begins, now):
                    await asyncio.to_thread(uptimes.add_changes, some)
                async for gateways in store.present(connection, query, begins, now):
                    await asyncio.to_thread(uptimes.add_gateways, gateways)
        if not uptimes.gateways:
            said = f"No gateway matches “{query.text}”, so there is nothing to report."
            raise NotFound(
                f"{said} A period comes last: 24h, 7d, last week; for availability also last month, 2026-11."
            )
        return uptimes
