"""Charts on their way to people: through a local Slack, out of a real database."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPERATOR, OPS, SharedFile
from bot.domain.errors import InvalidInput, Unavailable
from bot.domain.fleet.charts import OfflineChart, firmware_chart
from bot.services.context import Context
from bot.services.fleet.charts import ChartService
from bot.slack import ids
from bot.slack.fleet.chart_process import Draw, drawn_apart
from bot.slack.fleet.charts import FRESH_FOR, ChartListeners, ChartPictures, LatestChart
from bot.slack.fleet.views.charts import firmware_picture
from bot.slack.ids import PageRef
from bot.slack.incoming.listeners import Click
from bot.slack.outgoing.newer_blocks import NewerBlocks
from bot.slack.views.blocks import File
from bot.slack.views.modals import home
from tests.slack.fleet.room import ANA
from tests.slack.incoming.connected import Bed, bed, connected
from tests.slack.shown import Answers
from tests.worlds.databases import sqlite_url
from tests.worlds.fleet import World, world

HOUR, UTC = timedelta(hours=1), ZoneInfo("UTC")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """The plotting library; to load it takes longer than a person of these tests waits, on a busy machine."""
    firmware_picture(firmware_chart([("2011", "3.5.0", 1)]))


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[World]:
    """Two gateways that are known for an hour."""
    async with world(sqlite_url(tmp_path), "a", "b") as made:
        await made.taken()
        made.later(HOUR)
        yield made


async def drawn_here(view: Callable[..., File], *arguments: Any) -> File:
    """In this process, which has the plotting library already."""
    return view(*arguments)


def charts(fleet: World, draw: Draw = drawn_here) -> ChartPictures:
    return ChartPictures(ChartService(Context(fleet.database, fleet.now)), now=fleet.now, draw=draw)


async def pictures(made: Bed, place: str, number: int = 1) -> list[SharedFile]:
    """The files of a channel, or of somebody's direct messages, once there are so many."""

    def files() -> list[SharedFile]:
        return [file for one in made.slack.workspace.in_channel(place) for file in one.files]

    await made.slack.wait_for(lambda: len(files()) >= number)
    return files()


async def test_a_chart_goes_to_the_asker_s_direct_messages_and_the_answer_says_so(fleet: World) -> None:
    listeners = ChartListeners(charts(fleet), zone=UTC)
    async with connected([listeners.feature()]) as (made, _):
        said = await made.says(OPERATOR, "chart offline 1h")
        (picture,) = await pictures(made, OPERATOR)
    assert "as a direct message" in said
    assert "All 2 gateways: 0 offline now" in said
    assert picture.content is not None
    assert picture.content.startswith(b"\x89PNG")
    assert picture.alt_text.startswith("The share of gateways offline")


@pytest.mark.parametrize("lacks", [frozenset(), frozenset({"data_visualization"})])
async def test_a_chart_is_slack_s_own_where_that_is_taken_and_else_a_picture(
    fleet: World, lacks: frozenset[str]
) -> None:
    known = NewerBlocks()
    listeners = ChartListeners(charts(fleet), zone=UTC, takes=known.suits)
    async with connected([listeners.feature()]) as (made, _):
        made.api.newer_blocks = known
        made.slack.workspace.lacks = lacks
        act = await made.slack.command(OPERATOR, OPS, "chart offline 1h")
        if lacks:
            await pictures(made, OPERATOR)
        await made.slack.wait_for(lambda: len(act.responses) > bool(lacks))
        kinds = [block["type"] for one in act.responses for block in one.blocks]
        assert ("data_visualization" in kinds) is not bool(lacks)
        assert bool(made.slack.workspace.files) is bool(lacks)


async def test_a_mention_in_a_thread_gets_its_chart_by_direct_message_too(fleet: World) -> None:
    listeners = ChartListeners(charts(fleet), zone=UTC)
    async with connected([listeners.feature()]) as (made, _):
        await made.slack.mention(OPERATOR, OPS, "chart firmware model:2011 7d")
        (picture,) = await pictures(made, OPERATOR)
        posted = await made.slack.wait_for(
            lambda: [one for one in made.slack.calls if one.method == "chat.postMessage"]
        )
    assert (picture.name, picture.title) == ("firmware.png", "Firmware versions: model:2011")
    assert posted[0].args["channel"] == OPS
    assert "a period changes nothing" in posted[0].args["text"]


async def test_what_cannot_be_drawn_is_said_and_nothing_is_sent(fleet: World) -> None:
    listeners = ChartListeners(charts(fleet), zone=UTC)
    async with connected([listeners.feature()]) as (made, _):
        assert "No gateway matches" in await made.says(OPERATOR, "chart offline tag:nowhere")
        assert "there are offline and firmware" in await made.says(OPERATOR, "chart pie")
        assert made.slack.workspace.in_channel(OPERATOR) == []


async def test_the_chart_of_a_month_ends_with_it_or_now_and_not_later(fleet: World) -> None:
    ends = []

    async def drawn(view: Callable[..., File], chart: OfflineChart, *arguments: Any) -> File:
        ends.append(chart.ends)
        return File("offline.png", b"", "A chart", "Nobody was offline.")

    listeners = ChartListeners(charts(fleet, drawn), zone=UTC)
    click = Click(ANA, OPS, ids.CHART, PageRef("chart", 0, "offline tag:oslo 2026-03"), Answers())
    await listeners.feature().clicks[ids.CHART](click)
    assert ends == [fleet.now()]
    for month, said in (("2026-04", "has not begun"), ("2025-01", "too long ago")):
        late = replace(click, ref=PageRef("chart", 0, f"offline tag:oslo {month}"))
        with pytest.raises(InvalidInput, match=said):
            await listeners.feature().clicks[ids.CHART](late)


async def test_the_latest_chart_is_uploaded_once_however_many_look(fleet: World) -> None:
    async with bed() as made:
        latest = LatestChart(charts(fleet), made.api, zone=UTC, now=fleet.now)
        first, *others = await asyncio.gather(*(latest.blocks() for _ in range(5)))
        assert others == [first] * 4
        assert len(made.slack.workspace.files) == 1

        fleet.later(FRESH_FOR)
        assert await latest.blocks() != first
        assert len(made.slack.workspace.files) == 2


async def test_a_latest_chart_that_could_not_be_drawn_is_tried_again_at_the_next_look(fleet: World) -> None:
    failing = [True]

    async def drawn(view: Callable[..., File], *arguments: Any) -> File:
        if failing.pop():
            raise Unavailable("Busy.")
        return view(*arguments)

    async with bed() as made:
        latest = LatestChart(charts(fleet, drawn), made.api, zone=UTC, now=fleet.now)
        with pytest.raises(Unavailable):
            await latest.blocks()
        failing.append(False)
        assert len(await latest.blocks()) == 2


async def test_the_latest_chart_is_a_block_that_slack_shows(fleet: World) -> None:
    async with bed() as made:
        blocks = await LatestChart(charts(fleet), made.api, zone=UTC, now=fleet.now).blocks()
        await made.modals.publish(OPERATOR, home(blocks))
        assert made.slack.problems == []
    assert [block["type"] for block in blocks] == ["image", "context"]
    assert "All 2 gateways" in blocks[0]["alt_text"]


async def test_without_a_past_or_without_an_upload_there_is_no_latest_chart(fleet: World) -> None:
    async with bed(SlackServer(scopes=frozenset({"chat:write"}))) as made:
        latest = LatestChart(charts(fleet), made.api, zone=UTC, now=fleet.now)
        assert await latest.blocks() == []


async def test_without_the_plotting_library_a_chart_says_so_and_nobody_else_misses_it(
    fleet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    drawing = charts(fleet, drawn_apart)
    async with connected([ChartListeners(drawing, zone=UTC).feature()]) as (made, _):
        assert "the bot's extra “charts”" in await made.says(OPERATOR, "chart offline 1h")
        assert await LatestChart(drawing, made.api, zone=UTC, now=fleet.now).blocks() == []
