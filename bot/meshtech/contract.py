"""Our table of operations against the portal's OpenAPI document: what differs, and which settings mend it.

An operation is found by its method and path; where it is not, the nearest one that nobody else claims is
offered. Fields are told by their names, then by likeness, then by being the only ones of their kind left.
What is guessed is said to be a guess: an operator looks at it before setting it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from bot.meshtech.openapi import Json, Offered, Shape, fetch, operations, server_time, words_of
from bot.meshtech.routes import MAX_RESULTS, NEXT_TOKEN, ROUTES, Operation, RouteTable

__all__ = ["Difference", "compare", "fetch", "server_time"]

PREFIX = "MESHBOT_MESHTECH__"
_ALIKE = 0.55  # of two field names, by shared letters
_NEAR = 5.0  # of an operation that may be ours under another name

_DEVICE = (
    "id friendlyName modelNumber labels* bootMode connectivity connected timestamp firmwareVersion "
    "hardwareVersion"
)
_JOB = "id name status firmwareId createdAt completedAt"
# What each operation sends and reads; a star is a list. What the bot can do without is not asked for.
_SENT: Mapping[Operation, str] = {
    Operation.RENAME_DEVICE: "name",
    Operation.CREATE_LABEL: "label",
    Operation.ADD_LABEL: "label",
    Operation.CREATE_JOB: "name firmwareId deviceIds*",
}
_READ: Mapping[Operation, str] = {
    Operation.LIST_DEVICES: f"items* nextToken {_DEVICE}",
    Operation.GET_DEVICE: _DEVICE,
    Operation.LIST_LABELS: "items*",
    Operation.LIST_FIRMWARE: "items* nextToken id modelNumber version",
    Operation.CREATE_JOB: "id",
    Operation.LIST_JOBS: f"items* nextToken {_JOB}",
    Operation.GET_JOB: f"{_JOB} devices* deviceId statusDetails updatedAt",
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
_SYNONYMS = (
    {"device", "gateway", "thing", "target"},
    {"label", "tag"},
    {"firmware", "fw", "image"},
    {"id", "key", "identifier"},
    {"status", "state"},
    {"name", "title"},
    {"created", "creation", "started", "made"},
    {"completed", "finished", "ended"},
    {"updated", "changed", "modified"},
    {"items", "item", "result", "data", "value", "content"},
    {"next", "continuation"},
    {"detail", "reason", "message", "error"},
)


@dataclass(frozen=True, slots=True)
class Difference:
    """What the document says of one operation of ours. ``settings`` are those that mend it."""

    operation: Operation
    agrees: bool
    text: str
    settings: Mapping[str, str] = field(default_factory=dict)


def compare(
    document: Json, table: RouteTable, *, api_url: str, next_token: str = NEXT_TOKEN
) -> list[Difference]:
    """Operation by operation, in our table's order; ``table`` has the settings of now."""
    offered = operations(document, api_url)
    exact = {operation: _same(table, operation, offered) for operation in ROUTES}
    free = [one for one in offered if one not in exact.values()]
    found = []
    for operation in ROUTES:
        one = exact[operation]
        if one is None and not ROUTES[operation].documented:
            one = _nearest(operation, free)
            free = [other for other in free if other is not one]
        found.append(
            _difference(operation, one, table, moved=exact[operation] is None, next_token=next_token)
        )
    return found


def _same(table: RouteTable, operation: Operation, offered: Sequence[Offered]) -> Offered | None:
    route = table[operation]
    path = _plain(route.template.partition("?")[0])
    return next((one for one in offered if (one.method, _plain(one.template)) == (route.method, path)), None)


def _plain(template: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", template).rstrip("/").casefold()


def _difference(
    operation: Operation, one: Offered | None, table: RouteTable, *, moved: bool, next_token: str
) -> Difference:
    if one is None:
        return Difference(operation, False, _absent(operation, table))
    said, settings = [], {}
    if moved:
        template = _with_our_variables(operation, one.template)
        settings[f"{PREFIX}ROUTES__{operation}"] = f"{one.method} {template}"
        said.append(
            f"the portal has no {table[operation].method} {table[operation].template}; nearest is "
            f"{one.method} {one.template}"
        )
    names, missing = _names(operation, one, table)
    token = _paging(operation, one, table, names, next_token)
    settings |= token
    said += [f"the parameter for the next page is {value}" for value in token.values()]
    changed = {ours: theirs for ours, theirs in names.items() if ours != theirs}
    now = table.field_names(operation)
    if changed != dict(now):
        said += [
            f"{ours} is called {theirs}" for ours, theirs in changed.items() if now.get(ours, ours) != theirs
        ]
        settings[f"{PREFIX}FIELDS__{operation}"] = ",".join(
            f"{ours}={theirs}" for ours, theirs in changed.items()
        )
    if missing:
        said.append(f"nothing in it looks like {', '.join(missing)}")
    if not said:
        return Difference(operation, True, f"{one.method} {one.template}, as the bot asks")
    return Difference(operation, False, _mended(operation, said, settings, missing), settings)


def _mended(
    operation: Operation, said: list[str], settings: Mapping[str, str], missing: Sequence[str]
) -> str:
    text = "; ".join(said) + ". "
    if ROUTES[operation].documented and any("__FIELDS__" in name for name in settings):
        return text + "Meshtech's own page documents it otherwise: ask Meshtech which is right."
    fix = " and ".join(f"set {name}={value}" for name, value in settings.items())
    if missing:
        fix += f"{'; ' if fix else ''}look into the document for {', '.join(missing)}"
    return f"{text}{fix[:1].upper()}{fix[1:]}."


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
def _nearest(operation: Operation, free: Sequence[Offered]) -> Offered | None:
    scored = [(_likeness(operation, one), one) for one in free]
    best = max(scored, key=lambda pair: pair[0], default=(0.0, None))
    return best[1] if best[0] >= _NEAR else None


def _likeness(operation: Operation, one: Offered) -> float:
    """How much an operation of the portal looks like ours; 0 where it cannot be."""
    ours = ROUTES[operation]
    variables = len(re.findall(r"\{[^}]*\}", one.template))
    allowed = {1, 2} if operation is Operation.ADD_LABEL else {ours.template.count("{")}
    if variables not in allowed or (ours.method == "GET") != (one.method == "GET"):
        return 0.0
    path = words_of(re.sub(r"\{[^}]*\}", "", one.template))
    if one.method == "DELETE":
        jobs = set(_THINGS[Operation.GET_JOB].split())
        return _NEAR * (operation is Operation.CANCEL_JOB and bool(jobs & path))
    things = set(_THINGS[operation].split())
    if not things & (path | one.words):
        return 0.0
    score = 3.0 * bool(things & path) + 2.0 * bool(things & one.words) + (one.method == ours.method)
    score += 2.0 * bool(things & words_of(one.template.rstrip("/").split("/")[-1]))
    score += 3.0 * (set(words_of(operation.title())) <= one.words)
    score += 3.0 * _share(_SENT.get(operation, ""), one.request)
    score += 3.0 * _share(_READ.get(operation, ""), one.answer)
    return score


def _share(wanted: str, shape: Shape) -> float:
    """How many of the wanted fields are there under their own name, or one like it."""
    names = {name for level in shape.levels() for name in level}
    ours = [name.rstrip("*") for name in wanted.split()]
    if not ours:
        return 0.0
    return sum(any(_alike(name, theirs) >= _ALIKE for theirs in names) for name in ours) / len(ours)


def _with_our_variables(operation: Operation, template: str) -> str:
    """``{deviceId}`` as ``{id}``, and the tag's as ``{label}``."""
    found = re.findall(r"\{([^}]*)\}", template)
    label = next((name for name in found if words_of(name) & {"label", "tag"}), found[-1] if found else "")
    for name in found:
        is_label = operation is Operation.ADD_LABEL and len(found) > 1 and name == label
        template = template.replace(f"{{{name}}}", "{label}" if is_label else "{id}")
    return template


# ---- fields
def _names(operation: Operation, one: Offered, table: RouteTable) -> tuple[dict[str, str], list[str]]:
    """Ours to theirs for the request and the answer; and ours for which there is nothing."""
    names: dict[str, str] = {}
    missing: list[str] = []
    known = table.field_names(operation)
    for wanted, shape in ((_SENT.get(operation, ""), one.request), (_READ.get(operation, ""), one.answer)):
        kinds = {name.rstrip("*"): "list" if name.endswith("*") else "text" for name in wanted.split()}
        if wanted == "label" and "{label}" in _with_our_variables(operation, one.template):
            continue  # the path holds it
        if shape.kind == "list" and "items" in kinds:
            del kinds["items"]  # a bare list is read too, and has no next page
            kinds.pop("nextToken", None)
        fields = {name: inner for level in shape.levels() for name, inner in level.items()}
        if not kinds or (not fields and shape.kind in {"any", "text", "number"}):
            continue  # the document does not say, or the answer is the id itself
        found = _paired(kinds, fields, {**known, **names})
        names |= found
        missing += [name for name in kinds if name not in found and name not in missing]
    return names, missing


def _paired(
    kinds: Mapping[str, str], fields: Mapping[str, Shape], known: Mapping[str, str]
) -> dict[str, str]:
    pairs = {ours: known.get(ours, ours) for ours in kinds if known.get(ours, ours) in fields}
    likeness = sorted(
        (
            (_alike(ours, theirs), ours, theirs)
            for ours in kinds
            for theirs, shape in fields.items()
            if _fits(kinds[ours], shape)
        ),
        reverse=True,
    )
    for alike, ours, theirs in likeness:
        if alike >= _ALIKE and ours not in pairs and theirs not in pairs.values():
            pairs[ours] = theirs
    for kind in ("list", "text"):
        left = [ours for ours in kinds if ours not in pairs and kinds[ours] == kind]
        rest = [
            theirs for theirs, shape in fields.items() if theirs not in pairs.values() and _fits(kind, shape)
        ]
        if len(left) == len(rest) == 1:
            pairs[left[0]] = rest[0]
    return pairs


def _fits(kind: str, shape: Shape) -> bool:
    return shape.kind == "any" or (shape.kind == "list") == (kind == "list")


def _alike(ours: str, theirs: str) -> float:
    if ours.casefold() == theirs.casefold():
        return 1.0
    mine, other = _canonical(ours), _canonical(theirs)
    shared = len(mine & other) / max(len(mine | other), 1)
    return max(shared, SequenceMatcher(None, ours.casefold(), theirs.casefold()).ratio() - 0.15)


def _canonical(name: str) -> frozenset[str]:
    return frozenset(
        next((min(group) for group in _SYNONYMS if word in group), word) for word in words_of(name)
    )


# ---- pages
def _paging(
    operation: Operation, one: Offered, table: RouteTable, names: dict[str, str], next_token: str
) -> dict[str, str]:
    """Puts the size parameter's name with the fields; the next page's is a setting of its own."""
    if MAX_RESULTS not in ROUTES[operation].names or not one.query:
        return {}
    query = {name.casefold(): name for name in one.query}
    asked = table.field_names(operation)
    if asked.get(MAX_RESULTS, MAX_RESULTS).casefold() not in query:
        size = _first(one.query, {"max", "limit", "size", "count", "take"})
        if size and not ROUTES[operation].documented:
            names[MAX_RESULTS] = size
    elif MAX_RESULTS in asked:
        names[MAX_RESULTS] = asked[MAX_RESULTS]
    if asked.get(next_token, next_token).casefold() not in query:
        token = _first(
            [name for name in one.query if name != names.get(MAX_RESULTS)],
            {"token", "next", "cursor", "continuation"},
        )
        if token:
            return {f"{PREFIX}NEXT_TOKEN_PARAMETER": token}
    return {}


def _first(names: Iterable[str], words: set[str]) -> str | None:
    return next((name for name in names if words_of(name) & words), None)
