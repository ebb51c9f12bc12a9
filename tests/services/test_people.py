"""What Slack told one replica, for the others."""

from datetime import UTC, datetime, timedelta

from bot.services.context import Context
from bot.services.people import ChangedPeople
from bot.storage.db.engine import Database

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


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
