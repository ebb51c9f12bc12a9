"""How long the reports on what was take over 100,000 gateways with 30 days behind them, beside the bare SQL.

Two gateways of a hundred change each day: they go offline and come back, some within minutes, each with an
alert. The bare SQL is the standard library's sqlite3 on the same file, in a thread, which fetches the rows
that a report is made of and does nothing with them. The database's growth is what the month's events, alerts
and polls have added to the file. Beside the time on the clock stands the processor's: others may have it.
"""

import asyncio
import gc
import random
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.domain.fleet.availability import WorstBy
from bot.domain.gateways import Connectivity, FleetEvent, FleetEventKind, Held, fold
from bot.domain.query import EVERYTHING, parse
from bot.services.context import Context
from bot.services.fleet import history
from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate
from bot.storage.db.statements import Row, insert_rows
from bot.storage.db.tables import incident_gateways, incidents, listings
from bot.storage.db.timestamps import to_micros
from bot.storage.fleet import gateways
from tests.worlds.builders import NOW, known

GATEWAYS, DAYS, SITES = 100_000, 30, 400
A_DAY = GATEWAYS // 50
TURNS = 20
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BEGINS = NOW - DAYS * DAY
ALERT = ("id", "kind", "site", "site_folded", "state", "opened_at", "post_at", "resolved_at")
COUNTS = ("version", "reminded", "joins")
MEMBER = ("incident_id", "gateway_id", "kind", "label", "joined_at", "offline_since", "left_at", "left_as")
EVENTS = (
    "SELECT g.id, g.site, g.rank, g.first_seen, e.kind, e.at, e.before, e.after FROM gateways g "
    "JOIN fleet_events e ON e.gateway_id = g.id WHERE e.at >= ? AND e.kind IN ('appeared', 'became_unknown', "
    "'came_back', 'vanished', 'went_offline') ORDER BY g.id, e.id"
)
_THERE = "gateway_id IN (SELECT gateway_id FROM gateway_tags WHERE folded = 'site-7')"
OF_SOME = (
    "SELECT kind, gateway_id, at, listing, before, after FROM fleet_events "
    f"WHERE {_THERE} AND at >= ? ORDER BY at DESC LIMIT 1001",
    "SELECT min(joined_at), i.id, i.kind, i.site, count(*) FROM incidents i JOIN incident_gateways "
    f"ON incident_id = i.id WHERE {_THERE} AND joined_at >= ? GROUP BY i.id ORDER BY 1 DESC LIMIT 1001",
)
QUIET = (
    "SELECT site, rank, count(*) FROM gateways WHERE id NOT IN "
    "(SELECT gateway_id FROM fleet_events WHERE at >= ?) GROUP BY site, rank"
)

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]


def id_of(number: int) -> str:
    return f"bmac-{number:012x}"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path}/fleet.db")
    await migrate(opened)
    lots = random.Random(1)
    async with opened.write() as connection:
        for start in range(0, GATEWAYS, 5_000):
            some = [
                known(
                    id_of(number),
                    name=f"GW-{number}",
                    tags=(f"Site-{number % SITES}",),
                    connectivity=Connectivity.OFFLINE if number % 50 == 0 else Connectivity.ONLINE,
                    since=NOW - timedelta(seconds=lots.randrange(100_000)),
                    first_seen=NOW - 60 * DAY,
                )
                for number in range(start, start + 5_000)
            ]
            await gateways.save(connection, [(one, one.gateway.id.encode()) for one in some])
            await gateways.save_tags(connection, (), [one.gateway for one in some])
    size = await file_size(opened)
    async with opened.write() as connection:
        events, alerts, members = [], list[Row](), list[Row]()
        for day in range(DAYS):
            for number in lots.sample(range(GATEWAYS), A_DAY):
                at = BEGINS + day * DAY + timedelta(seconds=lots.randrange(80_000))
                back = at + timedelta(seconds=lots.randrange(60, 20_000))
                there = id_of(number)
                events += [
                    FleetEvent(FleetEventKind.WENT_OFFLINE, there, at, day, "online"),
                    FleetEvent(FleetEventKind.CAME_BACK, there, back, day, "offline"),
                ]
                site, times = f"Site-{number % SITES}", (to_micros(at), to_micros(at), to_micros(back))
                alerts.append((len(alerts) + 1, "offline", site, fold(site), "resolved", *times, 1, 0, 1))
                members.append((len(alerts), there, "offline", f"GW-{number}", *times, "back"))
        await gateways.add_events(connection, sorted(events, key=lambda one: one.at))
        await insert_rows(connection, incidents, (*ALERT, *COUNTS), alerts)
        await insert_rows(connection, incident_gateways, MEMBER, members)
        polls = [BEGINS - MINUTE + n * MINUTE for n in range(DAYS * 1440)]
        columns = ("started_at", "finished_at", "outcome", "gateways", "changes")
        rows = [(to_micros(one), to_micros(one) + 20_000_000, "completed", GATEWAYS, 3) for one in polls]
        await insert_rows(connection, listings, columns, rows)
    grown = await file_size(opened) - size
    print(
        f"\n{GATEWAYS:,} gateways, {len(events):,} events, {len(polls):,} polls: {grown / 1e6:.0f} MB a month"
    )
    yield opened
    await opened.close()


async def file_size(database: Database) -> int:
    async with database.read() as connection:
        pages = await connection.scalar(text("PRAGMA page_count"))
        return int(pages or 0) * int(await connection.scalar(text("PRAGMA page_size")) or 0)


async def silenced(begins: datetime, ends: datetime, _wanted: Collection[str] | None) -> Held:
    """Sixty silences of a site each, of four hours."""
    held: dict[str, list[tuple[datetime, datetime]]] = {}
    for n in range(60):
        since = begins + n * DAY / 2
        for number in range(n, GATEWAYS, SITES):
            held.setdefault(id_of(number), []).append((since, since + timedelta(hours=4)))
    return held


async def test_each_report_beside_the_bare_sql(database: Database, tmp_path: Path) -> None:
    gc.collect()
    gc.freeze()  # as `meshbot run` does: what made the fleet is not the bot's
    bare = sqlite3.connect(f"{tmp_path}/fleet.db", check_same_thread=False)
    bare.execute("PRAGMA cache_size=-32000")

    def by_hand(*statements: str) -> Callable[[], Awaitable[object]]:
        return lambda: asyncio.to_thread(
            lambda: [bare.execute(one, (to_micros(BEGINS),)).fetchall() for one in statements]
        )

    def report() -> history.HistoryService:
        context = Context(database, lambda: NOW)
        return history.HistoryService(context, held=silenced, unseen_after=3 * MINUTE)

    everything, of_site = by_hand(EVENTS, QUIET), by_hand(*OF_SOME)
    site, there = parse("tag:site-7"), [id_of(number) for number in range(7, GATEWAYS, SITES)]
    print(f"{'':24}{'bare SQL':>20}{'ours':>20}{'p95':>10}   ms (of processor), of {TURNS}; goal: p95 1,000")
    for name, sql, ours in (
        ("availability 30d", everything, lambda: report().availability(EVERYTHING, DAYS * DAY)),
        ("availability site 30d", None, lambda: report().availability(site, DAYS * DAY)),
        ("worst 30d", everything, lambda: report().worst(EVERYTHING, DAYS * DAY, WorstBy.LONGEST, 0, 10)),
        ("worst often 7d", None, lambda: report().worst(EVERYTHING, 7 * DAY, WorstBy.OFTEN, 0, 10)),
        ("history site 30d", of_site, lambda: report().timeline("", there, DAYS * DAY, is_site=True)),
        ("history gateway 30d", None, lambda: report().timeline("", there[:1], DAYS * DAY, is_site=False)),
    ):
        theirs = shown(*await timed(sql)) if sql else f"{'':20}"
        times, processor = await timed(ours)
        p95 = statistics.quantiles(times, n=20)[18]
        print(f"{name:24}{theirs}{shown(times, processor)}{p95:10.0f}")
    bare.close()
    gc.unfreeze()


def shown(times: Sequence[float], processor: Sequence[float]) -> str:
    return f"{f'{statistics.median(times):.0f} ({statistics.median(processor):.0f})':>20}"


async def timed(work: Callable[[], Awaitable[object]]) -> tuple[Sequence[float], Sequence[float]]:
    """Milliseconds on the clock, and of the processor."""
    times, processor = [], []
    for _ in range(TURNS):
        began, used = time.perf_counter(), time.process_time()
        await work()
        times.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - used) * 1000)
    return times, processor
