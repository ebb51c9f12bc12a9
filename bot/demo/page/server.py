"""The demo's page: serves its files, one stream of events to a window, and carries out what people do.

It listens on loopback only and takes nothing from other sites: an act is JSON, its Host and Origin are ours.
Everything shown comes from the local Slack, which knows only what crossed the wire.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from bot.demo.page.panel import NotPossibleError, World
from bot.demo.page.screen import Screen, Seat
from bot.demo.page.user_actions import Acts, NotDoneError
from bot.demo.slack.payloads import NotOnScreenError
from bot.demo.slack.wire_log import Event
from bot.demo.slack.workspace import ADMIN, APPROVER, APPROVER_2, GUEST, OPERATOR, VIEWER

Json = dict[str, Any]

SEATS = (
    Seat(OPERATOR, "operator"),
    Seat(VIEWER, "viewer"),
    Seat(APPROVER, "approver"),
    Seat(APPROVER_2, "approver"),
    Seat(ADMIN, "admin"),
    Seat(GUEST, "guest"),
)
_WEB = Path(__file__).parent / "web"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif"})
_BEAT = 5.0  # seconds between two looks at the fleet
_MESSAGE_EVENTS = frozenset({"message posted", "message edited", "message deleted"})
_VIEW_EVENTS = frozenset({"view", "view closed", "view errors"})
_WORLD_EVENTS = frozenset({"socket opened", "socket closed"})


class PageServer:
    """The page on its port. `world` may be exchanged while it runs: every window then draws the new one."""

    def __init__(self, world: World, *, seats: Sequence[Seat] = SEATS, host: str = "127.0.0.1") -> None:
        self._world = world
        self._seats = tuple(seats)
        self._host = host
        self._boot = uuid.uuid4().hex[:8]
        self._runner: web.AppRunner | None = None
        self._streams: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self.url = ""

    @property
    def world(self) -> World:
        return self._world

    def show(self, world: World) -> None:
        """Another world from now on: open streams end, and the windows come back for the new one."""
        self._world, self._boot = world, uuid.uuid4().hex[:8]
        self._end_streams()

    async def start(self, port: int = 0) -> None:
        """Listen; raises OSError when the port is taken."""
        app = web.Application(client_max_size=256 * 1024, middlewares=[_guarded])
        app.router.add_get("/", self._index)
        app.router.add_get("/web/{name}", self._static)
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/older", self._older)
        app.router.add_get("/thread", self._thread)
        app.router.add_get("/file/{id}", self._file)
        app.router.add_post("/act", self._act)
        app.router.add_post("/panel", self._panel)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, port, reuse_address=True)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._end_streams()
        if self._runner:
            await self._runner.cleanup()

    def _end_streams(self) -> None:
        for task in self._streams:
            task.cancel()

    # Files of the page, and of the workspace

    async def _index(self, _: web.Request) -> web.Response:
        return _file_response(_WEB / "index.html")

    async def _static(self, request: web.Request) -> web.Response:
        path = _WEB / request.match_info["name"]
        if path.parent != _WEB or path.suffix not in _TYPES or not path.is_file():
            raise web.HTTPNotFound
        return _file_response(path)

    async def _file(self, request: web.Request) -> web.Response:
        """An uploaded file: a picture is shown, anything else is for downloading only."""
        file = self._world.slack.workspace.files.get(request.match_info["id"])
        if file is None or not file.complete or file.content is None:
            raise web.HTTPNotFound
        kind = str(file.to_json()["mimetype"])
        is_picture = kind in _PICTURES and not request.query.get("download")
        safe = "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in file.name)
        headers = {} if is_picture else {"Content-Disposition": f'attachment; filename="{safe}"'}
        return web.Response(
            body=file.content,
            content_type=kind if is_picture else "application/octet-stream",
            headers=headers,
        )

    # What a window asks for

    def _screen(self, request: web.Request) -> Screen:
        user = request.query.get("as", "")
        if user not in {seat.user for seat in self._seats}:
            raise web.HTTPForbidden(text="nobody of that name sits here")
        return Screen(self._world.slack, user)

    async def _older(self, request: web.Request) -> web.Response:
        screen, channel = self._screen(request), request.query.get("channel", "")
        if not screen.is_member(channel):
            raise web.HTTPNotFound
        return web.json_response(screen.older(channel, request.query.get("before") or "inf"))

    async def _thread(self, request: web.Request) -> web.Response:
        screen, channel = self._screen(request), request.query.get("channel", "")
        if not screen.is_member(channel):
            raise web.HTTPNotFound
        return web.json_response(screen.thread(channel, request.query.get("ts", "")))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events for one window; one that comes back goes on after the last event it saw."""
        user = request.query.get("as", "")
        known = user in {seat.user for seat in self._seats}
        screen = Screen(self._world.slack, user if known else self._seats[0].user)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **_HEADERS})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            async for event, data, number in self._happenings(screen, request.query.get("after", "")):
                body = json.dumps(data | {"at": f"{self._boot}.{number}"}, ensure_ascii=False)
                await response.write(f"event: {event}\ndata: {body}\n\n".encode())
        except (asyncio.CancelledError, ConnectionError):
            pass  # the window is gone, or the demo ends
        finally:
            self._streams.discard(task)
        return response

    async def _happenings(self, screen: Screen, after: str) -> AsyncIterator[tuple[str, Json, int]]:
        log = self._world.slack.events
        number = log[-1].number if log else 0
        boot, _, seen = after.partition(".")
        oldest = log[0].number if log else 1
        if boot == self._boot and seen.isdigit() and oldest - 1 <= int(seen) <= number:
            number = int(seen)
            yield "back", self._world.state(), number
        else:
            yield "hello", self._whole(screen), number
        coming = self._world.slack.subscribe(number)
        following = asyncio.ensure_future(anext(coming))
        try:
            while True:
                await asyncio.wait([following], timeout=_BEAT)
                if not following.done():
                    yield "world", self._world.state(), number
                    continue
                event = following.result()
                following = asyncio.ensure_future(anext(coming))
                is_next, number = event.number == number + 1, event.number
                if not is_next:  # this window fell so far behind that the record has forgotten what it missed
                    yield "hello", self._whole(screen), number
                    continue
                for name, data in self._drawn(screen, event):
                    yield name, data, number
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    def _whole(self, screen: Screen) -> Json:
        return screen.whole(self._seats) | self._world.choices() | {"world": self._world.state()}

    def _drawn(self, screen: Screen, event: Event) -> list[tuple[str, Json]]:
        """What an event changes on this screen, as it looks by now."""
        if event.kind in _MESSAGE_EVENTS:
            return self._drawn_message(screen, event)
        if event.kind in _VIEW_EVENTS and event.detail.get("user") in (None, screen.user):
            return [("views", screen.views())]
        if event.kind in _WORLD_EVENTS:
            return [("world", self._world.state())]
        return []

    def _drawn_message(self, screen: Screen, event: Event) -> list[tuple[str, Json]]:
        channel, ts = str(event.detail["channel"]), str(event.detail["ts"])
        message = self._world.slack.workspace.messages.get((channel, ts))
        if message is None or message.deleted:
            return [("gone", {"channel": channel, "ts": ts})]
        if not screen.sees(message):
            return []
        drawn = [("message", {"message": screen.message(message)})]
        if message.is_reply:  # the summary below its thread's first message changed as well
            root = screen.find(channel, str(message.thread_ts))
            drawn += [("message", {"message": screen.message(root)})] if root else []
        else:  # what of its thread the channel was told quotes it
            drawn += [("message", {"message": screen.message(one)}) for one in screen.told(message)]
        return drawn

    # What a person does

    async def _act(self, request: web.Request) -> web.Response:
        asked = await _json(request)
        user = str(asked.get("as") or "")
        if user not in {seat.user for seat in self._seats}:
            raise web.HTTPForbidden(text="nobody of that name sits here")
        try:
            answer = await Acts(self._world.slack, Screen(self._world.slack, user), self._world.slash).do(
                str(asked.get("do") or ""), asked
            )
        except (NotDoneError, NotOnScreenError) as error:
            answer = {"ok": False, "error": str(error)}
        except (KeyError, TypeError, ValueError):
            raise web.HTTPBadRequest(text="that act is not complete") from None
        return web.json_response(answer)

    async def _panel(self, request: web.Request) -> web.Response:
        asked = await _json(request)
        what = str(asked.get("do") or "")
        try:
            if what == "reset" and self._world.on_reset:
                await self._world.on_reset()
                return web.json_response({"ok": True, "said": "A new world, as it was at the start."})
            said = self._world.change(what, asked)
        except NotPossibleError as error:
            return web.json_response({"ok": False, "said": str(error)})
        return web.json_response({"ok": True, "said": said, "world": self._world.state()})


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    """Ours only: another site's page, or a name that points at this machine, gets nothing."""
    if urlsplit(f"//{request.host}").hostname not in _LOCAL:
        raise web.HTTPForbidden(text="this page answers on this machine only")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="this page takes nothing from other sites")
    response: web.StreamResponse = await handler(request)
    if not response.prepared:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
    return response


async def _json(request: web.Request) -> Json:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="an act is JSON")
    try:
        asked = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="that is no JSON") from None
    if not isinstance(asked, dict):
        raise web.HTTPBadRequest(text="an act is an object")
    return asked


def _file_response(path: Path) -> web.Response:
    return web.Response(body=path.read_bytes(), content_type=_TYPES[path.suffix], charset="utf-8")
