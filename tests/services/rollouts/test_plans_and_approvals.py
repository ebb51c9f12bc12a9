"""Rollouts against a portal on the wire and a real database."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import Behaviour
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, RolloutState, TargetClass, TargetState
from tests.worlds.builders import limited
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import ADA, MODEL, NEW, OLGA, ONE_WAVE, PAUL, PIA, QUICK, VERA, world

FIRST = "bmac-000000000004"


async def test_a_plan_sends_nothing_to_the_vendor(database_url: str) -> None:
    async with world(database_url) as it:
        drawn = await it.plan()
        assert drawn.plan.counts()[TargetClass.ELIGIBLE] == 8
        await it.requested()
        await it.passes(5)
        assert it.jobs_created() == []


async def test_a_viewer_cannot_plan_and_reads_who_can(database_url: str) -> None:
    async with world(database_url) as it:
        with pytest.raises(NotAllowed, match=r"operator.*Olga"):
            await it.plan(actor=VERA)


async def test_a_rollout_runs_from_plan_to_end(database_url: str) -> None:
    async with world(database_url, rules=replace(QUICK, batch=3), quick=True) as it:
        picture = await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 8}
        uid = picture.rollout.uid
        assert it.jobs_created() == [f"meshbot R-1 w1 b{number} {uid}" for number in (1, 2, 3)]
        assert it.started_more_than_once() == {}
        assert {device.firmware for device in it.portal.devices.values()} == {NEW}


async def test_every_decision_is_audited_and_told_to_the_requester(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert await it.audited() == [
            ("U0OLGA", "rollout_request", "R-1"),
            ("U0PAUL", "rollout_approve", "R-1"),
            ("meshbot", "rollout_started", "R-1"),
            ("meshbot", "rollout_finished", "R-1"),
        ]
        assert ("U0OLGA", "rollout_decided") in await it.notes()
        assert await it.events(RolloutId(1)) == ["requested", "approved", "started", "finished"]
        assert await it.card_channels() == ["C0ROLLOUTS"]


@pytest.mark.on_both
async def test_two_approvers_at_the_same_instant_decide_once(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested()
        both = await asyncio.gather(
            it.rollouts.approve(PAUL, rollout.id),
            it.rollouts.approve(PIA, rollout.id),
            return_exceptions=True,
        )
        decided = [one for one in both if isinstance(one, Rollout)]
        polite = [one for one in both if isinstance(one, Stale)]
        assert len(decided) == len(polite) == 1
        assert "a moment ago" in str(polite[0])
        assert [entry for entry in await it.audited() if entry[1] == "rollout_approve"] == [
            (decided[0].approvals[0].user_id, "rollout_approve", "R-1")
        ]


async def test_only_those_that_take_part_are_counted_in_a_list(database_url: str) -> None:
    async with world(database_url) as it:
        it.portal.disconnect(list(it.portal.devices)[:3])
        it.portal.devices[FIRST].firmware = NEW
        await it.fleet.take_in_listing()
        await it.running()
        (line,) = (await it.rollouts.page(0)).lines
        assert line.counts == {TargetState.WAITING: 4, TargetState.AWAY: 3}


@pytest.mark.on_both
async def test_a_plan_is_requested_once(database_url: str) -> None:
    async with world(database_url) as it:
        drawn = await it.plan()
        await it.rollouts.request(OLGA, drawn.id)
        with pytest.raises(Stale, match="it is R-1"):
            await it.rollouts.request(OLGA, drawn.id)


async def test_a_plan_that_is_too_old_is_not_requested(database_url: str) -> None:
    async with world(database_url) as it:
        drawn = await it.plan()
        it.clock.advance(timedelta(hours=1))
        with pytest.raises(Stale, match="too old"):
            await it.rollouts.request(OLGA, drawn.id)


@pytest.mark.on_both
async def test_a_plan_that_was_dropped_is_gone(database_url: str) -> None:
    async with world(database_url) as it:
        drawn = await it.plan()
        await it.rollouts.forget_plan(OLGA, drawn.id)
        with pytest.raises(NotFound):
            await it.rollouts.request(OLGA, drawn.id)


async def test_a_plan_is_requested_by_the_one_it_was_drawn_for(database_url: str) -> None:
    async with world(database_url) as it:
        drawn = await it.plan()
        with pytest.raises(Stale, match="somebody else"):
            await it.rollouts.request(PAUL, drawn.id)


async def test_a_plan_with_nobody_to_update_is_not_requested(database_url: str) -> None:
    async with world(database_url) as it:
        for device in it.portal.devices.values():
            device.firmware = NEW
        await it.fleet.take_in_listing()
        done = await it.plan()
        with pytest.raises(InvalidInput, match="None of the 8 matching"):
            await it.rollouts.request(OLGA, done.id)


async def test_a_gateway_is_in_one_rollout_at_a_time(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        first, second = await it.requested(), await it.requested("name:MT10000")
        await it.rollouts.approve(PAUL, second.id)
        await it.rollouts.approve(PAUL, first.id)
        counts = (await it.comes_to(first.id, RolloutState.FINISHED)).counts
        assert counts == {(1, TargetState.VERIFIED): 7, (1, TargetState.EXCLUDED): 1}
        assert it.started_more_than_once() == {}


@pytest.mark.on_both
async def test_a_plan_whose_gateways_another_rollout_has_taken_is_void(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        first, second = await it.requested(), await it.requested()
        await it.rollouts.approve(PAUL, first.id)
        assert (await it.rollouts.approve(PAUL, second.id)).state is RolloutState.VOID
        await it.comes_to(first.id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}


async def test_a_running_rollouts_gateways_are_busy_in_the_next_plan(database_url: str) -> None:
    async with world(database_url) as it:
        await it.running()
        assert (await it.plan()).plan.counts()[TargetClass.BUSY] == 8


async def test_a_denial_ends_it_before_anything_was_sent(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested()
        denied = await it.rollouts.deny(PAUL, rollout.id, "not on a Friday")
        await it.passes(5)
        assert (denied.state, it.jobs_created()) == (RolloutState.DENIED, [])
        assert ("U0OLGA", "rollout_decided") in await it.notes()


async def test_a_request_that_nobody_decides_expires_by_itself(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested()
        it.clock.advance(timedelta(hours=8))
        await it.runner.advance()
        assert (await it.rollouts.status(rollout.id)).rollout.state is RolloutState.EXPIRED


async def test_with_no_approvals_a_request_starts(database_url: str) -> None:
    async with world(database_url, rules=replace(ONE_WAVE, approvals=0)) as it:
        rollout = await it.requested()
        await it.passes(1)
        assert rollout.state is RolloutState.RUNNING
        assert len(it.jobs_created()) == 1


async def test_with_no_approvals_a_plan_from_which_the_fleet_drifted_is_not_requested(
    database_url: str,
) -> None:
    async with world(database_url, rules=replace(ONE_WAVE, approvals=0)) as it:
        drawn = await it.plan()
        it.portal.disconnect(list(it.portal.devices)[:2])
        await it.fleet.take_in_listing()
        with pytest.raises(Stale, match="The fleet is another"):
            await it.rollouts.request(OLGA, drawn.id)
        assert (await it.rollouts.page(0)).total == 0


async def test_failures_are_kept_by_gateway_and_reason(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.FAILS, quick=True) as it:
        picture = await it.comes_to(await it.running(), RolloutState.FINISHED)
        assert picture.failed == 2
        assert {row.label for row in picture.failures} == {"MT10000", "MT10001"}
        assert all(row.reason for row in picture.failures)


async def test_a_gateway_that_never_answers_is_overdue_and_the_rollout_ends(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, behaviour=Behaviour.SILENT) as it:
        rollout_id = await it.running()
        await it.passes(11)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.RUNNING
        await it.passes(3)
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.state is RolloutState.FINISHED
        assert picture.counts == {(1, TargetState.OVERDUE): 2}


async def test_one_rollout_that_fails_does_not_hold_up_the_others(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        first = await it.running("name:MT10000")
        second = await it.running("name:MT10001")
        await it.passes(1)
        lost = next(job for job in it.portal.jobs.values() if job.name.startswith("meshbot R-1"))
        it.portal.faults.add("GET_JOB", "truncated", times=1)
        await it.passes(8)
        assert lost.id in it.portal.jobs
        for rollout_id in (first, second):
            assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.FINISHED


async def test_a_version_of_several_models_offers_a_choice(database_url: str) -> None:
    async with world(database_url) as it:
        for number, device in enumerate(it.portal.devices.values()):
            device.model = MODEL if number % 2 else "2012"
        it.portal.add_firmware("2012", NEW)
        await it.fleet.take_in_listing()
        choice = await it.rollouts.plan(OLGA, "C0OPS", "tag:oslo", NEW)
        assert isinstance(choice, FirmwareChoice)
        assert [file.model for file, _ in choice.options] == [MODEL, "2012"]


async def test_only_the_requester_or_an_admin_withdraws(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested()
        with pytest.raises(NotAllowed):
            await it.rollouts.cancel(PAUL, rollout.id)
        assert (await it.rollouts.cancel(ADA, rollout.id)).state is RolloutState.CANCELED


async def test_lists_put_first_what_still_goes_on(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        waiting = await it.requested("name:MT10001")
        done = await it.running("name:MT10000")
        await it.comes_to(done, RolloutState.FINISHED)
        page = await it.rollouts.page(0)
        assert [line.rollout.id for line in page.lines] == [waiting.id, done]
        assert page.total == 2


@pytest.mark.parametrize(("text", "number"), [("R-7", 7), ("r7", 7), (" 7 ", 7)])
async def test_a_rollout_is_found_by_its_number(tmp_path: Path, text: str, number: int) -> None:
    async with world(sqlite_url(tmp_path, "x.db"), gateways=1) as it:
        assert await it.rollouts.find(text) == RolloutId(number)
        with pytest.raises(InvalidInput):
            await it.rollouts.find("seven")


async def test_who_is_limited_plans_and_approves_within_and_not_beyond(database_url: str) -> None:
    async with world(database_url) as it:
        with pytest.raises(NotAllowed, match="among the gateways of “tag:bergen”"):
            await it.plan(actor=limited(OLGA, "tag:bergen"))
        rollout = await it.requested(actor=limited(OLGA, "tag:oslo"))
        with pytest.raises(NotAllowed, match="approve a firmware rollout only among"):
            await it.rollouts.approve(limited(PAUL, "tag:bergen"), rollout.id)
        await it.rollouts.approve(PAUL, rollout.id)
        stopper = limited(OLGA, "tag:bergen")
        await it.steering.pause(stopper, rollout.id)
        with pytest.raises(NotAllowed, match="resume or promote a firmware rollout only among"):
            await it.steering.resume(stopper, rollout.id)
