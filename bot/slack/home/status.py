"""``status`` and ``settings``: how the bot itself fares. What to tell comes from whoever built the bot."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from bot.domain.access import Actor
from bot.slack.home.views import status as views
from bot.slack.home.views.status import Setting, Status
from bot.slack.incoming.requests import Command, CommandCall, Feature
from bot.slack.lists import ListHandler
from bot.slack.views.blocks import Message


class StatusCommands:
    """What anybody may ask the bot about itself. ``settings`` gives values with secrets masked already."""

    def __init__(
        self,
        *,
        status: Callable[[], Awaitable[Status]],
        settings: Callable[[], Sequence[Setting]],
        now: Callable[[], datetime],
    ) -> None:
        self._status = status
        self._settings = settings
        self._now = now

    def feature(self) -> Feature:
        return Feature(
            title="The bot",
            commands={
                "status": Command("status", "Show how the fleet and the bot are doing", self.status),
                "settings": Command("settings", "List all settings, secrets masked", self.settings),
            },
        )

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.SETTINGS: ListHandler(self._page)}

    async def status(self, call: CommandCall) -> None:
        await call.respond.answer(views.bot_status(await self._status(), self._now()))

    async def settings(self, call: CommandCall) -> None:
        await call.respond.answer(await self._page(call.actor, 0, ""))

    async def _page(self, _actor: Actor, offset: int, _question: str) -> Message:
        return views.settings(self._settings(), offset)
