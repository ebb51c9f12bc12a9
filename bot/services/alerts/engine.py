"""The course of incidents: after each listing gateways leave theirs and join others, by themselves.

The rules are the domain's, the sets are the database's. Any replica may evaluate, and any may be cut short:
each step is one short transaction that changes what is not so yet. Knows nothing of Slack.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain import visibility as seeing
from bot.domain.alerts.incidents import (
    AlertRules,
    IncidentId,
    IncidentKind,
    ListingHistory,
    may_open,
    offline_cut,
    online_cut,
)
from bot.domain.alerts.storms import shared_cause
from bot.domain.gateways import Listing
from bot.domain.visibility import VisibilityLoss
from bot.services.alerts.membership import IncidentMembership
from bot.services.alerts.routing import IncidentRouting
from bot.services.context import Context
from bot.storage import listings
from bot.storage.alerts import causes, incidents, visibility
from bot.storage.alerts import membership as store
from bot.storage.cards import cards
from bot.storage.cards.cards import CardKind

log = logging.getLogger(__name__)

AT_ONCE = 100  # incidents opened, or explained, in one transaction
ROLLOUT_LATELY = timedelta(hours=24)  # a rollout that had a gateway before that is no cause

Silenced = Callable[[], Awaitable[Collection[str]]]


async def _nobody() -> Collection[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a listing changed. ``opening`` is False while new alerts are held."""

    opening: bool = False
    opened: int = 0
    joined: int = 0
    back: int = 0
    released: int = 0
    resolved: int = 0
    dropped: int = 0


class AlertEngine:
    """Moves incidents on.

    ``default_channel`` gets the cards that no subscription matches; without one, incidents are kept and
    listed. ``silenced`` tells whose alerts are silenced now. New alerts wait for listings that began after
    the engine was made.
    """

    def __init__(
        self,
        context: Context,
        *,
        rules: AlertRules,
        default_channel: str | None,
        silenced: Silenced = _nobody,
    ) -> None:
        self.rules = rules
        self._moves = IncidentMembership(context.database, rules)
        self._places = IncidentRouting(context, default_channel=default_channel)
        self._database = context.database
        self._now = context.now
        self._silenced = silenced
        self._started_at = context.now()

    async def evaluate(self, listing: Listing) -> Evaluation:
        """After a completed listing: gateways leave their incidents and join others, incidents end and begin.

        Those that are open are reconciled first, and also while new alerts are held: after a start, and
        while the fleet cannot be seen.
        """
        lost = await self._look()
        async with self._database.read() as connection:
            completed = await listings.completed_listings(connection, self.rules.lookback, listing.number)
        if not completed:
            return Evaluation()
        sight = ListingHistory(completed)
        moves, at = self._moves, sight.at
        back = await moves.leave_as_quiet(at)
        released = 0
        for trouble in (IncidentKind.OFFLINE, IncidentKind.NOT_RETURNED):
            back += await moves.leave_as_back(trouble, online_cut(self.rules, sight))
            released += await moves.leave_as_released(trouble, at)
        released += await moves.leave_as_released(IncidentKind.FLAPPING, at)
        resolved, dropped = await moves.end(at)
        opening = lost is None and may_open(self.rules, sight, self._started_at)
        opened, joined = await self._open(sight, listing.number) if opening else (0, 0)
        done = Evaluation(opening, opened, joined, back, released, resolved, dropped)
        if opened or joined or back or released or resolved:
            log.info("incidents after listing %d: %s", listing.number, done)
        if joined:
            self._places.look_again()
        return done

    async def _open(self, sight: ListingHistory, listing: int) -> tuple[int, int]:
        """The loudest first: a gateway that did not return, or flaps, is not an offline one too."""
        moves, at = self._moves, sight.at
        silenced = await self._silenced()
        done = [
            await moves.open_not_returned(at, silenced),
            await moves.open_flapping(at, listing, silenced),
        ]
        cut = offline_cut(self.rules, sight)
        if cut is not None:
            done.append(await moves.open_offline(cut, at, listing, silenced))
        opened, joined = (sum(numbers) for numbers in zip(*done, strict=True))
        if joined:
            async with self._database.read() as connection:
                posted = await incidents.open_joined(connection, at)
            for start in range(0, len(posted), AT_ONCE):
                await self._explain(posted[start : start + AT_ONCE])
        return opened, joined

    async def tick(self) -> int:
        """Opens the incidents that have gathered for long enough, with a card each; returns how many.

        After a start nothing is posted before the listings that new alerts wait for: an incident may have
        been over since long before.
        """
        now = self._now()
        may_post = await self._look() is None and await self._may_post()
        opened = 0
        while may_post and (due := await self._due(now)):
            await self._explain(due)
            async with self._database.write() as connection:
                opened += await store.open_due(connection, due, now)
        await self._places.open_cards(only_visibility=not may_post)
        return opened

    # ---- sight
    async def visibility_loss(self) -> VisibilityLoss | None:
        """Why the fleet cannot be seen now: then nothing new is told of it, and nothing promoted."""
        async with self._database.read() as connection:
            return seeing.visibility_loss(await listings.recent_outcomes(connection))

    async def _look(self) -> VisibilityLoss | None:
        """Says once that sight is lost, and says so no longer when it returns."""
        async with self._database.read() as connection:
            seen = await listings.recent_outcomes(connection)
            told = await visibility.live(connection)
        lost = seeing.visibility_loss(seen)
        if (lost is None) == (told is None):
            return lost
        async with self._database.write() as connection:
            if lost is not None:
                await visibility.begin(connection, lost, self._now())
                log.warning("visibility lost: %s", lost)
            else:
                outage = seeing.is_outage(seen)
                ended = await visibility.end(connection, self._now(), outage=outage)
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in ended})
        return lost

    # ---- steps of a tick
    async def _due(self, now: datetime) -> Sequence[IncidentId]:
        """Incidents to open now; whose alerts are silenced is looked up only when there is one."""
        async with self._database.read() as connection:
            due = await store.who_is_due(connection, now, AT_ONCE)
        hushed = await self._silenced() if due else ()
        if hushed:
            async with self._database.read() as connection:
                due = await store.who_is_due(connection, now, AT_ONCE, hushed)
        return due

    async def _may_post(self) -> bool:
        async with self._database.read() as connection:
            completed = await listings.completed_listings(connection, self.rules.lookback)
        return may_open(self.rules, ListingHistory(completed), self._started_at)

    async def _explain(self, ids: Sequence[IncidentId]) -> None:
        """Works out anew what the gateways of these incidents have in common."""
        if not ids:
            return
        async with self._database.read() as connection:
            found = await causes.compare(connection, ids, self._now() - ROLLOUT_LATELY)
        async with self._database.write() as connection:
            for one, alike in found.incidents.items():
                cause = shared_cause(alike.candidates, alike.gateways, found.fleet)
                if await causes.save(connection, one, cause):
                    await cards.touch_all(connection, CardKind.INCIDENT, {str(one)})
