"""Listings as rows: begun, completed or failed, and the digests by which the next one knows what is new."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.gateways import Connectivity, Listing, SnapshotStatus
from bot.domain.visibility_loss import LOOKBACK, ListingOutcome
from bot.storage.db.tables import RANKS, UNSETTLED, gateways, listings
from bot.storage.db.timestamps import EPOCH, from_micros, plain

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
_CHUNK = 5_000
# Online in the last listing, as a difference: each half is counted in an index, and neither reads the table.
_IS_ONLINE = RANKS[Connectivity.ONLINE]
_OUT_OF_SIGHT = select(func.count()).where(
    UNSETTLED, gateways.c.missed > 0, gateways.c.rank + 0 == _IS_ONLINE
)
_ONLINE = select(
    select(func.count()).where(gateways.c.rank == _IS_ONLINE).scalar_subquery()
    - _OUT_OF_SIGHT.scalar_subquery()
)


async def begin(connection: AsyncConnection, now: datetime) -> int:
    """A new listing's number. One that was never finished is marked as failed: its process died."""
    await connection.execute(
        update(listings)
        .where(listings.c.outcome == RUNNING)
        .values(outcome=FAILED, finished_at=now, error="The bot stopped in the middle of it.")
    )
    done = await connection.execute(
        insert(listings)
        .values(started_at=now, outcome=RUNNING, gateways=0, changes=0)
        .returning(listings.c.number)
    )
    number: int = done.scalar_one()
    return number


async def complete(
    connection: AsyncConnection,
    listing: Listing,
    gateways_seen: int,
    changes: int,
    *,
    online_before: int = 0,
    online_lost: int = 0,
) -> None:
    """``online_lost`` of ``online_before`` are offline, unknown or missing now."""
    await connection.execute(
        update(listings)
        .where(listings.c.number == listing.number)
        .values(
            outcome=COMPLETED,
            finished_at=listing.finished_at,
            gateways=gateways_seen,
            changes=changes,
            online_before=online_before,
            online_lost=online_lost,
            online=_ONLINE.scalar_subquery(),
        )
    )


async def fail(connection: AsyncConnection, number: int, now: datetime, reason: str) -> None:
    """One that was completed stays so, whatever went wrong behind it."""
    await connection.execute(
        update(listings)
        .where(listings.c.number == number, listings.c.outcome == RUNNING)
        .values(outcome=FAILED, finished_at=now, error=reason)
    )


async def last_completed(connection: AsyncConnection) -> int | None:
    """The number of the newest completed listing."""
    number: int | None = await connection.scalar(
        select(func.max(listings.c.number)).where(listings.c.outcome == COMPLETED)
    )
    return number


async def newest(connection: AsyncConnection) -> int:
    """The number of the newest listing, whatever became of it; 0 before the first."""
    return int(await connection.scalar(select(func.max(listings.c.number))) or 0)


class Begun(NamedTuple):
    """The newest listing: when it began, and whether nobody has said that it is over."""

    at: datetime
    is_running: bool


async def last_begun(connection: AsyncConnection) -> Begun | None:
    newest = select(listings.c.started_at, listings.c.outcome).order_by(listings.c.number.desc()).limit(1)
    found = (await connection.execute(newest)).first()
    return None if found is None else Begun(found.started_at, found.outcome == RUNNING)


def _newest_of(column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    return select(column).where(*conditions).order_by(listings.c.number.desc()).limit(1).scalar_subquery()


def _status() -> Select[Any]:
    """Read from the newest end: a table of months costs no more than one of minutes."""
    last = _newest_of(listings.c.number, listings.c.outcome == COMPLETED)
    since = listings.c.number > func.coalesce(last, 0)
    failed = listings.c.outcome == FAILED
    return select(
        _newest_of(listings.c.finished_at, listings.c.outcome == COMPLETED),
        last,
        func.coalesce(_newest_of(listings.c.gateways, listings.c.outcome == COMPLETED), 0),
        select(func.count()).where(since, failed).scalar_subquery(),
        _newest_of(listings.c.error, since, failed),
        _newest_of(listings.c.started_at),
    )


STATUS = _status()


async def status(connection: AsyncConnection) -> SnapshotStatus:
    return await connection.run_sync(read_status)


def read_status(connection: Connection) -> SnapshotStatus:
    """The same for ``Database.ask``."""
    return SnapshotStatus(*connection.execute(STATUS).one())


async def count_online(connection: AsyncConnection) -> int:
    """Gateways that the last listing showed as online."""
    return int(await connection.scalar(_ONLINE) or 0)


async def digests(connection: AsyncConnection) -> AsyncIterator[dict[bytes, str]]:
    """The digest of every row and whose it is, in chunks."""
    after = ""
    while True:
        found = (
            await connection.execute(
                select(gateways.c.id, gateways.c.digest)
                .where(gateways.c.id > after)
                .order_by(gateways.c.id)
                .limit(_CHUNK)
            )
        ).all()
        if not found:
            return
        yield {digest: id_ for id_, digest in found}
        after = found[-1].id


async def unsettled(connection: AsyncConnection) -> list[bytes]:
    """Digests of rows that a listing must look at even when the vendor's bytes are the same."""
    return list(await connection.scalars(select(gateways.c.digest).where(UNSETTLED)))


async def mark_missing(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Counts one more listing without these gateways."""
    if ids:
        await connection.execute(
            update(gateways).where(gateways.c.id.in_(ids)).values(missed=gateways.c.missed + 1)
        )


async def forget(connection: AsyncConnection, before: datetime) -> int:
    """Prunes listings; the newest completed one stays, since it says how old the snapshot is."""
    newest = select(func.coalesce(func.max(listings.c.number), 0)).where(listings.c.outcome == COMPLETED)
    return (
        await connection.execute(
            delete(listings).where(
                listings.c.started_at < before, listings.c.number < newest.scalar_subquery()
            )
        )
    ).rowcount


async def unseen(
    connection: AsyncConnection, begins: datetime, ends: datetime, longest: timedelta
) -> list[tuple[datetime, datetime]]:
    """When nothing was seen of the fleet: longer than this between two completed listings, or before any."""
    table, done = listings.c, listings.c.outcome == COMPLETED
    earlier = listings.alias().c
    ended = (
        select(plain(earlier.finished_at))
        .where(earlier.outcome == COMPLETED, earlier.number < table.number)
        .order_by(earlier.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    since, began = func.coalesce(ended, 0), plain(table.started_at)  # 0: before there was any
    before = _newest_of(table.number, done, table.finished_at <= begins)
    gaps = await connection.execute(
        select(since, began)
        .where(
            done,
            table.number >= func.coalesce(before, 0),
            began - since > longest // timedelta(microseconds=1),
        )
        .order_by(table.number)
    )
    found = [(from_micros(since), from_micros(until)) for since, until in gaps]
    last = await connection.scalar(select(_newest_of(table.finished_at, done))) or EPOCH
    if ends - last > longest:
        found.append((last, ends))
    clipped = [(max(since, begins), min(until, ends)) for since, until in found]
    return [(since, until) for since, until in clipped if since < until]


async def recent_outcomes(connection: AsyncConnection) -> Sequence[ListingOutcome]:
    """Newest first; one that is under way says nothing yet."""
    rows = await connection.execute(
        select(listings)
        .where(listings.c.outcome != "running")
        .order_by(listings.c.number.desc())
        .limit(LOOKBACK)
    )
    return [
        ListingOutcome(
            row.number,
            row.outcome == "completed",
            row.finished_at or row.started_at,
            row.online_before,
            row.online_lost,
            row.online,
        )
        for row in rows
    ]


async def completed_listings(
    connection: AsyncConnection, many: int, newest: int | None = None
) -> tuple[Listing, ...]:
    """The last completed listings, newest first; with ``newest``, none after that number."""
    query = select(listings).where(listings.c.outcome == "completed")
    if newest is not None:
        query = query.where(listings.c.number <= newest)
    rows = await connection.execute(query.order_by(listings.c.number.desc()).limit(many))
    return tuple(Listing(row.number, row.started_at, row.finished_at) for row in rows)
