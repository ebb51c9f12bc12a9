"""What counts as a change between two listings, and when it happened."""

import unicodedata
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.fleet.listing_diff import (
    CLOCK_SKEW,
    MOVING_AFTER,
    first_sight,
    is_moving,
    take_in,
    timestamp_moved,
)
from bot.domain.gateways import (
    FLAPPING_CHANGES,
    NO_SITE,
    Connectivity,
    FleetEvent,
    FleetEventKind,
    KnownGateway,
    fold,
    site_of,
)
from tests.worlds.builders import NOW, gateway, known, listing

HOUR = timedelta(hours=1)
ONLINE, OFFLINE, UNKNOWN = Connectivity.ONLINE, Connectivity.OFFLINE, Connectivity.UNKNOWN


def taken(before: KnownGateway, **fields: object) -> tuple[KnownGateway, list[FleetEventKind]]:
    """The snapshot after a listing in which the gateway differs in these fields."""
    after, events = take_in(before, replace(before.gateway, **fields), listing(), before.site)  # type: ignore[arg-type]
    return after, [event.kind for event in events]


def test_a_gateway_seen_for_the_first_time_is_in_its_state_since_the_vendor_says() -> None:
    seen = gateway(changed_at=NOW - HOUR)
    assert first_sight(seen, listing(), "oslo").since == NOW - HOUR


@pytest.mark.parametrize("stated", [None, NOW + HOUR])
def test_a_missing_or_future_time_of_change_is_the_time_of_the_listing(stated: object) -> None:
    assert first_sight(gateway(changed_at=stated), listing(), "oslo").since == NOW


@pytest.mark.parametrize(
    ("ahead", "since"),
    [(CLOCK_SKEW, listing().finished_at), (CLOCK_SKEW + timedelta.resolution, listing().started_at)],
)
def test_a_clock_of_the_vendor_s_may_be_two_minutes_ahead(ahead: timedelta, since: datetime) -> None:
    assert timedelta(minutes=2) == CLOCK_SKEW
    seen = gateway(changed_at=listing().finished_at + ahead)
    assert first_sight(seen, listing(), "oslo").since == since


def test_nothing_new_is_no_event() -> None:
    before = known()
    assert taken(before) == (before, [])


@pytest.mark.parametrize(
    ("was", "now", "kind"),
    [
        (ONLINE, OFFLINE, FleetEventKind.WENT_OFFLINE),
        (OFFLINE, ONLINE, FleetEventKind.CAME_BACK),
        (UNKNOWN, ONLINE, FleetEventKind.CAME_BACK),
        (ONLINE, UNKNOWN, FleetEventKind.BECAME_UNKNOWN),
    ],
)
def test_a_change_of_connectivity_is_an_event_at_the_vendor_s_time(
    was: Connectivity, now: Connectivity, kind: FleetEventKind
) -> None:
    after, kinds = taken(known(connectivity=was), connectivity=now, changed_at=NOW - HOUR)
    assert kinds == [kind]
    assert (after.since, after.since_listing) == (NOW - HOUR, 2)


def test_a_change_cannot_lie_before_the_one_before_it() -> None:
    after, _ = taken(known(since=NOW - HOUR), connectivity=OFFLINE, changed_at=NOW - 2 * HOUR)
    assert after.since == NOW


def test_the_same_state_with_a_newer_timestamp_is_two_changes_in_between() -> None:
    after, kinds = taken(known(), changed_at=NOW - HOUR)
    assert kinds == [FleetEventKind.WENT_OFFLINE, FleetEventKind.CAME_BACK]
    assert after.since == NOW - HOUR


@pytest.mark.parametrize("every", [1, 5, 59])
def test_a_timestamp_that_moves_with_every_heartbeat_is_no_flapping(every: int) -> None:
    current, changes = known(changed_at=NOW - HOUR), list[FleetEvent]()
    for minute in range(60):
        at = NOW + timedelta(minutes=minute)
        beat = replace(current.gateway, changed_at=at - timedelta(minutes=minute % every))
        current, events = take_in(current, beat, listing(minute + 2, at), current.site)
        changes += events
    assert len(changes) < FLAPPING_CHANGES
    gone, kinds = taken(current, connectivity=OFFLINE, changed_at=NOW - timedelta(minutes=30))
    assert (gone.since, kinds) == (NOW, [FleetEventKind.WENT_OFFLINE])


def test_a_timestamp_that_moves_with_every_listing_is_none_after_a_change_either() -> None:
    heartbeat = known(timestamp_moves=MOVING_AFTER)
    gone, _ = taken(heartbeat, connectivity=OFFLINE, changed_at=NOW - timedelta(minutes=3))
    beat = replace(gone.gateway, changed_at=NOW + timedelta(seconds=50))
    _, events = take_in(gone, beat, listing(3, NOW + timedelta(minutes=1)), gone.site)
    assert events == ()


def test_a_timestamp_that_goes_back_and_forth_is_no_change_in_between() -> None:
    """A portal of several servers may answer with yesterday's truth once."""
    seen, _ = taken(known(), connectivity=OFFLINE, changed_at=NOW - HOUR)
    older, first = taken(seen, changed_at=NOW - 2 * HOUR)
    again, second = taken(older, changed_at=NOW - HOUR)
    assert (first, second, again.since) == ([], [], NOW - HOUR)


@pytest.mark.parametrize(("still_for", "believed"), [(24 * HOUR, True), (23 * HOUR, False)])
def test_a_timestamp_that_stood_still_for_a_day_is_believed_again(
    still_for: timedelta, believed: bool
) -> None:
    then = NOW - HOUR - still_for
    heartbeat = known(timestamp_moves=MOVING_AFTER, changed_at=then)
    gone, _ = taken(heartbeat, connectivity=OFFLINE, changed_at=NOW - HOUR)
    assert gone.since == (NOW - HOUR if believed else NOW)


def test_where_most_timestamps_move_none_is_a_time_of_change() -> None:
    before = known()
    seen = replace(before.gateway, changed_at=NOW - HOUR)
    _, events = take_in(before, seen, listing(), before.site, moving=True)
    assert events == ()


@pytest.mark.parametrize(("moved", "gateways", "moving"), [(11, 20, True), (10, 20, False), (3, 3, False)])
def test_a_fleet_moves_when_most_of_enough_timestamps_did(moved: int, gateways: int, moving: bool) -> None:
    assert is_moving(moved, gateways) is moving


def test_a_timestamp_that_came_from_nowhere_has_not_moved() -> None:
    assert not timestamp_moved(known(changed_at=None), gateway())


def test_firmware_name_and_tags_are_events_with_before_and_after() -> None:
    before = known(name=None, tags=("a", "b"))
    seen = replace(before.gateway, name="new", tags=("b",), firmware="3.5.0")
    _, events = take_in(before, seen, listing(), "b")
    assert [(event.kind, event.before, event.after) for event in events] == [
        (FleetEventKind.FIRMWARE, "3.4.1", "3.5.0"),
        (FleetEventKind.RENAMED, None, "new"),
        (FleetEventKind.TAGGED, "a\nb", "b"),
    ]


def test_what_was_written_after_the_listing_began_stays_until_the_next() -> None:
    before = known(name="new", tags=("x",), site="x", written_at=NOW)
    after, events = take_in(before, gateway(name="old"), listing(), "oslo")
    assert (after.gateway.name, after.site, after.written_at, events) == ("new", "x", NOW, ())


def test_what_was_written_before_the_listing_began_is_confirmed_or_corrected_by_it() -> None:
    before = known(name="new", written_at=NOW - timedelta(seconds=1))
    after, events = take_in(before, gateway(name="old"), listing(), "oslo")
    assert (after.gateway.name, after.written_at) == ("old", None)
    assert [event.kind for event in events] == [FleetEventKind.RENAMED]


def test_being_seen_ends_being_missing() -> None:
    assert taken(known(missed=2))[0].missed == 0


@pytest.mark.parametrize(
    ("tags", "prefix", "site"),
    [
        (("oslo", "roof"), "", "oslo"),
        ((), "", NO_SITE),
        (("roof", "Site:Oslo"), "site:", "Oslo"),
        (("roof",), "site:", NO_SITE),
        (("site:", "site: bergen"), "site:", "bergen"),
        (("STRASSE:Oslo",), "Straße:", "Oslo"),
        (("sites",), "site:", NO_SITE),
    ],
)
def test_the_site_is_the_first_tag_or_the_first_with_the_prefix(
    tags: tuple[str, ...], prefix: str, site: str
) -> None:
    assert site_of(tags, prefix) == site


@pytest.mark.parametrize(("one", "other"), [("TROMSØ", "tromsø"), ("Straße", "STRASSE"), ("é", "e\u0301")])
def test_folded_texts_ignore_case_and_unicode_form(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text(st.sampled_from("αΩİßſǰ1*\u0301\u0323\u0345"), max_size=5) | st.text())
def test_what_looks_the_same_is_folded_to_the_same(text: str) -> None:
    folded = fold(text)
    assert {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {folded}
    assert fold(folded) == folded
