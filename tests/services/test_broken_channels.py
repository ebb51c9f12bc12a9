"""Who is told that nothing can be posted in a channel any more."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from bot.domain.subscriptions import parse_subscription
from bot.services.broken_channels import BrokenChannels
from bot.services.context import Context
from bot.storage import subscriptions
from bot.storage.cards import broken_channels
from bot.storage.db.engine import Database
from bot.storage.db.tables import notes

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def telling(database: Database, admins: Sequence[str] | None) -> BrokenChannels:
    async def who() -> Sequence[str] | None:
        return admins

    return BrokenChannels(Context(database, lambda: NOW), admins=who)


async def broke(database: Database, channel: str) -> None:
    async with database.write() as connection:
        await broken_channels.record_broken(connection, channel, "is_archived", NOW)


async def told(database: Database) -> list[tuple[str, list[int]]]:
    async with database.read() as connection:
        rows = await connection.execute(select(notes.c.channel, notes.c.body).order_by(notes.c.id))
        return [(row.channel, row.body["subscriptions"]) for row in rows]


@pytest.mark.on_both
async def test_each_admin_is_told_once_by_whichever_replica_is_first(database: Database) -> None:
    async with database.write() as connection:
        for text in ("offline", "rollouts tag:oslo"):
            await subscriptions.add(connection, "C0OSLO", parse_subscription(text), "U0ANA00001", NOW)
    await broke(database, "C0OSLO")
    one, other = telling(database, ["U1", "U2"]), telling(database, ["U1", "U2"])
    assert (await one.tell(), await other.tell(), await one.tell()) == (1, 0, 0)
    assert await told(database) == [("U1", [1, 2]), ("U2", [1, 2])]


async def test_while_slack_does_not_tell_who_the_admins_are_the_news_waits(database: Database) -> None:
    await broke(database, "C0OSLO")
    assert await telling(database, None).tell() == 0
    assert await telling(database, ["U1"]).tell() == 1


async def test_a_channel_that_breaks_again_after_it_was_mended_is_news_again(database: Database) -> None:
    for _ in range(2):
        await broke(database, "C0OSLO")
        assert await telling(database, ["U1"]).tell() == 1
        async with database.write() as connection:
            await broken_channels.mark_channel_working(connection, "C0OSLO")
