"""Leases: a row that one process works on alone, for as long as it says every few seconds that it still does.

They are short, so that others go on soon after a crash, and renewed beside the work, so that a call of any
length keeps what it is for. A release that the database did not take is repeated before the next claim.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import Unavailable
from bot.storage.db.engine import Database, work_for_itself
from bot.storage.db.statements import insert_or_ignore
from bot.storage.db.tables import ticks

log = logging.getLogger(__name__)

LASTS: Final = timedelta(seconds=9)
RENEWED_EVERY: Final = LASTS / 3

Release = Callable[[AsyncConnection], Awaitable[object]]


def is_free(table: Table, now: datetime) -> ColumnElement[bool]:
    """Nobody holds it; what ends much later than a lease can was written by a clock that ran ahead."""
    until = table.c.lease_until
    return or_(until.is_(None), until <= now, until > now + 3 * LASTS)


def is_held(table: Table, owner: str) -> ColumnElement[bool]:
    """Nobody took it over, nor was it given back."""
    return and_(table.c.owner == owner, table.c.lease_until.is_not(None))


def taken(owner: str, now: datetime) -> Mapping[str, Any]:
    """The values of a row that is claimed, or renewed."""
    return {"owner": owner, "lease_until": now + LASTS}


async def claim_tick(database: Database, name: str, owner: str, now: datetime) -> bool:
    """Whether this process may run the named tick now; the others are told no until the lease ends."""
    nobodys = {"name": name, "owner": "", "lease_until": now}
    free = or_(is_free(ticks, now), ticks.c.owner.in_([owner, ""]))
    async with database.write() as connection:
        await connection.execute(insert_or_ignore(connection, ticks, nobodys))
        claimed = await connection.execute(
            update(ticks).where(ticks.c.name == name, free).values(taken(owner, now))
        )
        return claimed.rowcount == 1


async def release_tick(connection: AsyncConnection, name: str, owner: str, now: datetime) -> None:
    await connection.execute(
        update(ticks).where(ticks.c.name == name, is_held(ticks, owner)).values(owner="", lease_until=now)
    )


async def hold_tick(connection: AsyncConnection, name: str, owner: str) -> bool:
    """Whether nobody took the tick over; then nobody does before the transaction ends."""
    mine = select(ticks.c.name).where(ticks.c.name == name, is_held(ticks, owner))
    return await connection.scalar(mine.with_for_update()) is not None


class Releases:
    """Gives claims back. One that the database does not take is owed, until its lease has ended by itself."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._owed: dict[Hashable, tuple[Release, datetime]] = {}

    @property
    def owed(self) -> Collection[Hashable]:
        return self._owed.keys()

    async def give_back(self, claim: Hashable, release: Release) -> None:
        """Raises what keeps the database from it."""
        self._owed[claim] = release, self._now() + LASTS
        await self._try(claim)

    async def repeat(self) -> None:
        """Gives back what is owed, for whoever claims next. Raises as ``give_back`` does."""
        self._owed = {claim: owed for claim, owed in self._owed.items() if self._now() < owed[1]}
        ended = await asyncio.gather(*map(self._try, self._owed), return_exceptions=True)
        if errors := [error for error in ended if error is not None]:
            raise errors[0]

    async def _try(self, claim: Hashable) -> None:
        async with self._database.write() as connection:
            if (owed := self._owed.get(claim)) is None:
                return  # given back while this waited for the database
            await owed[0](connection)
        self._owed.pop(claim, None)


@asynccontextmanager
async def kept(
    database: Database,
    row: ColumnElement[bool],
    table: Table,
    owner: str,
    now: Callable[[], datetime],
    *,
    every: timedelta = RENEWED_EVERY,
) -> AsyncIterator[None]:
    """Renews the lease of a row until the block ends, unless somebody took it over."""

    async def renew() -> None:
        async with database.write() as connection:
            await connection.execute(
                update(table).where(row, is_held(table, owner)).values(lease_until=now() + LASTS)
            )

    async with repeated_beside(renew, every):
        yield


@asynccontextmanager
async def repeated_beside(
    renew: Callable[[], Awaitable[object]], every: timedelta = RENEWED_EVERY
) -> AsyncIterator[None]:
    """Does this again and again while the block runs, and never cuts it short."""
    over = asyncio.Event()

    async def repeat() -> None:
        work_for_itself()  # however many people wait for a connection
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), every.total_seconds())
            if over.is_set():
                return
            try:
                await renew()
            except Unavailable as error:
                log.warning("a lease was not renewed: %s", error)

    task = asyncio.create_task(repeat(), name="lease")
    try:
        yield
    finally:
        over.set()
        await task
