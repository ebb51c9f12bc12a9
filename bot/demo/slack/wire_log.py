"""What crossed the wire: an append-only record that tests wait on and a page can follow; a person's act.

Nobody sleeps to see whether something has happened: `EventLog.wait_for` asks its predicate again whenever
anything was recorded.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from bot.demo.slack.workspace import PostedMessage, View

Json = dict[str, Any]
T = TypeVar("T")

_MOST_EVENTS = 5_000
_PICTURE = 15


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `number` counts up without gaps, `at` is seconds since the epoch."""

    number: int
    at: float
    kind: str
    detail: Json

    def __str__(self) -> str:
        detail = " ".join(f"{key}={value!r}" for key, value in self.detail.items())
        return f"#{self.number} {self.kind} {detail}"[:400]


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One Web API call of the bot and its answer."""

    method: str
    args: Json
    at: float
    status: int
    answer: Json

    @property
    def ok(self) -> bool:
        return bool(self.answer.get("ok"))

    @property
    def error(self) -> str:
        return str(self.answer.get("error", ""))


@dataclass(frozen=True, slots=True)
class Ack:
    """What the bot answered within its three seconds; `error` is what the person would read otherwise."""

    status: int
    payload: Json | None
    latency_s: float
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(eq=False)
class Interaction:
    """One act of a person: `await interaction.ack`, then look at `responses` (sent to its response_url)."""

    kind: str
    user: str
    payload: Json
    ack: "asyncio.Future[Ack]"
    channel: str = ""
    trigger_id: str = ""
    response_url: str = ""
    original: PostedMessage | None = None
    view: View | None = None
    created_at: float = 0.0
    uses: int = 0
    posts: list[Json] = field(default_factory=list)
    attempts: list[Ack] = field(default_factory=list)
    received: list[PostedMessage] = field(default_factory=list)

    @property
    def responses(self) -> list[PostedMessage]:
        """The messages that came to the response_url, as they look now; deleted ones are gone."""
        return [message for message in self.received if not message.deleted]

    @property
    def failed(self) -> bool:
        """Whether the person was told that it did not work."""
        return self.ack.done() and not self.ack.result().ok


class EventLog:
    """The record of everything, bounded, with people waiting on it.

    ``listeners`` hear each body that a bot sends to any server here, whole, before it is looked at.
    """

    listeners: ClassVar[list[Callable[[object], None]]] = []

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self.events: deque[Event] = deque(maxlen=_MOST_EVENTS)

    def record(self, kind: str, **detail: object) -> None:
        self._count += 1
        self.events.append(Event(self._count, self._clock(), kind, detail))
        self.wake()

    def heard(self, body: object) -> None:
        for listener in self.listeners:
            listener(body)

    def wake(self) -> None:
        """Have every waiting predicate asked again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait_for(self, predicate: Callable[[], T | None], timeout: float = 100) -> T:
        """The first true value of `predicate`; TimeoutError with the last events if there is none in time."""
        try:
            async with asyncio.timeout(timeout):
                while not (value := predicate()):
                    await self._next()
                return value
        except TimeoutError:
            last = "\n  ".join(str(event) for event in list(self.events)[-_PICTURE:])
            raise TimeoutError(f"not within {timeout} s; the last events were\n  {last}") from None

    async def subscribe(self, since: int | None = None) -> AsyncIterator[Event]:
        """Every event after number `since` (none given: from now on), as it comes."""
        seen = self._count if since is None else since
        while True:
            for event in [event for event in self.events if event.number > seen]:
                seen = event.number
                yield event
            if seen == self._count:
                await self._next()

    async def _next(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
