"""The words that people read are those of the glossary."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = ("domain", "services", "slack", "settings", "meshtech", "doctor", "setup_questions.py", "metrics.py")
FORBIDDEN = re.search(r"Nobody reads these: (.*?)\.", (ROOT / "docs/glossary.md").read_text(), re.DOTALL)
assert FORBIDDEN is not None
WORDS = re.findall(r"\*(\w+)\*", FORBIDDEN[1])
PATTERN = re.compile(rf"\b(?:{'|'.join(WORDS)})s?\b", re.IGNORECASE)
TABLE = (ROOT / "docs/commands.md").read_text(encoding="utf-8").partition("\n## ")[0]
COMMANDS = "|".join(re.findall(r"^\| `([a-z]+)", TABLE, re.MULTILINE))
NO_SLASH = re.compile(
    rf"“(?:{COMMANDS})(?=[ ”]|$)|`(?:{COMMANDS}) "
    rf"|\b(?:[Rr]un|[Tt]ry|[Ss]end|[Ww]rite it as|[Ll]ike this:|[Cc]ommand|[Aa]sk for) [“`]?(?:{COMMANDS})\b"
)
_LOGS = {"debug", "info", "warning", "error", "exception", "critical"}


def texts(source: str) -> Iterator[str]:
    """Each string of several words, but for docstrings and what goes to the log."""
    tree = ast.parse(source)
    unread: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            unread.add(id(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOGS:
            unread.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unread:
            yield from [node.value] if " " in node.value.strip() else []


@cache
def every_text() -> list[tuple[Path, str]]:
    """Those of the bot, each with its file."""
    files = [
        path
        for one in TEXTS
        for path in ([ROOT / "bot" / one] if "." in one else (ROOT / "bot" / one).rglob("*.py"))
    ]
    assert len(files) > 100
    return [(path, text) for path in files for text in texts(path.read_text(encoding="utf-8"))]


def said_with(pattern: re.Pattern[str]) -> list[str]:
    return [f"{path.relative_to(ROOT)}: {text}" for path, text in every_text() if pattern.search(text)]


def test_no_text_of_the_bot_has_a_word_that_nobody_reads() -> None:
    assert said_with(PATTERN) == []


def test_a_text_that_names_a_command_has_its_slash() -> None:
    assert len(COMMANDS.split("|")) > 30
    assert said_with(NO_SLASH) == []


@pytest.mark.parametrize(
    "text",
    ["Run alerts to see them.", "“windows” lists them.", "use the command “tag”.", "Try devices first."],
)
def test_a_command_without_its_slash_is_found(text: str) -> None:
    assert NO_SLASH.search(text)
    assert not NO_SLASH.search("Run the update again. /mesh windows lists “weekly” ones; try /mesh devices.")


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/commands.md",
        "docs/how-it-decides.md",
        "docs/operations.md",
        "docs/settings.md",
        "manifest.yml",
    ],
)
def test_no_page_for_people_has_a_word_that_nobody_reads(name: str) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)

    assert [line for line in text.split("\n") if PATTERN.search(line)] == []


def test_a_forbidden_word_is_found_in_a_text_and_not_in_a_docstring_or_a_log_line() -> None:
    assert list(texts('"""A storm here."""\nlog.info("a storm there")\nx = f"a storm {y} too"\n')) == [
        "a storm "
    ]
