"""The audit log: rows are added, read, and pruned by age; never changed."""

import string
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, insert, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.audit import AuditEntry, AuditQuery, Outcome
from bot.storage.db.tables import audit

_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_CHUNK = 500  # rows at a time: a file of them does not hold the event loop up


async def record(connection: AsyncConnection, *entries: AuditEntry) -> None:
    """Adds entries inside the transaction of what they tell about."""
    if entries:
        await connection.execute(insert(audit), [_row(entry) for entry in entries])


async def count(connection: AsyncConnection, query: AuditQuery) -> int:
    """How many entries answer the question."""
    found = await connection.execute(select(func.count()).select_from(audit).where(*_terms(query)))
    return int(found.scalar_one())


async def find(
    connection: AsyncConnection, query: AuditQuery, limit: int, offset: int = 0
) -> Sequence[AuditEntry]:
    """The entries that answer the question, newest first."""
    return [_entry(row) for row in await connection.execute(_newest(query, limit).offset(offset))]


async def chunks(
    connection: AsyncConnection, query: AuditQuery, most: int
) -> AsyncIterator[Sequence[AuditEntry]]:
    """The same, as many as ``most`` of them, some at a time."""
    before: ColumnElement[bool] = true()
    while most > 0:
        found = await connection.execute(_newest(query, min(most, _CHUNK)).where(before))
        if not (rows := found.all()):
            return
        yield [_entry(row) for row in rows]
        most -= len(rows)
        at, number = rows[-1].at, rows[-1].id
        before = or_(audit.c.at < at, and_(audit.c.at == at, audit.c.id < number))


async def prune(connection: AsyncConnection, before: datetime) -> int:
    """Forgets what is older; returns how many rows."""
    return (await connection.execute(delete(audit).where(audit.c.at < before))).rowcount


def _newest(query: AuditQuery, limit: int) -> Select[Any]:
    order = audit.c.at.desc(), audit.c.id.desc()
    return select(audit).where(*_terms(query)).order_by(*order).limit(limit)


def _terms(query: AuditQuery) -> list[ColumnElement[bool]]:
    terms: list[ColumnElement[bool]] = []
    if query.actors:
        terms.append(audit.c.actor.in_(query.actors))
    if query.outcomes:
        terms.append(audit.c.outcome.in_([one.value for one in query.outcomes]))
    for word in query.words:
        in_action = func.lower(audit.c.action).contains(word, autoescape=True)
        in_plan = func.lower(audit.c.plan_hash).startswith(word, autoescape=True)
        terms.append(or_(*_in_subject(word), in_action, in_plan))
    return terms


def _in_subject(word: str) -> list[ColumnElement[bool]]:
    subject = func.lower(audit.c.subject)
    # R-1 is not R-12: a number is compared as a whole. Behind a silence's follows what it covers.
    if word.removeprefix("r-").isdecimal():
        return [subject == word]
    if word.removeprefix("s-").isdecimal():
        return [subject.startswith(f"{word}:")]
    return [subject.contains(form, autoescape=True) for form in _forms(word)]


def _forms(word: str) -> Iterable[str]:
    """What ``lower`` may have left of it: SQLite's, and PostgreSQL's under some locales, know ASCII only."""
    written = (word, word.upper(), word.title(), word.capitalize())
    return dict.fromkeys(form.translate(_ASCII) for form in written)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        outcome=Outcome(row.outcome),
        before=row.before,
        after=row.after,
        channel=row.channel,
        reason=row.reason,
        plan_hash=row.plan_hash,
    )


def _row(entry: AuditEntry) -> dict[str, object]:
    return {
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "outcome": entry.outcome.value,
        "before": entry.before,
        "after": entry.after,
        "channel": entry.channel,
        "reason": entry.reason,
        "plan_hash": entry.plan_hash,
    }
