"""Keeps the answers that Slack did not take: who asked reads them by direct message, once Slack does."""

import secrets
from typing import Final

from bot.services.context import Context
from bot.storage.cards import cards

LATE: Final = "late_answer"  # the kind of the message


class LateAnswers:
    """Written down with what else waits for Slack, so that a restart loses none."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def keep(self, user_id: str, text: str) -> None:
        """``text`` is what they were to read. Raises Unavailable without the database."""
        now = self._now()
        async with self._database.write() as connection:
            key, body = f"answer/{secrets.token_hex(8)}", {"text": text, "at": now.isoformat()}
            await cards.add_message(connection, user_id, key, LATE, body, now)
