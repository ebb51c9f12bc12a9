"""Random fleets, times and listings: an incident never opens, changes or ends without its rule.

The rules are worked out anew here, from the whole history of what each listing showed, one gateway at a time;
the service works them out from the snapshot, in sets.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bot.domain.fleet.listing_diff import VANISHED_AFTER
from bot.domain.gateways import FLAPPING_CHANGES
from bot.domain.incident_kinds import IncidentKind, IncidentState
from bot.services.alerts.engine import Evaluation
from bot.storage.db.engine import Database
from bot.storage.db.tables import incident_gateways, incidents
from tests.worlds.alerts import World
from tests.worlds.builders import alert_rules, examples
from tests.worlds.databases import sqlite_url

GATEWAYS = ("Oslo/a", "Oslo/b", "Bergen/c", "bergen/d")
IDS = tuple(text.rpartition("/")[2] for text in GATEWAYS)
HOUR = timedelta(hours=1)
RULES = alert_rules(
    offline_after=timedelta(minutes=5),
    offline_listings=3,
    online_after=timedelta(minutes=3),
    online_listings=2,
    startup_listings=2,
)


@dataclass(frozen=True)
class Chapter:
    """Gateways change, something else happens, and listings show it."""

    ids: frozenset[str]
    state: str
    other: str
    minutes: float  # between two listings
    listings: int


chapters = st.builds(
    Chapter,
    ids=st.frozensets(st.sampled_from(IDS), min_size=1),
    state=st.sampled_from(["offline", "online", "offline", "online", "unknown"]),
    other=st.sampled_from(["", "", "", "restart", "failed listing", "claim", "release", "twice"]),
    minutes=st.sampled_from([1, 0.7, 2, 4]),
    listings=st.integers(1, 8),
)


@dataclass
class Seen:
    """What the completed listings showed of a gateway, told simply."""

    state: str
    since: datetime
    listings: int  # in that state, the newest included
    missed: int = 0

    def is_for(self, state: str, at: datetime, after: timedelta, listings: int) -> bool:
        long_enough = at - self.since >= after and self.listings >= listings
        return self.state == state and not self.missed and long_enough


class Model:
    """What the bot should do, beside the bot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[str, Seen] = {}
        self.down: dict[str, str] = {}  # gateway to the site whose incident it is in
        self.flapping: dict[str, str] = {}  # the same of incidents about flapping
        self.changes: dict[str, list[datetime]] = {one: [] for one in IDS}
        self.claimed: set[str] = set()
        self.listings_since_start = 0
        self.happened: Counter[str] = Counter()

    async def live_through(self, chapter: Chapter) -> None:
        self.world.now += timedelta(seconds=10)
        fleet = self.world.fleet
        ids = [one for one in sorted(chapter.ids) if one in fleet]
        self.world.goes(
            chapter.state, *(one for one in ids if fleet[one].connectivity.value != chapter.state)
        )
        await self.happens(chapter.other, min(chapter.ids))
        for _ in range(chapter.listings):
            self.world.now += timedelta(minutes=chapter.minutes)
            await self.listing(twice=chapter.other == "twice")
            await self.world.engine.tick()
            await self.check()

    async def happens(self, other: str, one: str) -> None:
        if other == "restart":
            self.world.restart()
            self.listings_since_start = 0
        elif other == "failed listing":
            await self.world.failed_listing()
        elif other == "claim":
            await (self.world.unclaim(one) if one in self.claimed else self.world.claim(one))
            self.claimed ^= {one}
        elif other == "release" and one in self.world.fleet:
            self.world.release(one)
        elif other == "release":
            self.world.add(next(text for text in GATEWAYS if text.endswith(f"/{one}")))

    async def listing(self, *, twice: bool) -> None:
        listing = await self.world.take_in()
        self.see()
        expected = self.expect()
        done = await self.world.engine.evaluate(listing)
        assert (done.joined, done.back, done.released) == expected
        self.happened.update(joined=done.joined, back=done.back, released=done.released, ended=done.resolved)
        if twice:
            again = await self.world.engine.evaluate(listing)
            assert again == Evaluation(opening=done.opening)

    async def check(self) -> None:
        found = await self.world.rows(select(incidents))
        for kind, expected in ((IncidentKind.OFFLINE, self.down), (IncidentKind.FLAPPING, self.flapping)):
            rows = [row for row in await self.world.rows(LIVE_GATEWAYS) if row.kind == kind.value]
            assert len({row.gateway_id for row in rows}) == len(rows), "a gateway is in two of a kind"
            assert {row.gateway_id: row.site_folded for row in rows} == expected
            of_kind = [row for row in found if row.kind == kind.value]
            live = [row.site_folded for row in of_kind if IncidentState(row.state).is_live]
            assert sorted(live) == sorted(set(expected.values())), "one lives without gateways, or twice"
        posted = [str(row.id) for row in found if row.state in {"open", "resolved"}]
        assert sorted(card.subject for card in await self.world.cards()) == sorted(posted)

    def see(self) -> None:
        self.listings_since_start += 1
        for one, gateway in self.world.fleet.items():
            before, state = self.seen.get(one), gateway.connectivity.value
            since = gateway.changed_at or self.world.now
            if before is None or before.state != state or before.since < since:
                self.seen[one] = Seen(state, since, 1)
                if before is not None:
                    self.changes[one].append(since)
            else:
                self.seen[one] = Seen(state, before.since, before.listings + before.missed + 1)
        for one in self.seen.keys() - self.world.fleet.keys():
            self.seen[one].missed += 1
            if self.seen[one].missed >= VANISHED_AFTER:
                del self.seen[one]

    def expect(self) -> tuple[int, int, int]:
        """Moves the model on, and returns how many joined, came back, and were released."""
        at = self.world.now
        back = [
            one
            for one in self.down
            if one in self.seen
            and self.seen[one].is_for("online", at, RULES.online_after, RULES.online_listings)
        ]
        released = [one for one in self.down if one not in self.seen]
        for one in (*back, *released):
            del self.down[one]
        lately = {one: sum(when >= at - HOUR for when in self.changes[one]) for one in IDS}
        quiet = [one for one in self.flapping if one in self.seen and not lately[one]]
        gone = [one for one in self.flapping if one not in self.seen]
        for one in (*quiet, *gone):
            del self.flapping[one]
        counts = len(back) + len(quiet), len(released) + len(gone)
        if self.listings_since_start < RULES.startup_listings:
            return 0, *counts
        restless = [
            one
            for one in self.seen
            if lately[one] >= FLAPPING_CHANGES and one not in self.flapping and one not in self.claimed
        ]
        for one in restless:
            self.flapping[one] = self.world.sites[one].casefold()
        dark = [
            one
            for one, seen in self.seen.items()
            if seen.is_for("offline", at, RULES.offline_after, RULES.offline_listings)
            and one not in self.down
            and one not in self.flapping
            and one not in self.claimed
        ]
        for one in dark:
            self.down[one] = self.world.sites[one].casefold()
        return len(dark) + len(restless), *counts


LIVE_GATEWAYS = (
    select(incident_gateways.c.gateway_id, incident_gateways.c.kind, incidents.c.site_folded)
    .join(incidents, incidents.c.id == incident_gateways.c.incident_id)
    .where(incident_gateways.c.left_at.is_(None))
)


async def live_through(story: Sequence[Chapter]) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(sqlite_url(Path(folder)))
        model = Model(await World.begin(database, *GATEWAYS, rules=RULES, listings=0))
        for chapter in story:
            await model.live_through(chapter)
        await database.close()
        return model.happened


@settings(max_examples=examples(5), suppress_health_check=list(HealthCheck))
@given(story=st.lists(chapters, min_size=5, max_size=12))
def test_incidents_follow_their_rules_whatever_happens(story: Sequence[Chapter]) -> None:
    asyncio.run(live_through(story))


def test_a_story_can_hold_every_kind_of_change() -> None:
    """Otherwise the test above would hold for nothing."""
    story = [
        Chapter(frozenset("abcd"), "offline", "", 1, 7),
        Chapter(frozenset("ab"), "online", "", 1, 4),
        Chapter(frozenset("c"), "offline", "release", 1, 4),
        Chapter(frozenset("d"), "online", "", 1, 4),
    ]
    assert asyncio.run(live_through(story)) == Counter(joined=4, back=3, released=1, ended=2)
