"""What time it is: the machine's clock, which may be set, and the bot's time, which goes on evenly.

A clock that jumps is followed together with what is stored: in one transaction every moment moves as far as
the clock did, and from its commit on the time is the new one. So whatever has begun takes as long as it would
have, and nothing waits for an hour that comes twice. Replicas share the clock of their database; an answer
that took long says nothing of it.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot.domain.errors import Unavailable
from bot.storage.db import clock_change
from bot.storage.db.engine import Database, Transaction

log = logging.getLogger(__name__)

JUMP = timedelta(seconds=10)  # a clock that is set right by less hurts no rule
_SLOW = 1.0  # seconds for an answer, after which it is no longer the time
_TRIES = 5


class Clock(Protocol):
    """What time it is, and how much faster than the world it goes; the demo's runs ahead."""

    @property
    def speed(self) -> float: ...

    def now(self) -> datetime: ...


def machine_time() -> datetime:
    return datetime.now(UTC)


def time_since_boot() -> float:
    """In seconds, with those in which the machine was suspended where it counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class WallClock:
    """The time of this machine, or of the database that replicas share."""

    speed = 1.0

    def __init__(
        self,
        wall: Callable[[], datetime] = machine_time,
        elapsed: Callable[[], float] = time_since_boot,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._zero = wall() - timedelta(seconds=elapsed())

    def now(self) -> datetime:
        return self._zero + timedelta(seconds=self._elapsed())

    async def begin(self, database: Database) -> None:
        """At the start: a clock that was set back since the time was last written is followed, too.

        Raises Unavailable when the database is too slow to tell its time.
        """
        async with database.read() as connection:
            for _ in range(_TRIES):
                if (by := await self._off(connection)) is not None:
                    break
            else:
                raise Unavailable("My database takes too long to answer.")
            last = await clock_change.last_written(connection)
        self._zero += by
        there = self.now()
        if last is not None and last - there >= JUMP:
            async with database.write() as connection:
                await _move(connection, there - last, there)

    async def follow(self, database: Database) -> None:
        """What is stored moves first, so that no process sees the one without the other.

        Whoever reads the time holds what was written of it, so that nobody writes an older one over it.
        """
        async with database.write() as connection:
            await clock_change.last_written(connection, to_change=True)
            by = await self._off(connection)
            if by is None:
                return
            there = self.now() + by
            if abs(by) >= JUMP:
                await _move(connection, by, there)
            else:
                await clock_change.write(connection, there)
        self._zero += by

    async def _off(self, connection: Transaction) -> timedelta | None:
        """How far the clock is ahead of our time; None when the answer took too long to tell."""
        asked = self._elapsed()
        there = await clock_change.time_there(connection) or self._wall()
        by = there - self.now()
        return by if self._elapsed() - asked < _SLOW else None


async def _move(connection: Transaction, by: timedelta, there: datetime) -> None:
    moved = await clock_change.move(connection, by, there)
    ahead = "set back" if by < timedelta() else "put forward"
    log.warning("the clock was %s; what is stored %s", ahead, "went along" if moved else "has gone along")
