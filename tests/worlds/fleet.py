"""A simulated portal, a database and the fleet's services, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, select, text

from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.domain.fleet.renames_and_tags import Write
from bot.domain.gateways import FleetEvent, FleetEventKind, KnownGateway, ListingResult
from bot.domain.query import EVERYTHING, parse
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.services.fleet.renames_and_tags import FleetWrites
from bot.services.fleet.renames_and_tags_runner import WriteRunner
from bot.services.fleet.search import FleetService
from bot.storage.db.engine import Database
from bot.storage.db.tables import audit, fleet_events
from tests.worlds.builders import OPERATOR, PAGING, fleet_service

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def no_wait(_: float) -> None:
    """A sleep that takes no time."""


class World:
    """``portal`` is changed by the test, ``listing`` shows it to the bot a minute later."""

    def __init__(self, portal: FleetSimulator, database: Database, page_size: int) -> None:
        self.portal = portal
        self.database = database
        self._page_size = page_size
        self._clients: list[MeshtechClient] = []
        self.fleet, self.runs = self.process("first")
        self.writes = FleetWrites(Context(database, self.now))
        self.rests: list[float] = []  # seconds that a write waited for the portal
        self.on_rest: Callable[[], Awaitable[None]] | None = None

    def process(
        self, owner: str, site_tag: str = "", listing_every: timedelta = timedelta()
    ) -> tuple[FleetService, WriteRunner]:
        """What one more process, or the same one after a restart, has of the fleet."""
        client = MeshtechClient(
            self.portal.auth_url,
            self.portal.api_url,
            self.portal.username,
            self.portal.password,
            now=self.now,
            sleep=no_wait,
            **PAGING | {"page_size": self._page_size},
        )
        self._clients.append(client)
        return (
            fleet_service(
                Context(self.database, self.now),
                client,
                owner=owner,
                site_tag=site_tag,
                listing_every=listing_every,
            ),
            WriteRunner(Context(self.database, self.now), client, owner=owner, sleep=self._rest),
        )

    async def _rest(self, seconds: float) -> None:
        """Two that sleep at the same time wake at the same time."""
        self.rests.append(seconds)
        over = self.now() + timedelta(seconds=seconds)
        await asyncio.sleep(0)
        self.later(max(over - self.now(), timedelta()))
        if self.on_rest is not None:
            await self.on_rest()

    def now(self) -> datetime:
        return self.portal.clock.now()

    def later(self, by: timedelta = MINUTE) -> None:
        self.portal.clock.advance(by)

    def device(self, id_: str, **fields: Any) -> Device:
        """A gateway that the portal has from now on."""
        values: dict[str, Any] = {
            "friendly_name": f"MT-{id_}",
            "model": "2011",
            "labels": ["oslo"],
            "connected": True,
            "changed_at": START - timedelta(days=1),
            "firmware": "3.4.1",
            "hardware": "1.0.0",
        }
        device = Device(id_, **{**values, **fields})
        self.portal.add_device(device)
        self.portal.labels.update(device.labels or ())
        return device

    async def listing(self, fleet: FleetService | None = None) -> ListingResult | None:
        self.later()
        return await (fleet or self.fleet).take_in_listing()

    async def taken(self, fleet: FleetService | None = None) -> ListingResult:
        """A listing that must succeed."""
        taken = await self.listing(fleet)
        assert taken is not None, (await self.fleet.snapshot_status()).last_error
        return taken

    async def kinds(self, fleet: FleetService | None = None) -> list[FleetEventKind]:
        """What happened according to the next listing."""
        return [event.kind for event in (await self.taken(fleet)).events]

    async def snapshot(self, query: str = "") -> dict[str, KnownGateway]:
        found: dict[str, KnownGateway] = {}
        async for chunk in self.fleet.all_matching(parse(query) if query else EVERYTHING):
            found |= {known.gateway.id: known for known in chunk}
        return found

    async def events(self) -> list[FleetEvent]:
        """Every event that is stored, in order."""
        rows = await self.rows(select(fleet_events).order_by(fleet_events.c.id))
        return [
            FleetEvent(FleetEventKind(r.kind), r.gateway_id, r.at, r.listing, r.before, r.after) for r in rows
        ]

    async def audit(self) -> list[Any]:
        return await self.rows(select(audit).order_by(audit.c.id))

    async def rows(self, statement: Select[Any]) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(statement)).all())

    async def execute(self, statement: str) -> None:
        """What somebody does to the database behind the bot's back."""
        async with self.database.write() as connection:
            await connection.execute(text(statement))

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def world(database_url: str, *ids: str, page_size: int = 2) -> AsyncIterator[World]:
    """An empty fleet, or one of these gateways; nothing is listed yet."""
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(speed=0, start=START))
    await portal.start()
    database = Database.open(database_url)
    running = World(portal, database, page_size)
    for id_ in ids:
        running.device(id_)
    try:
        yield running
    finally:
        await running.close()
        await database.close()
        await portal.stop()


async def rename(made: World, id_: str, name: str) -> Write:
    write = await made.writes.propose_rename(OPERATOR, "C1", await made.fleet.find(id_), name)
    return await made.runs.run(write.id)


async def tag(made: World, query: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> Write:
    write = await made.writes.propose_tags(OPERATOR, "C1", parse(query), add, remove)
    if write.needs_confirmation:
        write = await made.writes.confirm(OPERATOR, write.id, write.version)
    return await made.runs.run(write.id)
