"""When the fleet cannot be seen, told from its last listings."""

from datetime import UTC, datetime, timedelta

from bot.domain.visibility_loss import ListingOutcome, is_outage, visibility_loss

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def looks(*told: tuple[int, int] | None) -> list[ListingOutcome]:
    """Oldest first: online before and after each listing; None for one that failed."""
    found = []
    for number, numbers in enumerate(told, 1):
        at = NOW + timedelta(minutes=number)
        if numbers is None:
            found.append(ListingOutcome(number, completed=False, at=at))
        else:
            before, after = numbers
            found.append(ListingOutcome(number, True, at, before, max(before - after, 0), after))
    return found[::-1]


def test_two_failed_listings_are_a_hiccup() -> None:
    assert visibility_loss(looks((40, 40), None, None)) is None


def test_three_failed_listings_are_visibility_loss_since_the_first_of_them() -> None:
    lost = visibility_loss(looks((40, 40), None, None, None, None))
    assert lost is not None
    assert (lost.failures, lost.since) == (4, NOW + timedelta(minutes=2))


def test_failures_with_a_success_between_them_are_not_in_a_row() -> None:
    assert visibility_loss(looks(None, None, (40, 40), None)) is None


def test_half_is_not_more_than_half() -> None:
    assert visibility_loss(looks((40, 20))) is None
    assert visibility_loss(looks((40, 19))) is not None


def test_less_than_twenty_online_say_nothing() -> None:
    assert visibility_loss(looks((19, 0))) is None


def test_a_listing_as_before_returns_sight() -> None:
    assert visibility_loss(looks((40, 5), (5, 40))) is None


def test_two_more_that_say_the_same_are_not_enough_and_three_are_an_outage() -> None:
    two = looks((40, 5), (5, 5), (5, 6))
    assert visibility_loss(two) is not None
    assert not is_outage(two)
    three = looks((40, 5), (5, 5), (5, 6), (6, 5))
    assert visibility_loss(three) is None
    assert is_outage(three)


def test_failed_listings_confirm_nothing() -> None:
    seen = looks((40, 5), None, (5, 5), None, (5, 5))
    assert visibility_loss(seen) is not None
    assert not is_outage(seen)


def test_sight_that_returned_was_no_outage() -> None:
    assert not is_outage(looks((40, 5), (5, 40), (40, 40), (40, 40)))


def test_before_the_first_listing_nothing_is_lost() -> None:
    assert visibility_loss([]) is None
    assert not is_outage([])
