"""What gates look at: which gateways are counted, and which neighbours went offline beside them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from bot.domain.gateways import FleetEvent, FleetEventKind
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, RolloutState, TargetClass, TargetState
from bot.domain.rollouts.plan import Plan, Target
from bot.domain.rollouts.stop_gates import Collateral
from bot.storage.db.engine import Database, Transaction
from bot.storage.db.tables import gateway_claims, rollout_targets
from bot.storage.fleet import gateways
from bot.storage.rollouts import in_flight as flight
from bot.storage.rollouts import rollouts as store
from tests.worlds import builders
from tests.worlds.builders import MONDAY as NOW

pytestmark = pytest.mark.on_both

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
WORKING = {"state": "started", "attempts": 1, "started_at": NOW - 30 * MINUTE}


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Transaction]:
    async with database.write() as opened:
        yield opened


async def rollout(
    connection: Transaction, uid: str = "01J9", gate_from: object = NOW - HOUR, **targets: dict[str, Any]
) -> Rollout:
    """One that runs for an hour; of each target its row's fields, in wave 2 at oslo unless told otherwise."""
    plan = Plan(
        query="tag:oslo",
        firmware=builders.firmware(),
        targets=tuple(
            Target(builders.gateway(one).id, one, "oslo", "2011", "3.4.1", TargetClass.ELIGIBLE, 2)
            for one in targets
        ),
        waves=(len(targets),),
        approvals_needed=1,
        fleet_size=100,
    )
    running = builders.rollout(
        uid=uid, state=RolloutState.RUNNING, started_at=NOW - HOUR, gate_from=gate_from, wave=2
    )
    await store.save_plan(connection, uid, plan, "U", None, None, NOW, NOW)
    number = await store.create(connection, uid, running, plan)
    for one, fields in targets.items():
        row = (rollout_targets.c.rollout_id == number) & (rollout_targets.c.gateway_id == one)
        await connection.execute(update(rollout_targets).where(row).values(**fields))
    return await store.load(connection, RolloutId(number))


def settled(state: TargetState, at: object = NOW - MINUTE, **fields: Any) -> dict[str, Any]:
    begun = {"attempts": 1, "started_at": NOW - 50 * MINUTE}
    return {**begun, "state": state.value, "settled_at": at, **fields}


async def neighbours(connection: Transaction, *ids: str, site: str = "oslo") -> None:
    """Gateways of the fleet."""
    await gateways.save(connection, [(builders.known(one, site=site), one.encode()) for one in ids])


async def went(connection: Transaction, *ids: str, at: object = NOW - 10 * MINUTE) -> None:
    """They went offline then."""
    kind = FleetEventKind.WENT_OFFLINE
    await gateways.add_events(connection, [FleetEvent(kind, one, at, 1) for one in ids])  # type: ignore[arg-type]


async def test_every_gateway_that_settled_is_counted_once_by_what_became_of_it(
    connection: Transaction,
) -> None:
    ended = await rollout(
        connection,
        a=settled(TargetState.VERIFIED),
        b=settled(TargetState.FAILED, failures=2, attempts=2, site="bergen"),
        c=settled(TargetState.OVERDUE),
        d=settled(TargetState.NOT_RETURNED, wave=1, at=NOW),
        e=WORKING,
        f=settled(TargetState.SKIPPED),
    )
    found = await flight.gate_counts(connection, ended, NOW)
    assert (found.finished, found.overdue, found.failures) == (3, 1, 3)
    assert (found.canary_failures, found.by_site) == (1, {"oslo": 2, "bergen": 1})
    assert found.newest[0] is TargetState.NOT_RETURNED, "the newest first"


async def test_what_settled_before_a_person_looked_is_not_counted_again(connection: Transaction) -> None:
    resumed = await rollout(
        connection,
        gate_from=NOW - MINUTE,
        a=settled(TargetState.FAILED, at=NOW - MINUTE),
        b=settled(TargetState.OVERDUE, at=NOW - MINUTE + SECOND),
    )
    found = await flight.gate_counts(connection, resumed, NOW)
    assert (found.finished, found.overdue, found.failures) == (0, 1, 1)
    assert (found.by_site, found.newest) == ({"oslo": 1}, (TargetState.OVERDUE,))


async def test_another_rollouts_gateways_are_not_counted(connection: Transaction) -> None:
    await rollout(connection, uid="other", a=settled(TargetState.FAILED))
    mine = await rollout(connection, a=settled(TargetState.VERIFIED))
    found = await flight.gate_counts(connection, mine, NOW)
    assert (found.finished, found.failures) == (1, 0)


async def test_one_single_wave_has_no_canary_that_fails(connection: Transaction) -> None:
    single = await rollout(connection, a=settled(TargetState.FAILED, wave=1))
    found = await flight.gate_counts(connection, single, NOW)
    assert (found.failures, found.canary_failures) == (1, 0)


async def test_neighbours_are_those_of_a_site_at_work_that_nobody_flashes(connection: Transaction) -> None:
    await neighbours(connection, "mine", "n1", "n2", "flashed", "waits", "theirs")
    await neighbours(connection, "far", site="bergen")
    running = await rollout(connection, mine=WORKING, waits={"state": "waiting"})
    await rollout(connection, uid="other", theirs=settled(TargetState.VERIFIED))
    for one, started in (("flashed", NOW), ("waits", None)):
        claim = {"gateway_id": one, "rollout_id": running.id, "started_at": started}
        await connection.execute(insert(gateway_claims).values(claim))
    await went(connection, "mine", "n1", "n2", "flashed", "waits", "theirs", "far")
    found = await flight.gate_counts(connection, running, NOW)
    assert found.collateral == (Collateral("oslo", 3, 3, 0.0),), "n1, n2, and the one that still waits"


@pytest.mark.parametrize(
    ("began", "looked", "went_at", "counted"),
    [
        (30, 60, 29, True),
        (30, 60, 31, False),  # before work began there
        (30, 20, 21, False),  # before a person looked
        (30, 20, 19, True),
    ],
)
async def test_a_neighbour_counts_from_when_work_began_and_a_person_last_looked(
    connection: Transaction, began: int, looked: int, went_at: int, counted: bool
) -> None:
    await neighbours(connection, "mine", "n1")
    at_work = {**WORKING, "started_at": NOW - began * MINUTE}
    running = await rollout(connection, gate_from=NOW - looked * MINUTE, mine=at_work)
    await went(connection, "n1", at=NOW - went_at * MINUTE)
    assert bool((await flight.gate_counts(connection, running, NOW)).collateral) is counted


@pytest.mark.parametrize(("minutes", "watched"), [(59, True), (60, False)])
async def test_a_site_is_watched_for_an_hour_after_its_last_gateway_settled(
    connection: Transaction, minutes: int, watched: bool
) -> None:
    await neighbours(connection, "mine", "n1")
    done = settled(TargetState.VERIFIED, at=NOW - minutes * MINUTE, started_at=NOW - HOUR)
    running = await rollout(connection, mine=done)
    await went(connection, "n1")
    assert bool((await flight.gate_counts(connection, running, NOW)).collateral) is watched


async def test_what_is_usual_at_a_site_is_taken_from_the_day_before(connection: Transaction) -> None:
    await neighbours(connection, "mine", "n1", "n2")
    running = await rollout(connection, mine=WORKING)
    day = timedelta(hours=24)
    for number in range(48):  # one in half an hour
        await went(connection, "n2", at=NOW - HOUR - number * 30 * MINUTE)
    await went(connection, "n2", at=NOW - HOUR - day)
    await went(connection, "n1")
    (oslo,) = (await flight.gate_counts(connection, running, NOW)).collateral
    assert oslo.usual == pytest.approx(1.0), "in the half hour since work began there"
