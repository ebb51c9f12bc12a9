"""What is wanted, and what is known to be bad, of firmware: rows, and which of them a gateway falls under."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.firmware import FirmwarePolicy, PolicyId, PolicyKind
from bot.domain.query import Query, parse
from bot.storage.db.statements import among, insert_or_ignore
from bot.storage.db.tables import firmware_policies as table
from bot.storage.db.tables import gateways
from bot.storage.db.unreadable_rows import legible
from bot.storage.query import condition, runs


async def add(
    connection: AsyncConnection, policy: FirmwarePolicy, asked_once: str | None = None
) -> FirmwarePolicy | None:
    """As it is numbered. None when the yes to the question ``asked_once`` made one before."""
    values = {
        "kind": policy.kind.value,
        "version": policy.version,
        "query": policy.query,
        "by": policy.by,
        "by_name": policy.by_name,
        "created_at": policy.created_at,
        "reason": policy.reason,
        "link": policy.link,
        "asked": asked_once,
    }
    made = await connection.execute(insert_or_ignore(connection, table, values).returning(*table.c))
    row = made.first()
    return None if row is None else _policy(row)


async def standing(connection: AsyncConnection) -> Sequence[FirmwarePolicy]:
    """Those that hold now, the newest first."""
    rows = await connection.execute(
        select(table).where(table.c.ended_at.is_(None)).order_by(table.c.id.desc())
    )
    return legible(rows, _policy)


async def find(connection: AsyncConnection, number: PolicyId) -> FirmwarePolicy | None:
    """Ended or not; None when it was never made, or is kept no longer."""
    row = (await connection.execute(select(table).where(table.c.id == number))).first()
    return None if row is None else _policy(row)


async def end(connection: AsyncConnection, number: PolicyId, by: str, now: datetime) -> FirmwarePolicy | None:
    """What somebody ended; None when it does not hold any more."""
    return await _change(connection, number, table.c.ended_at.is_(None), ended_by=by, ended_at=now)


async def revive(connection: AsyncConnection, number: PolicyId) -> FirmwarePolicy | None:
    """What holds again, in its old place; None when it had not ended."""
    return await _change(connection, number, table.c.ended_at.is_not(None), ended_by=None, ended_at=None)


async def count_matching(connection: AsyncConnection, queries: Sequence[Query], now: datetime) -> int:
    """How many gateways match all of the queries."""
    found = await connection.execute(
        select(func.count()).select_from(gateways).where(*(_matches(one, now) for one in queries))
    )
    return found.scalar_one()


async def holds_among(
    connection: AsyncConnection, policy: FirmwarePolicy, ids: Sequence[str], now: datetime
) -> bool:
    """Whether one of these gateways matches its query."""
    found = await connection.execute(
        select(gateways.c.id)
        .where(among(connection, gateways.c.id, ids), _matches(parse(policy.query), now))
        .limit(1)
    )
    return found.first() is not None


def which(policies: Sequence[FirmwarePolicy], now: datetime) -> ColumnElement[int | None]:
    """Of a gateway: the number of the newest that it falls under, NULL for none. Under a bad version fall
    those that run it.
    """
    newest_first = sorted(policies, key=lambda one: one.id, reverse=True)
    cases = [(_falls_under(one, now), literal(one.id, BigInteger)) for one in newest_first]
    return case(*cases) if cases else cast(null(), BigInteger)


def _falls_under(policy: FirmwarePolicy, now: datetime) -> ColumnElement[bool]:
    its = _matches(parse(policy.query), now)
    return and_(runs(policy.version), its) if policy.kind is PolicyKind.BAD else its


def _matches(query: Query, now: datetime) -> ColumnElement[bool]:
    wanted = condition(query, now)
    return true() if wanted is None else wanted


async def _change(
    connection: AsyncConnection, number: PolicyId, where: ColumnElement[bool], **values: Any
) -> FirmwarePolicy | None:
    changed = await connection.execute(
        update(table).where(table.c.id == number, where).values(values).returning(*table.c)
    )
    row = changed.first()
    return None if row is None else _policy(row)


def _policy(row: Row[Any]) -> FirmwarePolicy:
    return FirmwarePolicy(
        PolicyId(row.id),
        PolicyKind(row.kind),
        row.version,
        row.query,
        row.by,
        row.by_name,
        row.created_at,
        row.reason,
        row.link,
        row.ended_by,
    )
