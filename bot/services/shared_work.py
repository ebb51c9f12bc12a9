"""One piece of work for all who ask for the same: at once they wait together, later ones get its result."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar, cast

from bot.domain.errors import BotError

T = TypeVar("T")


@dataclass(slots=True)
class _Work(Generic[T]):
    """How it ended last: with a result at a moment, or with an error."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asking: int = 0
    ended: int = 0  # how often
    result: T | None = None
    at: datetime | None = None
    error: BotError | None = None


class Shared(Generic[T]):
    """Keeps each result for some time. An error goes to all who wait for it, and is not kept."""

    def __init__(self, now: Callable[[], datetime], kept: timedelta) -> None:
        self._now = now
        self._kept = kept
        self._known: dict[Hashable, _Work[T]] = {}

    def __len__(self) -> int:
        """How many things it keeps."""
        return len(self._known)

    async def get(self, what: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """What the work gives, done by the first who asks; if that one is cancelled, by the next."""
        self._forget()
        mine = self._known.setdefault(what, _Work())
        ended, mine.asking = mine.ended, mine.asking + 1
        try:
            async with mine.turn:
                if mine.ended == ended and not self._is_fresh(mine):
                    await self._do(mine, work)
                if mine.error is not None:
                    raise mine.error
                return cast("T", mine.result)
        finally:
            mine.asking -= 1

    async def _do(self, mine: _Work[T], work: Callable[[], Awaitable[T]]) -> None:
        mine.at = mine.error = None
        try:
            mine.result, mine.at = await work(), self._now()
        except BotError as error:
            mine.error = error
        mine.ended += 1

    def _is_fresh(self, one: _Work[T]) -> bool:
        return one.at is not None and timedelta() <= self._now() - one.at < self._kept

    def _forget(self) -> None:
        for what in [what for what, one in self._known.items() if not one.asking and not self._is_fresh(one)]:
            del self._known[what]
