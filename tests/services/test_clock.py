"""A machine's clock that is set back by an hour, or forward by a day, while everything is under way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.demo.slack.text import message_text
from bot.domain.rollouts.rollout import TargetState
from bot.services.clock import WallClock
from bot.storage.db.engine import Database
from bot.storage.db.moments import last_written
from tests.worlds.alert_night import ALERTS, ANA, Night, night
from tests.worlds.machine import Machine
from tests.worlds.rollouts import START, WAVES, world

BACK, FORWARD = -timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
QUIET = [f"Lom/q{number}" for number in range(20)]  # so that nothing else is most of the fleet


class Hands:
    """A clock on the wall and one that counts, set by hand."""

    def __init__(self) -> None:
        self.wall, self.counted = START, 0.0
        self.clock = WallClock(lambda: self.wall, lambda: self.counted)

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
    await database.check_writing(START)
    for step, moves in ((9.9, False), (-9.9, False), (10, True), (-10, True)):
        hands.wall += timedelta(seconds=step)
        before = await written(database)
        await hands.clock.follow(database)
        assert hands.clock.now() == hands.wall
        assert (await written(database) != before) is moves


async def test_a_clock_that_was_set_back_between_two_lives_takes_what_is_stored_along(
    database: Database,
) -> None:
    await database.check_writing(START)
    hands = Hands()
    hands.wall += BACK
    await hands.clock.begin(database)
    assert hands.clock.now() == hands.wall == await written(database)


async def test_the_time_of_a_pause_between_two_lives_has_passed(database: Database) -> None:
    await database.check_writing(START)
    hands = Hands()
    hands.wall += FORWARD
    await hands.clock.begin(database)
    assert hands.clock.now() == START + FORWARD
    assert await written(database) == START


async def written(database: Database) -> datetime | None:
    async with database.read() as connection:
        return await last_written(connection)


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
        assert await minutes_until(it, "gateway at Oslo") == 6
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
    assert await minutes_until(dark, "gateway at Bergen") == 5
    assert await minutes_until(dark, "nobody has acknowledged") == 4
    assert await minutes_until(dark, "gateway at Voss") == 5
