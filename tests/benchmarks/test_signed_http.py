"""How soon a signed request over HTTP is acknowledged at 25 a second, beside bare slack-bolt apps.

All of them are in this process with the caller, and the requests go to them in turn, so that whatever slows
the machine down slows all of them down.
"""

import asyncio
import hashlib
import hmac
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPS, VIEWER
from bot.slack.incoming.listeners import Command, Feature
from bot.web import Readiness, WebServer
from tests.benchmarks.test_ack import devices
from tests.slack.incoming.connected import connected

WARM, TURNS, EACH_SECOND = 20, 400, 25
GOAL = 1.2  # times the p99 of the faster bare app

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]


@asynccontextmanager
async def bare(secret: str, *, before_response: bool) -> AsyncIterator[str]:
    """The echo of slack-bolt's own first page, served by its own aiohttp application."""
    slack = SlackServer()
    await slack.start()
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
        app = AsyncApp(client=client, signing_secret=secret, process_before_response=before_response)

        @app.command("/mesh")
        async def echo(ack: Any, command: dict[str, Any]) -> None:
            await ack(command["text"])

        runner = web.AppRunner(app.web_app("/slack/events"), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        await runner.cleanup()
    await slack.stop()


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[str, str]]:
    """Where it listens, and its secret."""
    feature = Feature({"devices": Command("devices [query]", "List gateways, worst first", devices)})
    async with connected([feature], http=True) as (made, app):
        server = WebServer(
            "127.0.0.1", 0, readiness=_ready, registry=CollectorRegistry(), slack_events=app.handle_http
        )
        await server.start()
        yield f"http://127.0.0.1:{server.port}/slack/events", made.slack.signing_secret
        await app.guard.idle()
        await server.stop()


async def _ready() -> Readiness:
    return Readiness(ok=True)


async def latency(session: aiohttp.ClientSession, url: str, secret: str, number: int) -> float:
    """Milliseconds from a signed command's departure to its whole answer."""
    body = urlencode(
        {
            "command": "/mesh",
            "text": "devices",
            "user_id": VIEWER,
            "channel_id": OPS,
            "trigger_id": f"1.{number}",
            "response_url": "",
        }
    )
    stamp = str(int(time.time()))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest}",
    }
    began = time.perf_counter()
    async with session.post(url, data=body, headers=headers) as answer:
        await answer.read()
        assert answer.status == 200
    return (time.perf_counter() - began) * 1000


async def test_a_signed_request_is_acknowledged_as_soon_as_by_a_bare_app() -> None:
    found: dict[str, list[float]] = {name: [] for name in ("bare echo", "bare, before response", "Meshbot")}
    async with AsyncExitStack() as stack:
        url, secret = await stack.enter_async_context(ours())
        urls = {
            "bare echo": await stack.enter_async_context(bare(secret, before_response=False)),
            "bare, before response": await stack.enter_async_context(bare(secret, before_response=True)),
            "Meshbot": url,
        }
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        due = time.perf_counter()
        for number in range(WARM + TURNS):
            for name, where in urls.items():
                found[name].append(await latency(session, where, secret, number))
                due = max(due + 1 / EACH_SECOND / len(urls), time.perf_counter())
                await asyncio.sleep(due - time.perf_counter())
    p99 = {name: statistics.quantiles(each[WARM:], n=100)[98] for name, each in found.items()}
    print(f"\n{EACH_SECOND} signed commands a second to each{'p50 ms':>10}{'p99 ms':>8}{'/ bare':>8}")
    for name, each in found.items():
        ratio = p99["Meshbot"] / p99[name]
        print(f"{name:36}{statistics.median(each[WARM:]):10.2f}{p99[name]:8.2f}{ratio:8.2f}")
    assert p99["Meshbot"] <= GOAL * min(p99.values())
