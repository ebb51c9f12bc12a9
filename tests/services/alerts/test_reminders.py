"""Who is reminded of an incident, and when that stops."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.incident_kinds import IncidentKind
from bot.services.alerts.notes import RECOVERED
from bot.services.alerts.reminders import ESCALATED, STILL_YOURS, Reminders
from bot.services.context import Context
from bot.storage.cards import broken_channels, cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Database
from tests.worlds.alerts import ANA, MINUTE, World, rollout
from tests.worlds.databases import sqlite_url

GROUPS = ["S0ONCALL01"]


class Killed(Exception):
    """The process ends in the middle of a tick."""


class Room:
    """One dark gateway in a posted incident, and reminders."""

    def __init__(self, world: World, groups: list[str]) -> None:
        self.world = world
        self.hushed: set[str] = set()
        self.of_sites: dict[str, str] = {}
        self.dies = False
        self.reminders = Reminders(
            Context(world.database, lambda: world.now),
            groups=groups,
            called_at=self._of_sites,
            silenced=self._silenced,
        )

    async def _of_sites(self, sites: Collection[str]) -> Mapping[str, str]:
        if self.dies:
            raise Killed
        return {one: self.of_sites[one] for one in sites if one in self.of_sites}

    async def _silenced(self) -> Collection[str]:
        return self.hushed

    async def after(self, length: timedelta) -> list[str]:
        """The notes there are so long after the first post, with a tick each ten minutes and at its end."""
        end = (await self.world.only_incident()).post_at + length
        while self.world.now < end:
            self.world.now = min(self.world.now + 10 * MINUTE, end)
            await self.reminders.tick()
        return [note.kind for note in await self.world.notes() if note.kind != RECOVERED]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = Database.open(sqlite_url(tmp_path))
    world = await World.begin(database, "Oslo/a", "Oslo/b")
    world.goes("offline", "a")
    await world.passes(6)
    yield world
    await database.close()


async def test_groups_are_told_after_ten_and_thirty_minutes_then_hourly_five_times(world: World) -> None:
    room = Room(world, GROUPS)
    told = [len(await room.after(timedelta(minutes=m))) for m in (9, 10, 29, 30, 89, 90, 330, 1000)]
    assert told == [0, 1, 1, 2, 2, 3, 7, 7]
    (first, *_) = await world.notes()
    assert (first.kind, first.broadcast, first.body["called"]) == (ESCALATED, True, GROUPS)


async def test_of_several_copies_of_a_card_one_calls_people(world: World) -> None:
    room = Room(world, GROUPS)
    incident = await world.only_incident()
    async with world.database.write() as connection:
        about = About(CardKind.INCIDENT, str(incident.id))
        await cards.open_cards(connection, about, ["C0OSLO"], world.now)
    await room.after(timedelta(minutes=10))
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    await room.after(timedelta(hours=4, minutes=11))
    told = [(note.kind, note.channel, note.body) for note in await world.notes()]
    assert told == [
        (ESCALATED, "C0ALERTS", {"incident": 1, "called": GROUPS, "down": 1}),
        (ESCALATED, "C0OSLO", {"incident": 1, "down": 1}),
        (STILL_YOURS, "C0ALERTS", {"incident": 1, "user": ANA.user_id, "name": "Ana", "down": 1}),
        (STILL_YOURS, "C0OSLO", {"incident": 1, "name": "Ana", "down": 1}),
    ]


async def test_the_copy_in_a_channel_where_nothing_can_be_posted_calls_nobody(world: World) -> None:
    incident = await world.only_incident()
    async with world.database.write() as connection:
        about = About(CardKind.INCIDENT, str(incident.id))
        await cards.open_cards(connection, about, ["C0OSLO"], world.now)
        await broken_channels.record_broken(connection, "C0ALERTS", "is_archived", world.now)
    await Room(world, GROUPS).after(timedelta(minutes=10))
    assert [note.channel for note in await world.notes() if "called" in note.body] == ["C0OSLO"]


async def test_without_groups_nobody_is_told(world: World) -> None:
    assert await Room(world, []).after(timedelta(hours=2)) == []


async def test_the_group_of_a_site_is_told_in_place_of_the_others(world: World) -> None:
    room = Room(world, GROUPS)
    room.of_sites = {"Oslo": "S0OSLO0001"}
    await room.after(timedelta(minutes=10))
    (note,) = await world.notes()
    assert note.body["called"] == ["S0OSLO0001"]


async def test_the_group_of_a_site_is_told_where_there_are_no_others(world: World) -> None:
    room = Room(world, [])
    room.of_sites = {"Oslo": "S0OSLO0001"}
    assert await room.after(timedelta(minutes=10)) == [ESCALATED]


@pytest.mark.parametrize("groups", [GROUPS, []])
async def test_the_person_of_a_site_is_told_beside_the_groups(world: World, groups: list[str]) -> None:
    room = Room(world, groups)
    room.of_sites = {"Oslo": "U0OLA00001"}
    await room.after(timedelta(minutes=10))
    (note,) = await world.notes()
    assert note.body["called"] == ["U0OLA00001", *groups]


async def test_two_replicas_of_which_one_dies_tell_the_group_of_a_site_once(world: World) -> None:
    dying, other, third = (Room(world, GROUPS) for _ in range(3))
    for room in (dying, other, third):
        room.of_sites = {"Oslo": "S0OSLO0001"}
    world.now = (await world.only_incident()).post_at + timedelta(minutes=10)
    dying.dies = True
    ended = await asyncio.gather(
        dying.reminders.tick(), other.reminders.tick(), third.reminders.tick(), return_exceptions=True
    )
    assert [type(one) for one in ended].count(Killed) == 1
    assert await Room(world, GROUPS).reminders.tick() == 0  # who starts again finds it said
    assert [note.body["called"] for note in await world.notes()] == [["S0OSLO0001"]]


async def test_an_acknowledgement_stops_escalation(world: World) -> None:
    room = Room(world, GROUPS)
    await room.after(timedelta(minutes=10))
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    assert await room.after(timedelta(hours=2)) == [ESCALATED]


async def test_a_silence_stops_escalation(world: World) -> None:
    room = Room(world, GROUPS)
    room.hushed = {"a"}
    assert await room.after(timedelta(hours=2)) == []


async def test_a_rollout_stops_escalation(world: World) -> None:
    await world.claim("a")
    assert await Room(world, GROUPS).after(timedelta(hours=2)) == []


async def test_the_end_stops_escalation(world: World) -> None:
    room = Room(world, GROUPS)
    world.goes("online", "a")
    await world.passes(4)
    world.now += timedelta(hours=1)
    assert await room.reminders.tick() == 0
    assert [note.kind for note in await world.notes()] == [RECOVERED]


async def test_after_a_pause_what_was_missed_is_said_once(world: World) -> None:
    room = Room(world, GROUPS)
    world.now += timedelta(hours=3)
    assert await room.reminders.tick() == 1
    assert await room.reminders.tick() == 0


async def test_what_was_held_back_reminds_after_its_post_and_not_with_it(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path, "held.db"))
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(5)
    for _ in range(3):
        await world.failed_listing()
    world.now += timedelta(hours=1)
    await world.engine.tick()
    await world.passes(1)
    room = Room(world, GROUPS)
    assert await room.after(timedelta(minutes=9)) == []
    assert await room.after(timedelta(minutes=10)) == [ESCALATED]
    await database.close()


async def test_who_acknowledged_is_asked_after_four_hours_and_again(world: World) -> None:
    room = Room(world, GROUPS)
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    assert await room.after(timedelta(hours=3, minutes=59)) == []
    assert await room.after(timedelta(hours=4, minutes=1)) == [STILL_YOURS]
    assert await room.after(timedelta(hours=8, minutes=2)) == [STILL_YOURS] * 2


async def test_a_silence_keeps_whoever_has_it_from_being_asked(world: World) -> None:
    room = Room(world, GROUPS)
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    room.hushed = {"a"}
    assert await room.after(timedelta(hours=9)) == []


async def test_a_rollout_keeps_whoever_has_it_from_being_asked(world: World) -> None:
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    await world.claim("a")
    assert await Room(world, GROUPS).after(timedelta(hours=9)) == []


async def test_nobody_is_asked_of_what_flaps(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path, "flapping.db"))
    world = await World.begin(database, "Oslo/a")
    for number in range(4):
        world.goes("online" if number % 2 else "offline", "a")
        await world.passes(2)
    incident = await world.only_incident()
    assert incident.kind is IncidentKind.FLAPPING
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    assert await Room(world, GROUPS).after(timedelta(hours=9)) == []
    await database.close()


async def test_the_incident_says_when_whoever_has_it_was_asked(world: World) -> None:
    room = Room(world, GROUPS)
    incident = await world.only_incident()
    await world.alerts.acknowledge(ANA, incident.id, incident.version)
    taken = world.now
    await room.after(timedelta(hours=5))
    assert (await world.only_incident()).asked_at == taken + timedelta(hours=4)


async def test_what_did_not_return_is_told_at_once(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path, "other.db"))
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.claim("a")
    await world.passes(20)
    await rollout(world, "a")
    await world.unclaim("a")
    await world.passes(2)
    assert await Room(world, GROUPS).reminders.tick() == 1
    await database.close()
