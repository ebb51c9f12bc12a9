"""What is named as the cause of an alert."""

from bot.domain.alerts.common_causes import Candidate, shared_cause
from bot.domain.alerts.incidents import Share, Trait


def test_the_cause_names_what_nearly_all_of_them_and_few_others_share() -> None:
    kyiv = Candidate(Trait.TAG, "Kyiv-office", 38, 40)
    assert shared_cause([kyiv], 40, 1000) == (Share(Trait.TAG, "Kyiv-office", 38, 40),)


def test_what_most_of_the_fleet_has_is_no_cause() -> None:
    assert shared_cause([Candidate(Trait.MODEL, "2011", 40, 700)], 40, 1000) == ()


def test_two_gateways_have_no_cause() -> None:
    assert shared_cause([Candidate(Trait.TAG, "Oslo", 2, 2)], 2, 1000) == ()


def test_three_gateways_that_share_what_a_quarter_has_are_chance() -> None:
    assert shared_cause([Candidate(Trait.FIRMWARE, "3.4.1", 3, 250)], 3, 1000) == ()


def test_half_of_them_are_no_cause() -> None:
    assert shared_cause([Candidate(Trait.TAG, "Oslo", 20, 20)], 40, 1000) == ()


def test_the_more_is_looked_at_the_more_it_takes() -> None:
    one = Candidate(Trait.TAG, "Oslo", 3, 60)
    noise = [Candidate(Trait.TAG, f"t{number}", 3, 900) for number in range(200)]
    assert shared_cause([one], 3, 1000) != ()
    assert shared_cause([one, *noise], 3, 1000) == ()


def test_what_explains_most_comes_first_and_one_of_each_trait() -> None:
    found = shared_cause(
        [
            Candidate(Trait.TAG, "north", 40, 120),
            Candidate(Trait.TAG, "Kyiv-office", 38, 40),
            Candidate(Trait.FIRMWARE, "3.5.0", 40, 300),
        ],
        40,
        1000,
    )
    assert [share.value for share in found] == ["Kyiv-office", "3.5.0"]


def test_a_fleet_that_is_dark_altogether_has_no_cause_in_itself() -> None:
    assert shared_cause([Candidate(Trait.MODEL, "2011", 50, 50)], 50, 50) == ()
