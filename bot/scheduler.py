"""The clock of this process: named ticks that come again and again, one at a time each.

APScheduler only says when. It would skip a tick that still runs with a warning, and cancel it at shutdown
whatever ``wait`` says, so its jobs here do no more than start a task that we keep: no overlap, no error that
escapes, and a shutdown that waits. What a tick does is not known here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from structlog.contextvars import bind_contextvars

from bot.domain.errors import BotError
from bot.storage.db.engine import end_now, repeated

logger = logging.getLogger(__name__)

Tick = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class TickState:
    """How one tick is doing. ``last_run`` is when the last one that has finished began."""

    name: str
    every: timedelta
    tick: Tick
    last_run: datetime | None = None
    last_error: str | None = None
    runs: int = 0
    failures: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def is_running(self) -> bool:
        return self.lock.locked()


class Scheduler:
    """Runs every tick at once after ``start``, and then each time its interval is over."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_every: timedelta = timedelta(seconds=1),
    ) -> None:
        self._now = now
        self._wall = wall
        self._look_every = look_every
        self._watching: asyncio.Task[None] | None = None
        self._speed = 1.0
        self.started: datetime | None = None
        self._ticks: dict[str, TickState] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._clock = AsyncIOScheduler(timezone=UTC)

    @property
    def ticks(self) -> Mapping[str, TickState]:
        return self._ticks

    def add(self, name: str, every: timedelta, tick: Tick) -> None:
        """Run ``tick`` each ``every``. One that is still running when it is due again is left alone."""
        if name in self._ticks:
            raise ValueError(f"there is a tick called {name} already")
        self._ticks[name] = TickState(name, every, tick)
        self._clock.add_job(
            self._start_tick,
            self._trigger(every),
            args=[name],
            id=name,
            next_run_time=datetime.now(UTC),
            coalesce=True,
            misfire_grace_time=None,  # however late: a loop that was busy must not lose a tick
        )

    def start(self) -> None:
        self.started = self._now()
        self._clock.start()
        self._watching = asyncio.create_task(self._watch_the_wall_clock(), name="wall clock")

    def pause(self) -> None:
        """Start no more ticks; those that run go on."""
        if self._clock.running:
            self._clock.pause()

    def set_speed(self, factor: float) -> None:
        """Make every interval this many times shorter, from now on."""
        self._speed = factor
        for state in self._ticks.values():
            self._clock.reschedule_job(state.name, trigger=self._trigger(state.every))

    async def run_now(self, name: str) -> None:
        """Run a tick once and return when it is done; if it is running, after that run."""
        await asyncio.shield(self._begin(self._ticks[name]))

    async def shutdown(self, timeout: timedelta) -> None:
        """Start no more ticks, wait for those that run, and cancel what is not done by then."""
        self.pause()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._running:
            await asyncio.wait(self._running, timeout=timeout.total_seconds())
        late = list(self._running)
        for task in late:
            logger.warning("a tick was cut short", extra={"tick": task.get_name()})
        await end_now(late)
        if self._clock.running:
            self._clock.shutdown(wait=False)

    async def _watch_the_wall_clock(self) -> None:
        """APScheduler waits for a time of day: a clock set back would have it wait that much longer."""
        before = self._wall()
        while True:
            await asyncio.sleep(self._look_every.total_seconds())
            if (now := self._wall()) < before:
                logger.warning("the clock was set back", extra={"by": str(before - now)})
                for name in self._ticks:
                    self._clock.modify_job(name, next_run_time=datetime.now(UTC))
            before = now

    def _trigger(self, every: timedelta) -> IntervalTrigger:
        return IntervalTrigger(seconds=every.total_seconds() / self._speed, timezone=UTC)

    async def _start_tick(self, name: str) -> None:
        state = self._ticks[name]
        if not state.is_running:
            self._begin(state)

    def _begin(self, state: TickState) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(state), name=state.name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _run(self, state: TickState) -> None:
        async with state.lock:
            began = self._now()
            bind_contextvars(tick=state.name)  # each run is a task of its own
            try:
                await repeated(state.tick, resumes=True)
            except BotError as error:  # a sentence, and no mystery
                state.failures += 1
                state.last_error = str(error)
                logger.warning("a tick failed: %s", error, extra={"tick": state.name})
            except Exception as error:  # the next tick tries again; see the module's docstring
                state.failures += 1
                state.last_error = f"{type(error).__name__}: {error}"
                logger.exception("a tick failed", extra={"tick": state.name})
            else:
                state.last_error = None
            state.runs += 1
            state.last_run = began
