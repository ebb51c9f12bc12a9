"""Rollouts as rows: plans, rollouts and approvals. Their gateways are in ``rollout_targets.py``.

Every change of a rollout is conditional on the version that was read, so two clicks at once decide once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, or_, select, update

from bot.domain.errors import NotFound, Stale
from bot.domain.fleet import GatewayId
from bot.domain.plan import Plan, Target, TargetClass
from bot.domain.rollout import Approval, Decision, Rollout, RolloutId, RolloutState, TargetState
from bot.storage.engine import Transaction
from bot.storage.tables import plans, rollout_approvals, rollout_targets, rollouts

CHUNK = 1000  # rows in one statement


# ---- plans


async def save_plan(
    connection: Transaction,
    plan_id: str,
    plan: Plan,
    requester: str,
    channel: str | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keeps a drawn plan until it is requested or expires; forgets those that have expired."""
    await connection.execute(delete(plans).where(plans.c.expires_at < now - timedelta(days=1)))
    await connection.execute(
        insert(plans).values(
            id=plan_id,
            requester=requester,
            channel=channel,
            created_at=now,
            expires_at=expires_at,
            body=_plan_to_json(plan),
        )
    )


@dataclass(frozen=True, slots=True)
class SavedPlan:
    plan: Plan
    requester: str
    channel: str | None
    expires_at: datetime
    rollout_id: RolloutId | None


async def load_plan(connection: Transaction, plan_id: str) -> SavedPlan:
    """Raises NotFound when no such plan was drawn, or it has been forgotten."""
    row = (await connection.execute(select(plans).where(plans.c.id == plan_id))).one_or_none()
    if row is None:
        raise NotFound("I no longer have that plan. Run the update again for a new one.")
    return SavedPlan(
        _plan_from_json(row.body),
        row.requester,
        row.channel,
        row.expires_at,
        RolloutId(row.rollout_id) if row.rollout_id is not None else None,
    )


async def forget_plan(connection: Transaction, plan_id: str) -> None:
    await connection.execute(delete(plans).where(plans.c.id == plan_id, plans.c.rollout_id.is_(None)))


# ---- rollouts


async def create(connection: Transaction, plan_id: str, rollout: Rollout, plan: Plan) -> RolloutId:
    """Turns a plan into a rollout with all its targets. Raises Stale when it was requested already."""
    values = _rollout_values(rollout) | {
        "uid": rollout.uid,
        "requester": rollout.requester,
        "requester_name": rollout.requester_name,
        "channel": rollout.channel,
        "query": rollout.query,
        "model": rollout.model,
        "firmware_id": rollout.firmware_id,
        "firmware_version": rollout.firmware_version,
        "plan_hash": rollout.plan_hash,
        "approvals_needed": rollout.approvals_needed,
        "downgrades": rollout.downgrades,
        "created_at": rollout.created_at,
        "version": 1,
        "due_at": rollout.expires_at,
    }
    created = await connection.execute(insert(rollouts).values(values).returning(rollouts.c.id))
    rollout_id = RolloutId(created.scalar_one())
    taken = await connection.execute(
        update(plans).where(plans.c.id == plan_id, plans.c.rollout_id.is_(None)).values(rollout_id=rollout_id)
    )
    if taken.rowcount != 1:
        raise Stale("That plan was requested a moment ago.")
    rows = [_target_values(rollout_id, target) for target in plan.targets]
    for start in range(0, len(rows), CHUNK):
        await connection.execute(insert(rollout_targets), rows[start : start + CHUNK])
    return rollout_id


async def load(connection: Transaction, rollout_id: RolloutId, *, to_change: bool = False) -> Rollout:
    """Raises NotFound when there is no such rollout.

    ``to_change`` waits for whoever else is changing it, so that the loser of two clicks reads who won.
    """
    query = select(rollouts).where(rollouts.c.id == rollout_id)
    row = (await connection.execute(query.with_for_update() if to_change else query)).one_or_none()
    if row is None:
        raise NotFound(f"There is no rollout R-{rollout_id}. /mesh rollouts lists them.")
    return _rollout(row, await _approvals(connection, [rollout_id]))


async def load_many(connection: Transaction, limit: int, offset: int) -> tuple[tuple[Rollout, ...], int]:
    """Those that still go on first, then the newest; and how many there are."""
    going_on = rollouts.c.state.in_([RolloutState.REQUESTED.value, RolloutState.RUNNING.value])
    rows = (
        await connection.execute(
            select(rollouts).order_by(going_on.desc(), rollouts.c.id.desc()).limit(limit).offset(offset)
        )
    ).all()
    total = (await connection.execute(select(func.count()).select_from(rollouts))).scalar_one()
    approvals = await _approvals(connection, [RolloutId(row.id) for row in rows])
    return tuple(_rollout(row, approvals) for row in rows), total


async def save(connection: Transaction, before: Rollout, after: Rollout, due_at: datetime | None) -> None:
    """Writes a decision. Raises Stale when somebody else's was written since ``before`` was read."""
    changed = await connection.execute(
        update(rollouts)
        .where(rollouts.c.id == before.id, rollouts.c.version == before.version)
        .values(_rollout_values(after) | {"version": before.version + 1, "due_at": due_at})
    )
    if changed.rowcount != 1:
        raise Stale(f"{before.title} changed a moment ago. Look at it again before you decide.")
    known = {approval.user_id: approval for approval in before.approvals}
    for approval in after.approvals:
        if known.get(approval.user_id) != approval:
            await connection.execute(
                delete(rollout_approvals).where(
                    rollout_approvals.c.rollout_id == before.id,
                    rollout_approvals.c.user_id == approval.user_id,
                )
            )
            await connection.execute(
                insert(rollout_approvals).values(
                    rollout_id=before.id,
                    user_id=approval.user_id,
                    name=approval.name,
                    decision=approval.decision.value,
                    plan_hash=approval.plan_hash,
                    at=approval.at,
                    reason=approval.reason,
                )
            )


async def claim_due(
    connection: Transaction, now: datetime, lease: timedelta, limit: int = 10
) -> tuple[RolloutId, ...]:
    """Claims rollouts that are due and that no other process holds; the lease frees them after a crash."""
    free = or_(rollouts.c.lease_until.is_(None), rollouts.c.lease_until <= now)
    due = rollouts.c.due_at <= now
    found = await connection.execute(
        select(rollouts.c.id).where(due, free).order_by(rollouts.c.due_at).limit(limit)
    )
    claimed = []
    for rollout_id in found.scalars().all():
        got = await connection.execute(
            update(rollouts).where(rollouts.c.id == rollout_id, due, free).values(lease_until=now + lease)
        )
        if got.rowcount == 1:
            claimed.append(RolloutId(rollout_id))
    return tuple(claimed)


async def release(connection: Transaction, rollout_id: RolloutId, due_at: datetime | None) -> None:
    """Gives the claim back and says when the rollout is due again, unless a decision said so meanwhile."""
    running = rollouts.c.state.in_([RolloutState.REQUESTED.value, RolloutState.RUNNING.value])
    await connection.execute(
        update(rollouts).where(rollouts.c.id == rollout_id, running).values(due_at=due_at)
    )
    await connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(lease_until=None))


# ---- rows


async def _approvals(
    connection: Transaction, rollout_ids: Sequence[RolloutId]
) -> dict[int, tuple[Approval, ...]]:
    found = await connection.execute(
        select(rollout_approvals)
        .where(rollout_approvals.c.rollout_id.in_(rollout_ids))
        .order_by(rollout_approvals.c.at)
    )
    approvals: dict[int, tuple[Approval, ...]] = {}
    for row in found.all():
        approval = Approval(row.user_id, row.name, Decision(row.decision), row.plan_hash, row.at, row.reason)
        approvals[row.rollout_id] = (*approvals.get(row.rollout_id, ()), approval)
    return approvals


def _rollout(row: Row[Any], approvals: Mapping[int, tuple[Approval, ...]]) -> Rollout:
    return Rollout(
        id=RolloutId(row.id),
        uid=row.uid,
        state=RolloutState(row.state),
        version=row.version,
        requester=row.requester,
        requester_name=row.requester_name,
        channel=row.channel,
        query=row.query,
        model=row.model,
        firmware_id=row.firmware_id,
        firmware_version=row.firmware_version,
        plan_hash=row.plan_hash,
        approvals_needed=row.approvals_needed,
        downgrades=row.downgrades,
        created_at=row.created_at,
        expires_at=row.expires_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        reason=row.reason,
        approvals=approvals.get(row.id, ()),
    )


def _rollout_values(rollout: Rollout) -> dict[str, Any]:
    """The columns that a decision may change."""
    return {
        "state": rollout.state.value,
        "expires_at": rollout.expires_at,
        "started_at": rollout.started_at,
        "finished_at": rollout.finished_at,
        "reason": rollout.reason,
    }


def _target_values(rollout_id: RolloutId, target: Target) -> dict[str, Any]:
    return {
        "rollout_id": rollout_id,
        "gateway_id": target.gateway_id,
        "label": target.label,
        "site": target.site,
        "model": target.model,
        "firmware_before": target.firmware,
        "cls": target.cls.value,
        "wave": target.wave,
        "state": (TargetState.WAITING if target.wave else TargetState.EXCLUDED).value,
        "reason": None if target.wave else target.cls.value,
    }


def _plan_to_json(plan: Plan) -> dict[str, Any]:
    return {
        "query": plan.query,
        "firmware_id": plan.firmware_id,
        "model": plan.model,
        "version": plan.version,
        "waves": plan.waves,
        "approvals_needed": plan.approvals_needed,
        "fleet_size": plan.fleet_size,
        "hash": plan.hash,
        "targets": [
            [
                target.gateway_id,
                target.label,
                target.site,
                target.model,
                target.firmware,
                target.cls.value,
                target.wave,
                target.downgrade,
            ]
            for target in plan.targets
        ],
    }


def _plan_from_json(body: Mapping[str, Any]) -> Plan:
    return Plan(
        query=body["query"],
        firmware_id=body["firmware_id"],
        model=body["model"],
        version=body["version"],
        targets=tuple(
            Target(GatewayId(gateway_id), label, site, model, firmware, TargetClass(cls), wave, downgrade)
            for gateway_id, label, site, model, firmware, cls, wave, downgrade in body["targets"]
        ),
        waves=tuple(body["waves"]),
        approvals_needed=body["approvals_needed"],
        fleet_size=body["fleet_size"],
        hash=body["hash"],
    )
