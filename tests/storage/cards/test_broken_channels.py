"""Channels that break, and their cards when they are whole again."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from bot.storage.cards import broken_channels
from bot.storage.cards import cards as wanted
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards

pytestmark = pytest.mark.on_both

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


async def test_a_channel_is_lost_once_and_told_of_once(database: Database) -> None:
    async with database.write() as connection:
        assert await broken_channels.record_broken(connection, "C1", "is_archived", NOW)
        assert not await broken_channels.record_broken(connection, "C1", "not_in_channel", NOW)
        assert await broken_channels.untold(connection) == [("C1", "is_archived", NOW)]
        assert await broken_channels.record_told(connection, "C1", NOW)
        assert not await broken_channels.record_told(connection, "C1", NOW)
        assert await broken_channels.untold(connection) == []
        assert await broken_channels.broken(connection) == {"C1": "is_archived"}


async def test_a_channel_that_breaks_again_is_told_of_again(database: Database) -> None:
    async with database.write() as connection:
        await broken_channels.record_broken(connection, "C1", "is_archived", NOW)
        await broken_channels.record_told(connection, "C1", NOW)
        assert await broken_channels.mark_channel_working(connection, "C1")
        assert not await broken_channels.mark_channel_working(connection, "C1")
        await broken_channels.record_broken(connection, "C1", "is_archived", NOW)
        assert len(await broken_channels.untold(connection)) == 1


async def test_cards_of_a_channel_that_is_whole_again_are_edited_and_the_unposted_make_room(
    database: Database,
) -> None:
    async with database.write() as connection:
        await broken_channels.record_broken(connection, "C1", "is_archived", NOW)
        for subject in ("1", "2"):
            await wanted.open_cards(connection, About(CardKind.INCIDENT, subject), ["C1"], NOW)
        await connection.execute(update(cards).values(state="broken", error="is_archived"))
        await connection.execute(update(cards).where(cards.c.subject == "1").values(ts="1.1", shown=1))
        await broken_channels.mark_channel_working(connection, "C1")
        (left,) = (await connection.execute(select(cards))).all()
    assert (left.subject, left.state, left.error, left.wanted) == ("1", "live", None, 2)
