"""Tells the admins, once, of each channel in which nothing can be posted any more.

The publisher notes that a channel is broken; what it alone showed moves where cards are opened. Here is only
who is told, in the transaction that remembers that they were.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from bot.services.context import Context
from bot.storage import subscriptions
from bot.storage.cards import broken_channels, cards

BROKEN = "channel_broken"  # the kind of the message


class BrokenChannels:
    """``admins`` gives the ids of all admins, or None while Slack does not tell who they are."""

    def __init__(
        self,
        context: Context,
        *,
        admins: Callable[[], Awaitable[Sequence[str] | None]],
    ) -> None:
        self._database = context.database
        self._admins = admins
        self._now = context.now

    async def tell(self) -> int:
        """Tells of those that nobody was told of; returns how many. For a tick of every replica."""
        async with self._database.read() as connection:
            untold = await broken_channels.untold(connection)
        admins = await self._admins() if untold else ()
        if admins is None:
            return 0
        told = 0
        for channel, reason, since in untold:
            told += await self._tell(channel, reason, since, admins)
        return told

    async def _tell(self, channel: str, reason: str, since: datetime, admins: Sequence[str]) -> bool:
        now = self._now()
        async with self._database.write() as connection:
            if not await broken_channels.record_told(connection, channel, now):
                return False
            wanted = await subscriptions.of_channel(connection, channel)
            body = {"channel": channel, "reason": reason, "subscriptions": [one.id for one in wanted]}
            for admin in admins:
                key = f"channel/{channel}/{since.isoformat()}/{admin}"
                await cards.add_message(connection, admin, key, BROKEN, body, now)
        return True
