"""How long a query over 100,000 gateways takes, page and counts, against the same SQL by hand.

By hand is the standard library's sqlite3 on the same file, with rows left as tuples.
"""

import random
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from bot.domain.fleet import Connectivity
from bot.domain.query import parse
from bot.meshtech.client import MeshtechClient
from bot.services.fleet import FleetService
from bot.storage import fleet
from bot.storage.engine import Database
from bot.storage.moments import to_micros
from bot.storage.schema import migrate
from bot.storage.tables import listings
from tests.builders import NOW, known

GATEWAYS = 100_000
TURNS = 20
ORDER = "ORDER BY rank, since DESC, name_folded, id LIMIT 10"
TAGGED = "id IN (SELECT gateway_id FROM gateway_tags WHERE folded = 'site-7')"
AN_HOUR_AGO = to_micros(NOW - timedelta(hours=1))
# A query, and the condition that somebody would write for it.
QUERIES = {
    "": "1",
    "is:offline": "rank = 0",
    "tag:site-7": TAGGED,
    "tag:site-7 is:offline": f"{TAGGED} AND rank = 0",
    "-tag:site-7": f"NOT {TAGGED}",
    "site:site-7": "site_folded = 'site-7'",
    "model:2011 fw:<3.4.1": "model_folded = '2011' AND firmware_key < '0000000300000004000000011'",
    "name:gw-777*": "name_folded LIKE 'gw-777%'",
    "99999": "(id_folded LIKE '%99999%' OR name_folded LIKE '%99999%')",
    "is:offline for:>1h": f"rank = 0 AND since < {AN_HOUR_AGO}",
    "nothing": "(id_folded LIKE '%nothing%' OR name_folded LIKE '%nothing%')",
}

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
            await fleet.save(connection, [(one, one.gateway.id.encode()) for one in some])
            await fleet.save_tags(connection, [one.gateway for one in some], ())
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

    client = MeshtechClient("http://127.0.0.1:1", "http://127.0.0.1:1", "-", "-", now=now)
    service = FleetService(database, client, now=lambda: NOW)
    bare = sqlite3.connect(f"{tmp_path}/fleet.db")
    bare.execute("PRAGMA cache_size=-32000")
    print(f"\n{GATEWAYS:,} gateways, page and counts, median of {TURNS}, ms; goal 1.5 x, p95 150 ms")
    print(f"{'query':26}{'found':>9}{'by hand':>9}{'ours':>9}{'ratio':>8}{'p95':>9}")
    for text, condition in QUERIES.items():
        query = parse(text)
        by_hand, ours, found = [], [], 0
        for _ in range(TURNS):
            began = time.perf_counter()
            bare.execute(f"SELECT * FROM gateways WHERE {condition} {ORDER}").fetchall()
            (by_hand_found,) = bare.execute(f"SELECT count(*) FROM gateways WHERE {condition}").fetchone()
            by_hand.append(time.perf_counter() - began)
            began = time.perf_counter()
            found = (await service.search(query)).total
            ours.append(time.perf_counter() - began)
            assert found == by_hand_found
        mine, theirs = statistics.median(ours) * 1000, statistics.median(by_hand) * 1000
        p95 = statistics.quantiles(ours, n=20)[18] * 1000
        shown = text or "(all)"
        print(f"{shown:26}{found:9,}{theirs:9.1f}{mine:9.1f}{mine / theirs:8.2f}{p95:9.1f}")
    bare.close()
    await client.aclose()
