"""An operator who is limited to a query changes its gateways and no others, however it is asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.access import Action, Actor, Role
from bot.domain.errors import NotAllowed
from bot.domain.fleet.renames_and_tags import Write
from bot.domain.gateways import KnownGateway
from bot.domain.query import parse
from bot.services.context import Context
from bot.services.fleet.renames_and_tags import FleetWrites
from bot.services.fleet.renames_and_tags_runner import WriteRunner
from tests.slack.fleet.room import Room, device, opened
from tests.worlds.builders import limited

OSLO = limited(Actor("U0OSLO0001", "Olav", Role.OPERATOR), "tag:oslo")


def writes(room: Room) -> FleetWrites:
    return FleetWrites(Context(room.database, room.now))


async def run(room: Room, write: Write) -> None:
    await WriteRunner(Context(room.database, room.now), room.client, owner="room").run(write.id)


async def the(room: Room, name: str) -> KnownGateway:
    return await room.fleet.find(name)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened(tmp_path, device(1), device(2), device(3, labels=["bergen"])) as made:
        yield made


async def test_a_gateway_within_is_renamed_and_one_outside_is_not(room: Room) -> None:
    await writes(room).propose_rename(OSLO, None, await the(room, "MT0001"), "Roof")
    with pytest.raises(NotAllowed, match="among the gateways of “tag:oslo”, and this touches others: MT0003"):
        await writes(room).propose_rename(OSLO, None, await the(room, "MT0003"), "Cellar")


async def test_a_query_that_reaches_outside_changes_nothing_at_all(room: Room) -> None:
    with pytest.raises(NotAllowed, match="MT0003"):
        await writes(room).propose_tags(OSLO, None, parse("model:2011"), ["new"], [])
    assert (await writes(room).propose_tags(OSLO, None, parse("tag:oslo"), ["new"], [])).items[1:]


async def test_the_limit_is_checked_again_at_the_click(room: Room) -> None:
    proposed = await writes(room).propose_tags(OSLO, None, parse("tag:oslo"), ["new"], [])
    moved = limited(OSLO, "tag:bergen")
    with pytest.raises(NotAllowed, match="“tag:bergen”"):
        await writes(room).confirm(moved, proposed.id, proposed.version)


async def test_taking_off_the_tag_of_one_s_own_limit_can_be_undone(room: Room) -> None:
    done = await writes(room).propose_tags(OSLO, None, ["bmac-0001"], [], ["oslo"])
    await run(room, done)
    assert (await writes(room).undo(OSLO, done.id)).undoes == done.id


async def test_what_another_did_outside_is_not_undone(room: Room) -> None:
    anybody = Actor("U0OLGA0001", "Olga", Role.OPERATOR)
    done = await writes(room).propose_rename(anybody, None, await the(room, "MT0003"), "Cellar")
    await run(room, done)
    with pytest.raises(NotAllowed, match="undo a change"):
        await writes(room).undo(OSLO, done.id)


async def test_several_limits_add_up(room: Room) -> None:
    both = limited(OSLO, "tag:oslo", "tag:bergen")
    await room.fleet.require_within(both, Action.TAG, ["bmac-0001", "bmac-0003"])
    with pytest.raises(NotAllowed, match="MT0003"):
        await room.fleet.require_within(OSLO, Action.TAG, ["bmac-0001", "bmac-0003"])
