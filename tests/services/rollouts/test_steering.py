"""What people do with a rollout that runs, against a portal on the wire."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from bot.demo.fleet.simulator import Behaviour, PortalJobStatus, TargetStatus
from bot.domain.errors import Stale
from bot.domain.rollouts.events import NotCalledOff
from bot.domain.rollouts.lifecycle import RolloutState, TargetClass, TargetState
from bot.meshtech.requests import ATTEMPTS
from bot.storage.db.tables import rollouts
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import ADA, MINUTE, NEW, OLGA, PAUL, QUICK, SKIPPING, World, world

SLOWLY = replace(QUICK, per_site=0.25)  # two of eight at once
FIRST = "bmac-000000000000"


async def test_visibility_loss_is_no_freeze_and_nobody_starts_through_it(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        it.blind = True
        rollout_id = await it.running()
        await it.passes(1)
        with pytest.raises(Stale, match="cannot be resumed"):
            await it.steering.resume(ADA, rollout_id, "I can see it")


# ---- pause, resume, abort


async def test_a_paused_rollout_starts_nothing_and_judges_what_has_started(database_url: str) -> None:
    async with world(database_url, rules=SLOWLY, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.pause(PAUL, rollout_id)
        await it.passes(8)
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.reason == "paused by Paul"
        assert picture.counts == {(1, TargetState.VERIFIED): 2, (1, TargetState.WAITING): 6}
        await it.steering.resume(PAUL, rollout_id)
        assert (await it.comes_to(rollout_id, RolloutState.FINISHED)).rollout.reason is None
        assert it.started_more_than_once() == {}


@pytest.mark.parametrize("fault", [503, "rate_limited"])
@pytest.mark.on_both
async def test_a_job_that_did_not_reach_the_vendor_is_not_sent_after_a_pause(
    database_url: str, fault: int | str
) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        it.portal.faults.add("CREATE_JOB", fault, times=9)
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.pause(PAUL, rollout_id)
        it.portal.faults.clear()
        await it.passes(5)
        assert it.jobs_created() == []
        assert (await it.rollouts.status(rollout_id)).in_state(TargetState.WAITING) == 8
        await it.steering.resume(PAUL, rollout_id)
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}
        attempts = {row.attempts for row in await it.rollouts.targets(rollout_id)}
        assert attempts == {1}, "what was never sent is no attempt"


async def test_a_job_whose_answer_was_lost_before_a_pause_is_found_and_judged(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        it.portal.faults.add("CREATE_JOB", "lost_answer")
        rollout_id = await it.running()
        await it.runner.advance()
        await it.steering.pause(PAUL, rollout_id)
        await it.until(rollout_id, lambda picture: picture.in_state(TargetState.VERIFIED) == 8)
        assert it.started_more_than_once() == {}


async def test_an_abort_cancels_the_vendors_queue_and_judges_what_is_in_flight(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        it.portal.download = (3 * MINUTE, 3 * MINUTE)
        rollout_id = await it.running()
        it.portal.disconnect([FIRST])  # the listing does not show it yet: it stays in the vendor's queue
        it.clock.advance(MINUTE)
        await it.runner.advance()
        await it.steering.abort(PAUL, rollout_id)
        picture = await it.until(rollout_id, lambda seen: seen.in_state(TargetState.VERIFIED) == 7)
        job = next(iter(it.portal.jobs.values()))
        assert job.devices[FIRST].status is TargetStatus.CANCELED
        assert picture.counts == {(1, TargetState.VERIFIED): 7, (1, TargetState.EXCLUDED): 1}
        assert await it.claimed() == set()


async def test_an_abort_lets_go_of_gateways_whose_job_never_reached_the_vendor(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        it.portal.faults.add("CREATE_JOB", "rate_limited", times=9)
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.abort(PAUL, rollout_id)
        await it.passes(2)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.EXCLUDED): 8}
        assert it.jobs_created() == []
        assert await it.claimed() == set()


async def test_an_abort_calls_off_each_job_though_another_cannot_be(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=replace(QUICK, batch=1)) as it:
        it.portal.pickup = (timedelta(hours=1), timedelta(hours=1))
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.abort(PAUL, rollout_id)
        it.portal.faults.add("CANCEL_JOB", 503, times=ATTEMPTS)
        await it.runner.advance()
        assert [job.status for job in it.portal.jobs.values()] == [
            PortalJobStatus.SCHEDULED,
            PortalJobStatus.CANCELED,
        ]
        await it.passes(2)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.EXCLUDED): 2}


async def test_an_abort_that_the_portal_does_not_carry_out_is_told_and_what_it_flashes_is_judged(
    database_url: str,
) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        it.portal.pickup = (3 * MINUTE, 3 * MINUTE)
        it.portal.faults.add("CANCEL_JOB", 403, times=99, message="not you")
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.abort(PAUL, rollout_id)
        await it.passes(12)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.VERIFIED): 2}
        events = [entry.event for entry in await it.rollouts.timeline(rollout_id)]
        (told,) = [event for event in events if isinstance(event, NotCalledOff)]
        assert ("not you" in told.reason, told.job) == (True, it.jobs_created()[0])
        assert await it.claimed() == set()


async def test_an_abort_while_a_job_is_asked_leaves_nobody_waiting(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True, behaviour=Behaviour.SILENT) as it:
        rollout_id = await it.running()
        await it.passes(1)
        end(it, TargetStatus.TIMED_OUT)
        asked = it.portal.faults.add("GET_JOB", "slow")
        it.clock.advance(MINUTE)
        slowly = asyncio.create_task(it.runner.advance())
        await asked.reached.wait()
        await it.steering.abort(PAUL, rollout_id)
        asked.release()
        await slowly
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.FAILED): 8}
        assert await it.claimed() == set()


async def test_an_abort_while_jobs_are_created_calls_off_those_to_come(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=replace(QUICK, batch=1)) as it:
        it.portal.pickup = (timedelta(hours=1), timedelta(hours=1))
        rollout_id = await it.running()
        first = it.portal.faults.add("CREATE_JOB", "slow")
        slowly = asyncio.create_task(it.runner.advance())
        await first.reached.wait()
        await it.steering.abort(PAUL, rollout_id)
        first.release()
        await slowly
        await it.passes(2)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.EXCLUDED): 2}
        assert (len(it.jobs_created()), await it.claimed()) == (1, set())


async def test_an_abort_looks_two_minutes_for_a_job_whose_answer_was_lost(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        it.portal.faults.add("CREATE_JOB", 503)
        rollout_id = await it.running()
        await it.runner.advance()
        await it.steering.abort(PAUL, rollout_id)
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.STARTED): 8}
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.EXCLUDED): 8}


async def test_an_abort_calls_off_a_job_whose_answer_was_lost(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        it.portal.pickup = (timedelta(hours=1), timedelta(hours=1))
        it.portal.faults.add("CREATE_JOB", "lost_answer")
        rollout_id = await it.running()
        await it.runner.advance()
        await it.steering.abort(PAUL, rollout_id)
        await it.runner.advance()
        assert [job.status for job in it.portal.jobs.values()] == [PortalJobStatus.CANCELED]


async def test_an_aborted_rollout_tries_nothing_once_more(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True, behaviour=Behaviour.SILENT) as it:
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.abort(PAUL, rollout_id)
        end(it, TargetStatus.TIMED_OUT)
        await it.passes(3)
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.FAILED): 8}
        assert await it.claimed() == set()


async def test_an_aborted_rollout_starts_nothing_more(database_url: str) -> None:
    async with world(database_url, rules=SLOWLY, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.abort(PAUL, rollout_id)
        await it.passes(8)
        picture = await it.rollouts.status(rollout_id)
        assert picture.counts == {(1, TargetState.VERIFIED): 2, (1, TargetState.EXCLUDED): 6}
        for act in (it.steering.resume, it.steering.pause, it.steering.promote, it.steering.abort):
            with pytest.raises(Stale):
                await act(PAUL, rollout_id)


# ---- once more


async def test_a_transport_failure_is_tried_once_more_by_itself_and_no_more(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True, behaviour=Behaviour.SILENT) as it:
        rollout_id = await it.running("name:MT10000")
        await it.passes(1)
        end(it, TargetStatus.TIMED_OUT)
        await it.passes(1)
        assert len(it.jobs_created()) == 2
        end(it, TargetStatus.TIMED_OUT)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.FAILED): 1}
        assert len(it.jobs_created()) == 2


@pytest.mark.on_both
async def test_an_attempt_that_was_tried_once_more_counts_towards_quarantine(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True, behaviour=Behaviour.SILENT) as it:
        rollout_id = await it.running("name:MT10000")
        for attempt in (1, 2, 3):
            await it.passes(1)
            end(it, TargetStatus.TIMED_OUT)
            await it.passes(1)
            if attempt == 2:
                assert await it.steering.retry_failed(OLGA, rollout_id) == 1
        assert (await it.plan("name:MT10000")).plan.counts()[TargetClass.QUARANTINED] == 1


async def test_a_failure_that_the_gateway_reported_is_never_tried_again_by_itself(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True, behaviour=Behaviour.FAILS) as it:
        await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert it.started_more_than_once() == {}


async def test_one_that_timed_out_and_is_offline_did_not_return(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True, behaviour=Behaviour.BRICKS) as it:
        rollout_id = await it.running()
        await it.passes(2)
        end(it, TargetStatus.TIMED_OUT)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.NOT_RETURNED): 2}


async def test_the_failed_ones_are_tried_again_in_the_same_approval(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True, behaviour=Behaviour.FAILS) as it:
        rollout_id = await it.running()
        assert (await it.comes_to(rollout_id, RolloutState.FINISHED)).retryable == 2
        it.firmware.share = 0
        assert await it.steering.retry_failed(OLGA, rollout_id) == 2
        await it.passes(1)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 2}
        assert {row.attempts for row in await it.rollouts.targets(rollout_id)} == {2}


async def test_one_that_failed_and_runs_the_version_all_the_same_is_not_tried_again(
    database_url: str,
) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True, behaviour=Behaviour.FAILS) as it:
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        it.portal.devices[FIRST].firmware = NEW
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).retryable == 1
        assert await it.steering.retry_failed(OLGA, rollout_id) == 1


async def test_after_three_failed_attempts_a_gateway_is_left_alone_for_a_day(database_url: str) -> None:
    async with world(database_url, gateways=1, rules=QUICK, quick=True, behaviour=Behaviour.FAILS) as it:
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        for _ in range(2):
            await it.steering.retry_failed(OLGA, rollout_id)
            await it.passes(1)
            await it.comes_to(rollout_id, RolloutState.FINISHED)
        with pytest.raises(Stale):
            await it.steering.retry_failed(OLGA, rollout_id)
        assert (await it.plan()).plan.counts()[TargetClass.QUARANTINED] == 1
        it.clock.advance(timedelta(hours=24))
        await it.fleet.take_in_listing()
        assert (await it.plan()).plan.counts()[TargetClass.ELIGIBLE] == 1


@pytest.mark.on_both
async def test_skipped_gateways_that_came_back_catch_up_in_a_wave_of_their_own(database_url: str) -> None:
    async with world(database_url, rules=SKIPPING, quick=True) as it:
        it.portal.disconnect([FIRST])
        await it.fleet.take_in_listing()
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        with pytest.raises(Stale, match="long enough"):
            await it.steering.catch_up(OLGA, rollout_id)
        it.portal.connect([FIRST])
        await it.passes(1)
        with pytest.raises(Stale, match="long enough"):
            await it.steering.catch_up(OLGA, rollout_id)
        await it.passes(2)
        assert (await it.rollouts.status(rollout_id)).returned == 1
        assert await it.steering.catch_up(OLGA, rollout_id) == 1
        await it.passes(1)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 7, (2, TargetState.VERIFIED): 1}


async def test_a_catch_up_takes_no_gateway_back_to_an_older_version(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=SKIPPING, quick=True) as it:
        it.portal.disconnect([FIRST])
        await it.fleet.take_in_listing()
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        it.portal.devices[FIRST].firmware = "9.9.0"
        it.portal.connect([FIRST])
        await it.passes(3)
        assert (await it.rollouts.status(rollout_id)).returned == 0
        with pytest.raises(Stale):
            await it.steering.catch_up(OLGA, rollout_id)


async def test_a_gateway_in_quarantine_neither_catches_up_nor_is_retried(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=SKIPPING, quick=True) as it:
        it.portal.disconnect([FIRST])
        await it.fleet.take_in_listing()
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        it.portal.connect([FIRST])
        it.firmware.behaviour = Behaviour.FAILS
        await it.passes(3)
        failing = await it.running("name:MT10000")
        for may_follow in (1, 1, 0):
            await it.passes(1)
            picture = await it.comes_to(failing, RolloutState.FINISHED)
            assert picture.retryable == may_follow
            assert (await it.rollouts.status(rollout_id)).returned == may_follow
            if may_follow:
                await it.steering.retry_failed(OLGA, failing)


async def test_one_that_went_dark_before_it_could_be_tried_again_failed(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=SLOWLY, quick=True, behaviour=Behaviour.SILENT) as it:
        rollout_id = await it.running()
        await it.passes(1)
        end(it, TargetStatus.TIMED_OUT)
        await it.steering.pause(PAUL, rollout_id)
        await it.passes(1)
        it.portal.disconnect([FIRST])
        await it.fleet.take_in_listing()
        await it.steering.resume(PAUL, rollout_id)
        await it.passes(1)
        assert (await it.states(rollout_id))[FIRST] is TargetState.FAILED


def end(it: World, status: TargetStatus) -> None:
    """The vendor ends the newest job with this result for every gateway that has none."""
    job = list(it.portal.jobs.values())[-1]
    for gateway, target in list(job.devices.items()):
        if not target.status.is_final:
            it.portal._finish(job, gateway, status, None)


async def test_a_rollout_that_could_not_be_given_back_is_when_the_database_is_back(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path), rules=QUICK, quick=True) as it:
        await it.running()
        async with it.database.write() as connection:
            await connection.exec_driver_sql(
                "CREATE TRIGGER away BEFORE UPDATE OF lease_until ON rollouts WHEN NEW.lease_until IS NULL "
                "BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
            )
        with pytest.raises(IntegrityError):
            await it.runner.advance()
        async with it.database.write() as connection:
            await connection.exec_driver_sql("DROP TRIGGER away")
        await it.runner.advance()
        async with it.database.read() as connection:
            assert await connection.scalar(select(rollouts.c.lease_until)) is None
        assert it.started_more_than_once() == {}


async def test_a_rollout_that_could_not_be_read_is_given_back_and_stays_due(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path), rules=QUICK, quick=True) as it:
        await it.running()
        async with it.database.write() as connection:
            await connection.execute(update(rollouts).values(state="elsewhere"))
        with pytest.raises(ValueError, match="elsewhere"):
            await it.runner.advance()
        async with it.database.write() as connection:
            found = await connection.execute(select(rollouts.c.due_at, rollouts.c.lease_until))
        due_at, lease = found.one()
        assert (due_at <= it.clock.now(), lease) == (True, None)
