"""Keeps the answers that are owed, and those that Slack did not take: who asked reads them later."""

import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final

from bot.services.context import Context
from bot.storage.cards import cards, late_answers

LATE: Final = "late_answer"  # the kind of the message


class LateAnswers:
    """Written down with what else waits for Slack, so that a restart loses none.

    ``world_time`` is Slack's.
    """

    def __init__(self, context: Context, world_time: Callable[[], datetime]) -> None:
        self._database = context.database
        self._now = context.now
        self._world_time = world_time

    def answering(self) -> AbstractAsyncContextManager[None]:
        """A request, which is answered when the block ends: else who asked is told what it did."""
        return late_answers.answering(self._database, self._world_time)

    async def keep(self, user_id: str, text: str) -> None:
        """``text`` is what they were to read. Raises Unavailable without the database."""
        now = self._now()
        async with self._database.write() as connection:
            key, body = f"answer/{secrets.token_hex(8)}", {"text": text, "at": now.isoformat()}
            await cards.add_message(connection, user_id, key, LATE, body, now)
