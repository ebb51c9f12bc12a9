"""The query language: parse a line, say what is wrong with it, match one gateway.

A query is terms joined by "and"; a term is a field and values joined by "or". The parsed form is frozen, so
that storage can compile it to SQL with the same answers. Knows neither Slack's way of mangling text nor SQL.
"""

import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from bot.domain.durations import parse_duration
from bot.domain.errors import InvalidInput
from bot.domain.firmware import FirmwareVersion, firmware_key, is_same_firmware
from bot.domain.gateways import KnownGateway, fold

LONGEST = 1000  # characters of a query
MOST_VALUES = 100  # in all terms together; SQLite takes no expression deeper than a thousand
MOST_WILDCARDS = 6  # in one value: more of them only make a database slow


class Field(StrEnum):
    """What a term is about; ``ANY`` is a bare word, looked for in ids and names."""

    TAG = "tag"
    SITE = "site"
    MODEL = "model"
    FIRMWARE = "fw"
    HARDWARE = "hw"
    STATE = "is"
    AGE = "for"
    NAME = "name"
    ID = "id"
    ANY = ""


_EXAMPLES: Mapping[Field, str] = {
    Field.TAG: "tag:oslo, or tag:none for gateways without one",
    Field.SITE: "site:oslo",
    Field.MODEL: "model:2011",
    Field.FIRMWARE: "fw:3.4.1 or fw:<3.4.1",
    Field.HARDWARE: "hw:1.0.0",
    Field.STATE: "is:offline",
    Field.AGE: "for:>1h",
    Field.NAME: "name:MT*",
    Field.ID: "id:bmac-c0*",
}
_OTHER_WORDS: Mapping[str, Field] = {
    "firmware": Field.FIRMWARE,
    "version": Field.FIRMWARE,
    "hardware": Field.HARDWARE,
    "label": Field.TAG,
    "labels": Field.TAG,
    "state": Field.STATE,
    "status": Field.STATE,
    "since": Field.AGE,
}


class StateWord(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    FLAPPING = "flapping"
    UPDATING = "updating"


class Comparison(StrEnum):
    AT_MOST = "<="
    AT_LEAST = ">="
    BELOW = "<"
    ABOVE = ">"
    EQUAL = "="


# Of two keys, or of a column and a key.
COMPARE: Mapping[Comparison, Callable[[Any, Any], Any]] = {
    Comparison.AT_MOST: operator.le,
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
    Comparison.ABOVE: operator.gt,
    Comparison.EQUAL: operator.eq,
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text without case, in which ``*`` stands for anything; ``inside`` finds it anywhere in a text."""

    text: str
    inside: bool = False

    @property
    def pieces(self) -> tuple[str, ...]:
        """The folded texts between the wildcards; a single piece has none."""
        return _pieces(self.text, self.inside)

    def matches(self, folded: str) -> bool:
        first, *rest = self.pieces
        if not rest:
            return folded == first
        *middle, last = rest
        if not folded.startswith(first):
            return False
        at = len(first)
        for piece in middle:
            found = folded.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return len(folded) - len(last) >= at and folded.endswith(last)


@dataclass(frozen=True, slots=True)
class Untagged:
    """``tag:none``."""


@dataclass(frozen=True, slots=True)
class Version:
    """A firmware version compared by order. ``key`` is its sortable form."""

    comparison: Comparison
    version: FirmwareVersion

    @property
    def key(self) -> str:
        return self.version.key

    def matches(self, firmware: str | None) -> bool:
        """A version of another form has no order, so it is neither above nor below."""
        if self.comparison is Comparison.EQUAL:
            return is_same_firmware(firmware, self.version.text)
        key = firmware_key(firmware)
        return key is not None and bool(COMPARE[self.comparison](key, self.key))


@dataclass(frozen=True, slots=True)
class Age:
    """In its present state for longer, or shorter, than this."""

    longer: bool
    duration: timedelta
    text: str

    def matches(self, since: datetime, now: datetime) -> bool:
        edge = now - self.duration
        return since < edge if self.longer else since > edge


Value = Pattern | Untagged | Version | Age | StateWord


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the field has one of the values, or, negated, none of them."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False

    @property
    def text(self) -> str:
        prefix = ("-" if self.negated else "") + (f"{self.field}:" if self.field else "")
        return prefix + ",".join(_value_text(value) for value in self.values)

    def matches(self, known: KnownGateway, now: datetime) -> bool:
        return any(_matches(self.field, value, known, now) for value in self.values) != self.negated


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked for. Without terms it matches every gateway."""

    terms: tuple[Term, ...] = ()

    @property
    def text(self) -> str:
        """The query in its one canonical spelling; parsing it gives an equal query."""
        return " ".join(term.text for term in self.terms)

    def matches(self, known: KnownGateway, now: datetime) -> bool:
        return all(term.matches(known, now) for term in self.terms)


EVERYTHING = Query()


def parse(text: str) -> Query:
    """Understands a query. Raises InvalidInput naming the term and what would be right."""
    text = text.replace("\0", "").encode(errors="replace").decode()
    if len(text) > LONGEST:
        raise InvalidInput(f"The query has {len(text)} characters; {LONGEST} are the most. Ask in two parts.")
    query = Query(tuple(_term(word) for word in _words(text)))
    if (values := sum(len(term.values) for term in query.terms)) > MOST_VALUES:
        raise InvalidInput(f"The query has {values} values; {MOST_VALUES} are the most. Ask in two parts.")
    return query


def exactly(field: Field, text: str) -> str | None:
    """The query of what has this very text; None where none says it: quotes keep neither ``*`` nor quotes."""
    return None if "*" in text or '"' in text else f'{field}:"{text}"'


@dataclass(frozen=True, slots=True)
class _Char:
    char: str
    quoted: bool = False

    def is_bare(self, char: str) -> bool:
        return self.char == char and not self.quoted


_Word = tuple[_Char, ...]


def _words(text: str) -> list[_Word]:
    """Splits at spaces outside quotes; the quotes themselves are gone and their characters marked."""
    words: list[list[_Char]] = []
    quoted = inside = False
    for char in text:
        if char == '"':
            quoted = not quoted
        elif char.isspace() and not quoted:
            inside = False
            continue
        if not inside:
            words.append([])
            inside = True
        words[-1].append(_Char(char, quoted))
    if quoted:
        raise InvalidInput(f'A quote is not closed: {text.strip()}. Put a second " where the value ends.')
    return [tuple(char for char in word if char.char != '"') for word in words]


def _term(word: _Word) -> Term:
    negated = bool(word) and word[0].is_bare("-")
    body = word[1:] if negated else word
    colon = next((at for at, char in enumerate(body) if char.is_bare(":")), None)
    if colon is None:
        shown = _plain(word)
        words = tuple(_pattern(part, f"“{shown}”", inside=True) for part in _split(body))
        return Term(Field.ANY, words, negated)
    field = _field(_plain(body[:colon]), _plain(word))
    values = [_value(field, part, _plain(word)) for part in _split(body[colon + 1 :])]
    return Term(field, tuple(values), negated)


def _split(value: _Word) -> list[_Word]:
    parts: list[list[_Char]] = [[]]
    for char in value:
        if char.is_bare(","):
            parts.append([])
        else:
            parts[-1].append(char)
    return [tuple(part) for part in parts]


def _plain(word: _Word) -> str:
    return "".join(char.char for char in word)


def _field(name: str, term: str) -> Field:
    folded = fold(name)
    known = [field.value for field in Field if field is not Field.ANY]
    if folded in known:
        return Field(folded)
    other = _OTHER_WORDS.get(folded)
    near = [other.value] if other else difflib.get_close_matches(folded, known, 1, 0.5)
    hint = f" Did you mean {near[0]}:?" if near else ""
    raise InvalidInput(
        f"{term}: there is no field “{name}”.{hint} The fields are {', '.join(known)}. "
        "A name that holds a colon goes into quotes."
    )


def _value(field: Field, part: _Word, term: str) -> Value:
    value = _plain(part).strip()
    if not value:
        raise InvalidInput(f"{term}: a value is missing, write {_EXAMPLES[field]}.")
    if field is Field.STATE:
        return _state(value, term)
    if field is Field.AGE:
        return _age(part, term)
    if field is Field.FIRMWARE:
        return _version(part, term)
    if field in {Field.MODEL, Field.HARDWARE} and _comparison(part)[0] is not None:
        raise InvalidInput(f"{term}: only firmware and ages are compared; write {_EXAMPLES[field]}.")
    if field is Field.TAG and fold(value) == "none" and not any(char.quoted for char in part):
        return Untagged()
    return _pattern(part, term)


def _pattern(part: _Word, term: str, *, inside: bool = False) -> Pattern:
    value = _plain(part).strip()
    if not fold(value):
        raise InvalidInput(f"{term}: a word is missing, write part of an id or a name, or tag:oslo.")
    if value.count("*") > MOST_WILDCARDS:
        raise InvalidInput(f"{term}: {MOST_WILDCARDS} times * are the most in one value.")
    return Pattern(value, inside)


def _state(value: str, term: str) -> StateWord:
    folded = fold(value)
    known = [word.value for word in StateWord]
    if folded in known:
        return StateWord(folded)
    near = difflib.get_close_matches(folded, known, 1, 0.5)
    hint = f" Did you mean is:{near[0]}?" if near else ""
    raise InvalidInput(f"{term}: there is no state “{value}”.{hint} The states are {', '.join(known)}.")


def _comparison(part: _Word) -> tuple[Comparison | None, str]:
    for comparison in Comparison:
        sign = comparison.value
        if all(char.is_bare(wanted) for char, wanted in zip(part, sign, strict=False)) and len(part) >= len(
            sign
        ):
            return comparison, _plain(part[len(sign) :]).strip()
    return None, _plain(part).strip()


def _version(part: _Word, term: str) -> Value:
    comparison, value = _comparison(part)
    version = FirmwareVersion.parse(value)
    if version is not None:
        return Version(comparison or Comparison.EQUAL, version)
    if comparison not in {None, Comparison.EQUAL}:
        raise InvalidInput(
            f"{term}: “{value}” has no order; "
            f"after {comparison} stands a version such as 3.4, 3.4.1 or 3.4.1-beta.2."
        )
    return _pattern(tuple(_Char(char) for char in value), term)


def _age(part: _Word, term: str) -> Age:
    comparison, value = _comparison(part)
    if comparison is Comparison.EQUAL:
        raise InvalidInput(f"{term}: a duration is compared, write for:>1h or for:<30m.")
    try:
        duration = parse_duration(value)
    except InvalidInput as error:
        raise InvalidInput(f"{term}: {error} For example {_EXAMPLES[Field.AGE]}.") from error
    shorter = comparison in {Comparison.BELOW, Comparison.AT_MOST}
    return Age(not shorter, duration, "".join(value.split()).lower())


@lru_cache(maxsize=1024)
def _pieces(text: str, inside: bool) -> tuple[str, ...]:
    folded = fold(text)
    pieces = folded.split("*")
    if inside:
        pieces = ["", *pieces, ""]
    return (
        (pieces[0], *(piece for piece in pieces[1:-1] if piece), pieces[-1]) if len(pieces) > 1 else (folded,)
    )


_folded = lru_cache(maxsize=4096)(fold)


def _matches(field: Field, value: Value, known: KnownGateway, now: datetime) -> bool:
    gateway = known.gateway
    if isinstance(value, Pattern):
        return any(value.matches(_folded(text)) for text in _texts(field, known))
    if isinstance(value, Untagged):
        return not any(_folded(tag) for tag in gateway.tags)
    if isinstance(value, Version):
        return value.matches(gateway.firmware)
    if isinstance(value, Age):
        return value.matches(known.since, now)
    if value is StateWord.FLAPPING:
        return known.flapping
    if value is StateWord.UPDATING:
        return known.updating
    return gateway.connectivity.value == value.value


def _texts(field: Field, known: KnownGateway) -> tuple[str, ...]:
    gateway = known.gateway
    if field is Field.TAG:
        return tuple(tag for tag in gateway.tags if _folded(tag))
    if field is Field.ANY:
        return (gateway.id, gateway.name or "")
    one = {
        Field.SITE: known.site,
        Field.MODEL: gateway.model,
        Field.FIRMWARE: gateway.firmware,
        Field.HARDWARE: gateway.hardware,
        Field.NAME: gateway.name,
        Field.ID: gateway.id,
    }[field]
    return (one or "",)


def _value_text(value: Value) -> str:
    if isinstance(value, Untagged):
        return "none"
    if isinstance(value, Version):
        sign = "" if value.comparison is Comparison.EQUAL else value.comparison.value
        return f"{sign}{value.version}"
    if isinstance(value, Age):
        return f"{'>' if value.longer else '<'}{value.text}"
    if isinstance(value, StateWord):
        return value.value
    needs_quotes = fold(value.text) == "none" or value.text.startswith("-")
    if needs_quotes or any(char.isspace() or char in ',:<>="' for char in value.text):
        return f'"{value.text}"'
    return value.text
