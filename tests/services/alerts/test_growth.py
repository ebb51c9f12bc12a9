"""An incident that grows is heard: in the channel once, and by whoever had acknowledged it."""

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot.domain.errors import Stale
from bot.domain.incident_kinds import IncidentKind
from bot.services.alerts.notes import GATEWAYS, JOINED
from bot.services.alerts.reminders import ESCALATED, STILL_YOURS, Reminders
from bot.services.context import Context
from bot.storage.db.engine import Database
from bot.storage.db.tables import audit
from tests.worlds.alerts import ANA, BEN, MINUTE, World, rollout
from tests.worlds.builders import alert_rules

OSLO = [f"o{number:02}" for number in range(60)]
LATER = OSLO[1:21]  # fewer than would be a loss of sight
ONE_EACH = [f"x{number:02}" for number in range(40)]  # each at a site of its own


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def dark(database: Database, number: int = 1) -> World:
    """So many gateways of Oslo have been dark for long, on a card."""
    world = await World.begin(database, *(f"Oslo/{one}" for one in OSLO))
    world.goes("offline", *OSLO[:number])
    await world.passes(7)
    return world


async def acknowledged(database: Database, number: int = 1) -> World:
    """As that, and Ana has it."""
    world = await dark(database, number)
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    return world


async def go(world: World, *ids: str, minutes: int = 7) -> None:
    world.goes("offline", *ids)
    await world.passes(minutes)


def silences(world: World, *ids: str) -> set[str]:
    """Whose alerts are held until they are taken out of it."""
    hushed = set(ids)

    async def silenced() -> Collection[str]:
        return hushed

    world.silenced = silenced
    world.restart()
    return hushed


async def loud(world: World) -> list[bool]:
    """Of each note about gateways that joined, whether the channel reads it."""
    return [note.broadcast for note in await joined(world)]


async def joined(world: World) -> list[Any]:
    """The notes about gateways that joined."""
    return [note for note in await world.notes() if note.kind == JOINED]


async def files(world: World) -> int:
    """How many files of its gateways an incident's thread has."""
    return len([note for note in await world.notes() if note.kind == GATEWAYS])


# ---- what was acknowledged
async def test_an_acknowledgement_ends_when_half_as_many_again_are_down(database: Database) -> None:
    world = await acknowledged(database)
    given = await world.only_incident()
    await go(world, *LATER)
    incident = await world.only_incident()
    assert incident.acknowledged is None
    assert incident.version == given.version + 1
    lapse = incident.lapse
    assert lapse is not None
    assert (lapse.by, lapse.gateways, lapse.more) == (given.acknowledged, 1, 20)


async def test_an_acknowledgement_covers_two_more_even_where_that_is_half_as_many_again(
    database: Database,
) -> None:
    world = await acknowledged(database, 4)
    await go(world, *OSLO[4:6])
    assert (await world.only_incident()).acknowledged is not None
    assert await loud(world) == [False]
    await go(world, OSLO[6])
    assert (await world.only_incident()).acknowledged is None
    assert await loud(world) == [False, True]


async def test_a_worse_severity_is_heard_however_few_joined(database: Database) -> None:
    world = await acknowledged(database, 9)
    await go(world, OSLO[9])
    assert (await world.only_incident()).acknowledged is None, "ten are a major alert"
    assert await loud(world) == [True]


async def test_what_replaces_gateways_that_are_back_is_covered(database: Database) -> None:
    world = await acknowledged(database, 4)
    world.goes("online", *OSLO[:3])
    await go(world, *OSLO[4:7])
    assert (await world.only_incident()).acknowledged is not None


async def test_the_channel_reads_who_had_it_and_how_many_more_there_are(database: Database) -> None:
    world = await acknowledged(database)
    taken = world.now
    await go(world, *LATER)
    (note,) = await joined(world)
    assert note.broadcast
    growth = {"told": 1, "down": 21, "user": ANA.user_id, "at": taken.isoformat()}
    assert note.body == {"incident": 1, "count": 20, "first": LATER[:3]} | growth


async def test_the_log_tells_that_an_acknowledgement_ended_by_itself(database: Database) -> None:
    world = await acknowledged(database)
    await go(world, *LATER)
    given, ended = await world.rows(select(audit).order_by(audit.c.id))
    assert (ended.actor, ended.action, ended.subject) == ("meshbot", "incident_ack_ended", given.subject)
    assert (ended.before, ended.after) == ("1 offline, acknowledged by Ana", "21 offline")


async def test_who_acknowledges_it_again_has_it_as_large_as_it_is(database: Database) -> None:
    world = await acknowledged(database)
    await go(world, *LATER)
    incident = await world.only_incident()
    await world.alerts.acknowledge(BEN, incident.id, incident.version)
    await go(world, *OSLO[21:30])
    incident = await world.only_incident()
    assert incident.acknowledged is not None
    assert (incident.acknowledged.name, incident.lapse) == ("Ben", None)


async def test_a_button_from_before_it_grew_is_refused(database: Database) -> None:
    world = await dark(database)
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    await go(world, *LATER)
    with pytest.raises(Stale, match="changed"):
        await world.alerts.acknowledge(BEN, incident.id, incident.version)


async def test_an_acknowledgement_from_before_the_post_covers_what_was_down_then(database: Database) -> None:
    rules = alert_rules(group_wait=20 * MINUTE)
    world = await World.begin(database, *(f"Oslo/{one}" for one in OSLO), rules=rules)
    await go(world, OSLO[0])
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    await go(world, *LATER)
    assert (await world.only_incident()).acknowledged is None


# ---- who is reminded
async def reminded(world: World, length: timedelta) -> list[str]:
    """What is said in so long to remind somebody, with a tick each minute."""

    async def nobody() -> Collection[str]:
        return ()

    reminders = Reminders(Context(world.database, lambda: world.now), groups=["S0ONCALL01"], silenced=nobody)
    before = len(await world.notes())
    for _ in range(length // MINUTE):
        world.now += MINUTE
        await reminders.tick()
    return [note.kind for note in (await world.notes())[before:]]


async def test_reminders_begin_anew_when_an_acknowledgement_ends(database: Database) -> None:
    world = await dark(database)
    assert await reminded(world, timedelta(hours=1)) == [ESCALATED] * 2
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    await go(world, *LATER, minutes=5)
    assert await reminded(world, timedelta(minutes=9)) == []
    assert await reminded(world, timedelta(hours=12)) == [ESCALATED] * 7


@pytest.mark.on_both
async def test_who_had_it_is_not_asked_whether_it_is_still_theirs(database: Database) -> None:
    world = await acknowledged(database)
    await go(world, *LATER)
    assert STILL_YOURS not in await reminded(world, timedelta(hours=6))


# ---- what nobody acknowledged
async def test_an_incident_that_grows_by_half_tells_the_channel_once(database: Database) -> None:
    world = await dark(database)
    await go(world, *LATER)
    (note,) = await joined(world)
    assert note.broadcast
    assert (note.body["told"], note.body["down"]) == (1, 21)
    assert "user" not in note.body
    assert (await world.only_incident()).lapse is None


async def test_it_is_compared_with_what_the_channel_was_told_last(database: Database) -> None:
    world = await dark(database, 3)
    await go(world, *OSLO[3:5])
    await go(world, OSLO[5])
    await go(world, *OSLO[6:8])
    await go(world, OSLO[8])
    assert await loud(world) == [False, True, False, True]


async def test_those_that_come_again_and_those_that_are_new_are_one_note(database: Database) -> None:
    world = await dark(database, 2)
    world.goes("online", OSLO[0])
    await world.passes(4)
    await go(world, OSLO[0], *OSLO[2:20])
    (note,) = await joined(world)
    assert (note.broadcast, note.body["count"]) == (True, 19)


@pytest.mark.on_both
async def test_a_listing_that_is_evaluated_twice_tells_the_channel_once(database: Database) -> None:
    world = await dark(database)
    world.goes("offline", *LATER)
    await world.passes(4)
    world.now += MINUTE
    listing = await world.take_in()
    await world.engine.evaluate(listing)
    await world.restarted().evaluate(listing)
    await world.engine.evaluate(listing)
    assert await loud(world) == [True]


async def test_what_joins_before_the_post_is_on_the_card_and_in_no_note(database: Database) -> None:
    rules = alert_rules(group_wait=20 * MINUTE)
    world = await World.begin(database, *(f"Oslo/{one}" for one in OSLO), rules=rules)
    await go(world, OSLO[0])
    await go(world, *LATER, minutes=25)
    assert (await world.only_incident()).tally.down == 21
    assert await loud(world) == []


async def test_a_storm_that_grows_is_heard(database: Database) -> None:
    world = await World.begin(database, *(f"site{one}/{one}" for one in ONE_EACH))
    world.goes("offline", *ONE_EACH[:12])
    await world.passes(4)
    await go(world, *ONE_EACH[12:20])
    incident = await world.only_incident()
    assert (incident.kind, incident.tally.down) == (IncidentKind.STORM, 20)
    assert await loud(world) == [True]


@pytest.mark.on_both
async def test_more_that_a_rollout_did_not_bring_back_are_heard(database: Database) -> None:
    late = ("b", "c", "d")
    world = await World.begin(database, "Oslo/a", *(f"Oslo/{one}" for one in late))
    hushed = silences(world, *late)
    await go(world, "a", *late, minutes=1)
    await rollout(world, "a", *late)
    await world.passes(3)
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    hushed.clear()
    await world.passes(1)
    assert (await world.only_incident()).kind is IncidentKind.NOT_RETURNED
    assert (await world.only_incident()).acknowledged is None


# ---- the file of those that a card does not name
async def test_an_incident_that_outgrows_its_card_gets_the_file_of_its_gateways(database: Database) -> None:
    world = await dark(database, 10)
    assert await files(world) == 0
    await go(world, OSLO[10])
    assert await files(world) == 1


async def test_the_file_comes_again_when_the_channel_hears_how_large_it_is_now(database: Database) -> None:
    world = await dark(database, 12)
    await go(world, *OSLO[12:15])
    assert (await loud(world), await files(world)) == ([False], 1)
    await go(world, *OSLO[15:20])
    assert (await loud(world), await files(world)) == ([False, True], 2)


# ---- what is quiet
async def test_what_a_rollout_has_in_flight_makes_no_incident_grow(database: Database) -> None:
    world = await acknowledged(database)
    for one in LATER:
        await world.claim(one)
    await go(world, *LATER)
    assert (await world.only_incident()).acknowledged is not None
    assert await world.notes() == []


async def test_what_is_silenced_makes_no_incident_grow_until_the_silence_ends(database: Database) -> None:
    world = await acknowledged(database)
    hushed = silences(world, *LATER)
    await go(world, *LATER)
    assert (await world.only_incident()).acknowledged is not None
    hushed.clear()
    await world.passes(1)
    assert (await world.only_incident()).acknowledged is None


async def test_a_flapping_incident_that_grows_is_edited_only(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Oslo/c")
    await flap(world, "a")
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    await flap(world, "b", "c")
    incident = await world.only_incident()
    assert (incident.tally.down, incident.acknowledged is not None) == (3, True)
    assert await world.notes() == []


async def flap(world: World, *ids: str) -> None:
    for state in ("offline", "online", "offline", "online"):
        world.goes(state, *ids)
        await world.passes(2)
