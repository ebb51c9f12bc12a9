"""Which gateways of a rollout start together: how large waves are, and how sites are spread over them."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.domain.gateways import GatewayId, KnownGateway

WaveEnd = int | float  # so many gateways, or a share of the eligible; each counts from the first on
DEFAULT_WAVES: tuple[WaveEnd, ...] = (5, 0.05, 0.25, 0.5, 1.0)
SMALL_WAVES: tuple[WaveEnd, ...] = (1, 0.25, 1.0)
SMALL_BELOW = 20  # eligible gateways
STABLE_CANARY = timedelta(hours=24)


def wave_sizes(eligible: int, ends: Sequence[WaveEnd] | None) -> tuple[int, ...]:
    """How many gateways are in each wave.

    Each end counts from the first gateway on; shares round up, empty waves vanish, and what is left over
    behind the last end is a last wave. None: the default, which is gentler with few gateways.
    """
    if ends is None:
        ends = SMALL_WAVES if eligible < SMALL_BELOW else DEFAULT_WAVES
    sizes, done = [], 0
    for end in (*ends, 1.0):
        # Rounding first: 0.07 * 100 is a little more than 7.
        upto = math.ceil(round(end * eligible, 6)) if isinstance(end, float) else end
        upto = min(upto, eligible)
        if upto > done:
            sizes.append(upto - done)
            done = upto
    return tuple(sizes)


def fill_waves(
    taking_part: Sequence[KnownGateway], sizes: Sequence[int], now: datetime
) -> dict[GatewayId, int]:
    """Canaries first: stable for a day, and each from another site and hardware as long as there are some."""
    groups: defaultdict[tuple[bool, str, str, str], list[GatewayId]] = defaultdict(list)
    for known in taking_part:
        gateway = known.gateway
        restless = now - known.since < STABLE_CANARY
        key = (restless, known.site, gateway.hardware or "", gateway.firmware or "")
        groups[key].append(gateway.id)
    turns: Counter[tuple[bool, str]] = Counter()
    order: list[tuple[bool, int, str, GatewayId]] = []
    # Sites take turns, and within a site its kinds of gateway do.
    for (restless, site), members in _by_site(groups).items():
        for gateway_id in members:
            order.append((restless, turns[restless, site], site, gateway_id))
            turns[restless, site] += 1
    order.sort()
    waves: dict[GatewayId, int] = {}
    ranked = iter(order)
    for number, size in enumerate(sizes, 1):
        for _ in range(size):
            waves[next(ranked)[-1]] = number
    return waves


def _by_site(
    groups: Mapping[tuple[bool, str, str, str], list[GatewayId]],
) -> dict[tuple[bool, str], list[GatewayId]]:
    """The gateways of each site with its kinds (hardware, present firmware) taking turns.

    Each site begins with another kind than the one before, so that the first of all sites differ in kind too.
    """
    kinds = sorted({(hardware, firmware) for _, _, hardware, firmware in groups})
    of_site: defaultdict[tuple[bool, str], dict[tuple[str, str], list[GatewayId]]] = defaultdict(dict)
    for restless, site, hardware, firmware in sorted(groups):
        of_site[restless, site][hardware, firmware] = sorted(groups[restless, site, hardware, firmware])
    ordered = {}
    for number, (key, found) in enumerate(of_site.items()):
        first = number % len(kinds)
        lists = [found[kind] for kind in (*kinds[first:], *kinds[:first]) if kind in found]
        ordered[key] = [
            members[turn] for turn in range(max(map(len, lists))) for members in lists if turn < len(members)
        ]
    return ordered
