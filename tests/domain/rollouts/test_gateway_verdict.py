"""How a gateway that was started fares."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.firmware import DeviceProgress, JobDevice
from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts.gateway_verdict import (
    Attempt,
    FailureKind,
    SeenState,
    ended,
    fail,
    judge,
)
from bot.domain.rollouts.lifecycle import TargetState
from tests.worlds.builders import rollout_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
G1 = GatewayId("g1")
OLD, NEW = "3.4.1", "3.5.0"
ONLINE, OFFLINE = Connectivity.ONLINE, Connectivity.OFFLINE
ALWAYS = NOW - timedelta(days=2)


def attempt(state: TargetState = TargetState.IN_PROGRESS, **changes: object) -> Attempt:
    return replace(Attempt(G1, "oslo", 1, state, 1, NOW), **changes)  # type: ignore[arg-type]


def told(progress: DeviceProgress, details: str | None = None) -> JobDevice:
    return JobDevice(G1, progress, progress.value, details)


def seen(state: Connectivity = ONLINE, since: datetime = ALWAYS, firmware: str = OLD) -> SeenState:
    return SeenState(state, since, firmware)


def judged(
    one: Attempt,
    word: DeviceProgress | None,
    sight: SeenState | None,
    minutes: float,
    *,
    aborted: bool = False,
) -> Attempt:
    at = NOW + minutes * MINUTE
    return judge(one, told(word) if word else None, sight, NEW, at, at, rollout_rules(), aborted=aborted)


def test_success_is_verified_by_job_return_version_and_ten_minutes() -> None:
    back = seen(ONLINE, NOW + 14 * MINUTE, NEW)
    one = judged(attempt(), DeviceProgress.SUCCEEDED, seen(OFFLINE, NOW + 12 * MINUTE), 13)
    assert (one.state, one.offline_at) == (TargetState.REPORTED, NOW + 12 * MINUTE)
    one = judged(one, DeviceProgress.SUCCEEDED, back, 15)
    assert one.state is TargetState.REPORTED
    assert judged(one, DeviceProgress.SUCCEEDED, back, 24).state is TargetState.REPORTED
    done = judged(one, DeviceProgress.SUCCEEDED, back, 25)
    assert (done.state, done.return_time) == (TargetState.VERIFIED, 2 * MINUTE)


def test_ten_minutes_begin_anew_when_it_goes_away_in_between() -> None:
    one = judged(attempt(), DeviceProgress.SUCCEEDED, seen(ONLINE, NOW + 5 * MINUTE, NEW), 6)
    again = judged(one, DeviceProgress.SUCCEEDED, seen(ONLINE, NOW + 12 * MINUTE, NEW), 13)
    still = judged(again, DeviceProgress.SUCCEEDED, seen(ONLINE, NOW + 12 * MINUTE, NEW), 17)
    assert still.state is TargetState.REPORTED
    done = judged(still, DeviceProgress.SUCCEEDED, seen(ONLINE, NOW + 12 * MINUTE, NEW), 23)
    assert done.state is TargetState.VERIFIED


def test_a_reported_success_on_the_old_version_is_a_failure() -> None:
    one = judged(attempt(), DeviceProgress.SUCCEEDED, seen(), 10)
    assert judged(one, DeviceProgress.SUCCEEDED, seen(), 29).state is TargetState.REPORTED
    lied = judged(one, DeviceProgress.SUCCEEDED, seen(), 30)
    assert (lied.state, lied.kind) == (TargetState.FAILED, FailureKind.DEVICE)
    assert lied.reason == "its job says succeeded, and it still runs 3.4.1 instead of 3.5.0"


def test_a_gateway_that_spells_the_new_version_in_its_own_way_is_verified() -> None:
    one = judged(attempt(), DeviceProgress.SUCCEEDED, seen(ONLINE, NOW + 2 * MINUTE, "v3.5"), 10)
    assert judged(one, DeviceProgress.SUCCEEDED, seen(ONLINE, NOW + 2 * MINUTE, "v3.5"), 20).state is (
        TargetState.VERIFIED
    )


def test_silence_for_45_minutes_is_overdue() -> None:
    assert judged(attempt(), DeviceProgress.IN_PROGRESS, seen(), 44).state is TargetState.IN_PROGRESS
    late = judged(attempt(), DeviceProgress.IN_PROGRESS, seen(), 45)
    assert (late.state, late.reason) == (TargetState.OVERDUE, "no result for 45 minutes")


def test_20_minutes_away_is_did_not_return() -> None:
    away = seen(OFFLINE, NOW + 10 * MINUTE)
    assert judged(attempt(), DeviceProgress.IN_PROGRESS, away, 29).state is TargetState.IN_PROGRESS
    gone = judged(attempt(), DeviceProgress.IN_PROGRESS, away, 30)
    assert (gone.state, gone.kind) == (TargetState.NOT_RETURNED, FailureKind.SILENCE)


def test_one_that_was_offline_already_has_twenty_minutes_from_its_start() -> None:
    assert judged(attempt(), None, seen(OFFLINE, ALWAYS), 19).state is TargetState.IN_PROGRESS
    assert judged(attempt(), None, seen(OFFLINE, ALWAYS), 20).state is TargetState.NOT_RETURNED


def test_an_absence_is_judged_by_the_time_of_the_listing_that_shows_it() -> None:
    away = seen(OFFLINE, NOW + 10 * MINUTE)
    listed = NOW + 12 * MINUTE
    one = judge(attempt(), None, away, NEW, NOW + 40 * MINUTE, listed, rollout_rules())
    assert one.state is TargetState.IN_PROGRESS


def test_a_listing_from_before_the_start_says_nothing() -> None:
    one = judge(attempt(), None, None, NEW, NOW + MINUTE, NOW - MINUTE, rollout_rules())
    assert one == attempt()


def test_a_gateway_that_left_the_fleet_failed() -> None:
    assert judged(attempt(), None, None, 5).reason == "it is no longer in the fleet"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (DeviceProgress.FAILED, FailureKind.DEVICE),
        (DeviceProgress.REJECTED, FailureKind.DEVICE),
        (DeviceProgress.CANCELED, FailureKind.DEVICE),
        (DeviceProgress.REMOVED, FailureKind.DEVICE),
    ],
)
def test_a_failure_that_the_device_reported_is_never_tried_again_by_itself(
    word: DeviceProgress, kind: FailureKind
) -> None:
    one = judged(attempt(), word, seen(), 5)
    assert (one.state, one.kind) == (TargetState.FAILED, kind)


def test_a_transport_failure_is_tried_once_more_by_itself() -> None:
    first = judged(attempt(), DeviceProgress.TIMED_OUT, seen(), 5)
    assert first.state is TargetState.WAITING
    second = judged(attempt(number=2), DeviceProgress.TIMED_OUT, seen(), 5)
    assert (second.state, second.reason) == (TargetState.FAILED, "timed out")


def test_a_failure_keeps_the_gateways_own_reason() -> None:
    device = told(DeviceProgress.FAILED, "flash checksum")
    one = judge(attempt(), device, seen(), NEW, NOW, NOW, rollout_rules())
    assert one.reason == "the gateway reported a failure: flash checksum"


def test_a_word_that_nobody_knows_is_not_an_end() -> None:
    assert judged(attempt(), DeviceProgress.UNKNOWN, seen(), 5) == attempt()


def test_a_gateway_whose_part_was_canceled_by_an_abort_before_it_began_did_not_fail() -> None:
    one = judged(attempt(TargetState.STARTED), DeviceProgress.CANCELED, seen(), 5, aborted=True)
    assert (one.state, one.reason) == (TargetState.EXCLUDED, "not started: aborted")
    begun = judged(attempt(TargetState.IN_PROGRESS), DeviceProgress.CANCELED, seen(), 5, aborted=True)
    assert (begun.state, begun.reason) == (TargetState.FAILED, "cancelled in the portal")


@pytest.mark.parametrize("word", ["CANCELED", "REMOVED", "TIMED_OUT"])
@pytest.mark.parametrize("aborted", [False, True])
def test_a_job_that_is_tidied_up_after_its_success_takes_nothing_back(word: str, aborted: bool) -> None:
    one = attempt(TargetState.REPORTED, reported_at=NOW)
    assert judged(one, DeviceProgress(word), seen(), 5, aborted=aborted).state is TargetState.REPORTED
    taken_back = judged(one, DeviceProgress.FAILED, seen(), 5, aborted=aborted)
    assert taken_back.state is TargetState.FAILED, "but the gateway itself may"


def test_what_an_ended_job_never_began_may_be_tried_again_and_what_it_leaves_open_may_not() -> None:
    words = {GatewayId(word.value): JobDevice(GatewayId(word.value), word) for word in DeviceProgress}
    left = ended(words)
    assert left[GatewayId("QUEUED")].progress is DeviceProgress.TIMED_OUT
    assert {one for one in words if one not in left} == {"IN_PROGRESS", "UNKNOWN"}
    assert all(left[one] == words[one] for one in left if one != "QUEUED")


def test_a_job_that_is_refused_fails_only_those_in_flight() -> None:
    done = attempt(TargetState.VERIFIED)
    failed, kept = fail([attempt(number=2), done], "gone", FailureKind.TRANSPORT)
    assert (failed.state, kept) == (TargetState.FAILED, done)


_SEEN = st.builds(
    SeenState,
    st.sampled_from(Connectivity),
    st.integers(-60, 120).map(lambda minutes: NOW + minutes * MINUTE),
    st.sampled_from([None, OLD, NEW]),
)


@given(
    st.lists(
        st.tuples(st.sampled_from([None, *DeviceProgress]), st.none() | _SEEN, st.integers(0, 200)),
        max_size=12,
    )
)
def test_terminal_states_stay_terminal_whatever_is_seen(
    steps: list[tuple[DeviceProgress | None, SeenState | None, int]],
) -> None:
    one = attempt(TargetState.STARTED)
    for word, sight, minutes in steps:
        before = one
        one = judged(one, word, sight, minutes)
        if before.state.is_settled or before.state is TargetState.WAITING:
            assert one == before


@given(st.sampled_from([None, *DeviceProgress]), _SEEN, st.integers(0, 30))
def test_nothing_is_verified_that_does_not_run_the_version_online(
    word: DeviceProgress | None, sight: SeenState, minutes: int
) -> None:
    one = attempt(TargetState.REPORTED, reported_at=NOW, steady_since=NOW)
    after = judged(one, word, sight, minutes)
    if after.state is TargetState.VERIFIED:
        assert (sight.connectivity, sight.firmware) == (ONLINE, NEW)
        assert minutes >= 10
