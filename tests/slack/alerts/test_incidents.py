"""What people do with incidents in Slack, from a click to what they see."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId
from bot.domain.rollouts.events import Started
from bot.domain.rollouts.lifecycle import RolloutId
from bot.services.alerts.notes import GATEWAYS, JOINED, RECOVERED
from bot.slack import ids
from bot.slack.alerts.acknowledgements import HandListeners
from bot.slack.alerts.incidents import AlertListeners
from bot.slack.alerts.views import lists as views
from bot.slack.alerts.views.buttons import ON_CARDS
from bot.slack.ids import CardRef, PageRef, Ref
from bot.slack.incoming.listeners import Click, CommandCall, Submission
from bot.slack.paging import list_clicks
from bot.slack.views.blocks import Message
from bot.storage.db.engine import Database
from bot.storage.db.tables import audit, incidents
from bot.storage.rollouts.events import add_event
from tests.slack.rollouts.desk import Modals
from tests.slack.shown import Answers, buttons, sendable
from tests.worlds.alerts import ANA, BEN, World, rollout
from tests.worlds.builders import alert_rules
from tests.worlds.databases import sqlite_url

NO_STORMS = alert_rules(storm_gateways=1000, storm_share=10)


class Alerts(AlertListeners):
    """With what people do about who has one, and the dialogs that were opened."""

    def __init__(self, world: World) -> None:
        super().__init__(world.alerts, world.pause)
        self.modals = Modals()
        self.hands = HandListeners(
            world.alerts, self.modals, actor_of=actor_of, called=called, page=self.alerts_page
        )


async def actor_of(user_id: str) -> Actor:
    people = {one.user_id: one for one in (ANA, BEN)}
    return people.get(user_id) or Actor(user_id, "Vera", Role.VIEWER)


async def called(_actor: Actor) -> dict[str, list[str]]:
    return {ANA.user_id: ["ana", "Ana Moe"], BEN.user_id: ["ben"], "U0BEN00002": ["ben", "Ben Vik"]}


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
def listeners(world: World) -> Alerts:
    return Alerts(world)


async def oslo(world: World) -> CardRef:
    _, incident = await world.live()
    return CardRef(str(incident.id), incident.version)


async def click(listeners: Alerts, action_id: str, ref: Ref, actor: Actor = ANA) -> Answers:
    """Somebody clicks; whatever listens to that button, of the feature's own or of all lists."""
    answers = Answers()
    own = {**listeners.feature().clicks, **listeners.hands.feature().clicks}
    listening = {**own, **list_clicks(listeners.lists())}
    await listening[action_id](Click(actor, "C0ALERTS", action_id, ref, answers, "trigger"))
    return answers


async def alerts(listeners: Alerts, actor: Actor = ANA) -> Answers:
    answers = Answers()
    await listeners.feature().commands["alerts"].listener(CommandCall(actor, "C0OPS", "", answers))
    return answers


async def test_alerts_lists_what_is_open(world: World, listeners: Alerts) -> None:
    said = (await alerts(listeners)).last.text
    assert "2 open alerts" in said
    assert "A-2 Oslo: 18 of 18 gateways offline" in said
    assert "A-1 Bergen: 1 of 1 gateway offline" in said


async def test_a_guest_sees_no_alerts(world: World, listeners: Alerts) -> None:
    with pytest.raises(NotAllowed):
        await alerts(listeners, Actor("U0GUEST", "Guest", Role.NONE))
    with pytest.raises(NotAllowed):
        await click(listeners, ids.INCIDENT_DETAILS, await oslo(world), Actor("U0GUEST", "Guest", Role.NONE))


async def test_the_card_is_drawn_from_the_database(world: World, listeners: Alerts) -> None:
    drawn = sendable(await listeners.feature().cards["incident"]((await oslo(world)).id))
    assert "18 of 18: the whole site" in drawn.text
    assert buttons(drawn)[ids.INCIDENT_ACK] == await oslo(world)


async def test_acknowledging_a_card_says_nothing_more_since_the_card_changes(
    world: World, listeners: Alerts
) -> None:
    ref = await oslo(world)
    answers = await click(listeners, ids.INCIDENT_ACK, ref)
    assert (answers.shown, answers.added) == ([], [])
    drawn = sendable(await listeners.feature().cards["incident"](ref.id))
    assert "acknowledged by <@U0ANA00001>" in drawn.text
    assert ids.INCIDENT_ACK not in buttons(drawn)


async def test_the_second_to_click_reads_who_was_first(world: World, listeners: Alerts) -> None:
    ref = await oslo(world)
    await click(listeners, ids.INCIDENT_ACK, ref)
    with pytest.raises(Stale, match="Ana acknowledged A-2 a moment ago"):
        await click(listeners, ids.INCIDENT_ACK, ref, BEN)


async def test_acknowledging_in_the_list_draws_the_list_again(world: World, listeners: Alerts) -> None:
    ref = await oslo(world)
    answers = await click(listeners, ids.INCIDENT_ACK, CardRef(ref.id, ref.version, PageRef("alerts")))
    assert "acknowledged by <@U0ANA00001>" in answers.last.text


async def test_details_are_shown_beside_the_card_and_page(world: World, listeners: Alerts) -> None:
    answers = await click(listeners, ids.INCIDENT_DETAILS, await oslo(world))
    (first,) = answers.added
    assert "g00" in first.text
    assert "g17" not in first.text
    second = await click(listeners, ids.PAGE_NEXT, buttons(first)[ids.PAGE_NEXT])
    assert "g17" in second.last.text


async def test_a_page_of_details_behind_the_end_is_the_last_page(world: World, listeners: Alerts) -> None:
    answers = await click(listeners, ids.PAGE_NEXT, PageRef("incident", 900, (await oslo(world)).id))
    assert "g17" in answers.last.text


async def test_all_gateways_of_an_incident_come_as_a_file(world: World, listeners: Alerts) -> None:
    answers = await click(listeners, ids.EXPORT_CSV, PageRef("incident", 0, (await oslo(world)).id))
    ((name, content, _),) = answers.files
    assert name == f"incident-{(await oslo(world)).id}.csv"
    assert content.decode("utf-8-sig").count("\r\n") == 19


@pytest.mark.parametrize("number", ["", "x", "²", "999", "9" * 40])
async def test_a_button_that_names_no_incident_is_refused_with_a_sentence(
    world: World, listeners: Alerts, number: str
) -> None:
    with pytest.raises(NotFound):
        await click(listeners, ids.INCIDENT_ACK, CardRef(number, 1))
    with pytest.raises(NotFound):
        await click(listeners, ids.PAGE_NEXT, PageRef("incident", 0, number))


async def test_a_gateways_card_can_say_in_which_incident_it_is(world: World, listeners: Alerts) -> None:
    assert "Bergen" in (await listeners.line_of(GatewayId("b")) or "")
    assert await listeners.line_of(GatewayId("unheard-of")) is None


async def test_the_note_about_those_who_joined_says_where(world: World, listeners: Alerts) -> None:
    world.add("Oslo/late")
    await world.passes(1)
    world.goes("offline", "late")
    await world.passes(6)
    note = next(note for note in await world.notes() if note.kind == JOINED)
    drawn = listeners.feature().notes[note.kind](note.body)
    assert not isinstance(drawn, Message)
    assert sendable(await drawn).text == "🔴 A-2 Oslo: 19 of 19 gateways offline (was 18). Newest: late."


async def test_an_incident_that_is_over_cannot_be_acknowledged_any_more(
    world: World, listeners: Alerts
) -> None:
    ref = await oslo(world)
    world.goes("online", *world.fleet)
    await world.passes(4)
    with pytest.raises(Stale, match="is over"):
        await click(listeners, ids.INCIDENT_ACK, ref)
    assert (await world.alerts.incident(IncidentId(int(ref.id)))).acknowledged is None


async def test_the_file_of_all_gateways_is_drawn_into_the_cards_thread(
    world: World, listeners: Alerts
) -> None:
    (note,) = await world.notes()
    drawing = listeners.feature().notes[note.kind](note.body)
    assert not isinstance(drawing, Message)
    drawn = await drawing
    assert sendable(drawn).text == "A-2: all 18 gateways at Oslo are in this file."
    assert drawn.files[0].content.count(b"\r\n") == 19


async def test_pausing_a_rollout_that_does_not_run_is_refused_with_a_sentence(
    world: World, listeners: Alerts
) -> None:
    with pytest.raises(Stale, match="does not run any more"):
        await click(listeners, ids.INCIDENT_PAUSE_ROLLOUT, await oslo(world))
    assert world.paused == []


async def test_the_rollout_that_explains_an_incident_is_paused_from_its_card(
    world: World, listeners: Alerts
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
async def asked(listeners: Alerts, text: str) -> Answers:
    answers = Answers()
    await listeners.feature().commands["alerts"].listener(CommandCall(ANA, "C0OPS", text, answers))
    return answers


@pytest.mark.parametrize("text", ["A-2", "a-2", "2"])
async def test_an_alert_is_shown_by_its_number_and_stays_shown_when_it_is_acknowledged(
    world: World, listeners: Alerts, text: str
) -> None:
    shown = (await asked(listeners, text)).last
    assert "A-2 Oslo: 18 of 18 gateways offline" in sendable(shown).text
    answers = await click(listeners, ids.INCIDENT_ACK, buttons(shown)[ids.INCIDENT_ACK])
    assert "A-2 Oslo" in answers.last.text
    assert "acknowledged by <@U0ANA00001>" in answers.last.text


@pytest.mark.parametrize(("text", "error"), [("A-99", NotFound), ("oslo", InvalidInput)])
async def test_what_is_no_number_of_an_alert_is_refused_with_a_hint(
    listeners: Alerts, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await asked(listeners, text)


async def test_the_worst_stands_first_among_what_nobody_has(world: World, listeners: Alerts) -> None:
    said = (await alerts(listeners)).last.text
    assert said.index("A-2 Oslo") < said.index("A-1 Bergen"), "though Bergen has the lower number"


async def test_alerts_that_are_over_are_found_by_place_gateway_and_age(
    world: World, listeners: Alerts
) -> None:
    world.goes("online", *world.fleet)
    await world.passes(4)
    for text in ("closed", "closed oslo", "closed id:g03", "closed tag:Oslo for 1h", "over last 2h"):
        assert "A-2 Oslo: over, 18 gateways were offline" in (await asked(listeners, text)).last.text, text
    assert "Bergen" not in (await asked(listeners, "closed oslo")).last.text
    assert "No alert that is over fits" in (await asked(listeners, "closed voss")).last.text
    await world.passes(90)
    assert "No alert that is over fits" in (await asked(listeners, "closed for 1h")).last.text


async def test_a_list_of_those_that_are_over_pages(world: World, listeners: Alerts) -> None:
    world.goes("online", *world.fleet)
    await world.passes(4)
    last = await click(listeners, ids.PAGE_NEXT, PageRef("alerts", 900, "closed"))
    assert "2 closed alerts" in last.last.text


async def test_an_alert_says_when_its_site_was_last_offline(world: World, listeners: Alerts) -> None:
    world.goes("online", *world.fleet)
    await world.passes(60)
    world.goes("offline", "g01")
    await world.passes(7)
    drawn = await listeners.draw_card("3")
    assert "The last time here: A-2," in drawn.text
    assert "18 gateways." in drawn.text


# ---- who has it
async def says(listeners: Alerts, text: str, actor: Actor = BEN, thread: str = "2") -> str:
    """In the thread of Oslo's card, as the first feature that knows the word answers."""
    word, _, rest = text.partition(" ")
    answers = Answers()
    call = CommandCall(actor, "C0ALERTS", rest, answers, written=rest, about=("incident", thread))
    assert await listeners.hands.in_thread(word, call)
    return sendable(answers.last).text


async def types(listeners: Alerts, text: str, actor: Actor = BEN) -> str:
    """As a command, outside of any thread."""
    word, _, rest = text.partition(" ")
    answers = Answers()
    command = listeners.hands.feature().commands[word]
    await command.listener(CommandCall(actor, "C0OPS", rest, answers, written=rest))
    return sendable(answers.last).text


async def had_by_ana(world: World, listeners: Alerts) -> CardRef:
    await click(listeners, ids.INCIDENT_ACK, await oslo(world))
    return await oslo(world)


async def holder(world: World, number: int = 2) -> str | None:
    taken = (await world.alerts.incident(IncidentId(number))).acknowledged
    return taken.name if taken is not None else None


async def drawn_note(world: World, listeners: Alerts, place: int = -1) -> str:
    """The text of a note as it would be sent now."""
    note = (await world.notes())[place]
    notes = {**listeners.feature().notes, **listeners.hands.feature().notes}
    drawn = notes[note.kind](note.body)
    return sendable(drawn if isinstance(drawn, Message) else await drawn).text


async def test_an_alert_is_taken_over_with_one_click_and_who_had_it_is_mentioned(
    world: World, listeners: Alerts
) -> None:
    ref = await had_by_ana(world, listeners)
    drawn = await listeners.draw_card("2")
    assert buttons(drawn)[ids.INCIDENT_TAKE_OVER] == ref
    await click(listeners, ids.INCIDENT_TAKE_OVER, ref, BEN)
    assert await holder(world) == "Ben"
    said = await drawn_note(world, listeners)
    assert said.endswith(f"offline. Ben took this over from <@{ANA.user_id}>.")
    assert BEN.user_id not in said
    assert not (await world.notes())[-1].broadcast


async def test_a_button_to_take_over_that_is_older_than_the_last_change_is_refused(
    world: World, listeners: Alerts
) -> None:
    ref = await had_by_ana(world, listeners)
    await click(listeners, ids.INCIDENT_TAKE_OVER, ref, BEN)
    with pytest.raises(Stale, match=r"A-2 changed since the button was drawn\. Ben has it"):
        await click(listeners, ids.INCIDENT_TAKE_OVER, ref, Actor("U0CARL0001", "Carl", Role.OPERATOR))


async def test_who_has_an_alert_gives_it_back_and_nobody_else_does(world: World, listeners: Alerts) -> None:
    ref = await had_by_ana(world, listeners)
    with pytest.raises(Stale, match="Ana has A-2, not you"):
        await click(listeners, ids.INCIDENT_GIVE_BACK, ref, BEN)
    await click(listeners, ids.INCIDENT_GIVE_BACK, ref)
    assert await holder(world) is None
    assert "<@U0ANA00001> gave it back" in (await listeners.draw_card("2")).text
    assert (await drawn_note(world, listeners)).endswith("Ana gave this back, so nobody has it now.")


async def test_an_alert_is_assigned_in_a_dialog_and_whoever_gets_it_is_written_to(
    world: World, listeners: Alerts
) -> None:
    ref = await oslo(world)
    await click(listeners, ids.INCIDENT_ASSIGN, ref)
    assert "Assign A-2" in str(listeners.modals.opened)
    values = {ids.PERSON: BEN.user_id, ids.NOTE: "the mast is down"}
    sent = Submission(ANA, ids.INCIDENT_ASSIGN, ref, values)
    assert (await listeners.hands.feature().submissions[ids.INCIDENT_ASSIGN](sent)).errors == {}
    assert await holder(world) == "Ben"
    told, written = (await world.notes())[-2:]
    assert (told.channel, written.channel) == ("C0ALERTS", BEN.user_id)
    assert (await drawn_note(world, listeners, -2)).endswith("Ana gave this to Ben: the mast is down.")
    direct = await drawn_note(world, listeners)
    assert direct.startswith(
        "🔴 A-2 Oslo: 18 of 18 gateways offline. Ana gave you this alert: the mast is down."
    )
    assert "assigned to <@U0BEN00001> by <@U0ANA00001>" in (await listeners.draw_card("2")).text


async def test_nobody_gets_an_alert_who_may_not_acknowledge_one(world: World, listeners: Alerts) -> None:
    with pytest.raises(NotAllowed, match="Vera may not acknowledge an alert"):
        await says(listeners, "assign <@U0VERA0001>")
    assert await holder(world) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("ack", "🔴 A-2 Oslo: 18 of 18 gateways offline. You have it now."),
        ("mine on my way", "You have it now."),
        ("take", "You have it now."),
        ("take over", "You have it now."),
        ("assign <@U0ANA00001> the mast is down", "Ana has it now."),
        ("assign to me", "You have it now."),
        ("ack A-1", "🔴 A-1 Bergen: 1 of 1 gateway offline. You have it now."),
    ],
)
async def test_a_thread_knows_the_words_and_its_answer_names_site_and_number(
    listeners: Alerts, text: str, answer: str
) -> None:
    assert answer in await says(listeners, text)


@pytest.mark.parametrize("who", ["@ana", "@Ana Moe,", "@ANA MOE", "to @ana"])
async def test_an_alert_is_assigned_to_whom_somebody_names(listeners: Alerts, who: str) -> None:
    assert "Ana has it now" in await types(listeners, f"assign A-2 {who} the mast is down")


@pytest.mark.parametrize(
    ("who", "said"),
    [("@zoe", "I know nobody called @zoe"), ("@ben", "2 people are called @ben"), ("@", "Say")],
)
async def test_an_alert_is_not_assigned_to_a_name_that_is_not_one_person_s(
    listeners: Alerts, who: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        await types(listeners, f"assign A-2 {who}")


@pytest.mark.parametrize("word", ["ack", "take", "unack"])
async def test_of_a_number_that_was_never_given_it_is_said_that_there_is_no_such_alert(
    listeners: Alerts, word: str
) -> None:
    with pytest.raises(NotFound, match="There is no alert A-99: /mesh alerts lists those there are"):
        await types(listeners, f"{word} A-99")


async def test_give_back_in_a_thread_frees_the_alert(world: World, listeners: Alerts) -> None:
    await had_by_ana(world, listeners)
    assert (await says(listeners, "give back", ANA)).endswith("Nobody has it now.")
    assert await holder(world) is None


async def test_what_is_written_behind_the_word_is_a_note_on_card_and_thread(
    world: World, listeners: Alerts
) -> None:
    await says(listeners, "ack because I am *on* my way")
    card = (await listeners.draw_card("2")).text
    assert "acknowledged by <@U0BEN00001>" in card
    assert "I am" in card
    assert "my way" in await drawn_note(world, listeners)


async def test_commands_name_an_alert_by_its_number(world: World, listeners: Alerts) -> None:
    assert "A-2 Oslo" in await types(listeners, "ack A-2 on my way", ANA)
    assert "You have it now" in await types(listeners, "take 2")
    assert "Ana has it now" in await types(listeners, "assign a-2 <@U0ANA00001>")
    assert "Nobody has it now" in await types(listeners, "unack A-2", ANA)
    with pytest.raises(InvalidInput, match="Name the alert by its number: /mesh take A-10"):
        await types(listeners, "take")


async def test_ack_alone_lists_what_is_open(listeners: Alerts) -> None:
    assert "2 open alerts" in await types(listeners, "ack")


async def test_all_that_nobody_has_are_acknowledged_at_once(world: World, listeners: Alerts) -> None:
    drawn = (await alerts(listeners)).last
    answers = await click(listeners, ids.INCIDENT_ACK_ALL, buttons(drawn)[ids.INCIDENT_ACK_ALL])
    assert [await holder(world, one) for one in (1, 2)] == ["Ana", "Ana"]
    assert sendable(answers.added[0]).text == "You have 2 alerts now: A-1, A-2."
    assert ids.INCIDENT_ACK_ALL not in buttons(answers.last)


async def test_the_page_on_which_all_are_acknowledged_is_drawn_again(world: World) -> None:
    shown = [await world.alerts.incident(IncidentId(one)) for one in (1, 2)]
    drawn = views.alerts(shown, 18, 8, NO_STORMS, has_channel=True)
    asked: list[int] = []

    async def page(_actor: Actor, offset: int, _question: str) -> Message:
        asked.append(offset)
        return drawn

    listeners = HandListeners(world.alerts, Modals(), actor_of=actor_of, called=called, page=page)
    ref = buttons(drawn)[ids.INCIDENT_ACK_ALL]
    clicked = Click(ANA, "C0ALERTS", ids.INCIDENT_ACK_ALL, ref, Answers())
    await listeners.feature().clicks[ids.INCIDENT_ACK_ALL](clicked)
    assert asked == [8]


async def test_the_card_of_a_mass_outage_acknowledges_all_that_nobody_has(
    world: World, listeners: Alerts
) -> None:
    answers = await click(listeners, ids.INCIDENT_ACK_ALL, PageRef(ON_CARDS))
    assert [await holder(world, one) for one in (1, 2)] == ["Ana", "Ana"]
    assert [one.text for one in answers.added] == ["You have 2 alerts now: A-1, A-2."]
    assert answers.shown == [], "a card changes by itself"


async def test_what_changed_since_the_list_was_drawn_stays_as_it_is(world: World, listeners: Alerts) -> None:
    drawn = (await alerts(listeners)).last
    await click(listeners, ids.INCIDENT_ACK, await oslo(world), BEN)
    answers = await click(listeners, ids.INCIDENT_ACK_ALL, buttons(drawn)[ids.INCIDENT_ACK_ALL])
    assert [await holder(world, one) for one in (1, 2)] == ["Ana", "Ben"]
    assert "1 alert changed since the list was drawn" in answers.added[0].text


async def test_ack_all_in_words_takes_what_nobody_has(world: World, listeners: Alerts) -> None:
    assert await types(listeners, "ack all power is out") == "You have 2 alerts now: A-1, A-2."
    assert await types(listeners, "ack all") == "Every open alert has somebody already."


async def test_ack_all_in_a_thread_takes_all_only_where_nothing_follows(
    world: World, listeners: Alerts
) -> None:
    await says(listeners, "ack all good, on my way")
    assert [await holder(world, one) for one in (1, 2)] == [None, "Ben"]
    assert await noted(world) == "all good, on my way"
    assert await says(listeners, "ack all") == "You have 1 alert now: A-1."


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("ack on my way to the site", "on my way to the site"),
        ("ack I edit the visit over there", "I edit the visit over there"),
        ("ack this is the mast", "this is the mast"),
        ("ack back in 5 minutes", "back in 5 minutes"),
        ("ack this", None),
        ("ack this because it is the mast", "it is the mast"),
        ("ack A-2 it is over there", "it is over there"),
        ("take over, I drive to it", "I drive to it"),
        ("take A-2 over", None),
        ("assign this to <@U0ANA00001> to go over", "to go over"),
    ],
)
async def test_a_note_is_stored_whole(world: World, listeners: Alerts, text: str, note: str | None) -> None:
    await says(listeners, text)
    assert await noted(world) == note


@pytest.mark.parametrize(
    "text", ["take a look", "take it easy", "take 2 days off", "give me the list", "release notes"]
)
async def test_a_word_in_a_thread_that_goes_on_about_something_else_changes_nothing(
    world: World, listeners: Alerts, text: str
) -> None:
    await had_by_ana(world, listeners)
    word, _, rest = text.partition(" ")
    call = CommandCall(ANA, "C0ALERTS", rest, Answers(), about=("incident", "2"))
    assert not await listeners.hands.in_thread(word, call)
    assert await holder(world) == "Ana"


async def noted(world: World) -> str | None:
    taken = (await world.alerts.incident(IncidentId(2))).acknowledged
    assert taken is not None
    return taken.note


async def test_a_viewer_changes_nothing_about_who_has_it(world: World, listeners: Alerts) -> None:
    viewer = Actor("U0VERA0001", "Vera", Role.VIEWER)
    ref = await had_by_ana(world, listeners)
    for one in (ids.INCIDENT_TAKE_OVER, ids.INCIDENT_GIVE_BACK):
        with pytest.raises(NotAllowed):
            await click(listeners, one, ref, viewer)
    with pytest.raises(NotAllowed):
        await types(listeners, "ack all", viewer)
    assert await holder(world) == "Ana"


async def test_who_has_it_is_in_the_log(world: World, listeners: Alerts) -> None:
    await had_by_ana(world, listeners)
    await says(listeners, "take because I am closer")
    await says(listeners, "assign <@U0ANA00001>")
    await says(listeners, "give back", ANA)
    rows = await world.rows(select(audit).order_by(audit.c.id))
    assert [(row.action, row.before, row.after, row.reason) for row in rows] == [
        ("incident_ack", None, None, None),
        ("incident_take_over", "Ana", None, "I am closer"),
        ("incident_assign", "Ben", "Ana", None),
        ("incident_give_back", None, None, None),
    ]
    assert {row.subject for row in rows} == {"A-2: at Oslo"}


# ---- its end
async def test_its_end_is_one_quiet_line_that_mentions_who_had_it(world: World, listeners: Alerts) -> None:
    await had_by_ana(world, listeners)
    world.goes("online", *world.fleet)
    await world.passes(4)
    told = [note for note in await world.notes() if note.kind == RECOVERED]
    assert [(note.broadcast, note.card_id is None) for note in told] == [(False, False)] * 2
    texts = sorted([await drawn_note(world, listeners, place) for place in (-1, -2)])
    assert texts[0].startswith("🟢 A-1 Bergen back after 7 min: 1 gateway.")
    assert "<@" not in texts[0], "nobody had it"
    assert texts[1] == f"🟢 A-2 Oslo back after 7 min: 18 gateways. <@{ANA.user_id}>, you had this."


async def test_a_note_to_the_channel_says_at_the_end_that_it_is_over(world: World, listeners: Alerts) -> None:
    names = [f"Oslo/late{number:02}" for number in range(18)]
    world.add(*names)
    await world.passes(1)
    world.goes("offline", *(one.partition("/")[2] for one in names))
    await world.passes(6)
    place = next(at for at, note in enumerate(await world.notes()) if note.broadcast)
    assert "🔴 A-2 Oslo: 36 of 36 gateways offline (was 18)." in await drawn_note(world, listeners, place)
    wanted = (await world.notes())[place].wanted
    world.goes("online", *world.fleet)
    await world.passes(4)
    note = (await world.notes())[place]
    assert note.wanted > wanted, "it is drawn anew"
    assert (await drawn_note(world, listeners, place)).startswith(
        "🟢 A-2 Oslo: over, 36 gateways were offline."
    )


# ---- who hears of it
async def heard(world: World, listeners: Alerts, known: int) -> list[tuple[str, bool, list[str]]]:
    """Of each note since then: where, whether the whole channel reads it, and whom it mentions."""
    notes = (await world.notes())[known:]
    texts = [await drawn_note(world, listeners, known + place) for place in range(len(notes))]
    pinged = [re.findall(r"<@(\w+)>|<!subteam\^(\w+)>", text) for text in texts]
    return [
        (note.channel, note.broadcast, ["".join(one) for one in names])
        for note, names in zip(notes, pinged, strict=True)
        if note.kind != GATEWAYS
    ]


async def test_of_each_moment_it_is_said_who_is_mentioned_or_written_to_and_nobody_else_is(
    world: World, listeners: Alerts
) -> None:
    async def known() -> int:
        return len(await world.notes())

    ana, ben, alert = ANA.user_id, BEN.user_id, IncidentId(2)
    assert "<@" not in (await listeners.draw_card("2")).text, "opened: nobody"
    assert await heard(world, listeners, 0) == []

    before = await known()
    await world.alerts.acknowledge(ANA, alert, None)
    assert await heard(world, listeners, before) == [], "acknowledged: nobody, the card says whose it is"

    names = [f"late{number:02}" for number in range(18)]
    world.add(*(f"Oslo/{one}" for one in names))
    await world.passes(1)
    before = await known()
    world.goes("offline", *names)
    await world.passes(6)
    grown = [("C0ALERTS", True, [ana])]
    assert await heard(world, listeners, before) == grown, "grown: the channel, and who has it no longer"

    await world.alerts.acknowledge(ANA, alert, None)
    before = await known()
    await world.alerts.take_over(BEN, alert, None)
    taken = [("C0ALERTS", False, [ana])]
    assert await heard(world, listeners, before) == taken, "taken over: who had it, not the channel"

    before = await known()
    await world.alerts.assign(BEN, alert, None, ANA)
    nobody: list[str] = []
    given = [("C0ALERTS", False, nobody), (ana, False, nobody)]
    assert await heard(world, listeners, before) == given, "assigned: a direct message to who gets it"

    before = await known()
    await world.alerts.assign(Actor("U0CARL0001", "Carl", Role.OPERATOR), alert, None, BEN)
    given = [("C0ALERTS", False, [ana]), (ben, False, nobody)]
    assert await heard(world, listeners, before) == given, "and who had it is mentioned"

    before = await known()
    world.goes("online", *world.fleet)
    await world.passes(4)
    over = sorted(await heard(world, listeners, before))
    assert over == [("C0ALERTS", False, nobody), ("C0ALERTS", False, [ben])], (
        "recovered: who had it, if anybody"
    )
