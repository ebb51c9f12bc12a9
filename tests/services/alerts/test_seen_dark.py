"""On the first day, what has been dark for long is one card, and not one for each site."""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.incident_kinds import IncidentKind, IncidentState
from bot.storage.db.engine import Database
from tests.worlds.alerts import MINUTE, World

FLEET = [f"f{number:03}" for number in range(100)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def new_to(database: Database, number: int, *, sites: int = 20) -> World:
    """A fleet that no listing has shown yet, in which so many have been dark for weeks, each since a day of
    its own.
    """
    names = [f"site{place % sites}/{one}" for place, one in enumerate(FLEET)]
    world = await World.begin(database, *names, listings=0)
    for days, one in enumerate(FLEET[:number]):
        world.goes("offline", one, at=world.now - timedelta(days=40 - days))
    return world


async def first_day(database: Database, number: int = 30, *, sites: int = 20) -> World:
    """That fleet, seen and told of."""
    world = await new_to(database, number, sites=sites)
    await world.passes(6)
    return world


async def kinds(world: World) -> list[tuple[IncidentKind, int]]:
    """The live incidents by kind, and how many are down in each."""
    return sorted((one.kind, one.tally.down) for one in await world.live())


async def test_what_was_dark_before_it_was_first_seen_is_one_card(database: Database) -> None:
    world = await first_day(database)
    incident = await world.only_incident()
    assert (incident.kind, incident.tally.down, incident.sites) == (IncidentKind.SEEN_DARK, 30, 20)
    assert [one.id for one in incident.first] == FLEET[:10]
    assert len(await world.cards()) == 1
    assert [note.kind for note in await world.notes()] == ["incident_gateways"]


async def test_who_is_offline_without_a_time_was_dark_before_it_was_first_seen(database: Database) -> None:
    world = await new_to(database, 30)
    for one in FLEET[:30]:
        world.fleet[one] = replace(world.fleet[one], changed_at=None)
    await world.passes(8)
    assert await kinds(world) == [(IncidentKind.SEEN_DARK, 30)]


async def test_a_few_that_were_dark_before_are_their_sites_incidents(database: Database) -> None:
    world = await first_day(database, 9)
    assert await kinds(world) == [(IncidentKind.OFFLINE, 1)] * 9


async def test_one_site_that_was_dark_before_is_that_sites_incident(database: Database) -> None:
    world = await first_day(database, sites=1)
    assert await kinds(world) == [(IncidentKind.OFFLINE, 30)]


async def test_who_goes_later_never_joins_what_was_dark_before(database: Database) -> None:
    world = await first_day(database)
    world.goes("offline", FLEET[40])
    await world.passes(7)
    assert await kinds(world) == [(IncidentKind.OFFLINE, 1), (IncidentKind.SEEN_DARK, 30)]


async def test_a_storm_right_after_the_first_sight_is_a_card_of_its_own(database: Database) -> None:
    world = await new_to(database, 12)
    await world.passes(1)
    world.now += MINUTE / 2
    world.goes("offline", *FLEET[20:32])
    await world.passes(10)
    assert await kinds(world) == [(IncidentKind.SEEN_DARK, 12), (IncidentKind.STORM, 12)]


async def test_its_card_is_edited_as_they_come_back_until_all_have(database: Database) -> None:
    world = await first_day(database)
    (card,) = await world.cards()
    world.goes("online", *FLEET[:12])
    await world.passes(4)
    incident = await world.only_incident()
    assert (incident.tally.down, incident.tally.back) == (18, 12)
    assert (await world.cards())[0].wanted > card.wanted
    world.goes("online", *FLEET[12:30])
    await world.passes(4)
    assert (await world.alerts.incident(incident.id)).state is IncidentState.RESOLVED


async def test_who_came_back_and_goes_again_is_its_sites_incident(database: Database) -> None:
    world = await first_day(database)
    world.goes("online", FLEET[0])
    await world.passes(4)
    world.goes("offline", FLEET[0])
    await world.passes(7)
    assert await kinds(world) == [(IncidentKind.OFFLINE, 1), (IncidentKind.SEEN_DARK, 29)]


async def test_a_restart_on_the_first_day_makes_no_second_card(database: Database) -> None:
    world = await first_day(database)
    world.restart()
    await world.passes(6)
    assert len(await world.cards()) == 1


async def silencing(database: Database, *ids: str) -> tuple[World, set[str]]:
    """The same fleet; the alerts of these are held until they are taken out of the set."""
    world = await new_to(database, 30)
    hushed = set(ids)

    async def silenced() -> Collection[str]:
        return hushed

    world.silenced = silenced
    world.restart()
    return world, hushed


async def test_what_was_left_behind_joins_before_anybody_is_told(database: Database) -> None:
    world, hushed = await silencing(database, *FLEET[:5])
    await world.passes(3)
    assert await kinds(world) == [(IncidentKind.SEEN_DARK, 25)]
    hushed.clear()
    await world.passes(4)
    assert await kinds(world) == [(IncidentKind.SEEN_DARK, 30)]


async def test_nobody_joins_it_once_people_were_told(database: Database) -> None:
    world, hushed = await silencing(database, *FLEET[:15])
    await world.passes(6)
    hushed.difference_update(FLEET[:3])
    await world.passes(3)
    assert await kinds(world) == [*[(IncidentKind.OFFLINE, 1)] * 3, (IncidentKind.SEEN_DARK, 15)]
    hushed.clear()
    await world.passes(3)
    assert (await kinds(world))[3:] == [(IncidentKind.SEEN_DARK, 12), (IncidentKind.SEEN_DARK, 15)]
