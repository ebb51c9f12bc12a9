"""What people do in Slack, handed to the features: each payload read, its actor found out, its listener run.

Everything is acknowledged at once, and the work left to ``guard``; a modal alone is decided before. What the
work is, the features know.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from functools import partial
from typing import Any, Final, TypeVar

from bot.domain.access import Action, Actor, is_asked_anew, require
from bot.domain.errors import InvalidInput
from bot.slack import ids
from bot.slack.incoming import payloads
from bot.slack.incoming.command_router import CommandRouter, in_plain_names, unnamed
from bot.slack.incoming.guard import AttemptedAction, Guard, said_view
from bot.slack.incoming.identity_cache import NO_MEMBER, People
from bot.slack.incoming.listeners import Click, CommandCall, Feature, Responder, Submission, SubmissionAnswer
from bot.slack.incoming.signatures import IsNew, of_one_process
from bot.slack.outgoing.replies import (
    DirectResponder,
    Modals,
    OnUndelivered,
    ThreadResponder,
    UrlResponder,
    lost,
)
from bot.slack.outgoing.web_api import SlackFailed, Sleep, WebApi
from bot.slack.views.blocks import sentence, typeset
from bot.slack.views.modals import in_words
from bot.slack.views.undrawable import left_out
from bot.storage.db.unreadable_rows import noting_what_is_left_out

OnChanged = Callable[[str], Awaitable[None]]
"""Tells the other replicas that something about a person or a user group changed."""
CardIn = Callable[[str, str], Awaitable[tuple[str, str] | None]]
"""The kind and the subject of the card that a channel has as this message."""
T = TypeVar("T")
Json = Mapping[str, Any]

DECIDE_WITHIN: Final = 1.5  # seconds of Slack's three for a modal's decision
SEEN_FOR: Final = 15 * 60.0  # seconds that an event is remembered; Slack repeats it for about six minutes
NO_CARD: Final = "That message is no card of an open alert on which this can be done. Choose it on the card."
_SETTLE: Final = 0.5  # seconds for an acknowledged view to be drawn before it is changed again


class Dispatcher:
    """Listeners for Bolt, one for each kind of payload, and dictionaries behind them.

    ``bot_user_id`` is the bot's own, known once Slack was asked. Raises ValueError when two features claim
    the same name.
    """

    def __init__(
        self,
        api: WebApi,
        people: People,
        guard: Guard,
        features: Sequence[Feature],
        *,
        command: str,
        on_changed: OnChanged,
        card_in: CardIn,
        on_undelivered: OnUndelivered = lost,
        is_new: IsNew = of_one_process,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        decide_within: float = DECIDE_WITHIN,
    ) -> None:
        self._api = api
        self._people = people
        self._guard = guard
        self._on_changed = on_changed
        self._keep = on_undelivered
        self._is_new = is_new
        self._router = CommandRouter(features, command)
        features = [*features, self._router.feature()]
        self.clicks = joined("button", [one.clicks for one in features])
        self.submissions = joined("modal", [one.submissions for one in features])
        self.commands = joined("command", [one.commands for one in features])
        self._events = joined("event", [one.events for one in features])
        self._own_events: Mapping[str, Callable[[Json], None]] = {
            "subteam_members_changed": self._group_changed,
            "subteam_updated": self._group_changed,
            "user_change": self._person_changed,
        }
        self._card_in = card_in
        self._modals = Modals(api)
        self._monotonic = monotonic
        self._sleep = sleep
        self._decide_within = decide_within
        self._seen: OrderedDict[str, float] = OrderedDict()
        self.bot_user_id: str | None = None

    @property
    def event_types(self) -> Set[str]:
        """All events that something happens on: those the manifest subscribes to."""
        return {"app_mention"} | self._own_events.keys() | self._events.keys()

    def command(self, body: Json) -> None:
        """The slash command."""
        user, channel, text, url = payloads.command(body)
        respond = UrlResponder(self._api, user, url, keep=self._keep, sleep=self._sleep)
        self._route(text, channel, respond, user, body.get("trigger_id"))

    def _route(
        self,
        text: str,
        channel: str,
        respond: DirectResponder,
        user: str,
        trigger_id: str | None = None,
        thread: str | None = None,
        event_id: str = "",
    ) -> None:
        word, rest = self._router.split(text)
        attempt = AttemptedAction(self._router.known(word), channel, respond, user=user, about=rest)

        async def work() -> None:
            about = await self._card_in(channel, thread) if thread else None
            if about and (button := ids.said_in_thread(*about, word, rest)):
                attempt.what, attempt.about = button, ids.about(button, ids.CardRef(about[1]))
            attempt.actor = await self._actor(user, anew=about is not None or self._router.asks_anew(word))
            text = in_plain_names(rest, await self._names(rest))
            call = CommandCall(attempt.actor, channel, text, respond, trigger_id, rest, about)
            await self.called(word, call)

        self._guard.answer(attempt, work, partial(self._is_new, event_id) if event_id else None)

    async def _names(self, text: str) -> Mapping[str, str]:
        """How those are called whom, and which, a text mentions by an id alone."""
        people = await self._people.names(unnamed(text, "@"))
        channels = await self._api.channel_names(unnamed(text, "#"))
        return {user_id: names[0] for user_id, names in people.items()} | dict(channels)

    def click(self, body: Json) -> None:
        """A button, or a choice in a menu, wherever it was."""
        self._work_on(payloads.press(body))

    def shortcut(self, body: Json) -> None:
        """One of the app's entries in Slack's own menus: a button that need not be looked for."""
        pressed = payloads.shortcut(body, self.bot_user_id)
        self._work_on(pressed, NO_CARD if "message" in body and not pressed.value else "")

    def _work_on(self, pressed: payloads.Press, refused: str = "") -> None:
        respond = self._way_back(pressed)
        attempt = AttemptedAction(
            pressed.action_id, pressed.channel, respond, user=pressed.user, about=pressed.about
        )

        async def work() -> None:
            if refused:
                raise InvalidInput(refused)
            try:
                await self._press(pressed, attempt)
            finally:
                if pressed.on_home:  # what was done there, or was too late, shows there at once
                    self._draw_home(pressed.user)

        self._guard.answer(attempt, work)

    async def _press(self, pressed: payloads.Press, attempt: AttemptedAction) -> None:
        anew = is_asked_anew(_purpose(pressed.action_id))
        attempt.actor = await self._actor(pressed.user, anew=anew)
        await self.pressed(pressed.to_click(attempt.actor, attempt.respond))

    # ---- what all that comes in passes, once it is known who it is

    async def called(self, word: str, call: CommandCall) -> None:
        """A command, for who may use it. Raises BotError; so do the other two."""
        with noting_what_is_left_out() as rows:
            await self._router.route(word, call)
        await _tell_of(rows, call.respond)

    async def pressed(self, click: Click) -> None:
        listener = self.clicks.get(click.action_id)
        if listener is None:
            raise InvalidInput("I do not know that button any more. Please run the command again.")
        require(click.actor, _purpose(click.action_id))
        with noting_what_is_left_out() as rows:
            await listener(click)
        await _tell_of(rows, click.respond)

    async def submitted(self, submission: Submission) -> SubmissionAnswer:
        listener = self.submissions.get(submission.callback_id)
        if listener is None:
            raise InvalidInput("I do not know that form any more. Please start again.")
        require(submission.actor, _purpose(submission.callback_id))
        return await listener(submission)

    async def _actor(self, user: str, *, anew: bool) -> Actor:
        return await (self._people.actor_now(user) if anew else self._people.actor(user))

    def _draw_home(self, user: str) -> None:
        if drawn := self._events.get("app_home_opened"):
            self._guard.observe("app_home_opened", lambda: drawn({"user": user}), user)

    def _way_back(self, pressed: payloads.Press) -> DirectResponder:
        if not pressed.url:
            return DirectResponder(self._api, pressed.user, self._keep)
        return UrlResponder(
            self._api,
            pressed.user,
            pressed.url,
            replaces=pressed.on_answer,
            thread_ts=pressed.thread_ts,
            keep=self._keep,
            sleep=self._sleep,
        )

    async def submission(self, ack: Callable[..., Any], body: Json) -> None:
        """Decides before the acknowledgement, in time; what takes longer shows a view that says so."""
        sent = payloads.sent_modal(body)
        respond = DirectResponder(self._api, sent.user, self._keep)
        attempt = AttemptedAction(sent.callback_id, "", respond, user=sent.user, about=sent.about)
        anew = is_asked_anew(_purpose(sent.callback_id))  # which takes longer than Slack waits
        attempt.actor = None if anew else self._people.cached_actor(sent.user)
        known = attempt.actor is not None

        async def work() -> SubmissionAnswer:
            attempt.actor = attempt.actor or await self._actor(sent.user, anew=anew)
            return await self.submitted(sent.to_submission(attempt.actor))

        task = self._guard.decide(attempt, sent.title, work)
        if known:
            await asyncio.wait({task}, timeout=self._decide_within)
        if task.done() and not task.cancelled():
            await ack(**typeset(_acknowledgement(task.result()), self._api.command))
            self._guard.observe(sent.callback_id, attempt.answered.aclose)
            return
        await ack(response_action="update", view=said_view(sent.title, "I am working on it…"))
        self._guard.observe(sent.callback_id, lambda: self._show_late(task, sent, attempt))

    async def _show_late(
        self, task: "asyncio.Task[SubmissionAnswer]", sent: payloads.SentModal, attempt: AttemptedAction
    ) -> None:
        """In the modal, else by direct message."""
        await self._sleep(_SETTLE)
        answer = await task
        async with attempt.answered:
            await self._show(answer, sent, attempt.respond)

    async def _show(self, answer: SubmissionAnswer, sent: payloads.SentModal, respond: Responder) -> None:
        said = " ".join([*answer.errors.values(), "Please start again."]) if answer.errors else "Done."
        view = answer.view or said_view(sent.title, said)
        try:
            await self._modals.update(sent.view_id, view)
        except SlackFailed:
            await respond.add(in_words(view))

    def event(self, body: Json) -> None:
        """Something that Slack tells; a mention is one."""
        event: Json = body.get("event") or {}
        if self._is_repeated(str(body.get("event_id") or "")):
            return
        kind = str(event.get("type"))
        if kind == "app_mention":
            self._mention(event, str(body.get("event_id") or ""))
        elif kind in self._own_events:
            self._own_events[kind](event)
        if listener := self._events.get(kind):
            self._guard.observe(kind, lambda: listener(event), str(event.get("user") or ""))

    def _group_changed(self, event: Json) -> None:
        group = str(event.get("subteam_id") or (event.get("subteam") or {}).get("id"))
        self._people.forget(group)
        self._guard.observe("a changed group", lambda: self._on_changed(group))

    def _person_changed(self, event: Json) -> None:
        """Slack tells of every new status; the other replicas need to know only what can take a role away."""
        user: Json = event.get("user") or {}
        one = str(user.get("id"))
        had_role = self._people.has_role(one)
        self._people.forget(one)
        if had_role or any(user.get(flag) for flag in NO_MEMBER):
            self._guard.observe("a changed person", lambda: self._on_changed(one))

    def _mention(self, event: Json, event_id: str) -> None:
        """The same grammar as the slash command, which threads do not have."""
        mentioned = payloads.mention(event, self.bot_user_id)
        if mentioned is None:
            return
        user, channel, text, thread = mentioned
        respond = ThreadResponder(self._api, user, channel, thread, self._keep)
        self._route(text, channel, respond, user, thread=thread, event_id=event_id)

    def _is_repeated(self, event_id: str) -> bool:
        """Whether it came before; what Slack marks as a retry may be the first delivery to arrive."""
        now = self._monotonic()
        while self._seen and next(iter(self._seen.values())) < now - SEEN_FOR:
            self._seen.popitem(last=False)
        if not event_id or event_id in self._seen:
            return bool(event_id)
        self._seen[event_id] = now
        return False


async def _tell_of(rows: Collection[str], respond: Responder) -> None:
    """The rows that an answer lacks, below it."""
    if rows:
        await respond.add(sentence(left_out(len(set(rows)))))


def _purpose(name: str) -> Action:
    return ids.PURPOSES.get(name, Action.READ)


def joined(what: str, maps: Sequence[Mapping[str, T]]) -> Mapping[str, T]:
    """All of them in one. Raises ValueError for a name that two features claim."""
    together: dict[str, T] = {}
    for one in maps:
        if twice := sorted(together.keys() & one.keys()):
            raise ValueError(f"two features claim the {what} {', '.join(twice)}")
        together |= one
    return together


def _acknowledgement(answer: SubmissionAnswer) -> dict[str, Any]:
    if answer.errors:
        return {"response_action": "errors", "errors": dict(answer.errors)}
    return {"response_action": "update", "view": answer.view} if answer.view else {}
