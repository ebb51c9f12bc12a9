"""A message or a modal as text for a terminal: what a person would see, buttons as `[Approve]`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.demo.slack.elements import texts_of_rich_text
from bot.demo.slack.workspace import PostedMessage, View

Json = dict[str, Any]

_TOKEN = re.compile(r"<([^<>]*)>")
_WIDE = 72


def message_text(message: PostedMessage, names: Mapping[str, str] | None = None) -> str:
    """What a message shows; `names` maps ids of people, channels and groups to what stands there."""
    lines = list(_blocks(message.blocks, names or {})) or [readable(message.text, names)]
    lines += [f"(file: {file.name}, {file.length} bytes)" for file in message.files]
    return "\n".join(line for line in lines if line)


def view_text(view: View, names: Mapping[str, str] | None = None) -> str:
    """What a modal or a home tab shows, with its errors and its buttons."""
    lines = [f"== {readable(view.body['title']['text'], names)} =="] if view.body.get("title") else []
    for block in view.blocks:
        lines += _block(block, names or {})
        if error := view.errors.get(str(block.get("block_id"))):
            lines.append(f"  ! {error}")
    ends = [view.body[name]["text"] for name in ("close", "submit") if view.body.get(name)]
    return "\n".join([*lines, " ".join(f"[{end}]" for end in ends)]).rstrip()


def readable(text: str, names: Mapping[str, str] | None = None) -> str:
    """A text with Slack's markup as a person reads it: entities, mentions, dates and links resolved."""
    shown = _TOKEN.sub(lambda match: _token(match[1], names or {}), text.replace("\N{NO-BREAK SPACE}", " "))
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _token(inner: str, names: Mapping[str, str]) -> str:
    target, _, label = inner.partition("|")
    if label:
        return label
    if target.startswith("!subteam^"):
        return "@" + names.get(target.removeprefix("!subteam^"), target)
    if target[:1] in ("@", "#"):
        return target[0] + names.get(target[1:], target[1:])
    return "@" + target[1:] if target.startswith("!") else target


def _blocks(blocks: list[Json], names: Mapping[str, str]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block, names)


def _block(block: Json, names: Mapping[str, str]) -> list[str]:
    kind = block["type"]
    if kind == "divider":
        return ["─" * _WIDE]
    if kind == "header":
        return [_words(block["text"], names), "=" * min(_WIDE, len(block["text"]["text"]))]
    if kind == "section":
        return _section(block, names)
    if kind == "context":
        return ["  " + "  ".join(_words(one, names) for one in block["elements"])]
    if kind in ("actions", "context_actions"):
        return [" ".join(_element(one, names) for one in block["elements"])]
    if kind == "input":
        optional = " (optional)" if block.get("optional") else ""
        return [f"{_words(block['label'], names)}{optional}: {_element(block['element'], names)}"]
    if kind == "image":
        return [f"(picture: {block['alt_text']})"]
    if kind == "rich_text":
        return "".join(texts_of_rich_text(block)).splitlines()
    if kind in ("table", "data_table"):
        return _table(block)
    if kind in ("markdown", "alert"):
        words = block["text"]
        return [words if isinstance(words, str) else _words(words, names)]
    if kind == "data_visualization":
        return [f"({block['chart']['type']} chart: {block['title']})"]
    return _nested(block, names)


def _nested(block: Json, names: Mapping[str, str]) -> list[str]:
    lines = [_words(block[name], names) for name in ("title", "subtitle", "body") if block.get(name)]
    lines += _blocks(block.get("child_blocks") or [], names)
    if block["type"] == "carousel":
        lines += _blocks(block["elements"], names)
    if block.get("actions"):
        lines.append(" ".join(_element(one, names) for one in block["actions"]))
    return lines


def _section(block: Json, names: Mapping[str, str]) -> list[str]:
    lines = _words(block["text"], names).splitlines() if block.get("text") else []
    if block.get("accessory"):
        lines = [*lines[:-1], f"{lines[-1] if lines else ''}  {_element(block['accessory'], names)}"]
    fields = [" ".join(_words(one, names).split()) for one in block.get("fields") or []]
    pairs = [fields[at : at + 2] for at in range(0, len(fields), 2)]
    return lines + ["  ".join(f"{field:<34}" for field in pair).rstrip() for pair in pairs]


def _words(thing: Json, names: Mapping[str, str]) -> str:
    if thing.get("type") == "image":
        return f"({thing['alt_text']})"
    return readable(thing["text"], names) if thing["type"] == "mrkdwn" else str(thing["text"])


def _element(element: Json, names: Mapping[str, str]) -> str:
    kind = element["type"]
    if kind == "image":
        return f"({element['alt_text']})"
    if kind == "button":
        return f"[{element['text']['text']}{' ↗' if element.get('url') else ''}]"
    if kind == "overflow":
        return "[…]"
    if kind in ("checkboxes", "radio_buttons"):
        mark = "☐" if kind == "checkboxes" else "○"
        return " ".join(f"{mark} {_words(option['text'], names)}" for option in element["options"])
    chosen = (element.get("initial_option") or {}).get("text") or element.get("placeholder") or {}
    shown = chosen.get("text") or element.get("initial_value") or element.get("initial_date") or ""
    return f"[{shown} ▾]" if "select" in kind else f"[{shown or '____'}]"


def _table(block: Json) -> list[str]:
    rows = [[_cell(cell) for cell in row] for row in block["rows"]]
    widths = [max(len(row[x]) for row in rows if x < len(row)) for x in range(max(map(len, rows)))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _cell(cell: Json) -> str:
    if cell["type"] == "rich_text":
        return "".join(texts_of_rich_text(cell))
    return str(cell.get("text", cell.get("value", "")))
