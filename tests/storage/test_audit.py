"""The audit log only grows, and forgets by age: the database itself refuses to change a row."""

import ast
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Update, select, update
from sqlalchemy.exc import DBAPIError

from bot.domain.audit import BEGINNING, AuditAction, AuditEntry, AuditQuery, Outcome, chained, parse_audit
from bot.storage import audit
from bot.storage.db.engine import Database
from bot.storage.db.tables import audit as table
from tests.worlds.builders import NOW

pytestmark = pytest.mark.on_both

BOT = Path(__file__).parents[2] / "bot"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(database_url)
    async with opened.write() as connection:
        await audit.record(connection, entry(400), entry(1))
    yield opened
    await opened.close()


def entry(days: int) -> AuditEntry:
    return AuditEntry(
        NOW - timedelta(days=days), "U0ANA00001", AuditAction.RENAME, f"day {days}", Outcome.DONE
    )


async def test_what_is_handed_out_is_every_entry_with_its_hash_the_oldest_first(database: Database) -> None:
    async with database.write() as connection:
        await audit.record(connection, *(entry(0) for _ in range(600)))
    async with database.read() as connection:
        found = [one async for chunk in audit.exported(connection, None) for one in chunk]
        later = [one async for chunk in audit.exported(connection, NOW - timedelta(days=2)) for one in chunk]
    assert [one["subject"] for one in found[:2]] == ["day 400", "day 1"]
    assert found[1]["at"] == f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert (len(found), later) == (602, found[1:])
    last = BEGINNING
    for told, written in zip(found, [entry(400), entry(1), *[entry(0)] * 600], strict=True):
        last = chained(last, written)
        assert told["hash"] == last


async def write(database: Database, statement: Update) -> None:
    async with database.write() as connection:
        await connection.execute(statement)


async def test_the_database_refuses_to_change_a_row(database: Database) -> None:
    with pytest.raises(DBAPIError, match="rows of the audit log are never changed"):
        await write(database, update(table).values(outcome="done"))
    async with database.read() as connection:
        assert len(await audit.find(connection, AuditQuery(), 10)) == 2


@pytest.mark.parametrize(("most", "told"), [(2_000, 1_202), (700, 700)])
async def test_very_many_rows_come_in_chunks_each_once_and_the_newest_first(
    database: Database, most: int, told: int
) -> None:
    async with database.write() as connection:
        await audit.record(connection, *(entry(2 + number // 7) for number in range(1_200)))
    async with database.read() as connection:
        found = [one async for chunk in audit.chunks(connection, AuditQuery(), most) for one in chunk]
        assert found == list(await audit.find(connection, AuditQuery(), most))
    assert len(found) == told


@pytest.mark.parametrize("subject", ["Ålesund", "ÅLESUND-ØST", "ålesund", "Øst for Ålesund"])
async def test_a_word_is_found_however_its_letters_are_written(database: Database, subject: str) -> None:
    async with database.write() as connection:
        await audit.record(connection, replace(entry(2), subject=f"incident 3 {subject}"))
    for asked in ("Ålesund", "ÅLESUND", "ålesund"):
        async with database.read() as connection:
            assert await audit.count(connection, parse_audit(asked)) == 1, asked


@pytest.mark.parametrize(("asked", "found"), [("S-3", 1), ("s-31", 1), ("R-3", 0), ("tag:oslo", 2)])
async def test_a_silence_is_found_by_its_number_and_no_other(
    database: Database, asked: str, found: int
) -> None:
    async with database.write() as connection:
        subjects = ("S-3: tag:oslo", "S-31: tag:oslo", "R-31")
        await audit.record(connection, *(replace(entry(2), subject=one) for one in subjects))
    async with database.read() as connection:
        assert await audit.count(connection, parse_audit(asked)) == found


async def test_pruning_forgets_what_is_older_and_nothing_else(database: Database) -> None:
    async with database.write() as connection:
        assert await audit.prune(connection, NOW - timedelta(days=365)) == 1
    async with database.read() as connection:
        assert list(await connection.scalars(select(table.c.subject))) == ["day 1"]


def test_no_line_of_the_code_changes_a_row_and_only_pruning_deletes_one() -> None:
    found = []
    for path in sorted(BOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = [ast.unparse(one) for one in ast.walk(node) if isinstance(one, ast.Call)]
                words = ("delete(audit)", "update(audit)", "delete(tables.audit)", "update(tables.audit)")
                found += [(path.name, node.name) for call in calls if call in words]
    assert found == [("audit.py", "prune")]
