"""The client against the simulated portal: whole conversations, and what the portal can do wrong."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.demo.fleet.contract import PortalOperation
from bot.demo.fleet.faults import FaultKind
from bot.demo.fleet.simulator import FleetSimulator
from bot.domain.firmware import JobId, JobStatus
from bot.domain.gateways import Gateway, GatewayId
from bot.meshtech.client import MeshtechClient
from bot.meshtech.errors import (
    AnswerUnreadable,
    DeviceUnknown,
    ListingBroken,
    LogInRefused,
    OutcomeUnknown,
    VendorRefused,
)
from tests.demo.fleet.portal import running_portal
from tests.meshtech.vendor import Clock, Naps
from tests.worlds.builders import PAGING

PAGE = 7


@pytest.fixture
async def portal() -> AsyncIterator[FleetSimulator]:
    async with running_portal(gateways=40) as portal:
        yield portal


@pytest.fixture
async def client(portal: FleetSimulator) -> AsyncIterator[MeshtechClient]:
    client = connect(portal)
    yield client
    await client.aclose()


def connect(portal: FleetSimulator, page_size: int = PAGE) -> MeshtechClient:
    return MeshtechClient(
        portal.auth_url,
        portal.api_url,
        portal.username,
        portal.password,
        now=portal.clock.now,
        sleep=Naps(Clock()),
        **PAGING | {"page_size": page_size},
    )


async def fleet(client: MeshtechClient) -> dict[GatewayId, Gateway]:
    found = [page.decode(raw) async for page in client.device_pages() for raw in page.raw_items]
    return {gateway.id: gateway for gateway in found if gateway}


def names(found: dict[GatewayId, Gateway]) -> dict[str, str | None]:
    return {gateway.id: gateway.name for gateway in found.values()}


def portal_names(portal: FleetSimulator) -> dict[str, str | None]:
    """The names the portal shows; a blank one is none."""
    shown = {device.id: device.friendly_name or "" for device in portal.devices.values()}
    return {identity: name if name.strip() else None for identity, name in shown.items()}


def asked(portal: FleetSimulator) -> Counter[str | None]:
    return Counter(request.operation for request in portal.requests)


async def a_job(client: MeshtechClient, name: str = "R-1 w1 b1") -> tuple[JobId, str, list[GatewayId]]:
    fitting = [gateway.id for gateway in (await fleet(client)).values() if gateway.model == "2011"][:3]
    firmware = [firmware async for firmware in client.firmwares("2011")][-1]
    return await client.create_job(name, firmware.id, fitting), name, fitting


async def test_the_listing_is_the_portals_whole_fleet(portal: FleetSimulator, client: MeshtechClient) -> None:
    found = await fleet(client)

    assert set(found) == set(portal.devices)
    assert names(found) == portal_names(portal)


async def test_a_name_and_a_tag_are_written_and_read_back(client: MeshtechClient) -> None:
    gateway = next(iter(await fleet(client)))
    tag = "site:a/b + c=d 50% ?#ø"

    await client.rename(gateway, "Tromsø «roof»")
    await client.create_label(tag)
    await client.create_label(tag)
    await client.add_label(gateway, tag)
    await client.add_label(gateway, tag)

    found = await client.device(gateway)
    assert (found.name, found.tags[-1], found.tags.count(tag)) == ("Tromsø «roof»", tag, 1)
    assert tag in await client.labels()
    assert await client.remove_label(gateway, tag) is True
    assert await client.remove_label(gateway, tag) is False
    assert tag not in (await client.device(gateway)).tags


async def test_a_job_is_created_found_by_its_name_watched_and_cancelled(client: MeshtechClient) -> None:
    made, name, gateways = await a_job(client)

    assert [job.id async for job in client.jobs() if job.name == name] == [made]
    whole = await client.job(made)
    assert {part.device_id for part in whole.devices} == set(gateways)
    await client.cancel_job(whole.id)
    assert (await client.job(whole.id)).status is JobStatus.CANCELED


async def test_a_job_whose_answer_was_lost_is_found_by_its_name(
    portal: FleetSimulator, client: MeshtechClient
) -> None:
    portal.faults.add(PortalOperation.CREATE_JOB, FaultKind.LOST_ANSWER)

    with pytest.raises(OutcomeUnknown):
        await a_job(client, "R-9 w1 b1")

    assert [job.name async for job in client.jobs()].count("R-9 w1 b1") == 1
    assert asked(portal)[PortalOperation.CREATE_JOB] == 1


async def test_a_revocation_in_the_middle_of_a_listing_is_not_noticed(
    portal: FleetSimulator, client: MeshtechClient
) -> None:
    seen = 0

    async for page in client.device_pages():
        portal.revoke_tokens()
        seen += len(page.raw_items)

    assert seen == 40


async def test_50_requests_after_a_revocation_cause_one_log_in(
    portal: FleetSimulator, client: MeshtechClient
) -> None:
    gateway = next(iter(await fleet(client)))
    portal.revoke_tokens()

    await asyncio.gather(*(client.device(gateway) for _ in range(50)))

    assert asked(portal)[PortalOperation.LOGIN] == 2


async def test_the_portals_own_tokens_are_replaced_before_they_end(
    portal: FleetSimulator, client: MeshtechClient
) -> None:
    for _ in range(60):
        await client.check()
        portal.clock.advance(timedelta(minutes=1))

    assert asked(portal)[PortalOperation.LOGIN] == 3
    assert asked(portal)[PortalOperation.LIST_DEVICES] == 60  # none was refused and sent again


async def test_a_changed_password_is_said_so(portal: FleetSimulator, client: MeshtechClient) -> None:
    await client.check()
    portal.password = "another"
    portal.revoke_tokens()

    with pytest.raises(LogInRefused, match="MESHBOT_MESHTECH__PASSWORD"):
        await client.check()


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.LOST_ANSWER, FaultKind.RATE_LIMITED])
async def test_a_trouble_that_passes_is_not_noticed(
    portal: FleetSimulator, client: MeshtechClient, kind: FaultKind
) -> None:
    portal.faults.add(PortalOperation.LIST_DEVICES, kind, times=2)

    assert len(await fleet(client)) == 40


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.EXPIRED_TOKEN, ListingBroken),
        (FaultKind.HTML, AnswerUnreadable),
        (FaultKind.TRUNCATED, AnswerUnreadable),
    ],
)
async def test_a_listing_that_cannot_be_whole_is_an_error(
    portal: FleetSimulator, client: MeshtechClient, kind: FaultKind, error: type[Exception]
) -> None:
    portal.faults.add(PortalOperation.LIST_DEVICES, kind)

    with pytest.raises(error):
        await fleet(client)


@pytest.mark.parametrize("kind", [FaultKind.NULLS, FaultKind.UNKNOWN_WORDS])
async def test_nulls_and_unknown_words_lose_no_gateway(
    portal: FleetSimulator, client: MeshtechClient, kind: FaultKind
) -> None:
    portal.faults.add(PortalOperation.LIST_DEVICES, kind, times=None)

    assert set(await fleet(client)) == set(portal.devices)


async def test_a_page_larger_than_the_portal_allows_names_the_setting(portal: FleetSimulator) -> None:
    portal.refuses_large_pages = True
    client = connect(portal, page_size=1000)

    with pytest.raises(VendorRefused, match="MESHBOT_MESHTECH__PAGE_SIZE"):
        await client.check()

    await client.aclose()


async def test_a_released_gateway_is_unknown(client: MeshtechClient) -> None:
    with pytest.raises(DeviceUnknown, match="bmac-000000000000"):
        await client.device(GatewayId("bmac-000000000000"))


async def test_a_portal_of_another_shape_is_met_by_settings(portal: FleetSimulator) -> None:
    portal.routes[PortalOperation.GET_DEVICE] = "GET /v2/things/{id}"
    portal.fields[PortalOperation.LIST_DEVICES] = {"id": "thing", "friendlyName": "name", "items": "things"}
    client = MeshtechClient(
        portal.auth_url,
        portal.api_url,
        portal.username,
        portal.password,
        now=portal.clock.now,
        routes={"GET_DEVICE": "GET /v2/things/{id}"},
        fields={"LIST_DEVICES": {"id": "thing", "friendlyName": "name", "items": "things"}},
        **PAGING | {"page_size": PAGE},
    )

    found = await fleet(client)

    assert names(found) == portal_names(portal)
    assert (await client.device(next(iter(found)))).id == next(iter(found))
    await client.aclose()
