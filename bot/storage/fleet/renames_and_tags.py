"""Renames and changes of tags as rows, from proposal to Undo.

State changes are conditional updates: the caller learns whether its own was the one that counted.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Text, cast, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import NotFound
from bot.domain.fleet.renames_and_tags import ItemState, Write, WriteItem, WriteKind, WriteState
from bot.storage.db import leases
from bot.storage.db.engine import Database
from bot.storage.db.leases import is_free, taken
from bot.storage.db.tables import write_items, writes

_CHUNK = 500
_ITEMS = (
    select(
        write_items.c.gateway_id,
        write_items.c.label,
        cast(write_items.c.before, Text).label("before"),
        cast(write_items.c.after, Text).label("after"),
        write_items.c.state,
        write_items.c.error,
    )
    .order_by(write_items.c.gateway_id)
    .limit(_CHUNK)
)


async def add(connection: AsyncConnection, write: Write) -> None:
    await connection.execute(
        insert(writes).values(
            id=write.id,
            kind=write.kind.value,
            state=write.state.value,
            version=write.version,
            actor=write.actor,
            channel=write.channel,
            title=write.title,
            created_at=write.created_at,
            expires_at=write.expires_at,
            undoes=write.undoes,
            unchanged=write.unchanged,
            warning=write.warning,
        )
    )
    rows = [_item_row(write.id, item) for item in write.items]
    for start in range(0, len(rows), _CHUNK):
        await connection.execute(insert(write_items), rows[start : start + _CHUNK])


async def load(connection: AsyncConnection, write_id: str) -> Write:
    """The write with its items. Raises NotFound."""
    found = (await connection.execute(select(writes).where(writes.c.id == write_id))).first()
    if found is None:
        raise NotFound("I no longer know this change; it was forgotten with age. Send the command again.")
    undone_by = await connection.scalar(select(writes.c.id).where(writes.c.undoes == write_id))
    return _write(found, await _items(connection, write_id), undone_by)


async def last_to_undo(connection: AsyncConnection, actor: str, now: datetime) -> str | None:
    """The id of the latest that somebody had carried out and can still take back."""
    undos = writes.alias()
    done = write_items.c.state == ItemState.DONE.value
    found = select(writes.c.id).where(
        writes.c.actor == actor,
        writes.c.state == WriteState.DONE.value,
        writes.c.undoes.is_(None),
        writes.c.expires_at > now,
        ~exists().where(undos.c.undoes == writes.c.id),
        exists().where(write_items.c.write_id == writes.c.id, done),
    )
    return await connection.scalar(found.order_by(writes.c.expires_at.desc()).limit(1))


async def _items(connection: AsyncConnection, write_id: str) -> list[WriteItem]:
    """In chunks: ten thousand at once would hold the event loop up."""
    found: list[WriteItem] = []
    after = ""
    while True:
        some = _ITEMS.where(write_items.c.write_id == write_id, write_items.c.gateway_id > after)
        chunk = [_item(row) for row in await connection.execute(some)]
        found += chunk
        if len(chunk) < _CHUNK:
            return found
        after = chunk[-1].gateway_id


async def advance(
    connection: AsyncConnection, write: Write, state: WriteState, expires_at: datetime | None = None
) -> bool:
    """Moves a write on, unless it is no longer as it was read."""
    done = await connection.execute(
        update(writes)
        .where(
            writes.c.id == write.id, writes.c.version == write.version, writes.c.state == write.state.value
        )
        .values(state=state.value, version=writes.c.version + 1, expires_at=expires_at or write.expires_at)
    )
    return done.rowcount == 1


async def claim(connection: AsyncConnection, write_id: str, owner: str, now: datetime) -> bool:
    """Whether this process may run the write: it is running, and nobody holds a lease on it."""
    done = await connection.execute(
        update(writes)
        .where(
            writes.c.id == write_id,
            writes.c.state == WriteState.RUNNING.value,
            is_free(writes, now),
        )
        .values(taken(owner, now))
    )
    return done.rowcount == 1


def kept(
    database: Database, write_id: str, owner: str, now: Callable[[], datetime]
) -> AbstractAsyncContextManager[None]:
    """Renews the claim while it is worked on."""
    return leases.kept(database, writes.c.id == write_id, writes, owner, now)


async def cut_short(connection: AsyncConnection, now: datetime) -> list[str]:
    """Writes that should be running and that nobody runs, or has begun to run in time."""
    begun = writes.c.lease_until.is_not(None) | (writes.c.expires_at <= now)
    return list(
        await connection.scalars(
            select(writes.c.id)
            .where(writes.c.state == WriteState.RUNNING.value, begun, is_free(writes, now))
            .order_by(writes.c.created_at)
        )
    )


async def settle(connection: AsyncConnection, write_id: str, item: WriteItem) -> bool:
    """Stores how an item ended; False when it had ended already."""
    done = await connection.execute(
        update(write_items)
        .where(
            write_items.c.write_id == write_id,
            write_items.c.gateway_id == item.gateway_id,
            write_items.c.state == ItemState.WAITING.value,
        )
        .values(state=item.state.value, error=item.error, after=list(item.after))
    )
    return done.rowcount == 1


async def count_no_undo(connection: AsyncConnection, write_id: str) -> None:
    """What it was to take back is as it was, and may be taken back by another."""
    await connection.execute(update(writes).where(writes.c.id == write_id).values(undoes=None))


async def forget(connection: AsyncConnection, before: datetime) -> int:
    """Prunes writes; one that is still running stays."""
    return (
        await connection.execute(
            delete(writes).where(writes.c.created_at < before, writes.c.state != WriteState.RUNNING.value)
        )
    ).rowcount


def _item_row(write_id: str, item: WriteItem) -> dict[str, Any]:
    return {
        "write_id": write_id,
        "gateway_id": item.gateway_id,
        "label": item.label,
        "before": list(item.before),
        "after": list(item.after),
        "state": item.state.value,
        "error": item.error,
    }


def _item(row: Row[Any]) -> WriteItem:
    return WriteItem(
        row.gateway_id, row.label, _values(row.before), _values(row.after), ItemState(row.state), row.error
    )


@lru_cache(maxsize=4096)
def _values(text: str) -> tuple[str, ...]:
    """Most gateways of a write have the same tags."""
    return tuple(json.loads(text))


def _write(row: Row[Any], items: Iterable[WriteItem], undone_by: str | None) -> Write:
    return Write(
        id=row.id,
        kind=WriteKind(row.kind),
        state=WriteState(row.state),
        version=row.version,
        actor=row.actor,
        channel=row.channel,
        title=row.title,
        created_at=row.created_at,
        expires_at=row.expires_at,
        items=tuple(items),
        undoes=row.undoes,
        undone_by=undone_by,
        unchanged=row.unchanged,
        warning=row.warning,
    )
