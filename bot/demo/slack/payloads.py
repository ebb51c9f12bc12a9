"""What Slack sends: the payloads of commands, clicks, submissions and events, with the keys real ones have.

Also what a person can find on the screen: the element with an action id, an option by its value.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from bot.demo.slack.workspace import APP, BOT_USER, TEAM, Channel, PostedMessage, User, View

Json = dict[str, Any]

_TOKEN = "verification-token"
_SINGLE = {
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "plain_text_input": "value",
    "email_text_input": "value",
    "url_text_input": "value",
    "number_input": "value",
    "rich_text_input": "rich_text_value",
    "multi_users_select": "selected_users",
    "multi_conversations_select": "selected_conversations",
    "multi_channels_select": "selected_channels",
    "file_input": "files",
}
_ONE_OPTION = frozenset({"static_select", "external_select", "radio_buttons", "overflow"})
_OPTIONS = frozenset({"multi_static_select", "multi_external_select", "checkboxes"})


class NotOnScreenError(LookupError):
    """A person cannot do that: there is no such button, option or open view in front of them."""


def walk(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every element with the block it belongs to, in the order of the screen."""
    for block in blocks:
        inner = [*(block.get("elements") or []), *(block.get("actions") or [])]
        for one in (*inner, block.get("accessory"), block.get("element")):
            if isinstance(one, dict) and one.get("type") == "card":
                yield from walk([one])
            elif isinstance(one, dict):
                yield block, one
        yield from walk(block.get("child_blocks") or [])


def all_blocks(message: PostedMessage) -> list[Json]:
    return [*message.blocks, *(block for part in message.attachments for block in part.get("blocks") or [])]


def find_element(
    blocks: list[Json], action_id: str, *, value: str | None = None, index: int = 0
) -> tuple[Json, Json]:
    """The block and the element with that action id; `value` picks among buttons, `index` among the rest."""
    there = list(walk(blocks))
    matching = [
        (block, one)
        for block, one in there
        if one.get("action_id") == action_id and value in (None, one.get("value"))
    ]
    if index >= len(matching):
        names = (
            ", ".join(sorted({str(one["action_id"]) for _, one in there if one.get("action_id")})) or "none"
        )
        raise NotOnScreenError(
            f"no {action_id!r} (value {value!r}, index {index}) on the screen; there are: {names}"
        )
    return matching[index]


def element_state(element: Json, chosen: Any = None) -> Json:
    """An element's entry in `state.values`, with what was chosen, else what it starts with."""
    kind = element["type"]
    if kind in _ONE_OPTION:
        picked = element.get("initial_option") if chosen is None else _option(element, chosen)
        return {"type": kind, "selected_option": picked}
    if kind in _OPTIONS:
        if chosen is None:
            return {"type": kind, "selected_options": element.get("initial_options") or []}
        return {"type": kind, "selected_options": [_option(element, one) for one in chosen]}
    name = _SINGLE[kind]
    initial = element.get("initial_" + name.removeprefix("selected_"))
    return {"type": kind, name: initial if chosen is None else chosen}


def is_empty(state: Json) -> bool:
    return not any(value for key, value in state.items() if key != "type")


def state_values(blocks: list[Json], typed: dict[str, dict[str, Json]]) -> dict[str, dict[str, Json]]:
    """`state.values` of a message or a view: what was typed so far, else what each element starts with."""
    values: dict[str, dict[str, Json]] = {}
    for block, one in walk(blocks):
        kind, action_id = one.get("type"), one.get("action_id")
        if action_id and kind != "overflow" and kind in _SINGLE.keys() | _ONE_OPTION | _OPTIONS:
            before = typed.get(block["block_id"], {}).get(action_id)
            values.setdefault(block["block_id"], {})[action_id] = before or element_state(one)
    return values


def _option(element: Json, chosen: Any) -> Json:
    if isinstance(chosen, dict):
        return chosen
    groups = element.get("option_groups") or []
    options = [*(element.get("options") or []), *(one for group in groups for one in group["options"])]
    for option in options:
        if option["value"] == chosen:
            return dict(option)
    if "external" in element["type"]:
        return {"text": {"type": "plain_text", "text": str(chosen)}, "value": str(chosen)}
    raise NotOnScreenError(f"{chosen!r} is not offered: {', '.join(option['value'] for option in options)}")


def command_payload(user: User, channel: Channel, command: str, text: str) -> Json:
    names = {"D": "directmessage", "C": "privategroup" if channel.is_private else channel.name}
    return {
        "token": _TOKEN,
        "team_id": TEAM,
        "team_domain": "mesh",
        "channel_id": channel.id,
        "channel_name": names.get(channel.id[0], channel.name),
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
    }


def _person(user: User) -> Json:
    return {
        "type": "",
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team_id},
        "api_app_id": APP,
        "token": _TOKEN,
        "team": {"id": TEAM, "domain": "mesh"},
        "enterprise": None,
        "is_enterprise_install": False,
    }


def shortcut_payload(user: User, callback_id: str, message: PostedMessage | None) -> Json:
    """A shortcut; one on a message brings that message, another has neither a channel nor a response_url."""
    if message is None:
        return _person(user) | {"type": "shortcut", "callback_id": callback_id, "action_ts": "0.0"}
    return _person(user) | {
        "type": "message_action",
        "callback_id": callback_id,
        "action_ts": "0.0",
        "message_ts": message.ts,
        "channel": {"id": message.channel, "name": "directmessage"},
        "message": message.to_json(metadata=True),
    }


def click_payload(
    user: User,
    place: PostedMessage | View,
    channel: Channel | None,
    block: Json,
    element: Json,
    chosen: Any,
    ts: str,
) -> Json:
    """A block_actions payload. Of an ephemeral message Slack sends the container, not the message itself."""
    action: Json = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"]}
    typed: dict[str, dict[str, Json]] = {}
    if element["type"] == "button":
        action |= {key: element[key] for key in ("text", "value", "style", "confirm") if key in element}
    else:
        state = element_state(element, chosen)
        typed = {block["block_id"]: {element["action_id"]: state}}
        action |= state
    payload = _person(user) | {"type": "block_actions", "actions": [action | {"action_ts": ts}]}
    if isinstance(place, View):
        for block_id, entries in typed.items():
            place.values.setdefault(block_id, {}).update(entries)
        place.values = state_values(place.blocks, place.values)
        container: Json = {"type": "view", "view_id": place.id}
        return payload | {"container": container, "view": place.to_json()}
    container = {
        "type": "message",
        "message_ts": place.ts,
        "channel_id": place.channel,
        "is_ephemeral": place.ephemeral_to is not None,
    }
    if place.thread_ts:
        container["thread_ts"] = place.thread_ts
    payload["container"] = container
    payload["channel"] = {"id": place.channel, "name": channel.name if channel else "directmessage"}
    payload["state"] = {"values": state_values(all_blocks(place), typed)}
    if place.ephemeral_to is None:
        payload["message"] = place.to_json(metadata=True)
    return payload


def view_payload(user: User, kind: str, view: View) -> Json:
    payload = _person(user) | {"type": kind, "view": view.to_json()}
    extra: Json = {"is_cleared": False} if kind == "view_closed" else {"response_urls": []}
    return payload | extra


def suggestion_payload(
    user: User, place: PostedMessage | View, block: Json, element: Json, query: str
) -> Json:
    payload = _person(user) | {
        "type": "block_suggestion",
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "value": query,
    }
    if isinstance(place, View):
        return payload | {"container": {"type": "view", "view_id": place.id}, "view": place.to_json()}
    container = {"type": "message", "message_ts": place.ts, "channel_id": place.channel}
    return payload | {"container": container, "channel": {"id": place.channel}, "message": place.to_json()}


def event_payload(event: Json, now: float) -> Json:
    """The wrapper around an event: the Events API's `event_callback`."""
    return {
        "token": _TOKEN,
        "team_id": TEAM,
        "api_app_id": APP,
        "event": event,
        "type": "event_callback",
        "event_id": "Ev" + uuid.uuid4().hex[:10].upper(),
        "event_time": int(now),
        "event_context": "4-" + uuid.uuid4().hex,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": BOT_USER,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
    }


def mention_event(user: User, channel: Channel, text: str, ts: str, thread_ts: str | None) -> Json:
    words = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    event: Json = {
        "type": "app_mention",
        "client_msg_id": str(uuid.uuid4()),
        "user": user.id,
        "text": text,
        "ts": ts,
        "team": user.team_id,
        "blocks": [{"type": "rich_text", "block_id": "b0", "elements": [words]}],
        "channel": channel.id,
        "event_ts": ts,
    }
    return event | ({"thread_ts": thread_ts} if thread_ts else {})
