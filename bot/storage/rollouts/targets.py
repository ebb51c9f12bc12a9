"""A rollout's gateways as rows: their classes, their attempts, and what gates look at."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, case, delete, func, literal, or_, select, update

from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts.lifecycle import (
    CANARY,
    IN_FLIGHT,
    SILENT,
    Counts,
    Rollout,
    RolloutId,
    TargetClass,
    TargetRecord,
    TargetState,
    takes_part,
)
from bot.domain.rollouts.next_starts import AwayGateway, WaitingGateway
from bot.storage.db.engine import Transaction, take_turn
from bot.storage.db.statements import among, insert_or_ignore_selected
from bot.storage.db.tables import gateway_claims, gateways, rollout_targets, rollouts
from bot.storage.flapping import flapping_ids
from bot.storage.query import runs

CHUNK = 1000  # rows in one statement
_STARTS = 0x737461727473  # "starts": the key of PostgreSQL's advisory lock
_OVER = [state.value for state in TargetState if state.is_settled and state not in SILENT]
_IN_FLIGHT = [state.value for state in IN_FLIGHT]

_UNSTARTED = [TargetState.WAITING.value, TargetState.AWAY.value]

targets = rollout_targets.c


def is_updated() -> ColumnElement[bool]:
    """Whether a rollout's gateway is updated, as ``takes_part`` says."""
    waited_for = [state.value for state in TargetState if takes_part(0, state)]
    return or_(targets.wave > 0, targets.state.in_(waited_for))


# ---- counts and lists


async def count_targets(connection: Transaction, rollout_id: RolloutId) -> Counts:
    """Gateways by wave and state; wave 0 holds those that take no part."""
    found = await connection.execute(
        select(targets.wave, targets.state, func.count())
        .where(targets.rollout_id == rollout_id)
        .group_by(targets.wave, targets.state)
    )
    return {(wave, TargetState(state)): count for wave, state, count in found.all()}


async def count_many(
    connection: Transaction, rollout_ids: Sequence[RolloutId]
) -> dict[RolloutId, dict[TargetState, int]]:
    """Those that take part by state, for several rollouts in one query."""
    found = await connection.execute(
        select(targets.rollout_id, targets.state, func.count())
        .where(targets.rollout_id.in_(rollout_ids), is_updated())
        .group_by(targets.rollout_id, targets.state)
    )
    counts: dict[RolloutId, dict[TargetState, int]] = {rollout_id: {} for rollout_id in rollout_ids}
    for rollout_id, state, count in found.all():
        counts[RolloutId(rollout_id)][TargetState(state)] = count
    return counts


async def count_classes(connection: Transaction, rollout_id: RolloutId) -> dict[TargetClass, int]:
    """Those that take no part, by class."""
    found = await connection.execute(
        select(targets.cls, func.count())
        .where(targets.rollout_id == rollout_id, ~is_updated())
        .group_by(targets.cls)
    )
    counts = {TargetClass(cls): count for cls, count in found.all()}
    return {cls: counts.get(cls, 0) for cls in TargetClass}


async def list_targets(
    connection: Transaction,
    rollout_id: RolloutId,
    states: Sequence[TargetState] | None = None,
    limit: int | None = None,
    *,
    oldest_first: bool = False,
) -> tuple[TargetRecord, ...]:
    """Targets as they are shown: the newest to settle first, or those in flight for longest."""
    query = select(rollout_targets).where(targets.rollout_id == rollout_id)
    if states is not None:
        query = query.where(targets.state.in_([state.value for state in states]))
    first = targets.started_at if oldest_first else targets.settled_at.desc()
    query = query.order_by(first, targets.wave, targets.site, targets.label, targets.gateway_id)
    rows = (await connection.execute(query.limit(limit) if limit is not None else query)).all()
    return tuple(_target_row(row) for row in rows)


async def first_to_start(
    connection: Transaction, rollout_id: RolloutId, limit: int
) -> tuple[TargetRecord, ...]:
    """Some of the first wave, before it has started."""
    found = await connection.execute(
        select(rollout_targets)
        .where(
            targets.rollout_id == rollout_id,
            targets.wave == CANARY,
            targets.state == TargetState.WAITING.value,
        )
        .order_by(targets.site, targets.label, targets.gateway_id)
        .limit(limit)
    )
    return tuple(_target_row(row) for row in found.all())


async def sites(connection: Transaction, rollout_id: RolloutId) -> set[str]:
    """Where its gateways are, of those that take part."""
    found = await connection.execute(
        select(targets.site).where(targets.rollout_id == rollout_id, is_updated()).distinct()
    )
    return set(found.scalars().all())


async def return_times(
    connection: Transaction, firmware_version: str, model: str, limit: int = 5000
) -> tuple[dict[TargetState, int], list[timedelta]]:
    """What a firmware did in this fleet: gateways by state, and how long the newest were away, sorted."""
    mine = (
        (rollouts.c.firmware_version == firmware_version)
        & (rollouts.c.model == model)
        & (targets.wave > 0)
        & targets.attempts.is_not(None)
    )
    joined = rollout_targets.join(rollouts, rollouts.c.id == targets.rollout_id)
    counted = await connection.execute(
        select(targets.state, func.count())
        .select_from(joined)
        .where(mine, targets.attempts > 0)
        .group_by(targets.state)
    )
    away = await connection.execute(
        select(targets.offline_at, targets.back_at)
        .select_from(joined)
        .where(mine, targets.offline_at.is_not(None), targets.back_at.is_not(None))
        .order_by(targets.back_at.desc())
        .limit(limit)
    )
    states = {TargetState(state): count for state, count in counted.all()}
    return states, sorted(back - gone for gone, back in away.all() if back >= gone)


async def labels(
    connection: Transaction, rollout_id: RolloutId, gateway_ids: Sequence[GatewayId]
) -> list[tuple[str, str]]:
    """Label and site of some gateways."""
    found = await connection.execute(
        select(targets.label, targets.site)
        .where(targets.rollout_id == rollout_id, among(connection, targets.gateway_id, gateway_ids))
        .order_by(targets.site, targets.label)
    )
    return [(label, site) for label, site in found.all()]


# ---- whose a gateway is


async def claim_gateways(connection: Transaction, rollout_id: RolloutId, now: datetime) -> None:
    """Takes the waiting targets for this rollout alone, those that are away too; those it cannot have are
    skipped with the reason.

    One rollout at a time for a gateway: the primary key of the claims decides, whoever asks at once. A
    gateway that left the fleet since the plan was drawn cannot be had either.
    """
    waiting = and_(targets.rollout_id == rollout_id, targets.state.in_(_UNSTARTED))
    here = (
        select(targets.gateway_id, literal(rollout_id))
        .where(waiting, targets.gateway_id.in_(select(gateways.c.id)))
        .order_by(targets.gateway_id)  # two rollouts that start at once wait in one order
    )
    await connection.execute(
        insert_or_ignore_selected(connection, gateway_claims, ["gateway_id", "rollout_id"], here)
    )
    mine = select(gateway_claims.c.gateway_id).where(gateway_claims.c.rollout_id == rollout_id)
    refused = await connection.execute(
        select(targets.gateway_id, gateway_claims.c.rollout_id)
        .select_from(
            rollout_targets.outerjoin(gateway_claims, gateway_claims.c.gateway_id == targets.gateway_id)
        )
        .where(waiting, targets.gateway_id.not_in(mine))
    )
    skipped = [
        (GatewayId(gateway), f"in rollout R-{other} meanwhile" if other else "no longer in the fleet")
        for gateway, other in refused.all()
    ]
    await skip(connection, rollout_id, skipped, TargetState.EXCLUDED, now)


async def free_gateways(connection: Transaction, rollout_id: RolloutId) -> None:
    """Lets go of every gateway that this rollout no longer waits for and that no job may still flash.

    What settled by its silence is kept until its job is over: see ``rollout_late``.
    """
    settled = select(targets.gateway_id).where(targets.rollout_id == rollout_id, targets.state.in_(_OVER))
    await connection.execute(
        delete(gateway_claims).where(
            gateway_claims.c.rollout_id == rollout_id, gateway_claims.c.gateway_id.in_(settled)
        )
    )


async def rollout_of_gateway(connection: Transaction, gateway_id: GatewayId) -> RolloutId | None:
    """The rollout that has the gateway now."""
    found = await connection.execute(
        select(gateway_claims.c.rollout_id).where(gateway_claims.c.gateway_id == gateway_id)
    )
    rollout_id = found.scalar_one_or_none()
    return None if rollout_id is None else RolloutId(rollout_id)


async def work_spans(
    connection: Transaction, rollout_id: RolloutId, now: datetime
) -> list[tuple[datetime, datetime]]:
    """For each wave from its first start to its last end, ``now`` while some are under way."""
    in_flight = func.count(case((targets.state.in_(_IN_FLIGHT), 1)))
    began, ended = func.min(targets.started_at), func.max(targets.settled_at)
    found = await connection.execute(
        select(began, ended, in_flight)
        .where(targets.rollout_id == rollout_id, targets.started_at.is_not(None))
        .group_by(targets.wave)
    )
    return [(first, now if flying or last is None else last) for first, last, flying in found.all()]


async def claimed(connection: Transaction) -> frozenset[str]:
    """The gateways that rollouts have, started or not."""
    return frozenset((await connection.scalars(select(gateway_claims.c.gateway_id))).all())


async def rollouts_of(connection: Transaction, gateway_ids: Sequence[GatewayId]) -> tuple[RolloutId, ...]:
    """The rollouts that have some of these gateways now."""
    if not gateway_ids:
        return ()
    found = await connection.execute(
        select(gateway_claims.c.rollout_id)
        .where(among(connection, gateway_claims.c.gateway_id, gateway_ids))
        .distinct()
        .order_by(gateway_claims.c.rollout_id)
    )
    return tuple(RolloutId(one) for one in found.scalars())


async def count_drifted(connection: Transaction, rollout: Rollout) -> int:
    """Waiting targets that are gone, not online, in another rollout, or on another firmware than planned."""
    as_planned = and_(
        gateways.c.state == Connectivity.ONLINE.value,
        func.coalesce(gateways.c.firmware, "") == func.coalesce(targets.firmware_before, ""),
        func.coalesce(gateways.c.model, "") == func.coalesce(targets.model, ""),
        func.coalesce(gateway_claims.c.rollout_id, rollout.id) == rollout.id,
        ~runs(rollout.firmware_version),
    )
    found = await connection.execute(
        select(func.count())
        .select_from(
            rollout_targets.outerjoin(gateways, gateways.c.id == targets.gateway_id).outerjoin(
                gateway_claims, gateway_claims.c.gateway_id == targets.gateway_id
            )
        )
        .where(
            targets.rollout_id == rollout.id,
            targets.state == TargetState.WAITING.value,
            gateways.c.id.is_(None) | ~as_planned,
        )
    )
    return found.scalar_one()


# ---- before the start


async def waiting_gateways(connection: Transaction, rollout: Rollout) -> tuple[WaitingGateway, ...]:
    """Those whose wave is open, as the newest listing shows them."""
    found = await connection.execute(
        select(
            targets.gateway_id,
            func.coalesce(gateways.c.site, targets.site),
            gateways.c.state,
            gateways.c.firmware,
            targets.attempts,
        )
        .select_from(rollout_targets.outerjoin(gateways, gateways.c.id == targets.gateway_id))
        .where(
            targets.rollout_id == rollout.id,
            targets.state == TargetState.WAITING.value,
            targets.wave <= rollout.wave,
        )
        .order_by(targets.wave, targets.site, targets.gateway_id)
    )
    return tuple(
        WaitingGateway(GatewayId(gateway), site, Connectivity(state) if state else None, firmware, attempts)
        for gateway, site, state, firmware, attempts in found.all()
    )


async def in_flight_by_site(connection: Transaction) -> dict[str, int]:
    """Gateways in flight at each site, whichever rollout they are in; none is added by others meanwhile."""
    await take_turn(connection, _STARTS)
    site = func.coalesce(gateways.c.site, targets.site)
    found = await connection.execute(
        select(site, func.count())
        .select_from(rollout_targets.outerjoin(gateways, gateways.c.id == targets.gateway_id))
        .where(targets.state.in_(_IN_FLIGHT))
        .group_by(site)
    )
    return dict(found.all())


async def site_sizes(connection: Transaction, sites: Iterable[str]) -> dict[str, int]:
    found = await connection.execute(
        select(gateways.c.site, func.count())
        .where(among(connection, gateways.c.site, sorted(set(sites))))
        .group_by(gateways.c.site)
    )
    return dict(found.all())


async def skip(
    connection: Transaction,
    rollout_id: RolloutId,
    refused: Sequence[tuple[GatewayId, str]],
    state: TargetState,
    now: datetime,
) -> None:
    """Takes waiting targets out before they were started, each with its reason."""
    if not refused:
        return
    changes: dict[str, Any] = {"state": state.value, "reason": bindparam("why"), "settled_at": now}
    if state is TargetState.AWAY:
        changes |= {"cls": TargetClass.OFFLINE.value, "settled_at": None}
    await connection.execute(
        update(rollout_targets)
        .where(
            targets.rollout_id == bindparam("of_rollout"),
            targets.gateway_id == bindparam("of_gateway"),
            targets.state.in_(_UNSTARTED),
        )
        .values(changes),
        [
            {"of_rollout": rollout_id, "of_gateway": gateway_id, "why": reason}
            for gateway_id, reason in refused
        ],
    )


async def skip_all(connection: Transaction, rollout_id: RolloutId, reason: str, now: datetime) -> None:
    """Nobody who still waits is started any more."""
    await connection.execute(
        update(rollout_targets)
        .where(targets.rollout_id == rollout_id, targets.state.in_(_UNSTARTED))
        .values(state=TargetState.EXCLUDED.value, reason=reason, settled_at=now)
    )


async def away_gateways(connection: Transaction, rollout: Rollout, now: datetime) -> tuple[AwayGateway, ...]:
    """Those that are waited for, of those that the newest listing has as they were planned."""
    found = await connection.execute(
        select(
            targets.gateway_id,
            gateways.c.site,
            gateways.c.state,
            gateways.c.firmware,
            gateways.c.since,
            gateways.c.id.in_(flapping_ids(now)),
        )
        .select_from(rollout_targets.join(gateways, gateways.c.id == targets.gateway_id))
        .where(
            targets.rollout_id == rollout.id,
            targets.state == TargetState.AWAY.value,
            func.coalesce(gateways.c.model, "") == func.coalesce(targets.model, ""),
        )
        .order_by(targets.gateway_id)
    )
    return tuple(
        AwayGateway(
            WaitingGateway(GatewayId(gateway), site, Connectivity(state), firmware), since, bool(flapping)
        )
        for gateway, site, state, firmware, since, flapping in found.all()
    )


async def end_waiting(connection: Transaction, rollout_id: RolloutId, now: datetime) -> int:
    """Nobody who was offline is started any more, whoever is back and waits for its turn neither; returns
    how many.
    """
    ended = await connection.execute(
        update(rollout_targets)
        .where(
            targets.rollout_id == rollout_id,
            targets.state.in_(_UNSTARTED),
            targets.cls == TargetClass.OFFLINE.value,
            targets.attempts == 0,
        )
        .values(state=TargetState.SKIPPED.value, settled_at=now)
    )
    await free_gateways(connection, rollout_id)
    return ended.rowcount


async def last_wave(connection: Transaction, rollout_id: RolloutId) -> int:
    """The highest wave that anybody is in; 0 when nobody takes part."""
    last = await connection.execute(select(func.max(targets.wave)).where(targets.rollout_id == rollout_id))
    return last.scalar_one() or 0


# ---- rows


def _target_row(row: Row[Any]) -> TargetRecord:
    away = row.back_at - row.offline_at if row.back_at and row.offline_at else None
    return TargetRecord(
        gateway_id=GatewayId(row.gateway_id),
        label=row.label,
        site=row.site,
        firmware_before=row.firmware_before,
        cls=TargetClass(row.cls),
        wave=row.wave,
        state=TargetState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        started_at=row.started_at,
        settled_at=row.settled_at,
        return_time=away,
    )
