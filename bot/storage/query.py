"""Queries as conditions of SQL, for everyone who asks which gateways match.

The answers are those of ``Query.matches``, on SQLite and PostgreSQL alike.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, and_, exists, false, not_, or_, select, true

from bot.domain.firmware import FirmwareVersion
from bot.domain.gateways import Connectivity, fold
from bot.domain.query import (
    COMPARE,
    Age,
    Comparison,
    Either,
    Field,
    Pattern,
    Query,
    StateWord,
    Term,
    Untagged,
    Value,
    Version,
)
from bot.storage.db.tables import RANKS, gateway_claims, gateway_tags, gateways
from bot.storage.flapping import Now, flapping_ids

_ESCAPE = "/"  # a backslash means something to PostgreSQL and its driver as well
_COLUMNS = {
    Field.SITE: gateways.c.site_folded,
    Field.MODEL: gateways.c.model_folded,
    Field.FIRMWARE: gateways.c.firmware_folded,
    Field.HARDWARE: gateways.c.hardware_folded,
    Field.NAME: gateways.c.name_folded,
    Field.ID: gateways.c.id_folded,
}


def condition(query: Query, now: Now) -> ColumnElement[bool] | None:
    """The query as a condition on ``gateways``; None when it matches everything."""
    terms = [one_term(term, now) for term in query.terms]
    return and_(*terms) if terms else None


def one_term(term: Term | Either, now: Now, *, probe: bool = False) -> ColumnElement[bool]:
    """``probe`` looks at each gateway's own tags, which is for few; else all that have them are listed."""
    if isinstance(term, Either):
        return or_(*(one_term(one, now, probe=probe) for one in term.terms))
    if term.field is Field.TAG:
        wanted = or_(*_tagged(term.values, probe=probe and not term.negated))
    else:
        wanted = or_(*(_value(term.field, value, now) for value in term.values))
    return not_(wanted) if term.negated else wanted


def runs(version: str) -> ColumnElement[bool]:
    """Gateways on this version, as ``is_same_firmware`` has it; never NULL."""
    wanted, folded = FirmwareVersion.parse(version), gateways.c.firmware_folded
    if wanted is None:
        return folded == fold(version)
    on_it = and_(gateways.c.firmware_key.is_not(None), gateways.c.firmware_key == wanted.key)
    if not wanted.build:
        return on_it
    return and_(on_it, or_(folded.not_like("%+%"), folded.like("%+"), like(folded, ["", f"+{wanted.build}"])))


def would_go_back(version: str) -> ColumnElement[bool]:
    """Gateways for which this version is a downgrade, as ``is_downgrade`` has it; never NULL."""
    wanted, key = FirmwareVersion.parse(version), gateways.c.firmware_key
    older = or_(key.is_(None), key > wanted.key) if wanted else true()
    return and_(not_(runs(version)), older)


def updating_ids() -> Select[tuple[str]]:
    """Gateways whose update has started, not those that a rollout has claimed for later."""
    return select(gateway_claims.c.gateway_id).where(gateway_claims.c.started_at.is_not(None))


def tagged_ids(values: Sequence[Value]) -> Select[tuple[str]]:
    """Gateways that carry any of the tags."""
    named = (_text(gateway_tags.c.folded, value) for value in values if isinstance(value, Pattern))
    return select(gateway_tags.c.gateway_id).where(or_(*named))


def _tagged(values: Sequence[Value], *, probe: bool) -> Iterator[ColumnElement[bool]]:
    """Any of the tags, or no tag at all. Only a whole tag leads to one gateway's row of it."""
    id_, owner = gateways.c.id, gateway_tags.c.gateway_id
    if Untagged() in values:
        yield gateways.c.tags == "[]"
    patterns = [value for value in values if isinstance(value, Pattern)]
    if patterns:
        ids, are_whole = tagged_ids(patterns), all(len(pattern.pieces) == 1 for pattern in patterns)
        yield exists(ids.where(owner == id_).correlate(gateways)) if probe and are_whole else id_.in_(ids)


def _value(field: Field, value: Value, now: Now) -> ColumnElement[bool]:
    if isinstance(value, Pattern):
        if field is Field.ANY:
            return or_(_text(gateways.c.id_folded, value), _text(gateways.c.name_folded, value))
        return _text(_COLUMNS[field], value)
    if isinstance(value, Version):
        if value.comparison is Comparison.EQUAL:
            return runs(value.version.text)
        key = gateways.c.firmware_key
        # Not NULL even where there is no key: a negation must turn it round.
        return and_(key.is_not(None), COMPARE[value.comparison](key, value.key))
    if isinstance(value, Age):
        edge = now - value.duration
        return gateways.c.since < edge if value.longer else gateways.c.since > edge
    if isinstance(value, StateWord):
        return _state(value, now)
    return false()


def _state(word: StateWord, now: Now) -> ColumnElement[bool]:
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
