"""`meshbot demo` as a program: it comes up, says where, keeps nothing, and ends when it is told to."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bot.demo.run import Demo, free_port
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import FLEET_ALERTS, OPERATOR, OPS, ROLLOUTS
from bot.domain.errors import StartupError

SOON = 100


@asynccontextmanager
async def meshbot_demo(
    folder: Path, *arguments: str, browser: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program; `browser` is the command that opens a page, %s in it the address."""
    command = [sys.executable, "-m", "bot", "demo", "--gateways", "30", *arguments]
    command += [] if browser else ["--no-browser"]
    environ = os.environ | {"TMPDIR": str(folder), "BROWSER": browser or "false"}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=Path(__file__).parents[2],
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    async with asyncio.timeout(SOON):
        assert (await process.stdout.readline()).startswith(b"Starting")
        line = (await process.stdout.readline()).decode()
    return next(word for word in line.split() if word.startswith("http"))


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield busy.getsockname()[1]


async def test_a_taken_port_is_left_for_the_next_free_one(taken: int) -> None:
    assert taken < await free_port(taken) <= taken + 19 or taken > 65_500
    assert await free_port(0) == 0


async def test_a_port_among_many_that_are_taken_is_answered_with_one_sentence(taken: int) -> None:
    with pytest.raises(StartupError, match=f"Port {taken} is taken, and so are the next ones"):
        await free_port(taken, tried=1)


async def test_an_alert_is_open_and_an_update_runs_when_the_page_comes() -> None:
    demo = Demo(gateways=60, begun=True, at_most=SOON)
    await demo.start()
    try:
        workspace = demo.world.slack.workspace
        (rollout,) = workspace.in_channel(ROLLOUTS)
        assert "running since" in message_text(rollout)
        assert "cknowledge" in message_text(workspace.in_channel(FLEET_ALERTS)[0])
        assert workspace.ephemeral_for(OPERATOR) == []
        assert demo.world.fleet.clock.speed == 1
        assert demo.world.choices()["first"] == FLEET_ALERTS
    finally:
        await demo.stop()


async def test_it_opens_its_page_in_the_browser_ends_cleanly_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    async with meshbot_demo(tmp_path, "--port", "0", browser="echo Opened %s") as process:
        where, opened = await address(process), ""
        assert process.stdout
        async with asyncio.timeout(SOON):
            while not opened.startswith("Opened"):
                opened = (await process.stdout.readline()).decode()
        assert opened == f"Opened {where}\n"
        async with aiohttp.ClientSession() as http, http.get(where) as answer:
            assert answer.status == 200
        assert os.listdir(tmp_path)
        process.send_signal(signal.SIGTERM)
        _, error = await asyncio.wait_for(process.communicate(), SOON)
    assert (process.returncode, error) == (0, b"")
    assert os.listdir(tmp_path) == []


async def test_ctrl_c_ends_it_and_what_it_is_told_to_keep_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    async with meshbot_demo(tmp_path, "--port", "0", "--keep", str(kept)) as process:
        await address(process)
        process.send_signal(signal.SIGINT)
        _, error = await asyncio.wait_for(process.communicate(), SOON)
    assert (process.returncode, error) == (0, b"")
    assert os.listdir(tmp_path) == [kept.name]
    assert kept.stat().st_size > 0


async def test_the_page_completes_what_the_bot_says_that_it_can_do() -> None:
    demo = Demo(gateways=20)
    await demo.start()
    try:
        words = [usage.split()[0] for usage, _ in demo.world.commands]
        assert {"help", "status", "devices", "rename", "tag", "update"} <= set(words)
        assert demo.world.slack.workspace.ephemeral_for(OPERATOR) == []
        assert all(here and usual and here != usual for _, here, usual in demo.world.facts)
    finally:
        await demo.stop()


async def test_starting_over_brings_a_new_world_with_the_bot_in_it() -> None:
    demo = Demo(gateways=20)
    await demo.start()
    try:
        old = demo.world
        await demo.reset()
        assert demo.world is not old
        act = await demo.world.slack.command(OPERATOR, OPS, "status")
        await demo.world.slack.wait_for(lambda: act.responses)
        assert demo.page.world is demo.world
    finally:
        await demo.stop()


async def test_whoever_types_at_once_finds_the_fleet() -> None:
    demo = Demo(gateways=2_000, quiet=True)
    await demo.start()
    try:
        act = await demo.world.slack.command(OPERATOR, OPS, "devices")
        (answer,) = await demo.world.slack.wait_for(lambda: act.responses)
        assert "2,000 gateways" in message_text(answer)
    finally:
        await demo.stop()
