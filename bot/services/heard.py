"""What people ask in Slack: which replica acts on it, and which card it is about."""

from bot.services.context import Context
from bot.storage import heard as store
from bot.storage.cards import cards


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
