"""The simulated portal's operations: where each is served, which names it uses, and an OpenAPI document.

The defaults are the vendor's documented requests and, for the rest, the assumed ones; both can be changed at
any time, so that a portal of another shape can be simulated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from bot.demo.fleet.model import Json


class PortalOperation(StrEnum):
    LOGIN = "LOGIN"
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
    OPENAPI = "OPENAPI"


DEFAULT_ROUTES: dict[str, str] = {
    PortalOperation.LOGIN: "POST /api/v1/auth/login",
    PortalOperation.LIST_DEVICES: "GET /api/v1/devices",
    PortalOperation.GET_DEVICE: "GET /api/v1/devices/{id}",
    PortalOperation.RENAME_DEVICE: "PUT /api/v1/devices/{id}/friendly-name",
    PortalOperation.LIST_LABELS: "GET /api/v1/labels",
    PortalOperation.CREATE_LABEL: "POST /api/v1/labels",
    PortalOperation.ADD_LABEL: "POST /api/v1/devices/{id}/labels",
    PortalOperation.REMOVE_LABEL: "DELETE /api/v1/devices/{id}/labels/{label}",
    PortalOperation.LIST_FIRMWARE: "GET /api/v1/firmwares",
    PortalOperation.CREATE_JOB: "POST /api/v1/jobs",
    PortalOperation.LIST_JOBS: "GET /api/v1/jobs",
    PortalOperation.GET_JOB: "GET /api/v1/jobs/{id}",
    PortalOperation.CANCEL_JOB: "PUT /api/v1/jobs/{id}/cancel",
    PortalOperation.OPENAPI: "GET /swagger/v1/swagger.json",
}

_TEXT = {"type": "string", "nullable": True}
_TIME = {"type": "string", "format": "date-time", "nullable": True}
_TEXTS = {"type": "array", "nullable": True, "items": {"type": "string"}}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def _page(item: Json) -> Json:
    return _object(nextToken=_TEXT, items={"type": "array", "items": item})


_DEVICE = _object(
    id={"type": "string"},
    friendlyName=_TEXT,
    modelNumber=_TEXT,
    labels=_TEXTS,
    bootMode=_TEXT,
    connectivity=_object(connected={"type": "boolean", "nullable": True}, timestamp=_TIME),
    firmwareVersion=_TEXT,
    hardwareVersion=_TEXT,
    imei=_TEXT,
    status=_TEXT,
)
_FIRMWARE = _object(
    id={"type": "string"},
    modelNumber=_TEXT,
    version=_TEXT,
    fileName=_TEXT,
    createdAt=_TIME,
    description=_TEXT,
    size={"type": "integer", "nullable": True},
    checksum=_TEXT,
)
_SUMMARY: Json = {
    "id": {"type": "string"},
    "name": _TEXT,
    "status": _TEXT,
    "firmwareId": _TEXT,
    "createdAt": _TIME,
    "completedAt": _TIME,
}
_TARGET = _object(deviceId={"type": "string"}, status=_TEXT, statusDetails=_TEXT, updatedAt=_TIME)

REQUESTS: dict[str, Json] = {
    PortalOperation.LOGIN: _object(username=_TEXT, password=_TEXT),
    PortalOperation.RENAME_DEVICE: _object(name=_TEXT),
    PortalOperation.CREATE_LABEL: _object(label=_TEXT),
    PortalOperation.ADD_LABEL: _object(label=_TEXT),
    PortalOperation.CREATE_JOB: _object(name=_TEXT, firmwareId=_TEXT, deviceIds=_TEXTS),
}
ANSWERS: dict[str, Json] = {
    PortalOperation.LOGIN: _object(status=_TEXT, authToken=_TEXT, sessionId=_TEXT),
    PortalOperation.LIST_DEVICES: _page(_DEVICE),
    PortalOperation.GET_DEVICE: _DEVICE,
    PortalOperation.LIST_LABELS: _object(items=_TEXTS),
    PortalOperation.LIST_FIRMWARE: _page(_FIRMWARE),
    PortalOperation.CREATE_JOB: _object(id={"type": "string"}),
    PortalOperation.LIST_JOBS: _page(_object(**_SUMMARY)),
    PortalOperation.GET_JOB: _object(**_SUMMARY, devices={"type": "array", "items": _TARGET}),
}
PAGED = frozenset({PortalOperation.LIST_DEVICES, PortalOperation.LIST_FIRMWARE, PortalOperation.LIST_JOBS})


@dataclass(frozen=True, slots=True)
class Match:
    operation: str
    arguments: list[str]  # the values in the path, percent-decoded, in its order: an id, then a label


class RouteMatcher:
    """Finds the operation of a request in a table that may change between two requests."""

    def __init__(self) -> None:
        self._seen: dict[str, str] | None = None
        self._table: list[tuple[str, str, list[str]]] = []

    def find(self, routes: dict[str, str], method: str, path: str, *, on_login_host: bool) -> Match | None:
        """Match a path as it came, still percent-encoded; the log-in has a host of its own."""
        if routes != self._seen:
            self._table, self._seen = _table(routes), dict(routes)
        segments = path.split("/")
        for operation, wanted, pattern in self._table:
            if wanted != method or len(pattern) != len(segments):
                continue
            if (operation == PortalOperation.LOGIN) is on_login_host and _fits(pattern, segments):
                values = [
                    unquote(got) for want, got in zip(pattern, segments, strict=True) if _is_variable(want)
                ]
                return Match(operation, values)
        return None


def _table(routes: dict[str, str]) -> list[tuple[str, str, list[str]]]:
    table = []
    for operation, route in complete(routes).items():
        method, path = route.split(" ", 1)
        table.append((operation, method.upper(), path.split("/")))
    # `/labels/all` before `/labels/{id}`, as web frameworks prefer it
    return sorted(table, key=lambda row: sum(map(_is_variable, row[2])))


def complete(routes: Mapping[str, str]) -> dict[str, str]:
    """The routes with the default for each that is not named."""
    check_names(routes)
    return {**DEFAULT_ROUTES, **routes}


def check_names(by_operation: Mapping[str, object]) -> None:
    """Raise ValueError when a key is no operation: a misspelt override must not pass in silence."""
    unknown = set(by_operation) - set(PortalOperation)
    if unknown:
        raise ValueError(
            f"Not an operation: {', '.join(sorted(unknown))}. Use one of {', '.join(PortalOperation)}."
        )


def openapi(
    routes: Mapping[str, str], fields: Mapping[str, dict[str, str]], auth_url: str, api_url: str
) -> Json:
    """The OpenAPI 3 document of these routes and names, in the style that ASP.NET services generate."""
    check_names(fields)
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {}
    for operation, route in complete(routes).items():
        if operation == PortalOperation.OPENAPI:
            continue
        method, path = route.split(" ", 1)
        names = fields.get(operation, {})
        described = _described(operation, path, names, schemas)
        if operation == PortalOperation.LOGIN:
            described["servers"] = [{"url": auth_url}]
        paths.setdefault(path, {})[method.lower()] = described
    return {
        "openapi": "3.0.1",
        "info": {"title": "Meshtech API Public (simulated)", "version": "v1"},
        "servers": [{"url": api_url}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        },
        "security": [{"Bearer": []}],
    }


def _described(operation: str, path: str, names: dict[str, str], schemas: dict[str, Json]) -> Json:
    title = operation.title().replace("_", "")
    parameters = [_parameter(part[1:-1], "path") for part in path.split("/") if _is_variable(part)]
    if operation in PAGED:
        parameters += [_parameter(names.get(name, name), "query") for name in ("MaxResults", "NextToken")]
    described: Json = {
        "operationId": title,
        "parameters": parameters,
        "responses": {"200": {"description": "Success"}},
    }
    if operation in REQUESTS:
        schemas[f"{title}Request"] = _renamed_schema(REQUESTS[operation], names)
        described["requestBody"] = {"content": _content(f"{title}Request")}
    if operation in ANSWERS:
        schemas[f"{title}Answer"] = _renamed_schema(ANSWERS[operation], names)
        described["responses"]["200"]["content"] = _content(f"{title}Answer")
    return described


def _parameter(name: str, where: str) -> Json:
    kind = "integer" if name == "MaxResults" else "string"
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": kind}}


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _renamed_schema(schema: Json, names: dict[str, str]) -> Json:
    changed: dict[str, Any] = dict(schema)
    if "properties" in schema:
        changed["properties"] = {
            names.get(name, name): _renamed_schema(inner, names)
            for name, inner in schema["properties"].items()
        }
    if "items" in schema:
        changed["items"] = _renamed_schema(schema["items"], names)
    return changed


def _fits(pattern: list[str], segments: list[str]) -> bool:
    return all(
        (got != "" if _is_variable(want) else want == got)
        for want, got in zip(pattern, segments, strict=True)
    )


def _is_variable(segment: str) -> bool:
    return segment.startswith("{")
