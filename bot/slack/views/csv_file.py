"""CSV files for people: they open in a spreadsheet as they are, and nothing in them is run; and read back.

UTF-8 with a byte order mark, without which Excel reads ø as Ã¸; lines end as RFC 4180 says. A cell that a
spreadsheet would take for a formula gets an apostrophe in front, as OWASP advises under "CSV Injection"; so
does what follows a semicolon, at which a spreadsheet of many countries ends a cell.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.errors import InvalidInput

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_KEPT_BEHIND_SEMICOLON = re.compile(r"(;\s*[\"']?)'(?=[=+\-@])")
_BEHIND_SEMICOLON = re.compile(r"(;\s*[\"']?)(?=[=+\-@])")


class CsvFile:
    """A file that grows by rows, so that a large fleet is never held twice."""

    def __init__(self, heading: Sequence[str]) -> None:
        self._content = io.BytesIO()
        self._content.write(BYTE_ORDER_MARK)
        self.rows = 0
        self._write([heading])

    def add(self, rows: Iterable[Sequence[str | None]]) -> None:
        """Appends rows; None is an empty cell."""
        self.rows += self._write(rows)

    def content(self) -> bytes:
        return self._content.getvalue()

    def _write(self, rows: Iterable[Sequence[str | None]]) -> int:
        text = io.StringIO(newline="")
        safe = [[_cell(cell) for cell in row] for row in rows]
        csv.writer(text, lineterminator="\r\n").writerows(safe)
        self._content.write(text.getvalue().encode("utf-8", errors="replace"))
        return len(safe)


def _cell(value: str | None) -> str:
    if not value:
        return ""
    value = _BEHIND_SEMICOLON.sub(r"\1'", value) if ";" in value else value
    # What begins with an apostrophe itself gets another, so that ``read_csv`` takes the right one away.
    return f"'{value}" if value.lstrip(" \ufeff'").startswith(_FORMULA) else value


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row below the heading: its cells by the names of their columns, and the line on which it begins."""

    line: int
    cells: Mapping[str, str]


def read_csv(text: str, columns: Collection[str], needed: Collection[str]) -> list[CsvRow]:
    """What somebody pasted of a file: separated by commas, semicolons or tabs, as a spreadsheet has it.

    Columns that are not asked for are passed over. Raises InvalidInput naming the line.
    """
    text = text.removeprefix("\ufeff").replace("\0", "")
    heading = text.partition("\n")[0]
    delimiter = max("\t;,", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[CsvRow] = []
    names: list[str] = []
    begins = 1
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip().casefold() for cell in cells]
                _check_heading(names, columns, needed)
                continue
            if len(cells) > len(names):
                raise InvalidInput(
                    f"Line {line} has {len(cells)} cells and the heading {len(names)}: "
                    "put quotes around a cell that holds a separator."
                )
            found = {name: _plain(cell) for name, cell in zip(names, cells, strict=False) if name in columns}
            rows.append(CsvRow(line, found))
    except csv.Error as error:
        raise InvalidInput(f"Line {begins} cannot be read: {error}.") from error
    if not rows:
        raise InvalidInput(f"There is no row below the heading. Its columns are {', '.join(columns)}.")
    return rows


def _check_heading(names: Sequence[str], columns: Collection[str], needed: Collection[str]) -> None:
    if missing := [one for one in needed if one not in names]:
        raise InvalidInput(f"Line 1 has no column {missing[0]}. The columns are {', '.join(columns)}.")
    if twice := [one for one in names if one in columns and names.count(one) > 1]:
        raise InvalidInput(f"Line 1 has the column {twice[0]} twice.")


def _plain(cell: str) -> str:
    """Without the apostrophes that keep a spreadsheet from running it."""
    cell = cell.strip()
    if cell.startswith("'") and cell.lstrip(" \ufeff'").startswith(_FORMULA):
        cell = cell[1:]
    return _KEPT_BEHIND_SEMICOLON.sub(r"\1", cell)
