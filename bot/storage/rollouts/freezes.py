"""Freezes as rows, and the rollouts that they hold."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update

from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import Rollout, RolloutId
from bot.storage.db.engine import Transaction
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import freezes, rollouts
from bot.storage.rollouts.rollouts import GOING_ON, load


async def list_freezes(connection: Transaction) -> tuple[Freeze, ...]:
    found = await connection.execute(select(freezes).order_by(freezes.c.firmware_version))
    return tuple(_freeze(row) for row in found.all())


async def freeze_of(connection: Transaction, firmware_version: str) -> Freeze | None:
    """The freeze that holds this firmware, the one for everything first."""
    for freeze in await list_freezes(connection):
        if freeze.holds(firmware_version):
            return freeze
    return None


async def add_freeze(connection: Transaction, freeze: Freeze) -> bool:
    """False when it was frozen already; then who froze it first stands."""
    values = {
        "firmware_version": freeze.firmware_version,
        "by": freeze.by,
        "by_name": freeze.by_name,
        "reason": freeze.reason,
        "at": freeze.at,
    }
    insertion = insert_or_ignore(connection, freezes, values).returning(freezes.c.firmware_version)
    return (await connection.execute(insertion)).first() is not None


async def remove_freeze(connection: Transaction, firmware_version: str) -> Freeze | None:
    """The freeze that ended; None when it was not frozen."""
    this = freezes.c.firmware_version == firmware_version
    removed = (await connection.execute(delete(freezes).where(this).returning(freezes))).one_or_none()
    return None if removed is None else _freeze(removed)


async def lock_all(connection: Transaction) -> None:
    """Nobody else changes a rollout that goes on until the commit.

    First of all in a transaction that touches several: two of them then wait in one order.
    """
    lock = select(rollouts.c.id).where(rollouts.c.state.in_(GOING_ON)).order_by(rollouts.c.id)
    await connection.execute(lock.with_for_update())


async def held_by(connection: Transaction, freeze: Freeze) -> tuple[Rollout, ...]:
    """The rollouts that go on and that the freeze holds."""
    held = await list_held(connection, freeze)
    return tuple([await load(connection, rollout_id) for rollout_id in held])


async def list_held(connection: Transaction, freeze: Freeze) -> tuple[RolloutId, ...]:
    """The same by number, as it is at this moment."""
    going = await connection.execute(
        select(rollouts.c.id, rollouts.c.firmware_version)
        .where(rollouts.c.state.in_(GOING_ON))
        .order_by(rollouts.c.id)
    )
    return tuple(RolloutId(number) for number, version in going.all() if freeze.holds(version))


async def wake_all(connection: Transaction, now: datetime) -> None:
    """Has every rollout that goes on looked at by the next tick: a freeze came or went."""
    await connection.execute(update(rollouts).where(rollouts.c.state.in_(GOING_ON)).values(due_at=now))


def _freeze(row: Row[Any]) -> Freeze:
    return Freeze(row.firmware_version, row.by, row.by_name, row.reason, row.at)
