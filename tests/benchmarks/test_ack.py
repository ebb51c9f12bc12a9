"""How fast a command is acknowledged, against bare slack-bolt apps, in one run.

Each app has a local Slack of its own, all in this process, and the commands go to them in turn: whatever
slows the machine down slows all of them down. Then the same while 100,000 gateways are taken in, with a
command that searches among them.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPS, VIEWER
from bot.domain.gateways import GatewayId
from bot.slack.fleet.search import FleetCommands
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.listeners import Command, CommandCall, Feature
from bot.slack.views import blocks
from tests.benchmarks.rig.portal import fleet_of, now, portal
from tests.slack.incoming.connected import connected
from tests.slack.shown import Modals
from tests.worlds.builders import no_policies

WARM, TURNS = 20, 300
GATEWAYS = 100_000

pytestmark = pytest.mark.bench


@asynccontextmanager
async def bare(*, before_response: bool) -> AsyncIterator[SlackServer]:
    """The echo of slack-bolt's own first page, connected to a local Slack."""
    slack = SlackServer()
    await slack.start()
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
        app = AsyncApp(client=client, process_before_response=before_response)

        @app.command("/mesh")
        async def echo(ack: Any, command: dict[str, Any]) -> None:
            await ack(command["text"])

        handler = AsyncSocketModeHandler(app, slack.app_token)
        await handler.connect_async()  # type: ignore[no-untyped-call]
        await slack.wait_for(lambda: slack.connected == 1)
        yield slack
        await handler.close_async()  # type: ignore[no-untyped-call]
    await slack.stop()


async def devices(call: CommandCall) -> None:
    rows = [f"{blocks.status('offline')} *{blocks.name(f'MT_{number}')}*" for number in range(10)]
    await call.respond.answer(blocks.message("\n".join(rows), blocks.lines(rows)))


async def latency(slack: SlackServer, text: str, app: SlackApp | None = None) -> float:
    """Milliseconds from an envelope's departure to its acknowledgement."""
    act = await slack.command(VIEWER, OPS, text)
    ack = await act.ack
    assert ack.ok
    await slack.wait_for(lambda: act.responses)
    if app is not None:
        await app.guard.idle()
    return ack.latency_s * 1000


async def test_a_command_is_acknowledged_faster_than_by_a_bare_app() -> None:
    found: dict[str, list[float]] = {name: [] for name in ("default", "before", "help", "devices")}
    feature = Feature({"devices": Command("devices [query]", "List gateways, worst first", devices)})
    async with AsyncExitStack() as stack:
        default = await stack.enter_async_context(bare(before_response=False))
        before = await stack.enter_async_context(bare(before_response=True))
        made, app = await stack.enter_async_context(connected([feature]))
        for _ in range(WARM + TURNS):
            found["default"].append(await latency(default, "hello"))
            found["before"].append(await latency(before, "hello"))
            found["help"].append(await latency(made.slack, "help", app))
            found["devices"].append(await latency(made.slack, "devices", app))
    times = {name: each[WARM:] for name, each in found.items()}
    middle = {name: statistics.median(each) for name, each in times.items()}
    worst = {name: statistics.quantiles(each, n=100)[98] for name, each in times.items()}
    print(table(middle, worst))
    for name in ("help", "devices"):
        assert middle[name] <= 0.1 * middle["default"]
        assert middle[name] <= 1.5 * middle["before"]
        assert worst[name] < 100


@pytest.mark.timeout(900)
async def test_a_command_is_acknowledged_while_a_fleet_is_taken_in(tmp_path: Path) -> None:
    async def nothing(_id: GatewayId) -> None:
        return None

    with portal(GATEWAYS) as vendor:
        async with fleet_of(vendor, tmp_path) as fleet:
            listeners = FleetCommands(
                fleet, Modals(), now=now, incident_of=nothing, rollout_of=nothing, policies=no_policies
            )
            feature = listeners.feature()
            async with connected([feature]) as (made, app):
                print(f"\nwhile {GATEWAYS:,} gateways are taken in, ms; goal p99 100, never above 1,000")
                print(f"{'listing':20}{'commands':>10}{'p50':>8}{'p99':>8}{'worst':>8}")
                for name, changes in (("first", 0), ("100 changes", 100), ("10,000 changes", 10_000)):
                    vendor.change(changes)
                    listing = asyncio.create_task(fleet.take_in_listing())
                    found = []
                    while not listing.done():
                        found.append(await latency(made.slack, "devices is:offline", app))
                    assert await listing
                    p50, p99 = statistics.median(found), statistics.quantiles(found, n=100)[98]
                    print(f"{name:20}{len(found):10}{p50:8.2f}{p99:8.2f}{max(found):8.2f}")


def table(middle: dict[str, float], worst: dict[str, float]) -> str:
    lines = [f"\n{'':32}{'p50 ms':>8}{'p99 ms':>8}{'/ default':>11}{'/ before':>10}"]
    words = {"default": "bare echo", "before": "bare, process_before_response"}
    for name in middle:
        ratios = middle[name] / middle["default"], middle[name] / middle["before"]
        shown = f"{middle[name]:8.2f}{worst[name]:8.2f}{ratios[0]:11.3f}{ratios[1]:10.2f}"
        lines.append(f"{words.get(name, name):32}{shown}")
    return "\n".join(lines)
