"""When a window opens, against another library: APScheduler's cron triggers, of which Meshbot uses none here.

A row is a zone, the first day with its begin and its end, how often, and the same as cron says it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger

from bot.domain.alerts.maintenance import Every, Opening, Schedule

WEEK, MONTH, BY_WEEKDAY = Every.WEEK, Every.MONTH, Every.MONTH_BY_WEEKDAY
OPENINGS = 27  # of a weekly window: half a year, so each row passes a clock change
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

Row = tuple[str, str, str, Every, Mapping[str, str]]

WEEKLY: Sequence[Row] = [
    ("Europe/Oslo", "2026-01-03 02:00", "04:00", WEEK, {"day_of_week": "sat"}),
    ("Europe/Oslo", "2026-08-01 02:00", "04:00", WEEK, {"day_of_week": "sat"}),
    ("Europe/Oslo", "2026-01-04 03:00", "05:00", WEEK, {"day_of_week": "sun"}),
    ("Europe/Oslo", "2026-05-10 02:30", "03:30", WEEK, {"day_of_week": "sun"}),
    ("Europe/Oslo", "2026-01-02 22:00", "06:00", WEEK, {"day_of_week": "fri"}),
    ("Europe/London", "2026-01-04 02:00", "04:00", WEEK, {"day_of_week": "sun"}),
    ("Europe/London", "2026-05-03 01:30", "02:30", WEEK, {"day_of_week": "sun"}),
    ("Europe/London", "2026-01-03 23:30", "00:30", WEEK, {"day_of_week": "sat"}),
    ("America/New_York", "2026-01-04 03:00", "04:00", WEEK, {"day_of_week": "sun"}),
    ("America/New_York", "2026-06-07 01:30", "03:00", WEEK, {"day_of_week": "sun"}),
    ("America/New_York", "2026-01-07 12:00", "13:00", WEEK, {"day_of_week": "wed"}),
    ("America/Los_Angeles", "2026-01-06 00:00", "01:00", WEEK, {"day_of_week": "tue"}),
    ("America/Los_Angeles", "2026-06-06 23:00", "02:00", WEEK, {"day_of_week": "sat"}),
    ("America/St_Johns", "2026-01-01 04:15", "05:45", WEEK, {"day_of_week": "thu"}),
    ("America/Sao_Paulo", "2026-01-05 02:00", "04:00", WEEK, {"day_of_week": "mon"}),
    ("Australia/Sydney", "2026-01-04 03:00", "04:00", WEEK, {"day_of_week": "sun"}),
    ("Australia/Sydney", "2026-07-04 22:00", "01:00", WEEK, {"day_of_week": "sat"}),
    ("Australia/Lord_Howe", "2026-01-03 20:00", "21:00", WEEK, {"day_of_week": "sat"}),
    ("Asia/Kolkata", "2026-01-02 02:00", "04:00", WEEK, {"day_of_week": "fri"}),
    ("Asia/Tokyo", "2026-01-02 02:00", "04:00", WEEK, {"day_of_week": "fri"}),
    ("Africa/Cairo", "2026-01-04 05:00", "06:00", WEEK, {"day_of_week": "sun"}),
    ("UTC", "2026-01-03 02:00", "04:00", WEEK, {"day_of_week": "sat"}),
]
MONTHLY: Sequence[Row] = [
    ("Europe/Oslo", "2026-01-01 02:00", "04:00", MONTH, {"day": "1"}),
    ("Europe/Oslo", "2026-01-15 02:00", "04:00", MONTH, {"day": "15"}),
    ("Europe/Oslo", "2026-01-28 02:00", "04:00", MONTH, {"day": "28"}),
    ("Europe/Oslo", "2026-01-31 22:00", "02:00", MONTH, {"day": "last"}),
    ("Europe/London", "2026-01-31 00:30", "01:00", MONTH, {"day": "last"}),
    ("Europe/London", "2027-12-31 23:00", "01:00", MONTH, {"day": "last"}),
    ("America/New_York", "2026-03-31 12:00", "14:00", MONTH, {"day": "last"}),
    ("America/New_York", "2026-01-08 03:00", "05:00", MONTH, {"day": "8"}),
    ("America/Los_Angeles", "2028-01-31 20:00", "22:00", MONTH, {"day": "last"}),
    ("America/St_Johns", "2026-02-28 01:00", "02:00", MONTH, {"day": "28"}),
    ("America/Sao_Paulo", "2026-01-31 05:00", "06:00", MONTH, {"day": "last"}),
    ("Australia/Sydney", "2026-01-10 04:00", "06:00", MONTH, {"day": "10"}),
    ("Australia/Lord_Howe", "2026-01-31 12:00", "13:00", MONTH, {"day": "last"}),
    ("Asia/Kolkata", "2026-01-31 23:30", "00:30", MONTH, {"day": "last"}),
    ("Asia/Tokyo", "2026-01-05 00:00", "06:00", MONTH, {"day": "5"}),
    ("Africa/Cairo", "2026-01-20 05:00", "06:00", MONTH, {"day": "20"}),
    ("UTC", "2026-01-31 00:00", "01:00", MONTH, {"day": "last"}),
]
MONTHLY_BY_WEEKDAY: Sequence[Row] = [
    ("Europe/Oslo", "2026-01-03 02:00", "04:00", BY_WEEKDAY, {"day": "1st sat"}),
    ("Europe/Oslo", "2026-01-10 02:00", "04:00", BY_WEEKDAY, {"day": "2nd sat"}),
    ("Europe/Oslo", "2026-01-31 02:00", "04:00", BY_WEEKDAY, {"day": "last sat"}),
    ("Europe/Oslo", "2026-01-29 22:00", "04:00", BY_WEEKDAY, {"day": "last thu"}),
    ("Europe/London", "2026-01-18 03:00", "04:00", BY_WEEKDAY, {"day": "3rd sun"}),
    ("Europe/London", "2026-01-27 03:00", "04:00", BY_WEEKDAY, {"day": "4th tue"}),
    ("America/New_York", "2026-01-11 04:00", "05:00", BY_WEEKDAY, {"day": "2nd sun"}),
    ("America/New_York", "2026-01-30 23:00", "03:00", BY_WEEKDAY, {"day": "last fri"}),
    ("America/Los_Angeles", "2026-01-04 04:00", "05:00", BY_WEEKDAY, {"day": "1st sun"}),
    ("America/St_Johns", "2026-01-14 04:00", "05:00", BY_WEEKDAY, {"day": "2nd wed"}),
    ("America/Sao_Paulo", "2026-01-05 04:00", "05:00", BY_WEEKDAY, {"day": "1st mon"}),
    ("Australia/Sydney", "2026-01-04 04:00", "05:00", BY_WEEKDAY, {"day": "1st sun"}),
    ("Australia/Lord_Howe", "2026-01-31 04:00", "05:00", BY_WEEKDAY, {"day": "last sat"}),
    ("Asia/Kolkata", "2026-01-28 04:00", "05:00", BY_WEEKDAY, {"day": "4th wed"}),
    ("Asia/Tokyo", "2026-01-30 04:00", "05:00", BY_WEEKDAY, {"day": "last fri"}),
    ("Africa/Cairo", "2026-01-16 05:00", "06:00", BY_WEEKDAY, {"day": "3rd fri"}),
    ("UTC", "2026-01-12 04:00", "05:00", BY_WEEKDAY, {"day": "2nd mon"}),
]
ROWS = [*WEEKLY, *MONTHLY, *MONTHLY_BY_WEEKDAY]
# Local hours that a clock change leaves out, or has twice: cron leaves the former out, a window does not.
CHANGES: Sequence[tuple[str, str, str, str | None, str]] = [
    # zone, begin, end; what opens in UTC, if anything, and when that ends
    ("Europe/Oslo", "2026-03-29 02:00", "04:00", "2026-03-29 01:00", "2026-03-29 02:00"),
    ("Europe/Oslo", "2026-03-29 02:00", "03:00", None, ""),
    ("Europe/Oslo", "2026-10-25 02:00", "04:00", "2026-10-25 00:00", "2026-10-25 03:00"),
    ("Europe/Oslo", "2026-10-24 22:00", "05:00", "2026-10-24 20:00", "2026-10-25 04:00"),
    ("America/New_York", "2026-03-08 02:30", "04:00", "2026-03-08 07:30", "2026-03-08 08:00"),
    ("America/New_York", "2026-11-01 00:30", "02:30", "2026-11-01 04:30", "2026-11-01 07:30"),
    ("Australia/Sydney", "2026-10-04 02:00", "04:00", "2026-10-03 16:00", "2026-10-03 17:00"),
    ("Australia/Lord_Howe", "2026-04-05 01:00", "03:00", "2026-04-04 14:00", "2026-04-04 16:30"),
]


def test_the_table_has_sixty_cases_in_ten_zones() -> None:
    assert len(ROWS) + len(CHANGES) >= 60
    assert len({row[0] for row in ROWS}) >= 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[3].value}")
def test_a_window_opens_when_another_library_says_so(row: Row) -> None:
    zone, first, _, every, _ = row
    openings = first_openings(schedule_of(row), 14 if every is not WEEK else OPENINGS)
    assert [one.begins for one in openings] == by_cron(row, len(openings))
    assert openings[0].begins == local(first, zone)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[3].value}")
def test_a_window_ends_at_its_local_time_whatever_the_clock_did(row: Row) -> None:
    zone, first, ends, _, _ = row
    for one in first_openings(schedule_of(row), 14):
        begin, end = (moment.astimezone(ZoneInfo(zone)) for moment in (one.begins, one.ends))
        assert (f"{begin:%H:%M}", f"{end:%H:%M}") == (first[-5:], ends)
        assert end.date() - begin.date() == timedelta(days=int(ends <= first[-5:]))


@pytest.mark.parametrize(("zone", "first", "ends", "begins_at", "ends_at"), CHANGES)
def test_at_a_clock_change_local_time_counts(
    zone: str, first: str, ends: str, begins_at: str | None, ends_at: str
) -> None:
    schedule = Schedule(zone, datetime.fromisoformat(first), time.fromisoformat(ends))
    opening = schedule.next_opening(LONG_AGO)
    if begins_at is None:
        assert opening is None
    else:
        assert opening == Opening(local(begins_at, "UTC"), local(ends_at, "UTC"))


def test_a_weekly_window_that_a_clock_change_leaves_out_opens_a_week_later() -> None:
    schedule = schedule_of(("Europe/Oslo", "2026-03-22 02:00", "03:00", WEEK, {}))
    days = [schedule.day_of(one) for one in first_openings(schedule, 3)]
    assert days == [date(2026, 3, 22), date(2026, 4, 5), date(2026, 4, 12)]


def test_a_day_that_a_month_does_not_have_is_its_last() -> None:
    schedule = schedule_of(("UTC", "2026-01-30 02:00", "03:00", MONTH, {}))
    days = [schedule.day_of(one).isoformat() for one in first_openings(schedule, 4)]
    assert days == ["2026-01-30", "2026-02-28", "2026-03-30", "2026-04-30"]


@pytest.mark.parametrize("row", ROWS[::6], ids=lambda row: f"{row[0]} {row[1]} {row[3].value}")
def test_skipped_days_and_those_after_its_last_are_left_out_and_no_others(row: Row) -> None:
    schedule = schedule_of(row)
    known = first_openings(schedule, 6)
    days = [schedule.day_of(one) for one in known]
    ended = Schedule(
        schedule.zone, schedule.first, schedule.ends, schedule.every, days[4], (days[0], days[2])
    )
    assert list(ended.openings(LONG_AGO)) == [known[1], known[3], known[4]]
    assert ended.next_opening(known[4].ends) is None


def schedule_of(row: Row) -> Schedule:
    zone, first, ends, every, _ = row
    return Schedule(zone, datetime.fromisoformat(first), time.fromisoformat(ends), every)


def first_openings(schedule: Schedule, many: int) -> list[Opening]:
    return list(islice(schedule.openings(LONG_AGO), many))


def by_cron(row: Row, many: int) -> list[datetime]:
    zone, first, _, _, days = row
    hour, minute = first[-5:].split(":")
    trigger = CronTrigger(hour=hour, minute=minute, timezone=ZoneInfo(zone), **days)
    found, now = list[datetime](), local(first, zone)
    while len(found) < many:
        now = trigger.get_next_fire_time(None, now)
        found.append(now.astimezone(UTC))
        now += timedelta(hours=12)  # an hour that a clock change has twice is one opening
    return found


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
