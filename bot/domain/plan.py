"""The plan of a rollout: which firmware is meant, who would get it, who not and why, and who must approve.

A plan says for every gateway that matched whether it takes part. Its targets and its firmware are hashed, and
an approval is for that hash.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bot.domain.errors import InvalidInput
from bot.domain.firmware import Firmware
from bot.domain.fleet import Connectivity, FirmwareVersion, GatewayId, KnownGateway, fold

LATEST = "latest"


class TargetClass(StrEnum):
    """Why a gateway that matched takes part, or does not."""

    ELIGIBLE = "eligible"
    ALREADY = "already on it"
    WRONG_MODEL = "another model"
    OFFLINE = "offline"
    FLAPPING = "flapping"
    BUSY = "in another rollout"


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers a rollout is run by; each is a setting."""

    approvals: int = 1
    second_above_gateways: int | None = 100
    second_above_share: float | None = 0.25
    self_approval: bool = False
    approval_expires: timedelta = timedelta(hours=8)
    batch: int = 500
    overdue_after: timedelta = timedelta(minutes=45)
    poll_every: timedelta = timedelta(seconds=30)
    # After a lost answer the vendor's jobs are searched for ours this long before another is created.
    look_for: timedelta = timedelta(minutes=2)
    plan_expires: timedelta = timedelta(hours=1)


SHARE_COUNTS_FROM = 20  # gateways in the fleet


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
    firmware_id: str
    model: str
    version: str
    targets: tuple[Target, ...]
    waves: tuple[int, ...]  # gateways in each wave
    approvals_needed: int
    fleet_size: int
    hash: str = ""

    @property
    def eligible(self) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.cls is TargetClass.ELIGIBLE)

    @property
    def downgrades(self) -> int:
        return sum(target.downgrade for target in self.targets)

    def counts(self) -> dict[TargetClass, int]:
        """How many of each class, every class named, in the order in which they are shown."""
        found = Counter(target.cls for target in self.targets)
        return {cls: found[cls] for cls in TargetClass}


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The version exists for several models among the matches; a rollout is one firmware, hence one model."""

    query: str
    wanted: str
    options: tuple[tuple[str, str, int], ...]  # model, version, matching gateways


def choose_firmware(
    query: str, wanted: str, model: str | None, firmwares: Iterable[Firmware], matching: Mapping[str, int]
) -> Firmware | ModelChoice:
    """The one firmware that is meant, or the models to choose from.

    ``matching`` counts the matched gateways by model. ``latest`` is the highest version without ``-beta``
    for a model. Raises InvalidInput when there is no such firmware; the text names what there is.
    """
    offered = [entry for entry in firmwares if entry.model and entry.version]
    meant: dict[str, Firmware] = {}
    for entry in offered:
        assert entry.model
        if entry.model not in matching or (model is not None and fold(entry.model) != fold(model)):
            continue
        if _is_meant(entry, wanted, meant.get(entry.model)):
            meant[entry.model] = entry
    if not meant:
        raise InvalidInput(_no_such_firmware(wanted, model, offered, matching))
    if len(meant) > 1:
        options = [(key, entry.version or "", matching[key]) for key, entry in sorted(meant.items())]
        return ModelChoice(query, wanted, tuple(options))
    return next(iter(meant.values()))


def _is_meant(entry: Firmware, wanted: str, so_far: Firmware | None) -> bool:
    assert entry.version
    if fold(wanted) != LATEST:
        return fold(entry.version) == fold(wanted) and so_far is None
    version = FirmwareVersion.parse(entry.version)
    if version is None or not version.release:
        return False
    best = FirmwareVersion.parse(so_far.version or "") if so_far else None
    return best is None or version > best


def _no_such_firmware(
    wanted: str, model: str | None, offered: Sequence[Firmware], matching: Mapping[str, int]
) -> str:
    models = [model] if model else sorted(matching)
    there = sorted(
        {entry.version or "" for entry in offered if entry.model in models},
        key=lambda text: (FirmwareVersion.parse(text) or FirmwareVersion(0, 0, 0), text),
        reverse=True,
    )
    what = "a version without -beta" if fold(wanted) == LATEST else f"firmware {wanted}"
    of = f"model {models[0]}" if len(models) == 1 else f"models {', '.join(models)}"
    if not models:
        return "None of the gateways that match says which model it is, so no firmware fits them."
    if not there:
        return f"The portal has no firmware for {of} at all; upload one there first."
    listed = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
    return f"There is no {what} for {of}. There is: {listed}."


def make_plan(
    query: str, firmware: Firmware, matches: Iterable[KnownGateway], fleet_size: int, rules: Rules
) -> Plan:
    """Sorts every match into a class, puts the eligible ones into waves and hashes the whole.

    Raises InvalidInput when nothing matches.
    """
    assert firmware.model
    assert firmware.version
    targets = [_classify(known, firmware.model, firmware.version) for known in matches]
    if not targets:
        raise InvalidInput("No gateway matches that query, so there is nothing to update.")
    targets.sort(key=lambda target: (target.site, target.label, target.gateway_id))
    eligible = sum(target.wave > 0 for target in targets)
    return Plan(
        query=query,
        firmware_id=firmware.id,
        model=firmware.model,
        version=firmware.version,
        targets=tuple(targets),
        waves=(eligible,) if eligible else (),
        approvals_needed=approvals_needed(eligible, fleet_size, rules),
        fleet_size=fleet_size,
        hash=plan_hash(firmware.id, firmware.version, targets),
    )


def _classify(known: KnownGateway, model: str, version: str) -> Target:
    gateway = known.gateway
    if gateway.model is None or fold(gateway.model) != fold(model):
        cls = TargetClass.WRONG_MODEL
    elif gateway.firmware is not None and fold(gateway.firmware) == fold(version):
        cls = TargetClass.ALREADY
    elif known.updating:
        cls = TargetClass.BUSY
    elif gateway.connectivity is not Connectivity.ONLINE:
        cls = TargetClass.OFFLINE
    elif known.flapping:
        cls = TargetClass.FLAPPING
    else:
        cls = TargetClass.ELIGIBLE
    eligible = cls is TargetClass.ELIGIBLE
    return Target(
        gateway_id=gateway.id,
        label=gateway.label,
        site=known.site,
        model=gateway.model,
        firmware=gateway.firmware,
        cls=cls,
        wave=1 if eligible else 0,
        downgrade=eligible and is_downgrade(gateway.firmware, version),
    )


def is_downgrade(present: str | None, wanted: str) -> bool:
    """Whether both versions have an order and the wanted one is the lower."""
    before, after = FirmwareVersion.parse(present or ""), FirmwareVersion.parse(wanted)
    return before is not None and after is not None and after < before


def plan_hash(firmware_id: str, version: str, targets: Iterable[Target]) -> str:
    """A digest of the firmware and of who gets it in which wave; the order of the targets does not matter."""
    taking_part = sorted(f"{target.wave}:{target.gateway_id}" for target in targets if target.wave)
    return hashlib.sha256("\n".join([firmware_id, version, *taking_part]).encode()).hexdigest()


def approvals_needed(eligible: int, fleet_size: int, rules: Rules) -> int:
    """One more above so many gateways, or above a share of a fleet of ``SHARE_COUNTS_FROM`` or more.

    With no approvals asked for at all, the requester's own confirmation is enough at any size.
    """
    if rules.approvals == 0:
        return 0
    many = rules.second_above_gateways is not None and eligible > rules.second_above_gateways
    share = (
        rules.second_above_share is not None
        and fleet_size >= SHARE_COUNTS_FROM
        and eligible > rules.second_above_share * fleet_size
    )
    return rules.approvals + int(many or share)
