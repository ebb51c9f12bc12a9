"""The bot's own HTTP ports: is it alive, is it ready, its metrics, and Slack's requests in HTTP mode.

What readiness means, what is measured and how Slack is answered is decided elsewhere and handed in. The
pages carry no secret and need no password, so they listen on the loopback unless a setting says otherwise.
Slack's port may be open to the world: who keeps connections and sends nothing whole makes room for others.
"""

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bot.domain.errors import StartupError

# Slack's largest request is a submission of a full modal, well under this.
LARGEST_BODY = 1024 * 1024
MOST_CONNECTIONS = 256  # of one port; a process may often have 1,024 descriptors in all
PATIENCE = 5.0  # seconds for the headers and the body of a request
KEPT_ALIVE = 75.0  # seconds that a connection may rest between two requests
_PORT = "MESHBOT_HTTP__PORT"
_HEALTH_PORT = "MESHBOT_HTTP__HEALTH_PORT"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SlackEvents = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PortBusy(StartupError):
    """Somebody else listens on the configured port."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the bot can work, and how each thing it needs is doing (as plain JSON values)."""

    ok: bool
    parts: Mapping[str, object] = field(default_factory=dict)


class WebServer:
    """Serves from ``start`` until ``stop``, which lets requests under way finish.

    With a ``health_port`` the pages are there, and the other port is for Slack alone, if it calls at all.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        readiness: Callable[[], Awaitable[Readiness]],
        registry: CollectorRegistry,
        slack_events: SlackEvents | None = None,
        health_port: int | None = None,
        most_connections: int = MOST_CONNECTIONS,
        patience: float = PATIENCE,
    ) -> None:
        self._readiness = readiness
        self._registry = registry
        pages: Sequence[web.AbstractRouteDef] = [
            web.get("/livez", _live),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._metrics),
        ]
        slack = [web.post("/slack/events", slack_events)] if slack_events else []

        def listener(setting: str, port: int, *routes: web.AbstractRouteDef) -> _Listener:
            return _Listener(host, port, setting, routes, most_connections, patience)

        if health_port is None:
            self._listeners = [listener(_PORT, port, *pages, *slack)]
        else:
            self._listeners = [listener(_HEALTH_PORT, health_port, *pages)]
            if slack:
                self._listeners.insert(0, listener(_PORT, port, *slack))

    @property
    def port(self) -> int:
        """The port that is really listened on, which matters where 0 was asked for."""
        return self._listeners[0].port

    @property
    def health_port(self) -> int:
        """Where the pages are."""
        return self._listeners[-1].port

    async def start(self) -> None:
        """Raises ``PortBusy``, or another ``StartupError`` where the address cannot be had at all."""
        for one in self._listeners:
            await one.start()

    async def stop(self) -> None:
        for one in self._listeners:
            await one.stop()

    async def _ready(self, _: web.Request) -> web.Response:
        readiness = await self._readiness()
        body = {"status": "ok" if readiness.ok else "unavailable", "parts": dict(readiness.parts)}
        return web.json_response(body, status=200 if readiness.ok else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Listener:
    """One port. A connection is at work from the moment its request is whole until that is answered.

    All others wait, and have ``patience`` seconds for headers and body. Where there are ``most`` connections
    already, a new one takes the place of the one that waits longest.
    """

    def __init__(
        self,
        host: str,
        port: int,
        setting: str,
        routes: Iterable[web.AbstractRouteDef],
        most: int,
        patience: float,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._setting = setting
        self._most = most
        self._patience = patience
        self._open: set[asyncio.Transport] = set()
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}  # the longest first
        app = web.Application(middlewares=[_errors_as_json, self._whole], client_max_size=LARGEST_BODY)
        app.add_routes(routes)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=2, keepalive_timeout=KEPT_ALIVE, lingering_time=1
        )
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else self._wanted_port

    async def start(self) -> None:
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connection, self._host, self._wanted_port)
        except (OSError, ValueError) as error:  # the latter for a host that no name can be
            await self._runner.cleanup()
            raise self._cannot_listen(getattr(error, "errno", None)) from error

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        return _Connection(self._runner.server(), self)

    def opened(self, transport: asyncio.Transport) -> None:
        if len(self._open) >= self._most:
            if not self._waiting:
                transport.abort()
                return
            self._drop(next(iter(self._waiting)))
        self._open.add(transport)
        self._wait(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        self._work(transport)

    def _wait(self, transport: asyncio.Transport, patience: float | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(patience or self._patience, self._drop, transport)
        self._waiting[transport] = timer

    def _work(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None and (timer := self._waiting.pop(transport, None)):
            timer.cancel()

    def _drop(self, transport: asyncio.BaseTransport) -> None:
        self._work(transport)
        assert isinstance(transport, asyncio.Transport)
        self._open.discard(transport)
        transport.abort()

    @web.middleware
    async def _whole(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Waits for the body, still under the deadline of the headers, before there is any work."""
        transport = request.transport
        try:
            await request.read()
        except ConnectionError as error:  # it was given up, or went away
            raise web.HTTPBadRequest from error
        except RuntimeError as error:  # aiohttp's, where that came between two reads
            if request.transport is not None:
                raise
            raise web.HTTPBadRequest from error
        self._work(transport)
        try:
            return await handler(request)
        finally:
            if transport in self._open:
                self._wait(transport, KEPT_ALIVE)

    def _cannot_listen(self, why: int | None) -> StartupError:
        if why == errno.EADDRINUSE:
            return PortBusy(
                f"{self._setting} {self._wanted_port} is taken: stop the other program or set another."
            )
        if why == errno.EACCES:
            return StartupError(
                f"{self._setting} {self._wanted_port} is not allowed to this user: set one above 1023."
            )
        return StartupError(
            f"MESHBOT_HTTP__HOST {self._host} is no address of this machine: set 127.0.0.1 or 0.0.0.0."
        )


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's own, and tells the listener when it begins and ends."""

    def __init__(self, inner: asyncio.Protocol, listener: _Listener) -> None:
        self._inner = inner
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self.data_received = inner.data_received  # type: ignore[method-assign] # no call more a packet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._inner.connection_made(transport)
        self._listener.opened(transport)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._listener.closed(self._transport)
        self._inner.connection_lost(exc)


async def _live(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPError as error:
        error.text = json.dumps({"error": error.reason})
        error.content_type = "application/json"
        raise
