"""The query language: parse a line, say what is wrong with it, match one gateway.

A query is terms joined by "and"; a term is a field and values joined by "or", and ``or`` between two terms
holds them together more closely than a space. A bare word is a state, or looked for in ids and names, unless
``read_bare`` is told what else of the fleet it names. The parsed form is frozen, so that storage can compile
it to SQL with the same answers. Knows neither Slack's way of mangling text nor SQL.
"""

import difflib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeGuard

from bot.domain.errors import InvalidInput
from bot.domain.firmware import FirmwareVersion, firmware_key, is_same_firmware
from bot.domain.gateways import KnownGateway, fold
from bot.domain.times.written_times import parse_duration

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


FARING = frozenset({Field.STATE, Field.AGE})  # how gateways fare, and not which they are
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
    """A text without case, in which ``*`` stands for anything; ``inside`` finds it anywhere in a text.

    ``quoted``: it stands for itself, whatever else of the fleet has that name.
    """

    text: str
    inside: bool = False
    quoted: bool = False

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
class Either:
    """Terms of several fields joined by ``or``: at least one of them holds."""

    terms: tuple[Term, ...]

    @property
    def text(self) -> str:
        return " or ".join(term.text for term in self.terms)

    def matches(self, known: KnownGateway, now: datetime) -> bool:
        return any(term.matches(known, now) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked for. Without terms it matches every gateway."""

    terms: tuple[Term | Either, ...] = ()

    @property
    def text(self) -> str:
        """The query in its one canonical spelling; parsing it gives an equal query."""
        if self == ALL:
            return "all"
        return " ".join(term.text for term in self.terms)

    @property
    def single_terms(self) -> Iterator[Term]:
        """Each term, those that ``or`` joins too."""
        for term in self.terms:
            yield from _singles(term)

    def matches(self, known: KnownGateway, now: datetime) -> bool:
        return all(term.matches(known, now) for term in self.terms)


EVERYTHING = Query()
# The same when somebody says so, which is not the same as saying nothing.
ALL = Query((Term(Field.ANY, (Pattern("*", inside=True),)),))
_ALL = frozenset({("all",), ("everything",), ("all", "gateways"), ("all", "devices")})


def parse(text: str) -> Query:
    """Understands a query. Raises InvalidInput naming the term and what would be right.

    A lone "all" is the whole fleet; in quotes it is looked for in ids and names.
    """
    text = text.replace("\0", "").encode(errors="replace").decode()
    if len(text) > LONGEST:
        raise InvalidInput(f"The query has {len(text)} characters; {LONGEST} are the most. Ask in two parts.")
    words = list(_joined(_words(text)))
    if tuple(map(_bare, words)) in _ALL:
        return ALL
    query = Query(tuple(_terms(words)))
    if (values := sum(len(term.values) for term in query.single_terms)) > MOST_VALUES:
        raise InvalidInput(f"The query has {values} values; {MOST_VALUES} are the most. Ask in two parts.")
    return query


def exactly(field: Field, text: str) -> str | None:
    """The query of what has this very text; None where none says it: quotes keep neither ``*`` nor quotes."""
    return None if "*" in text or '"' in text else f'{field}:"{text}"'


# ---- bare words that the fleet knows
# What a bare word is taken for where several fit: the first of these. ``ANY``: it is in ids or names.
BARE_FIELDS = (Field.TAG, Field.SITE, Field.MODEL, Field.FIRMWARE, Field.ANY)


@dataclass(frozen=True, slots=True)
class WordRead:
    """A bare word and the term that it was taken for.

    ``others``: the terms that would have fitted as well, each with the whole query that it would make.
    """

    word: str
    term: str
    others: tuple[tuple[str, Query], ...] = ()


def bare_words(query: Query) -> Sequence[str]:
    """The words of which ``read_bare`` wants to know what they name."""
    found = (value.text for term in query.single_terms for value in term.values if _is_bare(value, term))
    return list(dict.fromkeys(found))


def term_in(field: Field, word: str) -> Term:
    """The term of a bare word that this field has."""
    if field is Field.ANY:
        return Term(field, (Pattern(word, inside=True, quoted=True),))
    return Term(field, (_value(field, tuple(_Char(char, quoted=True) for char in word), word),))


def read_bare(query: Query, fits: Mapping[str, Sequence[Field]]) -> tuple[Query, Sequence[WordRead]]:
    """The query with each bare word as what it names in this fleet, and how each was read.

    ``fits``: for a word, the fields in which the fleet has it, the likeliest first.
    """
    taken = {word: fields[0] for word, fields in fits.items() if fields and fields[0] is not Field.ANY}
    words = [
        WordRead(
            word,
            term_in(field, word).text,
            tuple(
                (term_in(other, word).text, _with_fields(query, {**taken, word: other}))
                for other in fits[word]
                if other is not field
            ),
        )
        for word, field in taken.items()
    ]
    return _with_fields(query, taken), words


def _with_fields(query: Query, fields: Mapping[str, Field]) -> Query:
    def read(term: Term) -> Sequence[Term]:
        found = [
            replace(term_in(fields[value.text], value.text), negated=term.negated)
            if _is_bare(value, term) and value.text in fields
            else replace(term, values=(value,))
            for value in term.values
        ]
        # Negated, none of the readings may hold, which only terms of one field can say together.
        return [term] if term.negated and len(found) > 1 else found

    read_terms = ([one for each in _singles(term) for one in read(each)] for term in query.terms)
    return Query(tuple(_joined_by_or(first, others) for first, *others in read_terms))


def _singles(term: Term | Either) -> tuple[Term, ...]:
    return term.terms if isinstance(term, Either) else (term,)


def _is_bare(value: Value, term: Term) -> TypeGuard[Pattern]:
    return (
        term.field is Field.ANY and isinstance(value, Pattern) and not value.quoted and "*" not in value.text
    )


# ---- from characters to terms
_BETWEEN = frozenset({"or", "|", "||"})
_AND = frozenset({"and", "&", "&&"})
_AGES = frozenset({"for", "since"})
_NAMED_BEFORE: Mapping[str | None, Field] = {
    "site": Field.SITE,
    "tag": Field.TAG,
    "label": Field.TAG,
    "model": Field.MODEL,
}


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


def _joined(words: Sequence[_Word]) -> Iterator[_Word]:
    """``for 24h``, ``> 24h``, ``fw < 3.4`` and ``site oslo`` as the terms that they mean.

    ``and`` is what a space is.
    """
    at = 0
    while at < len(words):
        term, used = _several(words, at)
        if term is not None:
            yield tuple(map(_Char, term))
        elif _bare(words[at]) not in _AND:
            yield words[at]
        at += used


def _several(words: Sequence[_Word], at: int) -> tuple[str | None, int]:
    """The term that this word and the next ones are together, and how many they are."""
    word, rest = _bare(words[at]), [_bare(one) or "" for one in words[at + 1 : at + 3]]
    if (before := _NAMED_BEFORE.get(word)) and rest and _names_something(rest[0]):
        return f"{before}:{rest[0]}", 2
    sign, used = "", 1
    field = "fw" if word in {"fw", "firmware", "version"} else "for"
    if word in _AGES or field == "fw":
        word, used = (rest[0] if rest else ""), 2
        rest = rest[1:]
    for comparison in Comparison:
        if word and word.startswith(comparison.value):
            sign, word = comparison.value, word.removeprefix(comparison.value)
            if not word and rest:
                word, used = rest[0], used + 1
            break
    fits = (FirmwareVersion.parse(word) if field == "fw" else _is_duration(word)) if word else None
    if not fits or (used == 1 and not sign):
        return None, 1
    return f"{field}:{sign}{word}", used


def _names_something(word: str) -> bool:
    return bool(word) and ":" not in word and word[0].isalnum() and word not in _RESERVED


def _is_duration(text: str) -> bool:
    try:
        return parse_duration(text) > timedelta(0)
    except InvalidInput:
        return False


def _bare(word: _Word) -> str | None:
    """A word in which nothing is quoted, without case."""
    return None if any(char.quoted for char in word) else _plain(word).casefold()


def _terms(words: Iterable[_Word]) -> Iterator[Term | Either]:
    """Raises InvalidInput for an ``or`` that does not stand between two terms."""
    before: Term | Either | None = None
    is_open = False
    for word in words:
        if _bare(word) in _BETWEEN:
            if before is None or is_open:
                raise InvalidInput("“or” stands between two terms: tag:oslo or tag:bergen.")
            is_open = True
            continue
        term = _term(word)
        if before is not None and not is_open:
            yield before
        before, is_open = _either(before, term) if before is not None and is_open else term, False
    if is_open:
        raise InvalidInput("“or” stands between two terms: tag:oslo or tag:bergen.")
    if before is not None:
        yield before


def _either(before: Term | Either, term: Term) -> Term | Either:
    """Of one field they are one term with more values."""
    *others, last = _singles(before)
    if last.field is term.field and not last.negated and not term.negated:
        last = replace(last, values=(*last.values, *term.values))
    else:
        others, last = [*others, last], term
    return Either((*others, last)) if others else last


def _joined_by_or(first: Term, others: Sequence[Term]) -> Term | Either:
    joined: Term | Either = first
    for one in others:
        joined = _either(joined, one)
    return joined


def _term(word: _Word) -> Term:
    negated = bool(word) and word[0].is_bare("-")
    body = word[1:] if negated else word
    colon = next((at for at, char in enumerate(body) if char.is_bare(":")), None)
    if colon is None:
        shown = _plain(word)
        states = [_state_word(part) for part in _split(body)]
        if all(states):
            return Term(Field.STATE, tuple(state for state in states if state), negated)
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
    return Pattern(value, inside, inside and (any(char.quoted for char in part) or _needs_quotes(value)))


_STATES: Mapping[str, StateWord] = {word.value: word for word in StateWord} | {
    "down": StateWord.OFFLINE,
    "disconnected": StateWord.OFFLINE,
    "connected": StateWord.ONLINE,
}


def _state_word(part: _Word) -> StateWord | None:
    text = _bare(part)
    return _STATES.get(text.strip()) if text else None


def _state(value: str, term: str) -> StateWord:
    folded = fold(value)
    known = [word.value for word in StateWord]
    if folded in _STATES:
        return _STATES[folded]
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
        return not gateway.tags
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
        return gateway.tags
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
    return f'"{value.text}"' if value.quoted or _needs_quotes(value.text) else value.text


def _needs_quotes(text: str) -> bool:
    reserved = text.startswith("-") or fold(text) in _RESERVED
    return reserved or any(char.isspace() or char in ',:<>="' for char in text)


_RESERVED = frozenset({"none", *_STATES, *_BETWEEN, *_AND, *_AGES})
