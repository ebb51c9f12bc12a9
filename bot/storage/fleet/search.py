"""Searching the snapshot: pages, counts, one gateway by what a person calls it.

Knows nothing of how the snapshot came to be.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, TypeGuard

from sqlalchemy import Connection, Integer, Select, bindparam, exists, func, literal, not_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.fleet.lookup import Called
from bot.domain.gateways import Connectivity, Counts, KnownGateway, SnapshotStatus, TagCount, fold
from bot.domain.query import (
    BARE_FIELDS,
    Either,
    Field,
    Pattern,
    Query,
    StateWord,
    Term,
    Untagged,
    Value,
    term_in,
)
from bot.storage import listings
from bot.storage.db.statements import among
from bot.storage.db.tables import RANKS, fleet_events, gateway_claims, gateway_tags, gateways
from bot.storage.db.timestamps import UtcMicros
from bot.storage.db.unreadable_rows import legible
from bot.storage.flapping import flapping_ids
from bot.storage.fleet import gateways as fleet
from bot.storage.query import like, one_term, tagged_ids, updating_ids

WORST_FIRST = (gateways.c.rank, gateways.c.since.desc(), gateways.c.name_folded, gateways.c.id)

_Rows: TypeAlias = Select[*tuple[Any, ...]]

_MANY = 500  # ids in one statement
_NEAR = 400  # names that are compared for likeness
_REMEMBERED = 256  # queries whose statements are not made anew: that takes longer than most run
_BESIDE_THE_INDEX = {Field.SITE, Field.MODEL, Field.FIRMWARE, Field.HARDWARE, Field.ID, Field.ANY}
_RANKS: dict[Value, int] = {StateWord(state.value): rank for state, rank in RANKS.items()}
_OFFLINE, _UNKNOWN = RANKS[Connectivity.OFFLINE], RANKS[Connectivity.UNKNOWN]
_NOW = bindparam("now", type_=UtcMicros)
_ROWS = fleet.rows().add_columns(
    exists(flapping_ids(_NOW).where(fleet_events.c.gateway_id == gateways.c.id).correlate(gateways)),
    exists(updating_ids().where(gateway_claims.c.gateway_id == gateways.c.id).correlate(gateways)),
)


def page(
    connection: Connection, query: Query, now: datetime, offset: int, limit: int
) -> tuple[list[KnownGateway], Counts, SnapshotStatus]:
    """Some of the gateways that match, worst first; the counts of all that do; and how old all this is."""
    total, offline, unknown, *status = connection.execute(_first_line(query), {"now": now}).one()
    in_all, as_of = Counts(total, offline, unknown), SnapshotStatus(*status)
    if offset >= total:
        return [], in_all, as_of
    statement = _page(query, far_between=(offset + limit) * _sparse(query) > total)
    found = connection.execute(statement, {"now": now, "offset": offset, "limit": limit}).all()
    return legible(found, _shown), in_all, as_of


def _shown(row: Sequence[Any]) -> KnownGateway:
    *rest, flapping, updating = row
    known = fleet.known(rest)
    return replace(known, flapping=bool(flapping), updating=bool(updating)) if flapping or updating else known


@lru_cache(maxsize=_REMEMBERED)
def _first_line(query: Query) -> _Rows:
    """What the line above a page says, in one statement: a second would take longer to put than to answer."""
    return _counts(query).add_columns(*listings.STATUS.selected_columns)


@lru_cache(maxsize=_REMEMBERED)
def _page(query: Query, *, far_between: bool) -> _Rows:
    """Gateways that match often are met soon along the index in their order; few are gathered and sorted."""
    rank, *ties = WORST_FIRST
    ids = _matching(select(gateways.c.id), query, along_the_index=not far_between)
    some = (
        # A sum, because no index is in its order.
        ids.order_by(rank + 0 if far_between and not _is_by_state(query) else rank, *ties)
        .limit(bindparam("limit", type_=Integer))
        .offset(bindparam("offset", type_=Integer))
        .subquery()
    )
    return _ROWS.join(some, some.c.id == gateways.c.id).order_by(*WORST_FIRST)


def _sparse(query: Query) -> int:
    """How many times a page must match for its rows to be looked for along the index; 0 when they always are.

    A tag leads straight to its gateways. Without one each is read from the table, whichever way, and all of
    the table in its own order is read sooner than a twentieth of it in another.
    """
    if any(map(_leads, query.terms)):
        return 150
    if any(isinstance(term, Term) and term.field is Field.STATE and not term.negated for term in query.terms):
        return 0
    return 20 if any(term.field in _BESIDE_THE_INDEX for term in query.single_terms) else 0


async def counts(connection: AsyncConnection, query: Query, now: datetime) -> Counts:
    return await connection.run_sync(counted, query, now)


def counted(connection: Connection, query: Query, now: datetime) -> Counts:
    """The same for ``Database.ask``."""
    return Counts(*connection.execute(_counts(query), {"now": now}).one())


@lru_cache(maxsize=_REMEMBERED)
def _counts(query: Query) -> _Rows:
    rank, number = gateways.c.rank, func.count()
    if not query.terms:
        alone = [select(number).where(rank == one).scalar_subquery() for one in (_OFFLINE, _UNKNOWN)]
        return select(select(number).select_from(gateways).scalar_subquery(), *alone)
    ranks = {_RANKS.get(term.values[0]) for term in query.terms if _is_one_state(term)}
    offline, unknown = (
        number * int(one in ranks) if ranks else number.filter(rank == one) for one in (_OFFLINE, _UNKNOWN)
    )
    return _matching(select(number, offline, unknown).select_from(gateways), query)


async def ids(connection: AsyncConnection, query: Query, now: datetime) -> list[str]:
    """The ids of all that match, worst first."""
    return await connection.run_sync(listed, query, now)


def listed(connection: Connection, query: Query, now: datetime) -> list[str]:
    """The same for ``Database.ask``: beside the event loop, which a hundred thousand would hold up."""
    return list(connection.scalars(_ids(query), {"now": now}))


@lru_cache(maxsize=_REMEMBERED)
def _ids(query: Query) -> _Rows:
    return _matching(select(gateways.c.id), query).order_by(*WORST_FIRST)


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


async def called(connection: AsyncConnection, text: str, now: datetime) -> Called:
    """Gateways with this id, with it in any case, and with this name."""
    if not (folded := fold(text)):
        return Called((), (), ())
    found = []
    for wanted in (gateways.c.id == text, gateways.c.id_folded == folded, gateways.c.name_folded == folded):
        some = await fleet.read(connection, fleet.rows().where(wanted).order_by(gateways.c.id).limit(_MANY))
        found.append(await marked(connection, some, now))
    return Called(*found)


def fields_with(connection: Connection, words: Sequence[str]) -> dict[str, list[Field]]:
    """For each word the fields in which the fleet has it, in the order of ``BARE_FIELDS``."""
    asked = [
        select(literal(word), literal(field.value)).where(
            exists(select(gateways.c.id).where(one_term(term_in(field, word), _NOW)))
        )
        for word in words
        for field in BARE_FIELDS
    ]
    found = {tuple(row) for row in connection.execute(union_all(*asked))}
    fields = {word: [field for field in BARE_FIELDS if (word, field.value) in found] for word in words}
    return {  # a site is mostly made of the tag that has its name
        word: [one for one in has if one is not Field.SITE or Field.TAG not in has]
        for word, has in fields.items()
    }


async def names_near(connection: AsyncConnection, text: str) -> dict[str, str]:
    """Folded and shown names and ids that begin or end like the text: what a person may have meant."""
    folded = fold(text)
    found: dict[str, str] = {}
    for name, shown in ((gateways.c.name_folded, gateways.c.name), (gateways.c.id_folded, gateways.c.id)):
        for alike in (like(name, (folded[:3], "")), like(name, ("", folded[-4:]))):
            rows = await connection.execute(select(name, shown).where(name != "", alike).limit(_NEAR))
            found |= {key: value for key, value in rows.all() if value}
    return found


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


async def names_taken(connection: AsyncConnection, names: Sequence[str], besides: Sequence[str]) -> list[str]:
    """Those names that gateways besides these have, as they are written there."""
    found = await connection.execute(
        select(gateways.c.name)
        .where(
            among(connection, gateways.c.name_folded, [fold(one) for one in names]),
            not_(among(connection, gateways.c.id, besides)),
        )
        .order_by(gateways.c.name_folded)
    )
    return [str(one) for one in found.scalars()]


async def firmware_counts(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Gateways by folded model and folded firmware version."""
    table = gateways.c
    found = await connection.execute(
        select(table.model_folded, table.firmware_folded, func.count()).group_by(
            table.model_folded, table.firmware_folded
        )
    )
    return {(model, firmware): number for model, firmware, number in found.all()}


def _marked(known: KnownGateway, flapping: Collection[str], updating: Collection[str]) -> KnownGateway:
    flaps, updates = known.gateway.id in flapping, known.gateway.id in updating
    return replace(known, flapping=flaps, updating=updates) if flaps or updates else known


def _matching(statement: _Rows, query: Query, *, along_the_index: bool = False) -> _Rows:
    """Restricts a select from ``gateways``.

    A tag goes first: from its gateways to their rows. Before it goes only what spares the rows: the index in
    the order that is wanted, or its beginning, which is what is offline or unknown.
    """
    by_index = along_the_index or _is_by_state(query)
    leading = None if by_index else next(filter(_leads, query.terms), None)
    if leading is not None:
        ids = tagged_ids(leading.values)
        tagged = (ids if _is_one_tag(leading) else ids.distinct()).subquery()
        statement = statement.join(tagged, tagged.c.gateway_id == gateways.c.id)
    rest = (term for term in query.terms if term is not leading)
    return statement.where(*(one_term(term, _NOW, probe=along_the_index) for term in rest))


def _leads(term: Term | Either) -> TypeGuard[Term]:
    return (
        isinstance(term, Term)
        and term.field is Field.TAG
        and not term.negated
        and Untagged() not in term.values
    )


def _is_one_tag(term: Term) -> bool:
    """Then no gateway is found twice, and PostgreSQL need not sort them out."""
    return len(term.values) == 1 and isinstance(term.values[0], Pattern) and len(term.values[0].pieces) == 1


def _is_by_state(query: Query) -> bool:
    return any(_is_one_state(term) and term.values[0] is not StateWord.ONLINE for term in query.terms)


def _is_one_state(term: Term | Either) -> TypeGuard[Term]:
    """Whether all that match are in one state of connectivity, so that they need be counted only once."""
    return isinstance(term, Term) and not term.negated and len(term.values) == 1 and term.values[0] in _RANKS
