"""How rollouts go from wave to wave, and what stops them by itself, against a portal on the wire."""

import asyncio
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text, update

from bot.demo.fleet.simulator import Behaviour
from bot.domain.errors import Stale, Unavailable
from bot.domain.rollouts.events import NotReturned
from bot.domain.rollouts.lifecycle import RolloutState, TargetState
from bot.domain.times.update_windows import Window
from bot.slack import ids
from bot.slack.rollouts.views.card import card
from bot.storage.db.tables import rollouts
from bot.storage.rollouts.rollouts import claim_due
from tests.slack.shown import buttons
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import (
    MINUTE,
    MODEL,
    NEW,
    OLD,
    ONE_WAVE,
    PAUL,
    QUICK,
    SKIPPING,
    WAVES,
    World,
    world,
)

SITES = ("oslo", "bergen")
# ---- waves


async def test_a_good_firmware_reaches_every_gateway_wave_by_wave(database_url: str) -> None:
    async with world(database_url, gateways=12, rules=WAVES, sites=SITES, quick=True) as it:
        rollout_id = await it.past_the_canary()
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        verified = TargetState.VERIFIED
        assert picture.counts == {(1, verified): 2, (2, verified): 4, (3, verified): 6}
        assert await it.events(rollout_id) == [
            *["requested", "approved", "started", "canary_done", "promoted", "wave", "finished"]
        ]
        assert it.started_more_than_once() == {}


async def test_after_the_canary_nothing_goes_on_until_a_person_promotes(database_url: str) -> None:
    async with world(database_url, rules=WAVES, quick=True) as it:
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.PROMOTION)
        await it.passes(5)
        assert len(it.portal.starts) == 2
        await it.steering.promote(PAUL, rollout_id)
        await it.passes(1)
        assert len(it.portal.starts) == 4


async def test_between_later_waves_there_is_a_soak(database_url: str) -> None:
    async with world(database_url, rules=WAVES, quick=True) as it:
        rollout_id = await it.past_the_canary()
        picture = await it.until(rollout_id, lambda seen: seen.rollout.wave_settled_at is not None)
        await it.passes(2)
        assert len(it.portal.starts) == 4
        await it.passes(1)
        assert len(it.portal.starts) == 8
        assert picture.counts[2, TargetState.VERIFIED] == 2


@pytest.mark.on_both
async def test_at_most_a_fifth_of_a_site_is_in_flight_at_once(database_url: str) -> None:
    rules = replace(QUICK, per_site=0.2)
    async with world(database_url, gateways=14, rules=rules, sites=("oslo", *["bergen"] * 6)) as it:
        it.portal.download = it.portal.reboot = (MINUTE, MINUTE)
        rollout_id = await it.running("name:*")
        flying = []
        while (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.RUNNING:
            await it.passes(1)
            aloft = await it.in_flight(rollout_id)
            flying.append(tuple(len(aloft & set(it.portal.at_site(site))) for site in ("oslo", "bergen")))
        assert max(oslo for oslo, _ in flying) == 1  # of 2: at least one
        assert max(bergen for _, bergen in flying) == 2  # of 12
        assert len(it.portal.starts) == 14


@pytest.mark.on_both
async def test_two_rollouts_at_one_site_share_its_fifth(database_url: str) -> None:
    async with world(database_url, gateways=10, rules=replace(QUICK, per_site=0.2)) as it:
        first, second = await it.running("name:MT10000,MT10001"), await it.running("name:MT10002,MT10003")
        runners = [it.runner, *(it.restarted()[1] for _ in range(3))]
        for _ in range(3):
            it.clock.advance(MINUTE)
            await it.fleet.take_in_listing()
            await asyncio.gather(*(one.advance() for one in runners))
            assert len(await it.in_flight(first) | await it.in_flight(second)) == 2


async def test_a_site_that_is_renamed_meanwhile_goes_on_by_its_new_name(database_url: str) -> None:
    async with world(database_url, gateways=10, rules=replace(QUICK, per_site=0.2)) as it:
        rollout_id = await it.running("name:*")
        for device in it.portal.devices.values():
            device.labels = ["oslo-2"]
        await it.passes(1)
        assert len(await it.in_flight(rollout_id)) == 2


async def test_canaries_stand_at_different_sites(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path, "x.db"), gateways=12, rules=WAVES, sites=SITES) as it:
        canaries = [target.site for target in (await it.plan("name:*")).plan.targets if target.wave == 1]
        assert sorted(canaries) == sorted(SITES)


# ---- verified success, and silence


async def test_success_is_verified_and_not_merely_reported(database_url: str) -> None:
    async with world(database_url, gateways=1, rules=QUICK, quick=True) as it:
        rollout_id = await it.running()
        await it.until(rollout_id, lambda seen: seen.in_state(TargetState.REPORTED) == 1)
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.RUNNING
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.in_state(TargetState.VERIFIED) == 1


async def test_a_firmware_that_reports_success_and_stays_on_the_old_version_is_caught_at_the_canary(
    database_url: str,
) -> None:
    async with world(database_url, rules=WAVES, behaviour=Behaviour.LIES, quick=True) as it:
        picture = await it.comes_to(await it.running(), RolloutState.PAUSED)
        assert picture.rollout.reason == "2 of 2 canaries failed"
        assert {row.reason for row in picture.failures} == {
            f"its job says succeeded, and it still runs {OLD} instead of {NEW}"
        }
        assert len(it.portal.starts) == 2


async def test_a_firmware_that_never_answers_is_stopped_at_the_canary(database_url: str) -> None:
    async with world(database_url, rules=WAVES, behaviour=Behaviour.SILENT, quick=True) as it:
        picture = await it.comes_to(await it.running(), RolloutState.PAUSED)
        assert picture.counts[1, TargetState.OVERDUE] == 2
        assert {row.reason for row in picture.failures} == {"no result for 12 minutes"}


@pytest.mark.on_both
async def test_a_firmware_that_bricks_is_stopped_at_the_canary_and_told_to_the_channel(
    database_url: str,
) -> None:
    async with world(database_url, rules=WAVES, behaviour=Behaviour.BRICKS, quick=True) as it:
        rollout_id = await it.running()
        picture = await it.comes_to(rollout_id, RolloutState.PAUSED)
        assert picture.counts[1, TargetState.NOT_RETURNED] == 2
        assert await it.broadcasts() == ["not_returned", "paused"]
        events = [entry.event for entry in await it.rollouts.timeline(rollout_id)]
        (lost,) = [event for event in events if isinstance(event, NotReturned)]
        assert (lost.count, lost.version) == (2, NEW)
        assert {one.site for one in lost.gateways} == {"oslo"}


async def test_the_channel_hears_only_of_pause_abort_did_not_return_and_the_end(database_url: str) -> None:
    async with world(database_url, rules=WAVES, quick=True) as it:
        rollout_id = await it.past_the_canary()
        await it.steering.pause(PAUL, rollout_id)
        await it.steering.resume(PAUL, rollout_id)
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert await it.broadcasts() == ["paused", "finished"]


# ---- gates


async def test_any_canary_failure_pauses(database_url: str) -> None:
    async with world(database_url, rules=WAVES, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.disconnect([next(iter(it.portal.starts))])
        picture = await it.comes_to(rollout_id, RolloutState.PAUSED)
        assert picture.rollout.reason == "1 of 2 canaries failed"
        assert (picture.failed, picture.in_state(TargetState.WAITING)) == (1, 6)


async def test_five_percent_of_what_has_finished_pause_a_wave_once_ten_have(database_url: str) -> None:
    async with world(database_url, gateways=24, rules=WAVES, sites=SITES, quick=True) as it:
        rollout_id = await it.past_the_canary()
        await it.passes(1)
        it.portal.disconnect(sorted(await it.in_flight(rollout_id))[:1])
        picture = await it.comes_to(rollout_id, RolloutState.PAUSED)
        assert picture.rollout.reason == "1 of 12 gateways failed, 5 % or more"
        assert picture.in_state(TargetState.WAITING) == 12


async def test_before_ten_have_finished_one_failure_of_a_later_wave_does_not_pause(database_url: str) -> None:
    async with world(database_url, gateways=9, rules=WAVES, quick=True) as it:
        rollout_id = await it.past_the_canary()
        await it.passes(1)
        it.portal.disconnect(sorted(await it.in_flight(rollout_id))[:1])
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert (picture.failed, picture.in_state(TargetState.VERIFIED)) == (1, 8)


async def test_three_in_a_row_that_did_not_return_pause(database_url: str) -> None:
    sites = ("oslo", "bergen", "narvik")
    rules = replace(WAVES, waves=(2, 0.75, 1.0))
    async with world(database_url, gateways=12, rules=rules, sites=sites, quick=True) as it:
        rollout_id = await it.past_the_canary()
        await it.passes(1)
        aloft = await it.in_flight(rollout_id)
        it.portal.disconnect([min(aloft & set(it.portal.at_site(site))) for site in sites])
        picture = await it.comes_to(rollout_id, RolloutState.PAUSED)
        assert picture.rollout.reason == "3 gateways in a row did not return"


async def test_three_failures_at_one_site_pause(database_url: str) -> None:
    rules = replace(WAVES, waves=(1, 0.5, 1.0))
    async with world(database_url, gateways=8, rules=rules, quick=True) as it:
        rollout_id = await it.past_the_canary(behaviour=Behaviour.FAILS)
        picture = await it.comes_to(rollout_id, RolloutState.PAUSED)
        assert picture.rollout.reason == "3 gateways failed at oslo"


async def test_fifteen_percent_stop_for_good_and_freeze_the_firmware(database_url: str) -> None:
    async with world(database_url, gateways=24, rules=WAVES, sites=SITES, quick=True) as it:
        rollout_id = await it.past_the_canary(behaviour=Behaviour.FAILS)
        picture = await it.comes_to(rollout_id, RolloutState.ABORTED)
        assert picture.rollout.reason == "10 of 12 gateways failed, 15 % or more"
        assert [(one.firmware_version, one.by) for one in await it.freezes.standing()] == [(NEW, "meshbot")]
        await it.passes(5)
        assert len(it.portal.starts) == 12
        assert await it.claimed() == set()


async def test_fifteen_percent_stop_for_good_even_a_rollout_that_is_paused(database_url: str) -> None:
    async with world(database_url, gateways=24, rules=WAVES, sites=SITES, quick=True) as it:
        rollout_id = await it.past_the_canary(behaviour=Behaviour.FAILS)
        await it.passes(1)
        await it.steering.pause(PAUL, rollout_id)
        picture = await it.comes_to(rollout_id, RolloutState.ABORTED)
        assert picture.rollout.reason == "10 of 12 gateways failed, 15 % or more"
        assert len(await it.freezes.standing()) == 1


async def test_neighbours_that_a_rollout_does_not_touch_and_that_go_offline_pause_it(
    database_url: str,
) -> None:
    behaviour = Behaviour.DROPS_NEIGHBOURS
    async with world(database_url, gateways=12, rules=WAVES, behaviour=behaviour, quick=True) as it:
        it.portal.download = (4 * MINUTE, 4 * MINUTE)
        picture = await it.comes_to(await it.running(), RolloutState.PAUSED)
        assert picture.rollout.reason == (
            "5 gateways at oslo that are not part of it went offline after it began there"
        )
        await it.passes(10)
        assert len(it.portal.starts) == 2


@pytest.mark.on_both
async def test_neighbours_that_went_and_came_back_between_two_looks_pause_it_too(database_url: str) -> None:
    async with world(database_url, gateways=12, rules=WAVES, quick=True) as it:
        rollout_id = await it.running("name:MT10000,MT10001,MT10002")
        await it.passes(1)
        neighbours = list(it.portal.devices)[6:10]
        it.portal.disconnect(neighbours)
        it.clock.advance(MINUTE)
        await it.fleet.take_in_listing()
        it.portal.connect(neighbours)
        await it.passes(1)
        reason = (await it.rollouts.status(rollout_id)).rollout.reason
        assert reason == "4 gateways at oslo that are not part of it went offline after it began there"


async def test_one_neighbour_that_goes_offline_does_not_pause(database_url: str) -> None:
    async with world(database_url, gateways=8, rules=WAVES, quick=True) as it:
        rollout_id = await it.running("name:MT10000,MT10001,MT10002")
        await it.passes(1)
        it.portal.disconnect(["bmac-000000000007"])
        await it.comes_to(rollout_id, RolloutState.PROMOTION)


@pytest.mark.on_both
async def test_two_triggers_at_once_pause_once(database_url: str) -> None:
    async with world(database_url, rules=WAVES, behaviour=Behaviour.FAILS, quick=True) as it:
        rollout_id = await it.running()
        _, other = it.restarted()
        for _ in range(4):
            it.clock.advance(MINUTE)
            await it.fleet.take_in_listing()
            await asyncio.gather(
                it.runner.advance(),
                other.advance(),
                *([it.steering.pause(PAUL, rollout_id)] if len(it.portal.starts) == 2 else []),
                return_exceptions=True,
            )
        assert (await it.events(rollout_id)).count("paused") == 1
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.PAUSED


# ---- what holds starts


async def test_visibility_loss_of_the_fleet_holds_everything(database_url: str) -> None:
    async with world(database_url, rules=WAVES, behaviour=Behaviour.BRICKS, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        it.blind = True
        await it.passes(15)
        picture = await it.rollouts.status(rollout_id)
        assert (picture.rollout.state, picture.failed) == (RolloutState.RUNNING, 0)
        assert picture.rollout.held == "there is no data from Meshtech now"
        assert await it.broadcasts() == []
        it.blind = False
        assert (await it.comes_to(rollout_id, RolloutState.PAUSED)).rollout.held is None


async def test_without_sight_of_the_fleet_no_canary_is_promoted(database_url: str) -> None:
    async with world(database_url, rules=WAVES, quick=True) as it:
        rollout_id = await it.running()
        await it.comes_to(rollout_id, RolloutState.PROMOTION)
        it.blind = True
        with pytest.raises(Unavailable, match="no data from Meshtech"):
            await it.steering.promote(PAUL, rollout_id)


async def test_gateways_start_only_inside_the_window(database_url: str) -> None:
    window = Window(frozenset(range(7)), time(9), time(12))
    rules = replace(ONE_WAVE, window=window, zone=ZoneInfo("UTC"))
    async with world(database_url, gateways=2, rules=rules) as it:
        rollout_id = await it.running()
        await it.passes(3)
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.held == "outside the window; it opens Monday 09:00 (UTC)"
        assert it.jobs_created() == []
        it.clock.advance(timedelta(minutes=56))
        await it.passes(1)
        assert len(it.jobs_created()) == 1


async def test_a_job_that_could_not_be_sent_inside_the_window_is_not_sent_outside(database_url: str) -> None:
    window = Window(frozenset(range(7)), time(7), time(8, 32))  # the last start is at 08:02
    async with world(database_url, gateways=2, rules=replace(ONE_WAVE, window=window)) as it:
        it.portal.faults.add("CREATE_JOB", 503, times=9)
        rollout_id = await it.running()
        await it.passes(1)
        it.portal.faults.clear()
        await it.passes(10)
        assert it.jobs_created() == []
        assert (await it.rollouts.status(rollout_id)).in_state(TargetState.WAITING) == 2


async def test_a_gateway_that_is_offline_when_its_turn_comes_is_skipped_where_nothing_waits(
    database_url: str,
) -> None:
    async with world(database_url, rules=SKIPPING, quick=True) as it:
        rollout_id = await it.running()
        it.portal.disconnect(["bmac-000000000003"])
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 7, (1, TargetState.SKIPPED): 1}
        assert await it.claimed() == set()


async def test_a_gateway_that_somebody_else_updated_before_its_turn_is_left_out(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        rollout_id = await it.running()
        it.portal.devices["bmac-000000000003"].firmware = NEW
        picture = await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert picture.counts == {(1, TargetState.VERIFIED): 7, (1, TargetState.EXCLUDED): 1}
        assert "bmac-000000000003" not in it.portal.starts


async def test_a_canary_of_which_nobody_was_updated_is_not_promoted(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=replace(WAVES, waves=(1, 1.0))) as it:
        rollout = await it.requested()
        await it.rollouts.approve(PAUL, rollout.id)
        found = await it.rollouts.targets(rollout.id)
        it.portal.disconnect([one.gateway_id for one in found if one.wave == 1])
        shown = await it.comes_to(rollout.id, RolloutState.PROMOTION)
        drawn = card(shown)
        assert "No gateway of the canary was updated" in drawn.text
        assert ids.ROLLOUT_PROMOTE not in buttons(drawn)
        with pytest.raises(Stale, match="Abort it, and run the update again"):
            await it.steering.promote(PAUL, rollout.id)
        assert it.jobs_created() == []


async def test_due_rollouts_are_claimed_in_the_order_in_which_a_freeze_locks_them(database_url: str) -> None:
    async with world(database_url, gateways=4, rules=QUICK, quick=True) as it:
        names = [one.id for one in it.portal.devices.values()]
        asked = [await it.requested(f"id:{one}") for one in names[:2]]
        now = it.clock.now()
        async with it.database.write() as connection:
            for late, one in enumerate(reversed(asked)):  # the older one is due last
                due = {"due_at": now - (2 - late) * MINUTE}
                await connection.execute(update(rollouts).where(rollouts.c.id == one.id).values(due))
            assert await claim_due(connection, "me", now) == tuple(one.id for one in asked)


@pytest.mark.postgres
async def test_two_gates_that_freeze_at_once_both_do(postgres_url: str) -> None:
    async with world(postgres_url, gateways=22, rules=QUICK, behaviour=Behaviour.REJECTS) as it:
        before = await deadlocks(it)  # the database was another test's before
        it.portal.add_firmware(MODEL, "9.1.0", Behaviour.REJECTS, share=1.0)
        names = [[one.id for one in it.portal.devices.values()][start::2] for start in (0, 1)]
        first = await it.running(f"id:{','.join(names[0])}")
        second = await it.running(f"id:{','.join(names[1])}", "9.1.0")
        for rollout_id in (first, second):
            await it.comes_to(rollout_id, RolloutState.ABORTED)
        assert {one.firmware_version for one in await it.freezes.standing()} == {NEW, "9.1.0"}
        assert await deadlocks(it) == before


async def deadlocks(it: World) -> int:
    async with it.database.read() as connection:
        here = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int((await connection.execute(here)).scalar_one())
