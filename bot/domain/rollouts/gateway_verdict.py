"""How a gateway that was started fares, to the end of its job. Pure.

Verified success is four things: the job says succeeded, the gateway is online again, it reports the new
version, and it stays so. Silence counts as failure, and what has settled stays settled. But a job that is not
over may begin at night, when nobody looks any more: what it has not begun is called off, and until it is over
for a gateway no other rollout gets that gateway.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.firmware import DeviceProgress, JobDevice, is_same_firmware
from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts.lifecycle import RolloutRules, TargetState

HELD_AT_MOST = timedelta(hours=24)  # a job that never says anything must not keep a gateway for ever


class FailureKind(StrEnum):
    """Who is to blame: what never reached the gateway is tried once more by itself."""

    DEVICE = "device"
    TRANSPORT = "transport"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How far a started gateway is."""

    gateway_id: GatewayId
    site: str
    wave: int
    state: TargetState
    number: int  # 1 for its first attempt
    started_at: datetime
    reported_at: datetime | None = None
    offline_at: datetime | None = None  # when it went down in this attempt
    back_at: datetime | None = None  # when it came back, by the vendor's own time
    steady_since: datetime | None = None  # since when all that makes a success was seen to hold
    reason: str | None = None
    kind: FailureKind | None = None

    @property
    def return_time(self) -> timedelta | None:
        """How long it was away, once it is back."""
        if self.back_at is None or self.offline_at is None:
            return None
        return max(self.back_at - self.offline_at, timedelta())


@dataclass(frozen=True, slots=True)
class SeenState:
    """The gateway as the newest listing has it."""

    connectivity: Connectivity
    since: datetime
    firmware: str | None


def judge(
    attempt: Attempt,
    report: JobDevice | None,
    seen: SeenState | None,
    version: str,
    now: datetime,
    as_of: datetime | None,
    rules: RolloutRules,
    *,
    aborted: bool = False,
) -> Attempt:
    """The attempt after what the vendor's job tells of it (``report``) and what the listing shows (``seen``).

    ``as_of`` is when the newest listing was: what it shows is judged by that time, since a gateway may have
    come back after it. A transport failure of a first attempt waits to be tried again, once the gateway
    is online: one that went dark is waited for. In an ``aborted`` rollout nothing is tried again, and a
    gateway whose part in the job was canceled before it began was spared, and did not fail. A job that is
    tidied up after it reported a success takes nothing back: the gateway is judged by its return.
    """
    if not attempt.state.is_in_flight:
        return attempt
    if report is not None and attempt.reported_at is not None and report.progress in _TIDYING:
        report = None
    if aborted and report is not None and report.progress in _SPARED and attempt.state is TargetState.STARTED:
        return spared(attempt)
    if report is not None and report.progress in _FAILURES:
        words, kind = _FAILURES[report.progress]
        if not (kind is FailureKind.TRANSPORT and _is_dark(attempt, seen, as_of)):
            reason = f"{words}: {report.details}" if report.details else words
            return _failed(attempt, reason, kind, aborted=aborted)
    if report is not None and report.progress is DeviceProgress.SUCCEEDED and attempt.reported_at is None:
        attempt = replace(attempt, state=TargetState.REPORTED, reported_at=now)
    elif (
        report is not None
        and report.progress is DeviceProgress.IN_PROGRESS
        and attempt.state is TargetState.STARTED
    ):
        attempt = replace(attempt, state=TargetState.IN_PROGRESS)
    if as_of is None or as_of < attempt.started_at:
        return _overdue(attempt, now, rules)
    if seen is None:
        return _failed(attempt, "it is no longer in the fleet", FailureKind.DEVICE)
    return _judge_sighting(_noted(attempt, seen), seen, version, now, min(now, as_of), rules)


def _is_dark(attempt: Attempt, seen: SeenState | None, as_of: datetime | None) -> bool:
    """Whether a listing since its start shows it offline."""
    if seen is None or as_of is None or as_of < attempt.started_at:
        return False
    return seen.connectivity is not Connectivity.ONLINE


def _noted(attempt: Attempt, seen: SeenState) -> Attempt:
    """Keeps when it went down in this attempt."""
    down = seen.connectivity is Connectivity.OFFLINE and seen.since >= attempt.started_at
    if down and attempt.offline_at != seen.since:
        return replace(attempt, offline_at=seen.since, back_at=None, steady_since=None)
    return attempt


def _judge_sighting(
    attempt: Attempt, seen: SeenState, version: str, now: datetime, as_of: datetime, rules: RolloutRules
) -> Attempt:
    if seen.connectivity is not Connectivity.ONLINE:
        away_since = max(seen.since, attempt.started_at)
        attempt = replace(attempt, back_at=None, steady_since=None)
        if as_of - away_since >= rules.return_within:
            words = f"it did not come back within {_minutes(rules.return_within)}"
            return replace(attempt, state=TargetState.NOT_RETURNED, reason=words, kind=FailureKind.SILENCE)
        return _overdue(attempt, now, rules)
    if attempt.reported_at is None:
        return _overdue(attempt, now, rules)
    if not is_same_firmware(seen.firmware, version):
        if as_of - attempt.reported_at >= rules.return_within:
            runs = seen.firmware or "an unknown version"
            words = f"its job says succeeded, and it still runs {runs} instead of {version}"
            return _failed(attempt, words, FailureKind.DEVICE)
        return replace(attempt, steady_since=None)
    # It may have gone away and come back between two listings: then its time begins anew.
    steady = attempt.steady_since
    if steady is None or seen.since > steady:
        steady = as_of
    attempt = replace(attempt, back_at=seen.since, steady_since=steady)
    if as_of - steady >= rules.stable_for:
        return replace(attempt, state=TargetState.VERIFIED, reason=None)
    return attempt


def _overdue(attempt: Attempt, now: datetime, rules: RolloutRules) -> Attempt:
    """What has not reported in time; one that has reported is judged by its return."""
    if attempt.reported_at is not None or now - attempt.started_at < rules.overdue_after:
        return attempt
    words = f"no result for {_minutes(rules.overdue_after)}"
    return replace(attempt, state=TargetState.OVERDUE, reason=words, kind=FailureKind.SILENCE)


_FAILURES: Mapping[DeviceProgress, tuple[str, FailureKind]] = {
    DeviceProgress.FAILED: ("the gateway reported a failure", FailureKind.DEVICE),
    DeviceProgress.REJECTED: ("the gateway refused the firmware", FailureKind.DEVICE),
    DeviceProgress.TIMED_OUT: ("timed out", FailureKind.TRANSPORT),
    DeviceProgress.REMOVED: ("removed from the job in the portal", FailureKind.DEVICE),
    DeviceProgress.CANCELED: ("cancelled in the portal", FailureKind.DEVICE),
}


def _failed(attempt: Attempt, reason: str, kind: FailureKind, *, aborted: bool = False) -> Attempt:
    if kind is FailureKind.TRANSPORT and attempt.number == 1 and not aborted:
        return replace(
            attempt,
            state=TargetState.WAITING,
            reason=f"tried once more: {reason}",
            kind=kind,
            reported_at=None,
            offline_at=None,
            back_at=None,
            steady_since=None,
        )
    return replace(attempt, state=TargetState.FAILED, reason=reason, kind=kind)


_SPARED = frozenset({DeviceProgress.CANCELED, DeviceProgress.REMOVED})
_TIDYING = frozenset({*_SPARED, DeviceProgress.TIMED_OUT})


def ended(reports: Mapping[GatewayId, JobDevice]) -> Mapping[GatewayId, JobDevice]:
    """What a job that is over says of its gateways.

    What it did not begin it never will. Whether one with any other word that is no end was flashed, nobody
    knows: it is not tried again by itself, and is judged by its silence.
    """
    never = {
        one: replace(device, progress=DeviceProgress.TIMED_OUT, details="the job ended before it began")
        for one, device in reports.items()
        if device.progress is DeviceProgress.QUEUED
    }
    return {one: device for one, device in reports.items() if device.progress.terminal} | never


def gone(members: Iterable[GatewayId]) -> Mapping[GatewayId, JobDevice]:
    """What is known of the gateways of a job that is no longer in the portal."""
    why = "its job is gone"
    return {one: JobDevice(one, DeviceProgress.REMOVED, details=why) for one in members}


def spared(attempt: Attempt) -> Attempt:
    """It was in a job, and the rollout ended before it began."""
    return replace(attempt, state=TargetState.EXCLUDED, reason="not started: aborted", kind=None)


def fail(
    attempts: Sequence[Attempt], reason: str, kind: FailureKind, *, aborted: bool = False
) -> tuple[Attempt, ...]:
    """Every one that is in flight fails for one reason: its job was refused."""
    return tuple(
        _failed(attempt, reason, kind, aborted=aborted) if attempt.state.is_in_flight else attempt
        for attempt in attempts
    )


# ---- stragglers: failed by their silence, while the vendor's job may still flash them


@dataclass(frozen=True, slots=True)
class Straggler:
    """A gateway that is kept until its job is over; ``batch_id`` is None when there is no job any more."""

    gateway_id: GatewayId
    label: str
    site: str
    batch_id: int | None
    settled_at: datetime
    flashed_since: datetime | None = None


def ending(late: Straggler, report: JobDevice | None, now: datetime) -> str | None:
    """How its job ended for it, in words; None while the vendor may still flash it."""
    if report is None:
        return "is in no job any more"
    if report.progress.terminal:
        return _ENDINGS[report.progress]
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
    late: Straggler, report: JobDevice | None, now: datetime, rules: RolloutRules
) -> datetime | None:
    """Since when the vendor works on it after all, so that it is expected to go down for a while."""
    if report is None or report.progress is not DeviceProgress.IN_PROGRESS or report.updated_at is None:
        return None
    lately = late.settled_at < report.updated_at and now - report.updated_at < rules.return_within
    return report.updated_at if lately else None


def may_call_off(
    late: Collection[Straggler], reports: Mapping[GatewayId, JobDevice], waited_for: Collection[GatewayId]
) -> bool:
    """Whether a job's rest is nobody's any more: late ones are queued in it, and none that is waited for."""
    queued = {one for one, device in reports.items() if device.progress is DeviceProgress.QUEUED}
    return not queued.isdisjoint(one.gateway_id for one in late) and queued.isdisjoint(waited_for)


def _minutes(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes} minutes" if minutes > 1 else f"{int(length.total_seconds())} seconds"
