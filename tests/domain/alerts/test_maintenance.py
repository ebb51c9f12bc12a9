"""What a person may write of a maintenance window, and what skips, ends and Undo do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.alerts.maintenance import (
    Change,
    Every,
    Maintenance,
    Opening,
    announcement_due,
    check_names_gateways,
    closed,
    end,
    opened,
    openings_between,
    parse_maintenance,
    skip,
    undo,
)
from bot.domain.audit import BOT
from bot.domain.errors import InvalidInput, Stale
from bot.domain.query import parse
from tests.worlds.builders import maintenance

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)  # a Monday
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
BECAUSE = "because the mast is painted"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "begins", "ends"),
    [
        ("sat 02:00-04:00", "2026-05-09 02:00", "2026-05-09 04:00"),
        ("next saturday 2am - 4am", "2026-05-09 02:00", "2026-05-09 04:00"),
        ("mon 07:00-09:00", "2026-05-04 07:00", "2026-05-04 09:00"),  # it is open already
        ("mon 06:00-07:00", "2026-05-11 06:00", "2026-05-11 07:00"),
        ("22:00-05:00", "2026-05-04 22:00", "2026-05-05 05:00"),
        ("06:00–07:30", "2026-05-05 06:00", "2026-05-05 07:30"),
        ("tonight 23:00 to 01:00", "2026-05-04 23:00", "2026-05-05 01:00"),
        ("tomorrow 02:00-04:00", "2026-05-05 02:00", "2026-05-05 04:00"),
        ("2026-12-24 at 02:00-04:00", "2026-12-24 02:00", "2026-12-24 04:00"),
        ("on sat from 02:00-04:00", "2026-05-09 02:00", "2026-05-09 04:00"),
        ("From sat 02:00-04:00", "2026-05-09 02:00", "2026-05-09 04:00"),
        ("from 22:00 to 24:00", "2026-05-04 22:00", "2026-05-05 00:00"),
    ],
)
def test_a_window_opens_first_on_the_next_day_of_that_name(said: str, begins: str, ends: str) -> None:
    asked = parse_maintenance(f"tag:oslo model:2011 {said} {BECAUSE}", "UTC", NOW)
    assert (asked.query, asked.reason) == ("tag:oslo model:2011", "the mast is painted")
    assert asked.schedule.every is Every.ONCE
    assert list(asked.schedule.openings(NOW)) == [Opening(at(begins), at(ends))]


@pytest.mark.parametrize(
    ("said", "begins"),
    [
        ("sat 24:00-02:00", "2026-05-10 00:00"),
        ("tomorrow 24:00-02:00", "2026-05-06 00:00"),
        ("2026-12-24 24:00-02:00", "2026-12-25 00:00"),
    ],
)
def test_24_00_is_the_midnight_that_ends_its_day(said: str, begins: str) -> None:
    asked = parse_maintenance(f"tag:x {said} {BECAUSE}", "UTC", NOW)
    (opening,) = asked.schedule.openings(NOW)
    assert opening == Opening(at(begins), at(begins) + 2 * HOUR)


@pytest.mark.parametrize(
    ("said", "zone"),
    [
        ("9999-12-31 23:00-02:00", "UTC"),
        ("9999-12-31 24:00-02:00", "UTC"),
        ("0001-01-01 00:00-01:00", "Asia/Tokyo"),
        ("9999-12-31 01:00-24:00", "America/Los_Angeles"),
    ],
)
def test_a_day_at_the_end_of_the_calendar_is_refused_in_a_sentence(said: str, zone: str) -> None:
    with pytest.raises(InvalidInput, match="There is no such time as"):
        parse_maintenance(f"all {said} in {zone} {BECAUSE}", "UTC", NOW)


@pytest.mark.parametrize(
    ("said", "every", "second"),
    [
        ("every sat 02:00-04:00", Every.WEEK, "2026-05-16 00:00"),
        ("every saturday 02:00-04:00 monthly", Every.MONTH_BY_WEEKDAY, "2026-06-13 00:00"),
        ("sat 02:00-04:00 weekly", Every.WEEK, "2026-05-16 00:00"),
        ("saturday 02:00 to 04:00 every week", Every.WEEK, "2026-05-16 00:00"),
        ("sat 02:00-04:00 every month", Every.MONTH_BY_WEEKDAY, "2026-06-13 00:00"),
        ("sat 02:00-04:00 monthly", Every.MONTH_BY_WEEKDAY, "2026-06-13 00:00"),
        ("2026-05-31 02:00-04:00 monthly", Every.MONTH, "2026-06-30 00:00"),
        ("02:00-04:00 monthly", Every.MONTH, "2026-06-05 00:00"),
    ],
)
def test_a_window_comes_again_in_its_zone(said: str, every: Every, second: str) -> None:
    asked = parse_maintenance(f"tag:oslo {said} in europe/oslo {BECAUSE}", "UTC", NOW)
    assert (asked.schedule.every, asked.schedule.zone) == (every, "Europe/Oslo")
    openings = asked.schedule.openings(NOW)
    next(openings)
    assert next(openings).begins == at(second)


def test_a_window_that_comes_again_may_have_a_last_day() -> None:
    asked = parse_maintenance(f"a sat 02:00-04:00 until 2026-05-16 weekly {BECAUSE}", "UTC", NOW)
    assert [one.begins for one in asked.schedule.openings(NOW)] == [
        at("2026-05-09 02:00"),
        at("2026-05-16 02:00"),
    ]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (f"sat 02:00-04:00 {BECAUSE}", "needs gateways before its day"),
        (f"on sat 02:00-04:00 {BECAUSE}", "needs gateways before its day"),
        (f"tag:oslo sat {BECAUSE}", "needs gateways, a day, and from when until when"),
        ("tag:oslo sat 02:00-04:00", "add “because …”"),
        (f"tag:oslo sat 02:00-02:00 {BECAUSE}", "shorter than a day"),
        (f"tag:oslo sat 2-4 {BECAUSE}", "no such time as “2”"),
        (f"tag:oslo sat 25:00-26:00 {BECAUSE}", "no such time as “25:00”"),
        (f"tag:oslo today 06:00-07:00 {BECAUSE}", "over before it begins"),
        (f"tag:oslo 2027-06-01 06:00-07:00 {BECAUSE}", "too far away: 366 days"),
        (f"tag:oslo 2026-03-29 02:00-03:00 in Europe/Oslo {BECAUSE}", "over before it begins"),
        (f"tag:oslo sat 02:00-04:00 until sun {BECAUSE}", "add “weekly” or “monthly”"),
        (f"tag:oslo sat 02:00-04:00 weekly until tomorrow {BECAUSE}", "a later last day"),
        (f"tag:oslo sat 02:00-04:00 weekly monthly {BECAUSE}", "weekly or monthly"),
        (f"tag:oslo sat 02:00-04:00 in Oslo/Norway {BECAUSE}", "do not know the time zone"),
        (f"tag:{'o' * 1500} sat 02:00-04:00 {BECAUSE}", "characters"),
    ],
)
def test_what_cannot_be_a_window_is_refused_in_a_sentence(said: str, answer: str) -> None:
    with pytest.raises(InvalidInput, match=answer):
        parse_maintenance(said, "UTC", NOW)


@pytest.mark.parametrize("text", ["is:offline", "tag:oslo for:>1h", "tag:oslo or is:offline"])
def test_a_window_names_gateways_by_what_they_are(text: str) -> None:
    with pytest.raises(InvalidInput, match="how a gateway fares then is not known"):
        check_names_gateways(parse(text))


SATURDAY = at("2026-05-09 02:00")
OPEN = SATURDAY + timedelta(hours=1)


def begins(window: Maintenance) -> datetime | None:
    return window.opening.begins if window.opening else None


def test_when_an_opening_is_over_the_next_one_comes() -> None:
    after = closed(opened(maintenance()), SATURDAY + timedelta(hours=2))
    assert (begins(after), after.is_open, after.ended_by) == (SATURDAY + WEEK, False, None)


def test_openings_that_passed_while_nobody_looked_are_not_made_up_for() -> None:
    assert begins(closed(maintenance(), SATURDAY + 5 * WEEK)) == SATURDAY + 5 * WEEK


def test_the_last_opening_ends_the_window_by_itself() -> None:
    window = maintenance()
    window = replace(window, schedule=replace(window.schedule, until=SATURDAY.date()))
    after = closed(window, SATURDAY + 2 * WEEK)
    assert (after.opening, after.ended_by) == (None, BOT)


def test_a_skipped_opening_is_left_out_and_undo_brings_it_back() -> None:
    after = skip(maintenance(), SATURDAY, NOW)
    assert begins(after) == SATURDAY + WEEK
    assert begins(undo(after, after.decided, "U0BEN00001", NOW)) == SATURDAY


def test_an_opening_that_a_clock_change_moves_past_midnight_is_skipped_too() -> None:
    schedule = parse_maintenance(f"all sat 23:00-02:00 weekly {BECAUSE}", "America/Nuuk", NOW).schedule
    moved = at("2027-03-28 01:00")  # of Saturday 23:00, which the clock leaves out that night
    now = moved - DAY
    after = skip(replace(maintenance(), schedule=schedule, opening=schedule.next_opening(now)), moved, now)
    assert begins(after) == at("2027-04-04 00:00")


def test_a_second_click_on_skip_does_not_skip_the_next_one_too() -> None:
    with pytest.raises(Stale, match="over or skipped already"):
        skip(skip(maintenance(), SATURDAY, NOW), SATURDAY, NOW)


def test_skipping_the_only_opening_ends_the_window_and_undo_brings_it_back() -> None:
    window = maintenance()
    window = replace(window, schedule=replace(window.schedule, every=Every.ONCE))
    after = skip(window, None, NOW)
    assert (after.opening, after.ended_by) == (None, BOT)
    back = undo(after, after.decided, "U0ANA00001", NOW)
    assert (begins(back), back.ended_by) == (SATURDAY, None)


def test_skipping_what_is_open_closes_it_now_and_the_next_one_comes() -> None:
    after = skip(opened(maintenance(announced=NOW)), None, OPEN)
    assert after.opening == Opening(SATURDAY, OPEN)
    assert after.is_open
    assert begins(closed(after, OPEN)) == SATURDAY + WEEK


def test_ending_what_is_open_closes_it_now_and_nothing_follows() -> None:
    after = end(opened(maintenance()), "U0ANA00001", OPEN)
    assert after.opening == Opening(SATURDAY, OPEN)
    assert closed(after, OPEN).opening is None
    again = undo(after, after.decided, "U0ANA00001", OPEN)
    assert (again.opening, again.ended_by) == (Opening(SATURDAY, SATURDAY + timedelta(hours=2)), None)


def test_what_is_closed_while_open_closes_with_the_next_poll_and_knows_what_comes_then() -> None:
    window = opened(maintenance())
    assert (window.is_closing, window.coming) == (False, window.opening)
    skipped = skip(window, None, OPEN)
    assert (skipped.is_closing, skipped.coming) == (True, window.schedule.next_opening(SATURDAY + DAY))
    ended = end(window, "U0ANA00001", OPEN)
    assert (ended.is_closing, ended.coming) == (True, None)
    assert not closed(ended, OPEN).is_closing
    assert not undo(skipped, skipped.decided, "U0ANA00001", OPEN).is_closing


def test_what_closes_already_is_not_skipped_once_more() -> None:
    with pytest.raises(Stale, match="over or skipped already"):
        skip(skip(opened(maintenance()), None, OPEN), None, OPEN)


def test_undo_opens_what_was_skipped_while_open_once_more() -> None:
    window = opened(maintenance())
    skipped = skip(window, SATURDAY, OPEN)
    with pytest.raises(Stale):
        skip(skipped, SATURDAY, OPEN)
    later = OPEN + timedelta(minutes=1)
    assert undo(skipped, skipped.decided, "U0ANA00001", later).opening == window.opening
    told = closed(skipped, later)
    assert undo(told, told.decided, "U0ANA00001", later).opening == window.opening


def test_an_ended_window_is_neither_skipped_nor_ended_again() -> None:
    after = end(maintenance(), "U0ANA00001", NOW)
    assert (after.opening, after.ended_by, after.last) == (None, "U0ANA00001", Change.ENDED)
    with pytest.raises(Stale):
        end(after, "U0BEN00001", NOW)
    with pytest.raises(Stale):
        skip(after, None, NOW)


def test_undo_of_a_new_window_ends_it_and_is_done_once() -> None:
    after = undo(maintenance(), 1, "U0ANA00001", NOW)
    assert (after.opening, after.ended_by) == (None, "U0ANA00001")
    for drawn in (1, after.decided):
        with pytest.raises(Stale):
            undo(after, drawn, "U0ANA00001", NOW)


def test_alerts_are_held_until_the_opening_is_closed_so_that_nothing_slips_between() -> None:
    window = maintenance()
    assert [window.holds(moment) for moment in (NOW, SATURDAY, OPEN, SATURDAY + DAY)] == [
        False,
        True,
        True,
        True,
    ]


def test_an_opening_is_announced_for_the_last_moment_that_has_come() -> None:
    opening = Opening(SATURDAY, SATURDAY + timedelta(hours=2))
    before = (DAY, timedelta(hours=1))
    assert announcement_due(opening, before, SATURDAY - 2 * DAY) is None
    assert announcement_due(opening, before, SATURDAY - timedelta(hours=5)) == SATURDAY - DAY
    assert announcement_due(opening, before, SATURDAY - timedelta(minutes=5)) == SATURDAY - timedelta(hours=1)
    assert announcement_due(opening, (), SATURDAY) is None


def test_a_window_was_open_from_when_it_was_planned_until_it_ended_and_not_when_it_was_skipped() -> None:
    asked = parse_maintenance(f"tag:oslo mon 07:00-09:00 weekly {BECAUSE}", "UTC", NOW)
    window = maintenance(schedule=asked.schedule, opening=asked.schedule.next_opening(NOW), created_at=NOW)

    def was_open(one: Maintenance) -> list[tuple[datetime, datetime]]:
        return [(each.begins, each.ends) for each in openings_between(one, NOW - WEEK, NOW + 2 * WEEK)]

    first, second = (NOW, NOW + HOUR), (NOW + WEEK - HOUR, NOW + WEEK + HOUR)
    assert was_open(window) == [first, second, (NOW + 2 * WEEK - HOUR, NOW + 2 * WEEK)]
    assert was_open(end(window, "U1", NOW + WEEK)) == [first, (NOW + WEEK - HOUR, NOW + WEEK)]
    assert was_open(skip(window, None, NOW)) == [second, (NOW + 2 * WEEK - HOUR, NOW + 2 * WEEK)]
