"""Queries as conditions of SQL, for everyone who asks which gateways match.

The answers are those of ``Query.matches``, on SQLite and PostgreSQL alike.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, exists, false, not_, or_, select

from bot.domain.fleet import Connectivity
from bot.domain.query import COMPARE, Age, Field, Pattern, Query, StateWord, Term, Untagged, Value, Version
from bot.storage.flaps import flapping_ids
from bot.storage.tables import RANKS, gateway_claims, gateway_tags, gateways

_ESCAPE = "/"  # a backslash means something to PostgreSQL and its driver as well
_COLUMNS = {
    Field.SITE: gateways.c.site_folded,
    Field.MODEL: gateways.c.model_folded,
    Field.FIRMWARE: gateways.c.firmware_folded,
    Field.HARDWARE: gateways.c.hardware_folded,
    Field.NAME: gateways.c.name_folded,
    Field.ID: gateways.c.id_folded,
}


def condition(query: Query, now: datetime) -> ColumnElement[bool] | None:
    """The query as a condition on ``gateways``; None when it matches everything."""
    terms = [_term(term, now) for term in query.terms]
    return and_(*terms) if terms else None


def updating_ids() -> Select[tuple[str]]:
    """Gateways that a rollout has claimed."""
    return select(gateway_claims.c.gateway_id)


def _term(term: Term, now: datetime) -> ColumnElement[bool]:
    if term.field is Field.TAG:
        wanted = _tagged(term.values)
    else:
        wanted = or_(*(_value(term.field, value, now) for value in term.values))
    return not_(wanted) if term.negated else wanted


def _tagged(values: Sequence[Value]) -> ColumnElement[bool]:
    """Any of the tags, or no tag at all."""
    table = gateway_tags.c
    exact = [v.pieces[0] for v in values if isinstance(v, Pattern) and len(v.pieces) == 1]
    alike = [like(table.folded, v.pieces) for v in values if isinstance(v, Pattern) and len(v.pieces) > 1]
    wanted: list[ColumnElement[bool]] = []
    if exact or alike:
        named = [table.folded.in_(exact)] if exact else []
        wanted.append(gateways.c.id.in_(select(table.gateway_id).where(or_(*named, *alike))))
    if any(isinstance(value, Untagged) for value in values):
        wanted.append(~exists().where(table.gateway_id == gateways.c.id))
    return or_(*wanted)


def _value(field: Field, value: Value, now: datetime) -> ColumnElement[bool]:
    if isinstance(value, Pattern):
        if field is Field.ANY:
            return or_(_text(gateways.c.id_folded, value), _text(gateways.c.name_folded, value))
        return _text(_COLUMNS[field], value)
    if isinstance(value, Version):
        key = gateways.c.firmware_key
        # Not NULL even where there is no key: a negation must turn it round.
        return and_(key.is_not(None), COMPARE[value.comparison](key, value.key))
    if isinstance(value, Age):
        edge = now - value.duration
        return gateways.c.since < edge if value.longer else gateways.c.since > edge
    if isinstance(value, StateWord):
        return _state(value, now)
    return false()


def _state(word: StateWord, now: datetime) -> ColumnElement[bool]:
    if word is StateWord.FLAPPING:
        return gateways.c.id.in_(flapping_ids(now))
    if word is StateWord.UPDATING:
        return gateways.c.id.in_(updating_ids())
    return gateways.c.rank == RANKS[Connectivity(word.value)]


def _text(column: ColumnElement[str], pattern: Pattern) -> ColumnElement[bool]:
    pieces = pattern.pieces
    return like(column, pieces) if len(pieces) > 1 else column == pieces[0]


def like(column: ColumnElement[str], pieces: Sequence[str]) -> ColumnElement[bool]:
    """Pieces with anything between them; what LIKE itself finds special in them is escaped."""
    escaped = (
        piece.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
        for piece in pieces
    )
    return column.like("%".join(escaped), escape=_ESCAPE)
