"""What people ask about themselves, and what they want to hear of."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput
from bot.services.context import Context
from bot.services.preferences import Preferences
from bot.slack.home.preferences import PreferenceCommands
from bot.slack.incoming.listeners import CommandCall
from bot.storage.db.engine import Database
from tests.slack.shown import Answers
from tests.worlds.databases import sqlite_url

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANA = Actor("U0ANA00001", "Ana", Role.VIEWER)


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncIterator[PreferenceCommands]:
    database = Database.open(sqlite_url(tmp_path))
    yield PreferenceCommands(Preferences(Context(database, lambda: NOW)))
    await database.close()


async def said(commands: PreferenceCommands, word: str, text: str = "") -> str:
    answers = Answers()
    await commands.feature().commands[word].listener(CommandCall(ANA, "C0OPS", text, answers))
    return answers.last.text


async def test_whoami_tells_who_asks_their_role_and_whether_they_are_written_to(
    commands: PreferenceCommands,
) -> None:
    told = await said(commands, "whoami")
    assert "You are <@U0ANA00001>, a viewer." in told
    assert "I write to you about your updates and alerts: /mesh notify off ends that." in told


async def test_notify_off_is_kept_until_notify_on(commands: PreferenceCommands) -> None:
    assert "I do not write to you any more" in await said(commands, "notify", "off")
    assert "I have not written to you since" in await said(commands, "whoami")
    assert "I write to you when it is your move" in await said(commands, "notify", " ON ")
    assert "I write to you about" in await said(commands, "whoami")


async def test_notify_alone_is_told_how_to_say_it(commands: PreferenceCommands) -> None:
    with pytest.raises(InvalidInput, match="notify off"):
        await said(commands, "notify", "sometimes")
