"""Flapping, storms, causes, lost sight and gateways that a rollout did not bring back."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.domain.alerts.incidents import Leave, Trait
from bot.domain.incident_kinds import IncidentKind, IncidentState
from bot.storage.db.engine import Database
from bot.storage.db.tables import incidents
from tests.worlds.alerts import MINUTE, World, rollout
from tests.worlds.builders import alert_rules

KYIV = [f"Kyiv-office/k{number:02}" for number in range(38)]
OTHERS = [f"site{number}/o{number:03}" for number in range(100)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


async def flaps(world: World, gateway_id: str, changes: int = 4) -> None:
    for number in range(changes):
        world.goes("online" if number % 2 else "offline", gateway_id)
        await world.passes(2)


# ---- flapping
async def test_four_changes_in_an_hour_are_one_card(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b")
    await flaps(world, "a", 3)
    assert await world.live() == []
    await flaps(world, "a", 1)
    incident = await world.only_incident()
    assert (incident.kind, incident.site, incident.tally.down) == (IncidentKind.FLAPPING, "Oslo", 1)
    await world.passes(2)
    assert len(await world.cards()) == 1


@pytest.mark.on_both
async def test_four_changes_over_more_than_an_hour_are_none(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    for state in ("offline", "online", "offline", "online"):
        world.goes(state, "a")
        await world.passes_quickly(minutes=21, listings=2)
    assert await world.rows(select(incidents.c.kind).where(incidents.c.kind == "flapping")) == []


async def test_a_flapping_gateway_opens_no_offline_incident(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await flaps(world, "a")
    world.goes("offline", "a")
    await world.passes(20)
    assert [one.kind for one in await world.live()] == [IncidentKind.FLAPPING]


async def test_a_flapping_card_is_edited_and_gets_no_notes(database: Database) -> None:
    world = await World.begin(database, "Oslo/a", "Oslo/b")
    await flaps(world, "a")
    await world.passes(2)
    shown = (await world.cards())[0].wanted
    await flaps(world, "b")
    (card,) = await world.cards()
    assert card.wanted > shown
    assert await world.notes() == []


@pytest.mark.on_both
async def test_after_sixty_quiet_minutes_the_card_says_the_current_state(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await flaps(world, "a")
    await world.passes(2)
    await world.passes_quickly(minutes=55, listings=5)
    incident = await world.only_incident()
    await world.passes_quickly(minutes=5, listings=2)
    over = await world.alerts.incident(incident.id)
    assert over.state is IncidentState.RESOLVED
    assert over.first[0].left_as is Leave.BACK


async def test_what_is_quiet_and_offline_becomes_an_offline_incident(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await flaps(world, "a", 5)
    await world.passes(1)
    (flapped,) = await world.live()
    await world.passes_quickly(minutes=62, listings=6)
    assert [one.kind for one in await world.live()] == [IncidentKind.OFFLINE]
    tally = (await world.alerts.incident(flapped.id)).tally
    assert (tally.total, tally.still_down) == (1, 1)


async def test_what_a_rollout_restarts_does_not_flap(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await world.claim("a")
    await flaps(world, "a", 6)
    assert await world.live() == []


async def test_the_restarts_of_a_rollout_that_is_done_are_no_flapping(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    await flaps(world, "a", 2)
    await rollout(world, "a", state="verified")
    world.now += MINUTE
    await flaps(world, "a", 2)
    assert await world.live() == []


# ---- storms
async def stormy(database: Database, dark: int = 12, **rules: object) -> World:
    world = await World.begin(database, *OTHERS, rules=alert_rules(**rules))
    world.goes("offline", *list(world.fleet)[:dark])
    await world.passes(7)
    return world


async def test_ten_gateways_gone_at_many_sites_are_one_card(database: Database) -> None:
    world = await stormy(database)
    incident = await world.only_incident()
    assert (incident.kind, incident.tally.down, incident.sites) == (IncidentKind.STORM, 12, 12)
    assert [down for _, down in incident.worst_sites] == [1, 1, 1, 1, 1]
    assert len(await world.cards()) == 1


async def test_nine_gateways_are_an_incident_each(database: Database) -> None:
    world = await stormy(database, 9)
    assert [one.kind for one in await world.live()] == [IncidentKind.OFFLINE] * 9


async def test_one_site_however_large_is_that_sites_incident(database: Database) -> None:
    world = await World.begin(database, *KYIV, *OTHERS)
    world.goes("offline", *(one for one in world.fleet if one.startswith("k")))
    await world.passes(7)
    incident = await world.only_incident()
    assert (incident.kind, incident.site, incident.tally.down) == (IncidentKind.OFFLINE, "Kyiv-office", 38)
    assert incident.cause == ()


async def test_what_gathers_when_a_storm_breaks_is_part_of_it(database: Database) -> None:
    world = await World.begin(database, *OTHERS, rules=alert_rules(group_wait=3 * MINUTE))
    world.goes("offline", *list(world.fleet)[:4])
    await world.passes(2)
    world.goes("offline", *list(world.fleet)[4:12])
    await world.passes(10)
    assert [(one.kind, one.tally.down) for one in await world.live()] == [(IncidentKind.STORM, 12)]
    assert len(await world.cards()) == 1


async def test_who_goes_with_a_storm_later_joins_it(database: Database) -> None:
    world = await World.begin(database, *OTHERS)
    world.goes("offline", *list(world.fleet)[:12])
    await world.passes(4)
    world.goes("offline", "o050")
    await world.passes(7)
    incident = await world.only_incident()
    assert incident.tally.down == 13
    assert [note.kind for note in await world.notes()] == ["incident_gateways", "incident_joined"]


async def test_who_goes_long_after_a_storm_is_its_sites_incident(database: Database) -> None:
    world = await stormy(database)
    world.goes("offline", "o050")
    await world.passes(7)
    assert [one.kind for one in await world.live()] == [IncidentKind.STORM, IncidentKind.OFFLINE]


async def test_who_came_back_from_a_storm_and_goes_again_is_its_sites_incident(database: Database) -> None:
    world = await World.begin(database, *OTHERS)
    world.goes("offline", *list(world.fleet)[:12])
    await world.passes(1)
    world.goes("offline", "o099")
    await world.passes(6)
    world.goes("online", "o000")
    await world.passes(4)
    world.goes("offline", "o000", at=world.now - 4 * MINUTE)
    await world.passes(7)
    assert [(one.kind, one.tally.down) for one in await world.live()] == [
        (IncidentKind.STORM, 12),
        (IncidentKind.OFFLINE, 1),
    ]


async def test_a_storm_is_over_when_all_are_back(database: Database) -> None:
    world = await stormy(database)
    world.goes("online", *world.fleet)
    await world.passes(4)
    assert await world.live() == []
    assert len(await world.cards()) == 1


async def test_a_storm_names_the_tag_that_explains_it(database: Database) -> None:
    world = await World.begin(database, *KYIV, *OTHERS)
    world.goes("offline", *(one for one in world.fleet if one.startswith("k")), "o001", "o002")
    await world.passes(7)
    incident = await world.only_incident()
    (share,) = incident.cause
    assert (share.trait, share.value, share.gateways, share.of) == (Trait.TAG, "Kyiv-office", 38, 40)


@pytest.mark.on_both
async def test_what_a_storm_shares_follows_those_that_join_it(database: Database) -> None:
    world = await World.begin(database, *KYIV, *OTHERS)
    kyiv = [one for one in world.fleet if one.startswith("k")]
    world.goes("offline", *kyiv[:30], "o001", "o002")
    await world.passes(4)
    world.goes("offline", *kyiv[30:])
    await world.passes(7)
    (share,) = (await world.only_incident()).cause
    assert (share.gateways, share.of) == (38, 40)


async def test_who_goes_one_by_one_while_a_storm_is_still_there_is_no_part_of_it(database: Database) -> None:
    world = await World.begin(database, *OTHERS)
    dark = list(world.fleet)
    world.goes("offline", *dark[:12])
    for one in dark[20:28]:
        await world.passes(4)
        world.goes("offline", one)
    await world.passes(7)
    storm, *others = sorted(await world.live(), key=lambda one: one.id)
    assert (storm.kind, storm.tally.down) == (IncidentKind.STORM, 14)
    assert [one.kind for one in others] == [IncidentKind.OFFLINE] * 6


async def test_a_storm_without_anything_in_common_names_nothing(database: Database) -> None:
    world = await stormy(database)
    assert (await world.only_incident()).cause == ()


async def test_the_first_ten_are_on_the_card_and_all_are_in_a_file(database: Database) -> None:
    world = await stormy(database)
    (note,) = await world.notes()
    incident = await world.only_incident()
    assert (note.kind, note.body) == ("incident_gateways", {"incident": incident.id})
    assert len(incident.first) == 10


# ---- lost sight
async def sightless(database: Database) -> World:
    world = await World.begin(database, *OTHERS[:40])
    world.goes("offline", *list(world.fleet)[:25])
    await world.passes(1)
    return world


async def test_half_the_fleet_gone_between_two_listings_is_visibility_loss(database: Database) -> None:
    world = await sightless(database)
    incident = await world.only_incident()
    assert incident.kind is IncidentKind.VISIBILITY
    assert incident.loss is not None
    assert (incident.loss.lost, incident.loss.online_before) == (25, 40)
    assert len(await world.cards()) == 1
    assert await world.engine.visibility_loss() is not None


async def test_a_small_fleet_can_go_dark_by_halves(database: Database) -> None:
    world = await World.begin(database, *OTHERS[:19])
    world.goes("offline", *world.fleet)
    await world.passes(1)
    assert await world.live() == []


async def test_three_failed_listings_are_visibility_loss_and_the_next_one_ends_it(database: Database) -> None:
    world = await World.begin(database, "Oslo/a")
    for _ in range(3):
        await world.engine.tick()
        assert await world.live() == []
        await world.failed_listing()
    await world.engine.tick()
    assert (await world.only_incident()).kind is IncidentKind.VISIBILITY
    await world.listing()
    assert await world.live() == []
    assert len(await world.cards()) == 1


async def test_sight_that_returns_opens_no_incident(database: Database) -> None:
    world = await sightless(database)
    world.goes("online", *world.fleet)
    await world.passes(15)
    assert await world.live() == []
    assert [card.subject for card in await world.cards()] == ["1"]


@pytest.mark.on_both
async def test_three_more_listings_that_say_the_same_make_it_an_outage(database: Database) -> None:
    world = await sightless(database)
    await world.passes(2)
    assert await world.engine.visibility_loss() is not None
    await world.passes(1)
    assert await world.engine.visibility_loss() is None
    await world.passes(5)
    incident = await world.only_incident()
    assert (incident.kind, incident.tally.down) == (IncidentKind.STORM, 25)
    told = await world.alerts.incident(
        (await world.rows(select(incidents.c.id).order_by(incidents.c.id)))[0].id
    )
    assert told.loss is not None
    assert told.loss.outage


async def test_alerts_are_held_while_sight_is_lost(database: Database) -> None:
    world = await World.begin(database, *OTHERS[:40])
    world.goes("offline", "o000")
    await world.passes(4)
    world.goes("offline", *list(world.fleet)[1:30])
    await world.passes(3)
    assert [one.kind for one in await world.live()] == [IncidentKind.VISIBILITY]


async def test_what_gathers_is_not_posted_while_sight_is_lost(database: Database) -> None:
    world = await World.begin(database, *OTHERS[:40], rules=alert_rules(group_wait=2 * MINUTE))
    world.goes("offline", "o000")
    await world.passes(5)
    world.goes("offline", *list(world.fleet)[1:30])
    await world.passes(3)
    kinds = [await world.alerts.incident(int(card.subject)) for card in await world.cards()]  # type: ignore[arg-type]
    assert [one.kind for one in kinds] == [IncidentKind.VISIBILITY]


async def test_those_that_were_lost_to_sight_do_not_open_as_one_after_the_other(database: Database) -> None:
    """While sight is lost, who comes back leaves the incidents that were open before."""
    world = await World.begin(database, *OTHERS[:40])
    world.goes("offline", "o000")
    await world.passes(7)
    world.goes("online", "o000")
    world.goes("offline", *list(world.fleet)[1:30])
    await world.passes(3)
    assert [one.kind for one in await world.live()] == [IncidentKind.VISIBILITY]


async def unlisted(database: Database, minutes: int) -> World:
    """A gateway was in a posted incident when most of the fleet was left out of the listings."""
    world = await World.begin(database, *OTHERS[:40])
    world.goes("offline", "o000")
    await world.passes(7)
    for one in list(world.fleet)[:30]:
        world.release(one)
    await world.passes(minutes)
    return world


async def test_what_is_not_listed_while_sight_is_lost_stays_in_its_incident(database: Database) -> None:
    world = await unlisted(database, 3)
    assert [(one.kind, one.tally.down) for one in await world.live()] == [
        (IncidentKind.VISIBILITY, 0),
        (IncidentKind.OFFLINE, 1),
    ]
    world.add(*OTHERS[1:30])
    world.add(OTHERS[0])
    world.goes("offline", "o000", at=world.now - 10 * MINUTE)
    await world.passes(1)
    (incident,) = await world.live()
    assert (incident.kind, incident.tally.down, incident.tally.released) == (IncidentKind.OFFLINE, 1, 0)


@pytest.mark.on_both
async def test_what_an_outage_took_off_the_listing_is_released(database: Database) -> None:
    world = await unlisted(database, 4)
    assert await world.live() == []
    (first,) = [one for one in await world.rows(select(incidents)) if one.kind == "offline"]
    assert (await world.alerts.incident(first.id)).first[0].left_as is Leave.RELEASED


# ---- did not return
async def bricked(database: Database) -> World:
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Bergen/c")
    world.goes("offline", "a", "b")
    await world.claim("a")
    await world.claim("b")
    await world.passes(20)
    assert await world.live() == []
    await rollout(world, "a", "b")
    await world.unclaim("a")
    await world.unclaim("b")
    await world.passes(2)
    return world


async def test_what_did_not_return_is_one_louder_incident_that_names_the_rollout(database: Database) -> None:
    incident = await (await bricked(database)).only_incident()
    assert (incident.kind, incident.site, incident.tally.down) == (IncidentKind.NOT_RETURNED, "R-1", 2)
    assert (incident.firmware, incident.running_rollout) == ("3.5.0", 1)
    assert incident.state is IncidentState.OPEN


async def test_what_did_not_return_is_no_offline_incident_too(database: Database) -> None:
    world = await bricked(database)
    await world.passes(10)
    assert [one.kind for one in await world.live()] == [IncidentKind.NOT_RETURNED]


async def test_what_returns_late_ends_it_and_what_goes_later_is_an_ordinary_incident(
    database: Database,
) -> None:
    world = await bricked(database)
    world.goes("online", "a", "b")
    await world.passes(4)
    assert await world.live() == []
    world.goes("offline", "a")
    await world.passes(7)
    assert [one.kind for one in await world.live()] == [IncidentKind.OFFLINE]


@pytest.mark.on_both
async def test_an_incident_names_the_rollout_that_explains_it(database: Database) -> None:
    world = await World.begin(database, *(f"Oslo/a{number}" for number in range(10)), *OTHERS)
    dark = [f"a{number}" for number in range(8)]
    await rollout(world, *dark, state="verified")
    world.goes("offline", *dark)
    await world.passes(7)
    incident = await world.only_incident()
    assert [(share.trait, share.value, share.gateways) for share in incident.cause] == [
        (Trait.ROLLOUT, "1", 8)
    ]
    assert incident.running_rollout == 1


async def test_a_rollout_of_last_week_explains_nothing(database: Database) -> None:
    world = await World.begin(database, *(f"Oslo/a{number}" for number in range(10)), *OTHERS)
    dark = [f"a{number}" for number in range(8)]
    await rollout(world, *dark, state="verified")
    world.now += timedelta(days=2)
    world.goes("offline", *dark)
    await world.passes(7)
    assert (await world.only_incident()).cause == ()
