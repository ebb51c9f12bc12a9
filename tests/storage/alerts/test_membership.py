"""Incidents as sets of rows, on both databases."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from bot.domain.alerts.incidents import Acknowledgement, Cut, Thresholds
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentState, Trouble
from bot.storage import listings
from bot.storage.alerts import acknowledgements, incidents
from bot.storage.alerts import membership as store
from bot.storage.db.engine import Database
from bot.storage.db.tables import incident_gateways
from bot.storage.db.tables import incidents as incidents_table
from tests.worlds.alerts import MINUTE, START, World

pytestmark = pytest.mark.on_both

OFFLINE = Trouble.OFFLINE


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def dark(database: Database, *gateways: str) -> tuple[World, Thresholds]:
    """All gateways offline long ago and nothing evaluated yet, with thresholds that take them all."""
    world = await World.begin(database, *gateways)
    world.goes("offline", *world.fleet)
    await world.take_in()
    return world, everybody(world)


def everybody(world: World) -> Thresholds:
    cut = Cut(world.now, world.number, world.now)
    return Thresholds(START, cut, cut)


async def fill(database: Database, as_of: Thresholds) -> None:
    async with database.write() as connection:
        dark = list(await store.who_enters(connection, OFFLINE, as_of))
        await store.begin_incidents(connection, OFFLINE, dark, as_of, START + MINUTE)
        await store.join(connection, OFFLINE, dark, as_of)


async def test_only_completed_listings_are_looked_back_on_newest_first(database: Database) -> None:
    world = await World.begin(database, listings=2)
    await world.failed_listing()
    await world.listing()
    async with database.read() as connection:
        found = await listings.completed_listings(connection, 2)
        before = await listings.completed_listings(connection, 5, newest=3)
    assert [one.number for one in found] == [4, 2]
    assert [one.number for one in before] == [2, 1]
    assert found[0].finished_at == START


async def test_a_gateway_is_never_in_two_live_incidents_of_a_kind(database: Database) -> None:
    _, as_of = await dark(database, "Oslo/a", "Bergen/b")
    await fill(database, as_of)
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(
                insert(incident_gateways).values(
                    incident_id=2 if await in_incident(database, "a") == 1 else 1,
                    gateway_id="a",
                    kind="offline",
                    label="a",
                    joined_at=START,
                    offline_since=START,
                )
            )


async def in_incident(database: Database, gateway_id: str) -> int | None:
    async with database.read() as connection:
        return await incidents.live_incident_of(connection, gateway_id)


async def test_a_site_never_has_two_live_incidents_of_a_kind(database: Database) -> None:
    _, as_of = await dark(database, "Oslo/a")
    await fill(database, as_of)
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await connection.execute(
                insert(incidents_table).values(
                    kind="offline",
                    site="OSLO",
                    site_folded="oslo",
                    state="open",
                    version=1,
                    opened_at=START,
                    post_at=START,
                )
            )


async def test_beginning_and_joining_twice_changes_nothing(database: Database) -> None:
    world, as_of = await dark(database, "Oslo/a", "Oslo/b", "Bergen/c")
    await fill(database, as_of)
    ids = [GatewayId(one) for one in world.fleet]
    async with database.write() as connection:
        assert await store.begin_incidents(connection, OFFLINE, ids, as_of, START) == 0
        assert list(await store.who_enters(connection, OFFLINE, as_of)) == []
        assert list(await store.join(connection, OFFLINE, ids, as_of)) == []
        assert list(await store.join_again(connection, OFFLINE, ids, as_of)) == []


async def test_nobody_is_moved_who_need_not_be(database: Database) -> None:
    world, as_of = await dark(database, "Oslo/a")
    await fill(database, as_of)
    ids = [GatewayId(one) for one in world.fleet]
    async with database.write() as connection:
        assert list(await store.leave(connection, OFFLINE, ids, as_of)) == []
        assert list(await store.leave_as_released(connection, OFFLINE, ids, START)) == []


async def test_a_gateway_joins_by_its_name_or_by_its_id_without_one(database: Database) -> None:
    world = await World.begin(database)
    world.add("Oslo/a", name="MT1")
    world.add("Oslo/b", name="")
    world.goes("offline", "a", "b")
    await world.take_in()
    await fill(database, everybody(world))
    async with database.read() as connection:
        first = await incidents.affected(connection, IncidentId(1), None, 0)
    assert [one.label for one in first] == ["MT1", "b"]


async def test_an_incident_that_nobody_is_in_is_neither_posted_nor_kept(database: Database) -> None:
    _, as_of = await dark(database, "Oslo/a")
    async with database.write() as connection:
        await store.begin_incidents(connection, OFFLINE, [GatewayId("a")], as_of, START)
        assert list(await store.who_is_due(connection, START + MINUTE, 10)) == []
        assert await store.open_due(connection, [IncidentId(1)], START + MINUTE) == 0
        assert (await store.end_incidents(connection, START + MINUTE))[IncidentState.DROPPED] == [1]


async def test_no_more_incidents_open_at_once_than_are_asked_for(database: Database) -> None:
    _, as_of = await dark(database, *(f"site{number}/g{number}" for number in range(5)))
    await fill(database, as_of)
    async with database.write() as connection:
        first = await store.who_is_due(connection, START + MINUTE, 3)
        assert await store.open_due(connection, first, START + MINUTE) == 3
        assert list(await store.who_is_due(connection, START + MINUTE, 3)) == [4, 5]


async def test_an_acknowledgement_needs_the_version_that_was_drawn(database: Database) -> None:
    _, as_of = await dark(database, "Oslo/a")
    await fill(database, as_of)
    ana = Acknowledgement("U0ANA00001", "Ana", START)
    async with database.write() as connection:
        assert not await acknowledgements.acknowledge(connection, IncidentId(1), 2, ana)
        assert await acknowledgements.acknowledge(connection, IncidentId(1), 1, ana)
        assert not await acknowledgements.acknowledge(connection, IncidentId(1), 2, ana)
        loaded = await incidents.load(connection, IncidentId(1))
    assert loaded is not None
    assert loaded.acknowledged == ana


async def test_a_tally_tells_how_many_are_where_and_since_when(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Oslo/c")
    world.goes("offline", "a", at=START - timedelta(hours=2))
    world.goes("offline", "b", "c")
    await world.passes(7)
    world.goes("online", "a")
    back = world.now
    world.release("b")
    await world.passes(4)
    async with database.read() as connection:
        incident = await incidents.load(connection, IncidentId(1))
    assert incident is not None
    tally = incident.tally
    assert (tally.down, tally.back, tally.released, tally.total) == (1, 1, 1, 3)
    assert tally.since == START - timedelta(hours=2)
    assert tally.until is not None
    assert tally.until >= back
