"""Entries of the site book as rows, beside the gateways that stand at the sites; on both databases."""

from collections.abc import AsyncIterator

import pytest

from bot.domain.errors import NotFound
from bot.domain.sites.changes_and_undo import ChangeState, SiteChange, SiteItem
from bot.domain.sites.entries import Site, SiteField
from bot.storage.db.engine import Database
from bot.storage.sites import book
from tests.worlds.alerts import START, World

pytestmark = pytest.mark.on_both
OWNED = {SiteField.OWNER: "Telenor"}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Two gateways at one site, one of which is offline in an alert, and one at another."""
    database = Database.open(database_url)
    made = await World.begin(database, "TROMSØ/a", "TROMSØ/b", "Oslo/c")
    made.goes("offline", "a")
    await made.passes(6)
    yield made
    await database.close()


async def test_an_entry_is_found_by_its_site_in_any_case_and_stays_when_nothing_stands_there(
    world: World,
) -> None:
    async with world.database.write() as connection:
        assert await book.save(connection, Site("TROMSØ", 2, 1, {}), OWNED)
        assert await book.save(connection, Site("Gone", 0, 0, {}), OWNED)
        assert await book.save(connection, Site("Empty", 0, 0, {}), {})
        assert await book.every(connection) == [
            Site("Gone", 0, 0, OWNED, 1),
            Site("Oslo", 1, 0, {}),
            Site("TROMSØ", 2, 1, OWNED, 1),
        ]
        assert list(await book.named(connection, ["tromsø", "nowhere"])) == ["tromsø"]
        assert await book.entries_of(connection, ["Tromsø", "Oslo"]) == {"tromsø": OWNED}
        assert sorted(await book.gateways_at(connection, ["tromsø", "Gone"])) == ["a", "b"]
        assert await book.alerts_at(connection, ["tromsø"]) == {"1"}
        assert await book.alerts_at(connection, ["Oslo"]) == set()


async def test_of_two_who_save_the_same_version_one_is_told_that_the_other_was_faster(world: World) -> None:
    oslo = Site("Oslo", 1, 0, {})
    async with world.database.write() as connection:
        assert [await book.save(connection, oslo, OWNED) for _ in range(2)] == [True, False]
        (saved,) = (await book.named(connection, ["oslo"])).values()
        assert [await book.save(connection, saved, {}) for _ in range(2)] == [True, False]


async def test_a_change_moves_on_once_and_is_forgotten_with_age(world: World) -> None:
    change = SiteChange(
        "1", ChangeState.PROPOSED, "U0ANA00001", START, (SiteItem("Oslo", {}, OWNED),), unchanged=2
    )
    async with world.database.write() as connection:
        await book.add_change(connection, change)
        assert await book.load_change(connection, "1") == change
        assert [await book.advance(connection, change, ChangeState.DONE) for _ in range(2)] == [True, False]
        await book.forget(connection, START)
        assert (await book.load_change(connection, "1")).state is ChangeState.DONE
        await book.forget(connection, world.now)
        with pytest.raises(NotFound):
            await book.load_change(connection, "1")
