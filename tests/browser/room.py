"""A page in real Chromium over a local Slack, with a scripted bot in it that knows every kind of block."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from playwright.async_api import Browser, BrowserContext, Locator, async_playwright, expect
from playwright.async_api import Page as Tab
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.page.panel import World
from bot.demo.page.server import PageServer
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPS
from tests.conftest import find_browser
from tests.demo.slack.room import bolt

Json = dict[str, Any]

COMMANDS = [
    ("help [topic]", "What I can do"),
    ("devices [query]", "List gateways, worst first"),
    ("device <id or name>", "One gateway"),
    ("rename <id or name> <new name>", "Rename a gateway"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


SOON = 30_000  # milliseconds: longer than a busy machine needs, and no test waits for it that passes


@dataclass
class Room:
    """Everything of one test; `tab` is the window of the operator."""

    slack: SlackServer
    fleet: FleetSimulator
    page: PageServer
    client: AsyncWebClient
    context: BrowserContext
    tab: Tab

    async def post(self, text: str, channel: str = OPS, **more: Any) -> str:
        """The bot posts a message; its time stamp."""
        answer = await self.client.chat_postMessage(channel=channel, text=text, **more)
        return str(answer["ts"])

    def message(self, text: str) -> Locator:
        return self.tab.locator("#pane .message", has_text=text).last

    async def write(self, text: str) -> None:
        field = self.tab.get_by_role("combobox", name="Message #ops")
        await field.fill(text)
        await field.press("Escape")
        await field.press("Enter")

    async def be(self, name: str, tab: Tab | None = None) -> None:
        """Switch to another person."""
        tab = tab or self.tab
        await tab.get_by_role("button", name="You are").click()
        await tab.get_by_role("menuitemradio", name=name).click()
        await tab.get_by_role("button", name=f"You are {name}").wait_for()


@asynccontextmanager
async def open_room(
    chromium: Browser, *, width: int = 1280, height: int = 800, tour: bool = False
) -> AsyncIterator[Room]:
    fleet = FleetSimulator(gateways=40)
    slack = SlackServer()
    await slack.start()
    page = PageServer(
        World(slack, fleet, commands=COMMANDS, facts=[("Offline before an alert", "15 s", "5 min")])
    )
    await page.start()
    try:
        async with aiohttp.ClientSession() as session, bolt(slack) as app:
            script(app)
            client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, session=session)
            context = await chromium.new_context(
                viewport={"width": width, "height": height}, timezone_id="Europe/Oslo", locale="en-GB"
            )
            context.set_default_timeout(SOON)
            if not tour:
                await context.add_init_script("localStorage.setItem('meshbot-tour', 'done')")
            tab = await context.new_page()
            room = Room(slack, fleet, page, client, context, tab)
            await tab.goto(page.url)
            await tab.locator("#app[data-ready]").wait_for()
            yield room
            await context.close()
    finally:
        await page.stop()
        await slack.stop()


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=SOON)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        try:
            yield chromium
        finally:
            await chromium.close()


def words(text: str) -> Json:
    return {"type": "plain_text", "text": text, "emoji": False}


def section(text: str, **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}, **more}


def button(text: str, action_id: str, value: str = "v1.0", **more: Any) -> Json:
    return {"type": "button", "text": words(text), "action_id": action_id, "value": value, **more}


def buttons(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def sure(title: str = "Approve R-1?") -> Json:
    return {
        "title": words(title),
        "text": words("This updates 12 gateways of model 2011 to 3.5.0."),
        "confirm": words("Approve"),
        "deny": words("Go back"),
    }


def reason_modal() -> Json:
    return {
        "type": "modal",
        "callback_id": "rollout_deny",
        "title": words("Deny R-1"),
        "submit": words("Deny"),
        "close": words("Close"),
        "blocks": [
            section("*R-1*: firmware `3.5.0`"),
            {
                "type": "input",
                "block_id": "reason",
                "label": words("Why not?"),
                "hint": words("The requester can read it."),
                "element": {"type": "plain_text_input", "action_id": "reason", "multiline": True},
            },
        ],
    }


def script(app: AsyncApp) -> None:
    """What the scripted bot does: a list, a card with buttons, a modal that wants a reason, a home tab."""

    @app.command("/mesh")
    async def command(ack: Any, respond: Any, body: Json) -> None:
        await ack()
        await respond(
            text=f"You typed {body['text']}",
            blocks=[section(f"You typed `{body['text']}`"), buttons(button("Next", "page_next"))],
            response_type="ephemeral",
            replace_original=False,
        )

    @app.action("page_next")
    async def page_next(ack: Any, respond: Any) -> None:
        await ack()
        await respond(text="Page 2", blocks=[section("Page *2*")], replace_original=True)

    @app.action("rollout_approve")
    async def approve(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        said = f"Approved by <@{body['user']['id']}>"
        await client.chat_update(
            channel=body["channel"]["id"], ts=body["message"]["ts"], text=said, blocks=[section(said)]
        )

    @app.action("rollout_deny")
    async def deny(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=reason_modal())

    @app.view("rollout_deny")
    async def denied(ack: Any, body: Json) -> None:
        reason = body["view"]["state"]["values"]["reason"]["reason"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"reason": "Say a little more."})
        else:
            await ack()

    @app.event("app_home_opened")
    async def home(event: Json, client: AsyncWebClient) -> None:
        blocks = [{"type": "header", "text": words("Your fleet")}, section("🟢 *236 online*, 🔴 4 offline")]
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    @app.event("app_mention")
    async def mention(event: Json, client: AsyncWebClient) -> None:
        await client.chat_postMessage(
            channel=event["channel"], thread_ts=event.get("thread_ts") or event["ts"], text="At your service."
        )
