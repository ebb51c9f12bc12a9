"""How Slack reaches the bot: over any one of its open sockets, else as signed HTTP requests.

An envelope goes out at once; its acknowledgement is stamped as it is read, so that `Ack.latency_s` measures
the bot and the wire, nothing else.
"""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from bot.demo.slack.faults import SlackFaults
from bot.demo.slack.wire_log import Ack, EventLog
from bot.demo.slack.workspace import APP

Json = dict[str, Any]

_MOST_SOCKETS = 10
_TIMEOUTS = {"slash_commands": "operation_timeout", "events_api": "timeout"}


@dataclass(slots=True)
class _Pending:
    future: "asyncio.Future[Ack]"
    sent_at: float
    timer: asyncio.TimerHandle


class Delivery:
    """Sockets and HTTP requests to the bot. `http_url` is used while no socket is open."""

    def __init__(self, signing_secret: str, log: EventLog, faults: SlackFaults) -> None:
        self._secret = signing_secret.encode()
        self._log = log
        self._faults = faults
        self._tickets: set[str] = set()
        self._turn = 0
        self._pending: dict[str, _Pending] = {}
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.sockets: list[tuple[web.WebSocketResponse, web.Request]] = []
        self.http_url: str | None = None
        self.ack_seconds = 3.0
        self.opened = 0
        faults.on_drop = self._drop
        faults.on_refresh = lambda: self.spawn(self._refresh(faults.disconnecting or "refresh_requested"))

    def new_ticket(self) -> str:
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return ticket

    def spawn(self, work: Any) -> None:
        """Run something to its end, or until the server stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket, _ in list(self.sockets):
            await socket.close(code=1001)
        for pending in self._pending.values():
            pending.timer.cancel()
            pending.future.cancel()
        self._pending.clear()
        if self._session:
            await self._session.close()

    async def handshake(self, request: web.Request) -> web.StreamResponse:
        """One WebSocket of the bot, from its handshake to its end. A ticket opens one socket."""
        ticket = request.query.get("ticket", "")
        if self._faults.take_refusal() or ticket not in self._tickets:
            self._tickets.discard(ticket)
            self._log.record("socket refused")
            return web.Response(status=403, text="ticket refused")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        too_many = "too_many_websockets" if len(self.sockets) >= _MOST_SOCKETS else None
        if reason := self._faults.disconnecting or too_many:
            self._log.record("socket told to go", reason=reason)
            await socket.send_json({"type": "disconnect", "reason": reason})
            await socket.close()
            return socket
        entry = (socket, request)
        self.sockets.append(entry)
        try:
            await socket.send_json(self._hello())
            self.opened += 1
            self._log.record("socket opened", sockets=len(self.sockets))
            if self._faults.deaf is not None:
                await self._faults.deaf.wait()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(message.data, time.perf_counter())
        finally:
            if entry in self.sockets:
                self.sockets.remove(entry)
            self._log.record("socket closed", sockets=len(self.sockets))
        return socket

    async def send(
        self, kind: str, payload: Json, *, attempt: int = 0, reason: str = ""
    ) -> "asyncio.Future[Ack]":
        """Deliver one payload (`slash_commands`, `interactive`, `events_api`); the future is its ack."""
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        live = [socket for socket, _ in self.sockets if not socket.closed]
        if live:
            self._turn += 1
            await self._send_socket(live[self._turn % len(live)], kind, payload, future, attempt, reason)
        elif self.http_url:
            self.spawn(self._send_http(self.http_url, kind, payload, future, attempt, reason))
        else:
            future.set_result(Ack(0, None, 0.0, "dispatch_failed"))
        return future

    async def post(
        self, url: str, body: str, content_type: str, extra: dict[str, str]
    ) -> tuple[int, str, str]:
        """A signed request to the bot: status, content type and text of its answer."""
        stamp = str(int(time.time()))
        digest = hmac.new(self._secret, f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={digest}",
            **extra,
        }
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.ack_seconds))
        async with self._session.post(url, data=body.encode(), headers=headers) as answer:
            return answer.status, answer.content_type, await answer.text()

    async def _send_socket(
        self,
        socket: web.WebSocketResponse,
        kind: str,
        payload: Json,
        future: "asyncio.Future[Ack]",
        attempt: int,
        reason: str,
    ) -> None:
        envelope_id = str(uuid.uuid4())
        envelope: Json = {"envelope_id": envelope_id, "type": kind, "payload": payload}
        envelope["accepts_response_payload"] = kind != "events_api"
        if kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": reason}
        text = json.dumps(envelope)
        error = _TIMEOUTS.get(kind, "trouble_connecting")
        timer = asyncio.get_running_loop().call_later(self.ack_seconds, self._late, envelope_id, error)
        self._pending[envelope_id] = _Pending(future, time.perf_counter(), timer)
        try:
            await socket.send_str(text)
        except ConnectionError:
            timer.cancel()
            self._pending.pop(envelope_id, None)
            future.set_result(Ack(0, None, 0.0, "dispatch_failed"))

    def _acknowledged(self, data: str, at: float) -> None:
        self._log.heard(data)
        answer = json.loads(data)
        pending = self._pending.pop(str(answer.get("envelope_id")), None)
        if pending is None:
            self._log.record("late ack", envelope_id=answer.get("envelope_id"))
            return
        pending.timer.cancel()
        if not pending.future.done():
            pending.future.set_result(Ack(200, answer.get("payload") or None, at - pending.sent_at))

    def _late(self, envelope_id: str, error: str) -> None:
        pending = self._pending.pop(envelope_id, None)
        if pending and not pending.future.done():
            pending.future.set_result(Ack(0, None, self.ack_seconds, error))

    async def _send_http(
        self, url: str, kind: str, payload: Json, future: "asyncio.Future[Ack]", attempt: int, reason: str
    ) -> None:
        extra = {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason} if attempt else {}
        form = "application/x-www-form-urlencoded"
        started = time.perf_counter()
        try:
            if kind == "events_api":
                answer = await self.post(url, json.dumps(payload), "application/json", extra)
            elif kind == "slash_commands":
                answer = await self.post(url, urlencode(payload), form, extra)
            else:
                answer = await self.post(url, urlencode({"payload": json.dumps(payload)}), form, extra)
        except (aiohttp.ClientError, TimeoutError) as error:
            code = (
                _TIMEOUTS.get(kind, "trouble_connecting")
                if isinstance(error, TimeoutError)
                else "dispatch_failed"
            )
            _settle(future, Ack(0, None, time.perf_counter() - started, code))
            return
        status, content_type, text = answer
        self._log.heard(text)
        latency = time.perf_counter() - started
        payload_back = json.loads(text) if content_type == "application/json" and text else _as_payload(text)
        _settle(
            future, Ack(status, payload_back or None, latency, "" if status == 200 else "dispatch_failed")
        )

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.sockets),
            "connection_info": {"app_id": APP},
            "debug_info": {"host": "applink-1", "build_number": 1, "approximate_connection_time": 3600},
        }

    def _drop(self) -> None:
        for _, request in self.sockets:
            if request.transport:
                request.transport.abort()

    async def _refresh(self, reason: str) -> None:
        for socket, _ in list(self.sockets):
            await socket.send_json(
                {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}}
            )
            await socket.close()


def _as_payload(text: str) -> Json | None:
    return {"text": text} if text else None


def _settle(future: "asyncio.Future[Ack]", ack: Ack) -> None:
    if not future.done():
        future.set_result(ack)
