"""What gateways that went together have in common.

A cause is named only where chance cannot explain it: what most gateways of the fleet share anyway is noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.alerts.incidents import Share, Trait

NAMED = 3  # causes that a card names
_FEWEST = 3  # gateways of which something in common is said at all
_MOST_OF_THEM = 0.6
_RARER = 0.5  # of their share, at most, among the rest of the fleet
_CHANCE = 0.01  # of naming noise, over everything that was looked at


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that gateways of an incident share, and how many of the whole fleet have it."""

    trait: Trait
    value: str
    gateways: int
    in_fleet: int


def shared_cause(candidates: Sequence[Candidate], gateways: int, fleet: int) -> tuple[Share, ...]:
    """What explains most, first; at most one of each trait. Empty where nothing stands out."""
    if fleet - gateways < _FEWEST:
        return ()  # there is no rest of the fleet to compare with
    weighed = sorted(
        ((_weight(one, gateways, fleet, len(candidates)), one) for one in candidates),
        key=lambda pair: (-pair[0], pair[1].trait, pair[1].value),
    )
    named: dict[Trait, Share] = {}
    for weight, one in weighed:
        if weight > 0 and one.trait not in named:
            named[one.trait] = Share(one.trait, one.value, one.gateways, gateways)
    return tuple(named.values())[:NAMED]


def is_candidate(gateways: int, of: int) -> bool:
    """Whether so many of an incident's gateways are worth a look at the rest of the fleet."""
    return gateways >= _FEWEST and gateways >= _MOST_OF_THEM * of


def _weight(one: Candidate, gateways: int, fleet: int, looked_at: int) -> float:
    """How far beyond chance it is; 0 for noise.

    Chernoff's bound: that so many of them have it by chance is no likelier than exp(-gateways × divergence).
    """
    if not is_candidate(one.gateways, gateways):
        return 0
    inside = one.gateways / gateways
    outside = (max(one.in_fleet - one.gateways, 0) + 1) / (max(fleet - gateways, 0) + 2)
    if outside > inside * _RARER:
        return 0
    evidence = gateways * _divergence(inside, outside)
    return evidence if evidence > math.log(max(looked_at, 1) / _CHANCE) else 0


def _divergence(inside: float, outside: float) -> float:
    """Kullback and Leibler's, of two yes-or-no shares."""
    rest = (1 - inside) * math.log((1 - inside) / (1 - outside)) if inside < 1 else 0.0
    return inside * math.log(inside / outside) + rest
