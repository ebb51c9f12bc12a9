"""Slack's side of the bot over real sockets: acknowledged at once, answered where asked, nothing twice."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.demo.slack import payloads, workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.wire_log import Interaction
from bot.demo.slack.workspace import PostedMessage as Shown
from bot.domain.access import Action, Role, require
from bot.domain.errors import InvalidInput, StartupError, Unavailable
from bot.services.context import Context
from bot.services.replicas import Heard
from bot.slack.ids import CardRef, PageRef
from bot.slack.incoming.command_router import normalise
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.dispatcher import joined
from bot.slack.incoming.listeners import Click, Command, CommandCall, Feature, Submission, SubmissionAnswer
from bot.slack.incoming.signatures import IsNew
from bot.slack.views import blocks, modals
from bot.storage.db.engine import Database
from tests.slack.incoming.connected import Bed, bed, connected

ANA, VERA, GUSTAV, OTTO = workspace.APPROVER, workspace.VIEWER, workspace.GUEST, workspace.OPERATOR


class Echo:
    """A feature that does what the tests need, and keeps what it received."""

    def __init__(self) -> None:
        self.clicks: list[Click] = []
        self.submissions: list[Submission] = []
        self.homes: list[Mapping[str, Any]] = []
        self.release = asyncio.Event()
        self.answer = SubmissionAnswer()
        self.modals: Any = None

    def feature(self) -> Feature:
        commands = {
            name: Command(name, "For the tests", getattr(self, name))
            for name in ("echo", "crash", "wrong", "slow", "file", "chatty", "write")
        }
        clicks = {
            "refresh": self.replace,
            "incident_details": self.replace,
            "write_undo": self.below,
            "some_form": self.ask,
            "incident_silence": self.chosen,
        }
        return Feature(commands, clicks, {"some_form": self.decide}, {"app_home_opened": self.home})

    async def echo(self, call: CommandCall) -> None:
        shown = [
            blocks.section(blocks.name(call.text)),
            *blocks.actions(
                blocks.button("Refresh", "refresh", PageRef("list", 3, call.text)),
                blocks.button("Undo", "write_undo", CardRef("w-1")),
                blocks.button("Deny", "some_form", CardRef("R-7", 2)),
                blocks.button("Old", "gone_button", CardRef("x")),
            ),
            *blocks.actions(
                blocks.menu("incident_silence", "Silence", [("30m", "30 min"), ("3.4.1", "odd")]),
                block_id="card.I-9.4",
            ),
        ]
        await call.respond.answer(blocks.message(blocks.name(call.text), shown))

    async def crash(self, call: CommandCall) -> None:
        raise KeyError("a secret thing")

    async def wrong(self, call: CommandCall) -> None:
        raise InvalidInput(f"I know no {call.text}.")

    async def slow(self, call: CommandCall) -> None:
        await self.release.wait()
        await call.respond.answer(blocks.sentence("at last"))

    async def file(self, call: CommandCall) -> None:
        await call.respond.send_file("fleet.csv", b"id,name\n1,x\n", "The fleet")
        await call.respond.answer(blocks.sentence("sent"))

    async def chatty(self, call: CommandCall) -> None:
        for number in range(7):
            await call.respond.add(blocks.sentence(f"part {number}"))

    async def write(self, call: CommandCall) -> None:
        require(call.actor, Action.RENAME)
        await call.respond.answer(blocks.sentence("written"))

    async def replace(self, click: Click) -> None:
        self.clicks.append(click)
        await click.respond.answer(blocks.sentence("page two"))

    async def below(self, click: Click) -> None:
        self.clicks.append(click)
        await click.respond.add(blocks.sentence("undone"))

    async def chosen(self, click: Click) -> None:
        self.clicks.append(click)
        await click.respond.add(blocks.sentence(f"silent for {click.selected}"))

    async def ask(self, click: Click) -> None:
        assert click.trigger_id
        inputs = [modals.text_input("reason", "Why?"), modals.text_input("until", "Until?", optional=True)]
        view = modals.modal("Deny R-7", inputs, callback_id="some_form", ref=click.ref, submit="Deny")
        await self.modals.open(click.trigger_id, view)

    async def decide(self, submission: Submission) -> SubmissionAnswer:
        self.submissions.append(submission)
        if submission.values["reason"] == "slow":
            await self.release.wait()
        if submission.values["reason"] == "crash":
            raise KeyError("x")
        return self.answer

    async def home(self, event: Mapping[str, Any]) -> None:
        self.homes.append(event)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[Bed, SlackApp, Echo]]:
    echo = Echo()
    async with connected([echo.feature()], **options) as (made, app):
        echo.modals = made.modals
        try:
            yield made, app, echo
        finally:
            echo.release.set()


async def typed(made: Bed, text: str, user: str = OTTO) -> Shown:
    act = await made.slack.command(user, workspace.OPS, text)
    return (await made.slack.wait_for(lambda: act.responses))[0]


async def first_answer(made: Bed, act: Interaction) -> str:
    return (await made.slack.wait_for(lambda: act.responses))[0].text


# ---- commands
async def test_a_command_is_acknowledged_empty_and_answered_to_the_asker_alone() -> None:
    async with running() as (made, _, _):
        act = await made.slack.command(VERA, workspace.OPS, "echo hello", mangled=True)
        ack = await act.ack
        answer = (await made.slack.wait_for(lambda: act.responses))[0]
        assert (ack.ok, ack.payload) == (True, None)
        assert (answer.text, answer.ephemeral_to) == ("hello", VERA)


async def test_a_slow_command_is_acknowledged_all_the_same() -> None:
    async with running() as (made, _, echo):
        act = await made.slack.command(VERA, workspace.OPS, "slow")
        assert (await act.ack).ok
        assert act.responses == []
        echo.release.set()
        assert await first_answer(made, act) == "at last"


async def test_a_hostile_text_comes_back_harmless() -> None:
    async with running() as (made, _, _):
        answer = await typed(made, "echo &lt;!channel&gt; &amp; 2*x*y :boom:")
        assert normalise(answer.text) == "<!channel> & 2*x*y :boom:"


async def test_an_error_is_a_sentence_and_a_crash_an_id() -> None:
    async with running() as (made, _, _):
        assert await made.says(VERA, "wrong &lt;b>") == "I know no &lt;b&gt;."
        said = await made.says(VERA, "crash")
        assert "error " in said
        assert "secret" not in said


async def test_a_refusal_is_answered_and_written_down() -> None:
    async with running() as (made, _, _):
        assert "you need to be an operator" in await made.says(VERA, "write")
        assert made.refused[0][:4] == (VERA, "write", "", workspace.OPS)


async def test_a_guest_sees_nothing_of_the_fleet() -> None:
    async with running() as (made, _, _):
        assert "Guests" in await made.says(GUSTAV, "echo secret")


async def test_a_file_goes_to_the_asker_s_direct_messages() -> None:
    async with running() as (made, _, _):
        assert await made.says(VERA, "file") == "sent"
        files = [file for message in made.slack.workspace.in_channel(VERA) for file in message.files]
        assert [(file.name, file.title, file.content) for file in files] == [
            ("fleet.csv", "The fleet", b"id,name\n1,x\n")
        ]


async def test_what_a_spent_response_url_does_not_take_comes_as_a_direct_message() -> None:
    async with running() as (made, _, _):
        act = await made.slack.command(VERA, workspace.OPS, "chatty")
        direct = made.slack.workspace.in_channel
        await made.slack.wait_for(lambda: len(direct(VERA)) == 2)
        assert len(act.responses) == 5
        assert [message.text for message in direct(VERA)] == ["part 5", "part 6"]


async def test_a_rate_limit_on_an_answer_is_waited_for() -> None:
    async with running() as (made, _, _):
        made.slack.faults.rate_limit("response_url", retry_after=7)
        assert await made.says(VERA, "echo hello") == "hello"
        assert 7 in made.slept


async def test_an_answer_that_slack_will_not_take_comes_as_a_direct_message() -> None:
    async with running() as (made, _, _):
        made.slack.faults.fail("response_url", "no_service", times=4, status=503)
        await made.slack.command(VERA, workspace.OPS, "echo hello")
        await made.slack.wait_for(lambda: made.slack.workspace.in_channel(VERA))
        assert made.slack.workspace.in_channel(VERA)[0].text == "hello"


async def test_a_mention_speaks_the_same_grammar_in_its_thread() -> None:
    async with running() as (made, _, _):
        await made.slack.mention(VERA, workspace.OPS, "echo tag:“x”", mangled=True)
        channel = made.slack.workspace.in_channel(workspace.OPS)[0]
        reply = (await made.slack.wait_for(lambda: made.slack.workspace.thread(channel)))[0]
        assert reply.text == 'tag:"x"'


async def test_a_mention_that_slack_has_wait_is_answered_once_behind_the_wait() -> None:
    async with running() as (made, _, _):
        made.slack.faults.rate_limit("chat.postMessage", retry_after=7)
        place = made.slack.workspace
        card = place.add(Shown(workspace.OPS, place.next_ts(), "A card", workspace.BOT_USER))
        await made.slack.mention(VERA, workspace.OPS, "echo ack", card.ts)
        said = [one.text for one in await made.slack.wait_for(lambda: place.thread(card)[1:])]
        assert (said, 7.0 in made.slept) == (["ack"], True)


async def answers_of(made: Bed, *replicas: IsNew) -> list[str]:
    """What replicas say to one mention that each of them is told of, and asks so whether it is new."""
    place = made.slack.workspace
    words = f"<@{workspace.BOT_USER}> echo hello"
    asked = place.add(Shown(workspace.OPS, place.next_ts(), words, VERA))
    person, channel = place.users[VERA], place.channels[workspace.OPS]
    event = payloads.mention_event(person, channel, words, asked.ts, None)
    told = payloads.event_payload(event, made.clock.seconds())
    for is_new in replicas:
        replica = SlackApp(
            made.api,
            made.people,
            [Echo().feature()],
            on_refused=made.audit,
            is_new=is_new,
            app_token=made.slack.app_token,
        )
        replica.arrivals.bot_user_id = workspace.BOT_USER
        replica.arrivals.event(told)
        await replica.guard.idle()
        await replica.close()
    return [one.text for one in place.thread(asked)]


async def test_a_mention_that_two_replicas_were_told_of_is_answered_once(database: Database) -> None:
    async with bed() as made:
        heard = Heard(Context(database, made.clock.now))
        assert await answers_of(made, heard.is_new, heard.is_new) == ["hello"]


async def test_a_mention_is_answered_while_the_database_takes_no_changes() -> None:
    async def is_new(_: str) -> bool:
        raise Unavailable("My database takes no changes.")

    async with bed() as made:
        assert await answers_of(made, is_new) == ["hello"]


# ---- clicks
async def test_a_click_on_an_answer_takes_its_place() -> None:
    async with running() as (made, _, echo):
        answer = await typed(made, "echo tag:oslo")
        act = await made.slack.click(OTTO, answer, "refresh")
        await made.slack.wait_for(lambda: answer.text == "page two")
        assert (await act.ack).ok
        assert (echo.clicks[0].ref, echo.clicks[0].actor.user_id) == (PageRef("list", 3, "tag:oslo"), OTTO)


async def test_what_is_added_leaves_the_answer_where_it_was() -> None:
    async with running() as (made, _, _):
        answer = await typed(made, "echo x")
        act = await made.slack.click(OTTO, answer, "write_undo")
        assert await first_answer(made, act) == "undone"
        assert answer.text == "x"


async def clicked_in_a_channel(made: Bed, action_id: str) -> tuple[str, str | None]:
    """What a message of the bot says, and to whom something else was said, after a button on it."""
    sent = await made.api.call(
        "chat.postMessage",
        channel=workspace.OPS,
        text="card",
        blocks=[blocks.section("card"), *blocks.actions(blocks.button("Go", action_id, CardRef("x")))],
    )
    card = made.slack.workspace.find(workspace.OPS, sent["ts"])
    assert card is not None
    act = await made.slack.click(ANA, card, action_id)
    assert await first_answer(made, act) == "page two"
    return card.text, act.responses[0].ephemeral_to


async def test_a_click_on_a_card_never_replaces_it() -> None:
    async with running() as (made, _, _):
        assert await clicked_in_a_channel(made, "incident_details") == ("card", ANA)


async def test_a_click_on_an_answer_in_a_thread_takes_its_place() -> None:
    async with running() as (made, _, _):
        assert await clicked_in_a_channel(made, "refresh") == ("page two", None)


async def test_a_choice_in_a_menu_says_what_was_chosen_and_about_what() -> None:
    async with running() as (made, _, echo):
        answer = await typed(made, "echo x")
        act = await made.slack.click(OTTO, answer, "incident_silence", selected="3.4.1")
        assert await first_answer(made, act) == "silent for 3.4.1"
        assert echo.clicks[0].ref == CardRef("I-9", 4)


async def test_a_button_nobody_knows_gets_a_polite_sentence() -> None:
    async with running() as (made, _, _):
        act = await made.slack.click(OTTO, await typed(made, "echo x"), "gone_button")
        assert "do not know that button" in await first_answer(made, act)


# ---- modals
async def opened(made: Bed, user: str = OTTO) -> Any:
    await made.slack.click(user, await typed(made, "echo x", user), "some_form")
    return await made.slack.wait_for(lambda: made.slack.top_view(user))


async def test_a_modal_is_decided_before_its_acknowledgement() -> None:
    async with running() as (made, _, echo):
        view = await opened(made)
        act = await made.slack.submit(OTTO, view, {"reason": {"reason": " because "}})
        assert (await act.ack).payload is None
        assert not view.is_open
        sent = echo.submissions[0]
        assert (sent.ref, sent.values, sent.actor.user_id) == (CardRef("R-7", 2), {"reason": "because"}, OTTO)


async def test_an_error_is_shown_at_its_input() -> None:
    async with running() as (made, _, echo):
        echo.answer = SubmissionAnswer(errors={"reason": "Say more."})
        view = await opened(made)
        await (await made.slack.submit(OTTO, view, {"reason": {"reason": "x"}})).ack
        assert view.errors == {"reason": "Say more."}


async def test_a_modal_whose_decision_fails_says_so() -> None:
    async with running() as (made, _, _):
        view = await opened(made)
        act = await made.slack.submit(OTTO, view, {"reason": {"reason": "crash"}})
        assert (await act.ack).ok
        assert "Something went wrong" in str(view.blocks)


async def test_a_decision_that_takes_long_shows_that_and_then_the_outcome() -> None:
    async with running(decide_within=0.01) as (made, _, echo):
        view = await opened(made)
        act = await made.slack.submit(OTTO, view, {"reason": {"reason": "slow"}})
        assert (await act.ack).ok
        assert "working on it" in str(view.blocks)
        echo.release.set()
        await made.slack.wait_for(lambda: "Done." in str(view.blocks))


@pytest.mark.parametrize("times", [2, 100])
async def test_the_outcome_of_a_modal_is_told_though_slack_fails(times: int) -> None:
    async with running(decide_within=0.01) as (made, _, echo):
        view = await opened(made)
        made.slack.faults.fail("views.update", "no_service", status=503, times=times)
        await (await made.slack.submit(OTTO, view, {"reason": {"reason": "slow"}})).ack
        echo.release.set()
        if times == 2:
            await made.slack.wait_for(lambda: "Done." in str(view.blocks))
        else:
            direct = await made.slack.wait_for(lambda: made.slack.workspace.in_channel(OTTO))
            assert direct[0].text == "Deny R-7\nDone."


async def test_somebody_not_known_yet_is_looked_up_behind_a_working_view() -> None:
    async with running() as (made, _, echo):
        view = await opened(made)
        made.clock.advance(minutes=16)
        act = await made.slack.submit(OTTO, view, {"reason": {"reason": "x"}})
        assert "working on it" in str((await act.ack).payload)
        await made.slack.wait_for(lambda: "Done." in str(view.blocks))
        assert echo.submissions[0].actor.role is Role.OPERATOR


@pytest.mark.parametrize("code", ["expired_trigger_id", "exchanged_trigger_id", "trigger_expired"])
async def test_a_trigger_that_expired_or_was_used_is_explained(code: str) -> None:
    async with running() as (made, _, _):
        made.slack.faults.fail("views.open", code)
        act = await made.slack.click(OTTO, await typed(made, "echo x"), "some_form")
        assert "too long for me to open that dialog. Please try again." in await first_answer(made, act)


# ---- events
async def test_an_event_sent_twice_is_handled_once() -> None:
    async with running() as (made, app, echo):
        act = await made.slack.open_home(VERA)
        assert (await act.ack).ok
        assert (await made.slack.redeliver(act)).ok
        assert await app.drain(5)
        assert len(echo.homes) == 1


async def test_an_event_is_forgotten_after_a_quarter_of_an_hour() -> None:
    async with running() as (made, app, echo):
        act = await made.slack.open_home(VERA)
        await act.ack
        await app.guard.idle()
        made.clock.advance(minutes=14, seconds=59)
        await made.slack.redeliver(act)
        await app.guard.idle()
        assert len(echo.homes) == 1
        made.clock.advance(seconds=2)
        await made.slack.redeliver(act)
        assert await app.drain(5)
        assert len(echo.homes) == 2


async def test_an_event_nobody_listens_to_is_acknowledged() -> None:
    async with running() as (made, _, _):
        act = await made.slack.event({"type": "team_rename", "name": "x"})
        assert (await act.ack).ok


async def test_a_change_of_a_group_counts_at_once() -> None:
    async with running() as (made, _, _):
        assert await made.says(OTTO, "write") == "written"
        group = made.slack.workspace.groups[workspace.OPERATORS]
        group.users.remove(OTTO)
        changed = {"type": "subteam_members_changed", "subteam_id": group.id, "removed_users": [OTTO]}
        await (await made.slack.event(changed)).ack
        assert "you need to be an operator" in await made.says(OTTO, "write")


# ---- start, trouble, end
async def test_two_sockets_are_up_and_one_is_enough_to_be_ready() -> None:
    async with running() as (made, app, _):
        for _ in range(2):  # payloads go to the sockets in turn
            assert await made.says(VERA, "echo x") == "x"
        assert await app.connected_count() == 2
        assert await app.ready()


async def test_auth_test_is_called_once() -> None:
    async with running() as (made, _, _):
        for _ in range(3):
            await made.says(VERA, "echo x")
        assert len(made.slack.called("auth.test")) == 1
        assert made.api.scopes >= {"chat:write", "channels:history"}


@pytest.mark.parametrize(
    ("wrong", "variable"),
    [("bot_token", "MESHBOT_SLACK__BOT_TOKEN"), ("app_token", "MESHBOT_SLACK__APP_TOKEN")],
)
async def test_a_wrong_token_keeps_the_bot_from_starting_and_is_named(wrong: str, variable: str) -> None:
    async with bed() as made:
        token = "xoxb-wrong" if wrong == "bot_token" else made.slack.bot_token
        made.api.client.token = token
        app_token = "xapp-wrong" if wrong == "app_token" else made.slack.app_token
        app = SlackApp(made.api, made.people, [], on_refused=made.audit, app_token=app_token)
        with pytest.raises(StartupError, match=variable):
            await app.start()
        await app.close()


async def test_an_install_for_a_whole_organisation_is_said_at_the_start() -> None:
    slack = SlackServer()
    slack.workspace.is_org_wide = True
    async with bed(slack) as made:
        app = SlackApp(made.api, made.people, [], on_refused=made.audit, app_token=slack.app_token)
        with pytest.raises(StartupError, match="installed for a whole organisation"):
            await app.start()
        await app.close()


@pytest.mark.parametrize("code", ["token_expired", "token_revoked", "account_inactive", "not_authed"])
async def test_a_token_that_dies_is_noticed_within_a_minute_and_told_once(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(http=True) as (made, app, _):
        made.slack.faults.fail("auth.test", code, times=2)
        for ready in (False, False, True):
            made.clock.advance(minutes=1)
            await app.watch()
            assert await app.ready() is ready
            assert (code in (made.api.refused or "")) is not ready
    critical = [one.getMessage() for one in caplog.records if one.levelname == "CRITICAL"]
    assert len(critical) == 1
    assert critical[0].startswith(f"Slack does not accept MESHBOT_SLACK__BOT_TOKEN ({code}): ")


async def test_without_slack_the_start_goes_on_and_the_bot_is_not_ready() -> None:
    async with bed() as made:
        made.slack.faults.fail("auth.test", "internal_error", times=2, status=503)
        app = SlackApp(
            made.api, made.people, [], on_refused=made.audit, app_token=made.slack.app_token, sleep=made.sleep
        )
        await app.start()
        assert not await app.ready()
        await made.slack.wait_for(lambda: made.slack.connected == 2)
        assert await app.ready()
        await app.close()


async def test_variables_meant_for_the_sdk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"):
        monkeypatch.setenv(name, "xoxb-somebody-else")
    async with running() as (made, _, _):
        assert await made.says(VERA, "echo x") == "x"
        assert os.environ["SLACK_CLIENT_ID"] == "xoxb-somebody-else"


async def test_a_refresh_of_the_sockets_is_survived() -> None:
    async with running() as (made, _, _):
        before = made.slack.opened_sockets
        made.slack.faults.refresh_sockets()
        await made.slack.wait_for(
            lambda: made.slack.opened_sockets == before + 2 and made.slack.connected == 2
        )
        assert await made.says(VERA, "echo x") == "x"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("link_disabled", "Socket Mode is switched off"),
        ("too_many_websockets", "more sockets than the ten"),
    ],
)
async def test_sockets_that_slack_closes_are_opened_ever_more_slowly_and_the_log_says_why(
    reason: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as (made, _, _):
        made.slack.faults.disconnect_sockets(reason)
        await made.slack.wait_for(lambda: made.slept[-2:] == [60.0, 60.0])
        assert [one for one in made.slept if one >= 5][:4] == [5.0, 10.0, 30.0, 60.0]
        assert sum(said in one.getMessage() for one in caplog.records) == 1
        made.slack.faults.clear()
        await made.slack.wait_for(lambda: made.slack.connected == 2)


async def test_an_address_that_slack_does_not_give_is_asked_for_again_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as (made, _, _):
        made.slack.faults.fail("apps.connections.open", "token_revoked", times=8)
        made.slack.faults.refresh_sockets()
        refused = "apps.connections.open", "token_revoked"
        await made.slack.wait_for(lambda: made.slack.rejected[refused] == 8)
        await made.slack.wait_for(lambda: made.slack.connected == 2)
    said = "Slack does not accept MESHBOT_SLACK__APP_TOKEN (token_revoked)"
    assert sum(said in one.getMessage() for one in caplog.records) == 1


async def test_while_draining_a_command_is_told_to_come_back_over_an_open_socket() -> None:
    async with running() as (made, app, echo):
        slow = await made.slack.command(VERA, workspace.OPS, "slow")
        await slow.ack
        app.stop_accepting()
        assert "restarting" in await made.says(VERA, "echo x")
        echo.release.set()
        assert await app.drain(5)
        assert await first_answer(made, slow) == "at last"


async def test_the_sockets_close_last() -> None:
    async with running() as (made, app, _):
        await app.drain(5)
        assert made.slack.connected == 2
        await app.close()
        await made.slack.wait_for(lambda: made.slack.connected == 0)


async def test_sockets_whose_goodbye_slack_does_not_hear_hold_up_nothing() -> None:
    slack = SlackServer()
    slack.faults.deafen_sockets()
    async with bed(slack) as made:
        app = SlackApp(
            made.api, made.people, [], on_refused=made.audit, app_token=slack.app_token, sleep=made.sleep
        )
        await app.start()
        await slack.wait_for(lambda: slack.connected == 2)
        async with asyncio.timeout(8):
            await app.close()
        slack.faults.clear()


def test_two_features_cannot_claim_one_name() -> None:
    with pytest.raises(ValueError, match="two features claim the button refresh"):
        joined("button", [{"refresh": 1}, {"go": 2, "refresh": 3}])


# ---- over HTTP
@asynccontextmanager
async def over_http() -> AsyncIterator[tuple[Bed, str]]:
    async with running(http=True) as (made, app, _):
        site = web.Application()
        site.router.add_post("/slack/events", app.handle_http)
        runner = web.AppRunner(site)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        made.slack.http_url = url
        try:
            assert await app.ready()
            yield made, url
        finally:
            await runner.cleanup()


async def test_over_http_everything_comes_to_one_address() -> None:
    async with over_http() as (made, _):
        assert await made.slack.verify_url()
        answer = await typed(made, "echo x")
        await made.slack.click(OTTO, answer, "refresh")
        await made.slack.wait_for(lambda: answer.text == "page two")
        assert (await (await made.slack.open_home(VERA)).ack).ok


async def test_over_http_a_modal_is_decided_before_its_answer() -> None:
    async with over_http() as (made, _):
        view = await opened(made)
        act = await made.slack.submit(OTTO, view, {"reason": {"reason": "crash"}})
        assert "Something went wrong" in str((await act.ack).payload)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"\xff\xfe", {"X-Slack-Request-Timestamp": "1", "X-Slack-Signature": "v0=x"}),
        (b"{not json", {"Content-Type": "application/json", "X-Slack-Request-Timestamp": "1"}),
        (b"[1, 2]", {"Content-Type": "application/json", "X-Slack-Request-Timestamp": "1"}),
        (b"payload=%7Bbroken", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"command=/mesh", {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=x"}),
        (b"command=/mesh", {"X-Slack-Request-Timestamp": "\u00b2", "X-Slack-Signature": "v0=x"}),
        (b"command=/mesh", {"X-Slack-Request-Timestamp": "9" * 5000, "X-Slack-Signature": "v0=x"}),
        (b"command=/mesh&ssl_check=0", {"X-Slack-Request-Timestamp": "1", "X-Slack-Signature": "v0=x"}),
    ],
)
async def test_what_slack_did_not_send_is_refused_and_never_an_error(
    body: bytes, headers: dict[str, str]
) -> None:
    async with (
        over_http() as (_, url),
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        assert answer.status in {400, 401}


async def test_a_dead_address_is_given_up_by_the_watchdog() -> None:
    slack = SlackServer()
    async with bed(slack) as made:
        app = SlackApp(
            made.api,
            made.people,
            [],
            on_refused=made.audit,
            app_token=slack.app_token,
            monotonic=made.clock.seconds,
            sleep=made.sleep,
            ping_every=0.2,
        )
        await app.start()
        await slack.wait_for(lambda: slack.connected == 2)
        slack.faults.refuse_sockets(times=2)
        slack.faults.drop_sockets()
        await slack.wait_for(lambda: slack.faults.refusals == 0)
        opens = len(slack.called("apps.connections.open"))
        await app.watch()
        made.clock.advance(seconds=15)
        await app.watch()
        await slack.wait_for(lambda: slack.connected == 2)
        assert len(slack.called("apps.connections.open")) > opens
        await app.close()
