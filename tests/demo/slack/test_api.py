import json

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import (
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
)
from tests.demo.slack.room import Clock, button, outcome, refusal


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
    posts = [await outcome(client, OPS) for _ in range(5)]
    other = await outcome(client, ROLLOUTS)
    clock.now += 1
    assert posts == ["ok"] * 4 + ["ratelimited"]
    assert (other, await outcome(client, OPS)) == ("ok", "ok")


async def test_a_message_interval_paces_the_whole_workspace(
    slack: SlackServer, client: AsyncWebClient, clock: Clock
) -> None:
    slack.message_interval = 1.0
    assert [await outcome(client, OPS), await outcome(client, ROLLOUTS)] == ["ok", "ratelimited"]
    clock.now += 1
    assert await outcome(client, ROLLOUTS) == "ok"
