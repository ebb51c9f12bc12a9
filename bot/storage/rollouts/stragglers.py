"""The claims of gateways that settled by their silence, kept until their job is over."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, func, select, update

from bot.domain.gateways import GatewayId
from bot.domain.rollouts.rollout import SILENT, RolloutId
from bot.domain.rollouts.stragglers import Straggler
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import gateway_claims, rollout_batches, rollout_targets
from bot.storage.rollouts.targets import CHUNK

OPEN = ("created", "canceled")  # a batch whose job may still say something

targets = rollout_targets.c
_silent = [state.value for state in SILENT]
_kept = rollout_targets.join(
    gateway_claims,
    and_(
        gateway_claims.c.gateway_id == targets.gateway_id, gateway_claims.c.rollout_id == targets.rollout_id
    ),
)


def late_batches(rollout_id: RolloutId) -> Select[tuple[int]]:
    """The batches that a rollout's late gateways are in."""
    return select(targets.batch_id).select_from(_kept).where(_is_late(rollout_id)).distinct()


async def late_gateways(connection: Transaction, rollout_id: RolloutId) -> tuple[Straggler, ...]:
    """All that a rollout keeps although it no longer waits for them."""
    found = await connection.execute(
        select(
            targets.gateway_id,
            targets.label,
            targets.site,
            case((rollout_batches.c.state.in_(OPEN), targets.batch_id)),
            targets.settled_at,
            gateway_claims.c.started_at,
        )
        .select_from(_kept.outerjoin(rollout_batches, rollout_batches.c.id == targets.batch_id))
        .where(_is_late(rollout_id))
        .order_by(targets.site, targets.label, targets.gateway_id)
    )
    return tuple(Straggler(GatewayId(gateway), *rest) for gateway, *rest in found.all())


async def count_late(connection: Transaction, rollout_id: RolloutId) -> int:
    found = await connection.execute(select(func.count()).select_from(_kept).where(_is_late(rollout_id)))
    return found.scalar_one()


async def no_longer_expected(connection: Transaction, gateway_ids: Sequence[GatewayId]) -> None:
    """From now on these are missed when they are offline."""
    for start in range(0, len(gateway_ids), CHUNK):
        await connection.execute(
            update(gateway_claims)
            .where(gateway_claims.c.gateway_id.in_(gateway_ids[start : start + CHUNK]))
            .values(started_at=None)
        )


async def expect(connection: Transaction, since: Mapping[GatewayId, datetime | None]) -> None:
    """Since when each is expected to be down, or that it is not."""
    if since:
        await connection.execute(
            update(gateway_claims)
            .where(gateway_claims.c.gateway_id == bindparam("of_gateway"))
            .values(started_at=bindparam("since")),
            [{"of_gateway": gateway_id, "since": moment} for gateway_id, moment in since.items()],
        )


async def let_go(
    connection: Transaction, rollout_id: RolloutId, endings: Mapping[GatewayId, str | None]
) -> None:
    """Their jobs are over: others may have them. What became of a late one is added to its reason."""
    told = [
        {"of_gateway": gateway_id, "ending": f"; it {ending}"}
        for gateway_id, ending in endings.items()
        if ending is not None
    ]
    if told:
        await connection.execute(
            update(rollout_targets)
            .where(targets.rollout_id == rollout_id, targets.gateway_id == bindparam("of_gateway"))
            .values(reason=func.coalesce(targets.reason, "") + bindparam("ending")),
            told,
        )
    gone = list(endings)
    for start in range(0, len(gone), CHUNK):
        await connection.execute(
            delete(gateway_claims).where(
                gateway_claims.c.rollout_id == rollout_id,
                gateway_claims.c.gateway_id.in_(gone[start : start + CHUNK]),
            )
        )


def _is_late(rollout_id: RolloutId) -> ColumnElement[bool]:
    return and_(targets.rollout_id == rollout_id, targets.state.in_(_silent))
