"""Block Kit as plain functions: the few blocks the bot uses, within Slack's limits, with names made harmless.

Every text that comes from outside passes ``escape`` or ``name``: a gateway called ``<!channel>`` pings
nobody, and one called ``*x*`` or ``:boom:`` is shown as it is written. The limits are those of
docs.slack.dev/reference/block-kit.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from bot.slack.ids import Ref

Block = dict[str, Any]
View = dict[str, Any]
Style = Literal["primary", "danger"]

MOST_TEXT: Final = 3900  # chat.update refuses a text above 4,000
MOST_BLOCKS: Final = 50
MOST_SIZE: Final = 10_000  # of all blocks as JSON; undocumented, 13,200 was seen to be refused
_MOST_SECTION, _MOST_FIELD, _MOST_CONTEXT, _MOST_LIST = 3000, 2000, 2000, 2800

# Slack has no way to escape * _ ~ ` and :, so a character without width keeps each from being a mark.
# Those who paste a name back into a command lose it again (bot/slack/commands.py).
BREAK: Final = "\N{WORD JOINER}"
# Controls, invisible characters and those that turn the direction of writing: none belongs in a name.
_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_MARK = re.compile(r"[*~`]|(?<!\w)_|_(?!\w)|:(?=[^\s:]+:)|(?:^|(?<=\n))>")
_OWN_MARK = re.compile(rf"(?<!{BREAK})(?:`([^`\n]*)`|[*`~])(?!{BREAK})")
_USER = re.compile(r"[UW][A-Z0-9]{1,30}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{1,30}")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
COMMAND: Final = "/mesh"
_HINT = re.compile(rf"(?<![\w/]){COMMAND}(?= [a-z])")
# A length or a share, but not in what is meant to be copied, nor in a date that Slack writes.
_AMOUNT = re.compile(
    r"(?P<kept>`[^`\n]*`|<[^<>\n]*>)|\d (?:d|h|min|s|%)(?!\w)(?: \d+ (?:h|min|s)(?!\w))?",
)


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes with a note, into its thread. ``alt`` says what a picture shows."""

    name: str
    content: bytes
    title: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: ``text`` says the whole of it in plain words, for screen readers; blocks show it.

    ``pictures`` are shown below the blocks of a note; where Slack does not take them there, in its thread.
    ``newer`` is the same as the blocks with those that not every workspace takes.
    ``is_over``: a card that nobody has seen yet need not be posted any more, a live note is not edited again.
    """

    text: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    files: Sequence[File] = ()
    pictures: Sequence[File] = ()
    newer: Sequence[Block] = ()
    is_over: bool = False


def message(
    text: str,
    blocks: Sequence[Block] = (),
    files: Sequence[File] = (),
    pictures: Sequence[File] = (),
    newer: Sequence[Block] = (),
) -> Message:
    """A message within Slack's limits. ``text`` may hold ``escape``d names, dates and our own marks."""
    return Message(plain(text), fit(blocks), tuple(files), tuple(pictures), tuple(newer))


def sentence(text: str) -> Message:
    """A message that says one thing; ``text`` comes from outside and is escaped, as an error's is."""
    said = escape(text)
    return Message(plain(said), (section(said),))


# ---- texts
def escape(text: str) -> str:
    """Text from outside, made to be shown exactly as it is written, wherever Slack reads mrkdwn."""
    return _MARK.sub(_broken, _UNSEEN.sub("", text)).translate(_ENTITIES)


def name(text: str | None, limit: int = 60) -> str:
    """A name from outside on one line, cut to ``limit`` characters and escaped; "(no name)" for none."""
    line = _one_line(text or "")
    return escape(_shorten(line, limit)) if line else "(no name)"


def plain_name(text: str, limit: int = 40) -> str:
    """As ``name``, for plain text, which takes no escapes: cut, so that what follows it is not cut off."""
    return _shorten(_one_line(text), limit)


def code(text: str, limit: int = 60) -> str:
    """An id or a query from outside, set in a fixed width."""
    line = _shorten(_one_line(text), limit).replace("`", "'")
    return f"`{line.translate(_ENTITIES)}`" if line else "(empty)"


def mention(user_id: str) -> str:
    """Somebody by name, as Slack shows it; an id that is none is shown as it is."""
    return f"<@{user_id}>" if _USER.fullmatch(user_id) else escape(user_id)


def mentions(ids: Iterable[str]) -> str:
    """People and user groups, who are all rung at."""
    return " ".join(f"<!subteam^{one}>" if one.startswith("S") else mention(one) for one in ids)


def channel(channel_id: str) -> str:
    """A channel by name, as Slack shows it; an id that is none is shown as it is."""
    if channel_id.startswith("D"):
        return "a direct message"
    return f"<#{channel_id}>" if _CHANNEL.fullmatch(channel_id) else name(channel_id)


def bold(text: str) -> str:
    """Words of ours, or an escaped name, in bold."""
    return f"*{text}*"


def plain(text: str, limit: int = MOST_TEXT) -> str:
    """The ``text`` of a message: without our own marks, which a screen reader would spell out, and cut."""
    return _cut(_OWN_MARK.sub(_spoken, text), limit)


def date(moment: datetime) -> str:
    """A moment, for each reader in their own time zone. Not for plain_text, which would show the markup."""
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{time}}|{utc(moment)}>"


def utc(moment: datetime) -> str:
    """A moment where Slack renders no dates: buttons, titles, files."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """``1 h 5 min``: the two largest units; ``0 s`` for nothing or less."""
    seconds = max(0, int(length.total_seconds()))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for place, (unit, size) in enumerate(units):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            smaller = units[place + 1] if place + 1 < len(units) else None
            tail = f" {rest // smaller[1]} {smaller[0]}" if smaller and rest // smaller[1] else ""
            return f"{whole} {unit}{tail}"
    return "0 s"


def ago(length: timedelta) -> str:
    """``20 s ago``, or ``just now``."""
    return f"{duration(length)} ago" if length >= timedelta(seconds=1) else "just now"


def count(number: int, thing: str, things: str = "") -> str:
    """``1 gateway``, ``38 gateways``, ``1,200 gateways``; ``things`` where the plural has no plain s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def progress_bar(done: int, total: int, width: int = 10) -> str:
    """``▰▰▰▱▱▱▱▱▱▱ 30 %, 3 of 10``: full, and 100 %, only when all is done, empty only when nothing is."""
    done = min(max(done, 0), total)
    full = width if done >= total else done * width // total
    percent = 100 * done // total if total else 100
    if 0 < done < total:
        full, percent = min(max(full, 1), width - 1), max(percent, 1)
    return f"{'▰' * full}{'▱' * (width - full)} {percent} %, {done:,} of {total:,}"


_EMOJI: Mapping[str, str] = {
    "online": "🟢",
    "offline": "🔴",
    "unknown": "⚪",
    "flapping": "🟡",
    "updating": "🔄",
    "running": "🔄",
    "waiting": "⏳",
    "paused": "⏸️",
    "done": "✅",
    "ended": "🏁",
    "approved": "✅",
    "failed": "❌",
    "denied": "🚫",
    "warning": "⚠️",
    "stopped": "🛑",
    "silenced": "🔕",
    "maintenance": "🔧",
    "acknowledged": "👀",
    "resolved": "✅",
    "frozen": "🧊",
}


def status(word: str, kind: str | None = None) -> str:
    """An emoji and the word, since colour alone says nothing to many. ``kind`` picks another word's emoji."""
    return f"{_EMOJI.get(kind or word, '⚪')} {word}"


def nothing_matches() -> str:
    """Said of a query that was accepted, and may hold a slip."""
    return f"{status('No gateway', 'warning')} matches now. Please look at the query if that is a surprise."


# ---- blocks
def section(text: str, accessory: Block | None = None, block_id: str | None = None) -> Block:
    """A paragraph of mrkdwn; one that is too long is cut at 3,000 characters."""
    block: Block = {"type": "section", "text": _mrkdwn(text, _MOST_SECTION)}
    return block | given(accessory=accessory, block_id=block_id)


def fields(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    """Labels of ours with their values (escaped by the caller), two to a row."""
    cells = [_mrkdwn(f"*{label}*\n{value}", _MOST_FIELD) for label, value in pairs]
    return [{"type": "section", "fields": cells[at : at + 10]} for at in range(0, len(cells), 10)]


def lines(texts: Iterable[str]) -> list[Block]:
    """A list, one line each, in as few sections as it needs: for rows of gateways."""
    packed: list[str] = []
    for text in texts:
        line = _cut(text, _MOST_LIST)
        if packed and len(packed[-1]) + len(line) < _MOST_LIST:
            packed[-1] += "\n" + line
        else:
            packed.append(line)
    return [section(text) for text in packed]


def context(*texts: str) -> Block:
    """Small print; at most 10 texts."""
    return {"type": "context", "elements": [_mrkdwn(text, _MOST_CONTEXT) for text in texts[:10]]}


def header(text: str) -> Block:
    """A heading; plain text, so a name in it needs no ``escape``, and must not have been given one."""
    return {"type": "header", "text": plain_text(text, 150)}


def divider() -> Block:
    return {"type": "divider"}


def image(alt: str, *, url: str | None = None, file_id: str | None = None, title: str | None = None) -> Block:
    """A picture from an address or an uploaded file; ``alt`` says what it shows."""
    block: Block = {"type": "image", "alt_text": _shorten(_one_line(alt), 2000) or "picture"}
    block |= {"slack_file": {"id": file_id}} if file_id else {"image_url": url}
    return block | ({"title": plain_text(title, 150)} if title else {})


def actions(*elements: Block | None, block_id: str | None = None) -> list[Block]:
    """A row of buttons and menus, the absent ones left out; no block at all when none is left."""
    present = [element for element in elements if element is not None]
    if not present:
        return []
    return [{"type": "actions", "elements": present[:25]} | given(block_id=block_id)]


def button(
    text: str,
    action_id: str,
    ref: Ref | None = None,
    *,
    style: Style | None = None,
    confirm: Block | None = None,
    label: str | None = None,
) -> Block:
    """A button. ``label`` is what a screen reader says instead of a short or repeated text."""
    block: Block = {"type": "button", "text": plain_text(text, 75), "action_id": action_id}
    spoken = _shorten(_one_line(label), 75) if label else None
    return block | given(
        value=str(ref) if ref else None, style=style, confirm=confirm, accessibility_label=spoken
    )


def confirm(title: str, text: str, yes: str, no: str = "Go back", *, danger: bool = False) -> Block:
    """Asked before a click counts. ``text`` names the thing (plain text, not escaped); ``yes`` is a verb."""
    return {
        "title": plain_text(title, 100),
        "text": plain_text(text, 300),
        "confirm": plain_text(yes, 30),
        "deny": plain_text(no, 30),
    } | given(style="danger" if danger else None)


def menu(
    action_id: str, placeholder: str, options: Sequence[tuple[str, str]], initial: str | None = None
) -> Block:
    """A choice among (value, text) pairs, at most 100, each value within 150 characters."""
    choices = [_option(value, text) for value, text in options[:100]]
    chosen = next((one for one in choices if one["value"] == initial), None)
    block: Block = {
        "type": "static_select",
        "action_id": action_id,
        "placeholder": plain_text(placeholder, 150),
    }
    return block | {"options": choices} | given(initial_option=chosen)


# ---- limits
def fit(blocks: Sequence[Block], *, most: int = MOST_BLOCKS, size: int = MOST_SIZE) -> list[Block]:
    """As many of the blocks as Slack takes, and a line that says how many are missing.

    The buttons and small print at the end stay; what stands before them goes first.
    """
    kept = list(blocks)
    sizes = [len(json.dumps(block, ensure_ascii=False)) for block in kept]
    if len(kept) <= most and sum(sizes) <= size:
        return kept
    end = len(kept)
    while end > 1 and len(kept) - end < 5 and kept[end - 1]["type"] in {"actions", "context"}:
        end -= 1
    head = end
    while head > 0 and (
        head + 1 + len(kept) - end > most or sum(sizes[:head]) + sum(sizes[end:]) + 200 > size
    ):
        head -= 1
    left = count(end - head, "part is", "parts are")
    return [
        *kept[:head],
        context(f"… {left} left out here: Slack takes no more in one message."),
        *kept[end:],
    ]


# ---- on the way out
def typeset(sent: Any, command: str) -> Any:
    """What is sent to Slack: the workspace's own command in its hints, and no unit away from its number.

    Every hint is written with ``/mesh``, also in the domain, which does not know how the command is called;
    and every number is written with a plain space before its unit.
    Only what people read is touched, never what a button carries.
    """
    if isinstance(sent, Mapping):
        is_shown = sent.get("type") == "mrkdwn"
        return {key: _typeset(key, value, command, is_shown) for key, value in sent.items()}
    return [typeset(one, command) for one in sent] if isinstance(sent, list | tuple) else sent


def _typeset(key: str, value: Any, command: str, is_shown: bool) -> Any:
    if key == "errors":  # of a dialog: what is wrong with each input
        return {block_id: _HINT.sub(command, str(text)) for block_id, text in value.items()}
    if key == "text" and isinstance(value, str):
        text = _HINT.sub(command, value)
        return _AMOUNT.sub(_unbroken, text) if is_shown else text
    return typeset(value, command)


def _unbroken(match: re.Match[str]) -> str:
    return match[0] if match["kept"] else match[0].replace(" ", "\N{NO-BREAK SPACE}")


# ---- below: the small print of Block Kit
def _mrkdwn(text: str, limit: int) -> Block:
    # verbatim: Slack would otherwise make links and mentions of words that look like them
    return {"type": "mrkdwn", "text": _cut(text, limit) or " ", "verbatim": True}


def plain_text(text: str, limit: int) -> Block:
    """Without emoji, so that ``:boom:`` stays text; and what looks like a ping or a link is broken."""
    words = re.sub(r"<(?=[!@#a-zA-Z])", f"<{BREAK}", _one_line(text))
    return {"type": "plain_text", "text": _shorten(words, limit) or "…", "emoji": False}


def _option(value: str, text: str) -> Block:
    return {"text": plain_text(text, 75), "value": value}


def given(**values: Any) -> Block:
    """Those that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _broken(match: re.Match[str]) -> str:
    return f"{BREAK}{match[0]}{BREAK}"


def _spoken(match: re.Match[str]) -> str:
    """What stood in fixed width loses the marks around it, not the ones it shows (``name:MT*``)."""
    return _MARK.sub(_broken, match[1] or "")


def _clean(text: str) -> str:
    return _UNSEEN.sub("", text)


def _one_line(text: str) -> str:
    return " ".join(_clean(text.replace("\t", " ").replace("\r", " ")).split())


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


_PIECE = re.compile(r"<[^<>]*>|&(?:amp|lt|gt);|.", re.DOTALL)


def _cut(text: str, limit: int) -> str:
    """Cuts between entities, dates and mentions, never inside one."""
    if len(text) <= limit:
        return text
    length = 0
    for piece in _PIECE.finditer(text):
        if piece.end() > limit - 1:
            break
        length = piece.end()
    return text[:length].rstrip() + "…"
