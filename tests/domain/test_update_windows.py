"""Windows and later starts, in local time, over both clock changes."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.update_windows import Window, may_start, month_between, next_start, opening_of, parse_start

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00", "2026-05-04 22:00"),
        ("07:30", "2026-05-05 07:30"),
        ("2026-05-10", "2026-05-10 00:00"),
        ("2026-05-10 22:15", "2026-05-10 22:15"),
        ("2026-05-10T22:15", "2026-05-10 22:15"),
        ("10pm", "2026-05-04 22:00"),
        ("12 am", "2026-05-05 00:00"),
        ("12:30 pm", "2026-05-04 12:30"),
        ("today 18:00", "2026-05-04 18:00"),
        ("tonight", "2026-05-04 22:00"),
        ("tonight 23:30", "2026-05-04 23:30"),
        ("Tomorrow", "2026-05-05 00:00"),
        ("tomorrow at 06:00", "2026-05-05 06:00"),
        ("tomorrow 6am", "2026-05-05 06:00"),
        ("mon 11:00", "2026-05-11 11:00"),  # it is Monday, past eleven
        ("monday 22:00", "2026-05-04 22:00"),
        ("next thursday 9pm", "2026-05-07 21:00"),
        ("sat", "2026-05-09 00:00"),
        ("24:00", "2026-05-05 00:00"),
        ("today 24:00", "2026-05-05 00:00"),
        ("2026-05-10 24:00", "2026-05-11 00:00"),
        ("sunday 24:00", "2026-05-11 00:00"),
        ("in 2h", "2026-05-04 14:00"),
        ("in 1d 30m", "2026-05-05 12:30"),
    ],
)
def test_a_start_at_a_later_time_is_read_in_the_local_zone(text: str, expected: str) -> None:
    assert parse_start(text, OSLO, oslo("2026-05-04 12:00")) == oslo(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "25:00",
        "24:01",
        "24:00 am",
        "9999-12-31 24:00",
        "2026-02-30",
        "2026-05-01",
        "2027-01-01",
        "12",
        "²²:00",
        "0001-01-01",
        "13pm",
        "mon 12",
        "today 08:00",
        "in",
        "in 60d",
        "in -2h",
        "tomorrow tomorrow",
        "monk",
        "22:00 pm",
    ],
)
def test_a_time_that_is_none_has_passed_or_is_too_far_away_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_start(text, OSLO, oslo("2026-05-04 12:00"))


@pytest.mark.parametrize(
    ("now", "expected"),
    [("2026-03-28 12:00", "2026-03-29 03:30"), ("2026-10-24 12:00", "2026-10-25 02:30")],
)
def test_a_start_at_half_past_two_survives_both_clock_changes(now: str, expected: str) -> None:
    assert parse_start("02:30", OSLO, oslo(now)) == oslo(expected)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-24T23:00+00:00", "2026-10-25T00:30+00:00"),
        ("2026-10-25T00:45+00:00", "2026-10-25T01:30+00:00"),  # the first half past two has passed
        ("2026-10-25T01:45+00:00", "2026-10-26T01:30+00:00"),
    ],
)
def test_of_a_time_that_comes_twice_the_nearest_ahead_is_meant(now: str, expected: str) -> None:
    moment = datetime.fromisoformat(now)
    assert parse_start("02:30", OSLO, moment) == datetime.fromisoformat(expected)
    if expected < "2026-10-26":
        assert parse_start("2026-10-25 02:30", OSLO, moment) == datetime.fromisoformat(expected)


def test_a_start_thirty_days_from_now_by_the_calendar_is_near_enough() -> None:
    now = oslo("2026-10-01 12:00")
    assert parse_start("2026-10-31 12:00", OSLO, now) == oslo("2026-10-31 12:00")
    with pytest.raises(InvalidInput, match="too far"):
        parse_start("2026-10-31 12:01", OSLO, now)


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


def test_a_month_lasts_from_local_midnight_to_local_midnight() -> None:
    begins, ends = month_between("2026-10", ZoneInfo("Europe/Oslo"))
    assert (begins, ends) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC),
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )


@pytest.mark.parametrize("month", ["2026-13", "0000-01", "9999-12", "2026-1"])
def test_a_month_that_there_is_not_is_refused(month: str) -> None:
    with pytest.raises(InvalidInput, match="Write it as 2026-11"):
        month_between(month, ZoneInfo("UTC"))
