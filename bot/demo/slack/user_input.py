"""What people do in the made-up workspace: type a command, click, fill in a modal, mention the bot.

Each act checks that the person could do it on a real screen, sends what Slack would send, and applies what
the bot acknowledges it with.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from bot.demo.slack import payloads
from bot.demo.slack.api import WebApiServer
from bot.demo.slack.delivery import Delivery
from bot.demo.slack.elements import problems_of_options
from bot.demo.slack.faults import SlackFaults
from bot.demo.slack.limits import check_message
from bot.demo.slack.payloads import NotOnScreenError
from bot.demo.slack.views import OpenViews, SlackRefusal
from bot.demo.slack.wire_log import Ack, EventLog, Interaction
from bot.demo.slack.workspace import BOT_USER, TEAM, PostedMessage, View, Workspace, mangle

Json = dict[str, Any]
Typed = dict[str, dict[str, Any]]

_MOST_RESPONSE_URLS = 5_000


class Members:
    """The acts of people, and what the bot's acknowledgements change."""

    def __init__(
        self,
        *,
        signing_secret: str,
        command: str,
        clock: Callable[[], float],
        patience: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._patience = patience or clock
        self._command = command
        self._urls: OrderedDict[str, Interaction] = OrderedDict()
        self._log = EventLog(clock)
        self.problems: list[str] = []
        self.faults = SlackFaults()
        self.workspace = Workspace(clock)
        self.workspace.changed = self._changed
        self._views = OpenViews(self.workspace, self._patience)
        self._delivery = Delivery(signing_secret, self._log, self.faults)
        self._api: WebApiServer
        self.event_retry_delays: tuple[float, ...] = (0.0, 60.0, 300.0)
        self.url = ""

    async def command(
        self, user: str, channel: str, text: str, command: str | None = None, *, mangled: bool = False
    ) -> Interaction:
        """Type `/mesh text` in a channel; `mangled` sends it as a Mac and Slack would change it."""
        where = self.workspace.dm(channel) if channel[0] == "U" else self.workspace.channels[channel]
        typed = mangle(text) if mangled else text
        person = self.workspace.users[user]
        payload = payloads.command_payload(person, where, command or self._command, typed)
        return await self._act("slash_commands", user, payload, channel=where.id, answers=True)

    async def shortcut(
        self, user: str, callback_id: str, message: PostedMessage | None = None
    ) -> Interaction:
        """Choose one of the app's shortcuts: in Slack's own menu, or in that of a message."""
        payload = payloads.shortcut_payload(self.workspace.users[user], callback_id, message)
        channel = message.channel if message else ""
        return await self._act("interactive", user, payload, channel=channel, answers=message is not None)

    async def click(
        self,
        user: str,
        message: PostedMessage,
        action_id: str,
        *,
        value: str | None = None,
        index: int = 0,
        selected: Any = None,
    ) -> Interaction:
        """Click a button (`value` or `index` picks one of several), or choose `selected` in a menu or picker.

        To click on what has been drawn over meanwhile, hand in a `message.snapshot()` taken before.
        """
        if message.deleted or message.ephemeral_to not in (None, user):
            raise NotOnScreenError("that message is not on this person's screen")
        block, element = payloads.find_element(
            payloads.all_blocks(message), action_id, value=value, index=index
        )
        channel = self.workspace.channels.get(message.channel)
        ts = self.workspace.next_ts()
        person = self.workspace.users[user]
        payload = payloads.click_payload(person, message, channel, block, element, selected, ts)
        original = self.workspace.messages.get((message.channel, message.ts), message)
        return await self._act(
            "interactive", user, payload, channel=message.channel, answers=True, original=original
        )

    async def click_in_view(
        self,
        user: str,
        view: View,
        action_id: str,
        *,
        value: str | None = None,
        index: int = 0,
        selected: Any = None,
    ) -> Interaction:
        """Click or choose in a modal or in the home tab; Slack gives no response_url for that."""
        self._on_screen(user, view)
        block, element = payloads.find_element(view.blocks, action_id, value=value, index=index)
        ts = self.workspace.next_ts()
        person = self.workspace.users[user]
        payload = payloads.click_payload(person, view, None, block, element, selected, ts)
        return await self._act("interactive", user, payload, view=view)

    async def submit(self, user: str, view: View, values: Typed | None = None) -> Interaction:
        """Fill in inputs (`values[block_id][action_id]`: a text, an option's value, a list) and submit."""
        self._on_screen(user, view)
        if not view.body.get("submit"):
            raise NotOnScreenError("the modal has no submit button")
        self._type_in(view, values or {})
        payload = payloads.view_payload(self.workspace.users[user], "view_submission", view)
        return await self._act("interactive", user, payload, view=view)

    async def close(self, user: str, view: View) -> Interaction | None:
        """Close a modal with its cross; the bot hears of it only if the view asks for that."""
        self._on_screen(user, view)
        self._views.close(view)
        if not view.body.get("notify_on_close"):
            return None
        payload = payloads.view_payload(self.workspace.users[user], "view_closed", view)
        return await self._act("interactive", user, payload, trigger=False)

    async def options(self, user: str, place: PostedMessage | View, action_id: str, query: str) -> list[Json]:
        """Type into an external menu; the options the bot offers, those of groups included."""
        blocks = place.blocks if isinstance(place, View) else payloads.all_blocks(place)
        block, element = payloads.find_element(blocks, action_id)
        payload = payloads.suggestion_payload(self.workspace.users[user], place, block, element, query)
        act = await self._act("interactive", user, payload, trigger=False)
        answer = (await act.ack).payload or {}
        self._api.note("options", problems_of_options(answer))
        groups = answer.get("option_groups") or []
        return [*(answer.get("options") or []), *(one for group in groups for one in group["options"])]

    async def mention(
        self, user: str, channel: str, text: str, thread_ts: str | None = None, *, mangled: bool = False
    ) -> Interaction:
        """Write `@meshbot text` in a channel the bot is in, or in a thread there."""
        where = self.workspace.channels[channel]
        if not where.has_bot:
            raise NotOnScreenError(f"the bot is not in #{where.name} and hears nothing there")
        words = mangle(text) if mangled else text
        words = words if f"<@{BOT_USER}>" in words else f"<@{BOT_USER}> {words}"
        message = PostedMessage(channel, self.workspace.next_ts(), words, user, thread_ts=thread_ts)
        self.workspace.add(message)
        person = self.workspace.users[user]
        return await self.event(
            payloads.mention_event(person, where, words, message.ts, thread_ts), user=user
        )

    async def open_home(self, user: str, tab: str = "home") -> Interaction:
        """Open the bot's App Home."""
        event: Json = {"type": "app_home_opened", "user": user, "channel": self.workspace.dm(user).id}
        event |= {"tab": tab, "event_ts": self.workspace.next_ts()}
        if tab == "home" and user in self.workspace.homes:
            event["view"] = self.workspace.homes[user].to_json()
        return await self.event(event, user=user)

    async def set_group(self, group_id: str, users: list[str]) -> Interaction:
        """Change who is in a user group; Slack tells the bot."""
        group = self.workspace.groups[group_id]
        before, group.users = set(group.users), list(users)
        added, removed = sorted(set(users) - before), sorted(before - set(users))
        event: Json = {"type": "subteam_members_changed", "subteam_id": group_id, "team_id": TEAM}
        event |= {"date_previous_update": int(self._clock()), "date_update": int(self._clock())}
        event |= {"added_users": added, "added_users_count": len(added)}
        event |= {"removed_users": removed, "removed_users_count": len(removed)}
        return await self.event(event | {"event_ts": self.workspace.next_ts()})

    async def event(self, payload: Json, *, user: str = "") -> Interaction:
        """Deliver an event (or a whole `event_callback`); a failure is tried again after 0, 60, 300 s."""
        whole = (
            payload
            if payload.get("type") == "event_callback"
            else payloads.event_payload(payload, self._clock())
        )
        act = Interaction("events_api", user, whole, asyncio.get_running_loop().create_future())
        first = await self._delivery.send("events_api", whole)
        self._log.record("event", type=whole["event"]["type"], user=user)
        self._delivery.spawn(self._event_acknowledged(act, first))
        return act

    async def redeliver(self, act: Interaction, *, attempt: int = 1) -> Ack:
        """The same event or act once more, as Slack does when it is unsure."""
        reason = "http_timeout" if act.kind == "events_api" else ""
        return await (await self._delivery.send(act.kind, act.payload, attempt=attempt, reason=reason))

    def top_view(self, user: str) -> View | None:
        """The modal in front of a person."""
        views = self.workspace.open_views(user)
        return views[-1] if views else None

    async def _act(
        self,
        kind: str,
        user: str,
        payload: Json,
        *,
        channel: str = "",
        answers: bool = False,
        trigger: bool = True,
        original: PostedMessage | None = None,
        view: View | None = None,
    ) -> Interaction:
        act = Interaction(kind, user, payload, asyncio.get_running_loop().create_future(), channel=channel)
        act.original, act.view, act.created_at = original, view, self._patience()
        if trigger:
            act.trigger_id = payload["trigger_id"] = self._views.new_trigger(user, view)
        if answers:
            act.response_url = payload["response_url"] = self._new_response_url(act)
        sent = await self._delivery.send(kind, payload)
        sent.add_done_callback(lambda done: self._settle(act, done))
        self._log.record("act", type=payload.get("type", kind), user=user, text=payload.get("text", ""))
        return act

    def _new_response_url(self, act: Interaction) -> str:
        key = uuid.uuid4().hex
        self._urls[key] = act
        while len(self._urls) > _MOST_RESPONSE_URLS:
            self._urls.popitem(last=False)
        return f"{self.url}response/{key}"

    def _settle(self, act: Interaction, done: "asyncio.Future[Ack]") -> None:
        if done.cancelled():
            act.ack.cancel()
            return
        ack = done.result()
        if ack.ok and ack.payload:
            ack = self._apply(act, ack)
        elif ack.ok and act.payload.get("type") == "view_submission" and act.view:
            self._views.close(act.view)
        act.attempts.append(ack)
        if not act.ack.done():
            act.ack.set_result(ack)
        self._log.record("ack", status=ack.status, error=ack.error, latency_ms=round(ack.latency_s * 1000, 2))

    def _apply(self, act: Interaction, ack: Ack) -> Ack:
        """What an acknowledgement with a payload changes; a view that Slack refuses fails the act."""
        payload = ack.payload or {}
        if act.kind == "slash_commands":
            self._take_message(act, payload)
        elif act.payload.get("type") == "view_submission" and act.view:
            try:
                self._respond_to_submission(act.view, payload)
            except SlackRefusal as error:
                self.problems.append(f"response_action: {error.error}")
                return Ack(ack.status, payload, ack.latency_s, error.error)
        return ack

    def _respond_to_submission(self, view: View, payload: Json) -> None:
        action = payload.get("response_action")
        if action == "clear":
            self._views.clear(view.user)
        elif action == "errors":
            inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
            wrong = set(payload.get("errors") or {}) - inputs
            if wrong or not payload.get("errors"):
                raise SlackRefusal(f"errors for {sorted(wrong)}, which are no input blocks")
            view.errors = dict(payload["errors"])
            self._log.record("view errors", view=view.id, errors=view.errors)
        elif action in ("update", "push"):
            self._api.accept_view(payload.get("view"), "response_action")
            if action == "update":
                self._views.replace(view, payload["view"])
            else:
                self._views.push_onto(view, payload["view"])
        else:
            raise SlackRefusal(f"unknown response_action {action!r}")

    def _take_message(self, act: Interaction, payload: Json) -> None:
        """A new message for one person, or for the channel if the payload says so."""
        self._api.note(f"answer to {act.kind}", check_message(payload))
        in_channel = payload.get("response_type") == "in_channel"
        message = PostedMessage(
            act.channel,
            self.workspace.next_ts(),
            str(payload.get("text") or ""),
            BOT_USER,
            blocks=payload.get("blocks") or [],
            thread_ts=payload.get("thread_ts"),
            attachments=payload.get("attachments") or [],
            metadata=payload.get("metadata"),
            ephemeral_to=None if in_channel else act.user,
        )
        act.received.append(message)
        self.workspace.add(message)

    async def _event_acknowledged(self, act: Interaction, first: "asyncio.Future[Ack]") -> None:
        self._settle(act, await _done(first))
        for attempt, delay in enumerate(self.event_retry_delays, start=1):
            if act.attempts[-1].ok:
                return
            await asyncio.sleep(delay)
            again = await self._delivery.send("events_api", act.payload, attempt=attempt, reason="http_error")
            self._settle(act, await _done(again))

    def _on_screen(self, user: str, view: View) -> None:
        if (
            view.user != user
            or not view.is_open
            or (view.type == "modal" and view is not self.top_view(user))
        ):
            raise NotOnScreenError("that view is not in front of this person")

    def _type_in(self, view: View, values: Typed) -> None:
        elements = {
            (block["block_id"], one.get("action_id")): (block, one)
            for block, one in payloads.walk(view.blocks)
        }
        for block_id, entries in values.items():
            for action_id, chosen in entries.items():
                if (block_id, action_id) not in elements:
                    raise NotOnScreenError(f"there is no {block_id}/{action_id} in the modal")
                filled = payloads.element_state(elements[block_id, action_id][1], chosen)
                view.values.setdefault(block_id, {})[action_id] = filled
        for (block_id, name), (block, element) in elements.items():
            if block["type"] != "input":
                continue
            state = view.values.get(block_id, {}).get(str(name), {})
            if not block.get("optional") and payloads.is_empty(state):
                raise NotOnScreenError(f"{block_id} is required: Slack would not let this modal be submitted")
            length = len(str(state.get("value") or ""))
            if length and not element.get("min_length", 0) <= length <= element.get("max_length", 3000):
                raise NotOnScreenError(
                    f"{block_id} has {length} characters: Slack would not let it be submitted"
                )

    def _changed(self, what: str, thing: object) -> None:
        if isinstance(thing, PostedMessage):
            detail: Json = {
                "channel": thing.channel,
                "ts": thing.ts,
                "text": thing.text,
                "to": thing.ephemeral_to,
            }
            self._log.record(f"message {what}", **detail)
        elif isinstance(thing, View):
            self._log.record(what, user=thing.user, id=thing.id, callback_id=thing.callback_id)


async def _done(future: "asyncio.Future[Ack]") -> "asyncio.Future[Ack]":
    await asyncio.wait([future])
    return future
