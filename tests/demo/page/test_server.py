"""The page's server: what it hands out, to whom, and what it does not take."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.page.panel import World
from bot.demo.page.screen import typed
from bot.demo.page.server import PageServer
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import ADMIN, APPROVER, BOT_USER, GUEST, OPERATOR, OPS, ROLLOUTS, PostedMessage
from tests.demo.slack.room import button

Json = dict[str, Any]


@pytest.fixture
async def page(slack: SlackServer) -> AsyncIterator[PageServer]:
    served = PageServer(World(slack, FleetSimulator(gateways=20)))
    await served.start()
    yield served
    await served.stop()


Look = Callable[..., Awaitable["Window"]]


class Window:
    """A window's stream: what came, one event after the other."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> tuple[str, Json]:
        async with asyncio.timeout(10):
            lines = [await self._answer.content.readline() for _ in range(3)]
        kind, data = (line.decode().partition(": ")[2].strip() for line in lines[:2])
        return kind, json.loads(data)

    async def until(self, wanted: str) -> Json:
        while True:
            kind, data = await self.next()
            if kind == wanted:
                return data


@pytest.fixture
async def look(page: PageServer, http: aiohttp.ClientSession) -> AsyncIterator[Look]:
    """Opens a person's window, which stays open until the test ends."""
    open_answers: list[aiohttp.ClientResponse] = []

    async def opened(user: str, after: str = "") -> Window:
        open_answers.append(await http.get(f"{page.url}/stream", params={"as": user, "after": after}))
        return Window(open_answers[-1])

    yield opened
    for answer in open_answers:
        answer.close()


async def act(http: aiohttp.ClientSession, page: PageServer, user: str, what: str, **more: Any) -> Json:
    async with http.post(f"{page.url}/act", json={"as": user, "do": what, **more}) as answer:
        told: Json = await answer.json()
        return told


def said(slack: SlackServer, text: str, **more: Any) -> PostedMessage:
    message = PostedMessage(OPS, slack.workspace.next_ts(), text, BOT_USER, **more)
    return slack.workspace.add(message)


async def test_everything_is_sent_with_a_policy_that_runs_nothing_from_outside(
    page: PageServer, http: aiohttp.ClientSession
) -> None:
    for path in ("/", "/web/app.js", "/web/nothing.js", "/file/F1"):
        async with http.get(page.url + path) as answer:
            policy = answer.headers.get("Content-Security-Policy", "")
            assert ("default-src 'none'" in policy) == answer.ok
            assert "unsafe" not in policy


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:80"}],
)
async def test_another_site_gets_nothing(
    page: PageServer, http: aiohttp.ClientSession, slack: SlackServer, headers: dict[str, str]
) -> None:
    body = {"as": OPERATOR, "do": "say", "channel": OPS, "text": "x"}
    async with http.post(f"{page.url}/act", json=body, headers=headers) as answer:
        assert answer.status == 403
    assert slack.workspace.in_channel(OPS) == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("as=U0OPERAT01&do=say", "application/x-www-form-urlencoded", 415),
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ('{"as": "U0OPERAT01", "do": "say"}', "application/json", 400),
        ('{"as": "U0NOBODY01", "do": "say"}', "application/json", 403),
    ],
)
async def test_an_act_that_is_not_whole_is_refused(
    page: PageServer, http: aiohttp.ClientSession, body: str, kind: str, status: int
) -> None:
    async with http.post(f"{page.url}/act", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == status


@pytest.mark.parametrize("name", ["../page.py", "%2e%2e/page.py", "nothing.css"])
async def test_only_the_page_s_own_files_are_served(
    page: PageServer, http: aiohttp.ClientSession, name: str
) -> None:
    async with http.get(f"{page.url}/web/{name}") as answer:
        assert answer.status == 404


async def test_an_ephemeral_message_reaches_its_reader_only(
    page: PageServer, look: Look, slack: SlackServer
) -> None:
    said(slack, "for the operator", ephemeral_to=OPERATOR)
    said(slack, "for all")
    seen = {}
    for user in (OPERATOR, APPROVER):
        _, hello = await (await look(user)).next()
        ops = next(one for one in hello["channels"] if one["id"] == OPS)
        seen[user] = [one["text"] for one in ops["messages"]]
    assert seen == {OPERATOR: ["for the operator", "for all"], APPROVER: ["for all"]}


async def test_a_window_that_missed_something_is_told_it(
    page: PageServer, look: Look, slack: SlackServer
) -> None:
    said(slack, "before")
    _, hello = await (await look(OPERATOR)).next()
    said(slack, "meanwhile")
    window = await look(OPERATOR, after=hello["at"])
    assert (await window.next())[0] == "back"
    assert (await window.until("message"))["message"]["text"] == "meanwhile"


async def test_a_window_that_fell_behind_what_is_remembered_is_drawn_anew(
    look: Look, slack: SlackServer
) -> None:
    window = await look(OPERATOR)
    await window.until("hello")
    for number in range(6000):
        said(slack, f"message {number}")
    whole = await window.until("hello")
    ops = next(channel for channel in whole["channels"] if channel["id"] == OPS)
    assert ops["messages"][-1]["text"] == "message 5999"


async def test_a_world_that_runs_for_days_keeps_the_newest_only(slack: SlackServer) -> None:
    slack.workspace.most_messages = 100
    for number in range(6000):
        said(slack, f"message {number}")
    assert [message.text for message in slack.workspace.in_channel(OPS)][::99] == [
        "message 5900",
        "message 5999",
    ]
    assert len(slack.events) == 5000


async def test_another_world_is_drawn_from_its_beginning(
    page: PageServer, look: Look, slack: SlackServer
) -> None:
    said(slack, "old")
    window = await look(OPERATOR)
    _, hello = await window.next()
    page.show(page.world)
    kind, again = await (await look(OPERATOR, after=hello["at"])).next()
    assert kind == "hello"
    assert again["at"] != hello["at"]


async def test_a_guest_is_told_of_no_channel_they_are_not_in(
    page: PageServer, look: Look, http: aiohttp.ClientSession, slack: SlackServer
) -> None:
    slack.workspace.add(PostedMessage(ROLLOUTS, slack.workspace.next_ts(), "secret", BOT_USER))
    _, hello = await (await look(GUEST)).next()
    assert "secret" not in json.dumps(hello)
    async with http.get(f"{page.url}/older", params={"as": GUEST, "channel": ROLLOUTS}) as answer:
        assert answer.status == 404
    assert not (await act(http, page, GUEST, "say", channel=ROLLOUTS, text="hi"))["ok"]


async def test_older_messages_come_in_pages_without_a_gap(
    page: PageServer, look: Look, http: aiohttp.ClientSession, slack: SlackServer
) -> None:
    for number in range(150):
        said(slack, str(number))
    _, hello = await (await look(OPERATOR)).next()
    ops = next(one for one in hello["channels"] if one["id"] == OPS)
    got, more = ops["messages"], ops["more"]
    while more:
        query = {"as": OPERATOR, "channel": OPS, "before": got[0]["ts"]}
        async with http.get(f"{page.url}/older", params=query) as answer:
            older = await answer.json()
        got, more = [*older["messages"], *got], older["more"]
    assert [one["text"] for one in got] == [str(number) for number in range(150)]


async def test_a_click_on_what_is_not_on_the_screen_is_answered_with_why(
    page: PageServer, http: aiohttp.ClientSession, slack: SlackServer
) -> None:
    message = said(slack, "card", blocks=[button("approve")])
    told = await act(http, page, OPERATOR, "click", channel=OPS, ts=message.ts, action_id="deny")
    assert told["error"].startswith("no 'deny'")
    message.ephemeral_to = APPROVER
    told = await act(http, page, OPERATOR, "click", channel=OPS, ts=message.ts, action_id="approve")
    assert told == {"ok": False, "error": "That message is gone."}


async def test_without_a_bot_a_command_is_answered_as_slack_answers_it(
    page: PageServer, http: aiohttp.ClientSession
) -> None:
    told = await act(http, page, OPERATOR, "say", channel=OPS, text="/mesh devices")
    assert told == {"ok": False, "error": "/mesh failed with the error “dispatch_failed”"}


async def test_only_an_admin_deletes_what_others_said(
    page: PageServer, http: aiohttp.ClientSession, slack: SlackServer
) -> None:
    message = said(slack, "card")
    assert not (await act(http, page, OPERATOR, "delete", channel=OPS, ts=message.ts))["ok"]
    assert (await act(http, page, ADMIN, "delete", channel=OPS, ts=message.ts))["ok"]
    assert message.deleted


async def test_what_is_typed_arrives_as_slack_would_send_it(
    page: PageServer, http: aiohttp.ClientSession, slack: SlackServer
) -> None:
    await act(http, page, OPERATOR, "say", channel=OPS, text="<b> & @Ana Moe in #rollouts")
    (message,) = slack.workspace.in_channel(OPS)
    assert message.text == f"&lt;b&gt; &amp; <@{APPROVER}> in <#{ROLLOUTS}|rollouts>"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("assign A-1 @Ana Moe look", f"assign A-1 <@{APPROVER}|Ana Moe> look"),
        ("assign A-1 @ana", f"assign A-1 <@{APPROVER}|ana>"),
        ("audit #rollouts", f"audit <#{ROLLOUTS}|rollouts>"),
        ("find @anabel x@ana #rollouts-2", "find @anabel x@ana #rollouts-2"),
    ],
)
def test_people_and_channels_typed_in_a_command_are_sent_as_mentions(written: str, sent: str) -> None:
    people = {"Ana Moe": APPROVER, "ana": APPROVER}
    assert typed(written, people, {"rollouts": ROLLOUTS}, labelled=True) == sent


async def test_a_command_typed_on_the_page_carries_its_mentions(
    page: PageServer, http: aiohttp.ClientSession, slack: SlackServer
) -> None:
    await act(http, page, OPERATOR, "say", channel=OPS, text="/mesh assign A-1 @ana")
    (sent,) = [one for one in slack.events if one.kind == "act"]
    assert sent.detail["text"] == f"assign A-1 <@{APPROVER}|ana>"
