"""One request to Meshtech, with its retries: timeouts, repetition of what may be repeated, errors mapped.

Decides whether a request that failed may be sent again, how long to wait before, and which of our errors
tells what happened. Knows neither paging nor what an answer means.
"""

import asyncio
import logging
import math
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, Self

import httpx

from bot.meshtech.auth import MeshtechAuth
from bot.meshtech.errors import (
    AnswerUnreadable,
    Conflict,
    DeviceUnknown,
    JobUnknown,
    LogInRefused,
    LogInUnreachable,
    MeshtechError,
    OutcomeUnknown,
    RateLimited,
    RouteMissing,
    VendorRefused,
    VendorUnavailable,
)
from bot.meshtech.models import UNREADABLE, read_json, retry_after, text
from bot.meshtech.response_bodies import LARGEST, Answer, TooLarge, exchange, new_client
from bot.meshtech.routes import ROUTES, Operation
from bot.network import Network

log = logging.getLogger(__name__)

ATTEMPTS = 4
FIRST_DELAY = 0.5  # seconds; doubles with each try, and the jitter takes up to half of it away
LONGEST_DELAY = 30.0  # seconds; who is asked to wait longer gives up and says until when
MESSAGE_LENGTH = 200

# httpx raises these before the first byte of the request is on the wire.
_NOTHING_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_READING = {
    Operation.LIST_DEVICES,
    Operation.GET_DEVICE,
    Operation.LIST_LABELS,
    Operation.LIST_FIRMWARE,
    Operation.LIST_JOBS,
    Operation.GET_JOB,
}
_OF_A_DEVICE = {
    Operation.GET_DEVICE,
    Operation.RENAME_DEVICE,
    Operation.ADD_LABEL,
    Operation.REMOVE_LABEL,
}
_OF_A_JOB = {Operation.GET_JOB, Operation.CANCEL_JOB}


@dataclass(frozen=True, slots=True)
class VendorCall:
    """A request as it goes out. ``about`` is the id it is about, for the sentence of an error."""

    operation: Operation
    method: str
    url: str
    body: bytes | None = None
    about: str = ""


@dataclass(slots=True)
class Counters:
    """What the metrics show. ``requests`` counts attempts by operation and outcome."""

    requests: Counter[tuple[Operation, str]] = field(default_factory=Counter)
    devices_without_id: int = 0
    last_success: datetime | None = None
    last_failure: datetime | None = None
    last_error: str | None = None


class VendorSender:
    """Sends calls with the shared token over one pool of connections."""

    def __init__(
        self,
        auth: MeshtechAuth,
        network: Network,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[object]],
        randomness: random.Random,
        connect_timeout: timedelta,
        read_timeout: timedelta,
    ) -> None:
        self._auth = auth
        self._now = now
        self._sleep = sleep
        self._random = randomness
        read = read_timeout.total_seconds()
        self._deadline = 2 * read  # for one attempt in all: httpx's own starts anew with every byte
        self._network = network
        self._timeout = httpx.Timeout(read, connect=connect_timeout.total_seconds())
        self._http = self._connections()
        self.counters = Counters()
        self._rests: dict[
            Operation, tuple[datetime, timedelta]
        ] = {}  # since when, and how long Meshtech wishes

    async def aclose(self) -> None:
        await self._http.aclose()

    def beside(self) -> Self:
        """Another that shares all but the connections."""
        other = copy(self)
        other._http = self._connections()
        return other

    def _connections(self) -> httpx.AsyncClient:
        return new_client(
            self._network,
            auth=self._auth,
            timeout=self._timeout,
            headers={"Accept": "application/json", "User-Agent": "meshbot"},
            follow_redirects=False,
        )

    async def send(self, call: VendorCall) -> bytes:
        """The body of a 2xx answer. Raises a ``MeshtechError``; repeats only what is idempotent.

        While Meshtech wishes to rest from an operation for longer than a caller waits, it is not asked.
        """
        attempt = 1
        while True:
            if (left := self._rest_of(call.operation)) is not None:
                raise _too_many(left)
            try:
                return await self._attempt(call)
            except LogInUnreachable:
                raise  # the log-in has a pace of its own
            except (VendorUnavailable, RateLimited) as error:
                delay = self._delay(attempt, error.retry_after)
                if not ROUTES[call.operation].idempotent or attempt == ATTEMPTS or delay > LONGEST_DELAY:
                    if isinstance(error, RateLimited) and error.retry_after is not None:
                        self._rests[call.operation] = self._now(), error.retry_after
                    raise
                log.info("%s failed at try %d, again in %.1f s: %s", call.operation, attempt, delay, error)
            attempt += 1
            await self._sleep(delay)

    def _rest_of(self, operation: Operation) -> timedelta | None:
        """How much longer it is not asked; of a clock that was set back since, nothing is waited for."""
        if (rest := self._rests.get(operation)) is None:
            return None
        began, wished = rest
        gone = self._now() - began
        return wished - gone if timedelta() <= gone < wished else None

    def _delay(self, attempt: int, wanted: timedelta | None) -> float:
        longest: float = min(FIRST_DELAY * 2 ** (attempt - 1), LONGEST_DELAY)
        jittered = longest * (1 - self._random.random() / 2)
        return max(wanted.total_seconds() if wanted else 0.0, jittered)

    async def _attempt(self, call: VendorCall) -> bytes:
        try:
            answer = await self._exchange(call)
            if not answer.is_success:
                self._refuse(call, answer)
            if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise unreadable(call.operation, "it is a web page, as if something stood in between")
        except MeshtechError as error:
            self._failed(call, error)
            raise
        self.counters.requests[call.operation, "ok"] += 1
        self.counters.last_success = self._now()
        return answer.body

    async def _exchange(self, call: VendorCall) -> Answer:
        headers = {"Content-Type": "application/json"} if call.body is not None else None
        try:
            request = self._http.build_request(call.method, call.url, content=call.body, headers=headers)
        except httpx.InvalidURL:  # too long an id or token in it; a server would say so with this status
            raise _refusal(call, httpx.codes.REQUEST_URI_TOO_LONG, "") from None
        # `from None`: the frames of httpx and what is below them hold the headers, token included.
        try:
            async with asyncio.timeout(self._deadline):
                return await exchange(self._http, request)
        except _NOTHING_SENT as error:
            raise VendorUnavailable(
                f"Meshtech cannot be reached: {self._network.fault(error, call.url)}. Nothing was changed; "
                "try again in a minute."
            ) from None
        except TooLarge:
            raise unreadable(call.operation, _too_large(call.operation)) from None
        except httpx.DecodingError as error:
            raise unreadable(call.operation, str(error)) from None
        except (httpx.HTTPError, TimeoutError) as error:
            why = self._network.fault(error, call.url)
            raise _lost(call.operation, f"gave no answer ({why})") from None

    def _refuse(self, call: VendorCall, answer: Answer) -> NoReturn:
        status, operation = answer.status, call.operation
        said = self._auth.redact(vendor_message(answer))
        if status == httpx.codes.UNAUTHORIZED:
            raise LogInRefused(
                "Meshtech refuses the token it gave the bot a moment ago. An administrator should check in "
                "the portal that the bot's account is active and may use the API."
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise _too_many(retry_after(answer.headers, self._now()))
        if status == httpx.codes.REQUEST_TIMEOUT or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED):
            raise _lost(operation, f"answered {status}", retry_after(answer.headers, self._now()))
        raise _refusal(call, status, said)

    def _failed(self, call: VendorCall, error: MeshtechError) -> None:
        outcome = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
        self.counters.requests[call.operation, outcome] += 1
        if not isinstance(error, VendorRefused | DeviceUnknown | JobUnknown | Conflict):
            self.counters.last_failure = self._now()
            self.counters.last_error = str(error)


def _too_many(wait: timedelta | None) -> RateLimited:
    when = f"{math.ceil(wait.total_seconds())} s" if wait else "a minute"
    return RateLimited(f"Meshtech asks the bot to slow down. Nothing was changed; try again in {when}.", wait)


def unreadable(operation: Operation, why: str) -> MeshtechError:
    """The error for a success whose answer cannot be read: a job may exist all the same."""
    if not ROUTES[operation].idempotent:
        return OutcomeUnknown(_SEARCH_FIRST.format(f"answered, but {why}"))
    return AnswerUnreadable(
        f"Meshtech's answer to {operation} cannot be read: {why}. Try again in a minute; if it stays so, an "
        f"administrator should run the doctor, which compares the settings with the portal."
    )


def _too_large(operation: Operation) -> str:
    smaller = "; a smaller MESHBOT_MESHTECH__PAGE_SIZE makes it smaller"
    return (
        f"it is larger than {LARGEST // 1024**2} MiB{smaller if operation is Operation.LIST_DEVICES else ''}"
    )


_SEARCH_FIRST = (
    "Meshtech {}, so the update job may have been created or not. "
    "Look for it in the list of jobs before it is created again."
)


def _lost(operation: Operation, what: str, wait: timedelta | None = None) -> MeshtechError:
    if not ROUTES[operation].idempotent:
        return OutcomeUnknown(_SEARCH_FIRST.format(what))
    if operation in _READING:
        return VendorUnavailable(f"Meshtech {what}. Try again in a minute.", retry_after=wait)
    return VendorUnavailable(
        f"Meshtech {what}. The change may have been made all the same: look again in a minute, and repeat it "
        f"if it was not.",
        retry_after=wait,
    )


def _refusal(call: VendorCall, status: int, said: str) -> MeshtechError:
    quoted = f" It said: “{said}”." if said else ""
    if status == httpx.codes.NOT_FOUND and call.operation in _OF_A_DEVICE:
        return DeviceUnknown(
            f"Meshtech knows no gateway {call.about}. It may have been released; refresh the list."
        )
    if status == httpx.codes.NOT_FOUND and call.operation in _OF_A_JOB:
        return JobUnknown(f"Meshtech knows no job {call.about}. Look for it in the list of jobs.")
    if status in (404, 405, 501) or 300 <= status < 400:
        documented = ROUTES[call.operation].documented
        setting = "API_URL" if documented else f"ROUTES__{call.operation}"
        return RouteMissing(
            f"Meshtech answered {status} to {call.operation}: it is not where the bot looks for it. "
            f"An administrator can correct this with MESHBOT_MESHTECH__{setting}."
        )
    if status == httpx.codes.CONFLICT:
        return Conflict(
            f"Meshtech says that this conflicts with what is there.{quoted} Look again before you repeat it."
        )
    if status == httpx.codes.FORBIDDEN:
        before, after = (
            "The bot's account may not do this in Meshtech.",
            "An administrator can allow it there.",
        )
    else:
        before, after = f"Meshtech refused this with {status}.", "Correct it and try again."
    return VendorRefused(f"{before}{quoted or ' It did not say why.'} {after}", status=status, said=said)


def vendor_message(answer: Answer) -> str:
    """What the vendor says in an error, in one short line; empty when that is nothing for people."""
    try:
        found = _message_in(read_json(answer.body))
    except UNREADABLE:
        plain = answer.headers.get("Content-Type", "").startswith("text/plain")
        found = answer.body.decode(errors="replace") if plain else ""
    line = " ".join("".join(c if c.isprintable() else " " for c in found[:2000]).split())
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"


def _message_in(answer: Any) -> str:
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return ""
    for name in ("detail", "message", "title", "error"):
        if isinstance(answer.get(name), str) and (found := text(answer[name])):
            return found
    return ""
