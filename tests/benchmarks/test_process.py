"""How long `meshbot run` takes until Slack is connected, and what it needs then, as a process of its own.

The portal and Slack are in this process. Nothing is asked of the bot: what it uses of the processor is its
own ticks, at the intervals they have by default.
"""

import asyncio
import os
import statistics
import time
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import FleetSimulator
from tests.benchmarks.rig.memory import peak, resident
from tests.worlds.process import IN_TIME, PASSWORD, Bot, Outside, outside

STARTS = 5
IDLE = 20.0  # seconds
INTERVALS = {"FLEET__POLL_EVERY": "60s", "JOBS__POLL_EVERY": "30s", "SLACK__EDIT_EVERY": "15s"}
COMPLETED = "SELECT 1 FROM listings WHERE outcome = 'completed'"

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


async def test_how_soon_a_start_is_connected(tmp_path: Path) -> None:
    async with outside(tmp_path, FleetSimulator(password=PASSWORD), **INTERVALS) as world:
        clock, cpu = [], []
        for _ in range(STARTS):
            bot, seconds = await started(world)
            clock.append(seconds)
            cpu.append(processor(bot))
            await world.stop(bot)
    print("\nfrom the start of the process to the first socket, seconds, and of the processor's; goal 2")
    print(f"without a database {clock[0]:.2f} ({cpu[0]:.2f}), ", end="")
    print(f"with one {statistics.median(clock[1:]):.2f} ({statistics.median(cpu[1:]):.2f})")


@pytest.mark.parametrize("gateways", [240, 100_000])
async def test_what_an_idle_bot_needs(tmp_path: Path, gateways: int) -> None:
    portal = FleetSimulator(gateways=gateways, password=PASSWORD)
    portal.keep_requests(0)
    async with outside(tmp_path, portal, **INTERVALS) as world:
        bot, _ = await started(world)
        while not world.rows(COMPLETED):  # noqa: ASYNC110 - in another process, which tells nobody
            await asyncio.sleep(0.5)
        await asyncio.sleep(2)  # for what follows a listing
        worked = processor(bot)
        await asyncio.sleep(IDLE)
        share = (processor(bot) - worked) / IDLE
        now, most = resident(bot.pid), peak(bot.pid)
        print(f"\n{gateways:,} gateways: {now:.0f} MB, at most {most:.0f}; goal for an idle bot 120")
        print(f"idle for {IDLE:.0f} s: {share:.1%} of one processor")


async def started(world: Outside) -> tuple[Bot, float]:
    began = time.perf_counter()
    bot = await world.begin()
    await world.slack.wait_for(lambda: world.slack.connected > 0, IN_TIME)
    seconds = time.perf_counter() - began
    await bot.is_running()
    return bot, seconds


def processor(bot: Bot) -> float:
    """Seconds of the processor that it has used."""
    fields = Path(f"/proc/{bot.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
