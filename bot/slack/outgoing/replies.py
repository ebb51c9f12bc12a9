"""The ways back to the person who asked: a response_url, the thread of a mention, or a direct message.

They run after the acknowledgement and may wait as long as Slack asks. What a spent or expired response_url
does not take goes to the asker's direct messages instead, and what Slack does not take at all is kept until
it does, so that no answer is lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp

from bot.domain.errors import InvalidInput
from bot.slack.outgoing.messages import said_twice, send
from bot.slack.outgoing.newer_blocks import REFUSAL
from bot.slack.outgoing.web_api import BAD_TOKEN, GONE, NEVER_SENT, NO_PLACE, SlackFailed, Sleep, WebApi
from bot.slack.views.blocks import Block, File, Message, View, context, date, message, section, typeset

log = logging.getLogger(__name__)

OnUndelivered = Callable[[str, str], Awaitable[None]]
"""Keeps an answer until Slack takes it: for whom it is, and its text."""

USES: Final = 5  # of one response_url, within 30 minutes
_TRIES: Final = 4
_LONGEST_WAIT: Final = 30.0
_BACK_OFF: Final = 0.5


async def lost(user_id: str, text: str) -> None:
    """Where nothing can be kept, the log has it."""
    log.error("an answer to %s is lost: %s", user_id, text)


class DirectResponder:
    """Answers by direct message: for the home tab and modals, which have no response_url."""

    def __init__(self, api: WebApi, user_id: str, keep: OnUndelivered = lost) -> None:
        self._api = api
        self._user_id = user_id
        self._keep = keep

    async def answer(self, message: Message) -> None:
        await self.add(message)

    async def add(self, message: Message) -> None:
        try:
            await self._post(self._user_id, message)
        except SlackFailed as error:
            await self._keep_for_later(message, error)

    async def _post(self, channel: str, message: Message, thread_ts: str | None = None) -> None:
        """A message of its own; cards and notes go through the publisher. Raises SlackFailed in the end."""
        said = message
        for attempt in range(_TRIES):
            try:
                await send(
                    self._api,
                    "chat.postMessage",
                    said,
                    channel=channel,
                    thread_ts=thread_ts,
                    unfurl_links=False,
                    unfurl_media=False,
                )
            except SlackFailed as error:
                if not error.is_passing or attempt == _TRIES - 1:
                    raise
                if error.may_have_worked:
                    said = said_twice(message)
                await self._api.rest(error, attempt)
            else:
                return

    async def _keep_for_later(self, message: Message, error: SlackFailed) -> None:
        """Raises the error for what Slack will never take."""
        if not error.is_passing and error.code not in BAD_TOKEN:
            raise error
        log.warning("an answer to %s waits until Slack takes it: %s", self._user_id, error.code)
        await self._keep(self._user_id, message.text)

    async def send_file(self, name: str, content: bytes, title: str, alt: str = "") -> None:
        channel = await self._api.direct_channel(self._user_id)
        await self._api.send_file(channel, File(name, content, title, alt))


class ThreadResponder(DirectResponder):
    """Answers a mention in its thread, where everybody in the channel reads it.

    By direct message where that cannot be: only some may post in the channel, or the thread was deleted.
    """

    def __init__(
        self, api: WebApi, user_id: str, channel: str, thread_ts: str, keep: OnUndelivered = lost
    ) -> None:
        super().__init__(api, user_id, keep)
        self._channel = channel
        self._thread_ts = thread_ts

    async def add(self, message: Message) -> None:
        try:
            await self._post(self._channel, message, self._thread_ts)
        except SlackFailed as error:
            if error.code not in NO_PLACE | GONE:
                await self._keep_for_later(message, error)
                return
            log.warning("a mention in %s is answered by direct message: %s", self._channel, error.code)
            await super().add(message)


class UrlResponder(DirectResponder):
    """Answers where the command or the click was, for the asker only.

    ``replaces``: the click was on an answer of ours, whose place the next answer takes; ``thread_ts``: it was
    in a thread, where what is added belongs.
    """

    def __init__(
        self,
        api: WebApi,
        user_id: str,
        url: str,
        *,
        replaces: bool = False,
        thread_ts: str | None = None,
        keep: OnUndelivered = lost,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(api, user_id, keep)
        self._url = url
        self._replaces = replaces
        self._thread_ts = thread_ts
        self._sleep = sleep
        self._uses = 0

    async def answer(self, message: Message) -> None:
        await self._send(message, replace=self._replaces)

    async def add(self, message: Message) -> None:
        await self._send(message, replace=False)

    async def _send(self, message: Message, *, replace: bool) -> None:
        said = message
        if not self._api.is_slacks(self._url):
            log.warning("a response_url that is not Slack's is not used")
        elif self._uses < USES:
            self._uses += 1
            for attempt in range(_TRIES):
                came = await self._try(said, replace, attempt)
                if came.status == 200:
                    return
                if came.status == 0 and not replace:  # in another's place it stands once all the same
                    said = said_twice(message)
                if not came.is_worth_another:
                    break
                await self._sleep(came.wait)
        await super().add(said)

    async def _try(self, message: Message, replace: bool, attempt: int) -> "_Came":
        newer = self._api.newer_blocks
        if newer.suits(message):
            came = await self._show(message, message.newer, replace, attempt)
            if not came.is_refusal:
                return came
            newer.refused("by a response_url")
        return await self._show(message, message.blocks, replace, attempt)

    async def _show(self, message: Message, blocks: Sequence[Block], replace: bool, attempt: int) -> "_Came":
        payload: dict[str, Any] = {
            "text": message.text,
            "blocks": list(blocks),
            "response_type": "ephemeral",
            "replace_original": replace,
        }
        if self._thread_ts and not replace:
            payload["thread_ts"] = self._thread_ts
        try:
            async with self._api.session.post(
                self._url,
                json=typeset(payload, self._api.command),
                proxy=self._api.network.proxy_for_aiohttp(self._url),
                allow_redirects=False,
            ) as answer:
                said = await answer.text()
                if answer.status != 200:
                    log.warning("response_url refused with %d: %.200s", answer.status, said)
                wait = _wait(answer.headers.get("Retry-After"), attempt)
                return _Came(answer.status, wait, is_refusal=REFUSAL in said)
        except NEVER_SENT as error:
            log.warning("response_url could not be reached: %s", type(error).__name__)
            return _Came(503, _wait(None, attempt))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("response_url did not answer: %s", type(error).__name__)
            return _Came(0, _wait(None, attempt))


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of a try: a status, 0 where no answer came, and how long to wait before the next."""

    status: int
    wait: float
    is_refusal: bool = False  # of the blocks

    @property
    def is_worth_another(self) -> bool:
        return self.status in {0, 429} or self.status >= 500


class Modals:
    """Opens and changes modals and home tabs."""

    def __init__(self, api: WebApi) -> None:
        self._api = api

    async def open(self, trigger_id: str | None, view: View) -> str:
        """Its id. Raises SlackFailed at once when Slack does not take it: a trigger lives three seconds.

        A mention has none: raises InvalidInput.
        """
        if trigger_id is None:
            raise InvalidInput(
                "Slack opens a dialog only from a button or a slash command: please use one of them."
            )
        opened = await self._api.call("views.open", trigger_id=trigger_id, view=view)
        return str(opened["view"]["id"])

    async def update(self, view_id: str, view: View) -> None:
        """Changes it; one that was closed meanwhile stays closed."""
        try:
            await self._api.patient("views.update", view_id=view_id, view=view)
        except SlackFailed as error:
            if error.code != "not_found":
                raise

    async def publish(self, user_id: str, view: View) -> None:
        """Draws somebody's home tab."""
        await self._api.patient("views.publish", user_id=user_id, view=view)


def late(body: Mapping[str, Any]) -> Message:
    """An answer that was kept, for who asked; ``text`` is as it was to be read, and escaped."""
    text, asked_at = str(body["text"]), date(datetime.fromisoformat(body["at"]))
    why = f"Slack did not take this answer of {asked_at} until now."
    return message(f"{text}\n{why}", [section(text), context(why)])


def _wait(retry_after: str | None, attempt: int) -> float:
    if retry_after and retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), _LONGEST_WAIT)
    return _BACK_OFF * float(2**attempt)
