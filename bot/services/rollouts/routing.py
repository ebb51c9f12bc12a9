"""Which channels show a rollout: those that subscribed to one of its gateways, and the usual one."""

from collections.abc import Sequence
from datetime import timedelta

from bot.domain.query import parse
from bot.domain.rollouts.lifecycle import RolloutId
from bot.domain.subscriptions import Topic, places
from bot.services.context import Context
from bot.services.rollouts.events import about
from bot.storage import subscriptions
from bot.storage.cards import broken_channels, cards
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import routing as store

LATELY = timedelta(days=1)  # the end of a rollout is news for so long


class RolloutRouting:
    """``default_channel`` gets what no subscription matches; without one, the channel of the request does."""

    def __init__(
        self,
        context: Context,
        *,
        default_channel: str | None,
    ) -> None:
        self._database = context.database
        self._default_channel = default_channel
        self._now = context.now

    async def wanted(self, connection: Transaction, rollout: RolloutId) -> Sequence[str]:
        """The channels that want it, and the default one with them, unless an admin keeps it from there.

        One statement for each distinct query.
        """
        whole = [one for one in await subscriptions.of_topic(connection, Topic.ROLLOUTS) if not one.broken]
        matching = {
            query
            for query in {one.query for one in whole}
            if await store.matches(connection, rollout, parse(query), self._now())
        }
        default = (
            None
            if self._default_channel in await broken_channels.broken(connection)
            else self._default_channel
        )
        return places([one for one in whole if one.query in matching], default)

    async def usual(self, asked_in: str | None) -> Sequence[str]:
        """Where it may go when nobody wants it, the best first."""
        async with self._database.read() as connection:
            broken = await broken_channels.broken(connection)
        return [one for one in (self._default_channel, asked_in) if one and one not in broken]

    async def open_again(self) -> int:
        """Rollouts whose channels all broke are shown elsewhere; returns how many. For a tick."""
        async with self._database.read() as connection:
            unseen = await store.unseen(connection, self._now() - LATELY)
        moved = 0
        for rollout, asked_in in unseen:
            usual = await self.usual(asked_in)
            async with self._database.write() as connection:
                have = await store.card_channels(connection, rollout)
                places = await self.wanted(connection, rollout) or usual[:1]
                new = [one for one in places if one not in have]
                await cards.open_cards(connection, about(rollout), new, self._now())
            moved += bool(new)
        return moved


def no_place(asked_in: str | None) -> str:
    """Why a card can be shown nowhere, and what to do about it."""
    if not asked_in:
        return (
            "I know no channel for the rollout's card. Ask for the update in a channel that I am in, or ask "
            "whoever runs the bot to set MESHBOT_CHANNELS__ROLLOUTS."
        )
    return (
        "I am not in this channel, so I could not show the rollout's card here. Invite me with /invite, or "
        "ask whoever runs the bot to set MESHBOT_CHANNELS__ROLLOUTS. Then request it again."
    )
