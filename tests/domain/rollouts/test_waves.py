"""Which gateways start together."""

import itertools
from datetime import timedelta

import pytest

from bot.domain.rollouts.plan import make_plan
from bot.domain.rollouts.waves import wave_sizes
from tests.domain.rollouts.test_plan import AROUND, NOW, firmware, known
from tests.worlds.builders import rollout_rules


@pytest.mark.parametrize(
    ("eligible", "ends", "sizes"),
    [
        (400, None, (5, 15, 80, 100, 200)),
        (60, None, (5, 10, 15, 30)),
        (20, None, (5, 5, 10)),
        (19, None, (1, 4, 14)),
        (1, None, (1,)),
        (0, None, ()),
        (100, (0.07, 1.0), (7, 93)),
        (10, (3,), (3, 7)),
        (10, (20,), (10,)),
        (10, (5, 0.1, 1.0), (5, 5)),
    ],
)
def test_waves_are_cumulative_round_up_and_vanish_when_empty(
    eligible: int, ends: tuple[float, ...] | None, sizes: tuple[int, ...]
) -> None:
    assert wave_sizes(eligible, ends) == sizes


def test_canaries_differ_in_site_and_have_been_stable_for_a_day() -> None:
    sites = ["oslo", "bergen", "kyiv", "lviv", "narvik"]
    steady = [known(10 * n + k, site=site) for n, site in enumerate(sites) for k in range(4)]
    restless = [known(100 + n, site="aa", since=NOW - timedelta(hours=1)) for n in range(5)]
    plan = make_plan("", firmware(), [*restless, *steady], AROUND, rollout_rules())
    canaries = [target for target in plan.targets if target.wave == 1]
    assert sorted(target.site for target in canaries) == sorted(sites)


def test_a_gateway_is_a_canary_from_exactly_a_day_of_stability_on() -> None:
    day = timedelta(hours=24)
    pair = [known(1, since=NOW - day + timedelta(seconds=1)), known(2, since=NOW - day)]
    plan = make_plan("", firmware(), pair, AROUND, rollout_rules())
    assert [target.wave for target in plan.targets] == [2, 1]


def test_canaries_differ_in_hardware_and_present_firmware_from_site_to_site() -> None:
    old_and_new = [("1.0.0", "3.3.0"), ("1.0.0", "3.4.1"), ("2.0.0", "3.4.1")]
    numbers = itertools.count()
    fleet = [
        known(next(numbers), site=site, hardware=hardware, version=version)
        for site in ("oslo", "bergen", "kyiv", "lviv", "narvik")
        for hardware, version in old_and_new
        for _ in range(4)
    ]
    plan = make_plan("", firmware(), fleet, AROUND, rollout_rules())
    canaries = {target.gateway_id for target in plan.targets if target.wave == 1}
    kinds = {(one.gateway.hardware, one.gateway.firmware) for one in fleet if one.gateway.id in canaries}
    assert kinds == set(old_and_new)


def test_membership_of_waves_does_not_depend_on_the_order_of_the_matches() -> None:
    gateways = [known(n, site=f"s{n % 3}") for n in range(30)]
    plan = make_plan("", firmware(), gateways, AROUND, rollout_rules())
    assert make_plan("", firmware(), gateways[::-1], AROUND, rollout_rules()).hash == plan.hash
