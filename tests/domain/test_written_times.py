"""Durations as people write them."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.written_times import parse_duration, split_month, split_period


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
