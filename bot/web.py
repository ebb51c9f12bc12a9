"""The bot's own HTTP port: is it alive, is it ready, its metrics, and Slack's requests in HTTP mode.

What readiness means, what is measured and how Slack is answered is decided elsewhere and handed in. The
pages carry no secret and need no password, so they listen on the loopback unless a setting says otherwise.
"""

import errno
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bot.domain.errors import StartupError

# Slack's largest request is a submission of a full modal, well under this.
LARGEST_BODY = 1024 * 1024

SlackEvents = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PortBusy(StartupError):
    """Somebody else listens on the configured port."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the bot can work, and how each thing it needs is doing (as plain JSON values)."""

    ok: bool
    parts: Mapping[str, object] = field(default_factory=dict)


class WebServer:
    """Serves from ``start`` until ``stop``, which lets requests under way finish."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        readiness: Callable[[], Awaitable[Readiness]],
        registry: CollectorRegistry,
        slack_events: SlackEvents | None = None,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._readiness = readiness
        self._registry = registry
        self._runner = web.AppRunner(self._app(slack_events), access_log=None, shutdown_timeout=2)

    @property
    def port(self) -> int:
        """The port that is really listened on, which matters where 0 was asked for."""
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else self._wanted_port

    async def start(self) -> None:
        """Raises ``PortBusy``, or another ``StartupError`` where the address cannot be had at all."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._wanted_port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise self._cannot_listen(error) from error

    async def stop(self) -> None:
        await self._runner.cleanup()

    def _app(self, slack_events: SlackEvents | None) -> web.Application:
        app = web.Application(middlewares=[_errors_as_json], client_max_size=LARGEST_BODY)
        app.router.add_get("/livez", _live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        if slack_events:
            app.router.add_post("/slack/events", slack_events)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        readiness = await self._readiness()
        body = {"status": "ok" if readiness.ok else "unavailable", "parts": dict(readiness.parts)}
        return web.json_response(body, status=200 if readiness.ok else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _cannot_listen(self, error: OSError) -> StartupError:
        if error.errno == errno.EADDRINUSE:
            return PortBusy(
                f"MESHBOT_HTTP__PORT {self._wanted_port} is taken: stop the other program or set another."
            )
        if error.errno == errno.EACCES:
            return StartupError(
                f"MESHBOT_HTTP__PORT {self._wanted_port} is not allowed to this user: set one above 1023."
            )
        return StartupError(
            f"MESHBOT_HTTP__HOST {self._host} is no address of this machine: set 127.0.0.1 or 0.0.0.0."
        )


async def _live(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPError as error:
        error.text = json.dumps({"error": error.reason})
        error.content_type = "application/json"
        raise
