"""Durations as people write and read them."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.durations import duration_text, parse_duration
from bot.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "minutes"), [("30m", 30), ("1h30m", 90), ("2d", 2880), ("1w", 10080), (" 1H 30m ", 90)]
)
def test_a_duration_has_units_from_large_to_small(text: str, minutes: int) -> None:
    assert parse_duration(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "90", "m", "30m1h", "-5m", "1.5h", "1y", "99999999w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (45, "45s"), (5400, "1h30m"), (183_845, "2d3h")])
def test_a_duration_is_shown_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_an_explained_error(text: str) -> None:
    with suppress(InvalidInput):
        assert parse_duration(text) >= timedelta()
