"""Our table of operations against the portal's OpenAPI document: what differs, and which settings mend it.

An operation is found by its method and path; where it is not, the nearest one that nobody else claims is
offered. Fields are told by their names, then by likeness, then by being the only ones of their kind left,
each at the depth where the bot reads it. What is guessed is said to be a guess: an operator looks at it
before setting it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache

from bot.domain.errors import StartupError
from bot.meshtech.models import WRAPPERS
from bot.meshtech.openapi import Json, Offered, Shape, below, fetch, operations, server_time, words_of
from bot.meshtech.routes import MAX_RESULTS, NEXT_TOKEN, ROUTES, Operation, RouteTable

__all__ = ["Difference", "compare", "fetch", "server_time"]

PREFIX = "MESHBOT_MESHTECH__"
_ALIKE = 0.55  # of two field names, by shared words or letters
_NEAR = 5.0  # of an operation that may be ours under another name
_LOOKED_AT = 20  # operations, the likeliest by their names, whose fields are compared


@dataclass(frozen=True, slots=True)
class _Level:
    """What is sent or read at one depth: names (a star is a list) and what is in them.

    ``thing`` is what the level is about: an ``id`` here is its.
    """

    thing: str
    names: tuple[str, ...]
    inside: "Mapping[str, _Level]" = field(default_factory=dict)


def _level(thing: str, names: str, **inside: _Level) -> _Level:
    return _Level(thing, tuple(names.split()), inside)


_DEVICE = _level(
    "device",
    "id friendlyName modelNumber labels* bootMode connectivity firmwareVersion hardwareVersion",
    connectivity=_level("", "connected timestamp"),
)
_FIRMWARE = _level("firmware", "id modelNumber version")
_SUMMARY = "id name status firmwareId createdAt completedAt"
_JOB = _level("job", _SUMMARY)
_TARGET = _level("device", "deviceId status statusDetails updatedAt")
# What each operation sends and reads. What the bot can do without is not asked for.
_SENT: Mapping[Operation, _Level] = {
    Operation.RENAME_DEVICE: _level("device", "name"),
    Operation.CREATE_LABEL: _level("label", "label"),
    Operation.ADD_LABEL: _level("label", "label"),
    Operation.CREATE_JOB: _level("job", "name firmwareId deviceIds*"),
}
_READ: Mapping[Operation, _Level] = {
    Operation.LIST_DEVICES: _level("device", "items* nextToken", items=_DEVICE),
    Operation.GET_DEVICE: _DEVICE,
    Operation.LIST_LABELS: _level("label", "items*"),
    Operation.LIST_FIRMWARE: _level("firmware", "items* nextToken", items=_FIRMWARE),
    Operation.CREATE_JOB: _level("job", "id"),
    Operation.LIST_JOBS: _level("job", "items* nextToken", items=_JOB),
    Operation.GET_JOB: _level("job", f"{_SUMMARY} devices*", devices=_TARGET),
}
# Words that a path or a name of such an operation may have, and the word that tells it from its neighbours.
_THINGS: Mapping[Operation, str] = {
    Operation.GET_DEVICE: "device gateway thing",
    Operation.LIST_LABELS: "label tag",
    Operation.ADD_LABEL: "label tag",
    Operation.LIST_FIRMWARE: "firmware image package artifact",
    Operation.CREATE_JOB: "job update deployment campaign task fota ota rollout",
    Operation.LIST_JOBS: "job update deployment campaign task fota ota rollout",
    Operation.GET_JOB: "job update deployment campaign task fota ota rollout",
    Operation.CANCEL_JOB: "cancel stop abort terminate",
}
# Whose id stands in the path.
_OWNER: Mapping[Operation, Operation] = {
    Operation.GET_DEVICE: Operation.GET_DEVICE,
    Operation.ADD_LABEL: Operation.GET_DEVICE,
    Operation.GET_JOB: Operation.GET_JOB,
    Operation.CANCEL_JOB: Operation.GET_JOB,
}
_WORDS_OF_AN_ID = {"id", "number", "serial", "imei"}
_SYNONYMS = (
    {"device", "gateway", "thing", "target"},
    {"label", "tag"},
    {"firmware", "fw", "image"},
    {"id", "key", "identifier", "guid", "uuid", "arn"},
    {"job", "deployment", "campaign", "task", "rollout", "update"},
    {"status", "state"},
    {"name", "title"},
    {"created", "creation", "started", "made"},
    {"completed", "finished", "ended"},
    {"updated", "changed", "modified"},
    {"items", "item", "result", "data", "value", "content"},
    {"next", "continuation", "page"},
    {"token", "cursor"},
    {"connected", "online"},
    {"at", "on", "date", "time", "utc"},
    {"detail", "reason", "message", "error"},
)


@dataclass(frozen=True, slots=True)
class Difference:
    """What the document says of one operation of ours. ``settings`` are those that mend it.

    ``compared`` is false where it agrees as far as it goes, which is not to all that the bot sends and reads.
    """

    operation: Operation
    agrees: bool
    text: str
    settings: Mapping[str, str] = field(default_factory=dict)
    compared: bool = True


def compare(document: Json, table: RouteTable, *, api_url: str, next_token: str) -> list[Difference]:
    """Operation by operation, in our table's order; ``table`` has the settings of now."""
    offered = operations(document, api_url)
    found = {operation: _same(table, operation, offered, api_url) for operation in ROUTES}
    moved = {operation for operation, one in found.items() if one is None}
    free = [one for one in offered if one not in found.values()]
    for operation in ROUTES:
        if operation in moved and not ROUTES[operation].documented:
            found[operation] = one = _nearest(operation, free, api_url)
            free = [other for other in free if other is not one]
    tokens = {
        operation: token
        for operation, one in found.items()
        if one is not None and (token := _next_token(operation, one, table, next_token))
    }
    return [
        _difference(operation, one, table, moved=operation in moved, tokens=tokens, next_token=next_token)
        for operation, one in found.items()
    ]


def _same(
    table: RouteTable, operation: Operation, offered: Sequence[Offered], api_url: str
) -> Offered | None:
    route = table[operation]
    template = route.template.partition("?")[0]
    path = _plain(below(api_url, template) if "://" in template else template)
    return next((one for one in offered if (one.method, _plain(one.template)) == (route.method, path)), None)


def _plain(template: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", template).rstrip("/").casefold()


def _difference(
    operation: Operation,
    one: Offered | None,
    table: RouteTable,
    *,
    moved: bool,
    tokens: Mapping[Operation, str],
    next_token: str,
) -> Difference:
    if one is None:
        return Difference(operation, False, _absent(operation, table))
    said, settings = [], {}
    if moved:
        settings[f"{PREFIX}ROUTES__{operation}"] = _route(operation, one)
        said.append(
            f"the portal has no {table[operation].method} {table[operation].template}; nearest is "
            f"{one.method} {one.template}"
        )
    fields = _fields(operation, one, table)
    names = {**fields.names, **_page_size(operation, one, table)}
    now = table.field_names(operation)
    token = tokens.get(operation, next_token)
    if len(set(tokens.values())) > 1:  # one setting for all of them would spoil the others
        if token != next_token:
            names[next_token] = token
    elif token != now.get(next_token, next_token):
        settings[f"{PREFIX}NEXT_TOKEN_PARAMETER"] = token
        said.append(f"the parameter for the next page is {token}")
    elif next_token in now:
        names[next_token] = token
    changed = {ours: theirs for ours, theirs in names.items() if ours != theirs}
    if changed != dict(now):
        said += [
            f"{ours} is called {theirs}" for ours, theirs in changed.items() if now.get(ours, ours) != theirs
        ]
        settings[f"{PREFIX}FIELDS__{operation}"] = ",".join(
            f"{ours}={theirs}" for ours, theirs in changed.items()
        )
    if fields.missing:
        said.append(f"nothing in it looks like {', '.join(fields.missing)}")
    where = f"{one.method} {one.template}"
    open_ = f"the document does not describe its {' and its '.join(fields.undescribed)}"
    if not said and fields.undescribed:
        text = f"{where} is there; {open_}, so that the fields are not compared"
        return Difference(operation, True, text, compared=False)
    if not said:
        return Difference(operation, True, f"{where}, as the bot asks")
    if fields.undescribed:
        said.append(open_)
    return Difference(operation, False, _mended(operation, one, said, settings, fields.missing), settings)


def _mended(
    operation: Operation,
    one: Offered,
    said: list[str],
    settings: Mapping[str, str],
    missing: Sequence[str],
) -> str:
    text = "; ".join(said) + ". "
    if ROUTES[operation].documented and any("__FIELDS__" in name for name in settings):
        return text + "Meshtech's own page documents it otherwise: ask Meshtech which is right."
    if f"{PREFIX}ROUTES__{operation}" in settings and one.method == "DELETE":
        text += (
            "It may delete the job and its record instead of stopping it: ask Meshtech before you set it. "
        )
    fix = " and ".join(f"set {name}={value}" for name, value in settings.items())
    if missing:
        fix += f"{'; ' if fix else ''}look into the document for {', '.join(missing)}"
    return f"{text}{fix[:1].upper()}{fix[1:]}{'.' if fix else ''}".rstrip()


def _absent(operation: Operation, table: RouteTable) -> str:
    route = table[operation]
    asked = f"{route.method} {route.template}"
    if route.documented:
        return (
            f"{asked} is documented by Meshtech and not in this document. Check that it is the document of "
            "MESHBOT_MESHTECH__API_URL."
        )
    return (
        f"the document has no {asked} and nothing near it. Look for the operation there, and name it with "
        f"{PREFIX}ROUTES__{operation}=METHOD /path."
    )


# ---- the nearest operation
def _nearest(operation: Operation, free: Sequence[Offered], api_url: str) -> Offered | None:
    """The likeliest one. A DELETE may do more than cancel, so any other one goes before it."""
    named = [(score, one) for one in free if (score := _likeness(operation, one))]
    named.sort(key=lambda pair: (pair[1].method != "DELETE", pair[0]), reverse=True)
    scored = [
        (one.method != "DELETE", score + 3.0 * _share(operation, one), one)
        for score, one in named[:_LOOKED_AT]
        if _is_taken(operation, one, api_url)
    ]
    near = [row for row in scored if row[1] >= _NEAR]
    return max(near, key=lambda row: row[:2])[2] if near else None


def _is_taken(operation: Operation, one: Offered, api_url: str) -> bool:
    """Whether our route table takes it as a setting."""
    try:
        RouteTable(api_url, {operation: _route(operation, one)})
    except StartupError:
        return False
    return True


def _likeness(operation: Operation, one: Offered) -> float:
    """How much an operation of the portal looks like ours by its path and its words; 0 where it cannot be."""
    ours = ROUTES[operation]
    if (ours.method == "GET") != (one.method == "GET") or not _may_hold_ids(operation, one.template):
        return 0.0
    segments = one.template.rstrip("/").split("/")
    path = words_of(re.sub(r"\{[^}]*\}", "", one.template))
    if one.method == "DELETE":
        return _NEAR * (operation is Operation.CANCEL_JOB and segments[-1].startswith("{"))
    things = set(_THINGS[operation].split())
    if not things & (path | one.words):
        return 0.0
    score = 3.0 * bool(things & path) + 2.0 * bool(things & one.words) + (one.method == ours.method)
    score += 2.0 * bool(things & words_of(segments[-1]))
    score += 3.0 * (set(words_of(operation.title())) <= one.words)
    return score


def _may_hold_ids(operation: Operation, template: str) -> bool:
    """Whether its variables stand where the bot has ids to put: after what they are the id of."""
    found = re.findall(r"\{([^}]*)\}", template)
    allowed = {1, 2} if operation is Operation.ADD_LABEL else {ROUTES[operation].template.count("{")}
    if len(found) not in allowed:
        return False
    if not found:
        return True
    if operation in {Operation.GET_DEVICE, Operation.GET_JOB} and not template.rstrip("/").endswith("}"):
        return False
    owners = _THINGS[_OWNER[operation]]
    before = words_of(template.partition("{")[0].partition("://")[2] or template.partition("{")[0])
    identity = {_same_word(word) for word in words_of(found[0])} - _WORDS_OF_AN_ID - {_same_word("id")}
    return bool(before & set(owners.split())) and identity <= {_same_word(word) for word in owners.split()}


def _share(operation: Operation, one: Offered) -> float:
    """How many of the wanted fields are there under their own name, or one like it."""
    share = 0.0
    for _, wanted, shape in _sides(operation, one):
        names: dict[str, str] = {}
        missing: list[str] = []
        if _pair(wanted, shape, names, missing, guess=False):
            share += len(names) / max(len(names) + len(missing), 1)
    return share


def _route(operation: Operation, one: Offered) -> str:
    return f"{one.method} {_with_our_variables(operation, one.template)}"


def _with_our_variables(operation: Operation, template: str) -> str:
    """``{deviceId}`` as ``{id}``, and the tag's as ``{label}``."""
    found = re.findall(r"\{([^}]*)\}", template)
    label = next((name for name in found if words_of(name) & {"label", "tag"}), found[-1] if found else "")
    for name in found:
        is_label = operation is Operation.ADD_LABEL and len(found) > 1 and name == label
        template = template.replace(f"{{{name}}}", "{label}" if is_label else "{id}")
    return template


# ---- fields
@dataclass(frozen=True, slots=True)
class _Fields:
    """Ours to theirs; ours for which there is nothing; and of what the document does not tell."""

    names: dict[str, str]
    missing: list[str]
    undescribed: list[str]


def _fields(operation: Operation, one: Offered, table: RouteTable) -> _Fields:
    found = _Fields({}, [], [])
    known = dict(table.field_names(operation))
    for side, wanted, shape in _sides(operation, one):
        names: dict[str, str] = {}
        if not _pair(wanted, shape, names, found.missing, known={**known, **found.names}):
            found.undescribed.append(side)
        found.names.update(names)
    return found


def _sides(operation: Operation, one: Offered) -> list[tuple[str, _Level, Shape]]:
    """What is sent and what is read, each with what the document says of it."""
    sides = [("answer", _READ[operation], one.answer)] if operation in _READ else []
    in_path = operation is Operation.ADD_LABEL and "{label}" in _with_our_variables(operation, one.template)
    if operation in _SENT and not in_path:
        sides.insert(0, ("request", _SENT[operation], one.request))
    return sides


def _pair(
    wanted: _Level,
    shape: Shape,
    names: dict[str, str],
    missing: list[str],
    *,
    known: Mapping[str, str] | None = None,
    guess: bool = True,
    inner: bool = False,
) -> bool:
    """Puts what is found at this level and in it into ``names``; False where nothing is described."""
    kinds = {name.rstrip("*"): _kind(name, wanted) for name in wanted.names}
    if shape.kind == "list" and "items" in kinds:  # a bare list is read too, and has no next page
        inside = wanted.inside.get("items")
        item = shape.item
        return inside is None or (
            item is not None and _pair(inside, item, names, missing, known=known, guess=guess, inner=True)
        )
    if not shape.fields:
        return kinds.keys() == {"id"} and shape.kind in {"text", "number"}  # the answer is the id itself
    fields = shape.fields if inner else _opened(wanted, kinds, shape.fields)
    found = _paired(wanted, kinds, fields, {**(known or {}), **names}, guess=guess)
    for ours, theirs in found.items():
        names.setdefault(ours, theirs)
    missing += [name for name in kinds if name not in found and name not in missing]
    described = True
    for name, inside in wanted.inside.items():
        if name in found:
            holder = fields[found[name]]
            level = holder.item if kinds[name] == "list" and holder.item is not None else holder
            described &= _pair(inside, level, names, missing, known=known, guess=guess, inner=True)
    return described


def _kind(name: str, wanted: _Level) -> str:
    if name.endswith("*"):
        return "list"
    return "object" if name in wanted.inside else "any" if name == "statusDetails" else "text"


def _opened(wanted: _Level, kinds: Mapping[str, str], fields: Mapping[str, Shape]) -> Mapping[str, Shape]:
    """With the fields of a wrapper, such as ``{"data": {…}}``, where there is one: the client opens it."""
    key = next((name for name in ("items", "id") if name in kinds), None)
    if key is None or _has(wanted, key, kinds, fields):
        return fields
    for wrapper, inner in fields.items():
        if wrapper.casefold() in WRAPPERS and _has(wanted, key, kinds, inner.fields):
            return {**fields, **inner.fields}
    return fields


def _has(wanted: _Level, key: str, kinds: Mapping[str, str], fields: Mapping[str, Shape]) -> bool:
    return any(
        _fits(kinds[key], shape) and _alike(key, theirs, wanted.thing) >= _ALIKE
        for theirs, shape in fields.items()
    )


def _paired(
    wanted: _Level,
    kinds: Mapping[str, str],
    fields: Mapping[str, Shape],
    known: Mapping[str, str],
    *,
    guess: bool,
) -> dict[str, str]:
    pairs = {ours: known.get(ours, ours) for ours in kinds if known.get(ours, ours) in fields}
    pairs |= {ours: ours for ours in kinds if ours not in pairs and ours in fields}
    likeness = [
        (alike, ours, theirs)
        for ours in kinds
        if ours not in pairs
        for theirs, shape in fields.items()
        if _fits(kinds[ours], shape)
        and (alike := _alike(ours, theirs, wanted.thing, letters=guess)) >= _ALIKE
    ]
    for _, ours, theirs in sorted(likeness, key=lambda row: -row[0]):
        if ours not in pairs and theirs not in pairs.values():
            pairs[ours] = theirs
    for kind in ("list", "text") if guess else ():
        left = [ours for ours in kinds if ours not in pairs and kinds[ours] == kind]
        rest = [
            theirs for theirs, shape in fields.items() if theirs not in pairs.values() and _fits(kind, shape)
        ]
        if kind == "text":
            rest = [theirs for theirs in rest if "id" not in words_of(theirs)]
        if len(left) == len(rest) == 1 and left[0] not in _IDS:
            pairs[left[0]] = rest[0]
    return {ours: theirs for ours, theirs in pairs.items() if not re.search(r"[,=#\s]", theirs)}


def _fits(kind: str, shape: Shape) -> bool:
    if kind == "any" or shape.kind == "any":
        return True
    theirs = shape.kind if shape.kind in {"list", "object"} else "text"
    return kind == theirs


_IDS: Mapping[str, str | None] = {"id": None, "firmwareId": "firmware", "deviceId": "device"}


@lru_cache(maxsize=65536)
def _alike(ours: str, theirs: str, thing: str = "", *, letters: bool = True) -> float:
    """How alike two names are, from 0 to 1. An id is like an id of the same thing only."""
    mine, other = _canonical(ours), _canonical(theirs)
    identity = _same_word("id")
    if ours in _IDS:
        whose = {_same_word(_IDS[ours] or thing)}
        if identity in other:
            return 1.0 - 0.1 * len(whose - other) if other - {identity} <= whose else 0.0
        return 0.8 if other == whose and ours != "id" else 0.0
    if ours.casefold() == theirs.casefold():
        return 1.0
    if identity in other and identity not in mine:
        return 0.0
    if ours == "items" and other == {_same_word(thing)}:
        return 0.9
    shared = len(mine & other) / max(len(mine | other), 1)
    if mine and other and (mine < other or other < mine):
        shared = max(shared, 0.6)
    if not letters:
        return shared
    return max(shared, SequenceMatcher(None, ours.casefold(), theirs.casefold()).ratio() - 0.15)


@lru_cache(maxsize=65536)
def _canonical(name: str) -> frozenset[str]:
    return frozenset(_same_word(word) for word in words_of(name))


def _same_word(word: str) -> str:
    return next((min(group) for group in _SYNONYMS if word in group), word)


# ---- pages
def _next_token(operation: Operation, one: Offered, table: RouteTable, next_token: str) -> str | None:
    """The query parameter that asks for the next page; None where the document names none."""
    if MAX_RESULTS not in ROUTES[operation].names:
        return None
    asked = table.field_names(operation).get(next_token, next_token)
    if any(asked.casefold() == name.casefold() for name in one.query):
        return asked
    likely = [name for name in one.query if words_of(name) & _TOKEN and not words_of(name) & _OTHER_TOKENS]
    return max(likely, key=lambda name: _alike(NEXT_TOKEN, name), default=None)


_TOKEN = {"token", "next", "cursor", "continuation"}
_OTHER_TOKENS = {"cancellation", "access", "auth", "authorization", "bearer", "csrf", "size"}


def _page_size(operation: Operation, one: Offered, table: RouteTable) -> dict[str, str]:
    """The size parameter's name, which goes with the fields."""
    if MAX_RESULTS not in ROUTES[operation].names or not one.query:
        return {}
    asked = table.field_names(operation).get(MAX_RESULTS, MAX_RESULTS)
    query = {name.casefold(): name for name in one.query}
    if asked.casefold() in query:
        return {MAX_RESULTS: asked}
    size = _first(one.query, {"max", "limit", "size", "count", "take"})
    return {MAX_RESULTS: size} if size else {}


def _first(names: Iterable[str], words: set[str]) -> str | None:
    return next((name for name in names if words_of(name) & words), None)
