"""A local Slack on loopback: Web API, Socket Mode, signed HTTP deliveries, response_url and file uploads.

An outside world: it knows the bot only by what crosses the wire, and refuses what Slack refuses with Slack's
own words. `problems` holds whatever the bot sent that it should not have; a test expects it to be empty.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web

from bot.demo.slack.api import ALL_SCOPES, WebApiServer, parsed
from bot.demo.slack.faults import RateLimits, SlackFault
from bot.demo.slack.limits import check_message
from bot.demo.slack.user_input import Members
from bot.demo.slack.views import SlackRefusal
from bot.demo.slack.wire_log import ApiCall, Event, Interaction
from bot.demo.slack.workspace import APP, PostedMessage

Json = dict[str, Any]
T = TypeVar("T")

_MOST_CALLS = 20_000
_RESPONSE_USES, _RESPONSE_SECONDS = 5, 30 * 60
_JSON_FIELDS = "application/json"


class SlackServer(Members):
    """The whole of it; `start()` it, point the bot at `api_url`, act as a person, look at `workspace`."""

    def __init__(
        self,
        *,
        bot_token: str = "xoxb-demo",
        app_token: str = "xapp-demo",
        signing_secret: str = "demo-signing-secret",
        command: str = "/mesh",
        host: str = "127.0.0.1",
        port: int = 0,
        known_as: str = "",
        scopes: frozenset[str] | None = None,
        clock: Callable[[], float] = time.time,
        patience: Callable[[], float] | None = None,
    ) -> None:
        """`known_as` is its address for others, `https://…/`, where something stands before it.
        `clock` stamps what happens; `patience`, if it differs, tells when triggers and limits run out.
        """
        super().__init__(signing_secret=signing_secret, command=command, clock=clock, patience=patience)
        self.bot_token, self.app_token, self.signing_secret = bot_token, app_token, signing_secret
        self.calls: deque[ApiCall] = deque(maxlen=_MOST_CALLS)
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.pace = RateLimits(self._patience)
        self._scopes = ALL_SCOPES if scopes is None else scopes
        self._host, self.port, self._known_as = host, port, known_as
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Listen; from here on `url` and `api_url` are known."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._web_api)
        app.router.add_get("/link/", self._delivery.handshake)
        app.router.add_post("/response/{key}", self._response_url)
        app.router.add_post("/upload/{file}", self._upload)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = self._known_as or f"http://{self._host}:{self.port}/"
        self._api = WebApiServer(self.workspace, self._views, self._scopes, self.problems, self.url)
        self._api.bot_token, self._api.app_token = self.bot_token, self.app_token
        self._api.open_connection = self._new_socket_url

    async def stop(self) -> None:
        self._stopping.set()
        await self._delivery.stop()
        if self._runner:
            await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        return f"{self.url}api/"

    @property
    def events(self) -> deque[Event]:
        return self._log.events

    @property
    def connected(self) -> int:
        """How many sockets of the bot are open."""
        return len(self._delivery.sockets)

    @property
    def opened_sockets(self) -> int:
        """How many were opened since the start."""
        return self._delivery.opened

    @property
    def http_url(self) -> str | None:
        """Where payloads go while no socket is open."""
        return self._delivery.http_url

    @http_url.setter
    def http_url(self, url: str | None) -> None:
        self._delivery.http_url = url

    @property
    def ack_seconds(self) -> float:
        """How long the bot may take to acknowledge, or to open a window; three in Slack."""
        return self._delivery.ack_seconds

    @ack_seconds.setter
    def ack_seconds(self, seconds: float) -> None:
        self._delivery.ack_seconds = self._views.trigger_seconds = seconds

    @property
    def limits_on(self) -> bool:
        """Whether Slack's published rate limits hold."""
        return self.pace.limits_on

    @limits_on.setter
    def limits_on(self, on: bool) -> None:
        self.pace.limits_on = on

    @property
    def message_interval(self) -> float:
        """Seconds between any two messages of the whole workspace; 0 for no such limit."""
        return self.pace.message_interval

    @message_interval.setter
    def message_interval(self, seconds: float) -> None:
        self.pace.message_interval = seconds

    async def wait_for(self, predicate: Callable[[], T | None], timeout: float = 100) -> T:
        """The first true value of `predicate`, asked again whenever anything happens here."""
        return await self._log.wait_for(predicate, timeout)

    def subscribe(self, since: int | None = None) -> AsyncIterator[Event]:
        """Every event from now on, or after event number `since`."""
        return self._log.subscribe(since)

    def called(self, method: str) -> list[ApiCall]:
        """The calls of one method, oldest first."""
        return [call for call in self.calls if call.method == method]

    async def verify_url(self) -> bool:
        """Whether the bot's HTTP address passes Slack's url_verification."""
        challenge = {"type": "url_verification", "token": "", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY"}
        status, _, text = await self._delivery.post(
            self.http_url or "", json.dumps(challenge), _JSON_FIELDS, {}
        )
        return status == 200 and challenge["challenge"] in text

    # HTTP

    async def _web_api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        args: Json = {}
        try:
            args, token = await _arguments(request)
            self._log.heard(args)
            fault = self.faults.take(method, args.get("channel"))
            if fault and fault.kind == "hang":
                self._log.record("hanging call", method=method)
                await self._stopping.wait()
            status, answer, headers = self._answer(method, token, args, fault)
        except SlackRefusal as error:
            fault, status, headers = None, 200, {}
            answer = {"ok": False, "error": error.error, **error.extra}
        self._record(method, args, status, answer)
        if fault and fault.kind == "lose_answer":
            return _cut(request)
        return web.json_response(answer, status=status, headers=headers)

    def _answer(
        self, method: str, token: str, args: Json, fault: SlackFault | None
    ) -> tuple[int, Json, dict[str, str]]:
        if fault and fault.kind == "rate_limit":
            return _rate_limited(fault.retry_after)
        if fault and fault.kind == "fail":
            return fault.status, {"ok": False, "error": fault.error}, {}
        wait = self.pace.wait(method, str(args.get("channel") or ""))
        if wait > 0:
            return _rate_limited(max(1, int(-(-wait // 1))))
        answer = self._api.call(method, token, args)
        headers = {"x-oauth-scopes": ",".join(sorted(self._scopes)), "x-accepted-oauth-scopes": ""}
        return 200, answer, headers

    def _record(self, method: str, args: Json, status: int, answer: Json) -> None:
        call = ApiCall(method, args, self._clock(), status, answer)
        self.calls.append(call)
        if not call.ok:
            self.rejected[method, call.error] += 1
        self._log.record("call", method=method, args=args, status=status, error=call.error)

    def _new_socket_url(self) -> str:
        ticket = self._delivery.new_ticket()
        return f"{self.url.replace('http', 'ws', 1)}link/?ticket={ticket}&app_id={APP}"

    async def _response_url(self, request: web.Request) -> web.StreamResponse:
        act = self._urls.get(request.match_info["key"])
        payload = await request.json()
        self._log.heard(payload)
        fault = self.faults.take("response_url")
        if fault and fault.kind == "hang":
            await self._stopping.wait()
        if fault and fault.kind == "rate_limit":
            return web.Response(
                status=429, text="ratelimited", headers={"Retry-After": str(fault.retry_after)}
            )
        if fault and fault.kind == "fail":
            return web.Response(status=fault.status if fault.status != 200 else 500, text=fault.error)
        refusal = self._refuse_response(act, payload)
        if refusal or act is None:
            self._log.record("response refused", error=refusal)
            self.rejected["response_url", refusal] += 1
            return web.json_response({"ok": False, "error": refusal}, status=404 if "url" in refusal else 400)
        act.uses += 1
        act.posts.append(payload)
        self._respond(act, payload)
        self._log.record("response", user=act.user, text=payload.get("text"), uses=act.uses)
        return _cut(request) if fault and fault.kind == "lose_answer" else web.Response(text="ok")

    def _refuse_response(self, act: Interaction | None, payload: Json) -> str:
        if act is None or self._patience() - act.created_at > _RESPONSE_SECONDS:
            return "expired_url"
        if act.uses >= _RESPONSE_USES:
            return "used_url"
        if payload.get("delete_original"):
            return ""
        if not any(payload.get(key) for key in ("text", "blocks", "attachments")):
            return "no_text"
        if any(problem.refused for problem in check_message(payload)) or self._api.check_blocks(
            payload.get("blocks")
        ):
            self._api.note("response_url", check_message(payload))
            return "invalid_blocks"
        return ""

    def _respond(self, act: Interaction, payload: Json) -> None:
        """Post, replace or delete as the payload says; what it leaves unsaid is noted."""
        of_command = act.kind == "slash_commands"
        original = act.original or (act.responses[-1] if act.responses else None)
        replaces = bool(payload.get("replace_original"))
        if payload.get("delete_original"):
            if of_command and act.original is None and original is None:
                self._api.note("response_url", ["delete_original has nothing to delete after a command"])
            elif original:
                self.workspace.delete_message(original)
            return
        if not of_command and "replace_original" not in payload:
            self._api.note("response_url", ["a response to a click does not say replace_original"])
        if not replaces and payload.get("response_type") not in ("ephemeral", "in_channel"):
            self._api.note("response_url", ["a response does not say response_type"])
        if replaces and original and not original.deleted:
            self._replace(act, original, payload)
        else:
            self._take_message(act, payload)

    def _replace(self, act: Interaction, original: PostedMessage, payload: Json) -> None:
        self._api.note("response_url", check_message(payload))
        if payload.get("response_type") == "in_channel" and original.ephemeral_to is not None:
            self._api.note("response_url", ["an ephemeral message cannot become in_channel"])
        if original not in act.received:
            act.received.append(original)
        self.workspace.edit(original, str(payload.get("text") or ""), payload.get("blocks") or [])

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        file = self.workspace.files.get(request.match_info["file"])
        fault = self.faults.take("upload")
        if file is None or (fault and fault.kind == "fail"):
            return web.Response(status=500 if fault else 404, text="upload failed")
        if request.content_type.startswith("multipart/"):
            part = await (await request.multipart()).next()
            file.content = await part.read() if isinstance(part, BodyPartReader) else b""
        else:
            file.content = await request.read()
        self._log.heard(file.content)
        self._log.record("upload", file=file.id, name=file.name, size=len(file.content))
        return web.Response(text=f"OK - {len(file.content)}")


async def _arguments(request: web.Request) -> tuple[Json, str]:
    """Arguments and token as clients send them: query, form or JSON; the token in a header or among them."""
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        args |= await request.json()
    elif request.body_exists:
        args |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    token = str(args.pop("token", "")) or request.headers.get("Authorization", "").removeprefix("Bearer ")
    return parsed(args), token


def _rate_limited(seconds: int) -> tuple[int, Json, dict[str, str]]:
    return 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(seconds)}


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()
