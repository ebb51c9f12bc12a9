"""What charts are made of, read from the snapshot and its events in few statements, in parts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.fleet.charts import Track
from bot.domain.gateways import PRESENCE_KINDS, Connectivity
from bot.domain.query import Query
from bot.storage.db.tables import OF_PRESENCE, RANKS, fleet_events, gateways
from bot.storage.db.timestamps import UtcMicros, from_micros, plain
from bot.storage.query import condition

_KINDS = {kind.value: kind for kind in PRESENCE_KINDS}
_CHUNK = 2_000  # rows, which give the event loop a turn every few milliseconds


async def known_since(connection: AsyncConnection, query: Query, now: datetime) -> datetime | None:
    """When the first of the matching gateways was seen; None when none matches."""
    seen = select(func.min(gateways.c.first_seen)).where(*_matching(query, now))
    found: datetime | None = await connection.scalar(seen)
    return found


async def tracks(
    connection: AsyncConnection, query: Query, begins: datetime, now: datetime
) -> AsyncIterator[list[Track]]:
    """The past of every matching gateway: those to which nothing happened together, the others alone."""
    table, event = gateways.c, fleet_events.c
    offline = table.rank == RANKS[Connectivity.OFFLINE]
    happened = (event.at >= begins, OF_PRESENCE)
    # Who was there all the time need not be told apart by when it came.
    since = case((table.first_seen <= begins, literal(begins, UtcMicros)), else_=table.first_seen)
    quiet = (
        select(table.site, offline, since, func.count())
        .where(*_matching(query, now), table.id.not_in(select(event.gateway_id).where(*happened)))
        .group_by(table.site, offline, since)
    )
    async for chunk in _chunks(connection, quiet):
        yield [Track(site, bool(off), seen, number) for site, off, seen, number in chunk]
    busy = (
        select(table.id, table.site, offline, plain(table.first_seen), event.kind, plain(event.at))
        .join(fleet_events, event.gateway_id == table.id)
        .where(*_matching(query, now), *happened)
        .order_by(table.id, event.at, event.id)
    )
    rest: list[Any] = []
    async for chunk in _chunks(connection, busy):
        rest += chunk
        last = rest[-1][0]
        whole = [row for row in rest if row[0] != last]
        rest = rest[len(whole) :]
        yield await asyncio.to_thread(_tracks, whole)
    yield await asyncio.to_thread(_tracks, rest)


async def firmware(connection: AsyncConnection, query: Query, now: datetime) -> list[tuple[str, str, int]]:
    """Model, version and the number of matching gateways; empty texts where the vendor says none."""
    model, version = (func.coalesce(column, "") for column in (gateways.c.model, gateways.c.firmware))
    found = await connection.execute(
        select(model, version, func.count()).where(*_matching(query, now)).group_by(model, version)
    )
    return [(one, other, number) for one, other, number in found.all()]


def _matching(query: Query, now: datetime) -> tuple[ColumnElement[bool], ...]:
    wanted = condition(query, now)
    return () if wanted is None else (wanted,)


async def _chunks(connection: AsyncConnection, statement: Select[Any]) -> AsyncIterator[Sequence[Any]]:
    """The rows as they come: a month of a large fleet does not fit into memory at once."""
    async with connection.stream(statement) as rows:
        async for chunk in rows.partitions(_CHUNK):
            yield chunk


def _tracks(rows: Sequence[Any]) -> list[Track]:
    made = []
    for _, events in groupby(rows, key=itemgetter(0)):
        happened = list(events)
        _, site, offline, first_seen, _, _ = happened[0]
        past = tuple((_KINDS[row[4]], from_micros(row[5])) for row in happened)
        made.append(Track(site, bool(offline), from_micros(first_seen), events=past))
    return made
