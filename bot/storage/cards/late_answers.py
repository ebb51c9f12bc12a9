"""Answers that are owed: if nobody lives to give one, who asked reads by direct message what was done.

The message is written in the transaction of what it tells, leased to the request, and taken back once the
request is answered. So the publisher finds it only when the lease is not renewed any more.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, update

from bot.domain.errors import Unavailable
from bot.storage.cards import cards
from bot.storage.db.engine import Database, Transaction
from bot.storage.db.leases import RENEWED_EVERY, is_held, repeated_beside, taken
from bot.storage.db.tables import notes

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request:
    now: Callable[[], datetime]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    keys: set[str] = field(default_factory=set)
    is_over: bool = False

    @property
    def messages(self) -> ColumnElement[bool]:
        return and_(notes.c.key.in_(self.keys), is_held(notes, self.id))


_request: ContextVar[_Request | None] = ContextVar("request", default=None)


@asynccontextmanager
async def answering(
    database: Database, now: Callable[[], datetime], *, every: timedelta = RENEWED_EVERY
) -> AsyncIterator[None]:
    """A request, which is answered when the block ends, and not when it raises. One in each task.

    ``now`` is the publisher's clock.
    """
    request = _Request(now)
    _request.set(request)

    async def renew() -> None:
        if request.keys:
            async with database.write() as connection:
                lease = taken(request.id, now())
                await connection.execute(update(notes).where(request.messages).values(lease))

    async with repeated_beside(renew, every):
        try:
            yield
        finally:
            request.is_over = True  # what it started and left to itself owes nothing
    if request.keys:
        try:
            async with database.write() as connection:
                await connection.execute(delete(notes).where(request.messages))
        except Unavailable as error:
            log.warning("what was answered is told once more: %s", error)


async def owe(
    connection: Transaction, user_id: str, key: str, kind: str, body: Mapping[str, Any], at: datetime
) -> None:
    """Has them told so, unless the request of this task is answered. Nothing for what nobody asked for."""
    if (request := _request.get()) is not None and not request.is_over:
        key = f"answer/{request.id}/{key}"
        request.keys.add(key)
        lease = taken(request.id, request.now())
        await cards.add_message(connection, user_id, key, kind, body, at, lease=lease)
