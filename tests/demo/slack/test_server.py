import json

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack.payloads import NotOnScreenError
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import APPROVER, APPROVERS, OPERATOR, OPS, ROLLOUTS, VIEWER, mangle
from tests.demo.slack.room import Clock, Json, bolt, button, http_bot


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
