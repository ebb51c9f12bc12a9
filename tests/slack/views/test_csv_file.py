"""CSV files for people."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.slack.views.csv_file import CsvFile, CsvRow, read_csv


def rows_of(file: CsvFile) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.content().decode("utf-8-sig"), newline="")))


def test_a_file_begins_with_a_byte_order_mark_and_its_heading() -> None:
    assert CsvFile(["id", "name"]).content() == b"\xef\xbb\xbfid,name\r\n"


def test_what_is_written_is_read_back_whatever_it_holds() -> None:
    file = CsvFile(["name"])
    file.add([['Tromsø, "roof"\nnorth']])
    assert rows_of(file) == [["name"], ['Tromsø, "roof"\nnorth']]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\ufeff="])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    file = CsvFile(["name"])
    file.add([[f"{start}cmd()"]])
    assert rows_of(file)[1] == [f"'{start}cmd()"]


@pytest.mark.parametrize(
    ("cell", "written"),
    [("a;=cmd()", "a;'=cmd()"), ('a; "+cmd()', "a; \"'+cmd()"), (";-1;@x", ";'-1;'@x"), ("a;b=c", "a;b=c")],
)
def test_so_does_what_follows_a_semicolon(cell: str, written: str) -> None:
    file = CsvFile(["name"])
    file.add([[cell]])
    assert rows_of(file)[1] == [written]


def test_the_rows_are_counted_without_the_heading() -> None:
    file = CsvFile(["name"])
    file.add([["a"], [None]])
    file.add([["b"]])
    assert file.rows == 3
    assert rows_of(file)[2] == [""]


CELLS = st.text(alphabet=st.sampled_from("ab;'\"=+-@, \n\t\ufeffø"), max_size=8).map(str.strip)


@given(st.lists(CELLS.filter(bool), min_size=1, max_size=3))
def test_what_is_exported_is_read_back_as_it_was(cells: list[str]) -> None:
    file = CsvFile(["site", "note"])
    file.add([[cell, cell] for cell in cells])
    read = read_csv(file.content().decode("utf-8"), ["site", "note"], ["site"])
    assert [one.cells for one in read] == [{"site": cell, "note": cell} for cell in cells]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_are_read_by_the_names_of_their_columns_with_the_line_they_begin_on(separator: str) -> None:
    lines = [["Note", "x", "SITE"], ['"two\nlines"', "1", "Oslo"], [], ["b", "2", "Bodø"]]
    text = "\r\n".join(separator.join(cells) for cells in lines)
    assert read_csv(text, ["site", "note"], ["site"]) == [
        CsvRow(2, {"note": "two\nlines", "site": "Oslo"}),
        CsvRow(5, {"note": "b", "site": "Bodø"}),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no row below the heading"),
        ("site,note", "no row below the heading"),
        ("name,note\na,b", "Line 1 has no column site"),
        ("site,site\na,b", "Line 1 has the column site twice"),
        ("site,note\na,b\na,b,c", "Line 3 has 3 cells and the heading 2"),
        ('site,note\na,"b', "Line 2 cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_csv(text, ["site", "note"], ["site"])
