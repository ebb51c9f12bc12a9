"""Taking in listings, and asking the fleet about itself, against a portal on the wire."""

import asyncio
import random
import string
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.domain.errors import InvalidInput, NotFound
from bot.domain.gateways import NO_SITE, Connectivity, FleetEventKind, ListingResult
from bot.domain.query import EVERYTHING, parse
from bot.services.fleet.poll import TICK
from bot.storage import listings
from bot.storage.db.leases import LASTS, claim_tick
from tests.worlds.fleet import START, World, world


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """Five gateways in three pages, listed once."""
    async with world(database_url, "a", "b", "c", "d", "e") as running:
        await running.taken()
        yield running


async def test_the_first_listing_brings_gateways_and_no_events(database_url: str) -> None:
    async with world(database_url, "a", "b", "c") as running:
        taken = await running.taken()
        assert (taken.first, taken.gateways, taken.events) == (True, 3, ())
        assert set(await running.snapshot()) == {"a", "b", "c"}


async def test_a_listing_without_news_has_no_events(fleet: World) -> None:
    assert await fleet.kinds() == []


async def test_what_changed_becomes_events(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    fleet.portal.rename("b", "Bergen 1")
    fleet.portal.device("c").firmware = "3.5.0"
    fleet.portal.add_label("d", "roof")
    fleet.device("f")
    events = {event.gateway_id: event.kind for event in (await fleet.taken()).events}
    assert events == {
        "a": FleetEventKind.WENT_OFFLINE,
        "b": FleetEventKind.RENAMED,
        "c": FleetEventKind.FIRMWARE,
        "d": FleetEventKind.TAGGED,
        "f": FleetEventKind.APPEARED,
    }


@pytest.mark.on_both
async def test_events_are_stored_once(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    taken = await fleet.taken()
    await fleet.taken()
    assert await fleet.events() == list(taken.events)


async def test_a_change_counts_from_the_vendor_s_own_time(fleet: World) -> None:
    fleet.later(timedelta(seconds=20))
    gone = fleet.now()
    fleet.portal.disconnect(["a"])
    await fleet.taken()
    assert (await fleet.fleet.find("a")).since == gone


async def test_a_page_that_fails_fails_the_listing(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    fleet.portal.faults.add("LIST_DEVICES", 500, None, after=1)
    assert await fleet.listing() is None
    status = await fleet.fleet.snapshot_status()
    assert (status.consecutive_failures, status.listing, "500" in (status.last_error or "")) == (1, 1, True)
    assert (await fleet.fleet.find("a")).gateway.connectivity is Connectivity.ONLINE


async def test_a_listing_after_a_failed_one_finds_what_that_one_missed(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    fleet.portal.faults.add("LIST_DEVICES", 500, None, after=1)
    await fleet.listing()
    fleet.portal.faults.clear()
    assert await fleet.kinds() == [FleetEventKind.WENT_OFFLINE]
    assert (await fleet.fleet.snapshot_status()).consecutive_failures == 0


async def test_a_gateway_vanishes_after_three_listings_without_it(fleet: World) -> None:
    fleet.portal.remove_device("c")
    assert [await fleet.kinds(), await fleet.kinds()] == [[], []]
    assert "c" in await fleet.snapshot()
    assert await fleet.kinds() == [FleetEventKind.VANISHED]
    assert "c" not in await fleet.snapshot()
    assert await fleet.kinds() == []


async def test_a_gateway_that_is_seen_again_is_not_counted_as_missing_any_more(fleet: World) -> None:
    device = fleet.portal.device("c")
    fleet.portal.remove_device("c")
    await fleet.taken()
    await fleet.taken()
    fleet.portal.add_device(device)
    await fleet.taken()
    fleet.portal.remove_device("c")
    assert [await fleet.kinds(), await fleet.kinds()] == [[], []]


async def test_a_gateway_that_vanished_appears_anew(fleet: World) -> None:
    device = fleet.portal.device("c")
    fleet.portal.remove_device("c")
    for _ in range(3):
        await fleet.taken()
    fleet.portal.add_device(device)
    assert await fleet.kinds() == [FleetEventKind.APPEARED]


async def test_a_listing_tells_how_many_of_the_online_were_lost(fleet: World) -> None:
    fleet.portal.disconnect(["a", "b"])
    fleet.portal.remove_device("c")
    taken = await fleet.taken()
    assert (taken.online_before, taken.online_lost, taken.missing) == (5, 3, 1)
    assert (await fleet.taken()).online_lost == 0


async def test_a_restarted_process_tells_nothing_twice(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    await fleet.taken()
    again, _ = fleet.process("first")
    assert await fleet.kinds(again) == []


@pytest.mark.on_both
async def test_a_site_tag_that_was_set_since_counts_for_gateways_that_did_not_change(fleet: World) -> None:
    fleet.device("f", labels=["roof", "site:Bergen"])
    await fleet.taken()
    again, _ = fleet.process("first", site_tag="site:")
    assert await fleet.kinds(again) == []
    assert {id_: known.site for id_, known in (await fleet.snapshot("id:a,f")).items()} == {
        "a": NO_SITE,
        "f": "Bergen",
    }


async def test_a_process_that_slept_through_a_change_and_back_takes_it_from_the_database(
    fleet: World,
) -> None:
    other, _ = fleet.process("second")
    fleet.portal.rename("a", "changed")
    await fleet.taken(other)
    fleet.portal.rename("a", "MT-a")
    assert await fleet.kinds() == [FleetEventKind.RENAMED]


@pytest.mark.on_both
async def test_a_process_lists_nothing_while_another_one_does(fleet: World) -> None:
    other, _ = fleet.process("second")
    hanging = fleet.portal.faults.add("LIST_DEVICES", "hang")
    first = asyncio.create_task(fleet.taken())
    await hanging.reached.wait()
    assert await other.take_in_listing() is None
    fleet.portal.faults.clear()
    await first


@pytest.mark.on_both
async def test_a_listing_whose_process_died_counts_as_failed(fleet: World) -> None:
    hanging = fleet.portal.faults.add("LIST_DEVICES", "hang")
    dying = asyncio.create_task(fleet.fleet.take_in_listing())
    await hanging.reached.wait()
    dying.cancel()
    await asyncio.wait([dying])
    fleet.portal.faults.clear()
    fleet.portal.faults.add("LIST_DEVICES", 500, None)
    await fleet.listing()
    assert (await fleet.fleet.snapshot_status()).consecutive_failures == 2


@pytest.mark.on_both
async def test_two_replicas_do_not_list_closer_than_asked_for(fleet: World) -> None:
    spaced, _ = fleet.process("second", listing_every=timedelta(minutes=2))
    assert await fleet.listing(spaced) is None
    assert await fleet.listing(spaced) is not None


async def test_ticks_may_stand_half_a_second_closer_than_listings_should(fleet: World) -> None:
    spaced, _ = fleet.process("second", listing_every=timedelta(minutes=2))
    fleet.later(timedelta(minutes=2, seconds=-0.54))
    assert await spaced.take_in_listing() is None
    fleet.later(timedelta(seconds=0.04))
    assert await spaced.take_in_listing() is not None


@pytest.mark.on_both
async def test_a_listing_that_died_with_its_replica_is_begun_anew_by_another(fleet: World) -> None:
    assert await claim_tick(fleet.database, TICK, "dead", fleet.now())
    async with fleet.database.write() as connection:
        await listings.begin(connection, fleet.now())
    other, _ = fleet.process("second", listing_every=timedelta(minutes=2))
    fleet.later(LASTS - timedelta(seconds=1))
    assert await other.take_in_listing() is None  # it may live
    fleet.later(timedelta(seconds=1))
    assert await other.take_in_listing() is not None


async def test_who_was_told_hears_of_every_listing(fleet: World) -> None:
    heard: list[ListingResult] = []

    async def hear(taken: ListingResult) -> None:
        heard.append(taken)

    fleet.fleet.tell(hear)
    await fleet.taken()
    fleet.later()
    await fleet.fleet.refresh()
    assert [taken.listing.number for taken in heard] == [2, 3]


async def test_refresh_lists_at_most_once_in_fifteen_seconds(fleet: World) -> None:
    fleet.later(timedelta(seconds=14))
    assert (await fleet.fleet.refresh()).listing == 1
    fleet.later(timedelta(seconds=1))
    assert (await fleet.fleet.refresh()).listing == 2


@pytest.mark.on_both
async def test_refreshes_at_the_same_time_share_one_listing(fleet: World) -> None:
    fleet.later()
    statuses = await asyncio.gather(*(fleet.fleet.refresh() for _ in range(5)))
    assert [status.listing for status in statuses] == [2] * 5


async def test_a_search_is_worst_first_and_says_how_old_it_is(fleet: World) -> None:
    fleet.portal.disconnect(["d"])
    fleet.later()
    fleet.portal.disconnect(["b"])
    fleet.portal.device("e").connected = None
    await fleet.taken()
    page = await fleet.fleet.search(EVERYTHING)
    assert [known.gateway.id for known in page.rows] == ["b", "d", "e", "a", "c"]
    assert (page.counts.offline, page.counts.unknown, page.counts.online) == (2, 1, 2)
    assert page.as_of == fleet.now()


async def test_before_the_first_listing_there_is_no_fleet(database_url: str) -> None:
    async with world(database_url, "a") as running:
        page = await running.fleet.search(EVERYTHING)
        assert (page.rows, page.as_of) == ((), None)


async def test_pages_add_up_to_all(fleet: World) -> None:
    pages = [await fleet.fleet.search(EVERYTHING, offset, 2) for offset in (0, 2, 4)]
    assert [known.gateway.id for page in pages for known in page.rows] == ["a", "b", "c", "d", "e"]
    assert {page.total for page in pages} == {5}


@pytest.mark.on_both
async def test_a_gateway_that_changes_four_times_in_an_hour_is_flapping(fleet: World) -> None:
    for _ in range(2):
        fleet.portal.disconnect(["a"])
        await fleet.taken()
        fleet.portal.connect(["a"])
        await fleet.taken()
    assert (await fleet.fleet.find("a")).flapping
    assert list(await fleet.snapshot("is:flapping")) == ["a"]
    fleet.later(timedelta(hours=1))
    assert not (await fleet.fleet.find("a")).flapping


async def test_a_gateway_is_found_by_its_id_or_its_name_in_any_case(fleet: World) -> None:
    fleet.portal.rename("a", "TROMSØ Nord")
    await fleet.taken()
    assert (await fleet.fleet.find("A")).gateway.id == "a"
    assert (await fleet.fleet.find("tromsø nord")).gateway.id == "a"


async def test_a_name_that_two_gateways_carry_is_never_guessed(fleet: World) -> None:
    fleet.portal.rename("a", "Twin")
    fleet.portal.rename("b", "twin")
    await fleet.taken()
    with pytest.raises(InvalidInput, match="a, b"):
        await fleet.fleet.find("TWIN")


@pytest.mark.on_both
async def test_a_name_that_nobody_carries_is_answered_with_the_nearest(fleet: World) -> None:
    fleet.portal.rename("a", "Kyiv-office-7")
    await fleet.taken()
    with pytest.raises(NotFound, match="Kyiv-office-7"):
        await fleet.fleet.find("kyiv-ofice-7")


async def test_tags_are_counted_without_regard_to_case(fleet: World) -> None:
    fleet.portal.device("a").labels = ["OSLO", "roof"]
    fleet.portal.disconnect(["b"])
    await fleet.taken()
    found = {tag.tag.lower(): (tag.gateways, tag.offline) for tag in await fleet.fleet.tags()}
    assert found == {"oslo": (5, 1), "roof": (1, 0)}


@pytest.mark.on_both
async def test_recent_events_are_newest_first(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    await fleet.taken()
    fleet.portal.rename("a", "new")
    await fleet.taken()
    kinds = [event.kind for event in await fleet.fleet.recent_events("a")]
    assert kinds == [FleetEventKind.RENAMED, FleetEventKind.WENT_OFFLINE]


async def test_firmware_is_counted_over_the_fleet_and_newest_first(fleet: World) -> None:
    fleet.portal.device("a").firmware = "3.10.0"
    fleet.portal.add_firmware("2011", "3.10.0")
    fleet.portal.add_firmware("2011", "3.4.1")
    await fleet.taken()
    ours = [c for c in await fleet.fleet.firmware("2011") if c.firmware.version in {"3.10.0", "3.4.1"}]
    assert [(c.firmware.version, c.gateways) for c in ours] == [("3.10.0", 1), ("3.4.1", 4)]


@pytest.mark.on_both
async def test_old_events_and_listings_are_forgotten_and_the_snapshot_is_not(fleet: World) -> None:
    fleet.portal.disconnect(["a"])
    await fleet.taken()
    fleet.later(timedelta(days=100))
    await fleet.fleet.prune(timedelta(days=90))
    assert await fleet.events() == []
    assert (await fleet.fleet.search(parse("is:offline"))).total == 1
    assert (await fleet.fleet.snapshot_status()).as_of == START + timedelta(minutes=2)


async def test_a_gateway_with_texts_of_any_length_does_not_stop_the_listing(database_url: str) -> None:
    letters = "".join(random.Random(1).choices(string.ascii_letters, k=5_000))
    async with world(database_url, "a") as fleet:
        fleet.device("b", friendly_name=letters, model=letters, labels=[letters, letters[::-1]])
        fleet.device(letters)
        await fleet.taken()
        snapshot = await fleet.snapshot()
    assert sorted(snapshot) == ["a", "b"]
    assert letters.startswith(snapshot["b"].gateway.name or "nothing")


async def test_a_clock_that_is_set_back_does_not_keep_the_next_listing_waiting(fleet: World) -> None:
    fleet.later(timedelta(hours=-2))
    fleet.device("f")
    await fleet.fleet.refresh()
    assert "f" in await fleet.snapshot()
