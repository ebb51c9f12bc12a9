"""A portal's OpenAPI document (or Swagger 2) as operations with their fields, whatever tool wrote it.

Reads it from a file or an address. Knows nothing of what our operations are; references are followed, and
what is recursive is cut.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from bot.domain.errors import StartupError
from bot.meshtech.answers import new_client

Json = Any
_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 8
_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema: its kind (text, number, flag, list, object, any), its fields, and what a list holds."""

    kind: str
    fields: "Mapping[str, Shape]"
    item: "Shape | None" = None

    def levels(self) -> "Iterator[Mapping[str, Shape]]":
        """The fields of this object, then of each object in it."""
        if self.item is not None:
            yield from self.item.levels()
        if self.fields:
            yield self.fields
            for inner in self.fields.values():
                yield from inner.levels()


NOTHING = Shape("any", {})


@dataclass(frozen=True, slots=True)
class Offered:
    """One operation of the portal. ``template`` is a path below the device host, or a whole URL elsewhere."""

    method: str
    template: str
    words: frozenset[str]  # of its operationId and summary
    query: tuple[str, ...]
    request: Shape
    answer: Shape


async def fetch(where: str) -> Json:
    """The document at a web address or in a file. Raises StartupError."""
    try:
        if "://" in where:
            async with new_client(timeout=_TIMEOUT, trust_env=True, follow_redirects=True) as http:
                text = (await http.get(where)).raise_for_status().text
        else:
            text = await asyncio.to_thread(Path(where).read_text, encoding="utf-8-sig")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeDecodeError) as error:
        raise StartupError(
            f"The OpenAPI document cannot be read from {where} ({type(error).__name__}): give its address or "
            "the path of a file that holds it."
        ) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StartupError(
            f"{where} is not JSON: give the OpenAPI document itself (often …/swagger/v1/swagger.json), not "
            "the page that shows it."
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict) or not document["paths"]:
        raise StartupError(f"{where} is not an OpenAPI document: it has no paths. Give another one.")
    return document


async def server_time(url: str) -> datetime | None:
    """What time a server says it is, where it says so."""
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as http:
            text = (await http.head(url)).headers.get("date", "")
        return parsedate_to_datetime(text).astimezone(UTC)
    except (httpx.HTTPError, ValueError):
        return None


def operations(document: Json, api_url: str) -> list[Offered]:
    """Every operation in it. ``api_url`` is the device host: paths below it need no host."""
    reader = _Reader(document, api_url)
    return [
        reader.operation(str(path), method, item, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if isinstance(item, dict) and isinstance(item.get(method), dict)
    ]


class _Reader:
    def __init__(self, document: Json, api_url: str) -> None:
        self._document = document
        self._api_url = api_url.rstrip("/")

    def operation(self, path: str, method: str, item: Json, described: Json) -> Offered:
        parameters = [
            self._resolve(one) for one in [*_list(item, "parameters"), *_list(described, "parameters")]
        ]
        body = next((one.get("schema") for one in parameters if one.get("in") == "body"), None)
        content = self._resolve(described.get("requestBody") or {}).get("content")
        words = f"{described.get('operationId') or ''} {described.get('summary') or ''}"
        return Offered(
            method=method.upper(),
            template=self._base(item, described) + path,
            words=words_of(words),
            query=tuple(str(one.get("name")) for one in parameters if one.get("in") == "query"),
            request=self._shape(body if body is not None else _schema_in(content)),
            answer=self._answer(described.get("responses") or {}),
        )

    def _base(self, item: Json, described: Json) -> str:
        """What stands before the path: nothing on the device host, else what leads there."""
        servers = described.get("servers") or item.get("servers") or self._document.get("servers") or []
        url = str(servers[0].get("url") or "") if servers else str(self._document.get("basePath") or "")
        if host := self._document.get("host"):
            url = f"https://{host}{url}"
        whole = urljoin(self._api_url + "/", url).rstrip("/")
        return whole.removeprefix(self._api_url)

    def _answer(self, responses: Json) -> Shape:
        for status, response in sorted(responses.items()):
            if str(status).startswith("2"):
                found = self._resolve(response)
                return self._shape(found.get("schema") or _schema_in(found.get("content")))
        return NOTHING

    def _resolve(self, value: Json) -> Json:
        """What a reference leads to; an empty object for one that leads nowhere."""
        for _ in range(_DEEPEST):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if not reference:
                return value if isinstance(value, dict) else {}
            value = self._document
            for part in str(reference).removeprefix("#/").split("/"):
                part = part.replace("~1", "/").replace("~0", "~")
                value = value.get(part, {}) if isinstance(value, dict) else {}
        return {}

    def _shape(self, schema: Json, depth: int = 0) -> Shape:
        schema = self._resolve(schema or {})
        if depth > _DEEPEST:
            return NOTHING
        fields: dict[str, Shape] = {}
        for part in (part for name in ("allOf", "oneOf", "anyOf") for part in _list(schema, name)):
            inner = self._shape(part, depth + 1)
            fields |= inner.fields
            if not fields and inner.kind != "any":
                return inner
        for name, value in (schema.get("properties") or {}).items():
            fields[str(name)] = self._shape(value, depth + 1)
        item = self._shape(schema["items"], depth + 1) if "items" in schema else None
        return Shape("object" if fields else _kind(schema), fields, item)


def words_of(text: str) -> frozenset[str]:
    """The words in a name or a path, in small letters and singular: ``/update-jobs`` is update and job."""
    parts = re.findall(r"IDs|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", text)
    return frozenset(re.sub(r"(?<=[a-z]{2})s$", "", part.lower()) for part in parts)


def _list(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _schema_in(content: Json) -> Json:
    if not isinstance(content, dict):
        return None
    kinds = sorted(content, key=lambda kind: "json" not in kind)
    return content[kinds[0]].get("schema") if kinds else None


def _kind(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):  # OpenAPI 3.1 writes ["string", "null"]
        kind = next((one for one in kind if one != "null"), None)
    known = {"string": "text", "integer": "number", "number": "number", "boolean": "flag", "array": "list"}
    return known.get(str(kind), "object" if kind == "object" else "any")
