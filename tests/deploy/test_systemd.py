"""With systemd: the README's commands, typed on a fresh machine that systemd has booted."""

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.server import SlackServer
from tests.deploy.packages import ROOT
from tests.project.test_readme import answers, block_after
from tests.worlds.process import IN_TIME

KEEP_IT_RUNNING = block_after("With systemd, as root")
HOME = "/mnt"
GIVEN = "/srv"
NSPAWN = (
    "systemd-nspawn --volatile=overlay --boot --notify-ready=yes --register=no --keep-unit --console=pipe"
)


@pytest.mark.systemd
def test_what_is_installed_is_found_and_enabled(tmp_path: Path) -> None:
    for folder in ("etc/systemd/system", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".env").write_text("")
    commands = "\n".join(KEEP_IT_RUNNING).replace("enable --now", f"--root={tmp_path} enable")
    commands = re.sub(r" (?=/(?:etc|var)/)", f" {tmp_path}", commands).replace(" .env", f" {tmp_path}/.env")
    done = subprocess.run(["sh", "-ec", commands], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert oct((tmp_path / "var/lib/meshbot/.env").stat().st_mode & 0o777) == "0o600"
    (unit,) = (tmp_path / "etc/systemd/system/multi-user.target.wants").iterdir()
    assert unit.name == "meshbot.service"


class Machine:
    """Root types commands on it, in a folder of its own. It shares this machine's network, nothing else."""

    def __init__(self, leader: str) -> None:
        self._leader = leader

    def type(self, *commands: str) -> str:
        done = subprocess.run(
            ["nsenter", "--target", self._leader, "--all", "sh", "-ec", "\n".join((f"cd {HOME}", *commands))],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": f"{GIVEN}/packages",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def booted(root: Path, log: Path, words: Sequence[str]) -> Iterator[Machine]:
    """The machine of these files, until the test is over; what is changed on it is lost then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, log.open("wb") as console:
        told.bind(str(log.with_suffix(".socket")))
        told.settimeout(IN_TIME)
        process = subprocess.Popen(
            [*NSPAWN.split(), f"--directory={root}", *words],
            env={**os.environ, "NOTIFY_SOCKET": told.getsockname()},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        try:
            said = ""
            while "READY=1" not in said:
                said += told.recv(4096).decode() + "\n"
            found = re.search(r"X_NSPAWN_LEADER_PID=(\d+)", said)
            assert found, said
            yield Machine(found[1])
        finally:
            process.terminate()  # it shuts down in order
            process.wait(IN_TIME)


@pytest.mark.soak
@pytest.mark.index
@pytest.mark.machine
@pytest.mark.timeout(1800)  # it makes a Debian
async def test_the_readme_leads_on_a_fresh_machine_to_a_service_that_is_connected(
    debian: Path, packages: Path, repository: Path, tmp_path: Path
) -> None:
    slack, portal = SlackServer(), FleetSimulator(gateways=3)
    await slack.start()
    await portal.start()
    elsewhere = {
        "MESHBOT_SLACK__API_URL": slack.api_url,
        "MESHBOT_MESHTECH__AUTH_URL": portal.auth_url,
        "MESHBOT_MESHTECH__API_URL": portal.api_url,
        "MESHBOT_HTTP__PORT": "0",
    }
    (tmp_path / "answers").write_text(answers(slack, portal), encoding="utf-8")
    given = {"packages": packages, "meshbot.git": repository, "answers": tmp_path / "answers"}
    commands = "\n".join(block_after("## Install it")).replace("<this repository>", f"{GIVEN}/meshbot.git")
    commands = commands.replace("/meshbot init\n", f"/meshbot init --yes --answers {GIVEN}/answers\n")
    *install, run = commands.splitlines()
    assert run == "/opt/meshbot/bin/meshbot run"

    def follow() -> None:
        binds = [f"--bind-ro={path}:{GIVEN}/{name}" for name, path in given.items()]
        settings = [f"systemd.setenv={name}={value}" for name, value in elsewhere.items()]
        exports = [f"export {name}={value}" for name, value in elsewhere.items()]
        with booted(debian, tmp_path / "console", [f"--tmpfs={HOME}", *binds, *settings]) as machine:
            machine.type(*exports, *install, *KEEP_IT_RUNNING)
            try:
                connected.result(IN_TIME)
            except TimeoutError:
                pytest.fail(machine.type("journalctl --unit=meshbot --no-pager --output=cat"))
            assert machine.type("systemctl is-active meshbot") == "active\n"
            machine.type("systemctl stop meshbot")
            assert "Result=success" in machine.type("systemctl show meshbot --property=Result")

    loop = asyncio.get_running_loop()
    connected = asyncio.run_coroutine_threadsafe(slack.wait_for(lambda: slack.connected == 2, 1500), loop)
    try:
        await asyncio.to_thread(follow)
    finally:
        connected.cancel()
        await portal.stop()
        await slack.stop()
