"""Every operation's request to the byte, and how settings change it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.domain.errors import InvalidInput, StartupError
from bot.domain.firmware import FirmwareId, JobId
from bot.domain.gateways import GatewayId
from bot.meshtech.client import MeshtechClient
from bot.meshtech.routes import ROUTES, Operation, RouteTable
from tests.meshtech.vendor import Answer, World, device, page, world

GATEWAY = GatewayId("bmac-ff30c49c590d")
TOKEN = "AQJO0j+pec/X=="

Ask = Callable[[MeshtechClient], Awaitable[object]]


async def listed(pages: Any) -> list[Any]:
    return [item async for item in pages]


def create_job(client: MeshtechClient) -> Awaitable[object]:
    return client.create_job("meshbot R-7 w2 b1", FirmwareId("fw-1"), [GATEWAY, GatewayId("bmac-2")])


JOB_BODY = {"name": "meshbot R-7 w2 b1", "firmwareId": "fw-1", "deviceIds": [GATEWAY, "bmac-2"]}

REQUESTS: list[tuple[Operation, Ask, str, Any, Answer]] = [
    (Operation.RENAME_DEVICE, lambda c: c.rename(GATEWAY, "MT10225"),
     f"PUT /api/v1/devices/{GATEWAY}/friendly-name", {"name": "MT10225"}, Answer()),
    (Operation.CREATE_LABEL, lambda c: c.create_label("test-tag"),
     "POST /api/v1/labels", {"label": "test-tag"}, Answer()),
    (Operation.REMOVE_LABEL, lambda c: c.remove_label(GATEWAY, "test-tag"),
     f"DELETE /api/v1/devices/{GATEWAY}/labels/test-tag", None, Answer()),
    (Operation.LIST_DEVICES, lambda c: listed(c.device_pages()),
     "GET /api/v1/devices?MaxResults=250", None, page()),
    (Operation.GET_DEVICE, lambda c: c.device(GATEWAY),
     f"GET /api/v1/devices/{GATEWAY}", None, Answer(body=device())),
    (Operation.LIST_LABELS, lambda c: c.labels(), "GET /api/v1/labels", None, Answer(body={"items": []})),
    (Operation.ADD_LABEL, lambda c: c.add_label(GATEWAY, "test-tag"),
     f"POST /api/v1/devices/{GATEWAY}/labels", {"label": "test-tag"}, Answer()),
    (Operation.LIST_FIRMWARE, lambda c: listed(c.firmwares()),
     "GET /api/v1/firmwares?MaxResults=250", None, page()),
    (Operation.CREATE_JOB, create_job, "POST /api/v1/jobs", JOB_BODY, Answer(body={"id": "j-1"})),
    (Operation.LIST_JOBS, lambda c: listed(c.jobs()), "GET /api/v1/jobs?MaxResults=250", None, page()),
    (Operation.GET_JOB, lambda c: c.job(JobId("j-1")),
     "GET /api/v1/jobs/j-1", None, Answer(body={"id": "j-1"})),
    (Operation.CANCEL_JOB, lambda c: c.cancel_job(JobId("j-1")),
     "PUT /api/v1/jobs/j-1/cancel", None, Answer()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "request_line", "body", "answer"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
async def test_each_operation_is_asked_for_exactly_so(
    meshtech: World, ask: Ask, request_line: str, body: Any, answer: Answer
) -> None:
    meshtech.api.always = answer

    await ask(meshtech.client)

    (seen,) = meshtech.api.seen
    assert f"{seen.method} {seen.target}" == request_line
    assert seen.headers["Host"] == meshtech.api.url.removeprefix("http://")
    assert seen.headers["Authorization"] == f"Bearer {meshtech.vendor.tokens[0]}"
    assert seen.headers["Accept"] == "application/json"
    assert seen.headers.get("Content-Type") == (None if body is None else "application/json")
    assert (seen.json if seen.body else None) == body


def test_every_operation_is_asked_for_in_a_test() -> None:
    assert {row[0] for row in REQUESTS} == set(Operation)


async def test_a_put_without_a_body_says_that_it_has_none(meshtech: World) -> None:
    await meshtech.client.cancel_job(JobId("j-1"))

    assert meshtech.api.seen[0].headers["Content-Length"] == "0"


async def test_the_next_page_is_the_same_request_with_the_encoded_token(meshtech: World) -> None:
    meshtech.api.then(page(token=TOKEN), page())

    await listed(meshtech.client.device_pages())

    assert meshtech.api.targets[1] == "GET /api/v1/devices?MaxResults=250&NextToken=AQJO0j%2Bpec%2FX%3D%3D"


async def test_page_size_and_token_parameter_are_settings() -> None:
    async with world(page_size=2, next_token_parameter="nextToken") as meshtech:
        meshtech.api.then(page(token="x"), page())

        await listed(meshtech.client.device_pages())

        assert meshtech.api.targets[1] == "GET /api/v1/devices?MaxResults=2&nextToken=x"


@pytest.mark.parametrize(
    ("label", "encoded"),
    [
        ("a/b", "a%2Fb"), ("a b+c=d", "a%20b%2Bc%3Dd"), ("50%", "50%25"), ("%2F", "%252F"),
        ("?x#y", "%3Fx%23y"), ("Tromsø", "Troms%C3%B8"),
        ("a;b:c@d", "a%3Bb%3Ac%40d"), ("{id}", "%7Bid%7D"), ("...", "..."),
    ],
)  # fmt: skip
async def test_ids_and_tags_are_percent_encoded_once(meshtech: World, label: str, encoded: str) -> None:
    await meshtech.client.remove_label(GatewayId(label), label)

    assert meshtech.api.targets == [f"DELETE /api/v1/devices/{encoded}/labels/{encoded}"]


@pytest.mark.parametrize("label", ["", ".", "..", "\ud800"])
async def test_a_tag_that_would_change_the_path_is_never_sent(meshtech: World, label: str) -> None:
    with pytest.raises(InvalidInput):
        await meshtech.client.remove_label(GATEWAY, label)

    assert meshtech.api.seen == []


OVERRIDES: list[tuple[Operation, Ask, str, str, Any, Answer]] = [
    (Operation.GET_DEVICE, lambda c: c.device(GATEWAY),
     "GET /v2/things/{id}?full=1", f"GET /v2/things/{GATEWAY}?full=1", None, Answer(body=device())),
    (Operation.LIST_LABELS, lambda c: c.labels(),
     "POST /v2/tags/search", "POST /v2/tags/search", None, page()),
    (Operation.ADD_LABEL, lambda c: c.add_label(GATEWAY, "a/b"),
     "PUT /v2/things/{id}/tags/{label}", f"PUT /v2/things/{GATEWAY}/tags/a%2Fb", None, Answer()),
    (Operation.ADD_LABEL, lambda c: c.add_label(GATEWAY, "a/b"),
     "patch /v2/things/{id}", f"PATCH /v2/things/{GATEWAY}", {"label": "a/b"}, Answer()),
    (Operation.LIST_FIRMWARE, lambda c: listed(c.firmwares()),
     "GET /v2/firmware?kind=gw", "GET /v2/firmware?kind=gw&MaxResults=250", None, page()),
    (Operation.CREATE_JOB, create_job,
     "PUT /v2/updates", "PUT /v2/updates", JOB_BODY, Answer(body={"id": "j"})),
    (Operation.LIST_JOBS, lambda c: listed(c.jobs()),
     "GET /v2/updates", "GET /v2/updates?MaxResults=250", None, page()),
    (Operation.GET_JOB, lambda c: c.job(JobId("j")),
     "GET /v2/updates/{id}", "GET /v2/updates/j", None, Answer(body={"id": "j"})),
    (Operation.CANCEL_JOB, lambda c: c.cancel_job(JobId("j")),
     "DELETE /v2/updates/{id}", "DELETE /v2/updates/j", None, Answer()),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "ask", "setting", "request_line", "body", "answer"), OVERRIDES)
async def test_each_assumed_operation_goes_where_the_setting_says(
    operation: Operation, ask: Ask, setting: str, request_line: str, body: Any, answer: Answer
) -> None:
    async with world(routes={operation.lower(): setting}) as meshtech:
        meshtech.api.always = answer

        await ask(meshtech.client)

        assert meshtech.api.targets == [request_line]
        assert (meshtech.api.seen[0].json if meshtech.api.seen[0].body else None) == body


def test_every_assumed_operation_is_overridden_in_a_test() -> None:
    assert {row[0] for row in OVERRIDES} == {name for name, route in ROUTES.items() if not route.documented}


async def test_a_route_may_lead_to_another_host() -> None:
    async with world(routes=lambda v: {"GET_JOB": f"GET {v.log_in.url}/jobs/{{id}}"}) as meshtech:
        meshtech.log_in.then(meshtech.vendor.new_token, Answer(body={"id": "j"}))

        await meshtech.client.job(JobId("j"))

        assert meshtech.log_in.targets[1] == "GET /jobs/j"
        assert meshtech.api.seen == []


@pytest.mark.parametrize(
    ("routes", "sentence"),
    [
        ({"GET_JOBS": "GET /x"}, "MESHBOT_MESHTECH__ROUTES__GET_JOBS is not a setting"),
        ({"LIST_DEVICES": "GET /x"}, "MESHBOT_MESHTECH__ROUTES__LIST_DEVICES is not a setting"),
        ({"GET_JOB": "/jobs/{id}"}, "ROUTES__GET_JOB does not begin with a method"),
        ({"GET_JOB": "FETCH /jobs/{id}"}, "ROUTES__GET_JOB does not begin with a method"),
        ({"GET_JOB": "GET jobs/{id}"}, "ROUTES__GET_JOB, after its method, is not a web address"),
        ({"GET_JOB": "GET //host/{id}"}, "ROUTES__GET_JOB, after its method, is not a web address"),
        ({"GET_JOB": "GET https://{id}.example/jobs"}, "ROUTES__GET_JOB has a {…} in its host"),
        ({"GET_JOB": "GET"}, "ROUTES__GET_JOB, after its method, is not a web address"),
        ({"GET_JOB": "GET /jobs"}, "ROUTES__GET_JOB lacks {id}"),
        ({"GET_JOB": "GET /jobs/{id}/{name}"}, "ROUTES__GET_JOB has {name}"),
        ({"GET_JOB": "GET /jobs/{id}/{label}"}, "ROUTES__GET_JOB has {label}"),
        ({"GET_JOB": "GET /jobs/{id}/{id}"}, "too many"),
        ({"GET_JOB": "GET /jobs/{id}/}"}, "too many"),
        ({"GET_JOB": "GET /jobs/{id} now"}, "a space or a #"),
    ],
)
def test_a_wrong_route_names_its_setting(routes: dict[str, str], sentence: str) -> None:
    with pytest.raises(StartupError) as caught:
        RouteTable("https://host", routes)

    assert sentence in str(caught.value)


FIELDS = {
    "CREATE_JOB": {"deviceIds": "things", "firmwareId": "fw", "id": "jobArn"},
    "GET_JOB": {"id": "jobArn", "devices": "targets", "deviceId": "thing", "status": "state"},
    "LIST_JOBS": {"items": "jobs", "nextToken": "cursor", "NextToken": "from", "MaxResults": "limit"},
    "LIST_DEVICES": {"id": "thingName", "friendlyName": "name", "connected": "isOnline", "labels": "tags"},
    "RENAME_DEVICE": {"name": "newName"},
    "ADD_LABEL": {"label": "tag"},
    "LIST_LABELS": {"items": "tags", "label": "text"},
    "LIST_FIRMWARE": {"id": "version", "version": "id"},
}


async def test_names_in_a_request_are_the_sites_own() -> None:
    async with world(fields=FIELDS) as meshtech:
        meshtech.api.then(Answer(), Answer(), Answer(body={"jobArn": "j-1"}))
        await meshtech.client.rename(GATEWAY, "x")
        await meshtech.client.add_label(GATEWAY, "y")
        job = await create_job(meshtech.client)

        assert [seen.json for seen in meshtech.api.seen] == [
            {"newName": "x"},
            {"tag": "y"},
            {"name": JOB_BODY["name"], "fw": "fw-1", "things": JOB_BODY["deviceIds"]},
        ]
        assert job == "j-1"


async def test_names_in_an_answer_and_in_what_it_holds_are_translated() -> None:
    async with world(fields=FIELDS) as meshtech:
        targets = [{"thing": "bmac-1", "state": "FAILED"}]
        meshtech.api.always = Answer(body={"jobArn": "j", "state": "COMPLETED", "targets": targets})

        job = await meshtech.client.job(JobId("j"))

        assert (job.id, job.word) == ("j", "COMPLETED")
        assert [(target.device_id, target.word) for target in job.devices] == [("bmac-1", "FAILED")]


async def test_names_of_a_list_and_of_its_paging_are_translated() -> None:
    async with world(fields=FIELDS) as meshtech:
        meshtech.api.then(
            Answer(body={"jobs": [{"id": "a"}], "cursor": "+"}), Answer(body={"jobs": [{"id": "b"}]})
        )

        assert [job.id for job in await listed(meshtech.client.jobs())] == ["a", "b"]
        assert meshtech.api.targets[1] == "GET /api/v1/jobs?limit=250&from=%2B"


async def test_a_listing_of_devices_with_other_names_is_read_all_the_same() -> None:
    async with world(fields=FIELDS) as meshtech:
        item = {"thingName": "bmac-1", "name": "N", "tags": ["t"], "connectivity": {"isOnline": False}}
        meshtech.api.always = page(item, {"id": "not ours"})

        (found,) = await listed(meshtech.client.device_pages())

        gateway, other = (found.decode(raw) for raw in found.raw_items)
        assert (gateway.id, gateway.name, gateway.tags, gateway.connectivity) == (
            "bmac-1",
            "N",
            ("t",),
            "offline",
        )
        assert other.id == "not ours"


async def test_labels_and_swapped_names_are_translated() -> None:
    async with world(fields=FIELDS) as meshtech:
        meshtech.api.then(Answer(body={"tags": [{"text": "a"}, "b"]}), page({"id": "3.5.0", "version": "fw"}))

        assert await meshtech.client.labels() == ("a", "b")
        (firmware,) = await listed(meshtech.client.firmwares())
        assert (firmware.id, firmware.version) == ("fw", "3.5.0")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"CREATE_JOB": {"deviceId": "things"}}, "FIELDS__CREATE_JOB has deviceId=things"),
        ({"CREATE_JOB": {"deviceIds": " "}}, "ours being one of deviceIds, firmwareId, id, name"),
        ({"CANCEL_JOB": {"id": "x"}}, "no fields"),
        ({"LOGIN": {"id": "x"}}, "FIELDS__LOGIN is not a setting"),
    ],
)
def test_a_wrong_field_names_its_setting(fields: dict[str, dict[str, str]], sentence: str) -> None:
    with pytest.raises(StartupError) as caught:
        RouteTable("https://host", None, fields)

    assert sentence in str(caught.value)


def test_the_slash_at_the_end_of_a_base_address_does_not_matter() -> None:
    assert RouteTable("https://host/base/").url(Operation.LIST_JOBS) == "https://host/base/api/v1/jobs"
