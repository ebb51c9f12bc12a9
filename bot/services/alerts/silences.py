"""Silences: made, listed, ended early, and announced before they end."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain.access import Action, Actor, require
from bot.domain.alerts.incidents import Incident, missing
from bot.domain.alerts.silences import (
    ANNOUNCED,
    EndMissing,
    Silence,
    SilencedDown,
    SilenceRequest,
    check_reason,
    checked,
    means_those_of_now,
    parse_number,
    parse_silence,
    query_of,
)
from bot.domain.audit import BOT, AuditAction, AuditEntry
from bot.domain.confirmations import check_confirmed
from bot.domain.errors import AlreadyDone, InvalidInput, NotFound, Stale, Unconfirmed
from bot.domain.incident_kinds import IncidentId
from bot.domain.query import Field, Query, exactly, parse
from bot.services.alerts.held_gateways import Coverage, HeldTogether, Matching
from bot.services.context import Context, Within
from bot.storage import audit
from bot.storage.alerts import incidents, membership, routing
from bot.storage.alerts import silences as store
from bot.storage.cards import cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Transaction

ENDING = "silence_ending"  # the kind of the message that one is about to end
ENDED = "silence_ended"  # of the one that somebody ended it, to those that get them again


class SilenceService:
    """``understand`` reads what somebody typed, ``matching`` finds the ids of a query's gateways; ``within``
    refuses who is limited to a part of the fleet when one of them is outside; ``channel`` is where a coming
    end is announced, besides to who made it and where what it holds is shown.
    """

    def __init__(
        self,
        context: Context,
        *,
        understand: Callable[[str], Awaitable[Query]],
        matching: Matching,
        within: Within,
        channel: str | None,
        zone: ZoneInfo,
    ) -> None:
        self._database = context.database
        self._understand = understand
        self._matching = matching
        self._within = within
        self._coverage = Coverage(context, matching=matching, within=within, channel=channel)
        self._channel = channel
        self._zone = zone
        self._now = context.now

    async def silence(
        self,
        actor: Actor,
        text: str,
        channel: str,
        seen: int | None = None,
        asked_once: str | None = None,
    ) -> tuple[Silence, int]:
        """The silence, and how many gateways it covers now.

        ``seen``: somebody said yes when it covered so many, to the question ``asked_once``. Raises
        NotAllowed, InvalidInput; ReasonMissing and Unconfirmed by how many it covers; AlreadyDone for a
        second yes.
        """
        require(actor, Action.SILENCE)
        asked = parse_silence(text, self._zone, self._now())
        return await self._silence(actor, asked, channel, seen, asked_once)

    async def silence_gateway(
        self, actor: Actor, gateway_id: str, until: datetime, reason: str | None, channel: str | None
    ) -> Silence:
        """Raises as ``silence`` does, and NotFound when the gateway is gone."""
        require(actor, Action.SILENCE)
        query = exactly(Field.ID, gateway_id)
        if query is None:
            raise InvalidInput(f"No query names {gateway_id} alone: its id has a * or a quote in it.")
        asked = checked(SilenceRequest(query, until, reason), self._zone, self._now())
        try:
            return (await self._silence(actor, asked, channel, 1))[0]
        except Unconfirmed as gone:
            raise NotFound(f"The gateway {gateway_id} is not in the fleet any more.") from gone

    async def silence_site(
        self, actor: Actor, site: str, until: datetime, reason: str | None, *, seen: int
    ) -> tuple[Silence, int]:
        """All gateways of a site, and how many they are. Raises as ``silence`` does."""
        require(actor, Action.SILENCE)
        asked = checked(SilenceRequest(_query_of_site(site), until, reason), self._zone, self._now())
        return await self._silence(actor, asked, None, seen)

    async def coverage_of_site(self, actor: Actor, site: str) -> tuple[int, int]:
        """How many gateways a silence of a site would cover, of how many. Raises InvalidInput, NotAllowed."""
        require(actor, Action.SILENCE)
        covered = await self._matching(parse(_query_of_site(site)))
        return len(covered), await self._coverage.fleet_size()

    async def _silence(
        self,
        actor: Actor,
        asked: SilenceRequest,
        channel: str | None,
        seen: int | None,
        asked_once: str | None = None,
    ) -> tuple[Silence, int]:
        query, covered, fleet = await self._named(actor, asked.query, asked.reason)
        asked = replace(asked, query=query.text)
        kept = covered if means_those_of_now(query) else None
        if kept is not None and not kept:
            raise InvalidInput(
                f"No gateway matches “{asked.query}” now, and “is:” and “for:” in a silence mean those "
                "that do. Nothing was silenced."
            )
        check_confirmed(len(covered), fleet, seen)
        made = await self._add(actor, asked, None, channel, covered, kept, asked_once)
        return made, len(covered)

    async def without_end(self, actor: Actor, asked: EndMissing) -> tuple[int, int]:
        """How many gateways such a silence would cover, of how many. Raises as ``silence`` does, and
        ``asked`` itself where it names none, or none matches: it may not have meant gateways.
        """
        require(actor, Action.SILENCE)
        if not asked.query:
            raise asked
        _, covered, fleet = await self._named(actor, asked.query, asked.reason)
        if not covered:
            raise asked
        return len(covered), fleet

    async def _named(self, actor: Actor, text: str, reason: str | None) -> tuple[Query, Sequence[str], int]:
        """What somebody named: the query, its gateways, and how large the fleet is."""
        query = await self._understand(text)
        covered = await self._matching(query)
        await self._within(actor, Action.SILENCE, covered)
        fleet = await self._coverage.fleet_size()
        check_reason(reason, len(covered), fleet)
        return query, covered, fleet

    async def silence_incident(
        self,
        actor: Actor,
        incident_id: IncidentId,
        until: datetime,
        reason: str | None,
        channel: str | None,
        asked_once: str | None = None,
    ) -> Silence:
        """Of a site's incident the whole site, else the gateways in it. Raises Stale when it is over.

        What it covers was said where it is asked how long: see ``coverage``.
        """
        require(actor, Action.SILENCE)
        query = await self._query_of(incident_id)
        asked = checked(SilenceRequest(query, until, reason), self._zone, self._now())
        covered = await self._matched(query, incident_id)
        await self._within(actor, Action.SILENCE, covered)
        check_reason(asked.reason, len(covered), await self._coverage.fleet_size())
        return await self._add(actor, asked, incident_id, channel, covered, asked_once=asked_once)

    async def coverage(self, actor: Actor, incident_id: IncidentId) -> tuple[int, int]:
        """How many gateways a silence of the incident would cover, of how many. Raises as that does."""
        require(actor, Action.SILENCE)
        covered = await self._matched(await self._query_of(incident_id), incident_id)
        return len(covered), await self._coverage.fleet_size()

    async def _query_of(self, incident_id: IncidentId) -> str:
        async with self._database.read() as connection:
            incident = await _load_to_silence(connection, incident_id)
        return query_of(incident)

    async def _add(
        self,
        actor: Actor,
        asked: SilenceRequest,
        incident: IncidentId | None,
        channel: str | None,
        covered: Sequence[str],
        kept: Sequence[str] | None = None,
        asked_once: str | None = None,
    ) -> Silence:
        places = await self._coverage.places(covered)
        limits = [limit.text for limit in actor.limits_for(Action.SILENCE)]
        now = self._now()
        async with self._database.write() as connection:
            if incident is not None:
                await _load_to_silence(connection, incident)  # it may have ended since it was read
            by = (actor.user_id, actor.name)
            made = await store.add(
                connection, asked, incident, by, now, limits=limits, gateways=kept, asked_once=asked_once
            )
            if made is None:
                raise AlreadyDone("That is silenced already. /mesh silences lists it.")
            await audit.record(connection, _entry(actor, AuditAction.SILENCE, made, now, channel))
            await cards.open_cards(connection, _about(made), places, now)
            if incident is not None:
                await cards.touch(connection, About(CardKind.INCIDENT, str(incident)), urgent=True)
        return made

    async def unsilence(self, actor: Actor, text: str, channel: str) -> Silence:
        """Ends one early. Raises NotAllowed, InvalidInput, NotFound."""
        require(actor, Action.SILENCE)
        number, now = parse_number(text), self._now()
        async with self._database.read() as connection:
            held = await store.find_active(connection, number, now)
        if held is None:
            raise _is_over(number)
        covered = await self._require_within(actor, held)
        places = await self._coverage.places(covered)
        async with self._database.write() as connection:
            ended = await store.end(connection, number, actor.user_id, now)
            if ended is None:
                raise _is_over(number)
            await audit.record(connection, _entry(actor, AuditAction.UNSILENCE, ended, now, channel))
            await cards.touch(connection, _about(ended), urgent=True)
            body = {**_body(ended), "ended_by": actor.user_id}
            await _tell(connection, ended, ENDED, places, body, now)
            if ended.incident_id is not None:
                await cards.touch(connection, About(CardKind.INCIDENT, str(ended.incident_id)), urgent=True)
        return ended

    async def shown(self, text: str) -> tuple[Silence, int]:
        """One, over or not, and how many gateways it would cover now. Raises NotFound."""
        number = parse_number(text)
        async with self._database.read() as connection:
            found = await store.find(connection, number)
        if found is None:
            raise _is_over(number)
        return found, len(await self._covered(found))

    async def active(self, actor: Actor) -> Sequence[Silence]:
        """Those that hold now, the first to end first."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            return await store.active(connection, self._now())

    async def at_site(self, site: str) -> Sequence[Silence]:
        """Those that hold alerts of a gateway of the site now."""
        there = await self._coverage.at_site(site)
        async with self._database.read() as connection:
            found = await store.active(connection, self._now())
        return [one for one in found if there.intersection(await self._covered(one))]

    async def count_active(self) -> int:
        """How many hold now."""
        async with self._database.read() as connection:
            return await store.count_active(connection, self._now())

    async def silenced(self) -> Collection[str]:
        """The ids of all gateways that a silence covers now."""
        async with self._database.read() as connection:
            found = await store.active(connection, self._now())
        return {id_ for one in found for id_ in await self._covered(one)}

    async def held_between(self, begins: datetime, ends: datetime) -> Sequence[HeldTogether]:
        """When silences held between two moments, and the gateways that they cover now."""
        async with self._database.read() as connection:
            found = await store.between(connection, begins, ends)
        coverage = self._coverage.once()
        return [([(one.created_at, one.until)], await self._covered(one, coverage)) for one in found]

    async def down(self, actor: Actor) -> Sequence[SilencedDown]:
        """What is offline and silenced now, by silence; those that hold nothing offline are left out."""
        found = []
        for one in await self.active(actor):
            down, first = await self._coverage.down(await self._covered(one))
            if down:
                found.append(SilencedDown(one, down, first))
        return found

    async def _require_within(self, actor: Actor, silence: Silence) -> Sequence[str]:
        """What it covers. Who is limited ends one within that, and of those that cover nothing their own."""
        covered = await self._covered(silence)
        await self._coverage.require_within(
            actor, Action.SILENCE, covered, title=silence.title, by=silence.by
        )
        return covered

    async def _covered(self, silence: Silence, coverage: Coverage | None = None) -> Sequence[str]:
        """The ids of the gateways that it holds now, always within the limits of its author."""
        coverage = coverage or self._coverage
        found: Sequence[str] | None = silence.gateways
        if found is None:
            found = await self._matched(silence.query, silence.incident_id, coverage.matching)
        return await coverage.limited(found, silence.limits)

    async def _matched(
        self, query: str, incident_id: IncidentId | None, matching: Matching | None = None
    ) -> Sequence[str]:
        """The ids of the gateways of the query; without one, of the incident."""
        if query:
            return await (matching or self._matching)(parse(query))
        if incident_id is None:
            return []
        async with self._database.read() as connection:
            return await store.gateways_of(connection, incident_id)

    async def tick(self) -> None:
        """Ends those whose time is up, and announces those that end soon."""
        await self._end()
        await self._announce()

    async def _end(self) -> None:
        """Its own cards say so, and the one from which it was made says nothing of it any more."""
        async with self._database.read() as connection:
            over = await store.over(connection, self._now())
        if not over:
            return
        async with self._database.write() as connection:
            for one in over:
                await store.record_over(connection, one.id, BOT)
                await cards.touch(connection, _about(one))
            made_from = {one.incident_id for one in over if one.incident_id is not None}
            still_open = await membership.which_are_open(connection, sorted(made_from))
            await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in still_open})

    async def _announce(self) -> None:
        """Says of each silence, once, that it is about to end: what is still offline is told of again."""
        now = self._now()
        async with self._database.read() as connection:
            soon = await store.to_announce(connection, now, ANNOUNCED)
        for one in soon:
            covered = await self._covered(one)
            async with self._database.write() as connection:
                if await store.record_announced(connection, one.id, now):
                    shown = await routing.channels_with(connection, covered)
                    places = filter(None, dict.fromkeys([self._channel, *shown, one.by]))
                    await _tell(connection, one, ENDING, list(places), _body(one), now)


def _query_of_site(site: str) -> str:
    query = exactly(Field.SITE, site)
    if query is None:
        raise InvalidInput(f"No query names the site {site} alone: its name has a * or a quote in it.")
    return query


async def _load_to_silence(connection: Transaction, incident_id: IncidentId) -> Incident:
    """Raises NotFound, Stale, or InvalidInput for one that has no gateways."""
    incident = await incidents.load(connection, incident_id)
    if incident is None:
        raise missing(incident_id, await incidents.newest(connection))
    if not incident.state.is_live:
        raise Stale(f"The alert {incident.place} is over, so there is nothing left to silence.")
    if not incident.kind.rules.may_be_silenced:
        raise InvalidInput(f"The alert {incident.place} has no gateways, so there is nothing to silence.")
    return incident


def _about(silence: Silence) -> About:
    """What is said where it holds alerts back, until it is over."""
    return About(CardKind.SILENCE, str(silence.id))


def _is_over(number: int) -> NotFound:
    return NotFound(f"No silence S-{number} holds now. /mesh silences lists those that do.")


def _body(silence: Silence) -> dict[str, Any]:
    """What a message about it says."""
    return {
        "id": silence.id,
        "silence": silence.title,
        "query": silence.query,
        "limits": list(silence.limits),
        "kept": None if silence.gateways is None else len(silence.gateways),
        "by": silence.by,
        "until": silence.until.isoformat(),
    }


async def _tell(
    connection: Transaction,
    silence: Silence,
    kind: str,
    places: Sequence[str],
    body: Mapping[str, Any],
    now: datetime,
) -> None:
    for place in places:
        await cards.add_message(connection, place, f"{kind}/{silence.id}/{place}", kind, body, now)


def _entry(
    actor: Actor, action: AuditAction, silence: Silence, now: datetime, channel: str | None
) -> AuditEntry:
    covers = silence.query or f"gateways of A-{silence.incident_id}"
    until = f"until {silence.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"{silence.title}: {covers}",
        after=None if action is AuditAction.UNSILENCE else until,
        channel=channel,
        reason=silence.reason,
    )
