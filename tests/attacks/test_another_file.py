"""An approval is for one file: the portal's row is read again whenever something is about to start."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.demo.fleet.faults import FaultKind
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import RolloutState
from bot.domain.rollouts.progress import DrawnPlan
from bot.slack.rollouts.views import card
from bot.slack.rollouts.views import plan as plan_views
from tests.worlds.rollouts import ADA, MODEL, NEW, OLGA, PAUL, PIA, START, WAVES, World, world

QUICK = replace(WAVES, waves=(1.0,))


def renamed(it: World) -> None:
    it.firmware.file_name = "evil.bin"


def refilled(it: World) -> None:
    it.firmware.checksum = "cafe"


def replaced(it: World) -> None:
    del it.portal.firmwares[it.firmware.id]
    it.portal.add_firmware(MODEL, NEW, file_name="evil.bin")


CHANGES: list[tuple[Callable[[World], None], str]] = [
    (renamed, "its name was gateway-2011-9.0.0.bin and is evil.bin"),
    (refilled, "its checksum was not told and is cafe"),
    (replaced, "the file gateway-2011-9.0.0.bin of firmware 9.0.0 is no longer in the portal"),
]


@pytest.mark.parametrize(("changes", "says"), CHANGES)
async def test_at_an_approval_another_row_voids_the_plan_and_says_what_differs(
    database_url: str, changes: Callable[[World], None], says: str
) -> None:
    async with world(database_url, gateways=1) as it:
        rollout = await it.requested()
        changes(it)
        void = await it.rollouts.approve(PAUL, rollout.id)
        assert void.state is RolloutState.VOID
        assert says in (void.reason or "")
        assert says in card.card(await it.rollouts.status(rollout.id)).text
        await it.passes(2)
        assert it.jobs_created() == []


async def test_the_second_of_two_approvals_reads_the_row_again(database_url: str) -> None:
    async with world(database_url, gateways=1, rules=replace(QUICK, approvals=2)) as it:
        rollout = await it.requested()
        assert (await it.rollouts.approve(PAUL, rollout.id)).state is RolloutState.REQUESTED
        renamed(it)
        assert (await it.rollouts.approve(PIA, rollout.id)).state is RolloutState.VOID


async def test_at_a_scheduled_start_another_row_voids_the_plan_and_says_what_differs(
    database_url: str,
) -> None:
    async with world(database_url, gateways=1, rules=QUICK) as it:
        drawn = await it.rollouts.plan(OLGA, "C0OPS", "name:*", NEW, start_at=START + timedelta(hours=1))
        assert isinstance(drawn, DrawnPlan)
        rollout = await it.rollouts.request(OLGA, drawn.id)
        assert (await it.rollouts.approve(PAUL, rollout.id)).state is RolloutState.SCHEDULED
        replaced(it)
        it.clock.advance(timedelta(hours=1))
        await it.passes(1)
        void = (await it.rollouts.status(rollout.id)).rollout
        assert void.state is RolloutState.VOID
        assert "is no longer in the portal" in (void.reason or "")
        assert it.jobs_created() == []


async def test_before_each_wave_another_row_stops_the_rollout_and_says_what_differs(
    database_url: str,
) -> None:
    async with world(database_url, gateways=2, rules=replace(WAVES, waves=(1, 1.0)), quick=True) as it:
        rollout_id = await it.past_the_canary(file_name="evil.bin")
        stopped = await it.comes_to(rollout_id, RolloutState.ABORTED)
        await it.passes(1)
        assert "its name was gateway-2011-9.0.0.bin and is evil.bin" in (stopped.rollout.reason or "")
        assert len(it.portal.starts) == 1, "the canary, and nobody after it"
        assert await it.claimed() == set()
        assert (await it.events(rollout_id))[-1] == "aborted"


async def test_without_approvals_the_row_is_read_before_the_first_wave(database_url: str) -> None:
    async with world(database_url, gateways=1, rules=replace(QUICK, approvals=0)) as it:
        drawn = await it.plan()
        renamed(it)
        rollout = await it.rollouts.request(OLGA, drawn.id)
        await it.passes(1)
        assert (await it.rollouts.status(rollout.id)).rollout.state is RolloutState.ABORTED
        assert it.jobs_created() == []


async def test_while_the_portal_does_not_tell_its_files_an_approval_counts_and_the_start_waits(
    database_url: str,
) -> None:
    async with world(database_url, gateways=1, rules=QUICK, quick=True) as it:
        rollout = await it.requested()
        it.portal.faults.add("LIST_FIRMWARE", FaultKind.STATUS, times=None, status=403)
        waits = await it.rollouts.approve(PAUL, rollout.id)
        assert (waits.state, waits.start_at) == (RolloutState.SCHEDULED, None)
        await it.passes(2)
        assert "Meshtech does not say right now" in card.card(await it.rollouts.status(rollout.id)).text
        it.portal.faults.clear()
        renamed(it)
        await it.passes(1)
        assert (await it.rollouts.status(rollout.id)).rollout.state is RolloutState.VOID


async def test_plan_and_card_name_the_file(database_url: str) -> None:
    async with world(database_url, gateways=1) as it:
        drawn = await it.plan()
        assert "gateway-2011-9.0.0.bin" in plan_views.plan(drawn, WAVES).text
        rollout = await it.rollouts.request(OLGA, drawn.id)
        assert "gateway-2011-9.0.0.bin" in card.card(await it.rollouts.status(rollout.id)).text


async def test_a_new_plan_never_takes_one_of_two_files_silently(database_url: str) -> None:
    async with world(database_url, gateways=1) as it:
        rollout = await it.requested()
        it.clock.advance(timedelta(minutes=1))
        it.portal.add_firmware(MODEL, NEW, file_name="evil.bin")
        for again in (
            await it.rollouts.plan_again(ADA, rollout.id),
            await it.rollouts.plan(OLGA, "C0OPS", "tag:oslo", "latest"),
        ):
            assert isinstance(again, FirmwareChoice)
            assert [file.file_name for file, _ in again.options] == ["evil.bin", "gateway-2011-9.0.0.bin"]
