"""The connection to Slack: builds the Bolt app, proves who the bot is, connects, and takes leave.

One listener for each kind of payload, since Bolt tries its listeners in turn; what arrives goes to
``arrivals``.
"""

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import StartupError
from bot.slack.incoming.dispatcher import (
    DECIDE_WITHIN,
    CardIn,
    Dispatcher,
    OnChanged,
    joined,
)
from bot.slack.incoming.guard import Answering, Guard, OnRefused
from bot.slack.incoming.identity_cache import People
from bot.slack.incoming.listeners import CardDrawing, Feature, NoteDrawing
from bot.slack.incoming.signatures import IsNew, SignedRequests, begin_request, of_one_process
from bot.slack.incoming.socket_mode import APP_TOKEN, PING_EVERY, Sockets
from bot.slack.outgoing.replies import OnUndelivered, lost
from bot.slack.outgoing.web_api import (
    BAD_TOKEN,
    BOT_TOKEN,
    SlackFailed,
    Sleep,
    WebApi,
    quiet_logger,
    refused_token,
)

log = logging.getLogger(__name__)
T = TypeVar("T")
Json = Mapping[str, Any]

ORG_WIDE: Final = (
    "The app is installed for a whole organisation (Enterprise Grid), and the bot works for one workspace: "
    "install it in that workspace, and set MESHBOT_SLACK__BOT_TOKEN to the token that it gets there."
)
_ASK_EVERY: Final = 60.0  # seconds, so that a token that dies while nobody asks for anything is noticed
_ANY = re.compile(r".*", re.DOTALL)
_BACK_OFF = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


async def _nobody_else(_one: str) -> None:
    """There is no other replica."""


async def _no_card(_channel: str, _ts: str) -> None:
    """There are no cards."""


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
        on_changed: OnChanged = _nobody_else,
        card_in: CardIn = _no_card,
        on_undelivered: OnUndelivered = lost,
        answering: Answering = contextlib.nullcontext,
        is_first: IsNew = of_one_process,
        is_new: IsNew = of_one_process,
        app_token: str | None = None,
        signing_secret: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        decide_within: float = DECIDE_WITHIN,
        ping_every: float = PING_EVERY,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.api = api
        self.people = people
        self.guard = Guard(on_refused, is_first=is_first, answering=answering)
        self.cards: Mapping[str, CardDrawing] = joined("card", [one.cards for one in features])
        self.notes: Mapping[str, NoteDrawing] = joined("note", [one.notes for one in features])
        self.arrivals = Dispatcher(
            api,
            people,
            self.guard,
            features,
            command=api.command,
            on_changed=on_changed,
            card_in=card_in,
            on_undelivered=on_undelivered,
            is_new=is_new,
            monotonic=monotonic,
            sleep=sleep,
            decide_within=decide_within,
        )
        self._sleep = sleep
        self._monotonic = monotonic
        self._asked_at = monotonic()
        self._starting: asyncio.Task[None] | None = None
        self._authorized = AuthorizeResult(enterprise_id=None, team_id=None, bot_token=api.client.token)
        self._identified = False
        self._signed = SignedRequests(signing_secret, unix_time) if signing_secret else None
        self._bolt = self._build(signing_secret)
        self._sockets = (
            Sockets(self._bolt, api, app_token, monotonic=monotonic, sleep=sleep, ping_every=ping_every)
            if app_token
            else None
        )

    # ---- from start to end
    async def start(self) -> None:
        """Connects. Raises StartupError for a token that Slack refuses; without Slack it goes on trying."""
        try:
            await self._connect()
        except SlackFailed as error:
            if refusal := _refusal(error):
                raise refusal from error
            log.warning("Slack cannot be reached (%s); I go on trying", error.detail or error.code)
            self._starting = asyncio.get_running_loop().create_task(self._keep_connecting())

    async def ready(self) -> bool:
        """Whether something that people do in Slack would reach the bot, and be answered."""
        if self.api.refused is not None:
            return False
        return self._identified and (self._sockets is None or await self._sockets.connected_count() > 0)

    async def connected_count(self) -> int:
        """How many sockets are up; none in HTTP mode."""
        return await self._sockets.connected_count() if self._sockets else 0

    async def watch(self) -> None:
        """A tick every few seconds: gets a socket that is stuck on a dead address going again.

        Each minute it asks whether Slack takes the token still.
        """
        if self._sockets:
            await self._sockets.watch()
        if self._identified and self._monotonic() - self._asked_at >= _ASK_EVERY:
            self._asked_at = self._monotonic()
            with contextlib.suppress(SlackFailed):  # of a token that is refused, ``api`` tells
                await self.api.call("auth.test")

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
        """Answers ``POST /slack/events``. What Slack did not sign, or signed once for all, is not parsed."""
        headers = request.headers
        raw = await request.read()
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            return web.Response(status=400)
        stamp, signature = (headers.get(f"X-Slack-{name}", "") for name in ("Request-Timestamp", "Signature"))
        if self._signed is None or not self._signed.is_new(body, stamp, signature):
            # Slack looks at the certificate now and then, and does not always sign that.
            return web.Response(status=200 if b"ssl_check=1" in raw.split(b"&") else 401)
        begin_request(signature)
        try:
            asked = AsyncBoltRequest(
                body=body,
                query=request.query_string,
                headers={name: headers.getall(name) for name in headers},
            )
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return web.Response(status=400)
        answer = await self._bolt.async_dispatch(asked)
        kind = answer.headers.get("content-type", ["text/plain"])[0].split(";")[0]
        return web.Response(status=answer.status, text=answer.body, content_type=kind)

    async def _connect(self) -> None:
        if not self._identified:
            who = await self.api.call("auth.test")
            if who.get("is_enterprise_install"):
                raise StartupError(ORG_WIDE)
            self.arrivals.bot_user_id = who.get("user_id")
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
            except StartupError as error:
                log.critical("%s", error)
                return
            except SlackFailed as error:
                if refusal := _refusal(error):
                    log.critical("%s", refusal)
                    return
                log.warning("Slack cannot be reached yet (%s)", error.detail or error.code)
            else:
                return

    # ---- what Bolt does
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
                # What comes over our own socket needs no proof, and what comes by HTTP has given it before;
                # each step costs every acknowledgement.
                request_verification_enabled=False,
                ssl_check_enabled=signing_secret is not None,
                url_verification_enabled=signing_secret is not None,
                authorize=authorize,
                process_before_response=True,  # each listener only acknowledges, so Bolt need not poll for it
                attaching_function_token_enabled=False,
                attaching_conversation_kwargs_enabled=False,
                logger=quiet_logger(),
            )
        app.command(_ANY)(self.guard.acknowledge_first(self.arrivals.command))
        app.action(_ANY)(self.guard.acknowledge_first(self.arrivals.click))
        app.shortcut(_ANY)(self.guard.acknowledge_first(self.arrivals.shortcut))
        app.view_submission(_ANY)(self.arrivals.submission)
        app.view_closed(_ANY)(self.guard.acknowledge_first(_nothing))
        app.event(_ANY)(self.guard.acknowledge_first(self.arrivals.event))
        app.options(_ANY)(_no_options)
        return app


def _refusal(error: SlackFailed) -> Exception | None:
    if error.method == "apps.connections.open":
        if error.code in BAD_TOKEN | {"missing_scope"}:
            return refused_token(error, APP_TOKEN)
        return None
    return refused_token(error, BOT_TOKEN) if error.code in BAD_TOKEN else None


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
