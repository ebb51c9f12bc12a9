"""Slack's side of the bot: builds the Bolt app, finds out who asks, and hands what arrives to the features.

One listener for each kind of payload and a dictionary behind it: Bolt tries its listeners in turn. Each
acknowledges at once and leaves the work to ``guard``. What the work is, the features know.
"""

import asyncio
import contextlib
import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Final, TypeVar

from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.access import Action, require
from bot.domain.errors import InvalidInput
from bot.slack import ids, payloads
from bot.slack.calls import CardDrawing, Feature, NoteDrawing, SubmissionAnswer
from bot.slack.commands import Router
from bot.slack.guard import Attempt, Guard, OnRefused, said_view
from bot.slack.people import People
from bot.slack.respond import DirectResponder, Modals, ThreadResponder, UrlResponder
from bot.slack.sockets import PING_EVERY, Sockets
from bot.slack.web_api import BAD_TOKEN, SlackFailed, Sleep, WebApi, quiet_logger, refused_token

log = logging.getLogger(__name__)
T = TypeVar("T")
Json = Mapping[str, Any]

BOT_TOKEN: Final = "MESHBOT_SLACK__BOT_TOKEN"  # noqa: S105 - the names of settings
APP_TOKEN: Final = "MESHBOT_SLACK__APP_TOKEN"  # noqa: S105
DECIDE_WITHIN: Final = 1.5  # seconds of Slack's three for a modal's decision
SEEN_FOR: Final = 15 * 60.0  # seconds that an event is remembered; Slack repeats it for about six minutes
_SETTLE: Final = 0.5  # seconds for an acknowledged view to be drawn before it is changed again
_ANY = re.compile(r".*", re.DOTALL)
_BACK_OFF = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class SlackApp:
    """The connection to Slack, in Socket Mode with an app token, else by HTTP with a signing secret.

    Make it inside the running event loop. Raises ValueError when two features claim the same name.
    """

    def __init__(
        self,
        api: WebApi,
        people: People,
        features: Sequence[Feature],
        *,
        on_refused: OnRefused,
        command: str = "/mesh",
        app_token: str | None = None,
        signing_secret: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        decide_within: float = DECIDE_WITHIN,
        ping_every: float = PING_EVERY,
    ) -> None:
        self.api = api
        self.people = people
        self.guard = Guard(on_refused)
        self.cards: Mapping[str, CardDrawing] = joined("card", [one.cards for one in features])
        self.notes: Mapping[str, NoteDrawing] = joined("note", [one.notes for one in features])
        self.clicks = joined("button", [one.clicks for one in features])
        self.submissions = joined("modal", [one.submissions for one in features])
        self._events = joined("event", [one.events for one in features])
        self._own_events: Mapping[str, Callable[[Json], None]] = {
            "app_mention": self._mention,
            "subteam_members_changed": self._group_changed,
            "subteam_updated": self._group_changed,
            "user_change": self._person_changed,
        }
        self.commands = joined("command", [one.commands for one in features])
        self._router = Router(features, command)
        self._modals = Modals(api)
        self._monotonic = monotonic
        self._sleep = sleep
        self._decide_within = decide_within
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._starting: asyncio.Task[None] | None = None
        self._authorized = AuthorizeResult(enterprise_id=None, team_id=None, bot_token=api.client.token)
        self._identified = False
        self.failure: str | None = None
        self._bolt = self._build(signing_secret)
        self._sockets = (
            Sockets(self._bolt, api, app_token, monotonic=monotonic, sleep=sleep, ping_every=ping_every)
            if app_token
            else None
        )

    @property
    def events(self) -> Set[str]:
        """The types of all events that something happens on: those the manifest subscribes to."""
        return self._own_events.keys() | self._events.keys()

    # ---- from start to end
    async def start(self) -> None:
        """Connects. Raises StartupError for a token that Slack refuses; without Slack it goes on trying."""
        try:
            await self._connect()
        except SlackFailed as error:
            if refusal := _refusal(error):
                raise refusal from error
            log.warning("Slack cannot be reached (%s); I go on trying", error.code)
            self._starting = asyncio.get_running_loop().create_task(self._keep_connecting())

    async def ready(self) -> bool:
        """Whether something that people do in Slack would reach the bot."""
        return self._identified and (self._sockets is None or await self._sockets.connected_count() > 0)

    async def connected_count(self) -> int:
        """How many sockets are up; none in HTTP mode."""
        return await self._sockets.connected_count() if self._sockets else 0

    async def watch(self) -> None:
        """A tick every few seconds: gets a socket that is stuck on a dead address going again."""
        if self._sockets:
            await self._sockets.watch()

    def stop_accepting(self) -> None:
        """From now on a command is answered with "I am restarting"."""
        self.guard.draining = True

    async def drain(self, timeout: float = 20) -> bool:
        """Waits for the listeners that run; False when some had to be cancelled."""
        return await self.guard.drain(timeout)

    async def close(self) -> None:
        """The sockets close here, last of all; the connection pool stays its owner's."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self.people.close()
        if self._sockets:
            await self._sockets.close()

    async def handle_http(self, request: web.Request) -> web.Response:
        """Answers ``POST /slack/events``: Bolt checks the signature over the raw body."""
        stamp = request.headers.get("X-Slack-Request-Timestamp", "0")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
            return web.Response(status=401)  # Bolt would fail on it
        headers: dict[str, str | Sequence[str]] = {
            name: request.headers.getall(name) for name in request.headers
        }
        try:
            body = (await request.read()).decode()
            asked = AsyncBoltRequest(body=body, query=request.query_string, headers=headers)
        except (ValueError, TypeError, AttributeError, KeyError):
            return web.Response(status=400)
        answer = await self._bolt.async_dispatch(asked)
        kind = answer.headers.get("content-type", ["text/plain"])[0].split(";")[0]
        return web.Response(status=answer.status, text=answer.body, content_type=kind)

    async def _connect(self) -> None:
        if not self._identified:
            who = await self.api.call("auth.test")
            self.people.team_id = str(who.get("team_id") or "") or None
            self._authorized = AuthorizeResult(
                enterprise_id=who.get("enterprise_id"),
                team_id=who.get("team_id"),
                bot_user_id=who.get("user_id"),
                bot_id=who.get("bot_id"),
                bot_token=self.api.client.token,
                bot_scopes=sorted(self.api.scopes),
            )
            self._identified = True
        if self._sockets:
            await self._sockets.open()

    async def _keep_connecting(self) -> None:
        tries = 0
        while True:
            await self._sleep(_BACK_OFF[min(tries, len(_BACK_OFF) - 1)])
            tries += 1
            try:
                await self._connect()
            except SlackFailed as error:
                if refusal := _refusal(error):
                    self.failure = str(refusal)
                    log.critical("%s", refusal)
                    return
                log.warning("Slack cannot be reached yet (%s)", error.code)
            else:
                return

    # ---- what Bolt calls
    def _build(self, signing_secret: str | None) -> AsyncApp:
        async def authorize() -> AuthorizeResult:
            return self._authorized

        with _without_slack_variables():
            app = AsyncApp(
                name="meshbot",
                client=AsyncWebClient(
                    base_url=self.api.base_url, session=self.api.session, retry_handlers=[]
                ),
                signing_secret=signing_secret or "",
                # What comes over our own socket needs no proof; each step costs every acknowledgement.
                request_verification_enabled=signing_secret is not None,
                ssl_check_enabled=signing_secret is not None,
                url_verification_enabled=signing_secret is not None,
                authorize=authorize,
                process_before_response=True,  # each listener only acknowledges, so Bolt need not poll for it
                attaching_function_token_enabled=False,
                attaching_conversation_kwargs_enabled=False,
                logger=quiet_logger(),
            )
        app.command(_ANY)(self.guard.acknowledge_first(self._command))
        app.action(_ANY)(self.guard.acknowledge_first(self._click))
        app.view_submission(_ANY)(self._submission)
        app.view_closed(_ANY)(self.guard.acknowledge_first(_nothing))
        app.event(_ANY)(self.guard.acknowledge_first(self._event))
        app.options(_ANY)(_no_options)
        return app

    def _command(self, body: Json) -> None:
        user, channel, text, url = payloads.command(body)
        respond = UrlResponder(self.api, user, url, sleep=self._sleep)
        attempt = Attempt(self._router.word_of(text), channel, respond, user=user, about=_rest(text))
        self._route(attempt, user, text, body.get("trigger_id"))

    def _route(self, attempt: Attempt, user: str, text: str, trigger_id: str | None) -> None:
        async def work() -> None:
            attempt.actor = await self.people.actor(user)
            call = payloads.call(attempt.actor, attempt.channel, text, attempt.respond, trigger_id)
            await self._router.route(call)

        self.guard.answer(attempt, work)

    def _click(self, body: Json) -> None:
        pressed = payloads.press(body)
        if pressed.is_link:
            return
        respond = self._way_back(pressed)
        attempt = Attempt(pressed.action_id, pressed.channel, respond, user=pressed.user, about=pressed.about)

        async def work() -> None:
            try:
                await self._press(pressed, attempt)
            finally:
                if pressed.on_home:  # what was done there, or was too late, shows there at once
                    self._draw_home(pressed.user)

        self.guard.answer(attempt, work)

    async def _press(self, pressed: payloads.Press, attempt: Attempt) -> None:
        listener = self.clicks.get(pressed.action_id)
        if listener is None:
            raise InvalidInput("I do not know that button any more. Please run the command again.")
        attempt.actor = await self.people.actor(pressed.user)
        require(attempt.actor, ids.PURPOSES.get(pressed.action_id, Action.READ))
        await listener(pressed.to_click(attempt.actor, attempt.respond))

    def _draw_home(self, user: str) -> None:
        if drawn := self._events.get("app_home_opened"):
            self.guard.observe("app_home_opened", lambda: drawn({"user": user}))

    def _way_back(self, pressed: payloads.Press) -> DirectResponder:
        if not pressed.url:
            return DirectResponder(self.api, pressed.user)
        return UrlResponder(
            self.api,
            pressed.user,
            pressed.url,
            replaces=pressed.on_answer,
            thread_ts=pressed.thread_ts,
            sleep=self._sleep,
        )

    async def _submission(self, ack: Callable[..., Any], body: Json) -> None:
        """Decides before the acknowledgement, in time; what takes longer shows a view that says so."""
        sent = payloads.sent_modal(body)
        attempt = Attempt(
            sent.callback_id, "", DirectResponder(self.api, sent.user), user=sent.user, about=sent.about
        )
        attempt.actor = self.people.cached_actor(sent.user)
        known = attempt.actor is not None

        async def work() -> SubmissionAnswer:
            listener = self.submissions.get(sent.callback_id)
            if listener is None:
                raise InvalidInput("I do not know that form any more. Please start again.")
            attempt.actor = attempt.actor or await self.people.actor(sent.user)
            require(attempt.actor, ids.PURPOSES.get(sent.callback_id, Action.READ))
            return await listener(sent.to_submission(attempt.actor))

        task = self.guard.decide(attempt, sent.title, work)
        if known:
            await asyncio.wait({task}, timeout=self._decide_within)
        if task.done() and not task.cancelled():
            await ack(**_acknowledgement(task.result()))
            return
        await ack(response_action="update", view=said_view(sent.title, "I am working on it…"))
        self.guard.observe(sent.callback_id, lambda: self._show_late(task, sent))

    async def _show_late(self, task: "asyncio.Task[SubmissionAnswer]", sent: payloads.SentModal) -> None:
        await self._sleep(_SETTLE)
        answer = await task
        said = " ".join([*answer.errors.values(), "Please start again."]) if answer.errors else "Done."
        await self._modals.update(sent.view_id, answer.view or said_view(sent.title, said))

    def _event(self, body: Json) -> None:
        event: Json = body.get("event") or {}
        if self._is_repeated(str(body.get("event_id") or "")):
            return
        kind = str(event.get("type"))
        if kind in self._own_events:
            self._own_events[kind](event)
        if listener := self._events.get(kind):
            self.guard.observe(kind, lambda: listener(event))

    def _group_changed(self, event: Json) -> None:
        self.people.forget_group(str(event.get("subteam_id") or (event.get("subteam") or {}).get("id")))

    def _person_changed(self, event: Json) -> None:
        self.people.forget_user(str((event.get("user") or {}).get("id")))

    def _mention(self, event: Json) -> None:
        """The same grammar as the slash command, which threads do not have."""
        mentioned = payloads.mention(event, self._authorized.bot_user_id)
        if mentioned is None:
            return
        user, channel, text, thread = mentioned
        attempt = Attempt(
            self._router.word_of(text),
            channel,
            ThreadResponder(self.api, user, channel, thread),
            user=user,
            about=_rest(text),
        )
        self._route(attempt, user, text, None)

    def _is_repeated(self, event_id: str) -> bool:
        """Whether it came before; what Slack marks as a retry may be the first delivery to arrive."""
        now = self._monotonic()
        while self._seen and next(iter(self._seen.values())) < now - SEEN_FOR:
            self._seen.popitem(last=False)
        if not event_id or event_id in self._seen:
            return bool(event_id)
        self._seen[event_id] = now
        return False


def joined(what: str, maps: Sequence[Mapping[str, T]]) -> Mapping[str, T]:
    """All of them in one. Raises ValueError for a name that two features claim."""
    together: dict[str, T] = {}
    for one in maps:
        if twice := sorted(together.keys() & one.keys()):
            raise ValueError(f"two features claim the {what} {', '.join(twice)}")
        together |= one
    return together


def _refusal(error: SlackFailed) -> Exception | None:
    if error.method == "apps.connections.open":
        if error.code in BAD_TOKEN | {"missing_scope"}:
            return refused_token(error, APP_TOKEN)
        return None
    return refused_token(error, BOT_TOKEN) if error.code in BAD_TOKEN else None


def _acknowledgement(answer: SubmissionAnswer) -> dict[str, Any]:
    if answer.errors:
        return {"response_action": "errors", "errors": dict(answer.errors)}
    return {"response_action": "update", "view": answer.view} if answer.view else {}


def _rest(text: str) -> str:
    """What stands behind the word of a command."""
    return text.partition(" ")[2].strip()


def _nothing(_body: Json) -> None:
    """A closed modal asks for nothing."""


async def _no_options(ack: Callable[..., Any]) -> None:
    await ack(options=[])


@contextlib.contextmanager
def _without_slack_variables() -> Iterator[None]:
    """Hides SLACK_… variables: with two of them Bolt drops our token and waits for an installation."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SLACK_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
