"""A vendor on loopback that records what it is sent, to the byte, and answers what a test told it to."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.meshtech.client import MeshtechClient
from tests.worlds.builders import PAGING

USERNAME = "bot@example.org"
PASSWORD = "correct-horse battery/staple"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """The time, moved by hand."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


class Naps:
    """A sleep that takes no time and remembers how long it was asked for."""

    def __init__(self, clock: Clock) -> None:
        self.taken: list[float] = []
        self._clock = clock

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        self._clock.advance(seconds=seconds)


@dataclass(frozen=True)
class Seen:
    """A request as it came: ``target`` is path and query, still percent-encoded."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One answer. ``lost``: the connection is cut instead."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False


Reply = Answer | Callable[[Seen], Answer | Awaitable[Answer]]


class Server:
    """One host. Answers in the order they were queued, then ``always``."""

    def __init__(self, always: Reply) -> None:
        self.seen: list[Seen] = []
        self.queue: list[Reply] = []
        self.always = always
        self.url = ""

    def then(self, *replies: Reply) -> None:
        self.queue.extend(replies)

    @property
    def targets(self) -> list[str]:
        return [f"{seen.method} {seen.target}" for seen in self.seen]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = request.raw_path
        seen = Seen(request.method, raw, dict(request.headers), await request.read())
        self.seen.append(seen)
        reply = self.queue.pop(0) if self.queue else self.always
        answer = reply if isinstance(reply, Answer) else reply(seen)
        if not isinstance(answer, Answer):
            answer = await answer
        if answer.lost:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        body = answer.body
        if not isinstance(body, bytes):
            body = b"" if body is None else json.dumps(body).encode()
        return web.Response(status=answer.status, body=body, headers=dict(answer.headers))


def token_answer(number: int = 1, **claims: object) -> Answer:
    return Answer(body={"status": "SUCCESS", "authToken": jwt(number=number, **claims), "sessionId": None})


def jwt(**claims: object) -> str:
    parts = ({"alg": "HS256"}, claims, {"signed": "by nobody"})
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )


class Vendor:
    """Both hosts. Every log-in gives a new token; the API accepts all but the revoked ones."""

    def __init__(self) -> None:
        self.log_in = Server(self.new_token)
        self.api = Server(Answer(body={}))
        self.tokens: list[str] = []
        self.revoked: set[str] = set()
        self.claims: dict[str, object] = {}

    def new_token(self, _: Seen) -> Answer:
        answer = token_answer(len(self.log_in.seen), **self.claims)
        self.tokens.append(answer.body["authToken"])
        return answer

    def guarded(self, answer: Answer) -> Callable[[Seen], Answer]:
        """The answer for who has a valid token, 401 for everybody else."""

        def reply(seen: Seen) -> Answer:
            token = seen.headers.get("Authorization", "").removeprefix("Bearer ")
            return answer if token in self.tokens and token not in self.revoked else Answer(401)

        return reply


@dataclass
class World:
    """A vendor, a client that talks to it, and the time."""

    vendor: Vendor
    clock: Clock
    naps: Naps
    client: MeshtechClient

    @property
    def api(self) -> Server:
        return self.vendor.api

    @property
    def log_in(self) -> Server:
        return self.vendor.log_in


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[None]:
    runner = web.ServerRunner(web.Server(server.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    """A running vendor and a client with these settings; a setting may be a function of the vendor."""
    vendor, clock = Vendor(), Clock()
    naps = Naps(clock)
    async with running(vendor.log_in), running(vendor.api):
        settings = {name: made(vendor) if callable(made) else made for name, made in settings.items()}
        client = MeshtechClient(
            vendor.log_in.url,
            vendor.api.url,
            USERNAME,
            PASSWORD,
            now=clock,
            sleep=naps,
            randomness=random.Random(1),
            **PAGING | settings,
        )
        try:
            yield World(vendor, clock, naps, client)
        finally:
            await client.aclose()


class Gate:
    """A reply that is held back until the test opens it."""

    def __init__(self, reply: Reply) -> None:
        self.arrived = asyncio.Event()
        self.opened = asyncio.Event()
        self._reply = reply

    async def __call__(self, seen: Seen) -> Answer:
        self.arrived.set()
        await self.opened.wait()
        answer = self._reply if isinstance(self._reply, Answer) else self._reply(seen)
        return answer if isinstance(answer, Answer) else await answer


def device(identity: str = "bmac-c0141f68fc3d", **changes: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "friendlyName": "MT10225",
        "modelNumber": "2011",
        "labels": ["Kyiv-office"],
        "bootMode": None,
        "connectivity": {"connected": True, "timestamp": "2020-12-08T08:10:08.88Z"},
        "firmwareVersion": "3.4.1",
        "hardwareVersion": "1.0.0",
        "imei": None,
        "status": None,
        **changes,
    }


def page(*items: Any, token: Any = None) -> Answer:
    return Answer(body={"nextToken": token, "items": list(items)})
