"""Forgets rollouts and incidents that ended long ago, and what else nobody can ask for any more."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from bot.domain.times.retention import KEPT
from bot.services.context import Context
from bot.storage import retention as store
from bot.storage.db.engine import Transaction


class Retention:
    """What is going on is never forgotten, nor what something that goes on refers to."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def prune(self) -> None:
        """What goes at once."""
        now = self._now()
        async with self._database.write() as connection:
            await store.forget_at_once(connection, now - KEPT, now)

    async def prune_rollouts(self) -> None:
        """In small transactions: a long one would keep everybody else from writing."""
        await self._prune(store.forget_rollouts)

    async def prune_incidents(self) -> None:
        """As ``prune_rollouts``."""
        await self._prune(store.forget_incidents)

    async def _prune(self, forget_some: Callable[[Transaction, datetime], Awaitable[bool]]) -> None:
        before, there_are_more = self._now() - KEPT, True
        while there_are_more:
            async with self._database.write() as connection:
                there_are_more = await forget_some(connection, before)
