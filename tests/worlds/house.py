"""The whole bot in this process, with a local Slack and a small portal around it, and people who use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bot.app import App
from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import OPS, PostedMessage
from bot.domain.access import Actor, Role
from bot.domain.audit import AuditQuery, Outcome
from bot.slack import ids
from bot.slack.ids import CardRef
from bot.slack.outgoing.replies import Modals
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.slack.views import blocks, modals
from tests.settings.test_settings import load
from tests.slack.phone import unnamed_on_a_phone
from tests.worlds.databases import sqlite_url
from tests.worlds.process import IN_TIME

REF = CardRef("99999", 1)
AUDITOR = Actor("U0AUDITOR1", "auditor", Role.ADMIN)


@dataclass
class House:
    """A running bot, and what people do with it; every step ends when the bot has done its part."""

    app: App
    slack: SlackServer
    portal: FleetSimulator
    api: WebApi

    def later(self, **by: float) -> None:
        """The bot's clock, and the portal's, go ahead at once."""
        self.portal.clock.advance(timedelta(**by))

    async def command(self, user: str, word: str) -> str:
        typed = await self.slack.command(user, OPS, word)
        assert (await typed.ack).ok
        await self.app.slack.guard.idle()
        return "\n".join(message_text(one) for one in typed.responses)

    async def click(self, user: str, action_id: str, message: PostedMessage) -> str:
        clicked = await self.slack.click(user, message, action_id)
        assert (await clicked.ack).ok
        await self.app.slack.guard.idle()
        return "\n".join(message_text(one) for one in clicked.responses)

    async def submit(self, user: str, callback_id: str, ref: CardRef | None = None) -> str:
        """A modal that is on their screen, however it came there; with a ``ref`` it says why."""
        typed = await self.slack.command(user, OPS, "help")
        asks = modals.text_input(ids.REASON, "Why?", initial="for a test") if ref else blocks.section("…")
        form = modals.modal("A form", [asks], callback_id=callback_id, ref=ref or REF, submit="Go")
        await Modals(self.api).open(typed.trigger_id, form)
        (view,) = self.slack.workspace.open_views(user)
        await (await self.slack.submit(user, view)).ack
        await self.app.slack.guard.idle()
        said = str(view.body)
        await self.slack.close(user, view) if view.is_open else None
        return said

    async def plan_and_request(self, user: str, what: str) -> str:
        """Asks for an update, and for its approval: the answer to the latter."""
        typed = await self.slack.command(user, OPS, f"update {what}")
        assert (await typed.ack).ok
        await self.app.slack.guard.idle()
        (plan,) = typed.responses
        asked = await self.slack.click(user, plan, "rollout_request")
        assert (await asked.ack).ok
        await self.app.slack.guard.idle()
        return "\n".join(message_text(one) for one in asked.responses)

    async def card(self, words: str, channel: str = workspace.ROLLOUTS) -> PostedMessage:
        """The newest message of a channel that says these words, as soon as it is there."""

        def found() -> PostedMessage | None:
            shown = self.slack.workspace.in_channel(channel)
            return next((one for one in reversed(shown) if words in message_text(one)), None)

        return await self.slack.wait_for(found)

    async def refused(self) -> set[tuple[str, str]]:
        """Who was refused what, by the audit log."""
        page = await self.app.audit.find(AUDITOR, AuditQuery(outcomes=(Outcome.REFUSED,)), 10_000)
        return {(entry.actor, entry.action) for entry in page.entries}

    async def post_buttons(self, action_ids: list[str]) -> PostedMessage:
        """A card with all of them, each about something that does not exist."""
        rows = [action_ids[start : start + 5] for start in range(0, len(action_ids), 5)]
        card = [block for row in rows for block in blocks.actions(*(_button(one) for one in row))]
        sent = await self.api.call("chat.postMessage", channel=OPS, text="Every button", blocks=card)
        found = self.slack.workspace.find(OPS, sent["ts"])
        assert found is not None
        return found


def _button(action_id: str) -> blocks.Block:
    return blocks.button("Press", action_id, REF)


@asynccontextmanager
async def house(folder: Path, portal: FleetSimulator | None = None, **variables: str) -> AsyncIterator[House]:
    """With the fleet taken in. ``variables`` are settings without their prefix; groups have the roles."""
    slack, portal = SlackServer(), portal or FleetSimulator(gateways=3)
    slack.ack_seconds = IN_TIME
    await slack.start()
    await portal.start()
    usual = {
        "SLACK__BOT_TOKEN": slack.bot_token,
        "SLACK__APP_TOKEN": slack.app_token,
        "SLACK__API_URL": slack.api_url,
        "MESHTECH__USERNAME": portal.username,
        "MESHTECH__PASSWORD": portal.password,
        "MESHTECH__AUTH_URL": portal.auth_url,
        "MESHTECH__API_URL": portal.api_url,
        "SLACK__EDIT_EVERY": "0",
        "DATABASE_URL": sqlite_url(folder),
        "JOBS__POLL_EVERY": "1s",
        "HTTP__PORT": "0",
        "CHANNELS__ALERTS": workspace.FLEET_ALERTS,
        "CHANNELS__ROLLOUTS": workspace.ROLLOUTS,
        "ACCESS__OPERATORS": workspace.OPERATORS,
        "ACCESS__APPROVERS": workspace.APPROVERS,
        "ACCESS__ADMINS": workspace.ADMINS,
    }
    app, session = App(load(**{**usual, **variables}), clock=portal.clock), new_session()
    await app.start()
    try:
        await slack.wait_for(lambda: slack.connected > 0)  # the second socket opens two seconds later
        await app.scheduler.run_now("listing")
        yield House(
            app, slack, portal, WebApi(slack.bot_token, session, base_url=slack.api_url, command="/mesh")
        )
    finally:
        await app.stop()
        await session.close()
        await portal.stop()
        await slack.stop()
    assert unnamed_on_a_phone(slack.calls) == []
