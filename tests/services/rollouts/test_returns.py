"""An update waits for gateways that are offline, and updates them as they return."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.access import Role
from bot.domain.errors import NotAllowed, Stale
from bot.domain.query import parse
from bot.domain.rollouts.events import CaughtUp, Finished, WaitEnded
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState, TargetClass, TargetState
from bot.domain.rollouts.progress import RolloutStatus
from bot.slack.rollouts.views.card import card
from bot.storage.fleet import search
from tests.slack.shown import buttons
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import ADA, MINUTE, NEW, OLGA, PAUL, PIA, QUICK, World, world

WAITS = replace(QUICK, wait_for_return=60 * MINUTE)
CAREFUL = replace(WAITS, waves=(1, 1.0))
FIRST, SECOND, THIRD = (f"bmac-{number:012x}" for number in range(3))


async def offline(it: World, gateways: Sequence[str]) -> None:
    it.portal.disconnect(list(gateways))
    await it.fleet.take_in_listing()


async def returns(it: World, *gateways: str) -> None:
    """And is stable by then."""
    it.portal.connect(list(gateways))
    await it.passes(4)


def waits(picture: RolloutStatus) -> bool:
    return picture.in_state(TargetState.AWAY) == sum(
        number for (_, state), number in picture.counts.items() if not state.is_settled
    )


async def waiting(it: World, gone: Sequence[str] = (FIRST,)) -> RolloutId:
    """A rollout whose others are done."""
    await offline(it, gone)
    rollout_id = await it.running()
    await it.until(rollout_id, waits)
    return rollout_id


@pytest.mark.on_both
async def test_a_gateway_that_was_offline_is_updated_once_it_is_back_and_stable(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        shown = card(await it.rollouts.status(rollout_id)).text
        assert "waiting for 1 gateway" in shown
        assert "1 waits for its return, until" in shown
        assert FIRST in await it.claimed()
        it.portal.connect([FIRST])
        await it.passes(1)
        assert len(it.portal.starts) == 3
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 3, (2, TargetState.VERIFIED): 1}
        assert it.started_more_than_once() == {}
        assert await it.claimed() == set()


async def test_a_gateway_that_is_waited_for_does_not_count_as_updating(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        await offline(it, [FIRST])
        rollout_id = await it.running()
        await it.until(rollout_id, lambda picture: bool(picture.in_state(TargetState.IN_PROGRESS)))
        async with it.database.read() as connection:
            both = await search.by_ids(connection, [FIRST, SECOND], it.clock.now())
        assert [known.updating for known in both] == [False, True]
        query = parse("is:updating")
        async with it.database.read() as connection:
            found = await connection.run_sync(search.page, query, it.clock.now(), 0, 9)
        assert FIRST not in {known.gateway.id for known in found[0]}


async def test_one_that_goes_offline_before_its_turn_is_waited_for_too(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=WAITS, quick=True) as it:
        rollout_id = await it.running()
        await offline(it, [THIRD])
        await it.until(rollout_id, waits)
        await returns(it, THIRD)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.in_state(TargetState.VERIFIED) == 4


async def test_a_plan_of_offline_gateways_alone_is_approved_and_its_first_to_return_is_the_canary(
    database_url: str,
) -> None:
    async with world(database_url, gateways=3, rules=CAREFUL, quick=True) as it:
        await offline(it, list(it.portal.devices))
        rollout_id = await it.running()
        await it.passes(2)
        assert it.jobs_created() == []
        await returns(it, SECOND, THIRD)
        await it.comes_to(rollout_id, RolloutState.PROMOTION)
        assert len(it.portal.starts) == 1
        await it.steering.promote(PAUL, rollout_id)
        await it.until(rollout_id, lambda picture: picture.in_state(TargetState.VERIFIED) == 2)
        await returns(it, FIRST)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(wave, TargetState.VERIFIED): 1 for wave in (1, 2, 3)}
        came = [
            one.event for one in await it.rollouts.timeline(rollout_id) if isinstance(one.event, CaughtUp)
        ]
        assert came == [CaughtUp(1, 1), CaughtUp(1, 2), CaughtUp(1, 3)]


async def test_whoever_never_comes_is_named_at_the_end_and_belongs_to_nobody_then(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        it.clock.advance(WAITS.wait_for_return)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.in_state(TargetState.SKIPPED) == 1
        ended, last = [one.event for one in await it.rollouts.timeline(rollout_id)][-2:]
        assert ended == WaitEnded(1)
        assert isinstance(last, Finished)
        assert (last.verified, last.skipped, last.gateways[0].label) == (2, 1, "MT10000")
        assert await it.claimed() == set()
        assert [kind for _, kind in await it.notes()].count("rollout_decided") == 2  # approved, and its end
        await returns(it, FIRST)
        assert FIRST not in it.portal.starts


async def test_one_that_is_back_just_before_the_end_and_not_started_by_then_is_not_started(
    database_url: str,
) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        until = (await it.rollouts.status(rollout_id)).rollout.wait_until
        assert until is not None
        it.portal.faults.add("CREATE_JOB", 429)
        it.portal.connect([FIRST])
        await it.passes(3)
        it.clock.advance(until - it.clock.now() - MINUTE)
        await it.passes(3)
        assert FIRST not in it.portal.starts
        assert (await it.states(rollout_id))[FIRST] is TargetState.SKIPPED


async def test_an_abort_ends_the_waiting(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        await it.steering.abort(PAUL, rollout_id)
        assert await it.claimed() == set()
        await returns(it, FIRST)
        assert FIRST not in it.portal.starts


async def test_a_person_ends_the_waiting_and_it_is_finished(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        assert "rollout_end_waiting" in buttons(card(await it.rollouts.status(rollout_id)))
        assert await it.steering.end_waiting(OLGA, rollout_id) == 1
        with pytest.raises(Stale, match="waits for no gateway that is offline"):
            await it.steering.end_waiting(PIA, rollout_id)
        await it.passes(1)
        shown = card(await it.rollouts.status(rollout_id))
        assert "✅ finished" in shown.text
        assert "rollout_end_waiting" not in buttons(shown)
        assert ("U0OLGA", "rollout_end_waiting", "R-1") in await it.audited()


async def test_a_paused_rollout_and_a_freeze_start_nobody_who_is_back(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        await it.freezes.freeze(ADA, NEW, "it bricks")
        await returns(it, FIRST)
        assert FIRST not in it.portal.starts
        await it.steering.pause(OLGA, rollout_id)
        await it.freezes.unfreeze(ADA, NEW)
        await it.passes(3)
        assert FIRST not in it.portal.starts
        await it.steering.resume(OLGA, rollout_id)
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert len(it.portal.starts[FIRST]) == 1


async def test_another_rollout_does_not_get_a_gateway_that_is_waited_for(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        drawn = await it.plan(version=NEW)
        assert drawn.plan.counts()[TargetClass.BUSY] == 1
        assert list(drawn.busy_in) == [rollout_id]
        await it.steering.end_waiting(OLGA, rollout_id)
        assert (await it.plan(version=NEW)).plan.counts()[TargetClass.OFFLINE] == 1


async def test_the_waiting_ends_when_whose_approval_it_rests_on_may_not_approve_any_more(
    database_url: str,
) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        it.people[PAUL.user_id] = replace(PAUL, role=Role.VIEWER)
        await returns(it, FIRST)
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert FIRST not in it.portal.starts
        ended = [one.event for one in await it.rollouts.timeline(rollout_id)][-2]
        assert ended == WaitEnded(1, "Paul may not approve it any more")


async def test_somebody_with_a_limit_requests_no_waiting_for_gateways_outside_of_it(
    database_url: str,
) -> None:
    async with world(database_url, gateways=2, rules=WAITS, sites=("oslo", "bergen")) as it:
        await offline(it, [SECOND])
        drawn = await it.plan("name:*")
        limited = replace(OLGA, limits={Role.OPERATOR: (parse("tag:oslo"),)})
        with pytest.raises(NotAllowed, match="tag:oslo"):
            await it.rollouts.request(limited, drawn.id)


async def test_one_that_was_updated_by_others_meanwhile_is_left_out(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        it.portal.devices[FIRST].firmware = NEW
        await returns(it, FIRST)
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert (await it.states(rollout_id))[FIRST] is TargetState.EXCLUDED
        assert picture.in_state(TargetState.SKIPPED) == 0


@pytest.mark.parametrize("dies", ["before the call", "after the call"])
async def test_a_process_that_dies_on_the_way_to_a_job_starts_whoever_returned_once(
    dies: str, tmp_path: Path
) -> None:
    async with world(sqlite_url(tmp_path), gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        it.portal.faults.add("CREATE_JOB", 503 if dies == "before the call" else "lost_answer")
        await returns(it, FIRST)
        it.rollouts, it.runner = it.restarted()
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.in_state(TargetState.VERIFIED) == 3
        assert it.started_more_than_once() == {}


@pytest.mark.on_both
async def test_two_replicas_start_whoever_returned_once(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=WAITS, quick=True) as it:
        rollout_id = await waiting(it)
        _, other = it.restarted()
        it.portal.connect([FIRST])
        for _ in range(8):
            it.clock.advance(MINUTE)
            await it.fleet.take_in_listing()
            await asyncio.gather(it.runner.advance(), other.advance())
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}
