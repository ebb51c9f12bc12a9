"""Subscriptions as rows: one of a kind in a channel, and a number that comes back with it."""

from datetime import UTC, datetime, time, timedelta

import pytest

from bot.domain.subscriptions import Subscription, Topic, parse_subscription
from bot.storage import subscriptions as store
from bot.storage.cards import broken_channels
from bot.storage.db.engine import Database

pytestmark = pytest.mark.on_both

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


async def add(database: Database, channel: str, text: str, by: str = "U1") -> Subscription:
    async with database.write() as connection:
        return await store.add(connection, channel, parse_subscription(text), by, NOW)


async def test_what_was_added_is_found_by_topic_and_by_channel(database: Database) -> None:
    offline = await add(database, "C1", "offline tag:oslo")
    digest = await add(database, "C2", "digest at 07:30 in Europe/Oslo")
    async with database.read() as connection:
        assert await store.of_topic(connection, Topic.OFFLINE) == [offline]
        assert await store.of_channel(connection, "C2") == [digest]
        assert await store.load(connection, digest.id) == digest
    assert (digest.at, digest.zone, digest.query) == (time(7, 30), "Europe/Oslo", "")


async def test_a_channel_has_a_topic_and_a_query_once(database: Database) -> None:
    first = await add(database, "C1", "digest at 07:30")
    again = await add(database, "C1", "digest at 09:00", by="U2")
    assert (again.id, again.at, again.by) == (first.id, time(9), "U2")
    async with database.read() as connection:
        assert await store.count_of(connection, "C1") == 1


async def test_what_was_ended_is_gone_and_can_come_back_with_its_number(database: Database) -> None:
    made = await add(database, "C1", "offline tag:oslo")
    async with database.write() as connection:
        ended = await store.remove(connection, made.id, LATER)
        assert ended is not None
        assert await store.of_channel(connection, "C1") == []
        assert await store.remove(connection, made.id, LATER) is None
        back = await store.restore(connection, made.id, ended.version)
        assert back is not None
        assert await store.load(connection, made.id) == back
    assert (back.id, back.query) == (made.id, made.query)


async def test_what_was_made_anew_meanwhile_is_not_brought_back_over_it(database: Database) -> None:
    made = await add(database, "C1", "digest at 07:30")
    async with database.write() as connection:
        ended = await store.remove(connection, made.id, LATER)
    assert ended is not None
    await add(database, "C1", "digest at 09:00")
    async with database.write() as connection:
        assert await store.restore(connection, made.id, ended.version) is None


async def test_those_of_a_broken_channel_say_why_until_it_is_whole(database: Database) -> None:
    await add(database, "C1", "offline")
    await add(database, "C2", "offline")
    async with database.write() as connection:
        assert await broken_channels.record_broken(connection, "C1", "is_archived", NOW)
        found = await store.of_topic(connection, Topic.OFFLINE)
        assert [one.broken for one in found] == ["is_archived", None]
        await broken_channels.mark_channel_working(connection, "C1")
        assert [one.broken for one in await store.of_topic(connection, Topic.OFFLINE)] == [None, None]


async def test_those_of_one_channel_are_listed_before_the_others(database: Database) -> None:
    for channel in ("C1", "C2", "C3"):
        await add(database, channel, "offline")
    async with database.read() as connection:
        found = await store.everyone(connection, first="C2")
    assert [one.channel for one in found] == ["C2", "C1", "C3"]
