"""A database in which something commits exactly between two transactions of whoever is watched."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.engine import Database

Act = Callable[[], Awaitable[object]]


class Interleaved(Database):
    """``before`` names the transaction that an act precedes; 0 is the first one after the call."""

    _act: Act | None = None
    _left = 0

    def before(self, transaction: int, act: Act) -> None:
        self._act, self._left = act, transaction

    def has_acted(self) -> bool:
        """Whether there was such a transaction; the act is not waited for any more."""
        waits, self._act = self._act is not None, None
        return not waits

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        await self._step()
        async with super().read() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        await self._step()
        async with super().write() as connection:
            yield connection

    async def _step(self) -> None:
        act = self._act
        if act is None:
            return
        if self._left:
            self._left -= 1
            return
        self._act = None  # its own transactions are nobody's to watch
        await act()
