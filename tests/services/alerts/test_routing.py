"""Which channels get the card of an incident."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, update

from bot.domain.incident_kinds import IncidentKind
from bot.storage.alerts import routing as store
from bot.storage.cards import broken_channels
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards
from tests.worlds.alerts import World

DEFAULT = "C0ALERTS"
OTHERS = [f"site{number}/o{number:03}" for number in range(100)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def goes_dark(world: World, *ids: str, minutes: float = 7) -> None:
    world.goes("offline", *ids)
    await world.passes(minutes)


async def channels_of(world: World, incident: int = 1) -> set[str]:
    return {card.channel for card in await world.cards() if card.subject == str(incident)}


async def broke(world: World, channel: str) -> None:
    """What the publisher writes when Slack says that a channel is archived."""
    async with world.database.write() as connection:
        await broken_channels.record_broken(connection, channel, "is_archived", world.now)
        await connection.execute(update(cards).where(cards.c.channel == channel).values(state="broken"))


@pytest.mark.on_both
async def test_a_card_goes_to_each_channel_whose_query_matches_one_of_its_gateways(
    database: Database,
) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Bergen/c")
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.subscribe("C0ONE", "id:b")
    await world.subscribe("C0BERGEN", "tag:bergen")
    await goes_dark(world, "a", "b")
    assert await channels_of(world) == {"C0OSLO", "C0ONE", DEFAULT}


async def test_an_admins_only_here_keeps_a_card_from_the_default_channel(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Bergen/b")
    await world.subscribe("C0OSLO", "tag:oslo only here")
    await world.subscribe("C0ALL")
    await goes_dark(world, "a", "b")
    both = [await channels_of(world, 1), await channels_of(world, 2)]
    assert sorted(both, key=sorted) == [{"C0ALL", DEFAULT}, {"C0ALL", "C0OSLO"}]


async def test_two_subscriptions_of_one_channel_make_one_card(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.subscribe("C0OSLO")
    await goes_dark(world, "a")
    assert await channels_of(world) == {"C0OSLO", DEFAULT}
    assert len(await world.cards()) == 2


async def test_a_subscription_without_a_query_gets_everything(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Bergen/b")
    await world.subscribe("C0ALL")
    await goes_dark(world, "a", "b")
    assert sorted(card.channel for card in await world.cards()) == ["C0ALERTS", "C0ALERTS", "C0ALL", "C0ALL"]


async def test_what_no_subscription_matches_goes_to_the_default_channel(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Bergen/b")
    await world.subscribe("C0OSLO", "tag:oslo")
    await goes_dark(world, "b")
    assert await channels_of(world) == {DEFAULT}


async def test_without_a_default_channel_an_alert_is_kept_until_somebody_subscribes(
    database: Database,
) -> None:
    world = await World.begin(database, "Oslo/a", channel=None)
    await world.subscribe("C0BERGEN", "tag:bergen")
    await goes_dark(world, "a")
    assert await world.cards() == []
    assert len(await world.live()) == 1
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.engine.tick()
    assert await channels_of(world) == {"C0OSLO"}


async def test_a_new_subscription_shows_what_is_open_already(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await goes_dark(world, "a")
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.engine.tick()
    assert await channels_of(world) == {DEFAULT, "C0OSLO"}


async def test_a_gateway_that_joins_later_brings_the_card_to_its_channels(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b")
    await world.subscribe("C0ONE", "id:b")
    await goes_dark(world, "a")
    assert await channels_of(world) == {DEFAULT}
    await goes_dark(world, "b")
    assert await channels_of(world) == {DEFAULT, "C0ONE"}


@pytest.mark.on_both
async def test_of_a_storm_each_channel_with_a_gateway_in_it_gets_the_one_card(database: Database) -> None:
    world = await World.begin(database, *OTHERS)
    for channel, query in (("C0TWO", "site:site2"), ("C0ALL", ""), ("C0LATE", "site:site77")):
        await world.subscribe(channel, query)
    await goes_dark(world, *list(world.fleet)[:12])
    incident = await world.only_incident()
    assert incident.kind is IncidentKind.STORM
    assert await channels_of(world, incident.id) == {"C0TWO", "C0ALL", DEFAULT}
    assert len(await world.cards()) == 3


async def test_a_large_incident_has_its_file_in_every_channel(database: Database) -> None:
    world = await World.begin(database, *(f"Oslo/o{number:02}" for number in range(12)))
    await world.subscribe("C0OSLO", "tag:oslo")
    await goes_dark(world, *world.fleet)
    await world.subscribe("C0ALL")
    await world.engine.tick()
    files = [note.channel for note in await world.notes() if note.kind == "incident_gateways"]
    assert files == ["C0OSLO", DEFAULT, "C0ALL"]


@pytest.mark.on_both
async def test_the_channels_that_show_some_gateways_are_those_with_a_card_about_them(
    database: Database,
) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Bergen/c")
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.subscribe("C0BERGEN", "tag:bergen")
    await goes_dark(world, "a", "c")
    async with database.read() as connection:
        shown = [await store.channels_with(connection, ids) for ids in (["a", "b"], ["b"], ["a", "c"], [])]
    assert shown == [[DEFAULT, "C0OSLO"], [], [DEFAULT, "C0BERGEN", "C0OSLO"], []]


async def test_visibility_loss_is_told_in_the_default_channel_alone(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.subscribe("C0OSLO", "tag:oslo")
    await blind(world)
    assert [card.channel for card in await world.cards()] == [DEFAULT]


@pytest.mark.parametrize("default", [None, DEFAULT])
async def test_visibility_loss_is_told_to_every_channel_where_there_is_no_default_one(
    database: Database, default: str | None
) -> None:
    world = await World.begin(database, "Oslo/a", channel=default)
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.subscribe("C0BERGEN", "tag:bergen")
    await world.subscribe("C0BERGEN", "tag:oslo")
    await broke(world, DEFAULT)
    await blind(world)
    assert {card.channel for card in await world.cards()} == {"C0OSLO", "C0BERGEN"}


async def blind(world: World) -> None:
    for _ in range(3):
        await world.failed_listing()
    await world.engine.tick()


async def test_an_incident_whose_only_channel_broke_goes_to_the_default_channel(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.subscribe("C0OSLO", "tag:oslo only here")
    await goes_dark(world, "a")
    await broke(world, "C0OSLO")
    await world.engine.tick()
    assert await channels_of(world) == {"C0OSLO", DEFAULT}


@pytest.mark.on_both
async def test_an_incident_that_another_channel_still_shows_stays_there(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.subscribe("C0OSLO", "tag:oslo")
    await world.subscribe("C0ALL", "only here")
    await goes_dark(world, "a")
    await broke(world, "C0OSLO")
    await world.engine.tick()
    assert await channels_of(world) == {"C0OSLO", "C0ALL"}


async def test_a_broken_channel_gets_no_new_cards_and_those_that_are_open_when_it_is_whole(
    database: Database,
) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.subscribe("C0OSLO", "tag:oslo")
    await broke(world, "C0OSLO")
    await goes_dark(world, "a")
    assert await channels_of(world) == {DEFAULT}
    async with database.write() as connection:
        await broken_channels.mark_channel_working(connection, "C0OSLO")
    await world.engine.tick()
    assert await channels_of(world) == {DEFAULT, "C0OSLO"}


async def test_each_distinct_query_is_asked_once_and_only_when_something_changed(database: Database) -> None:
    world = await World.begin(database, *OTHERS)
    for number in range(6):
        await world.subscribe(f"C0{number}", ("tag:site1", "tag:site2", "tag:site3")[number % 3])
    for number in range(1, 5):
        await goes_dark(world, f"o00{number}", minutes=6)
    asked: list[str] = []
    count = event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    count(lambda _connection, _cursor, statement, *_: asked.append(statement))
    world.restart()
    await world.passes(2)
    assert sum("gateway_tags" in one and "incidents" in one for one in asked) == 3


@pytest.mark.on_both
async def test_two_replicas_open_a_card_once(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.subscribe("C0OSLO", "tag:oslo")
    other = world.restarted()
    world.goes("offline", "a")
    for _ in range(7):
        await world.passes(1)
        await other.tick()
    assert [card.channel for card in await world.cards()] == ["C0OSLO", DEFAULT]
