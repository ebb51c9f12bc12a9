"""Which gateways start next, cut into which vendor jobs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain.firmware import firmware_key, is_same_firmware
from bot.domain.gateways import Connectivity, GatewayId
from bot.domain.rollouts.lifecycle import (
    Counts,
    Rollout,
    RolloutRules,
    TargetState,
    most_at_once,
    return_wave,
)
from bot.domain.rollouts.plan import is_downgrade


@dataclass(frozen=True, slots=True)
class WaitingGateway:
    """A gateway whose wave is open, as the newest listing shows it; None: no listing has it any more."""

    gateway_id: GatewayId
    site: str
    connectivity: Connectivity | None
    firmware: str | None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class AwayGateway:
    """A gateway that is waited for, as the newest listing shows it, and since when it is so."""

    seen: WaitingGateway
    since: datetime
    is_flapping: bool = False


@dataclass(frozen=True, slots=True)
class Returned:
    """Those that are back: who starts in which wave, and what becomes of the others instead."""

    wave: int
    gateways: tuple[GatewayId, ...] = ()
    instead: Mapping[GatewayId, tuple[TargetState, str]] = field(default_factory=dict)


def skip_reason(one: WaitingGateway, rollout: Rollout, now: datetime) -> tuple[TargetState, str] | None:
    """What becomes of it instead when its turn has come, and why; None when it may start.

    Who was tried before and is offline now has failed: that is the silence of one that was flashed.
    """
    if one.connectivity is not Connectivity.ONLINE:
        if one.attempts:
            return TargetState.FAILED, "offline when it was to be tried again"
        waits = rollout.is_waiting_at(now)
        return TargetState.AWAY if waits else TargetState.SKIPPED, "offline when its turn came"
    present, wanted = one.firmware or "no version", rollout.firmware_version
    if is_same_firmware(one.firmware, wanted):
        spelled = "" if present == wanted else f" ({present} is {wanted})"
        return TargetState.EXCLUDED, f"already on it when its turn came{spelled}"
    if not rollout.downgrades and is_downgrade(one.firmware, wanted):
        if firmware_key(one.firmware) and firmware_key(wanted):
            return TargetState.EXCLUDED, f"on a newer version when its turn came ({present}, not {wanted})"
        return TargetState.EXCLUDED, f"{wanted} may be older than {present}, which it had when its turn came"
    return None


def choose_returned(
    away: Sequence[AwayGateway],
    rollout: Rollout,
    counts: Counts,
    rules: RolloutRules,
    now: datetime,
    as_of: datetime,
) -> Returned | None:
    """Who of those that are waited for follows now: they are back, and as steady as a verified one has to be.

    A wave of them is as large as a canary of all. ``as_of`` is when the newest listing was completed. None
    where it is nobody's turn.
    """
    wave = return_wave(rollout, counts, now, rules)
    back = [one for one in away if one.seen.connectivity is Connectivity.ONLINE]
    if wave is None or not back:
        return None
    reasons = {one.seen.gateway_id: skip_reason(one.seen, rollout, now) for one in back}
    instead = {gateway_id: reason for gateway_id, reason in reasons.items() if reason}
    steady = [
        (one.since, one.seen.gateway_id)
        for one in back
        if reasons[one.seen.gateway_id] is None
        and not one.is_flapping
        and as_of - one.since >= rules.stable_for
    ]
    chosen = tuple(gateway_id for _, gateway_id in sorted(steady)[: most_at_once(counts, rules)])
    return Returned(wave, chosen, instead) if chosen or instead else None


def choose_starts(
    waiting: Sequence[WaitingGateway],
    in_flight: Mapping[str, int],
    site_sizes: Mapping[str, int],
    rules: RolloutRules,
) -> tuple[GatewayId, ...]:
    """The gateways that may start now: at most a share of each site, and at least one, in flight at once.

    A new round waits until half of what the sites allow is free, or nothing is in flight, so that jobs stay
    few and large.
    """
    room: dict[str, int] = {}
    allowed = 0
    for one in waiting:
        if one.site not in room:
            # Rounding first: 0.29 * 100 is a little less than 29.
            most = max(1, int(round(rules.per_site * site_sizes.get(one.site, 0), 6)))
            room[one.site] = max(most - in_flight.get(one.site, 0), 0)
            allowed += most
    chosen = []
    for one in waiting:
        if room[one.site]:
            room[one.site] -= 1
            chosen.append(one.gateway_id)
    wanted = min(allowed, len(waiting))
    return tuple(chosen) if 2 * len(chosen) >= wanted or not in_flight else ()


def batches(gateways: Sequence[GatewayId], rules: RolloutRules) -> tuple[tuple[GatewayId, ...], ...]:
    """The gateways cut into vendor jobs."""
    return tuple(
        tuple(gateways[start : start + rules.batch]) for start in range(0, len(gateways), rules.batch)
    )


def job_name(rollout: Rollout, wave: int, number: int) -> str:
    """The vendor job's name. Its random part keeps a fresh database from mistaking an old job for its own."""
    return f"meshbot {rollout.title} w{wave} b{number} {rollout.uid}"
