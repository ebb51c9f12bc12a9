"""Whatever commits between two transactions of the alerts' ticks, at each place where something can."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from sqlalchemy import select, update

from bot.domain.alerts.incidents import Leave
from bot.domain.incident_kinds import IncidentKind, Trouble
from bot.services.alerts.reminders import STILL_YOURS, Reminders
from bot.services.context import Context
from bot.storage.alerts import membership as store
from bot.storage.db.tables import incident_gateways, incidents
from tests.worlds.alerts import ANA, MINUTE, World, give_up, rollout
from tests.worlds.builders import alert_rules
from tests.worlds.interleaved import Interleaved


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Interleaved]:
    database = Interleaved.open(database_url)
    yield database
    await database.close()


async def test_whenever_its_verdict_commits_a_gateway_has_the_louder_card_alone(
    database: Interleaved,
) -> None:
    """One gateway after the other: in each evaluation the verdict on one comes a transaction later."""
    ids = [f"g{number:02}" for number in range(30)]
    world = await World.begin(database, *(f"site{one}/{one}" for one in ids), *OTHERS)
    for number, one in enumerate(ids, 1):
        await rollout(world, one, state="started", number=number)
        await world.claim(one)
    world.goes("offline", *ids)
    await world.passes(6)
    given_up = []
    for transaction, one in enumerate(ids):
        world.now += MINUTE
        listing = await world.take_in()
        database.before(transaction, partial(give_up, world, one))
        await world.engine.evaluate(listing)
        if not database.has_acted():
            break
        given_up.append(one)
    await world.passes(3)
    assert 4 < len(given_up) < len(ids)
    assert await memberships(world) == [(one, Trouble.NOT_RETURNED) for one in given_up]


async def test_what_a_rollout_gave_up_leaves_the_ordinary_card_that_it_is_on(database: Interleaved) -> None:
    """It was given up while the evaluation that found it offline went on, or later."""
    ids = [f"g{number}" for number in range(9)]
    calm = alert_rules(storm_gateways=1000, storm_share=1.0)
    world = await World.begin(database, *(f"site{one}/{one}" for one in ids), *OTHERS, rules=calm)
    for transaction, one in enumerate(ids):
        world.goes("offline", one, at=world.now - 10 * MINUTE)
        await world.passes(2)
        world.now += MINUTE
        listing = await world.take_in()
        database.before(transaction, partial(rollout, world, one, number=transaction + 1))
        await world.engine.evaluate(listing)
        if not database.has_acted():
            await rollout(world, one, number=transaction + 1)
    await world.passes(3)
    assert sorted(await live_memberships(world)) == [(one, Trouble.NOT_RETURNED) for one in ids]
    assert {one.kind for one in await world.live()} == {IncidentKind.NOT_RETURNED}


@pytest.mark.parametrize("transaction", range(8))
async def test_whenever_its_storm_ends_who_went_last_is_in_an_incident_that_goes_on(
    database_url: str, transaction: int
) -> None:
    async with opened(database_url) as database:
        ids = [f"g{number:02}" for number in range(12)]
        world = await World.begin(database, *(f"site{one}/{one}" for one in ids), *OTHERS)
        world.goes("offline", *ids)
        await world.passes(3)
        world.goes("offline", "o001")
        await world.passes(4)
        assert [one.kind for one in await world.live()] == [IncidentKind.STORM]
        world.now += MINUTE
        listing = await world.take_in()
        database.before(transaction, partial(all_are_back, world))
        await world.engine.evaluate(listing)
        await world.passes(1)
        assert ("o001", Trouble.OFFLINE) in await live_memberships(world)


@pytest.mark.parametrize("transaction", range(6))
async def test_whenever_more_join_what_is_posted_tells_what_all_of_them_share(
    database_url: str, transaction: int
) -> None:
    async with opened(database_url) as database:
        world = await World.begin(database, *(f"Oslo/a{number}" for number in range(8)), *OTHERS)
        other = world.restarted()
        dark, late = [f"a{number}" for number in range(4)], [f"a{number}" for number in range(4, 8)]
        await rollout(world, *dark, *late, state="verified")
        world.goes("offline", *dark)
        await world.passes(1)
        world.goes("offline", *late)
        await world.passes(4)
        (incident,) = await world.live()
        assert incident.tally.down == 4
        world.now += MINUTE
        listing = await world.take_in()
        database.before(transaction, partial(other.evaluate, listing))
        await world.engine.tick()
        await world.engine.tick()
        (incident,) = await world.live()
        assert [(one.gateways, one.of) for one in incident.cause] == [(incident.tally.down,) * 2]


@pytest.mark.parametrize("transaction", range(8))
async def test_whenever_a_gateway_joins_who_subscribed_to_it_gets_a_card(
    database_url: str, transaction: int
) -> None:
    """It joins what another channel shows already, in an evaluation of another replica."""
    async with opened(database_url) as database:
        world = await World.begin(database, "Oslo/a", "Oslo/b", *OTHERS)
        other = world.restarted()
        await world.subscribe("C0JUSTB", "id:b")
        world.goes("offline", "a")
        await world.passes(3)
        world.goes("offline", "b")
        await world.passes(4)
        world.now += MINUTE
        listing = await world.take_in()
        database.before(transaction, partial(other.evaluate, listing))
        await world.engine.tick()
        if not database.has_acted():
            await other.evaluate(listing)
        await world.engine.tick()
        assert sorted(card.channel for card in await world.cards()) == ["C0ALERTS", "C0JUSTB"]


@pytest.mark.parametrize("transaction", range(6))
async def test_whoever_acknowledges_while_reminders_are_due_is_not_asked_at_once(
    database_url: str, transaction: int
) -> None:
    async with opened(database_url) as database:
        world = await World.begin(database, "Oslo/a", *OTHERS)
        world.goes("offline", "a")
        await world.passes(7)
        world.now += 11 * MINUTE
        reminders = Reminders(
            Context(database, lambda: world.now), groups=["S0ONCALL"], silenced=world.silenced
        )
        incident = await world.only_incident()
        database.before(transaction, partial(world.alerts.acknowledge, ANA, incident.id, incident.version))
        await reminders.tick()
        assert STILL_YOURS not in [note.kind for note in await world.notes()]


async def all_are_back(world: World) -> None:
    """Everybody in a live incident is back and it ends, as another replica sees it a listing later."""
    member = incident_gateways.c
    async with world.database.write() as connection:
        await connection.execute(
            update(incident_gateways)
            .where(member.left_at.is_(None))
            .values(left_at=world.now, left_as=Leave.BACK.value)
        )
        await store.end_incidents(connection, world.now)


async def memberships(world: World) -> list[tuple[str, str]]:
    """Which gateways are, or were, in an incident of which trouble."""
    member = incident_gateways.c
    rows = await world.rows(select(member.gateway_id, member.kind).order_by(member.gateway_id, member.kind))
    return [(row.gateway_id, row.kind) for row in rows]


async def live_memberships(world: World) -> list[tuple[str, str]]:
    """Which gateways are in a live incident, for which trouble."""
    member = incident_gateways.c
    rows = await world.rows(
        select(member.gateway_id, member.kind)
        .join(incidents, incidents.c.id == member.incident_id)
        .where(member.left_at.is_(None), store.IS_LIVE)
    )
    return [(row.gateway_id, row.kind) for row in rows]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Interleaved]:
    database = Interleaved.open(url)
    try:
        yield database
    finally:
        await database.close()


OTHERS = [f"site{number}/o{number:03}" for number in range(40)]
