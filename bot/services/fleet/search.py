"""The fleet as a person asks for it: pages of a query, one gateway, tags, firmware, and how old all this is.

Everything but firmware is read from the snapshot in the database. Taking in a listing is `poll`,
renaming and tagging `renames_and_tags`. Knows nothing of Slack.
"""

import asyncio
import difflib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from bot.domain.access import Action, Actor, require_within
from bot.domain.errors import NotFound
from bot.domain.firmware import Firmware, firmware_key, is_same_firmware
from bot.domain.fleet.lookup import meant
from bot.domain.gateways import (
    Counts,
    FleetEvent,
    KnownGateway,
    ListingResult,
    RunningVersion,
    SnapshotStatus,
    TagCount,
    fold,
)
from bot.domain.query import Query, WordRead, bare_words, parse, read_bare
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.services.fleet.poll import FleetPoll
from bot.services.vendor_questions import VendorQuestions
from bot.storage import listings
from bot.storage.db.engine import Reading
from bot.storage.fleet import gateways as fleet
from bot.storage.fleet import search as fleet_search

REFRESH_EVERY = timedelta(seconds=15)
LOOK_EVERY = timedelta(seconds=5)  # whether a listing is due, or was cut short in another replica
PAGE = 10
CHUNK = 500
_WORDS_READ = 10  # bare words of a query; one statement asks for all
_WORDS_NEAR = 3  # of them, for which tags alike are looked for


@dataclass(frozen=True, slots=True)
class GatewayPage:
    """Some of the gateways that match, worst first, and how many match in all."""

    rows: tuple[KnownGateway, ...]
    counts: Counts
    offset: int
    status: SnapshotStatus

    @property
    def total(self) -> int:
        return self.counts.total

    @property
    def as_of(self) -> datetime | None:
        return self.status.as_of


@dataclass(frozen=True, slots=True)
class FirmwareCount:
    """A firmware file of the vendor's, and how many gateways of its model run that version now."""

    firmware: Firmware
    gateways: int


class FleetService:
    """Answers from the snapshot, and keeps it fresh.

    ``listing_every`` is the time from the start of one listing to the next, whichever replica does it; zero
    lists whenever asked. ``owner`` names this process among the replicas. ``client`` is for listings;
    ``questions`` is what people ask beside them.
    """

    def __init__(
        self,
        context: Context,
        client: MeshtechClient,
        *,
        questions: VendorQuestions,
        site_tag: str = "",
        owner: str = "meshbot",
        listing_every: timedelta = timedelta(),
    ) -> None:
        self._database = context.database
        self._questions = questions
        self._now = context.now
        self._intake = FleetPoll(context, client, site_tag=site_tag, owner=owner)
        # Two ticks of one scheduler may stand a little closer than they should.
        self._apart = listing_every - min(listing_every, LOOK_EVERY) / 10
        self._listing = asyncio.Lock()
        self._ended = 0  # listings of this process, whatever became of them
        self._told: list[Callable[[ListingResult], Awaitable[None]]] = []

    def tell(self, callback: Callable[[ListingResult], Awaitable[None]]) -> None:
        """Has the callback told of every listing that this process completes, by tick or by refresh."""
        self._told.append(callback)

    async def take_in_listing(self) -> ListingResult | None:
        """One pass over the vendor's list; None when it failed, or when a replica is at it or just was."""
        async with self._listing:
            return await self._take_in(self._apart)

    async def refresh(self) -> SnapshotStatus:
        """A listing, unless one began in the last 15 s; who asks meanwhile waits for it and shares it."""
        ended = self._ended
        async with self._listing:
            if self._ended == ended:
                await self._take_in(REFRESH_EVERY)
        return await self.snapshot_status()

    async def understand(self, text: str) -> tuple[Query, Sequence[WordRead]]:
        """What somebody typed, each bare word as the tag, site, model or version of this fleet that it names.

        Raises InvalidInput as ``parse`` does. Of more than ten bare words the others are parts of names.
        """
        query = parse(text)
        words = bare_words(query)[:_WORDS_READ]
        if not words:
            return query, ()
        return read_bare(query, await self._database.ask(partial(fleet_search.fields_with, words=words)))

    async def query_of(self, text: str) -> Query:
        """What ``understand`` made of it."""
        return (await self.understand(text))[0]

    async def snapshot_status(self) -> SnapshotStatus:
        return await self._database.ask(listings.read_status)

    async def search(self, query: Query, offset: int = 0, limit: int = PAGE) -> GatewayPage:
        now = self._now()

        def found(connection: Reading) -> GatewayPage:
            rows, counts, status = fleet_search.page(connection, query, now, offset, limit)
            if status.as_of is None:  # a first listing that is half written is not a fleet
                return GatewayPage((), Counts(), 0, status)
            return GatewayPage(tuple(rows), counts, offset, status)

        return await self._database.ask(found)

    async def all_matching(self, query: Query) -> AsyncIterator[tuple[KnownGateway, ...]]:
        """All that match, worst first, in chunks; each chunk as it is when it is read."""
        wanted = await self.ids_matching(query)
        for start in range(0, len(wanted), CHUNK):
            yield await self.gateways(wanted[start : start + CHUNK])

    async def ids_matching(self, query: Query) -> Sequence[str]:
        """The ids of all that match, worst first."""
        return await self._database.ask(partial(fleet_search.listed, query=query, now=self._now()))

    async def counts(self, query: Query) -> Counts:
        return await self._database.ask(partial(fleet_search.counted, query=query, now=self._now()))

    async def tags(self) -> tuple[TagCount, ...]:
        """Every tag that a gateway carries, by name."""
        async with self._database.read() as connection:
            return tuple(await fleet_search.tags(connection))

    async def tags_near(self, words: Sequence[str]) -> Sequence[str]:
        """Tags that somebody may have meant by the first of these words, the likeliest first."""
        if not words:
            return []
        known = {fold(one.tag): one.tag for one in await self.tags()}
        return await asyncio.to_thread(_tags_near, words[:_WORDS_NEAR], known)

    async def gateways(self, ids: Sequence[str]) -> tuple[KnownGateway, ...]:
        """Those of the ids that are in the fleet, in their order."""
        async with self._database.read() as connection:
            return tuple(await fleet_search.by_ids(connection, ids, self._now()))

    async def gateway(self, gateway_id: str) -> KnownGateway:
        """The one of this id. Raises NotFound."""
        found = await self.gateways([gateway_id])
        if not found:
            raise NotFound(f"The gateway {gateway_id} is not in the fleet any more.")
        return found[0]

    async def find(self, text: str) -> KnownGateway:
        """The gateway that is called so. Raises InvalidInput and NotFound, see ``meant``."""
        text = text.replace("\0", "").strip()
        async with self._database.read() as connection:
            called = await fleet_search.called(connection, text, self._now())
            near = {} if called else await fleet_search.names_near(connection, text)
        return await asyncio.to_thread(meant, text, called, near)

    async def versions(self) -> list[tuple[str, int]]:
        """Firmware versions and how many gateways run each, the most frequent first."""
        async with self._database.read() as connection:
            found = await fleet_search.firmware_counts(connection)
        together: Counter[str] = Counter()
        for (_, version), number in found.items():
            together[version] += number
        return sorted(together.items(), key=lambda pair: (-pair[1], pair[0]))

    async def running(self, model: str | None = None) -> Sequence[RunningVersion]:
        """What the gateways run, of one model or of all, the most frequent first."""
        async with self._database.read() as connection:
            found = await fleet_search.firmware_counts(connection)
        of_it = [
            RunningVersion(of, version, number)
            for (of, version), number in found.items()
            if model is None or of == fold(model)
        ]
        return sorted(of_it, key=lambda one: (-one.gateways, one.model, one.version))

    async def require_within(self, actor: Actor, action: Action, ids: Sequence[str]) -> None:
        """Raises NotAllowed when one of these gateways is outside of what the actor is limited to."""
        if actor.limits:
            require_within(actor, action, await self.gateways(ids), self._now())

    async def recent_events(self, gateway_id: str, limit: int = 10) -> tuple[FleetEvent, ...]:
        """What happened to a gateway, newest first."""
        async with self._database.read() as connection:
            return tuple(await fleet.recent_events(connection, gateway_id, limit))

    async def firmware(self, model: str | None = None) -> tuple[FirmwareCount, ...]:
        """What the vendor offers, some seconds old at most: by model, the newest version first."""
        found = await self._questions.firmwares()
        async with self._database.read() as connection:
            running = await fleet_search.firmware_counts(connection)
        return tuple(
            FirmwareCount(firmware, _on(firmware, running))
            for firmware in sorted(sorted(found, key=_order, reverse=True), key=_model)
            if model is None or fold(model) == _model(firmware)
        )

    async def prune(self, older_than: timedelta) -> None:
        """Forgets events and listings of long ago."""
        edge = self._now() - older_than
        async with self._database.write() as connection:
            await fleet.forget_events(connection, edge)
            await listings.forget(connection, edge)

    async def _take_in(self, apart: timedelta) -> ListingResult | None:
        taken = await self._intake.take_in(apart)
        self._ended += 1
        if taken is not None:
            for callback in self._told:
                await callback(taken)
        return taken


def _on(firmware: Firmware, running: Mapping[tuple[str, str], int]) -> int:
    return sum(
        number
        for (model, version), number in running.items()
        if model == _model(firmware) and is_same_firmware(version, firmware.version)
    )


def _model(firmware: Firmware) -> str:
    return fold(firmware.model or "")


def _order(firmware: Firmware) -> tuple[str, str, float]:
    made = firmware.created_at.timestamp() if firmware.created_at else 0.0
    return (firmware_key(firmware.version) or "", firmware.version or "", made)


def _tags_near(words: Sequence[str], known: Mapping[str, str]) -> Sequence[str]:
    return [known[near] for word in words for near in difflib.get_close_matches(fold(word), known)]
