"""What Slack tells one replica: who acts on a request, and what all have to know of people's roles."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.services.context import Context
from bot.storage import replicas as store
from bot.storage.cards import cards

_LATELY = timedelta(minutes=15)  # what a replica knew for longer, it does not trust anyway


class Heard:
    """What is acted on once, whichever replica hears it.

    Slack delivers a mention again when it did not hear that it arrived, and who recorded a request may
    send it again.
    """

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def is_new(self, key: str) -> bool:
        """Whether this replica is the one to act on it. Raises Unavailable without the database."""
        async with self._database.write() as connection:
            return await store.hear(connection, key, self._now())

    async def card_in(self, channel: str, ts: str) -> tuple[str, str] | None:
        """The kind and the subject of the card that was posted there as this message."""
        async with self._database.read() as connection:
            found = await cards.in_thread(connection, channel, ts)
        return (found.kind.value, found.subject) if found else None


class ChangedPeople:
    """Whose roles may have changed: every replica asks Slack anew.

    ``forget`` is this replica's own. What happened before it began it has never known."""

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
