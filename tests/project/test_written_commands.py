"""Every command that the documents tell somebody to type was run here, by the named test, or by a tool.

That each target of make exists is for test_docs.py to say.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
# In prose, by the first word. In a block without a language, every line is one.
_PROGRAM = (
    r"(?:make|git|python3|docker|kubectl|systemctl|journalctl|install|pip|pipx|uv|gh|openssl|sqlite3|psql|pg_\w+"
    r"|createdb|createuser|promtool|nginx|meshbot|curl|wget|apt-get|sudo|ssh|cp|mv|rm|mkdir|chmod|chown|kill|export"
    r"|sha256sum|SELECT|GRANT|CREATE|[A-Z_]+=\S* \w+|\.?/?[\w./-]*\.(?:ci|venv)/[\w./-]+|/opt/[\w./-]+)"
)
README = "tests/project/test_readme.py::test_the_commands_of_the_readme_lead_to_a_connected_bot"
INIT = (
    "tests/test_setup_questions.py::"
    "test_its_questions_lead_from_an_empty_folder_to_a_card_and_a_second_run_asks_none"
)
DOCTOR = "tests/test_doctor.py::"
MAIN = "tests/test_main.py::"
CHANGELOG = "test_one_step_releases_the_changelog_which_is_what_the_release_says"
COMPOSE = "tests/deploy/test_compose.py::test_docker_starts_"
UNIT = "tests/deploy/test_systemd.py::test_the_readme_leads_on_a_fresh_machine_to_a_service_that_is_connected"
DUMP = "tests/system/test_crash.py::test_on_a_restored_postgresql_it_goes_on_with_its_update_and_its_alert"
STATEMENTS = (
    "tests/system/test_databases.py::test_the_statements_of_the_operations_page_make_a_database_that_it_takes"
)
HERE = "tests/project/test_written_commands.py::"
TESTED = {
    "meshbot init": INIT,
    "meshbot init --help": MAIN + "test_help_names_every_command",
    "meshbot init --answers FILE": README,
    "meshbot run": README,
    "meshbot doctor": MAIN + "test_the_doctor_says_what_it_finds_and_nothing_beside_it_in_ascii_too",
    "meshbot doctor --openapi URL-or-FILE": DOCTOR,
    "meshbot migrate": MAIN + "test_migrate_says_what_it_did_and_does_it_once",
    "meshbot audit verify": "tests/system/test_audited.py::",
    "meshbot audit export": MAIN + "test_the_audit_log_is_handed_out_as_lines_of_json_from_a_day_on",
    "meshbot manifest --http https://bot.example.com": MAIN
    + "test_a_manifest_for_http_names_the_address_it_is_given",
    "meshbot manifest --command /mesh-test": MAIN + "test_a_manifest_has_the_slash_command_of_the_settings",
    "meshbot move-database sqlite:///meshbot.db postgresql://meshbot:password@host/meshbot": "tests/system/"
    "test_crash.py::test_killed_in_the_middle_of_a_wave_and_moved_it_goes_on_and_does_nothing_twice",
    "git clone <this repository> meshbot && cd meshbot": README,
    "python3 -m venv /opt/meshbot": README,
    "/opt/meshbot/bin/pip install --require-hashes -r requirements-charts.lock": README,
    "/opt/meshbot/bin/pip install --no-deps --no-build-isolation .": README,
    "/opt/meshbot/bin/meshbot init": README,
    "/opt/meshbot/bin/meshbot run": README,
    ".venv/bin/meshbot demo --help": MAIN + "test_help_names_every_command",
    "docker compose up -d": COMPOSE + "one_bot_that_may_do_nothing_else_and_stops_in_order",
    "docker compose up -d replica": COMPOSE
    + "two_replicas_once_their_database_is_migrated_and_stops_them_in_order",
    "kubectl apply -f deploy/kubernetes.yaml": "tests/deploy/test_kubernetes.py::"
    "test_what_kubectl_applies_arrives_once",
    "install -m 644 deploy/meshbot.service /etc/systemd/system/": UNIT,
    "install -D -m 600 .env /var/lib/meshbot/.env": UNIT,
    "systemctl enable --now meshbot": UNIT,
    "sqlite3 meshbot.db \".backup 'copy.db'\"": HERE + "test_the_backup_of_a_file_is_whole",
    "sqlite3 meshbot.db \".backup 'meshbot-copy.db'\"": HERE + "test_the_backup_of_a_file_is_whole",
    "pg_dump --format=custom meshbot > meshbot.dump": DUMP,
    "pg_restore --clean --dbname=meshbot meshbot.dump": DUMP,
    "openssl rehash": "tests/test_network.py::",
    ".ci/release-changelog": f"tests/project/test_release.py::{CHANGELOG}",
    'git commit --all --message "Release 0.1.0"': HERE + "test_a_tagged_release_is_pushed",
    'git tag --annotate v0.1.0 --message "Meshbot 0.1.0"': HERE + "test_a_tagged_release_is_pushed",
    "git push origin main v0.1.0": HERE + "test_a_tagged_release_is_pushed",
    "git log -1 --format=%ae": HERE + "test_a_tagged_release_is_pushed",
    ".venv/bin/pre-commit install": HERE + "test_an_installed_hook_refuses_a_commit_that_the_checks_refuse",
    ".ci/run": "tests/project/test_release.py::"
    "test_nothing_is_released_untested_and_the_image_says_what_it_is_made_of",
    "sha256sum --check SHA256SUMS": "tests/project/test_release.py::"
    "test_the_sums_of_a_release_tell_a_file_that_did_not_arrive_as_it_was_built",
    "CREATE ROLE meshbot LOGIN PASSWORD 'correct horse';": STATEMENTS,
    "CREATE DATABASE meshbot OWNER meshbot ENCODING 'UTF8' TEMPLATE template0;": STATEMENTS,
    "SELECT * FROM pg_stat_activity WHERE wait_event_type = 'Lock'": STATEMENTS,
    "git pull": HERE + "test_a_tagged_release_is_pushed",
}
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def written(text: str) -> list[str]:
    """The lines of blocks without a language or of SQL, less their comments, and commands in backquotes."""
    blocks = [block for language, block in _BLOCK.findall(text) if language in {"", "sql"}]
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    quoted = [
        " ".join(one.split()) for one in re.findall(r"`([^`]+)`", _BLOCK.sub("", text)) if "\n\n" not in one
    ]
    return [line for line in lines if line] + [
        line for line in quoted if re.match(rf"{_PROGRAM}(?: |$)", line) and is_command(line)
    ]


def is_command(line: str) -> bool:
    """Not the name of a program or a folder alone."""
    return " " in line or line.startswith(".ci/")


COMMANDS = sorted({one for path in DOCUMENTS for one in written(path.read_text(encoding="utf-8"))})


def test_every_command_that_is_written_has_a_test() -> None:
    others = {one for one in COMMANDS if not one.startswith("make ")}
    assert others - set(TESTED) == set(), "run it in a test, and name that here"
    assert set(TESTED) - others == set(), "nobody is told to type it"


@pytest.mark.parametrize("test", sorted(set(TESTED.values())))
def test_the_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {name or 'test_'}" in text


def test_a_command_that_nobody_knows_would_be_found() -> None:
    assert written("Type\n\n```\nmeshbot fly --high   # up\n```\nor `git\nstash drop`, not `bot/app`.") == [
        "meshbot fly --high",
        "git stash drop",
    ]


def shell(folder: Path, *lines: str) -> str:
    author = ["-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "init.defaultBranch=main"]
    said = ""
    for line in lines:
        command = line.replace("git ", f"git {' '.join(author)} ", 1)
        done = subprocess.run(
            ["sh", "-e", "-c", command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stderr)
        said = done.stdout
    return said


def test_the_backup_of_a_file_is_whole(tmp_path: Path) -> None:
    for name in ("copy.db", "meshbot-copy.db"):
        lines = [
            "sqlite3 meshbot.db 'CREATE TABLE IF NOT EXISTS a (b)'",
            f"sqlite3 meshbot.db \".backup '{name}'\"",
        ]
        assert shell(tmp_path, *lines, f"sqlite3 {name} .tables").strip() == "a"


def test_an_installed_hook_refuses_a_commit_that_the_checks_refuse(tmp_path: Path) -> None:
    shell(tmp_path, "git init --quiet .", f"ln -s {Path(sys.prefix)} .venv")
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    (tmp_path / "page.md").write_text("One line  \n")
    shell(tmp_path, ".venv/bin/pre-commit install", "git add .pre-commit-config.yaml page.md")
    with pytest.raises(AssertionError, match=r"Fixing page\.md"):
        shell(tmp_path, "git commit --quiet --message Begin")


def test_a_tagged_release_is_pushed(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    release = [one for one in TESTED if one.startswith("git ") and "0.1.0" in one]
    shell(tmp_path, "git init --quiet --bare forge", "git init --quiet work")
    work = tmp_path / "work"
    shell(work, "git remote add origin ../forge", "touch CHANGELOG.md", "git add .", *release)
    assert shell(work, "git log -1 --format=%ae v0.1.0") == "ana@example.com\n"
    assert "v0.1.0" in shell(work, "git ls-remote --tags origin")
    shell(tmp_path, "git clone --quiet forge other")
    shell(tmp_path / "other", "git pull")
