"""Moves incidents on: after each listing gateways leave theirs and join others, by themselves.

The rules are the domain's, the sets are the database's. Any replica may evaluate, and any may be cut short:
each step is one short transaction that changes what is not so yet. Knows nothing of Slack.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain import visibility_loss as seeing
from bot.domain.alerts.common_causes import shared_cause
from bot.domain.alerts.incidents import AlertRules, ListingHistory, Thresholds, may_open, thresholds
from bot.domain.firmware import FirmwarePolicy
from bot.domain.gateways import Listing
from bot.domain.incident_kinds import IncidentId
from bot.domain.visibility_loss import VisibilityLoss
from bot.services.alerts.membership import IncidentMembership
from bot.services.alerts.notes import tell_recovered
from bot.services.alerts.routing import IncidentRouting
from bot.services.context import Context
from bot.storage import listings
from bot.storage.alerts import common_causes, incidents, visibility_loss
from bot.storage.alerts import membership as store
from bot.storage.alerts.common_causes import CauseComparison
from bot.storage.cards import cards
from bot.storage.cards.cards import CardKind
from bot.storage.db.engine import Transaction

log = logging.getLogger(__name__)

AT_ONCE = 100  # incidents opened, or explained, in one transaction
RENAMED_LATELY = timedelta(days=1)  # before a listing: older names are shown already
ROLLOUT_LATELY = timedelta(hours=24)  # a rollout that had a gateway before that is no cause

Silenced = Callable[[], Awaitable[Collection[str]]]
"""The ids of the gateways whose alerts are held now."""

Bad = Callable[[], Awaitable[Sequence[FirmwarePolicy]]]
"""The versions that are known to be bad now."""


async def _nobody() -> Collection[str]:
    return ()


async def _nothing() -> Sequence[FirmwarePolicy]:
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
    listed. ``silenced`` tells whose alerts are silenced now, ``bad`` which versions are known to be bad. New
    alerts wait for listings that began after the engine was made.
    """

    def __init__(
        self,
        context: Context,
        *,
        rules: AlertRules,
        default_channel: str | None,
        silenced: Silenced = _nobody,
        bad: Bad = _nothing,
    ) -> None:
        self._bad = bad
        self.rules = rules
        self._membership = IncidentMembership(context.database, rules)
        self._routing = IncidentRouting(context, default_channel=default_channel)
        self._database = context.database
        self._now = context.now
        self._silenced = silenced
        self._started_at = context.now()

    async def evaluate(self, listing: Listing) -> Evaluation:
        """After a completed listing: gateways leave their incidents and join others, incidents end and begin.

        Those that are open are reconciled first, and also while new alerts are held: after a start, and
        while the fleet cannot be seen.
        """
        lost = await self._watch_visibility()
        async with self._database.read() as connection:
            completed = await listings.completed_listings(connection, self.rules.lookback, listing.number)
        if not completed:
            return Evaluation()
        history = ListingHistory(completed)
        as_of = thresholds(self.rules, history, await self._bad())
        back, released = await self._membership.leave(as_of)
        resolved, dropped = await self._membership.end(as_of.at)
        opening = lost is None and self._has_seen_enough(history)
        opened, joined = await self._open(as_of, listing.number) if opening else (0, 0)
        await self._show_new_names(listing.number)
        done = Evaluation(opening, opened, joined, back, released, resolved, dropped)
        if opened or joined or back or released or resolved:
            log.info("incidents after listing %d: %s", listing.number, done)
        return done

    async def _show_new_names(self, listing: int) -> None:
        """Draws the cards anew of gateways that were renamed since the listing before, here or elsewhere."""
        async with self._database.read() as connection:
            renamed = await store.renamed_since(connection, listing - 1, self._now() - RENAMED_LATELY)
        if renamed:
            async with self._database.write() as connection:
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in renamed})

    async def _open(self, as_of: Thresholds, listing: int) -> tuple[int, int]:
        opened, joined = await self._membership.join(as_of, listing, await self._silenced())
        if joined:
            async with self._database.read() as connection:
                posted = await incidents.open_joined(connection, as_of.at)
            for start in range(0, len(posted), AT_ONCE):
                await self._explain(posted[start : start + AT_ONCE])
        return opened, joined

    async def tick(self) -> int:
        """Opens the incidents that have gathered for long enough, with a card each; returns how many.

        After a start nothing is posted before the listings that new alerts wait for: an incident may have
        been over since long before.
        """
        now = self._now()
        may_post = await self._watch_visibility() is None and await self._may_post()
        opened = 0
        while may_post and (due := await self._due(now)):
            posted = await self._post(due, now)
            opened += posted
            if not posted:
                break  # gateways join right now: the next tick posts it
        await self._routing.open_cards(only_visibility=not may_post)
        return opened

    # ---- visibility
    async def visibility_loss(self) -> VisibilityLoss | None:
        """Why the fleet cannot be seen now: then nothing new is told of it, and nothing promoted."""
        async with self._database.read() as connection:
            return seeing.visibility_loss(await listings.recent_outcomes(connection))

    async def _watch_visibility(self) -> VisibilityLoss | None:
        """Tells once that visibility is lost, and that it is back."""
        async with self._database.read() as connection:
            lost, is_told = await self._visibility(connection)
        if (lost is not None) == is_told:
            return lost
        async with self._database.write() as connection:
            await store.take_turn(connection)
            lost, is_told = await self._visibility(connection)  # another replica may have said so meanwhile
            if lost is not None and not is_told:
                await visibility_loss.begin(connection, lost, self._now())
                log.warning("visibility lost: %s", lost)
            elif lost is None and is_told:
                outage = seeing.is_outage(await listings.recent_outcomes(connection))
                ended = await visibility_loss.end(connection, self._now(), outage=outage)
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in ended})
                await tell_recovered(connection, ended, self._now())
        return lost

    @staticmethod
    async def _visibility(connection: Transaction) -> tuple[VisibilityLoss | None, bool]:
        """Why the fleet cannot be seen, and whether an incident tells of it."""
        lost = seeing.visibility_loss(await listings.recent_outcomes(connection))
        return lost, await visibility_loss.live(connection) is not None

    # ---- steps of a tick
    async def _due(self, now: datetime) -> Sequence[IncidentId]:
        """Incidents to open now; whose alerts are silenced is looked up only when there is one."""
        async with self._database.read() as connection:
            due = await store.who_is_due(connection, now, AT_ONCE)
        silenced = await self._silenced() if due else ()
        if silenced:
            async with self._database.read() as connection:
                due = await store.who_is_due(connection, now, AT_ONCE, silenced)
        return due

    async def _may_post(self) -> bool:
        async with self._database.read() as connection:
            completed = await listings.completed_listings(connection, self.rules.lookback)
        return self._has_seen_enough(ListingHistory(completed))

    def _has_seen_enough(self, history: ListingHistory) -> bool:
        """Of a clock that was set back since the start, it counts from now."""
        self._started_at = min(self._started_at, self._now())
        return may_open(self.rules, history, self._started_at)

    async def _post(self, due: Sequence[IncidentId], now: datetime) -> int:
        """Opens those of the incidents that are still due, with what their gateways have in common."""
        found = await self._compare(due)
        async with self._database.write() as connection:
            explained = await self._save_causes(connection, found)
            return await store.open_due(connection, explained, now)

    async def _explain(self, ids: Sequence[IncidentId]) -> None:
        """Works out anew what the gateways of these incidents have in common."""
        found = await self._compare(ids)
        async with self._database.write() as connection:
            await self._save_causes(connection, found)

    async def _compare(self, ids: Sequence[IncidentId]) -> CauseComparison:
        async with self._database.read() as connection:
            return await common_causes.compare(connection, ids, self._now() - ROLLOUT_LATELY)

    @staticmethod
    async def _save_causes(connection: Transaction, found: CauseComparison) -> Sequence[IncidentId]:
        """Of the incidents that have the gateways still that were compared; which these are. Whoever joined
        another meanwhile is compared by whoever had it join.
        """
        await store.take_turn(connection)
        sizes = await incidents.larger_than(connection, list(found.incidents), 0)
        same = [one for one, alike in found.incidents.items() if sizes.get(one) == alike.gateways]
        for one in same:
            alike = found.incidents[one]
            if await common_causes.save(
                connection, one, shared_cause(alike.candidates, alike.gateways, found.fleet)
            ):
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one)})
        return same
