"""What availability is worked out from: the changes of a period, and what the gateways are now."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.fleet.availability import Present, Transition
from bot.domain.query import Query
from bot.storage.db.statements import as_json_list
from bot.storage.db.tables import OF_PRESENCE, fleet_events, gateways
from bot.storage.db.timestamps import plain, to_micros
from bot.storage.query import condition

_CHUNK = 10_000  # rows, worked on in one go beside the event loop
_FEW = 10  # one gateway of so many is so few that their changes are looked for one by one


async def changes(
    connection: AsyncConnection, query: Query, begins: datetime, now: datetime
) -> AsyncIterator[Sequence[Transition]]:
    """Gateway by gateway in the order in which they were written; those of others too where many match."""
    event = fleet_events.c
    statement = (
        select(event.gateway_id, plain(event.at), event.kind, func.coalesce(event.before, event.after))
        .where(event.at >= begins, OF_PRESENCE)
        .order_by(event.gateway_id, event.id)
    )
    wanted = condition(query, now)
    if wanted is not None:
        matching = select(gateways.c.id).where(wanted)
        fleet, found = (
            await connection.execute(
                select(
                    select(func.count()).select_from(gateways).scalar_subquery(),
                    select(func.count()).select_from(matching.subquery()).scalar_subquery(),
                )
            )
        ).one()
        if found * _FEW < fleet:
            statement = statement.where(event.gateway_id.in_(matching))
    async for chunk in _chunks(connection, statement):
        yield chunk


async def present(
    connection: AsyncConnection, query: Query, begins: datetime, now: datetime
) -> AsyncIterator[Iterable[Present]]:
    """By site, in lists: a row for each gateway takes three times as long. They are read as they are used."""
    table, wanted, edge = gateways.c, condition(query, now), to_micros(begins)
    first_seen = plain(table.first_seen)
    seen = case((first_seen > edge, first_seen), else_=edge).label("seen")
    each = select(table.id, table.name_folded, table.site, table.state, seen)
    one = (each if wanted is None else each.where(wanted)).subquery().c
    listed = as_json_list(connection, one.id), as_json_list(connection, one.name_folded)
    statement = select(one.site, one.state, one.seen, *listed).group_by(one.site, one.state, one.seen)
    async for chunk in _chunks(connection, statement):
        yield map(_group, chunk)


def _group(row: Sequence[Any]) -> Present:
    site, state, seen, ids, names = row
    return site, state, seen, zip(json.loads(ids), json.loads(names), strict=True)


async def _chunks(connection: AsyncConnection, statement: Select[Any]) -> AsyncIterator[Sequence[Any]]:
    """The rows as they come: a month of a large fleet does not fit into memory at once."""
    async with connection.stream(statement) as rows:
        async for chunk in rows.partitions(_CHUNK):
            yield chunk
