"""An update that is bound to its gateways' next maintenance window; today's begin at 08:00."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.errors import InvalidInput, Stale
from bot.domain.rollouts.lifecycle import Rollout, RolloutState, TargetState
from bot.slack.rollouts.views import plan as plan_views
from bot.slack.rollouts.views.card import card
from tests.slack.shown import buttons
from tests.worlds.rollouts import ADA, MINUTE, OLGA, PAUL, QUICK, START, WAVES, World, world

HOUR = 60 * MINUTE
ONCE, WEEKLY = (f"tag:oslo 09:00-10:00 {every}because the mast is painted" for every in ("", "weekly "))
SLOWLY = replace(QUICK, per_site=0.25)  # one of four at once


async def bound(it: World, window: str = ONCE) -> Rollout:
    """It is requested and approved."""
    await it.maintenance.plan(ADA, window, "C0OPS", 4)
    drawn = await it.plan(in_maintenance=True)
    rollout = await it.rollouts.request(OLGA, drawn.id)
    return await it.rollouts.approve(PAUL, rollout.id)


async def comes(it: World, hours: float) -> None:
    """So many hours after the world began, with what ticks then."""
    it.clock.advance(START + hours * HOUR - it.clock.now())
    await it.fleet.take_in_listing()
    await it.maintenance.tick()
    await it.passes(2)


@pytest.mark.on_both
async def test_it_starts_gateways_only_while_the_window_is_open(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=QUICK, quick=True) as it:
        rollout = await bound(it)
        assert (rollout.state, rollout.maintenance) == (RolloutState.SCHEDULED, 1)
        await it.passes(5)
        assert it.jobs_created() == []
        await comes(it, 1)
        assert len(it.jobs_created()) == 1
        await it.comes_to(rollout.id, RolloutState.FINISHED)


@pytest.mark.on_both
async def test_two_replicas_start_each_gateway_once_in_its_window(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=replace(QUICK, batch=2), quick=True) as it:
        rollout = await bound(it)
        _, other = it.restarted()
        await asyncio.gather(it.runner.advance(), other.advance())
        assert it.jobs_created() == []
        it.clock.advance(HOUR)
        await it.fleet.take_in_listing()
        for _ in range(8):
            it.clock.advance(MINUTE)
            await it.fleet.take_in_listing()
            ticks = (it.maintenance.tick(), it.maintenance.tick(), it.runner.advance(), other.advance())
            await asyncio.gather(*ticks)
        await it.comes_to(rollout.id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}
        assert len(it.jobs_created()) == 2


async def test_plan_and_card_say_in_which_window_and_whether_it_is_long_enough(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=WAVES) as it:
        await it.maintenance.plan(ADA, "tag:oslo 09:00-09:05 because of it", "C0OPS", 4)
        drawn = await it.plan(in_maintenance=True)
        said = plan_views.plan(drawn, WAVES).text
        assert "It starts gateways only in M-1, open from" in said
        assert "the rest stays as it is until somebody resumes it" in said
        rollout = await it.rollouts.request(OLGA, drawn.id)
        shown = card(await it.rollouts.status(rollout.id))
        assert "It starts gateways only in M-1, open from" in shown.text


async def test_what_a_weekly_window_leaves_waits_for_its_next_opening(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=SLOWLY, quick=True) as it:
        rollout = await bound(it, WEEKLY)
        await comes(it, 1.4)
        started = len(it.portal.starts)
        assert 0 < started < 4
        await comes(it, 2.1)
        await it.passes(10)
        picture = await it.rollouts.status(rollout.id)
        assert picture.rollout.state is RolloutState.RUNNING
        assert picture.rollout.held == "M-1 is not open; it opens Monday 11 May 09:00 (UTC)"
        assert len(it.portal.starts) <= started + 1
        await comes(it, 7 * 24 + 1)
        await it.comes_to(rollout.id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}


async def test_what_a_window_leaves_that_does_not_come_again_pauses_and_goes_on_when_resumed(
    database_url: str,
) -> None:
    async with world(database_url, gateways=4, rules=SLOWLY, quick=True) as it:
        rollout = await bound(it)
        await comes(it, 1.4)
        await comes(it, 2.1)
        picture = await it.comes_to(rollout.id, RolloutState.PAUSED)
        drawn = card(picture)
        assert "M-1, in which alone it starts gateways, is over: resumed, it goes on without" in drawn.text
        assert {"rollout_resume", "rollout_abort"} <= set(buttons(drawn))
        left = picture.in_state(TargetState.WAITING)
        await it.passes(10)
        assert (await it.rollouts.status(rollout.id)).in_state(TargetState.WAITING) == left > 0
        await it.steering.resume(OLGA, rollout.id)
        await it.comes_to(rollout.id, RolloutState.FINISHED)


async def test_a_skipped_opening_starts_nothing_and_the_next_one_does(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=QUICK, quick=True) as it:
        rollout = await bound(it, WEEKLY)
        await it.maintenance.skip(ADA, "M-1", "C0OPS")
        await comes(it, 1.2)
        assert it.jobs_created() == []
        waits = (await it.rollouts.status(rollout.id)).rollout
        assert waits.state is RolloutState.SCHEDULED
        assert waits.held == "M-1 is not open; it opens Monday 11 May 09:00 (UTC)"
        await comes(it, 7 * 24 + 1)
        await it.comes_to(rollout.id, RolloutState.FINISHED)


async def test_skipping_the_opening_in_which_it_runs_starts_nobody_else_in_it(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=SLOWLY, quick=True) as it:
        await bound(it, WEEKLY)
        await comes(it, 1.1)
        await it.maintenance.skip(ADA, "M-1", "C0OPS")
        started = len(it.portal.starts)
        await it.passes(10)
        assert len(it.portal.starts) == started


async def test_one_whose_window_ended_before_it_began_is_void(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=QUICK, quick=True) as it:
        rollout = await bound(it)
        await it.maintenance.end(ADA, "M-1", "C0OPS")
        await comes(it, 1)
        shown = card(await it.rollouts.status(rollout.id))
        assert "M-1, in which alone it starts gateways, is over" in shown.text
        assert "rollout_replan" in buttons(shown)
        assert it.jobs_created() == []


async def test_a_request_for_a_window_that_has_ended_meanwhile_is_refused(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=QUICK) as it:
        await it.maintenance.plan(ADA, ONCE, "C0OPS", 4)
        drawn = await it.plan(in_maintenance=True)
        await it.maintenance.end(ADA, "M-1", "C0OPS")
        with pytest.raises(Stale, match="M-1, in which alone it starts gateways, is over"):
            await it.rollouts.request(OLGA, drawn.id)


async def test_a_window_has_to_hold_all_of_the_gateways_and_time_enough(database_url: str) -> None:
    async with world(database_url, gateways=4, sites=("oslo", "bergen")) as it:
        with pytest.raises(InvalidInput, match="holds all of these gateways"):
            await it.plan(in_maintenance=True)
        await it.maintenance.plan(ADA, ONCE, "C0OPS", 2)
        with pytest.raises(InvalidInput, match="holds all of these gateways"):
            await it.plan("name:*", in_maintenance=True)
        it.clock.advance(1.6 * HOUR)
        await it.fleet.take_in_listing()
        with pytest.raises(InvalidInput, match="M-1 closes soon"):
            await it.plan(in_maintenance=True)


async def test_a_window_that_opens_while_no_bot_runs_is_used_after_the_restart_and_each_starts_once(
    database_url: str,
) -> None:
    async with world(database_url, gateways=4, rules=QUICK, quick=True) as it:
        rollout = await bound(it)
        it.portal.faults.add("CREATE_JOB", "lost_answer")
        await comes(it, 1)
        it.rollouts, it.runner = it.restarted()
        await it.comes_to(rollout.id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}
