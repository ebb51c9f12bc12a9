"""How long somebody has a row alone: short, so that others go on soon, and for as long as they say so."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from bot.domain.errors import Unavailable
from bot.services.fleet.search import LOOK_EVERY
from bot.storage.db.engine import Database, Transaction, work_for_people
from bot.storage.db.leases import (
    LASTS,
    RENEWED_EVERY,
    Releases,
    claim_tick,
    hold_tick,
    is_free,
    is_held,
    kept,
    release_tick,
    repeated_beside,
    taken,
)
from bot.storage.db.tables import writes
from bot.wiring.schedule import OFTEN

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AT_ONCE = timedelta(milliseconds=1)
WRITE = {
    "id": "w",
    "kind": "tag",
    "state": "running",
    "actor": "U0ANA00001",
    "title": "",
    "created_at": NOW,
    "expires_at": NOW,
}


async def is_free_at(database: Database, now: datetime) -> bool:
    async with database.read() as connection:
        return await connection.scalar(select(writes.c.id).where(is_free(writes, now))) is not None


async def leased(database: Database, owner: str = "one") -> None:
    async with database.write() as connection:
        await connection.execute(insert(writes).values(WRITE | dict(taken(owner, NOW))))


def test_others_go_on_within_fifteen_seconds_of_a_crash() -> None:
    assert LASTS + max(OFTEN, LOOK_EVERY) < timedelta(seconds=15)
    assert timedelta(seconds=3) == RENEWED_EVERY  # one renewal may fail


async def test_a_lease_ends_by_itself(database: Database) -> None:
    await leased(database)
    assert not await is_free_at(database, NOW)
    assert not await is_free_at(database, NOW + timedelta(seconds=8.9))
    assert await is_free_at(database, NOW + timedelta(seconds=9))


async def test_a_lease_from_a_clock_that_ran_ahead_keeps_nobody_waiting(database: Database) -> None:
    await leased(database)
    assert not await is_free_at(database, NOW - 2 * LASTS)  # replicas' clocks may differ a little
    assert await is_free_at(database, NOW - 2 * LASTS - SECOND)


@pytest.mark.on_both
async def test_a_lease_is_renewed_for_as_long_as_the_work_takes(database: Database) -> None:
    await leased(database)
    renewed = await renewals(database, lambda: NOW + LASTS)
    assert renewed == NOW + 2 * LASTS


async def test_who_took_over_is_not_renewed_for_another(database: Database) -> None:
    await leased(database, "two")
    assert await renewals(database, lambda: NOW + LASTS) == NOW + LASTS
    async with database.read() as connection:
        assert await connection.scalar(select(writes.c.id).where(is_held(writes, "one"))) is None


async def renewals(database: Database, now: Callable[[], datetime]) -> datetime | None:
    """Until when the lease is once "one" has worked for a while."""
    asked = asyncio.Event()

    def ask() -> datetime:
        asked.set()
        return now()

    async with kept(database, writes.c.id == "w", writes, "one", ask, every=AT_ONCE):
        await asked.wait()
    async with database.read() as connection:
        until: datetime | None = await connection.scalar(select(writes.c.lease_until))
        return until


async def test_a_lease_that_was_given_back_is_held_by_nobody(database: Database) -> None:
    await leased(database)
    async with database.write() as connection:
        await connection.execute(update(writes).values(lease_until=None))
        assert await connection.scalar(select(writes.c.id).where(is_held(writes, "one"))) is None
    assert await is_free_at(database, NOW)


async def test_a_renewal_that_fails_is_tried_again() -> None:
    tries = asyncio.Queue[None]()

    async def renew() -> None:
        tries.put_nowait(None)
        raise Unavailable("My database does not answer.")

    async with repeated_beside(renew, AT_ONCE):
        await tries.get()
        await tries.get()


async def test_a_lease_is_renewed_over_the_bots_own_connections_whoever_began(database: Database) -> None:
    own, used = database.engine, asyncio.Queue[object]()

    async def renew() -> None:
        used.put_nowait(database.engine)

    async def ask() -> None:
        work_for_people()
        async with repeated_beside(renew, AT_ONCE):
            assert await used.get() is own
        assert database.engine is not own

    await asyncio.create_task(ask())


@pytest.mark.on_both
async def test_of_many_one_gets_the_claim(database: Database) -> None:
    claims = (claim_tick(database, "listing", f"p{number}", NOW) for number in range(10))
    assert sorted(await asyncio.gather(*claims)) == [False] * 9 + [True]


@pytest.mark.on_both
async def test_a_claim_can_be_renewed_by_its_owner_and_taken_over_when_it_ran_out(database: Database) -> None:
    assert await claim_tick(database, "listing", "one", NOW)
    assert await claim_tick(database, "listing", "one", NOW + LASTS / 2)
    assert not await claim_tick(database, "listing", "two", NOW + LASTS)
    assert await claim_tick(database, "listing", "two", NOW + 2 * LASTS)


@pytest.mark.on_both
async def test_only_its_owner_gives_a_claim_back(database: Database) -> None:
    await claim_tick(database, "listing", "one", NOW)
    for owner, is_given_back in (("two", False), ("one", True)):
        async with database.write() as connection:
            await release_tick(connection, "listing", owner, NOW)
        assert await claim_tick(database, "listing", "two", NOW) is is_given_back


async def test_what_could_not_be_given_back_is_before_the_next_claim_until_its_lease_has_ended(
    database: Database,
) -> None:
    now, refused, released = [NOW], True, []

    async def release(_: Transaction) -> None:
        if refused:
            raise Unavailable("the disk is full")
        released.append(now[0])

    releases = Releases(database, lambda: now[0])
    for claim in ("first", "second"):
        with pytest.raises(Unavailable):
            await releases.give_back(claim, release)
        now[0] += LASTS / 2
    assert list(releases.owed) == ["first", "second"]
    with pytest.raises(Unavailable):
        await releases.repeat()
    assert list(releases.owed) == ["second"]
    refused = False
    await releases.repeat()
    await releases.repeat()
    assert (list(releases.owed), released) == ([], [now[0]])


async def test_a_claim_that_two_give_back_at_once_is_given_back_once(database: Database) -> None:
    refused, released = True, 0

    async def release(_: Transaction) -> None:
        nonlocal released
        if refused:
            raise Unavailable("the disk is full")
        released += 1

    releases = Releases(database, lambda: NOW)
    with pytest.raises(Unavailable):
        await releases.give_back("claim", release)
    refused = False
    await asyncio.gather(releases.repeat(), releases.repeat())
    assert (list(releases.owed), released) == ([], 1)


@pytest.mark.on_both
async def test_who_was_taken_over_holds_a_claim_no_longer(database: Database) -> None:
    assert await claim_tick(database, "listing", "one", NOW)
    async with database.write() as connection:
        assert await hold_tick(connection, "listing", "one")
    assert await claim_tick(database, "listing", "two", NOW + LASTS)
    async with database.write() as connection:
        assert not await hold_tick(connection, "listing", "one")
