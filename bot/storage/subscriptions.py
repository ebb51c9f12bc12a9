"""Subscriptions as rows. One that was ended keeps its row and its number, so that it can come back."""

from collections.abc import Sequence
from datetime import datetime, time
from typing import Any

from sqlalchemy import Row, and_, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.subscriptions import Draft, Subscription, SubscriptionId, Topic
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import broken_channels, subscriptions
from bot.storage.db.unreadable_rows import legible

_LIVE = subscriptions.c.removed_at.is_(None)


async def add(
    connection: AsyncConnection, channel: str, draft: Draft, by: str, now: datetime
) -> Subscription:
    """The channel's subscription to that topic and query: a new one, or the one there is or was, made anew.

    A time and a zone take the place of those before.
    """
    key = {"channel": channel, "topic": draft.topic.value, "query": draft.query.text}
    values = {
        "minute": None if draft.at is None else draft.at.hour * 60 + draft.at.minute,
        "zone": draft.zone,
        "only": draft.only,
        "by": by,
        "created_at": now,
        "removed_at": None,
    }
    same = and_(*(subscriptions.c[name] == value for name, value in key.items()))
    renewing = (
        update(subscriptions)
        .where(same)
        .values(**values, version=subscriptions.c.version + 1)
        .returning(*subscriptions.c)
    )
    row = (await connection.execute(renewing)).first()
    if row is None:
        new = insert_or_ignore(connection, subscriptions, {**key, **values, "version": 1})
        row = (await connection.execute(new.returning(*subscriptions.c))).first()
    if row is None:  # somebody made it between the two statements
        row = (await connection.execute(renewing)).one()
    return _subscription(row)


async def remove(
    connection: AsyncConnection, number: SubscriptionId, now: datetime, version: int | None = None
) -> Subscription | None:
    """The subscription that was ended; None when there is none of that number, or not as it was."""
    same = true() if version is None else subscriptions.c.version == version
    ended = await connection.execute(
        update(subscriptions)
        .where(_LIVE, subscriptions.c.id == number, same)
        .values(removed_at=now, version=subscriptions.c.version + 1)
        .returning(*subscriptions.c)
    )
    row = ended.first()
    return None if row is None else _subscription(row)


async def restore(connection: AsyncConnection, number: SubscriptionId, version: int) -> Subscription | None:
    """Brings back what was ended, if nothing happened to it since."""
    ended = await connection.execute(
        update(subscriptions)
        .where(subscriptions.c.id == number, subscriptions.c.version == version, ~_LIVE)
        .values(removed_at=None, version=subscriptions.c.version + 1)
        .returning(*subscriptions.c)
    )
    row = ended.first()
    return None if row is None else _subscription(row)


async def load(connection: AsyncConnection, number: SubscriptionId) -> Subscription | None:
    rows = await _find(connection, subscriptions.c.id == number)
    return rows[0] if rows else None


async def known(connection: AsyncConnection, number: SubscriptionId) -> Subscription | None:
    """Also one that was ended."""
    row = (await connection.execute(select(subscriptions).where(subscriptions.c.id == number))).first()
    return None if row is None else _subscription(row)


async def find(connection: AsyncConnection, channel: str, draft: Draft) -> Subscription | None:
    """The one that the channel has of this topic and query."""
    rows = await _find(
        connection,
        and_(
            subscriptions.c.channel == channel,
            subscriptions.c.topic == draft.topic.value,
            subscriptions.c.query == draft.query.text,
        ),
    )
    return rows[0] if rows else None


async def of_topic(connection: AsyncConnection, topic: Topic) -> Sequence[Subscription]:
    """Also those that are broken: whoever uses them says what that means."""
    return await _find(connection, subscriptions.c.topic == topic.value)


async def of_channel(connection: AsyncConnection, channel: str) -> Sequence[Subscription]:
    return await _find(connection, subscriptions.c.channel == channel)


async def everyone(connection: AsyncConnection, *, first: str) -> Sequence[Subscription]:
    """All, those of one channel before the others."""
    rows = await _find(connection, _LIVE)
    return sorted(rows, key=lambda one: (one.channel != first, one.channel, one.id))


async def count_of(connection: AsyncConnection, channel: str) -> int:
    counted = await connection.execute(
        select(func.count()).select_from(subscriptions).where(_LIVE, subscriptions.c.channel == channel)
    )
    return int(counted.scalar_one())


async def _find(connection: AsyncConnection, condition: Any) -> Sequence[Subscription]:
    rows = await connection.execute(
        select(subscriptions, broken_channels.c.reason)
        .outerjoin(broken_channels, broken_channels.c.channel == subscriptions.c.channel)
        .where(_LIVE, condition)
        .order_by(subscriptions.c.id)
    )
    return legible(rows, lambda row: _subscription(row, row.reason))


def _subscription(row: Row[Any], broken: str | None = None) -> Subscription:
    return Subscription(
        SubscriptionId(row.id),
        row.channel,
        Topic(row.topic),
        row.query,
        row.by,
        row.created_at,
        None if row.minute is None else time(*divmod(row.minute, 60)),
        row.zone,
        broken,
        row.version,
        row.only,
    )
