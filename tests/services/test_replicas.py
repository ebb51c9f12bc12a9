"""What is acted on once, whichever replica hears it, and what one replica tells the others."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.services.context import Context
from bot.services.pruning import Retention
from bot.services.replicas import ChangedPeople, Heard
from bot.storage.db.engine import Database

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.on_both
async def test_a_mention_is_remembered_for_two_hours(database: Database) -> None:
    now = NOW
    context = Context(database, lambda: now)
    heard = Heard(context)
    assert await heard.is_new("Ev1")
    now += timedelta(hours=2)
    await Retention(context).prune()
    assert not await heard.is_new("Ev1")
    now += SECOND
    await Retention(context).prune()
    assert await heard.is_new("Ev1")


async def test_a_change_is_heard_of_for_fifteen_minutes(database: Database) -> None:
    forgotten: list[str] = []
    now = NOW

    def replica() -> ChangedPeople:
        return ChangedPeople(Context(database, lambda: now), forget=forgotten.append)

    await replica().tell("U0ANA00001")
    now = NOW + timedelta(minutes=15)
    await replica().tick()
    assert forgotten == []
    now -= SECOND
    await replica().tick()
    assert forgotten == ["U0ANA00001"]
