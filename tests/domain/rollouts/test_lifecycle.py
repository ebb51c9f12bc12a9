"""The rollout's state machine: who decides, and what becomes of each gateway."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput, NotAllowed, RoleUnknown, Stale
from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts import freezes, next_starts
from bot.domain.rollouts import lifecycle as machine
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import Rollout, RolloutState, TargetState
from bot.domain.rollouts.next_starts import WaitingGateway
from bot.domain.rollouts.progress import Evidence
from tests.worlds.builders import MINUTE, rollout, rollout_rules
from tests.worlds.builders import MONDAY as NOW

OLGA = Actor("U0OLGA", "Olga", Role.OPERATOR, holders={Role.APPROVER: "Paul, Pia"})
PAUL = Actor("U0PAUL", "Paul", Role.APPROVER, holders={Role.ADMIN: "Ada"})
PIA = Actor("U0PIA", "Pia", Role.APPROVER)
ADA = Actor("U0ADA", "Ada", Role.ADMIN)
VERA = Actor("U0VERA", "Vera", Role.VIEWER, holders={Role.OPERATOR: "Olga"})
FREEZE = Freeze("", "U0ADA", "Ada", "fair", NOW)
G1, G2 = GatewayId("g1"), GatewayId("g2")


def test_one_approval_starts_a_small_rollout() -> None:
    approved = machine.approve(rollout(), PAUL, NOW, rollout_rules())
    assert approved.state is RolloutState.RUNNING
    assert approved.started_at == NOW
    assert [(one.user_id, one.plan_hash) for one in approved.approvals] == [("U0PAUL", "hash")]


def test_what_holds_a_start_is_said_once_its_time_has_come() -> None:
    held = machine.approve(rollout(), PAUL, NOW, rollout_rules(), held="no data")
    assert (held.state, held.held, held.started_at) == (RolloutState.SCHEDULED, "no data", None)
    later = machine.approve(rollout(start_at=NOW + MINUTE), PAUL, NOW, rollout_rules(), held="no data")
    assert (later.state, later.held) == (RolloutState.SCHEDULED, None)
    begun = machine.begin(held, NOW + MINUTE)
    assert (begun.state, begun.held, begun.started_at) == (RolloutState.RUNNING, None, NOW + MINUTE)


def test_a_large_rollout_waits_for_a_second_person() -> None:
    once = machine.approve(rollout(approvals_needed=2), PAUL, NOW, rollout_rules())
    assert (once.state, once.approvals_missing) == (RolloutState.REQUESTED, 1)
    with pytest.raises(Stale, match="You approved R-7 already"):
        machine.approve(once, PAUL, NOW, rollout_rules())
    assert machine.approve(once, PIA, NOW, rollout_rules()).state is RolloutState.RUNNING


def test_the_requester_cannot_approve() -> None:
    boss = replace(PAUL, user_id="U0OLGA", holders={Role.APPROVER: "Paul, Pia"})
    with pytest.raises(NotAllowed, match=r"somebody else has to approve it\. Approvers: Paul, Pia\."):
        machine.approve(rollout(), boss, NOW, rollout_rules())
    assert machine.approve(rollout(), boss, NOW, rollout_rules(self_approval=True)).started_at == NOW


def test_an_operator_cannot_approve_and_reads_who_can() -> None:
    with pytest.raises(NotAllowed, match=r"need to be an approver.*Paul, Pia"):
        machine.approve(rollout(), replace(OLGA, user_id="U0OTTO"), NOW, rollout_rules())


def test_only_an_admins_approval_counts_for_a_downgrade() -> None:
    with pytest.raises(NotAllowed, match=r"only an admin's approval counts\. Admins: Ada"):
        machine.approve(rollout(downgrades=2), PAUL, NOW, rollout_rules())
    assert machine.approve(rollout(downgrades=2), ADA, NOW, rollout_rules()).state is RolloutState.RUNNING


@pytest.mark.parametrize(
    "act",
    [
        lambda one: machine.approve(rollout(), replace(one, user_id="U0OLGA"), NOW, rollout_rules()),
        lambda one: machine.approve(rollout(downgrades=2), one, NOW, rollout_rules()),
        lambda one: machine.cancel(rollout(), one, NOW),
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
    half = machine.approve(rollout(approvals_needed=2), PAUL, NOW, rollout_rules())
    with pytest.raises(InvalidInput, match="say why"):
        machine.deny(half, PIA, "  ", NOW)
    denied = machine.deny(half, PIA, "not on a Friday ", NOW)
    assert (denied.state, denied.reason) == (RolloutState.DENIED, "not on a Friday")
    with pytest.raises(Stale, match="Pia denied R-7 a moment ago"):
        machine.approve(denied, ADA, NOW, rollout_rules())


def test_an_approval_after_the_decision_is_told_politely() -> None:
    approved = machine.approve(rollout(), PAUL, NOW, rollout_rules())
    with pytest.raises(Stale, match="Paul approved R-7 a moment ago"):
        machine.approve(approved, PIA, NOW, rollout_rules())


def test_a_request_expires_after_eight_hours() -> None:
    late = NOW + timedelta(hours=8)
    assert machine.expire(rollout(), late - timedelta(seconds=1)).state is RolloutState.REQUESTED
    assert machine.expire(rollout(), late).state is RolloutState.EXPIRED
    with pytest.raises(Stale, match="has expired"):
        machine.approve(rollout(), PAUL, late, rollout_rules())


def test_the_requester_or_an_admin_withdraws() -> None:
    assert machine.cancel(rollout(), OLGA, NOW).state is RolloutState.CANCELED
    assert machine.cancel(rollout(), ADA, NOW).state is RolloutState.CANCELED
    with pytest.raises(NotAllowed, match="Only Olga"):
        machine.cancel(rollout(), PAUL, NOW)


@pytest.mark.parametrize("state", [state for state in RolloutState if state.is_final])
def test_terminal_states_stay_terminal(state: RolloutState) -> None:
    ended = rollout(state=state, reason="withdrawn by Olga")
    with pytest.raises(Stale):
        machine.approve(ended, PAUL, NOW, rollout_rules())
    with pytest.raises(Stale):
        machine.deny(ended, PAUL, "no", NOW)
    with pytest.raises(Stale):
        machine.cancel(ended, OLGA, NOW)
    assert machine.expire(ended, NOW + timedelta(days=9)) is ended
    assert machine.advance(ended, {(1, TargetState.WAITING): 3}, NOW, rollout_rules()) == ended


def running(**changes: object) -> Rollout:
    return rollout(**{"state": RolloutState.RUNNING, "wave": 1, "started_at": NOW} | changes)


def test_after_the_canary_a_person_promotes() -> None:
    counts = {(1, TargetState.VERIFIED): 5, (2, TargetState.WAITING): 9}
    stopped = machine.advance(running(), counts, NOW, rollout_rules())
    assert stopped.state is RolloutState.PROMOTION
    assert machine.advance(stopped, counts, NOW + timedelta(days=1), rollout_rules()) == stopped
    promoted = machine.promote(stopped, OLGA, 5)
    assert (promoted.state, promoted.wave) == (RolloutState.RUNNING, 2)


def test_a_canary_of_which_nobody_was_updated_is_not_promoted() -> None:
    stopped = running(state=RolloutState.PROMOTION)
    with pytest.raises(Stale, match="No gateway of the canary of R-7 was updated"):
        machine.promote(stopped, OLGA, 0)


def test_later_waves_go_on_by_themselves_after_the_soak() -> None:
    counts = {
        (1, TargetState.VERIFIED): 5,
        (2, TargetState.VERIFIED): 9,
        (3, TargetState.WAITING): 9,
    }
    soaking = machine.advance(running(wave=2), counts, NOW, rollout_rules())
    assert (soaking.wave, soaking.wave_settled_at) == (2, NOW)
    early = NOW + timedelta(minutes=29)
    assert machine.advance(soaking, counts, early, rollout_rules()) == soaking
    assert machine.advance(soaking, counts, NOW + timedelta(minutes=30), rollout_rules()).wave == 3


def test_one_single_wave_has_no_canary_and_no_promotion() -> None:
    done = machine.advance(running(), {(1, TargetState.VERIFIED): 5}, NOW, rollout_rules())
    assert done.state is RolloutState.FINISHED


OPEN = [state for state in TargetState if not state.is_settled and state is not TargetState.AWAY]


@pytest.mark.parametrize("state", OPEN)
def test_a_wave_waits_for_every_gateway_in_it(state: TargetState) -> None:
    counts = {(1, TargetState.VERIFIED): 4, (1, state): 1, (2, TargetState.WAITING): 9}
    assert machine.advance(running(), counts, NOW, rollout_rules()).state is RolloutState.RUNNING


def test_waves_are_judged_by_verified_not_by_reported() -> None:
    counts = {(1, TargetState.REPORTED): 5}
    assert machine.advance(running(), counts, NOW, rollout_rules()).state is RolloutState.RUNNING


def test_a_paused_rollout_does_not_start_its_next_wave() -> None:
    counts = {(1, TargetState.VERIFIED): 5, (2, TargetState.WAITING): 3}
    paused = machine.pause(running(), OLGA)
    assert machine.advance(paused, counts, NOW + timedelta(days=1), rollout_rules()) == paused


def test_whether_a_person_or_a_gate_paused_it_is_told_by_no_wording() -> None:
    by_olga = machine.pause(running(), OLGA)
    by_gate = machine.paused(running(), "paused by a gate: 5 of 5 failed")
    assert [machine.is_paused_by_itself(one) for one in (by_olga, by_gate, running())] == [False, True, False]
    again = machine.pause(machine.resume(by_gate, OLGA, NOW), OLGA)
    assert (again.paused_by, machine.paused(again, "canary").paused_by) == (OLGA.user_id, None)


def test_a_resumed_rollout_asks_for_promotion_again_and_forgets_old_failures() -> None:
    counts = {(1, TargetState.FAILED): 1, (1, TargetState.VERIFIED): 4, (2, TargetState.WAITING): 3}
    later = NOW + timedelta(hours=1)
    resumed = machine.resume(machine.paused(running(), "canary"), OLGA, later)
    assert (resumed.gate_from, resumed.reason) == (later, None)
    assert machine.advance(resumed, counts, later, rollout_rules()).state is RolloutState.PROMOTION


def test_an_admin_may_approve_their_own_with_a_typed_reason() -> None:
    own = rollout(requester="U0ADA")
    with pytest.raises(machine.ReasonNeeded):
        machine.approve(own, ADA, NOW, rollout_rules())
    approved = machine.approve(own, ADA, NOW, rollout_rules(), "nobody else is awake")
    assert approved.approvals[0].reason == "nobody else is awake"
    with pytest.raises(NotAllowed, match="somebody else"):
        machine.approve(rollout(requester="U0PAUL"), PAUL, NOW, rollout_rules(), "me too")


@pytest.mark.parametrize(
    "act",
    [
        lambda one: machine.pause(one, VERA),
        lambda one: machine.resume(one, VERA, NOW),
        lambda one: freezes.resume(replace(one, state=RolloutState.RUNNING), VERA, NOW, "why", FREEZE),
        lambda one: machine.promote(one, VERA, 5),
        lambda one: machine.abort(one, VERA, NOW),
        lambda one: machine.take_up(one, VERA, 1, NOW),
        lambda one: machine.deny(one, replace(OLGA, user_id="U0OTTO"), "no", NOW),
        lambda one: machine.cancel(one, VERA, NOW),
    ],
)
@pytest.mark.parametrize("state", RolloutState)
def test_who_has_not_the_role_decides_nothing_in_any_state(
    state: RolloutState, act: Callable[[Rollout], Rollout]
) -> None:
    with pytest.raises(NotAllowed, match=r"you need to be an? (operator|approver)"):
        act(running(state=state))


def test_an_abort_is_for_good() -> None:
    ended = machine.abort(running(), OLGA, NOW)
    assert ended.state is RolloutState.ABORTED
    with pytest.raises(Stale, match="is aborted"):
        machine.pause(ended, OLGA)
    with pytest.raises(Stale, match="is aborted"):
        machine.promote(ended, OLGA, 5)
    with pytest.raises(Stale):
        machine.resume(ended, OLGA, NOW)
    with pytest.raises(Stale):
        machine.take_up(ended, OLGA, 1, NOW)


def test_a_retry_stays_inside_the_approval() -> None:
    done = running(state=RolloutState.FINISHED, finished_at=NOW, wave=3)
    assert machine.take_up(done, OLGA, 3, NOW + timedelta(days=7)).state is RolloutState.RUNNING
    assert machine.take_up(done, OLGA, 3, NOW, waves=1).wave == 4
    with pytest.raises(Stale, match="older than 7 days"):
        machine.take_up(done, OLGA, 3, NOW + timedelta(days=7, seconds=1))


def test_what_is_taken_up_again_forgets_old_failures_and_an_old_override() -> None:
    done = running(state=RolloutState.FINISHED, gate_from=NOW, through_freeze="Ada: tested", reason="…")
    later = NOW + timedelta(hours=1)
    again = machine.take_up(done, OLGA, 3, later)
    assert (again.gate_from, again.through_freeze, again.reason) == (later, None, None)


def test_one_that_runs_is_taken_up_as_it_is() -> None:
    assert machine.take_up(running(), OLGA, 3, NOW) == running()


def test_a_pause_begins_the_soak_anew() -> None:
    counts = {(2, TargetState.VERIFIED): 9, (3, TargetState.WAITING): 9}
    paused = machine.pause(running(wave=2, wave_settled_at=NOW), OLGA)
    later = NOW + timedelta(hours=1)
    assert machine.advance(machine.resume(paused, OLGA, later), counts, later, rollout_rules()).wave == 2


def test_half_way_to_its_end_a_request_is_reminded_of() -> None:
    assert machine.remind_at(rollout()) == NOW + timedelta(hours=4)


def test_a_rollout_can_start_later() -> None:
    at = NOW + timedelta(hours=2)
    approved = machine.approve(rollout(start_at=at), PAUL, NOW, rollout_rules())
    assert approved.state is RolloutState.SCHEDULED
    assert machine.begin(approved, at).state is RolloutState.RUNNING
    assert machine.cancel(approved, OLGA, NOW).state is RolloutState.CANCELED
    assert machine.abort(approved, OLGA, NOW).state is RolloutState.ABORTED


def test_at_most_a_fifth_of_a_site_and_at_least_one_is_in_flight() -> None:
    waiting = [*waits(8), *(WaitingGateway(one, "narvik", Connectivity.ONLINE, "3.4.1") for one in (G1, G2))]
    sizes = {"oslo": 20, "narvik": 3}
    first = next_starts.choose_starts(waiting, {}, sizes, rollout_rules())
    assert [gateway for gateway in first if gateway.startswith("o")] == ["o0", "o1", "o2", "o3"]
    assert [gateway for gateway in first if not gateway.startswith("o")] == [G1]
    rest = [one for one in waiting if one.gateway_id not in first]
    assert next_starts.choose_starts(rest, {"oslo": 4, "narvik": 1}, sizes, rollout_rules()) == ()


def test_a_new_round_waits_until_half_of_it_can_start() -> None:
    waiting = waits(8)
    assert next_starts.choose_starts(waiting, {"oslo": 3}, {"oslo": 20}, rollout_rules()) == ()
    assert len(next_starts.choose_starts(waiting, {"oslo": 2}, {"oslo": 20}, rollout_rules())) == 2


def test_a_share_of_a_site_that_is_a_whole_number_is_that_number() -> None:
    assert len(next_starts.choose_starts(waits(40), {}, {"oslo": 100}, rollout_rules(per_site=0.29))) == 29


@pytest.mark.parametrize(
    ("online", "firmware", "attempts", "instead"),
    [
        (True, "3.4.1", 0, None),
        (True, "3.4.1", 1, None),
        (True, "v3.4", 0, None),
        (True, None, 0, TargetState.EXCLUDED),  # nobody can tell whether it is one
        (False, "3.4.1", 0, TargetState.SKIPPED),
        (False, "3.4.1", 1, TargetState.FAILED),  # it was flashed, and is silent
        (True, "3.5.0", 0, TargetState.EXCLUDED),
        (True, "3.5.1", 0, TargetState.EXCLUDED),  # nobody approved a downgrade
    ],
)
def test_who_cannot_start_when_its_turn_has_come_is_set_aside(
    online: bool, firmware: str | None, attempts: int, instead: TargetState | None
) -> None:
    state = Connectivity.ONLINE if online else Connectivity.OFFLINE
    found = next_starts.skip_reason(WaitingGateway(G1, "oslo", state, firmware, attempts), running(), NOW)
    assert (found[0] if found else None) is instead


def test_a_newer_version_is_taken_back_only_where_an_admin_approved_a_downgrade() -> None:
    newer = WaitingGateway(G1, "oslo", Connectivity.ONLINE, "3.5.1")
    assert next_starts.skip_reason(newer, running(), NOW) == (
        TargetState.EXCLUDED,
        "on a newer version when its turn came (3.5.1, not 3.5.0)",
    )
    assert next_starts.skip_reason(newer, running(downgrades=1), NOW) is None


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        ("3.5.0", "already on it when its turn came"),
        ("v3.5", "already on it when its turn came (v3.5 is 3.5.0)"),
        ("a1b2c3d", "3.5.0 may be older than a1b2c3d, which it had when its turn came"),
        (None, "3.5.0 may be older than no version, which it had when its turn came"),
    ],
)
def test_who_is_left_out_at_its_turn_has_both_spellings_as_its_reason(
    present: str | None, reason: str
) -> None:
    there = WaitingGateway(G1, "oslo", Connectivity.ONLINE, present)
    assert next_starts.skip_reason(there, running(), NOW) == (TargetState.EXCLUDED, reason)


def waits(number: int) -> list[WaitingGateway]:
    return [WaitingGateway(GatewayId(f"o{n}"), "oslo", Connectivity.ONLINE, "3.4.1") for n in range(number)]


@given(st.integers(0, 40), st.integers(1, 12))
def test_batches_hold_every_gateway_once(number: int, size: int) -> None:
    gateways = [GatewayId(str(index)) for index in range(number)]
    cut = next_starts.batches(gateways, rollout_rules(batch=size))
    assert [gateway for batch in cut for gateway in batch] == gateways
    assert all(0 < len(batch) <= size for batch in cut)


def test_a_jobs_name_carries_the_rollouts_random_id() -> None:
    assert next_starts.job_name(rollout(), 2, 1) == "meshbot R-7 w2 b1 01J9"


def test_evidence_has_the_median_and_the_95th_percentile_of_the_return_times() -> None:
    states = {TargetState.VERIFIED: 18, TargetState.FAILED: 1, TargetState.NOT_RETURNED: 1}
    away = [timedelta(minutes=number) for number in range(1, 21)]
    found = Evidence.of(states, away)
    assert (found.attempted, found.verified, found.failed) == (20, 18, 2)
    assert (found.median, found.p95) == (timedelta(minutes=10, seconds=30), timedelta(minutes=19))
    assert Evidence.of({}, []) == Evidence()
