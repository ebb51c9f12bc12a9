"""What was, told over the wire: a local Slack, a real database, a simulated portal."""

import csv
import io
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.demo.slack.workspace import OPERATOR, OPS, PostedMessage, SharedFile
from bot.domain.gateways import Held
from bot.services.context import Context
from bot.services.fleet.history import HistoryService
from bot.slack import ids
from bot.slack.fleet.history import HistoryCommands
from bot.slack.fleet.search import FleetCommands
from bot.slack.ids import PageRef
from bot.slack.incoming.listeners import Feature
from bot.slack.paging import list_clicks
from tests.slack.incoming.connected import Bed, connected
from tests.slack.shown import HOSTILE, Modals, buttons, sendable
from tests.worlds.builders import no_policies
from tests.worlds.databases import sqlite_url
from tests.worlds.fleet import World, rename, tag, world

HOUR = timedelta(hours=1)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[World]:
    """Twelve gateways, of which one at a hostile site was offline for an hour, and one in Oslo is."""
    async with world(sqlite_url(tmp_path), page_size=50) as made:
        for number in range(12):
            site = HOSTILE if number == 3 else "oslo"
            made.device(f"g{number}", friendly_name=f"MT{number}", labels=[site])
        await made.taken()
        for id_, online in (("g3", False), ("g3", True), ("g5", False)):
            device = made.portal.device(id_)
            device.connected, device.changed_at = online, made.now()
            await made.taken()
            made.later(HOUR)
        yield made


async def nothing_held(begins: datetime, ends: datetime, wanted: Collection[str] | None) -> Held:
    return {}


def commands(fleet: World) -> HistoryCommands:
    context = Context(fleet.database, fleet.now)
    return HistoryCommands(
        HistoryService(context, held=nothing_held, unseen_after=2 * HOUR), fleet.fleet, zone=ZoneInfo("UTC")
    )


def features(fleet: World) -> list[Feature]:
    listeners = commands(fleet)
    reading = FleetCommands(
        fleet.fleet, Modals(), now=fleet.now, incident_of=nobody, rollout_of=nobody, policies=no_policies
    )
    return [listeners.feature(), Feature(clicks=list_clicks({**listeners.lists(), **reading.lists()}))]


async def nobody(_: str) -> None:
    return None


async def answer(made: Bed, text: str) -> PostedMessage:
    typed = await made.slack.command(OPERATOR, OPS, text)
    await made.slack.wait_for(lambda: typed.responses)
    return typed.responses[0]


async def test_somebody_asks_how_available_the_sites_were_and_takes_the_file_along(fleet: World) -> None:
    async with connected(features(fleet)) as (made, _):
        said = await answer(made, "availability 24h")
        lines = said.text.split("\n")
        assert "available: 2 sites over the last day" in lines[0]
        assert "1 outage of 1 h" in lines[1]
        assert "<!channel" not in said.text + str(said.blocks)
        await made.slack.click(OPERATOR, said, ids.EXPORT_CSV)
        (file,) = await files(made)
    rows = list(csv.DictReader(io.StringIO((file.content or b"").decode("utf-8-sig"))))
    assert [(row["gateways"], row["outages"]) for row in rows] == [("1", "1"), ("11", "1")]


async def test_somebody_asks_for_a_month_and_a_channel_gets_it_with_its_file_and_chart(fleet: World) -> None:
    async with connected(features(fleet)) as (made, _):
        said = await answer(made, "availability tag:oslo 2026-03")
        assert "available: 1 site for tag:oslo in 2026-03" in said.text.split("\n")[0]
        named = await answer(made, "availability tag:oslo this month")
        assert named.text == said.text
        assert "has not begun yet" in await made.says(OPERATOR, "availability 2026-04")
        assert "90 days at most" in await made.says(OPERATOR, "availability 2025-10")
    drawn = sendable(await commands(fleet).month("tag:oslo", "2026-03", 4))
    assert "Subscription 4; `/mesh unsubscribe 4` ends it" in str(drawn.blocks)
    assert buttons(drawn) == {
        ids.EXPORT_CSV: PageRef("availability", 0, "tag:oslo 2026-03"),
        ids.CHART: PageRef("chart", 0, "offline tag:oslo 2026-03"),
    }


async def test_of_a_time_without_data_no_outage_is_claimed(fleet: World) -> None:
    async with connected(features(fleet)) as (made, _):
        title, site, *_ = (await answer(made, "availability tag:oslo 2026-02")).text.split("\n")
    assert title == "No data that counts: 1 site for tag:oslo in 2026-02."
    assert site == "no data that counts oslo · 11 gateways"


async def test_somebody_sees_the_worst_gateways_and_opens_one(fleet: World) -> None:
    async with connected(features(fleet)) as (made, _):
        said = await answer(made, "worst often tag:oslo 24h")
        assert (
            "1 gateway that had outages for tag:oslo in the last day, offline most often first" in said.text
        )
        assert "MT5 · 1 outage of 1 h" in said.text
        opened = await made.slack.click(OPERATOR, said, ids.OPEN)
        await made.slack.wait_for(lambda: opened.responses)
        assert "🔴 offline MT5 for 1 h" in opened.responses[0].text
        await made.slack.click(OPERATOR, said, ids.EXPORT_CSV)
        (file,) = await files(made)
    rows = list(csv.DictReader(io.StringIO((file.content or b"").decode("utf-8-sig"))))
    assert [(row["id"], row["name"], row["outages"]) for row in rows] == [("g5", "MT5", "1")]


async def test_somebody_reads_what_happened_to_a_gateway_and_to_a_site(fleet: World) -> None:
    await rename(fleet, "g5", "Roof")
    await tag(fleet, "id:g5", add=("mast",))
    async with connected(features(fleet)) as (made, _):
        newest, *rest = (await made.says(OPERATOR, "history g5 24h")).split("\n")
        assert newest == "Roof: 3 entries in the last day, the newest first:"
        assert [line.partition("UTC>: ")[2] for line in rest] == [
            "tags: +mast",
            "renamed: MT5 → Roof",
            "went offline",
        ]
        assert "came back online after 1 h" in await made.says(OPERATOR, "history MT3 30d")
        assert "Roof went offline" in await made.says(OPERATOR, "history oslo")
        assert "No gateway has the id or the name “nowhere”" in await made.says(
            OPERATOR, "history nowhere 24h"
        )


async def test_what_cannot_be_reported_is_said(fleet: World) -> None:
    async with connected(features(fleet)) as (made, _):
        assert "No gateway matches" in await made.says(OPERATOR, "availability tag:nowhere")
        assert "A period comes last" in await made.says(OPERATOR, "availability 24h tag:oslo")
        assert "for availability also last month, 2026-11" in await made.says(
            OPERATOR, "availability november"
        )
        assert "at least and 90d at most" in await made.says(OPERATOR, "worst 5m")
        assert "No gateway flapped in the last 7 days" in await made.says(OPERATOR, "worst flapping")


async def files(made: Bed) -> list[SharedFile]:
    def sent() -> list[SharedFile]:
        return [file for one in made.slack.workspace.in_channel(OPERATOR) for file in one.files]

    return await made.slack.wait_for(sent)
