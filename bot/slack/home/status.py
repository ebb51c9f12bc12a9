"""``status`` and ``settings``: how the bot itself fares. What to tell comes from whoever built the bot."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from bot.domain.access import Actor
from bot.slack.home.views import status as views
from bot.slack.home.views.status import Setting, Status
from bot.slack.incoming.listeners import CommandCall, Declarations, Feature
from bot.slack.paging import ListHandler, check_question
from bot.slack.views.blocks import Message

on = Declarations("The bot")


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
        return on.of(self)

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.SETTINGS: ListHandler(self._page)}

    @on.command("status", "Show how the fleet and the bot are doing", also=("health", "ping"))
    async def status(self, call: CommandCall) -> None:
        await call.respond.answer(views.bot_status(await self._status(), self._now()))

    @on.command(
        "settings [words]",
        "List settings, secrets masked: all, or those about some words",
        examples=("settings alerts", "settings SECOND"),
        also=("config",),
    )
    async def settings(self, call: CommandCall) -> None:
        check_question(call.text)
        await call.respond.answer(await self._page(call.actor, 0, call.text.strip()))

    async def _page(self, _actor: Actor, offset: int, question: str) -> Message:
        return views.settings(self._settings(), offset, question)
