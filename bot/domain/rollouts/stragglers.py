"""Gateways that count as failed for their silence while the vendor's job may still flash them. Pure.

What has settled stays settled. But a job that is not over may begin at night, when nobody looks any more:
what it has not begun is called off, and until it is over for a gateway no other rollout gets that gateway.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.firmware import DeviceProgress, JobDevice
from bot.domain.gateways import GatewayId
from bot.domain.rollouts.plan import RolloutRules

HELD_AT_MOST = timedelta(hours=24)  # a job that never says anything must not keep a gateway for ever


@dataclass(frozen=True, slots=True)
class Straggler:
    """A gateway that is kept until its job is over; ``batch_id`` is None when there is no job any more."""

    gateway_id: GatewayId
    label: str
    site: str
    batch_id: int | None
    settled_at: datetime
    flashed_since: datetime | None = None


def ending(late: Straggler, told: JobDevice | None, now: datetime) -> str | None:
    """How its job ended for it, in words; None while the vendor may still flash it."""
    if told is None:
        return "is in no job any more"
    if told.progress.terminal:
        return _ENDINGS[told.progress]
    if now - late.settled_at >= HELD_AT_MOST:
        return f"had no result after {HELD_AT_MOST // timedelta(hours=1)} hours"
    return None


_ENDINGS: Mapping[DeviceProgress, str] = {
    DeviceProgress.SUCCEEDED: "finished late, with success",
    DeviceProgress.FAILED: "finished late, with a failure",
    DeviceProgress.REJECTED: "refused the firmware late",
    DeviceProgress.TIMED_OUT: "timed out",
    DeviceProgress.CANCELED: "was not begun, and was taken out of its job",
    DeviceProgress.REMOVED: "was removed from its job",
}


def flashed_since(
    late: Straggler, told: JobDevice | None, now: datetime, rules: RolloutRules
) -> datetime | None:
    """Since when the vendor works on it after all, so that it is expected to go down for a while."""
    if told is None or told.progress is not DeviceProgress.IN_PROGRESS or told.updated_at is None:
        return None
    lately = late.settled_at < told.updated_at and now - told.updated_at < rules.return_within
    return told.updated_at if lately else None


def may_call_off(
    late: Collection[Straggler], told: Mapping[GatewayId, JobDevice], waited_for: Collection[GatewayId]
) -> bool:
    """Whether a job's rest is nobody's any more: late ones are queued in it, and none that is waited for."""
    queued = {one for one, device in told.items() if device.progress is DeviceProgress.QUEUED}
    return not queued.isdisjoint(one.gateway_id for one in late) and queued.isdisjoint(waited_for)
