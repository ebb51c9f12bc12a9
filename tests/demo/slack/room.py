"""A local Slack for a test: its clock, a real Bolt app on its sockets, a bot on HTTP, blocks to post."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPERATOR, OPS

Json = dict[str, Any]


class Clock:
    """The server's clock, owned by the test."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


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


async def open_modal(slack: SlackServer, client: AsyncWebClient, **more: Any) -> Any:
    trigger_id = (await slack.command(OPERATOR, OPS, "x", command="/nobody")).trigger_id
    await client.views_open(trigger_id=trigger_id, view=modal(**more))
    return slack.top_view(OPERATOR)


async def outcome(client: AsyncWebClient, channel: str) -> str:
    try:
        await client.chat_postMessage(channel=channel, text="x")
    except SlackApiError as error:
        return str(error.response["error"])
    return "ok"
