"""What one person sees of the made-up workspace, as JSON for the page; nothing Slack would not show them.

Messages go as they crossed the wire; drawing them is the page's business. A page holds the newest messages
of each channel and asks for older ones when somebody scrolls up to them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import (
    BOT_USER,
    FLEET_ALERTS,
    OPS,
    RANDOM,
    ROLLOUTS,
    Channel,
    PostedMessage,
    View,
)

Json = dict[str, Any]

PAGE = 60
TOPICS = {
    FLEET_ALERTS: "Gateways that went offline, as cards: who has it, why, and when it is over",
    ROLLOUTS: "Firmware on its way: plans to approve, waves, results",
    OPS: "Run the fleet from here",
    RANDOM: "Everything else (Meshbot is not in here)",
}
_FACES = 3


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody the page can be used as, and the role they have with the bot."""

    user: str
    role: str


class Screen:
    """The workspace through the eyes of one person."""

    def __init__(self, slack: SlackServer, user: str) -> None:
        self._slack = slack
        self._workspace = slack.workspace
        self.user = user

    def whole(self, seats: Iterable[Seat]) -> Json:
        """Everything a page needs to begin with."""
        by_channel: dict[str, list[PostedMessage]] = {channel.id: [] for channel in self._channels()}
        replies: dict[tuple[str, str], list[PostedMessage]] = {}
        for message in self._workspace.messages.values():
            if message.channel in by_channel and self.sees(message):
                if message.is_reply and message.ephemeral_to is None:
                    replies.setdefault((message.channel, str(message.thread_ts)), []).append(message)
                if not message.is_reply or message.broadcast:
                    by_channel[message.channel].append(message)
        return {
            "me": self.user,
            "bot": BOT_USER,
            "people": {user.id: self._person(user.id) for user in self._workspace.users.values()},
            "groups": {group.id: group.handle for group in self._workspace.groups.values()},
            "seats": [{"user": seat.user, "role": seat.role} for seat in seats],
            "channels": [
                self._channel(channel)
                | {
                    "messages": [
                        self.message(one, replies.get((one.channel, one.ts), []))
                        for one in by_channel[channel.id][-PAGE:]
                    ],
                    "more": len(by_channel[channel.id]) > PAGE,
                }
                for channel in self._channels()
            ],
            **self.views(),
        }

    def views(self) -> Json:
        """The modals in front of this person, the one on top last, and their home tab."""
        home = self._workspace.homes.get(self.user)
        return {
            "modals": [self._view(view) for view in self._workspace.open_views(self.user)],
            "home": self._view(home) if home else None,
        }

    def sees(self, message: PostedMessage) -> bool:
        """Whether the message is on this person's screen."""
        if message.deleted or message.ephemeral_to not in (None, self.user):
            return False
        channel = self._workspace.channels.get(message.channel)
        return channel is not None and self.user in channel.members

    def is_member(self, channel: str) -> bool:
        known = self._workspace.channels.get(channel)
        return known is not None and self.user in known.members and not known.is_archived

    def message(self, message: PostedMessage, replies: list[PostedMessage] | None = None) -> Json:
        """A message as it crossed the wire, with what Slack knows about it besides."""
        answer = message.to_json(metadata=False) | {
            "channel": message.channel,
            "ephemeral": message.ephemeral_to is not None,
        }
        if message.is_reply and message.broadcast:
            root = self._workspace.messages.get((message.channel, str(message.thread_ts)))
            answer["root_text"] = root.text if root and not root.deleted else ""
        if message.thread_ts == message.ts:
            found = self._workspace.thread(message) if replies is None else replies
            shown = [reply for reply in found if reply.ephemeral_to is None]
            if shown:
                faces = list(dict.fromkeys(reply.user for reply in reversed(shown)))[:_FACES]
                answer["thread"] = {"count": len(shown), "latest": shown[-1].ts, "users": faces}
        return answer

    def older(self, channel: str, before: str) -> Json:
        """The messages of a channel that came before one, the last of them last."""
        found = [one for one in self._seen_in(channel) if float(one.ts) < float(before)]
        shown = [one for one in found if not one.is_reply or one.broadcast]
        return {"messages": [self.message(one) for one in shown[-PAGE:]], "more": len(shown) > PAGE}

    def thread(self, channel: str, ts: str) -> Json:
        """A message and its replies."""
        found = [one for one in self._seen_in(channel) if ts in (one.ts, one.thread_ts)]
        return {"messages": [self.message(one) for one in found]}

    def told(self, message: PostedMessage) -> list[PostedMessage]:
        """The replies in its thread that the channel shows too."""
        return [one for one in self._workspace.thread(message) if one.broadcast and self.sees(one)]

    def find(self, channel: str, ts: str) -> PostedMessage | None:
        message = self._workspace.find(channel, ts)
        return message if message is not None and self.sees(message) else None

    def _seen_in(self, channel: str) -> list[PostedMessage]:
        return [
            message
            for (where, _), message in self._workspace.messages.items()
            if where == channel and self.sees(message)
        ]

    def _channels(self) -> list[Channel]:
        direct = self._workspace.dm(self.user)
        return [
            *(
                channel
                for channel in self._workspace.channels.values()
                if not channel.im_user and self.is_member(channel.id)
            ),
            direct,
        ]

    def _channel(self, channel: Channel) -> Json:
        return {
            "id": channel.id,
            "name": "Meshbot" if channel.im_user else channel.name,
            "direct": bool(channel.im_user),
            "private": channel.is_private,
            "topic": TOPICS.get(channel.id, ""),
            "members": sorted(channel.members),
        }

    def _person(self, user_id: str) -> Json:
        user = self._workspace.users[user_id]
        guest = user.is_restricted or user.is_ultra_restricted or user.is_stranger
        return {
            "name": user.real_name,
            "handle": user.name,
            "bot": user.is_bot,
            "guest": guest,
            "gone": user.deleted,
        }

    def _view(self, view: View) -> Json:
        body = {key: view.body.get(key) for key in ("title", "submit", "close", "callback_id")}
        return body | {
            "id": view.id,
            "hash": view.hash,
            "type": view.type,
            "blocks": view.blocks,
            "errors": view.errors,
            "values": view.values,
        }


def typed(
    text: str, people: Mapping[str, str], channels: Mapping[str, str], *, labelled: bool = False
) -> str:
    """What Slack makes of names: `@Ana Moe`, `@ana` and `#ops` become mentions; the longest first.

    ``labelled``: with the name behind the id, as in a command whose manifest says `should_escape`.
    """
    people = {name.casefold(): user for name, user in people.items()}

    def mention(found: re.Match[str]) -> str:
        if found[1] == "#":
            return f"<#{channels[found[2]]}|{found[2]}>"
        label = f"|{found[2]}" if labelled else ""
        return f"<@{people[found[2].casefold()]}{label}>"

    for sign, names, flags in (("@", people, re.IGNORECASE), ("#", channels, re.NOFLAG)):
        longest_first = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        text = re.sub(rf"(?<![\w<])({sign})({longest_first})(?![\w-])", mention, text, flags=flags)
    return text
