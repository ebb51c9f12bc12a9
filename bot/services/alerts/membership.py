"""Gateways leave incidents and join others: who, in which order, and in transactions that nobody waits for.

Who has to move is found in one read, and decided from it; they are moved in chunks. What was committed since
that read counts too: a move changes only what is not so yet and still has to be, so that a step cut short,
or overtaken, is finished by the next evaluation.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.alerts.incidents import AlertRules, Thresholds
from bot.domain.alerts.storms import Assignment, Outage, StormWindow, WentOffline, assign
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState, Trouble
from bot.services.alerts.notes import tell_joined, tell_recovered
from bot.storage.alerts import membership as store
from bot.storage.alerts import storms
from bot.storage.alerts.membership import Moved
from bot.storage.cards import cards
from bot.storage.cards.cards import CardKind
from bot.storage.db.engine import Database, Transaction

Move = Callable[[Transaction, Sequence[GatewayId]], Awaitable[Moved]]


@dataclass(frozen=True, slots=True)
class _Entering:
    """Who enters an incident for each trouble, as of one moment; ``left``: who returns to the one it left."""

    by_trouble: Mapping[Trouble, Sequence[GatewayId]]
    left: Mapping[Trouble, Collection[GatewayId]]
    outage: Outage
    changed: Collection[IncidentId]  # incidents whose cards show what went on and off


class IncidentMembership:
    """One evaluation's steps."""

    def __init__(self, database: Database, rules: AlertRules) -> None:
        self._database = database
        self._rules = rules

    # ---- leaving
    async def leave(self, as_of: Thresholds) -> tuple[int, int]:
        """Whoever's trouble is over, or who is no longer in the fleet, leaves; returns how many of each."""
        over, gone = {}, {}
        async with self._database.read() as connection:
            for trouble in Trouble:
                over[trouble] = await store.who_leaves(connection, trouble, as_of)
                gone[trouble] = await store.who_is_released(connection, trouble)
        back = released = 0
        for trouble in Trouble:
            back += await self._move(over[trouble], _leave(trouble, as_of))
            released += await self._move(gone[trouble], _leave_as_released(trouble, as_of.at))
        return back, released

    async def end(self, at: datetime) -> tuple[int, int]:
        """Incidents that nobody is in any more; returns how many were resolved, and how many dropped."""
        async with self._database.write() as connection:
            await store.take_turn(connection)
            ended = await store.end_incidents(connection, at)
            resolved = ended[IncidentState.RESOLVED]
            await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in resolved})
            await tell_recovered(connection, resolved, at)
        return len(resolved), len(ended[IncidentState.DROPPED])

    # ---- joining
    async def join(self, as_of: Thresholds, listing: int, silenced: Collection[str]) -> tuple[int, int]:
        """Whoever is in trouble joins an incident, the worst trouble first; returns how many incidents began,
        and how many gateways joined.
        """
        entering = await self._entering(as_of, listing, silenced)
        done = [
            await self._join_places(trouble, ids, entering.left[trouble], as_of)
            for trouble, ids in entering.by_trouble.items()
            if trouble is not Trouble.OFFLINE
        ]
        together = assign(self._rules, entering.outage)
        done.append(await self._join_together(together, entering.outage, as_of, listing))
        done.append(
            await self._join_places(Trouble.OFFLINE, together.sites, entering.left[Trouble.OFFLINE], as_of)
        )
        if entering.changed:
            async with self._database.write() as connection:
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in entering.changed})
        opened, joined = (sum(numbers) for numbers in zip(*done, strict=True))
        return opened, joined

    async def _entering(self, as_of: Thresholds, listing: int, silenced: Collection[str]) -> _Entering:
        """All of it in one read: what is committed between two would put a gateway into two incidents."""
        left: dict[Trouble, Collection[GatewayId]] = {}
        async with self._database.read() as connection:
            found = {trouble: await store.who_enters(connection, trouble, as_of) for trouble in Trouble}
            entering = {trouble: _who_may(trouble, found, silenced) for trouble in Trouble}
            for trouble, some in entering.items():
                left[trouble] = set(await store.who_has_left(connection, trouble, as_of)) if some else ()
            gone = entering[Trouble.OFFLINE]
            outage = Outage({})
            if gone:
                outage = await storms.outage(connection, gone, left[Trouble.OFFLINE])
            changed = await store.who_changed(connection, listing)
        return _Entering({one: list(some) for one, some in entering.items()}, left, outage, changed)

    async def _join_together(
        self, together: Assignment, outage: Outage, as_of: Thresholds, listing: int
    ) -> tuple[int, int]:
        """Those of many sites: in what was dark before it was first seen, in a storm that goes on or in one
        that begins.
        """
        seen_dark = self._into_new(IncidentKind.SEEN_DARK, listing, as_of)
        if outage.seen_dark is not None:
            seen_dark = _into(outage.seen_dark, IncidentKind.SEEN_DARK, as_of)
        joined = await self._move(together.seen_dark, seen_dark, joining=as_of.at)
        opened = int(bool(together.seen_dark) and outage.seen_dark is None)
        for storm, ids in together.storms.items():
            joined += await self._move(ids, _into(storm, IncidentKind.STORM, as_of), joining=as_of.at)
        if together.storm:
            new = self._into_new(IncidentKind.STORM, listing, as_of, together.window)
            joined += await self._move(together.storm, new, joining=as_of.at)
            await self.end(as_of.at)
            opened += 1
        return opened, joined

    def _into_new(
        self, kind: IncidentKind, listing: int, as_of: Thresholds, window: StormWindow | None = None
    ) -> Move:
        """``window``: whoever gathers for a site and went in that time is in it too."""

        async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
            post_at = as_of.at + self._rules.group_wait
            incident = await storms.begin(connection, kind, f"{kind.value} {listing}", as_of.at, post_at)
            if window is not None:
                await storms.absorb(connection, incident, window)
            return await store.join_one(connection, incident, kind, ids, as_of)

        return join

    async def _join_places(
        self,
        trouble: Trouble,
        ids: Sequence[GatewayId],
        left: Collection[GatewayId],
        as_of: Thresholds,
    ) -> tuple[int, int]:
        """The gateways join the incident of their site or rollout, which begins where there is none."""
        opened = 0

        async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
            nonlocal opened
            again = await store.join_again(connection, trouble, [one for one in ids if one in left], as_of)
            new = [one for one in ids if one not in left]
            post_at = as_of.at + self._rules.group_wait
            opened += await store.begin_incidents(connection, trouble, new, as_of, post_at)
            joined = again + await store.join(connection, trouble, new, as_of)
            if trouble.rules.takes_from:
                taken = await store.leave_as_taken(connection, trouble, ids, as_of.at)
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in taken})
            return joined

        announces = trouble.rules.kind.rules.announces_joins
        joined = await self._move(ids, join, joining=as_of.at if announces else None)
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


def _who_may(
    trouble: Trouble, found: Mapping[Trouble, Mapping[GatewayId, WentOffline]], silenced: Collection[str]
) -> Mapping[GatewayId, WentOffline]:
    """Of those in a trouble: who enters no incident for a worse one, and is not silenced."""
    worse: set[str] = set(silenced)
    for other in trouble.rules.kept_out_by - {trouble}:
        worse |= found[other].keys()
    return {one: went for one, went in found[trouble].items() if one not in worse}


def _into(incident: IncidentId, kind: IncidentKind, as_of: Thresholds) -> Move:
    async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
        return await store.join_one(connection, incident, kind, ids, as_of)

    return join


def _leave(trouble: Trouble, as_of: Thresholds) -> Move:
    async def leave(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
        return await store.leave(connection, trouble, ids, as_of)

    return leave


def _leave_as_released(trouble: Trouble, at: datetime) -> Move:
    async def leave(connection: Transaction, ids: Sequence[GatewayId]) -> Moved:
        return await store.leave_as_released(connection, trouble, ids, at)

    return leave
