"""The pace of posts, and how long what failed waits."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.slack.outgoing.rate_limits import Edits, NotYet, Posts, Retries

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_a_long_pause_is_not_waited_for_with_a_card_in_ones_hands() -> None:
    posts = Posts()
    posts.refused("C1", NOW, timedelta(minutes=2))
    with pytest.raises(NotYet) as caught:
        posts.take("C2", NOW)
    assert caught.value.wait == timedelta(minutes=2)
    assert posts.take("C2", NOW + timedelta(minutes=2)) == timedelta(0)


def test_what_fails_again_waits_longer() -> None:
    retries = Retries()
    assert [retries.failed("a").seconds for _ in range(9)] == [1, 2, 4, 10, 30, 60, 120, 300, 300]


def test_failures_that_nobody_asks_about_again_are_forgotten_in_the_end() -> None:
    retries = Retries()
    for number in range(6000):
        retries.failed(str(number))
    assert retries.failed("0") == timedelta(seconds=1)
    assert retries.failed("5999") == timedelta(seconds=2)


def test_a_clock_that_is_set_back_leaves_no_channel_full_and_no_edit_waiting() -> None:
    posts, edits = Posts(), Edits(timedelta(seconds=15))
    for _ in range(4):
        posts.take("C1", NOW)
    for _ in range(40):
        edits.take(NOW)
    assert posts.full_channels(NOW) == {"C1"}
    assert not edits.may(NOW)
    earlier = NOW - timedelta(hours=2)
    assert posts.full_channels(earlier) == frozenset()
    assert edits.may(earlier)


def test_after_a_message_that_went_out_late_the_next_keeps_its_distance() -> None:
    posts = Posts()
    posts.refused("C1", NOW, timedelta(0))
    assert posts.take("C1", NOW) == timedelta(0)
    due = NOW + posts.take("C1", NOW)
    late = NOW + timedelta(seconds=0.4)
    posts.sent(late)
    assert posts.too_soon(due) == late - NOW
    assert posts.too_soon(due + timedelta(seconds=0.4)) == timedelta(0)


def test_before_any_refusal_messages_keep_no_distance() -> None:
    posts = Posts()
    posts.sent(NOW)
    assert posts.too_soon(NOW) == timedelta(0)


def test_a_message_is_taken_in_hand_a_second_before_its_turn_and_not_earlier() -> None:
    posts = Posts()
    posts.refused("C1", NOW, timedelta(seconds=3))
    assert posts.pause(NOW) == timedelta(seconds=2)
    assert posts.pause(NOW + timedelta(seconds=2)) == timedelta(0)
    assert posts.take("C1", NOW + timedelta(seconds=2)) == timedelta(seconds=1)


SECOND, TINY = timedelta(seconds=1), timedelta.resolution


def test_a_channel_takes_three_messages_at_once_and_then_one_a_second() -> None:
    posts = Posts()
    assert [posts.take("C1", NOW) / SECOND for _ in range(5)] == [0, 0, 0, 1, 2]


def test_after_a_refusal_messages_go_one_by_one_everywhere_for_ten_minutes() -> None:
    posts, ten = Posts(), timedelta(minutes=10)
    posts.refused("C1", NOW, SECOND)
    last = NOW + ten - TINY
    assert [posts.take(channel, last) / SECOND for channel in ("C2", "C3")] == [0, 1.01]
    assert [posts.take(channel, NOW + ten) / SECOND for channel in ("C4", "C5")] == [0, 0]


def test_a_card_in_hand_waits_five_seconds_at_most_and_is_taken_a_second_early() -> None:
    posts = Posts()
    posts.refused("C1", NOW, 5 * SECOND)
    assert posts.pause(NOW) == 4 * SECOND
    with pytest.raises(NotYet):
        posts.take("C2", NOW - TINY)
    assert posts.take("C2", NOW) == 5 * SECOND
