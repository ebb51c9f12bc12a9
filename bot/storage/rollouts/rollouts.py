"""Rollouts as rows: plans, rollouts, approvals, timelines and freezes; gateways are in ``rollout_targets``.

Every change of a rollout is conditional on the version that was read, so two clicks at once decide once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update

from bot.domain.errors import NotFound, Stale
from bot.domain.firmware import Firmware, FirmwareId
from bot.domain.gateways import GatewayId
from bot.domain.rollouts.approvals import remind_at
from bot.domain.rollouts.lifecycle import (
    Approval,
    Decision,
    Rollout,
    RolloutId,
    RolloutState,
    TargetClass,
    TargetState,
)
from bot.domain.rollouts.plan import Plan, Target
from bot.domain.times.retention import KEPT
from bot.storage.db import leases
from bot.storage.db.engine import Database, Transaction
from bot.storage.db.leases import is_free, is_held, taken
from bot.storage.db.tables import plans, rollout_approvals, rollout_events, rollout_targets, rollouts
from bot.storage.db.unreadable_rows import legible, legible_rows
from bot.storage.rollouts.targets import CHUNK

GOING_ON = [state.value for state in RolloutState if not state.is_final]


# ---- plans


async def save_plan(
    connection: Transaction,
    plan_id: str,
    plan: Plan,
    requester: str,
    channel: str | None,
    start_at: datetime | None,
    now: datetime,
    expires_at: datetime,
    *,
    maintenance: int | None = None,
) -> None:
    """Keeps a drawn plan until some time after it has expired."""
    await connection.execute(
        insert(plans).values(
            id=plan_id,
            requester=requester,
            channel=channel,
            created_at=now,
            expires_at=expires_at,
            start_at=start_at,
            maintenance_id=maintenance,
            body=_plan_to_json(plan),
        )
    )


@dataclass(frozen=True, slots=True)
class SavedPlan:
    plan: Plan
    requester: str
    channel: str | None
    start_at: datetime | None
    expires_at: datetime
    rollout_id: RolloutId | None
    maintenance: int | None = None  # the window in which alone it starts gateways


async def load_plan(connection: Transaction, plan_id: str) -> SavedPlan:
    """Raises NotFound when no such plan was drawn, or it has been forgotten."""
    row = (await connection.execute(select(plans).where(plans.c.id == plan_id))).one_or_none()
    if row is None:
        raise NotFound("I no longer have that plan. Run the update again for a new one.")
    return SavedPlan(
        _plan_from_json(row.body),
        row.requester,
        row.channel,
        row.start_at,
        row.expires_at,
        RolloutId(row.rollout_id) if row.rollout_id is not None else None,
        row.maintenance_id,
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
        "firmware_id": rollout.firmware.id,
        "firmware_version": rollout.firmware_version,
        "file_name": rollout.firmware.file_name,
        "file_at": rollout.firmware.created_at,
        "file_size": rollout.firmware.size,
        "file_checksum": rollout.firmware.checksum,
        "plan_hash": rollout.plan_hash,
        "planned": rollout.planned,
        "approvals_needed": rollout.approvals_needed,
        "downgrades": rollout.downgrades,
        "created_at": rollout.created_at,
        "version": 1,
        "due_at": remind_at(rollout),
    }
    created = await connection.execute(insert(rollouts).values(values).returning(rollouts.c.id))
    rollout_id = RolloutId(created.scalar_one())
    taken = await connection.execute(
        update(plans).where(plans.c.id == plan_id, plans.c.rollout_id.is_(None)).values(rollout_id=rollout_id)
    )
    if taken.rowcount != 1:
        raise Stale("That plan was requested a moment ago.")
    awaited = {target.gateway_id for target in plan.awaited}
    rows = [
        _target_values(rollout_id, target, is_awaited=target.gateway_id in awaited) for target in plan.targets
    ]
    for start in range(0, len(rows), CHUNK):
        await connection.execute(insert(rollout_targets), rows[start : start + CHUNK])
    return rollout_id


async def load(connection: Transaction, rollout_id: RolloutId, *, to_change: bool = False) -> Rollout:
    """Raises NotFound when there is no such rollout.

    ``to_change`` waits for whoever else is changing it, so that the loser of two clicks reads who won.
    """
    query = _with_last_event().where(rollouts.c.id == rollout_id)
    row = (await connection.execute(query.with_for_update(of=rollouts) if to_change else query)).one_or_none()
    if row is None:
        raise await _unknown(connection, rollout_id)
    return _rollout(row, await _approvals(connection, [rollout_id]))


async def _unknown(connection: Transaction, rollout_id: RolloutId) -> NotFound:
    """Numbers are given in order, and the newest rollout is always kept."""
    newest = (await connection.execute(select(func.max(rollouts.c.id)))).scalar()
    if 0 < rollout_id < (newest or 0):
        return NotFound(
            f"R-{rollout_id} is no longer kept: a rollout is forgotten {KEPT.days} days after its end. "
            "/mesh rollouts lists those that are kept."
        )
    return NotFound(f"There is no rollout R-{rollout_id}. /mesh rollouts lists them.")


async def load_many(connection: Transaction, limit: int, offset: int) -> tuple[tuple[Rollout, ...], int]:
    """Those that still go on first, then the newest; and how many there are."""
    going_on = rollouts.c.state.in_(GOING_ON)
    rows = legible_rows(
        await connection.execute(
            _with_last_event().order_by(going_on.desc(), rollouts.c.id.desc()).limit(limit).offset(offset)
        )
    )
    total = (await connection.execute(select(func.count()).select_from(rollouts))).scalar_one()
    approvals = await _approvals(connection, [RolloutId(row.id) for row in rows])
    return tuple(legible(rows, lambda row: _rollout(row, approvals))), total


async def count_going_on(connection: Transaction) -> Mapping[RolloutState, int]:
    """Those that are not over, by state."""
    state = rollouts.c.state
    found = await connection.execute(
        select(state, func.count()).where(state.in_(GOING_ON)).group_by(state).order_by(state)
    )
    return {RolloutState(one): number for one, number in found.all()}


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
    connection: Transaction, owner: str, now: datetime, limit: int = 10
) -> tuple[RolloutId, ...]:
    """Claims rollouts that are due and that no other process holds; the lease frees them after a crash."""
    free = is_free(rollouts, now)
    due = rollouts.c.due_at <= now
    found = await connection.execute(
        select(rollouts.c.id).where(due, free).order_by(rollouts.c.due_at).limit(limit)
    )
    claimed = []
    for rollout_id in sorted(found.scalars().all()):  # in the order of ``lock_all``: nobody waits in a circle
        got = await connection.execute(
            update(rollouts).where(rollouts.c.id == rollout_id, due, free).values(taken(owner, now))
        )
        if got.rowcount == 1:
            claimed.append(RolloutId(rollout_id))
    return tuple(claimed)


def kept(
    database: Database, rollout_id: RolloutId, owner: str, now: Callable[[], datetime]
) -> AbstractAsyncContextManager[None]:
    """Renews the claim while it is worked on."""
    return leases.kept(database, rollouts.c.id == rollout_id, rollouts, owner, now)


async def release(
    connection: Transaction,
    rollout_id: RolloutId,
    owner: str,
    seen_version: int | None,
    due_at: datetime | None,
) -> None:
    """Gives the claim back and says when the rollout is due again, unless a decision said so meanwhile.

    It stays due where nobody read it, and so saw no version.
    Nothing where the lease ran out and another process has it.
    """
    mine = update(rollouts).where(rollouts.c.id == rollout_id, is_held(rollouts, owner))
    await connection.execute(mine.where(rollouts.c.version == seen_version).values(due_at=due_at))
    await connection.execute(mine.values(lease_until=None))


# ---- rows


def _with_last_event() -> Select[Any]:
    """In one statement, so that the state and the number are of one moment."""
    newest = select(func.max(rollout_events.c.id)).where(rollout_events.c.rollout_id == rollouts.c.id)
    return select(rollouts, func.coalesce(newest.scalar_subquery(), 0).label("last_event"))


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
        firmware=Firmware(
            FirmwareId(row.firmware_id),
            row.model,
            row.firmware_version,
            row.file_name,
            row.file_at,
            size=row.file_size,
            checksum=row.file_checksum,
        ),
        plan_hash=row.plan_hash,
        planned=row.planned,
        approvals_needed=row.approvals_needed,
        downgrades=row.downgrades,
        created_at=row.created_at,
        expires_at=row.expires_at,
        start_at=row.start_at,
        wait_for=timedelta(seconds=row.wait_seconds),
        maintenance=row.maintenance_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        wave=row.wave,
        wave_settled_at=row.wave_settled_at,
        gate_from=row.gate_from,
        reason=row.reason,
        paused_by=row.paused_by,
        held=row.held,
        through_freeze=row.through_freeze,
        bad=row.bad,
        reminded=row.reminded,
        approvals=approvals.get(row.id, ()),
        last_event=row.last_event,
    )


def _rollout_values(rollout: Rollout) -> dict[str, Any]:
    """The columns that a decision may change."""
    return {
        "state": rollout.state.value,
        "expires_at": rollout.expires_at,
        "start_at": rollout.start_at,
        "wait_seconds": int(rollout.wait_for.total_seconds()),
        "maintenance_id": rollout.maintenance,
        "started_at": rollout.started_at,
        "finished_at": rollout.finished_at,
        "wave": rollout.wave,
        "wave_settled_at": rollout.wave_settled_at,
        "gate_from": rollout.gate_from,
        "reason": rollout.reason,
        "paused_by": rollout.paused_by,
        "held": rollout.held,
        "through_freeze": rollout.through_freeze,
        "bad": rollout.bad,
        "reminded": rollout.reminded,
    }


def _target_values(rollout_id: RolloutId, target: Target, *, is_awaited: bool) -> dict[str, Any]:
    state = TargetState.WAITING if target.wave else TargetState.AWAY if is_awaited else TargetState.EXCLUDED
    return {
        "rollout_id": rollout_id,
        "gateway_id": target.gateway_id,
        "label": target.label,
        "site": target.site,
        "model": target.model,
        "firmware_before": target.firmware,
        "cls": target.cls.value,
        "wave": target.wave,
        "state": state.value,
        "reason": None if target.wave else target.cls.value,
    }


def _plan_to_json(plan: Plan) -> dict[str, Any]:
    return {
        "query": plan.query,
        "firmware": dict(plan.firmware.marks),
        "waves": plan.waves,
        "approvals_needed": plan.approvals_needed,
        "fleet_size": plan.fleet_size,
        "hash": plan.hash,
        "bad": plan.bad,
        "wait_for": plan.wait_for.total_seconds(),
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
    file = body["firmware"]
    return Plan(
        query=body["query"],
        firmware=Firmware(
            FirmwareId(file["id"]),
            file["model"],
            file["version"],
            file["name"] or None,
            datetime.fromisoformat(file["time"]) if file["time"] else None,
            size=file["size"] or None,
            checksum=file["checksum"] or None,
        ),
        targets=tuple(
            Target(GatewayId(gateway_id), label, site, model, firmware, TargetClass(cls), wave, downgrade)
            for gateway_id, label, site, model, firmware, cls, wave, downgrade in body["targets"]
        ),
        waves=tuple(body["waves"]),
        approvals_needed=body["approvals_needed"],
        fleet_size=body["fleet_size"],
        hash=body["hash"],
        bad=body["bad"],
        wait_for=timedelta(seconds=body["wait_for"]),
    )
