"""The command line: as an operator runs it, and in this process where it need not be one of its own."""

import asyncio
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.storage.audit import record
from bot.storage.db.engine import Database
from tests.settings.test_settings import REQUIRED
from tests.worlds.databases import sqlite_url


def process(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding=variables.get("PYTHONIOENCODING", "utf-8"),
        timeout=100,
        check=False,
    )


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def meshbot(folder: Path, *arguments: str, encoding: str = "utf-8", **variables: str) -> Done:
    """The same in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        for name, text in variables.items():
            patch.setenv(name, text)
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse's
            status = int(str(end.code))
    out.seek(0)
    err.seek(0)
    return Done(status, out.read(), err.read())


@pytest.mark.parametrize("command", ["run", "migrate"])
def test_a_missing_setting_is_one_sentence_and_exit_status_2(command: str, tmp_path: Path) -> None:
    done = meshbot(tmp_path, command)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(" is missing: set it to ")[0] for line in done.stderr.splitlines()] == [
        f"MESHBOT_{name}"
        for name in ("SLACK__BOT_TOKEN", "SLACK__APP_TOKEN", "MESHTECH__USERNAME", "MESHTECH__PASSWORD")
    ]


DOCTOR = ("doctor", "--openapi", "Tromsø 北.json")
NOWHERE = {
    **REQUIRED,
    "MESHBOT_SLACK__API_URL": "http://127.0.0.1:9/",
    "MESHBOT_MESHTECH__AUTH_URL": "http://127.0.0.1:9",
    "MESHBOT_MESHTECH__API_URL": "http://127.0.0.1:9",
}


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "utf-8"])
def test_what_is_said_can_be_written_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    done = meshbot(tmp_path, *DOCTOR, encoding=encoding, **NOWHERE)
    assert done.returncode == 1, done.stderr
    assert "to mend." in done.stdout


def test_the_doctor_says_what_it_finds_and_nothing_beside_it_in_ascii_too(tmp_path: Path) -> None:
    done = process(tmp_path, *DOCTOR, PYTHONIOENCODING="ascii", **NOWHERE)
    assert (done.returncode, done.stderr) == (1, "")
    assert "to mend." in done.stdout


def test_a_process_reads_the_folder_s_env_file_and_ends_with_the_status_and_the_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("MESHBOT_HTTP__PROT=ø\n", encoding="utf-8")
    done = process(tmp_path, "run", PYTHONIOENCODING="ascii", **REQUIRED)
    assert (done.returncode, done.stdout) == (2, "")
    assert "MESHBOT_HTTP__PORT" in done.stderr


def test_a_database_that_does_not_open_is_one_sentence_and_exit_status_2(tmp_path: Path) -> None:
    done = meshbot(tmp_path, "migrate", **REQUIRED, MESHBOT_DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert "MESHBOT_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.on_both
def test_migrate_says_what_it_did_and_does_it_once(tmp_path: Path, empty_database_url: str) -> None:
    first = meshbot(tmp_path, "migrate", **REQUIRED, MESHBOT_DATABASE_URL=empty_database_url)
    second = meshbot(tmp_path, "migrate", **REQUIRED, MESHBOT_DATABASE_URL=empty_database_url)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "it had none" in first.stdout
    assert "already" in second.stdout


ADDRESSES = (
    *("SLACK__API_URL", "MESHTECH__AUTH_URL", "MESHTECH__API_URL", "MESHTECH__ROUTES__GET_JOB"),
    *("DATABASE_URL", "HTTPS_PROXY", "ALL_PROXY", "HTTP__HOST", "--openapi", "--http"),
)


@pytest.mark.parametrize("host", ["h:99999", "[::1", "a..b", "h\0st"], ids=ascii)
@pytest.mark.parametrize("where", ADDRESSES)
def test_an_address_that_cannot_be_is_one_sentence_and_exit_status_2(
    where: str, host: str, tmp_path: Path
) -> None:
    arguments, variables = ["run"], dict(REQUIRED)
    match where:
        case "--openapi" | "--http":
            arguments = ["doctor" if where == "--openapi" else "manifest", where, f"https://{host}/x"]
        case "HTTPS_PROXY" | "ALL_PROXY":
            variables[where] = host.replace("\0", " ")  # no environment can hold a NUL
        case _:
            before = {"MESHTECH__ROUTES__GET_JOB": "GET https://", "DATABASE_URL": "postgresql://"}
            written = host if where == "HTTP__HOST" else f"{before.get(where, 'https://')}{host}/x"
            (tmp_path / ".env").write_text(f"MESHBOT_{where}='{written}'\n")
    done = meshbot(tmp_path, *arguments, **variables)
    assert done.returncode == 2, (done.stdout, done.stderr)
    sentence = done.stderr.splitlines()[-1]
    assert where in sentence
    assert sentence.isprintable()


def test_help_names_every_command(tmp_path: Path) -> None:
    done = process(tmp_path, "--help")
    assert done.returncode == 0
    assert {"run", "init", "demo", "doctor", "migrate", "move-database", "audit", "manifest"} <= set(
        done.stdout.split()
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--speed", "0"],
        ["demo", "--gateways", "none"],
        ["manifest", "--command", "mesh"],
        ["manifest", "--http", "bot.example.com"],
        ["manifest", "--http", "http://bot.example.com"],
    ],
)
def test_a_wrong_argument_is_explained(arguments: list[str], tmp_path: Path) -> None:
    done = meshbot(tmp_path, *arguments)
    assert done.returncode == 2
    assert f"argument {arguments[1]}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_manifest_that_is_printed_is_the_one_in_the_repository(tmp_path: Path) -> None:
    done = meshbot(tmp_path, "manifest")
    assert done.stdout == (Path(__file__).parent.parent / "manifest.yml").read_text(encoding="utf-8")


def test_a_manifest_has_the_slash_command_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MESHBOT_SLACK__COMMAND=/mesh-test\n")
    assert 'command: "/mesh-test"' in meshbot(tmp_path, "manifest").stdout
    assert 'command: "/m"' in meshbot(tmp_path, "manifest", MESHBOT_SLACK__COMMAND="/m").stdout
    wrong = meshbot(tmp_path, "manifest", MESHBOT_SLACK__COMMAND="mesh")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("MESHBOT_SLACK__COMMAND is not usable: a slash command is")


def test_a_manifest_for_http_names_the_address_it_is_given(tmp_path: Path) -> None:
    done = meshbot(tmp_path, "manifest", "--http", "https://bot.example.com", "--command", "/mesh-test")
    assert 'request_url: "https://bot.example.com/slack/events"' in done.stdout
    assert 'command: "/mesh-test"' in done.stdout


def test_a_database_that_cannot_be_moved_is_named_by_its_argument(tmp_path: Path) -> None:
    source, nobody = sqlite_url(tmp_path), "postgresql://u:geheim@127.0.0.1:1/x"
    to = meshbot(tmp_path, "move-database", source, nobody)
    (tmp_path / "text").write_text("no rows" * 100)
    from_ = meshbot(tmp_path, "move-database", f"sqlite:///{tmp_path}/text", nobody)
    assert (to.returncode, from_.returncode) == (2, 2)
    assert to.stderr.startswith("TO: the database does not open")
    assert from_.stderr.startswith("FROM: the database does not open")
    assert "geheim" not in to.stderr


@pytest.mark.parametrize(("reader", "status", "said"), [("gone", 141, ""), ("full", 2, "No space left")])
def test_output_that_nobody_takes_ends_the_command_without_a_traceback(
    reader: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if reader == "gone":
        read, written = os.pipe()
        os.close(read)
    else:
        written = os.open("/dev/full", os.O_WRONLY)
    with open(written, "w", encoding="utf-8") as out, redirect_stdout(out):
        assert main(["manifest"]) == status
    assert said in capsys.readouterr().err


def test_the_audit_log_is_handed_out_as_lines_of_json_from_a_day_on(tmp_path: Path) -> None:
    async def write() -> None:
        database = Database.open(url)
        async with database.write() as connection:
            for days in (9, 2):
                at = datetime(2026, 1, 10, tzinfo=UTC) - timedelta(days=days)
                await record(
                    connection, AuditEntry(at, "U0ANA", AuditAction.TAG, "Tromsø\u2028", Outcome.DONE)
                )
        await database.close()

    url = sqlite_url(tmp_path)
    asyncio.run(write())
    variables = {**REQUIRED, "MESHBOT_DATABASE_URL": url}
    every = meshbot(tmp_path, "audit", "export", **variables).stdout.splitlines()
    assert [json.loads(line)["at"][:10] for line in every] == ["2026-01-01", "2026-01-08"]
    assert json.loads(every[0])["subject"] == "Tromsø\u2028"
    assert every[0].isascii()
    later = meshbot(tmp_path, "audit", "export", "--since", "2026-01-02", **variables).stdout.splitlines()
    assert later == every[1:]
    wrong = meshbot(tmp_path, "audit", "export", "--since", "yesterday", **variables)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "must be a day like 2026-01-31" in wrong.stderr
