"""A database that does not suit: one sentence from `run` and `migrate`, which end, and a line of `doctor`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bot.__main__ import main
from tests.settings.test_settings import REQUIRED
from tests.worlds.postgres import Cluster

pytestmark = pytest.mark.postgres
NOBODY = "http://127.0.0.1:9"


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

    def says(self, command: str, url: str) -> str:
        """The one sentence about the database."""
        self._set("MESHBOT_DATABASE_URL", url)
        status = main([command])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        if command == "doctor":
            assert status == 1
            (line,) = [line for line in out.splitlines() if line.startswith("WRONG  database: ")]
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
