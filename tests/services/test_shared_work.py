"""One piece of work for all who ask for the same: by the rule, without a portal."""

import asyncio
from datetime import timedelta

import pytest

from bot.domain.errors import NotFound
from bot.services.shared_work import Shared
from tests.slack.incoming.connected import Clock

KEPT = timedelta(seconds=10)


class Work:
    """Is done when the test says so, and counts how often."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.shared = Shared[int](self.clock.now, KEPT)
        self.begun = 0
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def do(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return number

    def ask(self, what: str = "jobs") -> "asyncio.Task[int]":
        return asyncio.create_task(self.shared.get(what, self.do))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_for_the_same_at_once_waits_for_one_work_and_who_asks_for_another_does_not() -> None:
    work = Work()
    same, other = [work.ask() for _ in range(5)], work.ask("firmware")
    await settled()
    work.go_on.set()
    assert await asyncio.gather(*same) == [1] * 5
    assert await other == 2


async def test_a_result_is_kept_for_its_time_and_not_longer() -> None:
    work = Work()
    work.go_on.set()
    assert await work.ask() == 1
    work.clock.advance(seconds=9)
    assert await work.ask() == 1
    work.clock.advance(seconds=1)
    assert await work.ask() == 2


async def test_a_result_of_a_clock_that_was_set_back_since_is_not_kept() -> None:
    work = Work()
    work.go_on.set()
    await work.ask()
    work.clock.advance(hours=-1)
    assert await work.ask() == 2


async def test_an_error_is_told_to_all_who_wait_and_the_next_asks_again() -> None:
    work = Work()
    work.error = NotFound("There is none.")
    asked = [work.ask() for _ in range(3)]
    await settled()
    work.go_on.set()
    assert [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)] == [NotFound] * 3
    assert work.begun == 1
    work.error = None
    assert await work.ask() == 2


async def test_who_is_cancelled_leaves_the_work_to_the_next() -> None:
    work = Work()
    first, second = work.ask(), work.ask()
    await settled()
    first.cancel()
    work.go_on.set()
    assert await second == 2


async def test_a_mistake_of_ours_is_nobody_else_s() -> None:
    work = Work()
    work.error = KeyError("x")
    first, second = work.ask(), work.ask()
    await settled()
    work.go_on.set()
    for one in (first, second):
        with pytest.raises(KeyError):
            await one
    assert work.begun == 2


async def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    work = Work()
    work.go_on.set()
    for number in range(100):
        await work.ask(f"job {number}")
        work.clock.advance(seconds=1)
    assert len(work.shared) <= 11
