"""Listings at random: whatever the pages show, events lead from one snapshot to the next."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from bot.domain.gateways import Connectivity, FleetEvent, FleetEventKind, KnownGateway, ListingResult
from bot.domain.query import EVERYTHING
from bot.meshtech.client import DevicePage, MeshtechClient
from bot.services.context import Context
from bot.services.fleet.poll import SLOW, TICK
from bot.services.fleet.search import FleetService
from bot.storage.db.engine import Database
from bot.storage.db.tables import ticks
from tests.meshtech import vendor
from tests.worlds.builders import PAGING, examples, fleet_service
from tests.worlds.databases import sqlite_url
from tests.worlds.fleet import world as fleet_world

IDS = ["a", "b", "c"]
rows = st.fixed_dictionaries(
    {
        "id": st.sampled_from(IDS),
        "friendlyName": st.sampled_from([None, "x", "y"]),
        "labels": st.sampled_from([None, [], ["oslo"], ["oslo", "roof"]]),
        "firmwareVersion": st.sampled_from([None, "3.4.1", "3.5.0"]),
        "connectivity": st.sampled_from(
            [
                None,
                *(
                    {"connected": on, "timestamp": at}
                    for on in (True, False)
                    for at in (None, "2026-03-01T11:59:00Z")
                ),
            ]
        ),
    }
)
pages = st.lists(st.lists(rows, max_size=3), min_size=1, max_size=3)


@dataclass
class Portal:
    """A vendor whose pages the test writes, and the fleet that reads them."""

    world: vendor.World
    database: Database
    fleet: FleetService

    async def shows(self, *shown: list[dict[str, Any]], fleet: FleetService | None = None) -> ListingResult:
        """A listing of these pages a minute later."""
        self.world.clock.advance(minutes=1)
        for number, items in enumerate(shown, 1):
            token = f"t{number}" if number < len(shown) else None
            self.world.api.then(vendor.page(*items, token=token))
        taken = await (fleet or self.fleet).take_in_listing()
        assert taken is not None
        return taken

    async def crash_before_completing(self, shown: list[dict[str, Any]]) -> None:
        """A process that dies when all is written but the listing's own row."""
        await self.crash_at("UPDATE ON listings WHEN NEW.outcome = 'completed'", shown)

    async def crash_at(self, statement: str, shown: list[dict[str, Any]]) -> None:
        """A process that dies of that statement while it takes in a listing of one page."""
        self.world.clock.advance(minutes=1)
        self.world.api.then(vendor.page(*shown))
        dying = self.process("dying")
        async with self.database.write() as connection:
            await connection.exec_driver_sql(
                f"CREATE TRIGGER crash BEFORE {statement} BEGIN SELECT RAISE(ABORT, 'crash'); END"
            )
        with pytest.raises(IntegrityError):
            await dying.take_in_listing()
        async with self.database.write() as connection:
            await connection.exec_driver_sql("DROP TRIGGER crash")

    async def stored_events(self) -> list[FleetEvent]:
        found: list[FleetEvent] = []
        for id_ in IDS:
            found += (await self.fleet.recent_events(id_))[::-1]
        return sorted(found, key=lambda event: event.listing)

    def process(self, owner: str) -> FleetService:
        return fleet_service(Context(self.database, self.world.clock), self.world.client, owner=owner)

    async def snapshot(self) -> dict[str, KnownGateway]:
        return {
            known.gateway.id: known async for chunk in self.fleet.all_matching(EVERYTHING) for known in chunk
        }


@asynccontextmanager
async def portal(folder: Path) -> AsyncIterator[Portal]:
    database = Database.open(sqlite_url(folder))
    async with vendor.world() as world:
        fleet = fleet_service(Context(database, world.clock), world.client)
        yield Portal(world, database, fleet)
    await database.close()


Shown = dict[str, tuple[Any, ...]]


def shown_by(snapshot: dict[str, KnownGateway]) -> Shown:
    """What events speak of."""
    return {
        id_: (one.gateway.connectivity, one.gateway.name, one.gateway.firmware, one.gateway.tags)
        for id_, one in snapshot.items()
    }


def replayed(before: Shown, events: Iterable[FleetEvent], after: Shown) -> Shown:
    """The events over the snapshot before; how a gateway appeared is taken from the one after."""
    now = dict(before)
    for event in events:
        id_ = event.gateway_id
        if event.kind is FleetEventKind.APPEARED:
            now[id_] = after[id_]
        elif event.kind is FleetEventKind.VANISHED:
            del now[id_]
        else:
            now[id_] = changed(now[id_], event)
    return now


def changed(row: tuple[Any, ...], event: FleetEvent) -> tuple[Any, ...]:
    connectivity, name, firmware, tags = row
    match event.kind:
        case FleetEventKind.RENAMED:
            name = event.after
        case FleetEventKind.FIRMWARE:
            firmware = event.after
        case FleetEventKind.TAGGED:
            tags = tuple((event.after or "").split("\n")) if event.after else ()
        case FleetEventKind.WENT_OFFLINE:
            connectivity = Connectivity.OFFLINE
        case FleetEventKind.CAME_BACK:
            connectivity = Connectivity.ONLINE
        case _:
            connectivity = Connectivity.UNKNOWN
    return connectivity, name, firmware, tags


@settings(max_examples=examples(15))
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "restarted"]), pages), min_size=2, max_size=8))
async def test_events_lead_from_one_snapshot_to_the_next_whoever_lists(
    passes: list[tuple[str, list[list[dict[str, Any]]]]],
) -> None:
    with TemporaryDirectory() as folder:
        async with portal(Path(folder)) as running:
            replicas = {name: running.process(name) for name in ("one", "two")}
            before: Shown = {}
            for who, shown in passes:
                taken = await running.shows(*shown, fleet=replicas.get(who) or running.process(who))
                after = shown_by(await running.snapshot())
                assert after == (after if taken.first else replayed(before, taken.events, after))
                assert_latest_row_counts(shown, after)
                before = after


def assert_latest_row_counts(shown: list[list[dict[str, Any]]], after: Shown) -> None:
    latest = {row["id"]: row for page in shown for row in page}
    assert latest.keys() <= after.keys()
    for id_, row in latest.items():
        assert after[id_][1:3] == (row["friendlyName"], row["firmwareVersion"])


def row(id_: str, name: str) -> dict[str, Any]:
    return vendor.device(id_, friendlyName=name)


async def test_of_a_gateway_in_two_pages_the_later_row_counts(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "old")])
        taken = await running.shows([row("a", "first")], [row("a", "second")])
        assert [(event.before, event.after) for event in taken.events] == [("old", "second")]


async def test_a_stale_row_in_an_earlier_page_does_not_hide_a_later_change_back(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "old")])
        await running.shows([row("a", "old")], [row("a", "new")])
        taken = await running.shows([row("a", "old")])
        assert [(event.before, event.after) for event in taken.events] == [("new", "old")]


class Opened(list[msgspec.Raw]):
    """The gateways of a page, and a note of it when somebody looks into them."""

    def __init__(self, page: DevicePage, note: Callable[[], None]) -> None:
        super().__init__(page.raw_items)
        self._note = note

    def __iter__(self) -> Iterator[msgspec.Raw]:
        self._note()
        return super().__iter__()


class Watched(MeshtechClient):
    """Remembers the numbers of the pages that the last listing looked into."""

    looked_into: set[int]

    async def device_pages(self) -> AsyncIterator[DevicePage]:
        self.looked_into, number = set(), 0
        async for page in super().device_pages():
            page.raw_items = Opened(page, partial(self.looked_into.add, number))
            number += 1
            yield page


async def test_a_page_in_the_bytes_of_last_time_is_not_looked_into(tmp_path: Path) -> None:
    async with fleet_world(sqlite_url(tmp_path), "a", "b", "c", "d", "e", page_size=2) as made:
        portal, now = made.portal, made.now
        client = Watched(
            portal.auth_url,
            portal.api_url,
            portal.username,
            portal.password,
            now=now,
            **PAGING | {"page_size": 2},
        )
        fleet = fleet_service(Context(made.database, now), client)
        await made.taken(fleet)
        assert client.looked_into == {0, 1, 2}

        made.device("d", firmware="3.5.0")
        assert await made.kinds(fleet) == [FleetEventKind.FIRMWARE]
        assert client.looked_into == {1}
        assert await made.kinds(fleet) == []
        assert client.looked_into == set()
        await client.aclose()


async def test_the_garbage_collector_is_on_while_the_portal_keeps_a_listing_waiting(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        gate, waited = vendor.Gate(vendor.page(row("a", "x"))), asyncio.Event()
        running.world.api.then(gate)
        listing = asyncio.create_task(running.fleet.take_in_listing())
        await gate.arrived.wait()
        asyncio.get_running_loop().call_later(SLOW, waited.set)  # later than the listing's own timer
        await waited.wait()
        assert gc.isenabled()
        gate.opened.set()
        assert await listing is not None
        assert gc.isenabled()


async def test_a_fleet_whose_timestamps_all_move_has_no_changes(tmp_path: Path) -> None:
    def rows_at(minute: int) -> list[dict[str, Any]]:
        moment = {"connected": True, "timestamp": f"2026-03-01T11:{minute:02}:00Z"}
        return [vendor.device(f"gw-{number}", connectivity=moment) for number in range(20)]

    async with portal(tmp_path) as running:
        for minute in range(5):
            assert (await running.shows(rows_at(minute))).events == ()


async def test_a_crash_between_two_transactions_neither_loses_nor_repeats_an_event(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "old"), row("b", "old")])
        await running.crash_before_completing([row("a", "new"), row("b", "new")])
        taken = await running.shows([row("a", "new"), row("b", "newer")])
        assert [event.after for event in taken.events] == ["newer"]
        assert [event.after for event in await running.stored_events()] == ["new", "new", "newer"]


async def test_a_listing_whose_lease_another_replica_took_meanwhile_writes_nothing(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "old")])
        async with running.database.write() as connection:
            await connection.exec_driver_sql(
                "CREATE TRIGGER late AFTER INSERT ON listings BEGIN UPDATE ticks SET owner = 'other'; END"
            )
        running.world.clock.advance(minutes=1)
        running.world.api.then(vendor.page(row("a", "new")))
        assert await running.fleet.take_in_listing() is None
        assert [known.gateway.name for known in (await running.snapshot()).values()] == ["old"]


async def test_a_listing_that_could_not_be_given_back_is_when_the_database_is_back(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "x")])
        async with running.database.write() as connection:
            await connection.exec_driver_sql(
                "CREATE TRIGGER away BEFORE UPDATE OF owner ON ticks WHEN NEW.owner = '' "
                "BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
            )
        with pytest.raises(IntegrityError):
            await running.shows([row("a", "x")])
        async with running.database.write() as connection:
            await connection.exec_driver_sql("DROP TRIGGER away")
        assert await running.fleet.take_in_listing() is None  # it is too early for the next
        async with running.database.read() as connection:
            assert await connection.scalar(select(ticks.c.owner).where(ticks.c.name == TICK)) == ""


async def test_a_first_listing_that_a_crash_cut_short_is_no_fleet_yet(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.crash_before_completing([row("a", "x")])
        page = await running.fleet.search(EVERYTHING)
        assert (page.rows, page.total, page.as_of) == ((), 0, None)
        assert (await running.shows([row("a", "x")])).first


# ---- what three listings in a row did not have
async def test_a_listing_that_a_crash_cut_short_misses_nobody(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "x"), row("b", "x")])
        for _ in range(3):
            await running.crash_before_completing([row("a", "x")])
        assert [len((await running.shows([row("a", "x")])).events) for _ in range(3)] == [0, 0, 1]


async def test_who_is_gone_vanishes_once_whatever_cuts_the_listing_short(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows([row("a", "x"), row("b", "x")])
        for _ in range(2):
            await running.shows([row("a", "x")])
        await running.crash_at("DELETE ON gateways", [row("a", "x")])
        taken = await running.shows([row("a", "x")])
        assert [event.kind for event in taken.events] == [FleetEventKind.VANISHED]
        assert set(await running.snapshot()) == {"a"}


EVERYBODY = [row(f"gw-{number:02}", "x") for number in range(24)]
FEW = EVERYBODY[:10]


async def test_nobody_vanishes_while_sight_is_lost(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows(EVERYBODY)
        for _ in range(3):
            assert (await running.shows(FEW)).events == ()
        assert (await running.shows(EVERYBODY)).events == ()
        assert [known.missed for known in (await running.snapshot()).values()] == [0] * 24


async def test_those_still_missing_when_sight_returns_vanish(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows(EVERYBODY)
        for _ in range(3):
            await running.shows(FEW)
        taken = await running.shows(EVERYBODY[:-1])
        assert [(event.kind, event.gateway_id) for event in taken.events] == [
            (FleetEventKind.VANISHED, "gw-23")
        ]


async def test_the_half_that_stays_away_vanishes_when_it_is_an_outage(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows(EVERYBODY)
        vanished = [len((await running.shows(FEW)).events) for _ in range(4)]
        assert vanished == [0, 0, 0, 14]
        assert len(await running.snapshot()) == 10


async def test_less_than_half_vanish_after_three_listings(tmp_path: Path) -> None:
    async with portal(tmp_path) as running:
        await running.shows(EVERYBODY)
        assert [len((await running.shows(EVERYBODY[:12])).events) for _ in range(3)] == [0, 0, 12]
