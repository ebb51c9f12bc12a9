"""How much of a period gateways were online, by site, and which of them were the worst.

Only time in which a gateway was seen to be online or offline counts: not what is unknown, not what came
before it appeared or after it vanished, not what the bot did not see, and not planned work.

Changes are added up as they come, in the order of time, since a month of a large fleet has too many to sort
or to keep; moments are microseconds since 1970 here, as the database has them.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from heapq import nsmallest
from typing import TypeAlias
from zoneinfo import ZoneInfo

from bot.domain.errors import InvalidInput
from bot.domain.gateways import (
    CONNECTIVITY_KINDS,
    FLAPPING_CHANGES,
    FLAPPING_WITHIN,
    Connectivity,
    FleetEventKind,
    Held,
    Interval,
    fold,
)
from bot.domain.times.written_times import month_between

LONGEST = timedelta(days=90)  # what happened to gateways is kept for so long
# The rest of what happens to a gateway is not about being there or being online.
TRACKED = CONNECTIVITY_KINDS | {FleetEventKind.APPEARED, FleetEventKind.VANISHED}

Transition: TypeAlias = tuple[str, int, str, str | None]
"""Of which gateway, when, of which kind, and the state that its event holds."""
Present: TypeAlias = tuple[str, str, str, int, str | None]
"""What a gateway is now: its id, its site, its state, and when it was first seen."""

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAPPING = FLAPPING_WITHIN // _MICROSECOND
_LONG_AGO = (-_FLAPPING,) * (FLAPPING_CHANGES - 1)
_ONLINE, _OFFLINE = Connectivity.ONLINE, Connectivity.OFFLINE
_STATES: dict[str, Connectivity] = {state.value: state for state in Connectivity}


def _led(kind: FleetEventKind) -> dict[str | None, tuple[Connectivity | None, Connectivity | None]]:
    """From what to what events of this kind led, by the state that they hold; one of the two is clear."""
    to = _BECAME.get(kind)
    usual = _OFFLINE if kind is FleetEventKind.CAME_BACK else _ONLINE
    states: dict[str | None, Connectivity] = {None: usual}
    states.update(_STATES.items())
    if kind is FleetEventKind.APPEARED:
        return {text: (None, state) for text, state in states.items()}
    return {text: (state, to) for text, state in states.items()}


_BECAME = {
    FleetEventKind.WENT_OFFLINE: _OFFLINE,
    FleetEventKind.CAME_BACK: _ONLINE,
    FleetEventKind.BECAME_UNKNOWN: Connectivity.UNKNOWN,
}
_LED = {kind.value: _led(kind) for kind in TRACKED}


@dataclass(frozen=True, slots=True)
class Uptime:
    """What counts of one gateway's time, or the sum of several."""

    online: timedelta
    offline: timedelta
    planned: timedelta  # online or offline in planned work, which does not count
    outages: int
    longest: timedelta  # outage
    flapping: int  # how often it began to flap

    @property
    def share(self) -> float | None:
        """Online, of what counts; None where nothing does."""
        counted = self.online + self.offline
        return self.online / counted if counted else None


@dataclass(frozen=True, slots=True)
class SiteUptime:
    """Of a site, or of all of them with an empty name."""

    site: str
    gateways: int
    uptime: Uptime


@dataclass(frozen=True, slots=True)
class AvailabilityReport:
    """``sites`` has the worst first; ``unseen`` is time without data, which does not count."""

    begins: datetime
    ends: datetime
    unseen: timedelta
    whole: SiteUptime
    sites: tuple[SiteUptime, ...]


@dataclass(frozen=True, slots=True)
class GatewayUptime:
    """Of one gateway that was offline, or flapped."""

    id: str
    site: str
    uptime: Uptime


class WorstBy(StrEnum):
    """What makes a gateway worse than another."""

    LONGEST = "longest"
    OFTEN = "often"
    FLAPPING = "flapping"


def span_of_month(month: str, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """When ``2026-11`` was, the present one up to now. Raises InvalidInput for one to come or long ago."""
    begins, ends = month_between(month, zone)
    if begins >= now:
        raise InvalidInput(f"The month {month} has not begun yet.")
    if now - ends > LONGEST:
        raise InvalidInput(f"The month {month} is too long ago: I look back {LONGEST.days} days at most.")
    return begins, min(ends, now)


class Uptimes:
    """Adds up what gateways were between two moments. ``unseen`` are the times without data.

    First all changes are added in the order of time, then what the gateways are now; both in any parts.
    """

    def __init__(
        self,
        begins: datetime,
        ends: datetime,
        unseen: Sequence[Interval] = (),
        planned: Held | None = None,
    ) -> None:
        self._between = begins, ends
        self._begins, self._ends = _micros(begins), _micros(ends)
        self._unseen, self._unseen_intervals = _Cuts(unseen), unseen
        self._planned = planned or {}
        self._running: dict[str, _Running] = {}
        self._sites: dict[str, _Site] = {}
        self._worst: list[tuple[str, str, str, _Running]] = []
        self.without_data = 0  # gateways of whose time none counts

    def add_changes(self, changes: Iterable[Transition]) -> None:
        """Those of gateways that are asked for, and perhaps of others."""
        running, begins, ends = self._running, self._begins, self._ends
        for id_, at, kind, state in changes:
            was, becomes = _LED[kind][state]
            one = running.get(id_)
            if one is None:
                one = running[id_] = self._start(id_, was, begins)
            one.become(becomes, min(at, ends))
            if was and becomes and at <= ends:
                one.note(at)

    def add_gateways(self, gateways: Iterable[Present]) -> None:
        """Those that are asked for."""
        take, planned, begins, ends = self._running.pop, self._planned, self._begins, self._ends
        worst, sites = self._worst, self._sites
        quiet: Counter[tuple[str, str, int]] = Counter()  # nothing happened to these, and many are alike
        for id_, site, state, first_seen, name in gateways:
            one = take(id_, None)
            if one is None:
                since = max(begins, first_seen)
                if state != _OFFLINE and id_ not in planned:
                    quiet[site, state, since] += 1
                    continue
                one = self._start(id_, _STATES[state], since)
            one.become(None, ends)
            (sites.get(site) or self._site(site)).add(one)
            self.without_data += not one.counts
            if one.outages or one.flapping:
                worst.append((id_, site, name or id_, one))
        for (site, state, since), times in quiet.items():
            one = _Running(_STATES[state], since, self._unseen, self._unseen)
            one.become(None, ends)
            self.without_data += 0 if one.counts else times
            self._site(site).add(one, times, times=times)

    def report(self) -> AvailabilityReport:
        """Once all is added. It changes nothing, so that several may ask at once, as with ``worst``."""
        whole, sites = _Site(""), set(self._sites.values())
        for part in sites:
            whole.add(part, part.gateways)
        unseen = self._unseen.within(self._begins, self._ends) * _MICROSECOND
        found = sorted((one.total() for one in sites), key=_least_first)
        return AvailabilityReport(*self._between, unseen, whole.total(), tuple(found))

    def worst(self, by: WorstBy, first: int = 0, most: int | None = None) -> tuple[list[GatewayUptime], int]:
        """Some of those that were offline, or flapped, the worst first, and how many there are in all.

        Those that are as bad as one another are in the order of their names.
        """
        found = [one for one in self._worst if by is not WorstBy.FLAPPING or one[3].flapping]
        until = len(found) if most is None else first + most
        some = nsmallest(until, found, key=lambda one: (one[3].goodness(by), fold(one[2]), one[0]))[first:]
        return [GatewayUptime(id_, site, one.uptime()) for id_, site, _, one in some], len(found)

    def _start(self, id_: str, state: Connectivity | None, since: int) -> "_Running":
        planned = self._planned.get(id_)
        uncounted = _Cuts([*self._unseen_intervals, *planned]) if planned else self._unseen
        return _Running(state, since, uncounted, self._unseen)

    def _site(self, name: str) -> "_Site":
        site = self._sites.get(name)
        if site is None:  # those that differ in case only are one
            site = self._sites[name] = self._sites.setdefault(fold(name), _Site(name))
        return site


class _Cuts:
    """Intervals in order, each moment once."""

    __slots__ = ("begins", "ends")

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []
        for begin, end in sorted((_micros(begin), _micros(end)) for begin, end in intervals):
            if self.ends and begin <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            elif begin < end:
                self.begins.append(begin)
                self.ends.append(end)

    def within(self, begin: int, end: int) -> int:
        """How much of a span they cover."""
        covered = 0
        for at in range(bisect_right(self.ends, begin), len(self.ends)):
            if self.begins[at] >= end:
                break
            covered += min(self.ends[at], end) - max(self.begins[at], begin)
        return covered


class _Sums:
    __slots__ = ("flapping", "longest", "offline", "online", "outages", "planned")

    def __init__(self) -> None:
        self.online = self.offline = self.planned = self.outages = self.longest = self.flapping = 0

    def uptime(self) -> Uptime:
        return Uptime(
            self.online * _MICROSECOND,
            self.offline * _MICROSECOND,
            self.planned * _MICROSECOND,
            self.outages,
            self.longest * _MICROSECOND,
            self.flapping,
        )


class _Running(_Sums):
    """One gateway, up to a moment."""

    __slots__ = ("_flaps", "_recent", "_uncounted", "_unseen", "since", "state")

    def __init__(self, state: Connectivity | None, since: int, uncounted: _Cuts, unseen: _Cuts) -> None:
        self.online = self.offline = self.planned = self.outages = self.longest = self.flapping = 0
        self.state, self.since = state, since
        self._uncounted, self._unseen = uncounted, unseen
        self._recent = _LONG_AGO  # when it changed, as far as it matters
        self._flaps = False

    def become(self, state: Connectivity | None, at: int) -> None:
        """What it was until then is added up. What comes to light late counts from what came before it."""
        since, was = self.since, self.state
        self.state = state
        length = at - since
        if length <= 0:
            return
        self.since = at
        if self._uncounted.ends and (was is _ONLINE or was is _OFFLINE):
            counted = length - self._uncounted.within(since, at)
            self.planned += length - self._unseen.within(since, at) - counted
            length = counted
        if was is _ONLINE:
            self.online += length
        elif was is _OFFLINE and length:
            self.offline += length
            self.outages += 1
            if length > self.longest:
                self.longest = length

    def note(self, at: int) -> None:
        """It changed then: often enough within an hour, and it flaps."""
        if self._uncounted.ends and self._uncounted.within(at, at + 1):
            return
        recent = self._recent
        flaps = at - recent[0] <= _FLAPPING
        if flaps and not self._flaps:
            self.flapping += 1
        self._flaps, self._recent = flaps, (*recent[1:], at)

    @property
    def counts(self) -> bool:
        """Whether any of its time does."""
        return self.online > 0 or self.offline > 0

    def goodness(self, by: WorstBy) -> tuple[int, ...]:
        if by is WorstBy.OFTEN:
            return -self.outages, -self.offline
        if by is WorstBy.FLAPPING:
            return -self.flapping, -self.outages, -self.offline
        return -self.offline, -self.outages


class _Site(_Sums):
    __slots__ = ("_name", "gateways")

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.gateways = 0

    def add(self, one: _Sums, gateways: int = 1, *, times: int = 1) -> None:
        """``times``: of so many gateways that are alike."""
        self.gateways += gateways
        self.online += one.online * times
        self.offline += one.offline * times
        self.planned += one.planned * times
        self.outages += one.outages * times
        self.flapping += one.flapping * times
        self.longest = max(self.longest, one.longest)

    def total(self) -> SiteUptime:
        return SiteUptime(self._name, self.gateways, self.uptime())


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _least_first(one: SiteUptime) -> tuple[bool, float, int, str]:
    share = one.uptime.share
    return share is None, share or 0.0, -one.gateways, fold(one.site)
