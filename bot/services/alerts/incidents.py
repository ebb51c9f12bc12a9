"""What people do with incidents: acknowledge them, look at them. The engine moves them on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain.access import Action, Actor, require
from bot.domain.alerts.incidents import (
    Acknowledgement,
    AffectedGateway,
    AlertRules,
    Incident,
    forgotten,
    refuse_acknowledgement,
)
from bot.domain.alerts.search import ClosedSearch
from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.domain.incident_kinds import IncidentId, IncidentSummary
from bot.domain.query import Query
from bot.services.context import Context
from bot.storage import audit
from bot.storage.alerts import incidents
from bot.storage.alerts import membership as store
from bot.storage.cards import cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Transaction


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
        return incident

    async def redraw(self, incident_id: IncidentId) -> None:
        """What its card shows has changed elsewhere, by a click that somebody waits for."""
        async with self._database.write() as connection:
            await cards.touch(connection, _about(incident_id), urgent=True)

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
    incident = await incidents.load(connection, incident_id)
    if incident is None:
        raise forgotten()
    return _as_of(incident, now)


def _as_of(incident: Incident, now: datetime) -> Incident:
    """With its silence only while that holds."""
    if incident.silenced is not None and incident.silenced.until <= now:
        return replace(incident, silenced=None)
    return incident


def _about(incident_id: IncidentId) -> About:
    return About(CardKind.INCIDENT, str(incident_id))


def _acknowledged(actor: Actor, incident: Incident, now: datetime, channel: str | None) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=AuditAction.ACKNOWLEDGE,
        subject=incident.audited,
        outcome=Outcome.DONE,
        channel=channel,
    )


def _within(offset: int, limit: int, total: int) -> int:
    """The offset of a page that exists: buttons outlive what they lead to."""
    last = max(total - 1, 0) // limit * limit
    return min(max(offset, 0), last)
