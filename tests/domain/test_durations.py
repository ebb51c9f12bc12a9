"""Durations as people write them."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.durations import parse_duration, split_month
from bot.domain.errors import InvalidInput


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
