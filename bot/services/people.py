"""People: whose roles may have changed, as Slack told one replica, and what they want to hear of."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.services.context import Context
from bot.storage import people as store

_LATELY = timedelta(minutes=15)  # what a replica knew for longer, it does not trust anyway


class ChangedPeople:
    """``forget`` is this replica's own. What happened before it began it has never known."""

    def __init__(self, context: Context, *, forget: Callable[[str], None]) -> None:
        self._database = context.database
        self._now = context.now
        self._forget = forget
        self._heard: dict[str, datetime] = {}

    async def tell(self, subject: str) -> None:
        """The others hear of it at their next tick."""
        async with self._database.write() as connection:
            await store.add_change(connection, subject, self._now())

    async def tick(self) -> None:
        async with self._database.read() as connection:
            changes = await store.changes_since(connection, self._now() - _LATELY)
        for subject, at in changes.items():
            if self._heard.get(subject) != at:
                self._forget(subject)
        self._heard = changes


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
