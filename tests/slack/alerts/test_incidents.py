"""What people do with incidents in Slack, from a click to what they see."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId
from bot.domain.rollouts.events import Started
from bot.domain.rollouts.rollout import RolloutId
from bot.slack import ids
from bot.slack.alerts.incidents import AlertListeners
from bot.slack.ids import CardRef, PageRef, Ref
from bot.slack.incoming.requests import Click, CommandCall
from bot.slack.lists import list_clicks
from bot.slack.views.blocks import Message
from bot.storage.db.engine import Database
from bot.storage.db.tables import incidents
from bot.storage.rollouts.events import add_event
from tests.slack.shown import Answers, buttons, sendable
from tests.worlds.alerts import ANA, BEN, World, rollout
from tests.worlds.builders import alert_rules
from tests.worlds.databases import sqlite_url

NO_STORMS = alert_rules(storm_gateways=1000, storm_share=10)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Eighteen gateways at Oslo and one at Bergen are offline, each site in a posted incident."""
    database = Database.open(sqlite_url(tmp_path))
    gateways = [f"Oslo/g{number:02}" for number in range(18)]
    world = await World.begin(database, *gateways, "Bergen/b", rules=NO_STORMS)
    world.goes("offline", *world.fleet)
    await world.passes(7)
    yield world
    await database.close()


@pytest.fixture
def listeners(world: World) -> AlertListeners:
    return AlertListeners(world.alerts, world.pause)


async def oslo(world: World) -> CardRef:
    _, incident = await world.live()
    return CardRef(str(incident.id), incident.version)


async def click(listeners: AlertListeners, action_id: str, ref: Ref, actor: Actor = ANA) -> Answers:
    """Somebody clicks; whatever listens to that button, of the feature's own or of all lists."""
    answers = Answers()
    listening = {**listeners.feature().clicks, **list_clicks(listeners.lists())}
    await listening[action_id](Click(actor, "C0ALERTS", action_id, ref, answers))
    return answers


async def alerts(listeners: AlertListeners, actor: Actor = ANA) -> Answers:
    answers = Answers()
    await listeners.feature().commands["alerts"].listener(CommandCall(actor, "C0OPS", "", answers))
    return answers


async def test_alerts_lists_what_is_open(world: World, listeners: AlertListeners) -> None:
    said = (await alerts(listeners)).last.text
    assert "2 open alerts" in said
    assert "A-2 Oslo: 18 of 18 gateways offline" in said
    assert "A-1 Bergen: 1 of 1 gateway offline" in said


async def test_a_guest_sees_no_alerts(world: World, listeners: AlertListeners) -> None:
    with pytest.raises(NotAllowed):
        await alerts(listeners, Actor("U0GUEST", "Guest", Role.NONE))
    with pytest.raises(NotAllowed):
        await click(listeners, ids.INCIDENT_DETAILS, await oslo(world), Actor("U0GUEST", "Guest", Role.NONE))


async def test_the_card_is_drawn_from_the_database(world: World, listeners: AlertListeners) -> None:
    drawn = sendable(await listeners.feature().cards["incident"]((await oslo(world)).id))
    assert "18 of 18: the whole site" in drawn.text
    assert buttons(drawn)[ids.INCIDENT_ACK] == await oslo(world)


async def test_acknowledging_a_card_says_nothing_more_since_the_card_changes(
    world: World, listeners: AlertListeners
) -> None:
    ref = await oslo(world)
    answers = await click(listeners, ids.INCIDENT_ACK, ref)
    assert (answers.shown, answers.added) == ([], [])
    drawn = sendable(await listeners.feature().cards["incident"](ref.id))
    assert "acknowledged by <@U0ANA00001>" in drawn.text
    assert ids.INCIDENT_ACK not in buttons(drawn)


async def test_the_second_to_click_reads_who_was_first(world: World, listeners: AlertListeners) -> None:
    ref = await oslo(world)
    await click(listeners, ids.INCIDENT_ACK, ref)
    with pytest.raises(Stale, match="Ana acknowledged this a moment ago"):
        await click(listeners, ids.INCIDENT_ACK, ref, BEN)


async def test_acknowledging_in_the_list_draws_the_list_again(
    world: World, listeners: AlertListeners
) -> None:
    ref = await oslo(world)
    answers = await click(listeners, ids.INCIDENT_ACK, CardRef(ref.id, ref.version, PageRef("alerts")))
    assert "acknowledged by <@U0ANA00001>" in answers.last.text


async def test_details_are_shown_beside_the_card_and_page(world: World, listeners: AlertListeners) -> None:
    answers = await click(listeners, ids.INCIDENT_DETAILS, await oslo(world))
    (first,) = answers.added
    assert "g00" in first.text
    assert "g17" not in first.text
    second = await click(listeners, ids.PAGE_NEXT, buttons(first)[ids.PAGE_NEXT])
    assert "g17" in second.last.text


async def test_a_page_of_details_behind_the_end_is_the_last_page(
    world: World, listeners: AlertListeners
) -> None:
    answers = await click(listeners, ids.PAGE_NEXT, PageRef("incident", 900, (await oslo(world)).id))
    assert "g17" in answers.last.text


async def test_all_gateways_of_an_incident_come_as_a_file(world: World, listeners: AlertListeners) -> None:
    answers = await click(listeners, ids.EXPORT_CSV, PageRef("incident", 0, (await oslo(world)).id))
    ((name, content, _),) = answers.files
    assert name == f"incident-{(await oslo(world)).id}.csv"
    assert content.decode("utf-8-sig").count("\r\n") == 19


@pytest.mark.parametrize("number", ["", "x", "²", "999", "9" * 40])
async def test_a_button_that_names_no_incident_is_refused_with_a_sentence(
    world: World, listeners: AlertListeners, number: str
) -> None:
    with pytest.raises(NotFound):
        await click(listeners, ids.INCIDENT_ACK, CardRef(number, 1))
    with pytest.raises(NotFound):
        await click(listeners, ids.PAGE_NEXT, PageRef("incident", 0, number))


async def test_a_gateways_card_can_say_in_which_incident_it_is(
    world: World, listeners: AlertListeners
) -> None:
    assert "Bergen" in (await listeners.line_of(GatewayId("b")) or "")
    assert await listeners.line_of(GatewayId("unheard-of")) is None


async def test_the_note_about_those_who_joined_says_where(world: World, listeners: AlertListeners) -> None:
    world.add("Oslo/late")
    await world.passes(1)
    world.goes("offline", "late")
    await world.passes(6)
    note = (await world.notes())[-1]
    drawn = listeners.feature().notes[note.kind](note.body)
    assert not isinstance(drawn, Message)
    assert sendable(await drawn).text == "🔴 A-2 Oslo: 19 of 19 gateways offline. 1 more gateway: late."


async def test_an_incident_that_is_over_cannot_be_acknowledged_any_more(
    world: World, listeners: AlertListeners
) -> None:
    ref = await oslo(world)
    world.goes("online", *world.fleet)
    await world.passes(4)
    with pytest.raises(Stale, match="is over"):
        await click(listeners, ids.INCIDENT_ACK, ref)
    assert (await world.alerts.incident(IncidentId(int(ref.id)))).acknowledged is None


async def test_the_file_of_all_gateways_is_drawn_into_the_cards_thread(
    world: World, listeners: AlertListeners
) -> None:
    (note,) = await world.notes()
    drawing = listeners.feature().notes[note.kind](note.body)
    assert not isinstance(drawing, Message)
    drawn = await drawing
    assert sendable(drawn).text == "A-2: all 18 gateways at Oslo are in this file."
    assert drawn.files[0].content.count(b"\r\n") == 19


async def test_pausing_a_rollout_that_does_not_run_is_refused_with_a_sentence(
    world: World, listeners: AlertListeners
) -> None:
    with pytest.raises(Stale, match="does not run any more"):
        await click(listeners, ids.INCIDENT_PAUSE_ROLLOUT, await oslo(world))
    assert world.paused == []


async def test_the_rollout_that_explains_an_incident_is_paused_from_its_card(
    world: World, listeners: AlertListeners
) -> None:
    await rollout(world, "g00", state="verified")
    async with world.database.write() as connection:
        await connection.execute(update(incidents).values(rollout_id=1))
        entry = await add_event(connection, RolloutId(1), Started(), None, world.now)
    shown = (await world.cards())[0].wanted
    drawn = await listeners.draw_card((await oslo(world)).id)
    await click(listeners, ids.INCIDENT_PAUSE_ROLLOUT, buttons(drawn)[ids.INCIDENT_PAUSE_ROLLOUT])
    assert world.paused == [(ANA.user_id, 1, entry, "C0ALERTS")], "as it was drawn"
    assert max(card.wanted for card in await world.cards()) > shown


# ---- one alert, and those that are over
async def asked(listeners: AlertListeners, text: str) -> Answers:
    answers = Answers()
    await listeners.feature().commands["alerts"].listener(CommandCall(ANA, "C0OPS", text, answers))
    return answers


@pytest.mark.parametrize("text", ["A-2", "a-2", "2"])
async def test_an_alert_is_shown_by_its_number_and_stays_shown_when_it_is_acknowledged(
    world: World, listeners: AlertListeners, text: str
) -> None:
    shown = (await asked(listeners, text)).last
    assert "A-2 Oslo: 18 of 18 gateways offline" in sendable(shown).text
    answers = await click(listeners, ids.INCIDENT_ACK, buttons(shown)[ids.INCIDENT_ACK])
    assert "A-2 Oslo" in answers.last.text
    assert "acknowledged by <@U0ANA00001>" in answers.last.text


@pytest.mark.parametrize(("text", "error"), [("A-99", NotFound), ("oslo", InvalidInput)])
async def test_what_is_no_number_of_an_alert_is_refused_with_a_hint(
    listeners: AlertListeners, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await asked(listeners, text)


async def test_the_worst_stands_first_among_what_nobody_has(world: World, listeners: AlertListeners) -> None:
    said = (await alerts(listeners)).last.text
    assert said.index("A-2 Oslo") < said.index("A-1 Bergen"), "though Bergen has the lower number"


async def test_alerts_that_are_over_are_found_by_place_gateway_and_age(
    world: World, listeners: AlertListeners
) -> None:
    world.goes("online", *world.fleet)
    await world.passes(4)
    for text in ("closed", "closed oslo", "closed id:g03", "closed tag:Oslo for 1h", "over last 2h"):
        assert "A-2 Oslo: over, 18 gateways were offline" in (await asked(listeners, text)).last.text, text
    assert "Bergen" not in (await asked(listeners, "closed oslo")).last.text
    assert "No alert that is over fits" in (await asked(listeners, "closed voss")).last.text
    await world.passes(90)
    assert "No alert that is over fits" in (await asked(listeners, "closed for 1h")).last.text


async def test_a_list_of_those_that_are_over_pages(world: World, listeners: AlertListeners) -> None:
    world.goes("online", *world.fleet)
    await world.passes(4)
    last = await click(listeners, ids.PAGE_NEXT, PageRef("alerts", 900, "closed"))
    assert "2 closed alerts" in last.last.text


async def test_an_alert_says_when_its_site_was_last_offline(world: World, listeners: AlertListeners) -> None:
    world.goes("online", *world.fleet)
    await world.passes(60)
    world.goes("offline", "g01")
    await world.passes(7)
    drawn = await listeners.draw_card("3")
    assert "The last time here: A-2," in drawn.text
    assert "18 gateways." in drawn.text
