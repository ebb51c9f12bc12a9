"""Looks in a channel's history for what was posted though its answer was lost, where the app may read it."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.slack.outgoing.web_api import UNREACHABLE, SlackFailed, WebApi
from bot.slack.views.blocks import File

# Our clock may be that far ahead of Slack's: a post from before the search begins would be made twice.
_SKEW = timedelta(minutes=15)
_PAGES = 5
_HISTORY = frozenset({"channels:history", "groups:history"})


class _Untold(Exception):
    """Slack does not tell, now or ever."""


async def find_post(
    api: WebApi, what: str, uid: str, channel: str, thread_ts: str | None, since: datetime
) -> str | None:
    """The ts of a post whose answer was lost; "" when it is not there, None when Slack does not tell."""
    oldest = f"{(since - _SKEW).timestamp():.6f}"
    try:
        async for one in _messages(api, channel, thread_ts, oldest):
            if ((one.get("metadata") or {}).get("event_payload") or {}).get(what) == uid:
                return str(one["ts"])
    except _Untold:
        return None
    return ""


async def missing_files(
    api: WebApi, files: Sequence[File], channel: str, thread_ts: str, after: str
) -> Sequence[File]:
    """Those that the thread should show after that message and does not; all when Slack does not tell."""
    if not files:
        return ()
    try:
        messages = [one async for one in _messages(api, channel, thread_ts, after)]
    except _Untold:
        return files
    shown = {file.get("name") for one in messages for file in one.get("files") or ()}
    return [one for one in files if one.name not in shown]


def is_told(api: WebApi, channel: str) -> bool:
    """Whether the app may look at what stands there."""
    return bool(api.scopes & _HISTORY) and not channel.startswith(("U", "W", "D"))


async def _messages(
    api: WebApi, channel: str, thread_ts: str | None, oldest: str
) -> AsyncIterator[dict[str, Any]]:
    """What a channel, or a thread in it, shows since then. Raises _Untold, or SlackFailed for now."""
    if not is_told(api, channel):
        raise _Untold
    method = "conversations.replies" if thread_ts else "conversations.history"
    cursor: str | None = None
    for _ in range(_PAGES):
        try:
            page = await api.call(
                method,
                channel=channel,
                ts=thread_ts,
                oldest=oldest,
                limit=200,
                include_all_metadata=True,
                cursor=cursor,
            )
        except SlackFailed as error:
            if error.is_rate_limit or error.may_have_worked or error.code == UNREACHABLE:
                raise
            raise _Untold from error
        for one in page.get("messages") or ():
            yield one
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return
    raise _Untold
