"""Taking in a listing: the vendor's pages become the snapshot, and the difference becomes events.

Most of a listing is what it was a minute ago, so a map of digests tells, before anything is decoded, which
gateways the vendor says something new about. The map is a memory of what the database holds: it is thrown
away whenever another process completed a listing, or this one failed. Nothing is written before the last
page is in; then in short transactions, each with its events, so that a crash anywhere loses none and
repeats none.
"""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import zip_longest
from struct import unpack
from typing import TypeVar

from bot.domain.errors import BotError, Unavailable
from bot.domain.fleet.listing_diff import (
    VANISHED_AFTER,
    appeared,
    first_sight,
    is_moving,
    take_in,
    timestamp_moved,
    vanished,
)
from bot.domain.gateways import (
    Connectivity,
    FleetEvent,
    Gateway,
    KnownGateway,
    Listing,
    ListingResult,
    site_of,
)
from bot.domain.visibility_loss import ListingOutcome, visibility_loss
from bot.meshtech.client import DevicePage, MeshtechClient
from bot.services.context import Context
from bot.services.fleet.garbage_collection import no_collecting
from bot.storage import listings
from bot.storage.db.engine import Transaction
from bot.storage.db.leases import Releases, claim_tick, hold_tick, release_tick, repeated_beside
from bot.storage.fleet import gateways as fleet

log = logging.getLogger(__name__)

TICK = "listing"
# Gateways in one transaction, which gives the event loop a turn every 20 ms. Smaller ones write the same
# pages of the indexes again and again: 500 take twice as long.
CHUNK = 2_000
SLOW = 0.5  # seconds; a page that takes longer is waited for with the garbage collector on
DIGEST = 16  # bytes
READING = 2  # one more whenever the vendor's bytes come to mean other columns, such as names folded otherwise

_TAKEN_OVER = "Another replica took over the poll, since this one took too long."

_Item = TypeVar("_Item")
Digests = dict[bytes, str]
News = dict[str, tuple[Gateway, bytes]]  # with the digest of each
Pages = dict[bytes, bytes]  # by the digest of a page those of its gateways, one behind the other


@dataclass(slots=True)
class _Pass:
    """What the pages have shown so far. ``known`` is what was known before, and after ``finish`` what is."""

    reading: bytes
    known: Digests
    awaited: Digests  # known, and to be looked at even when the vendor's bytes are the same
    known_pages: Pages
    hold_all: bool  # whether all that is known stands in the known pages
    pages: Pages = field(default_factory=dict)
    news: News = field(default_factory=dict)

    def add(self, page: DevicePage) -> None:
        """Of a gateway that two pages show, the later one counts."""
        if self._is_known(page):
            return
        known, news, reading = self.known, self.news, self.reading
        digests = [blake2b(raw, digest_size=DIGEST, person=reading).digest() for raw in page.raw_items]
        self.pages[page.digest] = b"".join(digests)
        for digest, raw in zip(digests, page.raw_items, strict=True):
            gateway_id = known.get(digest)
            if gateway_id is not None:
                news.pop(gateway_id, None)
            elif (gateway := page.decode(raw)) is not None:
                news[gateway.id] = (gateway, digest)

    def _is_known(self, page: DevicePage) -> bool:
        """Whether all of it is as it was; most pages are, and none of their gateways is looked at then."""
        digests = self.known_pages.get(page.digest, b"")
        ids = [*map(self.known.get, _each(digests))]
        if not ids or None in ids or not self.news.keys().isdisjoint(ids):
            return False
        self.pages[page.digest] = digests
        return True

    def finish(self) -> Digests:
        """Puts the news into what is known, in place: of 100,000 a second map takes 5 MB. Returns who is
        missing.
        """
        known, news, unseen = self.known, self.news, self._unseen()
        for digest in unseen:
            known.pop(digest, None)
        if known and (shown_twice := news.keys() - unseen.values()):  # or new
            for digest in [digest for digest, id_ in known.items() if id_ in shown_twice]:
                del known[digest]
        known.update((digest, id_) for id_, (_, digest) in news.items())
        return {digest: id_ for digest, id_ in unseen.items() if id_ not in news}

    def taken(self, ids: Sequence[str]) -> list[tuple[Gateway, bytes]]:
        """News that are written now and then forgotten: all at once would hold the event loop up."""
        return [self.news.pop(id_) for id_ in ids]

    def _unseen(self) -> Digests:
        """Of what was known, what no page shows as it was."""
        left = set() if self.hold_all else {*self.known}
        before = [digests for page, digests in self.known_pages.items() if page not in self.pages]
        now = [digests for page, digests in self.pages.items() if page not in self.known_pages]
        for was, is_now in zip_longest(before, now, fillvalue=b""):  # page by page, which leaves few
            left.update({*_each(was)}.difference(_each(is_now)))
        for digests in self.pages.values():
            left.difference_update(_each(digests))
        unseen = {digest: self.known[digest] for digest in left if digest in self.known}
        return unseen | self.awaited


@dataclass(slots=True)
class _Changes:
    events: list[FleetEvent] = field(default_factory=list)
    online_lost: int = 0
    unlisted: list[str] = field(default_factory=list)  # missing for so long that they are gone


class FleetPoll:
    """One process's part in keeping the snapshot fresh; a claim keeps two from listing at once."""

    def __init__(
        self,
        context: Context,
        client: MeshtechClient,
        *,
        site_tag: str,
        owner: str,
    ) -> None:
        self._database = context.database
        self._client = client
        self._now = context.now
        self._owner = owner
        self._site = lru_cache(maxsize=4096)(lambda tags: site_of(tags, site_tag))
        # The same bytes read in another way are another gateway: each row is written anew then.
        self._reading = blake2b(f"{READING} {site_tag}".encode(), digest_size=DIGEST).digest()
        self._digests: Digests = {}
        self._pages: Pages = {}  # of the last listing
        self._digests_of: int | None = None  # the completed listing that left the database so
        self._is_mine = False
        self._releases = Releases(context.database, context.now)

    async def take_in(self, apart: timedelta) -> ListingResult | None:
        """One pass over all pages.

        None when another process is at it, when the last pass began less than ``apart`` ago, or when it
        failed; the listing's row then says why.
        """
        await self._releases.repeat()
        async with self._database.read() as connection:
            if not await self._is_due(connection, apart):
                return None
        if not await self._claim():
            return None
        try:
            async with repeated_beside(self._claim):
                return await self._claimed(apart)
        finally:
            await self._releases.give_back(TICK, self._release)

    async def _release(self, connection: Transaction) -> None:
        await release_tick(connection, TICK, self._owner, self._now())

    async def _is_due(self, connection: Transaction, apart: timedelta) -> bool:
        """One that is not over, of a process that is gone, is begun anew at once."""
        last = await listings.last_begun(connection)
        is_early = last is not None and timedelta() <= self._now() - last.at < apart
        return not is_early or (last is not None and last.is_running)

    async def _claimed(self, apart: timedelta) -> ListingResult | None:
        started = self._now()
        async with self._database.write() as connection:
            if not await self._is_due(connection, apart):
                return None
            last = await listings.last_completed(connection)
            number = await listings.begin(connection, started)
        try:
            return await self._list(number, started, last)
        except BotError as error:
            log.warning("listing %d failed: %s", number, error)
            async with self._database.write() as connection:
                await listings.fail(connection, number, self._now(), str(error))
            return None

    async def _list(self, number: int, started: datetime, last: int | None) -> ListingResult:
        is_own = last is not None and self._digests_of == last
        known = await self._recall(is_own=is_own)
        size = len(known)
        async with self._database.read() as connection:
            online_before = await listings.count_online(connection)
            awaited = {d: known.pop(d) for d in await listings.unsettled(connection) if d in known}
        found = _Pass(self._reading, known, awaited, self._pages, is_own)
        first = last is None
        changes = _Changes()
        with no_collecting():
            async for page in _waited_for(self._client.device_pages()):
                found.add(page)
                await self._keep_claim()
            missing, news = found.finish(), len(found.news)
            ended = self._now()
            listing = Listing(number, min(started, ended), ended)  # the clock may be set back meanwhile
            await self._write_news(found, listing, size, changes, first=first)
        await self._look_for(known, missing, changes)
        gone = await self._complete(listing, missing, len(known), online_before, changes)
        await self._write_vanished(known, gone, listing, changes)
        self._digests, self._digests_of, self._pages = known, number, found.pages
        return ListingResult(
            listing=listing,
            gateways=news if first else len(known),
            events=tuple(changes.events),
            missing=len(missing),
            online_before=online_before,
            online_lost=changes.online_lost,
            first=first,
        )

    async def _recall(self, *, is_own: bool) -> Digests:
        """The map that fits the database. This process no longer has one until the listing is complete."""
        known = self._digests if is_own else {}
        self._digests, self._digests_of = {}, None
        if not is_own:
            async with self._database.read() as connection:
                async for chunk in listings.digests(connection):
                    known |= chunk
        return known

    async def _write_news(
        self, found: _Pass, listing: Listing, size: int, changes: _Changes, *, first: bool
    ) -> None:
        ids = await asyncio.to_thread(sorted, found.news)  # in the order of the table, which writes less
        if not size:
            # Into an empty snapshot all goes at once: who looks sees nothing, or everything.
            async with self._database.write() as connection:
                for some in _chunks(ids):
                    await self._write_chunk(
                        connection, {}, found.taken(some), listing, changes, moving=False, first=first
                    )
                await self._hold_claim(connection)
            return
        moving = await self._is_moving(found.news, ids, size)
        for some in _chunks(ids):
            async with self._database.write() as connection:
                before = await fleet.load(connection, some, lock=True)
                await self._write_chunk(
                    connection, before, found.taken(some), listing, changes, moving=moving, first=first
                )
                await self._hold_claim(connection)
            await self._keep_claim()

    async def _write_chunk(
        self,
        connection: Transaction,
        before: dict[str, KnownGateway],
        chunk: Sequence[tuple[Gateway, bytes]],
        listing: Listing,
        changes: _Changes,
        *,
        moving: bool,
        first: bool,
    ) -> None:
        after, events = self._decide(before, chunk, listing, moving=moving, first=first)
        await asyncio.sleep(0)
        await fleet.save(connection, zip(after, (digest for _, digest in chunk), strict=True))
        await fleet.save_tags(
            connection, (known.gateway for known in before.values()), (known.gateway for known in after)
        )
        await fleet.add_events(connection, events)
        changes.events += events
        old = [known for known in after if known.gateway.id in before]
        changes.online_lost += sum(_was_lost(before[known.gateway.id], known) for known in old)

    def _decide(
        self,
        before: dict[str, KnownGateway],
        chunk: Sequence[tuple[Gateway, bytes]],
        listing: Listing,
        *,
        moving: bool,
        first: bool,
    ) -> tuple[list[KnownGateway], list[FleetEvent]]:
        after: list[KnownGateway] = []
        events: list[FleetEvent] = []
        for gateway, _ in chunk:
            was, site = before.get(gateway.id), self._site(gateway.tags)
            if was is None:
                after.append(first_sight(gateway, listing, site))
                if not first:
                    events.append(appeared(gateway, listing))
            else:
                known, happened = take_in(was, gateway, listing, site, moving=moving)
                after.append(known)
                events += happened
        return after, events

    async def _is_moving(self, news: News, ids: Sequence[str], size: int) -> bool:
        if not is_moving(len(ids), size):
            return False
        moved = 0
        for some in _chunks(ids):
            async with self._database.read() as connection:
                before = await fleet.load(connection, some)
            moved += sum(timestamp_moved(known, news[id_][0]) for id_, known in before.items())
        return is_moving(moved, size)

    async def _look_for(self, seen: Digests, missing: Digests, changes: _Changes) -> None:
        """What it means that the listing does not have these gateways."""
        for chunk in _chunks(list(missing.items())):
            async with self._database.read() as connection:
                before = await fleet.load(connection, [id_ for _, id_ in chunk])
            changes.unlisted += [id_ for id_, known in before.items() if known.missed + 1 >= VANISHED_AFTER]
            changes.online_lost += sum(_is_online(known) for known in before.values())
            seen |= {digest: id_ for digest, id_ in chunk if id_ in before}

    async def _complete(
        self, listing: Listing, missing: Digests, gateways: int, online_before: int, changes: _Changes
    ) -> list[str]:
        """The listing counts from here on, and with it who is missing: a crash before that counts neither.

        Returns those that are gone for good, and not merely out of sight.
        """
        async with self._database.write() as connection:
            for chunk in _chunks(sorted(missing.values())):
                await listings.mark_missing(connection, chunk)
            gone = changes.unlisted
            if gone:
                online = await listings.count_online(connection)
                look = ListingOutcome(
                    listing.number, True, listing.finished_at, online_before, changes.online_lost, online
                )
                if visibility_loss([look, *await listings.recent_outcomes(connection)]) is not None:
                    gone = []
            await listings.complete(
                connection,
                listing,
                gateways - len(gone),
                len(changes.events) + len(gone),
                online_before=online_before,
                online_lost=changes.online_lost,
            )
            await self._hold_claim(connection)
        return gone

    async def _write_vanished(
        self, seen: Digests, unlisted: Sequence[str], listing: Listing, changes: _Changes
    ) -> None:
        """What three listings in a row did not have is gone."""
        gone: set[str] = set()
        for chunk in _chunks(unlisted):
            async with self._database.write() as connection:
                known = await fleet.load(connection, chunk, lock=True)
                events = [vanished(one.gateway, listing) for one in known.values()]
                await fleet.remove(connection, sorted(known))
                await fleet.add_events(connection, events)
                await self._hold_claim(connection)
            changes.events += events
            gone |= known.keys()
        if gone:
            for digest in [digest for digest, id_ in seen.items() if id_ in gone]:
                del seen[digest]

    async def _claim(self) -> bool:
        """Takes the listing, or says that it goes on."""
        self._is_mine = await claim_tick(self._database, TICK, self._owner, self._now())
        return self._is_mine

    async def _keep_claim(self) -> None:
        """Gives the event loop a turn, and ends what another replica has taken over."""
        await asyncio.sleep(0)
        if not self._is_mine:
            raise Unavailable(_TAKEN_OVER)

    async def _hold_claim(self, connection: Transaction) -> None:
        """Last in a transaction: renewals may have failed, and what is older stay behind what is newer."""
        if not await hold_tick(connection, TICK, self._owner):
            raise Unavailable(_TAKEN_OVER)


def _each(digests: bytes) -> tuple[bytes, ...]:
    return unpack(f"{DIGEST}s" * (len(digests) // DIGEST), digests)


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


async def _waited_for(pages: AsyncIterator[DevicePage]) -> AsyncIterator[DevicePage]:
    """Within ``no_collecting``: a portal that keeps the listing waiting does not keep the collector off."""
    loop = asyncio.get_running_loop()
    while True:
        collecting = loop.call_later(SLOW, gc.enable)
        try:
            page = await anext(pages, None)
        finally:
            collecting.cancel()
            gc.disable()
        if page is None:
            return
        yield page
        del page  # not kept while the next one comes


def _was_lost(before: KnownGateway, after: KnownGateway) -> bool:
    return _is_online(before) and after.gateway.connectivity is not Connectivity.ONLINE


def _is_online(known: KnownGateway) -> bool:
    """As the last listing showed it."""
    return known.gateway.connectivity is Connectivity.ONLINE and not known.missed
