"""What can be wrong in a text with Slack's markup (`mrkdwn`): bare characters, pings, broken dates and links.

Rules of docs.slack.dev/messaging/formatting-message-text. Pure functions; a problem is a sentence.
"""

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"<([^<>]*)>")
_BARE_AND = re.compile(r"&(?!(?:amp|lt|gt);)")
_QUOTE = re.compile(r"^>(?:>>)?", re.MULTILINE)
_PING = re.compile(r"<!(channel|here|everyone|group)(\|[^>]*)?>")
_PERSON = re.compile(r"@[UW][A-Z0-9]{5,}(\|[^|]*)?")
_CHANNEL = re.compile(r"#[CGD][A-Z0-9]{5,}(\|[^|]*)?")
_GROUP = re.compile(r"!subteam\^S[A-Z0-9]{5,}(\|[^|]*)?")
_LINK = re.compile(r"(https?://|mailto:|tel:|slack://)[^|\s]+(\|[^|]+)?")
_DATE = re.compile(
    r"!date\^(?P<at>-?\d+)\^(?P<shape>[^^|]*)(\^(?P<link>[^|]+))?\|(?P<fallback>.*)", re.DOTALL
)
_DATE_TOKENS = frozenset(
    f"{day}{pretty}" for day in ("date", "date_short", "date_long") for pretty in ("", "_pretty")
) | {"date_num", "time", "time_secs", "ago"}


def problems_of_mrkdwn(text: str) -> list[str]:
    """What is wrong with a text that Slack parses: the `text` of a message, or a `mrkdwn` object."""
    return [*_pings(text), *_tokens(text), *_bare(text)]


def problems_of_plain(text: str) -> list[str]:
    """What is wrong with a text that Slack shows as it is (`plain_text`, `raw_text`): visible markup."""
    found = list(_pings(text))
    if re.search(r"<(!date\^|!subteam\^|@[UW]|#C|https?://)", text):
        found.append(f"plain text would show its markup: {_short(text)}")
    return found


def _pings(text: str) -> Iterator[str]:
    for match in _PING.finditer(text):
        yield f"pings everybody with <!{match[1]}>"


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        inner = match[1]
        if _PING.fullmatch(match[0]):
            continue
        if inner.startswith("!date"):
            yield from _date(inner)
        elif not any(shape.fullmatch(inner) for shape in (_PERSON, _CHANNEL, _GROUP, _LINK)):
            yield f"<{_short(inner)}> is neither a mention, a date nor a link: escape it"


def _date(inner: str) -> Iterator[str]:
    match = _DATE.fullmatch(inner)
    if match is None:
        yield f"<{_short(inner)}> is not <!date^seconds^format|fallback>"
        return
    if len(match["at"]) > 10:
        yield f"<{_short(inner)}> counts no seconds (too many digits)"
    named = re.findall(r"\{([^}]*)\}", match["shape"])
    if not named or match["shape"].count("{") != len(named):
        yield f"<{_short(inner)}> names no token such as {{date_short}}"
    for name in named:
        if name not in _DATE_TOKENS:
            yield f"{{{name}}} is no date token"
    if not match["fallback"].strip():
        yield f"<{_short(inner)}> has no fallback text"


def _bare(text: str) -> Iterator[str]:
    if match := _BARE_AND.search(text):
        yield f"an & is not escaped: {_around(text, match.start())}"
    rest = _QUOTE.sub("", _TOKEN.sub("", text))
    for sign in "<>":
        if (at := rest.find(sign)) >= 0:
            yield f"a {sign} is not escaped: {_around(rest, at)}"


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 15) : at + 15])


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
