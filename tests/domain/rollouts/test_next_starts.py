"""Who starts next, and in which jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts import next_starts
from bot.domain.rollouts.lifecycle import TargetState
from bot.domain.rollouts.next_starts import WaitingGateway
from tests.domain.rollouts.test_lifecycle import running
from tests.worlds.builders import MONDAY as NOW
from tests.worlds.builders import rollout, rollout_rules

G1, G2 = GatewayId("g1"), GatewayId("g2")


def test_at_most_a_fifth_of_a_site_and_at_least_one_is_in_flight() -> None:
    waiting = [*waits(8), *(WaitingGateway(one, "narvik", Connectivity.ONLINE, "3.4.1") for one in (G1, G2))]
    sizes = {"oslo": 20, "narvik": 3}
    first = next_starts.choose_starts(waiting, {}, sizes, rollout_rules())
    assert [gateway for gateway in first if gateway.startswith("o")] == ["o0", "o1", "o2", "o3"]
    assert [gateway for gateway in first if not gateway.startswith("o")] == [G1]
    rest = [one for one in waiting if one.gateway_id not in first]
    assert next_starts.choose_starts(rest, {"oslo": 4, "narvik": 1}, sizes, rollout_rules()) == ()


def test_a_new_round_waits_until_half_of_it_can_start() -> None:
    waiting = waits(8)
    assert next_starts.choose_starts(waiting, {"oslo": 3}, {"oslo": 20}, rollout_rules()) == ()
    assert len(next_starts.choose_starts(waiting, {"oslo": 2}, {"oslo": 20}, rollout_rules())) == 2


def test_a_share_of_a_site_that_is_a_whole_number_is_that_number() -> None:
    assert len(next_starts.choose_starts(waits(40), {}, {"oslo": 100}, rollout_rules(per_site=0.29))) == 29


@pytest.mark.parametrize(
    ("online", "firmware", "attempts", "instead"),
    [
        (True, "3.4.1", 0, None),
        (True, "3.4.1", 1, None),
        (True, "v3.4", 0, None),
        (True, None, 0, TargetState.EXCLUDED),  # nobody can tell whether it is one
        (False, "3.4.1", 0, TargetState.SKIPPED),
        (False, "3.4.1", 1, TargetState.FAILED),  # it was flashed, and is silent
        (True, "3.5.0", 0, TargetState.EXCLUDED),
        (True, "3.5.1", 0, TargetState.EXCLUDED),  # nobody approved a downgrade
    ],
)
def test_who_cannot_start_when_its_turn_has_come_is_set_aside(
    online: bool, firmware: str | None, attempts: int, instead: TargetState | None
) -> None:
    state = Connectivity.ONLINE if online else Connectivity.OFFLINE
    found = next_starts.skip_reason(WaitingGateway(G1, "oslo", state, firmware, attempts), running(), NOW)
    assert (found[0] if found else None) is instead


def test_a_newer_version_is_taken_back_only_where_an_admin_approved_a_downgrade() -> None:
    newer = WaitingGateway(G1, "oslo", Connectivity.ONLINE, "3.5.1")
    assert next_starts.skip_reason(newer, running(), NOW) == (
        TargetState.EXCLUDED,
        "on a newer version when its turn came (3.5.1, not 3.5.0)",
    )
    assert next_starts.skip_reason(newer, running(downgrades=1), NOW) is None


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        ("3.5.0", "already on it when its turn came"),
        ("v3.5", "already on it when its turn came (v3.5 is 3.5.0)"),
        ("a1b2c3d", "3.5.0 may be older than a1b2c3d, which it had when its turn came"),
        (None, "3.5.0 may be older than no version, which it had when its turn came"),
    ],
)
def test_who_is_left_out_at_its_turn_has_both_spellings_as_its_reason(
    present: str | None, reason: str
) -> None:
    there = WaitingGateway(G1, "oslo", Connectivity.ONLINE, present)
    assert next_starts.skip_reason(there, running(), NOW) == (TargetState.EXCLUDED, reason)


def waits(number: int) -> list[WaitingGateway]:
    return [WaitingGateway(GatewayId(f"o{n}"), "oslo", Connectivity.ONLINE, "3.4.1") for n in range(number)]


@given(st.integers(0, 40), st.integers(1, 12))
def test_batches_hold_every_gateway_once(number: int, size: int) -> None:
    gateways = [GatewayId(str(index)) for index in range(number)]
    cut = next_starts.batches(gateways, rollout_rules(batch=size))
    assert [gateway for batch in cut for gateway in batch] == gateways
    assert all(0 < len(batch) <= size for batch in cut)


def test_a_jobs_name_carries_the_rollouts_random_id() -> None:
    assert next_starts.job_name(rollout(), 2, 1) == "meshbot R-7 w2 b1 01J9"
