"""What goes wrong with Slack on demand, and the pace Slack allows.

Faults are arranged by a test or by the demo and wear off by themselves; `RateLimits` answers 429 as Slack
does by its tiers (docs.slack.dev/apis/web-api/rate-limits), with bursts that Slack does not publish.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_PER_MINUTE = {
    "apps.connections.open": 1,
    "auth.test": 600,
    "chat.update": 50,
    "conversations.history": 50,
    "conversations.info": 50,
    "conversations.list": 20,
    "conversations.open": 50,
    "conversations.replies": 50,
    "usergroups.list": 20,
    "usergroups.users.list": 20,
    "users.list": 20,
}
_TIER_4 = 100
_CHANNEL_BURST = 4
_WORKSPACE_PER_MINUTE = 300  # "several hundred messages per minute"
_JITTER = 0.1  # part of an interval that a call may come early

Kind = Literal["rate_limit", "lose_answer", "fail", "hang"]


@dataclass
class SlackFault:
    kind: Kind
    method: str
    times: int
    retry_after: int = 1
    channel: str | None = None
    error: str = ""
    status: int = 200


class SlackFaults:
    """Faults to come, in the order they were arranged; `method` may be `*`, `response_url` or `upload`."""

    def __init__(self) -> None:
        self._arranged: list[SlackFault] = []
        self.refusals = 0
        self.deaf: asyncio.Event | None = None
        self.disconnecting: str | None = None
        self.on_drop: Callable[[], None] = _nothing
        self.on_refresh: Callable[[], None] = _nothing

    def rate_limit(
        self, method: str, retry_after: int = 1, times: int = 1, channel: str | None = None
    ) -> None:
        """The next calls are answered 429 with that Retry-After."""
        self._arranged.append(
            SlackFault("rate_limit", method, times, retry_after=retry_after, channel=channel)
        )

    def lose_answer(self, method: str, times: int = 1, channel: str | None = None) -> None:
        """The next calls take effect, but the connection is cut before the answer."""
        self._arranged.append(SlackFault("lose_answer", method, times, channel=channel))

    def fail(
        self,
        method: str,
        error: str = "internal_error",
        times: int = 1,
        status: int = 200,
        channel: str | None = None,
    ) -> None:
        """The next calls are answered with that error and change nothing."""
        self._arranged.append(SlackFault("fail", method, times, error=error, status=status, channel=channel))

    def hang(self, method: str, times: int = 1) -> None:
        """The next calls get no answer until the caller gives up or the server stops."""
        self._arranged.append(SlackFault("hang", method, times))

    def drop_sockets(self) -> None:
        """Every open socket is cut without a goodbye."""
        self.on_drop()

    def refresh_sockets(self) -> None:
        """Every open socket is told `refresh_requested`, then closed."""
        self.on_refresh()

    def refuse_sockets(self, times: int = 1) -> None:
        """apps.connections.open goes on answering, but the next handshakes are refused."""
        self.refusals = times

    def disconnect_sockets(self, reason: str) -> None:
        """Every open socket, and each that is opened from now on, is told that reason and closed."""
        self.disconnecting = reason
        self.on_refresh()

    def deafen_sockets(self) -> None:
        """New sockets open, and then hear nothing, not even a goodbye; until `clear`."""
        self.deaf = asyncio.Event()

    def clear(self) -> None:
        if self.deaf is not None:
            self.deaf.set()
            self.deaf = None
        self.disconnecting = None
        self._arranged.clear()
        self.refusals = 0

    def take(self, method: str, channel: str | None = None) -> SlackFault | None:
        """The fault that the next call of `method` meets, which uses it up once."""
        for fault in self._arranged:
            if fault.method in ("*", method) and fault.channel in (None, channel):
                fault.times -= 1
                if fault.times <= 0:
                    self._arranged.remove(fault)
                return fault
        return None

    def take_refusal(self) -> bool:
        refused = self.refusals > 0
        self.refusals = max(0, self.refusals - 1)
        return refused


class RateLimits:
    """How fast the bot may call; off unless `limits_on`, or a `message_interval` in seconds, is set."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}
        self.limits_on = False
        self.message_interval = 0.0

    def wait(self, method: str, channel: str = "") -> float:
        """Seconds until the call would be taken; 0 when it is taken now, which then counts."""
        rules: list[tuple[tuple[str, str], float, float]] = []
        if method == "chat.postMessage" and self.message_interval:
            rules.append((("every message", ""), self.message_interval, 1))
        if self.limits_on and method == "chat.postMessage":
            rules.append(((method, channel), 1.0, _CHANNEL_BURST))
            rules.append(((method, ""), 60 / _WORKSPACE_PER_MINUTE, _WORKSPACE_PER_MINUTE / 2))
        elif self.limits_on:
            per_minute = _PER_MINUTE.get(method, _TIER_4)
            rules.append(((method, ""), 60 / per_minute, max(5, per_minute // 2)))
        now = self._clock()
        waits = [self._due.get(key, 0.0) - (burst - 1 + _JITTER) * every - now for key, every, burst in rules]
        if any(wait > 0 for wait in waits):
            return max(waits)
        for key, every, _ in rules:
            self._due[key] = max(self._due.get(key, 0.0), now) + every
        return 0.0


def _nothing() -> None:
    """No sockets yet."""
