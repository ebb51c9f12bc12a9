"""No command without a test: somebody types each of them in the tests of what Slack shows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.app import App
from tests.settings.test_settings import load

SLACK = Path(__file__).parents[1] / "slack"
# Tests of how any command is taken in, and of what is drawn, try none of them.
OF_NO_COMMAND = {"incoming", "outgoing", "views"}


def typed(source: str) -> Iterator[str]:
    """The first word of each text that a call is given."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            for argument in node.args:
                text = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value.partition(" ")[0]


@pytest.fixture
async def words() -> list[str]:
    app = App(load())
    await app.close()
    return sorted(app.slack.arrivals.commands)


def test_every_command_has_a_test(words: list[str]) -> None:
    tested = {
        word
        for path in SLACK.rglob("test_*.py")
        if not OF_NO_COMMAND & set(path.parts)
        for word in typed(path.read_text(encoding="utf-8"))
    }
    assert len(words) > 20
    assert [word for word in words if word not in tested] == []


def test_a_command_that_nobody_types_has_none() -> None:
    source = "async def test() -> None:\n    await room.says('devices tag:oslo', f'device {one}', 7)"
    assert list(typed(source)) == ["devices", "device"]
