"""Renames and changes of tags as messages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.fleet.renames_and_tags import ItemState, Write, WriteItem, WriteKind, WriteState
from bot.slack import ids
from bot.slack.fleet.views import renames_and_tags as views
from bot.slack.ids import CardRef
from bot.slack.views.blocks import Message
from tests.slack.shown import NAMES, buttons, elements, sendable, words

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=10)


def item(number: int = 1, state: ItemState = ItemState.WAITING, **changes: object) -> WriteItem:
    values: dict[str, object] = {
        "gateway_id": f"bmac-{number:04}",
        "label": f"MT{number}",
        "before": ("oslo",),
        "after": ("oslo", "roof"),
        "state": state,
    }
    return WriteItem(**(values | changes))  # type: ignore[arg-type]


def write(state: WriteState, *items: WriteItem, **changes: object) -> Write:
    values: dict[str, object] = {
        "id": "w1",
        "kind": WriteKind.TAG,
        "state": state,
        "version": 3,
        "actor": "U0ANA",
        "channel": "C0OPS",
        "title": f"+roof on {len(items)} gateways",
        "created_at": NOW,
        "expires_at": SOON,
        "items": items,
    }
    return Write(**(values | changes))  # type: ignore[arg-type]


def drawn(it: Write, now: datetime = NOW) -> Message:
    return sendable(views.write(it, now))


PROPOSED = write(WriteState.PROPOSED, *(item(number) for number in range(42)))
DONE = write(WriteState.DONE, item(state=ItemState.DONE))
RENAMED = write(
    WriteState.DONE, item(state=ItemState.DONE, before=("Old",), after=("New",)), kind=WriteKind.RENAME
)


def test_a_preview_counts_shows_the_first_ten_and_says_how_many_more() -> None:
    text = drawn(PROPOSED).text
    assert "+roof on 42 gateways" in text
    assert text.count("+roof (now oslo)") == 10
    assert "… and 32 more" in text


def test_a_preview_is_confirmed_in_a_dialog_that_names_the_count() -> None:
    message = drawn(PROPOSED)
    confirm = next(one for one in elements(message) if one["action_id"] == ids.WRITE_CONFIRM)
    assert "42 gateways" in confirm["confirm"]["text"]["text"]
    assert confirm["confirm"]["confirm"]["text"] == "Change 42 gateways"
    assert buttons(message) == {ids.WRITE_CONFIRM: CardRef("w1", 3), ids.WRITE_CANCEL: CardRef("w1", 3)}


def test_a_preview_whose_time_is_over_has_no_buttons() -> None:
    message = drawn(PROPOSED, SOON)
    assert buttons(message) == {}
    assert "nothing was changed" in message.text


def test_a_preview_says_what_is_already_so_and_what_to_look_out_for() -> None:
    text = drawn(replace(PROPOSED, unchanged=3, warning="Nobody had that tag.")).text
    assert "Already so and left as they are: 3 gateways" in text
    assert "⚠️ warning: Nobody had that tag." in text


def test_work_in_progress_counts_what_is_settled() -> None:
    running = write(WriteState.RUNNING, item(1, ItemState.DONE), item(2, ItemState.FAILED), item(3), item(4))
    assert "2 of 4 gateways" in drawn(running).text
    assert buttons(drawn(running)) == {}


def test_one_gateway_s_change_shows_before_and_after_with_undo() -> None:
    message = drawn(DONE)
    assert "MT1 bmac-0001 tags changed\nBefore: oslo\nAfter: oslo, roof" in message.text
    assert buttons(message) == {ids.WRITE_UNDO: CardRef("w1", 3)}


def test_a_rename_shows_the_names() -> None:
    assert "Before: Old\nAfter: New" in drawn(RENAMED).text


def test_a_gateway_that_had_no_name_is_shown_without_one() -> None:
    nameless = replace(RENAMED, items=(replace(RENAMED.items[0], before=()),))
    assert "Before: (no name)" in drawn(nameless).text


@pytest.mark.parametrize(
    ("it", "now"),
    [(DONE, SOON), (replace(DONE, undone_by="w2"), NOW), (replace(DONE, undoes="w0"), NOW)],
    ids=["its time is over", "it was undone", "it is an undo itself"],
)
def test_undo_goes_when(it: Write, now: datetime) -> None:
    assert buttons(drawn(it, now)) == {}


def test_failures_are_listed_by_gateway_with_their_reasons() -> None:
    failed = item(2, ItemState.FAILED, error="Meshtech answers 503.")
    text = drawn(write(WriteState.DONE, item(1, ItemState.DONE), failed)).text
    assert "done in part: +roof on 2 gateways, 1 of 2 gateways changed" in text
    assert "❌ MT2 bmac-0002: Meshtech answers 503." in text


def test_one_gateway_that_failed_says_that_nothing_changed() -> None:
    failed = write(WriteState.DONE, item(1, ItemState.FAILED, error="Meshtech answers 503."))
    assert "was not changed. Meshtech answers 503." in drawn(failed).text
    assert buttons(drawn(failed)) == {}


def test_what_an_undo_left_alone_is_told() -> None:
    left = item(2, ItemState.LEFT, error="Somebody renamed it since.")
    text = drawn(write(WriteState.DONE, item(1, ItemState.DONE), left, undoes="w0")).text
    assert "⚠️ MT2 bmac-0002 left alone: Somebody renamed it since." in text


def test_undo_of_many_asks_first_and_that_of_one_does_not() -> None:
    many = drawn(write(WriteState.DONE, item(1, ItemState.DONE), item(2, ItemState.DONE)))
    assert [("confirm" in one) for one in (*elements(many), *elements(drawn(DONE)))] == [True, False]


def test_a_cancelled_write_says_that_nothing_was_changed() -> None:
    message = drawn(replace(PROPOSED, state=WriteState.CANCELLED))
    assert "Nothing was changed" in message.text
    assert buttons(message) == {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", WriteState)
@pytest.mark.parametrize("kind", WriteKind)
def test_any_names_are_within_slack_s_limits_and_leave_the_buttons(
    name: str, state: WriteState, kind: WriteKind
) -> None:
    ends = [ItemState.WAITING] if state is WriteState.PROPOSED else list(ItemState)
    before, after = ((name,), (f"{name}2",)) if kind is WriteKind.RENAME else ((name,), (f"{name}3",) * 30)
    items = [
        item(number, ends[number % len(ends)], label=name, before=before, after=after, error=name)
        for number in range(120)
    ]
    message = drawn(write(state, *items, kind=kind, title=name, warning=name, unchanged=5))
    wanted = {WriteState.PROPOSED: {ids.WRITE_CONFIRM, ids.WRITE_CANCEL}, WriteState.DONE: {ids.WRITE_UNDO}}
    assert set(buttons(message)) == wanted.get(state, set())
    drawn(write(state, items[0], kind=kind, title=name, warning=name))


def test_the_text_says_what_the_blocks_say() -> None:
    for it in (PROPOSED, DONE, RENAMED):
        message = drawn(it)
        plainly = words(message).replace("*", "").replace("`", "")
        assert all(line in message.text for line in plainly.split("\n"))
