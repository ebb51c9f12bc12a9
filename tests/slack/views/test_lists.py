"""Where a page stands."""

from hypothesis import given
from hypothesis import strategies as st

from bot.slack.views.lists import PagePosition, cut_page


def test_a_list_of_one_page_says_how_much_there_is() -> None:
    assert PagePosition("devices", 0, 7, 10).says("gateway") == "7 gateways"


def test_a_longer_list_says_which_part_it_shows() -> None:
    assert PagePosition("devices", 230, 234, 10).says("gateway") == "231–234 of 234 gateways"


@given(total=st.integers(0, 200), offset=st.integers(0, 10**9), size=st.integers(1, 30))
def test_a_page_is_never_empty_unless_the_list_is(total: int, offset: int, size: int) -> None:
    page, place = cut_page(range(total), "tags", offset, size)
    assert bool(page) == bool(total)
    assert len(page) <= size
    assert list(page) == list(range(total))[place.offset : place.offset + size]
