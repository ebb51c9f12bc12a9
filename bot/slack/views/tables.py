"""Lists as tables: one list of columns and rows, which one of two renderers draws.

In lines, each beside its button, which every workspace takes; or as Slack's ``data_table``, whose rows lead
on by a menu below it, since no cell takes a button. Both go into one message, and whoever sends it decides.
Limits: docs.slack.dev/reference/block-kit/blocks/data-table-block, where copies differ the smaller.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.slack.views.blocks import MOST_SIZE, Block, Message, actions, date, lines, message, plain_text
from bot.slack.views.paging import Door, open_button, open_menu, rows_with

_MOST_ROWS, _MOST_CHARACTERS, _LONGEST = 100, 10_000, 120
Cell = Block


@dataclass(frozen=True, slots=True)
class Row:
    """One row: as a line of mrkdwn, and as a cell for each column. ``door`` is where it leads."""

    line: str
    cells: Sequence[Cell]
    door: Door | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """``caption`` is read to who does not see the table; ``opens`` stands in the menu below it.

    ``is_wide``: on a phone its lines leave no room for a button beside them, so they have the menu too.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    opens: str = "Open…"
    is_wide: bool = False


def with_table(text: str, above: Sequence[Block], table: Table, below: Sequence[Block]) -> Message:
    """A message with the table in lines, and as a ``data_table`` where Slack's limits hold it."""
    newer = [*above, *_as_block(table), *below]
    holds = _is_within_limits(table) and len(json.dumps(newer, ensure_ascii=False)) <= MOST_SIZE
    return message(text, [*above, *_in_lines(table), *below], newer=newer if holds else ())


def text_cell(text: str | None, otherwise: str = "–") -> Cell:
    """Words on one line, shown as they are written."""
    return {"type": "raw_text", "text": plain_text(text or otherwise, _LONGEST)["text"]}


def number_cell(value: float, text: str) -> Cell:
    """What is sorted by its value and shown as ``text``."""
    return {"type": "raw_number", "value": value, "text": text}


def moment_cell(moment: datetime | None) -> Cell:
    """A moment, for each reader in their own time zone."""
    if moment is None:
        return text_cell(None)
    *_, fallback = date(moment).removesuffix(">").split("|")
    shown = {"type": "date", "timestamp": int(moment.timestamp()), "format": _DATE, "fallback": fallback}
    return _rich(shown)


def person_cell(user_id: str) -> Cell:
    """Somebody by name, as Slack shows it; who has no id of Slack's, by what they are called here."""
    is_user = user_id[:1] in {"U", "W"} and user_id.isalnum() and user_id.isupper()
    return _rich({"type": "user", "user_id": user_id}) if is_user else text_cell(user_id)


_DATE: Final = "{date_short_pretty} at {time}"


def _rich(element: Block) -> Cell:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [element]}]}


def _in_lines(table: Table) -> list[Block]:
    if table.is_wide or not any(row.door for row in table.rows):
        return [*lines(row.line for row in table.rows), *_menu(table)]
    doors = [open_button(row.door) if row.door else None for row in table.rows]
    return rows_with([row.line for row in table.rows], doors)


def _as_block(table: Table) -> list[Block]:
    header = [text_cell(title) for title in table.columns]
    block: Block = {
        "type": "data_table",
        "caption": plain_text(table.caption, 150)["text"],
        "page_size": min(max(len(table.rows), 1), 100),
        "rows": [header, *([*row.cells] for row in table.rows)],
    }
    return [block, *_menu(table)]


def _menu(table: Table) -> list[Block]:
    return actions(open_menu(table.opens, [row.door for row in table.rows if row.door]))


def _is_within_limits(table: Table) -> bool:
    characters = sum(len(json.dumps(cell, ensure_ascii=False)) for row in table.rows for cell in row.cells)
    as_wide = all(len(row.cells) == len(table.columns) <= 20 for row in table.rows)
    return 0 < len(table.rows) <= _MOST_ROWS and as_wide and characters <= _MOST_CHARACTERS
