"""Which gateway somebody means."""

import pytest

from bot.domain.errors import InvalidInput, NotFound
from bot.domain.fleet.lookup import Called, meant
from tests.worlds.builders import known

EXACT, OTHER_CASE, SAME_NAME = known("a1"), known("A1"), known("b2")


def test_the_very_id_goes_before_the_id_in_another_case_and_that_before_a_name() -> None:
    assert meant("a1", Called([EXACT], [EXACT, OTHER_CASE], [SAME_NAME]), {}) is EXACT
    assert meant("A1", Called([], [OTHER_CASE], [SAME_NAME]), {}) is OTHER_CASE
    assert meant("a1", Called([], [], [SAME_NAME]), {}) is SAME_NAME


def test_of_several_that_are_called_so_nobody_guesses() -> None:
    with pytest.raises(InvalidInput, match=r"2 gateways are called “roof”: a1, b2\. Say which one by its id"):
        meant("roof", Called([], [], [EXACT, SAME_NAME]), {})


def test_where_none_is_called_so_the_nearest_names_are_told() -> None:
    with pytest.raises(NotFound, match="Did you mean Kyiv-office-7"):
        meant("kyiv-ofice-7", Called([], [], []), {"kyiv-office-7": "Kyiv-office-7"})
