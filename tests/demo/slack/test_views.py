import pytest
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack.payloads import NotOnScreenError
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPERATOR, OPS, VIEWER
from tests.demo.slack.room import Clock, Json, bolt, button, modal, open_modal, refusal


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


async def test_a_choice_in_a_menu_stands_in_the_action_and_the_state(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    options = [{"text": {"type": "plain_text", "text": word}, "value": word} for word in ("30m", "4h")]
    menu = {"type": "static_select", "action_id": "duration", "options": options}
    block = {"type": "actions", "block_id": "silence", "elements": [menu]}
    await client.chat_postMessage(channel=OPS, text="Silence?", blocks=[block])
    [message] = slack.workspace.in_channel(OPS)
    click = await slack.click(OPERATOR, message, "duration", selected="4h")
    assert click.payload["actions"][0]["selected_option"] == options[1]
    assert click.payload["state"]["values"]["silence"]["duration"]["selected_option"] == options[1]
    with pytest.raises(NotOnScreenError, match="30m, 4h"):
        await slack.click(OPERATOR, message, "duration", selected="5h")


async def test_a_stack_holds_three_views(slack: SlackServer, client: AsyncWebClient) -> None:
    again = {"type": "actions", "elements": [button("more")["elements"][0]]}
    view = await open_modal(slack, client, blocks=[again], submit=None)
    for _ in range(2):
        click = await slack.click_in_view(OPERATOR, view, "more")
        await client.views_push(trigger_id=click.trigger_id, view=modal(blocks=[again], submit=None))
        view = slack.top_view(OPERATOR)
    click = await slack.click_in_view(OPERATOR, view, "more")
    fourth = client.views_push(trigger_id=click.trigger_id, view=modal())
    assert await refusal(fourth) == "push_limit_reached"


async def test_the_bot_hears_of_a_closed_modal_if_it_asked(slack: SlackServer) -> None:
    closed: list[str] = []
    async with bolt(slack) as app:

        @app.view_closed("ask")
        async def gone(ack: AsyncAck, view: Json) -> None:
            closed.append(view["id"])
            await ack()

        view = await open_modal(slack, app.client, notify_on_close=True)
        act = await slack.close(OPERATOR, view)
        assert act
        assert (await act.ack).ok
    assert closed == [view.id]
