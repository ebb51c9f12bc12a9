"""What availability is worked out from, as the database hands it out."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from bot.domain.gateways import FleetEvent, FleetEventKind
from bot.domain.query import EVERYTHING
from bot.storage.db.engine import Database
from bot.storage.db.tables import OF_PRESENCE
from bot.storage.db.timestamps import to_micros
from bot.storage.fleet import availability, gateways
from tests.worlds.builders import NOW

HOUR = timedelta(hours=1)
WENT, CAME, RENAMED = FleetEventKind.WENT_OFFLINE, FleetEventKind.CAME_BACK, FleetEventKind.RENAMED


@pytest.mark.on_both
async def test_changes_come_gateway_by_gateway_in_the_order_in_which_they_were_written(
    database: Database,
) -> None:
    written = [
        FleetEvent(WENT, "b", NOW - 3 * HOUR, 1, "online"),
        FleetEvent(WENT, "a", NOW - 2 * HOUR, 2, "online"),
        FleetEvent(RENAMED, "a", NOW - 2 * HOUR, 2, "GW", "Roof"),
        FleetEvent(CAME, "b", NOW - HOUR, 3, "offline"),
        FleetEvent(CAME, "a", NOW - 4 * HOUR, 3, "offline"),  # dated back by the portal
        FleetEvent(WENT, "a", NOW - 9 * HOUR, 4, "online"),  # before the period
    ]
    async with database.write() as connection:
        await gateways.add_events(connection, written)
    async with database.read() as connection:
        found = [
            tuple(change)
            async for some in availability.changes(connection, EVERYTHING, NOW - 5 * HOUR, NOW)
            for change in some
        ]
    assert found == [
        ("a", to_micros(NOW - 2 * HOUR), "went_offline", "online"),
        ("a", to_micros(NOW - 4 * HOUR), "came_back", "offline"),
        ("b", to_micros(NOW - 3 * HOUR), "went_offline", "online"),
        ("b", to_micros(NOW - HOUR), "came_back", "offline"),
    ]


async def test_an_index_alone_holds_all_that_changes_are_read_from(database: Database) -> None:
    ordered = f"WHERE at >= 1 AND {OF_PRESENCE.text} ORDER BY gateway_id, id"
    read = f"SELECT gateway_id, at, kind, coalesce(before, after) FROM fleet_events {ordered}"
    async with database.read() as connection:
        plan = [row[3] for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {read}"))]
    assert plan == ["SCAN fleet_events USING COVERING INDEX ix_fleet_events_of_presence"]
