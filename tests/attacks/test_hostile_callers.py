"""What somebody who can reach the bot's own port can do to it, in HTTP mode."""

import asyncio
import hashlib
import hmac
import json
import logging
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.workspace import OPS
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.listeners import Command, CommandCall, Feature
from bot.slack.outgoing.web_api import WebApi
from bot.slack.views.blocks import sentence
from bot.web import Readiness, WebServer
from tests.slack.incoming.connected import Bed, bed
from tests.worlds.process import IN_TIME, PASSWORD, Outside, outside

VERA = workspace.VIEWER
FORM = "application/x-www-form-urlencoded"


async def is_ready() -> Readiness:
    return Readiness(ok=True)


def echo() -> Feature:
    async def answer(call: CommandCall) -> None:
        await call.respond.answer(sentence(call.text))

    return Feature(commands={"echo": Command("echo <text>", "Say it again", answer)})


@dataclass
class Door:
    """The bot's port, with a command that says again what was typed."""

    made: Bed
    server: WebServer
    unix_time: float = 1_790_000_000.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/slack/events"

    def command(self, text: str, **changes: str) -> str:
        fields = {
            "command": "/mesh",
            "text": text,
            "user_id": VERA,
            "channel_id": OPS,
            "trigger_id": f"1.{text}",
            "response_url": "",
        }
        return urlencode({**fields, **changes})

    def signed(self, body: str, *, at: float | None = None) -> dict[str, str]:
        stamp = str(int(self.unix_time if at is None else at))
        secret = self.made.slack.signing_secret.encode()
        digest = hmac.new(secret, f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        return {
            "Content-Type": FORM,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={digest}",
        }

    async def post(self, body: str, headers: dict[str, str]) -> int:
        async with aiohttp.request("POST", self.url, data=body.encode(), headers=headers) as answer:
            return answer.status

    async def direct_messages(self, number: int) -> list[str]:
        """What was said to the person, once it is so many messages."""

        def said() -> list[str] | None:
            found = [message.text for message in self.made.slack.workspace.in_channel(VERA)]
            return found if len(found) >= number else None

        return await self.made.slack.wait_for(said, IN_TIME)


@pytest.fixture
async def door(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Door]:
    async with bed() as made:
        server = WebServer("127.0.0.1", 0, readiness=is_ready, registry=CollectorRegistry())
        opened = Door(made, server)
        app = SlackApp(
            made.api,
            made.people,
            [echo()],
            on_refused=made.audit,
            signing_secret=made.slack.signing_secret,
            unix_time=lambda: opened.unix_time,
        )
        opened.server = WebServer(
            "127.0.0.1", 0, readiness=is_ready, registry=CollectorRegistry(), slack_events=app.handle_http
        )
        await app.start()
        await opened.server.start()
        try:
            yield opened
        finally:
            await opened.server.stop()
            await app.drain(5)
            await app.close()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


# ---- who calls
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("[" * 200_000, "application/json"),
        (urlencode({"payload": "[" * 200_000}), FORM),
        ("{" + '"a":{' * 100_000, "application/json"),
    ],
    ids=["events", "a payload in a form", "objects"],
)
async def test_what_slack_did_not_sign_is_refused_before_it_is_parsed(
    door: Door, body: str, kind: str
) -> None:
    headers = {**door.signed("another body"), "Content-Type": kind}

    assert await door.post(body, headers) == 401


async def test_a_signature_in_other_letters_is_refused_and_no_error(door: Door) -> None:
    body = door.command("echo x")

    assert await door.post(body, {**door.signed(body), "X-Slack-Signature": "v0=é²"}) == 401


async def test_a_signed_body_that_cannot_be_parsed_is_refused_and_no_error(door: Door) -> None:
    body = "[" * 200_000

    assert await door.post(body, {**door.signed(body), "Content-Type": "application/json"}) == 400


async def test_a_look_at_the_certificate_needs_no_signature_and_does_nothing(door: Door) -> None:
    body = door.command("echo x") + "&ssl_check=1"

    assert await door.post(body, {"Content-Type": FORM}) == 200
    signed = door.command("echo y")
    assert await door.post(signed, door.signed(signed)) == 200
    assert await door.direct_messages(1) == ["y"]


# ---- once
async def test_a_recorded_request_is_not_acted_on_a_second_time(door: Door) -> None:
    body = door.command("echo once")
    headers = door.signed(body)

    assert await door.post(body, headers) == 200
    door.unix_time += 299
    assert await door.post(body, headers) == 401

    after = door.command("echo after")
    assert await door.post(after, door.signed(after)) == 200
    assert sorted(await door.direct_messages(2)) == ["after", "once"]


async def test_a_recorded_request_stamped_ahead_is_not_acted_on_when_its_time_comes(door: Door) -> None:
    body = door.command("echo ahead")
    headers = door.signed(body, at=door.unix_time + 299)
    assert await door.post(body, headers) == 200

    door.unix_time += 598

    assert await door.post(body, headers) == 401


async def test_a_request_recorded_before_the_start_is_refused(door: Door) -> None:
    body = door.command("echo earlier")

    assert await door.post(body, door.signed(body, at=door.unix_time - 60)) == 401


async def test_the_same_words_a_second_time_are_a_new_request(door: Door) -> None:
    for trigger in ("1.1", "1.2"):
        body = door.command("echo again", trigger_id=trigger)
        assert await door.post(body, door.signed(body)) == 200

    assert await door.direct_messages(2) == ["again", "again"]


# ---- where answers go
@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody else's server, and what it was sent."""
    sent: list[bytes] = []

    async def take(request: web.BaseRequest) -> web.Response:
        sent.append(await request.read())
        return web.Response()

    runner = web.ServerRunner(web.Server(take), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", sent
    finally:
        await runner.cleanup()


async def test_an_answer_goes_to_no_address_but_slacks(door: Door) -> None:
    async with listening() as (elsewhere, sent):
        body = door.command("echo secret", response_url=elsewhere)
        assert await door.post(body, door.signed(body)) == 200

        assert await door.direct_messages(1) == ["secret"]
        assert sent == []


@pytest.mark.parametrize(
    ("url", "takes"),
    [
        ("https://hooks.slack.com/commands/T1/2/3", True),
        ("https://hooks.slack-gov.com/actions/T1/2/3", True),
        ("https://slack.test:8443/anything", True),
        ("http://hooks.slack.com/commands/T1/2/3", False),
        ("https://hooks.slack.com.example.com/", False),
        ("https://hooks.slack.com:8443/", False),
        ("https://hooks.slack.com@example.com/", False),
        ("https://example.com/hooks.slack.com", False),
        ("https://notslack.com/", False),
        ("http://slack.test:8443/", False),
        ("https://slack.test:9/", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("https://[::1", False),
        ("", False),
    ],
)
async def test_an_address_is_slacks_or_the_configured_base_or_is_not_used(url: str, takes: bool) -> None:
    async with aiohttp.ClientSession() as session:
        api = WebApi("xoxb-1", session, base_url="https://slack.test:8443/api/", command="/mesh")

        assert api.is_slacks(url) is takes


# ---- how many, and how long
@asynccontextmanager
async def port(most: int, patience: float = 60) -> AsyncIterator[tuple[WebServer, asyncio.Event]]:
    """A port whose answer to Slack waits for the event where the body says so."""
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if await request.read() == b"slow":
            await go_on.wait()
        return web.Response(text="done")

    server = WebServer(
        "127.0.0.1",
        0,
        readiness=is_ready,
        registry=CollectorRegistry(),
        slack_events=answer,
        most_connections=most,
        patience=patience,
    )
    await server.start()
    try:
        yield server, go_on
    finally:
        await server.stop()


HALF = {
    "nothing at all": b"",
    "half its headers": b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nX-Slack-",
    "half its body": b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\ntext=",
}


@dataclass
class Caller:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def end(self) -> bytes:
        """All that came until the connection ended."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def caller(server_port: int, sent: bytes) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server_port)
    writer.write(sent)
    await writer.drain()
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


def whole(body: bytes) -> bytes:
    return b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize("half", list(HALF.values()), ids=list(HALF))
async def test_a_request_that_does_not_come_to_its_end_is_given_up(half: bytes) -> None:
    async with port(most=10, patience=0.05) as (server, _), caller(server.port, half) as slow:
        async with asyncio.timeout(IN_TIME):
            assert await slow.end() == b""


@pytest.mark.parametrize("half", list(HALF.values()), ids=list(HALF))
async def test_half_sent_requests_make_room_for_whole_ones(half: bytes) -> None:
    async with port(most=3) as (server, _), AsyncExitStack() as callers:
        slow = [await callers.enter_async_context(caller(server.port, half)) for _ in range(5)]

        async with caller(server.port, whole(b"x")) as honest, asyncio.timeout(IN_TIME):
            assert (await honest.reader.readline()).startswith(b"HTTP/1.1 200")
            for one in slow[:3]:  # those that waited longest
                assert await one.end() == b""


async def test_connections_that_rest_make_room_too() -> None:
    async with port(most=2) as (server, _), AsyncExitStack() as callers, asyncio.timeout(IN_TIME):
        for _ in range(4):
            one = await callers.enter_async_context(caller(server.port, whole(b"x")))
            assert (await one.reader.readline()).startswith(b"HTTP/1.1 200")


async def test_a_request_at_work_is_not_given_up_for_another() -> None:
    async with port(most=2) as (server, go_on), AsyncExitStack() as callers, asyncio.timeout(IN_TIME):
        at_work = [await callers.enter_async_context(caller(server.port, whole(b"slow"))) for _ in range(2)]
        async with caller(server.port, whole(b"x")) as one_too_many:
            assert await one_too_many.end() == b""
        go_on.set()
        for one in at_work:
            assert (await one.reader.readline()).startswith(b"HTTP/1.1 200")


async def test_two_requests_over_one_connection_are_both_answered() -> None:
    async with port(most=2) as (server, _), caller(server.port, whole(b"x") * 2) as one:
        async with asyncio.timeout(IN_TIME):
            answers = [await one.reader.readuntil(b"done") for _ in range(2)]
    assert all(b"200 OK" in answer for answer in answers)


async def test_health_and_metrics_have_a_port_of_their_own_where_a_setting_says_so() -> None:
    free = await free_port()
    server = WebServer(
        "127.0.0.1",
        0,
        readiness=is_ready,
        registry=CollectorRegistry(),
        slack_events=nothing,
        health_port=free,
    )
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            found = {}
            for where in (server.port, free):
                for method, path in (
                    ("GET", "/metrics"),
                    ("GET", "/readyz"),
                    ("GET", "/livez"),
                    ("POST", "/slack/events"),
                ):
                    async with session.request(method, f"http://127.0.0.1:{where}{path}") as answer:
                        found[where == free, path] = answer.status
    finally:
        await server.stop()
    assert found == {
        (False, "/metrics"): 404,
        (False, "/readyz"): 404,
        (False, "/livez"): 404,
        (False, "/slack/events"): 200,
        (True, "/metrics"): 200,
        (True, "/readyz"): 200,
        (True, "/livez"): 200,
        (True, "/slack/events"): 404,
    }


async def nothing(_: web.Request) -> web.Response:
    return web.Response()


async def free_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    number = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return number


# ---- the whole bot
@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """The attacker, which is this process, may open more than the bot."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Outside]:
    async with outside(
        tmp_path,
        FleetSimulator(gateways=20, password=PASSWORD),
        SLACK__APP_TOKEN="",
        SLACK__SIGNING_SECRET="demo-signing-secret",
    ) as made:
        yield made


async def test_a_thousand_half_sent_requests_stop_neither_listings_nor_commands(
    world: Outside, many_descriptors: None
) -> None:
    bot = await world.begin()
    resource.prlimit(bot.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    await bot.is_running()
    world.slack.http_url = f"http://127.0.0.1:{bot.port}/slack/events"
    await world.has_listed()

    async with AsyncExitStack() as callers:
        for number in range(1000):
            half = HALF[("half its headers", "half its body")[number % 2]]
            await callers.enter_async_context(caller(bot.port, half))
        await world.has_listed()
        typed = await world.slack.command(workspace.ADMIN, OPS, "devices")
        assert (await typed.ack).ok  # Slack gives up after 3 s
        await world.reply(typed, "20 gateways")

    assert [json.dumps(one) for one in bot.entries() if one.get("level") in {"error", "critical"}] == []
    world.check_nothing_is_wrong()
