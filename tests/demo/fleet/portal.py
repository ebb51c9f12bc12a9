"""A simulated portal and a client that is logged in to it, for the tests of the portal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from bot.demo.fleet.simulator import FleetSimulator, SimulatorClock

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def running_portal(gateways: int = 40) -> AsyncIterator[FleetSimulator]:
    """A portal whose clock only moves by hand."""
    portal = FleetSimulator(gateways=gateways, clock=SimulatorClock(0, START))
    await portal.start()
    try:
        yield portal
    finally:
        await portal.stop()


@asynccontextmanager
async def logged_in(portal: FleetSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=portal.api_url, trust_env=False, timeout=10) as http:
        token = (await log_in(http, portal)).json()["authToken"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


async def log_in(
    http: httpx.AsyncClient, portal: FleetSimulator, password: str = "demo-password"
) -> httpx.Response:
    address = f"{portal.auth_url}/api/v1/auth/login"
    return await http.post(address, json={"username": "demo", "password": password})


async def all_pages(http: httpx.AsyncClient, path: str, size: int = 7) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"MaxResults": size}
    while True:
        answer = await http.get(path, params=query)
        page = answer.raise_for_status().json()
        items += page["items"]
        if page["nextToken"] is None:
            return items
        query["NextToken"] = page["nextToken"]


def fitting(portal: FleetSimulator, count: int, version: str = "3.5.0") -> dict[str, Any]:
    """The body of a job for so many gateways that are online and fit."""
    firmware = portal.firmware("2011", version)
    online = [device.id for device in portal.devices.values() if device.connected and device.model == "2011"]
    return {"name": "R-1 w1", "firmwareId": firmware.id, "deviceIds": online[:count]}
