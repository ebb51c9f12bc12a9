"""Forgets rollouts and incidents that ended long ago, and what else nobody can ask for any more."""

from datetime import datetime

from bot.domain.audit import KEPT
from bot.services.context import Context
from bot.storage import retention as store


class Retention:
    """What is going on is never forgotten, nor what something that goes on refers to."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def prune(self) -> None:
        """In small transactions: a long one would keep everybody else from writing."""
        now = self._now()
        async with self._database.write() as connection:
            await store.forget_at_once(connection, now - KEPT, now)
        while await self._some(now - KEPT):
            pass

    async def _some(self, before: datetime) -> bool:
        async with self._database.write() as connection:
            return await store.forget_some(connection, before)
