"""Batches: one vendor job each, as an intent, a call and a result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update

from bot.domain.gateways import GatewayId
from bot.domain.rollouts.lifecycle import IN_FLIGHT, RolloutId, TargetState
from bot.storage.db.engine import Transaction
from bot.storage.db.statements import among
from bot.storage.db.tables import gateway_claims, rollout_batches, rollout_targets
from bot.storage.rollouts.in_flight import late_batches
from bot.storage.rollouts.targets import CHUNK


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
        chunk = members[start : start + CHUNK]
        await connection.execute(
            update(rollout_targets)
            .where(
                rollout_targets.c.rollout_id == rollout_id,
                rollout_targets.c.gateway_id.in_(chunk),
                rollout_targets.c.state == TargetState.WAITING.value,
            )
            .values(
                state=TargetState.STARTED.value,
                batch_id=batch_id,
                attempts=rollout_targets.c.attempts + 1,
                started_at=now,
                reported_at=None,
                offline_at=None,
                back_at=None,
                steady_since=None,
                reason=None,
                kind=None,
            )
        )
        await connection.execute(
            update(gateway_claims)
            .where(gateway_claims.c.gateway_id.in_(chunk), gateway_claims.c.rollout_id == rollout_id)
            .values(started_at=now)
        )


async def open_batches(connection: Transaction, rollout_id: RolloutId) -> tuple[Batch, ...]:
    """Batches whose job is yet to be created, still has gateways in flight, or may flash late ones."""
    in_flight = (
        select(rollout_targets.c.batch_id)
        .where(
            rollout_targets.c.rollout_id == rollout_id,
            rollout_targets.c.state.in_([state.value for state in IN_FLIGHT]),
        )
        .distinct()
    )
    found = await connection.execute(
        select(rollout_batches)
        .where(
            rollout_batches.c.rollout_id == rollout_id,
            rollout_batches.c.state.in_(["intended", "created", "canceled"]),
            rollout_batches.c.id.in_(in_flight) | rollout_batches.c.id.in_(late_batches(rollout_id)),
        )
        .order_by(rollout_batches.c.id)
    )
    return tuple(
        Batch(
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
        for row in found.all()
    )


async def is_intended(connection: Transaction, batch: Batch) -> bool:
    """Whether no other process has sent it, or taken it back, since it was read."""
    found = await connection.execute(
        select(rollout_batches.c.state, rollout_batches.c.called_at).where(rollout_batches.c.id == batch.id)
    )
    return tuple(found.one()) == ("intended", batch.called_at)


async def batch_members(connection: Transaction, batch_id: int) -> tuple[GatewayId, ...]:
    """The gateways that the batch's job is for."""
    found = await connection.execute(
        select(rollout_targets.c.gateway_id)
        .where(rollout_targets.c.batch_id == batch_id)
        .order_by(rollout_targets.c.gateway_id)
    )
    return tuple(GatewayId(gateway) for gateway in found.scalars().all())


async def mark_called(
    connection: Transaction, batch_id: int, members: Sequence[GatewayId], now: datetime
) -> None:
    """The call is about to be made: its gateways' time begins now, however long ago they were chosen."""
    await connection.execute(
        update(rollout_batches).where(rollout_batches.c.id == batch_id).values(called_at=now)
    )
    await connection.execute(
        update(rollout_targets).where(rollout_targets.c.batch_id == batch_id).values(started_at=now)
    )
    await _set_started(connection, members, now)


async def mark_not_called(connection: Transaction, batch_id: int) -> None:
    """It is certain that nothing reached the vendor."""
    await connection.execute(
        update(rollout_batches).where(rollout_batches.c.id == batch_id).values(called_at=None)
    )


async def take_back(connection: Transaction, batch_id: int, members: Sequence[GatewayId]) -> None:
    """There is no job, and there may be none now: its gateways wait again, as if never chosen."""
    await connection.execute(
        update(rollout_targets)
        .where(rollout_targets.c.batch_id == batch_id)
        .values(
            state=TargetState.WAITING.value,
            batch_id=None,
            started_at=None,
            attempts=rollout_targets.c.attempts - 1,
        )
    )
    await _set_started(connection, members, None)
    await close_batch(connection, batch_id, "taken back")


async def _set_started(connection: Transaction, members: Sequence[GatewayId], at: datetime | None) -> None:
    for start in range(0, len(members), CHUNK):
        await connection.execute(
            update(gateway_claims)
            .where(gateway_claims.c.gateway_id.in_(members[start : start + CHUNK]))
            .values(started_at=at)
        )


async def record_job(connection: Transaction, batch_id: int, job_id: str) -> None:
    """The result: the vendor has the job under this id."""
    await connection.execute(
        update(rollout_batches)
        .where(rollout_batches.c.id == batch_id)
        .values(state="created", vendor_job_id=job_id, error=None)
    )


async def close_batch(connection: Transaction, batch_id: int, state: str, error: str | None = None) -> None:
    """``refused``, ``taken back``: there is no job. ``canceled``: the vendor begins nothing more of it."""
    await connection.execute(
        update(rollout_batches).where(rollout_batches.c.id == batch_id).values(state=state, error=error)
    )


async def rollout_of_job(connection: Transaction, job_ids: Sequence[str]) -> Mapping[str, RolloutId]:
    """Which of the vendor's jobs are ours."""
    found = await connection.execute(
        select(rollout_batches.c.vendor_job_id, rollout_batches.c.rollout_id).where(
            among(connection, rollout_batches.c.vendor_job_id, job_ids)
        )
    )
    return {job_id: RolloutId(rollout_id) for job_id, rollout_id in found.all()}
