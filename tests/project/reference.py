"""``make reference``: writes the tables of docs/settings.md from the settings.

A setting goes into the table that has others of its group; what else the document says stays as it is.
"""

import re
from pathlib import Path

from bot.settings.definitions import NO_DEFAULT, Described
from tests.settings.test_settings import load

FILE = Path(__file__).parents[2] / "docs" / "settings.md"
# These words stand for a default; everything else in that column is one.
_NO_VALUE = {"": "empty", **{words: words for words in NO_DEFAULT}}
_TABLE = re.compile(r"(?:^\| `MESHBOT_.*\|\n)+", re.MULTILINE)


def with_tables(text: str) -> str:
    """The document with every setting in it."""
    settings = load().describe()

    def table(old: re.Match[str]) -> str:
        groups = set(map(_group, re.findall(r"^\| `(MESHBOT_[A-Z_]+)", old[0], re.MULTILINE)))
        return "".join(_row(line) for line in settings if _group(line.variable) in groups)

    return _TABLE.sub(table, text)


def _group(variable: str) -> str:
    return variable.partition("__")[0]


def _row(line: Described) -> str:
    return f"| `{line.variable}` | {_NO_VALUE.get(line.default, f'`{line.default}`')} | {line.meaning} |\n"


if __name__ == "__main__":
    FILE.write_text(with_tables(FILE.read_text(encoding="utf-8")), encoding="utf-8")
