"""Documents of portals that are not as assumed: what is recommended for each is right, or nothing is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import StartupError
from bot.meshtech.contract import Difference, compare, fetch
from bot.meshtech.openapi import operations
from bot.meshtech.routes import NEXT_TOKEN, Operation, RouteTable
from bot.network import DIRECT
from tests.settings.test_settings import load

API = "https://iot.example"
TEXT = {"type": "string"}


def thing(*names: str, **inner: Any) -> Any:
    return {"type": "object", "properties": {**dict.fromkeys(names, TEXT), **inner}}


def many(item: Any = TEXT) -> Any:
    return {"type": "array", "items": item}


def content(schema: Any) -> Any:
    return {"content": {"application/json": {"schema": schema}}}


def described(answer: Any = None, request: Any = None, query: str = "") -> Any:
    """An operation without a name, as ASP.NET writes it."""
    found: Any = {"parameters": [{"name": name, "in": "query", "schema": TEXT} for name in query.split()]}
    found["responses"] = {"200": {"description": "OK"} if answer is None else content(answer)}
    if request is not None:
        found["requestBody"] = content(request)
    return found


def document(paths: Any, **more: Any) -> Any:
    return {"openapi": "3.0.1", "paths": paths, **more}


def compared(found: Any, api_url: str = API) -> dict[Operation, Difference]:
    table = RouteTable(api_url)
    return {one.operation: one for one in compare(found, table, api_url=api_url, next_token=NEXT_TOKEN)}


def settings(found: Any, api_url: str = API) -> dict[str, str]:
    """What is recommended, without what all settings begin with. The bot starts with it."""
    named = {name: value for one in compared(found, api_url).values() for name, value in one.settings.items()}
    load(**{name.removeprefix("MESHBOT_"): value for name, value in named.items()})
    return {name.removeprefix("MESHBOT_MESHTECH__"): value for name, value in named.items()}


def route(paths: Any, operation: str, api_url: str = API, **more: Any) -> str | None:
    return settings(document(paths, **more), api_url).get(f"ROUTES__{operation}")


# ---- five portals
DEVICE = thing(
    "id",
    "friendlyName",
    "model",
    "bootMode",
    "firmwareVersion",
    "hardwareVersion",
    labels=many(),
    connectivity=thing("timestamp", connected={"type": "boolean"}),
)
JOB = ("jobId", "name", "status", "firmwareId", "createdAt", "completedAt")


def dotnet() -> Any:
    """An ASP.NET service behind a proxy: its own scheme, Pascal case, wrapped answers."""
    query = "PageSize ContinuationToken"
    job = thing(*JOB)
    return document(
        {
            "/api/v1/devices": {
                "get": described(
                    thing("ContinuationToken", Items=many(DEVICE)), query="MaxResults ContinuationToken"
                )
            },
            "/api/v1/devices/{deviceId}": {"get": described(DEVICE)},
            "/api/v1/firmwares": {
                "get": described(
                    thing("ContinuationToken", Items=many(thing("id", "model", "version"))), query=query
                )
            },
            "/api/v1/jobs": {
                "post": described(thing(data=thing("jobId")), thing("name", "firmwareId", targets=many())),
                "get": described(thing("ContinuationToken", Data=many(job)), query=query),
            },
            "/api/v1/jobs/{jobId}": {
                "get": described(
                    thing(
                        "status",
                        data=thing(*JOB, targets=many(thing("id", "status", "statusDetails", "updatedAt"))),
                        errors=many(),
                    )
                ),
                "delete": described(),
            },
            "/api/v1/jobs/{jobId}/stop": {"post": described()},
        },
        servers=[{"url": "http://IOT.example:80/"}],
    )


def test_the_names_of_a_dotnet_service_are_told_from_one_another() -> None:
    assert settings(dotnet()) == {
        "NEXT_TOKEN_PARAMETER": "ContinuationToken",
        "FIELDS__LIST_DEVICES": "items=Items,nextToken=ContinuationToken,modelNumber=model",
        "FIELDS__GET_DEVICE": "modelNumber=model",
        "FIELDS__LIST_FIRMWARE": (
            "items=Items,nextToken=ContinuationToken,modelNumber=model,MaxResults=PageSize"
        ),
        "FIELDS__CREATE_JOB": "deviceIds=targets,id=jobId",
        "FIELDS__LIST_JOBS": "items=Data,nextToken=ContinuationToken,id=jobId,MaxResults=PageSize",
        "FIELDS__GET_JOB": "id=jobId,devices=targets,deviceId=id",
        "ROUTES__CANCEL_JOB": "POST /api/v1/jobs/{id}/stop",
    }


BY_HAND = """
openapi: 3.0.3
info: {title: Gateways, version: 2026-11-30}
servers:
  - url: https://{place}.portal.example:{port}/{version}
    variables:
      place: {default: demo}
      port: {default: 443}
      version: {default: v2, enum: [v2, v3]}
paths:
  /gateways/{gatewayId}: {$ref: '#/components/pathItems/Gateway'}
  /deployments: {$ref: '#/components/pathItems/Deployments'}
components:
  pathItems:
    Gateway:
      get:
        responses:
          200: {content: {application/json: {schema: {$ref: '#/components/schemas/Gateway'}}}}
    Deployments:
      post:
        requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Deployment'}}}}
        responses:
          201: {content: {application/json: {schema: {properties: {deploymentId: &text {type: string}}}}}}
  schemas:
    Gateway:
      properties:
        id: *text
        friendlyName: *text
        modelNumber: *text
        labels: {type: array, items: *text}
        bootMode: *text
        connectivity: {properties: {on: *text, connected: {type: boolean}}}
        firmwareVersion: *text
        hardwareVersion: *text
        next: {$ref: '#/components/schemas/Gateway'}
    Deployment:
      properties: {title: *text, firmwareId: *text, gateways: {type: array, items: *text}}
"""


async def test_a_document_in_yaml_with_server_variables_is_read(tmp_path: Path) -> None:
    (tmp_path / "openapi.yaml").write_text(BY_HAND)

    found = await fetch(f"{tmp_path}/openapi.yaml", DIRECT)

    assert settings(found, "https://acme.portal.example") == {
        "ROUTES__GET_DEVICE": "GET /v2/gateways/{id}",
        "FIELDS__GET_DEVICE": "timestamp=on",
        "ROUTES__CREATE_JOB": "POST /v2/deployments",
        "FIELDS__CREATE_JOB": "name=title,deviceIds=gateways,id=deploymentId",
    }


def test_of_several_servers_ours_wins() -> None:
    found = document(
        {"/fota/tasks": {"post": described(thing("id"), thing("name", "firmwareId", deviceIds=many()))}},
        servers=[
            {"url": "https://test.example"},
            {"url": "https://iot.example.evil/api"},
            {"url": "http://Iot.Example:443/nothing"},
            {"url": "https://Iot.Example:443/api"},
            {"url": "/other"},
        ],
    )
    assert settings(found) == {"ROUTES__CREATE_JOB": "POST /api/fota/tasks"}


def test_a_swagger_2_of_our_host_needs_no_host() -> None:
    page = thing("PageToken", Data=many(thing(*JOB)))
    found = {
        "swagger": "2.0",
        "host": "IOT.example:80",
        "schemes": ["http"],
        "basePath": "/rest",
        "paths": {
            "/tasks": {
                "get": {
                    "parameters": [{"name": name, "in": "query"} for name in ("Limit", "PageToken")],
                    "responses": {"200": {"schema": page}},
                }
            }
        },
    }
    assert settings(found, "http://iot.example") == {
        "ROUTES__LIST_JOBS": "GET /rest/tasks",
        "NEXT_TOKEN_PARAMETER": "PageToken",
        "FIELDS__LIST_JOBS": "items=Data,nextToken=PageToken,id=jobId,MaxResults=Limit",
    }


class Counted(dict[str, Any]):
    """An object of a document that counts how often any of them is looked at."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        Counted.looks += 1
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        Counted.looks += 1
        return super().__contains__(key)


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    Counted.looks = 0
    yield
    Counted.looks = 0


def large(modules: int) -> str:
    """A product of so many modules, each with its devices and jobs; all of its schemas refer to others."""
    found = dotnet()
    schemas: Any = {}
    for number in range(modules):
        name = f"Module{number}"
        schemas[name] = thing(
            *(f"{name}Field{field}" for field in range(20)),
            children=many({"$ref": f"#/components/schemas/Module{(number + 1) % modules}"}),
            parent={"$ref": f"#/components/schemas/Module{(number * 7) % modules}"},
        )
        schemas[name]["allOf"] = [{"$ref": f"#/components/schemas/Module{(number * 3) % modules}"}]
        reference = {"$ref": f"#/components/schemas/{name}"}
        paths = found["paths"]
        paths[f"/api/v1/module{number}/device-groups"] = {"get": described(reference), "post": described()}
        paths[f"/api/v1/module{number}/devices/{{deviceId}}"] = {"get": described(reference)}
        paths[f"/api/v1/module{number}/jobs/{{jobId}}"] = {"delete": described(reference)}
    found["components"] = {"schemas": schemas}
    return json.dumps(found, indent=1)


def test_the_right_settings_are_found_in_five_megabytes() -> None:
    text = large(2100)
    assert len(text) > 5_000_000
    found = json.loads(text, object_hook=Counted)

    assert settings(found) == settings(dotnet())
    assert Counted.looks < 3 * text.count("{")


async def test_a_large_document_in_yaml_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(f"# what is JSON otherwise\n{large(20)}")
    assert settings(await fetch(f"{tmp_path}/large.yaml", DIRECT)) == settings(dotnet())


@pytest.mark.parametrize("text", ["{", "a: *b", "? [a]\n: b", "[" * 50_000, "- a\n- b", "", "x: {{ y }}"])
async def test_what_is_no_document_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(StartupError, match=r"odd\.yaml is n"):
        await fetch(f"{tmp_path}/odd.yaml", DIRECT)


# ---- the work
def test_references_that_lead_to_one_another_are_each_read_once() -> None:
    names = [f"S{number}" for number in range(12)]
    every = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schemas = {name: {"allOf": every, "properties": dict(zip(names, every, strict=True))} for name in names}
    found = document({"/x/jobs": {"post": described(every[0], every[1])}}, components={"schemas": schemas})

    text = json.dumps(found)

    assert compared(json.loads(text, object_hook=Counted))
    assert Counted.looks < 30 * text.count("{")


def test_a_path_that_many_refer_to_is_read_once() -> None:
    shared = {"get": described(DEVICE, query=" ".join(f"q{number}" for number in range(100)))}
    paths: Any = {f"/p{number}": {"$ref": "#/paths/~1shared"} for number in range(1000)}
    found = json.loads(json.dumps(document({"/shared": shared, **paths})), object_hook=Counted)

    assert len(operations(found, API)) == 1001
    assert Counted.looks < 30_000


def test_a_server_whose_variables_hold_one_another_is_filled_once() -> None:
    variables = {f"v{number}": {"default": f"{{v{number + 1}}}" * 2} for number in range(40)}
    found = document({"/x/jobs": {"post": described()}}, servers=[{"url": "/{v0}", "variables": variables}])

    assert operations(found, API) == []


# ---- servers
@pytest.mark.parametrize(
    ("server", "api_url", "expected"),
    [
        ("http://iot.example/v2", API, "/v2"),
        ("https://IOT.EXAMPLE:443", API, ""),
        ("//iot.example/", API, ""),
        ("/v2/", API, "/v2"),
        ("https://iot.example/base/v2", f"{API}/base", "/v2"),
        ("http://iot.example/based", f"{API}/base", "https://iot.example/based"),
        ("https://iot.example:8443/v2", API, "https://iot.example:8443/v2"),
        ("https://iot.example.evil/v2", API, "https://iot.example.evil/v2"),
    ],
)
def test_a_server_on_our_host_is_left_out_of_the_path(server: str, api_url: str, expected: str) -> None:
    paths = {"/fota/tasks": {"post": described(thing("id"), thing("name"))}}
    found = route(paths, "CREATE_JOB", api_url, servers=[{"url": server}])
    assert found == f"POST {expected}/fota/tasks"


@pytest.mark.parametrize(
    "url",
    [
        *("https://{tenant}.elsewhere.example", "/{tenant}", "https://[bad/", "https://x:y"),
        *("http://elsewhere.example", "http://iot.example:8080"),
    ],
)
def test_nothing_is_recommended_on_a_server_that_cannot_be_named(url: str) -> None:
    paths = {"/fota/tasks": {"post": described(thing("id"), thing("name"))}}
    assert route(paths, "CREATE_JOB", servers=[{"url": url}]) is None


def test_a_variable_of_the_host_has_one_of_its_values_only() -> None:
    server = {"url": "https://{zone}.example", "variables": {"zone": {"default": "eu", "enum": ["eu", "us"]}}}
    paths = {"/fota/tasks": {"post": described(thing("id"), thing("name"))}}
    assert route(paths, "CREATE_JOB", "https://us.example", servers=[server]) == "POST /fota/tasks"
    assert route(paths, "CREATE_JOB", servers=[server]) == "POST https://eu.example/fota/tasks"


# ---- which operation
def test_a_cancel_path_goes_before_delete() -> None:
    paths = {"/x/jobs/{id}": {"delete": described()}, "/x/jobs/{id}/terminate": {"post": described()}}
    assert route(paths, "CANCEL_JOB") == "POST /x/jobs/{id}/terminate"


def test_a_delete_carries_a_warning() -> None:
    found = compared(document({"/x/jobs/{id}": {"delete": described()}}))[Operation.CANCEL_JOB]
    assert "It may delete the job and its record instead of stopping it" in found.text
    assert found.settings == {"MESHBOT_MESHTECH__ROUTES__CANCEL_JOB": "DELETE /x/jobs/{id}"}


@pytest.mark.parametrize(
    ("path", "method", "operation"),
    [
        ("/tenants/{tenantId}/device", "get", "GET_DEVICE"),
        ("/{id}/devices", "get", "GET_DEVICE"),
        ("/{tenant}/jobs", "get", "LIST_JOBS"),
        ("/v{version}/jobs/{id}", "get", "GET_JOB"),
        ("/jobs/by/{status}", "get", "GET_JOB"),
        ("/firmwares/{id}/device", "get", "GET_DEVICE"),
        ("/subscriptions/{id}/cancel", "post", "CANCEL_JOB"),
        ("/labels/{label}/devices", "post", "ADD_LABEL"),
        ("/firmware jobs", "post", "CREATE_JOB"),
        ("/firmware#jobs", "post", "CREATE_JOB"),
        ("/jobs/{id", "get", "GET_JOB"),
    ],
)
def test_no_route_is_recommended_that_the_bot_could_not_fill(path: str, method: str, operation: str) -> None:
    assert route({path: {method: described(thing("id", "name"))}}, operation) is None


# ---- fields
@pytest.mark.parametrize("names", [("modelId", "name"), ("tenantId", "name"), ("description", "name")])
def test_an_id_is_not_taken_from_what_is_the_id_of_something_else(names: tuple[str, ...]) -> None:
    found = compared(document({"/api/v1/jobs": {"post": described(thing(*names), thing("name"))}}))
    assert found[Operation.CREATE_JOB].settings == {}
    assert "id" in found[Operation.CREATE_JOB].text


@pytest.mark.parametrize("name", ["", "model,number", "model=number", "model #"])
def test_no_name_is_recommended_that_no_setting_can_hold(name: str) -> None:
    listed = described(thing("nextToken", items=many(thing("id", name, "version"))))
    assert settings(document({"/api/v1/firmwares": {"get": listed}})) == {}


def test_an_object_is_no_name_for_a_text() -> None:
    listed = described(thing("nextToken", items=many(thing("id", "version", model=thing("key")))))
    found = compared(document({"/api/v1/firmwares": {"get": listed}}))[Operation.LIST_FIRMWARE]
    assert found.text == ("nothing in it looks like modelNumber. Look into the document for modelNumber.")


def test_listings_that_page_by_other_names_have_a_setting_each() -> None:
    page = thing("nextToken", items=many(thing(*JOB)))
    found = settings(
        document(
            {
                "/api/v1/devices": {"get": described(query="MaxResults NextToken cancellationToken")},
                "/api/v1/jobs": {"get": described(page, query="MaxResults pageToken cancellationToken")},
            }
        )
    )
    assert found == {"FIELDS__LIST_JOBS": "id=jobId,NextToken=pageToken"}


@pytest.mark.parametrize("answer", [None, {}, {"type": "object"}, {"$ref": "other.json#/Job"}])
def test_nothing_to_compare_is_not_as_the_bot_asks(answer: Any) -> None:
    found = compared(document({"/api/v1/jobs/{id}": {"get": described(answer)}}))[Operation.GET_JOB]
    assert (found.agrees, found.compared, found.settings) == (True, False, {})
    assert found.text == (
        "GET /api/v1/jobs/{id} is there; the document does not describe its answer, "
        "so that the fields are not compared"
    )
