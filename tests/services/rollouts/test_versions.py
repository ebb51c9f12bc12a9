"""Rollouts to and from versions of every form that a portal may use, from the plan to the digest."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import time, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.demo.fleet.simulator import Behaviour
from bot.domain.errors import NotAllowed
from bot.domain.firmware import is_same_firmware
from bot.domain.query import parse
from bot.domain.rollouts.lifecycle import RolloutState, TargetState
from bot.services.digests import DigestService
from bot.slack.home.views.digests import digest as digest_view
from bot.slack.rollouts.views import notes
from bot.slack.rollouts.views import plan as plan_views
from tests.worlds.builders import no_policies, whole_digest
from tests.worlds.rollouts import ADA, MINUTE, MODEL, OLGA, PAUL, WAVES, World, world

SKIPPING = replace(WAVES, wait_for_return=timedelta())
ORDERED = ["3.5.0-rc1", "v3.7.0", "3.5", "3.6.0.2", "3.9.0+g1a2b3c", "3.05.0"]
UNORDERED = ["a1b2c3d", "3.5.0-hotfix"]
DIGEST = {"number": None, "at": "08:00", "zone": "UTC"}


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """Four gateways on 3.4.1, for which the portal has a file of every version."""
    async with world(database_url, gateways=4, rules=SKIPPING, quick=True) as made:
        for version in (*ORDERED, *UNORDERED):
            made.portal.add_firmware(MODEL, version, Behaviour.GOOD)
        yield made


def digests(it: World) -> DigestService:
    return DigestService(
        it.context,
        policies=no_policies,
        channel="C0ALERTS",
        at=time(8),
        usual_at=time(8),
        zone=ZoneInfo("UTC"),
        stable_for=MINUTE,
        stale_after=15 * MINUTE,
    )


@pytest.mark.parametrize("version", [*ORDERED, *UNORDERED])
async def test_a_rollout_to_any_version_goes_from_its_plan_to_its_report(fleet: World, version: str) -> None:
    drawn = await fleet.plan(version=version)
    told = plan_views.plan(drawn, WAVES).text
    assert version in told
    assert ("Nobody can tell whether" in told) is (version in UNORDERED)
    rollout = await fleet.rollouts.request(OLGA, drawn.id)
    if version in UNORDERED:
        with pytest.raises(NotAllowed, match="only an admin's approval counts"):
            await fleet.rollouts.approve(PAUL, rollout.id)
    await fleet.rollouts.approve(ADA if version in UNORDERED else PAUL, rollout.id)
    await fleet.comes_to(rollout.id, RolloutState.PROMOTION)
    assert version in digest_view(await whole_digest(digests(fleet)), DIGEST).text
    await fleet.steering.promote(PAUL, rollout.id)
    picture = await fleet.comes_to(rollout.id, RolloutState.FINISHED)
    assert picture.in_state(TargetState.VERIFIED) == 4
    report = notes.report(picture, await fleet.rollouts.timeline(rollout.id), [])
    assert version in report.text
    assert not (await whole_digest(digests(fleet))).rollouts
    assert (await fleet.fleet.counts(parse(f'fw:"{version}"'))).total == 4


@pytest.mark.parametrize("present", [*ORDERED, *UNORDERED, "", None])
async def test_a_rollout_from_any_version_asks_an_admin_where_nobody_can_compare(
    fleet: World, present: str | None
) -> None:
    for device in fleet.portal.devices.values():
        device.firmware = present
    await fleet.fleet.take_in_listing()
    plan = (await fleet.plan()).plan
    assert plan.downgrades == (0 if present in ORDERED else 4)
    assert plan.incomparable == (() if present in ORDERED else (present or "",))


@pytest.mark.parametrize("version", ["3.5", "3.9.0+g1a2b3c", "v3.7.0", "a1b2c3d"])
async def test_a_gateway_may_spell_the_version_as_it_likes(fleet: World, version: str) -> None:
    spelled = {"3.5": "v3.05.0", "3.9.0+g1a2b3c": "3.9", "v3.7.0": "3.7", "a1b2c3d": "A1B2C3D"}[version]
    assert is_same_firmware(version, spelled)
    rollout = await fleet.requested(version=version)
    await fleet.rollouts.approve(ADA, rollout.id)
    await fleet.passes(1)
    fleet.portal.firmware(MODEL, version).version = spelled
    assert (await fleet.comes_to(rollout.id, RolloutState.PROMOTION)).in_state(TargetState.VERIFIED) == 2
    fleet.portal.add_firmware(MODEL, version, Behaviour.GOOD)
    assert len((await fleet.plan(version=version)).plan.eligible) == 0  # two are on it, two are claimed


@pytest.mark.parametrize("version", UNORDERED)
async def test_a_failed_gateway_is_tried_again_with_a_version_that_has_no_order(
    fleet: World, version: str
) -> None:
    fleet.portal.firmware(MODEL, version).behaviour = Behaviour.FAILS
    fleet.portal.firmware(MODEL, version).share = 1.0
    rollout = await fleet.requested(version=version)
    await fleet.rollouts.approve(ADA, rollout.id)
    picture = await fleet.comes_to(rollout.id, RolloutState.PAUSED)
    assert picture.retryable == 2


async def test_a_catch_up_takes_nobody_whose_version_nobody_can_compare(fleet: World) -> None:
    """Where no admin approved a downgrade."""
    skipped = list(fleet.portal.devices)[:3]
    fleet.portal.disconnect(skipped)
    await fleet.passes(1)
    rollout_id = (await fleet.requested(version="3.5")).id
    for gateway, version in zip(skipped, ("3.4.0", "v3.6", "a1b2c3d"), strict=True):
        fleet.portal.devices[gateway].firmware = version
    fleet.portal.connect(skipped)
    await fleet.passes(5)
    assert (await fleet.rollouts.status(rollout_id)).returned == 1


async def test_latest_says_what_was_skipped_in_the_search_for_it(fleet: World) -> None:
    drawn = await fleet.plan(version="latest")
    assert drawn.plan.version == "9.0.0"
    told = plan_views.plan(drawn, WAVES).text.replace("`", "")
    assert "since their order is unknown: 3.5.0-hotfix, a1b2c3d." in told


async def test_a_freeze_holds_a_version_however_it_is_spelled(fleet: World) -> None:
    await fleet.freezes.freeze(ADA, "3.5.0", "it bricks")
    drawn = await fleet.plan(version="3.5")
    assert drawn.freeze is not None


async def test_the_list_of_firmware_counts_each_spelling(fleet: World) -> None:
    for device, version in zip(
        fleet.portal.devices.values(), ("3.5.0", "v3.5", "3.9", "a1b2c3d"), strict=True
    ):
        device.firmware = version
    await fleet.fleet.take_in_listing()
    counts = {found.firmware.version: found.gateways for found in await fleet.fleet.firmware(MODEL)}
    assert (counts["3.5"], counts["3.9.0+g1a2b3c"], counts["a1b2c3d"]) == (2, 1, 1)


async def test_a_rollout_without_approvals_runs_and_has_its_card(database_url: str) -> None:
    rules = replace(WAVES, approvals=0)
    async with world(database_url, gateways=2, rules=rules, quick=True) as it:
        it.portal.add_firmware(MODEL, "a1b2c3d", Behaviour.GOOD)
        rollout = await it.requested(version="a1b2c3d")
        assert await it.card_channels() == ["C0ROLLOUTS"]
        await it.comes_to(rollout.id, RolloutState.FINISHED)
