"""The clock: ticks come again, never twice at once, and never take the process down."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.errors import Unavailable
from bot.scheduler import Scheduler

SOON = timedelta(milliseconds=10)
NEVER = timedelta(days=1)
LONG = timedelta(seconds=30)  # longer than any test waits
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    made = Scheduler(now=lambda: NOON)
    yield made
    await made.shutdown(timedelta(0))


class Counter:
    """A tick that counts, and can be held up or made to fail."""

    def __init__(self) -> None:
        self.started = self.finished = self.at_once = self.most_at_once = 0
        self.fails = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._changed = asyncio.Condition()

    async def __call__(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.started += 1
            await self._tell()
            await self.gate.wait()
            if self.fails:
                raise RuntimeError("no answer")
            self.finished += 1
            await self._tell()
        finally:
            self.at_once -= 1

    async def until(self, *, started: int = 0, finished: int = 0) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.started >= started and self.finished >= finished)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def test_a_tick_runs_at_once_and_again(scheduler: Scheduler) -> None:
    tick = Counter()
    scheduler.add("poll", SOON, tick)
    scheduler.start()
    await tick.until(finished=3)
    assert scheduler.ticks["poll"].last_run == NOON


async def test_a_rare_tick_runs_at_once_too(scheduler: Scheduler) -> None:
    tick = Counter()
    scheduler.add("prune", NEVER, tick)
    scheduler.start()
    await tick.until(finished=1)


async def test_a_tick_never_overlaps_itself_and_holds_up_no_other(scheduler: Scheduler) -> None:
    slow, other = Counter(), Counter()
    slow.gate.clear()
    scheduler.add("slow", SOON, slow)
    scheduler.add("other", SOON, other)
    scheduler.start()
    await other.until(finished=5)
    assert (slow.started, slow.finished) == (1, 0)
    slow.gate.set()
    await slow.until(finished=2)
    assert slow.most_at_once == 1


async def test_an_error_is_logged_with_the_tick_s_name_and_the_tick_goes_on(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    tick = Counter()
    tick.fails = True
    scheduler.add("poll", SOON, tick)
    scheduler.start()
    await tick.until(started=2)
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert (record.message, vars(record)["tick"]) == ("a tick failed", "poll")
    assert scheduler.ticks["poll"].last_error == "RuntimeError: no answer"


async def test_an_error_is_forgotten_after_the_next_success(scheduler: Scheduler) -> None:
    tick = Counter()
    tick.fails = True
    scheduler.add("poll", NEVER, tick)
    await scheduler.run_now("poll")
    tick.fails = False
    await scheduler.run_now("poll")
    state = scheduler.ticks["poll"]
    assert (state.runs, state.failures, state.last_error) == (2, 1, None)


async def test_two_ticks_of_one_name_are_refused(scheduler: Scheduler) -> None:
    scheduler.add("poll", SOON, Counter())
    with pytest.raises(ValueError, match="poll"):
        scheduler.add("poll", SOON, Counter())


async def test_run_now_waits_for_the_run_under_way_and_then_runs(scheduler: Scheduler) -> None:
    tick = Counter()
    tick.gate.clear()
    scheduler.add("poll", NEVER, tick)
    scheduler.start()
    await tick.until(started=1)
    asked = asyncio.create_task(scheduler.run_now("poll"))
    tick.gate.set()
    await asked
    assert (tick.finished, tick.most_at_once) == (2, 1)


async def test_a_caller_who_gives_up_does_not_cut_a_tick_short(scheduler: Scheduler) -> None:
    tick = Counter()
    tick.gate.clear()
    scheduler.add("poll", NEVER, tick)
    asked = asyncio.create_task(scheduler.run_now("poll"))
    await tick.until(started=1)
    asked.cancel()
    await asyncio.wait([asked])
    tick.gate.set()
    await tick.until(finished=1)


async def test_a_paused_scheduler_starts_nothing_but_lets_a_tick_finish(scheduler: Scheduler) -> None:
    tick = Counter()
    tick.gate.clear()
    scheduler.add("poll", SOON, tick)
    scheduler.start()
    await tick.until(started=1)
    scheduler.pause()
    tick.gate.set()
    await tick.until(finished=1)
    await scheduler.shutdown(LONG)
    assert tick.started == 1


async def test_shutdown_waits_for_a_running_tick(scheduler: Scheduler) -> None:
    tick = Counter()
    tick.gate.clear()
    scheduler.add("poll", SOON, tick)
    scheduler.start()
    await tick.until(started=1)
    stopping = asyncio.create_task(scheduler.shutdown(LONG))
    tick.gate.set()
    await stopping
    assert (tick.started, tick.finished) == (1, 1)


async def test_shutdown_cancels_what_is_not_done_in_time(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    tick = Counter()
    tick.gate.clear()
    scheduler.add("poll", SOON, tick)
    scheduler.start()
    await tick.until(started=1)
    await scheduler.shutdown(timedelta(0))
    assert (tick.finished, tick.at_once) == (0, 0)
    assert "a tick was cut short" in caplog.messages


async def test_a_higher_speed_shortens_every_interval(scheduler: Scheduler) -> None:
    tick = Counter()
    scheduler.add("prune", NEVER, tick)
    scheduler.start()
    await tick.until(finished=1)
    scheduler.set_speed(NEVER / SOON)
    await tick.until(finished=3)


async def test_a_speed_set_before_a_tick_is_added_holds_for_it(scheduler: Scheduler) -> None:
    tick = Counter()
    scheduler.set_speed(NEVER / SOON)
    scheduler.add("prune", NEVER, tick)
    scheduler.start()
    await tick.until(finished=3)


async def test_a_clock_that_is_set_back_does_not_keep_the_ticks_waiting() -> None:
    wall, tick = [NOON], Counter()
    scheduler = Scheduler(now=lambda: NOON, wall=lambda: wall[0], look_every=SOON)
    scheduler.add("listing", NEVER, tick)
    scheduler.start()
    await tick.until(finished=1)
    wall[0] -= timedelta(hours=2)
    await tick.until(finished=2)
    await scheduler.shutdown(timedelta(0))


async def test_an_outage_that_is_understood_is_logged_in_one_line(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    async def tick() -> None:
        raise Unavailable("My database does not answer.")

    scheduler.add("alerts", NEVER, tick)
    await scheduler.run_now("alerts")
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == ("a tick failed: My database does not answer.", None)
    assert scheduler.ticks["alerts"].last_error == "My database does not answer."
