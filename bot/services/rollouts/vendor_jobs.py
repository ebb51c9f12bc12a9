"""The vendor's jobs of a rollout: created once each, followed, called off.

A job is an intent in one transaction, the call outside any, its result in another. After a crash, or after
an answer that was lost, the intent is looked for among the vendor's jobs by its name before it would be
created again.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.firmware import JobDevice, JobId, JobStatus
from bot.domain.gateways import GatewayId
from bot.domain.rollouts import gateway_verdict
from bot.domain.rollouts import lifecycle as decide
from bot.domain.rollouts.events import Aborted, NotCalledOff
from bot.domain.rollouts.freezes import Freeze, is_held
from bot.domain.rollouts.gateway_verdict import Attempt, FailureKind
from bot.domain.rollouts.lifecycle import Rollout, RolloutRules, RolloutState
from bot.domain.times.update_windows import may_start, next_start
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
from bot.services.context import Context
from bot.services.rollouts.events import about, record_event
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import batches, freezes, targets
from bot.storage.rollouts import in_flight as flight
from bot.storage.rollouts import rollouts as store
from bot.storage.rollouts.batches import Batch
from bot.storage.rollouts.maintenance_window import maintenance_opening

log = logging.getLogger(__name__)

CLOCKS_MAY_DIFFER = timedelta(days=1)  # the vendor's from ours, its time zone not reports

FLEET_NOT_VISIBLE = "there is no data from Meshtech now"

JobReports = Mapping[int, Mapping[GatewayId, JobDevice]]  # by batch, what its job says of each gateway


@dataclass(frozen=True, slots=True)
class JobAnswers:
    """What the vendor said of a rollout's jobs; a batch is not in ``reports`` while its job says nothing.

    ``in_doubt``: the result of some call is not known yet. ``unheard``: some job could not be asked.
    """

    reports: JobReports
    in_doubt: bool = False
    unheard: bool = False


@dataclass(frozen=True, slots=True)
class RolloutContext(Context):
    """What rollouts are run with."""

    client: MeshtechClient
    rules: RolloutRules


class RolloutJobs:
    """Creates jobs, follows them and calls them off."""

    def __init__(self, context: RolloutContext) -> None:
        self._context = context

    async def ask(self, rollout: Rollout, *, not_visible: bool, only_intended: bool = False) -> JobAnswers:
        """Creates the jobs that were intended, and asks how the others are; one that fails holds up no other.

        ``not_visible``: the fleet cannot be seen, so none is created.
        """
        async with self._context.database.read() as connection:
            open_batches = await batches.open_batches(connection, rollout.id)
        reports: dict[int, Mapping[GatewayId, JobDevice]] = {}
        in_doubt = unheard = False
        aborted = rollout.state is RolloutState.ABORTED
        for batch in open_batches:
            try:
                if aborted and batch.state != "canceled" and not await self._call_off(rollout, batch):
                    in_doubt = True
                elif aborted and batch.vendor_job_id is None:
                    continue
                elif batch.state == "intended":
                    in_doubt |= not await self._create_job(rollout, batch, not_visible=not_visible)
                elif not only_intended:
                    reports[batch.id] = await self._follow(batch)
            except MeshtechError as error:
                log.warning("%s waits: %s", batch.name, error)
                unheard = True
        return JobAnswers(reports, in_doubt, unheard)

    async def _call_off(self, rollout: Rollout, batch: Batch) -> bool:
        """Cancels what an aborted rollout has in the vendor's queue. True when that is done."""
        job_id = JobId(batch.vendor_job_id) if batch.vendor_job_id else None
        if job_id is None and batch.called_at is not None:
            job_id = await self._find_job(batch)
            if job_id is None and self._context.now() - batch.called_at < self._context.rules.look_for:
                return False
        refusal = await self._cancel(job_id) if job_id is not None else None
        now = self._context.now()
        async with self._context.database.write() as connection:
            await store.load(connection, rollout.id, to_change=True)
            if job_id is not None:
                await batches.record_job(connection, batch.id, job_id)
            elif await batches.is_intended(connection, batch):
                in_flight = await flight.in_flight(connection, batch.id)
                attempts = [gateway_verdict.spared(one.attempt) for one in in_flight]
                await self._save(connection, rollout, attempts)
            else:
                return False  # it was sent meanwhile
            await batches.close_batch(connection, batch.id, "canceled", refusal)
            if refusal is not None:
                await record_event(connection, rollout, NotCalledOff(batch.name, refusal), now)
        return True

    async def call_off_rest(self, batch: Batch) -> bool:
        """Has the vendor begin nothing more of a job. False: it was not done, try again later."""
        assert batch.vendor_job_id is not None, "the vendor has reports of it"
        try:
            done = await self._cancel(JobId(batch.vendor_job_id)) is None
        except MeshtechError as error:
            log.warning("The rest of %s could not be called off: %s", batch.name, error)
            return False
        if done:
            async with self._context.database.write() as connection:
                await batches.close_batch(connection, batch.id, "canceled")
        return done

    async def _cancel(self, job_id: JobId) -> str | None:
        """Why the vendor does not take back what it has not begun; None when it has."""
        try:
            await self._context.client.cancel_job(job_id)
        except (Conflict, JobUnknown):
            log.info("job %s is over already", job_id)
        except (VendorRefused, RouteMissing) as error:
            log.warning("job %s is not called off: %s", job_id, error)
            return str(error)
        return None

    async def _create_job(self, rollout: Rollout, batch: Batch, *, not_visible: bool) -> bool:
        """Calls the vendor for an intended batch. True when the result is known."""
        if batch.called_at is not None:
            job_id = await self._find_job(batch)
            if job_id is not None:
                await self._created(batch, job_id)
                return True
            if self._context.now() - batch.called_at < self._context.rules.look_for:
                return False
        found = await self._context.client.firmware(rollout.firmware.id)
        if changed := rollout.firmware.change(found):
            await self._stop(rollout, changed)
            return False
        members = await self._about_to_call(rollout, batch, not_visible=not_visible)
        if not members:
            return True
        try:
            job_id = await self._context.client.create_job(batch.name, rollout.firmware.id, members)
        except (VendorRefused, Conflict) as error:
            there = await self._find_job(batch) if isinstance(error, Conflict) else None
            if there is None:
                await self._refused(batch, f"Meshtech refused the job: {error}")
            else:
                await self._created(batch, there)
            return True
        except (RateLimited, RouteMissing, LogInRefused, VendorUnavailable) as error:
            log.warning("%s was not sent: %s", batch.name, error)
            async with self._context.database.write() as connection:
                await batches.mark_not_called(connection, batch.id)
            return False
        except MeshtechError as error:
            log.warning("%s: it is not known whether the job exists: %s", batch.name, error)
            return False
        await self._created(batch, job_id)
        return True

    async def _stop(self, rollout: Rollout, reason: str) -> None:
        """What would be sent is not what was approved; the next round calls off what was intended."""
        now = self._context.now()
        async with self._context.database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            if fresh.state.is_under_way:
                await stop_for_good(connection, fresh, reason, now)

    async def _about_to_call(
        self, rollout: Rollout, batch: Batch, *, not_visible: bool
    ) -> Sequence[GatewayId]:
        """The gateways to start now; none when a person or a rule was faster: then they wait again.

        None either when another process is at it, whose claim of the rollout this one's has outlived.
        """
        now = self._context.now()
        async with self._context.database.write() as connection:
            fresh = await store.load(connection, rollout.id, to_change=True)
            if not await batches.is_intended(connection, batch):
                return ()
            members = await batches.batch_members(connection, batch.id)
            running = fresh.state is RolloutState.RUNNING
            if (
                running
                and await start_blocker(connection, fresh, self._context.rules, now, not_visible=not_visible)
                is None
            ):
                await batches.mark_called(connection, batch.id, members, now)
                return members
            if fresh.state is not RolloutState.ABORTED:  # then the next round calls it off
                await batches.take_back(connection, batch.id, members)
                await cards.touch(connection, about(rollout.id))
        return ()

    async def _find_job(self, batch: Batch) -> JobId | None:
        """Looks for the batch's job by its name, among those not older than its intent."""
        async for job in self._context.client.jobs():
            if job.name == batch.name:
                return job.id
            if job.created_at is not None and job.created_at < batch.intended_at - CLOCKS_MAY_DIFFER:
                return None
        return None

    async def _created(self, batch: Batch, job_id: JobId) -> None:
        async with self._context.database.write() as connection:
            await batches.record_job(connection, batch.id, job_id)
            await cards.touch(connection, about(batch.rollout_id))

    async def _follow(self, batch: Batch) -> Mapping[GatewayId, JobDevice]:
        """What the batch's job says of each gateway."""
        assert batch.vendor_job_id is not None
        try:
            job = await self._context.client.job(JobId(batch.vendor_job_id))
        except JobUnknown:
            if await self._find_job(batch) is not None:
                raise  # the list still has it: one answer is not believed
            async with self._context.database.read() as connection:
                return gateway_verdict.gone(await batches.batch_members(connection, batch.id))
        reports = {device.device_id: device for device in job.devices}
        # In one that was canceled, gateways that had begun go on.
        return gateway_verdict.ended(reports) if job.status is JobStatus.COMPLETED else reports

    async def _refused(self, batch: Batch, reason: str) -> None:
        async with self._context.database.write() as connection:
            rollout = await store.load(connection, batch.rollout_id, to_change=True)
            attempts = [one.attempt for one in await flight.in_flight(connection, batch.id)]
            aborted = rollout.state is RolloutState.ABORTED
            failed = gateway_verdict.fail(attempts, reason, FailureKind.TRANSPORT, aborted=aborted)
            await self._save(connection, rollout, failed)
            await batches.close_batch(connection, batch.id, "refused", reason)

    async def _save(self, connection: Transaction, rollout: Rollout, attempts: Sequence[Attempt]) -> None:
        """Writes how some ended, and lets go of those that settled."""
        if attempts:
            await flight.save_attempts(connection, rollout.id, attempts, self._context.now())
            await targets.free_gateways(connection, rollout.id)
            await cards.touch(connection, about(rollout.id))


async def stop_for_good(
    connection: Transaction, rollout: Rollout, reason: str, now: datetime, freeze: Freeze | None = None
) -> tuple[Rollout, bool]:
    """By itself: nothing more is started. Whether its ``freeze`` is new, too."""
    after = decide.aborted(rollout, reason, now)
    await store.save(connection, rollout, after, now)
    await targets.skip_all(connection, rollout.id, f"not started: {reason}", now)
    await targets.free_gateways(connection, rollout.id)
    frozen = freeze is not None and await freezes.add_freeze(connection, freeze)
    await record_event(connection, after, Aborted(reason, frozen), now, before=rollout)
    return after, frozen


async def start_blocker(
    connection: Transaction, rollout: Rollout, rules: RolloutRules, now: datetime, *, not_visible: bool
) -> str | None:
    """What keeps gateways from being started now, in words; None while nothing does.

    It is asked again in the transaction of each start.
    """
    if not_visible:
        return FLEET_NOT_VISIBLE
    if rollout.has_waited_at(now):
        return "the time for those that were offline is over"
    freeze = await freezes.freeze_of(connection, rollout.firmware_version)
    if freeze is not None and is_held(rollout, freeze):
        return freeze.says()
    if not may_start(rules.window, rules.zone, now):
        opens = next_start(rules.window, rules.zone, now).astimezone(rules.zone)
        return f"outside the window; it opens {opens:%A %H:%M} ({rules.zone.key})"
    if rollout.maintenance is None:
        return None
    opening = await maintenance_opening(connection, rollout.maintenance)
    return opening.blocker(now, rules.zone) if opening else decide.window_over(rollout)
