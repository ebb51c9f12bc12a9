"""Where a page stands."""

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.access import Actor, Role
from bot.slack import ids
from bot.slack.incoming.listeners import Click
from bot.slack.paging import ListHandler, list_clicks
from bot.slack.views.blocks import Message, sentence
from bot.slack.views.paging import Door, PagePosition, cut_page, open_menu
from tests.slack.shown import Answers


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


async def test_what_a_row_is_about_is_shown_below_and_the_list_stays() -> None:
    async def page(_actor: Actor, _offset: int, question: str) -> Message:
        return sentence(f"all about {question}")

    answers = Answers()
    click = Click(
        Actor("U0VERA", "Vera", Role.VIEWER), "C0OPS", ids.OPEN, Door("device", "a", "A").ref, answers
    )
    await list_clicks({"device": ListHandler(page)})[ids.OPEN](click)
    assert (answers.shown, [one.text for one in answers.added]) == ([], ["all about a"])


def test_a_menu_leaves_out_what_is_too_long_for_it_and_is_none_without_a_choice() -> None:
    menu = open_menu(
        "Open…", [Door("device", "a", "A"), Door("devices", "x" * 150, "All"), Door("device", "a", "A")]
    )
    assert menu is not None
    assert [one["value"] for one in menu["options"]] == ["page.device.0.a"]
    assert open_menu("Open…", []) is None
