"""What a person does on the page, done in the local Slack: typing, clicking, choosing, submitting.

The page names what is on its screen; whether it really is there, the local Slack checks again.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from bot.demo.page.screen import Screen, typed
from bot.demo.slack.server import SlackServer
from bot.demo.slack.wire_log import Ack, Interaction
from bot.demo.slack.workspace import ADMIN, BOT_USER, PostedMessage, View, mangle

Json = dict[str, Any]

_MOST_TEXT = 12_000
_COMMAND = re.compile(r"(/\S+)(?:\s+(.*))?", re.DOTALL)


class NotDoneError(Exception):
    """Slack would not do that; the text is what it would say."""


class Acts:
    """The acts of one person. Each answers `{"ok": …, "error": …}`, as the person is told."""

    def __init__(self, slack: SlackServer, screen: Screen, slash: str) -> None:
        self._slack = slack
        self._screen = screen
        self._slash = slash
        self._user = screen.user

    async def do(self, what: str, asked: Json) -> Json:
        acts: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "say": self._say,
            "click": self._click,
            "view_click": self._view_click,
            "submit": self._submit,
            "close": self._close,
            "home": self._home,
            "dismiss": self._dismiss,
            "delete": self._delete,
        }
        if what not in acts:
            raise NotDoneError("Slack knows no such act.")
        return await acts[what](asked)

    async def _say(self, asked: Json) -> Json:
        """A message, a mention or a command, as it was typed."""
        text, channel = str(asked["text"]).strip(), str(asked["channel"])
        thread = str(asked.get("thread") or "") or None
        if not self._screen.is_member(channel):
            raise NotDoneError("You are not in that channel.")
        if not text or len(text) > _MOST_TEXT:
            raise NotDoneError(f"A message has 1 to {_MOST_TEXT} characters.")
        command = _COMMAND.fullmatch(text) if text.startswith("/") else None
        if command:
            return await self._command(channel, command[1], command[2] or "", thread)
        words = self._mentions(mangle(text))
        if thread and self._screen.find(channel, thread) is None:
            raise NotDoneError("That thread is gone.")
        hears = self._slack.workspace.channels[channel].has_bot
        if f"<@{BOT_USER}>" in words and hears:
            self._open_thread(channel, thread)
            await self._slack.mention(self._user, channel, words, thread)
            return {"ok": True}
        self._open_thread(channel, thread)
        ts = self._slack.workspace.next_ts()
        self._slack.workspace.add(PostedMessage(channel, ts, words, self._user, thread_ts=thread))
        return {"ok": True}

    async def _command(self, channel: str, command: str, text: str, thread: str | None) -> Json:
        if command != self._slash:
            raise NotDoneError(
                f"{command} is not a valid command. This workspace has {self._slash}: try {self._slash} help."
            )
        if thread:
            raise NotDoneError(f"{command} is not supported in threads. Sorry! Write @Meshbot {text}".strip())
        words = self._mentions(mangle(text), labelled=True)
        act = await self._slack.command(self._user, channel, words, command)
        return _told(await act.ack, f"{command} failed with the error")

    def _mentions(self, text: str, *, labelled: bool = False) -> str:
        users = self._slack.workspace.users.values()
        people = {user.real_name: user.id for user in users} | {user.name: user.id for user in users}
        channels = {
            channel.name: channel.id
            for channel in self._slack.workspace.channels.values()
            if not channel.im_user and not channel.is_private
        }
        return typed(text, people, channels, labelled=labelled)

    def _open_thread(self, channel: str, thread: str | None) -> None:
        root = self._slack.workspace.find(channel, thread) if thread else None
        if root is not None and root.thread_ts is None:
            root.thread_ts = root.ts

    async def _click(self, asked: Json) -> Json:
        message = self._message(asked)
        act = await self._slack.click(
            self._user,
            message,
            str(asked["action_id"]),
            value=asked.get("value"),
            index=int(asked.get("index") or 0),
            selected=asked.get("selected"),
        )
        return await self._clicked(act)

    async def _view_click(self, asked: Json) -> Json:
        act = await self._slack.click_in_view(
            self._user,
            self._view(asked),
            str(asked["action_id"]),
            value=asked.get("value"),
            index=int(asked.get("index") or 0),
            selected=asked.get("selected"),
        )
        return await self._clicked(act)

    async def _clicked(self, act: Interaction) -> Json:
        return _told(await act.ack, "This app did not answer:")

    async def _submit(self, asked: Json) -> Json:
        values = {
            str(block): {
                str(action): chosen for action, chosen in entries.items() if chosen not in (None, "")
            }
            for block, entries in dict(asked.get("values") or {}).items()
        }
        act = await self._slack.submit(self._user, self._view(asked), values)
        return _told(await act.ack, "We had some trouble connecting. Try again?")

    async def _close(self, asked: Json) -> Json:
        await self._slack.close(self._user, self._view(asked))
        return {"ok": True}

    async def _home(self, asked: Json) -> Json:
        await self._slack.open_home(self._user, "messages" if asked.get("tab") == "messages" else "home")
        return {"ok": True}

    async def _dismiss(self, asked: Json) -> Json:
        message = self._message(asked)
        if message.ephemeral_to != self._user:
            raise NotDoneError("Only a message that you alone see can be dismissed.")
        self._slack.workspace.delete_message(message)
        return {"ok": True}

    async def _delete(self, asked: Json) -> Json:
        message = self._message(asked)
        if self._user not in (ADMIN, message.user):
            raise NotDoneError("Only an admin can delete somebody else's message.")
        self._slack.workspace.delete_message(message)
        return {"ok": True}

    def _message(self, asked: Json) -> PostedMessage:
        message = self._screen.find(str(asked["channel"]), str(asked["ts"]))
        if message is None:
            raise NotDoneError("That message is gone.")
        return message

    def _view(self, asked: Json) -> View:
        workspace = self._slack.workspace
        for view in (*workspace.open_views(self._user), workspace.homes.get(self._user)):
            if view is not None and view.id == asked["view"]:
                return view
        raise NotDoneError("That window is closed already.")


def _told(ack: Ack, otherwise: str) -> Json:
    return {"ok": True} if ack.ok else {"ok": False, "error": f"{otherwise} “{ack.error}”"}
