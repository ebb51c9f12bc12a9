"""What is in flight: attempts beside what the newest listing shows, what gates look at, and stragglers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)

from bot.domain.gateways import Connectivity, FleetEventKind, GatewayId
from bot.domain.rollouts.gateway_verdict import Attempt, FailureKind, SeenState, Straggler
from bot.domain.rollouts.lifecycle import (
    CANARY,
    FAILURES,
    IN_FLIGHT,
    SILENT,
    Rollout,
    RolloutId,
    TargetState,
    count_away,
)
from bot.domain.rollouts.stop_gates import IN_A_ROW, Collateral, GateCounts
from bot.storage.db.engine import Transaction
from bot.storage.db.statements import among, update_rows
from bot.storage.db.tables import fleet_events, gateway_claims, gateways, rollout_batches, rollout_targets
from bot.storage.db.timestamps import from_micros, micros, moment, plain, to_micros
from bot.storage.rollouts.targets import CHUNK, count_targets, last_wave

USUAL_OVER = timedelta(hours=24)
COLLATERAL_FOR = timedelta(hours=1)  # after its last gateway settled a site is watched on
OPEN = ("created", "canceled")  # a batch whose job may still say something
_FAILED = [state.value for state in FAILURES]
_IN_FLIGHT = [state.value for state in IN_FLIGHT]

targets = rollout_targets.c
_states = {state.value: state for state in TargetState}  # calling the class takes three times as long
_connectivity = {state.value: state for state in Connectivity}
_silent = [state.value for state in SILENT]
_kept = rollout_targets.join(
    gateway_claims,
    and_(
        gateway_claims.c.gateway_id == targets.gateway_id, gateway_claims.c.rollout_id == targets.rollout_id
    ),
)


@dataclass(frozen=True, slots=True)
class InFlight:
    """A gateway in flight: its attempt, and how the newest listing shows it."""

    attempt: Attempt
    seen: SeenState | None


# ---- in flight

_READ = select(
    *map(
        plain,
        (
            targets.gateway_id,
            targets.site,
            targets.wave,
            targets.state,
            targets.attempts,
            targets.started_at,
            targets.reported_at,
            targets.offline_at,
            targets.back_at,
            targets.steady_since,
            targets.reason,
            targets.kind,
            gateways.c.state,
            gateways.c.since,
            gateways.c.firmware,
        ),
    )
).select_from(rollout_targets.outerjoin(gateways, gateways.c.id == targets.gateway_id))


async def in_flight(connection: Transaction, batch_id: int) -> tuple[InFlight, ...]:
    """Every gateway of a batch that is in flight, beside the newest listing's word about it."""
    found = await connection.execute(
        _READ.where(targets.batch_id == batch_id, targets.state.in_(_IN_FLIGHT)).order_by(targets.gateway_id)
    )
    return tuple(map(_in_flight_row, found.all()))


async def save_attempts(
    connection: Transaction, rollout_id: RolloutId, attempts: Sequence[Attempt], now: datetime
) -> None:
    """Writes attempts; the clock of a settled one stops, and an attempt that failed is counted."""
    for start in range(0, len(attempts), CHUNK):
        rows = [_attempt_row(rollout_id, attempt, now) for attempt in attempts[start : start + CHUNK]]
        await update_rows(connection, rollout_targets, _OF_AN_ATTEMPT, rows)
    failed = [
        attempt.gateway_id
        for attempt in attempts
        if attempt.state.is_failure or attempt.state is TargetState.WAITING
    ]
    if failed:
        await connection.execute(
            update(rollout_targets)
            .where(targets.rollout_id == rollout_id, among(connection, targets.gateway_id, failed))
            .values(failures=targets.failures + 1)
        )


# ---- what gates look at


async def gate_counts(connection: Transaction, rollout: Rollout, now: datetime) -> GateCounts:
    """What settled since a person last looked, in four queries however many gateways there are."""
    since = rollout.gate_from or rollout.created_at
    recent = and_(targets.rollout_id == rollout.id, targets.settled_at > since)
    failed = targets.state.in_(_FAILED)
    sums = (
        await connection.execute(
            select(
                func.count(case((targets.state == TargetState.VERIFIED.value, 1))),
                func.count(case((failed, 1))),
                func.count(case((targets.state == TargetState.OVERDUE.value, 1))),
                func.count(case((and_(failed, targets.wave == CANARY), 1))),
            ).where(recent)
        )
    ).one()
    verified, failures, overdue, canary = sums
    if not failures and not await _has_others(connection, rollout):
        return GateCounts(finished=verified)
    by_site = await connection.execute(
        select(targets.site, func.count()).where(recent, failed).group_by(targets.site)
    )
    newest = await connection.execute(
        select(targets.state)
        .where(recent, targets.state.in_([*_FAILED, TargetState.VERIFIED.value]))
        .order_by(targets.settled_at.desc(), targets.gateway_id)
        .limit(IN_A_ROW)
    )
    counts = await count_targets(connection, rollout.id)
    several_waves = await last_wave(connection, rollout.id) > CANARY or count_away(counts) > 0
    return GateCounts(
        finished=verified + failures - overdue,
        overdue=overdue,
        failures=failures,
        canary_failures=canary if several_waves else 0,
        canary=await _canary(connection, rollout) if canary else (0, 0),
        by_site=dict(by_site.all()),
        newest=tuple(TargetState(state) for state in newest.scalars().all()),
        collateral=await _collateral(connection, rollout, now),
    )


async def _canary(connection: Transaction, rollout: Rollout) -> tuple[int, int]:
    """How many of it failed, of how many that took part."""
    aside = (TargetState.EXCLUDED, TargetState.SKIPPED, TargetState.AWAY)
    took_part = targets.state.not_in([state.value for state in aside])
    found = await connection.execute(
        select(func.count(case((targets.state.in_(_FAILED), 1))), func.count()).where(
            targets.rollout_id == rollout.id, targets.wave == CANARY, took_part
        )
    )
    failed, size = found.one()
    return failed, size


async def _has_others(connection: Transaction, rollout: Rollout) -> bool:
    """Whether neighbours may be affected: gateways were started lately."""
    found = await connection.execute(
        select(targets.gateway_id)
        .where(targets.rollout_id == rollout.id, targets.started_at.is_not(None))
        .limit(1)
    )
    return found.first() is not None


async def _collateral(connection: Transaction, rollout: Rollout, now: datetime) -> tuple[Collateral, ...]:
    """The sites at work of whose untouched gateways some went offline since."""
    at_work = (
        select(targets.site, func.min(targets.started_at).label("began"))
        .where(
            targets.rollout_id == rollout.id,
            targets.started_at.is_not(None),
            targets.state.in_(_IN_FLIGHT) | (targets.settled_at > now - COLLATERAL_FOR),
        )
        .group_by(targets.site)
        .subquery()
    )
    gone = await _gone(connection, rollout, at_work)
    if not gone:
        return ()
    sites = [site for site, _, _ in gone]
    untouched = await connection.execute(
        select(gateways.c.site, func.count())
        .where(among(connection, gateways.c.site, sites), _is_untouched(gateways.c.id, rollout))
        .group_by(gateways.c.site)
    )
    by_site: dict[str, int] = dict(untouched.all())
    usual = await _usual(connection, sites, rollout.started_at or now)
    return tuple(
        Collateral(site, number, by_site.get(site, 0), usual.get(site, 0) * ((now - began) / USUAL_OVER))
        for site, began, number in gone
    )


async def _gone(
    connection: Transaction, rollout: Rollout, at_work: Subquery
) -> Sequence[tuple[str, datetime, int]]:
    """How many went offline at each site since work began there, those that are back again among them."""
    event = fleet_events.c
    found = await connection.execute(
        select(at_work.c.site, at_work.c.began, func.count(event.gateway_id.distinct()))
        .select_from(
            fleet_events.join(gateways, gateways.c.id == event.gateway_id).join(
                at_work, at_work.c.site == gateways.c.site
            )
        )
        .where(
            event.kind == FleetEventKind.WENT_OFFLINE.value,
            event.at >= (rollout.gate_from or rollout.created_at),
            event.at >= at_work.c.began,
            _is_untouched(event.gateway_id, rollout),
        )
        .group_by(at_work.c.site, at_work.c.began)
    )
    return [(site, began, number) for site, began, number in found.all()]


def _is_untouched(gateway_id: Column[str], rollout: Rollout) -> ColumnElement[bool]:
    """Neither this rollout started it, nor was any other flashing it meanwhile."""
    mine = select(targets.gateway_id).where(targets.rollout_id == rollout.id, targets.attempts > 0)
    flashed = select(gateway_claims.c.gateway_id).where(gateway_claims.c.started_at.is_not(None))
    lately = select(targets.gateway_id).where(
        targets.settled_at >= (rollout.started_at or rollout.created_at), targets.attempts > 0
    )
    return and_(gateway_id.not_in(mine), gateway_id.not_in(flashed), gateway_id.not_in(lately))


async def _usual(connection: Transaction, sites: Sequence[str], before: datetime) -> dict[str, int]:
    """How often gateways of each site went offline in the day before the rollout."""
    found = await connection.execute(
        select(gateways.c.site, func.count())
        .select_from(fleet_events.join(gateways, gateways.c.id == fleet_events.c.gateway_id))
        .where(
            fleet_events.c.kind == FleetEventKind.WENT_OFFLINE.value,
            fleet_events.c.at > before - USUAL_OVER,
            fleet_events.c.at <= before,
            among(connection, gateways.c.site, sites),
        )
        .group_by(gateways.c.site)
    )
    return dict(found.all())


# ---- stragglers: settled by their silence, and kept until their job is over


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
    """Their jobs are over: others may have them. The end of a late one is added to its reason."""
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


# ---- rows


def _in_flight_row(row: Sequence[Any]) -> InFlight:
    gateway, site, wave, state, number, started, reported, offline, back, steady, reason, kind = row[:12]
    attempt = Attempt(
        GatewayId(gateway),
        site,
        wave,
        _states[state],
        number,
        from_micros(started),
        moment(reported),
        moment(offline),
        moment(back),
        moment(steady),
        reason,
        FailureKind(kind) if kind else None,
    )
    connectivity, since, firmware = row[12:]
    seen = SeenState(_connectivity[connectivity], from_micros(since), firmware) if connectivity else None
    return InFlight(attempt, seen)


# As `_attempt_row` has them, before the key.
_OF_AN_ATTEMPT = (
    *("state", "reason", "kind", "reported_at", "offline_at", "back_at", "steady_since", "settled_at"),
)


def _attempt_row(rollout_id: RolloutId, attempt: Attempt, now: datetime) -> tuple[Any, ...]:
    return (
        attempt.state.value,
        attempt.reason,
        attempt.kind.value if attempt.kind else None,
        micros(attempt.reported_at),
        micros(attempt.offline_at),
        micros(attempt.back_at),
        micros(attempt.steady_since),
        to_micros(now) if attempt.state.is_settled else None,
        rollout_id,
        attempt.gateway_id,
    )
