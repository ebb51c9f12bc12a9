"""The rollout's state machine: who decides, and what becomes of each gateway."""

from datetime import timedelta

import pytest

from bot.domain.access import Actor, Role
from bot.domain.errors import Stale
from bot.domain.rollouts import lifecycle as machine
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import Rollout, RolloutState, TargetState
from bot.domain.rollouts.progress import Evidence
from tests.worlds.builders import MONDAY as NOW
from tests.worlds.builders import rollout, rollout_rules

OLGA = Actor("U0OLGA", "Olga", Role.OPERATOR, holders={Role.APPROVER: "Paul, Pia"})
PAUL = Actor("U0PAUL", "Paul", Role.APPROVER, holders={Role.ADMIN: "Ada"})
PIA = Actor("U0PIA", "Pia", Role.APPROVER)
ADA = Actor("U0ADA", "Ada", Role.ADMIN)
VERA = Actor("U0VERA", "Vera", Role.VIEWER, holders={Role.OPERATOR: "Olga"})
FREEZE = Freeze("", "U0ADA", "Ada", "fair", NOW)


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


def test_evidence_has_the_median_and_the_95th_percentile_of_the_return_times() -> None:
    states = {TargetState.VERIFIED: 18, TargetState.FAILED: 1, TargetState.NOT_RETURNED: 1}
    away = [timedelta(minutes=number) for number in range(1, 21)]
    found = Evidence.of(states, away)
    assert (found.attempted, found.verified, found.failed) == (20, 18, 2)
    assert (found.median, found.p95) == (timedelta(minutes=10, seconds=30), timedelta(minutes=19))
    assert Evidence.of({}, []) == Evidence()
