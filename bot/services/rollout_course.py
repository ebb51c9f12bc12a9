"""The course of rollouts: what is due is advanced until each gateway is settled.

A vendor job is an intent in one transaction, the call outside any, its result in another. After a crash, or
after an answer that was lost, the intent is looked for among the vendor's jobs by its name before it would be
created again.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain import rollout as decide
from bot.domain.errors import BotError
from bot.domain.events import AuditEntry, Outcome
from bot.domain.firmware import FirmwareId, JobId
from bot.domain.plan import Rules
from bot.domain.rollout import Counts, Finish, Rollout, RolloutId, RolloutState, Start, TargetState
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
from bot.storage import audit, cards
from bot.storage import rollout_targets as targets
from bot.storage import rollouts as store
from bot.storage.cards import About, CardKind
from bot.storage.engine import Database
from bot.storage.rollout_targets import Batch

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)  # longer than any call to the vendor may take
SOON = timedelta(seconds=5)
CLOCKS_MAY_DIFFER = timedelta(hours=1)  # the vendor's from ours
BY_ITSELF = "meshbot"


class RolloutCourse:
    """Advances rollouts. ``changed`` is called after a commit that the publisher should know of."""

    def __init__(
        self,
        database: Database,
        client: MeshtechClient,
        *,
        rules: Rules,
        now: Callable[[], datetime],
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._client = client
        self._rules = rules
        self._now = now
        self._changed = changed

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
        due_at: datetime | None = self._now() + SOON
        try:
            due_at = await self._advance_one(rollout_id)
        except BotError as error:
            log.warning("rollout R-%s waits: %s", rollout_id, error)
        finally:
            async with self._database.write() as connection:
                await store.release(connection, rollout_id, due_at)

    async def _advance_one(self, rollout_id: RolloutId) -> datetime | None:
        async with self._database.read() as connection:
            rollout = await store.load(connection, rollout_id)
        if rollout.state is RolloutState.REQUESTED:
            return await self._expire(rollout)
        if rollout.state is not RolloutState.RUNNING:
            return None
        await self._intend(rollout)
        async with self._database.read() as connection:
            batches = await targets.open_batches(connection, rollout_id)
        unsure = False
        for batch in batches:
            if batch.state == "intended":
                unsure |= not await self._create_job(rollout, batch)
            else:
                await self._follow(rollout, batch)
        if await self._finish(rollout_id):
            return None
        return self._now() + (SOON if unsure else self._rules.poll_every)

    async def _expire(self, rollout: Rollout) -> datetime | None:
        expired = decide.expire(rollout, self._now())
        if expired is rollout:
            return rollout.expires_at
        async with self._database.write() as connection:
            await store.save(connection, rollout, expired, None)
            await cards.touch(connection, _about(rollout.id))
            await audit.record(connection, self._own_entry("expire", expired))
        self._changed()
        return None

    async def _intend(self, rollout: Rollout) -> None:
        """Puts the waiting gateways of the wave that is on into batches: from now on they are started."""
        async with self._database.write() as connection:
            step = decide.next_step(rollout, await targets.count_targets(connection, rollout.id))
            if not isinstance(step, Start):
                return
            waiting = await targets.waiting_gateways(connection, rollout.id, step.wave)
            number = await targets.next_batch_number(connection, rollout.id, step.wave)
            for index, members in enumerate(decide.batches(waiting, self._rules), number):
                name = decide.job_name(rollout, step.wave, index)
                await targets.intend_batch(
                    connection, rollout.id, step.wave, index, name, members, self._now()
                )
            await cards.touch(connection, _about(rollout.id))
        self._changed()

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
            members = await targets.batch_members(connection, batch.id)
            await targets.mark_called(connection, batch.id, self._now())
        gateways = [member.gateway_id for member in members]
        try:
            job_id = await self._client.create_job(batch.name, FirmwareId(rollout.firmware_id), gateways)
        except (VendorRefused, Conflict) as error:
            await self._give_up(rollout, batch, f"Meshtech refused the job: {error}", "refused")
            return True
        except (RateLimited, RouteMissing, LogInRefused, VendorUnavailable) as error:
            log.warning("%s was not sent: %s", batch.name, error)
            async with self._database.write() as connection:
                await targets.mark_called(connection, batch.id, None)
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
            await targets.record_job(connection, batch.id, job_id)
            await cards.touch(connection, _about(batch.rollout_id))
        self._changed()

    async def _follow(self, rollout: Rollout, batch: Batch) -> None:
        """Asks the vendor how far the batch's job is."""
        assert batch.vendor_job_id is not None
        try:
            job = await self._client.job(JobId(batch.vendor_job_id))
        except JobUnknown:
            await self._give_up(rollout, batch, "its job is gone from the portal", "finished")
            return
        async with self._database.write() as connection:
            members = await targets.batch_members(connection, batch.id)
            updates = decide.judge_job(job, members, self._now(), self._rules)
            await targets.update_targets(connection, rollout.id, updates, self._now())
            await targets.free_gateways(connection, rollout.id)
            if job.status.terminal:
                await targets.close_batch(connection, batch.id, "finished")
            if updates:
                await cards.touch(connection, _about(rollout.id))
        if updates:
            self._changed()

    async def _give_up(self, rollout: Rollout, batch: Batch, reason: str, state: str) -> None:
        async with self._database.write() as connection:
            members = await targets.batch_members(connection, batch.id)
            updates = decide.fail_all(members, reason)
            await targets.update_targets(connection, rollout.id, updates, self._now())
            await targets.free_gateways(connection, rollout.id)
            await targets.close_batch(connection, batch.id, state, reason)
            await cards.touch(connection, _about(rollout.id))
        self._changed()

    async def _finish(self, rollout_id: RolloutId) -> bool:
        async with self._database.write() as connection:
            rollout = await store.load(connection, rollout_id, to_change=True)
            counts = await targets.count_targets(connection, rollout_id)
            if not isinstance(decide.next_step(rollout, counts), Finish):
                return False
            finished = replace(rollout, state=RolloutState.FINISHED, finished_at=self._now())
            await store.save(connection, rollout, finished, None)
            await targets.free_gateways(connection, rollout_id)
            await audit.record(connection, self._own_entry("finish", finished))
            await cards.touch(connection, _about(rollout_id))
            await cards.add_note(
                connection,
                _about(rollout_id),
                f"rollout/{rollout_id}/finished",
                "rollout_finished",
                {
                    "rollout": rollout_id,
                    "version": rollout.firmware_version,
                    "requester": rollout.requester,
                    "succeeded": _in_state(counts, TargetState.SUCCEEDED),
                    "failed": _in_state(counts, TargetState.FAILED),
                    "overdue": _in_state(counts, TargetState.OVERDUE),
                },
                self._now(),
                broadcast=True,
            )
        self._changed()
        return True

    def _own_entry(self, action: str, rollout: Rollout) -> AuditEntry:
        return AuditEntry(
            at=self._now(),
            actor=BY_ITSELF,
            action=action,
            subject=rollout.title,
            outcome=Outcome.DONE,
            reason=rollout.reason,
            plan_hash=rollout.plan_hash,
        )


def _about(rollout_id: RolloutId) -> About:
    return About(CardKind.ROLLOUT, str(rollout_id))


def _in_state(counts: Counts, state: TargetState) -> int:
    return sum(count for (_, found), count in counts.items() if found is state)
