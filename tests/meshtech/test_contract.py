"""Our table against a portal's document: what differs is told; settings are offered where they help."""

import copy
from typing import Any

import pytest

from bot.demo.fleet.contract import DEFAULT_ROUTES, openapi
from bot.meshtech.contract import Difference, compare
from bot.meshtech.openapi import words_of
from bot.meshtech.routes import NEXT_TOKEN, Operation, RouteTable

API = "https://iot.example"


def compared(document: Any, **overrides: Any) -> dict[Operation, Difference]:
    table = RouteTable(API, overrides.get("routes"), overrides.get("fields"))
    return {one.operation: one for one in compare(document, table, api_url=API, next_token=NEXT_TOKEN)}


def portal(routes: dict[str, str] | None = None, **fields: dict[str, str]) -> Any:
    return openapi({**DEFAULT_ROUTES, **(routes or {})}, fields, "https://ops.example", API)


def plain(document: Any) -> Any:
    """As ASP.NET writes it: no operation has a name."""
    document = copy.deepcopy(document)
    for item in document["paths"].values():
        for described in item.values():
            del described["operationId"]
    return document


def test_the_assumed_portal_has_no_difference() -> None:
    assert [one for one in compared(portal()).values() if not one.agrees] == []


@pytest.mark.parametrize(
    ("operation", "route"),
    [
        ("CREATE_JOB", "POST /api/v2/firmware-updates"),
        ("CREATE_JOB", "PUT /fota/tasks"),
        ("GET_JOB", "GET /api/v2/deployments/{jobId}"),
        ("GET_DEVICE", "GET /api/v2/gateway/{serial}"),
        ("LIST_LABELS", "GET /api/v2/tags"),
        ("LIST_FIRMWARE", "GET /api/v1/firmware-images"),
        ("CANCEL_JOB", "POST /api/v1/jobs/{id}/abort"),
        ("CANCEL_JOB", "DELETE /api/v1/jobs/{id}"),
    ],
)
def test_an_operation_elsewhere_is_found_without_its_name(operation: str, route: str) -> None:
    found = compared(plain(portal({operation: route})))[Operation(operation)]
    ours = route.replace("{jobId}", "{id}").replace("{serial}", "{id}")
    assert found.settings == {f"MESHBOT_MESHTECH__ROUTES__{operation}": ours}


def test_a_tag_s_place_in_the_path_is_named_as_ours() -> None:
    found = compared(portal({"ADD_LABEL": "PUT /api/v1/devices/{deviceId}/labels/{name}"}))
    route = found[Operation.ADD_LABEL].settings["MESHBOT_MESHTECH__ROUTES__ADD_LABEL"]
    assert route == "PUT /api/v1/devices/{id}/labels/{label}"


def test_names_that_differ_are_paired_by_likeness_and_by_kind() -> None:
    renamed = {"deviceIds": "things", "firmwareId": "fw", "id": "jobId"}
    found = compared(portal(CREATE_JOB=renamed))[Operation.CREATE_JOB]
    pairs = found.settings["MESHBOT_MESHTECH__FIELDS__CREATE_JOB"]
    assert dict(pair.split("=") for pair in pairs.split(",")) == renamed


def test_settings_that_fit_already_are_not_offered_again() -> None:
    document = portal({"CREATE_JOB": "POST /x/jobs"}, CREATE_JOB={"deviceIds": "things"})
    found = compared(
        document, routes={"CREATE_JOB": "POST /x/jobs"}, fields={"CREATE_JOB": {"deviceIds": "things"}}
    )
    assert found[Operation.CREATE_JOB].agrees


def test_an_operation_on_another_host_is_named_with_it() -> None:
    document = portal()
    document["paths"]["/api/v1/jobs"]["post"]["servers"] = [{"url": "https://fota.example"}]
    route = compared(document)[Operation.CREATE_JOB].settings["MESHBOT_MESHTECH__ROUTES__CREATE_JOB"]
    assert route == "POST https://fota.example/api/v1/jobs"


def test_another_parameter_for_the_next_page_names_its_own_setting() -> None:
    names = {"NextToken": "continuationToken"}
    document = portal(LIST_DEVICES=names, LIST_FIRMWARE=names, LIST_JOBS=names)
    found = compared(document)
    assert found[Operation.LIST_DEVICES].settings == {
        "MESHBOT_MESHTECH__NEXT_TOKEN_PARAMETER": "continuationToken"
    }


def test_what_meshtech_documents_is_not_overridden_but_asked_about() -> None:
    document = portal({"RENAME_DEVICE": "PUT /api/v2/devices/{id}/name"})
    found = compared(document)[Operation.RENAME_DEVICE]
    assert not found.agrees
    assert found.settings == {}
    assert "documented by Meshtech and not in this document" in found.text


def test_an_operation_that_the_portal_has_not_is_not_guessed() -> None:
    document = portal()
    del document["paths"]["/api/v1/jobs/{id}/cancel"]
    found = compared(document)[Operation.CANCEL_JOB]
    assert found.settings == {}
    assert "MESHBOT_MESHTECH__ROUTES__CANCEL_JOB=METHOD /path" in found.text


def test_a_field_for_which_there_is_nothing_is_named() -> None:
    document = portal()
    del document["components"]["schemas"]["ListFirmwareAnswer"]["properties"]["items"]["items"]["properties"][
        "version"
    ]
    found = compared(document)[Operation.LIST_FIRMWARE]
    assert not found.agrees
    assert "version" in found.text


def test_a_document_of_swagger_2_is_read_too() -> None:
    document = {
        "swagger": "2.0",
        "basePath": "/base",
        "paths": {
            "/jobs": {
                "post": {
                    "parameters": [{"in": "body", "name": "body", "schema": {"$ref": "#/definitions/Job"}}],
                    "responses": {"201": {"schema": {"type": "string"}}},
                }
            }
        },
        "definitions": {
            "Job": {
                "properties": {
                    "name": {"type": "string"},
                    "firmwareId": {"type": "string"},
                    "gatewayIds": {"type": "array", "items": {"type": "string"}},
                }
            }
        },
    }
    assert compared(document)[Operation.CREATE_JOB].settings == {
        "MESHBOT_MESHTECH__ROUTES__CREATE_JOB": "POST /base/jobs",
        "MESHBOT_MESHTECH__FIELDS__CREATE_JOB": "deviceIds=gatewayIds",
    }


def test_a_schema_that_refers_to_itself_is_cut() -> None:
    document = portal()
    loop = {"$ref": "#/components/schemas/CreateJobAnswer"}
    document["components"]["schemas"]["CreateJobAnswer"]["properties"]["parent"] = loop
    assert compared(document)[Operation.CREATE_JOB].agrees


def test_words_of_a_name_are_small_and_singular() -> None:
    assert words_of("firmwareUpdates/by-deviceIDs") == {"firmware", "update", "by", "device", "id"}
