"""What a rename or a change of tags means for one gateway, and what can be taken back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.confirmations import CONFIRM_WITHIN
from bot.domain.errors import InvalidInput, NotAllowed, Stale
from bot.domain.fleet.renames_and_tags import (
    LONGEST,
    ItemState,
    Write,
    WriteItem,
    WriteKind,
    WriteState,
    checked_name,
    checked_tag,
    ended,
    is_pattern,
    numbered,
    require_decidable,
    retagged,
    tagging,
    undoing,
)
from bot.domain.gateways import Gateway
from tests.worlds.builders import MONDAY, gateway


def renamed(before: str | None, after: str) -> WriteItem:
    """A rename that was done."""
    was = () if before is None else (before,)
    return WriteItem(gateway().id, before or gateway().id, was, (after,), ItemState.DONE)


def test_taking_back_a_name_gives_the_old_one() -> None:
    back = undoing(renamed("Roof", "Cellar"), WriteKind.RENAME, gateway(name="Cellar"))
    assert (back.before, back.after, back.state) == (("Cellar",), ("Roof",), ItemState.WAITING)


def test_a_gateway_that_is_gone_is_left_alone() -> None:
    back = undoing(renamed("Roof", "Cellar"), WriteKind.RENAME, None)
    assert (back.state, back.error) == (ItemState.LEFT, "Roof is no longer in the fleet.")


def test_a_gateway_that_had_no_name_keeps_its_new_one() -> None:
    back = undoing(renamed(None, "Cellar"), WriteKind.RENAME, gateway(name="Cellar"))
    assert (back.state, "cannot take a name away" in (back.error or "")) == (ItemState.LEFT, True)


def test_a_gateway_that_was_changed_since_is_left_alone() -> None:
    back = undoing(renamed("Roof", "Cellar"), WriteKind.RENAME, gateway(name="Attic"))
    assert (back.state, "Attic was changed again" in (back.error or "")) == (ItemState.LEFT, True)


def test_tags_keep_their_places_and_new_ones_come_last_whatever_their_case() -> None:
    assert retagged(("a", "B", "c"), ["C", "d", "D"], ["b"]) == ("a", "c", "D")


def test_a_change_of_tags_that_changes_nothing_is_none() -> None:
    assert tagging(gateway(tags=("Oslo",)), ["oslo"], ["roof"]) is None


def test_a_tag_is_taken_off_in_each_of_its_spellings_and_put_on_in_one() -> None:
    item = tagging(gateway(tags=("Oslo", "OSLO", "a")), ["roof", "ROOF"], ["oslo"])
    assert item is not None
    assert (item.removed, item.added) == (("Oslo", "OSLO"), ("ROOF",))


@pytest.mark.parametrize(
    ("kind", "shown", "says"),
    [
        (WriteKind.RENAME, gateway(name=None), "still shows “no name”"),
        (WriteKind.TAG, gateway(tags=()), "still shows “no tags”"),
        (WriteKind.TAG, gateway(tags=("a", "b")), "still shows “a, b”"),
    ],
)
def test_what_the_vendor_does_not_show_is_not_done(kind: WriteKind, shown: Gateway, says: str) -> None:
    item = WriteItem("x", "x", (), ("new",))
    assert says in (ended(item, kind, shown).error or "")


@pytest.mark.parametrize("text", ["", " ", "a\nb", "bell\x07", "\u2028x\u2028y", "x" * (LONGEST + 1)])
def test_a_name_or_tag_that_cannot_be_is_refused(text: str) -> None:
    for checked in (checked_name, checked_tag):
        with pytest.raises(InvalidInput):
            checked(text)


def test_a_name_is_kept_in_one_unicode_form_without_outer_spaces() -> None:
    assert checked_name("  Tromse\u0301  ") == "Tromsé"


@pytest.mark.parametrize(
    ("pattern", "names"), [("R-{n:03}", ["R-001", "R-002", "R-003"]), ("{n}", ["1", "2", "3"])]
)
def test_names_are_numbered_in_the_order_of_the_present_ones(pattern: str, names: list[str]) -> None:
    fleet = [gateway("x", name="b"), gateway("y", name="C"), gateway("z", name="a")]
    items = numbered(pattern, fleet)
    assert [(item.gateway_id, item.after[0]) for item in items] == list(zip("zxy", names, strict=True))
    assert numbered(pattern, [replace(one, name=names[0]) for one in fleet[:1]]) == []


@pytest.mark.parametrize("pattern", ["X-{m}", "X-{n:}", "X-{n:03d}", "X-{n:003}", "X-{n:010}", "X-{}"])
def test_a_bad_place_for_a_number_is_refused_and_never_written_literally(pattern: str) -> None:
    assert is_pattern(pattern)
    with pytest.raises(InvalidInput, match=r"is no place for a number: write \{n\}"):
        numbered(pattern, [gateway("x")])
    with pytest.raises(InvalidInput, match="which is for several gateways"):
        checked_name(pattern)


def test_a_name_without_braces_is_no_pattern() -> None:
    assert not is_pattern("OSL")


def test_only_who_proposed_a_change_decides_about_it_and_only_for_half_an_hour() -> None:
    proposed = Write(
        id="w1",
        kind=WriteKind.TAG,
        state=WriteState.PROPOSED,
        version=1,
        actor="U0OLGA",
        channel=None,
        title="+oslo on 12 gateways",
        created_at=MONDAY,
        expires_at=MONDAY + CONFIRM_WITHIN,
    )
    late = proposed.expires_at
    require_decidable(proposed, "U0OLGA", 1, WriteState.RUNNING, late - timedelta(seconds=1))
    require_decidable(proposed, "U0OLGA", 1, WriteState.CANCELLED, late)
    with pytest.raises(NotAllowed, match="Only who proposed this change"):
        require_decidable(proposed, "U0PAUL", 1, WriteState.RUNNING, MONDAY)
    with pytest.raises(Stale, match="more than 30 minutes old"):
        require_decidable(proposed, "U0OLGA", 1, WriteState.RUNNING, late)
    with pytest.raises(Stale, match="has changed"):
        require_decidable(proposed, "U0OLGA", 2, WriteState.RUNNING, MONDAY)
