"""Socket Mode: two connections, so that one is up while Slack refreshes the other, and a watchdog over both.

The SDK reconnects by itself, but can go on trying one dead address for ever, and closes the old socket before
it opens the new one (slack_sdk 3.47). What arrives is handed to Bolt.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp

from bot.slack.outgoing.web_api import Sleep, WebApi, quiet_logger

log = logging.getLogger(__name__)

DOWN_TOO_LONG = timedelta(seconds=15)
PING_EVERY = 5.0  # seconds; a socket that answers no ping for four of them is given up
_CLOSING = 2.0  # seconds that Slack gets to answer a goodbye; the SDK alone waits ten for each socket
_OPENING = 5.0  # seconds that a start waits for its first socket
_STAGGER = 2.0  # seconds between openings: no method is rate limited more strictly


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
        self._tasks: set[asyncio.Task[None]] = set()

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

    async def _open_others(self) -> None:
        while len(self._handlers) < self._number:
            await self._sleep(_STAGGER)
            await self._connect(self._new_handler())

    async def _connect(self, handler: AsyncSocketModeHandler) -> None:
        await handler.connect_async()  # type: ignore[no-untyped-call] # the SDK's own lack

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
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
        handler.client.proxy = self._api.proxy  # the SDK takes the environment's, whatever NO_PROXY says
        self._handlers.append(handler)
        return handler


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
