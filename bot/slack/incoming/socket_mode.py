"""Socket Mode: two connections, so that one is up while Slack refreshes the other, and a watchdog over both.

The SDK reconnects by itself, but can go on trying one dead address for ever, and closes the old socket before
it opens the new one (slack_sdk 3.47). What arrives is handed to Bolt.

When Slack closes a socket the SDK asks for another at once, for ever: here the openings are paced, and the
log says why a socket was closed.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Final

from aiohttp import WSMessage
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp

from bot.slack.outgoing.web_api import (
    APPS,
    BAD_TOKEN,
    UNREACHABLE,
    SlackFailed,
    Sleep,
    WebApi,
    quiet_logger,
    refused_token,
)

log = logging.getLogger(__name__)

DOWN_TOO_LONG = timedelta(seconds=15)
PING_EVERY = 5.0  # seconds; a socket that answers no ping for four of them is given up
_CLOSING = 2.0  # seconds that Slack gets to answer a goodbye; the SDK alone waits ten for each socket
_OPENING = 5.0  # seconds that a start waits for its first socket
_STAGGER = 2.0  # seconds between openings: no method is rate limited more strictly
APP_TOKEN: Final = "MESHBOT_SLACK__APP_TOKEN"  # noqa: S105 - the name of a setting
_CALM: Final = 120.0  # seconds after the last opening, from which on the next ones come at once again
_AT_ONCE: Final = 4  # openings: both sockets, and both again when Slack refreshes them
_PACE: Final = (5.0, 10.0, 30.0, 60.0)  # seconds before each further one
_REASONS: Final[Mapping[str, str]] = {
    "link_disabled": f"Socket Mode is switched off for the app. Switch it on at {APPS} under Socket Mode: "
    "until then nothing that people do in Slack reaches the bot.",
    "too_many_websockets": "the app has more sockets than the ten that Slack allows. Run fewer replicas, two "
    "sockets each, and end what else uses the token in MESHBOT_SLACK__APP_TOKEN.",
}


class Sockets:
    """The connections of this process. Make it inside the running event loop."""

    def __init__(
        self,
        app: AsyncApp,
        api: WebApi,
        app_token: str,
        *,
        number: int = 2,
        monotonic: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        ping_every: float = PING_EVERY,
    ) -> None:
        self._app = app
        self._api = api
        self._app_token = app_token
        self._number = number
        self._monotonic = monotonic
        self._sleep = sleep
        self._ping_every = ping_every
        self._handlers: list[AsyncSocketModeHandler] = []
        self._down_since: dict[int, float] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._opening = asyncio.Lock()
        self._opened = 0  # since it was calm
        self._opened_at = monotonic()
        self._told: set[str] = set()  # why sockets were closed, since all were up

    async def open(self) -> None:
        """Opens the first, and the others a little later. Raises SlackFailed when Slack gives no address.

        Returns when the first is open, or after a while without it: it goes on trying.
        """
        answer = await self._api.call("apps.connections.open", token=self._app_token)
        handler = self._new_handler()
        handler.client.wss_uri = str(answer["url"])
        first = self._start(self._connect(handler))
        self._start(self._open_others())
        await asyncio.wait({first}, timeout=_OPENING)

    async def connected_count(self) -> int:
        return sum([await handler.client.is_connected() for handler in self._handlers])

    async def watch(self) -> None:
        """Called every few seconds: a socket that stays down is made to ask for a new address."""
        if self._handlers and await self.connected_count() == len(self._handlers):
            self._told.clear()
        for number, handler in enumerate(self._handlers):
            if await handler.client.is_connected():
                self._down_since.pop(number, None)
                continue
            since = self._down_since.setdefault(number, self._monotonic())
            if self._monotonic() - since >= DOWN_TOO_LONG.total_seconds():
                log.warning("socket %d is down for too long; asking Slack for a new address", number)
                handler.client.wss_uri = None
                self._down_since[number] = self._monotonic()

    async def close(self) -> None:
        opening = list(self._tasks)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await asyncio.gather(*map(_close, self._handlers))

    async def _new_address(self) -> str:
        """For a socket that the SDK opens anew: in turn, and the later the more there were just now."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)  # so that ``close`` ends it, which the SDK forgets
            task.add_done_callback(self._tasks.discard)
        async with self._opening:
            while True:
                if wait := self._pace():
                    await self._sleep(wait)
                try:
                    return str((await self._api.call("apps.connections.open", token=self._app_token))["url"])
                except SlackFailed as error:
                    if error.code == UNREACHABLE:  # Slack never heard of it
                        self._opened = min(self._opened, _AT_ONCE)
                    self._tell(error.code, _refused(error))
                    await self._sleep(error.retry_after or 0.0)

    def _pace(self) -> float:
        """How long to wait before the next opening."""
        now = self._monotonic()
        if now - self._opened_at >= _CALM:
            self._opened = 0
        self._opened, self._opened_at = self._opened + 1, now
        late = self._opened - _AT_ONCE
        return 0.0 if late <= 0 else _PACE[min(late, len(_PACE)) - 1]

    async def _heard(self, heard: WSMessage) -> None:
        """Slack says why before it closes a socket; a refresh is no news."""
        if "disconnect" not in heard.data[:100]:
            return
        said = json.loads(heard.data)
        if said.get("type") == "disconnect" and (why := _REASONS.get(str(said.get("reason")))):
            self._tell(str(said["reason"]), f"Slack closed a socket: {why}")

    def _tell(self, reason: str, sentence: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            log.error("%s", sentence)

    async def _open_others(self) -> None:
        while len(self._handlers) < self._number:
            await self._sleep(_STAGGER)
            await self._connect(self._new_handler())

    async def _connect(self, handler: AsyncSocketModeHandler) -> None:
        await handler.connect_async()  # type: ignore[no-untyped-call] # the SDK's own lack

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _new_handler(self) -> AsyncSocketModeHandler:
        handler = AsyncSocketModeHandler(
            self._app,
            self._app_token,
            logger=quiet_logger(),
            web_client=self._api.client,
            ping_interval=self._ping_every,
        )
        handler.client.issue_new_wss_url = self._new_address  # type: ignore[method-assign]
        handler.client.on_message_listeners.append(self._heard)
        handler.client.proxy = self._api.client.proxy  # not the environment's, as there
        self._handlers.append(handler)
        return handler


def _refused(error: SlackFailed) -> str:
    if error.code in BAD_TOKEN:
        return str(refused_token(error, APP_TOKEN))
    if error.is_passing:
        return f"Slack gives no socket now ({error.code}), and I go on asking."
    return f"Slack gives no socket ({error.code}), and I go on asking: is Socket Mode on, at {APPS}?"


async def _close(handler: AsyncSocketModeHandler) -> None:
    client = handler.client
    try:
        async with asyncio.timeout(_CLOSING):
            await handler.close_async()  # type: ignore[no-untyped-call] # the SDK's own lack
    except TimeoutError:
        log.warning("Slack did not answer the goodbye of a socket")
        await client.aiohttp_client_session.close()
    tasks = (client.message_processor, client.current_session_monitor, client.message_receiver)
    ended = [task for task in tasks if task is not None]
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
