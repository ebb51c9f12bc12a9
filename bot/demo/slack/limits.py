"""What Slack would refuse, cut off or misread in a message or a view, and what the bot must not send anyway.

Pure functions over plain dicts. The numbers are those of docs.slack.dev/reference/block-kit as read in 2026;
where copies of a page disagree, the smaller one. Elements, small objects and markup are in `elements`.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from bot.demo.slack.elements import Check, Problem, element, slack_file, text, texts_of_rich_text

Json = dict[str, Any]

MOST_BLOCKS, MOST_VIEW_BLOCKS = 50, 100
MOST_TEXT, MOST_UPDATE_TEXT = 40_000, 4_000
MOST_METADATA = 16_000  # Slack publishes no number for metadata_too_large
_TABLE_ROWS, _TABLE_COLUMNS, _TABLE_TEXT = 100, 20, 10_000
_EVERYWHERE = frozenset({"message", "modal", "home"})
_MESSAGES = frozenset({"message"})


def problems_of_message(payload: Json, *, update: bool = False) -> list[str]:
    """Everything wrong with what goes to chat.postMessage, chat.update or a response_url."""
    return [str(problem) for problem in check_message(payload, update=update)]


def problems_of_view(view: Json) -> list[str]:
    """Everything wrong with a modal or a home tab; empty when nothing is."""
    return [str(problem) for problem in check_view(view)]


def check_message(payload: Json, *, update: bool = False) -> list[Problem]:
    """As `problems_of_message`, each with whether Slack itself would refuse the call for it."""
    check = Check("message")
    plain = payload.get("text") or ""
    if plain:
        check.mrkdwn("text", str(plain))
    elif payload.get("blocks") or payload.get("attachments"):
        check.frown("text", "is missing: screen readers and notifications read it instead of the blocks")
    if len(plain) > MOST_UPDATE_TEXT:
        check.add(update, "text", f"has {len(plain)} characters, more than {MOST_UPDATE_TEXT}")
    if payload.get("link_names") or payload.get("parse") == "full":
        check.frown("text", "would turn names such as @channel into pings (link_names, parse)")
    _blocks(check, payload.get("blocks") or [], "blocks", MOST_BLOCKS)
    attachments = payload.get("attachments") or []
    if len(attachments) > 100:
        check.refuse("attachments", f"are {len(attachments)}, more than 100")
    for number, attachment in enumerate(attachments):
        _blocks(check, attachment.get("blocks") or [], f"attachments[{number}].blocks", MOST_BLOCKS)
    if payload.get("metadata"):
        _metadata(check, payload["metadata"])
    return check.found


def check_view(view: Json) -> list[Problem]:
    """As `problems_of_view`, each with whether Slack itself would refuse the call for it."""
    kind = view.get("type")
    if kind not in ("modal", "home"):
        return [Problem("type", f"is {kind!r}, neither modal nor home", True)]
    check = Check(kind)
    shared = {"type", "blocks", "private_metadata", "callback_id", "external_id"}
    modal = {"title", "submit", "close", "clear_on_close", "notify_on_close", "submit_disabled"}
    check.keys("view", view, shared | (modal if kind == "modal" else set()), {"blocks"})
    if kind == "modal":
        text(check, "title", view.get("title"), 24, plain=True)
        for name in ("submit", "close"):
            if view.get(name) is not None:
                text(check, name, view[name], 24, plain=True)
    for name, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if len(view.get(name) or "") > most:
            check.refuse(name, f"has more than {most} characters")
    blocks = view.get("blocks") or []
    _blocks(check, blocks, "blocks", MOST_VIEW_BLOCKS)
    if kind == "modal" and not view.get("submit") and any(_kind(block) == "input" for block in blocks):
        check.refuse("submit", "is required in a modal with input blocks")
    if len(json.dumps(view)) > 250_000:
        check.refuse("view", "is larger than 250 kB")
    return check.found


def _kind(block: object) -> str:
    return str(block.get("type")) if isinstance(block, dict) else ""


def _metadata(check: Check, metadata: object) -> None:
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        check.refuse("metadata", "needs an event_type and an event_payload that is an object")
    elif not isinstance(metadata.get("event_type"), str) or not metadata["event_type"]:
        check.refuse("metadata", "needs an event_type")
    elif len(json.dumps(metadata)) > MOST_METADATA:
        check.refuse("metadata", f"has more than {MOST_METADATA} characters")


def _blocks(check: Check, blocks: object, where: str, most: int) -> None:
    if not isinstance(blocks, list):
        check.refuse(where, "is not a list")
        return
    if len(blocks) > most:
        check.refuse(where, f"are {len(blocks)}, more than {most}")
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        _block(check, f"{where}[{number}]", block, seen)
    _together(check, where, [block for block in blocks if isinstance(block, dict)])


def _together(check: Check, where: str, blocks: list[Json]) -> None:
    for kind, most, refused in (("table", 1, False), ("data_visualization", 2, True)):
        if sum(_kind(block) == kind for block in blocks) > most:
            check.add(refused, where, f"hold more than {most} {kind}")
    for kinds, most in ((("table", "data_table"), _TABLE_TEXT), (("markdown",), 12_000)):
        size = sum(_size(block) for block in blocks if _kind(block) in kinds)
        if size > most:
            check.refuse(where, f"hold {size} characters in {' and '.join(kinds)} blocks, more than {most}")


def _size(block: Json) -> int:
    if block.get("type") == "markdown":
        return len(str(block.get("text") or ""))
    cells = [cell for row in block.get("rows") or [] if isinstance(row, list) for cell in row]
    return sum(_cell_size(cell) for cell in cells if isinstance(cell, dict))


def _cell_size(cell: Json) -> int:
    if cell.get("type") == "rich_text":
        return sum(len(words) for words in texts_of_rich_text(cell))
    return len(str(cell.get("text", cell.get("value", ""))))


def _block(check: Check, where: str, block: object, seen: set[str]) -> None:
    if not isinstance(block, dict):
        check.refuse(where, "is not an object")
        return
    rule = _BLOCKS.get(_kind(block))
    if rule is None:
        check.refuse(where, f"has the unknown type {block.get('type')!r}")
        return
    if check.surface not in rule.surfaces:
        check.refuse(where, f"{block['type']} is not allowed in a {check.surface}")
    block_id = block.get("block_id")
    if block_id is not None and (not isinstance(block_id, str) or not 0 < len(block_id) <= 255):
        check.refuse(f"{where}.block_id", "needs 1 to 255 characters")
    if isinstance(block_id, str) and block_id in seen:
        check.refuse(where, f"repeats the block_id {block_id!r}")
    seen.add(str(block_id or where))
    check.keys(where, block, {"type", "block_id"} | rule.keys | rule.required, rule.required)
    rule.look(check, where, block)


def _section(check: Check, where: str, block: Json) -> None:
    fields = block.get("fields")
    if "text" not in block and not fields:
        check.refuse(where, "needs text or fields")
    if "text" in block:
        text(check, f"{where}.text", block["text"], 3000)
    if fields is not None:
        check.count(f"{where}.fields", fields, 1, 10)
        for number, one in enumerate(fields):
            text(check, f"{where}.fields[{number}]", one, 2000)
    if block.get("accessory") is not None:
        element(check, f"{where}.accessory", block["accessory"], "section")


def _elements(place: str, most: int) -> "Callable[[Check, str, Json], None]":
    def look(check: Check, where: str, block: Json) -> None:
        elements = block.get("elements")
        if not check.count(f"{where}.elements", elements, 1, most):
            return
        seen: set[str] = set()
        for number, one in enumerate(elements or []):
            spot = f"{where}.elements[{number}]"
            if place == "context" and isinstance(one, dict) and one.get("type") in ("mrkdwn", "plain_text"):
                text(check, spot, one, 3000)
            else:
                element(check, spot, one, place, seen)

    return look


def _header(check: Check, where: str, block: Json) -> None:
    text(check, f"{where}.text", block.get("text"), 150, plain=True)
    if block.get("level") not in (None, 1, 2, 3, 4):
        check.refuse(f"{where}.level", "is not 1 to 4")


def _image(check: Check, where: str, block: Json) -> None:
    slack_file(check, where, block)
    if block.get("title") is not None:
        text(check, f"{where}.title", block["title"], 2000, plain=True)


def _input(check: Check, where: str, block: Json) -> None:
    text(check, f"{where}.label", block.get("label"), 2000, plain=True)
    if block.get("hint") is not None:
        text(check, f"{where}.hint", block["hint"], 2000, plain=True)
    element(check, f"{where}.element", block.get("element"), "input")


def _markdown(check: Check, where: str, block: Json) -> None:
    words = block.get("text")
    if not isinstance(words, str) or not 0 < len(words) <= 12_000:
        check.refuse(f"{where}.text", "needs 1 to 12000 characters")


def _rich_text(check: Check, where: str, block: Json) -> None:
    check.rich_text(where, block)


def _table(check: Check, where: str, block: Json) -> None:
    _rows(check, where, block, 1, _TABLE_ROWS)
    check.count(f"{where}.column_settings", block.get("column_settings") or [], 0, 20)
    for number, setting in enumerate(block.get("column_settings") or []):
        if setting is not None:
            check.keys(f"{where}.column_settings[{number}]", setting, {"align", "is_wrapped"}, set())
            if setting.get("align", "left") not in ("left", "center", "right"):
                check.refuse(f"{where}.column_settings[{number}].align", "is not left, center or right")


def _data_table(check: Check, where: str, block: Json) -> None:
    _rows(check, where, block, 2, _TABLE_ROWS + 1)
    rows = [row for row in block.get("rows") or [] if isinstance(row, list)]
    if len({len(row) for row in rows}) > 1:
        check.refuse(f"{where}.rows", "are not equally long")
    if rows and any(isinstance(cell, dict) and cell.get("type") == "rich_text" for cell in rows[0]):
        check.refuse(f"{where}.rows[0]", "is the header and may hold no rich_text")
    if not block.get("caption"):
        check.refuse(f"{where}.caption", "is empty")
    if not 1 <= int(block.get("page_size", 5)) <= 100:
        check.refuse(f"{where}.page_size", "is not 1 to 100")


def _rows(check: Check, where: str, block: Json, fewest: int, most: int) -> None:
    if not check.count(f"{where}.rows", block.get("rows"), fewest, most):
        return
    for y, row in enumerate(block["rows"]):
        if not check.count(f"{where}.rows[{y}]", row, 1, _TABLE_COLUMNS):
            continue
        for x, cell in enumerate(row):
            _cell(check, f"{where}.rows[{y}][{x}]", cell)


def _cell(check: Check, where: str, cell: object) -> None:
    kind = _kind(cell)
    if not isinstance(cell, dict) or kind not in ("raw_text", "raw_number", "rich_text"):
        check.refuse(where, "is neither raw_text, raw_number nor rich_text")
    elif kind == "raw_text":
        check.keys(where, cell, {"type", "text"}, {"text"})
        if not cell.get("text"):
            check.refuse(where, "is empty: a raw_text needs a character")
        else:
            check.plain(where, str(cell["text"]))
    elif kind == "rich_text":
        check.rich_text(where, cell)


def _chart(check: Check, where: str, block: Json) -> None:
    chart = block.get("chart")
    if not isinstance(block.get("title"), str) or not 0 < len(block["title"]) <= 50:
        check.refuse(f"{where}.title", "needs 1 to 50 characters")
    if not isinstance(chart, dict) or chart.get("type") not in ("pie", "bar", "area", "line"):
        check.refuse(f"{where}.chart", "is no pie, bar, area or line")
    elif chart["type"] == "pie":
        segments = chart.get("segments")
        if check.count(f"{where}.chart.segments", segments, 1, 12):
            for number, one in enumerate(segments or []):
                if not one.get("label") or len(one["label"]) > 20 or not one.get("value", 0) > 0:
                    check.refuse(
                        f"{where}.chart.segments[{number}]", "needs a label of at most 20 and a value above 0"
                    )
    else:
        _series(check, f"{where}.chart", chart)


def _series(check: Check, where: str, chart: Json) -> None:
    axis = chart.get("axis_config") or {}
    categories = axis.get("categories") or []
    series = chart.get("series") or []
    check.count(f"{where}.axis_config.categories", categories, 1, 20)
    if any(len(str(label)) > 20 for label in categories):
        check.refuse(f"{where}.axis_config.categories", "hold a label of more than 20 characters")
    if any(len(str(axis.get(name) or "")) > 50 for name in ("x_label", "y_label")):
        check.refuse(f"{where}.axis_config", "has a title of more than 50 characters")
    if not check.count(f"{where}.series", series, 1, 12):
        return
    if len({one.get("name") for one in series}) < len(series):
        check.refuse(f"{where}.series", "repeat a name")
    for number, one in enumerate(series):
        if sorted(point.get("label", "") for point in one.get("data") or []) != sorted(categories):
            check.refuse(f"{where}.series[{number}]", "does not fill every category once")


def _card(check: Check, where: str, block: Json) -> None:
    if not any(block.get(name) for name in ("hero_image", "title", "actions", "body")):
        check.refuse(where, "needs hero_image, title, actions or body")
    for name, most in (("title", 150), ("subtitle", 150), ("body", 200)):
        if block.get(name) is not None:
            text(check, f"{where}.{name}", block[name], most)
    seen: set[str] = set()
    for number, one in enumerate(block.get("actions") or []):
        element(check, f"{where}.actions[{number}]", one, "actions", seen)


def _carousel(check: Check, where: str, block: Json) -> None:
    if check.count(f"{where}.elements", block.get("elements"), 1, 10):
        for number, one in enumerate(block["elements"]):
            _block(check, f"{where}.elements[{number}]", one, set())


def _container(check: Check, where: str, block: Json) -> None:
    for name in ("title", "subtitle"):
        if block.get(name) is not None:
            text(check, f"{where}.{name}", block[name], 150)
    if check.count(f"{where}.child_blocks", block.get("child_blocks"), 1, 10):
        for number, one in enumerate(block["child_blocks"]):
            _block(check, f"{where}.child_blocks[{number}]", one, set())


def _alert(check: Check, where: str, block: Json) -> None:
    text(check, f"{where}.text", block.get("text"), 3000)
    if block.get("level", "default") not in ("default", "info", "warning", "error", "success"):
        check.refuse(f"{where}.level", "is unknown")


def _nothing(check: Check, where: str, block: Json) -> None:
    """A divider has nothing to look at."""


class _Rule(NamedTuple):
    look: Callable[[Check, str, Json], None]
    surfaces: frozenset[str]
    required: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


def _rule(
    look: Callable[[Check, str, Json], None],
    required: str = "",
    keys: str = "",
    surfaces: frozenset[str] = _EVERYWHERE,
) -> _Rule:
    return _Rule(look, surfaces, frozenset(required.split()), frozenset(keys.split()))


_BLOCKS: dict[str, _Rule] = {
    "section": _rule(_section, "", "text fields accessory expand"),
    "divider": _rule(_nothing),
    "header": _rule(_header, "text", "level"),
    "context": _rule(_elements("context", 10), "elements"),
    "actions": _rule(_elements("actions", 25), "elements"),
    "context_actions": _rule(_elements("context_actions", 5), "elements", surfaces=_MESSAGES),
    "image": _rule(_image, "alt_text", "image_url slack_file title"),
    "input": _rule(_input, "label element", "hint optional dispatch_action"),
    "markdown": _rule(_markdown, "text", surfaces=_MESSAGES),
    "rich_text": _rule(_rich_text, "elements"),
    "table": _rule(_table, "rows", "column_settings", _MESSAGES),
    "data_table": _rule(_data_table, "rows caption", "page_size row_header_column_index", _MESSAGES),
    "data_visualization": _rule(_chart, "title chart", surfaces=_MESSAGES),
    "card": _rule(_card, "", "title subtitle body hero_image icon actions"),
    "carousel": _rule(_carousel, "elements", surfaces=frozenset({"message", "home"})),
    "container": _rule(
        _container,
        "child_blocks",
        "title rich_text_title subtitle width icon is_collapsible default_collapsed has_header_divider",
        _MESSAGES,
    ),
    "alert": _rule(_alert, "text", "level", frozenset({"modal"})),
}
