"""When a job that is not over keeps a gateway that counted as failed already, and when it is called off."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.firmware import DeviceProgress, JobDevice
from bot.domain.gateways import GatewayId
from bot.domain.rollouts import gateway_verdict as decide
from bot.domain.rollouts.gateway_verdict import Straggler
from tests.worlds.builders import rollout_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
G1, G2 = GatewayId("g1"), GatewayId("g2")
LATE = Straggler(G1, "MT1", "oslo", 1, NOW)


def device(progress: DeviceProgress, at: datetime | None = None, who: GatewayId = G1) -> JobDevice:
    return JobDevice(who, progress, updated_at=at)


@pytest.mark.parametrize("progress", DeviceProgress)
def test_a_gateway_is_kept_exactly_until_its_job_is_over(progress: DeviceProgress) -> None:
    assert (decide.ending(LATE, device(progress), NOW) is not None) == progress.terminal
    assert decide.ending(LATE, None, NOW) == "is in no job any more"


def test_a_job_without_a_word_keeps_a_gateway_for_24_hours_at_most() -> None:
    working = device(DeviceProgress.IN_PROGRESS)
    assert decide.ending(LATE, working, NOW + timedelta(hours=24) - MINUTE) is None
    assert decide.ending(LATE, working, NOW + timedelta(hours=24)) == "had no result after 24 hours"


@pytest.mark.parametrize(
    ("progress", "minutes", "since"),
    [
        (DeviceProgress.IN_PROGRESS, 5, 5),
        (DeviceProgress.IN_PROGRESS, -5, None),  # it began before it was given up
        (DeviceProgress.IN_PROGRESS, None, None),
        (DeviceProgress.QUEUED, 5, None),
    ],
)
def test_it_is_expected_down_while_the_vendor_works_on_it_after_all(
    progress: DeviceProgress, minutes: int | None, since: int | None
) -> None:
    at = NOW + minutes * MINUTE if minutes is not None else None
    expected = NOW + since * MINUTE if since is not None else None
    assert decide.flashed_since(LATE, device(progress, at), NOW + 24 * MINUTE, rollout_rules()) == expected
    assert decide.flashed_since(LATE, device(progress, at), NOW + 25 * MINUTE, rollout_rules()) is None


def test_only_a_queue_that_nobody_waits_for_is_called_off() -> None:
    queued, begun = DeviceProgress.QUEUED, DeviceProgress.IN_PROGRESS
    told = {G1: device(queued), G2: device(queued, who=G2)}
    assert not decide.may_call_off([LATE], told, [G2])
    assert decide.may_call_off([LATE], told, [])
    assert decide.may_call_off([LATE], {**told, G2: device(begun, who=G2)}, [G2])
    assert not decide.may_call_off([LATE], {G1: device(begun)}, [])
