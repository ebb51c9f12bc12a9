"""The words that people read are those of the glossary."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = ("domain", "services", "slack", "settings", "meshtech", "doctor", "init.py", "metrics.py")
FORBIDDEN = re.search(r"Nobody reads these: (.*?)\.", (ROOT / "docs/glossary.md").read_text(), re.DOTALL)
assert FORBIDDEN is not None
WORDS = re.findall(r"\*(\w+)\*", FORBIDDEN[1])
PATTERN = re.compile(rf"\b(?:{'|'.join(WORDS)})s?\b", re.IGNORECASE)
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


def test_no_text_of_the_bot_has_a_word_that_nobody_reads() -> None:
    files = [
        path
        for one in TEXTS
        for path in ([ROOT / "bot" / one] if "." in one else (ROOT / "bot" / one).rglob("*.py"))
    ]
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files
        for text in texts(path.read_text(encoding="utf-8"))
        if PATTERN.search(text)
    ]

    assert len(files) > 100
    assert found == []


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
