"""How many requests are at work at once: of everybody together, and of one person.

Who sends more than that waits a little behind their own, and then is told so: nobody else waits for them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from bot.domain.errors import Unavailable

AT_ONCE: Final = 250  # far above what people do: who waits for the portal must keep nobody else waiting
RUNNING, WAITING = 3, 5  # of one person
_SENTENCE: Final = (
    f"I am at work on {RUNNING} things for you, and {WAITING} more wait, so I did not take this one. "
    "Please send it again when one of them is answered."
)


class TooMany(Unavailable):
    """Somebody sent more than is taken. ``is_told``: they heard so, and nothing of theirs ended since."""

    def __init__(self, *, is_told: bool) -> None:
        super().__init__(_SENTENCE)
        self.is_told = is_told


@dataclass(slots=True)
class _Person:
    running: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RUNNING))
    here: int = 0
    is_told: bool = False


@dataclass(slots=True)
class _Turn:
    """One request of a person, from its arrival until it ends or is left to itself."""

    person: _Person
    places: list[asyncio.Semaphore] = field(default_factory=list)
    is_over: bool = False

    async def wait_for(self, place: asyncio.Semaphore) -> None:
        await place.acquire()
        self.places.append(place)

    def end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        for place in self.places:
            place.release()
        self.person.here -= 1
        self.person.is_told = False


_turn: ContextVar[_Turn | None] = ContextVar("turn", default=None)


def leave_turn() -> None:
    """For work that goes on by itself for long: who asked for it, and everybody, may ask for more."""
    if turn := _turn.get():
        turn.end()


class Turns:
    """Who is at work for whom."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._people: dict[str, _Person] = {}

    @asynccontextmanager
    async def of(self, user: str) -> AsyncIterator[None]:
        """Has a turn for the block, once it is theirs; of ``""``, nobody in particular. Raises TooMany."""
        if not user:
            async with self._all:
                yield
            return
        person = self._people.setdefault(user, _Person())
        if person.here >= RUNNING + WAITING:
            is_told, person.is_told = person.is_told, True
            raise TooMany(is_told=is_told)
        person.here += 1
        turn = _Turn(person)
        _turn.set(turn)
        try:
            await turn.wait_for(person.running)
            await turn.wait_for(self._all)
            yield
        finally:
            turn.end()
            if not person.here and self._people.get(user) is person:
                del self._people[user]
