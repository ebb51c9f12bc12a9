"""Subscriptions: made, listed, ended, brought back. What they lead to is decided where cards are opened."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.access import Action, Actor, require
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.query import ALL, EVERYTHING, Query, parse
from bot.domain.subscriptions import (
    MOST,
    USAGE,
    Subscribed,
    Subscription,
    SubscriptionContext,
    SubscriptionId,
    is_as_asked,
    parse_number,
    parse_subscription,
)
from bot.services.context import Context, Within
from bot.storage import audit
from bot.storage import subscriptions as store
from bot.storage.cards import broken_channels, cards
from bot.storage.db.engine import Transaction

TOLD = "subscription_told"  # the kind of the note to a channel that gains or loses something


class SubscriptionService:
    """``understand`` reads what somebody typed, ``covered`` counts the gateways of a query,
    ``may_post`` tells whether a channel takes messages.

    ``matching`` gives the ids of a query's gateways, and ``within`` refuses who is limited to others.
    """

    def __init__(
        self,
        context: Context,
        *,
        understand: Callable[[str], Awaitable[Query]],
        covered: Callable[[Query], Awaitable[int]],
        matching: Callable[[Query], Awaitable[Sequence[str]]],
        within: Within,
        may_post: Callable[[str], Awaitable[bool]],
        around: SubscriptionContext,
    ) -> None:
        self._database = context.database
        self._understand = understand
        self._covered = covered
        self._matching = matching
        self._within = within
        self._may_post = may_post
        self._around = around
        self._now = context.now

    async def subscribe(self, actor: Actor, text: str, channel: str) -> Subscribed:
        """What the channel gets from now on. One that is there already stays, and is mended if it was broken.

        Raises NotAllowed, and InvalidInput for what cannot be understood, covers no gateway or could be
        posted nowhere.
        """
        require(actor, Action.SUBSCRIBE)
        draft = parse_subscription(text)
        query = await self._understand(draft.query.text)
        draft = replace(draft, query=EVERYTHING if query == ALL else query)
        await self._check_place(channel)
        async with self._database.read() as connection:
            there = await store.find(connection, channel, draft)
        diverts = draft.only or (there is not None and there.only)
        await self._require_within(actor, draft.query, diverts=diverts)
        covered, now = await self._covered(draft.query), self._now()
        if not covered and draft.query.terms:
            raise InvalidInput(
                f"No gateway matches “{draft.query.text}” now, so nothing was subscribed. "
                f"Try the query with /mesh devices {draft.query.text} first. "
                f"The grammar: /mesh {USAGE[draft.topic]}."
            )
        async with self._database.write() as connection:
            before = await store.find(connection, channel, draft)
            await broken_channels.mark_channel_working(connection, channel)
            made = before
            if before is None and await store.count_of(connection, channel) >= MOST:
                raise InvalidInput(
                    f"This channel has {MOST} subscriptions, which is the most. End one first: "
                    "/mesh subscriptions lists them."
                )
            if made is None or not is_as_asked(made, draft):
                made = await store.add(connection, channel, draft, actor.user_id, now)
            done = Subscribed(made, before, covered)
            if done.is_new or done.has_changed or done.is_mended:
                await audit.record(connection, _entry(actor, AuditAction.SUBSCRIBE, now, before, made))
            if done.is_new or done.has_changed:
                await self._tell(connection, actor, before, made, now)
        return done

    async def unsubscribe(self, actor: Actor, text: str, drawn: int | None = None) -> Subscription:
        """Ends one. Raises NotAllowed, InvalidInput, and NotFound when there is none of that number.

        ``drawn`` is the version that a button was drawn with. Raises Stale when it was changed since.
        """
        require(actor, Action.SUBSCRIBE)
        number, now = parse_number(text), self._now()
        await self._require_within_of(actor, number)
        async with self._database.write() as connection:
            ended = await store.remove(connection, number, now, drawn)
            if ended is None and drawn is not None:
                raise Stale(
                    f"Subscription {number} was ended, or changed, meanwhile. "
                    "/mesh subscriptions lists those there are."
                )
            if ended is None:
                raise NotFound(
                    f"There is no subscription {number}. /mesh subscriptions lists those there are."
                )
            await audit.record(connection, _entry(actor, AuditAction.UNSUBSCRIBE, now, ended, None))
            await self._tell(connection, actor, ended, None, now)
        return ended

    async def undo(self, actor: Actor, number: SubscriptionId, version: int) -> tuple[Subscription, bool]:
        """Takes back the last change: what was made ends, what was ended is back; and whether it is back.

        Raises NotAllowed, and Stale when something happened to it since.
        """
        require(actor, Action.SUBSCRIBE)
        now = self._now()
        await self._require_within_of(actor, number)
        async with self._database.write() as connection:
            found = back = await store.restore(connection, number, version)
            if found is None:
                found = await store.remove(connection, number, now, version)
            if found is None:
                raise Stale(
                    "That was taken back, or changed again, meanwhile. "
                    "/mesh subscriptions lists those there are."
                )
            ended = found if back is None else None
            await audit.record(connection, _entry(actor, AuditAction.UNDO_SUBSCRIPTION, now, ended, back))
            await self._tell(connection, actor, ended, back, now)
        return found, back is not None

    async def _require_within_of(self, actor: Actor, number: SubscriptionId) -> None:
        async with self._database.read() as connection:
            one = await store.known(connection, number)
        if one is not None:
            await self._require_within(actor, parse(one.query), diverts=one.only)

    async def _require_within(self, actor: Actor, query: Query, *, diverts: bool) -> None:
        """Who is limited subscribes and ends within that; only an admin decides about the default channel."""
        action = Action.DIVERT if diverts else Action.SUBSCRIBE
        require(actor, action)
        if limits := actor.limits_for(action):
            if diverts and not any(set(limit.terms) <= set(query.terms) for limit in limits):
                mine = " or ".join(f"“{limit.text}”" for limit in limits)
                raise NotAllowed(
                    f"You may {action} only for the gateways of {mine}, whichever they will be: "
                    "say so in the query."
                )
            await self._within(actor, action, await self._matching(query))

    async def _tell(
        self,
        connection: Transaction,
        actor: Actor,
        before: Subscription | None,
        after: Subscription | None,
        now: datetime,
    ) -> None:
        """Tells the channel what it gains or loses, and the default one what it gets no more, or again."""
        one = after or before
        assert one is not None
        told = [(one.channel, "gains" if after else "loses")]
        was, is_ = bool(before and before.only), bool(after and after.only)
        default = self._around.default(one.topic)
        if was != is_ and default not in (None, one.channel):
            told.append((str(default), "kept" if is_ else "back"))
        for place, what in told:
            body = {
                "what": what,
                "by": actor.user_id,
                "number": one.id,
                "channel": one.channel,
                "topic": one.topic.value,
                "query": one.query,
            }
            key = f"subscription/{one.id}/{one.version}/{what}"
            await cards.add_message(connection, place, key, TOLD, body, now)

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
    actor: Actor, action: AuditAction, now: datetime, before: Subscription | None, after: Subscription | None
) -> AuditEntry:
    one = after or before
    assert one is not None
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"subscription {one.id}",
        before=before.words if before else None,
        after=after.words if after else None,
        channel=one.channel,
    )
