"""The rollout's state machine: who decides, and what becomes of each gateway."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import rollout as machine
from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput, NotAllowed, Stale
from bot.domain.firmware import DeviceProgress, JobDevice, JobId, JobStatus, VendorJob
from bot.domain.fleet import GatewayId
from bot.domain.plan import Rules
from bot.domain.rollout import (
    Finish,
    Rollout,
    RolloutId,
    RolloutState,
    Start,
    TargetProgress,
    TargetState,
    Wait,
)

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
OLGA = Actor("U0OLGA", "Olga", Role.OPERATOR, holders={Role.APPROVER: "Paul, Pia"})
PAUL = Actor("U0PAUL", "Paul", Role.APPROVER, holders={Role.ADMIN: "Ada"})
PIA = Actor("U0PIA", "Pia", Role.APPROVER)
ADA = Actor("U0ADA", "Ada", Role.ADMIN)
G1, G2, G3 = GatewayId("g1"), GatewayId("g2"), GatewayId("g3")


def rollout(**changes: object) -> Rollout:
    made = Rollout(
        id=RolloutId(7),
        uid="01J9",
        state=RolloutState.REQUESTED,
        version=1,
        requester="U0OLGA",
        requester_name="Olga",
        channel="C0OPS",
        query="tag:oslo",
        model="2011",
        firmware_id="fw",
        firmware_version="3.5.0",
        plan_hash="hash",
        approvals_needed=1,
        downgrades=0,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=8),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_one_approval_starts_a_small_rollout() -> None:
    approved = machine.approve(rollout(), PAUL, NOW, Rules())
    assert approved.state is RolloutState.RUNNING
    assert approved.started_at == NOW
    assert [(one.user_id, one.plan_hash) for one in approved.approvals] == [("U0PAUL", "hash")]


def test_a_large_rollout_waits_for_a_second_person() -> None:
    once = machine.approve(rollout(approvals_needed=2), PAUL, NOW, Rules())
    assert (once.state, once.approvals_missing) == (RolloutState.REQUESTED, 1)
    with pytest.raises(Stale, match="You approved R-7 already"):
        machine.approve(once, PAUL, NOW, Rules())
    assert machine.approve(once, PIA, NOW, Rules()).state is RolloutState.RUNNING


def test_the_requester_cannot_approve() -> None:
    boss = replace(ADA, user_id="U0OLGA", holders={Role.APPROVER: "Paul, Pia"})
    with pytest.raises(NotAllowed, match=r"somebody else has to approve it\. Approvers: Paul, Pia\."):
        machine.approve(rollout(), boss, NOW, Rules())
    assert machine.approve(rollout(), boss, NOW, Rules(self_approval=True)).started_at == NOW


def test_an_operator_cannot_approve_and_reads_who_can() -> None:
    with pytest.raises(NotAllowed, match=r"need to be an approver.*Paul, Pia"):
        machine.approve(rollout(), replace(OLGA, user_id="U0OTTO"), NOW, Rules())


def test_only_an_admins_approval_counts_for_a_downgrade() -> None:
    with pytest.raises(NotAllowed, match=r"only an admin's approval counts\. Admins: Ada"):
        machine.approve(rollout(downgrades=2), PAUL, NOW, Rules())
    assert machine.approve(rollout(downgrades=2), ADA, NOW, Rules()).state is RolloutState.RUNNING


def test_a_denial_needs_a_reason_and_wins() -> None:
    half = machine.approve(rollout(approvals_needed=2), PAUL, NOW, Rules())
    with pytest.raises(InvalidInput, match="say why"):
        machine.deny(half, PIA, "  ", NOW)
    denied = machine.deny(half, PIA, "not on a Friday ", NOW)
    assert (denied.state, denied.reason) == (RolloutState.DENIED, "not on a Friday")
    with pytest.raises(Stale, match="Pia denied R-7 a moment ago"):
        machine.approve(denied, ADA, NOW, Rules())


def test_an_approval_after_the_decision_is_told_politely() -> None:
    approved = machine.approve(rollout(), PAUL, NOW, Rules())
    with pytest.raises(Stale, match="Paul approved R-7 a moment ago"):
        machine.approve(approved, PIA, NOW, Rules())


def test_a_request_expires_after_eight_hours() -> None:
    late = NOW + timedelta(hours=8)
    assert machine.expire(rollout(), late - timedelta(seconds=1)).state is RolloutState.REQUESTED
    assert machine.expire(rollout(), late).state is RolloutState.EXPIRED
    with pytest.raises(Stale, match="has expired"):
        machine.approve(rollout(), PAUL, late, Rules())


def test_the_requester_or_an_admin_withdraws() -> None:
    assert machine.cancel(rollout(), OLGA, NOW).state is RolloutState.CANCELED
    assert machine.cancel(rollout(), ADA, NOW).state is RolloutState.CANCELED
    with pytest.raises(NotAllowed, match="Only Olga"):
        machine.cancel(rollout(), PAUL, NOW)


@pytest.mark.parametrize("state", [state for state in RolloutState if state.is_final])
def test_terminal_states_stay_terminal(state: RolloutState) -> None:
    ended = rollout(state=state, reason="withdrawn by Olga")
    with pytest.raises(Stale):
        machine.approve(ended, PAUL, NOW, Rules())
    with pytest.raises(Stale):
        machine.deny(ended, PAUL, "no", NOW)
    with pytest.raises(Stale):
        machine.cancel(ended, OLGA, NOW)
    assert machine.expire(ended, NOW + timedelta(days=9)) is ended
    assert machine.next_step(ended, {(1, TargetState.WAITING): 3}) == Wait()


def test_the_lowest_wave_that_is_not_settled_goes_on() -> None:
    running = rollout(state=RolloutState.RUNNING)
    counts = {(1, TargetState.SUCCEEDED): 5, (2, TargetState.WAITING): 3, (3, TargetState.WAITING): 9}
    assert machine.next_step(running, counts) == Start(2)
    assert machine.next_step(running, counts | {(1, TargetState.IN_PROGRESS): 1}) == Wait()


def test_a_rollout_is_finished_when_nobody_is_waited_for() -> None:
    running = rollout(state=RolloutState.RUNNING)
    settled = {(1, state): 1 for state in TargetState if state.is_settled}
    assert machine.next_step(running, settled) == Finish()
    assert machine.next_step(running, {}) == Finish()


def test_a_request_starts_nothing() -> None:
    assert machine.next_step(rollout(), {(1, TargetState.WAITING): 3}) == Wait()


@given(st.integers(0, 40), st.integers(1, 12))
def test_batches_hold_every_gateway_once(number: int, size: int) -> None:
    gateways = [GatewayId(str(index)) for index in range(number)]
    cut = machine.batches(gateways, Rules(batch=size))
    assert [gateway for batch in cut for gateway in batch] == gateways
    assert all(0 < len(batch) <= size for batch in cut)


def test_a_jobs_name_carries_the_rollouts_random_id() -> None:
    assert machine.job_name(rollout(), 2, 1) == "meshbot R-7 w2 b1 01J9"


def job(*devices: JobDevice, status: JobStatus = JobStatus.IN_PROGRESS) -> VendorJob:
    return VendorJob(JobId("j1"), status=status, devices=devices)


def going(gateway: GatewayId = G1, state: TargetState = TargetState.STARTED) -> TargetProgress:
    return TargetProgress(gateway, 1, state, NOW)


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (DeviceProgress.QUEUED, TargetState.STARTED),
        (DeviceProgress.UNKNOWN, TargetState.STARTED),
        (DeviceProgress.IN_PROGRESS, TargetState.IN_PROGRESS),
        (DeviceProgress.SUCCEEDED, TargetState.SUCCEEDED),
        (DeviceProgress.FAILED, TargetState.FAILED),
        (DeviceProgress.TIMED_OUT, TargetState.FAILED),
        (DeviceProgress.REJECTED, TargetState.FAILED),
        (DeviceProgress.REMOVED, TargetState.FAILED),
        (DeviceProgress.CANCELED, TargetState.FAILED),
    ],
)
def test_each_word_of_the_vendor_means_one_state(progress: DeviceProgress, state: TargetState) -> None:
    updates = machine.judge_job(job(JobDevice(G1, progress)), [going()], NOW, Rules())
    assert [update.state for update in updates] == ([] if state is TargetState.STARTED else [state])


def test_a_failure_keeps_the_gateways_own_reason() -> None:
    told = job(JobDevice(G1, DeviceProgress.FAILED, "FAILED", "flash checksum"))
    (update,) = machine.judge_job(told, [going()], NOW, Rules())
    assert update.reason == "the gateway reported a failure: flash checksum"


def test_silence_for_45_minutes_is_overdue() -> None:
    told = job(JobDevice(G1, DeviceProgress.IN_PROGRESS))
    moving = going(state=TargetState.IN_PROGRESS)
    early = NOW + timedelta(minutes=44)
    assert machine.judge_job(told, [moving], early, Rules()) == ()
    (update,) = machine.judge_job(told, [moving], NOW + timedelta(minutes=45), Rules())
    assert (update.state, update.reason) == (TargetState.OVERDUE, "no result for 45 minutes")


def test_a_late_result_corrects_an_overdue_gateway() -> None:
    told = job(JobDevice(G1, DeviceProgress.SUCCEEDED))
    late = NOW + timedelta(hours=2)
    (update,) = machine.judge_job(told, [going(state=TargetState.OVERDUE)], late, Rules())
    assert update.state is TargetState.SUCCEEDED


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.CANCELED])
def test_a_job_that_ended_without_a_word_about_a_gateway_failed_it(status: JobStatus) -> None:
    (update,) = machine.judge_job(job(status=status), [going()], NOW, Rules())
    assert (update.state, update.reason) == (TargetState.FAILED, "the job ended without a result for it")


def test_a_job_that_was_refused_fails_only_those_still_waited_for() -> None:
    targets = [going(G1), going(G2, TargetState.SUCCEEDED), going(G3, TargetState.IN_PROGRESS)]
    assert [update.gateway_id for update in machine.fail_all(targets, "gone")] == [G1, G3]


def test_gateways_of_others_in_the_job_are_left_alone() -> None:
    told = job(JobDevice(G2, DeviceProgress.FAILED))
    assert machine.judge_job(told, [going(G1)], NOW, Rules()) == ()
