"""When incidents open, gather, change and end, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, select

from bot.domain.access import Actor, Role
from bot.domain.alerts.incidents import Cut, Leave, Thresholds
from bot.domain.errors import NotAllowed, NotFound, Stale, Unavailable
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState, Trouble
from bot.services.alerts.notes import JOINED, RECOVERED, tell_recovered
from bot.storage.alerts import membership as store
from bot.storage.db.engine import Database
from bot.storage.db.tables import audit, incidents
from tests.worlds.alerts import ANA, BEN, MINUTE, START, World
from tests.worlds.builders import alert_rules


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def one_dark(database: Database, channel: str | None = "C0ALERTS") -> World:
    """A world in which gateway a at Oslo is in a posted incident."""
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Oslo/c", "Bergen/d", channel=channel)
    world.goes("offline", "a")
    await world.passes_quickly(minutes=6, listings=3)
    world.now += MINUTE
    await world.engine.tick()
    assert (await world.only_incident()).state is IncidentState.OPEN
    return world


async def many_dark(database: Database, number: int) -> World:
    """A world in which the gateways of so many sites are in a posted incident each."""
    names = [f"g{one:02}" for one in range(number)]
    rules = alert_rules(storm_gateways=1000, storm_share=1000)
    world = await World.begin(database, *(f"Site {one}/{one}" for one in names), rules=rules)
    world.goes("offline", *names)
    await world.passes(7)
    return world


# ---- opening
async def test_an_incident_opens_after_five_minutes_offline(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(4)
    assert await world.live() == []
    await world.passes(1)
    incident = await world.only_incident()
    assert (incident.site, incident.tally.down, incident.tally.since) == ("Oslo", 1, START)


async def test_five_minutes_on_two_listings_are_not_enough(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes_quickly(minutes=12, listings=2)
    assert await world.live() == []
    await world.passes_quickly(minutes=1, listings=1)
    assert len(await world.live()) == 1


async def test_three_listings_within_five_minutes_are_not_enough(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes_quickly(minutes=4, listings=12)
    assert await world.live() == []


async def test_failed_listings_do_not_count(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes_quickly(minutes=6, listings=2)
    await world.failed_listing()
    await world.failed_listing()
    assert await world.live() == []
    await world.listing()
    assert len(await world.live()) == 1


async def test_the_vendors_own_timestamp_counts_not_when_the_bot_saw_it(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a", at=world.now - 4 * MINUTE)
    await world.passes_quickly(minutes=1, listings=3)
    assert (await world.only_incident()).tally.since == START - 4 * MINUTE


async def test_a_short_return_starts_the_five_minutes_anew(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(4)
    world.goes("online", "a")
    await world.passes(1)
    world.goes("offline", "a")
    await world.passes(4)
    assert await world.live() == []


async def test_a_gateway_of_unknown_state_is_not_offline(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("unknown", "a")
    await world.passes(10)
    assert await world.live() == []


async def test_a_listing_that_does_not_have_a_gateway_opens_nothing_for_it(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(4)
    world.release("a")
    await world.passes(5)
    assert await world.rows(select(incidents)) == []


@pytest.mark.on_both
async def test_a_gateway_in_a_rollout_is_expected_to_be_down(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.claim("a")
    world.goes("offline", "a")
    await world.passes(10)
    assert await world.live() == []
    await world.unclaim("a")
    await world.passes(1)
    assert len(await world.live()) == 1


async def test_one_incident_a_site_however_its_tag_is_written(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "OSLO/b", "Bergen/c")
    world.goes("offline", "a", "b", "c")
    await world.passes(5)
    assert [(one.site.casefold(), one.tally.down) for one in await world.live()] == [
        ("bergen", 1),
        ("oslo", 2),
    ]


async def test_a_fleet_that_has_long_been_dark_opens_one_incident_a_site(database: Database) -> None:
    world = await World.begin(database, listings=0)
    world.add("Oslo/a", "Oslo/b", "Bergen/c")
    world.goes("offline", "a", "b", "c", at=START - timedelta(days=90))
    await world.passes(3)
    bergen, oslo = await world.live()
    assert (bergen.tally.down, oslo.tally.down) == (1, 2)
    assert oslo.tally.since == START - timedelta(days=90)


# ---- gathering
async def test_an_incident_gathers_for_a_minute_before_its_first_post(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b")
    world.goes("offline", "a")
    await world.passes(5)
    world.now += timedelta(seconds=59)
    assert await world.engine.tick() == 0
    assert await world.cards() == []
    world.now += timedelta(seconds=1)
    assert await world.engine.tick() == 1
    (card,) = await world.cards()
    assert (card.kind, card.subject, card.channel) == ("incident", "1", "C0ALERTS")


async def test_what_joins_while_it_gathers_makes_no_note(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", rules=alert_rules(group_wait=3 * MINUTE))
    world.goes("offline", "a")
    await world.passes(1)
    world.goes("offline", "b")
    await world.passes(8)
    assert (await world.only_incident()).tally.down == 2
    assert await world.notes() == []


@pytest.mark.on_both
async def test_what_is_over_before_its_first_post_is_never_posted(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", rules=alert_rules(group_wait=10 * MINUTE))
    world.goes("offline", "a")
    await world.passes(5)
    world.goes("online", "a")
    await world.passes(20)
    assert await world.rows(select(incidents.c.state)) == [("dropped",)]
    assert await world.cards() == []


async def test_what_is_silenced_when_its_gathering_ends_is_not_posted(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Bergen/b")
    world.goes("offline", "a", "b")
    await world.passes(5)

    async def silenced() -> Collection[str]:
        return {"a"}

    world.silenced = silenced
    world.engine = world.restarted()
    await world.passes(3)
    assert [incident.site for incident in await world.live() if incident.state.value == "open"] == ["Bergen"]


async def test_what_a_rollout_has_when_its_gathering_ends_is_not_posted(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(5)
    await world.claim("a")
    await world.passes(3)
    assert await world.cards() == []


async def test_what_is_online_when_its_gathering_ends_is_not_posted_as_offline(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(5)
    world.goes("online", "a")
    await world.passes(10)
    assert await world.cards() == []
    assert await world.live() == []


async def test_without_a_channel_an_incident_is_kept_and_posted_once_there_is_one(database: Database) -> None:
    world = await one_dark(database, channel=None)
    assert await world.cards() == []
    world.channel = "C0NEW"
    world.restart()
    await world.passes(3)
    assert [card.channel for card in await world.cards()] == ["C0NEW"]


async def test_a_tick_posts_every_incident_of_a_bad_night(database: Database) -> None:
    names = [f"site{number}/g{number}" for number in range(230)]
    others = [f"Kyiv-office/k{number}" for number in range(240)]
    rules = alert_rules(storm_gateways=1000, storm_share=1)
    world = await World.begin(database, *names, *others, rules=rules)
    world.goes("offline", *(one for one in world.fleet if one.startswith("g")))
    await world.passes(7)
    assert len(await world.cards()) == 230


# ---- joining
async def test_a_gateway_is_not_added_twice(database: Database) -> None:
    world = await one_dark(database)
    shown = (await world.cards())[0].wanted
    await world.passes(5)
    assert (await world.only_incident()).tally.total == 1
    assert (await world.cards())[0].wanted == shown


async def test_a_gateway_that_is_renamed_has_its_card_drawn_again(database: Database) -> None:
    world = await one_dark(database)
    shown = (await world.cards())[0].wanted
    gateway = (await world.only_incident()).first[0].id
    world.fleet[gateway] = replace(world.fleet[gateway], name="Mast")
    await world.passes(1)
    assert (await world.cards())[0].wanted > shown
    assert "Mast" in str((await world.only_incident()).first)
    await world.passes(1)
    shown = (await world.cards())[0].wanted
    await world.passes(3)
    assert (await world.cards())[0].wanted == shown


async def test_a_gateway_that_joins_a_posted_incident_edits_its_card_and_adds_a_note(
    database: Database,
) -> None:
    world = await one_dark(database)
    shown = (await world.cards())[0].wanted
    world.goes("offline", "b", "c")
    await world.passes(5)
    (card,) = await world.cards()
    (note,) = await world.notes()
    assert card.wanted > shown
    growth = {"told": 1, "down": 3}
    assert (note.kind, note.card_id) == (JOINED, card.id)
    assert note.body == {"incident": 1, "count": 2, "first": ["b", "c"]} | growth


async def test_a_gateway_that_goes_dark_again_rejoins_the_incident_that_is_still_open(
    database: Database,
) -> None:
    world = await one_dark(database)
    world.goes("offline", "b")
    await world.passes(5)
    world.goes("online", "a")
    await world.passes(4)
    world.goes("offline", "a")
    again = world.now
    await world.passes(5)
    incident = await world.only_incident()
    assert (incident.tally.down, incident.tally.back) == (2, 0)
    assert {one.id: one.offline_since for one in incident.first}[GatewayId("a")] == again


async def test_a_gateway_that_moved_before_it_went_dark_again_is_an_incident_of_its_new_site(
    database: Database,
) -> None:
    world = await one_dark(database)
    world.goes("offline", "b")
    await world.passes(5)
    world.goes("online", "a")
    await world.passes(4)
    world.sites["a"] = "Bergen"
    world.goes("offline", "a")
    await world.passes(5)
    assert [(one.site, one.tally.down, one.tally.back) for one in await world.live()] == [
        ("Bergen", 1, 0),
        ("Oslo", 1, 1),
    ]


async def test_a_gateway_whose_tags_change_stays_in_its_incident(database: Database) -> None:
    world = await one_dark(database)
    world.sites["a"] = "Bergen"
    world.goes("offline", "d")
    await world.passes(6)
    assert [(one.site, one.tally.down) for one in await world.live()] == [("Bergen", 1), ("Oslo", 1)]


# ---- the end
async def test_an_incident_is_over_after_three_minutes_online(database: Database) -> None:
    world = await one_dark(database)
    world.goes("online", "a")
    back = world.now
    await world.passes(2)
    assert len(await world.live()) == 1
    assert (await world.passes(1)).resolved == 1
    incident = await world.alerts.incident(IncidentId(1))
    assert incident.state is IncidentState.RESOLVED
    assert (incident.tally.back, incident.tally.until) == (1, back)


async def test_three_minutes_on_two_listings_do_not_end_it(database: Database) -> None:
    world = await one_dark(database)
    world.goes("online", "a")
    await world.passes_quickly(minutes=10, listings=2)
    assert len(await world.live()) == 1
    await world.passes_quickly(minutes=1, listings=1)
    assert await world.live() == []


async def test_recovery_edits_the_card_and_says_one_quiet_line(database: Database) -> None:
    world = await one_dark(database)
    (before,) = await world.cards()
    world.goes("online", "a")
    await world.passes(4)
    (after,) = await world.cards()
    assert after.id == before.id
    assert after.wanted > before.wanted
    assert [(note.kind, note.broadcast) for note in await world.notes()] == [(RECOVERED, False)]


async def test_the_end_of_many_is_told_with_one_look_at_who_had_them(database: Database) -> None:
    world = await many_dark(database, 12)
    await world.alerts.acknowledge(ANA, IncidentId(3), None)
    asked: list[str] = []
    listens = event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    listens(lambda _connection, _cursor, statement, *_: asked.append(statement))
    async with database.write() as connection:
        await tell_recovered(connection, [IncidentId(number) for number in range(1, 13)], world.now)
    assert sum("FROM incidents" in one for one in asked) == 1
    assert sum(one.startswith("UPDATE notes") for one in asked) == 1
    called = [note.body.get("user") for note in await world.notes() if note.kind == RECOVERED]
    assert called == [None, None, "U0ANA00001", *[None] * 9]


async def test_an_incident_lasts_until_its_last_gateway_is_back(database: Database) -> None:
    world = await one_dark(database)
    world.goes("offline", "b")
    await world.passes(5)
    world.goes("online", "a")
    await world.passes(4)
    incident = await world.only_incident()
    assert (incident.tally.down, incident.tally.back) == (1, 1)


async def test_a_later_outage_is_a_new_incident(database: Database) -> None:
    world = await one_dark(database)
    world.goes("online", "a")
    await world.passes(4)
    world.goes("offline", "a")
    await world.passes(7)
    assert (await world.only_incident()).id == 2
    assert [card.subject for card in await world.cards()] == ["1", "2"]


async def test_a_released_gateway_leaves_its_incident_as_released(database: Database) -> None:
    world = await one_dark(database)
    world.release("a")
    await world.passes(2)
    assert len(await world.live()) == 1
    assert (await world.passes(1)).released == 1
    incident = await world.alerts.incident(IncidentId(1))
    assert incident.state is IncidentState.RESOLVED
    assert [one.left_as for one in incident.first] == [Leave.RELEASED]


# ---- after a start
async def test_no_new_alert_before_two_listings_after_a_start(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(4)
    world.now += 60 * MINUTE
    world.restart()
    assert (await world.passes(1)).opening is False
    assert await world.live() == []
    assert (await world.passes(1)).opened == 1


async def test_open_incidents_are_reconciled_at_the_first_listing_after_a_start(database: Database) -> None:
    world = await one_dark(database)
    world.goes("online", "a")
    await world.passes(2)
    world.restart()
    await world.passes(1)
    assert await world.live() == []


async def test_what_gathered_before_a_start_waits_for_its_listings(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    world.goes("offline", "a")
    await world.passes(5)
    world.now += 60 * MINUTE
    world.restart()
    assert await world.engine.tick() == 0
    await world.passes(2)
    assert len(await world.cards()) == 1


# ---- acknowledging
async def test_an_acknowledgement_is_shown_at_once_and_audited(database: Database) -> None:
    world = await one_dark(database)
    done = await world.alerts.acknowledge(ANA, IncidentId(1), 1, "C0ALERTS")
    assert done.acknowledged is not None
    assert (done.acknowledged.user_id, done.acknowledged.at, done.version) == ("U0ANA00001", world.now, 2)
    assert [card.urgent for card in await world.cards()] == [True]
    (row,) = await world.rows(select(audit))
    assert (row.actor, row.action, row.subject, row.channel, row.outcome) == (
        "U0ANA00001",
        "incident_ack",
        "A-1: at Oslo",
        "C0ALERTS",
        "done",
    )


async def test_all_at_once_lets_who_else_writes_in_between(database: Database) -> None:
    world = await many_dark(database, 12)
    taken: list[int] = [0]  # in each transaction
    engine = database.engine.sync_engine
    event.listens_for(engine, "commit")(lambda _connection: taken.append(0))

    @event.listens_for(engine, "before_cursor_execute")
    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        taken[-1] += statement.startswith("UPDATE incidents")

    done = await world.alerts.acknowledge_all(ANA)
    assert [one.id for one in done] == list(range(1, 13))
    assert [number for number in taken if number] == [10, 2]


@pytest.mark.on_both
async def test_the_first_acknowledgement_wins_and_the_second_learns_whose_it_was(database: Database) -> None:
    world = await one_dark(database)
    answers = await asyncio.gather(
        world.alerts.acknowledge(ANA, IncidentId(1), 1),
        world.alerts.acknowledge(BEN, IncidentId(1), 1),
        return_exceptions=True,
    )
    (refused,) = [answer for answer in answers if isinstance(answer, Stale)]
    winner = (await world.only_incident()).acknowledged
    assert winner is not None
    assert str(refused).startswith(f"{winner.name} acknowledged A-1 a moment ago")
    assert len(await world.rows(select(audit))) == 1


async def test_the_end_beats_a_late_acknowledgement(database: Database) -> None:
    world = await one_dark(database)
    world.goes("online", "a")
    await world.passes(4)
    with pytest.raises(Stale, match="over"):
        await world.alerts.acknowledge(ANA, IncidentId(1), 1)
    assert (await world.alerts.incident(IncidentId(1))).acknowledged is None
    assert await world.rows(select(audit)) == []


async def test_a_gateway_that_joins_does_not_void_the_button_that_was_drawn(database: Database) -> None:
    world = await one_dark(database)
    world.goes("offline", "b")
    await world.passes(5)
    assert (await world.alerts.acknowledge(ANA, IncidentId(1), 1)).acknowledged is not None


async def test_a_viewer_may_not_acknowledge(database: Database) -> None:
    world = await one_dark(database)
    with pytest.raises(NotAllowed, match="operator"):
        await world.alerts.acknowledge(Actor("U0VIC", "Vic", Role.VIEWER), IncidentId(1), 1)


async def test_nobody_acknowledges_while_roles_cannot_be_checked(database: Database) -> None:
    world = await one_dark(database)
    with pytest.raises(Unavailable):
        await world.alerts.acknowledge(
            Actor("U0ANA00001", "Ana", Role.VIEWER, possible=Role.ADMIN), IncidentId(1), 1
        )


async def test_an_incident_that_does_not_exist_is_not_found(database: Database) -> None:
    world = await World.begin(database)
    with pytest.raises(NotFound):
        await world.alerts.acknowledge(ANA, IncidentId(99), 1)
    with pytest.raises(NotFound):
        await world.alerts.incident(IncidentId(99))


# ---- reading
async def test_what_nobody_has_acknowledged_is_listed_first(database: Database) -> None:
    world = await one_dark(database)
    world.goes("offline", "d")
    await world.passes(5)
    await world.alerts.acknowledge(ANA, IncidentId(2), 1)
    page = await world.alerts.open_incidents(limit=10)
    assert [(one.id, one.tally.down) for one in page.incidents] == [(1, 1), (2, 1)]


async def test_of_some_sites_the_incidents_are_found_that_have_gateways_there(database: Database) -> None:
    world = await one_dark(database)
    assert [(one.id, one.sites, one.gateways) for one in await world.alerts.at_sites({"Oslo", "Rome"})] == [
        (1, ("Oslo",), 1)
    ]
    assert await world.alerts.at_sites({"Rome"}) == []


@pytest.mark.on_both
async def test_a_storm_is_found_at_each_of_its_sites(database: Database) -> None:
    world = await World.begin(database, *(f"site{number}/g{number:02}" for number in range(12)))
    world.goes("offline", *world.fleet)
    await world.passes(7)
    (storm,) = await world.alerts.at_sites({"site1", "site2"})
    assert (storm.kind, storm.gateways) == (IncidentKind.STORM, 2)


async def test_a_page_behind_the_end_is_the_last_page(database: Database) -> None:
    rules = alert_rules(storm_gateways=1000, storm_share=1000)
    world = await World.begin(database, *(f"site{number}/g{number}" for number in range(5)), rules=rules)
    world.goes("offline", *world.fleet)
    await world.passes(5)
    page = await world.alerts.open_incidents(limit=2, offset=80)
    assert (page.offset, page.total, len(page.incidents)) == (4, 5, 1)


async def test_a_card_names_ten_gateways_and_counts_all(database: Database) -> None:
    world = await World.begin(database, *(f"Oslo/g{number:02}" for number in range(14)))
    world.goes("offline", *world.fleet)
    await world.passes(5)
    incident = await world.only_incident()
    assert [one.id for one in incident.first] == [f"g{number:02}" for number in range(10)]
    assert incident.tally.down == 14
    page = await world.alerts.affected(incident.id, limit=10, offset=10)
    assert [one.id for one in page.gateways] == ["g10", "g11", "g12", "g13"]


async def test_the_incident_of_a_gateway_is_the_live_one(database: Database) -> None:
    world = await one_dark(database)
    found = await world.alerts.incident_of("a")
    assert found is not None
    assert found.id == 1
    assert await world.alerts.incident_of("b") is None


# ---- many gateways, several replicas, crashes
async def test_more_gateways_than_fit_a_chunk_all_join_and_all_leave(database: Database) -> None:
    many = store.CHUNK + 20
    rules = alert_rules(storm_gateways=2 * store.CHUNK, storm_share=1000)
    names = [f"site{number % 9}/g{number}" for number in range(many)]
    world = await World.begin(database, *names, rules=rules)
    world.goes("offline", *world.fleet)
    done = await world.passes(5)
    assert (done.opened, done.joined) == (9, many)
    world.goes("online", *world.fleet)
    done = await world.passes(3)
    assert (done.back, done.dropped) == (many, 9)


@pytest.mark.on_both
async def test_two_replicas_that_evaluate_at_once_open_one_incident(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Bergen/c")
    other = world.restarted()
    world.goes("offline", "a", "b", "c")
    await world.passes(4)
    world.now += MINUTE
    listing = await world.take_in()
    both = await asyncio.gather(world.engine.evaluate(listing), other.evaluate(listing))
    assert sum(one.opened for one in both) == 2
    assert sum(one.joined for one in both) == 3
    assert [one.tally.down for one in await world.live()] == [1, 2]


@pytest.mark.on_both
async def test_two_replicas_that_tick_at_once_open_one_card(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    other = world.restarted()
    world.goes("offline", "a")
    await world.passes(5)
    world.now += MINUTE
    opened = await asyncio.gather(world.engine.tick(), other.tick())
    assert sorted(opened) == [0, 1]
    assert len(await world.cards()) == 1


@pytest.mark.on_both
async def test_an_evaluation_that_a_crash_cut_short_is_finished_by_the_next(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Bergen/c")
    world.goes("offline", "a", "b", "c")
    await world.passes(4)
    world.now += MINUTE
    await world.take_in()
    async with database.write() as connection:  # the first of several chunks, and then nothing
        some = [GatewayId("a")]
        as_of = Thresholds(world.now, Cut(world.now, world.number, world.now), None)
        await store.begin_incidents(connection, Trouble.OFFLINE, some, as_of, world.now + MINUTE)
        await store.join(connection, Trouble.OFFLINE, some, as_of)
    done = await world.passes(1)
    assert (done.opened, done.joined) == (1, 2)
    assert [(one.site, one.tally.down) for one in await world.live()] == [("Bergen", 1), ("Oslo", 2)]


@pytest.mark.on_both
async def test_the_same_listing_evaluated_twice_changes_nothing_more(database: Database) -> None:
    world = await one_dark(database)
    world.goes("offline", "b")
    await world.passes(4)
    world.now += MINUTE
    listing = await world.take_in()
    first = await world.engine.evaluate(listing)
    again = await world.engine.evaluate(listing)
    assert (first.joined, again.joined) == (1, 0)
    assert len(await world.notes()) == 1


async def test_before_the_first_completed_listing_there_is_nothing_to_evaluate(database: Database) -> None:
    world = await World.begin(database, listings=0)
    await world.failed_listing()
    assert await world.engine.tick() == 0
    assert await world.live() == []


async def test_the_publisher_is_told_of_what_has_changed(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    assert world.changed == 0
    world.goes("offline", "a")
    await world.passes(7)
    told = world.changed
    assert told > 0
    await world.passes(1)
    assert world.changed == told
    await world.alerts.acknowledge(ANA, IncidentId(1), 1)
    assert world.changed == told + 1
