"""Every operation of the portal in one table: documented or assumed, and how a setting corrects it.

Decides which method and URL ask for an operation and what its fields are called. The documented ones are
bound to exactly; the assumed ones follow the style of AWS IoT behind ASP.NET until a site says otherwise.
Knows nothing of what the answers mean. Ids and labels come from outside and are percent-encoded whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from bot.domain.errors import InvalidInput, StartupError
from bot.network import is_this_machine

Json = Any  # decoded JSON of the vendor's

NEXT_TOKEN = "NextToken"  # noqa: S105 - a parameter's name
MAX_RESULTS = "MaxResults"


class Operation(StrEnum):
    LIST_DEVICES = "LIST_DEVICES"
    GET_DEVICE = "GET_DEVICE"
    RENAME_DEVICE = "RENAME_DEVICE"
    LIST_LABELS = "LIST_LABELS"
    CREATE_LABEL = "CREATE_LABEL"
    ADD_LABEL = "ADD_LABEL"
    REMOVE_LABEL = "REMOVE_LABEL"
    LIST_FIRMWARE = "LIST_FIRMWARE"
    CREATE_JOB = "CREATE_JOB"
    LIST_JOBS = "LIST_JOBS"
    GET_JOB = "GET_JOB"
    CANCEL_JOB = "CANCEL_JOB"


@dataclass(frozen=True, slots=True)
class Route:
    """How to ask for one operation. ``template`` is a path, or a whole URL where a setting gave one.

    ``idempotent``: repeating it after a lost answer does no harm, whatever the method. ``names`` are ours of
    the fields in its request and answer.
    """

    method: str
    template: str
    documented: bool
    idempotent: bool
    names: frozenset[str]


def _route(
    request: str, names: str, *, documented: bool = False, repeatable: bool = True, listing: bool = False
) -> Route:
    method, template = request.split(" ")
    paging = f"items nextToken {MAX_RESULTS} {NEXT_TOKEN} " if listing else ""
    return Route(method, template, documented, repeatable, frozenset((paging + names).split()))


_DEVICE = (
    "id friendlyName modelNumber labels bootMode connectivity connected timestamp firmwareVersion "
    "hardwareVersion imei status"
)
_JOB = "id name status firmwareId createdAt completedAt"

ROUTES: Mapping[Operation, Route] = {
    Operation.LIST_DEVICES: _route("GET /api/v1/devices", _DEVICE, documented=True, listing=True),
    Operation.GET_DEVICE: _route("GET /api/v1/devices/{id}", _DEVICE),
    Operation.RENAME_DEVICE: _route("PUT /api/v1/devices/{id}/friendly-name", "name", documented=True),
    Operation.LIST_LABELS: _route("GET /api/v1/labels", "items label nextToken NextToken"),
    Operation.CREATE_LABEL: _route("POST /api/v1/labels", "label", documented=True),
    Operation.ADD_LABEL: _route("POST /api/v1/devices/{id}/labels", "label"),
    Operation.REMOVE_LABEL: _route("DELETE /api/v1/devices/{id}/labels/{label}", "label", documented=True),
    Operation.LIST_FIRMWARE: _route(
        "GET /api/v1/firmwares",
        "id modelNumber version fileName createdAt description size checksum",
        listing=True,
    ),
    # Not idempotent: a lost answer must not lead to a second job for the same gateways.
    Operation.CREATE_JOB: _route("POST /api/v1/jobs", "name firmwareId deviceIds id", repeatable=False),
    Operation.LIST_JOBS: _route("GET /api/v1/jobs", _JOB, listing=True),
    Operation.GET_JOB: _route("GET /api/v1/jobs/{id}", f"{_JOB} devices deviceId statusDetails updatedAt"),
    Operation.CANCEL_JOB: _route("PUT /api/v1/jobs/{id}/cancel", ""),
}

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MAY_NAME_LABEL = {Operation.ADD_LABEL, Operation.REMOVE_LABEL}


class RouteTable:
    """The table as this site uses it: base URL, overridden routes, translated field names.

    ``routes`` and ``fields`` are the settings of those names, keyed by operation in any case. Raises
    ``StartupError`` with the name of the setting to mend.
    """

    def __init__(
        self,
        api_url: str,
        routes: Mapping[str, str] | None = None,
        fields: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._base = absolute_url(api_url, "MESHBOT_MESHTECH__API_URL")
        self._routes = dict(ROUTES)
        for name, text in (routes or {}).items():
            operation = _overridable(name)
            self._routes[operation] = _override(operation, text)
        self._fields: dict[Operation, _Names] = {}
        for name, names in (fields or {}).items():
            operation = _known(name, "FIELDS", Operation)
            if names:
                self._fields[operation] = _Names(operation, names)

    def __getitem__(self, operation: Operation) -> Route:
        return self._routes[operation]

    def url(
        self,
        operation: Operation,
        *,
        identity: str = "",
        label: str = "",
        query: Mapping[str, str] | None = None,
    ) -> str:
        """The URL to send as it is: every value is already percent-encoded."""
        template = self._routes[operation].template
        if "{id}" in template:
            template = template.replace("{id}", _segment(identity, "id"))
        if "{label}" in template:
            head, tail = template.split("{label}")
            template = head + _segment(label, "tag") + tail
        url = template if "://" in template else self._base + template
        if not query:
            return url
        names = self._fields.get(operation)
        pairs = [(names.theirs(name) if names else name, value) for name, value in query.items()]
        encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
        return f"{url}{'&' if '?' in url else '?'}{encoded}"

    def field_names(self, operation: Operation) -> Mapping[str, str]:
        """What the settings say of this operation's fields: ours to theirs."""
        names = self._fields.get(operation)
        return names.as_set if names else {}

    def translates(self, operation: Operation) -> bool:
        return operation in self._fields

    def to_theirs(self, operation: Operation, body: Mapping[str, Json]) -> dict[str, Json]:
        """A request in the names that this site's portal uses."""
        names = self._fields.get(operation)
        return {names.theirs(name) if names else name: value for name, value in body.items()}

    def to_ours(self, operation: Operation, answer: Json) -> Json:
        """An answer in our names: at its top and in what it holds."""
        names = self._fields.get(operation)
        return names.ours(answer) if names else answer


def absolute_url(text: str, setting: str) -> str:
    """A base URL without its last slash. Raises ``StartupError`` naming the setting."""
    cleaned = text.strip().rstrip("/")
    try:
        url = httpx.URL(cleaned)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.userinfo:
        raise StartupError(
            f"{setting} is not a web address: write it like https://host.example, without user name or query."
        )
    return cleaned


class _Names:
    """One operation's field names, ours and theirs. Theirs not mentioned are ours."""

    def __init__(self, operation: Operation, names: Mapping[str, str]) -> None:
        self._theirs: dict[str, str] = {}
        self._ours: dict[str, list[str]] = {}
        for ours, theirs in names.items():
            ours, theirs = ours.strip(), theirs.strip()
            known = ROUTES[operation].names
            if ours not in known or not theirs:
                raise StartupError(
                    f"MESHBOT_MESHTECH__FIELDS__{operation} has {ours}={theirs}: write ours=theirs, ours "
                    f"being one of {', '.join(sorted(known)) or 'none, as this operation has no fields'}."
                )
            self._theirs[ours] = theirs
            self._ours.setdefault(theirs, []).append(ours)

    @property
    def as_set(self) -> Mapping[str, str]:
        return dict(self._theirs)

    def theirs(self, name: str) -> str:
        return self._theirs.get(name, name)

    def ours(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self.ours(item) for item in value]
        if not isinstance(value, dict):
            return value
        renamed = {name: self.ours(inner) for name, inner in value.items() if name not in self._ours}
        for name, inner in value.items():
            for ours in self._ours.get(name, ()):
                renamed[ours] = self.ours(inner)
        return renamed


def _known(name: str, group: str, allowed: type[Operation] | list[Operation]) -> Operation:
    operation = name.strip().upper()
    if operation not in list(allowed):
        words = ", ".join(allowed)
        raise StartupError(
            f"MESHBOT_MESHTECH__{group}__{operation} is not a setting: its last part is one of {words}."
        )
    return Operation(operation)


def _overridable(name: str) -> Operation:
    return _known(name, "ROUTES", [operation for operation, route in ROUTES.items() if not route.documented])


def _override(operation: Operation, text: str) -> Route:
    setting = f"MESHBOT_MESHTECH__ROUTES__{operation}"
    method, _, template = text.strip().partition(" ")
    method, template = method.upper(), template.strip()
    example = f"write it like {ROUTES[operation].method} {ROUTES[operation].template}"
    if method not in _METHODS:
        raise StartupError(f"{setting} does not begin with a method ({', '.join(_METHODS)}): {example}.")
    if re.match(r"[^/]*//[^/]*[{}]", template):
        raise StartupError(f"{setting} has a {{…}} in its host: only the path may have one; {example}.")
    if not template.startswith("/") or template.startswith("//"):
        absolute_url(template.partition("?")[0], f"{setting}, after its method,")
        there = urlsplit(template)
        if there.scheme == "http" and not is_this_machine(there.hostname or ""):
            raise StartupError(f"{setting} has http://, which is for this machine alone: {example}.")
    if re.search(r"[\s#]", template):
        raise StartupError(f"{setting} has a space or a # in its path: {example}.")
    _check_variables(operation, setting, template, example)
    return replace(ROUTES[operation], method=method, template=template)


def _check_variables(operation: Operation, setting: str, template: str, example: str) -> None:
    used = re.findall(r"\{([^{}]*)\}", template)
    needed = {"id"} if "{id}" in ROUTES[operation].template else set()
    allowed = needed | ({"label"} if operation in _MAY_NAME_LABEL else set())
    if missing := needed - set(used):
        raise StartupError(f"{setting} lacks {{{missing.pop()}}}: {example}.")
    if extra := set(used) - allowed:
        raise StartupError(f"{setting} has {{{extra.pop()}}}, which this operation cannot fill: {example}.")
    if len(used) != len(set(used)) or re.search(r"[{}]", re.sub(r"\{\w+\}", "", template)):
        raise StartupError(f"{setting} has a {{…}} too many: {example}.")


def _segment(value: str, what: str) -> str:
    # Servers resolve dots even when they are encoded: without this, taking the tag ".." off a gateway would
    # be DELETE on the gateway.
    if value in ("", ".", ".."):
        raise InvalidInput(f"Meshtech cannot be asked for the {what} “{value}”. Choose another one.")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"That {what} has characters that cannot be sent. Choose another one.") from error
