"""What people do with incidents: acknowledge them, look at them. The engine moves them on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn

from bot.domain.access import Action, Actor, require
from bot.domain.alerts.acknowledgements import (
    Handed,
    check_as_drawn,
    check_assign,
    check_give_back,
    check_take_over,
    checked_note,
    refuse_acknowledgement,
)
from bot.domain.alerts.closed_alerts import ClosedSearch
from bot.domain.alerts.incidents import (
    Acknowledgement,
    AffectedGateway,
    AlertRules,
    Incident,
    missing,
)
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.incident_kinds import IncidentId, IncidentSummary
from bot.domain.query import Query
from bot.services.alerts.notes import (
    about,
    notes_of,
    tell_assigned,
    tell_handed,
)
from bot.services.context import Context
from bot.storage import audit
from bot.storage.alerts import acknowledgements, incidents
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction

MOST_AT_ONCE = 100  # alerts that one person acknowledges with one word
_IN_ONE_TRANSACTION = 10  # of them


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Some of the incidents that somebody asked for, and how many there are."""

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
    """One decision a transaction."""

    def __init__(
        self,
        context: Context,
        *,
        rules: AlertRules,
        default_channel: str | None,
    ) -> None:
        self.rules = rules
        self.default_channel = default_channel
        self._database = context.database
        self._now = context.now

    # ---- people
    async def acknowledge(
        self,
        actor: Actor,
        incident_id: IncidentId,
        version: int | None,
        channel: str | None = None,
        note: str | None = None,
    ) -> Incident:
        """The first one has it; no ``version``: as it is now. What they write along is said in its thread.

        Raises NotAllowed, InvalidInput, NotFound, or Stale naming who was faster; so do the others.
        """
        require(actor, Action.ACKNOWLEDGE)
        by = Acknowledgement(actor.user_id, actor.name, self._now(), checked_note(note))
        async with self._database.write() as connection:
            incident = await self._acknowledge(connection, by, incident_id, version, channel)
            return incident or await _refused(connection, incident_id, by)

    async def acknowledge_all(
        self,
        actor: Actor,
        drawn: Sequence[tuple[IncidentId, int]] | None = None,
        channel: str | None = None,
        note: str | None = None,
    ) -> Sequence[Incident]:
        """Those that nobody has are theirs: of those that were ``drawn``, what is as it was; else all.

        A few in each transaction: who else writes gets in between.
        """
        require(actor, Action.ACKNOWLEDGE)
        by = Acknowledgement(actor.user_id, actor.name, self._now(), checked_note(note))
        if drawn is None:
            async with self._database.read() as connection:
                drawn = await acknowledgements.unacknowledged(connection, MOST_AT_ONCE)
        taken: list[Incident | None] = []
        for start in range(0, len(drawn), _IN_ONE_TRANSACTION):
            some = sorted(drawn)[start : start + _IN_ONE_TRANSACTION]
            async with self._database.write() as connection:
                taken += [await self._acknowledge(connection, by, *one, channel) for one in some]
        return [one for one in taken if one is not None]

    async def take_over(
        self,
        actor: Actor,
        incident_id: IncidentId,
        version: int | None,
        channel: str | None = None,
        note: str | None = None,
    ) -> Incident:
        """Whoever had it hears of it; what nobody has is acknowledged."""
        require(actor, Action.ACKNOWLEDGE)
        by = Acknowledgement(actor.user_id, actor.name, self._now(), checked_note(note))
        async with self._database.write() as connection:
            incident = check_as_drawn(await _found(connection, incident_id), version, by.at)
            before = check_take_over(incident, actor)
            if before is None:
                taken = await self._acknowledge(connection, by, incident_id, incident.version, channel)
                return taken or await _refused(connection, incident_id, by)
            entry = _entry(actor.user_id, AuditAction.TAKE_OVER, incident, by.at, channel, by.note)
            taken = await self._hand_over(connection, incident, by, replace(entry, before=before.name))
            await tell_handed(connection, taken, Handed.TAKEN_OVER, actor.name, before, by.at, by.note)
        return taken

    async def give_back(
        self, actor: Actor, incident_id: IncidentId, version: int | None, channel: str | None = None
    ) -> Incident:
        """Nobody has it any more, and reminders begin anew. Raises Stale for what somebody else has."""
        require(actor, Action.ACKNOWLEDGE)
        now = self._now()
        async with self._database.write() as connection:
            incident = check_as_drawn(await _found(connection, incident_id), version, now)
            had = check_give_back(incident, actor)
            if not await acknowledgements.give_back(
                connection, incident_id, incident.version, actor.user_id, now
            ):
                return await _refused(connection, incident_id, had)
            given = await _load(connection, incident_id, now)
            entry = _entry(actor.user_id, AuditAction.GIVE_BACK, incident, now, channel)
            await audit.record(connection, entry)
            await tell_handed(connection, given, Handed.GIVEN_BACK, actor.name, None, now)
            await _show(connection, incident_id)
        return given

    async def assign(
        self,
        actor: Actor,
        incident_id: IncidentId,
        version: int | None,
        person: Actor,
        channel: str | None = None,
        note: str | None = None,
    ) -> Incident:
        """They have it, and hear of it by direct message; whoever had it hears of it in its thread."""
        if person.user_id == actor.user_id:
            return await self.take_over(actor, incident_id, version, channel, note)
        require(actor, Action.ACKNOWLEDGE)
        to = Acknowledgement(person.user_id, person.name, self._now(), checked_note(note), actor.user_id)
        async with self._database.write() as connection:
            incident = check_as_drawn(await _found(connection, incident_id), version, to.at)
            check_assign(incident, person)
            had = incident.acknowledged
            entry = _entry(actor.user_id, AuditAction.ASSIGN, incident, to.at, channel, to.note)
            entry = replace(entry, before=had.name if had else None, after=to.name)
            given = await self._hand_over(connection, incident, to, entry)
            other = had if had is not None and had.user_id != actor.user_id else None
            await tell_handed(connection, given, Handed.ASSIGNED, actor.name, other, to.at, to.note)
            await tell_assigned(connection, given, to, actor.name)
        return given

    async def _acknowledge(
        self,
        connection: Transaction,
        by: Acknowledgement,
        incident_id: IncidentId,
        version: int | None,
        channel: str | None,
    ) -> Incident | None:
        """None where they were not the first, or it is another than was drawn."""
        if version is None:
            version = (await _load(connection, incident_id, by.at)).version
        if not await acknowledgements.acknowledge(connection, incident_id, version, by):
            return None
        incident = await _load(connection, incident_id, by.at)
        entry = _entry(by.user_id, AuditAction.ACKNOWLEDGE, incident, by.at, channel, by.note)
        await audit.record(connection, entry)
        if by.note:
            await tell_handed(connection, incident, Handed.ACKNOWLEDGED, by.name, None, by.at, by.note)
        await _show(connection, incident_id)
        return incident

    async def _hand_over(
        self, connection: Transaction, incident: Incident, to: Acknowledgement, entry: AuditEntry
    ) -> Incident:
        if not await acknowledgements.hand_over(connection, incident.id, incident.version, to):
            return await _refused(connection, incident.id, to)
        await audit.record(connection, entry)
        await _show(connection, incident.id)
        return await _load(connection, incident.id, to.at)

    async def redraw(self, incident_id: IncidentId) -> None:
        """What its card shows has changed elsewhere, by a click that somebody waits for."""
        async with self._database.write() as connection:
            await cards.touch(connection, about(incident_id), urgent=True)

    async def open_incidents(self, limit: int = 10, offset: int = 0) -> IncidentPage:
        """A page of the live incidents; behind the end, the last page."""
        async with self._database.read() as connection:
            total = await incidents.count_live(connection)
            offset = _within(offset, limit, total)
            found = await incidents.live(connection, limit, offset)
        return IncidentPage(tuple(_as_of(one, self._now()) for one in found), total, offset)

    async def closed_incidents(
        self, asked: ClosedSearch, query: Query, limit: int = 10, offset: int = 0
    ) -> IncidentPage:
        """A page of those that are over, the last to end first; ``query`` is how its text was understood."""
        now = self._now()
        since = now - asked.period
        async with self._database.read() as connection:
            total, found = await incidents.closed(
                connection, query, asked.text, since, now, limit, max(offset, 0)
            )
            if not found and total:
                offset = _within(offset, limit, total)
                total, found = await incidents.closed(
                    connection, query, asked.text, since, now, limit, offset
                )
        return IncidentPage(found, total, offset)

    async def count_open(self) -> tuple[int, int]:
        """How many are open, and how many of them nobody has acknowledged."""
        async with self._database.read() as connection:
            return await incidents.count_live(connection), await incidents.count_unacknowledged(connection)

    async def at_sites(self, sites: Collection[str]) -> Sequence[IncidentSummary]:
        """The live incidents that have gateways at these sites, those with the most first."""
        async with self._database.read() as connection:
            return await incidents.at_sites(connection, sites)

    async def incident(self, incident_id: IncidentId) -> Incident:
        """With its tally and the first of its gateways. Raises NotFound."""
        async with self._database.read() as connection:
            return await _load(connection, incident_id, self._now())

    async def affected(
        self, incident_id: IncidentId, limit: int | None = None, offset: int = 0
    ) -> AffectedPage:
        """Gateways of an incident, those down first; all of them without a limit. Raises NotFound."""
        async with self._database.read() as connection:
            incident = await _load(connection, incident_id, self._now())
            offset = _within(offset, limit, incident.tally.total) if limit else 0
            gateways = await incidents.affected(connection, incident_id, limit, offset)
            return AffectedPage(incident, gateways, offset)

    async def incident_of(self, gateway_id: str) -> Incident | None:
        """The live incident that a gateway is in."""
        async with self._database.read() as connection:
            found = await incidents.live_incident_of(connection, gateway_id)
            return None if found is None else await _load(connection, found, self._now())


async def _load(connection: Transaction, incident_id: IncidentId, now: datetime) -> Incident:
    """Raises NotFound."""
    return _as_of(await _found(connection, incident_id), now)


async def _found(connection: Transaction, incident_id: IncidentId) -> Incident:
    """Raises NotFound."""
    incident = await incidents.load(connection, incident_id)
    if incident is None:
        raise missing(incident_id, await incidents.newest(connection))
    return incident


def _as_of(incident: Incident, now: datetime) -> Incident:
    """With its silence only while that holds."""
    if incident.silenced is not None and incident.silenced.until <= now:
        return replace(incident, silenced=None)
    return incident


async def _show(connection: Transaction, incident_id: IncidentId) -> None:
    """On its card, and in what the channel was told of it."""
    await cards.touch(connection, about(incident_id), urgent=True)
    await cards.touch_notes(connection, notes_of(incident_id))


async def _refused(connection: Transaction, incident_id: IncidentId, by: Acknowledgement) -> NoReturn:
    raise refuse_acknowledgement(await incidents.load(connection, incident_id), by.user_id, by.at)


def _entry(
    actor: str,
    action: AuditAction,
    incident: Incident,
    now: datetime,
    channel: str | None,
    note: str | None = None,
) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor,
        action=action,
        subject=incident.audited,
        channel=channel,
        reason=note,
    )


def _within(offset: int, limit: int, total: int) -> int:
    """The offset of a page that exists: buttons outlive what they lead to."""
    last = max(total - 1, 0) // limit * limit
    return min(max(offset, 0), last)
