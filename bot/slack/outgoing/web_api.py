"""Slack's Web API: one call, one answer, every failure as one error that tells whether it may have worked.

Nothing here sleeps unless it is asked to (``patient``): a wait must never stand between a click and its
modal. The connection pool is shared and belongs to the caller.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import StartupError, Unavailable
from bot.network import DIRECT, Network
from bot.services.shared_work import Shared
from bot.slack.outgoing.api_methods import METHODS
from bot.slack.outgoing.newer_blocks import NewerBlocks
from bot.slack.views.blocks import File, typeset

log = logging.getLogger(__name__)

_SLACKS: Final = re.compile(r"([a-z0-9-]+\.)*slack(-gov)?\.com")  # no user info and no port
Json = dict[str, Any]
Sleep = Callable[[float], Awaitable[None]]

NO_ANSWER: Final = "no_answer"  # the connection broke or timed out: the call may have been carried out
UNREACHABLE: Final = "unreachable"  # no connection came about: the call was never made
BROKEN: Final = "server_error"  # an answer that is none: 5xx, or no JSON; it may have been carried out too
RATE_LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
UNSURE: Final = frozenset({NO_ANSWER, BROKEN, "fatal_error", "internal_error", "request_timeout"})
BAD_TOKEN: Final = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
    }
)
BAD_BLOCKS: Final = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"}
)
NO_PLACE: Final = frozenset(
    {
        "cannot_dm_bot",
        "channel_is_archived",
        "channel_not_found",
        "is_archived",
        "is_inactive",
        "messages_tab_disabled",
        "no_permission",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_only_channel",
        "user_disabled",
        "user_not_found",
    }
)
GONE: Final = frozenset(
    {"cant_update_message", "edit_window_closed", "message_not_found", "thread_not_found"}
)
BOT_TOKEN: Final = "MESHBOT_SLACK__BOT_TOKEN"  # noqa: S105 - the name of a setting
APPS: Final = "https://api.slack.com/apps"
_TOKEN_ADVICE: Final[Mapping[str, str]] = {
    "token_expired": "the app rotates its tokens, each of which lasts twelve hours, and that cannot be "
    "switched off for an app. Make another from the output of `meshbot manifest`, install it, set its token "
    "and start the bot again",
    "token_revoked": f"it was revoked. Reinstall the app at {APPS}, set the new token and start the bot "
    "again",
    "account_inactive": "the app was removed from the workspace, or the workspace is closed. Install the app "
    f"again at {APPS}, set the new token and start the bot again",
    "not_authed": "it did not reach Slack. See whether the setting is empty, or a proxy on the way takes the "
    "Authorization header away",
}
# What aiohttp raises before anything of the request is on its way; the last where the proxy leads nowhere.
NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)
_PATIENCE: Final = 4  # tries of a patient call
_BACK_OFF: Final = 0.5  # seconds after its first failure
_LONGEST_WAIT = 60.0
_NAMES_KEPT: Final = timedelta(minutes=10)  # of channels; Slack tells of fifty a minute
_LONGEST_PAUSE = 3600.0  # that is believed; a number without sense would silence the bot for years


class SlackFailed(Unavailable):
    """A call that Slack refused or did not answer. ``code`` is Slack's own word for it."""

    def __init__(self, method: str, code: str, *, retry_after: float | None = None, detail: str = "") -> None:
        super().__init__(_sentence(method, code, detail))
        self.method = method
        self.code = code
        self.retry_after = retry_after
        self.detail = detail

    @property
    def is_rate_limit(self) -> bool:
        return self.code in RATE_LIMITED

    @property
    def may_have_worked(self) -> bool:
        return self.code in UNSURE

    @property
    def is_passing(self) -> bool:
        """Whether the same call may well succeed in a moment."""
        return self.is_rate_limit or self.may_have_worked or self.code == UNREACHABLE


class WebApi:
    """The methods of the Web API by name. ``scopes`` are those granted, known after ``auth_test``."""

    def __init__(
        self,
        token: str,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        command: str,
        network: Network = DIRECT,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.session = session
        self.command = command
        self.base_url = base_url
        self.scopes: frozenset[str] = frozenset()
        self.server_time: datetime | None = None  # Slack's own, when it last answered auth.test
        self.refused: str | None = None
        """What to do about the bot token, from when Slack takes it no more until it does again."""
        self._taken = False
        self.network = network
        self._sleep = sleep
        # The SDK's own retry repeats a POST after a broken connection, which would post twice.
        self.client = AsyncWebClient(
            token=token,
            base_url=base_url,
            session=session,
            ssl=network.trust(),  # the sockets take theirs from here
            retry_handlers=[],
            logger=quiet_logger(),
        )
        # The SDK takes the environment's, whatever NO_PROXY says.
        self.client.proxy = network.proxy_for_aiohttp(base_url)
        self.newer_blocks = NewerBlocks()
        self._direct: dict[str, str] = {}
        self._names: Shared[str] = Shared(lambda: datetime.now(UTC), _NAMES_KEPT)

    def is_slacks(self, url: str) -> bool:
        """Whether an address that a payload names is one of Slack's, or of the configured base."""
        try:
            named, base = urlsplit(url), urlsplit(self.base_url)
        except ValueError:
            return False
        if (named.scheme, named.netloc) == (base.scheme, base.netloc):
            return True
        return named.scheme == "https" and bool(_SLACKS.fullmatch(named.netloc))

    async def call(self, method: str, *, token: str | None = None, **arguments: Any) -> Json:
        """One call of one of ``METHODS``. Raises SlackFailed. Arguments that are None are left out."""
        given = {key: value for key, value in arguments.items() if value is not None}
        given = typeset(given, self.command)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        sent: Json = {"data": _form(given)} if METHODS[method].form else {"json": given}
        try:
            answer = await self.client.api_call(method, headers=headers, **sent)
        except SlackApiError as error:
            failed = _failed(method, error)
            if token is None and failed.code in BAD_TOKEN:
                self._refuse(failed)
            raise failed from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = self.network.fault(error, self.base_url)
            raise SlackFailed(method, _lost(error), detail=why) from error
        data = answer.data
        if not isinstance(data, dict):
            raise SlackFailed(method, BROKEN, detail="no JSON")
        if token is None:
            self._taken = True
            if self.refused is not None:
                log.warning("Slack takes the bot token again")
                self.refused = None
        if method == "auth.test":
            self.scopes = _scopes(answer.headers)
            self.server_time = _date(answer.headers)
        return data

    def _refuse(self, error: SlackFailed) -> None:
        """Told once, however many calls fail by it. A token that never worked keeps the bot from starting."""
        if self._taken and self.refused is None:
            self.refused = str(refused_token(error, BOT_TOKEN))
            log.critical("%s Until then nothing is shown in Slack, and nobody is known.", self.refused)

    async def patient(self, method: str, **arguments: Any) -> Json:
        """As ``call``, for background work: waits as long as Slack asks and tries again, a few times.

        So it does without an answer, unless the call may have been carried out, and twice is once too often.
        """
        for attempt in range(_PATIENCE - 1):
            try:
                return await self.call(method, **arguments)
            except SlackFailed as error:
                if not error.is_passing or (error.may_have_worked and METHODS[method].once):
                    raise
                await self.rest(error, attempt)
        return await self.call(method, **arguments)

    async def rest(self, error: SlackFailed, attempt: int) -> None:
        """Waits before the next try: as long as Slack asks, else longer each time."""
        wait = error.retry_after or (1.0 if error.is_rate_limit else _BACK_OFF * 2.0**attempt)
        await self._sleep(min(wait, _LONGEST_WAIT))

    async def may_post(self, channel: str) -> bool:
        """Whether the bot is a member there; where Slack does not say, the post itself will tell."""
        try:
            found = (await self.call("conversations.info", channel=channel))["channel"]
        except SlackFailed as error:
            return error.code != "channel_not_found"
        is_member = found.get("is_member") or found.get("is_im") or found.get("is_mpim")
        return bool(is_member) and not found.get("is_archived")

    async def is_shared_outside(self, channel: str) -> bool:
        """Whether people of other organisations read along there; not, where Slack does not say."""
        try:
            found = (await self.call("conversations.info", channel=channel))["channel"]
        except SlackFailed as error:
            log.info("whether %s is shared is not known: %s", channel, error.code)
            return False
        return bool(found.get("is_ext_shared") or found.get("is_pending_ext_shared"))

    async def channel_names(self, channels: Sequence[str]) -> Mapping[str, str]:
        """How each is called, or was within ten minutes; those of which Slack does not tell are left out."""
        names = await asyncio.gather(*map(self._channel_name, channels))
        return {channel: name for channel, name in zip(channels, names, strict=True) if name}

    async def _channel_name(self, channel: str) -> str:
        async def ask() -> str:
            return str((await self.call("conversations.info", channel=channel))["channel"].get("name") or "")

        try:
            return await self._names.get(channel, ask)
        except SlackFailed as error:
            log.info("how %s is called is not known: %s", channel, error.code)
            return ""

    async def direct_channel(self, user_id: str) -> str:
        """The channel of somebody's direct messages, which files need; asked for once."""
        if user_id not in self._direct:
            opened = await self.patient("conversations.open", users=user_id)
            self._direct[user_id] = str(opened["channel"]["id"])
        return self._direct[user_id]

    async def send_file(self, channel: str, file: File, thread_ts: str | None = None) -> str:
        """Uploads a file and shows it in a channel (not a user id), or in a thread there; returns its id."""
        return await self._send_file(file, channel_id=channel, thread_ts=thread_ts)

    async def upload(self, file: File) -> str:
        """Uploads a file that an image block shows; returns its id."""
        return await self._send_file(file)

    async def _send_file(self, file: File, **where: str | None) -> str:
        target = await self.patient(
            "files.getUploadURLExternal",
            filename=file.name,
            length=len(file.content),
            alt_txt=" ".join(file.alt.split()) or None,
        )
        file_id = str(target["file_id"])
        await self._upload(str(target["upload_url"]), file.name, file.content)
        await self.patient(
            "files.completeUploadExternal", files=[{"id": file_id, "title": file.title}], **where
        )
        return file_id

    async def _upload(self, url: str, name: str, content: bytes) -> None:
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name, content_type="application/octet-stream")
        try:
            proxy = self.network.proxy_for_aiohttp(url)
            async with self.session.post(url, data=form, proxy=proxy) as answer:
                if answer.status != 200:
                    raise SlackFailed("files.upload", BROKEN, detail=f"HTTP {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = self.network.fault(error, url)
            raise SlackFailed("files.upload", NO_ANSWER, detail=why) from error


def new_session(network: Network = DIRECT) -> aiohttp.ClientSession:
    """One pool for everything. The SDK opens a connection for each call unless it is given one."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=30, connect=10),
        connector=aiohttp.TCPConnector(limit=50, limit_per_host=20, ssl=network.trust()),
        trust_env=False,
    )


def quiet_logger() -> logging.Logger:
    """The logger of the SDK and of Bolt: at INFO they log whole requests, at NOTSET they format them too."""
    logger = logging.getLogger("bot.slack.sdk")
    logger.setLevel(logging.WARNING)
    return logger


def refused_token(error: SlackFailed, variable: str) -> StartupError:
    """What a token that Slack does not take means for whoever runs the bot."""
    do = _TOKEN_ADVICE.get(
        error.code, f"copy it again from the app's page at {APPS}, and reinstall the app if it was removed"
    )
    return StartupError(f"Slack does not accept {variable} ({error.code}): {do}.")


def _failed(method: str, error: SlackApiError) -> SlackFailed:
    response = error.response
    status = getattr(response, "status_code", 0)
    data: Any = getattr(response, "data", None)
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    body: Mapping[str, Any] = data if isinstance(data, dict) else {}
    if status == 429:
        return SlackFailed(method, "ratelimited", retry_after=_seconds(headers.get("Retry-After")))
    code = str(body.get("error") or BROKEN)
    if status >= 500 and code not in UNSURE:
        code = BROKEN  # whatever it says: Slack itself is in trouble
    messages = (body.get("response_metadata") or {}).get("messages") or []
    detail = str(
        body.get("needed") or "; ".join(map(str, messages)) or (f"HTTP {status}" if code == BROKEN else "")
    )
    retry_after = _seconds(headers.get("Retry-After")) if code in RATE_LIMITED else None
    return SlackFailed(method, code, retry_after=retry_after, detail=detail)


def _form(arguments: Json) -> dict[str, str]:
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in arguments.items()
    }


def _lost(error: Exception) -> str:
    return UNREACHABLE if isinstance(error, NEVER_SENT) else NO_ANSWER


def _seconds(header: str | None) -> float:
    try:
        return min(max(0.0, float(header or 1)), _LONGEST_PAUSE)
    except ValueError:
        return 1.0


def _scopes(headers: Mapping[str, str]) -> frozenset[str]:
    text = next((value for key, value in headers.items() if key.lower() == "x-oauth-scopes"), "")
    return frozenset(scope.strip() for scope in text.split(",") if scope.strip())


def _date(headers: Mapping[str, str]) -> datetime | None:
    text = next((value for key, value in headers.items() if key.lower() == "date"), "")
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def _sentence(method: str, code: str, detail: str) -> str:
    if code == "missing_scope":
        return f"The Slack app lacks the scope {detail}: whoever runs the bot adds it and reinstalls the app."
    if "trigger" in code:  # expired, used up or unknown; Slack's pages know several words for each
        return "Slack waited too long for me to open that dialog. Please try again."
    if code in {"channel_not_found", "not_in_channel"}:
        return "I am not a member of that channel: invite me there with /invite, then try again."
    if code in RATE_LIMITED:
        return "Slack asks me to slow down. Please try again in a minute."
    return f"Slack did not do what I asked of it ({method}: {code}). Please try again in a minute."
