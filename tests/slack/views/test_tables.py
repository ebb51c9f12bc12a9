"""A list as lines and as a table."""

from datetime import UTC, datetime

import pytest

from bot.slack import ids
from bot.slack.ids import PageRef, decode
from bot.slack.views.blocks import Message, section
from bot.slack.views.paging import Door
from bot.slack.views.tables import (
    Cell,
    Row,
    Table,
    moment_cell,
    number_cell,
    person_cell,
    text_cell,
    with_table,
)
from tests.slack.shown import NAMES, doors, sendable

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def cells(name: str) -> list[Cell]:
    return [text_cell(name), number_cell(7_500, "2 h 5 min"), moment_cell(NOW), person_cell("U0ANA00001")]


def drawn(name: str = "MT1", rows: int = 2, columns: int = 4) -> Message:
    each = [Row(f"line {number}", cells(name), Door("device", f"d{number}", name)) for number in range(rows)]
    titles = ("Gateway", "For", "Since", "By")[:columns]
    return sendable(with_table("Two lines", [section("above")], Table("Gateways", titles, each), []))


def test_one_list_of_rows_is_drawn_as_lines_and_as_a_table() -> None:
    message = drawn()
    assert [ref for _, ref in doors(message)] == [PageRef("device", 0, "d0"), PageRef("device", 0, "d1")]
    above, table, menu = message.newer
    assert (above, table["type"], len(table["rows"])) == (section("above"), "data_table", 3)
    assert [cell["text"] for cell in table["rows"][0]] == ["Gateway", "For", "Since", "By"]
    (choice,) = menu["elements"]
    assert choice["action_id"] == ids.OPEN
    assert decode(choice["options"][1]["value"]) == PageRef("device", 0, "d1")


@pytest.mark.parametrize(("rows", "columns"), [(101, 4), (2, 3), (0, 4)])
def test_what_no_table_holds_is_drawn_as_lines_alone(rows: int, columns: int) -> None:
    assert drawn(rows=rows, columns=columns).newer == ()


@pytest.mark.parametrize("name", NAMES)
def test_any_names_are_within_slack_s_limits_in_both_forms(name: str) -> None:
    drawn(name, rows=10)


def test_who_has_no_id_of_slack_is_called_by_name_and_what_is_missing_is_a_dash() -> None:
    assert person_cell("meshbot") == text_cell("meshbot")
    assert moment_cell(None) == text_cell(None) == {"type": "raw_text", "text": "–"}
