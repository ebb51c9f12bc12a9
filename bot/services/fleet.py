"""The fleet as a person asks for it: pages of a query, one gateway, tags, firmware, and how old all this is.

Everything but firmware is read from the snapshot in the database. Taking in a listing is `fleet_intake`,
renaming and tagging `fleet_writes`. Knows nothing of Slack.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.events import FleetEvent
from bot.domain.firmware import Firmware
from bot.domain.fleet import KnownGateway, Listing
from bot.domain.query import Query


@dataclass(frozen=True, slots=True)
class Taken:
    """What a completed listing brought. ``events`` are stored already, in the transactions of their rows."""

    listing: Listing
    gateways: int
    events: tuple[FleetEvent, ...]
    missing: int  # gateways of the snapshot that the listing did not have
    online_before: int
    online_lost: int  # of those online before: now offline, unknown or missing
    first: bool  # the first listing this database has seen: everything is new and nothing an event


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """How far the snapshot can be trusted. ``as_of`` is None until a listing has been completed."""

    as_of: datetime | None
    listing: int | None
    gateways: int
    consecutive_failures: int
    last_error: str | None
    listed_at: datetime | None  # when the newest listing began, whatever became of it


@dataclass(frozen=True, slots=True)
class Counts:
    total: int
    offline: int
    unknown: int

    @property
    def online(self) -> int:
        return self.total - self.offline - self.unknown


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the gateways that match, worst first, and how many match in all."""

    rows: tuple[KnownGateway, ...]
    counts: Counts
    offset: int
    as_of: datetime | None

    @property
    def total(self) -> int:
        return self.counts.total


@dataclass(frozen=True, slots=True)
class TagCount:
    tag: str
    gateways: int
    offline: int


@dataclass(frozen=True, slots=True)
class FirmwareCount:
    """A firmware file of the vendor's, and how many gateways of its model run that version now."""

    firmware: Firmware
    gateways: int


class FleetService:
    """FleetService(database, client, now=…, listing_every=…, site_tag=…, owner=…)."""

    async def take_in_listing(self) -> Taken | None:
        """One pass over the vendor's list; None when it failed, or when a replica is at it or just was."""

    async def refresh(self) -> SnapshotStatus:
        """A listing, unless one began in the last 15 s; concurrent callers share it."""

    async def snapshot_status(self) -> SnapshotStatus: ...

    async def search(self, query: Query, offset: int = 0, limit: int = 10) -> Page: ...

    def all_matching(self, query: Query) -> AsyncIterator[tuple[KnownGateway, ...]]:
        """All that match, worst first, in chunks."""

    async def counts(self, query: Query) -> Counts: ...

    async def tags(self) -> tuple[TagCount, ...]: ...

    async def find(self, text: str) -> KnownGateway:
        """By id or by exact name. Raises InvalidInput listing ids when ambiguous, NotFound with the nearest."""

    async def gateways(self, ids: Sequence[str]) -> tuple[KnownGateway, ...]: ...

    async def recent_events(self, gateway_id: str, limit: int = 10) -> tuple[FleetEvent, ...]:
        """Newest first."""

    async def firmware(self, model: str | None = None) -> tuple[FirmwareCount, ...]:
        """From the vendor, at most 60 s old; newest version first within a model."""

    async def prune(self, older_than: timedelta) -> None: ...
