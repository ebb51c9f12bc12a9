"""The bot's own port, asked over real HTTP."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from bot.domain.errors import StartupError
from bot.web import LARGEST_BODY, PortBusy, Readiness, WebServer


class World:
    """A server whose readiness the test decides, and a client for it."""

    def __init__(self) -> None:
        self.readiness = Readiness(ok=True)
        self.registry = CollectorRegistry()
        self.server = self.make_server(0)

    def make_server(self, port: int, host: str = "127.0.0.1", *, http_mode: bool = True) -> WebServer:
        return WebServer(
            host,
            port,
            readiness=self._is_ready,
            registry=self.registry,
            slack_events=self._slack if http_mode else None,
        )

    async def ask(self, method: str, path: str, data: bytes = b"") -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with aiohttp.request(method, url, data=BytesIO(data)) as response:
            if response.content_type == "application/json":
                return response.status, await response.json()
            return response.status, await response.text()

    async def _is_ready(self) -> Readiness:
        return self.readiness

    async def _slack(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"{len(await request.read())} bytes")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_a_process_that_works_is_alive(world: World) -> None:
    assert await world.ask("GET", "/livez") == (200, {"status": "ok"})


async def test_readiness_shows_the_parts(world: World) -> None:
    world.readiness = Readiness(ok=True, parts={"slack": "connected", "meshtech": "refuses the password"})
    assert await world.ask("GET", "/readyz") == (
        200,
        {"status": "ok", "parts": {"slack": "connected", "meshtech": "refuses the password"}},
    )


async def test_a_bot_that_cannot_work_is_not_ready_but_alive(world: World) -> None:
    world.readiness = Readiness(ok=False, parts={"slack": "disconnected"})
    status, body = await world.ask("GET", "/readyz")
    assert (status, body["status"]) == (503, "unavailable")
    assert (await world.ask("GET", "/livez"))[0] == 200


async def test_metrics_are_those_of_the_registry_given(world: World) -> None:
    Counter("meshbot_things", "Things.", registry=world.registry).inc(3)
    status, text = await world.ask("GET", "/metrics")
    assert status == 200
    assert "meshbot_things_total 3.0" in text
    assert "python_info" not in text


async def test_slack_s_requests_reach_the_handler(world: World) -> None:
    assert await world.ask("POST", "/slack/events", b"x" * 10) == (200, "10 bytes")


async def test_a_body_larger_than_slack_ever_sends_is_refused(world: World) -> None:
    status, body = await world.ask("POST", "/slack/events", b"x" * (LARGEST_BODY + 1))
    assert (status, body) == (413, {"error": "Request Entity Too Large"})


async def test_an_unknown_page_or_method_is_answered_in_json(world: World) -> None:
    assert await world.ask("GET", "/admin") == (404, {"error": "Not Found"})
    assert await world.ask("POST", "/livez") == (405, {"error": "Method Not Allowed"})


async def test_without_http_mode_slack_s_path_does_not_exist(world: World) -> None:
    await world.server.stop()
    world.server = world.make_server(0, http_mode=False)
    await world.server.start()
    assert (await world.ask("POST", "/slack/events", b""))[0] == 404


async def test_a_taken_port_is_one_sentence_that_names_its_setting(world: World) -> None:
    second = world.make_server(world.server.port)
    with pytest.raises(PortBusy, match=rf"^MESHBOT_HTTP__PORT {world.server.port} is taken: .*\.$"):
        await second.start()


async def test_an_address_of_another_machine_names_the_host_setting(world: World) -> None:
    with pytest.raises(StartupError, match=r"^MESHBOT_HTTP__HOST 192\.0\.2\.1 is no address"):
        await world.make_server(0, "192.0.2.1").start()
