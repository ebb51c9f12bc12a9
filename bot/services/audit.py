"""The audit log for the whole house: refusals that no service came to see, and forgetting by age."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.domain.access import Actor
from bot.domain.events import AuditEntry, Outcome
from bot.storage import audit
from bot.storage.engine import Database

KEPT = timedelta(days=365)


class AuditService:
    """Writes what people were refused, and forgets what is older than a year."""

    def __init__(self, database: Database, *, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def refused(self, actor: Actor, what: str, channel: str, sentence: str) -> None:
        """``what`` they tried, and the sentence they read."""
        entry = AuditEntry(
            at=self._now(),
            actor=actor.user_id,
            action=what,
            subject="",
            outcome=Outcome.REFUSED,
            channel=channel or None,
            reason=sentence,
        )
        async with self._database.write() as connection:
            await audit.record(connection, entry)

    async def prune(self) -> None:
        async with self._database.write() as connection:
            await audit.prune(connection, self._now() - KEPT)
