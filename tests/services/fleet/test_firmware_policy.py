"""What people say of firmware, on both databases: who may, what stands in the way, what is behind."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.domain.access import Actor
from bot.domain.errors import AlreadyDone, InvalidInput, NotAllowed, NotFound, Unconfirmed
from bot.domain.firmware import PolicyId
from bot.domain.fleet.firmware_policy import PolicyReasonMissing
from bot.domain.query import EVERYTHING, parse
from bot.services.context import Context
from bot.services.fleet.firmware_policy import PolicyService
from bot.storage.db.tables import notes
from tests.worlds.builders import OPERATOR, VIEWER, limited
from tests.worlds.fleet import World, world

pytestmark = pytest.mark.on_both
OLAV = limited(OPERATOR, "tag:oslo")


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """Four gateways in Oslo and two in Bergen, of two models, on four versions."""
    async with world(database_url, page_size=10) as made:
        for number, (tag, model, version) in enumerate(
            [
                ("oslo", "2011", "3.3.0"),
                ("oslo", "2011", "3.4.1"),
                ("oslo", "2011", "3.10.0"),
                ("oslo", "2012", "custom"),
                ("bergen", "2011", "v3.3"),
                ("bergen", "2012", "3.3.0"),
            ]
        ):
            made.device(f"g{number}", labels=[tag], model=model, firmware=version)
        await made.taken()
        yield made


def policies(fleet: World, frozen: str = "") -> PolicyService:
    async def freezes() -> Callable[[str], str | None]:
        return lambda version: "it is frozen" if version == frozen else None

    return PolicyService(
        Context(fleet.database, fleet.now),
        understand=fleet.fleet.query_of,
        within=fleet.fleet.require_within,
        frozen=freezes,
        channel="C0ROLLOUTS",
    )


async def say(service: PolicyService, text: str, actor: Actor = OPERATOR) -> str:
    """Whatever it covers."""
    try:
        return (await service.declare(actor, text, "C0OPS"))[0].title
    except Unconfirmed as question:
        return (await service.declare(actor, text, "C0OPS", question.covered))[0].title


async def stands(service: PolicyService, query: str = "") -> list[tuple[str, int, int]]:
    found = await service.states(parse(query) if query else EVERYTHING)
    return [(one.policy.version, one.affected, one.gateways) for one in found]


async def test_the_fleet_stands_to_what_is_wanted_and_to_what_is_bad(fleet: World) -> None:
    service = policies(fleet)
    await say(service, "want 3.5.0 for model:2011")
    await say(service, "bad 3.3.0 because CVE-2026-1")
    assert await stands(service) == [("3.3.0", 3, 3), ("3.5.0", 3, 4)]
    assert await stands(service, "tag:bergen") == [("3.3.0", 2, 2), ("3.5.0", 1, 1)]


async def test_the_doors_lead_to_the_gateways_that_are_counted(fleet: World) -> None:
    service = policies(fleet)
    for text in (
        "want 3.5.0",
        "want 3.4.1 for tag:oslo model:2011",
        "want 3.11.0 for tag:bergen or model:2012",
        "bad 3.3.0 because of a flaw",
        "bad 3.3.0 for tag:bergen because of another",
    ):
        await say(service, text)
    states = await service.states()
    assert sum(one.gateways for one in states if not one.is_bad) == 6
    assert sum(one.gateways for one in states if one.is_bad) == 3
    for one in states:
        if one.affected:
            assert (await fleet.fleet.counts(parse(one.query))).total == one.affected


async def test_what_appeared_lately_is_told_of_as_new(fleet: World) -> None:
    service = policies(fleet)
    await say(service, "want 3.5.0 for model:2011")
    fleet.later(timedelta(days=2))
    fleet.portal.add_device(fleet.portal.device("g1").__class__(id="late", model="2011", firmware="3.4.0"))
    await fleet.taken()
    (state,) = await service.states()
    assert (state.affected, state.new) == (4, 1)


async def test_only_operators_say_it_and_within_their_limits(fleet: World) -> None:
    service = policies(fleet)
    with pytest.raises(NotAllowed, match="you need to be an operator"):
        await say(service, "want 3.5.0", VIEWER)
    with pytest.raises(NotAllowed, match="only among the gateways of “tag:oslo”"):
        await say(service, "want 3.5.0", OLAV)
    await say(service, "want 3.5.0 for model:2011 tag:oslo", OLAV)
    assert [one.policy.query for one in await service.states()] == ["model:2011 tag:oslo"]
    await say(service, "want 3.6.0 for tag:bergen")
    with pytest.raises(NotAllowed):
        await service.end(OLAV, PolicyId(2), "C0OPS")
    await service.end(OLAV, PolicyId(1), "C0OPS")


async def test_much_is_asked_about_first_and_a_yes_counts_once(fleet: World) -> None:
    service = policies(fleet)
    with pytest.raises(Unconfirmed, match="covers 6 of 6"):
        await service.declare(OPERATOR, "want 3.5.0", "C0OPS")
    await service.declare(OPERATOR, "want 3.5.0", "C0OPS", 6, "a-question")
    with pytest.raises(AlreadyDone):
        await service.declare(OPERATOR, "want 3.5.0", "C0OPS", 6, "a-question")
    with pytest.raises(AlreadyDone, match=r"said already: 3\.5\.0 is wanted"):
        await service.declare(OPERATOR, "want 3.5.0", "C0OPS", 6, "another")


async def test_a_bad_version_says_why(fleet: World) -> None:
    with pytest.raises(PolicyReasonMissing, match="Please say why") as missing:
        await say(policies(fleet), "bad 3.3.0 for tag:oslo")
    assert (missing.value.covered, missing.value.fleet) == (4, 6)


async def test_a_frozen_version_is_not_wanted_and_one_that_is_frozen_later_is_held(fleet: World) -> None:
    with pytest.raises(InvalidInput, match=r"3\.5\.0 cannot be wanted: it is frozen"):
        await say(policies(fleet, frozen="3.5.0"), "want 3.5.0")
    await say(policies(fleet), "want 3.5.0")
    (state,) = await policies(fleet, frozen="3.5.0").states()
    assert state.held == "it is frozen"


async def test_a_version_is_not_wanted_and_bad_for_the_same_gateways(fleet: World) -> None:
    service = policies(fleet)
    await say(service, "bad 3.5.0 for tag:oslo because it bricks")
    with pytest.raises(InvalidInput, match="cannot be wanted for the same gateways"):
        await say(service, "want 3.5 for model:2012")
    await say(service, "want 3.5 for tag:bergen")
    with pytest.raises(InvalidInput, match="cannot be bad for the same gateways"):
        await say(service, "bad 3.5.0 for model:2011 because it bricks")
    await service.end(OPERATOR, PolicyId(1), "C0OPS")
    await say(service, "want 3.5.0 for tag:oslo")
    with pytest.raises(InvalidInput, match="cannot be bad"):
        await service.undo(OPERATOR, PolicyId(1), "C0OPS")


async def test_an_end_is_undone_once(fleet: World) -> None:
    service = policies(fleet)
    await say(service, "want 3.5.0")
    await service.end(OPERATOR, PolicyId(1), "C0OPS")
    assert await stands(service) == []
    with pytest.raises(NotFound):
        await service.end(OPERATOR, PolicyId(1), "C0OPS")
    await service.undo(OPERATOR, PolicyId(1), "C0OPS")
    assert await stands(service) == [("3.5.0", 4, 6)]
    with pytest.raises(AlreadyDone):
        await service.undo(OPERATOR, PolicyId(1), "C0OPS")


async def test_each_decision_is_told_once_in_the_channel_of_rollouts(fleet: World) -> None:
    service = policies(fleet)
    await say(service, "want 3.5.0")
    await service.end(OPERATOR, PolicyId(1), "C0OPS")
    async with fleet.database.read() as connection:
        told = (await connection.execute(select(notes.c.channel, notes.c.body).order_by(notes.c.id))).all()
    assert [(channel, body["what"]) for channel, body in told] == [
        ("C0ROLLOUTS", "policy"),
        ("C0ROLLOUTS", "policy_end"),
    ]


async def test_a_version_is_bad_among_gateways_that_match(fleet: World) -> None:
    service = policies(fleet)
    await say(service, "bad 3.5.0 for tag:oslo because it bricks")
    found = await service.bad_among("v3.5", ["g0", "g4"])
    assert found is not None
    assert found.says() == "3.5.0 is known to be bad (P-1): it bricks"
    assert await service.bad_among("3.5.0", ["g4"]) is None
    assert await service.bad_among("3.5.1", ["g0"]) is None
