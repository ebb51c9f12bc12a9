"""Looks in a channel's history for a post whose answer was lost on the way, where the app may read it."""

from datetime import datetime, timedelta

from bot.slack.web_api import UNREACHABLE, SlackFailed, WebApi

_SKEW = timedelta(minutes=1)  # between our clock and Slack's
_PAGES = 5
_HISTORY = frozenset({"channels:history", "groups:history"})


async def find_post(
    api: WebApi, what: str, uid: str, channel: str, thread_ts: str | None, since: datetime
) -> str | None:
    """The ts of a post whose answer was lost; "" when it is not there, None when Slack does not tell."""
    if not api.scopes & _HISTORY or channel.startswith(("U", "W", "D")):
        return None
    method = "conversations.replies" if thread_ts else "conversations.history"
    cursor: str | None = None
    for _ in range(_PAGES):
        try:
            page = await api.call(
                method,
                channel=channel,
                ts=thread_ts,
                oldest=f"{(since - _SKEW).timestamp():.6f}",
                limit=200,
                include_all_metadata=True,
                cursor=cursor,
            )
        except SlackFailed as error:
            if error.is_rate_limit or error.may_have_worked or error.code == UNREACHABLE:
                raise
            return None
        for one in page.get("messages") or ():
            if ((one.get("metadata") or {}).get("event_payload") or {}).get(what) == uid:
                return str(one["ts"])
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return ""
    return None
