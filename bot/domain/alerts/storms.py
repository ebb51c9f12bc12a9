"""Gateways that went together: when they are one storm, and whose each of them is then."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from bot.domain.alerts.incidents import AlertRules
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId

WITHIN = timedelta(minutes=5)
LEAST = 5  # gateways from which a share of the fleet makes a storm


class WentOffline(NamedTuple):
    """A gateway that is on no card yet: when it went, its site, and whether that was before the bot first
    saw it.
    """

    since: datetime
    site: str
    before: bool = False


@dataclass(frozen=True, slots=True)
class StormWindow:
    """From the first to the last that went together."""

    first: datetime
    last: datetime

    def is_near(self, since: datetime) -> bool:
        """Whether somebody who went then belongs to it."""
        return self.first - WITHIN <= since <= self.last + WITHIN


def storm_size(rules: AlertRules, fleet: int) -> int:
    """So many gateways at more than one site are a storm."""
    return min(rules.storm_gateways, max(LEAST, math.ceil(rules.storm_share * fleet)))


def are_enough(rules: AlertRules, gone: Collection[WentOffline], fleet: int) -> bool:
    """Whether they are enough at enough sites for a storm, whenever they went."""
    return len(gone) >= storm_size(rules, fleet) and len({one.site for one in gone}) > 1


def find_storm(rules: AlertRules, gone: Iterable[WentOffline], fleet: int) -> StormWindow | None:
    """The largest five minutes in which enough went at more than one site, and what went on from there."""
    needed = storm_size(rules, fleet)
    alike = Counter(gone)  # thousands of a site go at the same moment
    ordered = sorted(alike)
    best: tuple[int, int] | None = None
    most = needed - 1
    start = 0
    sites: Counter[str] = Counter()
    for end, one in enumerate(ordered):
        sites[one.site] += alike[one]
        while one.since - ordered[start].since > WITHIN:
            sites[ordered[start].site] -= alike[ordered[start]]
            if not sites[ordered[start].site]:
                del sites[ordered[start].site]
            start += 1
        if len(sites) > 1 and sites.total() > most:
            best, most = (start, end), sites.total()
    if best is None:
        return None
    start, end = best
    while start > 0 and ordered[start].since - ordered[start - 1].since <= WITHIN:
        start -= 1
    while end + 1 < len(ordered) and ordered[end + 1].since - ordered[end].since <= WITHIN:
        end += 1
    return StormWindow(ordered[start].since, ordered[end].since)


def raging(rules: AlertRules, went: Sequence[tuple[datetime, int]], fleet: int) -> StormWindow | None:
    """From the first to the last of a storm with whom enough for one went within five minutes.

    ``went``: when, in order, and how many. Who goes later, one by one, goes for reasons of their own: a large
    fleet always has some, and a storm that took them would never end.
    """
    needed = storm_size(rules, fleet)
    first: datetime | None = None
    last: datetime | None = None
    start = together = 0
    for moment, number in went:
        together += number
        while moment - went[start][0] > WITHIN:
            together -= went[start][1]
            start += 1
        if together >= needed:
            first, last = first or went[start][0], moment
    return None if first is None or last is None else StormWindow(first, last)


@dataclass(frozen=True, slots=True)
class LiveStorm:
    """A storm that goes on: when its gateways went, in order, and how many; and who came back from it."""

    went: Sequence[tuple[datetime, int]]
    left: Collection[GatewayId] = ()


@dataclass(frozen=True, slots=True)
class Outage:
    """Gateways that are offline and in no incident, and what they may join: all of it at one moment."""

    gone: Mapping[GatewayId, WentOffline]
    left: Collection[GatewayId] = ()  # who came back in the incident of their site, which is still live
    fleet: int = 0
    seen_dark: IncidentId | None = None  # the one that nobody has been told of
    storms: Mapping[IncidentId, LiveStorm] = field(default_factory=dict)
    gathering: Mapping[GatewayId, WentOffline] = field(default_factory=dict)  # for sites, untold


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which incident each gateway of an outage joins."""

    seen_dark: Sequence[GatewayId] = ()
    storms: Mapping[IncidentId, Sequence[GatewayId]] = field(default_factory=dict)
    window: StormWindow | None = None  # of a storm that begins now
    storm: Sequence[GatewayId] = ()
    sites: Sequence[GatewayId] = ()


def assign(rules: AlertRules, outage: Outage) -> Assignment:
    """Whoever left the incident of their site returns to it. Of the others those that were offline before
    they were first seen have one together, if they are enough: where a fleet is new to the bot, a card for
    each site would be a storm of the bot's own making. Then come the storms, and each site has the rest.
    """
    rest = {one: went for one, went in outage.gone.items() if one not in outage.left}
    before = {one: went for one, went in rest.items() if went.before}
    if outage.seen_dark is None and not are_enough(rules, before.values(), outage.fleet):
        before = {}
    rest = {one: went for one, went in rest.items() if one not in before}
    storms = {}
    for incident, live in outage.storms.items():
        window = raging(rules, live.went, outage.fleet)
        if window is None:
            continue
        near = {one for one, went in rest.items() if window.is_near(went.since) and one not in live.left}
        storms[incident] = sorted(near)
        rest = {one: went for one, went in rest.items() if one not in near}
    window = find_storm(rules, [*outage.gathering.values(), *rest.values()], outage.fleet) if rest else None
    struck = [one for one, went in rest.items() if window and window.first <= went.since <= window.last]
    joined = {*before, *struck, *(one for ids in storms.values() for one in ids)}
    return Assignment(
        seen_dark=list(before),
        storms=storms,
        window=window,
        storm=struck,
        sites=[one for one in outage.gone if one not in joined],
    )
