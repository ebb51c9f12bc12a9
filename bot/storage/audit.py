"""The audit log: rows are added, read, and pruned by age; never changed.

Each row has a hash over itself and the hash of the row before. The one row of ``audit_chain`` has the last
hash, whose lock lets one transaction at a time add, and the anchor: the hash before the oldest row kept.
"""

import logging
import re
import string
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.audit import (
    ANSWERED,
    BEGINNING,
    BOT,
    AuditAction,
    AuditChain,
    AuditEntry,
    AuditQuery,
    Outcome,
    TriedAction,
    chained,
)
from bot.storage.cards.late_answers import owe
from bot.storage.db.engine import Transaction, after_commit, before_commit
from bot.storage.db.statements import insert_or_lock
from bot.storage.db.tables import audit, audit_chain
from bot.storage.db.unreadable_rows import legible, legible_rows

log = logging.getLogger(__name__)

UNANSWERED: Final = "unanswered"  # the kind of the message to who had something done and got no answer

_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

_NUMBERED = re.compile(r"[a-z]-\d+")
_CHUNK = 500  # rows at a time: a file of them does not hold the event loop up


async def record(connection: Transaction, *entries: AuditEntry) -> None:
    """Adds entries inside the transaction of what they tell about, at its end. The answer to one is owed; of
    many at once the button that confirms them tells who presses it again.
    """
    for entry in entries if len(entries) == 1 else ():
        if entry.action in ANSWERED and entry.outcome is Outcome.DONE and entry.actor != BOT:
            key, body = f"{entry.action}/{entry.subject}", {**asdict(entry), "at": entry.at.isoformat()}
            await owe(connection, entry.actor, key, UNANSWERED, body, entry.at)
    if entries:
        before_commit(connection, lambda: _append(connection, entries))


async def _append(connection: Transaction, entries: Sequence[AuditEntry]) -> None:
    last, rows = (await _lock(connection)).last, []
    for entry in entries:
        last = chained(last, entry)
        rows.append({**_row(entry), "hash": last})
    await connection.execute(insert(audit), rows)
    await connection.execute(update(audit_chain).values(last=last))
    after_commit(connection, lambda: _tell(rows))


async def _lock(connection: Transaction) -> Row[Any]:
    first = {"id": 1, "anchor": BEGINNING, "last": BEGINNING}
    locked = insert_or_lock(connection, audit_chain, "id", first).returning(audit_chain)
    chain: Row[Any] = (await connection.execute(locked)).one()
    return chain


def _tell(rows: Sequence[Mapping[str, object]]) -> None:
    """The same to the log, which the database's account cannot change."""
    for row in rows:
        log.info("audit", extra=_told(row))


def _told(row: Mapping[str, Any]) -> dict[str, object]:
    told = {name: value for name, value in row.items() if value is not None}
    return {**told, "at": f"{row['at'].astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}


async def exported(
    connection: AsyncConnection, since: datetime | None
) -> AsyncIterator[Sequence[Mapping[str, object]]]:
    """Every entry from a moment on as the log has it, with its hash, the oldest first, some at a time."""
    async for rows in _in_order(connection, None if since is None else audit.c.at >= since):
        yield [_told(row._asdict()) for row in rows]


async def actors(connection: AsyncConnection) -> Sequence[str]:
    """Everybody who is in it."""
    return (
        (await connection.execute(select(audit.c.actor).distinct().order_by(audit.c.actor))).scalars().all()
    )


async def channels(connection: AsyncConnection, most: int) -> Sequence[str]:
    """Those in which something was done, the last first; direct messages have no name."""
    newest = func.max(audit.c.id).desc()
    asked = select(audit.c.channel).where(audit.c.channel.not_like("D%")).group_by(audit.c.channel)
    return (await connection.execute(asked.order_by(newest).limit(most))).scalars().all()


async def count(connection: AsyncConnection, query: AuditQuery) -> int:
    """How many entries answer the question."""
    found = await connection.execute(select(func.count()).select_from(audit).where(*_terms(query)))
    return int(found.scalar_one())


async def find(
    connection: AsyncConnection, query: AuditQuery, limit: int, offset: int = 0
) -> Sequence[AuditEntry]:
    """The entries that answer the question, newest first."""
    return legible(await connection.execute(_newest(query, limit).offset(offset)), _entry)


async def chunks(
    connection: AsyncConnection, query: AuditQuery, most: int
) -> AsyncIterator[Sequence[AuditEntry]]:
    """The same, as many as ``most`` of them, some at a time."""
    before: ColumnElement[bool] = true()
    while most > 0:
        found = await connection.execute(_newest(query, min(most, _CHUNK)).where(before))
        if not (rows := legible_rows(found)):
            return
        yield legible(rows, _entry)
        most -= len(rows)
        at, number = rows[-1].at, rows[-1].id
        before = or_(audit.c.at < at, and_(audit.c.at == at, audit.c.id < number))


async def prune(connection: Transaction, before: datetime) -> int:
    """Forgets what came before the first row that is not older; returns how many. The anchor moves along."""
    await _lock(connection)
    kept = select(func.min(audit.c.id)).where(audit.c.at >= before).scalar_subquery()
    newest_gone = (
        select(audit.c.id, audit.c.hash)
        .where(audit.c.at < before, or_(kept.is_(None), audit.c.id < kept))
        .order_by(audit.c.id.desc())
        .limit(1)
    )
    if (gone := (await connection.execute(newest_gone)).one_or_none()) is None:
        return 0
    await connection.execute(update(audit_chain).values(anchor=gone.hash))
    return (await connection.execute(delete(audit).where(audit.c.id <= gone.id))).rowcount


async def verify(connection: AsyncConnection) -> AuditChain:
    """Walks along the whole chain, from the anchor to the last hash and what came since."""
    chain = (await connection.execute(select(audit_chain))).one_or_none()
    expected, last = (chain.anchor, chain.last) if chain else (BEGINNING, BEGINNING)
    entries, met = 0, expected == last
    async for rows in _in_order(connection):
        for row in rows:
            expected = chained(expected, _entry(row))
            if row.hash != expected:
                return AuditChain(entries, last, broken_at=row.id)
            entries += 1
            met = met or expected == last
    return AuditChain(entries, expected, cut_off=not met)


async def _in_order(
    connection: AsyncConnection, wanted: ColumnElement[bool] | None = None
) -> AsyncIterator[Sequence[Row[Any]]]:
    asked = select(audit).where(true() if wanted is None else wanted).order_by(audit.c.id).limit(_CHUNK)
    number = 0
    while rows := (await connection.execute(asked.where(audit.c.id > number))).all():
        yield rows
        number = rows[-1].id


def _newest(query: AuditQuery, limit: int) -> Select[Any]:
    order = audit.c.at.desc(), audit.c.id.desc()
    return select(audit).where(*_terms(query)).order_by(*order).limit(limit)


def _terms(query: AuditQuery) -> list[ColumnElement[bool]]:
    terms: list[ColumnElement[bool]] = []
    if query.actors:
        terms.append(audit.c.actor.in_(query.actors))
    if query.channels:
        terms.append(audit.c.channel.in_(query.channels))
    if query.outcomes:
        terms.append(audit.c.outcome.in_([one.value for one in query.outcomes]))
    for word in query.words:
        in_action = func.lower(audit.c.action).contains(word, autoescape=True)
        in_plan = func.lower(audit.c.plan_hash).startswith(word, autoescape=True)
        terms.append(or_(*_in_subject(word), in_action, in_plan))
    return terms


def _in_subject(word: str) -> list[ColumnElement[bool]]:
    subject = func.lower(audit.c.subject)
    # R-1 is not R-12: a number is compared as a whole. Behind it follows what it is, or nothing.
    if _NUMBERED.fullmatch(word):
        return [subject == word, subject.startswith(f"{word}:")]
    return [subject.contains(form, autoescape=True) for form in _forms(word)]


def _forms(word: str) -> Iterable[str]:
    """What ``lower`` may have left of it: SQLite's, and PostgreSQL's under some locales, know ASCII only."""
    written = (word, word.upper(), word.title(), word.capitalize())
    return dict.fromkeys(form.translate(_ASCII) for form in written)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        actor=row.actor,
        action=_action(row.action),
        subject=row.subject,
        outcome=Outcome(row.outcome),
        before=row.before,
        after=row.after,
        channel=row.channel,
        reason=row.reason,
        plan_hash=row.plan_hash,
    )


def _action(word: str) -> AuditAction | TriedAction:
    return AuditAction(word) if word in set(AuditAction) else TriedAction(word)


def _row(entry: AuditEntry) -> dict[str, object]:
    return {**asdict(entry), "outcome": entry.outcome.value}
