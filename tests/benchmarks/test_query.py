"""How long a query over 100,000 gateways takes, page and counts, against the same SQL by hand.

By hand is the standard library's sqlite3 on the same file, in a thread, as in any program that does other
things meanwhile, with rows left as tuples: the page of ten, and how many match, how many of them are offline
and how many unknown, which is what the answer's first line says. The bot's own answer also says of each row
whether it flaps or is being updated, and of the whole how old it is. The second ratio is to SQL that counts
only how many match. A statement is made once for each query and kept: ``first`` is the time with making it.
"""

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import insert

from bot.domain.gateways import Connectivity
from bot.domain.query import parse
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate
from bot.storage.db.tables import listings
from bot.storage.db.timestamps import to_micros
from bot.storage.fleet import gateways
from tests.worlds.builders import NOW, PAGING, fleet_service, known

GATEWAYS = 100_000
TURNS = 30
ORDER = "ORDER BY rank, since DESC, name_folded, id LIMIT 10"
COUNT = "SELECT count(*) FROM gateways"
COUNTS = "SELECT count(*), count(*) FILTER (WHERE rank = 0), count(*) FILTER (WHERE rank = 1) FROM gateways"
TAGGED = "id IN (SELECT gateway_id FROM gateway_tags WHERE folded = 'site-7')"
AN_HOUR_AGO = to_micros(NOW - timedelta(hours=1))
# A query, and the condition that somebody would write for it.
QUERIES = {
    "": "1",
    "is:offline": "rank = 0",
    "tag:site-7": TAGGED,
    "tag:site-7 is:offline": f"{TAGGED} AND rank = 0",
    "-tag:site-7": f"NOT {TAGGED}",
    "tag:all": "id IN (SELECT gateway_id FROM gateway_tags WHERE folded = 'all')",
    "tag:site-7*": "id IN (SELECT gateway_id FROM gateway_tags WHERE folded LIKE 'site-7%')",
    "site:site-7": "site_folded = 'site-7'",
    "model:2011 fw:<3.4.1": "model_folded = '2011' AND firmware_key < '2132142111'",
    "name:gw-777*": "name_folded LIKE 'gw-777%'",
    "99999": "(id_folded LIKE '%99999%' OR name_folded LIKE '%99999%')",
    "is:offline for:>1h": f"rank = 0 AND since < {AN_HOUR_AGO}",
    "nothing": "(id_folded LIKE '%nothing%' OR name_folded LIKE '%nothing%')",
}

Answer = TypeVar("Answer")

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A hundred sites, a twentieth of the gateways offline."""
    opened = Database.open(f"sqlite:///{tmp_path}/fleet.db")
    await migrate(opened)
    lots = random.Random(1)
    async with opened.write() as connection:
        for start in range(0, GATEWAYS, 5_000):
            some = [
                known(
                    f"bmac-{number:012x}",
                    name=f"GW-{number}",
                    tags=(f"Site-{number % 100}", "all"),
                    model=lots.choice(["2011", "2012"]),
                    firmware=lots.choice(["3.3.0", "3.4.0", "3.4.1", "3.10.0"]),
                    connectivity=Connectivity.OFFLINE if lots.random() < 0.05 else Connectivity.ONLINE,
                    since=NOW - timedelta(seconds=lots.randrange(100_000)),
                )
                for number in range(start, start + 5_000)
            ]
            await gateways.save(connection, [(one, one.gateway.id.encode()) for one in some])
            await gateways.save_tags(connection, (), [one.gateway for one in some])
        await connection.execute(
            insert(listings).values(
                started_at=NOW, finished_at=NOW, outcome="completed", gateways=GATEWAYS, changes=0
            )
        )
    yield opened
    await opened.close()


async def test_a_query_against_the_same_sql_by_hand(database: Database, tmp_path: Path) -> None:
    def now() -> datetime:
        return datetime.now(UTC)

    client = MeshtechClient("http://127.0.0.1:1", "http://127.0.0.1:1", "-", "-", now=now, **PAGING)
    service = fleet_service(Context(database, lambda: NOW), client)
    bare = sqlite3.connect(f"{tmp_path}/fleet.db", check_same_thread=False)
    bare.execute("PRAGMA cache_size=-32000")

    def by_hand(condition: str, count: str) -> int:
        bare.execute(f"SELECT * FROM gateways WHERE {condition} {ORDER}").fetchall()
        found: int = bare.execute(f"{count} WHERE {condition}").fetchone()[0]
        return found

    print(f"\n{GATEWAYS:,} gateways, page and counts, median of {TURNS}, ms; goal 1.5 x, p95 150 ms")
    print(f"{'':24}{'':>9}{'by hand':>9}{'ours':>9}{'ratio':>8}{'ratio':>8}{'ratio':>9}")
    print(f"{'query':24}{'found':>9}{'':9}{'':9}{'':8}{'cpu':>8}{'count':>9}{'p95':>8}{'first':>8}")
    for text, condition in QUERIES.items():
        query = parse(text)
        _, (first, _) = await timed(service.search(query))
        full, short, ours = [], [], []
        for _ in range(TURNS):
            expected, times = await timed(asyncio.to_thread(by_hand, condition, COUNTS))
            full.append(times)
            short.append((await timed(asyncio.to_thread(by_hand, condition, COUNT)))[1])
            page, times = await timed(service.search(query))
            ours.append(times)
            assert page.total == expected
        (theirs, their_cpu), (less, _), (mine, my_cpu) = map(medians, (full, short, ours))
        p95 = statistics.quantiles([clock for clock, _ in ours], n=20)[18]
        print(
            f"{text or '(all)':24}{expected:9,}{theirs:9.2f}{mine:9.2f}{mine / theirs:8.2f}"
            f"{my_cpu / their_cpu:8.2f}{mine / less:9.2f}{p95:8.1f}{first:8.1f}"
        )
    bare.close()
    await client.aclose()


Times = tuple[float, float]  # milliseconds by the clock, and of this process's work


async def timed(work: Awaitable[Answer]) -> tuple[Answer, Times]:
    began, worked = time.perf_counter(), time.process_time()
    answer = await work
    return answer, ((time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000)


def medians(times: list[Times]) -> Times:
    clock, cpu = (statistics.median(values) for values in zip(*times, strict=True))
    return clock, cpu
