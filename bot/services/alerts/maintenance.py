"""Maintenance windows: planned, listed, skipped, ended, announced; and told of what is down at their end.

Every replica ticks; each step saves what it found only while it stands as it was read, with what follows from
it in the same transaction. So it happens once, and a step that was cut short happens at the next tick.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain import visibility_loss
from bot.domain.access import Action, Actor, require
from bot.domain.alerts import maintenance as decide
from bot.domain.alerts.incidents import Cut, Thresholds
from bot.domain.alerts.maintenance import (
    Every,
    Maintenance,
    MaintenanceDown,
    MaintenanceId,
    announcement_due,
    check_names_gateways,
    openings_between,
    parse_maintenance,
    parse_number,
)
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.confirmations import check_confirmed
from bot.domain.errors import AlreadyDone, InvalidInput, NotFound, Stale
from bot.domain.gateways import Listing
from bot.domain.incident_kinds import IncidentId, IncidentKind, Trouble
from bot.domain.query import Query
from bot.domain.times.update_windows import MaintenanceOpening
from bot.services.alerts.held_gateways import Coverage, HeldTogether, Matching
from bot.services.context import Context, Within
from bot.storage import audit, listings
from bot.storage.alerts import maintenance as store
from bot.storage.alerts import membership, storms
from bot.storage.cards import cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Transaction

SOON = "maintenance_soon"  # the kind of the message that a window opens soon
CHANGED = "maintenance_changed"  # of the one that somebody skipped, ended or brought back something
SHOWN_BEFORE = timedelta(days=1)  # so long before it opens, the cards of alerts tell of a window
_TRIES = 3  # of a person's change, when a tick is faster


class MaintenanceService:
    """``understand`` reads what somebody typed; ``matching``, ``within`` and ``channel`` are those of
    ``Coverage``; ``zone`` is that of windows where nothing is said. A window is announced so long ``before``
    it opens. ``silenced`` tells whose alerts are silenced besides.
    """

    def __init__(
        self,
        context: Context,
        *,
        understand: Callable[[str], Awaitable[Query]],
        matching: Matching,
        within: Within,
        channel: str | None,
        zone: str,
        before: Sequence[timedelta],
        silenced: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._database = context.database
        self._now = context.now
        self._understand = understand
        self._coverage = Coverage(context, matching=matching, within=within, channel=channel)
        self._zone = zone
        self._before = before
        self._silenced = silenced

    # ---- people
    async def plan(
        self,
        actor: Actor,
        text: str,
        channel: str,
        seen: int | None = None,
        asked_once: str | None = None,
    ) -> tuple[Maintenance, int]:
        """The window, and how many gateways it covers now.

        ``seen``: somebody said yes when it covered so many, to the question ``asked_once``. Raises
        NotAllowed, InvalidInput, Unconfirmed, and AlreadyDone for a second yes.
        """
        require(actor, Action.MAINTAIN)
        now = self._now()
        asked = parse_maintenance(text, self._zone, now)
        query = await self._understand(asked.query)
        check_names_gateways(query)
        covered = await self._coverage.matching(query)
        await self._coverage.within(actor, Action.MAINTAIN, covered)
        check_confirmed(len(covered), await self._coverage.fleet_size(), seen)
        places = await self._coverage.places(covered)
        limits = [limit.text for limit in actor.limits_for(Action.MAINTAIN)]
        opening = asked.schedule.next_opening(now)
        told = announcement_due(opening, self._before, now) if opening else None
        async with self._database.write() as connection:
            made = await store.add(
                connection,
                replace(asked, query=query.text),
                (actor.user_id, actor.name),
                now,
                limits=limits,
                opening=opening,
                announced=told,
                asked_once=asked_once,
            )
            if made is None:
                raise AlreadyDone("That is planned already. /mesh windows lists it.")
            await audit.record(connection, _entry(actor, AuditAction.PLAN_MAINTENANCE, made, now, channel))
            await cards.open_cards(connection, _about(made), places, now)
            await self._touch(connection, made, covered)
        return made, len(covered)

    async def skip(
        self, actor: Actor, text: str, channel: str, begins: datetime | None = None
    ) -> Maintenance:
        """Leaves out the next opening, or closes the one that is open. ``begins``: the one that was drawn.

        Raises NotAllowed, InvalidInput, NotFound, Stale.
        """
        return await self._change(
            actor,
            text,
            channel,
            AuditAction.SKIP_MAINTENANCE,
            lambda window, now: decide.skip(window, begins, now),
        )

    async def end(self, actor: Actor, text: str, channel: str) -> Maintenance:
        """Ends a window: no opening follows. Raises as ``skip`` does."""
        return await self._change(
            actor,
            text,
            channel,
            AuditAction.END_MAINTENANCE,
            lambda window, now: decide.end(window, actor.user_id, now),
        )

    async def undo(self, actor: Actor, text: str, channel: str, decided: int) -> Maintenance:
        """Takes back the last thing that a person did to it. Raises as ``skip`` does."""
        return await self._change(
            actor,
            text,
            channel,
            AuditAction.UNDO_MAINTENANCE,
            lambda window, now: decide.undo(window, decided, actor.user_id, now),
        )

    async def _change(
        self,
        actor: Actor,
        text: str,
        channel: str,
        action: AuditAction,
        change: Callable[[Maintenance, datetime], Maintenance],
    ) -> Maintenance:
        require(actor, Action.MAINTAIN)
        for _ in range(_TRIES):
            before, covered = await self._found(text)
            await self._coverage.require_within(
                actor, Action.MAINTAIN, covered, title=before.title, by=before.by
            )
            now, places = self._now(), await self._coverage.places(covered)
            after = change(before, now)
            async with self._database.write() as connection:
                if not await store.save(connection, before, after):
                    continue
                await audit.record(connection, _entry(actor, action, after, now, channel))
                await self._touch(connection, after, covered, urgent=True)
                body = _body(after) | {"what": after.last.value, "who": actor.user_id}
                await self._tell(connection, after, CHANGED, str(after.decided), places, body, now)
            return after
        raise Stale("That window changed a moment ago. Please look at its card, and try again.")

    async def planned(self, actor: Actor) -> Sequence[Maintenance]:
        """Those that are open or to come, the first to open first."""
        require(actor, Action.READ)
        return await self._planned()

    async def shown(self, text: str) -> tuple[Maintenance, int]:
        """One, over or not, and how many gateways it covers now. Raises NotFound."""
        window, covered = await self._found(text)
        return window, len(covered)

    async def down(self, actor: Actor) -> Sequence[MaintenanceDown]:
        """What is offline and held now, by window; those that hold nothing offline are left out."""
        found = []
        for one in await self.planned(actor):
            if one.holds(self._now()):
                down, first = await self._coverage.down(await self._covered(one))
                if down:
                    found.append(MaintenanceDown(one, down, first))
        return found

    async def of_incident(self, incident_id: IncidentId) -> Sequence[Maintenance]:
        """The windows that are open or open soon for a gateway that is down in this alert."""
        if not (soon := await self._soon()):
            return []
        async with self._database.read() as connection:
            down = set(await store.down_in(connection, incident_id))
        return [one for one in soon if down.intersection(await self._covered(one))]

    async def opening_for(self, gateway_ids: Collection[str]) -> MaintenanceOpening:
        """The next opening that holds all of these, with time left to start an update in it.

        Raises InvalidInput where there is none.
        """
        now, wanted, late = self._now(), set(gateway_ids), ""
        for one in await self._planned():
            if not wanted <= set(await self._covered(one)):
                continue
            comes_again = one.schedule.every is not Every.ONCE
            for each in one.schedule.openings(now) if not one.is_over else ():
                opening = MaintenanceOpening(one.id, each.begins, each.ends, comes_again)
                if opening.has_time_left(now):
                    return opening
                late = late or one.title
        if late:
            raise InvalidInput(
                f"{late} closes soon: too little time is left in it to start an update. Plan another with "
                "/mesh maintenance."
            )
        raise InvalidInput(
            "No maintenance window that is planned holds all of these gateways. /mesh windows lists them; "
            "plan one with /mesh maintenance, or leave out “in maintenance”."
        )

    async def at_site(self, site: str) -> Sequence[Maintenance]:
        """The windows that are open or open soon for a gateway of the site."""
        there = await self._coverage.at_site(site)
        return [one for one in await self._soon() if there.intersection(await self._covered(one))]

    async def _soon(self) -> Sequence[Maintenance]:
        edge = self._now() + SHOWN_BEFORE
        return [one for one in await self._planned() if one.opening and one.opening.begins <= edge]

    async def held(self) -> Collection[str]:
        """The ids of all gateways whose alerts a window holds now."""
        return await self._held_by([one for one in await self._planned() if one.holds(self._now())])

    async def held_between(self, begins: datetime, ends: datetime) -> Sequence[HeldTogether]:
        """When windows were open between two moments, and the gateways that they cover now."""
        async with self._database.read() as connection:
            windows = await store.between(connection, begins, ends)
        coverage, held = self._coverage.once(), list[HeldTogether]()
        for one in windows:
            if openings := [(each.begins, each.ends) for each in openings_between(one, begins, ends)]:
                held.append((openings, await coverage.of(one.query, one.limits)))
        return held

    async def _planned(self) -> Sequence[Maintenance]:
        async with self._database.read() as connection:
            return await store.planned(connection)

    async def _found(self, text: str) -> tuple[Maintenance, Sequence[str]]:
        number = parse_number(text)
        async with self._database.read() as connection:
            found = await store.find(connection, number)
        if found is None:
            raise _unknown(number)
        return found, await self._covered(found)

    async def _covered(self, window: Maintenance) -> Sequence[str]:
        return await self._coverage.of(window.query, window.limits)

    async def _held_by(self, windows: Sequence[Maintenance]) -> set[str]:
        return {id_ for one in windows for id_ in await self._covered(one)}

    # ---- time
    async def tick(self) -> None:
        """Announces, opens and closes what is due."""
        now = self._now()
        windows = await self._planned()
        for one in windows:
            assert one.opening is not None
            if one.opening.ends <= now:
                others = [other for other in windows if other.id != one.id and other.holds(now)]
                await self._close(one, others, now)
            elif one.opening.begins <= now:
                if not one.is_open:
                    await self._save(one, decide.opened(one))
            elif one.is_open:
                continue  # the clock was set back
            elif (due := announcement_due(one.opening, self._before, now)) != one.announced:
                await self._announce(one, due, now)

    async def _save(self, before: Maintenance, after: Maintenance) -> None:
        covered = await self._covered(before)
        async with self._database.write() as connection:
            if await store.save(connection, before, after):
                await self._touch(connection, after, covered)

    async def _announce(self, window: Maintenance, due: datetime | None, now: datetime) -> None:
        if due is None or (window.announced is not None and due < window.announced):
            return
        covered = await self._covered(window)
        places = await self._coverage.places(covered)
        async with self._database.write() as connection:
            if await store.save(connection, window, replace(window, announced=due)):
                body = _body(window) | {"covered": len(covered)}
                await self._tell(connection, window, SOON, due.isoformat(), places, body, now)
                await self._touch(connection, window, covered)

    async def _close(self, window: Maintenance, others: Sequence[Maintenance], now: datetime) -> None:
        """What is down is one alert. Judged by a poll that began after the end, and while the fleet can be
        seen: until then the window holds.
        """
        assert window.opening is not None
        covered = set(await self._covered(window))
        held = {*await self._silenced(), *await self._held_by(others)}
        async with self._database.write() as connection:
            newest = await _newest(connection)
            if newest is None or newest.started_at < window.opening.ends:
                return
            await membership.take_turn(connection)
            if not await store.save(connection, window, decide.closed(window, now)):
                return
            as_of = Thresholds(newest.finished_at, Cut(newest.finished_at, newest.number, now), None)
            entering = await membership.who_enters(connection, Trouble.OFFLINE, as_of)
            down = [one for one in entering if one in covered and one not in held]
            if down:
                key = f"m-{window.id} {window.opening.begins.isoformat()}"
                incident = await storms.begin(
                    connection,
                    IncidentKind.MAINTENANCE,
                    key,
                    now,
                    now,
                    site=f"{window.title}: {window.reason}",
                )
                await membership.join_one(connection, incident, IncidentKind.MAINTENANCE, down, as_of)
            await self._touch(connection, window, sorted(covered))

    async def _touch(
        self, connection: Transaction, window: Maintenance, covered: Sequence[str], *, urgent: bool = False
    ) -> None:
        """Its own cards are drawn again, and those of the alerts that tell of it."""
        await cards.touch(connection, _about(window), urgent=urgent)
        told = await store.live_incidents_with(connection, covered)
        still_open = await membership.which_are_open(connection, told)
        await cards.touch_all(connection, CardKind.INCIDENT, {str(one) for one in still_open})

    async def _tell(
        self,
        connection: Transaction,
        window: Maintenance,
        kind: str,
        once: str,
        places: Sequence[str],
        body: Mapping[str, Any],
        now: datetime,
    ) -> None:
        for place in places:
            key = f"{kind}/{window.id}/{once}/{place}"
            await cards.add_message(connection, place, key, kind, body, now)


async def _newest(connection: Transaction) -> Listing | None:
    """The newest poll, while the fleet can be seen."""
    if visibility_loss.visibility_loss(await listings.recent_outcomes(connection)) is not None:
        return None
    completed = await listings.completed_listings(connection, 1)
    return completed[0] if completed else None


def _about(window: Maintenance) -> About:
    return About(CardKind.MAINTENANCE, str(window.id))


def _unknown(number: MaintenanceId) -> NotFound:
    return NotFound(f"There is no maintenance window M-{number}. /mesh windows lists those that are planned.")


def _body(window: Maintenance) -> dict[str, Any]:
    """What a message about it says."""
    opening = window.coming
    return {
        "window": window.title,
        "query": window.query,
        "limits": list(window.limits),
        "by": window.by,
        "reason": window.reason,
        "begins": None if opening is None else opening.begins.isoformat(),
        "ends": None if opening is None else opening.ends.isoformat(),
        "closing": window.is_closing,
    }


def _entry(actor: Actor, action: AuditAction, window: Maintenance, now: datetime, channel: str) -> AuditEntry:
    opening = window.coming
    coming = "no opening follows"
    if opening is not None:
        begins, ends = opening.begins.astimezone(UTC), opening.ends.astimezone(UTC)
        which = "it is open from" if begins <= now else "the next opening is"
        coming = f"{which} {begins:%Y-%m-%d %H:%M} UTC to {ends:%Y-%m-%d %H:%M} UTC"
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"{window.title}: {window.query}",
        after=coming,
        channel=channel,
        reason=window.reason,
    )
