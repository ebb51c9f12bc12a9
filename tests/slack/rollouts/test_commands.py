"""What people do with rollouts in Slack, from a command or a click to what they see."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import Behaviour
from bot.domain.audit import AuditQuery
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState
from bot.slack import ids
from bot.slack.ids import CardRef
from bot.slack.incoming.listeners import Submission
from bot.slack.rollouts.commands import parse_update
from bot.slack.rollouts.freezes import parse_freeze
from bot.storage import audit
from tests.slack.rollouts.desk import Desk
from tests.slack.shown import NAMES, buttons, doors
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import ADA, MINUTE, NEW, OLGA, PAUL, PIA, VERA, WAVES, world


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with world(sqlite_url(tmp_path), rules=WAVES, quick=True) as it:
        yield Desk(it)


# ---- before it runs


async def test_update_answers_with_a_plan_and_its_button_requests_it(desk: Desk) -> None:
    plan = await desk.says(f"update tag:oslo to {NEW}")
    assert "8 gateways of 8 that match" in plan.text
    answers = await desk.clicks(ids.ROLLOUT_REQUEST, buttons(plan)[ids.ROLLOUT_REQUEST], OLGA)
    (place,) = await desk.it.rollouts.shown_in(RolloutId(1))
    assert (
        answers.last.text
        == f"R-1 is requested, and waits for 1 person to approve it: see its card in <#{place}>."
    )
    assert set(buttons(await desk.card())) == {ids.ROLLOUT_APPROVE, ids.ROLLOUT_DENY, ids.ROLLOUT_CANCEL}


async def test_a_plan_can_be_dropped(desk: Desk) -> None:
    plan = await desk.says(f"update tag:oslo to {NEW}")
    answers = await desk.clicks(ids.ROLLOUT_CANCEL, buttons(plan)[ids.ROLLOUT_CANCEL], OLGA)
    assert answers.last.text == "The plan is dropped. Nothing was sent and nothing was changed."
    with pytest.raises(NotFound):
        await desk.clicks(ids.ROLLOUT_REQUEST, buttons(plan)[ids.ROLLOUT_REQUEST], OLGA)


async def test_a_version_for_several_models_asks_which_and_plans_it(desk: Desk) -> None:
    for device in list(desk.it.portal.devices.values())[:3]:
        device.model = "2012"
    desk.it.portal.add_firmware("2012", NEW)
    await desk.it.fleet.take_in_listing()
    choice = await desk.says(f"update tag:oslo to {NEW}")
    refs = [block["accessory"]["value"] for block in choice.blocks if "accessory" in block]
    assert len(refs) == 2
    answers = await desk.clicks(ids.ROLLOUT_REPLAN, ids.decode(refs[1]), OLGA)
    assert "3 gateways of 8 that match" in answers.last.text
    assert "It starts" not in answers.last.text

    later = await desk.says(f"update tag:oslo to {NEW} tomorrow 06:00")
    assert "it starts" in later.text
    refs = [block["accessory"]["value"] for block in later.blocks if "accessory" in block]
    answers = await desk.clicks(ids.ROLLOUT_REPLAN, ids.decode(refs[1]), OLGA)
    assert "⏳ It starts" in answers.last.text

    await desk.it.maintenance.plan(ADA, "tag:oslo 09:00-10:00 because the mast is painted", "C0OPS", 8)
    bound = await desk.says(f"update tag:oslo to {NEW} in maintenance")
    assert "it starts gateways only in their next maintenance window" in bound.text
    refs = [block["accessory"]["value"] for block in bound.blocks if "accessory" in block]
    answers = await desk.clicks(ids.ROLLOUT_REPLAN, ids.decode(refs[1]), OLGA)
    assert "It starts gateways only in M-1, open from" in answers.last.text


async def test_an_update_can_start_later(desk: Desk) -> None:
    ref = await desk.requested(f"update tag:oslo to {NEW} at 22:00")
    await desk.clicks(ids.ROLLOUT_APPROVE, ref)
    drawn = await desk.card()
    assert "approved, starts <!date^" in drawn.text
    assert set(buttons(drawn)) == {ids.ROLLOUT_CANCEL}
    await desk.clicks(ids.ROLLOUT_CANCEL, buttons(drawn)[ids.ROLLOUT_CANCEL], OLGA)
    assert "withdrawn" in (await desk.card()).text


async def test_approving_says_nothing_more_since_the_card_changes(desk: Desk) -> None:
    answers = await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    assert (answers.shown, answers.added) == ([], [])
    drawn = await desk.card()
    assert "running since" in drawn.text
    assert "approved by <@U0PAUL>" in drawn.text
    assert set(buttons(drawn)) == {ids.ROLLOUT_PAUSE, ids.ROLLOUT_ABORT}


async def test_the_second_to_decide_reads_who_was_first(desk: Desk) -> None:
    ref = await desk.requested()
    await desk.clicks(ids.ROLLOUT_APPROVE, ref)
    with pytest.raises(Stale, match="Paul approved R-1 a moment ago"):
        await desk.clicks(ids.ROLLOUT_APPROVE, ref, PIA)


async def test_denying_asks_why_and_the_reason_is_on_the_card(desk: Desk) -> None:
    ref = await desk.requested()
    await desk.clicks(ids.ROLLOUT_DENY, ref)
    (modal,) = desk.modals.opened
    assert modal["title"]["text"] == "Deny R-1"
    assert (await desk.submits(ids.ROLLOUT_DENY, 1, "", PAUL)).errors.keys() == {ids.REASON}
    assert (await desk.submits(ids.ROLLOUT_DENY, 1, "not on a Friday", PAUL)).errors == {}
    drawn = await desk.card()
    assert "denied by <@U0PAUL>" in drawn.text
    assert "Reason: not on a Friday" in drawn.text
    assert buttons(drawn) == {}


async def test_the_audit_log_tells_where_somebody_did_what_and_what_that_changed(desk: Desk) -> None:
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    await desk.clicks(ids.ROLLOUT_PAUSE, buttons(await desk.card())[ids.ROLLOUT_PAUSE])
    async with desk.it.database.read() as connection:
        newest_first = await audit.find(connection, AuditQuery(), 10)
    told = [(one.actor, one.action, one.channel, one.before, one.after) for one in newest_first]
    assert told == [
        ("U0PAUL", "rollout_pause", "C0ROLLOUTS", "running, wave 1", "paused, wave 1"),
        ("meshbot", "rollout_started", None, "requested", "running, wave 1"),
        ("U0PAUL", "rollout_approve", "C0ROLLOUTS", "requested", "running, wave 1"),
        ("U0OLGA", "rollout_request", "C0OPS", None, f"tag:oslo to {NEW}"),
    ]


async def test_a_denial_is_audited_where_its_button_was(desk: Desk) -> None:
    await desk.clicks(ids.ROLLOUT_DENY, await desk.requested())
    ref = ids.decode(desk.modals.opened[0]["private_metadata"])
    submission = Submission(PAUL, ids.ROLLOUT_DENY, ref, {ids.REASON: "not on a Friday"})
    await desk.feature.submissions[ids.ROLLOUT_DENY](submission)
    async with desk.it.database.read() as connection:
        (denial,) = await audit.find(connection, AuditQuery(), 1)
    assert (denial.action, denial.channel) == ("rollout_deny", "C0ROLLOUTS")
    assert (denial.before, denial.after) == ("requested", "denied")


async def test_who_may_not_deny_is_told_before_they_write_a_reason(desk: Desk) -> None:
    with pytest.raises(NotAllowed):
        await desk.clicks(ids.ROLLOUT_DENY, await desk.requested(), VERA)
    assert desk.modals.opened == []


async def test_an_admin_who_requested_it_is_asked_why_and_the_card_shows_it(desk: Desk) -> None:
    ref = await desk.requested(actor=ADA)
    await desk.clicks(ids.ROLLOUT_APPROVE, ref, ADA)
    (modal,) = desk.modals.opened
    assert modal["title"]["text"] == "Approve R-1"
    assert (await desk.submits(ids.ROLLOUT_APPROVE, 1, "", ADA)).errors.keys() == {ids.REASON}
    await desk.submits(ids.ROLLOUT_APPROVE, 1, "nobody else is awake", ADA)
    assert "overriding: nobody else is awake" in (await desk.card()).text


async def test_a_void_rollout_offers_a_new_plan_below_its_card(desk: Desk) -> None:
    ref = await desk.requested()
    desk.it.portal.disconnect(list(desk.it.portal.devices)[:2])
    await desk.it.fleet.take_in_listing()
    await desk.clicks(ids.ROLLOUT_APPROVE, ref)
    drawn = await desk.card()
    assert "2 of its 8 gateways are missing, offline or changed since the plan" in drawn.text
    answers = await desk.clicks(ids.ROLLOUT_REPLAN, buttons(drawn)[ids.ROLLOUT_REPLAN], OLGA)
    assert "8 gateways of 8 that match" in answers.added[0].text
    assert "waits up to 7 d for 2 gateways that are offline" in answers.added[0].text


# ---- while it runs


async def test_a_rollout_is_promoted_paused_resumed_and_aborted_from_its_card(desk: Desk) -> None:
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    await desk.it.comes_to(RolloutId(1), RolloutState.PROMOTION)
    for action_id, says in (
        (ids.ROLLOUT_PROMOTE, "running since"),
        (ids.ROLLOUT_PAUSE, "Paused by Paul"),
        (ids.ROLLOUT_RESUME, "running since"),
        (ids.ROLLOUT_ABORT, "Aborted by Paul"),
    ):
        await desk.clicks(action_id, buttons(await desk.card())[action_id])
        assert says in (await desk.card()).text
    assert buttons(await desk.card()) == {}


async def test_a_freeze_is_gone_through_with_a_reason_from_a_modal(desk: Desk) -> None:
    frozen = await desk.says(f"freeze firmware {NEW} because it bricks", ADA)
    assert f"Firmware {NEW} is frozen: it bricks" in frozen.text
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    await desk.it.passes(1)
    ref = buttons(await desk.card())[ids.ROLLOUT_RESUME]
    with pytest.raises(NotAllowed, match="Only an admin"):
        await desk.clicks(ids.ROLLOUT_RESUME, ref)
    await desk.clicks(ids.ROLLOUT_RESUME, ref, ADA)
    assert desk.modals.opened[0]["title"]["text"] == "Start R-1"
    await desk.submits(ids.ROLLOUT_RESUME, 1, "the fix is tested", ADA)
    assert "Goes on through a freeze, by Ada: the fix is tested" in (await desk.card()).text


async def test_the_failed_are_tried_again_and_the_parked_catch_up_from_the_card(desk: Desk) -> None:
    desk.it.firmware.behaviour = Behaviour.FAILS
    gone = list(desk.it.portal.devices)[7]
    desk.it.portal.disconnect([gone])
    await desk.it.fleet.take_in_listing()
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    await desk.it.comes_to(RolloutId(1), RolloutState.PAUSED)
    desk.it.firmware.share = 0
    desk.it.portal.connect([gone])
    await desk.it.passes(3)
    drawn = await desk.card()
    await desk.clicks(ids.ROLLOUT_END_WAITING, buttons(drawn)[ids.ROLLOUT_END_WAITING])
    drawn = await desk.card()
    for action_id in (ids.ROLLOUT_RETRY_FAILED, ids.ROLLOUT_CATCH_UP, ids.ROLLOUT_RESUME):
        await desk.clicks(action_id, buttons(drawn)[action_id])
    await desk.it.comes_to(RolloutId(1), RolloutState.PROMOTION)
    await desk.clicks(ids.ROLLOUT_PROMOTE, buttons(await desk.card())[ids.ROLLOUT_PROMOTE])
    await desk.it.comes_to(RolloutId(1), RolloutState.FINISHED)
    assert "✅ finished" in (await desk.card()).text


@pytest.mark.parametrize("number", ["", "x", "²", "999", "9" * 40])
async def test_a_button_that_names_no_rollout_is_refused_with_a_sentence(desk: Desk, number: str) -> None:
    for action_id in desk.feature.clicks:
        if action_id not in {ids.ROLLOUT_REQUEST, ids.ROLLOUT_CANCEL, ids.FREEZE, ids.UNFREEZE}:
            with pytest.raises(NotFound):
                await desk.clicks(action_id, CardRef(number, 1), ADA)


# ---- looking


async def test_rollouts_are_listed_shown_and_reported(desk: Desk) -> None:
    assert "There is no rollout yet. /mesh update" in (await desk.says("rollouts")).text
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    assert (
        "R-1 · 🔄 running · 9.0.0 for tag:oslo, 0 of 8 verified" in (await desk.says("rollouts", VERA)).text
    )
    shown = await desk.says("rollout R-1", VERA)
    assert "R-1: firmware 9.0.0 for 8 gateways" in shown.text
    report = (await desk.says("report r1", VERA)).text
    assert "R-1 requested by Olga" in report
    assert "R-1 approved by Paul" in report


async def test_all_gateways_of_a_rollout_come_as_a_file(desk: Desk) -> None:
    await desk.requested()
    report = await desk.says("report R-1")
    answers = await desk.clicks(ids.EXPORT_CSV, buttons(report)[ids.EXPORT_CSV], VERA)
    ((name, content, title),) = answers.files
    assert (name, title) == ("R-1.csv", "R-1: 8 gateways")
    assert content.decode("utf-8-sig").count("\r\n") == 9


async def test_jobs_from_the_portal_are_told_from_those_of_a_rollout(desk: Desk) -> None:
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    await desk.it.passes(1)
    desk.it.portal.pickup = (MINUTE, MINUTE)
    gateway = list(desk.it.portal.devices)[7]
    made = desk.it.portal.create_job("by hand", desk.it.firmware.id, [gateway])
    listed = (await desk.says("jobs", VERA)).text
    assert f"{made.id} · by hand" in listed
    assert "SCHEDULED · created in the portal · " in listed
    assert "· R-1 ·" in listed
    assert "0 of 1 finished. 1 QUEUED." in (await desk.says(f"job {made.id}", VERA)).text


async def test_what_a_name_says_does_not_matter(desk: Desk) -> None:
    for device, name in zip(desk.it.portal.devices.values(), [*NAMES, "plain"], strict=True):
        device.friendly_name = name
    await desk.it.fleet.take_in_listing()
    desk.it.firmware.behaviour = Behaviour.FAILS
    await desk.clicks(ids.ROLLOUT_APPROVE, await desk.requested())
    await desk.it.comes_to(RolloutId(1), RolloutState.PAUSED)
    await desk.card()
    await desk.says("report R-1")


# ---- freezes


async def test_freeze_alone_shows_what_is_frozen_and_how_to_freeze(desk: Desk) -> None:
    assert (
        "Nothing is frozen. To hold every start: /mesh freeze everything because"
        in (await desk.says("freeze", ADA)).text
    )
    await desk.says(f"freeze firmware {NEW} because it bricks", ADA)
    shown = (await desk.says("freeze", ADA)).text
    assert f"Firmware {NEW} is frozen by <@U0ADAM>" in shown
    assert "it bricks" in shown
    assert "/mesh unfreeze ends it" in shown


async def test_what_is_frozen_has_its_unfreeze_which_is_about_the_freeze_that_was_seen(desk: Desk) -> None:
    await desk.it.freezes.freeze(ADA, NEW, "it bricks")
    ((action, ref),) = doors(await desk.says("freeze", ADA))
    assert action == ids.UNFREEZE
    await desk.says(f"unfreeze firmware {NEW}", ADA)
    await desk.it.freezes.freeze(ADA, NEW, "another reason")
    with pytest.raises(Stale, match=r"frozen anew since: .* by Ada: another"):
        await desk.clicks(action, ref, ADA)
    ((_, ref),) = doors(await desk.says("freeze", ADA))
    answers = await desk.clicks(action, ref, ADA)
    assert "Nothing is frozen." in answers.last.text
    assert "is no longer frozen" in answers.added[-1].text
    assert await desk.it.freezes.standing() == ()


@pytest.mark.parametrize("typed", ["freeze because of the fair", "freeze everything because of the fair"])
async def test_a_freeze_of_everything_is_confirmed_first(desk: Desk, typed: str) -> None:
    await desk.requested()
    asked = await desk.says(typed, ADA)
    assert "Now that is R-1. Nothing is frozen yet" in asked.text
    assert await desk.it.freezes.standing() == ()
    answers = await desk.clicks(ids.FREEZE, buttons(asked)[ids.FREEZE], ADA)
    assert "Everything is frozen: of the fair. It holds R-1." in answers.last.text
    assert len(await desk.it.freezes.standing()) == 1


@pytest.mark.parametrize(("what", "version"), [("everything", ""), (f"firmware {NEW}", NEW)])
async def test_a_freeze_without_a_reason_asks_for_one_in_a_window(
    desk: Desk, what: str, version: str
) -> None:
    await desk.types(f"freeze {what}", ADA)
    assert (await desk.submits(ids.FREEZE, 1, "", ADA)).errors[ids.REASON].startswith("Please say why")
    assert await desk.it.freezes.standing() == ()
    done = await desk.submits(ids.FREEZE, 1, "it bricks", ADA)
    assert "is frozen: it bricks" in str(done.view)
    (standing,) = await desk.it.freezes.standing()
    assert (standing.firmware_version, standing.reason) == (version, "it bricks")


@pytest.mark.parametrize("what", ["everything", f"firmware {NEW}"])
async def test_a_freeze_without_a_reason_is_told_how_to_say_it_where_no_window_opens(
    desk: Desk, what: str
) -> None:
    with pytest.raises(InvalidInput, match=f"freeze {what} because <reason>"):
        await desk.says(f"freeze {what}", ADA)
    assert await desk.it.freezes.standing() == ()


async def test_a_reason_that_no_button_can_carry_is_refused_before_the_question(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="takes 1,000 characters"):
        await desk.says(f"freeze everything because {'x' * 1900}", ADA)
    asked = await desk.says(f"freeze everything because {'x' * 1000}", ADA)
    await desk.clicks(ids.FREEZE, buttons(asked)[ids.FREEZE], ADA)


async def test_nobody_is_asked_about_what_is_frozen_or_about_what_they_may_not_freeze(desk: Desk) -> None:
    await desk.it.freezes.freeze(ADA, "", "trade fair")
    with pytest.raises(Stale, match="It is frozen already: everything is frozen by Ada: trade fair"):
        await desk.says("freeze because of me", ADA)
    for typed in ("freeze firmware 1.2.3", "freeze because of me", "unfreeze"):
        with pytest.raises(NotAllowed):
            await desk.types(typed, PAUL)


async def test_unfreeze_says_what_it_lifted_and_which_rollouts_go_on(desk: Desk) -> None:
    await desk.requested()
    await desk.it.freezes.freeze(ADA, NEW, "it bricks")
    await desk.it.freezes.freeze(ADA, "", "trade fair")
    lifted = (await desk.says("unfreeze", ADA)).text
    assert "Everything is no longer frozen: <@U0ADAM> froze it" in lifted
    assert "R-1 still waits: firmware 9.0.0 is frozen by Ada: it bricks." in lifted
    lifted = (await desk.says(f"unfreeze firmware {NEW}", ADA)).text
    assert "it bricks. No freeze holds R-1 any more." in lifted
    with pytest.raises(InvalidInput, match="nothing is frozen"):
        await desk.says("unfreeze", ADA)


# ---- what is typed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("tag:oslo to 3.5.0", ("tag:oslo", "3.5.0", "")),
        ("name:walk to work to latest", ("name:walk to work", "latest", "")),
        ("tag:oslo to 3.5.0 at 22:00", ("tag:oslo", "3.5.0", "22:00")),
        ("tag:oslo to 3.5.0 AT 2026-12-01 22:00", ("tag:oslo", "3.5.0", "2026-12-01 22:00")),
        ("oslo to 3.5.0 tomorrow 06:00", ("oslo", "3.5.0", "tomorrow 06:00")),
        ('oslo to "3.5.0"', ("oslo", "3.5.0", "")),
        ('tag:"to be" to "3.5.0 (lab)" at "22:00"', ('tag:"to be"', "3.5.0 (lab)", "22:00")),
        ("oslo to 3.5.0, at 22:00", ("oslo", "3.5.0", "22:00")),
    ],
)
def test_an_update_is_a_query_a_version_and_perhaps_a_time(text: str, parsed: tuple[str, str, str]) -> None:
    assert parse_update(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "tag:oslo", "to 3.5.0", "tag:oslo to", "tag:oslo to 3.5.0 3.6.0", "to", 'x to "3.5']
)
def test_an_update_without_a_query_or_a_version_is_told_how(text: str) -> None:
    with pytest.raises(InvalidInput, match="Write it like this"):
        parse_update(text)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", ("", "")),
        ("because it bricks", ("", "it bricks")),
        ("everything", ("", "")),
        ("everything because it bricks", ("", "it bricks")),
        ("firmware 3.6.0", ("3.6.0", "")),
        ("firmware 3.6.0 because it bricks", ("3.6.0", "it bricks")),
        ('firmware "3.6.0" because it bricks', ("3.6.0", "it bricks")),
    ],
)
def test_a_freeze_is_of_everything_or_of_one_firmware(text: str, parsed: tuple[str, str]) -> None:
    assert parse_freeze(text) == parsed


def test_a_freeze_that_is_not_understood_is_told_how() -> None:
    with pytest.raises(InvalidInput, match="Write /mesh freeze firmware"):
        parse_freeze("3.6.0 it bricks")


# ---- in maintenance


async def test_an_update_in_maintenance_names_its_window_and_takes_no_time_besides(desk: Desk) -> None:
    await desk.it.maintenance.plan(ADA, "tag:oslo 09:00-10:00 because the mast is painted", "C0OPS", 8)
    answer = await desk.says(f"update tag:oslo to {NEW} in maintenance")
    assert "It starts gateways only in M-1, open from" in answer.text
    with pytest.raises(InvalidInput, match="leave out the time"):
        await desk.says(f"update tag:oslo to {NEW} at 22:00 in maintenance")
