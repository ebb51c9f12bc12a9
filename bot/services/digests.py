"""The daily digest: a message is wanted once a day and destination, and put together when it is drawn."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import Silence
from bot.domain.digests import (
    ENDING,
    FLAPPING,
    LONG,
    PATIENCE,
    SHOWN,
    Digest,
    DigestPart,
    Listed,
    due_since,
    is_replaced,
    month_due_since,
    narrowed,
)
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.incident_kinds import IncidentId, IncidentState
from bot.domain.query import Query, parse
from bot.domain.rollouts.lifecycle import APPROVAL_LASTS, Rollout, RolloutState, TargetState
from bot.domain.subscriptions import Topic
from bot.services.context import Context
from bot.storage import digests as store
from bot.storage import listings
from bot.storage import subscriptions as subscribed
from bot.storage.alerts import incidents, silences
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction
from bot.storage.fleet import search
from bot.storage.rollouts import retries, rollouts, targets

DIGEST = "digest"  # the kind of the message
MONTHLY = "availability_monthly"  # of the one about a month
_Find = Callable[[Transaction, Query, datetime], Awaitable[Any]]  # what a field of a digest holds
_MOST = 50  # rollouts and incidents that are looked at
_TAKEN_UP = {RolloutState.FINISHED, RolloutState.RUNNING, RolloutState.PAUSED}


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a digest goes every day, or what tells of a month. ``since`` is when that was decided: none is
    due before.
    """

    key: str
    number: int | None  # of the subscription
    channel: str
    query: str
    at: time
    zone: ZoneInfo
    since: datetime
    kind: str = DIGEST  # of the message

    def due_since(self, now: datetime) -> datetime | None:
        due = month_due_since if self.kind == MONTHLY else due_since
        return due(self.at, self.zone, now)

    def body(self, moment: datetime) -> dict[str, Any]:
        """Of the message that is due since then; what tells of a month tells of the one before."""
        return {
            "month": f"{moment - timedelta(days=1):%Y-%m}",
            "number": self.number,
            "query": self.query,
            "at": f"{self.at:%H:%M}",
            "zone": self.zone.key,
        }


class DigestService:
    """``channel`` gets a digest at ``at``, unless an admin keeps it from there; with either None, none.

    ``usual_at`` and ``zone`` count where a subscription names none. ``stable_for`` is how long a skipped
    gateway must be back before it may catch up, ``stale_after`` how old the newest listing may be before a
    digest says so, ``policies`` how the gateways of a query stand to the firmware policy.
    """

    def __init__(
        self,
        context: Context,
        *,
        channel: str | None,
        at: time | None,
        usual_at: time,
        zone: ZoneInfo,
        stable_for: timedelta,
        stale_after: timedelta,
        policies: Callable[[Query], Awaitable[Sequence[PolicyState]]],
    ) -> None:
        self._policies = policies
        self._database = context.database
        self._channel = channel
        self._at = at
        self._usual_at = usual_at
        self._zone = zone
        self._stable_for = stable_for
        self._stale_after = stale_after
        self._now = context.now
        self._started_at = context.now()

    async def tick(self) -> None:
        """Wants the digests that are due, each once: the key of its row is whose it is, and the local date.

        A listing that is newer than the digest's moment is waited for, but not for long: a digest that says
        how old its numbers are is better than none.
        """
        now = self._now()
        async with self._database.read() as connection:
            seen = (await listings.status(connection)).as_of
            due = [] if seen is None else await self._due(connection, seen, now)
            known = await store.written(connection, [key for key, *_ in due])
        if not (new := [found for found in due if found[0] not in known]):
            return
        async with self._database.write() as connection:
            for key, one, moment in new:
                await cards.add_message(connection, one.channel, key, one.kind, one.body(moment), now)

    async def _due(
        self, connection: Transaction, seen: datetime, now: datetime
    ) -> list[tuple[str, _Destination, datetime]]:
        due = []
        for one in await self._destinations(connection):
            moment = one.due_since(now)
            if moment is None or moment < one.since:
                continue
            if seen >= moment or now >= max(moment, self._started_at) + PATIENCE:
                due.append((f"{one.kind}/{one.key}/{moment:%Y-%m-%d}", one, moment))
        return due

    async def _destinations(self, connection: Transaction) -> list[_Destination]:
        topics = {Topic.DIGEST: DIGEST, Topic.AVAILABILITY: MONTHLY}
        timed = [one for topic in topics for one in await subscribed.of_topic(connection, topic)]
        found = [
            _Destination(
                str(one.id),
                one.id,
                one.channel,
                one.query,
                one.at or self._usual_at,
                ZoneInfo(one.zone) if one.zone else self._zone,
                one.created_at,
                topics[one.topic],
            )
            for one in timed
            if one.broken is None
        ]
        subscribed_to = [one for one in timed if one.topic is Topic.DIGEST and one.broken is None]
        if self._channel is None or self._at is None:
            return found
        if is_replaced(self._channel, subscribed_to):
            return found
        began = await store.first_listing(connection)
        if began is None:
            return found
        return [*found, _Destination("default", None, self._channel, "", self._at, self._zone, began)]

    async def digest(self, text: str) -> Digest:
        """The state of the fleet, or of what a query names of it; ``parts`` find what else there is."""
        now, query = self._now(), parse(text)
        async with self._database.read() as connection:
            counts = await search.counts(connection, query, now)
            as_of = (await listings.status(connection)).as_of
        return Digest(query.text, now, counts, as_of, self._stale_after)

    @property
    def parts(self) -> Mapping[DigestPart, Callable[[Digest], Awaitable[Any]]]:
        """What finds each of them. Each reads by itself: one may fail alone."""
        finds: Mapping[DigestPart, _Find] = {
            DigestPart.LONG_OFFLINE: partial(_listed, LONG),
            DigestPart.FLAPPING: partial(_listed, FLAPPING),
            DigestPart.INCIDENTS: _untaken,
            DigestPart.ROLLOUTS: _under_way,
            DigestPart.CATCH_UP: self._catch_up,
            DigestPart.SILENCES: _ending,
        }
        found = {part: partial(self._part, find) for part, find in finds.items()}
        return {**found, DigestPart.POLICIES: self._not_complied_with}

    async def _not_complied_with(self, digest: Digest) -> Sequence[PolicyState]:
        return [one for one in await self._policies(parse(digest.query)) if one.affected]

    async def _part(self, find: _Find, digest: Digest) -> Any:
        async with self._database.read() as connection:
            return await find(connection, parse(digest.query), digest.now)

    async def _catch_up(
        self, connection: Transaction, query: Query, now: datetime
    ) -> Sequence[tuple[Rollout, int]]:
        recent = await _recent(connection, query, now)
        found = [(one, await self._back(connection, one, now)) for one in recent]
        return [(one, back) for one, back in found if back]

    async def _back(self, connection: Transaction, rollout: Rollout, now: datetime) -> int:
        """How many of a rollout's skipped gateways may catch up."""
        began = rollout.started_at
        if rollout.state not in _TAKEN_UP or began is None or now - began > APPROVAL_LASTS:
            return 0
        return len(await retries.skipped_and_back(connection, rollout, now, self._stable_for))


async def _listed(by: Query, connection: Transaction, query: Query, now: datetime) -> Listed:
    query = narrowed(query, by)
    total = (await search.counts(connection, query, now)).total
    first = await store.longest(connection, query, now, SHOWN) if total else []
    return Listed(await search.marked(connection, first, now), total)


async def _untaken(connection: Transaction, query: Query, now: datetime) -> Sequence[Incident]:
    live = await incidents.live(connection, _MOST, 0)
    found = [one for one in live if one.state is IncidentState.OPEN and one.acknowledged is None]
    if query.terms:
        about = await store.incidents_of(connection, [one.id for one in found], query, now)
        return [one for one in found if one.id in about]
    return found


async def _recent(connection: Transaction, query: Query, now: datetime) -> Sequence[Rollout]:
    found, _ = await rollouts.load_many(connection, _MOST, 0)
    if query.terms:
        about = await store.rollouts_of(connection, [one.id for one in found], query, now)
        return [one for one in found if one.id in about]
    return found


async def _under_way(
    connection: Transaction, query: Query, now: datetime
) -> Sequence[tuple[Rollout, Mapping[TargetState, int]]]:
    found = [one for one in await _recent(connection, query, now) if one.state.is_under_way]
    by_state = await targets.count_many(connection, [one.id for one in found])
    return [(one, by_state[one.id]) for one in found]


async def _ending(connection: Transaction, query: Query, now: datetime) -> Sequence[Silence]:
    soon = [one for one in await silences.active(connection, now) if one.until <= now + ENDING]
    if not query.terms:
        return soon
    of_incidents = {one.incident_id for one in soon if one.incident_id is not None}
    about: set[IncidentId] = await store.incidents_of(connection, of_incidents, query, now)
    return [one for one in soon if await _holds_some(connection, one, query, about, now)]


async def _holds_some(
    connection: Transaction, silence: Silence, query: Query, about: set[IncidentId], now: datetime
) -> bool:
    """Whether it holds one of the gateways that match; ``about``: the incidents that have one."""
    if silence.gateways is not None:
        return not set(silence.gateways).isdisjoint(await search.ids(connection, query, now))
    if not silence.query:
        return silence.incident_id in about
    asked = narrowed(query, parse(silence.query))
    within = [narrowed(asked, parse(limit)) for limit in silence.limits] or [asked]
    return any([(await search.counts(connection, one, now)).total for one in within])
