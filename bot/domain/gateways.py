"""The fleet as the bot knows it: gateways, listings, and what changed between two of them.

Knows neither the vendor's wire nor the database.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, TypeAlias, TypeVar, dataclass_transform

GatewayId = NewType("GatewayId", str)
_Class = TypeVar("_Class")
Interval: TypeAlias = tuple[datetime, datetime]
"""From a moment to a later one, which is no part of it."""
Held: TypeAlias = Mapping[str, Sequence[Interval]]
"""When a silence or a maintenance window holds the alerts of gateways, by their ids."""

NO_SITE = "no tag"
MISSED_POLLS = 3  # times as long as from one listing to the next: nothing is seen of the fleet
FLAPPING_CHANGES = 4
FLAPPING_WITHIN = timedelta(minutes=60)


class Connectivity(StrEnum):
    """Whether the portal sees a gateway. ``UNKNOWN`` where the vendor says null."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass_transform(frozen_default=True)
def _made_by_the_ten_thousand(made: type[_Class]) -> type[_Class]:
    """A dataclass that the type checker alone keeps frozen: what Python does for it makes new ones take six
    times as long.
    """
    return dataclass(slots=True, unsafe_hash=True)(made)


@_made_by_the_ten_thousand
class Gateway:
    """One gateway as one listing showed it. Any field but ``id`` may be missing; texts are hostile."""

    id: GatewayId
    name: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    connectivity: Connectivity = Connectivity.UNKNOWN
    changed_at: datetime | None = None  # the vendor's time of the last change of connectivity
    firmware: str | None = None
    hardware: str | None = None
    imei: str | None = None
    status: str | None = None
    boot_mode: str | None = None

    @property
    def label(self) -> str:
        """What a person calls it: its name, or its id when it has none."""
        return self.name or self.id


@_made_by_the_ten_thousand
class KnownGateway:
    """A row of the snapshot: the gateway, and what the bot has worked out about it."""

    gateway: Gateway
    site: str
    since: datetime  # when it entered its present connectivity, as far as can be told
    since_listing: int  # the listing that first saw it so
    first_seen: datetime
    timestamp_moves: int = 0
    missed: int = 0  # completed listings in a row that did not have it
    written_at: datetime | None = None  # a write is shown ahead of the listing that will confirm it
    flapping: bool = False
    updating: bool = False

    def online_or_offline_for(self, now: datetime) -> timedelta:
        return max(now - self.since, timedelta())


@dataclass(frozen=True, slots=True)
class Listing:
    """One pass over all pages of the vendor's list. ``number`` counts completed and failed ones alike."""

    number: int
    started_at: datetime
    finished_at: datetime


class FleetEventKind(StrEnum):
    """What can happen to a gateway between two listings."""

    WENT_OFFLINE = "went_offline"
    CAME_BACK = "came_back"
    BECAME_UNKNOWN = "became_unknown"  # the vendor says neither online nor offline any more
    FIRMWARE = "firmware"
    RENAMED = "renamed"
    TAGGED = "tagged"
    APPEARED = "appeared"
    VANISHED = "vanished"


CONNECTIVITY_KINDS = frozenset(
    {FleetEventKind.WENT_OFFLINE, FleetEventKind.CAME_BACK, FleetEventKind.BECAME_UNKNOWN}
)
# The rest of what happens to a gateway is not about being there or being online.
PRESENCE_KINDS = CONNECTIVITY_KINDS | {FleetEventKind.APPEARED, FleetEventKind.VANISHED}


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """One change of one gateway. ``before`` and ``after`` are texts; tags are joined by line feeds.

    Of a change of connectivity, and of what vanished, ``before`` is the state before; of what appeared,
    ``after`` the one after.
    """

    kind: FleetEventKind
    gateway_id: str
    at: datetime
    listing: int
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class ListingResult:
    """What a completed listing brought. Its events are stored already."""

    listing: Listing
    gateways: int
    events: tuple[FleetEvent, ...]
    missing: int  # gateways of the snapshot that the listing did not have
    online_before: int
    online_lost: int  # of those online before: now offline, unknown or missing
    first: bool  # nothing was known before, so that nothing of it is an event


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """How far the snapshot can be trusted. ``as_of`` is None until a listing has been completed."""

    as_of: datetime | None = None
    listing: int | None = None
    gateways: int = 0
    consecutive_failures: int = 0
    last_error: str | None = None
    listed_at: datetime | None = None  # when the newest listing began, whatever became of it

    def is_missing(self, now: datetime, every: timedelta) -> bool:
        """Whether no listing began for so long that two were left out."""
        return self.listed_at is not None and now - self.listed_at >= MISSED_POLLS * every


@dataclass(frozen=True, slots=True)
class Counts:
    """How many gateways there are of those that were asked for."""

    total: int = 0
    offline: int = 0
    unknown: int = 0

    @property
    def online(self) -> int:
        return self.total - self.offline - self.unknown


@dataclass(frozen=True, slots=True)
class RunningVersion:
    """How many gateways of a model run a version; both folded, and empty where the vendor names none."""

    model: str
    version: str
    gateways: int


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag, and how many gateways carry it."""

    tag: str
    gateways: int
    offline: int


def fold(text: str) -> str:
    """The form in which names, tags and ids are compared: no case, one Unicode form, no outer space.

    Taken apart first, as Unicode's definition 145 says: else an iota below a letter comes out in two places.
    """
    if text.isascii():  # the same, and sooner
        return text.lower().strip()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold()).strip()


def site_of(tags: tuple[str, ...], prefix: str) -> str:
    """The site of a gateway: its first tag with the prefix, without it; with no prefix its first tag.

    A gateway without such a tag belongs to the site "no tag".
    """
    if not prefix:
        return tags[0] if tags else NO_SITE
    folded = fold(prefix)
    behind = (_behind(folded, tag) for tag in tags if fold(tag).startswith(folded))
    return next(filter(None, behind), NO_SITE)


def _behind(folded: str, tag: str) -> str:
    """What stands in a tag behind a prefix, which may be longer or shorter in the tag's own spelling."""
    return next((tag[end:].strip() for end in range(len(tag)) if fold(tag[:end]) == folded), "")
