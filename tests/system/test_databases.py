"""PostgreSQL as others run it.

One that does not suit is one sentence from `run` and `migrate`, which end, and a line of `doctor`. One that
does, behind PgBouncer or with another isolation by default, serves many people at once: nobody gets an error
id, and no tick fails. A burst of them in the suite, a minute of fifty with two replicas in `make soak`.
"""

import asyncio
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

import bot
from bot.__main__ import main
from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.text import message_text
from bot.demo.slack.wire_log import Interaction
from bot.demo.slack.workspace import APPROVER, FLEET_ALERTS, OPERATOR, OPERATORS, OPS, ROLLOUTS, User
from tests.settings.test_settings import REQUIRED
from tests.system.test_crash import fleet, has_jobs, promotes
from tests.worlds.postgres import Cluster
from tests.worlds.process import IN_TIME, PASSWORD, Outside, inside, outside

pytestmark = pytest.mark.postgres
NOBODY = "http://127.0.0.1:9"
ROOT = Path(__file__).parents[2]


class CommandLine:
    """`meshbot` in this process, with the settings of nothing but the database."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._capsys = capsys
        self._set = monkeypatch.setenv
        monkeypatch.chdir(folder)
        for name in ("SLACK__API_URL", "MESHTECH__AUTH_URL", "MESHTECH__API_URL"):
            self._set(f"MESHBOT_{name}", NOBODY)
        for name, text in {**REQUIRED, "MESHBOT_HTTP__PORT": "0"}.items():
            self._set(name, text)

    def migrates(self, url: str) -> str:
        self._set("MESHBOT_DATABASE_URL", url)
        status = main(["migrate"])
        out, err = self._capsys.readouterr()
        assert (status, err) == (0, "")
        return out

    def says(self, command: str, url: str) -> str:
        """The one sentence about the database."""
        self._set("MESHBOT_DATABASE_URL", url)
        status = main([command])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        if command == "doctor":
            assert status == 2
            (line,) = [line for line in out.splitlines() if line.startswith("FATAL  database: ")]
            return line
        assert (status, out, err.count("\n")) == (2, "", 1), err
        return err.strip()


@pytest.fixture
def meshbot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def reader(postgres_cluster: Cluster) -> Iterator[str]:
    """A role that owns nothing and may only connect."""
    with psycopg.connect(postgres_cluster.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        yield "reader"
        connection.execute("DROP ROLE reader")


@contextmanager
def owning_nothing(connection: psycopg.Connection, role: str) -> Iterator[None]:
    """At the end, so that the role can go."""
    try:
        yield
    finally:
        connection.execute(f"DROP OWNED BY {role}".encode())


def as_role(url: str, role: str) -> str:
    return url.replace("postgres@", f"{role}@")


def test_the_statements_of_the_operations_page_make_a_database_that_it_takes(
    meshbot: CommandLine, postgres_cluster: Cluster
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    statements = page.partition("```sql\n")[2].partition("```")[0].splitlines()
    (locks,) = re.findall(r"`(SELECT .+?)`", page.partition("## Troubleshooting")[2])
    with psycopg.connect(postgres_cluster.url("postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        try:
            url = as_role(postgres_cluster.url("meshbot"), "meshbot:correct%20horse")
            assert "it had none" in meshbot.migrates(url)
            connection.execute(locks.encode())
        finally:
            connection.execute("DROP DATABASE meshbot")
            connection.execute("DROP ROLE meshbot")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_cannot_hold_every_name_is_refused(
    encoding: str, meshbot: CommandLine, postgres_cluster: Cluster
) -> None:
    with psycopg.connect(postgres_cluster.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE narrow TEMPLATE template0 ENCODING '{encoding}'".encode())
        try:
            for command in ("run", "migrate", "doctor"):
                said = meshbot.says(command, postgres_cluster.url("narrow"))
                assert f"MESHBOT_DATABASE_URL: the database has the encoding {encoding}" in said
                assert "ENCODING 'UTF8' TEMPLATE template0" in said
        finally:
            connection.execute("DROP DATABASE narrow")


def test_a_role_that_may_not_make_tables_is_told_what_to_grant(
    meshbot: CommandLine, empty_postgres_url: str, reader: str
) -> None:
    for command in ("migrate", "doctor"):
        said = meshbot.says(command, as_role(empty_postgres_url, reader))
        assert "the role reader may not create tables in the schema public: make it the owner" in said
    assert "run `meshbot migrate` once" in meshbot.says("run", as_role(empty_postgres_url, reader))


def test_a_role_that_may_not_read_or_change_a_table_is_told_which(
    meshbot: CommandLine, postgres_url: str, reader: str
) -> None:
    url = as_role(postgres_url, reader)
    for command in ("run", "migrate", "doctor"):
        assert "does not open (permission denied for table alembic_version)" in meshbot.says(command, url)
    with psycopg.connect(postgres_url, autocommit=True) as connection, owning_nothing(connection, reader):
        for granted, missing in (
            ("SELECT, INSERT, UPDATE ON ALL TABLES", "audit"),
            ("DELETE ON ALL TABLES", "_seq"),
        ):
            connection.execute(f"GRANT {granted} IN SCHEMA public TO reader".encode())
            for command in ("run", "doctor"):
                said = meshbot.says(command, url)
                assert "MESHBOT_DATABASE_URL: its role may not use " in said
                assert f"{missing}: let the role" in said


def test_a_standby_is_told_from_the_primary(
    meshbot: CommandLine, empty_postgres_url: str, postgres_url: str
) -> None:
    options = "&options=-c%20default_transaction_read_only%3Don"
    for command, url in (
        ("migrate", empty_postgres_url),
        ("doctor", empty_postgres_url),
        ("run", postgres_url),
    ):
        said = meshbot.says(command, url + options)
        assert "MESHBOT_DATABASE_URL: the database takes no changes (it may only be read)" in said
        assert "name the primary there, and not a standby" in said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("postgres@", "nobody-here@"), 'role "nobody-here" does not exist'),
        (("/test_", "/nowhere_"), "does not exist"),
        (("host=", "hots="), 'invalid connection option "hots"'),
        (("host=", "sslmode=perhaps&host="), 'invalid sslmode value: "perhaps"'),
        (("host=", "options=-c%20nonsense%3D1&host="), "nonsense"),
    ],
)
def test_what_the_server_or_its_library_refuses_is_said_in_its_words(
    change: tuple[str, str], reason: str, meshbot: CommandLine, postgres_url: str
) -> None:
    for command in ("run", "migrate", "doctor"):
        said = meshbot.says(command, postgres_url.replace(*change))
        assert "MESHBOT_DATABASE_URL: the database does not open (" in said
        assert reason in said


# ---- many people at once
COMMANDS = (
    "devices",
    "rename {gateway} Roof {number}",
    "status",
    "silence id:{gateway} for 1h because of work",
    "devices is:online -tag:none",
    "tag {gateway} +round-{number}",
    "audit",
    "alerts",
    "device {gateway}",
    "update id:{gateway} to latest",
    "tags",
    "silences",
    "unsilence S-{number}",
    "rollouts",
)
TROUBLE = re.compile(r"\(error [A-Z0-9]{8}\)|does not answer|Others changed")


@pytest.fixture(
    params=["serializable", "repeatable read", pytest.param("pgbouncer", marks=pytest.mark.pgbouncer)]
)
def somebody_s_url(request: pytest.FixtureRequest) -> str:
    if request.param == "pgbouncer":
        pooled: str = request.getfixturevalue("pooled_url")
        return pooled
    level = request.param.replace(" ", "%5C%20")
    url: str = request.getfixturevalue("postgres_url")
    return f"{url}&options=-c%20default_transaction_isolation%3D{level}"


@pytest.mark.pgbouncer
async def test_a_burst_of_commands_finds_pgbouncer_and_another_isolation_well(
    postgres_url: str, pooled_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable".encode())
        try:
            await crowd(pooled_url, tmp_path, people=5, commands=len(COMMANDS), a_second=None, replicas=1)
        finally:
            connection.execute(f"ALTER DATABASE {name} RESET ALL".encode())


@pytest.mark.soak
async def test_a_minute_of_fifty_people_finds_any_postgresql_well(
    somebody_s_url: str, tmp_path: Path
) -> None:
    await crowd(somebody_s_url, tmp_path, people=50, commands=900, a_second=15, replicas=2)


async def crowd(
    url: str, folder: Path, *, people: int, commands: int, a_second: int | None, replicas: int
) -> None:
    """Everybody in turn types the next command; each is an operator."""
    portal = FleetSimulator(gateways=200, password=PASSWORD)
    times = {"CHANNELS__ALERTS": FLEET_ALERTS, "ALERTS__OFFLINE_AFTER": "0", "ALERTS__GROUP_WAIT": "0"}
    async with outside(folder, portal, DATABASE_URL=url, **times) as world, AsyncExitStack() as running:
        names = operators(world, people)
        apps = [await running.enter_async_context(inside(world)) for _ in range(replicas)]
        acts = await typed_by(world, names, commands, a_second)
        said = [await answer(world, act) for act in acts]
        for app in apps:
            for name in app.scheduler.ticks:
                await app.scheduler.run_now(name)
        failed = {
            state.name: state.last_error
            for app in apps
            for state in app.scheduler.ticks.values()
            if state.failures
        }
    assert [text for text in said if TROUBLE.search(text)] == []
    assert failed == {}


async def typed_by(
    world: Outside, names: list[str], commands: int, a_second: int | None
) -> list[Interaction]:
    """Each command is typed at its time, however long the others take; at once where there is none."""
    loop, typing = asyncio.get_running_loop(), []
    typists = zip(itertools.cycle(names), itertools.islice(typed(world), commands), strict=False)
    begun = loop.create_future()

    def type_next() -> None:
        name, text = next(typists)
        typing.append(loop.create_task(world.slack.command(name, OPS, text)))
        if len(typing) == commands:
            begun.set_result(None)

    for number in range(commands):
        loop.call_later(number / a_second if a_second else 0, type_next)
    await begun
    return await asyncio.gather(*typing)


def operators(world: Outside, count: int) -> list[str]:
    """So many people more."""
    names = [f"U0PERSON{number:02}" for number in range(count)]
    world.slack.workspace.users.update({name: User(name, name.lower(), name) for name in names})
    world.slack.workspace.groups[OPERATORS].users.extend(names)
    return names


def typed(world: Outside) -> Iterator[str]:
    gateways = itertools.cycle(world.portal.devices)
    for number, text in enumerate(itertools.cycle(COMMANDS)):
        yield text.format(gateway=next(gateways), number=number // len(COMMANDS) + 1)


async def answer(world: Outside, act: Interaction) -> str:
    assert (await act.ack).ok
    try:
        await world.slack.wait_for(lambda: act.responses, IN_TIME)
    except TimeoutError as error:
        raise AssertionError(f"no answer to {act}") from error
    return "\n".join(map(message_text, act.responses))


@pytest.mark.soak
async def test_while_every_connection_waits_people_hear_that_it_is_busy_and_sigterm_ends_it_in_time(
    postgres_url: str, tmp_path: Path
) -> None:
    portal = FleetSimulator(gateways=3, password=PASSWORD)
    async with outside(tmp_path, portal, DATABASE_URL=postgres_url) as world:
        bot = await world.run()
        await world.has_listed()
        with psycopg.connect(postgres_url) as other:
            other.execute("LOCK TABLE gateways, ticks, cards IN ACCESS EXCLUSIVE MODE")
            acts = [await world.slack.command(one, OPS, "devices") for one in operators(world, 40)]

            def busy() -> bool:
                return any("I am busy" in message_text(one) for act in acts for one in act.responses)

            await world.slack.wait_for(busy, IN_TIME)
            async with asyncio.timeout(30):
                assert await world.stop(bot) == 0


# ---- an upgrade whose schema changes, under two replicas: the old ones go on until each has been replaced
EXPANDS = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    for table in ("gateways", "rollouts", "rollout_targets", "cards", "notes", "audit"):
        op.add_column(table, sa.Column("of_the_next_version", sa.String))
    op.create_table("of_the_next_version", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_an_update_goes_on_while_replicas_of_a_newer_schema_replace_the_old_ones(
    tmp_path: Path, postgres_url: str
) -> None:
    newer = newer_version(tmp_path)
    portal = fleet(30, speed=60)
    async with outside(tmp_path, portal, DATABASE_URL=postgres_url, ROLLOUTS__WAVES="5,100%") as world:
        old = [await world.run() for _ in range(2)]
        plan = await world.answer(OPERATOR, "update tag:oslo to 3.5.0")
        await world.slack.click(OPERATOR, plan, "rollout_request")
        card = await world.message(ROLLOUTS, "R-1")
        migrating = await new(world, newer, "migrate")
        assert await migrating.wait() == 0
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]
        await world.slack.click(APPROVER, card, "rollout_approve")  # the old ones know nothing of it
        await has_jobs(world, 1)
        replacing = [await new(world, newer, "run") for _ in range(2)]
        try:
            await world.slack.wait_for(lambda: world.slack.connected == 8, IN_TIME)
            for one in old:
                assert await world.stop(one) == 0
            await world.slack.wait_for(lambda: world.slack.connected == 4, IN_TIME)
            await promotes(world)
            await world.shows(card, "finished")
        finally:
            for process in replacing:
                process.terminate()
            assert [await process.wait() for process in replacing] == [0, 0]
        assert {len(jobs) for jobs in portal.starts.values()} == {1}
        assert [one for one in world.in_channel(ROLLOUTS) if not one.is_reply] == [card]
        world.check_nothing_is_wrong()


def newer_version(folder: Path) -> Path:
    """This version with another migration."""
    shutil.copytree(Path(bot.__file__).parent, folder / "newer" / "bot")
    versions = folder / "newer" / "bot" / "storage" / "db" / "migrations" / "versions"
    (versions / "0002_of_the_next_version.py").write_text(EXPANDS)
    return folder / "newer"


async def new(world: Outside, version: Path, command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", command),
        cwd=world.folder,
        env={**os.environ, **world.variables, "PYTHONPATH": str(version)},
    )
