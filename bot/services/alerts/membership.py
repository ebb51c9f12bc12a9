"""Gateways leave incidents and join others: who, in which order, and in transactions that nobody waits for.

Each step finds out in one query who has to move, and moves them in chunks; a move changes only what is not
so yet, so that a step cut short is finished by the next evaluation.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from bot.domain.alerts.incidents import AlertRules, Cut, IncidentId, IncidentKind, IncidentState
from bot.domain.alerts.storms import StormWindow, WentOffline, are_enough, find_storm, raging
from bot.domain.gateways import GatewayId
from bot.services.alerts.notes import tell_joined
from bot.storage.alerts import flapping, missing, storms
from bot.storage.alerts import membership as store
from bot.storage.alerts.membership import Moved
from bot.storage.cards import cards
from bot.storage.cards.cards import CardKind
from bot.storage.db.engine import Database, Transaction

Move = Callable[[Transaction, Sequence[GatewayId]], Awaitable[Moved]]


class IncidentMembership:
    """One evaluation's steps."""

    def __init__(self, database: Database, rules: AlertRules) -> None:
        self._database = database
        self._rules = rules

    # ---- leaving
    async def leave_as_back(self, trouble: IncidentKind, cut: Cut | None) -> int:
        if cut is None:
            return 0
        async with self._database.read() as connection:
            back = await store.who_is_back(connection, trouble, cut)
        return await self._move(back, lambda to, ids: store.leave_as_back(to, trouble, ids, cut))

    async def leave_as_released(self, trouble: IncidentKind, at: datetime) -> int:
        async with self._database.read() as connection:
            released = await store.who_is_released(connection, trouble)
        return await self._move(released, lambda to, ids: store.leave_as_released(to, trouble, ids, at))

    async def leave_as_quiet(self, at: datetime) -> int:
        async with self._database.read() as connection:
            quiet = await flapping.who_is_quiet(connection, at)
        return await self._move(quiet, lambda to, ids: flapping.leave_as_quiet(to, ids, at))

    async def end(self, at: datetime) -> tuple[int, int]:
        """Incidents that nobody is in any more; returns how many were resolved, and how many dropped."""
        async with self._database.write() as connection:
            await store.take_turn(connection)
            ended = await store.end_incidents(connection, at)
            resolved = ended[IncidentState.RESOLVED]
            await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in resolved})
        return len(resolved), len(ended[IncidentState.DROPPED])

    # ---- joining
    async def open_flapping(self, at: datetime, listing: int, silenced: Collection[str]) -> tuple[int, int]:
        """Those that begin to flap; how many incidents began, and how many gateways joined."""
        async with self._database.read() as connection:
            flap = await flapping.who_flaps(connection, at)
        flap = [one for one in flap if one not in silenced]
        done = await self._join_sites(IncidentKind.FLAPPING, flap, at)
        async with self._database.write() as connection:
            await flapping.touch_changed(connection, listing)
        return done

    async def open_not_returned(self, at: datetime, silenced: Collection[str]) -> tuple[int, int]:
        """Those that a rollout gave up on, in an incident of that rollout."""
        async with self._database.read() as connection:
            by_rollout = await missing.who_did_not_return(connection, at)
        opened = joined = 0
        for rollout, found in by_rollout.items():
            ids = [one for one in found if one not in silenced]

            async def join(
                connection: Transaction, ids: Sequence[GatewayId], rollout: int = rollout
            ) -> Moved:
                nonlocal opened
                opened += await missing.begin(connection, rollout, at, at + self._rules.group_wait)
                return await missing.join(connection, rollout, ids, at)

            joined += await self._move(ids, join, joining=at)
        return opened, joined

    async def open_offline(
        self, cut: Cut, at: datetime, listing: int, silenced: Collection[str]
    ) -> tuple[int, int]:
        """Those that are dark and in no incident: a storm's, if they went together, or else their site's."""
        async with self._database.read() as connection:
            found = await store.who_is_dark(connection, cut)
            dark = {one: went for one, went in found.items() if one not in silenced}
            if not dark:
                return 0, 0
            left = set(await store.who_has_left(connection, IncidentKind.OFFLINE))
            fleet = await storms.fleet_size(connection)
        gone = {one: went for one, went in dark.items() if one not in left}
        done = [
            await self._join_seen_dark(gone, fleet, at, listing),
            await self._join_live_storms(gone, fleet, at),
            await self._open_storm(gone, fleet, at, listing),
        ]
        rest = [one for one in dark if one in gone or one in left]
        done.append(await self._join_sites(IncidentKind.OFFLINE, rest, at))
        opened, joined = (sum(numbers) for numbers in zip(*done, strict=True))
        return opened, joined

    async def _join_seen_dark(
        self, gone: dict[GatewayId, WentOffline], fleet: int, at: datetime, listing: int
    ) -> tuple[int, int]:
        """Takes out of ``gone`` those that were dark before they were first seen, if they are enough: where a
        fleet is new to the bot, a card for each site would be a storm of the bot's own making.

        Nobody joins it once people were told; until then those whom a crash left behind do.
        """
        before = {one: went for one, went in gone.items() if went.before}
        if not before:
            return 0, 0
        async with self._database.read() as connection:
            gathering = await storms.seen_dark(connection)
        if gathering is None and not are_enough(self._rules, before.values(), fleet):
            return 0, 0

        async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
            post_at = at + self._rules.group_wait
            incident = gathering or await storms.begin(
                connection, listing, at, post_at, IncidentKind.SEEN_DARK
            )
            return await store.join_one(connection, incident, IncidentKind.OFFLINE, ids, at)

        joined = await self._move(list(before), join, joining=at)
        for one in before:
            del gone[one]
        return int(gathering is None), joined

    async def _join_live_storms(
        self, gone: dict[GatewayId, WentOffline], fleet: int, at: datetime
    ) -> tuple[int, int]:
        """Takes out of ``gone`` whoever went with a storm that is still there, while it raged."""
        joined = 0
        async with self._database.read() as connection:
            live = await storms.live(connection)
            left = {storm: set(await storms.who_left(connection, storm)) for storm in live}
        for storm, times in live.items():
            window = raging(self._rules, times, fleet)
            if window is None:
                continue
            ids = [one for one, went in gone.items() if window.is_near(went.since) and one not in left[storm]]
            joined += await self._move(ids, _into(storm, at), joining=at)
            for one in ids:
                del gone[one]
        return 0, joined

    async def _open_storm(
        self, gone: dict[GatewayId, WentOffline], fleet: int, at: datetime, listing: int
    ) -> tuple[int, int]:
        async with self._database.read() as connection:
            gathering = await storms.gathering(connection)
        # By gateway: one that another replica has just put into an incident is not counted twice.
        together = {**gathering, **gone}
        window = find_storm(self._rules, together.values(), fleet)
        if window is None:
            return 0, 0
        ids = [one for one, went in gone.items() if window.first <= went.since <= window.last]
        joined = await self._move(ids, self._storm_of(listing, window, at))
        for one in ids:
            del gone[one]
        await self.end(at)
        return 1, joined

    def _storm_of(self, listing: int, window: StormWindow, at: datetime) -> Move:
        async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
            storm = await storms.begin(connection, listing, at, at + self._rules.group_wait)
            await storms.absorb(connection, storm, window)
            return await store.join_one(connection, storm, IncidentKind.OFFLINE, ids, at)

        return join

    async def _join_sites(
        self, kind: IncidentKind, ids: Sequence[GatewayId], at: datetime
    ) -> tuple[int, int]:
        """The gateways join the incident of their site, which begins where there is none."""
        if not ids:
            return 0, 0
        async with self._database.read() as connection:
            left = set(await store.who_has_left(connection, kind))
        joining = at if kind is IncidentKind.OFFLINE else None  # a flapping card is only edited
        opened = 0

        async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
            nonlocal opened
            again = await store.join_again(connection, kind, [one for one in ids if one in left], at)
            new = [one for one in ids if one not in left]
            opened += await store.begin_incidents(connection, kind, new, at, at + self._rules.group_wait)
            return again + await store.join(connection, kind, new, at)

        joined = await self._move(ids, join, joining=joining)
        return opened, joined

    async def _move(self, ids: Sequence[GatewayId], move: Move, *, joining: datetime | None = None) -> int:
        """Moves the gateways chunk by chunk; the cards that show them change with each chunk."""
        total = 0
        for start in range(0, len(ids), store.CHUNK):
            async with self._database.write() as connection:
                await store.take_turn(connection)
                chunk = ids[start : start + store.CHUNK]
                moved = await move(connection, chunk)
                if moved and joining is not None:
                    await tell_joined(connection, moved, chunk, joining)
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in moved})
            total += moved.total()
        return total


def _into(storm: IncidentId, at: datetime) -> Move:
    async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
        return await store.join_one(connection, storm, IncidentKind.OFFLINE, ids, at)

    return join
