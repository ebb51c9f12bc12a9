"""What a chart shows, as numbers: the share of gateways offline over a period, and who runs which firmware.

The past is worked out from the present snapshot and from what happened since; what the bot did not see is
not counted. Decides which sites and versions are worth a line, and knows nothing of how one is drawn.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate, pairwise

from bot.domain.errors import InvalidInput
from bot.domain.firmware import firmware_key
from bot.domain.gateways import FleetEventKind, fold
from bot.domain.times.written_times import split_month, split_period

DEFAULT_PERIOD = timedelta(days=7)
SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=30)
YOUNGEST = timedelta(minutes=1)  # a fleet that is known for less has no past to draw
MOST_SITES = 5  # lines beside the whole: more of them cannot be told apart on a phone
MOST_BUCKETS = 96
MOST_MODELS, MOST_BARS = 4, 10

_USAGE = "Write it as /mesh chart offline tag:oslo 7d or /mesh chart firmware model:2011."
_MICROSECOND = timedelta(microseconds=1)
_STEPS = [timedelta(seconds=seconds) for seconds in (10, 30, 60, 120, 300, 900, 1800)] + [
    timedelta(hours=hours) for hours in (1, 2, 4, 8, 12, 24)
]


class ChartKind(StrEnum):
    """What there are charts of."""

    OFFLINE = "offline"
    FIRMWARE = "firmware"


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """Which chart somebody wants. ``period`` and ``month`` are None where none was given."""

    kind: ChartKind
    query: str
    period: timedelta | None
    month: str | None = None  # as 2026-11


@dataclass(frozen=True, slots=True)
class Track:
    """Gateways with the same past. ``events`` are of PRESENCE_KINDS, in order, none before the period."""

    site: str
    offline: bool  # now
    first_seen: datetime
    gateways: int = 1
    events: tuple[tuple[FleetEventKind, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One site, or all of them. A share is of the time in a bucket; None where nobody was known then."""

    name: str
    gateways: int  # now
    offline: int  # now
    shares: tuple[float | None, ...]
    mean: float

    @property
    def share_now(self) -> float:
        return self.offline / self.gateways if self.gateways else 0.0

    def peak(self) -> tuple[float, int]:
        """The highest share, and in which bucket it was first."""
        known = [(share, -at) for at, share in enumerate(self.shares) if share is not None]
        share, at = max(known, default=(0.0, 0))
        return share, -at


@dataclass(frozen=True, slots=True)
class OfflineChart:
    """The whole, and the sites with the largest share offline. ``edges`` are one more than the buckets."""

    edges: tuple[datetime, ...]
    whole: Line
    worst: tuple[Line, ...]
    sites: int
    most_elsewhere: float  # the mean share of the worst site that has no line
    is_shortened: bool  # the fleet is known for less than the period that was asked for

    @property
    def begins(self) -> datetime:
        return self.edges[0]

    @property
    def ends(self) -> datetime:
        return self.edges[-1]

    @property
    def length(self) -> timedelta:
        return self.ends - self.begins

    def middles(self) -> list[datetime]:
        """Where in time each bucket's share is drawn."""
        return [begin + (end - begin) / 2 for begin, end in pairwise(self.edges)]


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How many gateways run a version; ``version`` is empty where the vendor says none."""

    version: str
    gateways: int


@dataclass(frozen=True, slots=True)
class ModelFirmware:
    """The versions of one model, the newest first; those with few gateways may be left out."""

    model: str
    gateways: int
    versions: tuple[VersionCount, ...]
    left_out: int = 0  # versions
    left_out_gateways: int = 0


@dataclass(frozen=True, slots=True)
class FirmwareChart:
    """The models with the most gateways."""

    models: tuple[ModelFirmware, ...]
    gateways: int
    left_out: int = 0  # models


def parse_chart(text: str) -> ChartRequest:
    """``offline tag:oslo 7d``: a kind, a query, a period or a month as the last word. Raises InvalidInput."""
    word, _, rest = text.strip().partition(" ")
    if word.casefold() not in {kind.value for kind in ChartKind}:
        said = f"There is no chart of “{word[:40]}”" if word else "Which chart"
        raise InvalidInput(f"{said}: there are offline and firmware. {_USAGE}")
    kind = ChartKind(word.casefold())
    query, month = split_month(rest)
    if month is not None:
        return ChartRequest(kind, query, None, month)
    return ChartRequest(kind, *split_period(rest, SHORTEST, LONGEST, _USAGE))


class Replay:
    """Adds up, bucket by bucket, how long gateways were there and how long they were offline.

    ``since`` is when the first of them was seen: the chart begins there when that is within the period.
    """

    def __init__(self, since: datetime, period: timedelta, now: datetime) -> None:
        self.begins = max(since, now - period)
        self._is_shortened = since > now - period
        length = now - self.begins
        step = next((one for one in _STEPS if length <= one * MOST_BUCKETS), _STEPS[-1])
        buckets = max(-(-length // step), 1)
        self._edges = (self.begins, *(now - step * left for left in range(buckets - 1, -1, -1)))
        self._step = step
        self._sums: dict[str, _Sums] = {}

    def add(self, tracks: Iterable[Track]) -> None:
        """Any number of times, with any part of the gateways."""
        for track in tracks:
            sums = self._sums.get(track.site)
            if sums is None:
                sums = self._sums[track.site] = _Sums(len(self._edges) - 1)
            sums.gateways += track.gateways
            sums.offline_now += track.gateways * track.offline
            for begin, end, offline in spans(track, self.begins, self._edges[-1]):
                self._cover(sums.known, begin, end, track.gateways)
                if offline:
                    self._cover(sums.offline, begin, end, track.gateways)

    def chart(self) -> OfflineChart:
        """What was added, by site; sites that differ in case only are one."""
        sites: dict[str, tuple[str, _Sums]] = {}
        whole = _Sums(len(self._edges) - 1)
        for name, sums in self._sums.items():
            whole.add(sums)
            _, together = sites.setdefault(fold(name), (name, _Sums(len(self._edges) - 1)))
            together.add(sums)
        lines = sorted((sums.line(name, self._step) for name, sums in sites.values()), key=_worst_first)
        drawn = [line for line in lines[:MOST_SITES] if line.mean > 0] if len(lines) > 1 else []
        elsewhere = lines[len(drawn)].mean if len(drawn) < len(lines) and len(lines) > 1 else 0.0
        return OfflineChart(
            self._edges, whole.line("", self._step), tuple(drawn), len(lines), elsewhere, self._is_shortened
        )

    def _cover(self, times: "_Times", begin: datetime, end: datetime, gateways: int) -> None:
        """A span in three parts: within its first bucket, whole buckets, within its last."""
        first, last = self._bucket(begin), self._bucket(end)
        if first == last:
            times.parts[first] += (end - begin) // _MICROSECOND * gateways
            return
        times.parts[first] += (self._edges[first + 1] - begin) // _MICROSECOND * gateways
        times.parts[last] += (end - self._edges[last]) // _MICROSECOND * gateways
        times.whole[first + 1] += gateways
        times.whole[last] -= gateways

    def _bucket(self, at: datetime) -> int:
        """All buckets but the first are one step long, counted from the end."""
        return max(len(self._edges) - 2 - (self._edges[-1] - at) // self._step, 0)


def spans(track: Track, begins: datetime, ends: datetime) -> Iterator[tuple[datetime, datetime, bool]]:
    """When a gateway was in the fleet between two moments, and whether it was offline then; none is empty.

    An event says what follows it; what came before the first one follows from its kind.
    """
    first_seen = max(begins, min(track.first_seen, ends))
    if not track.events:
        if first_seen < ends:
            yield first_seen, ends, track.offline
        return
    kinds = [kind for kind, _ in track.events]
    moments = [min(max(at, begins), ends) for _, at in track.events]
    earliest = min(first_seen, moments[0])
    states = [_before(kinds[0]), *map(_after, kinds[:-1], kinds[1:]), track.offline]
    if kinds[-1] is FleetEventKind.VANISHED:
        states[-1] = None
    for begin, end, state in zip([earliest, *moments], [*moments, ends], states, strict=True):
        if begin < end and state is not None:
            yield begin, end, state


def firmware_chart(counts: Iterable[tuple[str, str, int]]) -> FirmwareChart:
    """From (model, version, gateways); models that differ in case only are one, and so are versions."""
    models: dict[str, tuple[str, dict[str, VersionCount]]] = {}
    for model, version, number in counts:
        _, versions = models.setdefault(fold(model), (model, {}))
        known = versions.get(fold(version), VersionCount(version, 0))
        versions[fold(version)] = VersionCount(known.version, known.gateways + number)
    found = [(name, list(versions.values())) for name, versions in models.values()]
    found.sort(key=lambda one: (-_gateways(one[1]), one[0]))
    drawn = found[:MOST_MODELS]
    bars = MOST_BARS // len(drawn) if drawn else 0
    return FirmwareChart(
        tuple(_model(name, versions, bars) for name, versions in drawn),
        sum(_gateways(versions) for _, versions in found),
        len(found) - len(drawn),
    )


class _Times:
    """Microseconds by bucket: parts of buckets, and changes of how many gateways cover whole ones."""

    def __init__(self, buckets: int) -> None:
        self.parts = [0] * buckets
        self.whole = [0] * (buckets + 1)

    def add(self, other: "_Times") -> None:
        self.parts = [one + more for one, more in zip(self.parts, other.parts, strict=True)]
        self.whole = [one + more for one, more in zip(self.whole, other.whole, strict=True)]

    def totals(self, step: timedelta) -> list[int]:
        covering = accumulate(self.whole[:-1])
        return [
            part + number * (step // _MICROSECOND) for part, number in zip(self.parts, covering, strict=True)
        ]


class _Sums:
    def __init__(self, buckets: int) -> None:
        self.known, self.offline = _Times(buckets), _Times(buckets)
        self.gateways = self.offline_now = 0

    def add(self, other: "_Sums") -> None:
        self.known.add(other.known)
        self.offline.add(other.offline)
        self.gateways += other.gateways
        self.offline_now += other.offline_now

    def line(self, name: str, step: timedelta) -> Line:
        known, offline = self.known.totals(step), self.offline.totals(step)
        shares = tuple(part / of if of else None for part, of in zip(offline, known, strict=True))
        mean = sum(offline) / sum(known) if sum(known) else 0.0
        return Line(name, self.gateways, self.offline_now, shares, mean)


def _before(kind: FleetEventKind) -> bool | None:
    """Whether a gateway was offline when this happened to it; None when it was not in the fleet."""
    return {FleetEventKind.CAME_BACK: True, FleetEventKind.APPEARED: None, FleetEventKind.VANISHED: None}.get(
        kind, False
    )


def _after(kind: FleetEventKind, following: FleetEventKind) -> bool | None:
    if kind is FleetEventKind.APPEARED:
        return _before(following)
    return None if kind is FleetEventKind.VANISHED else kind is FleetEventKind.WENT_OFFLINE


def _worst_first(line: Line) -> tuple[float, int, str]:
    return (-line.mean, -line.gateways, fold(line.name))


def _model(name: str, versions: list[VersionCount], bars: int) -> ModelFirmware:
    """The versions with the most gateways, in the order of versions."""
    versions.sort(key=lambda one: (-one.gateways, one.version))
    drawn, rest = versions[:bars], versions[bars:]
    drawn.sort(key=lambda one: _order(one.version), reverse=True)
    return ModelFirmware(name, _gateways(versions), tuple(drawn), len(rest), _gateways(rest))


def _gateways(versions: list[VersionCount]) -> int:
    return sum(one.gateways for one in versions)


def _order(version: str) -> tuple[str, str]:
    """Versions without an order come after those that have one."""
    return (firmware_key(version) or "", version)
