"""The fleet as the bot knows it: gateways, firmware versions, and what changed between two listings.

Decides what counts as a change and when it happened. Knows neither the vendor's wire nor the database.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from bot.domain.events import FleetEvent, FleetEventKind

GatewayId = NewType("GatewayId", str)

NO_SITE = "no tag"
FLAPPING_CHANGES = 4
FLAPPING_WITHIN = timedelta(minutes=60)
VANISHED_AFTER = 3  # completed listings in a row: paging over a moving list skips rows
MOVING_AFTER = 3  # listings in a row in which a timestamp moved and the state did not
MOVING_FLEET = 20  # gateways from which "most timestamps moved" says something about the vendor
CLOCK_SKEW = timedelta(minutes=2)


class Connectivity(StrEnum):
    """Whether the portal sees a gateway. ``UNKNOWN`` where the vendor says null."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Taken:
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
class TagCount:
    """A tag, and how many gateways carry it."""

    tag: str
    gateways: int
    offline: int


@dataclass(frozen=True, slots=True, order=True)
class FirmwareVersion:
    """``major.minor.patch`` or ``major.minor.patch-beta.n``; a release sorts after its betas."""

    major: int
    minor: int
    patch: int
    release: bool = True
    beta: int = 0

    @classmethod
    def parse(cls, text: str) -> "FirmwareVersion | None":
        """None when the text has another form: such versions equal only themselves and have no order."""
        match = re.fullmatch(r"(\d{1,8})\.(\d{1,8})\.(\d{1,8})(?:-beta\.(\d{1,8}))?", text.strip(), re.ASCII)
        if match is None:
            return None
        major, minor, patch = (int(part) for part in match.groups()[:3])
        beta = match.group(4)
        return cls(major, minor, patch, beta is None, int(beta) if beta else 0)

    @property
    def key(self) -> str:
        """Digits only, of equal length, so that text order is version order under every collation."""
        return f"{self.major:08}{self.minor:08}{self.patch:08}{int(self.release)}{self.beta:08}"

    def __str__(self) -> str:
        base = f"{self.major}.{self.minor}.{self.patch}"
        return base if self.release else f"{base}-beta.{self.beta}"


def firmware_key(text: str | None) -> str | None:
    """The sortable form of a version, or None when it has no order."""
    version = FirmwareVersion.parse(text) if text else None
    return version.key if version else None


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


def first_sight(gateway: Gateway, listing: Listing, site: str) -> KnownGateway:
    """A gateway that no listing had before."""
    return KnownGateway(
        gateway=gateway,
        site=site,
        since=_believable(gateway.changed_at, listing) or listing.started_at,
        since_listing=listing.number,
        first_seen=listing.started_at,
    )


def take_in(
    before: KnownGateway, seen: Gateway, listing: Listing, site: str, *, moving: bool = False
) -> tuple[KnownGateway, tuple[FleetEvent, ...]]:
    """What the snapshot says of a gateway after a listing, and what happened to it in between.

    ``moving`` tells that in this listing most timestamps moved without a change of state, so they are not
    times of change. A name or tags that were written after the listing began are kept until the next one.
    """
    was = before.gateway
    written = before.written_at
    if written is not None and written >= listing.started_at:
        seen = replace(seen, name=was.name, tags=was.tags)
        site = before.site
        confirmed = written
    else:
        confirmed = None
    after, events = _connectivity(before, seen, listing, moving)
    after = replace(after, site=site, missed=0, written_at=confirmed)
    if was.firmware != seen.firmware:
        events.append(_event(FleetEventKind.FIRMWARE, seen.id, listing, was.firmware, seen.firmware))
    if was.name != seen.name:
        events.append(_event(FleetEventKind.RENAMED, seen.id, listing, was.name, seen.name))
    if was.tags != seen.tags:
        events.append(
            _event(FleetEventKind.TAGGED, seen.id, listing, "\n".join(was.tags), "\n".join(seen.tags))
        )
    return after, tuple(events)


def timestamp_moved(before: KnownGateway, seen: Gateway) -> bool:
    """Whether the state is the same and its timestamp is newer."""
    was = before.gateway
    return (
        was.connectivity == seen.connectivity
        and was.changed_at is not None
        and seen.changed_at is not None
        and seen.changed_at > was.changed_at
    )


def is_moving(moved: int, gateways: int) -> bool:
    """Whether so many timestamps moved without a change of state that they cannot be times of change."""
    return gateways >= MOVING_FLEET and moved * 2 > gateways


def appeared(gateway: Gateway, listing: Listing) -> FleetEvent:
    return _event(FleetEventKind.APPEARED, gateway.id, listing, None, gateway.name)


def vanished(gateway: Gateway, listing: Listing) -> FleetEvent:
    return _event(FleetEventKind.VANISHED, gateway.id, listing, gateway.name, None)


def _connectivity(
    before: KnownGateway, seen: Gateway, listing: Listing, moving: bool
) -> tuple[KnownGateway, list[FleetEvent]]:
    was = before.gateway
    if was.connectivity != seen.connectivity:
        stated = (
            None
            if moving or before.timestamp_moves >= MOVING_AFTER
            else _believable(seen.changed_at, listing)
        )
        # A change cannot lie before the one that came before it.
        since = stated if stated is not None and stated >= before.since else listing.started_at
        # What moves plainly is not believed for having changed its state once.
        moves = before.timestamp_moves if before.timestamp_moves >= MOVING_AFTER else 0
        after = replace(
            before, gateway=seen, since=since, since_listing=listing.number, timestamp_moves=moves
        )
        return after, [_change_to(seen, since, listing)]
    if not timestamp_moved(before, seen):
        return replace(before, gateway=seen, timestamp_moves=0), []
    moves = before.timestamp_moves + 1
    since_then = _believable(seen.changed_at, listing)
    if moving or moves >= MOVING_AFTER or since_then is None or since_then <= before.since:
        return replace(before, gateway=seen, timestamp_moves=moves), []
    # Same state, newer timestamp: it left that state and came back between two listings.
    back = replace(
        before, gateway=seen, since=since_then, since_listing=listing.number, timestamp_moves=moves
    )
    opposite = replace(seen, connectivity=_opposite(seen.connectivity))
    return back, [_change_to(opposite, since_then, listing), _change_to(seen, since_then, listing)]


def _believable(stated: datetime | None, listing: Listing) -> datetime | None:
    """The vendor's time of change, unless it is missing or lies in the future."""
    if stated is None or stated > listing.finished_at + CLOCK_SKEW:
        return None
    return min(stated, listing.finished_at)


def _opposite(state: Connectivity) -> Connectivity:
    return Connectivity.OFFLINE if state is Connectivity.ONLINE else Connectivity.ONLINE


def _change_to(gateway: Gateway, at: datetime, listing: Listing) -> FleetEvent:
    kind = {
        Connectivity.ONLINE: FleetEventKind.CAME_BACK,
        Connectivity.OFFLINE: FleetEventKind.WENT_OFFLINE,
        Connectivity.UNKNOWN: FleetEventKind.LOST_SIGHT,
    }[gateway.connectivity]
    return FleetEvent(kind, gateway.id, at, listing.number)


def _event(
    kind: FleetEventKind, gateway: GatewayId, listing: Listing, before: str | None, after: str | None
) -> FleetEvent:
    return FleetEvent(kind, gateway, listing.started_at, listing.number, before, after)
