"""The plan of a rollout: who takes part in it, and who does not and why.

A plan says for every gateway that matched whether it takes part. Its targets and its firmware are hashed, and
an approval is for that hash. Membership of waves is fixed with it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.access import Action, Actor, require
from bot.domain.errors import InvalidInput
from bot.domain.firmware import Firmware, firmware_key, is_same_firmware
from bot.domain.gateways import Connectivity, GatewayId, KnownGateway, fold
from bot.domain.rollouts.approvals import approvals_needed
from bot.domain.rollouts.lifecycle import RolloutRules, TargetClass
from bot.domain.rollouts.waves import fill_waves, wave_sizes

QUARANTINE_AFTER = 3  # failed attempts
QUARANTINE = timedelta(hours=24)
DRIFT_SHARE = 0.05
PLAN_EXPIRES = timedelta(hours=1)  # after that it is drawn anew, for the fleet may be another


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a plan depends on besides the gateways that match."""

    now: datetime
    fleet_size: int
    quarantined: frozenset[str] = frozenset()
    claimed: frozenset[str] = frozenset()  # another rollout has them
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway that the query matched, as the plan sees it. ``wave`` is 0 for those that take no part."""

    gateway_id: GatewayId
    label: str
    site: str
    model: str | None
    firmware: str | None
    cls: TargetClass
    wave: int = 0
    downgrade: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Who would be updated to what, by class with a reason each, and how many must approve."""

    query: str
    firmware: Firmware
    targets: tuple[Target, ...]
    waves: tuple[int, ...]  # gateways in each wave
    approvals_needed: int
    fleet_size: int
    hash: str = ""
    wait_for: timedelta = timedelta()  # from its start on, for the return of those that are offline
    bad: str | None = None  # what says that the version is known to be bad for some of them

    @property
    def needs_admin(self) -> bool:
        """Whether only an admin's approval counts."""
        return bool(self.downgrades or self.bad)

    @property
    def model(self) -> str:
        return self.firmware.model or ""

    @property
    def version(self) -> str:
        return self.firmware.version or ""

    @property
    def eligible(self) -> tuple[Target, ...]:
        """Those that take part, in the order of their waves."""
        taking_part = (target for target in self.targets if target.wave)
        return tuple(sorted(taking_part, key=lambda target: target.wave))

    @property
    def awaited(self) -> tuple[Target, ...]:
        """Those that are offline, and are updated as they return."""
        return tuple(target for target in self.targets if _is_awaited(target, self.wait_for))

    @property
    def downgrades(self) -> int:
        return sum(target.downgrade for target in self.targets)

    @property
    def incomparable(self) -> tuple[str, ...]:
        """The present versions that nobody can compare with the new one; "" where a gateway tells none."""
        found = {target.firmware or "" for target in self.targets if target.downgrade}
        if firmware_key(self.version) is not None:
            found = {version for version in found if firmware_key(version) is None}
        return tuple(sorted(found))

    def counts(self) -> dict[TargetClass, int]:
        """How many of each class, every class named, in the order in which they are shown."""
        found = Counter(target.cls for target in self.targets)
        return {cls: found[cls] for cls in TargetClass}


def make_plan(
    query: str,
    firmware: Firmware,
    matches: Iterable[KnownGateway],
    around: Circumstances,
    rules: RolloutRules,
) -> Plan:
    """Sorts every match into a class, puts those that take part into waves and hashes the whole.

    Raises InvalidInput when nothing matches.
    """
    assert firmware.model
    assert firmware.version
    known = list(matches)
    if not known:
        raise InvalidInput(
            "No gateway matches that query, so there is nothing to update. Try /mesh devices with it first."
        )
    classes = {one.gateway.id: classify(one, firmware.model, firmware.version, around) for one in known}
    taking_part = [one for one in known if classes[one.gateway.id].takes_part]
    sizes = wave_sizes(len(taking_part), rules.waves)
    waves = fill_waves(taking_part, sizes, around.now)
    wait_for = rules.wait_for_return
    targets = [
        _target(one, classes[one.gateway.id], waves.get(one.gateway.id, 0), firmware.version, wait_for)
        for one in known
    ]
    updated = len(taking_part) + sum(_is_awaited(target, wait_for) for target in targets)
    targets.sort(key=lambda target: (target.site, target.label, target.gateway_id))
    return Plan(
        query=query,
        firmware=firmware,
        targets=tuple(targets),
        waves=sizes,
        approvals_needed=approvals_needed(updated, around.fleet_size, rules),
        fleet_size=around.fleet_size,
        hash=plan_hash(firmware, targets, wait_for),
        wait_for=wait_for,
    )


def classify(known: KnownGateway, model: str, version: str, around: Circumstances) -> TargetClass:
    """The one class of a gateway, the reason that says most first."""
    gateway = known.gateway
    if gateway.model is None or fold(gateway.model) != fold(model):
        return TargetClass.WRONG_MODEL
    if is_same_firmware(gateway.firmware, version):
        return TargetClass.ALREADY
    if gateway.id in around.claimed:
        return TargetClass.BUSY
    if gateway.id in around.quarantined:
        return TargetClass.QUARANTINED
    if gateway.connectivity is not Connectivity.ONLINE:
        return TargetClass.OFFLINE
    if known.flapping:
        return TargetClass.FLAPPING
    return TargetClass.FROZEN if around.frozen else TargetClass.ELIGIBLE


def _target(known: KnownGateway, cls: TargetClass, wave: int, version: str, wait_for: timedelta) -> Target:
    gateway = known.gateway
    target = Target(
        gateway_id=gateway.id,
        label=gateway.label,
        site=known.site,
        model=gateway.model,
        firmware=gateway.firmware,
        cls=cls,
        wave=wave,
    )
    is_updated = wave > 0 or _is_awaited(target, wait_for)
    return replace(target, downgrade=is_updated and is_downgrade(gateway.firmware, version))


def _is_awaited(target: Target, wait_for: timedelta) -> bool:
    return bool(wait_for) and target.cls is TargetClass.OFFLINE


def has_drifted(planned: int, changed: int) -> bool:
    """Whether so many targets are gone, offline or changed that the approval was for something else."""
    return changed > 1 and changed > DRIFT_SHARE * planned


def is_downgrade(present: str | None, wanted: str) -> bool:
    """Whether the wanted version is lower, or nobody can tell because one of the two has no order."""
    if is_same_firmware(present, wanted):
        return False
    before, after = firmware_key(present), firmware_key(wanted)
    return before is None or after is None or after < before


def plan_hash(firmware: Firmware, targets: Iterable[Target], wait_for: timedelta) -> str:
    """A digest of the file, of who gets it in which wave, and of who is waited for and how long.

    The order of the targets does not matter.
    """
    taking_part = sorted(
        [target.wave, target.gateway_id] for target in targets if target.wave or _is_awaited(target, wait_for)
    )
    approved = [firmware.marks, taking_part, wait_for.total_seconds()]
    return hashlib.sha256(json.dumps(approved).encode()).hexdigest()


def check_request(plan: Plan, actor: Actor) -> None:
    """Raises NotAllowed without the role, InvalidInput when the plan has no gateway to update."""
    require(actor, Action.REQUEST)
    if not plan.waves and not plan.awaited:
        raise InvalidInput(
            f"None of the {len(plan.targets)} matching gateways can be updated to {plan.version} now, "
            "so there is nothing to request. The plan says why for each class."
        )
