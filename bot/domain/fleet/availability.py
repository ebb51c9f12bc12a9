"""How much of a period gateways were online, by site, and which of them were the worst.

Only time in which a gateway was seen to be online or offline counts: not what is unknown, not what came
before it appeared or after it vanished, not what the bot did not see, and not planned work.

Changes are added up as they come, in the order of time, since a month of a large fleet has too many to sort
or to keep; moments are microseconds since 1970 here, as the database has them.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from heapq import nsmallest
from itertools import accumulate
from operator import sub
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
Present: TypeAlias = tuple[str, str, int, Iterable[tuple[str, str]]]
"""Gateways of one site and one state now, first seen at one moment: their ids and folded names, if any."""

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAPPING = FLAPPING_WITHIN // _MICROSECOND
_ONLINE, _OFFLINE = Connectivity.ONLINE, Connectivity.OFFLINE
_STATES: dict[str, Connectivity] = {state.value: state for state in Connectivity}


_Led: TypeAlias = tuple[Connectivity | None, Connectivity | None]
_Life: TypeAlias = list[tuple[int, _Led]]
"""Of one gateway: when it changed, and from what to what; the first says what it was at the beginning."""


def _led(kind: FleetEventKind) -> dict[str | None, _Led]:
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
_OVER: _Led = (None, None)


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
    What is kept are tuples of numbers and texts, which the garbage collector need not look through.
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
        self._uncounted: dict[Sequence[Interval], _Cuts] = {}  # by the planned work
        self._lives: dict[str, _Life] = {}
        self._parts: list[tuple[str, int, _Sums]] = []  # site, gateways
        self._worst: list[tuple[_Sums, str, str, str]] = []  # folded name, id, site
        self.without_data = 0  # gateways of whose time none counts

    def add_changes(self, changes: Iterable[Transition]) -> None:
        """Those of gateways that are asked for, and perhaps of others."""
        lives, begins = self._lives, self._begins
        for id_, at, kind, state in changes:
            led = _LED[kind][state]
            life = lives.get(id_)
            if life is None:
                life = lives[id_] = [(begins, (None, led[0]))]
            life.append((at, led))

    def add_gateways(self, groups: Iterable[Present]) -> None:
        """Those that are asked for."""
        take, planned, unseen, ends = self._lives.pop, self._planned.get, self._unseen, self._ends
        for site, word, first_seen, gateways in groups:
            state, parts = _STATES[word], list[_Sums]()
            since = max(self._begins, first_seen)
            quiet: Counter[_Cuts] = Counter()  # nothing happened, and most are alike
            for id_, name in gateways:
                held, life = planned(id_), take(id_, None)
                cuts = self._cuts(tuple(held)) if held else unseen
                if life is None:
                    if state is not _OFFLINE:
                        quiet[cuts] += 1
                        continue
                    life = [(since, (None, state))]
                sums = _summed(life, ends, cuts, unseen)
                parts.append(sums)
                if sums[3] or sums[5]:
                    self._worst.append((sums, name or fold(id_), id_, site))
            self.without_data += sum(not (online or offline) for online, offline, *_ in parts)
            for cuts, times in quiet.items():
                sums = _summed([(since, (None, state))], ends, cuts, unseen)
                parts += [sums] * times
                self.without_data += 0 if sums[0] else times
            self._parts.append((site, len(parts), _total(parts)))

    @property
    def gateways(self) -> int:
        """How many there are in all."""
        return sum(gateways for _, gateways, _ in self._parts)

    def report(self) -> AvailabilityReport:
        """Once all is added. It changes nothing, so that several may ask at once, as with ``worst``."""
        sites: dict[str, list[tuple[str, int, _Sums]]] = {}
        for part in self._parts:  # those that differ in case only are one
            sites.setdefault(fold(part[0]), []).append(part)
        found = sorted((_site(some[0][0], some) for some in sites.values()), key=_least_first)
        unseen = (self._unseen.until(self._ends) - self._unseen.until(self._begins)) * _MICROSECOND
        return AvailabilityReport(*self._between, unseen, _site("", self._parts), tuple(found))

    def worst(self, by: WorstBy, first: int = 0, most: int | None = None) -> tuple[list[GatewayUptime], int]:
        """Some of those that were offline, or flapped, the worst first, and how many there are in all.

        Those that are as bad as one another are in the order of their names.
        """
        found = [one for one in self._worst if by is not WorstBy.FLAPPING or one[0][5]]
        until, goodness = len(found) if most is None else first + most, _GOODNESS[by]
        some = nsmallest(until, found, key=lambda one: (goodness(one[0]), one[1:]))[first:]
        return [GatewayUptime(id_, site, _uptime(sums)) for sums, _, id_, site in some], len(found)

    def _cuts(self, planned: Sequence[Interval]) -> "_Cuts":
        found = self._uncounted.get(planned)
        if found is None:
            found = self._uncounted[planned] = _Cuts([*self._unseen_intervals, *planned])
        return found


class _Cuts:
    """Intervals in order, each moment once."""

    __slots__ = ("_begins", "_covered", "ends")

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self._begins: list[int] = []
        self.ends: list[int] = []
        for begin, end in sorted((_micros(begin), _micros(end)) for begin, end in intervals):
            if self.ends and begin <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            elif begin < end:
                self._begins.append(begin)
                self.ends.append(end)
        self._covered: list[int] = list(accumulate(map(sub, self.ends, self._begins), initial=0))

    def until(self, moment: int) -> int:
        """How much of all time before a moment they cover."""
        at = bisect_right(self.ends, moment)
        inside = moment - self._begins[at] if at < len(self.ends) else 0
        return self._covered[at] + max(0, inside)


_Sums: TypeAlias = tuple[int, int, int, int, int, int]
"""Online, offline, planned, outages, longest, flapping."""
_NOTHING: _Sums = (0, 0, 0, 0, 0, 0)
_GOODNESS: dict[WorstBy, Callable[[_Sums], tuple[int, ...]]] = {
    WorstBy.LONGEST: lambda sums: (-sums[1], -sums[3]),
    WorstBy.OFTEN: lambda sums: (-sums[3], -sums[1]),
    WorstBy.FLAPPING: lambda sums: (-sums[5], -sums[3], -sums[1]),
}


def _summed(life: _Life, ends: int, uncounted: _Cuts, unseen: _Cuts) -> _Sums:
    """What comes to light late counts from what came before it."""
    online = offline = planned = outages = longest = 0
    since, state = life[0][0], None
    is_cut = bool(uncounted.ends)
    cut, dark = (uncounted.until(since), unseen.until(since)) if is_cut else (0, 0)
    for at, (_, becomes) in (*life, (ends, _OVER)):
        until = at
        if until > ends:
            until = ends
        length = until - since
        if length > 0:
            since = until
            if is_cut:
                cut_before, dark_before = cut, dark
                cut, dark = uncounted.until(until), unseen.until(until)
                length -= cut - cut_before
                if state is _ONLINE or state is _OFFLINE:
                    planned += cut - cut_before - dark + dark_before
            if state is _ONLINE:
                online += length
            elif state is _OFFLINE and length:
                offline += length
                outages += 1
                if length > longest:
                    longest = length
        state = becomes
    flapping = _flapping(life, ends, uncounted) if len(life) > FLAPPING_CHANGES else 0
    return online, offline, planned, outages, longest, flapping


def _flapping(life: _Life, ends: int, uncounted: _Cuts) -> int:
    """How often it began to flap: it changed often enough within an hour."""
    moments = [at for at, (was, becomes) in life if was and becomes and at <= ends]
    if uncounted.ends:
        moments = [at for at in moments if uncounted.until(at) == uncounted.until(at + 1)]
    times, flapped = 0, False
    for before, at in zip(moments, moments[FLAPPING_CHANGES - 1 :], strict=False):
        flaps = at - before <= _FLAPPING
        times += flaps and not flapped
        flapped = flaps
    return times


def _total(parts: Iterable[_Sums]) -> _Sums:
    online, offline, planned, outages, longest, flapping = zip(_NOTHING, *parts, strict=True)
    return sum(online), sum(offline), sum(planned), sum(outages), max(longest), sum(flapping)


def _site(name: str, parts: Sequence[tuple[str, int, _Sums]]) -> SiteUptime:
    return SiteUptime(name, sum(one[1] for one in parts), _uptime(_total(one[2] for one in parts)))


def _uptime(sums: _Sums) -> Uptime:
    online, offline, planned, outages, longest, flapping = sums
    spans = (online * _MICROSECOND, offline * _MICROSECOND, planned * _MICROSECOND)
    return Uptime(*spans, outages, longest * _MICROSECOND, flapping)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _least_first(one: SiteUptime) -> tuple[bool, float, int, str]:
    share = one.uptime.share
    return share is None, share or 0.0, -one.gateways, fold(one.site)
