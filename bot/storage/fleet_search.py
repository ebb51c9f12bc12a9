"""Searching the snapshot: pages, counts, one gateway by what a person calls it.

Knows nothing of how the snapshot came to be.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import (
    Select,
    exists,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.fleet import Connectivity, Counts, KnownGateway, TagCount, fold
from bot.domain.query import Field, Query
from bot.storage import fleet
from bot.storage.conditions import condition, like, updating_ids
from bot.storage.flaps import flapping_ids
from bot.storage.fleet import WORST_FIRST
from bot.storage.tables import RANKS, fleet_events, gateway_claims, gateway_tags, gateways

_MANY = 500  # ids in one statement
_NEAR = 400  # names that are compared for likeness
_BESIDE_THE_INDEX = {Field.SITE, Field.MODEL, Field.FIRMWARE, Field.HARDWARE, Field.ID, Field.ANY}
_OFFLINE, _UNKNOWN = RANKS[Connectivity.OFFLINE], RANKS[Connectivity.UNKNOWN]


async def page(
    connection: AsyncConnection, query: Query, now: datetime, offset: int, limit: int
) -> tuple[list[KnownGateway], Counts]:
    """Some of the gateways that match, worst first, and the counts of all that do."""
    counted = await counts(connection, query, now)
    if offset >= counted.total:
        return [], counted
    id_ = gateways.c.id
    # Beside each row, not in a statement of their own: each costs some trips to the thread of SQLite.
    flags = (
        exists(flapping_ids(now).where(fleet_events.c.gateway_id == id_).correlate(gateways)),
        exists(updating_ids().where(gateway_claims.c.gateway_id == id_).correlate(gateways)),
    )
    statement = _where(fleet.rows(), query, now).add_columns(*flags).offset(offset).limit(limit)
    rank, *ties = WORST_FIRST
    if _is_far_between(query) and (offset + limit) * 20 > counted.total:
        statement = statement.order_by(rank + 0, *ties)  # no index is in this order
    else:
        statement = statement.order_by(rank, *ties)
    found = (await connection.execute(statement)).all()
    known = fleet.known(row[:-2] for row in found)
    return [
        replace(one, flapping=bool(row[-2]), updating=bool(row[-1])) if row[-2] or row[-1] else one
        for row, one in zip(found, known, strict=True)
    ], counted


def _is_far_between(query: Query) -> bool:
    """Whether few matches are better scanned for and sorted than looked for along the index in their order.

    They are when each must be looked up in the table and nothing else leads to them.
    """
    return any(term.field in _BESIDE_THE_INDEX for term in query.terms) and not any(
        term.field in {Field.TAG, Field.STATE} and not term.negated for term in query.terms
    )


async def counts(connection: AsyncConnection, query: Query, now: datetime) -> Counts:
    rank = gateways.c.rank
    if not query.terms:
        alone = [select(func.count()).where(rank == one).scalar_subquery() for one in (_OFFLINE, _UNKNOWN)]
        everything = select(func.count()).select_from(gateways).scalar_subquery()
        return Counts(*(await connection.execute(select(everything, *alone))).one())
    found = await connection.execute(
        _where(
            select(
                func.count(),
                func.count().filter(rank == _OFFLINE),
                func.count().filter(rank == _UNKNOWN),
            ).select_from(gateways),
            query,
            now,
        )
    )
    return Counts(*found.one())


async def ids(connection: AsyncConnection, query: Query, now: datetime) -> list[str]:
    """The ids of all that match, worst first."""
    return list(await connection.scalars(_where(select(gateways.c.id), query, now).order_by(*WORST_FIRST)))


async def by_ids(connection: AsyncConnection, wanted: Sequence[str], now: datetime) -> list[KnownGateway]:
    """Those of the ids that are in the snapshot, in the order of the ids."""
    found = await fleet.load(connection, wanted)
    return await marked(connection, [found[id_] for id_ in wanted if id_ in found], now)


async def marked(
    connection: AsyncConnection, found: Sequence[KnownGateway], now: datetime
) -> list[KnownGateway]:
    """The same gateways with what their rows do not say: which flap, which are being updated."""
    flapping: set[str] = set()
    updating: set[str] = set()
    for start in range(0, len(found), _MANY):
        some = [known.gateway.id for known in found[start : start + _MANY]]
        flaps = flapping_ids(now).where(fleet_events.c.gateway_id.in_(some)).add_columns(literal(value=0))
        updates = updating_ids().where(gateway_claims.c.gateway_id.in_(some)).add_columns(literal(value=1))
        for gateway_id, updates_it in await connection.execute(union_all(flaps, updates)):
            (updating if updates_it else flapping).add(gateway_id)
    return [_marked(known, flapping, updating) for known in found]


async def named(connection: AsyncConnection, text: str, now: datetime) -> list[KnownGateway]:
    """Gateways with this id; if there is none, with this id in another case; if none, with this name."""
    folded = fold(text)
    for wanted in (gateways.c.id == text, gateways.c.id_folded == folded, gateways.c.name_folded == folded):
        found = await fleet.read(connection, fleet.rows().where(wanted).order_by(gateways.c.id).limit(_MANY))
        if found and folded:
            return await marked(connection, found, now)
    return []


async def names_near(connection: AsyncConnection, text: str) -> list[tuple[str, str]]:
    """Folded and shown names and ids that begin or end like the text: what a person may have meant."""
    folded = fold(text)
    found: dict[str, str] = {}
    for name, shown in ((gateways.c.name_folded, gateways.c.name), (gateways.c.id_folded, gateways.c.id)):
        for alike in (like(name, (folded[:3], "")), like(name, ("", folded[-4:]))):
            rows = await connection.execute(select(name, shown).where(name != "", alike).limit(_NEAR))
            found |= {key: value for key, value in rows.all() if value}
    return list(found.items())


async def tags(connection: AsyncConnection) -> list[TagCount]:
    """Every tag that a gateway carries, in the order of its folded form."""
    table = gateway_tags.c
    offline = func.count().filter(gateways.c.rank == _OFFLINE)
    found = await connection.execute(
        select(func.min(table.tag), func.count(), offline)
        .select_from(gateway_tags.join(gateways, gateways.c.id == table.gateway_id))
        .group_by(table.folded)
        .order_by(table.folded)
    )
    return [TagCount(*row) for row in found.all()]


async def spellings(connection: AsyncConnection, folded: Collection[str]) -> dict[str, str]:
    """How the tags of these folded forms are written on the gateways that carry them."""
    table = gateway_tags.c
    found = await connection.execute(
        select(table.folded, func.min(table.tag)).where(table.folded.in_(list(folded))).group_by(table.folded)
    )
    return {row[0]: row[1] for row in found.all()}


async def names_in_use(connection: AsyncConnection, name: str, besides: str) -> int:
    """How many other gateways have this name."""
    found = await connection.scalar(
        select(func.count())
        .select_from(gateways)
        .where(gateways.c.name_folded == fold(name), gateways.c.id != besides)
    )
    return int(found or 0)


async def firmware_counts(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Gateways by folded model and folded firmware version."""
    table = gateways.c
    found = await connection.execute(
        select(table.model_folded, table.firmware_folded, func.count()).group_by(
            table.model_folded, table.firmware_folded
        )
    )
    return {(model, firmware): number for model, firmware, number in found.all()}


def _where(statement: Select, query: Query, now: datetime) -> Select:  # type: ignore[type-arg]
    wanted = condition(query, now)
    return statement if wanted is None else statement.where(wanted)


def _marked(known: KnownGateway, flapping: Collection[str], updating: Collection[str]) -> KnownGateway:
    flaps, updates = known.gateway.id in flapping, known.gateway.id in updating
    return replace(known, flapping=flaps, updating=updates) if flaps or updates else known
