"""Reads what Slack sends: commands, clicks, submitted modals and mentions, as far as the bot needs them.

Everything here comes from outside and may be missing. Shapes: docs.slack.dev/reference/interaction-payloads.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bot.domain.access import Actor
from bot.domain.errors import InvalidInput
from bot.slack import ids
from bot.slack.ids import CardRef, Ref
from bot.slack.incoming.command_router import normalise, said_to
from bot.slack.incoming.listeners import Click, Responder, Submission

Json = Mapping[str, Any]

_ENTERED = (
    "value",
    "selected_date",
    "selected_time",
    "selected_date_time",
    "selected_user",
    "selected_conversation",
    "selected_channel",
)


@dataclass(frozen=True, slots=True)
class Press:
    """A button that was pressed, or a choice that was made, before anybody knows who did it."""

    user: str
    channel: str
    action_id: str
    url: str
    on_answer: bool  # on an answer of ours, whose place the next one takes
    value: str
    block_id: str
    trigger_id: str | None
    selected: str | None
    thread_ts: str | None
    view_id: str | None
    on_home: bool
    metadata: str
    values: Mapping[str, str]

    def to_click(self, actor: Actor, respond: Responder) -> Click:
        """Raises InvalidInput for a value that is none of ours."""
        return Click(
            actor,
            self.channel,
            self.action_id,
            self._ref(),
            respond,
            trigger_id=self.trigger_id,
            selected=self.selected,
            view_id=self.view_id,
            values=self.values,
        )

    @property
    def about(self) -> str:
        """What it points at, as far as that can be read."""
        with suppress(InvalidInput):
            return ids.about(self.action_id, self._ref())
        return ""

    def _ref(self) -> Ref:
        """A menu has no value of its own: its block's id says what it is about, else the option itself."""
        if self.selected is None:
            return ids.decode(self.value) if self.value else CardRef("")
        for text in (self.block_id, self.metadata, self.selected):
            try:
                return ids.decode(text)
            except InvalidInput:
                continue
        return CardRef("")


@dataclass(frozen=True, slots=True)
class SentModal:
    """A modal that was submitted."""

    user: str
    view_id: str
    callback_id: str
    title: str
    metadata: str
    values: Mapping[str, str]

    @property
    def about(self) -> str:
        """What it is about, as far as that can be read."""
        with suppress(InvalidInput):
            return ids.about(self.callback_id, self._ref())
        return ""

    def to_submission(self, actor: Actor) -> Submission:
        """Raises InvalidInput for metadata that are none of ours."""
        return Submission(actor, self.callback_id, self._ref(), self.values)

    def _ref(self) -> Ref:
        return ids.decode(self.metadata) if self.metadata else CardRef("")


def command(body: Json) -> tuple[str, str, str, str]:
    """Who, in which channel, what (normalised), and the response_url."""
    text = normalise(str(body.get("text") or ""))
    return str(body["user_id"]), str(body.get("channel_id") or ""), text, str(body.get("response_url") or "")


def press(body: Json) -> Press:
    action: Json = body["actions"][0]
    action_id, value = str(action["action_id"]), str(action.get("value") or "")
    container: Json = body.get("container") or {}
    view: Json = body.get("view") or {}
    return Press(
        user=str(body["user"]["id"]),
        channel=str((body.get("channel") or {}).get("id") or container.get("channel_id") or ""),
        action_id=action_id,
        url=str(body.get("response_url") or ""),
        on_answer=bool(container.get("is_ephemeral")) or action_id in ids.ON_ANSWERS or _on_answer(value),
        value=value,
        block_id=str(action.get("block_id") or ""),
        trigger_id=body.get("trigger_id"),
        selected=None if action.get("type") == "button" else entered(action),
        thread_ts=_thread_around(container),
        view_id=view.get("id"),
        on_home=view.get("type") == "home",
        metadata=str(view.get("private_metadata") or ""),
        values=_values((view.get("state") or {}).get("values") or {}),
    )


def shortcut(body: Json, bot_user_id: str | None) -> Press:
    """A shortcut is the button of its name: on the message where it was chosen, or one that stands nowhere.

    Its value is empty where the message is not the bot's or has no such button: there it means nothing.
    """
    action_id, message = str(body["callback_id"]), body.get("message")
    is_ours = message is not None and bot_user_id in {None, message.get("user")}
    value = _value_on(message, action_id) if message is not None and is_ours else ""
    container = {"message_ts": body.get("message_ts"), "thread_ts": (message or {}).get("thread_ts")}
    return Press(
        user=str(body["user"]["id"]),
        channel=str((body.get("channel") or {}).get("id") or ""),
        action_id=action_id,
        url=str(body.get("response_url") or ""),
        on_answer=False,
        value=value,
        block_id="",
        trigger_id=body.get("trigger_id"),
        selected=None,
        thread_ts=_thread_around(container),
        view_id=None,
        on_home=False,
        metadata="",
        values={},
    )


def _value_on(message: Json, action_id: str) -> str:
    blocks: list[Json] = message.get("blocks") or []
    elements = [one for block in blocks if block.get("type") == "actions" for one in block["elements"]]
    return next((str(one["value"]) for one in elements if one.get("action_id") == action_id), "")


def _thread_around(container: Json) -> str | None:
    """The thread that a message is a reply in.

    A card with replies carries the time stamp of its own thread, and stands in the channel none the less.
    """
    thread = container.get("thread_ts")
    return None if thread == container.get("message_ts") else thread


def sent_modal(body: Json) -> SentModal:
    view: Json = body["view"]
    return SentModal(
        user=str(body["user"]["id"]),
        view_id=str(view["id"]),
        callback_id=str(view.get("callback_id") or ""),
        title=str((view.get("title") or {}).get("text") or "Meshbot"),
        metadata=str(view.get("private_metadata") or ""),
        values=_values((view.get("state") or {}).get("values") or {}),
    )


def mention(event: Json, bot_user_id: str | None) -> tuple[str, str, str, str] | None:
    """Who, in which channel, what, and the thread to answer in; None when no person asks something new."""
    if event.get("bot_id") or event.get("edited") or not event.get("user"):
        return None
    text = normalise(said_to(bot_user_id, str(event.get("text") or "")))
    return str(event["user"]), str(event["channel"]), text, str(event.get("thread_ts") or event["ts"])


def entered(element: Json) -> str | None:
    """What was typed or chosen in an element; None when it was left empty."""
    if option := element.get("selected_option"):
        return str(option.get("value"))
    found = next((element[name] for name in _ENTERED if element.get(name)), None)
    text = "" if found is None else str(found).strip()
    return text or None


def _on_answer(value: str) -> bool:
    """Whether a button's value says that it stands on an answer."""
    try:
        ref = ids.decode(value)
    except InvalidInput:
        return False
    return not isinstance(ref, CardRef) or ref.answer is not None


def _values(state: Mapping[str, Json]) -> dict[str, str]:
    values = {}
    for block_id, elements in state.items():
        for element in elements.values():
            if (text := entered(element)) is not None:
                values[block_id] = text
    return values
