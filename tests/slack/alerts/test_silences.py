"""What people do with silences in Slack."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.domain.access import Actor, Role
from bot.domain.audit import AuditQuery
from bot.domain.errors import AlreadyDone, InvalidInput, NotAllowed, NotFound
from bot.domain.query import Query
from bot.services.alerts.silences import SilenceService
from bot.services.context import Context
from bot.services.rollouts.events import anywhere
from bot.slack import ids
from bot.slack.alerts.silences import SilenceListeners
from bot.slack.alerts.views import silences as views
from bot.slack.ids import CardRef, GatewayRef, Ref, decode
from bot.slack.incoming.listeners import Click, CommandCall, Submission
from bot.slack.views.blocks import Message, utc
from bot.storage import audit
from bot.storage.db.engine import Database
from bot.storage.fleet import search
from tests.slack.shown import Answers, Modals, buttons, doors, sendable
from tests.worlds.alerts import ANA, World
from tests.worlds.builders import parsed
from tests.worlds.databases import sqlite_url

UTC = ZoneInfo("UTC")
VIC = Actor("U0VIC00001", "Vic", Role.VIEWER)


class Desk:
    """One dark gateway at Oslo in a posted incident, and the listeners."""

    def __init__(self, world: World) -> None:
        async def matching(query: Query) -> Sequence[str]:
            async with world.database.read() as connection:
                return await search.ids(connection, query, world.now)

        service = SilenceService(
            Context(world.database, lambda: world.now),
            understand=parsed,
            matching=matching,
            within=anywhere,
            channel=None,
            zone=UTC,
        )
        self.world = world
        self.modals = Modals()
        self.listeners = SilenceListeners(
            service, self.modals, incident=world.alerts.incident, zone=UTC, now=lambda: world.now
        )

    async def says(self, word: str, text: str = "") -> str:
        answers = self.answers = Answers()
        command = self.listeners.feature().commands[word]
        await command.listener(CommandCall(ANA, "C0OPS", text, answers))
        return sendable(answers.last).text

    async def confirms(self) -> str:
        """Presses the button of the last answer."""
        (ref,) = buttons(self.answers.last).values()
        return await self.presses(ref)

    async def presses(self, ref: Ref) -> str:
        click = Click(ANA, "C0OPS", ids.SILENCE_CONFIRM, ref, self.answers)
        await self.listeners.feature().clicks[ids.SILENCE_CONFIRM](click)
        return sendable(self.answers.last).text

    async def submits(self, **values: str) -> dict[str, str]:
        ref: Ref = CardRef("1", 1)
        if self.modals.opened:
            ref = decode(self.modals.opened[-1]["private_metadata"])
        submission = Submission(ANA, ids.INCIDENT_SILENCE, ref, values)
        answer = await self.listeners.feature().submissions[ids.INCIDENT_SILENCE](submission)
        return dict(answer.errors)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database.open(sqlite_url(tmp_path))
    world = await World.begin(database, "Oslo/a", "Oslo/b", *(f"Voss/v{number}" for number in range(30)))
    world.goes("offline", "a")
    await world.passes(7)
    yield Desk(world)
    await database.close()


async def test_the_answer_names_the_silence_its_gateways_and_its_end(desk: Desk) -> None:
    said = await desk.says("silence", "tag:oslo for 1h")
    assert "S-1" in said
    assert "2 gateways now" in said


async def test_a_silence_of_nothing_waits_for_a_second_yes_and_says_so(desk: Desk) -> None:
    said = await desk.says("silence", "tag:osol for 1h")
    assert "No gateway matches now" in said
    assert "Nothing is silenced until" in said
    assert "as S-1" in await desk.confirms()
    assert "tag:osol" in await desk.says("silences")


async def test_a_large_silence_says_what_it_covers_and_waits_for_its_button(desk: Desk) -> None:
    said = await desk.says("silence", "site:* -site:voss for 1h")
    assert "Nothing is silenced until" not in said, "two of 32 gateways"
    said = await desk.says("silence", "name:* id:v1* for 1h")
    assert "would hold the alerts of 11 of 32 gateways" in said
    (ref,) = buttons(desk.answers.last).values()
    assert "as S-2" in await desk.confirms()
    with pytest.raises(AlreadyDone, match="silenced already"):
        await desk.presses(ref)
    assert "S-3" not in await desk.says("silences")


async def test_the_answer_says_that_a_silence_of_a_state_holds_those_of_now(desk: Desk) -> None:
    said = await desk.says("silence", "is:offline for 1h")
    assert "the gateway that matches is:offline at its beginning, and no others" in said


async def test_most_of_the_fleet_is_silenced_with_a_reason_only(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="more than half of the fleet needs a reason"):
        await desk.says("silence", "id:* for 1h")
    assert "32 of 32 gateways" in await desk.says("silence", "id:* for 1h because of the move")
    assert "as S-1" in await desk.confirms()


async def test_without_an_end_each_that_it_may_have_is_a_click(desk: Desk) -> None:
    said = await desk.says("silence", "tag:oslo")
    assert said.startswith(
        "/mesh silence tag:oslo would hold the alerts of 2 gateways of 32. For how long?\nUntil "
    )
    assert "longer needs a reason: add “because …”" in said
    (_, hour), (_, four_hours) = doors(desk.answers.last)
    assert "as S-1" in await desk.presses(four_hours)
    assert utc(desk.world.now + timedelta(hours=4)) in await desk.says("silences")
    with pytest.raises(AlreadyDone, match="silenced already"):
        await desk.presses(hour)


async def test_with_a_reason_it_may_last_until_the_morning(desk: Desk) -> None:
    await desk.says("silence", "tag:oslo because the mast is painted")
    *_, (_, until_morning) = doors(desk.answers.last)
    assert "as S-1" in await desk.presses(until_morning)
    listed = await desk.says("silences")
    assert "2026-05-05 06:00 UTC>" in listed
    assert "the mast is painted" in listed


@pytest.mark.parametrize("text", ["", "tag:osol", "roof for", "because of paint"])
async def test_what_names_no_gateways_and_no_end_is_told_how_to_ask(desk: Desk, text: str) -> None:
    with pytest.raises(InvalidInput, match="A silence needs gateways and an end"):
        await desk.says("silence", text)


async def test_an_alert_of_one_gateway_silences_it_alone_unless_its_site_is_chosen(desk: Desk) -> None:
    feature = desk.listeners.feature()
    click = Click(ANA, "C0ALERTS", ids.INCIDENT_SILENCE, CardRef("1", 1), Answers(), trigger_id="t")
    await feature.clicks[ids.INCIDENT_SILENCE](click)
    shown = next(one for one in desk.modals.opened[-1]["blocks"] if one.get("block_id") == ids.WHAT)
    alone, site = (one["value"] for one in shown["element"]["options"])
    assert shown["element"]["initial_option"]["value"] == alone
    for chosen, held in ((alone, "S-1 id:a until"), (site, 'S-2 site:"Oslo" until')):
        assert await desk.submits(what=chosen, duration="1h") == {}
        assert held in await desk.says("silences")


async def test_the_window_says_how_many_gateways_a_silence_would_cover(desk: Desk) -> None:
    click = Click(ANA, "C0ALERTS", ids.INCIDENT_SILENCE, CardRef("1", 1), Answers(), trigger_id="t")
    await desk.listeners.feature().clicks[ids.INCIDENT_SILENCE](click)
    assert "All 2 gateways at Oslo" in str(desk.modals.opened[-1])


async def test_a_row_of_the_list_ends_its_silence_and_the_list_is_drawn_again(desk: Desk) -> None:
    await desk.says("silence", "tag:oslo for 1h")
    await desk.says("silences")
    ((action, ref),) = doors(desk.answers.last)
    await desk.listeners.feature().clicks[action](Click(ANA, "C0OPS", action, ref, desk.answers))
    assert desk.answers.last.text == "No silence holds now."
    assert "S-1 ended" in desk.answers.added[-1].text


async def test_silences_are_listed_with_their_reasons(desk: Desk) -> None:
    assert await desk.says("silences") == "No silence holds now."
    await desk.says("silence", "tag:oslo for 1h because paint & <!channel>")
    said = await desk.says("silences")
    assert "paint &amp;" in said
    assert "<!channel>" not in said


async def test_unsilence_alone_lists_the_silences_each_with_its_end(desk: Desk) -> None:
    await desk.says("silence", "tag:oslo for 1h")
    assert (await desk.says("unsilence")).startswith("1 silence\n")
    assert len(doors(desk.answers.last)) == 1
    await desk.says("silence", "tag:oslo for 2h")
    assert (await desk.says("silences")).startswith("2 silences, the first to end first\n")


async def test_a_silence_is_ended_by_its_number(desk: Desk) -> None:
    await desk.says("silence", "tag:oslo for 1h")
    assert "S-1 ended" in await desk.says("unsilence", "S-1")
    async with desk.world.database.read() as connection:
        ended, begun = await audit.find(connection, AuditQuery(words=("silence",)), 10)
    assert (begun.before, ended.before, ended.after) == (None, None, None)
    assert begun.after == f"until {utc(desk.world.now + timedelta(hours=1))}"


async def test_the_button_asks_how_long_and_the_card_says_until_when(desk: Desk) -> None:
    click = Click(ANA, "C0ALERTS", ids.INCIDENT_SILENCE, CardRef("1", 1), Answers(), trigger_id="t")
    await desk.listeners.feature().clicks[ids.INCIDENT_SILENCE](click)
    assert [view["callback_id"] for view in desk.modals.opened] == [ids.INCIDENT_SILENCE]
    assert await desk.submits(duration="30m") == {}
    assert (await desk.world.only_incident()).silenced is not None
    async with desk.world.database.read() as connection:
        (entry,) = await audit.find(connection, AuditQuery(words=("silence",)), 10)
    assert entry.channel == "C0ALERTS"


async def test_a_viewer_is_refused_before_the_window_opens(desk: Desk) -> None:
    click = Click(VIC, "C0ALERTS", ids.INCIDENT_SILENCE, CardRef("1", 1), Answers(), trigger_id="t")
    with pytest.raises(NotAllowed):
        await desk.listeners.feature().clicks[ids.INCIDENT_SILENCE](click)
    assert desk.modals.opened == []


async def test_what_cannot_be_is_said_at_its_field(desk: Desk) -> None:
    reason = (await desk.submits(duration="12h"))[ids.REASON]
    assert "because" not in reason, "that is how the command is told"
    late, soon = (str(int((desk.world.now + timedelta(days=days)).timestamp())) for days in (16, 2))
    assert list(await desk.submits(duration="1h", until=late, reason="paint")) == [ids.UNTIL]
    assert list(await desk.submits(duration="1h", until="2026-05-06", reason="paint")) == [ids.UNTIL]
    assert await desk.submits(duration="1h", until=soon, reason="paint") == {}


async def test_one_gateway_is_silenced_from_its_card_until_a_moment_that_is_picked(desk: Desk) -> None:
    feature, ref = desk.listeners.feature(), GatewayRef("a", channel="C0OPS")
    answers = Answers()
    await feature.clicks[ids.GATEWAY_SILENCE](Click(ANA, "C0OPS", ids.GATEWAY_SILENCE, ref, answers, "t"))
    assert decode(desk.modals.opened[-1]["private_metadata"]) == ref
    until = {ids.UNTIL: str(int((desk.world.now + timedelta(hours=2)).timestamp()))}
    done = await feature.submissions[ids.GATEWAY_SILENCE](Submission(ANA, ids.GATEWAY_SILENCE, ref, until))
    assert "S-1" in str(done.view)
    assert ids.SILENCE_END in str(done.view)
    assert "S-1 id:a until" in await desk.says("silences")
    gone = Submission(ANA, ids.GATEWAY_SILENCE, GatewayRef("nobody"), until)
    with pytest.raises(NotFound, match="not in the fleet any more"):
        await feature.submissions[ids.GATEWAY_SILENCE](gone)


def test_the_coming_end_is_told_with_query_and_author() -> None:
    body = {"silence": "S-1", "query": "tag:oslo", "by": "U0ANA00001", "until": "2026-05-04T09:00:00+00:00"}
    drawn: Message = sendable(views.ending(body))
    assert "S-1 by <@U0ANA00001>" in drawn.text


async def says_in_thread(desk: Desk, text: str) -> str:
    """In the thread of the alert at Voss, whose 30 of 32 gateways a silence would cover."""
    desk.answers = Answers()
    call = CommandCall(ANA, "C0ALERTS", text, desk.answers, about=("incident", "2"))
    assert await desk.listeners.in_thread("silence", call)
    return sendable(desk.answers.last).text


async def test_a_silence_of_this_without_an_end_offers_ends_in_its_thread(desk: Desk) -> None:
    desk.world.goes("offline", *(f"v{number}" for number in range(12)))
    await desk.world.passes(7)
    asked = await says_in_thread(desk, "because of the storm")
    assert "/mesh silence this would hold the alerts of 30 gateways of 32. For how long?" in asked
    (_, hour), *_ = doors(desk.answers.last)
    assert "S-1" in await desk.presses(hour)


async def test_a_large_silence_in_a_thread_is_confirmed_by_a_button_for_what_was_typed(desk: Desk) -> None:
    desk.world.goes("offline", *(f"v{number}" for number in range(12)))
    await desk.world.passes(7)
    asked = await says_in_thread(desk, "this for 2h because of the storm")
    assert "silence this for 2h because of the storm would hold the alerts of 30 of 32 gateways." in asked
    said = await desk.confirms()
    assert "S-1" in said
    assert utc(desk.world.now + timedelta(hours=2)) in said


async def test_a_confirmed_silence_in_a_thread_is_asked_about_again_when_it_covers_more(desk: Desk) -> None:
    desk.world.goes("offline", *(f"v{number}" for number in range(12)))
    await desk.world.passes(7)
    await says_in_thread(desk, "2h because of the storm")
    desk.world.add("Voss/late")
    await desk.world.passes(1)
    assert "31 of 33 gateways" in await desk.confirms()
