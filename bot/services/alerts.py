"""Offline alerts: who is in an incident after a listing, which incidents are posted, who looks after them.

The rules are the domain's, the sets are the database's. Any replica may evaluate, and any may be cut short:
each step is one short transaction that changes what is not so yet. Knows nothing of Slack.
"""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.access import Action, Actor, require
from bot.domain.alerts import (
    Acknowledgement,
    AffectedGateway,
    AlertRules,
    Cut,
    Incident,
    IncidentId,
    IncidentKind,
    IncidentState,
    Sight,
    may_open,
    offline_cut,
    online_cut,
    refuse_acknowledgement,
)
from bot.domain.errors import NotFound
from bot.domain.events import AuditEntry, Outcome
from bot.domain.fleet import GatewayId, Listing
from bot.storage import alerts as store
from bot.storage import audit, cards, incidents
from bot.storage.alerts import Moved
from bot.storage.cards import About, CardKind
from bot.storage.engine import Database, Transaction

log = logging.getLogger(__name__)

Move = Callable[[Transaction, Sequence[GatewayId]], Awaitable[Sequence[Moved]]]

JOINED = "incident_joined"  # the kind of the note about gateways that joined a posted incident
NAMED = 3  # gateways that such a note names
AT_ONCE = 100  # incidents opened in one transaction


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


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Some of the live incidents, and how many there are."""

    incidents: tuple[Incident, ...]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class AffectedPage:
    """Some of the gateways of an incident."""

    incident: Incident
    gateways: tuple[AffectedGateway, ...]
    offset: int


class AlertService:
    """All that can be done with incidents.

    ``default_channel`` gets the cards; without one, incidents are kept and listed. ``changed`` is called
    after a commit that the publisher should know of. New alerts wait for listings that began after the
    service was made.
    """

    def __init__(
        self,
        database: Database,
        *,
        rules: AlertRules,
        default_channel: str | None,
        now: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.rules = rules
        self.default_channel = default_channel
        self._database = database
        self._now = now
        self._changed = changed
        self._started_at = now()

    # ---- ticks
    async def evaluate(self, listing: Listing) -> Evaluation:
        """After a completed listing: gateways leave their incidents and join others, incidents end and begin.

        Those that are open are reconciled first, and also while new alerts are held after a start.
        """
        async with self._database.read() as connection:
            completed = await store.completed_listings(connection, self.rules.lookback, listing.number)
        if not completed:
            return Evaluation()
        sight = Sight(completed)
        kind = IncidentKind.OFFLINE
        back = await self._leave_as_back(kind, online_cut(self.rules, sight))
        released = await self._leave_as_released(kind, sight.at)
        resolved, dropped = await self._end(sight.at)
        cut = offline_cut(self.rules, sight)
        opening = may_open(self.rules, sight, self._started_at)
        opened, joined = await self._open(kind, cut, sight.at) if opening and cut is not None else (0, 0)
        done = Evaluation(opening, opened, joined, back, released, resolved, dropped)
        if opened or joined or back or released or resolved:
            log.info("incidents after listing %d: %s", listing.number, done)
            self._changed()
        return done

    async def tick(self) -> int:
        """Opens the incidents that have gathered for long enough, with a card each; returns how many.

        After a start nothing is posted before the listings that new alerts wait for: an incident may have
        been over since long before.
        """
        now = self._now()
        opened = 0
        while await self._has_work(now):
            async with self._database.write() as connection:
                opened += await store.open_due(connection, now, AT_ONCE)
                await self._open_cards(connection, now)
        if opened:
            self._changed()
        return opened

    # ---- people
    async def acknowledge(
        self, actor: Actor, incident_id: IncidentId, version: int, channel: str | None = None
    ) -> Incident:
        """The first one has it. Raises NotAllowed, Unavailable, NotFound, or Stale naming who was faster."""
        require(actor, Action.ACKNOWLEDGE)
        now = self._now()
        by = Acknowledgement(actor.user_id, actor.name, now)
        async with self._database.write() as connection:
            taken = await store.acknowledge(connection, incident_id, version, by)
            incident = await incidents.load(connection, incident_id)
            if not taken or incident is None:
                raise refuse_acknowledgement(incident, actor.user_id, now)
            await audit.record(connection, _acknowledged(actor, incident, now, channel))
            await cards.touch(connection, _about(incident_id), urgent=True)
        self._changed()
        return incident

    async def open_incidents(self, limit: int = 10, offset: int = 0) -> IncidentPage:
        """A page of the live incidents; behind the end, the last page."""
        async with self._database.read() as connection:
            total = await incidents.count_live(connection)
            offset = _within(offset, limit, total)
            return IncidentPage(await incidents.live(connection, limit, offset), total, offset)

    async def incident(self, incident_id: IncidentId) -> Incident:
        """With its tally and the first of its gateways. Raises NotFound."""
        async with self._database.read() as connection:
            return await _load(connection, incident_id)

    async def affected(
        self, incident_id: IncidentId, limit: int | None = None, offset: int = 0
    ) -> AffectedPage:
        """Gateways of an incident, those down first; all of them without a limit. Raises NotFound."""
        async with self._database.read() as connection:
            incident = await _load(connection, incident_id)
            offset = _within(offset, limit, incident.tally.total) if limit else 0
            gateways = await incidents.affected(connection, incident_id, limit, offset)
            return AffectedPage(incident, gateways, offset)

    async def incident_of(self, gateway_id: str) -> Incident | None:
        """The live incident that a gateway is in."""
        async with self._database.read() as connection:
            found = await incidents.live_incident_of(connection, gateway_id, IncidentKind.OFFLINE)
            return None if found is None else await incidents.load(connection, found)

    # ---- steps of an evaluation
    async def _leave_as_back(self, kind: IncidentKind, cut: Cut | None) -> int:
        if cut is None:
            return 0
        async with self._database.read() as connection:
            back = await store.who_is_back(connection, kind, cut)
        return await self._move(back, lambda to, ids: store.leave_as_back(to, kind, ids, cut))

    async def _leave_as_released(self, kind: IncidentKind, at: datetime) -> int:
        async with self._database.read() as connection:
            released = await store.who_is_released(connection, kind)
        return await self._move(released, lambda to, ids: store.leave_as_released(to, kind, ids, at))

    async def _end(self, at: datetime) -> tuple[int, int]:
        async with self._database.write() as connection:
            await store.take_turn(connection)
            ended = await store.end_incidents(connection, at)
            resolved = ended[IncidentState.RESOLVED]
            await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in resolved})
        return len(resolved), len(ended[IncidentState.DROPPED])

    async def _open(self, kind: IncidentKind, cut: Cut, at: datetime) -> tuple[int, int]:
        async with self._database.read() as connection:
            dark = await store.who_is_dark(connection, kind, cut)
            left = set(await store.who_has_left(connection, kind)) if dark else set()
        again = [one for one in dark if one in left]
        joined = await self._move(again, lambda to, ids: store.join_again(to, kind, ids, at), joining=at)
        opened = 0

        async def join(connection: Transaction, ids: Sequence[GatewayId]) -> Sequence[Moved]:
            nonlocal opened
            opened += await store.begin_incidents(connection, kind, ids, at, at + self.rules.group_wait)
            return await store.join(connection, kind, ids, at)

        joined += await self._move([one for one in dark if one not in left], join, joining=at)
        return opened, joined

    async def _move(self, ids: Sequence[GatewayId], move: Move, *, joining: datetime | None = None) -> int:
        """Moves the gateways chunk by chunk; the cards that show them change with each chunk."""
        total = 0
        for start in range(0, len(ids), store.CHUNK):
            async with self._database.write() as connection:
                await store.take_turn(connection)
                moved = await move(connection, ids[start : start + store.CHUNK])
                await cards.touch_all(connection, CardKind.INCIDENT, {str(one.incident) for one in moved})
                if moved and joining is not None:
                    await _note_joined(connection, moved, joining)
            total += len(moved)
        return total

    # ---- steps of a tick
    async def _has_work(self, now: datetime) -> bool:
        """Looks before it writes: a tick that finds nothing to do takes no write lock."""
        async with self._database.read() as connection:
            completed = await store.completed_listings(connection, self.rules.lookback)
            if not may_open(self.rules, Sight(completed), self._started_at):
                return False
            if await store.has_due(connection, now):
                return True
            return bool(self.default_channel and await store.open_without_card(connection, 1))

    async def _open_cards(self, connection: Transaction, now: datetime) -> None:
        """For every open incident that has none: also those opened before a channel was set."""
        if self.default_channel is None:
            return
        for incident_id in await store.open_without_card(connection, AT_ONCE):
            await cards.open_cards(connection, _about(incident_id), [self.default_channel], now)


async def _load(connection: Transaction, incident_id: IncidentId) -> Incident:
    incident = await incidents.load(connection, incident_id)
    if incident is None:
        raise NotFound("I do not know that incident any more. Run alerts to see what is open.")
    return incident


async def _note_joined(connection: Transaction, moved: Sequence[Moved], at: datetime) -> None:
    """Tells the threads of incidents that are posted already; the others have no thread yet."""
    gateways: defaultdict[IncidentId, list[Moved]] = defaultdict(list)
    for one in moved:
        gateways[one.incident].append(one)
    for incident_id in await store.which_are_open(connection, list(gateways)):
        joined = sorted(gateways[incident_id], key=lambda one: one.gateway)
        body = {"count": len(joined), "first": [one.label for one in joined[:NAMED]]}
        key = f"incident/{incident_id}/joined/{at.isoformat()}/{joined[0].gateway}"
        await cards.add_note(connection, _about(incident_id), key, JOINED, body, at)


def _about(incident_id: IncidentId) -> About:
    return About(CardKind.INCIDENT, str(incident_id))


def _acknowledged(actor: Actor, incident: Incident, now: datetime, channel: str | None) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action="incident_ack",
        subject=f"incident {incident.id} at {incident.site}",
        outcome=Outcome.DONE,
        channel=channel,
    )


def _within(offset: int, limit: int, total: int) -> int:
    """The offset of a page that exists: buttons outlive what they lead to."""
    last = max(total - 1, 0) // limit * limit
    return min(max(offset, 0), last)
