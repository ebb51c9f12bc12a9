"""Durations as people write them."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.times.written_times import (
    month_between,
    name_last_month,
    parse_duration,
    parse_start,
    split_month,
    split_period,
)
from tests.domain.times.test_update_windows import OSLO, oslo


@pytest.mark.parametrize(
    ("text", "minutes"), [("30m", 30), ("1h30m", 90), ("2d", 2880), ("1w", 10080), (" 1H 30m ", 90)]
)
def test_a_duration_has_units_from_large_to_small(text: str, minutes: int) -> None:
    assert parse_duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "90", "m", "30m1h", "-5m", "1.5h", "1y", "99999999w", "9" * 9 + "w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


def test_ten_years_are_the_longest() -> None:
    assert parse_duration("3650d") == timedelta(days=3650)
    with pytest.raises(InvalidInput, match="ten years are the most"):
        parse_duration("3650d1s")


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_an_explained_error(text: str) -> None:
    with suppress(InvalidInput):
        assert parse_duration(text) >= timedelta()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tag:oslo 2026-11", ("tag:oslo", "2026-11")),
        ("2026-11", ("", "2026-11")),
        ("oslo 7d", ("oslo 7d", None)),
    ],
)
def test_a_month_is_the_last_word(text: str, found: tuple[str, str | None]) -> None:
    assert split_month(text) == found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tag:oslo last month", "tag:oslo 2025-12"),
        ("for the Last Month", "2025-12"),
        ("this month", "2026-01"),
        ("last monthly", "last monthly"),
    ],
)
def test_the_last_month_and_this_one_are_named_by_their_number(text: str, named: str) -> None:
    assert name_last_month(text, date(2026, 1, 31)) == named


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tag:oslo 7d", ("tag:oslo", timedelta(days=7))),
        ("last week", ("", timedelta(days=7))),
        ("tag:oslo over the last 30 days", ("tag:oslo", timedelta(days=30))),
        ("the past day", ("", timedelta(days=1))),
        ("blast week", ("blast week", None)),
        ("oslo", ("oslo", None)),
    ],
)
def test_a_period_is_at_the_end_as_a_duration_or_in_words(
    text: str, found: tuple[str, timedelta | None]
) -> None:
    assert split_period(text, timedelta(hours=1), timedelta(days=90), "") == found


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
