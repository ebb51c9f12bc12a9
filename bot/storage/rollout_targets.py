"""A rollout's gateways and its batches, one batch for each vendor job, as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, literal, select, update

from bot.domain.fleet import GatewayId
from bot.domain.plan import TargetClass
from bot.domain.rollout import Counts, RolloutId, TargetProgress, TargetState, TargetUpdate
from bot.storage.engine import Transaction
from bot.storage.tables import gateway_claims, gateways, rollout_batches, rollout_targets
from bot.storage.upsert import insert_or_ignore_selected

CHUNK = 1000  # rows in one statement


@dataclass(frozen=True, slots=True)
class Batch:
    """One vendor job: intended, and created once the vendor has told its id."""

    id: int
    rollout_id: RolloutId
    wave: int
    number: int
    name: str
    state: str
    vendor_job_id: str | None
    intended_at: datetime
    called_at: datetime | None


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target as it is shown."""

    gateway_id: GatewayId
    label: str
    site: str
    firmware_before: str | None
    cls: TargetClass
    wave: int
    state: TargetState
    reason: str | None
    started_at: datetime | None
    settled_at: datetime | None


# ---- targets


async def count_targets(connection: Transaction, rollout_id: RolloutId) -> Counts:
    """Gateways by wave and state; wave 0 holds those that take no part."""
    found = await connection.execute(
        select(rollout_targets.c.wave, rollout_targets.c.state, func.count())
        .where(rollout_targets.c.rollout_id == rollout_id)
        .group_by(rollout_targets.c.wave, rollout_targets.c.state)
    )
    return {(wave, TargetState(state)): count for wave, state, count in found.all()}


async def count_many(
    connection: Transaction, rollout_ids: Sequence[RolloutId]
) -> dict[RolloutId, dict[TargetState, int]]:
    """Gateways by state for several rollouts in one query."""
    found = await connection.execute(
        select(rollout_targets.c.rollout_id, rollout_targets.c.state, func.count())
        .where(rollout_targets.c.rollout_id.in_(rollout_ids))
        .group_by(rollout_targets.c.rollout_id, rollout_targets.c.state)
    )
    counts: dict[RolloutId, dict[TargetState, int]] = {rollout_id: {} for rollout_id in rollout_ids}
    for rollout_id, state, count in found.all():
        counts[RolloutId(rollout_id)][TargetState(state)] = count
    return counts


async def count_classes(connection: Transaction, rollout_id: RolloutId) -> dict[TargetClass, int]:
    found = await connection.execute(
        select(rollout_targets.c.cls, func.count())
        .where(rollout_targets.c.rollout_id == rollout_id)
        .group_by(rollout_targets.c.cls)
    )
    counts = {TargetClass(cls): count for cls, count in found.all()}
    return {cls: counts.get(cls, 0) for cls in TargetClass}


async def list_targets(
    connection: Transaction,
    rollout_id: RolloutId,
    states: Sequence[TargetState] | None = None,
    limit: int | None = None,
) -> tuple[TargetRow, ...]:
    """Targets as they are shown: failures first to be seen first, then by site and label."""
    query = select(rollout_targets).where(rollout_targets.c.rollout_id == rollout_id)
    if states is not None:
        query = query.where(rollout_targets.c.state.in_([state.value for state in states]))
    query = query.order_by(
        rollout_targets.c.settled_at,
        rollout_targets.c.site,
        rollout_targets.c.label,
        rollout_targets.c.gateway_id,
    )
    rows = (await connection.execute(query.limit(limit) if limit is not None else query)).all()
    return tuple(_target_row(row) for row in rows)


async def claim_gateways(connection: Transaction, rollout_id: RolloutId) -> tuple[tuple[GatewayId, str], ...]:
    """Takes the waiting targets for this rollout alone; returns those it could not have, with the reason.

    One rollout at a time for a gateway: the primary key of the claims decides, whoever asks at once. A
    gateway that left the fleet since the plan was drawn cannot be had either.
    """
    waiting = select(rollout_targets.c.gateway_id).where(
        rollout_targets.c.rollout_id == rollout_id, rollout_targets.c.state == TargetState.WAITING.value
    )
    here = (
        select(rollout_targets.c.gateway_id, literal(rollout_id))
        .where(
            rollout_targets.c.rollout_id == rollout_id,
            rollout_targets.c.state == TargetState.WAITING.value,
            rollout_targets.c.gateway_id.in_(select(gateways.c.id)),
        )
        .order_by(rollout_targets.c.gateway_id)  # two rollouts that start at once wait in one order
    )
    await connection.execute(
        insert_or_ignore_selected(connection, gateway_claims, ["gateway_id", "rollout_id"], here)
    )
    mine = select(gateway_claims.c.gateway_id).where(gateway_claims.c.rollout_id == rollout_id)
    refused = await connection.execute(
        waiting.where(rollout_targets.c.gateway_id.not_in(mine))
        .outerjoin(gateway_claims, gateway_claims.c.gateway_id == rollout_targets.c.gateway_id)
        .add_columns(gateway_claims.c.rollout_id)
    )
    return tuple(
        (GatewayId(gateway), f"in rollout R-{other} meanwhile" if other else "no longer in the fleet")
        for gateway, other in refused.all()
    )


async def exclude_targets(
    connection: Transaction, rollout_id: RolloutId, refused: Sequence[tuple[GatewayId, str]]
) -> None:
    """Takes targets out before they were started, each with its reason."""
    if not refused:
        return
    await connection.execute(
        update(rollout_targets)
        .where(
            rollout_targets.c.rollout_id == bindparam("of_rollout"),
            rollout_targets.c.gateway_id == bindparam("of_gateway"),
        )
        .values(state=TargetState.EXCLUDED.value, wave=0, reason=bindparam("why")),
        [
            {"of_rollout": rollout_id, "of_gateway": gateway_id, "why": reason}
            for gateway_id, reason in refused
        ],
    )


async def free_gateways(connection: Transaction, rollout_id: RolloutId) -> None:
    """Lets go of every gateway that this rollout no longer waits for."""
    settled = select(rollout_targets.c.gateway_id).where(
        rollout_targets.c.rollout_id == rollout_id,
        rollout_targets.c.state.in_([state.value for state in TargetState if state.is_settled]),
    )
    await connection.execute(
        delete(gateway_claims).where(
            gateway_claims.c.rollout_id == rollout_id, gateway_claims.c.gateway_id.in_(settled)
        )
    )


async def update_targets(
    connection: Transaction, rollout_id: RolloutId, updates: Sequence[TargetUpdate], now: datetime
) -> None:
    """Writes what is new about targets; the clock of a settled one stops."""
    for start in range(0, len(updates), CHUNK):
        await connection.execute(
            update(rollout_targets)
            .where(
                rollout_targets.c.rollout_id == bindparam("of_rollout"),
                rollout_targets.c.gateway_id == bindparam("of_gateway"),
            )
            .values(state=bindparam("new_state"), reason=bindparam("why"), settled_at=bindparam("settled")),
            [
                {
                    "of_rollout": rollout_id,
                    "of_gateway": change.gateway_id,
                    "new_state": change.state.value,
                    "why": change.reason,
                    "settled": now if change.state.is_settled else None,
                }
                for change in updates[start : start + CHUNK]
            ],
        )


# ---- batches


async def waiting_gateways(
    connection: Transaction, rollout_id: RolloutId, wave: int
) -> tuple[GatewayId, ...]:
    found = await connection.execute(
        select(rollout_targets.c.gateway_id)
        .where(
            rollout_targets.c.rollout_id == rollout_id,
            rollout_targets.c.wave == wave,
            rollout_targets.c.state == TargetState.WAITING.value,
        )
        .order_by(rollout_targets.c.site, rollout_targets.c.gateway_id)
    )
    return tuple(GatewayId(gateway) for gateway in found.scalars().all())


async def next_batch_number(connection: Transaction, rollout_id: RolloutId, wave: int) -> int:
    last = await connection.execute(
        select(func.max(rollout_batches.c.number)).where(
            rollout_batches.c.rollout_id == rollout_id, rollout_batches.c.wave == wave
        )
    )
    return (last.scalar_one() or 0) + 1


async def intend_batch(
    connection: Transaction,
    rollout_id: RolloutId,
    wave: int,
    number: int,
    name: str,
    members: Sequence[GatewayId],
    now: datetime,
) -> None:
    """The intent: the batch's row, and its members leave the waiting ones, in one transaction."""
    created = await connection.execute(
        insert(rollout_batches)
        .values(rollout_id=rollout_id, wave=wave, number=number, name=name, state="intended", intended_at=now)
        .returning(rollout_batches.c.id)
    )
    batch_id = created.scalar_one()
    for start in range(0, len(members), CHUNK):
        await connection.execute(
            update(rollout_targets)
            .where(
                rollout_targets.c.rollout_id == rollout_id,
                rollout_targets.c.gateway_id.in_(members[start : start + CHUNK]),
                rollout_targets.c.state == TargetState.WAITING.value,
            )
            .values(state=TargetState.STARTED.value, batch_id=batch_id, started_at=now)
        )


async def open_batches(connection: Transaction, rollout_id: RolloutId) -> tuple[Batch, ...]:
    """Batches whose job is yet to be created, or still to be followed."""
    found = await connection.execute(
        select(rollout_batches)
        .where(
            rollout_batches.c.rollout_id == rollout_id, rollout_batches.c.state.in_(["intended", "created"])
        )
        .order_by(rollout_batches.c.wave, rollout_batches.c.number)
    )
    return tuple(_batch(row) for row in found.all())


async def batch_members(connection: Transaction, batch_id: int) -> tuple[TargetProgress, ...]:
    found = await connection.execute(
        select(
            rollout_targets.c.gateway_id,
            rollout_targets.c.wave,
            rollout_targets.c.state,
            rollout_targets.c.started_at,
        )
        .where(rollout_targets.c.batch_id == batch_id)
        .order_by(rollout_targets.c.gateway_id)
    )
    return tuple(
        TargetProgress(GatewayId(row.gateway_id), row.wave, TargetState(row.state), row.started_at)
        for row in found.all()
    )


async def mark_called(connection: Transaction, batch_id: int, now: datetime | None) -> None:
    """``now``: the call is about to be made. None: it is certain that nothing reached the vendor."""
    await connection.execute(
        update(rollout_batches).where(rollout_batches.c.id == batch_id).values(called_at=now)
    )


async def record_job(connection: Transaction, batch_id: int, job_id: str) -> None:
    """The result: the vendor has the job under this id."""
    await connection.execute(
        update(rollout_batches)
        .where(rollout_batches.c.id == batch_id)
        .values(state="created", vendor_job_id=job_id, error=None)
    )


async def close_batch(connection: Transaction, batch_id: int, state: str, error: str | None = None) -> None:
    """``refused``: there is no job. ``finished``: nothing more is expected of it."""
    await connection.execute(
        update(rollout_batches).where(rollout_batches.c.id == batch_id).values(state=state, error=error)
    )


async def rollout_of_job(connection: Transaction, job_ids: Sequence[str]) -> Mapping[str, RolloutId]:
    """Which of the vendor's jobs are ours."""
    found = await connection.execute(
        select(rollout_batches.c.vendor_job_id, rollout_batches.c.rollout_id).where(
            rollout_batches.c.vendor_job_id.in_(job_ids)
        )
    )
    return {job_id: RolloutId(rollout_id) for job_id, rollout_id in found.all()}


async def rollout_of_gateway(connection: Transaction, gateway_id: GatewayId) -> RolloutId | None:
    """The rollout that has the gateway now."""
    found = await connection.execute(
        select(gateway_claims.c.rollout_id).where(gateway_claims.c.gateway_id == gateway_id)
    )
    rollout_id = found.scalar_one_or_none()
    return None if rollout_id is None else RolloutId(rollout_id)


def _target_row(row: Row[Any]) -> TargetRow:
    return TargetRow(
        gateway_id=GatewayId(row.gateway_id),
        label=row.label,
        site=row.site,
        firmware_before=row.firmware_before,
        cls=TargetClass(row.cls),
        wave=row.wave,
        state=TargetState(row.state),
        reason=row.reason,
        started_at=row.started_at,
        settled_at=row.settled_at,
    )


def _batch(row: Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        rollout_id=RolloutId(row.rollout_id),
        wave=row.wave,
        number=row.number,
        name=row.name,
        state=row.state,
        vendor_job_id=row.vendor_job_id,
        intended_at=row.intended_at,
        called_at=row.called_at,
    )
