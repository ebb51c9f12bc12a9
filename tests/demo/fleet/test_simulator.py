"""The simulated portal as a client meets it: log-in, pages, names, labels, jobs, and other shapes of it."""

import base64
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from bot.demo.fleet.simulator import Device, FleetSimulator, TargetStatus
from tests.demo.fleet.portal import MINUTE, START, all_pages, fitting, log_in, logged_in, running_portal


@pytest.fixture
async def portal() -> AsyncIterator[FleetSimulator]:
    async with running_portal() as simulator:
        yield simulator


@pytest.fixture
async def client(portal: FleetSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with logged_in(portal) as http:
        yield http


class TestLogIn:
    async def test_the_right_password_gives_a_jwt_that_ends_after_30_minutes(
        self, portal: FleetSimulator
    ) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = (await log_in(http, portal)).json()
        claims = answer["authToken"].split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        assert (answer["status"], answer["sessionId"]) == ("SUCCESS", None)
        assert datetime.fromtimestamp(ends, UTC) == START + timedelta(minutes=30)

    async def test_a_wrong_password_is_refused_in_json(self, portal: FleetSimulator) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await log_in(http, portal, "guess")
        assert answer.status_code == 401
        assert "message" in answer.json()

    async def test_the_device_host_does_not_log_in(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/api/v1/auth/login", json={})).status_code == 404

    async def test_no_token_no_answer(self, portal: FleetSimulator) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{portal.api_url}/api/v1/devices")).status_code == 401

    async def test_a_token_is_refused_once_its_time_is_over(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.clock.advance(29 * MINUTE)
        assert (await client.get("/api/v1/devices")).status_code == 200
        portal.clock.advance(MINUTE)
        assert (await client.get("/api/v1/devices")).status_code == 401

    async def test_a_revoked_token_is_refused_and_the_next_one_works(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.revoke_tokens()
        assert (await client.get("/api/v1/devices")).status_code == 401
        client.headers["Authorization"] = f"Bearer {(await log_in(client, portal)).json()['authToken']}"
        assert (await client.get("/api/v1/devices")).status_code == 200


class TestPages:
    async def test_the_pages_together_are_the_fleet(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        assert sorted(item["id"] for item in await all_pages(client, "/api/v1/devices")) == sorted(
            portal.devices
        )

    async def test_a_token_needs_percent_encoding(self, client: httpx.AsyncClient) -> None:
        token = (await client.get("/api/v1/devices?MaxResults=5")).json()["nextToken"]
        assert {"+", "/", "="} <= set(token)
        bare = await client.get(f"/api/v1/devices?MaxResults=5&NextToken={token}")
        encoded = await client.get(f"/api/v1/devices?MaxResults=5&NextToken={quote(token, safe='')}")
        assert (bare.status_code, encoded.status_code) == (400, 200)

    async def test_a_token_belongs_to_its_list(self, client: httpx.AsyncClient) -> None:
        token = (await client.get("/api/v1/devices?MaxResults=5")).json()["nextToken"]
        assert (await client.get("/api/v1/jobs", params={"NextToken": token})).status_code == 400

    async def test_a_gateway_removed_between_two_pages_makes_the_listing_skip_one(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        order = sorted(portal.devices)
        first = (await client.get("/api/v1/devices?MaxResults=5")).json()
        portal.remove_device(order[0])
        query = {"MaxResults": "5", "NextToken": first["nextToken"]}
        second = (await client.get("/api/v1/devices", params=query)).json()
        seen = [item["id"] for item in first["items"] + second["items"]]
        assert seen == order[:5] + order[6:11]

    async def test_a_gateway_added_between_two_pages_makes_the_listing_repeat_one(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        first = (await client.get("/api/v1/devices?MaxResults=5")).json()
        portal.add_device(Device("bmac-000000000000"))
        query = {"MaxResults": "5", "NextToken": first["nextToken"]}
        second = (await client.get("/api/v1/devices", params=query)).json()
        assert second["items"][0]["id"] == first["items"][4]["id"]

    async def test_too_large_a_page_is_shortened(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.max_page_size = 10
        assert len((await client.get("/api/v1/devices?MaxResults=500")).json()["items"]) == 10

    async def test_too_large_a_page_is_refused_if_the_portal_is_strict(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.max_page_size, portal.refuses_large_pages = 10, True
        assert (await client.get("/api/v1/devices?MaxResults=11")).status_code == 400

    @pytest.mark.parametrize("size", ["0", "-1", "many", "²"])
    async def test_a_page_size_must_be_a_number(self, client: httpx.AsyncClient, size: str) -> None:
        assert (await client.get("/api/v1/devices", params={"MaxResults": size})).status_code == 400


class TestDevices:
    async def test_a_device_has_exactly_the_documented_fields(self, client: httpx.AsyncClient) -> None:
        device = (await client.get("/api/v1/devices?MaxResults=1")).json()["items"][0]
        assert set(device) == {
            *("id", "friendlyName", "modelNumber", "labels", "bootMode", "connectivity"),
            *("firmwareVersion", "hardwareVersion", "imei", "status"),
        }
        assert set(device["connectivity"]) == {"connected", "timestamp"}

    async def test_timestamps_carry_a_varying_number_of_digits(self, client: httpx.AsyncClient) -> None:
        times = [item["connectivity"]["timestamp"] for item in await all_pages(client, "/api/v1/devices")]
        matches = [re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,7}))?Z", time) for time in times]
        assert all(matches)
        assert {0, 7} <= {len(match[1] or "") for match in matches if match}

    async def test_every_change_of_a_device_shows_in_the_next_listing(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        device = portal.devices[min(portal.devices)]
        device.labels = ["oslo"]
        await client.get("/api/v1/devices?MaxResults=1")
        device.firmware = "9.9.9"
        device.labels.append("roof")
        shown = (await client.get("/api/v1/devices?MaxResults=1")).json()["items"][0]
        assert (shown["firmwareVersion"], shown["labels"]) == ("9.9.9", ["oslo", "roof"])

    async def test_one_device_looks_as_in_the_list(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        listed = (await client.get("/api/v1/devices?MaxResults=1")).json()["items"][0]
        assert (await client.get(f"/api/v1/devices/{listed['id']}")).json() == listed
        assert (await client.get("/api/v1/devices/bmac-unknown")).status_code == 404

    async def test_a_rename_sticks(self, portal: FleetSimulator, client: httpx.AsyncClient) -> None:
        device_id = min(portal.devices)
        answer = await client.put(f"/api/v1/devices/{device_id}/friendly-name", json={"name": "Ґанок *1*"})
        assert answer.status_code == 200
        assert portal.devices[device_id].friendly_name == "Ґанок *1*"

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"name": 5}', b'{"name": " "}'])
    async def test_a_rename_without_a_name_is_refused(
        self, portal: FleetSimulator, client: httpx.AsyncClient, body: bytes
    ) -> None:
        answer = await client.put(f"/api/v1/devices/{min(portal.devices)}/friendly-name", content=body)
        assert answer.status_code == 400
        assert "message" in answer.json()


class TestLabels:
    async def test_a_label_is_created_once(self, client: httpx.AsyncClient) -> None:
        statuses = [
            (await client.post("/api/v1/labels", json={"label": "attic"})).status_code for _ in range(2)
        ]
        assert statuses == [200, 409]
        assert "attic" in (await client.get("/api/v1/labels")).json()["items"]

    async def test_only_a_created_label_can_be_put_on_a_device(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        path = f"/api/v1/devices/{min(portal.devices)}/labels"
        assert (await client.post(path, json={"label": "a/b ø"})).status_code == 404
        await client.post("/api/v1/labels", json={"label": "a/b ø"})
        assert (await client.post(path, json={"label": "a/b ø"})).status_code == 200
        assert "a/b ø" in (portal.devices[min(portal.devices)].labels or [])

    async def test_a_label_with_a_slash_comes_off(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        device = portal.devices[min(portal.devices)]
        device.labels = ["a/b ø", "oslo"]
        path = f"/api/v1/devices/{device.id}/labels/{quote('a/b ø', safe='')}"
        statuses = [(await client.delete(path)).status_code for _ in range(2)]
        assert (statuses, device.labels) == ([200, 404], ["oslo"])

    async def test_labels_come_in_three_shapes(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.labels = {"oslo"}
        shapes = []
        for shape in ("items", "objects", "array"):
            portal.labels_answer = shape
            shapes.append((await client.get("/api/v1/labels")).json())
        assert shapes == [{"items": ["oslo"]}, {"items": [{"label": "oslo"}]}, ["oslo"]]


class TestJobs:
    async def test_a_job_is_created_listed_and_shown(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        body = fitting(portal, 2)
        job_id = (await client.post("/api/v1/jobs", json=body)).json()["id"]
        shown = (await client.get(f"/api/v1/jobs/{job_id}")).json()
        assert shown.pop("devices")[0].keys() == {"deviceId", "status", "statusDetails", "updatedAt"}
        assert [shown] == (await client.get("/api/v1/jobs")).json()["items"]
        assert (shown["name"], shown["status"], shown["completedAt"]) == ("R-1 w1", "SCHEDULED", None)

    async def test_jobs_are_listed_newest_first(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        made = [(await client.post("/api/v1/jobs", json=fitting(portal, 1))).json()["id"] for _ in range(3)]
        assert [job["id"] for job in await all_pages(client, "/api/v1/jobs", size=2)] == made[::-1]

    @pytest.mark.parametrize(
        "change",
        [
            {"firmwareId": "fw-unknown"},
            {"deviceIds": []},
            {"deviceIds": ["bmac-unknown"]},
            {"deviceIds": "bmac-unknown"},
            {"name": None},
        ],
    )
    async def test_a_job_that_makes_no_sense_is_refused(
        self, portal: FleetSimulator, client: httpx.AsyncClient, change: dict[str, Any]
    ) -> None:
        answer = await client.post("/api/v1/jobs", json=fitting(portal, 1) | change)
        assert (answer.status_code, list(answer.json())) == (400, ["message"])
        assert not portal.jobs

    async def test_a_firmware_of_another_model_is_refused(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        body = fitting(portal, 1) | {"firmwareId": portal.firmware("2020", "3.5.0").id}
        assert "does not fit" in (await client.post("/api/v1/jobs", json=body)).json()["message"]

    async def test_a_canceled_job_leaves_what_has_started(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        body = fitting(portal, 2)
        portal.disconnect(body["deviceIds"][1:])
        job_id = (await client.post("/api/v1/jobs", json=body)).json()["id"]
        portal.clock.advance(MINUTE)
        assert (await client.put(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
        statuses = [target.status for target in portal.jobs[job_id].devices.values()]
        assert statuses == [TargetStatus.IN_PROGRESS, TargetStatus.CANCELED]

    async def test_a_completed_job_cannot_be_canceled(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        job_id = (await client.post("/api/v1/jobs", json=fitting(portal, 1))).json()["id"]
        portal.clock.advance(25 * MINUTE)
        assert (await client.put(f"/api/v1/jobs/{job_id}/cancel")).status_code == 409

    async def test_the_firmware_of_every_model_is_listed(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        listed = await all_pages(client, "/api/v1/firmwares")
        assert {item["modelNumber"] for item in listed if item["version"] == "3.5.0"} == {
            "2011",
            "2012",
            "2020",
        }
        assert len(listed) == len(portal.firmwares)


class TestOtherShapes:
    async def test_an_operation_moves_and_its_names_change(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.routes["CREATE_JOB"] = "PUT /v2/orders"
        portal.fields["CREATE_JOB"] = {"deviceIds": "things", "firmwareId": "fw", "id": "orderId"}
        body = fitting(portal, 1)
        order = {"name": "n", "fw": body["firmwareId"], "things": body["deviceIds"]}
        answer = await client.put("/v2/orders", json=order)
        assert answer.json()["orderId"] in portal.jobs
        assert (await client.post("/api/v1/jobs", json=body)).status_code == 404

    async def test_a_listing_with_other_names(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.fields["LIST_DEVICES"] = {"items": "rows", "MaxResults": "limit", "friendlyName": "title"}
        page = (await client.get("/api/v1/devices?limit=3")).json()
        assert len(page["rows"]) == 3
        assert "title" in page["rows"][0]

    async def test_a_label_may_be_named_in_the_path(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.routes["ADD_LABEL"] = "PUT /v2/things/{id}/tags/{label}"
        device = portal.devices[min(portal.devices)]
        device.labels = None
        assert (await client.put(f"/v2/things/{device.id}/tags/oslo")).status_code == 200
        assert device.labels == ["oslo"]

    async def test_details_may_be_an_object(self, portal: FleetSimulator, client: httpx.AsyncClient) -> None:
        portal.details_are_objects = True
        job_id = (await client.post("/api/v1/jobs", json=fitting(portal, 1))).json()["id"]
        portal.clock.advance(MINUTE)
        (device,) = (await client.get(f"/api/v1/jobs/{job_id}")).json()["devices"]
        assert device["statusDetails"] == {"detailsMap": {"reason": "downloading"}}

    async def test_a_misspelt_operation_is_told(self, portal: FleetSimulator) -> None:
        portal.routes["CREATE_JOBS"] = "PUT /v2/orders"
        with pytest.raises(ValueError, match="CREATE_JOBS"):
            portal.openapi()

    async def test_the_document_describes_the_portal_as_it_is(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.routes["CREATE_JOB"] = "PUT /v2/orders"
        portal.fields["CREATE_JOB"] = {"deviceIds": "things"}
        document = (await client.get("/swagger/v1/swagger.json", headers={"Authorization": ""})).json()
        schema = document["paths"]["/v2/orders"]["put"]["requestBody"]["content"]["application/json"][
            "schema"
        ]
        name = schema["$ref"].removeprefix("#/components/schemas/")
        assert set(document["components"]["schemas"][name]["properties"]) == {"name", "firmwareId", "things"}
        assert document["paths"]["/api/v1/auth/login"]["post"]["servers"] == [{"url": portal.auth_url}]

    async def test_every_documented_path_is_served(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        for path, methods in portal.openapi()["paths"].items():
            for method, described in methods.items():
                host = described.get("servers", [{"url": portal.api_url}])[0]["url"]
                answer = await client.request(
                    method, host + path.replace("{id}", "x").replace("{label}", "y")
                )
                assert "no such resource" not in answer.text, (method, path)


class TestRecords:
    async def test_requests_are_kept_as_they_came(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        await client.get("/api/v1/devices", params={"NextToken": "a+/="})
        kept = portal.requests[-1]
        assert (kept.method, kept.path, kept.host) == ("GET", "/api/v1/devices?NextToken=a%2B%2F%3D", "api")
        assert parse_qs(urlsplit(kept.path).query) == {"NextToken": ["a+/="]}
        assert kept.headers["authorization"] == client.headers["Authorization"]
        assert (kept.operation, kept.at) == ("LIST_DEVICES", START)
        assert (portal.requests[0].host, json.loads(portal.requests[0].body)["username"]) == ("auth", "demo")

    async def test_only_so_many_requests_are_kept(
        self, portal: FleetSimulator, client: httpx.AsyncClient
    ) -> None:
        portal.keep_requests(2)
        for _ in range(3):
            await client.get("/api/v1/jobs")
        assert [kept.operation for kept in portal.requests] == ["LIST_JOBS", "LIST_JOBS"]
