"""Questions about the gateways of rollouts, however many they name."""

import pytest

from bot.domain.gateways import GatewayId
from bot.domain.rollouts.lifecycle import RolloutId
from bot.storage.db.engine import Database
from bot.storage.rollouts import batches, targets

pytestmark = pytest.mark.on_both

MANY = 70_000  # more than PostgreSQL takes parameters in one statement


async def test_a_question_about_very_many_is_one_value(database_url: str) -> None:
    database = Database.open(database_url)
    try:
        names = [f"bmac-{number}" for number in range(MANY)]
        async with database.read() as connection:
            assert await targets.labels(connection, RolloutId(1), [GatewayId(one) for one in names]) == []
            assert await targets.site_sizes(connection, names) == {}
            assert await batches.rollout_of_job(connection, names) == {}
    finally:
        await database.close()
