"""What comes before a rollout runs: approvals, drift, a start at a later time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.access import Role
from bot.domain.errors import NotAllowed
from bot.domain.gateways import GatewayId
from bot.domain.rollouts.lifecycle import ReasonNeeded, RolloutId, RolloutState, TargetClass, TargetState
from bot.domain.rollouts.plan import Target, plan_hash
from bot.domain.rollouts.progress import DrawnPlan
from bot.slack.rollouts.views.card import card
from bot.slack.rollouts.views.plan import plan as plan_message
from bot.slack.rollouts.views.plan import requested
from tests.worlds.builders import bad_version, limited
from tests.worlds.rollouts import (
    ADA,
    MINUTE,
    NEW,
    OLGA,
    ONE_WAVE,
    PAUL,
    QUICK,
    START,
    WAVES,
    World,
    device,
    world,
)

FIRST = "bmac-000000000000"


async def test_a_rollout_starts_at_its_time(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        rollout_id = await scheduled(it)
        await it.passes(3)
        assert it.jobs_created() == []
        it.clock.advance(timedelta(minutes=57))
        await it.passes(1)
        assert len(it.portal.starts) == 8
        assert "started" in await it.events(rollout_id)


@pytest.mark.parametrize(("gone", "state"), [(1, RolloutState.RUNNING), (2, RolloutState.VOID)])
async def test_drift_until_its_time_voids_it(database_url: str, gone: int, state: RolloutState) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout_id = await scheduled(it)
        it.portal.disconnect(list(it.portal.devices)[:gone])
        it.clock.advance(timedelta(hours=1))
        await it.passes(1)
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.state is state
        assert picture.in_state(TargetState.WAITING) == 0
        told = [channel for channel, kind in await it.notes() if kind == "rollout_decided"]
        assert told == [OLGA.user_id] * (1 + (state is RolloutState.VOID)), "of the approval, and of its end"


async def test_at_a_scheduled_start_those_who_approved_are_asked_about_again(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout_id = await scheduled(it)
        it.people[PAUL.user_id] = replace(PAUL, role=Role.OPERATOR)
        it.clock.advance(timedelta(hours=1))
        await it.passes(1)
        rollout = (await it.rollouts.status(rollout_id)).rollout
        assert (rollout.state, rollout.reason) == (RolloutState.VOID, "Paul may not approve it any more")
        assert it.jobs_created() == []


async def test_a_scheduled_start_waits_while_nobody_knows_whether_the_approvers_still_may(
    database_url: str,
) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout_id = await scheduled(it)
        it.people[PAUL.user_id] = replace(PAUL, role=Role.VIEWER, possible=Role.ADMIN)
        it.clock.advance(timedelta(hours=1))
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.SCHEDULED
        it.people[PAUL.user_id] = PAUL
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.RUNNING


async def test_an_approver_who_is_limited_to_other_gateways_by_now_lets_nothing_start(
    database_url: str,
) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout_id = await scheduled(it)
        it.people[PAUL.user_id] = limited(PAUL, "tag:bergen")
        it.clock.advance(timedelta(hours=1))
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.VOID


async def test_without_approvals_the_requester_is_asked_about_again_at_a_scheduled_start(
    database_url: str,
) -> None:
    async with world(database_url, rules=replace(QUICK, approvals=0)) as it:
        drawn = await it.plan()
        rollout = await it.rollouts.request(OLGA, drawn.id, START + timedelta(hours=1))
        it.people[OLGA.user_id] = replace(OLGA, role=Role.NONE)
        it.clock.advance(timedelta(hours=1))
        await it.passes(1)
        ended = (await it.rollouts.status(rollout.id)).rollout
        assert (ended.state, ended.reason) == (RolloutState.VOID, "Olga may not request it any more")


async def test_without_sight_of_the_fleet_its_time_voids_and_starts_nothing(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout_id = await scheduled(it)
        it.blind = True
        it.portal.disconnect(list(it.portal.devices))
        it.clock.advance(timedelta(hours=1))
        await it.passes(2)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.SCHEDULED
        it.blind = False
        it.portal.connect(list(it.portal.devices))
        await it.passes(1)
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.RUNNING


@pytest.mark.parametrize("ends", ["withdrawn", "aborted"])
async def test_one_that_ends_before_its_time_lets_go_of_its_gateways(database_url: str, ends: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout_id = await scheduled(it)
        assert len(await it.claimed()) == 8
        end = it.rollouts.cancel if ends == "withdrawn" else it.steering.abort
        await end(OLGA, rollout_id)
        assert await it.claimed() == set()
        assert (await it.plan()).plan.counts()[TargetClass.ELIGIBLE] == 8


async def test_waves_are_fixed_at_the_approval(database_url: str) -> None:
    async with world(database_url, rules=WAVES, quick=True) as it:
        drawn = await it.plan()
        rollout = await it.rollouts.request(OLGA, drawn.id)
        await it.rollouts.approve(PAUL, rollout.id)
        it.portal.add_device(device(99, "oslo"))
        await it.comes_to(rollout.id, RolloutState.PROMOTION)
        await it.steering.promote(PAUL, rollout.id)
        await it.comes_to(rollout.id, RolloutState.FINISHED)
        waves = {row.gateway_id: row.wave for row in await it.rollouts.targets(rollout.id)}
        assert waves == {target.gateway_id: target.wave for target in drawn.plan.eligible}
        assert set(it.portal.starts) == set(waves)


async def test_an_approval_is_for_the_hash_of_the_plan_that_was_shown(database_url: str) -> None:
    async with world(database_url, rules=WAVES) as it:
        drawn = await it.plan()
        rollout = await it.rollouts.request(OLGA, drawn.id)
        approved = await it.rollouts.approve(PAUL, rollout.id)
        targets = await it.rollouts.targets(rollout.id)
        shown = [Target(one.gateway_id, "", "", None, None, one.cls, one.wave) for one in targets]
        assert approved.approvals[0].plan_hash == drawn.plan.hash
        assert plan_hash(approved.firmware, shown, drawn.plan.wait_for) == drawn.plan.hash


def released(it: World, gateway: str) -> None:
    it.portal.remove_device(gateway)


def offline(it: World, gateway: str) -> None:
    it.portal.disconnect([gateway])


def other_firmware(it: World, gateway: str) -> None:
    it.portal.devices[gateway].firmware = "3.4.2"


def other_model(it: World, gateway: str) -> None:
    it.portal.devices[gateway].model = "2012"


@pytest.mark.parametrize("changes", [released, offline, other_firmware, other_model])
async def test_what_is_gone_offline_or_changed_is_drift(
    database_url: str, changes: Callable[[World, str], None]
) -> None:
    async with world(database_url, rules=WAVES) as it:
        rollout = await it.requested()
        for gateway in list(it.portal.devices)[:2]:
            changes(it, gateway)
        for _ in range(3):  # one that is missing from three listings is gone
            await it.fleet.take_in_listing()
        void = await it.rollouts.approve(PAUL, rollout.id)
        assert void.state is RolloutState.VOID
        assert "2 of its 8 gateways are missing, offline or changed" in (void.reason or "")


@pytest.mark.on_both
async def test_one_that_left_the_fleet_before_the_approval_is_left_out(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested()
        released(it, FIRST)
        for _ in range(3):
            await it.fleet.take_in_listing()
        await it.rollouts.approve(PAUL, rollout.id)
        reasons = {row.gateway_id: row.reason for row in await it.rollouts.targets(rollout.id)}
        assert reasons.pop(GatewayId(FIRST)) == "no longer in the fleet"
        assert await it.claimed() == set(reasons)


async def test_drift_until_the_approval_voids_it_and_offers_a_new_plan(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested()
        it.portal.disconnect(list(it.portal.devices)[:2])
        await it.fleet.take_in_listing()
        void = await it.rollouts.approve(PAUL, rollout.id)
        assert (void.state, it.jobs_created()) == (RolloutState.VOID, [])
        assert "2 of its 8 gateways" in (void.reason or "")
        assert (await it.rollouts.status(rollout.id)).counts == {(1, TargetState.EXCLUDED): 8}
        again = await it.rollouts.plan_again(OLGA, rollout.id)
        assert again.plan.counts()[TargetClass.OFFLINE] == 2  # type: ignore[union-attr]


@pytest.mark.on_both
async def test_a_request_is_reminded_of_once_and_expires(database_url: str) -> None:
    async with world(database_url, gateways=1) as it:
        rollout = await it.requested()
        for _ in range(9):
            it.clock.advance(timedelta(hours=1))
            await it.runner.advance()
        assert await it.events(rollout.id) == ["requested", "reminder", "expired"]
        assert (await it.rollouts.status(rollout.id)).counts == {(1, TargetState.EXCLUDED): 1}
        assert (await it.notes())[-1] == (OLGA.user_id, "rollout_decided"), "the requester is told"


async def test_an_approval_while_the_fleet_is_out_of_sight_counts_and_the_start_waits(
    database_url: str,
) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout = await it.requested()
        it.blind = True
        it.portal.disconnect(list(it.portal.devices))
        await it.passes(1)
        waits = await it.rollouts.approve(PAUL, rollout.id)
        assert (waits.state, waits.start_at) == (RolloutState.SCHEDULED, None)
        assert len(await it.claimed()) == 8
        it.portal.connect(list(it.portal.devices))
        await it.passes(1)
        assert it.jobs_created() == []
        assert "there is no data from Meshtech now" in card(await it.rollouts.status(rollout.id)).text
        it.blind = False
        await it.passes(1)
        started = (await it.rollouts.status(rollout.id)).rollout
        assert (started.state, started.held) == (RolloutState.RUNNING, None)
        assert await it.events(rollout.id) == ["requested", "approved", "started"]


async def test_what_drifted_while_nobody_could_see_it_is_void_once_it_is_seen(database_url: str) -> None:
    async with world(database_url, rules=QUICK) as it:
        rollout = await it.requested()
        it.blind = True
        await it.rollouts.approve(PAUL, rollout.id)
        it.portal.disconnect(list(it.portal.devices)[:2])
        it.blind = False
        await it.passes(1)
        assert (await it.rollouts.status(rollout.id)).rollout.state is RolloutState.VOID
        assert (await it.claimed(), it.jobs_created()) == (set(), [])


async def test_without_approvals_a_request_out_of_sight_waits_too(database_url: str) -> None:
    async with world(database_url, gateways=1, rules=replace(QUICK, approvals=0)) as it:
        drawn = await it.plan()
        it.blind = True
        waits = await it.rollouts.request(OLGA, drawn.id)
        assert (waits.state, waits.held) == (RolloutState.SCHEDULED, "there is no data from Meshtech now")
        assert "waits: there is no data from Meshtech now" in requested(waits, ["C0ROLLOUTS"]).text


async def test_an_admin_approves_their_own_with_a_reason_that_the_card_shows(database_url: str) -> None:
    async with world(database_url, gateways=1) as it:
        rollout = await it.requested(actor=ADA)
        with pytest.raises(ReasonNeeded):
            await it.rollouts.approve(ADA, rollout.id)
        approved = await it.rollouts.approve(ADA, rollout.id, "nobody else is awake")
        assert approved.approvals[0].reason == "nobody else is awake"


async def test_only_an_admins_approval_counts_for_a_downgrade(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=ONE_WAVE) as it:
        rollout = await it.requested(version="3.3.0")
        assert rollout.downgrades == 2
        with pytest.raises(NotAllowed, match="only an admin's approval counts"):
            await it.rollouts.approve(PAUL, rollout.id)
        assert (await it.rollouts.approve(ADA, rollout.id)).state is RolloutState.RUNNING


async def test_only_an_admins_approval_counts_for_a_version_that_is_known_to_be_bad(
    database_url: str,
) -> None:
    async with world(database_url, gateways=2, rules=ONE_WAVE) as it:
        it.bad = bad_version(NEW)
        drawn = await it.plan()
        assert "known to be bad (P-1): CVE-2026-1. Only an admin" in plan_message(drawn, it.rules).text
        rollout = await it.rollouts.request(OLGA, drawn.id)
        with pytest.raises(NotAllowed, match="CVE-2026-1, so only an admin's approval counts"):
            await it.rollouts.approve(PAUL, rollout.id)
        assert (await it.rollouts.approve(ADA, rollout.id)).state is RolloutState.RUNNING


async def test_a_version_that_is_bad_only_since_the_request_takes_an_admin_too(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=ONE_WAVE) as it:
        rollout = await it.requested()
        it.bad = bad_version(NEW)
        with pytest.raises(NotAllowed, match="only an admin's approval counts"):
            await it.rollouts.approve(PAUL, rollout.id)
        await it.rollouts.approve(ADA, rollout.id)
        assert "known to be bad" in card(await it.rollouts.status(rollout.id)).text


async def test_a_plan_tells_what_the_firmware_did_so_far_in_this_fleet(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        it.portal.reboot = (2 * MINUTE, 2 * MINUTE)
        rollout_id = await it.running("name:MT10000,MT10001,MT10002")
        await it.passes(1)
        it.portal.disconnect([FIRST])
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        evidence = (await it.plan()).evidence
        assert (evidence.attempted, evidence.verified, evidence.failed) == (3, 2, 1)
        assert evidence.median == evidence.p95 == 2 * MINUTE


async def scheduled(it: World) -> RolloutId:
    drawn = await it.rollouts.plan(OLGA, "C0OPS", "tag:oslo", NEW, start_at=START + timedelta(hours=1))
    assert isinstance(drawn, DrawnPlan)
    rollout = await it.rollouts.request(OLGA, drawn.id)
    assert (await it.rollouts.approve(PAUL, rollout.id)).state is RolloutState.SCHEDULED
    return rollout.id
