"""What people do with maintenance windows in Slack."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.access import Actor, Role
from bot.domain.errors import AlreadyDone, NotAllowed, Stale
from bot.slack import ids
from bot.slack.alerts.maintenance import MaintenanceListeners
from bot.slack.incoming.listeners import Click, CommandCall
from bot.slack.views.blocks import Message
from bot.storage.db.engine import Database
from tests.services.alerts.test_maintenance import Site
from tests.services.alerts.test_silences import voss
from tests.slack.shown import Answers, buttons, sendable
from tests.worlds.alerts import ANA, World
from tests.worlds.databases import sqlite_url

VIC = Actor("U0VIC00001", "Vic", Role.VIEWER)
WEEKLY = "tag:oslo sat 02:00-04:00 weekly because of patches"


class Desk:
    """The listeners, and the last answer."""

    def __init__(self, world: World) -> None:
        self.listeners = MaintenanceListeners(Site(world).service)
        self.answers = Answers()

    async def says(self, word: str, text: str = "", actor: Actor = ANA) -> str:
        self.answers = Answers()
        command = self.listeners.feature().commands[word]
        await command.listener(CommandCall(actor, "C0OPS", text, self.answers))
        return sendable(self.answers.last).text

    async def presses(self, action_id: str, on: Message, actor: Actor = ANA) -> str:
        self.answers = Answers()
        click = Click(actor, "C0OPS", action_id, buttons(on)[action_id], self.answers)
        await self.listeners.feature().clicks[action_id](click)
        (answer,) = [*self.answers.shown, *self.answers.added]
        return sendable(answer).text

    async def card(self) -> Message:
        return sendable(await self.listeners.draw_card("1"))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database.open(sqlite_url(tmp_path))
    yield Desk(await World.begin(database, "Oslo/a", "Oslo/b", *voss(30), listings=1))
    await database.close()


async def test_maintenance_is_planned_listed_skipped_ended_and_undone_by_words(desk: Desk) -> None:
    assert "No maintenance is planned" in await desk.says("maintenance")
    assert "planned as M-1: tag:oslo, 2 gateways now" in await desk.says("maintenance", WEEKLY)
    assert "every Saturday 02:00–04:00 (UTC)" in await desk.says("windows")
    assert "the opening is skipped. It is open from <!date^1778896800" in await desk.says("skip", "M-1")
    assert "Undone: M-1" in await desk.presses(ids.MAINTENANCE_UNDO, desk.answers.last)
    assert "M-1 ended" in await desk.says("end", "1")
    undo = desk.answers.last
    assert "No maintenance is planned" in await desk.says("windows")
    await desk.presses(ids.MAINTENANCE_UNDO, undo)
    assert "M-1" in await desk.says("windows")


async def test_a_window_is_skipped_and_ended_behind_the_word_maintenance_too(desk: Desk) -> None:
    await desk.says("maintenance", WEEKLY)
    assert "M-1: the opening is skipped" in await desk.says("maintenance", "skip M-1")
    assert "M-1 ended" in await desk.says("maintenance", "End m-1")


async def test_a_large_window_says_what_it_covers_and_waits_for_its_button(desk: Desk) -> None:
    said = await desk.says("maintenance", "tag:voss sat 02:00-04:00 because of patches")
    assert "would hold the alerts of 30 of 32 gateways" in said
    assert "Nothing is planned until you confirm it." in said
    question = desk.answers.last
    assert "as M-1" in await desk.presses(ids.MAINTENANCE_CONFIRM, question)
    with pytest.raises(AlreadyDone, match="planned already"):
        await desk.presses(ids.MAINTENANCE_CONFIRM, question)
    assert "M-2" not in await desk.says("windows")


async def test_a_list_has_buttons_for_who_may_and_is_drawn_again(desk: Desk) -> None:
    await desk.says("maintenance", WEEKLY)
    await desk.says("windows", actor=VIC)
    assert buttons(desk.answers.last) == {}
    await desk.says("windows")
    listed = desk.answers.last
    desk.answers = Answers()
    click = Click(ANA, "C0OPS", ids.MAINTENANCE_END, buttons(listed)[ids.MAINTENANCE_END], desk.answers)
    await desk.listeners.feature().clicks[ids.MAINTENANCE_END](click)
    assert "No maintenance is planned" in desk.answers.last.text
    assert "M-1 ended" in desk.answers.added[-1].text


async def test_the_buttons_of_its_card_skip_once_and_end_it(desk: Desk) -> None:
    await desk.says("maintenance", WEEKLY)
    drawn = await desk.card()
    assert "skipped" in await desk.presses(ids.MAINTENANCE_SKIP, drawn)
    with pytest.raises(Stale, match="over or skipped already"):
        await desk.presses(ids.MAINTENANCE_SKIP, drawn)
    with pytest.raises(NotAllowed, match="To plan maintenance you need to be an operator"):
        await desk.presses(ids.MAINTENANCE_END, await desk.card(), VIC)
    assert "ended" in await desk.presses(ids.MAINTENANCE_END, await desk.card())
    assert buttons(await desk.card()) == {}
