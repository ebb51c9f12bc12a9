"""One shared token for everybody: when to log in, how often, and what to say when it does not work.

However many requests wait there is one log-in at a time, and a cancelled request does not cancel it for the
others. A refused log-in is repeated a handful of times in an hour; until then requests fail at once. Knows
nothing of what the requests ask for. Neither token nor password leaves this module but on the wire.
"""

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import httpx
import msgspec

from bot.meshtech.errors import LogInRefused, LogInUnreachable, MeshtechError
from bot.meshtech.models import retry_after
from bot.meshtech.response_bodies import Answer, exchange, new_client
from bot.meshtech.routes import absolute_url
from bot.network import DIRECT, Network

log = logging.getLogger(__name__)

LOG_IN_PATH = "/api/v1/auth/login"
REFRESH_AFTER = timedelta(minutes=25)  # a token lives 30 minutes
REFRESH_BEFORE = timedelta(minutes=5)  # its own end
REFUSED_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30))
UNREACHABLE_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 16, 30))
LOG_IN_WITHIN = timedelta(seconds=20)

_ACCOUNT = "MESHBOT_MESHTECH__USERNAME and MESHBOT_MESHTECH__PASSWORD"
# h11 quotes a header it cannot send in its error, so what is no token never becomes a header.
_SENDABLE = re.compile(r"[\x21-\x7e]{1,65536}")


class Secret:
    """A text that shows itself to nobody by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class AuthState(StrEnum):
    NOT_LOGGED_IN = "not logged in yet"
    LOGGED_IN = "logged in"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class AuthStatus:
    """How the shared log-in fares: since when, when it is tried next, and what went wrong last."""

    state: AuthState
    since: datetime
    next_try: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Token:
    secret: Secret
    refresh_at: datetime
    expires_at: datetime


class _LogInAnswer(msgspec.Struct, rename="camel"):
    status: str | None = None
    auth_token: str | None = None

    def __repr__(self) -> str:
        return "_LogInAnswer(…)"


class MeshtechAuth(httpx.Auth):
    """Signs requests with the shared token, and replaces it before it ends or when it is refused."""

    def __init__(
        self,
        auth_url: str,
        username: str,
        password: str,
        *,
        now: Callable[[], datetime],
        network: Network = DIRECT,
        within: timedelta = LOG_IN_WITHIN,
    ) -> None:
        self._url = absolute_url(auth_url, "MESHBOT_MESHTECH__AUTH_URL") + LOG_IN_PATH
        self._host = httpx.URL(self._url).host
        self._username = username
        self._password = Secret(password)
        self._now = now
        # The whole log-in has a deadline: httpx's own starts anew with every byte.
        self._within = within.total_seconds()
        self._network = network
        self._http = new_client(network, timeout=None)
        self._token: _Token | None = None
        self._logging_in: asyncio.Task[None] | None = None
        self._failures: dict[AuthState, int] = {}
        self._status = AuthStatus(AuthState.NOT_LOGGED_IN, now())
        self._doubts = _Doubts()

    def __repr__(self) -> str:
        return f"MeshtechAuth({self._host}, {self._status.state})"

    def status(self) -> AuthStatus:
        return self._status

    async def aclose(self) -> None:
        if self._logging_in is not None:
            self._logging_in.cancel()
            await asyncio.wait([self._logging_in])
        await self._http.aclose()

    def redact(self, text: str) -> str:
        """The text without password and token, should the vendor quote them."""
        for secret in (self._password, self._token and self._token.secret):
            if secret and secret.reveal():
                text = text.replace(secret.reveal(), "…")
        return text

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign, send, and once more with a new token after a 401. No lock is held across a ``yield``."""
        token = await self._valid_token()
        _sign(request, token)
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            if self._doubts.settled_by(request, token):
                self._doubts = _Doubts()
            return
        if token is self._token and self._doubts.forbid_log_in(self._now()):
            return
        token = await self._valid_token(refused=token)
        _sign(request, token)
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._doubts.refused(request, token, self._now())
        else:
            self._doubts = _Doubts()

    async def _valid_token(self, refused: _Token | None = None) -> _Token:
        """The shared token; logs in when there is none, when it is old, or when it is the refused one."""
        token = self._token
        if token is None or token is refused or self._now() >= token.refresh_at:
            await self._log_in_once()
            token = self._token
        # A refresh that failed leaves the old token, which may have minutes to live.
        if token is None or token is refused or self._now() >= token.expires_at:
            raise self._complaint()
        return token

    async def _log_in_once(self) -> None:
        """Wait for the log-in under way, or start one, unless it is too early for another."""
        task = self._logging_in
        if task is None:
            if _is_ahead(self._status.next_try, self._now()):
                return
            task = self._logging_in = asyncio.create_task(self._log_in(), name="meshtech-log-in")
            task.add_done_callback(self._logged_in)
        await asyncio.shield(task)

    def _logged_in(self, task: asyncio.Task[None]) -> None:
        self._logging_in = None
        if not task.cancelled():
            task.exception()  # seen, even when every waiter is gone

    async def _log_in(self) -> None:
        try:
            async with asyncio.timeout(self._within):
                answer = await exchange(
                    self._http,
                    self._http.build_request(
                        "POST",
                        self._url,
                        content=msgspec.json.encode(
                            {"username": self._username, "password": self._password.reveal()}
                        ),
                        headers={"Content-Type": "application/json", "Accept": "application/json"},
                    ),
                )
        except (httpx.HTTPError, TimeoutError) as error:
            self._failed(
                AuthState.UNREACHABLE, f"it gave no answer ({self._network.fault(error, self._url)})"
            )
            return
        self._take_answer(answer)

    def _take_answer(self, answered: Answer) -> None:
        if answered.status == httpx.codes.TOO_MANY_REQUESTS or answered.status >= 500:
            pause = retry_after(answered.headers, self._now())
            self._failed(AuthState.UNREACHABLE, f"it answered {answered.status}", pause)
            return
        if not answered.is_success:
            elsewhere = 300 <= answered.status < 400 or answered.status in (404, 405)
            hint = " (is MESHBOT_MESHTECH__AUTH_URL right?)" if elsewhere else ""
            self._failed(AuthState.REFUSED, f"it answered {answered.status}{hint}")
            return
        try:
            answer = msgspec.json.decode(answered.body, type=_LogInAnswer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._failed(AuthState.UNREACHABLE, "its answer is not the JSON that was agreed on")
            return
        # A status beside a usable token is only a word; without a token it says why.
        if not answer.auth_token or not _SENDABLE.fullmatch(answer.auth_token):
            word = re.sub(r"[^A-Za-z0-9 _-]", "", self.redact(answer.status or "no status"))[:40]
            self._failed(AuthState.REFUSED, f"it answered {word} without a token")
            return
        now = self._now()
        self._token = _token(Secret(answer.auth_token), now)
        self._failures.clear()
        since = self._status.since if self._status.state is AuthState.LOGGED_IN else now
        self._status = AuthStatus(AuthState.LOGGED_IN, since)

    def _failed(self, state: AuthState, why: str, pause: timedelta | None = None) -> None:
        """``pause`` is what the vendor asks for: kept, but not for ever."""
        delays = REFUSED_DELAYS if state is AuthState.REFUSED else UNREACHABLE_DELAYS
        count = self._failures[state] = self._failures.get(state, 0) + 1
        now = self._now()
        wanted = min(pause or timedelta(), REFUSED_DELAYS[-1])
        next_try = now + max(delays[min(count, len(delays)) - 1], wanted)
        since = self._status.since if self._status.state is state else now
        self._status = AuthStatus(state, since, next_try, why)
        log.warning("log-in at %s failed: %s; next try at %s", self._host, why, next_try.isoformat())

    def _complaint(self) -> MeshtechError:
        status = self._status
        why = status.last_error or "its tokens end at once"
        when = f"{status.next_try:%H:%M:%S} UTC" if status.next_try else "the next request"
        if status.state is AuthState.REFUSED:
            return LogInRefused(
                f"Meshtech refused the bot's log-in: {why}. An administrator should check "
                f"{_ACCOUNT}; the next try is at {when}.",
                status.next_try,
            )
        return LogInUnreachable(
            f"Meshtech's log-in at {self._host} does not work now: {why}. Nothing was changed; "
            f"try again after {when}.",
            status.next_try,
        )


class _Doubts:
    """Fresh tokens that were refused: they limit log-ins after a 401, and nothing else.

    An account may log in and still be refused, for one operation or for all. Each such request would
    otherwise cause a log-in. The token is still used meanwhile, since other operations may accept it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._token: _Token | None = None
        self._target = ""
        self._until: datetime | None = None

    def forbid_log_in(self, now: datetime) -> bool:
        return _is_ahead(self._until, now)

    def refused(self, request: httpx.Request, token: _Token, now: datetime) -> None:
        if token is self._token:
            return  # many requests, one token, one refusal
        self._token, self._target = token, _target(request)
        self._until = now + REFUSED_DELAYS[min(self._count, len(REFUSED_DELAYS) - 1)]
        self._count += 1

    def settled_by(self, request: httpx.Request, token: _Token) -> bool:
        """Whether what was refused with this token is accepted with it now."""
        return token is self._token and _target(request) == self._target


def _is_ahead(moment: datetime | None, now: datetime) -> bool:
    """Whether it is still to come; what is further away than any pause was set by a clock set back since."""
    return moment is not None and timedelta() < moment - now <= REFUSED_DELAYS[-1]


def _target(request: httpx.Request) -> str:
    return f"{request.method} {request.url.path}"


def _sign(request: httpx.Request, token: _Token) -> None:
    request.headers["Authorization"] = f"Bearer {token.secret.reveal()}"


def _token(secret: Secret, now: datetime) -> _Token:
    life = _life(secret, now)
    if life is None:
        return _Token(secret, now + REFRESH_AFTER, now + REFRESH_AFTER + REFRESH_BEFORE)
    until_refresh = life - REFRESH_BEFORE
    if until_refresh < timedelta(minutes=1):
        until_refresh = life / 2  # a token that short would never be used
    return _Token(secret, now + min(REFRESH_AFTER, until_refresh), now + life)


def _life(secret: Secret, now: datetime) -> timedelta | None:
    """How long the JWT itself says it lives; None when it does not say.

    Measured from its own ``iat`` where our clock is ahead of the vendor's so far that ``exp`` lies behind us.
    """
    claims = _claims(secret)
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int | float):
        return None
    try:
        left = expires - now.timestamp()
        if left <= 0 and isinstance(issued, int | float):
            left = expires - issued
    except OverflowError:  # an integer of hundreds of digits
        return None
    return timedelta(seconds=min(left, 10**8)) if left > 0 else None


def _claims(secret: Secret) -> dict[str, object]:
    """The JWT's claims, unverified: they only tell when to ask for the next one."""
    part = secret.reveal().split(".")[1:2]
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part[0] + "=" * (-len(part[0]) % 4)))
    except (IndexError, binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
