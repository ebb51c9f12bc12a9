"""Thousands of 100,000 gateways offline at once: how soon Slack is told, beside Prometheus Alertmanager.

Both run in processes of their own, one after the other, and talk to this one. What either waits for by its
rules is not counted: from the end of the listing, or the handing over of the alerts, to the first message. In
Alertmanager's that may be few of the alerts, hence also the moment at which it spoke of all.
"""

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import FLEET_ALERTS
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.slack.alerts.incidents import AlertListeners
from bot.slack.outgoing.publisher import Publisher
from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate
from tests.benchmarks.rig.alertmanager import PROGRAM, alertmanager
from tests.benchmarks.rig.memory import peak, resident, worked
from tests.benchmarks.rig.portal import PASSWORD, SHARED, USERNAME, Portal, portal
from tests.slack.incoming.connected import bed
from tests.worlds.alerts import World
from tests.worlds.builders import PAGING, alert_rules, fleet_service
from tests.worlds.databases import sqlite_url

GATEWAYS = 100_000
FEW = 3
SIZES = (1_000, 10_000, 40_000)
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]


@dataclass
class Cost:
    """Seconds to the first message and to the first that speaks of all, and of work; megabytes; calls.

    Of the bot also the seconds until the gateways had joined the storm, and until its card was wanted, and
    what a tick costs while it goes on.
    """

    first: float
    all: float
    worked: float
    idle: float
    peak: float
    posts: int
    calls: int
    joined: float = 0.0
    opened: float = 0.0
    watched: float = 0.0


async def test_a_storm_is_one_card_with_its_cause_and_few_calls(tmp_path: Path) -> None:
    ours: dict[int, Cost] = {}
    theirs: dict[int, Cost] = {}
    with portal(GATEWAYS) as vendor:
        vendor.tag(max(SIZES))
        vendor.disconnect(0)
        await first_listing(vendor, tmp_path / "fleet.db")
        for size in SIZES:
            if PROGRAM is not None:
                theirs[size] = await of_alertmanager(tmp_path / f"am{size}", size)
            ours[size] = await of_the_bot(vendor, tmp_path, size)
    show(ours, theirs)
    for size, cost in ours.items():
        assert cost.posts == 1, f"{size:,} gateways"
        assert cost.calls <= 6, f"{size:,} gateways"


def show(ours: dict[int, Cost], theirs: dict[int, Cost]) -> None:
    print(
        f"\n{'of 100,000 offline':<28}{'first, s':>9}{'all, s':>8}{'work, s':>9}"
        f"{'idle MB':>9}{'more MB':>9}{'calls':>7}{'joined':>8}{'opened':>8}{'watch, ms':>11}"
    )
    for size in SIZES:
        for name, costs in (("Meshbot", ours), ("Alertmanager", theirs)):
            cost = costs.get(size)
            head = f"{size:>7,} {name:<20}"
            if cost is None:
                print(f"{head} not measured: prometheus-alertmanager is not installed")
                continue
            more = cost.peak - cost.idle
            stages = (
                f"{cost.joined:>8.2f}{cost.opened:>8.2f}{cost.watched * 1000:>11.1f}" if cost.opened else ""
            )
            print(
                f"{head}{cost.first:>9.2f}{cost.all:>8.2f}{cost.worked:>9.2f}"
                f"{cost.idle:>9.0f}{more:>9.0f}{cost.calls:>7}{stages if cost.opened else ''}"
            )


# ---- the bot
async def first_listing(vendor: Portal, path: Path) -> None:
    database = Database.open(f"sqlite:///{path}")
    await migrate(database)
    client = MeshtechClient(
        vendor.auth_url, vendor.api_url, USERNAME, PASSWORD, now=lambda: datetime.now(UTC), **PAGING
    )
    await fleet_service(Context(database, lambda: datetime.now(UTC)), client).take_in_listing()
    await client.aclose()
    await database.close()


async def of_the_bot(vendor: Portal, folder: Path, size: int) -> Cost:
    vendor.disconnect(0)
    copy = shutil.copy(folder / "fleet.db", folder / f"{size}.db")
    slack = SlackServer()
    await slack.start()
    arguments = (f"sqlite:///{copy}", vendor.auth_url, vendor.api_url, slack.api_url, FLEET_ALERTS)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.rig.storm_bot",
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for gateways in (FEW, 0):
        assert await process.stdout.readline() == b"next\n"
        await asyncio.to_thread(vendor.disconnect, gateways)
        process.stdin.write(b"go\n")
    assert await process.stdout.readline() == b"idle\n"
    await asyncio.to_thread(vendor.disconnect, size)
    said, calls = len(slack.called("chat.postMessage")), len(slack.calls)
    posted = asyncio.create_task(moment_of(slack, lambda: len(slack.called("chat.postMessage")) > said))
    process.stdin.write(b"go\n")
    report = json.loads(await process.stdout.readline())
    first = await posted - report["ended"]
    await process.wait()
    *_, card = slack.workspace.in_channel(FLEET_ALERTS)
    assert f" of {GATEWAYS:,} gateways" in card.text
    assert SHARED in card.text
    posts = len([call for call in slack.called("chat.postMessage")[said:] if not call.args.get("thread_ts")])
    await slack.stop()
    assert slack.problems == []
    return Cost(
        first,
        first,
        report["worked"],
        report["idle"],
        report["peak"],
        posts,
        len(slack.calls) - calls,
        joined=report["evaluated"],
        opened=report["opened"],
        watched=report["watched"],
    )


async def moment_of(slack: SlackServer, it_happened: Callable[[], bool]) -> float:
    await slack.wait_for(lambda: it_happened() or None, timeout=300)
    return time.monotonic()


# ---- Alertmanager
class Webhook:
    """Slack's incoming webhook: what came when."""

    def __init__(self) -> None:
        self.came: list[tuple[float, str]] = []
        self._more = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body: Any = await request.json()
        self.came.append((time.monotonic(), body["attachments"][0]["title"]))
        self._more.set()
        return web.Response(text="ok")

    async def says(self, beginning: str) -> None:
        async with asyncio.timeout(300):
            while not self.came or not self.came[-1][1].startswith(beginning):
                self._more.clear()
                await self._more.wait()


async def of_alertmanager(folder: Path, size: int) -> Cost:
    hook = Webhook()
    async with hook.listening() as url, aiohttp.ClientSession(trust_env=False) as session:
        with alertmanager(folder, url) as running:
            await running.settle(session)
            idle, work, began = resident(running.pid), worked(running.pid), time.monotonic()
            await running.post(session, size)
            await hook.says(f"{size} ")
            (first, _), (last, _) = hook.came[0], hook.came[-1]
            messages = len(hook.came)
            work = worked(running.pid) - work
            return Cost(first - began, last - began, work, idle, peak(running.pid), messages, messages)


# ---- a slow Slack
SITES = 200


async def test_two_hundred_dark_sites_are_shown_though_slack_takes_one_message_a_second(
    tmp_path: Path,
) -> None:
    """It really runs: more than three minutes, most of which is waiting."""
    rules = alert_rules(storm_gateways=10 * SITES, storm_share=1.0)
    gateways = [f"site-{number:03}/g{number:03}" for number in range(SITES)]
    steady = [f"steady/s{number:03}" for number in range(SITES + 10)]
    slack = SlackServer()
    slack.message_interval = 1.0
    async with bed(slack) as made:
        world = await World.begin(
            Database.open(sqlite_url(tmp_path)),
            *gateways,
            *steady,
            rules=rules,
            channel=FLEET_ALERTS,
        )
        world.goes("offline", *(one for one in world.fleet if one.startswith("g")))
        await world.passes(7)
        feature = AlertListeners(world.alerts, world.pause).feature()
        publisher = Publisher(
            made.api,
            world.database,
            feature.cards,
            feature.notes,
            owner="bot",
            edit_every=timedelta(seconds=15),
            now=lambda: datetime.now(UTC),
        )
        began = time.monotonic()
        running = asyncio.create_task(publisher.run())
        await slack.wait_for(
            lambda: len(slack.workspace.in_channel(FLEET_ALERTS)) == SITES or None, timeout=400
        )
        took = time.monotonic() - began
        await publisher.stop()
        await running
        await world.database.close()
    rejected = sum(slack.rejected.values())
    print(f"\n{SITES} incidents, one message a second: shown after {took:.0f} s, {rejected} calls rejected")
    assert rejected <= 5
    cards = slack.workspace.in_channel(FLEET_ALERTS)
    sites = {site for card in cards for site in re.findall(r"site-\d{3}", card.text)}
    assert len(sites) == SITES
