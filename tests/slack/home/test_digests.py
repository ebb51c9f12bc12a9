"""A digest as it is drawn before a real fleet: what cannot be told of says so, and spoils nothing else."""

from datetime import time, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from bot.domain.errors import NotFound, Unavailable
from bot.services.digests import DigestService
from bot.slack.fleet.charts import ChartPictures
from bot.slack.home.digests import DigestNotes
from bot.slack.views.blocks import Message
from bot.slack.views.undrawable import UNDRAWN, left_out
from tests.slack.home.room import spoil_one, spoil_rollouts
from tests.worlds.builders import no_policies
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import MINUTE, World, world

BODY = {"number": None, "query": "", "at": "08:00", "zone": "UTC"}


class Charts:
    """One that cannot be drawn, and one for which there is nothing to draw yet."""

    async def offline(self, *_: object) -> None:
        raise KeyError("no such thing")

    async def firmware(self, *_: object) -> None:
        raise NotFound("There is nothing to draw yet.")


def digests(it: World) -> DigestNotes:
    service = DigestService(
        it.context,
        policies=no_policies,
        channel="C0ALERTS",
        at=time(8),
        usual_at=time(8),
        zone=ZoneInfo("UTC"),
        stable_for=10 * MINUTE,
        stale_after=timedelta(days=1),
    )
    return DigestNotes(service, cast("ChartPictures", Charts()), month=no_month)


async def no_month(query: str, month: str, number: int) -> Message:
    raise NotFound("No gateway matches.")


async def test_a_month_of_which_nothing_is_left_is_said_with_its_subscription(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        drawn = await digests(it).draw_month({"query": "tag:gone", "month": "2026-11", "number": 4})
        assert drawn.text == "Subscription 4 to the availability in 2026-11: No gateway matches."


async def test_parts_that_cannot_be_told_of_say_so_and_the_rest_is_told(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        await it.requested()
        await spoil_rollouts(it)
        drawn = await digests(it).draw(BODY)
    assert drawn.text.startswith("🟡 All 8 gateways are online.")
    assert f"Rollouts under way:\n{UNDRAWN}\nCould catch up:\n{UNDRAWN}\n" in drawn.text
    assert "A chart could not be drawn." in drawn.text


async def test_a_row_that_storage_cannot_read_is_missing_with_a_line_and_the_others_are_told(
    tmp_path: Path,
) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        await it.requested()
        await spoil_one(it)
        drawn = await digests(it).draw(BODY)
    assert f"Rollouts under way:\n{left_out(1)}\n" in drawn.text
    assert drawn.text.startswith("🟡 All 8 gateways are online.")


async def test_without_its_database_a_digest_waits(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        async with it.database.write() as connection:
            await connection.exec_driver_sql("DROP TABLE silences")
        with pytest.raises(Unavailable):
            await digests(it).draw(BODY)
