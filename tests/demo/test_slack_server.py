import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack_payloads import NotOnScreenError
from bot.demo.slack_server import SlackServer
from bot.demo.slack_workspace import (
    APPROVER,
    APPROVERS,
    ARCHIVED,
    DEACTIVATED,
    EXTERNAL,
    FLEET_ALERTS,
    GUEST,
    OPERATOR,
    OPERATORS,
    OPS,
    PRIVATE_NO_BOT,
    RANDOM,
    ROLLOUTS,
    VIEWER,
    mangle,
)

Json = dict[str, Any]


class Clock:
    """The server's clock, owned by the test."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[SlackServer]:
    server = SlackServer(clock=clock)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(slack: SlackServer) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def bolt(slack: SlackServer, *, sockets: int = 1) -> AsyncIterator[AsyncApp]:
    """A real Bolt app on Socket Mode, connected."""
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
        app = AsyncApp(client=client, process_before_response=True)
        handlers = [AsyncSocketModeHandler(app, slack.app_token) for _ in range(sockets)]
        for handler in handlers:
            await handler.connect_async()  # type: ignore[no-untyped-call]
        await slack.wait_for(lambda: slack.connected == sockets)
        yield app
        for handler in handlers:
            await handler.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def http_bot(
    slack: SlackServer, answer: Callable[[web.Request, str], Awaitable[web.Response]]
) -> AsyncIterator[None]:
    """A bot on HTTP: `answer` sees each verified request and its body."""

    async def receive(request: web.Request) -> web.Response:
        body = await request.text()
        assert SignatureVerifier(slack.signing_secret).is_valid_request(body, dict(request.headers))
        return await answer(request, body)

    app = web.Application()
    app.router.add_post("/slack/events", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.http_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    yield
    await runner.cleanup()


async def refusal(call: Awaitable[object]) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


def button(action_id: str, value: str = "v1") -> Json:
    words = {"type": "plain_text", "text": action_id}
    return {
        "type": "actions",
        "elements": [{"type": "button", "action_id": action_id, "value": value, "text": words}],
    }


def modal(**more: Any) -> Json:
    reason = {"type": "plain_text_input", "action_id": "reason"}
    label = {"type": "plain_text", "text": "Reason"}
    block = {"type": "input", "block_id": "reason", "label": label, "element": reason}
    words = {name: {"type": "plain_text", "text": name.title()} for name in ("title", "submit")}
    return {"type": "modal", "callback_id": "ask", "blocks": [block], **words, **more}


# Web API


async def test_auth_test_tells_the_granted_scopes(slack: SlackServer, client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert answer["bot_id"]
    assert "chat:write" in answer.headers["x-oauth-scopes"]


async def test_a_wrong_token_is_refused(slack: SlackServer, client: AsyncWebClient) -> None:
    client.token = "xoxb-other"
    assert await refusal(client.auth_test()) == "invalid_auth"


async def test_no_token_is_refused(slack: SlackServer, http: aiohttp.ClientSession) -> None:
    async with http.post(slack.api_url + "auth.test") as answer:
        assert (await answer.json())["error"] == "not_authed"


async def test_the_app_token_opens_connections_and_nothing_else(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    assert await refusal(client.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"
    client.token = slack.app_token
    assert await refusal(client.auth_test()) == "not_allowed_token_type"


async def test_a_missing_scope_names_what_is_needed() -> None:
    slack = SlackServer(scopes=frozenset({"commands"}))
    await slack.start()
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(channel=OPS, text="hello")
    await slack.stop()
    assert caught.value.response["error"] == "missing_scope"
    assert caught.value.response["needed"] == "chat:write"
    assert caught.value.response["provided"] == "commands"


async def test_a_posted_message_is_in_the_channel_with_its_metadata(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    metadata = {"event_type": "card", "event_payload": {"id": 7}}
    answer = await client.chat_postMessage(channel=FLEET_ALERTS, text="2 offline", metadata=metadata)
    [message] = slack.workspace.in_channel(FLEET_ALERTS)
    history = await client.conversations_history(channel=FLEET_ALERTS, include_all_metadata=True)
    bare = await client.conversations_history(channel=FLEET_ALERTS)
    assert (message.ts, message.text) == (answer["ts"], "2 offline")
    assert history["messages"][0]["metadata"] == metadata
    assert "metadata" not in bare["messages"][0]


async def test_history_is_paged_newest_first_without_replies(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    first, *_ = [await client.chat_postMessage(channel=OPS, text=f"m{n}") for n in range(3)]
    await client.chat_postMessage(channel=OPS, text="reply", thread_ts=first["ts"])
    page = await client.conversations_history(channel=OPS, limit=2)
    rest = await client.conversations_history(
        channel=OPS, limit=2, cursor=page["response_metadata"]["next_cursor"]
    )
    assert [m["text"] for m in [*page["messages"], *rest["messages"]]] == ["m2", "m1", "m0"]
    replies = await client.conversations_replies(channel=OPS, ts=first["ts"])
    assert [m["text"] for m in replies["messages"]] == ["m0", "reply"]


async def test_a_message_to_a_person_opens_their_direct_messages(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    answer = await client.chat_postMessage(channel=OPERATOR, text="for you")
    opened = await client.conversations_open(users=OPERATOR)
    assert answer["channel"] == opened["channel"]["id"]
    assert [m.text for m in slack.workspace.in_channel(OPERATOR)] == ["for you"]


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        (PRIVATE_NO_BOT, "channel_not_found"),
        (RANDOM, "not_in_channel"),
        (ARCHIVED, "is_archived"),
        ("C0NOWHERE1", "channel_not_found"),
        (DEACTIVATED, "channel_not_found"),
    ],
)
async def test_where_the_bot_may_not_post_slack_says_why(
    slack: SlackServer, client: AsyncWebClient, channel: str, error: str
) -> None:
    assert await refusal(client.chat_postMessage(channel=channel, text="hello")) == error


async def test_a_message_needs_something_to_say(slack: SlackServer, client: AsyncWebClient) -> None:
    assert await refusal(client.api_call("chat.postMessage", json={"channel": OPS})) == "no_text"


async def test_invalid_blocks_come_back_with_their_reasons(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=OPS, text="x", blocks=[{"type": "divider", "colour": "red"}])
    assert caught.value.response["error"] == "invalid_blocks"
    assert "colour" in caught.value.response["response_metadata"]["messages"][0]
    assert slack.workspace.in_channel(OPS) == []


async def test_what_slack_takes_but_the_bot_should_not_send_is_a_problem(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    await client.chat_postMessage(channel=OPS, text="<!channel> look")
    assert slack.problems == ["chat.postMessage: text pings everybody with <!channel>"]


async def test_an_update_without_blocks_removes_them(slack: SlackServer, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=OPS, text="x", blocks=[button("go")])
    [message] = slack.workspace.in_channel(OPS)
    await client.chat_update(channel=OPS, ts=posted["ts"], text="decided")
    assert (message.text, message.blocks, message.edits) == ("decided", [], 1)


async def test_an_update_is_refused_as_slack_refuses_it(slack: SlackServer, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=OPS, text="x")
    ts = posted["ts"]
    await slack.mention(VIEWER, OPS, "hello")
    theirs = slack.workspace.in_channel(OPS)[-1]
    assert await refusal(client.chat_update(channel=OPS, ts=ts, text="x" * 4001)) == "msg_too_long"
    assert await refusal(client.chat_update(channel=OPS, ts="1.000001", text="x")) == "message_not_found"
    assert await refusal(client.chat_update(channel=OPS, ts=theirs.ts, text="x")) == "cant_update_message"
    slack.workspace.delete_message(slack.workspace.messages[OPS, ts])
    assert await refusal(client.chat_update(channel=OPS, ts=ts, text="x")) == "message_not_found"


async def test_a_reply_needs_a_parent(slack: SlackServer, client: AsyncWebClient) -> None:
    assert (
        await refusal(client.chat_postMessage(channel=OPS, text="x", thread_ts="1.000001"))
        == "thread_not_found"
    )


async def test_metadata_is_refused_when_too_large(slack: SlackServer, client: AsyncWebClient) -> None:
    metadata = {"event_type": "card", "event_payload": {"ids": "x" * 20_000}}
    assert (
        await refusal(client.chat_postMessage(channel=OPS, text="x", metadata=metadata))
        == "metadata_too_large"
    )


async def test_people_are_told_apart(slack: SlackServer, client: AsyncWebClient) -> None:
    people = {who: (await client.users_info(user=who))["user"] for who in (GUEST, EXTERNAL, DEACTIVATED)}
    assert people[GUEST]["is_restricted"]
    assert people[EXTERNAL]["is_stranger"]
    assert people[EXTERNAL]["team_id"] != people[GUEST]["team_id"]
    assert people[DEACTIVATED]["deleted"]
    assert await refusal(client.users_info(user="U0NOBODY01")) == "user_not_found"


async def test_user_groups_list_their_members(slack: SlackServer, client: AsyncWebClient) -> None:
    assert OPERATOR in (await client.usergroups_users_list(usergroup=OPERATORS))["users"]
    assert [g["id"] for g in (await client.usergroups_list())["usergroups"]][:2] == [OPERATORS, APPROVERS]
    assert await refusal(client.usergroups_users_list(usergroup="S0NOBODY01")) == "no_such_subteam"


async def test_channel_facts_are_hidden_where_the_bot_is_not(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    assert (await client.conversations_info(channel=OPS))["channel"]["is_member"]
    assert not (await client.conversations_info(channel=RANDOM))["channel"]["is_member"]
    assert await refusal(client.conversations_info(channel=PRIVATE_NO_BOT)) == "channel_not_found"


async def test_an_uploaded_file_stands_in_its_thread(slack: SlackServer, client: AsyncWebClient) -> None:
    card = await client.chat_postMessage(channel=ROLLOUTS, text="R-7")
    await client.files_upload_v2(
        channel=ROLLOUTS, content="id,name\n1,a\n", filename="r7.csv", thread_ts=card["ts"]
    )
    [parent] = slack.workspace.in_channel(ROLLOUTS)
    [reply] = slack.workspace.thread(parent)
    assert (reply.files[0].name, reply.files[0].content) == ("r7.csv", b"id,name\n1,a\n")


async def test_a_file_goes_to_no_user_id(slack: SlackServer, client: AsyncWebClient) -> None:
    upload = client.files_upload_v2(channel=OPERATOR, content="x", filename="x.csv")
    assert await refusal(upload) == "channel_not_found"


async def test_an_image_needs_an_uploaded_file(slack: SlackServer, client: AsyncWebClient) -> None:
    image = {"type": "image", "alt_text": "chart", "slack_file": {"id": "F0NOTHING1"}}
    assert await refusal(client.chat_postMessage(channel=OPS, text="x", blocks=[image])) == "invalid_blocks"


async def test_an_unknown_method_is_refused(slack: SlackServer, client: AsyncWebClient) -> None:
    assert await refusal(client.api_call("chat.meMessage")) == "unknown_method"
    assert slack.rejected["chat.meMessage", "unknown_method"] == 1


async def test_form_and_json_bodies_mean_the_same(slack: SlackServer, http: aiohttp.ClientSession) -> None:
    args = {"token": slack.bot_token, "channel": OPS, "text": "x"}
    blocks = [{"type": "divider"}]
    await http.post(slack.api_url + "chat.postMessage", data=args | {"blocks": json.dumps(blocks)})
    await http.post(slack.api_url + "chat.postMessage", json=args | {"blocks": blocks})
    one, two = slack.workspace.in_channel(OPS)
    assert one.blocks[0]["type"] == two.blocks[0]["type"] == "divider"


async def test_time_stamps_are_unique_and_grow(slack: SlackServer, client: AsyncWebClient) -> None:
    stamps = [(await client.chat_postMessage(channel=OPS, text="x"))["ts"] for _ in range(3)]
    assert stamps == sorted(set(stamps))
    assert stamps[0] == "1700000000.000000"


# Socket Mode


async def test_a_command_is_acknowledged_and_answered_through_a_socket(slack: SlackServer) -> None:
    async with bolt(slack) as app:

        @app.command("/mesh")
        async def mesh(ack: AsyncAck, respond: AsyncRespond, command: Json) -> None:
            await ack()
            await respond(f"you said {command['text']}", response_type="ephemeral")

        act = await slack.command(OPERATOR, OPS, "devices")
        ack = await act.ack
        [answer] = await slack.wait_for(lambda: act.responses)
    assert (ack.ok, ack.status, ack.payload) == (True, 200, None)
    assert ack.latency_s > 0
    assert (answer.text, answer.ephemeral_to) == ("you said devices", OPERATOR)
    assert slack.problems == []


async def test_text_in_the_ack_of_a_command_is_shown(slack: SlackServer) -> None:
    async with bolt(slack) as app:

        @app.command("/mesh")
        async def mesh(ack: AsyncAck) -> None:
            await ack("done")

        act = await slack.command(OPERATOR, OPS, "x")
        await act.ack
    assert [message.text for message in act.responses] == ["done"]


async def test_a_command_nobody_acknowledges_fails_for_the_person(slack: SlackServer) -> None:
    slack.ack_seconds = 0.05
    async with bolt(slack):
        act = await slack.command(OPERATOR, OPS, "x", command="/unknown")
        ack = await act.ack
    assert (ack.error, act.failed) == ("operation_timeout", True)


async def test_without_a_way_to_the_bot_a_command_fails_at_once(slack: SlackServer) -> None:
    act = await slack.command(OPERATOR, OPS, "x")
    assert (await act.ack).error == "dispatch_failed"


async def test_payloads_are_spread_over_all_sockets(slack: SlackServer) -> None:
    async with bolt(slack, sockets=2) as app:

        @app.command("/mesh")
        async def mesh(ack: AsyncAck) -> None:
            await ack()

        acks = [await (await slack.command(OPERATOR, OPS, "x")).ack for _ in range(4)]
    assert all(ack.ok for ack in acks)


async def test_a_click_carries_the_message_and_its_button(slack: SlackServer) -> None:
    clicks: list[Json] = []
    async with bolt(slack) as app:

        @app.action("rollout_approve")
        async def approve(ack: AsyncAck, body: Json) -> None:
            clicks.append(body)
            await ack()

        await app.client.chat_postMessage(
            channel=ROLLOUTS, text="R-7", blocks=[button("rollout_approve", "7.1")]
        )
        [card] = slack.workspace.in_channel(ROLLOUTS)
        assert (await (await slack.click(APPROVER, card, "rollout_approve")).ack).ok
    assert clicks[0]["actions"][0]["value"] == "7.1"
    assert clicks[0]["container"]["message_ts"] == clicks[0]["message"]["ts"] == card.ts
    assert clicks[0]["user"]["id"] == APPROVER


async def test_a_click_on_an_ephemeral_answer_carries_no_message(slack: SlackServer) -> None:
    async with bolt(slack) as app:

        @app.command("/mesh")
        async def mesh(ack: AsyncAck, respond: AsyncRespond) -> None:
            await ack()
            await respond(text="page 1", blocks=[button("page_next")], response_type="ephemeral")

        @app.action("page_next")
        async def turn(ack: AsyncAck, respond: AsyncRespond) -> None:
            await ack()
            await respond(text="page 2", replace_original=True)

        act = await slack.command(OPERATOR, OPS, "devices")
        [page] = await slack.wait_for(lambda: act.responses)
        click = await slack.click(OPERATOR, page, "page_next")
        await slack.wait_for(lambda: click.responses)
    assert "message" not in click.payload
    assert [message.text for message in slack.workspace.ephemeral_for(OPERATOR)] == ["page 2"]
    assert page is click.responses[0]


async def test_only_what_is_on_the_screen_can_be_clicked(slack: SlackServer, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=ROLLOUTS, text="R-7", blocks=[button("rollout_pause")])
    [card] = slack.workspace.in_channel(ROLLOUTS)
    with pytest.raises(NotOnScreenError, match="there are: rollout_pause"):
        await slack.click(APPROVER, card, "rollout_approve")


async def test_a_snapshot_can_be_clicked_after_the_card_has_changed(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    await client.chat_postMessage(channel=ROLLOUTS, text="R-7", blocks=[button("rollout_approve", "old")])
    [card] = slack.workspace.in_channel(ROLLOUTS)
    seen = card.snapshot()
    await client.chat_update(channel=ROLLOUTS, ts=card.ts, text="approved")
    click = await slack.click(APPROVER, seen, "rollout_approve")
    assert click.payload["actions"][0]["value"] == "old"
    assert click.original is card


async def test_a_socket_told_to_refresh_is_opened_anew(slack: SlackServer) -> None:
    async with bolt(slack):
        slack.faults.refresh_sockets()
        await slack.wait_for(lambda: slack.opened_sockets == 2 and slack.connected == 1)


async def test_a_refused_handshake_leaves_the_bot_unconnected(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    slack.faults.refuse_sockets(1)
    opened = await client.apps_connections_open(app_token=slack.app_token)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(opened["url"])
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(opened["url"])
    assert slack.connected == 0


async def test_dropping_cuts_every_socket(slack: SlackServer, client: AsyncWebClient) -> None:
    opened = await client.apps_connections_open(app_token=slack.app_token)
    async with aiohttp.ClientSession() as session, session.ws_connect(opened["url"]) as socket:
        hello = await socket.receive_json()
        slack.faults.drop_sockets()
        gone = await socket.receive()
    assert hello["type"] == "hello"
    assert gone.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
    await slack.wait_for(lambda: slack.connected == 0)


# response_url


async def test_a_response_url_works_five_times(slack: SlackServer, http: aiohttp.ClientSession) -> None:
    act = await slack.command(OPERATOR, OPS, "x")
    body = {"text": "x", "response_type": "ephemeral"}
    states = [(await http.post(act.response_url, json=body)).status for _ in range(6)]
    assert states == [200] * 5 + [404]
    assert slack.rejected["response_url", "used_url"] == 1


async def test_a_response_url_works_for_half_an_hour(
    slack: SlackServer, http: aiohttp.ClientSession, clock: Clock
) -> None:
    act = await slack.command(OPERATOR, OPS, "x")
    clock.now += 30 * 60 + 1
    assert (await http.post(act.response_url, json={"text": "x"})).status == 404
    assert act.responses == []


async def test_a_response_can_delete_what_was_clicked(
    slack: SlackServer, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    await client.chat_postMessage(channel=OPS, text="x", blocks=[button("go")])
    [message] = slack.workspace.in_channel(OPS)
    click = await slack.click(OPERATOR, message, "go")
    await http.post(click.response_url, json={"delete_original": True})
    assert slack.workspace.in_channel(OPS) == []


async def test_a_response_that_leaves_its_kind_unsaid_is_a_problem(
    slack: SlackServer, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    await client.chat_postMessage(channel=OPS, text="x", blocks=[button("go")])
    click = await slack.click(OPERATOR, slack.workspace.in_channel(OPS)[0], "go")
    await http.post(click.response_url, json={"text": "no", "response_type": "ephemeral"})
    assert slack.problems == ["response_url: a response to a click does not say replace_original"]


# Modals and App Home


async def test_a_trigger_opens_one_view_within_three_seconds(
    slack: SlackServer, client: AsyncWebClient, clock: Clock
) -> None:
    first, second = await slack.command(OPERATOR, OPS, "x"), await slack.command(OPERATOR, OPS, "x")
    await client.views_open(trigger_id=first.trigger_id, view=modal())
    again = client.views_open(trigger_id=first.trigger_id, view=modal())
    assert await refusal(again) == "exchanged_trigger_id"
    clock.now += 3.1
    late = client.views_open(trigger_id=second.trigger_id, view=modal())
    assert await refusal(late) == "expired_trigger_id"


async def test_an_invalid_view_is_refused(slack: SlackServer, client: AsyncWebClient) -> None:
    act = await slack.command(OPERATOR, OPS, "x")
    view = modal(title={"type": "plain_text", "text": "x" * 25})
    assert await refusal(client.views_open(trigger_id=act.trigger_id, view=view)) == "invalid_arguments"


async def test_a_submission_carries_what_was_typed_and_closes_the_modal(slack: SlackServer) -> None:
    submitted: list[Json] = []
    async with bolt(slack) as app:

        @app.view("ask")
        async def ask(ack: AsyncAck, view: Json) -> None:
            submitted.append(view["state"]["values"])
            await ack()

        view = await open_modal(slack, app.client)
        assert (await (await slack.submit(OPERATOR, view, {"reason": {"reason": "storm"}})).ack).ok
    assert submitted[0]["reason"]["reason"] == {"type": "plain_text_input", "value": "storm"}
    assert slack.top_view(OPERATOR) is None


async def open_modal(slack: SlackServer, client: AsyncWebClient, **more: Any) -> Any:
    trigger_id = (await slack.command(OPERATOR, OPS, "x", command="/nobody")).trigger_id
    await client.views_open(trigger_id=trigger_id, view=modal(**more))
    return slack.top_view(OPERATOR)


async def test_errors_in_the_ack_keep_the_modal_open(slack: SlackServer) -> None:
    async with bolt(slack) as app:

        @app.view("ask")
        async def ask(ack: AsyncAck) -> None:
            await ack(response_action="errors", errors={"reason": "Say more."})

        view = await open_modal(slack, app.client)
        await (await slack.submit(OPERATOR, view, {"reason": {"reason": "x"}})).ack
    assert view.is_open
    assert view.errors == {"reason": "Say more."}


async def test_errors_for_a_block_that_is_not_there_are_a_problem(slack: SlackServer) -> None:
    async with bolt(slack) as app:

        @app.view("ask")
        async def ask(ack: AsyncAck) -> None:
            await ack(response_action="errors", errors={"duration": "Too long."})

        view = await open_modal(slack, app.client)
        act = await slack.submit(OPERATOR, view, {"reason": {"reason": "x"}})
        assert not (await act.ack).ok
    assert "duration" in slack.problems[0]


async def test_the_ack_of_a_submission_can_update_push_and_clear(slack: SlackServer) -> None:
    answers = [{"response_action": "update", "view": modal(callback_id="ask2")}]
    answers += [{"response_action": "push", "view": modal()}, {"response_action": "clear"}]
    async with bolt(slack) as app:

        @app.view("ask")
        @app.view("ask2")
        async def ask(ack: AsyncAck) -> None:
            await ack(**answers.pop(0))  # type: ignore[arg-type]

        view = await open_modal(slack, app.client)
        depth = []
        for _ in range(3):
            top = slack.top_view(OPERATOR)
            assert top
            await (await slack.submit(OPERATOR, top, {"reason": {"reason": "x"}})).ack
            depth.append(len(slack.workspace.open_views(OPERATOR)))
    assert depth == [1, 2, 0]
    assert view.callback_id == "ask2"
    assert slack.problems == []


async def test_a_required_input_cannot_be_left_empty(slack: SlackServer, client: AsyncWebClient) -> None:
    view = await open_modal(slack, client)
    with pytest.raises(NotOnScreenError, match="reason is required"):
        await slack.submit(OPERATOR, view)


async def test_a_stale_hash_is_a_conflict(slack: SlackServer, client: AsyncWebClient) -> None:
    view = await open_modal(slack, client)
    drawn = view.hash
    await client.views_update(view_id=view.id, hash=drawn, view=modal())
    stale = client.views_update(view_id=view.id, hash=drawn, view=modal())
    assert await refusal(stale) == "hash_conflict"


async def test_a_closed_view_cannot_be_updated(slack: SlackServer, client: AsyncWebClient) -> None:
    view = await open_modal(slack, client)
    assert await slack.close(OPERATOR, view) is None
    assert await refusal(client.views_update(view_id=view.id, view=modal())) == "not_found"


async def test_what_was_typed_stays_when_the_ids_stay(slack: SlackServer, client: AsyncWebClient) -> None:
    view = await open_modal(slack, client)
    await slack.submit(OPERATOR, view, {"reason": {"reason": "storm"}})
    await client.views_update(view_id=view.id, view=modal())
    assert view.values["reason"]["reason"]["value"] == "storm"


async def test_the_home_tab_is_opened_published_and_clicked(slack: SlackServer) -> None:
    home = {"type": "home", "blocks": [button("refresh")]}
    async with bolt(slack) as app:

        @app.event("app_home_opened")
        async def opened(event: Json) -> None:
            await app.client.views_publish(user_id=event["user"], view=home)

        @app.action("refresh")
        async def refresh(ack: AsyncAck) -> None:
            await ack()

        await slack.open_home(VIEWER)
        view = await slack.wait_for(lambda: slack.workspace.homes.get(VIEWER))
        click = await slack.click_in_view(VIEWER, view, "refresh")
        assert (await click.ack).ok
    assert click.payload["view"]["type"] == "home"
    assert "response_url" not in click.payload


async def test_an_external_menu_asks_the_bot_for_its_options(slack: SlackServer) -> None:
    menu = {"type": "external_select", "action_id": "gateway", "min_query_length": 1}
    block = {"type": "section", "text": {"type": "plain_text", "text": "Which?"}, "accessory": menu}
    async with bolt(slack) as app:

        @app.options("gateway")
        async def options(ack: AsyncAck, payload: Json) -> None:
            words = {"type": "plain_text", "text": payload["value"].upper()}
            await ack(options=[{"text": words, "value": "1"}])

        await app.client.chat_postMessage(channel=OPS, text="Which?", blocks=[block])
        offered = await slack.options(OPERATOR, slack.workspace.in_channel(OPS)[0], "gateway", "oslo")
    assert [option["text"]["text"] for option in offered] == ["OSLO"]


# Events and HTTP mode


async def test_a_mention_in_a_thread_reaches_the_bot(slack: SlackServer) -> None:
    heard: list[Json] = []
    async with bolt(slack) as app:

        @app.event("app_mention")
        async def mention(event: Json) -> None:
            heard.append(event)

        parent = await app.client.chat_postMessage(channel=ROLLOUTS, text="R-7")
        act = await slack.mention(OPERATOR, ROLLOUTS, "rollout R-7", parent["ts"])
        assert (await act.ack).ok
    assert heard[0]["thread_ts"] == parent["ts"]
    assert heard[0]["text"].endswith("rollout R-7")


async def test_an_event_that_fails_is_delivered_again_with_the_same_id(slack: SlackServer) -> None:
    slack.event_retry_delays = (0.0, 0.0)
    seen: list[tuple[str, str | None]] = []

    async def answer(request: web.Request, body: str) -> web.Response:
        seen.append((json.loads(body)["event_id"], request.headers.get("X-Slack-Retry-Num")))
        return web.Response(status=500 if len(seen) < 3 else 200)

    async with http_bot(slack, answer):
        act = await slack.set_group(APPROVERS, [VIEWER])
        await slack.wait_for(lambda: len(act.attempts) == 3)
    assert [number for _, number in seen] == [None, "1", "2"]
    assert len({event_id for event_id, _ in seen}) == 1


async def test_http_mode_gets_signed_forms(slack: SlackServer) -> None:
    async def answer(request: web.Request, body: str) -> web.Response:
        form = await request.post()
        return web.json_response(
            {"response_type": "ephemeral", "text": f"{form['command']!s} {form['text']!s}"}
        )

    async with http_bot(slack, answer):
        act = await slack.command(OPERATOR, OPS, "fw:<3.4.1", mangled=True)
        assert (await act.ack).ok
    assert [message.text for message in act.responses] == ["/mesh fw:&lt;3.4.1"]


async def test_the_address_of_the_bot_can_be_verified(slack: SlackServer) -> None:
    async def answer(request: web.Request, body: str) -> web.Response:
        return web.json_response({"challenge": json.loads(body)["challenge"]})

    async with http_bot(slack, answer):
        assert await slack.verify_url()


def test_typed_text_is_mangled_as_on_a_mac() -> None:
    assert mangle('tag:"Kyiv office" fw:<3 --x') == "tag:“Kyiv office” fw:&lt;3 —x"
    assert mangle("a  b") == "a\u00a0 b"
    assert mangle("www.x.no") == "<http://www.x.no|www.x.no>"


# Faults and pace


async def test_a_rate_limit_on_demand_wears_off(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.faults.rate_limit("chat.postMessage", retry_after=7, channel=OPS)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=OPS, text="x")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "7"
    assert (await client.chat_postMessage(channel=OPS, text="x"))["ok"]


async def test_a_lost_answer_took_effect(slack: SlackServer, client: AsyncWebClient) -> None:
    client.retry_handlers.clear()
    slack.faults.lose_answer("chat.postMessage")
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=OPS, text="x")
    assert len(slack.workspace.in_channel(OPS)) == 1


async def test_a_failure_on_demand_changes_nothing(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.faults.fail("chat.postMessage", "fatal_error")
    assert await refusal(client.chat_postMessage(channel=OPS, text="x")) == "fatal_error"
    assert slack.workspace.in_channel(OPS) == []


async def test_a_hanging_call_gets_no_answer(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.faults.hang("auth.test")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.05)) as session:
        with pytest.raises(TimeoutError):
            await session.post(slack.api_url + "auth.test")


async def test_limits_allow_a_burst_and_then_one_message_a_second(
    slack: SlackServer, client: AsyncWebClient, clock: Clock
) -> None:
    slack.limits_on = True
    posts = [await code(client, OPS) for _ in range(5)]
    other = await code(client, ROLLOUTS)
    clock.now += 1
    assert posts == ["ok"] * 4 + ["ratelimited"]
    assert (other, await code(client, OPS)) == ("ok", "ok")


async def code(client: AsyncWebClient, channel: str) -> str:
    try:
        await client.chat_postMessage(channel=channel, text="x")
    except SlackApiError as error:
        return str(error.response["error"])
    return "ok"


async def test_a_message_interval_paces_the_whole_workspace(
    slack: SlackServer, client: AsyncWebClient, clock: Clock
) -> None:
    slack.message_interval = 1.0
    assert [await code(client, OPS), await code(client, ROLLOUTS)] == ["ok", "ratelimited"]
    clock.now += 1
    assert await code(client, ROLLOUTS) == "ok"


# The record


async def test_waiting_in_vain_shows_what_happened_last(slack: SlackServer, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=OPS, text="hello there")
    with pytest.raises(TimeoutError, match="hello there"):
        await slack.wait_for(lambda: None, timeout=0.01)


async def test_every_event_can_be_followed(slack: SlackServer, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=OPS, text="x")
    kinds = []
    async for event in slack.subscribe(since=0):
        kinds.append(event.kind)
        if event.kind == "call":
            break
    assert kinds == ["message posted", "call"]
