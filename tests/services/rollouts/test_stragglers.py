"""Gateways that counted as failed for their silence, and whose job is not over at the vendor."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.demo.fleet.simulator import Behaviour, TargetStatus
from bot.domain.rollouts.events import LateResults
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState, TargetClass, TargetState
from bot.storage.db.tables import gateway_claims
from tests.worlds.rollouts import MINUTE, PAUL, QUICK, World, world

HOUR = timedelta(hours=1)
FIRST, SECOND = "bmac-000000000000", "bmac-000000000001"


def end(it: World, status: TargetStatus, gateways: Sequence[str] = (FIRST, SECOND)) -> None:
    """What the vendor's newest job says of some."""
    it.portal.tick()
    job = list(it.portal.jobs.values())[-1]
    for gateway in gateways:
        it.portal._mark(job, gateway, status, None)


async def reasons(it: World, rollout_id: RolloutId) -> set[str | None]:
    return {row.reason for row in await it.rollouts.targets(rollout_id)}


async def expected_down(it: World) -> set[str]:
    claims = gateway_claims.c
    async with it.database.read() as connection:
        found = await connection.execute(select(claims.gateway_id).where(claims.started_at.is_not(None)))
        return set(found.scalars().all())


async def test_what_is_overdue_in_the_vendors_queue_is_taken_out_of_its_job(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK) as it:
        it.portal.pickup = (HOUR, HOUR)
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        await it.passes(3)
        assert await it.claimed() == set()
        assert await reasons(it, rollout_id) == {
            "no result for 12 minutes; it was not begun, and was taken out of its job"
        }
        it.clock.advance(2 * HOUR)
        await it.passes(1)
        assert it.portal.starts == {}, "nobody was flashed behind the rollout's back"
        assert set((await it.states(rollout_id)).values()) == {TargetState.OVERDUE}
        assert (await it.events(rollout_id))[-1] == "late"


async def test_a_job_is_not_called_off_while_others_in_its_queue_are_waited_for(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        it.portal.pickup = (9 * MINUTE, 9 * MINUTE)
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.disconnect([FIRST])
        picture = await it.until(rollout_id, lambda seen: seen.in_state(TargetState.NOT_RETURNED) == 1)
        job = next(iter(it.portal.jobs.values()))
        assert {target.status for target in job.devices.values()} == {TargetStatus.QUEUED}
        assert (picture.late, await it.claimed()) == (1, {FIRST, SECOND})
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert job.devices[FIRST].status is TargetStatus.CANCELED
        assert (await it.states(rollout_id))[SECOND] is TargetState.VERIFIED


async def test_a_late_gateway_is_in_no_other_rollout_until_its_job_is_over(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.SILENT, quick=True) as it:
        rollout_id = await it.running()
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert (picture.late, picture.retryable) == (2, 0)
        assert (await it.plan()).plan.counts()[TargetClass.BUSY] == 2
        end(it, TargetStatus.FAILED)
        await it.passes(6)
        picture = await it.rollouts.status(rollout_id)
        assert (picture.late, picture.retryable) == (0, 2)
        assert (await it.plan()).plan.counts()[TargetClass.BUSY] == 0


async def test_a_late_end_is_noted_and_changes_no_state(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.SILENT, quick=True) as it:
        rollout_id = await it.running()
        before = await it.comes_to(rollout_id, RolloutState.FINISHED)
        end(it, TargetStatus.SUCCEEDED)
        await it.passes(6)
        after = await it.rollouts.status(rollout_id)
        assert (after.counts, after.rollout.state) == (before.counts, RolloutState.FINISHED)
        assert await reasons(it, rollout_id) == {"no result for 12 minutes; it finished late, with success"}
        events = [entry.event for entry in await it.rollouts.timeline(rollout_id)]
        assert [event.count for event in events if isinstance(event, LateResults)] == [2]


@pytest.mark.on_both
async def test_a_late_gateway_is_expected_down_only_while_it_is_being_flashed(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.SILENT, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        assert await expected_down(it) == {FIRST, SECOND}
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert await expected_down(it) == set()
        it.clock.advance(MINUTE)
        end(it, TargetStatus.IN_PROGRESS, [FIRST])
        await it.passes(5)
        assert await expected_down(it) == {FIRST}
        await it.passes(5)
        assert await expected_down(it) == set()
        assert await it.claimed() == {FIRST, SECOND}


async def test_a_job_that_never_says_anything_keeps_a_gateway_for_a_day(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.SILENT, quick=True) as it:
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        it.clock.advance(23 * HOUR)
        await it.passes(1)
        assert await it.claimed() == {FIRST, SECOND}
        it.clock.advance(HOUR)
        await it.passes(1)
        assert await it.claimed() == set()
        assert await reasons(it, rollout_id) == {"no result for 12 minutes; it had no result after 24 hours"}


@pytest.mark.on_both
async def test_a_crash_while_a_job_is_called_off_loses_nobody(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK) as it:
        it.portal.pickup = (HOUR, HOUR)
        rollout_id = await it.running()
        it.portal.faults.add("CANCEL_JOB", "lost_answer")
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert await it.claimed() == {FIRST, SECOND}
        _, it.runner = it.restarted()
        await it.passes(6)
        assert await it.claimed() == set()
        assert (await it.events(rollout_id)).count("late") == 1
        assert it.portal.starts == {}


async def test_a_portal_that_cannot_cancel_keeps_the_gateway_until_its_job_is_over(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        it.portal.pickup = (15 * MINUTE, 15 * MINUTE)
        it.portal.faults.add("CANCEL_JOB", "status", status=404, times=99)
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert await it.claimed() == {FIRST, SECOND}
        await it.passes(12)
        assert await it.claimed() == set()
        assert await reasons(it, rollout_id) == {"no result for 12 minutes; it finished late, with success"}
        assert set((await it.states(rollout_id)).values()) == {TargetState.OVERDUE}


async def test_an_abort_cancels_what_is_overdue_in_the_vendors_queue_as_well(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK) as it:
        it.portal.pickup = (10 * MINUTE, 10 * MINUTE)
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.disconnect([FIRST])
        await it.until(rollout_id, lambda seen: seen.in_state(TargetState.NOT_RETURNED) == 1)
        await it.steering.abort(PAUL, rollout_id)
        await it.passes(3)
        assert await it.claimed() == set()
        assert it.portal.starts == {}
        assert (await it.rollouts.status(rollout_id)).counts == {
            (1, TargetState.NOT_RETURNED): 1,
            (1, TargetState.EXCLUDED): 1,
        }


async def test_a_hard_stop_cancels_what_the_vendor_has_not_started(database_url: str) -> None:
    failing = Behaviour.FAILS
    async with world(database_url, gateways=12, rules=QUICK, behaviour=failing, quick=True) as it:
        rollout_id = await it.running()
        it.portal.disconnect([FIRST])  # no listing has shown it yet: it stays in the vendor's queue
        it.clock.advance(MINUTE)
        await it.runner.advance()
        picture = await it.comes_to(rollout_id, RolloutState.ABORTED)
        assert picture.rollout.reason == "11 of 11 gateways failed, 15 % or more"
        await it.passes(2)
        assert {job.devices[FIRST].status for job in it.portal.jobs.values()} == {TargetStatus.CANCELED}
        assert (await it.rollouts.status(rollout_id)).counts == {
            (1, TargetState.FAILED): 11,
            (1, TargetState.EXCLUDED): 1,
        }


async def test_a_job_that_vanished_keeps_nobody(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.SILENT, quick=True) as it:
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        it.portal.jobs.clear()
        await it.passes(6)
        assert await it.claimed() == set()
        assert await reasons(it, rollout_id) == {"no result for 12 minutes; it was removed from its job"}
