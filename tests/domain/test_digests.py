"""When a digest is due: once for every local date, whatever the clocks do."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.digests import LATE, STALE, Digest, Listed, due_since, stale_after
from bot.domain.gateways import Counts
from tests.worlds.builders import NOW, known

OSLO = ZoneInfo("Europe/Oslo")
EIGHT, HALF_PAST_TWO = time(8), time(2, 30)
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)  # the clocks change at night
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def dates(at: time, around: date, every: timedelta = 5 * MINUTE) -> Counter[date]:
    """For each local date, how many different moments were due, seen by ticks of three days."""
    begins = datetime(around.year, around.month, around.day, tzinfo=UTC) - DAY
    ticks = (begins + every * number for number in range(3 * DAY // every))
    return Counter(moment.date() for moment in {due_since(at, OSLO, tick) for tick in ticks} if moment)


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
@pytest.mark.parametrize("at", [EIGHT, HALF_PAST_TWO, time(0), time(23, 59)])
def test_a_day_on_which_the_clocks_change_has_one_digest(at: time, day: date) -> None:
    assert dates(at, day)[day] == 1


@pytest.mark.parametrize(("day", "hour"), [(SPRING, 6), (AUTUMN, 7)])
def test_after_a_change_of_clocks_it_is_eight_by_the_new_time(day: date, hour: int) -> None:
    eight = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    assert due_since(EIGHT, OSLO, eight - MINUTE) is None
    assert due_since(EIGHT, OSLO, eight) == eight


@given(
    at=st.times(),
    zone=st.sampled_from(["Europe/Oslo", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    hours=st.floats(0, 24 * 365 * 20),
)
def test_what_is_due_has_come_and_is_not_too_late(at: time, zone: str, hours: float) -> None:
    now = datetime(2011, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    moment = due_since(at, ZoneInfo(zone), now)
    if moment is not None:
        assert timedelta(0) <= now - moment < LATE


def test_a_bot_that_comes_up_late_sends_it_unless_it_is_too_late() -> None:
    eight = datetime(2026, 11, 25, 8, tzinfo=OSLO)
    assert due_since(EIGHT, OSLO, eight + 3 * timedelta(hours=1)) == eight
    assert due_since(EIGHT, OSLO, eight + LATE) is None


def test_a_digest_of_yesterday_evening_is_still_due_after_midnight() -> None:
    eleven = datetime(2026, 11, 24, 23, tzinfo=OSLO)
    assert due_since(time(23), OSLO, eleven + 2 * timedelta(hours=1)) == eleven


def test_a_day_is_quiet_when_nobody_has_to_know_anything() -> None:
    quiet = Digest("", NOW, Counts(240, 1), NOW, STALE)
    one = Listed([known()], 1)
    assert quiet.is_quiet
    assert not Digest("", NOW, Counts(240, 1), NOW, STALE, long_offline=one).is_quiet
    assert not Digest("", NOW, Counts(240), NOW, STALE, flapping=one).is_quiet
    assert not Digest("", NOW, Counts(240), NOW - STALE - MINUTE, STALE).is_quiet


def test_a_digest_calls_a_listing_old_later_where_listings_are_rare() -> None:
    assert stale_after(MINUTE) == STALE
    assert stale_after(timedelta(hours=1)) == timedelta(hours=3)
