"""The course of rollouts: what is due is advanced, judged, stopped or finished, by itself.

The domain decides; here is only the order in which it is asked. The vendor's jobs are in ``jobs.py``.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from bot.domain.errors import BotError
from bot.domain.firmware import JobDevice
from bot.domain.gateways import GatewayId
from bot.domain.rollouts import approvals, gateway_verdict, next_starts, stop_gates
from bot.domain.rollouts import lifecycle as decide
from bot.domain.rollouts.events import (
    ApprovalReminder,
    CanaryDone,
    CaughtUp,
    Expired,
    Finished,
    NamedGateway,
    NotReturned,
    Paused,
    RecordedEvent,
    Started,
    Voided,
    WaitBegan,
    WaitEnded,
    WaveStarted,
)
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.gateway_verdict import Attempt
from bot.domain.rollouts.lifecycle import SILENT, Rollout, RolloutId, RolloutState, TargetState
from bot.services.rollouts.approval_checks import StartChecks
from bot.services.rollouts.events import BY_ITSELF, about, record_event, tell_requester
from bot.services.rollouts.freezes import record_freeze
from bot.services.rollouts.stragglers import NAMED, StragglerTracker
from bot.services.rollouts.vendor_jobs import (
    JobReports,
    RolloutContext,
    RolloutJobs,
    start_blocker,
    stop_for_good,
)
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction
from bot.storage.db.leases import Releases
from bot.storage.rollouts import batches, freezes, retries, targets
from bot.storage.rollouts import in_flight as flight
from bot.storage.rollouts import rollouts as store
from bot.storage.rollouts.maintenance_window import maintenance_opening

log = logging.getLogger(__name__)

SOON = timedelta(seconds=5)


class RolloutRunner:
    """Advances rollouts.

    ``visibility_lost`` tells that the fleet cannot be seen: then nothing is started, promoted or judged.
    ``listed_at`` tells when the newest listing was completed.
    """

    def __init__(
        self,
        context: RolloutContext,
        *,
        checks: StartChecks,
        visibility_lost: Callable[[], Awaitable[bool]],
        listed_at: Callable[[], Awaitable[datetime | None]],
        owner: str,
    ) -> None:
        self._checks = checks
        self._context = context
        self._jobs = RolloutJobs(context)
        self._stragglers = StragglerTracker(context, self._jobs)
        self._visibility_lost = visibility_lost
        self._listed_at = listed_at
        self._owner = owner
        self._releases = Releases(context.database, context.now)

    async def advance(self) -> None:
        """Moves on every rollout that is due and that no other process holds; for a tick.

        One rollout that fails does not hold up the others.
        """
        await self._releases.repeat()
        async with self._context.database.write() as connection:
            claimed = await store.claim_due(connection, self._owner, self._context.now())
        results = await asyncio.gather(*map(self._advance_claimed, claimed), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _advance_claimed(self, rollout_id: RolloutId) -> None:
        version: int | None = None
        due_at: datetime | None = self._context.now() + SOON
        try:
            async with store.kept(self._context.database, rollout_id, self._owner, self._context.now):
                async with self._context.database.read() as connection:
                    rollout = await store.load(connection, rollout_id)
                version = rollout.version
                rollout, due_at = await self._advance_one(rollout)
                version = rollout.version
        except BotError as error:
            log.warning("R-%d waits: %s", rollout_id, error)
        finally:
            release = partial(
                store.release, rollout_id=rollout_id, owner=self._owner, seen_version=version, due_at=due_at
            )
            await self._releases.give_back(rollout_id, release)

    async def _advance_one(self, rollout: Rollout) -> tuple[Rollout, datetime | None]:
        """The rollout as it is then, and when it is due again."""
        if rollout.state is RolloutState.REQUESTED:
            return await self._wait_for_approval(rollout)
        if rollout.state is RolloutState.SCHEDULED:
            rollout, due_at = await self._start_on_time(rollout)
            if rollout.state is not RolloutState.RUNNING:
                return rollout, due_at
        not_visible = await self._visibility_lost()
        asked = await self._jobs.ask(rollout, not_visible=not_visible)
        soon = asked.in_doubt or asked.unheard
        if not not_visible:
            await self._judge(rollout, asked.reports)
            rollout = await self._look_at_gates(rollout)
            rollout = await self._go_on(rollout)
        look_again = await self._stragglers.look(rollout, asked.reports)
        if not asked.unheard:  # the gates may not know all
            rollout = await self._let_returned_follow(rollout, not_visible=not_visible)
            rollout, started = await self._start_some(rollout, not_visible=not_visible)
            if started:
                sent = await self._jobs.ask(rollout, not_visible=not_visible, only_intended=True)
                soon |= sent.in_doubt or sent.unheard
        if rollout.state.is_under_way or await self._has_in_flight(rollout.id):
            return rollout, self._context.now() + (SOON if soon else self._context.rules.poll_every)
        return rollout, self._context.now() + look_again if look_again else None

    # ---- before it runs
    async def _wait_for_approval(self, rollout: Rollout) -> tuple[Rollout, datetime | None]:
        now = self._context.now()
        expired = approvals.expire(rollout, now)
        if expired is not rollout:
            async with self._context.database.write() as connection:
                await store.save(connection, rollout, expired, None)
                await targets.skip_all(connection, rollout.id, "not started: expired", now)
                entry = await record_event(connection, expired, Expired(), now, before=rollout)
                await tell_requester(connection, expired, entry, Expired(), None, now)
            return replace(expired, version=rollout.version + 1), None
        if rollout.reminded or now < approvals.remind_at(rollout):
            return rollout, rollout.expires_at if rollout.reminded else approvals.remind_at(rollout)
        async with self._context.database.write() as connection:
            await store.save(connection, rollout, replace(rollout, reminded=True), rollout.expires_at)
            reminder = ApprovalReminder(rollout.approvals_missing, rollout.expires_at)
            await record_event(connection, rollout, reminder, now)
        return replace(rollout, reminded=True, version=rollout.version + 1), rollout.expires_at

    async def _start_on_time(self, rollout: Rollout) -> tuple[Rollout, datetime | None]:
        """Its time has come: it starts, is void, or waits on; see ``StartChecks``."""
        now = self._context.now()
        if rollout.start_at is not None and now < rollout.start_at:
            return rollout, rollout.start_at
        check = await self._checks.begin(rollout)
        async with self._context.database.write() as connection:
            if why := await check.complete(connection, rollout):
                after = approvals.void(rollout, why, now)
                await targets.skip_all(connection, rollout.id, "not started: void", now)
                await targets.free_gateways(connection, rollout.id)
                voided = Voided(why)
                entry = await record_event(connection, after, voided, now, before=rollout)
                await tell_requester(connection, after, entry, voided, None, now)
            else:
                after = decide.begin(rollout, now, check.held)
                if after == rollout:
                    return rollout, now + self._context.rules.poll_every
                if after.state is RolloutState.RUNNING:
                    await record_event(connection, after, Started(), now, before=rollout)
                else:
                    await cards.touch(connection, about(rollout.id))
            await store.save(connection, rollout, after, now)
        waits = now + self._context.rules.poll_every if after.state is RolloutState.SCHEDULED else None
        return replace(after, version=rollout.version + 1), waits

    # ---- what the fleet shows
    async def _judge(self, rollout: Rollout, reports: JobReports) -> None:
        """Judges every gateway in flight by its job and by the newest listing, in one transaction.

        One whose job has reports nothing yet, since it could not be created so far, is not judged.
        """
        now, as_of = self._context.now(), await self._listed_at()
        async with self._context.database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)  # somebody may have aborted it
            updated, lost = [], []
            silent: dict[GatewayId, JobDevice | None] = {}
            for batch_id, devices in reports.items():  # the event loop turns with each
                for one in await flight.in_flight(connection, batch_id):
                    device = devices.get(one.attempt.gateway_id)
                    after = gateway_verdict.judge(
                        one.attempt,
                        device,
                        one.seen,
                        rollout.firmware_version,
                        now,
                        as_of,
                        self._context.rules,
                        aborted=fresh.state is RolloutState.ABORTED,
                    )
                    if after != one.attempt:
                        updated.append(after)
                    if after.state is TargetState.NOT_RETURNED:
                        lost.append(after)
                    if after.state in SILENT:
                        silent[after.gateway_id] = device
            if not updated:
                return
            await flight.save_attempts(connection, rollout.id, updated, now)
            await self._stragglers.keep(connection, rollout, silent)
            await targets.free_gateways(connection, rollout.id)
            await cards.touch(connection, about(rollout.id))
            if lost:
                await self._say_lost(connection, rollout, lost, now)

    async def _say_lost(
        self, connection: Transaction, rollout: Rollout, lost: Sequence[Attempt], now: datetime
    ) -> None:
        """The louder alert: these did not come back, and it names the rollout."""
        known = await targets.labels(connection, rollout.id, [one.gateway_id for one in lost[:10]])
        named = tuple(NamedGateway(label, site) for label, site in known)
        await record_event(connection, rollout, NotReturned(len(lost), rollout.firmware_version, named), now)

    async def _look_at_gates(self, rollout: Rollout) -> Rollout:
        """Pauses, or stops for good and freezes the firmware, when a gate says so.

        One that is paused can still be stopped for good, by what was in flight then.
        """
        if not rollout.state.is_under_way:
            return rollout
        now = self._context.now()
        async with self._context.database.write() as connection:
            fresh, trip = await self._find_trip(connection, rollout.id, now)
            if trip is None:
                return fresh
            if not trip.for_good:
                after = decide.paused(fresh, trip.reason)
                await store.save(connection, fresh, after, now)
                await record_event(connection, after, Paused(trip.reason), now, before=fresh)
                return replace(after, version=fresh.version + 1)
        async with self._context.database.write() as connection:
            await freezes.lock_all(connection)  # its freeze touches others too
            fresh, trip = await self._find_trip(connection, rollout.id, now)
            if trip is None or not trip.for_good:
                return fresh
            after = await self._stop(connection, fresh, trip.reason, now)
        return replace(after, version=fresh.version + 1)

    async def _find_trip(
        self, connection: Transaction, rollout_id: RolloutId, now: datetime
    ) -> tuple[Rollout, stop_gates.GateTrip | None]:
        """The rollout as it is, and the gate that closed and still changes something."""
        fresh = await store.load(connection, rollout_id, to_change=True)
        if not fresh.state.is_under_way:
            return fresh, None  # somebody else was faster
        trip = stop_gates.check_gates(await flight.gate_counts(connection, fresh, now))
        if trip is None or trip.for_good:
            return fresh, trip
        if decide.is_paused_by_itself(fresh) and fresh.reason != trip.reason:
            fresh = await self._say_reason(connection, fresh, trip.reason, now)
        counts = await targets.count_targets(connection, fresh.id)
        unstarted = {TargetState.WAITING, TargetState.AWAY}
        keeps_back = fresh.state is not RolloutState.PAUSED and _in_states(counts, unstarted)
        return fresh, trip if keeps_back else None

    async def _say_reason(
        self, connection: Transaction, paused: Rollout, reason: str, now: datetime
    ) -> Rollout:
        """What was in flight when it paused itself settled since, and belongs to the reason."""
        after = decide.paused(paused, reason)
        await store.save(connection, paused, after, now)
        await cards.touch(connection, about(paused.id))
        await cards.touch_notes(connection, f"rollout/{paused.id}/")
        return replace(after, version=paused.version + 1)

    async def _stop(self, connection: Transaction, rollout: Rollout, why: str, now: datetime) -> Rollout:
        reason = f"{rollout.title} stopped: {why}"
        freeze = Freeze(rollout.firmware_version, BY_ITSELF, BY_ITSELF, reason, now)
        after, frozen = await stop_for_good(connection, rollout, why, now, freeze)
        if frozen:
            await record_freeze(connection, freeze, None, now)
        return after

    # ---- from wave to wave
    async def _go_on(self, rollout: Rollout) -> Rollout:
        """The next wave, the stop for promotion, the end."""
        async with self._context.database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            counts = await targets.count_targets(connection, rollout.id)
            now = self._context.now()
            if fresh.state.is_under_way and fresh.has_waited_at(now):
                fresh = await self._end_waiting(connection, fresh, None, now)
                counts = await targets.count_targets(connection, rollout.id)
            unstarted = _in_states(counts, {TargetState.WAITING, TargetState.AWAY})
            if (
                unstarted
                and fresh.state is RolloutState.RUNNING
                and await self._is_without_window(connection, fresh)
            ):
                after = decide.without_window(fresh)
                await store.save(connection, fresh, after, now)
                await record_event(connection, after, Paused(after.reason), now, before=fresh)
                return replace(after, version=fresh.version + 1)
            after = decide.advance(fresh, counts, now, self._context.rules)
            if after == fresh:
                return fresh
            await store.save(connection, fresh, after, now)
            await self._say_progress(connection, fresh, after, counts, now)
        return replace(after, version=fresh.version + 1)

    async def _say_progress(
        self,
        connection: Transaction,
        before: Rollout,
        after: Rollout,
        counts: decide.Counts,
        now: datetime,
    ) -> None:
        verified = _in_states(counts, {TargetState.VERIFIED})
        failed = _in_states(counts, set(decide.FAILURES))
        away = decide.count_away(counts)
        event: RecordedEvent
        if after.state is RolloutState.FINISHED:
            named = await self._named(connection, after, TargetState.SKIPPED)
            skipped = _in_states(counts, {TargetState.SKIPPED})
            event = Finished(verified, failed, after.requester, skipped, named)
        elif after.state is RolloutState.PROMOTION:
            event = CanaryDone(verified, failed)
        elif after.wave != before.wave:
            event = WaveStarted(after.wave, verified, failed)
        elif away and after.wait_until and decide.is_last_wave(after, counts) and after.wave_settled_at:
            event = WaitBegan(verified, failed, away, after.wait_until)
        else:
            await cards.touch(connection, about(after.id))
            return
        await record_event(connection, after, event, now, before=before)

    async def _is_without_window(self, connection: Transaction, rollout: Rollout) -> bool:
        bound = rollout.maintenance
        return bound is not None and await maintenance_opening(connection, bound) is None

    async def _named(
        self, connection: Transaction, rollout: Rollout, state: TargetState
    ) -> tuple[NamedGateway, ...]:
        found = await targets.list_targets(connection, rollout.id, [state], NAMED)
        return tuple(NamedGateway(one.label, one.site) for one in found)

    # ---- those that were offline
    async def _let_returned_follow(self, rollout: Rollout, *, not_visible: bool) -> Rollout:
        """Opens a wave of those that are back, if nothing holds it and what was approved still stands."""
        if not_visible or rollout.wait_until is None:
            return rollout
        as_of = await self._listed_at()
        async with self._context.database.read() as connection:
            if await self._returned(connection, rollout, as_of) is None:
                return rollout
        check = await self._checks.begin(rollout)
        async with self._context.database.write() as connection:
            fresh, now = await store.load(connection, rollout.id, to_change=True), self._context.now()
            returned = await self._returned(connection, fresh, as_of)
            held = await start_blocker(connection, fresh, self._context.rules, now, not_visible=not_visible)
            if returned is None or held or check.held:
                return fresh
            if check.void:
                return await self._end_waiting(connection, fresh, check.void, now)
            await self._leave_out(connection, fresh, returned.instead, now)
            if not returned.gateways:
                return fresh
            after = decide.follow(fresh, returned.wave)
            await retries.put_into_wave(connection, fresh.id, returned.gateways, returned.wave)
            await store.save(connection, fresh, after, now)
            await record_event(
                connection, after, CaughtUp(len(returned.gateways), returned.wave), now, before=fresh
            )
        return replace(after, version=fresh.version + 1)

    async def _returned(
        self, connection: Transaction, rollout: Rollout, as_of: datetime | None
    ) -> next_starts.Returned | None:
        now = self._context.now()
        away = await targets.away_gateways(connection, rollout, now)
        if not away:
            return None
        counts = await targets.count_targets(connection, rollout.id)
        return next_starts.choose_returned(away, rollout, counts, self._context.rules, now, as_of or now)

    async def _end_waiting(
        self, connection: Transaction, rollout: Rollout, reason: str | None, now: datetime
    ) -> Rollout:
        after = decide.waited(rollout)
        await store.save(connection, rollout, after, now)
        if count := await targets.end_waiting(connection, rollout.id, now):
            await record_event(connection, after, WaitEnded(count, reason), now, before=rollout)
        return replace(after, version=rollout.version + 1)

    # ---- starts
    async def _start_some(self, rollout: Rollout, *, not_visible: bool) -> tuple[Rollout, bool]:
        """Puts the gateways whose turn it is into batches; from this commit on they are started."""
        if rollout.state is not RolloutState.RUNNING:
            return rollout, False
        now = self._context.now()
        async with self._context.database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            if fresh.state is not RolloutState.RUNNING:
                return fresh, False
            held = await start_blocker(connection, fresh, self._context.rules, now, not_visible=not_visible)
            if held != fresh.held:
                await store.save(connection, fresh, replace(fresh, held=held), now)
                await cards.touch(connection, about(fresh.id))
                fresh = replace(fresh, held=held, version=fresh.version + 1)
            started = held is None and await self._intend(connection, fresh, now)
        return fresh, started

    async def _intend(self, connection: Transaction, rollout: Rollout, now: datetime) -> bool:
        waiting, others = [], {}
        for one in await targets.waiting_gateways(connection, rollout):
            if instead := next_starts.skip_reason(one, rollout, now):
                others[one.gateway_id] = instead
            else:
                waiting.append(one)
        await self._leave_out(connection, rollout, others, now)
        if not waiting:
            return False
        chosen = next_starts.choose_starts(
            waiting,
            await targets.in_flight_by_site(connection),
            await targets.site_sizes(connection, (one.site for one in waiting)),
            self._context.rules,
        )
        if not chosen:
            return False
        number = await batches.next_batch_number(connection, rollout.id, rollout.wave)
        for index, members in enumerate(next_starts.batches(chosen, self._context.rules), number):
            name = next_starts.job_name(rollout, rollout.wave, index)
            await batches.intend_batch(connection, rollout.id, rollout.wave, index, name, members, now)
        await cards.touch(connection, about(rollout.id))
        return True

    async def _leave_out(
        self,
        connection: Transaction,
        rollout: Rollout,
        instead: Mapping[GatewayId, tuple[TargetState, str]],
        now: datetime,
    ) -> None:
        """Whose turn has come and who cannot be started is in this state, for this reason."""
        by_state = defaultdict(list)
        for gateway_id, (state, reason) in instead.items():
            by_state[state].append((gateway_id, reason))
        for state, some in by_state.items():
            await targets.skip(connection, rollout.id, some, state, now)
        if instead:
            await targets.free_gateways(connection, rollout.id)
            await cards.touch(connection, about(rollout.id))

    async def _has_in_flight(self, rollout_id: RolloutId) -> bool:
        async with self._context.database.read() as connection:
            counts = await targets.count_targets(connection, rollout_id)
        return any(count for (_, state), count in counts.items() if state.is_in_flight)


def _in_states(counts: decide.Counts, states: set[TargetState]) -> int:
    return sum(count for (_, state), count in counts.items() if state in states)
