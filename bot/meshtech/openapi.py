"""A portal's OpenAPI document (or Swagger 2) as operations with their fields, whatever tool wrote it.

Reads it from a file or an address, as JSON or YAML. Knows nothing of what our operations are. References are
followed when somebody looks, each schema is read once, and what is recursive is a circle: the work is linear
in the document.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import httpx
import yaml

from bot.domain.errors import StartupError
from bot.meshtech.response_bodies import new_client
from bot.network import Network

Json = Any
_NO_KEY = object()
_METHODS = ("get", "post", "put", "patch", "delete")
_PARTS = ("allOf", "oneOf", "anyOf")
_MOST_HOPS = 8  # from a reference to a reference
_MOST_PARTS = 200  # of one schema
_MOST_READ = 20_000  # parts of all schemas; what is left then counts as not described
_MOST_FIELDS = 300  # of one schema
_MOST_VARIABLES = 4  # in a server's host
_TIMEOUT = 20.0
_SETTABLE = re.compile(r"[\w.$@:-]+")  # a field's name that can stand in a setting, between its commas


class Shape:
    """A schema: its kind (text, number, flag, list, object, any), its fields, and what a list holds.

    It is read when it is first looked at.
    """

    def __init__(self, document: "_Document", schema: Json) -> None:
        self._document = document
        self._schema = schema

    @property
    def kind(self) -> str:
        return self._read[0]

    @property
    def fields(self) -> "Mapping[str, Shape]":
        return self._read[1]

    @property
    def item(self) -> "Shape | None":
        return self._read[2]

    @cached_property
    def _read(self) -> "tuple[str, Mapping[str, Shape], Shape | None]":
        kind, item = "any", None
        fields: dict[str, Shape] = {}
        for part in self._document.parts(self._schema):
            kind = _kind(part) if kind == "any" else kind
            for name, inner in islice(_object(part, "properties").items(), _MOST_FIELDS - len(fields)):
                if _SETTABLE.fullmatch(str(name)):
                    fields.setdefault(str(name), self._document.shape(inner))
            if item is None and "items" in part:
                item = self._document.shape(part["items"])
        return "object" if fields else kind, fields, item


@dataclass(frozen=True, slots=True)
class Offered:
    """One operation of the portal. ``template`` is a path below the device host, or a whole URL elsewhere."""

    method: str
    template: str
    words: frozenset[str]  # of its operationId and summary
    query: tuple[str, ...]
    request: Shape
    answer: Shape


async def fetch(where: str, network: Network) -> Json:
    """The document at a web address or in a file. Raises StartupError."""
    try:
        if "://" in where:
            async with new_client(network, timeout=_TIMEOUT, follow_redirects=True) as http:
                text = (await http.get(where)).raise_for_status().text
        else:
            text = await asyncio.to_thread(Path(where).read_text, encoding="utf-8-sig")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, OverflowError) as error:
        is_far = isinstance(error, httpx.TransportError)
        why = network.fault(error, where) if is_far else type(error).__name__
        raise StartupError(
            f"The OpenAPI document cannot be read from {where} ({why}): give its address or the path of a "
            "file that holds it."
        ) from error
    document = _decoded(text, where)
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict) or not document["paths"]:
        raise StartupError(f"{where} is not an OpenAPI document: it has no paths. Give another one.")
    return document


def _decoded(text: str, where: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StartupError(
            f"{where} is neither JSON nor YAML: give the OpenAPI document itself (often "
            "…/swagger/v1/swagger.json), not the page that shows it."
        ) from error


def _yaml(text: str) -> Json:
    """Texts, lists and mappings: every scalar stays a text, since a property may be called “no” or “on”.

    An alias is the object itself. Built from libyaml's events, which takes a seventh of the time and of the
    memory that its loader takes, whose nodes are all there before the first is used. Raises YAMLError.
    """
    top: list[Json] = []
    around: list[tuple[Json, Json]] = []  # what the innermost list or mapping stands in, and behind which key
    inner: Json = top
    key: Json = _NO_KEY
    anchors: dict[str, Json] = {}
    known: dict[str, str] = {}  # most texts come again and again
    for event in yaml.parse(text, Loader=yaml.CBaseLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            inner, key = around.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        value: Json
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise yaml.YAMLError(f"no anchor is called {event.anchor}")
            value = anchors[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            value = known.setdefault(event.value, event.value)
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            anchors[event.anchor] = value
        if isinstance(inner, list):
            inner.append(value)
        elif key is _NO_KEY and not isinstance(value, str):
            raise yaml.YAMLError("a key is no text")
        elif key is _NO_KEY:
            key = value
            continue
        else:
            inner[key], key = value, _NO_KEY
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((inner, key))
            inner, key = value, _NO_KEY
    return top[0] if top else None


async def server_time(url: str, network: Network) -> datetime | None:
    """What time a server says it is, where it says so."""
    try:
        async with new_client(network, timeout=_TIMEOUT) as http:
            text = (await http.head(url)).headers.get("date", "")
        return parsedate_to_datetime(text).astimezone(UTC)
    except (httpx.HTTPError, ValueError):
        return None


def operations(document: Json, api_url: str) -> list[Offered]:
    """Every operation in it whose host is known. Paths below ``api_url``, the device host, need no host."""
    return list(_Document(document, api_url).operations())


def below(api_url: str, url: str) -> str:
    """A URL as what stands behind the API's address, or whole where it is elsewhere.

    ``http`` and ``https`` of one host are one place: a service behind a proxy does not know which it is
    reached by. Raises ValueError for what is no URL.
    """
    ours, there = urlsplit(api_url), urlsplit(url)
    path, base = there.path.rstrip("/"), ours.path.rstrip("/")
    if _place(there) != _place(ours):
        return f"{there.scheme}://{there.netloc}{path}"
    if path == base or path.startswith(f"{base}/"):
        return path[len(base) :]
    return f"{ours.scheme}://{ours.netloc}{path}"


def _place(url: SplitResult) -> tuple[str | None, int | None]:
    """Host and port, without the port that its scheme has by default."""
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.hostname, None if url.port == default else url.port


class _Document:
    """The document with what was read of it, by reference and by object: each is read once."""

    def __init__(self, document: Json, api_url: str) -> None:
        self._document = document
        self._api_url = api_url.rstrip("/")
        self._left = _MOST_READ
        self._led_to: dict[str, Json] = {}
        self._shapes: dict[int, Shape] = {}
        self._bases: dict[int, str | None] = {}
        self._described: dict[tuple[int, int], Mapping[str, Any]] = {}

    def operations(self) -> Iterator[Offered]:
        for path, item in self._document["paths"].items():
            if not isinstance(item, dict) or not str(path).startswith("/"):
                continue
            target = self._resolve(item)  # what stands beside a reference goes before what it leads to
            common = item if "parameters" in item else target
            for method in _METHODS:
                described = item.get(method) or target.get(method)
                if not isinstance(described, dict):
                    continue
                base = self._base(
                    _list(described, "servers") or _list(item, "servers") or _list(target, "servers")
                )
                if base is not None:
                    yield Offered(method.upper(), base + str(path), **self._operation(common, described))

    def shape(self, schema: Json) -> Shape:
        schema = self._resolve(schema)
        return self._shapes.setdefault(id(schema), Shape(self, schema))

    def parts(self, schema: Json) -> Iterator[Json]:
        """The schema, and those that it is composed of, each once."""
        waiting = [schema]
        seen: set[int] = set()
        while waiting and self._left and len(seen) < _MOST_PARTS:
            self._left -= 1
            part = self._resolve(waiting.pop())
            if id(part) not in seen:
                seen.add(id(part))
                yield part
                waiting += [one for name in _PARTS for one in _list(part, name)[:_MOST_PARTS]][::-1]

    def _operation(self, item: Json, described: Json) -> Mapping[str, Any]:
        """What does not depend on the path: many may refer to one."""
        key = id(item.get("parameters")), id(described)
        if key not in self._described:
            parameters = [
                self._resolve(one) for one in [*_list(item, "parameters"), *_list(described, "parameters")]
            ]
            body = next((one.get("schema") for one in parameters if one.get("in") == "body"), None)
            if body is None:
                body = _schema_in(self._resolve(described.get("requestBody")).get("content"))
            self._described[key] = {
                "words": words_of(f"{described.get('operationId') or ''} {described.get('summary') or ''}"),
                "query": tuple(str(one.get("name")) for one in parameters if one.get("in") == "query"),
                "request": self.shape(body),
                "answer": self.shape(self._answer(_object(described, "responses"))),
            }
        return self._described[key]

    def _answer(self, responses: Json) -> Json:
        success = min((status for status in responses if str(status).startswith("2")), key=str, default=None)
        found = self._resolve(responses.get(success))
        return found.get("schema") or _schema_in(found.get("content"))

    # ---- servers
    def _base(self, servers: list[Json]) -> str | None:
        """What stands before the path: nothing on the device host, else what leads there.

        Of several servers the one on the device host counts, else the first. None for one that has a variable
        without a value.
        """
        servers = servers or self._servers
        if id(servers) not in self._bases:
            found = [self._led_by(one) for one in servers if isinstance(one, dict)] or [""]
            usable = [base for base in found if base is not None]
            self._bases[id(servers)] = min(usable, key=lambda base: "://" in base, default=None)
        return self._bases[id(servers)]

    @cached_property
    def _servers(self) -> list[Json]:
        if found := _list(self._document, "servers"):
            return found
        base = str(self._document.get("basePath") or "")  # Swagger 2
        host = self._document.get("host")
        return [{"url": f"//{host}{base}" if host else base}]

    def _led_by(self, server: Json) -> str | None:
        url, variables = str(server.get("url") or ""), _object(server, "variables")
        head, slashes, rest = url.partition("//")
        if slashes:
            host, slash, path = rest.partition("/")
            url = f"{head}//{self._host(host, variables) or _filled(host, variables)}{slash}{path}"
        url = _filled(url, variables)
        try:
            return None if "{" in url else below(self._api_url, urljoin(f"{self._api_url}/", url))
        except ValueError:
            return None

    def _host(self, template: str, variables: Mapping[str, Json]) -> str | None:
        """The device host, where the variables of a server's can have the values that make it that."""
        pieces = re.split(r"\{([^{}]*)\}", template)
        if not 1 < len(pieces) <= 2 * _MOST_VARIABLES + 1:
            return None
        pattern = "".join(
            _values(_object(variables, piece)) if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
        ours = urlsplit(self._api_url)
        port = ours.port or {"http": 80, "https": 443}.get(ours.scheme)
        spellings = (ours.netloc, f"{ours.hostname}:{port}")
        return next((one for one in spellings if re.fullmatch(pattern, one, re.IGNORECASE)), None)

    # ---- references
    def _resolve(self, value: Json) -> Json:
        """What a reference leads to; an empty object for one that leads nowhere."""
        for _ in range(_MOST_HOPS):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if not isinstance(reference, str):
                return value if isinstance(value, dict) else _EMPTY
            if reference not in self._led_to:
                self._led_to[reference] = self._at(reference)
            value = self._led_to[reference]
        return _EMPTY

    def _at(self, reference: str) -> Json:
        value = self._document if reference.startswith("#") else None
        for part in reference.removeprefix("#").split("/")[1:]:
            part = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(value, list):
                value = value[int(part)] if part.isdecimal() and int(part) < len(value) else None
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value


_EMPTY: Mapping[str, Json] = {}


def _filled(template: str, variables: Mapping[str, Json]) -> str:
    """With the default of each variable, or the first value that it may have; one that has none stays."""

    def value(match: re.Match[str]) -> str:
        described = _object(variables, match[1])
        values = [described.get("default"), *_list(described, "enum")]
        return next((str(one) for one in values if one is not None), match[0])

    return re.sub(r"\{([^{}]*)\}", value, template)


def _values(variable: Mapping[str, Json]) -> str:
    allowed = [re.escape(str(one)) for one in _list(variable, "enum")]
    return f"(?:{'|'.join(allowed)})" if allowed else "[^/@]+"


def words_of(text: str) -> frozenset[str]:
    """The words in a name or a path, in small letters and singular: ``/update-jobs`` is update and job."""
    parts = re.findall(r"IDs|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", text)
    return frozenset(re.sub(r"(?<=[a-z]{2})s$", "", part.lower()) for part in parts)


def _list(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _object(value: Json, name: str) -> Mapping[str, Json]:
    found = value.get(name)
    return found if isinstance(found, dict) else _EMPTY


def _schema_in(content: Json) -> Json:
    if not isinstance(content, dict):
        return None
    kind = min(content, key=lambda kind: "json" not in str(kind), default=None)
    return content[kind].get("schema") if isinstance(content.get(kind), dict) else None


def _kind(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):  # OpenAPI 3.1 writes ["string", "null"]
        kind = next((one for one in kind if one != "null"), None)
    known = {"string": "text", "integer": "number", "number": "number", "boolean": "flag", "array": "list"}
    return known.get(str(kind), "object" if kind == "object" else "any")
