"""What makes a rollout stop by itself."""

import pytest

from bot.domain.rollouts.lifecycle import TargetState
from bot.domain.rollouts.stop_gates import Collateral, GateCounts, GateTrip, check_gates, is_unusual


def test_any_canary_failure_pauses() -> None:
    one_of_two = GateCounts(finished=1, failures=1, canary_failures=1, canary=(1, 2))
    assert check_gates(one_of_two) == GateTrip("1 of 2 canaries failed")
    alone = GateCounts(finished=1, failures=1, canary_failures=1, canary=(1, 1))
    assert check_gates(alone) == GateTrip("the canary failed")


@pytest.mark.parametrize(
    ("finished", "overdue", "failures", "trips"),
    [
        (9, 0, 2, None),
        (10, 0, 1, False),
        (20, 0, 1, False),
        (21, 0, 1, None),
        (10, 10, 1, False),
        (20, 0, 3, True),
        (0, 9, 9, None),
        (0, 10, 10, True),  # a firmware that silences all, at ten sites
    ],
)
def test_five_percent_of_finished_and_overdue_pause_once_there_are_ten(
    finished: int, overdue: int, failures: int, trips: bool | None
) -> None:
    trip = check_gates(GateCounts(finished=finished, overdue=overdue, failures=failures))
    assert (trip.for_good if trip else None) is trips


def test_what_nobody_counted_is_none() -> None:
    assert check_gates(GateCounts()) is None
    assert check_gates(GateCounts(overdue=10, failures=10)) is not None
    assert check_gates(GateCounts(finished=10, failures=1)) is not None


def test_fifteen_percent_stop_for_good() -> None:
    trip = check_gates(GateCounts(finished=100, failures=15))
    assert trip == GateTrip("15 of 100 gateways failed, 15 % or more", for_good=True)


def test_three_in_a_row_that_did_not_return_pause() -> None:
    gone = TargetState.NOT_RETURNED
    assert check_gates(GateCounts(finished=5, failures=2, newest=(gone, gone))) is None
    trip = check_gates(GateCounts(finished=5, failures=3, newest=(gone, gone, gone)))
    assert trip == GateTrip("3 gateways in a row did not return")


def test_three_failures_at_one_site_pause() -> None:
    assert check_gates(GateCounts(finished=5, failures=4, by_site={"oslo": 2, "bergen": 2})) is None
    assert check_gates(GateCounts(finished=5, failures=3, by_site={"oslo": 3})) == GateTrip(
        "3 gateways failed at oslo"
    )


@pytest.mark.parametrize(
    ("gone", "untouched", "usual", "unusual"),
    [(2, 10, 0.0, False), (3, 10, 0.0, True), (3, 10, 2.6, False), (6, 100, 0.0, True), (5, 100, 0.0, False)],
)
def test_untouched_neighbours_that_go_more_than_usual_pause(
    gone: int, untouched: int, usual: float, unusual: bool
) -> None:
    site = Collateral("oslo", gone, untouched, usual)
    assert is_unusual(site) is unusual
    assert (check_gates(GateCounts(collateral=(site,))) is not None) is unusual


def test_nothing_trips_while_all_is_well() -> None:
    assert check_gates(GateCounts(finished=500)) is None
