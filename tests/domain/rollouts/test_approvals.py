"""A rollout before it starts: who decides, and until when."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput, NotAllowed, RoleUnknown, Stale
from bot.domain.rollouts import approvals, freezes
from bot.domain.rollouts import lifecycle as machine
from bot.domain.rollouts.approvals import approvals_needed
from bot.domain.rollouts.lifecycle import Rollout, RolloutState, TargetState
from tests.domain.rollouts.test_lifecycle import ADA, FREEZE, OLGA, PAUL, PIA, VERA, running
from tests.worlds.builders import MINUTE, rollout, rollout_rules
from tests.worlds.builders import MONDAY as NOW


def test_one_approval_starts_a_small_rollout() -> None:
    approved = approvals.approve(rollout(), PAUL, NOW, rollout_rules())
    assert approved.state is RolloutState.RUNNING
    assert approved.started_at == NOW
    assert [(one.user_id, one.plan_hash) for one in approved.approvals] == [("U0PAUL", "hash")]


def test_what_holds_a_start_is_said_once_its_time_has_come() -> None:
    held = approvals.approve(rollout(), PAUL, NOW, rollout_rules(), held="no data")
    assert (held.state, held.held, held.started_at) == (RolloutState.SCHEDULED, "no data", None)
    later = approvals.approve(rollout(start_at=NOW + MINUTE), PAUL, NOW, rollout_rules(), held="no data")
    assert (later.state, later.held) == (RolloutState.SCHEDULED, None)
    begun = machine.begin(held, NOW + MINUTE)
    assert (begun.state, begun.held, begun.started_at) == (RolloutState.RUNNING, None, NOW + MINUTE)


def test_a_large_rollout_waits_for_a_second_person() -> None:
    once = approvals.approve(rollout(approvals_needed=2), PAUL, NOW, rollout_rules())
    assert (once.state, once.approvals_missing) == (RolloutState.REQUESTED, 1)
    with pytest.raises(Stale, match="You approved R-7 already"):
        approvals.approve(once, PAUL, NOW, rollout_rules())
    assert approvals.approve(once, PIA, NOW, rollout_rules()).state is RolloutState.RUNNING


def test_the_requester_cannot_approve() -> None:
    boss = replace(PAUL, user_id="U0OLGA", holders={Role.APPROVER: "Paul, Pia"})
    with pytest.raises(NotAllowed, match=r"somebody else has to approve it\. Approvers: Paul, Pia\."):
        approvals.approve(rollout(), boss, NOW, rollout_rules())
    assert approvals.approve(rollout(), boss, NOW, rollout_rules(self_approval=True)).started_at == NOW


def test_an_operator_cannot_approve_and_reads_who_can() -> None:
    with pytest.raises(NotAllowed, match=r"need to be an approver.*Paul, Pia"):
        approvals.approve(rollout(), replace(OLGA, user_id="U0OTTO"), NOW, rollout_rules())


def test_only_an_admins_approval_counts_for_a_downgrade() -> None:
    with pytest.raises(NotAllowed, match=r"only an admin's approval counts\. Admins: Ada"):
        approvals.approve(rollout(downgrades=2), PAUL, NOW, rollout_rules())
    assert approvals.approve(rollout(downgrades=2), ADA, NOW, rollout_rules()).state is RolloutState.RUNNING


@pytest.mark.parametrize(
    "act",
    [
        lambda one: approvals.approve(rollout(), replace(one, user_id="U0OLGA"), NOW, rollout_rules()),
        lambda one: approvals.approve(rollout(downgrades=2), one, NOW, rollout_rules()),
        lambda one: approvals.cancel(rollout(), one, NOW),
        lambda one: freezes.resume(running(), one, NOW, "why", FREEZE),
    ],
)
def test_whoever_may_be_an_admin_is_told_to_ask_again_and_not_refused(
    act: Callable[[Actor], Rollout],
) -> None:
    with pytest.raises(NotAllowed):
        act(PAUL)
    with pytest.raises(RoleUnknown, match="I cannot check right now whether you may override a rule"):
        act(replace(PAUL, possible=Role.ADMIN))


def test_a_denial_needs_a_reason_and_wins() -> None:
    half = approvals.approve(rollout(approvals_needed=2), PAUL, NOW, rollout_rules())
    with pytest.raises(InvalidInput, match="say why"):
        approvals.deny(half, PIA, "  ", NOW)
    denied = approvals.deny(half, PIA, "not on a Friday ", NOW)
    assert (denied.state, denied.reason) == (RolloutState.DENIED, "not on a Friday")
    with pytest.raises(Stale, match="Pia denied R-7 a moment ago"):
        approvals.approve(denied, ADA, NOW, rollout_rules())


def test_an_approval_after_the_decision_is_told_politely() -> None:
    approved = approvals.approve(rollout(), PAUL, NOW, rollout_rules())
    with pytest.raises(Stale, match="Paul approved R-7 a moment ago"):
        approvals.approve(approved, PIA, NOW, rollout_rules())


def test_a_request_expires_after_eight_hours() -> None:
    late = NOW + timedelta(hours=8)
    assert approvals.expire(rollout(), late - timedelta(seconds=1)).state is RolloutState.REQUESTED
    assert approvals.expire(rollout(), late).state is RolloutState.EXPIRED
    with pytest.raises(Stale, match="has expired"):
        approvals.approve(rollout(), PAUL, late, rollout_rules())


def test_the_requester_or_an_admin_withdraws() -> None:
    assert approvals.cancel(rollout(), OLGA, NOW).state is RolloutState.CANCELED
    assert approvals.cancel(rollout(), ADA, NOW).state is RolloutState.CANCELED
    with pytest.raises(NotAllowed, match="Only Olga"):
        approvals.cancel(rollout(), PAUL, NOW)


@pytest.mark.parametrize("state", [state for state in RolloutState if state.is_final])
def test_terminal_states_stay_terminal(state: RolloutState) -> None:
    ended = rollout(state=state, reason="withdrawn by Olga")
    with pytest.raises(Stale):
        approvals.approve(ended, PAUL, NOW, rollout_rules())
    with pytest.raises(Stale):
        approvals.deny(ended, PAUL, "no", NOW)
    with pytest.raises(Stale):
        approvals.cancel(ended, OLGA, NOW)
    assert approvals.expire(ended, NOW + timedelta(days=9)) is ended
    assert machine.advance(ended, {(1, TargetState.WAITING): 3}, NOW, rollout_rules()) == ended


def test_an_admin_may_approve_their_own_with_a_typed_reason() -> None:
    own = rollout(requester="U0ADA")
    with pytest.raises(machine.ReasonNeeded):
        approvals.approve(own, ADA, NOW, rollout_rules())
    approved = approvals.approve(own, ADA, NOW, rollout_rules(), "nobody else is awake")
    assert approved.approvals[0].reason == "nobody else is awake"
    with pytest.raises(NotAllowed, match="somebody else"):
        approvals.approve(rollout(requester="U0PAUL"), PAUL, NOW, rollout_rules(), "me too")


@pytest.mark.parametrize(
    "act",
    [
        lambda one: machine.pause(one, VERA),
        lambda one: machine.resume(one, VERA, NOW),
        lambda one: freezes.resume(replace(one, state=RolloutState.RUNNING), VERA, NOW, "why", FREEZE),
        lambda one: machine.promote(one, VERA, 5),
        lambda one: machine.abort(one, VERA, NOW),
        lambda one: machine.take_up(one, VERA, 1, NOW),
        lambda one: approvals.deny(one, replace(OLGA, user_id="U0OTTO"), "no", NOW),
        lambda one: approvals.cancel(one, VERA, NOW),
    ],
)
@pytest.mark.parametrize("state", RolloutState)
def test_who_has_not_the_role_decides_nothing_in_any_state(
    state: RolloutState, act: Callable[[Rollout], Rollout]
) -> None:
    with pytest.raises(NotAllowed, match=r"you need to be an? (operator|approver)"):
        act(running(state=state))


def test_half_way_to_its_end_a_request_is_reminded_of() -> None:
    assert approvals.remind_at(rollout()) == NOW + timedelta(hours=4)


def test_a_rollout_can_start_later() -> None:
    at = NOW + timedelta(hours=2)
    approved = approvals.approve(rollout(start_at=at), PAUL, NOW, rollout_rules())
    assert approved.state is RolloutState.SCHEDULED
    assert machine.begin(approved, at).state is RolloutState.RUNNING
    assert approvals.cancel(approved, OLGA, NOW).state is RolloutState.CANCELED
    assert machine.abort(approved, OLGA, NOW).state is RolloutState.ABORTED


@pytest.mark.parametrize(
    ("eligible", "fleet", "needed"),
    [(100, 10_000, 1), (101, 10_000, 2), (6, 24, 1), (7, 24, 2), (19, 19, 1), (5, 20, 1), (6, 20, 2)],
)
def test_one_more_approves_above_a_hundred_gateways_or_a_quarter_of_the_fleet(
    eligible: int, fleet: int, needed: int
) -> None:
    assert approvals_needed(eligible, fleet, rollout_rules()) == needed


def test_a_share_is_compared_exactly() -> None:
    rules = rollout_rules(second_above_share=0.29)
    assert [approvals_needed(eligible, 100, rules) for eligible in (29, 30)] == [1, 2]


def test_with_no_approvals_the_requesters_confirmation_is_enough_at_any_size() -> None:
    assert approvals_needed(10_000, 10_000, rollout_rules(approvals=0)) == 0


def test_the_second_approval_can_be_turned_off() -> None:
    rules = rollout_rules(second_above_gateways=None, second_above_share=None)
    assert approvals_needed(10_000, 10_000, rules) == 1
