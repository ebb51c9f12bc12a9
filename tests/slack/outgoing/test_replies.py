"""Answers find their way: into the thread they were asked in, else to the asker by direct message."""

import pytest

from bot.demo.slack import workspace
from bot.demo.slack.workspace import PostedMessage as Shown
from bot.domain.errors import InvalidInput
from bot.slack.ids import CardRef, PageRef
from bot.slack.incoming.listeners import Click, Command, CommandCall, Feature
from bot.slack.outgoing.messages import TWICE
from bot.slack.views import blocks, modals
from tests.slack.incoming.connected import Bed, bed, connected

OTTO, OPS = workspace.OPERATOR, workspace.OPS


class Parrot:
    """Answers a command with what was said, and a click on the button below it with ``seen``."""

    def feature(self) -> Feature:
        return Feature(
            commands={"say": Command("say <words>", "Say it", self.say)},
            clicks={"incident_details": self.details, "refresh": self.refresh},
        )

    async def say(self, call: CommandCall) -> None:
        details = blocks.button("Details", "incident_details", CardRef("1"))
        refresh = blocks.button("Refresh", "refresh", PageRef("list"))
        said = [blocks.section(blocks.escape(call.text)), *blocks.actions(details, refresh)]
        await call.respond.answer(blocks.message(blocks.escape(call.text), said))

    async def refresh(self, click: Click) -> None:
        await click.respond.answer(blocks.sentence("page two"))

    async def details(self, click: Click) -> None:
        await click.respond.add(blocks.sentence("seen"))


async def in_a_thread(made: Bed, text: str) -> Shown:
    """The answer to a mention in a thread."""
    return (await all_in_a_thread(made, text))[0]


async def all_in_a_thread(made: Bed, text: str, number: int = 1) -> list[Shown]:
    """So many answers to it."""
    parent = made.slack.workspace.add(Shown(OPS, made.slack.workspace.next_ts(), "Well?", OTTO))
    await made.slack.mention(OTTO, OPS, text, parent.ts)
    thread = made.slack.workspace.thread
    return await made.slack.wait_for(lambda: thread(parent)[number:] and thread(parent)[1:])


async def test_a_channel_s_name_is_asked_for_once_in_ten_minutes_and_again_where_slack_does_not_tell() -> (
    None
):
    async with bed() as made:
        asked = [OPS, workspace.PRIVATE_NO_BOT]
        assert await made.api.channel_names(asked) == await made.api.channel_names(asked) == {OPS: "ops"}
        assert len(made.slack.called("conversations.info")) == 3


async def test_a_hint_names_the_configured_command_in_an_answer_in_a_thread_and_on_the_home_tab() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        made.api.command = "/lab"
        assert await made.says(OTTO, "say try /mesh tags") == "try /lab tags"
        assert (await in_a_thread(made, "say try /mesh tags")).text == "try /lab tags"
        await made.modals.publish(OTTO, modals.home([blocks.section("Try /mesh tags.")]))
        assert "Try /lab tags." in str(made.slack.called("views.publish")[-1])


async def test_what_is_added_after_a_click_in_a_thread_stays_in_that_thread() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        answer = await in_a_thread(made, "say hello")
        act = await made.slack.click(OTTO, answer, "incident_details")
        (added,) = await made.slack.wait_for(lambda: act.responses)
        assert (added.text, added.thread_ts, added.ephemeral_to) == ("seen", answer.thread_ts, OTTO)


async def test_what_is_added_after_a_click_on_a_card_with_replies_is_seen_in_the_channel() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        answer = await in_a_thread(made, "say hello")
        button = blocks.actions(blocks.button("Details", "incident_details", CardRef("1")))
        ts = made.slack.workspace.next_ts()
        card = Shown(OPS, ts, "a card", answer.user, thread_ts=ts, blocks=list(button))
        act = await made.slack.click(OTTO, made.slack.workspace.add(card), "incident_details")
        (added,) = await made.slack.wait_for(lambda: act.responses)
        assert (added.text, added.thread_ts, added.ephemeral_to) == ("seen", None, OTTO)


@pytest.mark.parametrize("code", ["restricted_action", "is_archived", "thread_not_found"])
async def test_a_mention_that_cannot_be_answered_there_is_answered_by_direct_message(code: str) -> None:
    async with connected([Parrot().feature()]) as (made, _):
        made.slack.faults.fail("chat.postMessage", code)
        await made.slack.mention(OTTO, OPS, "say hello")
        (direct,) = await made.slack.wait_for(lambda: made.slack.workspace.in_channel(OTTO))
        assert direct.text == "hello"


async def test_a_command_that_help_names_can_be_pasted_into_a_mention_as_it_stands() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        assert (await in_a_thread(made, "/mesh say hello")).text == "hello"


async def test_an_answer_whose_blocks_slack_does_not_take_is_said_in_words() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        made.slack.faults.fail("chat.postMessage", "invalid_blocks")
        answer = await in_a_thread(made, "say hello")
        assert (answer.text, answer.blocks) == ("hello", [])


async def test_an_answer_that_slack_does_not_confirm_comes_again_and_says_so() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        made.slack.faults.lose_answer("response_url")
        typed = await made.slack.command(OTTO, OPS, "say hello")
        first, again = await made.slack.wait_for(lambda: typed.responses[1:] and typed.responses)
        assert (first.text, again.text) == ("hello", f"hello\n{TWICE}")


async def test_a_mention_is_answered_though_slack_fails_three_times() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        made.slack.faults.fail("chat.postMessage", "no_service", status=503, times=2)
        made.slack.faults.lose_answer("chat.postMessage")
        answers = await all_in_a_thread(made, "say hello", 2)
        assert [one.text for one in answers] == [f"hello\n{TWICE}"] * 2
        assert {0.5, 1.0} <= set(made.slept)


@pytest.mark.parametrize("by_mention", [True, False])
async def test_an_answer_that_slack_does_not_take_at_all_is_kept_for_its_asker(by_mention: bool) -> None:
    async with connected([Parrot().feature()]) as (made, _):
        await made.people.actor(OTTO)
        for method in ("chat.postMessage", "response_url"):
            made.slack.faults.fail(method, "no_service", status=503, times=100)
        if by_mention:
            await made.slack.mention(OTTO, OPS, "say hello")
        else:
            await made.slack.command(OTTO, OPS, "say hello")
        await made.kept_some.wait()
        assert made.undelivered == [(OTTO, "hello")]


async def test_a_page_that_slack_does_not_confirm_is_shown_once() -> None:
    async with connected([Parrot().feature()]) as (made, _):
        typed = await made.slack.command(OTTO, OPS, "say hello")
        (answer,) = await made.slack.wait_for(lambda: typed.responses)
        made.slack.faults.lose_answer("response_url")
        await made.slack.click(OTTO, answer, "refresh")
        await made.slack.wait_for(lambda: answer.edits == 2)
        assert answer.text == "page two"


async def test_a_window_that_was_closed_meanwhile_stays_closed() -> None:
    async with bed() as made:
        typed = await made.slack.command(OTTO, OPS, "help")
        form = modals.modal("A form", [blocks.section("…")], callback_id="form")
        view_id = await made.modals.open(str(typed.trigger_id), form)
        (view,) = made.slack.workspace.open_views(OTTO)
        await made.slack.close(OTTO, view)
        await made.modals.update(view_id, form)
        assert made.slack.workspace.open_views(OTTO) == []


async def test_what_a_mention_asks_for_in_a_dialog_says_where_dialogs_open() -> None:
    async with bed() as made:
        with pytest.raises(InvalidInput, match="only from a button or a slash command"):
            await made.modals.open(None, modals.modal("A form", [blocks.section("…")], callback_id="form"))
