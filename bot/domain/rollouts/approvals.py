"""A rollout before it starts: how many approve it, who denies or withdraws it, and until when. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.access import Action, Actor, Role, refused, require
from bot.domain.errors import InvalidInput, Stale
from bot.domain.rollouts.lifecycle import (
    Approval,
    Decision,
    ReasonNeeded,
    Rollout,
    RolloutRules,
    RolloutState,
    begin,
)

SHARE_COUNTS_FROM = 20  # gateways in the fleet


def approve(
    rollout: Rollout,
    actor: Actor,
    now: datetime,
    rules: RolloutRules,
    override: str | None = None,
    held: str | None = None,
) -> Rollout:
    """The rollout after this approval: started or scheduled once enough people approved, else still waiting.

    ``override`` is an admin's typed reason to approve what they requested themselves, ``held`` what keeps it
    from being started now. Raises NotAllowed for a missing role, for the requester, and for a downgrade or a
    bad version by anyone but an admin; ReasonNeeded when an admin could override; Stale when it was decided,
    has expired, or this person approved already.
    """
    require(actor, Action.APPROVE)
    _must_wait_for_approval(rollout, now)
    own = actor.user_id == rollout.requester and not rules.self_approval
    if own and actor.role < Role.ADMIN:
        raise refused(
            actor,
            Action.OVERRIDE,
            f"You requested {rollout.title}, so somebody else has to approve it. "
            f"Approvers: {actor.holders.get(Role.APPROVER) or 'nobody has that role yet'}.",
        )
    if own and not (override or "").strip():
        raise ReasonNeeded(
            f"You requested {rollout.title} yourself. As an admin you may approve it all the same: say why. "
            "The card shows your reason."
        )
    if rollout.needs_admin and actor.role < Role.ADMIN:
        why = rollout.bad or f"{rollout.title} takes gateways back to an older firmware, or may"
        raise refused(
            actor,
            Action.OVERRIDE,
            f"{why}, so only an admin's approval counts. "
            f"Admins: {actor.holders.get(Role.ADMIN) or 'nobody has that role yet'}.",
        )
    if any(approval.user_id == actor.user_id for approval in rollout.approvals):
        raise Stale(f"You approved {rollout.title} already; it needs somebody else's approval as well.")
    reason = override.strip() if own and override else None
    approval = Approval(actor.user_id, actor.name, Decision.APPROVED, rollout.plan_hash, now, reason)
    approved = replace(rollout, approvals=(*rollout.approvals, approval))
    return approved if approved.approvals_missing else begin(approved, now, held)


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
    """The requester, or an admin, withdraws a rollout before it has started."""
    require(actor, Action.CANCEL)
    if rollout.state is not RolloutState.SCHEDULED:
        _must_wait_for_approval(rollout, now)
    if actor.user_id != rollout.requester and actor.role < Role.ADMIN:
        raise refused(
            actor,
            Action.OVERRIDE,
            f"Only {rollout.requester_name}, who requested {rollout.title}, or an admin can withdraw it. "
            "An approver can deny it.",
        )
    return replace(
        rollout,
        state=RolloutState.CANCELED,
        finished_at=now,
        reason=f"withdrawn by {actor.name}",
        held=None,
    )


def void(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """What was approved is not what would be done."""
    return replace(rollout, state=RolloutState.VOID, finished_at=now, reason=reason, held=None)


def drift_words(rollout: Rollout, changed: int) -> str:
    """Why one is void from whose plan the fleet drifted."""
    return f"{changed} of its {rollout.planned} gateways are missing, offline or changed since the plan"


def lost_words(rollout: Rollout, lost: Sequence[str]) -> str:
    """Why one is void that rests on the word of people who may not give it any more."""
    verb = "approve" if rollout.approvals_needed else "request"
    return f"{', '.join(lost)} may not {verb} it any more"


def expire(rollout: Rollout, now: datetime) -> Rollout:
    """Nobody decided in time: an approval must not hang for ever."""
    if rollout.state is not RolloutState.REQUESTED or now < rollout.expires_at:
        return rollout
    return replace(rollout, state=RolloutState.EXPIRED, finished_at=now, reason="nobody decided in time")


def remind_at(rollout: Rollout) -> datetime:
    """Half of the time has passed and nobody has decided."""
    return rollout.created_at + (rollout.expires_at - rollout.created_at) / 2


def _must_wait_for_approval(rollout: Rollout, now: datetime) -> None:
    if rollout.state is RolloutState.REQUESTED and now < rollout.expires_at:
        return
    if rollout.state in {RolloutState.REQUESTED, RolloutState.EXPIRED}:
        raise Stale(
            f"{rollout.title} has expired: nobody decided in time. Run the update again for a new plan."
        )
    raise Stale(f"{decided_how(rollout)} There is nothing left to decide.")


def decided_how(rollout: Rollout) -> str:
    """Who decided a rollout, as a sentence of plain text."""
    if rollout.state is RolloutState.CANCELED:
        return f"{rollout.title} was {rollout.reason}."
    if rollout.state is RolloutState.VOID:
        return f"{rollout.title} is void: {rollout.reason}."
    last = rollout.approvals[-1] if rollout.approvals else None
    if last is None:
        return f"{rollout.title} is {rollout.state.value}."
    return f"{last.name} {last.decision.value} {rollout.title} a moment ago."


def approval_is(rollout: Rollout, actor: Actor, rules: RolloutRules) -> Action:
    """What this actor's approval would be: only an admin approves their own, a downgrade, a bad version."""
    own = actor.user_id == rollout.requester and not rules.self_approval
    return Action.OVERRIDE if own or rollout.needs_admin else Action.APPROVE


def approvals_needed(eligible: int, fleet_size: int, rules: RolloutRules) -> int:
    """One more above so many gateways, or above a share of a fleet of ``SHARE_COUNTS_FROM`` or more.

    With no approvals asked for at all, the requester's own confirmation is enough at any size.
    """
    if rules.approvals == 0:
        return 0
    many = rules.second_above_gateways is not None and eligible > rules.second_above_gateways
    share = (
        rules.second_above_share is not None
        and fleet_size >= SHARE_COUNTS_FROM
        and eligible > round(rules.second_above_share * fleet_size, 6)  # 0.29 * 100 is a little less than 29
    )
    return rules.approvals + int(many or share)
