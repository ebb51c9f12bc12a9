"""What the bot says about itself."""

from datetime import UTC, datetime, timedelta

from bot.domain.access import Actor, Role
from bot.domain.gateways import Counts, SnapshotStatus
from bot.slack import ids
from bot.slack.home.status import StatusCommands
from bot.slack.home.views.status import Setting, Status
from bot.slack.ids import PageRef
from bot.slack.incoming.listeners import Click, CommandCall
from bot.slack.paging import list_clicks
from tests.slack.shown import Answers, buttons

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANA = Actor("U0ANA00001", "Ana", Role.VIEWER)


async def status() -> Status:
    snapshot = SnapshotStatus(as_of=NOW, listing=1, gateways=3)
    return Status("1.2.0", Counts(3, 1), snapshot, "logged in", NOW, None, None, timedelta(minutes=1), 2, 0)


def settings() -> list[Setting]:
    return [Setting(f"MESHBOT_X{number}", "1", "1", "a number") for number in range(30)]


ABOUT = StatusCommands(status=status, settings=settings, now=lambda: NOW)


async def said(word: str, rest: str = "") -> Answers:
    answers = Answers()
    await ABOUT.feature().commands[word].listener(CommandCall(ANA, "C0OPS", rest, answers))
    return answers


async def test_status_tells_how_the_fleet_and_the_bot_fare() -> None:
    text = (await said("status")).last.text
    assert "3 gateways: 1 offline, 2 online" in text
    assert "logged in" in text


async def test_settings_are_filtered_by_words_in_their_names_or_else_their_meanings() -> None:
    assert (await said("settings", "x29")).last.text.startswith("1 setting about “x29”")
    answers = await said("settings", "A number")
    assert answers.last.text.startswith("1–12 of 30 settings about “A number”")
    assert buttons(answers.last)[ids.PAGE_NEXT] == PageRef("settings", 12, "A number")
    assert "No setting is about “parrots”" in (await said("settings", "parrots")).last.text


async def test_settings_are_paged() -> None:
    answers = await said("settings")
    ref = buttons(answers.last)[ids.PAGE_NEXT]
    await list_clicks(ABOUT.lists())[ids.PAGE_NEXT](Click(ANA, "C0OPS", ids.PAGE_NEXT, ref, answers))
    assert answers.last.text.startswith("13–24 of 30 settings")
