"""How much of a period gateways were online, by site, and which of them were the worst.

Only time in which a gateway was seen to be online or offline counts: not what is unknown, not what came
before it appeared or after it vanished, not what the bot did not see, and not planned work.

Changes are added up as they come, gateway by gateway, since a month of a large fleet has too many to sort or
to keep; moments are microseconds since 1970 here, as the database has them.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    FLAPPING_CHANGES,
    FLAPPING_WITHIN,
    PRESENCE_KINDS,
    Connectivity,
    FleetEventKind,
    Held,
    Interval,
    fold,
)
from bot.domain.times.written_times import month_between

LONGEST = timedelta(days=90)  # what happened to gateways is kept for so long

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
_OVER = "over"  # as if the end were a change
_LED: dict[str, dict[str | None, _Led]] = {kind.value: _led(kind) for kind in PRESENCE_KINDS}
_LED[_OVER] = {None: (None, None)}


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

    First all changes are added, those of one gateway behind one another in the order in which they were
    written, then what the gateways are now; both in any parts.
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
        self._uncounted = self._cuts_of(planned or {})
        self._changed: dict[str, _Sums] = {}
        # The last gateway, of which there may be more changes, and what is added up of it so far.
        self._open: _Open = ("", 0, None, self._unseen, *_NOTHING[:5], [])
        self._parts: list[tuple[str, int, _Sums]] = []  # site, gateways
        self._worst: list[tuple[_Sums, str, str, str]] = []  # folded name, id, site
        self.without_data = 0  # gateways of whose time none counts

    def add_changes(self, changes: Iterable[Transition]) -> None:
        """Those of gateways that are asked for, and perhaps of others."""
        ends, unseen = self._ends, self._unseen
        last, since, state, uncounted, online, offline, planned, outages, longest, moments = self._open
        is_cut = uncounted.are_some
        for id_, at, kind, held in self._with_ends(last, changes):
            was, becomes = _LED[kind][held]
            if id_ != last:
                last, since, state, uncounted = id_, self._begins, was, self._uncounted.get(id_, unseen)
                is_cut = uncounted.are_some
                online = offline = planned = outages = longest = 0
                moments = []
            until = at
            if until > ends:
                until = ends
            elif was and becomes:
                moments.append(at)
            length = until - since
            if length > 0:
                if is_cut and (cut := uncounted.between(since, until)):
                    length -= cut
                    if state is _ONLINE or state is _OFFLINE:
                        planned += cut - unseen.between(since, until)
                since = until
                if state is _ONLINE:
                    online += length
                elif state is _OFFLINE and length:
                    offline += length
                    outages += 1
                    if length > longest:
                        longest = length
            state = becomes
            if kind == _OVER:
                flapping = _flapping(moments, uncounted) if len(moments) >= FLAPPING_CHANGES else 0
                self._changed[id_] = online, offline, planned, outages, longest, flapping
        self._open = last, since, state, uncounted, online, offline, planned, outages, longest, moments

    def _with_ends(self, last: str, changes: Iterable[Transition]) -> Iterator[Transition]:
        """Behind the changes of each gateway but the last its end."""
        for change in changes:
            if change[0] != last:
                if last:
                    yield last, self._ends, _OVER, None
                last = change[0]
            yield change

    def add_gateways(self, groups: Iterable[Present]) -> None:
        """Those that are asked for."""
        if last := self._open[0]:
            self.add_changes([(last, self._ends, _OVER, None)])
        changed, uncounted, unseen = self._changed.get, self._uncounted.get, self._unseen
        for site, word, first_seen, gateways in groups:
            state, parts = _STATES[word], list[_Sums]()
            since = max(self._begins, first_seen)
            quiet: Counter[_Cuts] = Counter()  # nothing happened, and all are alike
            for id_, name in gateways:
                sums = changed(id_)
                if sums is None:
                    cuts = uncounted(id_, unseen)
                    if state is not _OFFLINE:
                        quiet[cuts] += 1
                        continue
                    sums = self._unchanged(since, state, cuts)
                parts.append(sums)
                if sums[3] or sums[5]:
                    self._worst.append((sums, name or fold(id_), id_, site))
            self.without_data += sum(not (online or offline) for online, offline, *_ in parts)
            for cuts, times in quiet.items():
                sums = self._unchanged(since, state, cuts)
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
        unseen = self._unseen.between(self._begins, self._ends) * _MICROSECOND
        return AvailabilityReport(*self._between, unseen, _site("", self._parts), tuple(found))

    def worst(self, by: WorstBy, first: int = 0, most: int | None = None) -> tuple[list[GatewayUptime], int]:
        """Some of those that were offline, or flapped, the worst first, and how many there are in all.

        Those that are as bad as one another are in the order of their names.
        """
        found = [one for one in self._worst if by is not WorstBy.FLAPPING or one[0][5]]
        until, goodness = len(found) if most is None else first + most, _GOODNESS[by]
        some = nsmallest(until, found, key=lambda one: (goodness(one[0]), one[1:]))[first:]
        return [GatewayUptime(id_, site, _uptime(sums)) for sums, _, id_, site in some], len(found)

    def _cuts_of(self, planned: Held) -> dict[str, "_Cuts"]:
        """What does not count of the gateways for which work was planned; many have the same."""
        cuts_of: dict[Sequence[Interval], _Cuts] = {}
        found = {}
        for id_, held in planned.items():
            intervals = tuple(held)
            if intervals not in cuts_of:
                cuts_of[intervals] = _Cuts([*self._unseen_intervals, *intervals])
            found[id_] = cuts_of[intervals]
        return found

    def _unchanged(self, since: int, state: Connectivity, uncounted: "_Cuts") -> "_Sums":
        """Of a gateway that was the same all the time."""
        ends = self._ends
        if since >= ends or state is Connectivity.UNKNOWN:
            return _NOTHING
        cut = uncounted.between(since, ends)
        planned, counted = cut - self._unseen.between(since, ends), ends - since - cut
        if state is _ONLINE:
            return counted, 0, planned, 0, 0, 0
        return 0, counted, planned, min(1, counted), counted, 0


class _Cuts:
    """Intervals in order, each moment once."""

    __slots__ = ("_begins", "_covered", "_ends")

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        for begin, end in sorted((_micros(begin), _micros(end)) for begin, end in intervals):
            if self._ends and begin <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            elif begin < end:
                self._begins.append(begin)
                self._ends.append(end)
        self._covered: list[int] = list(accumulate(map(sub, self._ends, self._begins), initial=0))

    @property
    def are_some(self) -> bool:
        return bool(self._ends)

    def between(self, since: int, until: int) -> int:
        """How much of the time from one moment to a later one they cover."""
        begins, ends = self._begins, self._ends
        first = bisect_right(ends, since)
        if first == len(ends) or begins[first] >= until:
            return 0
        after = bisect_left(begins, until, first)
        covered = self._covered[after] - self._covered[first]
        return covered - max(0, since - begins[first]) - max(0, ends[after - 1] - until)


_Sums: TypeAlias = tuple[int, int, int, int, int, int]
"""Online, offline, planned, outages, longest, flapping."""
_NOTHING: _Sums = (0, 0, 0, 0, 0, 0)
_Open: TypeAlias = tuple[str, int, Connectivity | None, _Cuts, int, int, int, int, int, list[int]]
"""Which gateway, up to when, what it is since then, what does not count, sums but flapping, its changes."""
_GOODNESS: dict[WorstBy, Callable[[_Sums], tuple[int, ...]]] = {
    WorstBy.LONGEST: lambda sums: (-sums[1], -sums[3]),
    WorstBy.OFTEN: lambda sums: (-sums[3], -sums[1]),
    WorstBy.FLAPPING: lambda sums: (-sums[5], -sums[3], -sums[1]),
}


def _flapping(moments: Sequence[int], uncounted: _Cuts) -> int:
    """How often it began to flap: it changed often enough within an hour."""
    if uncounted.are_some:
        moments = [at for at in moments if not uncounted.between(at, at + 1)]
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
