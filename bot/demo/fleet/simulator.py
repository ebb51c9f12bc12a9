"""A simulated Meshtech Device Management Portal: two loopback ports that speak the vendor's HTTP.

It stands outside the bot and imports nothing of it. This file holds the HTTP: tokens, pages, one request from
end to end. The fleet that lives behind it is `life`, the operations and their names are
`contract`, what goes wrong is `faults`.
"""

import base64
import hashlib
import hmac
import itertools
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl

from aiohttp import web

from bot.demo.fleet.contract import DEFAULT_ROUTES, Match, PortalOperation, RouteMatcher, check_names, openapi
from bot.demo.fleet.faults import HTML, FaultKind, FleetFault, FleetFaults, nulls, unknown_words
from bot.demo.fleet.life import PortalRefusal, SimulatedFleet
from bot.demo.fleet.model import (
    Behaviour,
    Device,
    Job,
    JobTarget,
    Json,
    PortalFirmware,
    PortalJobStatus,
    SimulatorClock,
    TargetStatus,
    encode,
    renamed,
)

__all__ = [
    "Behaviour",
    "Device",
    "FaultKind",
    "FleetFault",
    "FleetFaults",
    "FleetSimulator",
    "Job",
    "JobTarget",
    "PortalFirmware",
    "PortalJobStatus",
    "PortalOperation",
    "PortalRefusal",
    "RecordedRequest",
    "SimulatorClock",
    "TargetStatus",
]

Host = Literal["auth", "api"]
JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
PLAIN_PAGE = 100  # rows in a page when MaxResults is not given
_TOKEN_MARK = b"\xfb\xef\xff"  # base64 makes ++// of it


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it arrived; `path` with its raw query, headers case-insensitive."""

    method: str
    path: str
    host: Host
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    operation: str | None


@dataclass(frozen=True, slots=True)
class HandledCall:
    """What an operation is asked: path values, query by lower-case name, and the body in our names."""

    operation: str
    arguments: list[str]
    query: Mapping[str, str]
    body: Any

    def text(self, name: str) -> str:
        value = self.body.get(name) if isinstance(self.body, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise PortalRefusal(400, f"The field '{name}' is required.")
        return value


class FleetSimulator(SimulatedFleet):
    """The portal: start it, point the bot at `auth_url` and `api_url`, and let things happen."""

    def __init__(
        self,
        *,
        gateways: int = 240,
        seed: int = 1,
        clock: SimulatorClock | None = None,
        username: str = "demo",
        password: str = "demo-password",
        hostile_names: bool = False,
    ) -> None:
        super().__init__(
            gateways=gateways, seed=seed, clock=clock or SimulatorClock(), hostile_names=hostile_names
        )
        self.username = username
        self.password = password
        self.auth_url = ""
        self.api_url = ""
        self.token_lifetime = timedelta(minutes=30)
        self.max_page_size = 250
        self.refuses_large_pages = False  # else a larger MaxResults gives a page of max_page_size
        self.labels_answer: Literal["items", "objects", "array"] = "items"
        self.details_are_objects = False  # `statusDetails` as AWS IoT has them, else a text
        self.vendor_down = False
        self.faults = FleetFaults()
        self.routes: dict[str, str] = dict(DEFAULT_ROUTES)
        self.fields: dict[str, dict[str, str]] = {}
        self.requests: deque[RecordedRequest] = deque(maxlen=10_000)
        self._router = RouteMatcher()
        self._secret = hashlib.sha256(f"secret {seed}".encode()).digest()
        self._tokens: dict[str, float] = {}
        self._logins = itertools.count(1)
        self._refusals = itertools.count()
        self._runners: list[web.ServerRunner] = []
        self._operations: dict[str, Callable[[HandledCall], bytes | Json | list[Any] | None]] = {
            PortalOperation.LOGIN: self._login,
            PortalOperation.LIST_DEVICES: self._list_devices,
            PortalOperation.GET_DEVICE: lambda call: self.device(call.arguments[0]).wire(),
            PortalOperation.RENAME_DEVICE: lambda call: self.rename(call.arguments[0], call.text("name")),
            PortalOperation.LIST_LABELS: self._list_labels,
            PortalOperation.CREATE_LABEL: lambda call: self.create_label(call.text("label")),
            PortalOperation.ADD_LABEL: self._add_label,
            PortalOperation.REMOVE_LABEL: lambda call: self.remove_label(
                call.arguments[0], call.arguments[1]
            ),
            PortalOperation.LIST_FIRMWARE: self._list_firmware,
            PortalOperation.CREATE_JOB: self._create_job,
            PortalOperation.LIST_JOBS: self._list_jobs,
            PortalOperation.GET_JOB: self._get_job,
            PortalOperation.CANCEL_JOB: lambda call: self.cancel_job(call.arguments[0]),
            PortalOperation.OPENAPI: lambda _: self.openapi(),
        }

    async def start(self) -> None:
        """Open both ports on 127.0.0.1; afterwards `auth_url` and `api_url` are known."""
        if self._runners:
            return
        for device in self.devices.values():
            device.encoded()  # so that the first listing is as quick as the others
        self.auth_url = await self._open("auth")
        self.api_url = await self._open("api")

    async def stop(self) -> None:
        """Close both ports; requests that hang or are slow are let go first."""
        self.faults.release()
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()

    async def _open(self, host: Host) -> str:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._serve(host, request)

        runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.5)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return f"http://127.0.0.1:{port}"

    def keep_requests(self, count: int) -> None:
        """Remember so many of the latest requests."""
        self.requests = deque(self.requests, maxlen=count)

    def revoke_tokens(self) -> None:
        """Every token given out so far is worth nothing any more."""
        self._tokens.clear()

    def openapi(self) -> Json:
        """The document that describes the routes and names in force."""
        return openapi(self.routes, self.fields, self.auth_url, self.api_url)

    # One request

    async def _serve(self, host: Host, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.tick()
        path, _, raw_query = request.raw_path.partition("?")
        match = self._router.find(self.routes, request.method, path, on_login_host=host == "auth")
        operation = match.operation if match else None
        at = self.clock.now()
        self.requests.append(
            RecordedRequest(request.method, request.raw_path, host, request.headers, body, at, operation)
        )
        if self.vendor_down:
            by_turns = next(self._refusals) % 2  # so that a client meets both
            return _cut(request) if by_turns else _page(503, HTML.format("Service Unavailable"))
        if match is None:
            return _json(404, {"message": "There is no such resource."})
        query = self._query(match.operation, raw_query)
        fault = self.faults.take(match.operation, has_token="nexttoken" in query)
        if fault is None:
            return self._handle(match, request, query, body)
        return await self._spoil(fault, match, request, query, body)

    async def _spoil(
        self, fault: FleetFault, match: Match, request: web.BaseRequest, query: Mapping[str, str], body: bytes
    ) -> web.StreamResponse:
        match fault.kind:
            case FaultKind.STATUS | FaultKind.RATE_LIMITED | FaultKind.HTML | FaultKind.EXPIRED_TOKEN:
                return _faulty(fault)
            case FaultKind.RESET:
                return _cut(request)
            case FaultKind.HANG:
                await fault.released.wait()
                return _cut(request)
            case FaultKind.SLOW:
                await fault.released.wait()
        answer = self._handle(match, request, query, body)
        match fault.kind:
            case FaultKind.LOST_ANSWER:
                return _cut(request)
            case FaultKind.TRUNCATED:
                whole = bytes(_body(answer)) or b'{"status":'
                return web.Response(status=answer.status, body=whole[: len(whole) // 2], headers=_TYPED)
            case FaultKind.UNKNOWN_WORDS:
                return _changed(answer, unknown_words)
            case FaultKind.NULLS:
                return _changed(answer, nulls)
        return answer

    def _handle(
        self, match: Match, request: web.BaseRequest, query: Mapping[str, str], body: bytes
    ) -> web.Response:
        operation = match.operation
        if operation not in (PortalOperation.LOGIN, PortalOperation.OPENAPI) and not self._is_known(
            request.headers
        ):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        try:
            call = HandledCall(operation, match.arguments, query, self._parsed(operation, body))
            answer = self._operations[operation](call)
        except PortalRefusal as refusal:
            return _json(refusal.status, {"message": refusal.message})
        if answer is None:
            return web.Response(status=200)
        names = self.fields.get(operation)
        return _json(200, renamed(answer, names) if names else answer)

    def _query(self, operation: str, raw: str) -> dict[str, str]:
        """Our names in lower case, since ASP.NET does not care; a bare `+` is a space, as everywhere."""
        check_names(self.fields)
        names = {theirs.lower(): ours for ours, theirs in self.fields.get(operation, {}).items()}
        pairs = parse_qsl(raw, keep_blank_values=True)
        return {names.get(name.lower(), name).lower(): value for name, value in pairs}

    def _parsed(self, operation: str, body: bytes) -> Any:
        if not body:
            return None
        try:
            document = json.loads(body)
        except ValueError:
            raise PortalRefusal(400, "The body is not valid JSON.") from None
        names = self.fields.get(operation)
        return renamed(document, {theirs: ours for ours, theirs in names.items()}) if names else document

    # Tokens

    def _login(self, call: HandledCall) -> Json:
        given = (call.text("username"), call.text("password"))
        if given != (self.username, self.password):
            raise PortalRefusal(401, "The username or the password is wrong.")
        now = self.clock.now().timestamp()
        self._tokens = {token: ends for token, ends in self._tokens.items() if ends > now}
        ends = int(now + self.token_lifetime.total_seconds())
        claims = {"sub": self.username, "iat": int(now), "exp": ends, "jti": str(next(self._logins))}
        token = self._signed(claims)
        self._tokens[token] = ends
        return {"status": "SUCCESS", "authToken": token, "sessionId": None}

    def _signed(self, claims: Json) -> str:
        head = _url64(encode({"alg": "HS256", "typ": "JWT"})) + "." + _url64(encode(claims))
        return f"{head}.{_url64(hmac.digest(self._secret, head.encode(), 'sha256'))}"

    def _is_known(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        ends = self._tokens.get(token.strip())
        return scheme.lower() == "bearer" and ends is not None and self.clock.now().timestamp() < ends

    # Pages of a moving list

    def _window(self, call: HandledCall, total: int) -> tuple[slice, str | None]:
        """Which rows to show, and the next page's token: a place in the list, whatever moves meanwhile."""
        size = self._page_size(call.query.get("maxresults"))
        token = call.query.get("nexttoken")
        start = self._offset(call.operation, token) if token else 0
        end = start + size
        return slice(start, end), self._page_token(call.operation, end) if end < total else None

    def _page_size(self, wanted: str | None) -> int:
        if wanted is None:
            return min(PLAIN_PAGE, self.max_page_size)
        size = int(wanted) if wanted.isdecimal() and wanted.isascii() else 0
        if size < 1 or (size > self.max_page_size and self.refuses_large_pages):
            raise PortalRefusal(400, f"MaxResults must be a number from 1 to {self.max_page_size}.")
        return min(size, self.max_page_size)

    def _page_token(self, operation: str, offset: int) -> str:
        place = _TOKEN_MARK + struct.pack(">I", offset)
        proof = hmac.digest(self._secret, operation.encode() + place, "sha256")[:18]
        return base64.b64encode(place + proof).decode()  # 25 bytes: it ends in ==

    def _offset(self, operation: str, token: str) -> int:
        try:
            place = base64.b64decode(token, validate=True)[:7]
            offset: int = struct.unpack(">I", place[3:])[0]
        except (ValueError, struct.error):
            raise PortalRefusal(400, "The next token is not valid.") from None
        if token != self._page_token(operation, offset):
            raise PortalRefusal(400, "The next token is not valid.")
        return offset

    def _paged(self, call: HandledCall, rows: Sequence[Json]) -> Json:
        window, token = self._window(call, len(rows))
        return {"nextToken": token, "items": list(rows[window])}

    # The operations that need more than a line

    def _list_devices(self, call: HandledCall) -> bytes | Json:
        order = self.devices.in_order()
        window, token = self._window(call, len(order))
        rows = [self.devices[device_id] for device_id in order[window]]
        if self.fields.get(PortalOperation.LIST_DEVICES):
            return {"nextToken": token, "items": [device.wire() for device in rows]}
        items = b",".join([device.encoded() for device in rows])
        return b'{"nextToken":%s,"items":[%s]}' % (encode(token), items)

    def _list_labels(self, call: HandledCall) -> Json | list[Any]:
        labels = sorted(self.labels)
        match self.labels_answer:
            case "items":
                return {"items": labels}
            case "objects":
                return {"items": [{"label": label} for label in labels]}
            case "array":
                return labels

    def _add_label(self, call: HandledCall) -> None:
        device_id, *label = call.arguments  # another shape may name the label in the path
        self.add_label(device_id, label[0] if label else call.text("label"))

    def _get_job(self, call: HandledCall) -> Json:
        job = self.job(call.arguments[0]).wire()
        if self.details_are_objects:
            for target in job["devices"]:
                target["statusDetails"] = {"detailsMap": {"reason": target["statusDetails"]}}
        return job

    def _list_firmware(self, call: HandledCall) -> Json:
        return self._paged(call, [firmware.wire() for firmware in self.firmwares.values()])

    def _create_job(self, call: HandledCall) -> Json:
        ids = call.body.get("deviceIds") if isinstance(call.body, dict) else None
        if not isinstance(ids, list) or not all(isinstance(device_id, str) for device_id in ids):
            raise PortalRefusal(400, "The field 'deviceIds' must be a list of device ids.")
        return {"id": self.create_job(call.text("name"), call.text("firmwareId"), ids).id}

    def _list_jobs(self, call: HandledCall) -> Json:
        return self._paged(call, [job.summary() for job in reversed(self.jobs.values())])


_TYPED = {"Content-Type": JSON_TYPE}


def _json(status: int, document: bytes | Json | list[Any]) -> web.Response:
    body = document if isinstance(document, bytes) else encode(document)
    return web.Response(status=status, body=body, headers=_TYPED)


def _page(status: int, html: str) -> web.Response:
    return web.Response(status=status, body=html.encode(), headers={"Content-Type": HTML_TYPE})


def _faulty(fault: FleetFault) -> web.Response:
    status, kind, body = fault.answer
    if kind == "html":
        answer = _page(status, str(body))
    elif kind == "json":
        answer = web.Response(status=status, body=encode(body), headers=_TYPED)
    else:
        answer = web.Response(status=status)
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = fault.retry_after
    return answer


def _changed(answer: web.Response, change: Callable[[Any], Any]) -> web.Response:
    body = _body(answer)
    return _json(answer.status, change(json.loads(body))) if body else answer


def _body(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


def _cut(request: web.BaseRequest) -> web.Response:
    """Reset the connection under the client; the response goes nowhere."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=500)


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
