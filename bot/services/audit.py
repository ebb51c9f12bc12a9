"""The audit log for the whole house: looking into it, refusals no service came to see, forgetting by age."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.access import Action, Actor, Role, require
from bot.domain.audit import AuditAction, AuditChain, AuditEntry, AuditQuery, Outcome, TriedAction
from bot.domain.errors import Unavailable
from bot.domain.times.retention import KEPT
from bot.services.context import Context
from bot.storage import audit

LONGEST = 300  # characters of what somebody typed
MOST_KEPT = 1_000  # refusals while the database is away; all are in the log besides
REPEATED_WITHIN = timedelta(minutes=10)
MOST_REPEATED = 1_000  # who is refused what, at once; beyond them each refusal is an entry


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first, from ``offset`` of ``total``."""

    entries: Sequence[AuditEntry]
    total: int
    offset: int


@dataclass(slots=True)
class _Repeated:
    """One refusal that is written, and how often the same came after it."""

    since: datetime
    last: AuditEntry
    more: int = 0

    def counted(self, now: datetime) -> AuditEntry:
        times = "once more" if self.more == 1 else f"{self.more:,} more times"
        return replace(
            self.last, at=now, reason=f"{times} since {self.since:%H:%M:%S} UTC: {self.last.reason}"
        )


class AuditService:
    """Tells who did what, writes what people were refused, and forgets what is older than a year."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now
        self._kept: list[AuditEntry] = []  # refusals for which there was no database
        self._repeated: dict[tuple[str, ...], _Repeated] = {}

    async def find(self, actor: Actor, query: AuditQuery, limit: int, offset: int = 0) -> AuditPage:
        """A page of what answers the question; behind the end, the last page. Raises NotAllowed."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            total = await audit.count(connection, query)
            offset = min(offset, max(total - 1, 0) // limit * limit)
            return AuditPage(await audit.find(connection, query, limit, offset), total, offset)

    async def actors(self, actor: Actor) -> Sequence[str]:
        """The ids of everybody who is in the log. Raises NotAllowed."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            return await audit.actors(connection)

    async def channels(self, actor: Actor, most: int) -> Sequence[str]:
        """The ids of those in which something was done, the last first. Raises NotAllowed."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            return await audit.channels(connection, most)

    async def total(self, actor: Actor, query: AuditQuery) -> int:
        """How many entries answer the question. Raises NotAllowed."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            return await audit.count(connection, query)

    async def every(self, actor: Actor, query: AuditQuery, most: int) -> AsyncIterator[Sequence[AuditEntry]]:
        """All that answer the question, the newest first, some at a time. Raises NotAllowed."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            async for chunk in audit.chunks(connection, query, most):
                yield chunk

    async def refused(self, actor: Actor, what: str, about: str, channel: str, sentence: str) -> None:
        """``what`` they tried, on what, and the sentence they read.

        What is refused again within ten minutes is counted, and one entry more has the number: of a member,
        the same about the same; of anybody else, the same about anything.
        """
        entry = AuditEntry(
            at=self._now(),
            actor=actor.user_id,
            action=TriedAction(what),
            subject=about[:LONGEST],
            outcome=Outcome.REFUSED,
            channel=channel or None,
            reason=sentence,
        )
        key = (actor.user_id, what, "" if actor.role is Role.NONE else entry.subject)
        if (repeated := self._repeated.get(key)) is not None and not self._is_over(repeated):
            repeated.last, repeated.more = entry, repeated.more + 1
            return
        ended = self._repeated.pop(key, None)
        if len(self._repeated) < MOST_REPEATED:
            self._repeated[key] = _Repeated(entry.at, entry)
        await self._write([*([ended.counted(entry.at)] if ended and ended.more else []), entry])

    def _is_over(self, repeated: _Repeated) -> bool:
        return not timedelta() <= self._now() - repeated.since < REPEATED_WITHIN

    async def exported(self, actor: Actor, list_kind: str, question: str, rows: int) -> None:
        """A whole list left as a file. Raises Unavailable: what cannot be written down is not sent."""
        entry = AuditEntry(
            at=self._now(),
            actor=actor.user_id,
            action=AuditAction.EXPORT,
            subject=f"{list_kind} {question}".strip()[:LONGEST],
            after="1 row" if rows == 1 else f"{rows:,} rows",
        )
        async with self._database.write() as connection:
            await audit.record(connection, entry)

    async def catch_up(self, *, at_end: bool = False) -> None:
        """Writes the refusals that were told while the database was away, and how often some were repeated.

        ``at_end``: of all, since this process counts no longer.
        """
        over = [key for key, one in self._repeated.items() if at_end or self._is_over(one)]
        counted = [one.counted(self._now()) for one in map(self._repeated.pop, over) if one.more]
        kept, self._kept = self._kept, []
        if kept or counted:
            await self._write([*kept, *counted])

    async def _write(self, entries: list[AuditEntry]) -> None:
        try:
            async with self._database.write() as connection:
                await audit.record(connection, *entries)
        except Unavailable:
            self._kept = [*entries, *self._kept][-MOST_KEPT:]
            raise

    async def verify(self) -> AuditChain:
        """Whether each entry is as it was written, and none is missing in between."""
        async with self._database.read() as connection:
            return await audit.verify(connection)

    async def export(self, since: datetime | None) -> AsyncGenerator[Sequence[Mapping[str, object]], None]:
        """Every entry from a moment on, for whoever has the database, the oldest first, some at a time."""
        async with self._database.read() as connection:
            async for chunk in audit.exported(connection, since):
                yield chunk

    async def prune(self) -> None:
        async with self._database.write() as connection:
            await audit.prune(connection, self._now() - KEPT)
