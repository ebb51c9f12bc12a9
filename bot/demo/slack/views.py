"""Modals and home tabs: opening with a trigger, the stack of three, hashes, what an update keeps."""

import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.demo.slack.payloads import state_values
from bot.demo.slack.workspace import View, Workspace

Json = dict[str, Any]

_DEEPEST = 3
_MOST_TRIGGERS = 5_000
_MOST_VIEWS = 500


class SlackRefusal(Exception):
    """Slack says no: `error` is its code, `extra` what stands beside it in the answer."""

    def __init__(self, error: str, *, messages: list[str] | None = None, **extra: str) -> None:
        super().__init__(error)
        self.error = error
        self.extra: Json = dict(extra)
        if messages:
            self.extra["response_metadata"] = {"messages": messages}


@dataclass
class _Trigger:
    user: str
    at: float
    view: View | None
    is_used: bool = False


class OpenViews:
    """Every person's stack of modals and their home tab. View arguments are checked before they come here."""

    def __init__(self, workspace: Workspace, clock: Callable[[], float]) -> None:
        self._workspace = workspace
        self._clock = clock
        self.trigger_seconds = 3.0
        self._triggers: OrderedDict[str, _Trigger] = OrderedDict()
        self._numbers = itertools.count(1)

    def new_trigger(self, user: str, view: View | None = None) -> str:
        """A trigger id: good for three seconds and for one view."""
        trigger_id = f"{next(self._numbers)}.{int(self._clock())}.{next(self._numbers):032x}"
        self._triggers[trigger_id] = _Trigger(user, self._clock(), view)
        while len(self._triggers) > _MOST_TRIGGERS:
            self._triggers.popitem(last=False)
        return trigger_id

    def open(self, args: Json) -> Json:
        trigger = self._exchange(args)
        self._modal_only(args["view"])
        for view in self._workspace.open_views(trigger.user):
            view.is_open = False
        return self._shown(self._new(trigger.user, args["view"], None))

    def push(self, args: Json) -> Json:
        trigger = self._exchange(args)
        self._modal_only(args["view"])
        if trigger.view is None or not trigger.view.is_open:
            raise SlackRefusal("not_found")
        return self._shown(self.push_onto(trigger.view, args["view"]))

    def update(self, args: Json) -> Json:
        view = self._find(args)
        if args.get("hash") and args["hash"] != view.hash:
            raise SlackRefusal("hash_conflict")
        if args["view"]["type"] != view.type:
            raise SlackRefusal("invalid_arguments", messages=["[ERROR] a view cannot change its type"])
        return self._shown(self.replace(view, args["view"]))

    def publish(self, args: Json) -> Json:
        user = str(args.get("user_id") or "")
        if user not in self._workspace.users:
            raise SlackRefusal("user_not_found")
        if args["view"]["type"] != "home":
            raise SlackRefusal("invalid_arguments", messages=["[ERROR] only a home view can be published"])
        before = self._workspace.homes.get(user)
        if before is None:
            view = self._new(user, args["view"], None)
            self._workspace.homes[user] = view
            return self._shown(view)
        if args.get("hash") and args["hash"] != before.hash:
            raise SlackRefusal("hash_conflict")
        return self._shown(self.replace(before, args["view"]))

    def push_onto(self, top: View, body: Json) -> View:
        """A view over another one of the same stack; at most three."""
        if len(self._workspace.open_views(top.user)) >= _DEEPEST:
            raise SlackRefusal("push_limit_reached")
        return self._new(top.user, body, top)

    def replace(self, view: View, body: Json) -> View:
        """A new drawing of the view; what was typed stays where block and action ids are the same."""
        self._unique(body, view)
        view.body, view.hash, view.errors = body, self._new_hash(), {}
        view.values = state_values(_numbered(view), view.values)
        self._workspace.changed("view", view)
        return view

    def close(self, view: View) -> None:
        view.is_open = False
        self._workspace.changed("view closed", view)

    def clear(self, user: str) -> None:
        for view in self._workspace.open_views(user):
            self.close(view)

    def _new(self, user: str, body: Json, top: View | None) -> View:
        self._unique(body, None)
        view_id = self._workspace.next_id("V0")
        root = top.root_view_id if top else view_id
        view = View(view_id, user, body, self._new_hash(), root, top.id if top else None)
        view.values = state_values(_numbered(view), {})
        if view.type == "modal":
            self._workspace.views[view_id] = view
            self._forget_closed()
        self._workspace.changed("view", view)
        return view

    def _forget_closed(self) -> None:
        views = self._workspace.views
        for view in list(views.values())[: len(views) - _MOST_VIEWS]:
            if not view.is_open:
                del views[view.id]

    def _new_hash(self) -> str:
        return f"{int(self._clock())}.{next(self._numbers):08x}"

    def _exchange(self, args: Json) -> _Trigger:
        trigger = self._triggers.get(str(args.get("trigger_id") or ""))
        if trigger is None:
            raise SlackRefusal("invalid_trigger_id" if args.get("trigger_id") else "invalid_arguments")
        if trigger.is_used:
            raise SlackRefusal("exchanged_trigger_id")
        if self._clock() - trigger.at > self.trigger_seconds:
            raise SlackRefusal("expired_trigger_id")
        trigger.is_used = True
        return trigger

    def _find(self, args: Json) -> View:
        views = [*self._workspace.views.values(), *self._workspace.homes.values()]
        for view in views:
            by_external = args.get("external_id") and args["external_id"] == view.body.get("external_id")
            if view.is_open and (view.id == args.get("view_id") or by_external):
                return view
        raise SlackRefusal("not_found")

    def _unique(self, body: Json, same: View | None) -> None:
        external_id = body.get("external_id")
        for view in self._workspace.views.values() if external_id else ():
            if view is not same and view.is_open and view.body.get("external_id") == external_id:
                raise SlackRefusal("duplicate_external_id")

    def _modal_only(self, body: Json) -> None:
        if body["type"] != "modal":
            raise SlackRefusal("invalid_arguments", messages=["[ERROR] only a modal can be opened"])

    def _shown(self, view: View) -> Json:
        return {"view": view.to_json()}


def _numbered(view: View) -> list[Json]:
    for number, block in enumerate(view.blocks):
        block.setdefault("block_id", f"v{number}{view.hash[-4:]}")
    return view.blocks
