"""Subscriptions: made, listed, ended, brought back. What they lead to is decided where cards are opened."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from bot.domain.access import Action, Actor, require
from bot.domain.audit import AuditEntry, Outcome
from bot.domain.errors import InvalidInput, NotFound, Stale
from bot.domain.query import Query
from bot.domain.subscriptions import (
    MOST,
    Subscribed,
    Subscription,
    SubscriptionId,
    parse_number,
    parse_subscription,
)
from bot.services.context import Context
from bot.storage import audit
from bot.storage import subscriptions as store
from bot.storage.cards import channels


class SubscriptionService:
    """``covered`` counts the gateways of a query, ``may_post`` tells whether a channel takes messages."""

    def __init__(
        self,
        context: Context,
        *,
        covered: Callable[[Query], Awaitable[int]],
        may_post: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._database = context.database
        self._covered = covered
        self._may_post = may_post
        self._now = context.now

    async def subscribe(self, actor: Actor, text: str, channel: str) -> Subscribed:
        """What the channel gets from now on. One that is there already stays, and is mended if it was broken.

        Raises NotAllowed, and InvalidInput for what cannot be understood or could be posted nowhere.
        """
        require(actor, Action.SUBSCRIBE)
        draft = parse_subscription(text)
        await self._check_place(channel)
        covered, now = await self._covered(draft.query), self._now()
        async with self._database.write() as connection:
            before = await store.find(connection, channel, draft)
            await channels.mark_channel_working(connection, channel)
            made = before
            if before is None and await store.count_of(connection, channel) >= MOST:
                raise InvalidInput(
                    f"This channel has {MOST} subscriptions, which is the most. End one first: "
                    "“subscriptions” lists them."
                )
            if made is None or (made.at, made.zone) != (draft.at, draft.zone):
                made = await store.add(connection, channel, draft, actor.user_id, now)
            done = Subscribed(made, before, covered)
            if done.is_new or done.has_changed or done.is_mended:
                await audit.record(connection, _entry(actor, "subscribe", now, before, made))
        return done

    async def unsubscribe(self, actor: Actor, text: str) -> Subscription:
        """Ends one, of whichever channel. Raises NotAllowed, InvalidInput, NotFound."""
        require(actor, Action.SUBSCRIBE)
        number, now = parse_number(text), self._now()
        async with self._database.write() as connection:
            ended = await store.remove(connection, number, now)
            if ended is None:
                raise NotFound(f"There is no subscription {number}. “subscriptions” lists those there are.")
            await audit.record(connection, _entry(actor, "unsubscribe", now, ended, None))
        return ended

    async def undo(self, actor: Actor, number: SubscriptionId, version: int) -> tuple[Subscription, bool]:
        """Takes back the last change: what was made ends, what was ended is back; and whether it is back.

        Raises NotAllowed, and Stale when something happened to it since.
        """
        require(actor, Action.SUBSCRIBE)
        now = self._now()
        async with self._database.write() as connection:
            found = back = await store.restore(connection, number, version)
            if found is None:
                found = await store.remove(connection, number, now, version)
            if found is None:
                raise Stale(
                    "That was taken back, or changed again, meanwhile. “subscriptions” lists those there are."
                )
            ended = found if back is None else None
            await audit.record(connection, _entry(actor, "subscription_undo", now, ended, back))
        return found, back is not None

    async def everyone(self, actor: Actor, channel: str) -> Sequence[Subscription]:
        """All of them, those of the channel first."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            return await store.everyone(connection, first=channel)

    async def _check_place(self, channel: str) -> None:
        if channel.startswith("D"):
            raise InvalidInput(
                "Cards and digests go to channels, not to direct messages. Say /invite to bring me into the "
                "channel that is to get them, and subscribe there."
            )
        if not await self._may_post(channel):
            raise InvalidInput(
                "I cannot post in this channel, so nothing was subscribed. Bring me in with /invite, then "
                "subscribe again."
            )


def _entry(
    actor: Actor, action: str, now: datetime, before: Subscription | None, after: Subscription | None
) -> AuditEntry:
    one = after or before
    assert one is not None
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"subscription {one.id}",
        outcome=Outcome.DONE,
        before=before.words if before else None,
        after=after.words if after else None,
        channel=one.channel,
    )
