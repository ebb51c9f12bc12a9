"""The vendor's jobs of a rollout, against a portal on the wire: created once and followed."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.demo.fleet.model import Job
from bot.demo.fleet.simulator import Behaviour, PortalJobStatus
from bot.domain.rollouts.lifecycle import RolloutState, TargetState
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import MINUTE, MODEL, NEW, ONE_WAVE, PAUL, QUICK, world


async def test_a_lost_answer_is_looked_for_by_name_before_anything_is_created_again(
    database_url: str,
) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        it.portal.faults.add("CREATE_JOB", "lost_answer")
        await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert len(it.jobs_created()) == 1
        assert it.started_more_than_once() == {}


async def test_a_job_is_found_though_the_portal_s_clock_is_almost_a_day_behind(database_url: str) -> None:
    async with world(database_url) as it:
        it.portal.faults.add("CREATE_JOB", "lost_answer")
        await it.running()
        await it.passes(1)
        (ours,) = it.portal.jobs.values()
        ours.created_at -= timedelta(hours=23, minutes=59)
        somebody_s = replace(ours, id="later", name="by hand", created_at=ours.created_at + MINUTE / 2)
        it.portal.jobs[somebody_s.id] = somebody_s  # the list begins with it
        await it.passes(4)
        assert it.jobs_created() == [ours.name, somebody_s.name]


async def test_a_job_is_not_looked_for_among_those_older_than_its_intent_by_a_day(database_url: str) -> None:
    async with world(database_url) as it:
        for number in range(260, 0, -1):  # more than a page
            made = it.clock.now() - timedelta(days=1, minutes=1, seconds=number)
            it.portal.jobs[f"old-{number}"] = Job(f"old-{number}", "by hand", "f", made, {})
        it.portal.faults.add("CREATE_JOB", 503)
        await it.running()
        await it.passes(3)
        looks = [one for one in it.portal.requests if one.operation == "LIST_JOBS"]
        assert looks
        assert not [one for one in looks if "nexttoken" in one.path.lower()]


async def test_a_job_that_never_arrived_is_created_after_two_minutes(database_url: str) -> None:
    async with world(database_url) as it:
        it.portal.faults.add("CREATE_JOB", 503)
        await it.running()
        await it.passes(1)
        assert it.jobs_created() == []
        await it.passes(3)
        assert len(it.jobs_created()) == 1


async def test_a_rate_limit_is_no_lost_answer_and_the_job_is_sent_soon(database_url: str) -> None:
    async with world(database_url) as it:
        it.portal.faults.add("CREATE_JOB", "rate_limited", retry_after=1)
        await it.running()
        await it.runner.advance()
        assert it.jobs_created() == []
        it.clock.advance(timedelta(seconds=10))
        await it.runner.advance()
        assert len(it.jobs_created()) == 1


async def test_a_gateways_time_begins_when_its_job_is_sent(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        it.portal.faults.add("CREATE_JOB", "rate_limited", times=None)
        rollout_id = await it.running()
        await it.passes(15)  # longer than what is overdue
        it.portal.faults.clear()
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 2}


async def test_a_refused_job_fails_its_gateways_with_the_vendors_words(database_url: str) -> None:
    async with world(database_url) as it:
        it.portal.faults.add("CREATE_JOB", 422, times=2, message="firmware is withdrawn")
        rollout_id = await it.running()
        await it.passes(3)
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.state is RolloutState.FINISHED
        assert picture.failed == 8
        assert "firmware is withdrawn" in (picture.failures[0].reason or "")


async def test_a_vendor_that_is_down_holds_a_rollout_and_loses_nothing(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        rollout_id = await it.running()
        it.portal.vendor_down = True
        await it.passes(5)
        it.portal.vendor_down = False
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 8}
        assert len(it.jobs_created()) == 1


async def test_a_job_that_vanished_from_the_portal_fails_its_gateways(database_url: str) -> None:
    async with world(database_url, rules=QUICK, behaviour=Behaviour.SILENT, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.jobs.clear()
        await it.passes(1)
        picture = await it.rollouts.status(rollout_id)
        assert (picture.rollout.state, picture.failed) == (RolloutState.FINISHED, 8)
        assert picture.failures[0].reason == "removed from the job in the portal: its job is gone"


async def test_one_answer_that_denies_a_job_which_is_in_the_list_fails_nobody(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.faults.add("GET_JOB", 404)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 8}


async def test_a_job_that_is_deleted_after_its_success_takes_nothing_back(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        rollout_id = await it.running()
        await it.until(rollout_id, lambda seen: seen.in_state(TargetState.REPORTED) == 2)
        it.portal.jobs.clear()
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 2}


async def test_a_job_that_exists_by_its_name_is_no_refused_one(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        rollout = await it.requested()
        await it.rollouts.approve(PAUL, rollout.id)
        name = f"meshbot R-1 w1 b1 {rollout.uid}"
        it.portal.pickup = (2 * MINUTE, 2 * MINUTE)
        it.portal.create_job(name, it.firmware.id, list(it.portal.devices))
        it.portal.faults.add("CREATE_JOB", 409)
        picture = await it.comes_to(rollout.id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 8}
        assert it.jobs_created() == [name]


async def test_a_job_that_ends_without_a_word_about_a_gateway_is_not_tried_again(database_url: str) -> None:
    silent = Behaviour.SILENT
    async with world(database_url, gateways=2, rules=QUICK, behaviour=silent, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        next(iter(it.portal.jobs.values())).status = PortalJobStatus.COMPLETED
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.OVERDUE): 2}
        assert len(it.jobs_created()) == 1


async def test_one_job_that_cannot_be_asked_holds_starts_and_no_other_job(database_url: str) -> None:
    rules = replace(QUICK, batch=1, per_site=0.5)
    async with world(database_url, gateways=4, rules=rules, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.faults.add("GET_JOB", "truncated", times=None)
        await it.passes(8)
        assert len(it.jobs_created()) == 2
        it.portal.faults.clear()
        broken = next(iter(it.portal.jobs))
        it.portal.jobs[broken].id = ""  # an answer without an id is none
        await it.passes(3)
        counts = (await it.rollouts.status(rollout_id)).counts
        assert counts[1, TargetState.VERIFIED] == 1
        assert len(it.jobs_created()) == 2


@pytest.mark.on_both
async def test_two_processes_of_which_one_outlives_its_claim_create_a_job_once(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=replace(ONE_WAVE, batch=1)) as it:
        await it.running()
        _, other = it.restarted()
        first, second = (it.portal.faults.add("CREATE_JOB", "slow") for _ in range(2))
        slowly = asyncio.create_task(it.runner.advance())
        await first.reached.wait()
        it.clock.advance(1.5 * MINUTE)
        first.release()
        await second.reached.wait()
        it.clock.advance(MINUTE)
        await other.advance()
        second.release()
        await slowly
        await it.passes(1)
        assert sorted(name.split()[3] for name in it.jobs_created()) == ["b1", "b2", "b3"]


@pytest.mark.on_both
async def test_two_replicas_start_every_gateway_once(database_url: str) -> None:
    async with world(database_url, rules=replace(QUICK, batch=2), quick=True) as it:
        rollout_id = await it.running()
        _, other = it.restarted()
        for _ in range(8):
            it.clock.advance(MINUTE)
            await it.fleet.take_in_listing()
            await asyncio.gather(it.runner.advance(), other.advance())
        assert (await it.rollouts.status(rollout_id)).counts == {(1, TargetState.VERIFIED): 8}
        assert it.started_more_than_once() == {}
        assert len(it.jobs_created()) == 4


async def test_jobs_from_the_portal_are_listed_beside_ours(database_url: str) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running("name:MT10000")
        await it.passes(1)
        firmware = it.portal.firmware(MODEL, NEW)
        job = it.portal.create_job("by hand", firmware.id, [list(it.portal.devices)[5]])
        lines, more = await it.rollouts.vendor_jobs(0)
        assert {(line.job.name, line.rollout_id) for line in lines} >= {("by hand", None)}
        assert [line.rollout_id for line in lines if line.job.name != "by hand"] == [rollout_id]
        assert not more
        assert (await it.rollouts.vendor_job(job.id)).job.devices


async def test_many_gateways_are_cut_into_batches_and_every_one_is_told_apart(tmp_path: Path) -> None:
    rules = replace(QUICK, batch=50, second_above_gateways=None)
    async with world(sqlite_url(tmp_path, "x.db"), gateways=120, rules=rules, quick=True) as it:
        picture = await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 120}
        assert len(it.jobs_created()) == 3


async def test_a_refused_job_is_tried_once_more_by_itself(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        it.portal.faults.add("CREATE_JOB", 422, message="try later")
        picture = await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 8}
        assert it.started_more_than_once() == {}
