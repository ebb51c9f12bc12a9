"""CSV files for people: they open in a spreadsheet as they are, and nothing in them is run.

UTF-8 with a byte order mark, without which Excel reads ø as Ã¸; lines end as RFC 4180 says. A cell that a
spreadsheet would take for a formula gets an apostrophe in front, as OWASP advises under "CSV Injection"; so
does what follows a semicolon, at which a spreadsheet of many countries ends a cell.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
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
    return f"'{value}" if value.lstrip(" \ufeff").startswith(_FORMULA) else value
