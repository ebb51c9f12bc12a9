"""A rollout's gateways that may be tried again, or follow, inside its approval; and who is left alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, true, update

from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts.lifecycle import FAILURES, Rollout, RolloutId, TargetClass, TargetState
from bot.domain.rollouts.plan import QUARANTINE, QUARANTINE_AFTER
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import gateway_claims, gateways, rollout_targets
from bot.storage.query import runs, would_go_back
from bot.storage.rollouts.targets import CHUNK

targets = rollout_targets.c
_FAILED = targets.state.in_([state.value for state in FAILURES])


async def quarantined(connection: Transaction, now: datetime) -> frozenset[str]:
    """Gateways that failed too often lately; they are left alone for a day."""
    found = await connection.execute(
        select(targets.gateway_id)
        .where(targets.settled_at > now - QUARANTINE, targets.failures > 0)
        .group_by(targets.gateway_id)
        .having(func.sum(targets.failures) >= QUARANTINE_AFTER)
    )
    return frozenset(found.scalars().all())


async def failed_and_online(
    connection: Transaction, rollout: Rollout, now: datetime
) -> tuple[GatewayId, ...]:
    """Those that failed and can be tried again."""
    return await _able(connection, rollout, _FAILED, now, timedelta())


async def skipped_and_back(
    connection: Transaction, rollout: Rollout, now: datetime, stable_for: timedelta
) -> tuple[GatewayId, ...]:
    """Those that were offline when it was their turn, and have been back for so long."""
    offline_then = or_(
        targets.state == TargetState.SKIPPED.value,
        and_(targets.state == TargetState.EXCLUDED.value, targets.cls == TargetClass.OFFLINE.value),
    )
    return await _able(connection, rollout, offline_then, now, stable_for)


async def _able(
    connection: Transaction,
    rollout: Rollout,
    which: ColumnElement[bool],
    now: datetime,
    stable_for: timedelta,
) -> tuple[GatewayId, ...]:
    """Online for so long, free, not left alone, and on an older version unless an admin let some go back."""
    found = await connection.execute(
        select(targets.gateway_id)
        .select_from(
            rollout_targets.join(gateways, gateways.c.id == targets.gateway_id).outerjoin(
                gateway_claims, gateway_claims.c.gateway_id == targets.gateway_id
            )
        )
        .where(
            targets.rollout_id == rollout.id,
            which,
            gateways.c.state == Connectivity.ONLINE.value,
            gateways.c.since <= now - stable_for,
            ~runs(rollout.firmware_version),
            true() if rollout.downgrades else ~would_go_back(rollout.firmware_version),
            gateway_claims.c.rollout_id.is_(None),
        )
        .order_by(targets.gateway_id)
    )
    able = [GatewayId(gateway) for gateway in found.scalars().all()]
    left_alone = await quarantined(connection, now) if able else frozenset()
    return tuple(gateway for gateway in able if gateway not in left_alone)


async def retry(connection: Transaction, rollout_id: RolloutId, gateway_ids: Sequence[str]) -> int:
    """Has failed targets wait for another attempt in the wave that they belong to."""
    return await _wait(connection, rollout_id, gateway_ids, _FAILED)


async def put_into_wave(
    connection: Transaction, rollout_id: RolloutId, gateway_ids: Sequence[str], wave: int
) -> int:
    """Has gateways that were offline start in this wave."""
    aside = (TargetState.EXCLUDED, TargetState.SKIPPED, TargetState.AWAY)
    skipped = targets.state.in_([state.value for state in aside])
    return await _wait(connection, rollout_id, gateway_ids, skipped, wave=wave, reason=None)


async def _wait(
    connection: Transaction,
    rollout_id: RolloutId,
    gateway_ids: Sequence[str],
    which: ColumnElement[bool],
    **changes: object,
) -> int:
    changed = 0
    for start in range(0, len(gateway_ids), CHUNK):
        done = await connection.execute(
            update(rollout_targets)
            .where(
                targets.rollout_id == rollout_id,
                targets.gateway_id.in_(gateway_ids[start : start + CHUNK]),
                which,
            )
            .values(state=TargetState.WAITING.value, batch_id=None, settled_at=None, **changes)
        )
        changed += done.rowcount
    return changed
