"""What ended long ago is forgotten, and nothing that goes on is, on both databases."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, insert, select, update

from bot.domain.alerts.maintenance import parse_maintenance
from bot.domain.alerts.silences import SilenceRequest
from bot.domain.errors import NotFound
from bot.domain.incident_kinds import IncidentId
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState
from bot.domain.times.retention import KEPT
from bot.services.context import Context
from bot.services.pruning import Retention
from bot.storage import retention as store
from bot.storage.alerts.maintenance import add as window
from bot.storage.alerts.silences import add as silence
from bot.storage.db.engine import Database
from bot.storage.db.tables import (
    cards,
    gateway_claims,
    incident_gateways,
    incidents,
    maintenance,
    plans,
    rollout_approvals,
    rollout_batches,
    rollout_events,
    rollout_targets,
    rollouts,
    silences,
)
from tests.worlds.alerts import ANA
from tests.worlds.alerts import World as Alerts
from tests.worlds.rollouts import OLD, OLGA, QUICK, World, world

DAY = timedelta(days=1)
OF_A_ROLLOUT = (
    rollouts.c.id,
    rollout_targets.c.rollout_id,
    rollout_events.c.rollout_id,
    rollout_batches.c.rollout_id,
    rollout_approvals.c.rollout_id,
    cards.c.subject,
)


async def values(database: Database, *columns: Column[Any]) -> list[set[str]]:
    """What stands in each of the columns."""
    async with database.read() as connection:
        return [
            {str(one) for one in (await connection.execute(select(column))).scalars()} for column in columns
        ]


async def prune(database: Database, now: datetime) -> None:
    retention = Retention(Context(database, lambda: now))
    for part in (retention.prune, retention.prune_rollouts, retention.prune_incidents):
        await part()


async def two_rollouts(it: World) -> None:
    """R-1 went its way, and R-2 was withdrawn."""
    await it.comes_to(await it.running(), RolloutState.FINISHED)
    await it.rollouts.cancel(OLGA, (await it.requested(version=OLD)).id)


@pytest.mark.on_both
async def test_a_rollout_that_ended_a_year_ago_is_forgotten_with_all_that_hangs_on_it(
    database_url: str,
) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        await two_rollouts(it)
        assert "1" in set.intersection(*await values(it.database, *OF_A_ROLLOUT))
        said = await it.notes()
        await prune(it.database, it.clock.now() + KEPT + DAY)
        assert "1" not in set().union(*await values(it.database, *OF_A_ROLLOUT))
        assert len(await it.notes()) < len(said)
        with pytest.raises(NotFound, match=r"R-1 is no longer kept.* 365 days"):
            await it.rollouts.status(RolloutId(1))


async def test_a_number_that_was_forgotten_is_never_given_again(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        await two_rollouts(it)
        await prune(it.database, it.clock.now() + 3 * KEPT)
        assert (await it.requested(version=OLD)).id == 3
        with pytest.raises(NotFound, match="There is no rollout R-4"):
            await it.rollouts.status(RolloutId(4))


async def test_a_rollout_that_ended_within_the_year_is_kept(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK, quick=True) as it:
        await two_rollouts(it)
        await prune(it.database, it.clock.now() + KEPT - DAY)
        assert (await values(it.database, rollouts.c.id)) == [{"1", "2"}]


async def undecided(it: World) -> None:
    async with it.database.write() as connection:
        await connection.execute(update(rollouts).values(state="requested", finished_at=None))


async def with_something_due(it: World) -> None:
    async with it.database.write() as connection:
        await connection.execute(update(rollouts).values(due_at=it.clock.now()))


async def with_a_gateway_in_a_job(it: World) -> None:
    async with it.database.write() as connection:
        await connection.execute(insert(gateway_claims).values(gateway_id="a", rollout_id=1))


async def with_an_open_alert(it: World) -> None:
    now = it.clock.now()
    row = {"kind": "not_returned", "site": "R-1", "site_folded": "r-1", "state": "open", "rollout_id": 1}
    async with it.database.write() as connection:
        await connection.execute(insert(incidents).values(row | {"opened_at": now, "post_at": now}))


@pytest.mark.parametrize(
    "going_on", [undecided, with_something_due, with_a_gateway_in_a_job, with_an_open_alert]
)
@pytest.mark.on_both
async def test_a_rollout_to_which_something_open_refers_is_never_forgotten(
    database_url: str, going_on: Callable[[World], Awaitable[None]]
) -> None:
    async with world(database_url, gateways=2, rules=QUICK) as it:
        await it.rollouts.cancel(OLGA, (await it.requested()).id)
        await it.rollouts.cancel(OLGA, (await it.requested()).id)
        await going_on(it)
        await prune(it.database, it.clock.now() + 2 * KEPT)
        assert "1" in (await values(it.database, rollouts.c.id))[0]


async def test_many_gateways_are_forgotten_a_part_at_a_time(database_url: str) -> None:
    async with world(database_url, gateways=3, rules=QUICK) as it:
        await it.rollouts.cancel(OLGA, (await it.requested()).id)
        await it.rollouts.cancel(OLGA, (await it.requested()).id)
        left = []
        for _ in range(2):
            async with it.database.write() as connection:
                assert await store.forget_rollouts(connection, it.clock.now() + KEPT, most=2)
            left.append(len(await it.states(RolloutId(1))))
        assert left == [1, 0]
        assert await values(it.database, rollouts.c.id) == [{"2"}]


@pytest.mark.on_both
async def test_a_plan_that_nobody_can_request_any_more_is_forgotten(database_url: str) -> None:
    async with world(database_url, gateways=2, rules=QUICK) as it:
        await it.plan()
        await prune(it.database, it.clock.now() + DAY)
        assert len((await values(it.database, plans.c.id))[0]) == 1
        await prune(it.database, it.clock.now() + 3 * DAY)
        assert await values(it.database, plans.c.id) == [set()]


# ---- incidents
OF_AN_INCIDENT = (incidents.c.id, incident_gateways.c.incident_id, cards.c.subject, silences.c.incident_id)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def one_over(database: Database) -> tuple[Alerts, IncidentId]:
    """Of Oslo's incident, which is over and was silenced, and Bergen's, which is not, the first."""
    alerts = await Alerts.begin(database, "Oslo/a", "Oslo/c", "Bergen/b", "Bergen/d")
    alerts.goes("offline", "a", "b")
    await alerts.passes(7)
    alerts.goes("offline", "c")
    await alerts.passes(7)
    (over,) = [one.id for one in await alerts.live() if one.site == "Oslo"]
    async with database.write() as connection:
        until = alerts.now + timedelta(hours=1)
        asked = SilenceRequest("", until)
        await silence(connection, asked, over, ("U0ANA00001", "Ana"), alerts.now, limits=(), gateways=None)
    alerts.goes("online", "a", "c")
    await alerts.passes(7)
    assert [one.site for one in await alerts.live()] == ["Bergen"]
    return alerts, over


@pytest.mark.on_both
async def test_an_incident_that_ended_a_year_ago_is_forgotten_with_all_that_hangs_on_it(
    database: Database,
) -> None:
    alerts, over = await one_over(database)
    assert [str(over) in one for one in await values(database, *OF_AN_INCIDENT)] == [True] * 4
    before = {note.card_id for note in await alerts.notes()}
    await prune(database, alerts.now + KEPT + DAY)
    assert [str(over) in one for one in await values(database, *OF_AN_INCIDENT)] == [False] * 4
    assert {note.card_id for note in await alerts.notes()} < before
    with pytest.raises(NotFound, match="365 days"):
        await alerts.alerts.acknowledge(ANA, over, 1)


async def test_an_incident_that_is_not_over_is_never_forgotten(database: Database) -> None:
    alerts, _ = await one_over(database)
    await prune(database, alerts.now + 3 * KEPT)
    assert [(one.site, one.tally.down) for one in await alerts.live()] == [("Bergen", 1)]


async def test_an_incident_that_ended_within_the_year_is_kept(database: Database) -> None:
    alerts, over = await one_over(database)
    await prune(database, alerts.now + KEPT - DAY)
    assert (await alerts.alerts.incident(over)).tally.total == 2


async def test_a_maintenance_window_that_ended_a_year_ago_is_forgotten(database: Database) -> None:
    world, _ = await one_over(database)
    asked = parse_maintenance("tag:oslo 09:00-10:00 because of paint", "UTC", world.now)
    async with database.write() as connection:
        for ended in (world.now, None):
            made = await window(
                connection, asked, ("U0ANA00001", "Ana"), world.now, limits=(), opening=None, announced=None
            )
            assert made is not None
            await connection.execute(
                update(maintenance).where(maintenance.c.id == made.id).values(ended_at=ended)
            )
    await prune(database, world.now + KEPT + DAY)
    async with database.read() as connection:
        assert list((await connection.execute(select(maintenance.c.id))).scalars()) == [2]


@pytest.mark.on_both
async def test_what_stands_about_an_incident_is_kept_while_its_silence_is(database: Database) -> None:
    alerts, over = await one_over(database)
    async with database.write() as connection:
        await connection.execute(update(silences).values(until=alerts.now + KEPT))
    await prune(database, alerts.now + KEPT + DAY)
    assert (await alerts.alerts.incident(over)).tally.total == 2
