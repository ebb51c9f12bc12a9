"""One row that cannot be read spoils itself only, in every list and through the whole bot."""

from pathlib import Path

import pytest
from sqlalchemy import select

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.workspace import ADMIN
from bot.slack.views.undrawable import left_out
from bot.storage.db.engine import Database
from bot.storage.db.tables import ticks
from bot.storage.db.unreadable_rows import legible, legible_rows, noting_what_is_left_out
from tests.worlds.house import house

ASKS: dict[str, tuple[str, ...]] = {
    "devices": (),
    "silences": ("silence id:{} for 1h", "silence id:{} for 1h"),
    "subscriptions": ("subscribe rollouts id:{}", "subscribe offline id:{}"),
}
SPOILS = {
    "devices": "UPDATE gateways SET state = 'unheard of' WHERE id = '{}'",
    "silences": "UPDATE silences SET gateways = '5' WHERE id = 1",
    "subscriptions": "UPDATE subscriptions SET topic = 'unheard of' WHERE id = 1",
}


@pytest.mark.parametrize("command", ASKS)
async def test_a_row_that_cannot_be_read_says_so_and_the_others_are_listed(
    command: str, tmp_path: Path
) -> None:
    async with house(tmp_path, FleetSimulator(gateways=10)) as made:
        first, second, *_ = made.portal.devices
        for asked, gateway in zip(ASKS[command], (first, second), strict=False):
            await made.command(ADMIN, asked.format(gateway))
        database = Database.open(f"sqlite:///{tmp_path}/meshbot.db")
        async with database.write() as connection:
            await connection.exec_driver_sql(SPOILS[command].format(first))
        await database.close()
        listed = await made.command(ADMIN, command)
    assert second in listed
    assert first not in listed
    assert left_out(1) in listed


@pytest.mark.on_both
async def test_a_time_that_cannot_be_read_spoils_its_row_only(database: Database) -> None:
    rows = "('a', '', 1), ('b', '', 9000000000000000000), ('c', '', 2)"
    in_order = select(ticks).order_by(ticks.c.name)
    async with database.write() as connection:
        await connection.exec_driver_sql(f"INSERT INTO ticks (name, owner, lease_until) VALUES {rows}")
        with noting_what_is_left_out() as noted:
            read = legible(await connection.execute(in_order), lambda row: row.name)
            taken = [row.name for row in legible_rows(await connection.execute(in_order))]
    assert read == taken == ["a", "c"]
    assert len(noted) == 2
