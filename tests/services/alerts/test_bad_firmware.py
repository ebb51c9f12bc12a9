"""Gateways on a version that is known to be bad: one card for each policy, until they run another."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.alerts.incidents import Incident
from bot.domain.firmware import PolicyId
from bot.domain.incident_kinds import IncidentKind, IncidentState
from bot.slack.alerts.views.card import card
from bot.slack.alerts.views.lists import gateways as details
from bot.slack.alerts.views.notes import joined, recovered
from bot.storage import firmware_policy
from bot.storage.alerts import incidents
from bot.storage.db.engine import Database
from tests.worlds.alerts import ANA, World
from tests.worlds.builders import OPERATOR, bad_version

pytestmark = pytest.mark.on_both
BAD, GOOD = "3.3.0", "3.5.0"


@pytest.fixture
async def world(database: Database) -> World:
    """Four gateways at two sites, on a version of which nobody says anything."""
    made = await World.begin(database, "oslo/a", "oslo/b", "bergen/c", "bergen/d")
    runs(made, BAD, "a", "b", "c", "d")
    await made.passes(1)
    return made


def runs(world: World, version: str, *ids: str) -> None:
    for gateway_id in ids:
        world.fleet[gateway_id] = replace(world.fleet[gateway_id], firmware=version)


async def say(world: World, version: str = BAD, query: str = "") -> None:
    async with world.database.write() as connection:
        said = bad_version(version, query)
        assert await firmware_policy.add(connection, said) is not None


async def live(world: World) -> list[Incident]:
    async with world.database.read() as connection:
        found = [await incidents.load(connection, one.id) for one in await incidents.live(connection, 50, 0)]
    return [one for one in found if one is not None and one.kind is IncidentKind.BAD_FIRMWARE]


async def down(world: World) -> list[tuple[str, int]]:
    return [(one.site, one.tally.down) for one in await live(world)]


async def test_a_bad_version_is_one_card_of_whoever_runs_it_wherever_they_are(world: World) -> None:
    await say(world, query="-id:d")
    await world.passes(3)
    (incident,) = await live(world)
    assert (incident.state, incident.tally.down, incident.first[0].offline_since) == (
        IncidentState.OPEN,
        3,
        incident.opened_at,
    )
    shown = card(incident, world.rules)
    assert "A-1 firmware 3.3.0: 3 gateways on a version that is known to be bad" in shown.text
    assert f"P-1 by <@{OPERATOR.user_id}>: CVE-2026-1, <https://example.com/1|more>." in shown.text
    assert "Update 3 gateways…" in str(shown.blocks)
    assert "on it" in details(incident, incident.first, 0).text
    assert len(await world.cards()) == 1


async def test_who_leaves_the_version_leaves_the_card_and_who_comes_back_joins_it(world: World) -> None:
    await say(world)
    await world.passes(3)
    runs(world, GOOD, "a", "b")
    await world.passes(1)
    assert await down(world) == [(BAD, 2)]
    runs(world, BAD, "b")
    await world.passes(1)
    assert await down(world) == [(BAD, 3)]
    (incident,) = await live(world)
    assert "1 gateway runs another version." in card(incident, world.rules).text
    assert "3 gateways on" in joined(incident, {"first": ["b"], "count": 1}).text
    runs(world, GOOD, "b", "c", "d")
    await world.passes(1)
    assert await down(world) == []
    async with world.database.read() as connection:
        over = await incidents.load(connection, incident.id)
    assert over is not None
    assert "over, 4 gateways ran it" in card(over, world.rules).text
    assert "firmware 3.3.0 over after" in recovered(over, {}).text


async def test_a_new_gateway_on_a_bad_version_is_told_of(world: World) -> None:
    await say(world)
    runs(world, GOOD, "a", "b", "c", "d")
    await world.passes(3)
    assert await down(world) == []
    world.add("voss/e")
    runs(world, BAD, "e")
    await world.passes(3)
    assert await down(world) == [(BAD, 1)]


async def test_another_bad_version_is_another_card(world: World) -> None:
    await say(world)
    await say(world, "3.4.0")
    await world.passes(3)
    runs(world, "3.4.0", "a")
    await world.passes(3)
    assert sorted(await down(world)) == [(BAD, 3), ("3.4.0", 1)]


async def test_the_card_is_over_when_the_policy_ends(world: World) -> None:
    await say(world)
    await world.passes(3)
    async with world.database.write() as connection:
        await firmware_policy.end(connection, PolicyId(1), ANA.user_id, world.now)
    await world.passes(1)
    assert await down(world) == []


async def test_who_goes_offline_on_a_bad_version_is_an_outage_too(world: World) -> None:
    await say(world)
    await world.passes(3)
    world.goes("offline", "a", "b")
    await world.passes(10)
    async with world.database.read() as connection:
        kinds = {one.kind for one in await incidents.live(connection, 50, 0)}
    assert kinds == {IncidentKind.BAD_FIRMWARE, IncidentKind.OFFLINE}


async def test_two_replicas_and_a_restart_make_one_card(world: World) -> None:
    await say(world)
    world.now += timedelta(minutes=1)
    listing = await world.take_in()
    await asyncio.gather(*(engine.evaluate(listing) for engine in (world.engine, world.restarted())))
    world.restart()
    await world.passes(3)
    await asyncio.gather(world.engine.tick(), world.restarted().tick())
    assert await down(world) == [(BAD, 4)]
    assert len(await world.cards()) == 1
