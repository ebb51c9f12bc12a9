"""What a message looks like to a test: whether Slack takes it, its buttons, and a responder that keeps it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bot.demo.slack.limits import problems_of_message, problems_of_view
from bot.slack.ids import Ref, decode
from bot.slack.views.blocks import Message, View

# What a gateway or a tag may be called: a ping, markup, an entity, a turned direction of writing, and long.
HOSTILE = "<!channel> *x* _y_ `z` :boom: &lt; \u202e"
LONG = "Ж" * 300
NAMES = (HOSTILE, LONG, (HOSTILE * 12)[:300], "&" * 300, "* " * 150, "\u202e", '=HYPERLINK("x")')


def sendable(message: Message) -> Message:
    """The message, once it is sure that Slack would take it both as a post and as an edit."""
    payload = {"text": message.text, "blocks": list(message.blocks)}
    assert problems_of_message(payload, update=True) == []
    assert problems_of_message(payload | {"blocks": list(message.newer)}, update=True) == []
    return message


def elements(message: Message) -> Iterator[dict[str, Any]]:
    for block in message.blocks:
        yield from block["elements"] if block["type"] == "actions" else ()


def buttons(message: Message) -> dict[str, Ref]:
    """What each button leads to, by action id; each value is read as a click would bring it."""
    return {one["action_id"]: decode(one["value"]) for one in elements(message)}


def doors(message: Message) -> list[tuple[str, Ref]]:
    """Where the rows lead: each button, and each choice of a menu, that stands beside a text."""
    found: list[tuple[str, Ref]] = []
    for one in (block["accessory"] for block in message.blocks if "accessory" in block):
        values = [one["value"]] if "value" in one else [option["value"] for option in one["options"]]
        found += [(one["action_id"], decode(value)) for value in values]
    return found


def words(message: Message) -> str:
    """All that the blocks say, which `text` must say as well."""
    said: list[str] = []
    for block in message.blocks:
        if block["type"] in {"section", "context"}:
            parts = (
                [block["text"]] if "text" in block else [*block.get("fields", []), *block.get("elements", [])]
            )
            said += [part["text"] for part in parts]
    return "\n".join(said)


@dataclass
class Answers:
    """A responder that keeps what it is given, each message checked against Slack's limits."""

    shown: list[Message] = field(default_factory=list)  # in place of one another
    added: list[Message] = field(default_factory=list)
    files: list[tuple[str, bytes, str]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, message: Message) -> None:
        self.shown.append(sendable(message))
        self.news.set()

    async def next(self) -> Message:
        """The next message that is shown from now on."""
        self.news.clear()
        await self.news.wait()
        return self.last

    async def add(self, message: Message) -> None:
        self.added.append(sendable(message))

    async def send_file(self, name: str, content: bytes, title: str, alt: str = "") -> None:
        self.files.append((name, content, title))

    @property
    def last(self) -> Message:
        return self.shown[-1]


class Modals:
    """Keeps what would be opened, each view checked against Slack's limits."""

    def __init__(self) -> None:
        self.opened: list[View] = []

    async def open(self, trigger_id: str | None, view: View) -> str:
        assert problems_of_view(view) == []
        self.opened.append(view)
        return "V0VIEW0001"

    async def update(self, view_id: str, view: View) -> None:
        self.opened.append(view)

    async def publish(self, user_id: str, view: View) -> None:
        self.opened.append(view)
