"""What makes a rollout stop by itself. Pure. Gates look at what settled since a person last looked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain.rollouts.lifecycle import TargetState

PAUSE_SHARE = 0.05
STOP_SHARE = 0.15
SHARE_AFTER = 10  # finished, or overdue: a firmware that silences all of them finishes none
IN_A_ROW = 3
AT_ONE_SITE = 3
COLLATERAL_LEAST = 3  # untouched gateways
COLLATERAL_SHARE = 0.05  # of a site's untouched gateways, above what is usual


@dataclass(frozen=True, slots=True)
class Collateral:
    """A site's gateways that this rollout does not touch, and that went offline since it works there."""

    site: str
    gone: int
    untouched: int
    usual: float  # how many go in that much time, by their own last 24 hours


@dataclass(frozen=True, slots=True)
class GateCounts:
    """What settled since a person last looked; counts are of gateways."""

    finished: int = 0  # verified, failed and those that did not return
    overdue: int = 0
    failures: int = 0  # overdue ones among them
    canary_failures: int = 0
    canary: tuple[int, int] = (0, 0)  # failed in all, of those that took part
    by_site: Mapping[str, int] | None = None  # failures
    newest: Sequence[TargetState] = ()  # the last few, the newest first
    collateral: Sequence[Collateral] = ()


@dataclass(frozen=True, slots=True)
class GateTrip:
    """A gate that closed: the rollout pauses, or stops for good."""

    reason: str
    for_good: bool = False


def check_gates(tally: GateCounts) -> GateTrip | None:
    """What stops a rollout by itself, the gravest first; None while all is well."""
    judged = tally.finished + tally.overdue
    share = tally.failures / judged if judged else 0.0
    enough = judged >= SHARE_AFTER
    if enough and share >= STOP_SHARE:
        return GateTrip(f"{tally.failures} of {judged} gateways failed, {_percent(STOP_SHARE)} or more", True)
    if tally.canary_failures:
        failed, size = tally.canary
        return GateTrip(f"{failed} of {size} canaries failed" if size > 1 else "the canary failed")
    if enough and share >= PAUSE_SHARE:
        return GateTrip(f"{tally.failures} of {judged} gateways failed, {_percent(PAUSE_SHARE)} or more")
    newest = list(tally.newest[:IN_A_ROW])
    if len(newest) == IN_A_ROW and all(state is TargetState.NOT_RETURNED for state in newest):
        return GateTrip(f"{IN_A_ROW} gateways in a row did not return")
    for site, count in sorted((tally.by_site or {}).items()):
        if count >= AT_ONE_SITE:
            return GateTrip(f"{count} gateways failed at {site}")
    for one in tally.collateral:
        if is_unusual(one):
            return GateTrip(
                f"{one.gone} gateways at {one.site} that are not part of it went offline after it began there"
            )
    return None


def is_unusual(one: Collateral) -> bool:
    """Three or more, and clearly more than usual: the mesh may have lost its way through the updated ones."""
    return one.gone >= COLLATERAL_LEAST and one.gone > one.usual + COLLATERAL_SHARE * one.untouched


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
