"""Whether what was written down can be trusted: entries that somebody changes, takes out, or keeps away."""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from bot.demo.fleet.simulator import FleetSimulator
from bot.domain.access import Actor, Role
from bot.domain.audit import BEGINNING, AuditAction, AuditChain, AuditEntry, AuditQuery, Outcome
from bot.domain.errors import Unavailable
from bot.services.audit import AuditService
from bot.services.context import Context
from bot.settings.definitions import load_settings
from bot.settings.env_file import open_to_others
from bot.settings.environment import SettingsError
from bot.settings.value_formats import show_url
from bot.storage import audit
from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate
from bot.storage.db.tables import audit as table
from tests.settings.test_settings import REQUIRED
from tests.test_main import Done, meshbot
from tests.worlds.builders import NOW
from tests.worlds.databases import sqlite_url
from tests.worlds.process import PASSWORD, outside

ANA = Actor("U0ANA00001", "Ana", Role.APPROVER)
ENTRY = AuditEntry(NOW, "U0ANA00001", AuditAction.RENAME, "bmac-1", Outcome.DONE, before="a", after="b")


async def add(database: Database, *entries: AuditEntry) -> None:
    async with database.write() as connection:
        await audit.record(connection, *entries)


async def as_an_intruder(database: Database, *statements: str) -> None:
    """What somebody does who has the database itself: no trigger stops them."""
    free = {
        "sqlite": ["DROP TRIGGER IF EXISTS audit_is_never_changed"],
        "postgresql": ["ALTER TABLE audit DISABLE TRIGGER USER"],
    }[database.engine.dialect.name]
    async with database.write() as connection:
        for statement in (*free, *statements):
            await connection.execute(text(statement))
        if database.engine.dialect.name == "postgresql":
            await connection.execute(text("ALTER TABLE audit ENABLE TRIGGER USER"))


async def walk(database: Database) -> AuditChain:
    async with database.read() as connection:
        return await audit.verify(connection)


pytestmark = pytest.mark.on_both


@pytest.fixture
async def written(database: Database) -> Database:
    """Ten entries in four transactions."""
    entries = [replace(ENTRY, subject=f"bmac-{number}") for number in range(10)]
    await add(database, *entries[:4])
    await add(database, entries[4])
    async with database.write() as connection:
        await audit.record(connection, *entries[5:7])
        await audit.record(connection, entries[7])
    await add(database, *entries[8:])
    return database


async def test_a_log_that_nobody_touched_is_whole(written: Database) -> None:
    found = await walk(written)

    assert (found.is_whole, found.entries) == (True, 10)
    assert found.last != BEGINNING


async def test_an_empty_log_is_whole(database: Database) -> None:
    assert (await walk(database)).is_whole


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'U0OTTO0001'",
        "action = 'tag'",
        "subject = 'bmac-x'",
        "outcome = 'refused'",
        "before = 'x'",
        "after = NULL",
        "channel = 'C1'",
        "reason = ''",
        "plan_hash = 'x'",
        "at = at + 1",
        "hash = '0'",
    ],
)
async def test_a_changed_entry_breaks_the_chain_there(written: Database, change: str) -> None:
    await as_an_intruder(written, f"UPDATE audit SET {change} WHERE id = 5")

    assert (await walk(written)).broken_at == 5


async def test_an_entry_taken_out_breaks_the_chain_behind_it(written: Database) -> None:
    await as_an_intruder(written, "DELETE FROM audit WHERE id = 5")

    assert (await walk(written)).broken_at == 6


async def test_an_entry_put_in_breaks_the_chain(written: Database) -> None:
    async with written.write() as connection:
        row = (await connection.execute(select(table).where(table.c.id == 10))).one()._mapping
        await connection.execute(insert(table).values({**row, "id": 11, "actor": "U0OTTO0001"}))

    assert (await walk(written)).broken_at == 11


async def test_the_newest_entries_cannot_be_cut_off_unseen(written: Database) -> None:
    await as_an_intruder(written, "DELETE FROM audit WHERE id > 7")

    found = await walk(written)
    assert (found.is_whole, found.cut_off, found.broken_at) == (False, True, None)


async def test_the_oldest_entries_cannot_be_cut_off_unseen(written: Database) -> None:
    await as_an_intruder(written, "DELETE FROM audit WHERE id < 4")

    assert (await walk(written)).broken_at == 4


async def test_what_is_forgotten_by_age_leaves_a_whole_chain_behind(written: Database) -> None:
    await add(written, replace(ENTRY, at=NOW + timedelta(days=300), subject="later"))

    async with written.write() as connection:
        assert await audit.prune(connection, NOW + timedelta(days=1)) == 10
        assert await audit.prune(connection, NOW + timedelta(days=1)) == 0
    found = await walk(written)
    assert (found.is_whole, found.entries) == (True, 1)

    async with written.write() as connection:
        await audit.prune(connection, NOW + timedelta(days=400))
    await add(written, ENTRY)
    found = await walk(written)
    assert (found.is_whole, found.entries) == (True, 1)


async def test_a_transaction_that_is_rolled_back_leaves_no_entry_and_a_whole_chain(
    written: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.storage.audit")
    with suppress(RuntimeError):
        async with written.write() as connection:
            await audit.record(connection, replace(ENTRY, subject="never"))
            raise RuntimeError
    await add(written, ENTRY)

    found = await walk(written)
    assert (found.is_whole, found.entries) == (True, 11)
    assert [one.subject for one in caplog.records if one.msg == "audit"] == ["bmac-1"]  # type: ignore[attr-defined]


async def test_replicas_that_write_at_once_make_one_chain(database_url: str) -> None:
    replicas = [Database.open(database_url) for _ in range(3)]

    async def work(database: Database, number: int) -> None:
        for turn in range(10):
            await add(database, replace(ENTRY, subject=f"{number} {turn}"), replace(ENTRY, subject="second"))

    await asyncio.gather(*(work(database, number) for number, database in enumerate(replicas)))

    found = await walk(replicas[0])
    assert (found.is_whole, found.entries) == (True, 60)
    for database in replicas:
        await database.close()


async def test_every_entry_goes_to_the_log_with_its_hash(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.storage.audit")
    await add(database, ENTRY)

    (line,) = [one for one in caplog.records if one.msg == "audit"]
    told = vars(line)
    assert (told["actor"], told["action"], told["subject"], told["outcome"]) == (
        "U0ANA00001",
        "rename",
        "bmac-1",
        "done",
    )
    assert told["hash"] == (await walk(database)).last


# ---- what cannot be written at once
@pytest.fixture
def service(database: Database) -> AuditService:
    return AuditService(Context(database, lambda: NOW))


async def test_refusals_told_while_the_database_is_away_are_written_when_it_is_back(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    service = AuditService(Context(database, lambda: NOW))
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE audit_chain RENAME TO away"))
    for about in ("bmac-1", "bmac-2"):
        with pytest.raises(Unavailable):
            await service.refused(ANA, "rename", about, "C1", "You may not.")
    with pytest.raises(Unavailable):
        await service.catch_up()

    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO audit_chain"))
    await service.catch_up()
    await service.catch_up()

    async with database.read() as connection:
        found = await audit.find(connection, AuditQuery(), 10)
    assert sorted(entry.subject for entry in found) == ["bmac-1", "bmac-2"]
    assert (await walk(database)).is_whole
    await database.close()


async def test_an_export_is_in_the_audit_log(service: AuditService, database: Database) -> None:
    await service.exported(ANA, "devices", "tag:oslo", 1_234)

    async with database.read() as connection:
        (entry,) = await audit.find(connection, AuditQuery(), 10)
    assert (entry.actor, entry.action, entry.subject, entry.after) == (
        ANA.user_id,
        "export",
        "devices tag:oslo",
        "1,234 rows",
    )


# ---- on the command line
def verify(folder: Path) -> Done:
    url = f"sqlite:///{folder}/meshbot.db"
    return meshbot(folder, "audit", "verify", **REQUIRED, MESHBOT_DATABASE_URL=url)


async def test_the_command_line_checks_the_chain(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    await add(database, ENTRY, ENTRY, ENTRY)

    done = await asyncio.to_thread(verify, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The audit log is whole: 3 entries, the last with the hash ")

    await as_an_intruder(database, "UPDATE audit SET actor = 'U0OTTO0001' WHERE id = 2")
    await database.close()
    done = await asyncio.to_thread(verify, tmp_path)
    assert done.returncode == 1
    assert "entry 2 is not as it was written" in done.stdout


def test_without_a_schema_the_command_line_says_so(tmp_path: Path) -> None:
    done = verify(tmp_path)

    assert done.returncode == 2
    assert "run `meshbot migrate` once" in done.stderr
    assert "Traceback" not in done.stderr


# ---- what others on the machine may read
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://bot:pw@db:5432/meshbot", "postgresql://••••••@db:5432/meshbot"),
        ("postgresql://bot@db/meshbot", "postgresql://••••••@db/meshbot"),
        ("postgresql://db/meshbot?user=u&password=pw", "postgresql://db/meshbot?••••••"),
        ("postgresql://bot:p@w@db/meshbot", "postgresql://••••••@db/meshbot"),
        ("postgresql://bot:p/w@db/meshbot", "postgresql://••••••@db/meshbot"),
        ("postgresql://bot:p?w@db/meshbot", "postgresql://••••••"),
        ("postgresql://db/meshbot?options=a@b", "postgresql://••••••"),
        ("sqlite:///meshbot.db", "sqlite:///meshbot.db"),
        ("https://user:key@portal.example/api", "https://••••••@portal.example/api"),
        ("https://portal.example/api?key=secret", "https://portal.example/api?••••••"),
        (
            "GET https://u:k@portal.example/jobs/{id}?key=s",
            "GET https://••••••@portal.example/jobs/{id}?••••••",
        ),
        ("https://portal.example/api/", "https://portal.example/api/"),
    ],
)
def test_an_address_is_shown_without_user_info_and_query(written: str, shown: str) -> None:
    assert show_url(written) == shown


def test_no_address_in_the_settings_shows_its_secrets() -> None:
    variables = {
        "MESHBOT_DATABASE_URL": "postgresql://bot:hidden@db/meshbot?sslpassword=hidden",
        "MESHBOT_MESHTECH__ROUTES__LIST_JOBS": "GET https://me:hidden@portal.example/jobs?key=hidden",
    }
    settings = load_settings({**REQUIRED, **variables}, env_file=None, secrets_dir=None)

    assert [line.variable for line in settings.describe() if "hidden" in line.value] == []


def test_an_address_that_is_refused_for_its_secrets_does_not_show_them() -> None:
    names = ("MESHBOT_MESHTECH__AUTH_URL", "MESHBOT_MESHTECH__API_URL", "MESHBOT_SLACK__API_URL")
    variables = dict.fromkeys(names, "https://me:hidden@portal.example/api?key=hidden")
    with pytest.raises(SettingsError) as refused:
        load_settings({**REQUIRED, **variables}, env_file=None, secrets_dir=None)
    assert all(name in str(refused.value) for name in names)
    assert "hidden" not in str(refused.value)


def test_a_file_with_secrets_that_others_may_read_is_said(tmp_path: Path) -> None:
    env, database = tmp_path / ".env", tmp_path / "the bot.db"
    url = f"sqlite:///{tmp_path}/the%20bot.db"
    for file in (env, database):
        file.write_bytes(b"SQLite format 3\0")
        file.chmod(0o644)

    said = [sentence for _, sentence in open_to_others(url, env)]
    assert [sentence.partition(" holds")[0] for sentence in said] == [str(env), str(database)]
    assert all("chmod o= " in sentence for sentence in said)

    for file in (env, database):
        file.chmod(0o640)
    assert list(open_to_others(url, env)) == []
    assert list(open_to_others("postgresql://db/meshbot", tmp_path / "none")) == []


def listed(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_database_file_that_the_bot_makes_is_for_nobody_else(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/new.db")
    await migrate(database)
    modes = {file.name: file.stat().st_mode & 0o077 for file in await asyncio.to_thread(listed, tmp_path)}
    await database.close()

    assert "new.db" in modes
    assert set(modes.values()) == {0}


async def test_the_start_says_which_files_others_may_read(tmp_path: Path) -> None:
    portal = FleetSimulator(gateways=3, password=PASSWORD)
    async with outside(tmp_path, portal) as world:
        (tmp_path / ".env").touch(0o644)
        bot = await world.run()
        await world.stop(bot)
        warnings = [str(line["event"]) for line in bot.entries() if line["level"] == "warning"]
    assert [sentence for sentence in warnings if sentence.startswith(".env holds")] != []


_TAKES_IT = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


async def test_to_look_who_may_read_a_database_leaves_its_locks(tmp_path: Path) -> None:
    url, path = sqlite_url(tmp_path), sqlite_url(tmp_path).removeprefix("sqlite:///")
    database = Database.open(url)
    await migrate(database)
    os.chmod(path, 0o644)
    async with database.write():
        assert list(open_to_others(url, tmp_path / "none"))
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _TAKES_IT, path, stderr=asyncio.subprocess.PIPE
        )
        _, said = await other.communicate()
    await database.close()
    assert b"database is locked" in said
