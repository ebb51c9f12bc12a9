"""What is frozen: which starts that holds, who may start all the same, and for how long. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.access import Action, Actor, Role, refused, require
from bot.domain.firmware import is_same_firmware
from bot.domain.rollouts import lifecycle
from bot.domain.rollouts.lifecycle import ReasonNeeded, Rollout, RolloutId, RolloutState


@dataclass(frozen=True, slots=True)
class Freeze:
    """Nothing is started while it lasts; ``firmware_version`` is empty when it is for all firmware."""

    firmware_version: str
    by: str
    by_name: str
    reason: str
    at: datetime

    def says(self) -> str:
        """What is frozen, by whom and why, as plain text."""
        what = f"firmware {self.firmware_version}" if self.firmware_version else "everything"
        return f"{what} is frozen by {self.by_name}: {self.reason}"

    def holds(self, firmware_version: str) -> bool:
        """Whether it is for this firmware, however that is spelled."""
        return not self.firmware_version or is_same_firmware(firmware_version, self.firmware_version)


@dataclass(frozen=True, slots=True)
class FreezeEffect:
    """A freeze that came or ended, and the rollouts that it holds, or held.

    ``still_held`` tells for some of them what holds them besides, by number.
    """

    freeze: Freeze
    rollouts: tuple[RolloutId, ...]
    still_held: Mapping[RolloutId, str] = field(default_factory=dict)


def is_held(rollout: Rollout, freeze: Freeze) -> bool:
    """Whether it starts no gateways because of the freeze: none whom an admin let go on through it."""
    return freeze.holds(rollout.firmware_version) and rollout.through_freeze is None


def hold_anew(rollout: Rollout) -> Rollout:
    """Whoever let it go on through an older freeze did not decide about the one that holds it now."""
    return replace(rollout, through_freeze=None)


def resume(
    rollout: Rollout, actor: Actor, now: datetime, override: str | None, freeze: Freeze | None
) -> Rollout:
    """Goes on after a pause. One that runs and that the ``freeze`` holds goes on only for an admin who says
    why (``override``; else ReasonNeeded).
    """
    require(actor, Action.STEER)
    if freeze is None or rollout.state is not RolloutState.RUNNING or not is_held(rollout, freeze):
        return lifecycle.resume(rollout, actor, now)
    if actor.role < Role.ADMIN:
        raise refused(
            actor,
            Action.OVERRIDE,
            f"{rollout.title} is held: {freeze.says()}. Only an admin may start through a freeze. "
            f"Admins: {actor.holders.get(Role.ADMIN) or 'nobody has that role yet'}.",
        )
    if not (override or "").strip():
        raise ReasonNeeded(
            f"{rollout.title} is held: {freeze.says()}. As an admin you may go on all the same: say why. "
            "The card shows your reason."
        )
    return replace(rollout, through_freeze=f"{actor.name}: {(override or '').strip()}")
