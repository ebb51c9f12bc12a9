"""What people chose for themselves: whether they want to hear of what happens."""

from datetime import datetime

from bot.services.context import Context
from bot.storage import preferences as store


class Preferences:
    """What people chose for themselves."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def set_muted(self, user_id: str, *, muted: bool) -> None:
        """Whether they are spared direct messages about what happens; answers to them come all the same."""
        async with self._database.write() as connection:
            await store.set_muted(connection, user_id, self._now() if muted else None)

    async def muted_since(self, user_id: str) -> datetime | None:
        async with self._database.read() as connection:
            return await store.muted_since(connection, user_id)
