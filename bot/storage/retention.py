"""What ended long ago is forgotten with all that hangs on it, a part at a time, so that nobody waits for it.

A rollout or an incident may have a hundred thousand gateways: they go first, some in each transaction.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Select, delete, exists, func, select

from bot.domain.incident_kinds import LIVE
from bot.domain.rollouts.lifecycle import RolloutState
from bot.domain.times.retention import HEARD_KEPT, PLAN_KEPT
from bot.storage.cards.cards import CardKind
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import (
    cards,
    changed_people,
    firmware_policies,
    gateway_claims,
    heard,
    incident_gateways,
    incidents,
    maintenance,
    notes,
    plans,
    rollout_targets,
    rollouts,
    silences,
)

MOST = 2_000  # gateways forgotten in one transaction
_FINAL = [state.value for state in RolloutState if state.is_final]
_LIVE = [state.value for state in LIVE]


async def forget_at_once(connection: Transaction, before: datetime, now: datetime) -> None:
    """Silences, maintenance windows and firmware policies that had ended before then, plans that nobody can
    request, and changes that nobody waits for.
    """
    await connection.execute(delete(changed_people).where(changed_people.c.at < before))
    await connection.execute(delete(heard).where(heard.c.at < now - HEARD_KEPT))
    await connection.execute(delete(silences).where(silences.c.until < before))
    await connection.execute(delete(maintenance).where(maintenance.c.ended_at < before))
    await connection.execute(delete(firmware_policies).where(firmware_policies.c.ended_at < before))
    await connection.execute(delete(plans).where(plans.c.expires_at < now - PLAN_KEPT))


async def forget_rollouts(connection: Transaction, before: datetime, most: int = MOST) -> bool:
    """A part of one that had ended before then; False when there is none left."""
    return await _some(
        connection, CardKind.ROLLOUT, _rollouts_over(before), rollout_targets.c.rollout_id, most
    )


async def forget_incidents(connection: Transaction, before: datetime, most: int = MOST) -> bool:
    """As ``forget_rollouts``."""
    return await _some(
        connection, CardKind.INCIDENT, _incidents_over(before), incident_gateways.c.incident_id, most
    )


async def _some(
    connection: Transaction, kind: CardKind, over: Select[Any], of: Column[int], most: int
) -> bool:
    number = await _first(connection, over)
    if number is not None:
        await _forget(connection, kind, of, number, most)
    return number is not None


def _rollouts_over(before: datetime) -> Select[Any]:
    """Nothing is due in them, they hold no gateway, no live incident is theirs.

    The newest stays whatever its age: by it one can tell which numbers were given before.
    """
    theirs = exists().where(incidents.c.rollout_id == rollouts.c.id, incidents.c.state.in_(_LIVE))
    newer = rollouts.alias()
    return select(rollouts.c.id).where(
        rollouts.c.state.in_(_FINAL),
        rollouts.c.due_at.is_(None),
        func.coalesce(rollouts.c.finished_at, rollouts.c.created_at) < before,
        ~exists().where(gateway_claims.c.rollout_id == rollouts.c.id),
        ~theirs,
        exists().where(newer.c.id > rollouts.c.id),
    )


def _incidents_over(before: datetime) -> Select[Any]:
    """They are not live, and no silence that is kept was made from them."""
    return select(incidents.c.id).where(
        incidents.c.state.not_in(_LIVE),
        incidents.c.resolved_at < before,
        ~exists().where(silences.c.incident_id == incidents.c.id),
    )


async def _first(connection: Transaction, over: Select[Any]) -> int | None:
    """One that no other process is forgetting just now."""
    found = await connection.execute(over.order_by("id").limit(1).with_for_update(skip_locked=True))
    number: int | None = found.scalar()
    return number


async def _forget(connection: Transaction, kind: CardKind, of: Column[int], number: int, most: int) -> None:
    """Some of its gateways; with the last of them its cards, their notes and itself."""
    gateway = of.table.c.gateway_id
    some = select(gateway).where(of == number).limit(most)
    gone = await connection.execute(delete(of.table).where(of == number, gateway.in_(some)))
    if gone.rowcount == most:
        return
    about = (cards.c.kind == kind.value, cards.c.subject == str(number))
    theirs = select(cards.c.id).where(*about)
    await connection.execute(delete(notes).where(notes.c.card_id.in_(theirs)))
    await connection.execute(delete(cards).where(*about))
    (whole,) = of.foreign_keys
    await connection.execute(delete(whole.column.table).where(whole.column == number))
