"""What is frozen starts nothing, and who says so."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from bot.domain.access import Role
from bot.domain.errors import InvalidInput, NotAllowed, Stale
from bot.domain.query import parse
from bot.domain.rollouts.lifecycle import ReasonNeeded, RolloutState, TargetClass, TargetState
from bot.services.rollouts.events import ENTRY, NOTE
from bot.services.rollouts.freezes import FREEZE_TOLD
from bot.storage.db.tables import notes
from tests.worlds.rollouts import ADA, NEW, PAUL, QUICK, world

SLOWLY = replace(QUICK, per_site=0.25)  # two of eight at once


@pytest.mark.on_both
async def test_a_freeze_stops_new_starts_of_a_running_wave_and_what_has_started_is_judged(
    database_url: str,
) -> None:
    async with world(database_url, rules=SLOWLY, quick=True) as it:
        rollout_id = await it.running()
        await it.passes(1)
        await it.freezes.freeze(ADA, "", "trade fair")
        await it.passes(8)
        picture = await it.rollouts.status(rollout_id)
        assert picture.counts == {(1, TargetState.VERIFIED): 2, (1, TargetState.WAITING): 6}
        assert picture.rollout.held == "everything is frozen by Ada: trade fair"
        await it.freezes.unfreeze(ADA, "")
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        assert it.started_more_than_once() == {}


async def test_a_freeze_of_other_firmware_holds_nothing(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        await it.freezes.freeze(ADA, "1.2.3", "it bricks")
        await it.comes_to(await it.running(), RolloutState.FINISHED)


@pytest.mark.on_both
async def test_only_an_admin_freezes(database_url: str) -> None:
    async with world(database_url, gateways=1) as it:
        with pytest.raises(NotAllowed):
            await it.freezes.freeze(PAUL, NEW, "it bricks")
        await it.freezes.freeze(ADA, NEW, "it bricks")
        with pytest.raises(NotAllowed):
            await it.freezes.unfreeze(PAUL, NEW)
        with pytest.raises(Stale, match="frozen already"):
            await it.freezes.freeze(ADA, NEW, "once more")


async def test_an_admin_of_a_part_of_the_fleet_freezes_and_unfreezes_nothing(database_url: str) -> None:
    limited = replace(ADA, limits={Role.ADMIN: (parse("tag:lab"),)})
    async with world(database_url, gateways=1) as it:
        for version in ("", NEW):
            with pytest.raises(NotAllowed, match="“tag:lab”, and this touches the whole fleet"):
                await it.freezes.freeze(limited, version, "it bricks")
            await it.freezes.freeze(ADA, version, "it bricks")
            with pytest.raises(NotAllowed, match="“tag:lab”, and this touches the whole fleet"):
                await it.freezes.unfreeze(limited, version)
        assert len(await it.freezes.standing()) == 2


async def test_a_freeze_is_said_in_the_thread_of_each_rollout_it_holds_and_once_in_the_channel(
    database_url: str,
) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running()
        effect = await it.freezes.freeze(ADA, NEW, "it bricks")
        assert effect.rollouts == (rollout_id,)
        await it.freezes.freeze(ADA, "1.2.3", "it bricks too")
        await it.freezes.unfreeze(ADA, NEW)
        entries = [one for one in await it.rollouts.timeline(rollout_id) if "froze" in one.event.kind]
        assert [one.event.kind for one in entries] == ["frozen", "unfrozen"]
        async with it.database.read() as connection:
            written = (await connection.execute(select(notes).order_by(notes.c.id))).all()
        in_thread = [one.body[ENTRY] for one in written if one.kind == NOTE and one.card_id is not None]
        assert {one.number for one in entries} <= set(in_thread)
        told = [one for one in written if one.kind == FREEZE_TOLD]
        assert [(one.channel, one.body["rollouts"]) for one in told] == [
            ("C0ROLLOUTS", [rollout_id]),
            ("C0ROLLOUTS", []),
            ("C0ROLLOUTS", [rollout_id]),
        ]


async def test_a_freeze_wants_a_reason(database_url: str) -> None:
    async with world(database_url, gateways=1) as it:
        for reason, sentence in (("  ", "Please say why"), ("x" * 1001, "takes 1,000 characters")):
            with pytest.raises(InvalidInput, match=sentence):
                await it.freezes.freeze(ADA, NEW, reason)
        assert await it.freezes.standing() == ()


async def test_a_rollout_that_another_freeze_holds_does_not_go_on_when_one_is_lifted(
    database_url: str,
) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running()
        await it.freezes.freeze(ADA, NEW, "it bricks")
        await it.freezes.freeze(ADA, "", "trade fair")
        effect = await it.freezes.unfreeze(ADA, NEW)
        assert effect.freeze.reason == "it bricks"
        assert effect.still_held == {rollout_id: "everything is frozen by Ada: trade fair"}
        assert (await it.freezes.unfreeze(ADA, "")).still_held == {}


async def test_frozen_gateways_are_a_class_of_the_plan_and_can_be_requested(database_url: str) -> None:
    async with world(database_url) as it:
        await it.freezes.freeze(ADA, NEW, "it bricks")
        drawn = await it.plan()
        assert drawn.plan.counts()[TargetClass.FROZEN] == 8
        assert drawn.freeze is not None
        assert (await it.requested()).planned == 8


async def test_an_admin_starts_through_a_freeze_with_a_reason_that_is_kept(database_url: str) -> None:
    async with world(database_url, rules=QUICK, quick=True) as it:
        await it.freezes.freeze(ADA, NEW, "it bricks")
        rollout_id = await it.running()
        await it.passes(2)
        assert it.jobs_created() == []
        with pytest.raises(NotAllowed, match="Only an admin"):
            await it.steering.resume(PAUL, rollout_id)
        with pytest.raises(ReasonNeeded):
            await it.steering.resume(ADA, rollout_id)
        await it.steering.resume(ADA, rollout_id, "the fix is tested")
        await it.passes(1)
        assert len(it.portal.starts) == 8
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.through_freeze == "Ada: the fix is tested"


async def test_a_freeze_that_comes_after_an_override_holds_again(database_url: str) -> None:
    async with world(database_url, rules=SLOWLY, quick=True) as it:
        await it.freezes.freeze(ADA, NEW, "it bricks")
        rollout_id = await it.running()
        await it.passes(1)
        await it.steering.resume(ADA, rollout_id, "the fix is tested")
        await it.passes(1)
        await it.freezes.freeze(ADA, "", "trade fair")
        await it.passes(8)
        assert len(it.portal.starts) == 2
        assert (await it.rollouts.status(rollout_id)).rollout.through_freeze is None
