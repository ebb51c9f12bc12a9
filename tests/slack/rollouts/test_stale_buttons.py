"""What a person saw is what they decide: a click on an older state says what changed since."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import Behaviour
from bot.domain.access import Actor
from bot.domain.errors import AlreadyDone, Stale
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState
from bot.slack import ids
from tests.slack.home.room import Screen, home_of
from tests.slack.rollouts.desk import Desk
from tests.slack.shown import buttons
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import ADA, MINUTE, NEW, OLGA, PAUL, PIA, WAVES, world

R1 = RolloutId(1)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with world(sqlite_url(tmp_path), rules=replace(WAVES, approvals=2), quick=True) as it:
        yield Desk(it)


async def running(desk: Desk) -> None:
    """Paul and Pia approved Olga's request."""
    await desk.requested()
    for approver in (PAUL, PIA):
        await desk.clicks(ids.ROLLOUT_APPROVE, await desk.button(ids.ROLLOUT_APPROVE), approver)


async def acts(desk: Desk, action_id: str, actor: Actor = PAUL) -> None:
    """Somebody clicks on the card as it is now."""
    await desk.clicks(action_id, await desk.button(action_id), actor)


async def state(desk: Desk) -> RolloutState:
    return (await desk.it.rollouts.status(R1)).rollout.state


# ---- before it runs


async def test_an_approval_of_a_card_that_lacked_somebody_elses_is_refused_since_it_would_be_the_last(
    desk: Desk,
) -> None:
    old = await desk.requested()
    await desk.clicks(ids.ROLLOUT_APPROVE, old, PIA)
    with pytest.raises(Stale, match=r"^Pia approved R-1 a moment ago\. That was after this button was drawn"):
        await desk.clicks(ids.ROLLOUT_APPROVE, old)
    assert await state(desk) is RolloutState.REQUESTED
    await acts(desk, ids.ROLLOUT_APPROVE)
    assert await state(desk) is RolloutState.RUNNING


async def test_an_approval_of_what_was_denied_meanwhile_says_by_whom_and_why(desk: Desk) -> None:
    old = await desk.requested()
    await desk.it.rollouts.deny(PIA, R1, "not on a Friday")
    desk.it.clock.advance(5 * MINUTE)
    with pytest.raises(Stale, match=r"^Pia denied R-1 \(not on a Friday\) 5 minutes ago\."):
        await desk.clicks(ids.ROLLOUT_APPROVE, old)


async def test_an_override_whose_modal_was_open_while_somebody_else_approved_is_refused(desk: Desk) -> None:
    await desk.requested(actor=ADA)
    await acts(desk, ids.ROLLOUT_APPROVE, ADA)  # opens the modal that asks why
    await acts(desk, ids.ROLLOUT_APPROVE, PAUL)
    with pytest.raises(Stale, match=r"^Paul approved R-1"):
        await desk.submits(ids.ROLLOUT_APPROVE, 1, "nobody else is awake", ADA)
    assert await state(desk) is RolloutState.REQUESTED


async def test_a_denial_whose_modal_was_open_while_it_started_is_refused(desk: Desk) -> None:
    await desk.requested()
    await acts(desk, ids.ROLLOUT_DENY)
    for approver in (PIA, ADA):
        await acts(desk, ids.ROLLOUT_APPROVE, approver)
    with pytest.raises(Stale, match=r"^Pia approved R-1 a moment ago; Ada approved it .*; it started"):
        await desk.submits(ids.ROLLOUT_DENY, 1, "not today", PAUL)
    assert await state(desk) is RolloutState.RUNNING


async def test_a_denial_outlives_an_approval_that_does_not_start_it(desk: Desk) -> None:
    await desk.requested()
    await acts(desk, ids.ROLLOUT_DENY)
    await acts(desk, ids.ROLLOUT_APPROVE, PIA)
    await desk.submits(ids.ROLLOUT_DENY, 1, "not today", PAUL)
    assert await state(desk) is RolloutState.DENIED


async def test_no_reason_is_asked_for_a_denial_that_comes_too_late(desk: Desk) -> None:
    await desk.requested()
    old = await desk.button(ids.ROLLOUT_DENY)
    await desk.it.rollouts.cancel(OLGA, R1)
    with pytest.raises(Stale, match=r"^Olga withdrew R-1"):
        await desk.clicks(ids.ROLLOUT_DENY, old)
    assert desk.modals.opened == []


async def test_a_withdrawal_of_a_request_that_was_approved_for_later_meanwhile_is_refused(desk: Desk) -> None:
    await desk.requested(f"update tag:oslo to {NEW} at 22:00")
    old = await desk.button(ids.ROLLOUT_CANCEL)
    for approver in (PAUL, PIA):
        await acts(desk, ids.ROLLOUT_APPROVE, approver)
    with pytest.raises(Stale, match="it was scheduled a moment ago"):
        await desk.clicks(ids.ROLLOUT_CANCEL, old, OLGA)
    assert await state(desk) is RolloutState.SCHEDULED


# ---- while it runs


async def test_a_resume_of_an_older_pause_resumes_nothing_and_says_why(desk: Desk) -> None:
    await running(desk)
    await acts(desk, ids.ROLLOUT_PAUSE)
    old = await desk.button(ids.ROLLOUT_RESUME)
    await acts(desk, ids.ROLLOUT_RESUME, PIA)
    desk.it.firmware.behaviour = Behaviour.FAILS
    await desk.it.comes_to(R1, RolloutState.PAUSED)  # by a gate
    with pytest.raises(Stale, match=r"^Pia resumed R-1 .* ago; it paused itself \(.* canaries failed\)"):
        await desk.clicks(ids.ROLLOUT_RESUME, old)
    assert await state(desk) is RolloutState.PAUSED


async def test_going_on_through_a_freeze_is_about_the_freeze_that_was_seen(desk: Desk) -> None:
    await running(desk)
    await desk.it.freezes.freeze(ADA, NEW, "it bricks")
    await acts(desk, ids.ROLLOUT_RESUME, ADA)  # opens the modal that asks why
    await desk.it.freezes.unfreeze(ADA, NEW)
    await desk.it.freezes.freeze(replace(ADA, user_id="U0EVE", name="Eve"), NEW, "it burns")
    with pytest.raises(Stale, match=r"^You unfroze firmware .*; Eve froze firmware .* \(it burns\) "):
        await desk.submits(ids.ROLLOUT_RESUME, 1, "the fix is tested", ADA)


async def test_start_anyway_does_not_resume_what_was_paused_meanwhile(desk: Desk) -> None:
    await running(desk)
    await desk.it.freezes.freeze(ADA, NEW, "it bricks")
    old = await desk.button(ids.ROLLOUT_RESUME)
    await acts(desk, ids.ROLLOUT_PAUSE)
    with pytest.raises(Stale, match=r"^Paul paused R-1"):
        await desk.clicks(ids.ROLLOUT_RESUME, old, ADA)
    assert await state(desk) is RolloutState.PAUSED


async def test_a_promotion_of_a_canary_that_was_paused_and_resumed_meanwhile_is_refused(desk: Desk) -> None:
    await running(desk)
    await desk.it.comes_to(R1, RolloutState.PROMOTION)
    old = await desk.button(ids.ROLLOUT_PROMOTE)
    await acts(desk, ids.ROLLOUT_PAUSE)
    await acts(desk, ids.ROLLOUT_RESUME)
    await desk.it.comes_to(R1, RolloutState.PROMOTION)
    with pytest.raises(Stale, match=r"^Paul paused R-1 .*; Paul resumed it"):
        await desk.clicks(ids.ROLLOUT_PROMOTE, old, PIA)
    assert await state(desk) is RolloutState.PROMOTION


async def test_a_pause_of_what_was_paused_and_resumed_meanwhile_is_refused(desk: Desk) -> None:
    await running(desk)
    old = await desk.button(ids.ROLLOUT_PAUSE)
    await acts(desk, ids.ROLLOUT_PAUSE)
    await acts(desk, ids.ROLLOUT_RESUME)
    with pytest.raises(Stale, match="Paul resumed it a moment ago"):
        await desk.clicks(ids.ROLLOUT_PAUSE, old, PIA)
    assert await state(desk) is RolloutState.RUNNING


async def test_an_abort_of_what_was_resumed_meanwhile_is_refused(desk: Desk) -> None:
    await running(desk)
    await acts(desk, ids.ROLLOUT_PAUSE)
    old = await desk.button(ids.ROLLOUT_ABORT)
    await acts(desk, ids.ROLLOUT_RESUME)
    with pytest.raises(Stale, match=r"^Paul resumed R-1"):
        await desk.clicks(ids.ROLLOUT_ABORT, old, PIA)
    assert await state(desk) is RolloutState.RUNNING


async def test_a_retry_and_a_catch_up_of_what_was_resumed_meanwhile_are_refused(desk: Desk) -> None:
    desk.it.firmware.behaviour = Behaviour.FAILS
    gone = list(desk.it.portal.devices)[7]
    desk.it.portal.disconnect([gone])
    await desk.it.fleet.take_in_listing()
    await running(desk)
    await desk.it.comes_to(R1, RolloutState.PAUSED)
    desk.it.portal.connect([gone])
    await desk.it.passes(3)
    await acts(desk, ids.ROLLOUT_END_WAITING)
    old = buttons(await desk.card())
    await acts(desk, ids.ROLLOUT_RESUME)
    for action_id in (ids.ROLLOUT_RETRY_FAILED, ids.ROLLOUT_CATCH_UP):
        with pytest.raises(Stale, match=r"^Paul resumed R-1"):
            await desk.clicks(action_id, old[action_id], PIA)


async def test_the_home_tabs_buttons_are_of_the_state_that_it_showed(desk: Desk) -> None:
    await running(desk)
    screen = Screen()
    await home_of(desk.it, screen, OLGA).opened({"user": OLGA.user_id})
    shown = [one for block in screen.published[-1]["blocks"] for one in block.get("elements", [])]
    (pause,) = [one for one in shown if one.get("action_id") == ids.ROLLOUT_PAUSE]
    assert ids.decode(pause["value"]) == await desk.button(ids.ROLLOUT_PAUSE)


# ---- what makes no button stale


async def test_progress_makes_no_button_stale(desk: Desk) -> None:
    await running(desk)
    old = await desk.button(ids.ROLLOUT_PAUSE)
    await desk.it.comes_to(R1, RolloutState.PROMOTION)
    await desk.clicks(ids.ROLLOUT_PAUSE, old)
    assert await state(desk) is RolloutState.PAUSED


@pytest.mark.parametrize(
    ("action_id", "did"), [(ids.ROLLOUT_PAUSE, "paused"), (ids.ROLLOUT_ABORT, "aborted")]
)
async def test_a_click_that_repeats_ones_own_is_told_that_it_is_done(
    desk: Desk, action_id: str, did: str
) -> None:
    await running(desk)
    ref = await desk.button(action_id)
    await desk.clicks(action_id, ref)
    with pytest.raises(AlreadyDone) as told:
        await desk.clicks(action_id, ref)
    assert (
        str(told.value) == f"That is done already: you {did} R-1 a moment ago. There is nothing more to do."
    )


async def test_two_clicks_on_promote_promote_once_and_the_second_is_no_refusal(desk: Desk) -> None:
    await running(desk)
    await desk.it.comes_to(R1, RolloutState.PROMOTION)
    ref = await desk.button(ids.ROLLOUT_PROMOTE)
    await desk.clicks(ids.ROLLOUT_PROMOTE, ref)
    with pytest.raises(AlreadyDone, match="you promoted R-1 a moment ago"):
        await desk.clicks(ids.ROLLOUT_PROMOTE, ref)
    assert (await desk.it.events(R1)).count("promoted") == 1


async def test_two_approvals_of_one_person_count_once_and_the_second_is_no_refusal(desk: Desk) -> None:
    ref = await desk.requested()
    await desk.clicks(ids.ROLLOUT_APPROVE, ref)
    with pytest.raises(AlreadyDone, match="It needs somebody else's approval as well"):
        await desk.clicks(ids.ROLLOUT_APPROVE, ref)


async def test_a_denial_that_is_sent_twice_is_done_once(desk: Desk) -> None:
    await desk.requested()
    await acts(desk, ids.ROLLOUT_DENY)
    await desk.submits(ids.ROLLOUT_DENY, 1, "not today", PAUL)
    with pytest.raises(AlreadyDone, match=r"you denied R-1 \(not today\)"):
        await desk.submits(ids.ROLLOUT_DENY, 1, "not today", PAUL)


# ---- answers, and what is not one of ours


async def test_a_stale_click_on_an_answer_draws_it_as_it_is_now(desk: Desk) -> None:
    await running(desk)
    copy = buttons(await desk.says("rollout R-1"))
    await acts(desk, ids.ROLLOUT_PAUSE)
    answers = await desk.refused(ids.ROLLOUT_PAUSE, copy[ids.ROLLOUT_PAUSE], PIA)
    assert ids.ROLLOUT_RESUME in buttons(answers.last)


async def test_a_button_that_was_drawn_of_another_rollout_decides_nothing(desk: Desk) -> None:
    """An alert's card may name another rollout by the time its button is clicked."""
    await running(desk)
    mine = await desk.button(ids.ROLLOUT_PAUSE)
    with pytest.raises(Stale, match="from another time"):
        await desk.clicks(ids.ROLLOUT_PAUSE, replace(mine, version=mine.version + 100))
    assert await state(desk) is RolloutState.RUNNING
