"""A machine's clock that is set back by an hour, or forward by a day, while everything is under way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from bot.demo.slack.text import message_text
from bot.domain.errors import Unavailable
from bot.domain.rollouts.lifecycle import TargetState
from bot.services.clock import WallClock
from bot.storage import replicas
from bot.storage.db.clock_change import last_written
from bot.storage.db.engine import Database
from bot.storage.db.tables import changed_people
from tests.worlds.alert_night import ALERTS, ANA, Night, night
from tests.worlds.machine import Machine
from tests.worlds.rollouts import START, WAVES, world

pytestmark = pytest.mark.on_sqlite  # PostgreSQL tells its own time, which no test sets

BACK, FORWARD = -timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
QUIET = [f"Lom/q{number}" for number in range(20)]  # so that nothing else is most of the fleet


class Hands:
    """A clock on the wall and one that counts, set by hand."""

    def __init__(self) -> None:
        self.wall, self.counted = START, 0.0
        self.takes: list[float] = []  # seconds that pass behind each answer
        self.clock = WallClock(self.shown, lambda: self.counted)

    def shown(self) -> datetime:
        """What it shows, to somebody who may hear it late."""
        shown = self.wall
        if self.takes:
            self.passes(timedelta(seconds=self.takes.pop(0)))
        return shown

    def passes(self, by: timedelta) -> None:
        self.wall += by
        self.counted += by.total_seconds()


async def test_a_clock_that_jumps_is_followed_only_with_what_is_stored(database: Database) -> None:
    hands = Hands()
    hands.wall += FORWARD
    hands.passes(SECOND)
    assert hands.clock.now() == START + SECOND
    await hands.clock.follow(database)
    assert hands.clock.now() == START + SECOND + FORWARD


async def test_a_clock_that_is_set_right_by_seconds_moves_nothing(database: Database) -> None:
    hands = Hands()
    for step, moves in ((9.9, False), (-9.9, False), (10, True), (-10, True)):
        await hands.clock.follow(database)
        await store(database)
        hands.wall += timedelta(seconds=step)
        await hands.clock.follow(database)
        assert hands.clock.now() == hands.wall == await written(database)
        assert await stored(database) == START + timedelta(seconds=step if moves else 0)


async def test_of_two_replicas_one_moves_what_is_stored_though_the_other_writes_meanwhile(
    database: Database,
) -> None:
    one, two = Hands(), Hands()
    await store(database)
    for hands in (one, two):
        await hands.clock.follow(database)
    for hands in (one, two):
        hands.wall += FORWARD
    await one.clock.follow(database)
    await database.check_writing(two.clock.now())
    await two.clock.follow(database)
    assert await stored(database) == START + FORWARD
    assert two.clock.now() == START + FORWARD


async def test_an_answer_that_took_long_is_no_jump(database: Database) -> None:
    hands = Hands()
    await store(database)
    hands.takes = [11.0]
    await hands.clock.follow(database)
    hands.takes = [1.0]
    await hands.clock.follow(database)
    assert hands.clock.now() == hands.wall
    hands.takes = [0.95]
    await hands.clock.follow(database)
    assert hands.clock.now() == hands.wall - timedelta(seconds=0.95)
    assert await stored(database) == START


async def test_a_process_begins_with_a_time_that_came_at_once(database: Database) -> None:
    hands = Hands()
    hands.wall += FORWARD
    hands.takes = [11.0, 2.0]
    await hands.clock.begin(database)
    assert hands.takes == []
    assert hands.clock.now() == hands.wall
    hands.takes = [11.0] * 10
    with pytest.raises(Unavailable, match="too long"):
        await hands.clock.begin(database)


async def test_a_clock_that_was_set_back_between_two_lives_takes_what_is_stored_along(
    database: Database,
) -> None:
    await Hands().clock.follow(database)
    hands = Hands()
    hands.wall += BACK
    await hands.clock.begin(database)
    assert hands.clock.now() == hands.wall == await written(database)


async def test_the_time_of_a_pause_between_two_lives_has_passed(database: Database) -> None:
    await Hands().clock.follow(database)
    hands = Hands()
    hands.wall += FORWARD
    await hands.clock.begin(database)
    assert hands.clock.now() == START + FORWARD
    assert await written(database) == START


async def written(database: Database) -> datetime | None:
    async with database.read() as connection:
        return await last_written(connection)


async def store(database: Database) -> None:
    """Something that moves."""
    async with database.write() as connection:
        await connection.execute(delete(changed_people))
        await replicas.add_change(connection, "U0ANA00001", START)


async def stored(database: Database) -> datetime:
    async with database.read() as connection:
        (at,) = (await replicas.changes_since(connection, START - FORWARD)).values()
    return at


# ---- the whole bot


async def jumps(machine: Machine, database: Database, by: timedelta) -> None:
    """Somebody sets the clock, and the tick that looks at it comes."""
    machine.is_set(by)
    await machine.clock.follow(database)


@pytest.mark.parametrize("by", [timedelta(), BACK, FORWARD])
async def test_a_rollout_takes_as_long_as_if_no_clock_had_jumped(by: timedelta, database_url: str) -> None:
    async with world(database_url, gateways=2, rules=replace(WAVES, waves=(1.0,)), quick=True) as it:
        rollout_id = await it.running()
        await it.passes(3)
        assert set((await it.states(rollout_id)).values()) == {TargetState.REPORTED}
        await jumps(it.machine, it.database, by)
        await it.passes(1)
        assert len(await it.in_flight(rollout_id)) == 2
        await it.passes(1)
        assert set((await it.states(rollout_id)).values()) == {TargetState.VERIFIED}
        assert it.started_more_than_once() == {}


@pytest.fixture
async def dark(tmp_path: Path) -> AsyncIterator[Night]:
    """Oslo has an open alert for a minute, Voss is silenced for twenty, Bergen has just gone dark."""
    async with night(tmp_path, "Oslo/a", "Bergen/b", "Voss/c", *QUIET) as it:
        await it.bot.silences.silence(ANA, "tag:Voss for 20m", ALERTS)
        it.goes("offline", "a", "c")
        assert await minutes_until(it, "Oslo: 1 of 1 gateway") == 6
        it.goes("offline", "b")
        await it.passes(1)
        yield it


async def minutes_until(it: Night, words: str) -> int:
    """So many minutes go by until the channel says this."""
    for minute in range(60):
        if any(words in message_text(one) for one in it.slack.workspace.in_channel(ALERTS)):
            return minute
        await it.passes(1)
    raise AssertionError(words)


@pytest.mark.parametrize("by", [timedelta(), BACK, FORWARD])
async def test_alerts_silences_and_reminders_come_when_they_would_have(dark: Night, by: timedelta) -> None:
    listing = asyncio.create_task(dark.listing())  # one is under way
    await asyncio.sleep(0)
    await jumps(dark.machine, dark.database, by)
    await listing
    assert await minutes_until(dark, "Bergen: 1 of 1 gateway") == 5
    assert await minutes_until(dark, "nobody has acknowledged") == 4
    assert await minutes_until(dark, "Voss: 1 of 1 gateway") == 5
