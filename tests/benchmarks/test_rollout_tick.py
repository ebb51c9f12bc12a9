"""What a tick of a rollout of 10,000 gateways costs beside one of 100: time, queries, calls.

Time is the processor's, so that a machine with other work gives the same answer; of several runs the least
disturbed counts. The portal answers inside the same process: what it needs to write the same jobs down once
more is taken off, its HTTP is not. What Slack would be called for is what the ticks leave for the publisher:
cards to be drawn anew, and notes.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from bot.demo.fleet.model import encode
from bot.demo.fleet.simulator import Behaviour
from bot.domain.rollouts.lifecycle import RolloutState
from bot.storage.db.tables import cards, notes
from tests.benchmarks.rig.memory import turns
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import MINUTE, WAVES, World, world

FEW, MANY, BATCH, RUNS = 100, 10_000, 500, 3
GOALS = {"nothing changes": 0.3, "all are verified": 1.0}  # seconds for many
LONGEST_TURN = 50  # ms of the event loop in such a tick
RULES = replace(WAVES, waves=(1.0,), second_above_gateways=None, batch=BATCH, overdue_after=60 * MINUTE)

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]


@dataclass
class Cost:
    seconds: float = 0.0
    turn: float = 0.0  # the longest of the event loop, in ms
    queries: int = 0
    vendor: int = 0
    slack: int = 0


@dataclass
class Ticks:
    """The cheapest tick of each kind."""

    by_kind: dict[str, Cost] = field(default_factory=dict)

    def add(self, kind: str, cost: Cost) -> None:
        known = self.by_kind.setdefault(kind, cost)
        turn = min(known.turn, cost.turn)
        self.by_kind[kind] = replace(min(known, cost, key=lambda one: one.seconds), turn=turn)


async def test_a_tick_grows_with_batches_and_never_in_slack(tmp_path: Path) -> None:
    small, large = Ticks(), Ticks()
    for run in range(RUNS):
        for gateways, ticks in ((FEW, small), (MANY, large)):
            await play(gateways, sqlite_url(tmp_path, f"{run} {gateways}.db"), ticks)
    print(f"\n{'tick':<22}{'gateways':>9}{'ms':>9}{'µs each':>9}{'turn':>7}", end="")
    print(f"{'queries':>9}{'vendor':>8}{'Slack':>7}")
    for kind, cost in small.by_kind.items():
        for number, shown in ((FEW, cost), (MANY, large.by_kind[kind])):
            each = shown.seconds / number * 1e6
            ms = shown.seconds * 1000
            print(
                f"{kind:<22}{number:>9,}{ms:>9.1f}{each:>9.1f}{shown.turn:>7.1f}{shown.queries:>9}{shown.vendor:>8}{shown.slack:>7}"
            )
    for kind, cost in small.by_kind.items():
        grown = large.by_kind[kind]
        jobs = MANY // BATCH
        assert grown.vendor <= cost.vendor * jobs, kind
        assert grown.slack == cost.slack, kind
        assert grown.seconds <= cost.seconds * (MANY / FEW) * 1.2, kind
        assert grown.queries <= cost.queries + 16 * jobs, kind
    for kind, seconds in GOALS.items():
        assert large.by_kind[kind].seconds <= seconds, kind
        assert large.by_kind[kind].turn <= LONGEST_TURN, kind


async def play(gateways: int, url: str, ticks: Ticks) -> None:
    """A rollout from its start to its end; what each kind of tick costs."""
    async with world(url, gateways=gateways, rules=RULES, behaviour=Behaviour.GOOD, quick=True) as it:
        it.portal.download = it.portal.reboot = (5 * MINUTE, 5 * MINUTE)
        rollout_id = await it.running("name:*")
        await measured(it, ticks, "all are started")
        for _ in range(3):
            await measured(it, ticks, "nothing changes")
        it.clock.advance(3 * MINUTE)
        await measured(it, ticks, "all go down")
        it.clock.advance(4 * MINUTE)
        await measured(it, ticks, "all report")
        await measured(it, ticks, "all are seen back")
        it.clock.advance(2 * MINUTE)
        await measured(it, ticks, "all are verified")
        picture = await it.rollouts.status(rollout_id)
        assert picture.rollout.state is RolloutState.FINISHED, picture.counts


async def measured(it: World, ticks: Ticks, kind: str) -> None:
    """A minute with its listing, which is not measured, and the tick after it, which is."""
    it.clock.advance(MINUTE)
    await it.fleet.take_in_listing()
    calls, said = len(it.portal.requests), await slack_calls(it)
    gc.collect()
    gc.freeze()  # the portal's objects are not the bot's
    async with turns() as found:
        with counted(it) as queries:
            began = time.process_time()
            await it.runner.advance()
            seconds = time.process_time() - began
    gc.unfreeze()
    began = time.process_time()
    for job in it.portal.jobs.values():
        encode(job.wire())
    seconds -= time.process_time() - began
    vendor = len(it.portal.requests) - calls
    slack = await slack_calls(it) - said
    ticks.add(kind, Cost(seconds, max(found), sum(queries), vendor, slack))


async def slack_calls(it: World) -> int:
    """Notes there are, and cards that Slack does not show as they are wanted, one call each."""
    async with it.database.read() as connection:
        posted = await connection.execute(select(func.count()).select_from(notes))
        behind = await connection.execute(select(func.count()).where(cards.c.wanted > cards.c.shown))
        return posted.scalar_one() + behind.scalar_one()


@contextmanager
def counted(it: World) -> Iterator[list[int]]:
    queries: list[int] = []

    def one_more(*_: object) -> None:
        queries.append(1)

    engine = it.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", one_more)
    try:
        yield queries
    finally:
        event.remove(engine, "before_cursor_execute", one_more)
