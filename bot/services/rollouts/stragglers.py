"""What happens to gateways that settled by their silence while their job is not over.

Intent, call, result as everywhere: a job's rest may be called off twice, and is, when a crash came between.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from bot.domain.firmware import JobDevice
from bot.domain.gateways import GatewayId
from bot.domain.rollouts import gateway_verdict
from bot.domain.rollouts.events import LateResult, LateResults
from bot.domain.rollouts.gateway_verdict import Straggler
from bot.domain.rollouts.lifecycle import Rollout
from bot.services.rollouts.events import record_event
from bot.services.rollouts.vendor_jobs import JobReports, RolloutContext, RolloutJobs
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import batches
from bot.storage.rollouts import in_flight as flight
from bot.storage.rollouts.batches import Batch

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(minutes=5)
NAMED = 10  # gateways named in one note


class StragglerTracker:
    """Follows them to the end of their jobs."""

    def __init__(self, context: RolloutContext, jobs: RolloutJobs) -> None:
        self._context = context
        self._jobs = jobs

    async def keep(
        self, connection: Transaction, rollout: Rollout, silent: Mapping[GatewayId, JobDevice | None]
    ) -> None:
        """These have just settled by their silence: those whose job is over are let go, the others are kept.

        None of them is expected to be down any more.
        """
        over = [one for one, device in silent.items() if device is None or device.progress.terminal]
        await flight.let_go(connection, rollout.id, dict.fromkeys(over))
        await flight.no_longer_expected(connection, list(silent))

    async def look(self, rollout: Rollout, reports: JobReports) -> timedelta | None:
        """Follows those that are kept; in how long to look again, None when there are none."""
        async with self._context.database.read() as connection:
            kept = await flight.late_gateways(connection, rollout.id)
        if not kept:
            return None
        asked = [one for one in kept if one.batch_id is None or one.batch_id in reports]
        await self._note(rollout, [(one, _device(reports, one)) for one in asked])
        async with self._context.database.read() as connection:
            kept = await flight.late_gateways(connection, rollout.id)
            open_batches = await batches.open_batches(connection, rollout.id)
        called_off = False
        for batch in open_batches:
            late = [one for one in kept if one.batch_id == batch.id]
            if late and batch.id in reports and batch.state != "canceled":
                called_off |= await self._call_off(batch, late, reports[batch.id])
        if called_off:
            return self._context.rules.poll_every
        return LOOK_EVERY if kept else None

    async def _note(self, rollout: Rollout, reports: Sequence[tuple[Straggler, JobDevice | None]]) -> None:
        """Lets go of those whose job has ended, and says how; marks those that are flashed after all."""
        now = self._context.now()
        endings = {
            one: words for one, device in reports if (words := gateway_verdict.ending(one, device, now))
        }
        flashed = {
            one.gateway_id: since
            for one, device in reports
            if one not in endings
            and (since := gateway_verdict.flashed_since(one, device, now, self._context.rules))
            != one.flashed_since
        }
        if not endings and not flashed:
            return
        async with self._context.database.write() as connection:
            await flight.expect(connection, flashed)
            if endings:
                by_id = {one.gateway_id: words for one, words in endings.items()}
                await flight.let_go(connection, rollout.id, by_id)
                named = [LateResult(one.label, one.site, words) for one, words in endings.items()][:NAMED]
                await record_event(connection, rollout, LateResults(len(endings), tuple(named)), now)

    async def _call_off(
        self,
        batch: Batch,
        late: Sequence[Straggler],
        reports: Mapping[GatewayId, JobDevice],
    ) -> bool:
        """Has the vendor forget what nobody waits for any more. True when it was asked to."""
        async with self._context.database.read() as connection:
            in_flight = await flight.in_flight(connection, batch.id)
        waited_for = [one.attempt.gateway_id for one in in_flight]
        return gateway_verdict.may_call_off(late, reports, waited_for) and await self._jobs.call_off_rest(
            batch
        )


def _device(reports: JobReports, late: Straggler) -> JobDevice | None:
    return reports[late.batch_id].get(late.gateway_id) if late.batch_id is not None else None
