"""What changed between two listings: what counts as a change, and when it happened.

Knows neither the vendor's wire nor the database.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.gateways import (
    Connectivity,
    FleetEvent,
    FleetEventKind,
    Gateway,
    GatewayId,
    KnownGateway,
    Listing,
)

VANISHED_AFTER = 3  # completed listings in a row: paging over a moving list skips rows
MOVING_AFTER = 2  # moves of a timestamp without a change of state: fewer changes than flapping takes
STILL_FOR = timedelta(days=1)  # after which a timestamp that moved is believed again
MOVING_FLEET = 20  # gateways from which "most timestamps moved" says something about the vendor
CLOCK_SKEW = timedelta(minutes=2)


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
    return _event(FleetEventKind.APPEARED, gateway.id, listing, None, gateway.connectivity.value)


def vanished(gateway: Gateway, listing: Listing) -> FleetEvent:
    return _event(FleetEventKind.VANISHED, gateway.id, listing, gateway.connectivity.value, None)


def _connectivity(
    before: KnownGateway, seen: Gateway, listing: Listing, moving: bool
) -> tuple[KnownGateway, list[FleetEvent]]:
    was = before.gateway
    moves = 0 if _stood_still(was, seen) else before.timestamp_moves
    if was.connectivity != seen.connectivity:
        stated = None if moving or moves >= MOVING_AFTER else _believable(seen.changed_at, listing)
        # A change cannot lie before the one that came before it.
        since = stated if stated is not None and stated >= before.since else listing.started_at
        # What moves plainly is not believed for having changed its state once.
        kept = moves if moves >= MOVING_AFTER else 0
        after = replace(before, gateway=seen, since=since, since_listing=listing.number, timestamp_moves=kept)
        return after, [_change(was.connectivity, seen.connectivity, seen.id, since, listing)]
    if not timestamp_moved(before, seen):
        return replace(before, gateway=seen), []
    moves += 1
    since_then = _believable(seen.changed_at, listing)
    if moving or moves >= MOVING_AFTER or since_then is None or since_then <= before.since:
        return replace(before, gateway=seen, timestamp_moves=moves), []
    # Same state, newer timestamp: it left that state and came back between two listings.
    back = replace(
        before, gateway=seen, since=since_then, since_listing=listing.number, timestamp_moves=moves
    )
    here, there = seen.connectivity, _opposite(seen.connectivity)
    return back, [
        _change(here, there, seen.id, since_then, listing),
        _change(there, here, seen.id, since_then, listing),
    ]


def _stood_still(was: Gateway, seen: Gateway) -> bool:
    """Whether no heartbeat moved the timestamp for long."""
    return (
        was.changed_at is not None
        and seen.changed_at is not None
        and seen.changed_at - was.changed_at >= STILL_FOR
    )


def _believable(stated: datetime | None, listing: Listing) -> datetime | None:
    """The vendor's time of change, unless it is missing or lies in the future."""
    if stated is None or stated > listing.finished_at + CLOCK_SKEW:
        return None
    return min(stated, listing.finished_at)


def _opposite(state: Connectivity) -> Connectivity:
    return Connectivity.OFFLINE if state is Connectivity.ONLINE else Connectivity.ONLINE


def _change(
    before: Connectivity, after: Connectivity, gateway: GatewayId, at: datetime, listing: Listing
) -> FleetEvent:
    """What it is after follows from the kind."""
    kind = {
        Connectivity.ONLINE: FleetEventKind.CAME_BACK,
        Connectivity.OFFLINE: FleetEventKind.WENT_OFFLINE,
        Connectivity.UNKNOWN: FleetEventKind.BECAME_UNKNOWN,
    }[after]
    return FleetEvent(kind, gateway, at, listing.number, before.value)


def _event(
    kind: FleetEventKind, gateway: GatewayId, listing: Listing, before: str | None, after: str | None
) -> FleetEvent:
    return FleetEvent(kind, gateway, listing.started_at, listing.number, before, after)
