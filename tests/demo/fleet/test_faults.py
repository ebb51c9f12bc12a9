"""What can go wrong between a client and the simulated portal, each fault over a real socket."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from bot.demo.fleet.simulator import FaultKind, FleetSimulator
from tests.demo.fleet.portal import fitting, log_in, logged_in, running_portal


@pytest.fixture
async def portal() -> AsyncIterator[FleetSimulator]:
    async with running_portal() as simulator:
        yield simulator


@pytest.fixture
async def client(portal: FleetSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with logged_in(portal) as http:
        yield http


async def test_a_status_comes_with_a_body_of_any_kind(
    portal: FleetSimulator, client: httpx.AsyncClient
) -> None:
    portal.faults.add("LIST_DEVICES", 503, body="html", retry_after=7)
    portal.faults.add("LIST_DEVICES", 422, message="No")
    portal.faults.add("LIST_DEVICES", 500, body="empty")
    page, said, nothing = [await client.get("/api/v1/devices") for _ in range(3)]
    assert (page.status_code, page.headers["Retry-After"], page.text[:9]) == (503, "7", "<!DOCTYPE")
    assert (said.status_code, said.json()) == (422, {"message": "No"})
    assert (nothing.status_code, nothing.content) == (500, b"")
    assert (await client.get("/api/v1/devices")).status_code == 200


async def test_a_rate_limit_says_when_to_come_back(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    portal.faults.add("list_jobs", FaultKind.RATE_LIMITED, retry_after=3)
    answer = await client.get("/api/v1/jobs")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")


async def test_a_fault_may_let_some_requests_pass(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    portal.faults.add("LIST_DEVICES", 500, after=2)
    assert [(await client.get("/api/v1/devices")).status_code for _ in range(4)] == [200, 200, 500, 200]


async def test_a_fault_without_a_number_lasts_until_it_is_cleared(
    portal: FleetSimulator, client: httpx.AsyncClient
) -> None:
    fault = portal.faults.add("*", 500, times=None)
    paths = ("/api/v1/devices", "/api/v1/jobs", "/api/v1/labels")
    assert [(await client.get(path)).status_code for path in paths] == [500] * 3
    portal.faults.clear()
    assert (await client.get("/api/v1/jobs")).status_code == 200
    assert fault.hits == 3


async def test_truncated_json_does_not_parse(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    portal.faults.add("LIST_DEVICES", "truncated")
    answer = await client.get("/api/v1/devices")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"line 1|Unterminated"):
        answer.json()


async def test_a_page_for_people_comes_as_200(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    portal.faults.add("LIST_DEVICES", "html")
    answer = await client.get("/api/v1/devices")
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (200, "text/html")


@pytest.mark.parametrize(("kind", "jobs"), [("reset", 0), ("lost_answer", 1)])
async def test_a_cut_connection_may_or_may_not_have_created_the_job(
    portal: FleetSimulator, client: httpx.AsyncClient, kind: str, jobs: int
) -> None:
    portal.faults.add("CREATE_JOB", kind)
    with pytest.raises(httpx.TransportError):
        await client.post("/api/v1/jobs", json=fitting(portal, 1))
    assert len(portal.jobs) == jobs


async def test_a_slow_answer_comes_when_it_is_released(
    portal: FleetSimulator, client: httpx.AsyncClient
) -> None:
    fault = portal.faults.add("LIST_JOBS", "slow")
    asked = asyncio.create_task(client.get("/api/v1/jobs"))
    await asyncio.wait_for(fault.reached.wait(), 5)
    assert not asked.done()
    fault.release()
    assert (await asked).json()["items"] == []


async def test_stopping_lets_go_of_what_hangs(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    fault = portal.faults.add("LIST_JOBS", "hang")
    asked = asyncio.create_task(client.get("/api/v1/jobs"))
    await asyncio.wait_for(fault.reached.wait(), 5)
    await asyncio.wait_for(portal.stop(), 5)
    with pytest.raises(httpx.TransportError):
        await asked


async def test_an_expired_token_spoils_a_later_page_only(
    portal: FleetSimulator, client: httpx.AsyncClient
) -> None:
    portal.faults.add("LIST_DEVICES", "expired_token")
    first = await client.get("/api/v1/devices?MaxResults=5")
    query = {"MaxResults": "5", "NextToken": first.json()["nextToken"]}
    assert (await client.get("/api/v1/devices", params=query)).status_code == 400
    assert (await client.get("/api/v1/devices", params=query)).status_code == 200


async def test_unknown_words_replace_every_status(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/api/v1/jobs", json=fitting(portal, 1))).json()["id"]
    portal.faults.add("GET_JOB", "unknown_words")
    job = (await client.get(f"/api/v1/jobs/{job_id}")).json()
    assert job["status"] == "SCHEDULED_IN_A_NEW_WAY"
    assert job["devices"][0]["status"] == "QUEUED_IN_A_NEW_WAY"


async def test_nulls_leave_only_the_ids(portal: FleetSimulator, client: httpx.AsyncClient) -> None:
    portal.faults.add("LIST_DEVICES", "nulls")
    page = (await client.get("/api/v1/devices?MaxResults=1")).json()
    (device,) = page["items"]
    assert page["nextToken"]
    assert device.pop("id") in portal.devices
    assert device.pop("connectivity") == {"connected": None, "timestamp": None}
    assert set(device.values()) == {None}


async def test_a_portal_that_is_down_answers_nothing_of_use(
    portal: FleetSimulator, client: httpx.AsyncClient
) -> None:
    portal.vendor_down = True
    assert (await client.get("/api/v1/devices")).status_code == 503
    with pytest.raises(httpx.TransportError):
        await log_in(client, portal)
    portal.vendor_down = False
    assert (await client.get("/api/v1/devices")).status_code == 200


def test_a_misspelt_operation_or_kind_is_told() -> None:
    faults = FleetSimulator(gateways=0).faults
    with pytest.raises(ValueError, match="LIST_THINGS"):
        faults.add("LIST_THINGS", 500)
    with pytest.raises(ValueError, match="explode"):
        faults.add("LIST_JOBS", "explode")
