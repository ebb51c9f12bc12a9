"""``whoami`` and ``notify``: what the bot knows of who asks, and what they want to hear of."""

from bot.domain.access import Action, require
from bot.domain.errors import InvalidInput
from bot.services.preferences import Preferences
from bot.slack.home.views import status as views
from bot.slack.incoming.listeners import CommandCall, Declarations, Feature

on = Declarations("The bot")


class PreferenceCommands:
    """Everybody sees and changes their own."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences

    def feature(self) -> Feature:
        return on.of(self)

    @on.command(
        "whoami",
        "Show your role, what it is limited to, and whether the bot writes to you",
        also=("me", "role", "roles"),
    )
    async def whoami(self, call: CommandCall) -> None:
        muted_since = await self._preferences.muted_since(call.actor.user_id)
        await call.respond.answer(views.person(call.actor, muted_since))

    @on.command(
        "notify <on|off>",
        "Have the bot write to you about your updates and alerts, or not",
        examples=("notify off",),
        also=("notifications",),
    )
    async def notify(self, call: CommandCall) -> None:
        require(call.actor, Action.READ)
        wanted = call.text.strip().casefold()
        if wanted not in {"on", "off"}:
            raise InvalidInput("Write /mesh notify off or /mesh notify on. /mesh whoami shows which it is.")
        await self._preferences.set_muted(call.actor.user_id, muted=wanted == "off")
        await call.respond.answer(views.notified(wants=wanted == "on"))
