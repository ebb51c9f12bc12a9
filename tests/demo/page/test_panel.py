"""The panel moves the two simulated servers, and says what it did."""

from datetime import timedelta
from typing import Any

import pytest

from bot.demo.fleet.simulator import Behaviour, FleetSimulator, SimulatorClock
from bot.demo.page.panel import NotPossibleError, World
from bot.demo.slack.server import SlackServer


@pytest.fixture
async def world() -> World:
    return World(SlackServer(), FleetSimulator(gateways=100, clock=SimulatorClock(0)))


def offline(world: World) -> int:
    return int(world.state()["offline"])


async def test_a_gateway_goes_dark_for_a_while_and_comes_back(world: World) -> None:
    before = offline(world)
    world.change("gateway", {"minutes": 5})
    assert offline(world) == before + 1
    world.fleet.clock.advance(timedelta(minutes=6))
    assert offline(world) == before


async def test_a_site_goes_dark_until_it_is_mended(world: World) -> None:
    said = world.change("site", {"site": "oslo"})
    assert said.startswith("oslo went offline")
    assert not any(world.fleet.devices[one].connected for one in world.fleet.at_site("oslo"))
    world.change("mend", {})
    assert offline(world) == 0


async def test_a_little_more_than_half_of_what_is_online_goes_dark(world: World) -> None:
    online = sum(bool(one.connected) for one in world.fleet.devices.values())
    world.change("half", {})
    left = sum(bool(one.connected) for one in world.fleet.devices.values())
    assert left * 2 < online <= left * 2 + 2


async def test_one_gateway_flaps(world: World) -> None:
    before, seen = offline(world), []
    world.change("flap", {})
    for _ in range(4):
        seen.append(offline(world) - before)
        world.fleet.clock.advance(timedelta(seconds=20))
    assert seen == [1, 0, 1, 0]


async def test_the_outside_is_cut_off_and_comes_back(world: World) -> None:
    world.change("vendor", {"on": True})
    world.change("slack", {"on": True})
    assert (world.state()["vendor_down"], world.state()["slack_slow"]) == (True, True)
    world.change("mend", {})
    assert (world.state()["vendor_down"], world.state()["slack_slow"]) == (False, False)


@pytest.mark.parametrize("behaviour", list(Behaviour))
async def test_every_kind_of_firmware_can_be_uploaded_as_a_version_of_its_own(
    world: World, behaviour: Behaviour
) -> None:
    world.change("firmware", {"model": "2011", "behaviour": "good"})
    said = world.change("firmware", {"model": "2011", "behaviour": behaviour.value})
    assert said.endswith("/mesh update model:2011 to 3.7.1")
    assert world.fleet.firmware("2011", "3.7.1").behaviour is behaviour


async def test_time_goes_faster_for_the_fleet_and_the_bot_alike(world: World) -> None:
    told: list[float] = []
    world.on_speed = told.append
    world.change("speed", {"factor": 60})
    assert (world.fleet.clock.speed, told) == (60, [60])


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("speed", {"factor": 1e9}),
        ("site", {"site": "atlantis"}),
        ("firmware", {"model": "9999"}),
        ("firmware", {"model": "2011", "behaviour": "evil"}),
        ("no such thing", {}),
    ],
)
async def test_what_makes_no_sense_is_refused(world: World, what: str, options: dict[str, Any]) -> None:
    with pytest.raises(NotPossibleError):
        world.change(what, options)
