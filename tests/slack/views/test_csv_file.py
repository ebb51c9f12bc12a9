"""CSV files for people."""

import csv
import io

import pytest

from bot.slack.views.csv_file import CsvFile


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
