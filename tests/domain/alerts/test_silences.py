"""What a silence may be, and how it is asked for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.domain.alerts.silences import parse_number, parse_silence
from bot.domain.errors import InvalidInput

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")


def test_a_silence_names_gateways_an_end_and_a_reason() -> None:
    asked = parse_silence("tag:oslo  for 2h because  work for the mast", OSLO, NOW)
    assert (asked.query, asked.until, asked.reason) == (
        "tag:oslo",
        NOW + timedelta(hours=2),
        "work for the mast",
    )


def test_the_words_of_a_silence_are_known_in_any_case_and_what_is_quoted_stays() -> None:
    asked = parse_silence('name:"Roof  1" FOR 2h Because the Mast is painted', OSLO, NOW)
    assert (asked.query, asked.reason) == ('name:"Roof  1"', "the Mast is painted")


def test_a_silence_until_a_day_ends_in_the_zone_of_the_bot() -> None:
    asked = parse_silence("is:offline until 2026-05-06 because of paint", OSLO, NOW)
    assert asked.until == datetime(2026, 5, 5, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["tag:oslo", "for 2h", "", "tag:oslo for ever", "tag:oslo for 2"])
def test_there_is_no_silence_without_gateways_or_without_an_end(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_silence(text, OSLO, NOW)


def test_above_four_hours_a_reason_is_needed() -> None:
    assert parse_silence("tag:oslo for 4h", OSLO, NOW).reason is None
    assert parse_silence("tag:oslo 4h", OSLO, NOW) == parse_silence("tag:oslo for 4h", OSLO, NOW)
    assert parse_silence("tag:oslo until in 4h", OSLO, NOW) == parse_silence("tag:oslo 4h", OSLO, NOW)
    with pytest.raises(InvalidInput, match="reason"):
        parse_silence("tag:oslo for 4h1m", OSLO, NOW)


def test_seven_days_are_the_longest() -> None:
    assert parse_silence("tag:oslo for 7d because x", OSLO, NOW).reason == "x"
    with pytest.raises(InvalidInput, match="Seven days"):
        parse_silence("tag:oslo for 7d1m because x", OSLO, NOW)


def test_a_week_by_the_calendar_is_seven_days_though_it_has_169_hours() -> None:
    now = datetime(2026, 10, 23, 10, 0, tzinfo=UTC)  # noon, two days before the clocks go back
    asked = parse_silence("tag:oslo until 2026-10-30 12:00 because x", OSLO, now)
    assert asked.until - now == timedelta(hours=169)
    with pytest.raises(InvalidInput, match="Seven days"):
        parse_silence("tag:oslo until 2026-10-30 12:01 because x", OSLO, now)
    spring = datetime(2026, 3, 27, 11, 0, tzinfo=UTC)
    assert parse_silence("tag:oslo for 7d because x", OSLO, spring).until == spring + timedelta(days=7)


def test_a_silence_is_named_by_its_number() -> None:
    assert [parse_number(text) for text in ("S-3", "s3", " 3 ")] == [3, 3, 3]
    with pytest.raises(InvalidInput):
        parse_number("all")
