"""Firmware rollouts: who decides on them and what becomes of each gateway. A pure state machine.

``now`` is always an argument; nothing here knows the vendor's wire, the database or Slack.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType

from bot.domain.access import Action, Actor, Role, require
from bot.domain.errors import InvalidInput, NotAllowed, Stale
from bot.domain.firmware import DeviceProgress, JobStatus, VendorJob
from bot.domain.fleet import GatewayId
from bot.domain.plan import Plan, Rules

RolloutId = NewType("RolloutId", int)


class RolloutState(StrEnum):
    """Where a rollout is. All but ``REQUESTED`` and ``RUNNING`` are final."""

    REQUESTED = "requested"
    RUNNING = "running"
    FINISHED = "finished"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        return self not in {RolloutState.REQUESTED, RolloutState.RUNNING}


class TargetState(StrEnum):
    """What became of a gateway in a rollout."""

    EXCLUDED = "excluded"
    WAITING = "waiting"
    STARTED = "started"  # it is in a vendor job, or about to be
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OVERDUE = "overdue"  # silence counts as failure; a late result still corrects it

    @property
    def is_settled(self) -> bool:
        """Whether the rollout no longer waits for it."""
        return self in {
            TargetState.EXCLUDED,
            TargetState.SUCCEEDED,
            TargetState.FAILED,
            TargetState.OVERDUE,
        }


class Decision(StrEnum):
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Approval:
    user_id: str
    name: str
    decision: Decision
    plan_hash: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A requested rollout, without its targets."""

    id: RolloutId
    uid: str
    state: RolloutState
    version: int
    requester: str
    requester_name: str
    channel: str | None
    query: str
    model: str
    firmware_id: str
    firmware_version: str
    plan_hash: str
    approvals_needed: int
    downgrades: int
    created_at: datetime
    expires_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    approvals: tuple[Approval, ...] = field(default=())

    @property
    def title(self) -> str:
        return f"R-{self.id}"

    @property
    def approvals_missing(self) -> int:
        given = sum(approval.decision is Decision.APPROVED for approval in self.approvals)
        return max(self.approvals_needed - given, 0)


@dataclass(frozen=True, slots=True)
class TargetProgress:
    """A target as the rollout goes: enough to decide on, nothing to show."""

    gateway_id: GatewayId
    wave: int
    state: TargetState
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TargetUpdate:
    """What is new about a target."""

    gateway_id: GatewayId
    state: TargetState
    reason: str | None = None


# ---- decisions of people


def check_request(plan: Plan, actor: Actor) -> None:
    """Raises NotAllowed without the role, InvalidInput when the plan has nobody to update."""
    require(actor, Action.REQUEST)
    if not plan.eligible:
        raise InvalidInput(
            f"None of the {len(plan.targets)} matching gateways can be updated to {plan.version} now, "
            "so there is nothing to request. The plan says why for each class."
        )


def approve(rollout: Rollout, actor: Actor, now: datetime, rules: Rules) -> Rollout:
    """The rollout after this approval: running once enough people approved, else still waiting.

    Raises NotAllowed for a missing role, for the requester, and for a downgrade by anyone but an admin;
    Stale when it was decided, has expired, or this person approved already.
    """
    require(actor, Action.APPROVE)
    _must_wait_for_approval(rollout, now)
    if actor.user_id == rollout.requester and not rules.self_approval:
        raise NotAllowed(
            f"You requested {rollout.title}, so somebody else has to approve it. "
            f"Approvers: {actor.holders.get(Role.APPROVER) or 'nobody has that role yet'}."
        )
    if rollout.downgrades and actor.role < Role.ADMIN:
        raise NotAllowed(
            f"{rollout.title} takes gateways back to an older firmware, so only an admin's approval counts. "
            f"Admins: {actor.holders.get(Role.ADMIN) or 'nobody has that role yet'}."
        )
    if any(approval.user_id == actor.user_id for approval in rollout.approvals):
        raise Stale(f"You approved {rollout.title} already; it needs somebody else's approval as well.")
    approval = Approval(actor.user_id, actor.name, Decision.APPROVED, rollout.plan_hash, now)
    approved = replace(rollout, approvals=(*rollout.approvals, approval))
    return approved if approved.approvals_missing else start(approved, now)


def deny(rollout: Rollout, actor: Actor, reason: str, now: datetime) -> Rollout:
    """A denial wins over any approvals. Raises as ``approve`` does, and InvalidInput without a reason."""
    require(actor, Action.DENY)
    _must_wait_for_approval(rollout, now)
    if not reason.strip():
        raise InvalidInput("Please say why, so that the requester knows what to change.")
    denial = Approval(actor.user_id, actor.name, Decision.DENIED, rollout.plan_hash, now, reason.strip())
    return replace(
        rollout,
        state=RolloutState.DENIED,
        approvals=(*(kept for kept in rollout.approvals if kept.user_id != actor.user_id), denial),
        finished_at=now,
        reason=reason.strip(),
    )


def cancel(rollout: Rollout, actor: Actor, now: datetime) -> Rollout:
    """The requester, or an admin, withdraws a rollout that nobody decided yet."""
    require(actor, Action.CANCEL)
    _must_wait_for_approval(rollout, now)
    if actor.user_id != rollout.requester and actor.role < Role.ADMIN:
        raise NotAllowed(
            f"Only {rollout.requester_name}, who requested {rollout.title}, or an admin can withdraw it. "
            "An approver can deny it."
        )
    return replace(rollout, state=RolloutState.CANCELED, finished_at=now, reason=f"withdrawn by {actor.name}")


def expire(rollout: Rollout, now: datetime) -> Rollout:
    """Nobody decided in time: an approval must not hang for ever."""
    if rollout.state is not RolloutState.REQUESTED or now < rollout.expires_at:
        return rollout
    return replace(rollout, state=RolloutState.EXPIRED, finished_at=now, reason="nobody decided in time")


def start(rollout: Rollout, now: datetime) -> Rollout:
    """From here on gateways may be started."""
    return replace(rollout, state=RolloutState.RUNNING, started_at=now)


def _must_wait_for_approval(rollout: Rollout, now: datetime) -> None:
    if rollout.state is RolloutState.REQUESTED and now < rollout.expires_at:
        return
    if rollout.state is RolloutState.REQUESTED or rollout.state is RolloutState.EXPIRED:
        raise Stale(
            f"{rollout.title} has expired: nobody decided in time. Run the update again for a new plan."
        )
    raise Stale(f"{decided_how(rollout)} There is nothing left to decide.")


def decided_how(rollout: Rollout) -> str:
    """Who decided a rollout, as a sentence of plain text."""
    if rollout.state is RolloutState.CANCELED:
        return f"{rollout.title} was {rollout.reason}."
    last = rollout.approvals[-1] if rollout.approvals else None
    if last is None:
        return f"{rollout.title} is {rollout.state.value}."
    return f"{last.name} {last.decision.value} {rollout.title} a moment ago."


# ---- the course of a rollout


@dataclass(frozen=True, slots=True)
class Start:
    """The waiting gateways of this wave go into the vendor's next jobs."""

    wave: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to start now."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Every target is settled."""


Step = Start | Wait | Finish
Counts = Mapping[tuple[int, TargetState], int]  # gateways by wave and state


def next_step(rollout: Rollout, counts: Counts) -> Step:
    """What a running rollout does next: the lowest unsettled wave goes on, the others wait for it."""
    if rollout.state is not RolloutState.RUNNING:
        return Wait()
    open_waves = {wave for (wave, state), count in counts.items() if count and not state.is_settled}
    if not open_waves:
        return Finish()
    wave = min(open_waves)
    return Start(wave) if counts.get((wave, TargetState.WAITING)) else Wait()


def batches(gateways: Sequence[GatewayId], rules: Rules) -> tuple[tuple[GatewayId, ...], ...]:
    """The gateways cut into vendor jobs."""
    return tuple(
        tuple(gateways[start : start + rules.batch]) for start in range(0, len(gateways), rules.batch)
    )


def job_name(rollout: Rollout, wave: int, number: int) -> str:
    """The vendor job's name. Its random part keeps a fresh database from mistaking an old job for its own."""
    return f"meshbot {rollout.title} w{wave} b{number} {rollout.uid}"


def judge_job(
    job: VendorJob, targets: Iterable[TargetProgress], now: datetime, rules: Rules
) -> tuple[TargetUpdate, ...]:
    """What the vendor's job says about our targets in it, and which of them have been silent for too long.

    A word that nobody knows is not an end. A gateway that failed says why; one that never finished is
    overdue, and a result that comes later corrects it.
    """
    told = {device.device_id: device for device in job.devices}
    updates: list[TargetUpdate] = []
    for target in targets:
        device = told.get(target.gateway_id)
        progress = device.progress if device else DeviceProgress.UNKNOWN
        details = device.details if device else None
        state, reason = _judge(progress, details, job.status, target, now, rules)
        if state is not target.state:
            updates.append(TargetUpdate(target.gateway_id, state, reason))
    return tuple(updates)


_FAILURES: Mapping[DeviceProgress, str] = {
    DeviceProgress.FAILED: "the gateway reported a failure",
    DeviceProgress.TIMED_OUT: "timed out",
    DeviceProgress.REJECTED: "the gateway refused the firmware",
    DeviceProgress.REMOVED: "removed from the job in the portal",
    DeviceProgress.CANCELED: "canceled in the portal",
}


def _judge(
    progress: DeviceProgress,
    details: str | None,
    job: JobStatus,
    target: TargetProgress,
    now: datetime,
    rules: Rules,
) -> tuple[TargetState, str | None]:
    if progress is DeviceProgress.SUCCEEDED:
        return TargetState.SUCCEEDED, None
    if progress in _FAILURES:
        words = _FAILURES[progress]
        return TargetState.FAILED, f"{words}: {details}" if details else words
    if job.terminal:
        return TargetState.FAILED, "the job ended without a result for it"
    if target.started_at is not None and now - target.started_at >= rules.overdue_after:
        minutes = int(rules.overdue_after.total_seconds() // 60)
        return TargetState.OVERDUE, f"no result for {minutes} minutes"
    if progress is DeviceProgress.IN_PROGRESS:
        return TargetState.IN_PROGRESS, None
    return target.state, None


def fail_all(targets: Iterable[TargetProgress], reason: str) -> tuple[TargetUpdate, ...]:
    """Every target that is not settled fails for one reason: its job was refused, or is gone."""
    return tuple(
        TargetUpdate(target.gateway_id, TargetState.FAILED, reason)
        for target in targets
        if not target.state.is_settled
    )
