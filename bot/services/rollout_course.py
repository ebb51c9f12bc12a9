"""The course of rollouts: what is due is advanced, judged, stopped or finished, by itself.

A vendor job is an intent in one transaction, the call outside any, its result in another. After a crash, or
after an answer that was lost, the intent is looked for among the vendor's jobs by its name before it would be
created again. The domain decides; here is only the order in which it is asked.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain import plan as planning
from bot.domain import rollout as decide
from bot.domain import verdict
from bot.domain.errors import BotError
from bot.domain.firmware import FirmwareId, JobDevice, JobId
from bot.domain.fleet import GatewayId
from bot.domain.plan import Rules
from bot.domain.rollout import Freeze, Rollout, RolloutId, RolloutState, TargetState
from bot.domain.verdict import Course, FailureKind, Trip
from bot.domain.windows import may_start, next_start
from bot.meshtech.client import MeshtechClient
from bot.meshtech.errors import (
    Conflict,
    JobUnknown,
    LogInRefused,
    MeshtechError,
    RateLimited,
    RouteMissing,
    VendorRefused,
    VendorUnavailable,
)
from bot.services.rollout_log import BY_ITSELF, about, happened
from bot.storage import cards, listings
from bot.storage import rollout_batches as batches
from bot.storage import rollout_flight as flight
from bot.storage import rollout_targets as targets
from bot.storage import rollouts as store
from bot.storage.engine import Database, Transaction
from bot.storage.rollout_batches import Batch

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)  # longer than any call to the vendor may take
SOON = timedelta(seconds=5)
CLOCKS_MAY_DIFFER = timedelta(hours=1)  # the vendor's from ours
LOST_SIGHT = "the fleet cannot be seen now"

Told = Mapping[int, Mapping[GatewayId, JobDevice]]  # by batch, what its job says of each gateway


class RolloutCourse:
    """Advances rollouts. ``changed`` is called after a commit that the publisher should know of.

    ``sight_lost`` tells that the fleet cannot be seen: then nothing is started, promoted or judged.
    """

    def __init__(
        self,
        database: Database,
        client: MeshtechClient,
        *,
        rules: Rules,
        now: Callable[[], datetime],
        changed: Callable[[], None],
        sight_lost: Callable[[], Awaitable[bool]],
    ) -> None:
        self._database = database
        self._client = client
        self._rules = rules
        self._now = now
        self._changed = changed
        self._sight_lost = sight_lost

    async def advance(self) -> None:
        """Moves on every rollout that is due and that no other process holds; for a tick.

        One rollout that fails does not hold up the others.
        """
        async with self._database.write() as connection:
            claimed = await store.claim_due(connection, self._now(), LEASE)
        results = await asyncio.gather(*map(self._advance_claimed, claimed), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _advance_claimed(self, rollout_id: RolloutId) -> None:
        async with self._database.read() as connection:
            rollout = await store.load(connection, rollout_id)
        due_at: datetime | None = self._now() + SOON
        try:
            rollout, due_at = await self._advance_one(rollout)
        except BotError as error:
            log.warning("%s waits: %s", rollout.title, error)
        finally:
            async with self._database.write() as connection:
                await store.release(connection, rollout_id, rollout.version, due_at)

    async def _advance_one(self, rollout: Rollout) -> tuple[Rollout, datetime | None]:
        """The rollout as it is then, and when it is due again."""
        if rollout.state is RolloutState.REQUESTED:
            return await self._wait_for_approval(rollout)
        if rollout.state is RolloutState.SCHEDULED:
            rollout = await self._start_on_time(rollout)
            if rollout.state is not RolloutState.RUNNING:
                return rollout, rollout.start_at if rollout.state is RolloutState.SCHEDULED else None
        told, unsure = await self._ask_vendor(rollout)
        blind = await self._sight_lost()
        if not blind:
            await self._judge(rollout, told)
            rollout = await self._look_at_gates(rollout)
            rollout = await self._go_on(rollout)
        rollout, started = await self._start_some(rollout, blind=blind)
        if started:
            _, still_unsure = await self._ask_vendor(rollout, only_intended=True)
            unsure |= still_unsure
        if rollout.state.is_under_way or await self._is_flying(rollout.id):
            return rollout, self._now() + (SOON if unsure else self._rules.poll_every)
        return rollout, None

    # ---- before it runs
    async def _wait_for_approval(self, rollout: Rollout) -> tuple[Rollout, datetime | None]:
        now = self._now()
        expired = decide.expire(rollout, now)
        if expired is not rollout:
            async with self._database.write() as connection:
                await store.save(connection, rollout, expired, None)
                await happened(connection, expired, "expired", now)
            self._changed()
            return replace(expired, version=rollout.version + 1), None
        if rollout.reminded or now < decide.remind_at(rollout):
            return rollout, rollout.expires_at if rollout.reminded else decide.remind_at(rollout)
        async with self._database.write() as connection:
            await store.save(connection, rollout, replace(rollout, reminded=True), rollout.expires_at)
            await happened(connection, rollout, "reminder", now, missing=rollout.approvals_missing)
        self._changed()
        return replace(rollout, reminded=True, version=rollout.version + 1), rollout.expires_at

    async def _start_on_time(self, rollout: Rollout) -> Rollout:
        """Its time has come: it starts, unless the fleet drifted from what was approved."""
        now = self._now()
        assert rollout.start_at is not None
        if now < rollout.start_at:
            return rollout
        async with self._database.write() as connection:
            changed = await targets.count_drifted(connection, rollout.id, rollout.firmware_version)
            if planning.has_drifted(rollout.planned, changed):
                after = decide.void(rollout, changed, now)
                await targets.set_aside_all(connection, rollout.id, "not started: void", now)
                await targets.free_gateways(connection, rollout.id)
                await happened(connection, after, "void", now, reason=after.reason)
            else:
                after = decide.begin(rollout, now)
                await happened(connection, after, "started", now)
            await store.save(connection, rollout, after, now)
        self._changed()
        return replace(after, version=rollout.version + 1)

    # ---- the vendor's word
    async def _ask_vendor(self, rollout: Rollout, *, only_intended: bool = False) -> tuple[Told, bool]:
        """Creates the jobs that were intended, and asks how the others are; True when one is in doubt."""
        async with self._database.read() as connection:
            open_batches = await batches.open_batches(connection, rollout.id)
        told: dict[int, Mapping[GatewayId, JobDevice]] = {}
        unsure = False
        aborted = rollout.state is RolloutState.ABORTED
        for batch in open_batches:
            if aborted and batch.state != "canceled" and not await self._call_off(rollout, batch):
                unsure = True
            elif aborted and batch.vendor_job_id is None:
                continue
            elif batch.state == "intended":
                unsure |= not await self._create_job(rollout, batch)
            elif not only_intended:
                told[batch.id] = await self._follow(rollout, batch)
        return told, unsure

    async def _call_off(self, rollout: Rollout, batch: Batch) -> bool:
        """Cancels what an aborted rollout has in the vendor's queue. True when that is done."""
        job_id = JobId(batch.vendor_job_id) if batch.vendor_job_id else None
        if job_id is None and batch.called_at is not None:
            job_id = await self._find_job(batch)
            if job_id is None and self._now() - batch.called_at < self._rules.look_for:
                return False
        if job_id is not None:
            try:
                await self._client.cancel_job(job_id)
            except (Conflict, JobUnknown):
                log.info("%s is over already", batch.name)
        async with self._database.write() as connection:
            if job_id is not None:
                await batches.record_job(connection, batch.id, job_id)
            await batches.close_batch(connection, batch.id, "canceled")
            if job_id is None:
                courses = [
                    verdict.spared(one.course)
                    for one in await flight.flying(connection, rollout.id)
                    if one.batch_id == batch.id
                ]
                await flight.save_courses(connection, rollout.id, courses, self._now())
        return True

    async def _create_job(self, rollout: Rollout, batch: Batch) -> bool:
        """Calls the vendor for an intended batch. True when it is known what became of it."""
        if batch.called_at is not None:
            job_id = await self._find_job(batch)
            if job_id is not None:
                await self._created(batch, job_id)
                return True
            if self._now() - batch.called_at < self._rules.look_for:
                return False
        async with self._database.write() as connection:
            members = await batches.batch_members(connection, batch.id)
            await batches.mark_called(connection, batch.id, self._now())
        try:
            job_id = await self._client.create_job(batch.name, FirmwareId(rollout.firmware_id), members)
        except (VendorRefused, Conflict) as error:
            reason = f"Meshtech refused the job: {error}"
            await self._give_up(rollout, batch, reason, "refused", FailureKind.TRANSPORT)
            return True
        except (RateLimited, RouteMissing, LogInRefused, VendorUnavailable) as error:
            log.warning("%s was not sent: %s", batch.name, error)
            async with self._database.write() as connection:
                await batches.mark_called(connection, batch.id, None)
            return False
        except MeshtechError as error:
            log.warning("%s: it is not known whether the job exists: %s", batch.name, error)
            return False
        await self._created(batch, job_id)
        return True

    async def _find_job(self, batch: Batch) -> JobId | None:
        """Looks for the batch's job by its name, among those not older than its intent."""
        async for job in self._client.jobs():
            if job.name == batch.name:
                return job.id
            if job.created_at is not None and job.created_at < batch.intended_at - CLOCKS_MAY_DIFFER:
                return None
        return None

    async def _created(self, batch: Batch, job_id: JobId) -> None:
        async with self._database.write() as connection:
            await batches.record_job(connection, batch.id, job_id)
            await cards.touch(connection, about(batch.rollout_id))
        self._changed()

    async def _follow(self, rollout: Rollout, batch: Batch) -> Mapping[GatewayId, JobDevice]:
        """What the batch's job says of each gateway; one that ended is not asked again."""
        assert batch.vendor_job_id is not None
        try:
            job = await self._client.job(JobId(batch.vendor_job_id))
        except JobUnknown:
            gone = "its job is gone from the portal"
            await self._give_up(rollout, batch, gone, "finished", FailureKind.SILENCE)
            return {}
        told = {device.device_id: device for device in job.devices}
        if job.status.terminal:
            await self._end_of_job(rollout, batch, told)
        return told

    async def _end_of_job(self, rollout: Rollout, batch: Batch, told: Mapping[GatewayId, JobDevice]) -> None:
        """Gateways of which an ended job says nothing final have no result to wait for."""
        async with self._database.write() as connection:
            courses = [
                one.course
                for one in await flight.flying(connection, rollout.id)
                if one.batch_id == batch.id and not _is_final(told.get(one.course.gateway_id))
            ]
            silent = [course for course in courses if course.reported_at is None]
            over = verdict.fail(silent, "the job ended without a result for it", FailureKind.TRANSPORT)
            await flight.save_courses(connection, rollout.id, over, self._now())

    async def _give_up(
        self, rollout: Rollout, batch: Batch, reason: str, state: str, kind: FailureKind
    ) -> None:
        async with self._database.write() as connection:
            courses = [
                one.course for one in await flight.flying(connection, rollout.id) if one.batch_id == batch.id
            ]
            failed = verdict.fail(courses, reason, kind)
            await flight.save_courses(connection, rollout.id, failed, self._now())
            await batches.close_batch(connection, batch.id, state, reason)
            await cards.touch(connection, about(rollout.id))
        self._changed()

    # ---- what the fleet shows
    async def _judge(self, rollout: Rollout, told: Told) -> None:
        """Judges every gateway in flight by its job and by the newest listing, in one transaction."""
        now = self._now()
        async with self._database.write() as connection:
            as_of = (await listings.status(connection)).as_of
            updated, lost = [], []
            for one in await flight.flying(connection, rollout.id):
                device = told.get(one.batch_id, {}).get(one.course.gateway_id)
                after = verdict.judge(
                    one.course,
                    device,
                    one.seen,
                    rollout.firmware_version,
                    now,
                    as_of,
                    self._rules,
                    aborted=rollout.state is RolloutState.ABORTED,
                )
                if after != one.course:
                    updated.append(after)
                if after.state is TargetState.NOT_RETURNED:
                    lost.append(after)
            if not updated:
                return
            await flight.save_courses(connection, rollout.id, updated, now)
            await targets.free_gateways(connection, rollout.id)
            await cards.touch(connection, about(rollout.id))
            if lost:
                await self._say_lost(connection, rollout, lost, now)
        self._changed()

    async def _say_lost(
        self, connection: Transaction, rollout: Rollout, lost: Sequence[Course], now: datetime
    ) -> None:
        """The louder alert: these did not come back, and it names the rollout."""
        known = await targets.labels(connection, rollout.id, [one.gateway_id for one in lost[:10]])
        await happened(
            connection,
            rollout,
            "not_returned",
            now,
            count=len(lost),
            gateways=[[label, site] for label, site in known],
            version=rollout.firmware_version,
        )

    async def _look_at_gates(self, rollout: Rollout) -> Rollout:
        """Pauses, or stops for good and freezes the firmware, when a gate says so."""
        if rollout.state not in {RolloutState.RUNNING, RolloutState.PROMOTION}:
            return rollout
        now = self._now()
        async with self._database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            if fresh.state not in {RolloutState.RUNNING, RolloutState.PROMOTION}:
                return fresh  # somebody else was faster
            trip = verdict.look(await flight.tally(connection, fresh, now))
            if trip is None:
                return fresh
            counts = await targets.count_targets(connection, fresh.id)
            if not trip.for_good and not _in_states(counts, {TargetState.WAITING}):
                return fresh  # a pause would keep nobody back
            after = await self._stop(connection, fresh, trip, now)
        self._changed()
        return replace(after, version=fresh.version + 1)

    async def _stop(self, connection: Transaction, rollout: Rollout, trip: Trip, now: datetime) -> Rollout:
        if not trip.for_good:
            after = decide.paused(rollout, trip.reason)
            await store.save(connection, rollout, after, now)
            await happened(connection, after, "paused", now, reason=trip.reason)
            return after
        after = decide.aborted(rollout, trip.reason, now)
        await store.save(connection, rollout, after, now)
        await targets.set_aside_all(connection, rollout.id, f"not started: {trip.reason}", now)
        await targets.free_gateways(connection, rollout.id)
        reason = f"{rollout.title} stopped: {trip.reason}"
        freeze = Freeze(rollout.firmware_version, BY_ITSELF, BY_ITSELF, reason, now)
        frozen = await store.add_freeze(connection, freeze)
        await happened(connection, after, "aborted", now, reason=trip.reason, frozen=frozen)
        await store.hurry(connection, now)
        return after

    # ---- from wave to wave
    async def _go_on(self, rollout: Rollout) -> Rollout:
        """The next wave, the stop for promotion, the end."""
        async with self._database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            counts = await targets.count_targets(connection, rollout.id)
            now = self._now()
            after = decide.advance(fresh, counts, now, self._rules)
            if after == fresh:
                return fresh
            await store.save(connection, fresh, after, now)
            await self._say_progress(connection, fresh, after, counts, now)
            if after.state is RolloutState.FINISHED:
                await targets.free_gateways(connection, rollout.id)
        self._changed()
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
        body: dict[str, Any] = {"verified": verified, "failed": failed, "version": after.firmware_version}
        if after.state is RolloutState.FINISHED:
            await happened(connection, after, "finished", now, requester=after.requester, **body)
        elif after.state is RolloutState.PROMOTION:
            await happened(connection, after, "canary_done", now, **body)
        elif after.wave != before.wave:
            await happened(connection, after, "wave", now, wave=after.wave, **body)
        else:
            await cards.touch(connection, about(after.id))

    # ---- starts
    async def _start_some(self, rollout: Rollout, *, blind: bool) -> tuple[Rollout, bool]:
        """Puts the gateways whose turn it is into batches; from this commit on they are started."""
        if rollout.state is not RolloutState.RUNNING:
            return rollout, False
        now = self._now()
        async with self._database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            if fresh.state is not RolloutState.RUNNING:
                return fresh, False
            held = await self._holds(connection, fresh, now, blind=blind)
            if held != fresh.held:
                await store.save(connection, fresh, replace(fresh, held=held), now)
                await cards.touch(connection, about(fresh.id))
                fresh = replace(fresh, held=held, version=fresh.version + 1)
            started = held is None and await self._intend(connection, fresh, now)
        self._changed()
        return fresh, started

    async def _holds(
        self, connection: Transaction, rollout: Rollout, now: datetime, *, blind: bool
    ) -> str | None:
        """What keeps this rollout's gateways from being started now, in words."""
        if blind:
            return LOST_SIGHT
        freeze = await store.freeze_of(connection, rollout.firmware_version)
        if freeze is not None and rollout.through_freeze is None:
            return freeze.says()
        rules = self._rules
        if not may_start(rules.window, rules.zone, now):
            opens = next_start(rules.window, rules.zone, now).astimezone(rules.zone)
            return f"outside the window; it opens {opens:%A %H:%M} ({rules.zone.key})"
        return None

    async def _intend(self, connection: Transaction, rollout: Rollout, now: datetime) -> bool:
        waiting, away = await targets.waiting_gateways(connection, rollout.id, rollout.wave)
        parked = [(gateway_id, "offline when its turn came") for gateway_id in away]
        await targets.set_aside(connection, rollout.id, parked, TargetState.PARKED, now)
        if parked:
            await targets.free_gateways(connection, rollout.id)
            await cards.touch(connection, about(rollout.id))
        if not waiting:
            return False
        chosen = decide.choose_starts(
            waiting,
            await targets.flying_by_site(connection),
            await targets.site_sizes(connection, (site for _, site in waiting)),
            self._rules,
        )
        if not chosen:
            return False
        number = await batches.next_batch_number(connection, rollout.id, rollout.wave)
        for index, members in enumerate(decide.batches(chosen, self._rules), number):
            name = decide.job_name(rollout, rollout.wave, index)
            await batches.intend_batch(connection, rollout.id, rollout.wave, index, name, members, now)
        await cards.touch(connection, about(rollout.id))
        return True

    async def _is_flying(self, rollout_id: RolloutId) -> bool:
        async with self._database.read() as connection:
            counts = await targets.count_targets(connection, rollout_id)
        return any(count for (_, state), count in counts.items() if state.is_in_flight)


def _is_final(device: JobDevice | None) -> bool:
    return device is not None and device.progress.terminal


def _in_states(counts: decide.Counts, states: set[TargetState]) -> int:
    return sum(count for (_, state), count in counts.items() if state in states)
