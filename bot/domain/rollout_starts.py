"""Which gateways start next, cut into which vendor jobs. Pure."""

from collections.abc import Mapping, Sequence

from bot.domain.fleet import GatewayId
from bot.domain.plan import Rules
from bot.domain.rollout import Rollout


def choose_starts(
    waiting: Sequence[tuple[GatewayId, str]],
    in_flight: Mapping[str, int],
    site_sizes: Mapping[str, int],
    rules: Rules,
) -> tuple[GatewayId, ...]:
    """The gateways that may start now: at most a share of each site, and at least one, in flight at once.

    ``waiting`` pairs gateways with their sites. A new round waits until half of what the sites allow is free,
    or nothing is in flight, so that jobs stay few and large.
    """
    room: dict[str, int] = {}
    allowed = 0
    for _, site in waiting:
        if site not in room:
            most = max(1, int(rules.per_site * site_sizes.get(site, 0)))
            room[site] = max(most - in_flight.get(site, 0), 0)
            allowed += most
    chosen = []
    for gateway_id, site in waiting:
        if room[site]:
            room[site] -= 1
            chosen.append(gateway_id)
    wanted = min(allowed, len(waiting))
    return tuple(chosen) if 2 * len(chosen) >= wanted or not in_flight else ()


def batches(gateways: Sequence[GatewayId], rules: Rules) -> tuple[tuple[GatewayId, ...], ...]:
    """The gateways cut into vendor jobs."""
    return tuple(
        tuple(gateways[start : start + rules.batch]) for start in range(0, len(gateways), rules.batch)
    )


def job_name(rollout: Rollout, wave: int, number: int) -> str:
    """The vendor job's name. Its random part keeps a fresh database from mistaking an old job for its own."""
    return f"meshbot {rollout.title} w{wave} b{number} {rollout.uid}"
