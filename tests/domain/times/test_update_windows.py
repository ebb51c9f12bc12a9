"""Windows and later starts, in local time, over both clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.times.update_windows import Window, may_start, next_start, opening_of

OSLO = ZoneInfo("Europe/Oslo")
NIGHTS = Window(frozenset(range(5)), time(22), time(5))


def oslo(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=OSLO).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-05-04 21:59", False),  # a Monday
        ("2026-05-04 22:00", True),
        ("2026-05-05 04:29", True),
        ("2026-05-05 12:00", False),
        ("2026-05-09 03:00", True),  # Saturday morning belongs to Friday's window
        ("2026-05-09 23:00", False),
        ("2026-05-11 03:00", False),  # Monday morning belongs to Sunday
    ],
)
def test_gateways_start_only_inside_the_window(moment: str, open_: bool) -> None:
    assert may_start(NIGHTS, OSLO, oslo(moment)) is open_


def test_nothing_is_started_in_the_last_half_hour_of_a_window() -> None:
    assert not may_start(NIGHTS, OSLO, oslo("2026-05-05 04:30"))


def test_a_short_window_keeps_half_of_itself() -> None:
    short = Window(frozenset(range(7)), time(2), time(2, 40))
    assert may_start(short, OSLO, oslo("2026-05-05 02:19"))
    assert not may_start(short, OSLO, oslo("2026-05-05 02:20"))


def test_without_a_window_it_is_always_open() -> None:
    now = oslo("2026-05-05 12:00")
    assert may_start(None, OSLO, now)
    assert next_start(None, OSLO, now) == now


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 28), 6), (date(2026, 10, 24), 8), (date(2026, 5, 4), 7)],
)
def test_a_night_with_a_clock_change_is_an_hour_shorter_or_longer(day: date, hours: int) -> None:
    opening = opening_of(day, time(22), time(5), OSLO)
    assert opening is not None
    assert opening[1] - opening[0] == timedelta(hours=hours)


def test_a_window_that_a_clock_change_leaves_out_opens_a_week_later() -> None:
    sundays = Window(frozenset({6}), time(2, 30), time(3, 15))
    monday = oslo("2026-03-23 12:00")
    assert not any(may_start(sundays, OSLO, oslo(f"2026-03-29 0{hour}:00")) for hour in range(6))
    assert next_start(sundays, OSLO, monday) == oslo("2026-04-05 02:30")


def test_the_next_start_is_the_next_opening() -> None:
    assert next_start(NIGHTS, OSLO, oslo("2026-05-08 23:00")) == oslo("2026-05-08 23:00")
    assert next_start(NIGHTS, OSLO, oslo("2026-05-09 12:00")) == oslo("2026-05-11 22:00")


@given(st.integers(0, 365 * 24 * 60))
def test_the_next_start_is_a_moment_at_which_one_may_start(minutes: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = next_start(NIGHTS, OSLO, now)
    assert found >= now
    assert may_start(NIGHTS, OSLO, found)
    assert may_start(NIGHTS, OSLO, now) is (found == now)


@pytest.mark.parametrize("edge", [time(0), time(22)])
@given(st.integers(0, 365 * 24 * 60))
def test_windows_that_touch_are_one(edge: time, minutes: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    always = Window(frozenset(range(7)), edge, edge)
    assert may_start(always, OSLO, now)
    assert next_start(always, OSLO, now) == now


def test_the_last_of_windows_that_touch_keeps_its_end_free() -> None:
    weekend = Window(frozenset({5, 6}), time(0), time(0))
    assert may_start(weekend, OSLO, oslo("2026-05-09 23:45"))
    assert not may_start(weekend, OSLO, oslo("2026-05-10 23:45"))
