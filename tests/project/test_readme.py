"""The README's own commands, run from a clean clone in an empty folder, lead to a bot that is connected.

Installing what the lock names takes longer than a tenth of all tests: ``make soak`` does it. With every run
of the tests the same commands lead to a bot from what is installed already.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.settings.definitions import load_settings
from bot.setup_questions import QUESTIONS, SIGNING_SECRET

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_COMMANDS = 10


def block_after(words: str) -> list[str]:
    """The lines of the first block of code behind these words."""
    found = re.search(r"^```\w*\n(.*?)^```", README.partition(words)[2], re.MULTILINE | re.DOTALL)
    assert found, words
    return found[1].splitlines()


def answers(slack: SlackServer, portal: FleetSimulator) -> str:
    """What ``meshbot init`` would ask, an answer on each line."""
    given = {
        "bot-token": slack.bot_token,
        "app-token": slack.app_token,
        "username": portal.username,
        "password": portal.password,
        "alerts": workspace.FLEET_ALERTS,
        "operators": workspace.OPERATORS,
        "approvers": f"{workspace.APPROVER},{workspace.APPROVER_2}",
    }
    return "\n".join(f"{flag}={answer}" for flag, answer in given.items())


def test_the_settings_that_are_written_by_hand_are_enough(tmp_path: Path) -> None:
    by_hand = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(by_hand.partition("```ini\n")[2].partition("```")[0], encoding="utf-8")
    assert load_settings({}, tmp_path / ".env", None).channels.alerts == "C0123456789"


@contextmanager
def shell(folder: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A shell of its own group, so that what it started ends with it."""
    process = subprocess.Popen(
        ["sh", "-e", "-x"],
        cwd=folder,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            **_pip(),
            **environ,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
        print(said)


def _pip() -> dict[str, str]:
    """Where this machine's pip looks, and where it keeps what it has seen."""
    known = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "UV_"))}
    return {
        "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",  # what is imported is compiled then
        **known,
    }


def test_the_way_to_a_running_bot_is_ten_commands_at_most() -> None:
    assert 1 < len(block_after("## Install it")) <= MOST_COMMANDS


def test_the_table_of_the_whole_way_adds_up_to_less_than_five_minutes() -> None:
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    numbers = {what: int(number) for what, number, *_ in rows}
    assert all(int(number) * int(each) == int(all_of_it) for _, number, each, all_of_it in rows)
    (whole,) = re.findall(r"^\| all of it \| \| \| (\d+) \|$", text, re.MULTILINE)
    assert sum(int(row[3]) for row in rows) == int(whole) < 5 * 60
    (clicks,) = [what for what in numbers if what.startswith("click: ")]
    assert numbers[clicks] == clicks.count(", ") + 1
    asked = [one for one in QUESTIONS.values() if not one.is_for_trouble and one.variable != SIGNING_SECRET]
    assert numbers["answer what `meshbot init` asks"] == len(asked)
    assert numbers["type or paste the README's commands"] == len(block_after("## Install it"))


def installing(commands: list[str]) -> list[str]:
    return [command for command in commands if " -m venv " in command or "/pip install " in command]


async def test_what_is_installed_leads_to_a_connected_bot_by_the_commands_of_the_readme(
    tmp_path: Path,
) -> None:
    commands = block_after("## Install it")
    assert len(installing(commands)) == len(commands) - 3  # the clone, its questions, the bot
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    meshbot = tmp_path / "venv" / "bin" / "meshbot"
    meshbot.write_text(f'#!/bin/sh\nexec {sys.executable} -m bot "$@"\n', encoding="utf-8")
    meshbot.chmod(0o755)
    await lead_to_a_connected_bot([one for one in commands if one not in installing(commands)], tmp_path)


@pytest.mark.soak
@pytest.mark.index  # it installs everything anew
@pytest.mark.timeout(600)
async def test_the_commands_of_the_readme_lead_to_a_connected_bot(tmp_path: Path) -> None:
    await lead_to_a_connected_bot(block_after("## Install it"), tmp_path)


async def lead_to_a_connected_bot(lines: list[str], tmp_path: Path) -> None:
    slack, portal = SlackServer(), FleetSimulator(gateways=3)
    await slack.start()
    await portal.start()
    try:
        commands = "\n".join(lines)
        commands = commands.replace("<this repository>", str(ROOT)).replace(
            "/opt/meshbot", str(tmp_path / "venv")
        )
        commands = commands.replace("/meshbot init\n", "/meshbot init --yes --answers ../answers\n")
        assert "--answers ../answers" in commands
        (tmp_path / "answers").write_text(answers(slack, portal), encoding="utf-8")
        elsewhere = {
            "MESHBOT_SLACK__API_URL": slack.api_url,
            "MESHBOT_MESHTECH__AUTH_URL": portal.auth_url,
            "MESHBOT_MESHTECH__API_URL": portal.api_url,
            "MESHBOT_HTTP__PORT": "0",
        }
        with shell(tmp_path, elsewhere) as process:
            assert process.stdin is not None
            process.stdin.write(f"{commands}\n")
            process.stdin.close()
            process.stdin = None
            await slack.wait_for(lambda: slack.connected == 2 or process.poll() is not None, 500)
            assert process.poll() is None, "it runs"
            assert slack.connected == 2
    finally:
        await portal.stop()
        await slack.stop()
