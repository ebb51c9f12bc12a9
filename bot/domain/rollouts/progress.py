"""What is known of a rollout at one moment, for those who draw it; counts are of gateways, not attempts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.domain.incident_kinds import IncidentSummary
from bot.domain.rollouts.events import Paused, TimelineEntry, over_with
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import (
    CANARY,
    FAILURES,
    Counts,
    Rollout,
    RolloutId,
    RolloutRules,
    RolloutState,
    TargetClass,
    TargetRecord,
    TargetState,
    takes_part,
)
from bot.domain.rollouts.plan import Plan
from bot.domain.times.update_windows import MaintenanceOpening

ESTIMATE_AFTER = 5  # settled gateways


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a firmware did in this fleet so far: gateways, and how long they were away."""

    attempted: int = 0
    verified: int = 0
    failed: int = 0
    median: timedelta | None = None
    p95: timedelta | None = None

    @classmethod
    def of(cls, states: Mapping[TargetState, int], away: Sequence[timedelta]) -> "Evidence":
        """From gateways by state and from how long they were away, the shortest first."""
        number = len(away)
        return cls(
            attempted=sum(states.values()),
            verified=states.get(TargetState.VERIFIED, 0),
            failed=sum(states.get(state, 0) for state in FAILURES),
            median=(away[(number - 1) // 2] + away[number // 2]) / 2 if away else None,
            p95=away[math.ceil(0.95 * number) - 1] if away else None,
        )


@dataclass(frozen=True, slots=True)
class DrawnPlan:
    """A plan that may be requested by its id."""

    id: str
    plan: Plan
    evidence: Evidence = field(default_factory=Evidence)
    freeze: Freeze | None = None
    start_at: datetime | None = None
    opening: MaintenanceOpening | None = None  # of the maintenance window in which alone it starts gateways
    incidents: Sequence[IncidentSummary] = ()  # open ones at its gateways' sites
    skipped: Sequence[str] = ()  # what may be newer than this "latest"
    busy_in: Sequence[RolloutId] = ()  # the rollouts that have the gateways which are in another


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """A rollout with what surrounds it."""

    rollout: Rollout
    counts: Counts
    classes: Mapping[TargetClass, int]
    now: datetime
    rules: RolloutRules
    failures: Sequence[TargetRecord] = ()  # the newest few
    stragglers: Sequence[TargetRecord] = ()  # in flight for longest
    first: Sequence[TargetRecord] = ()  # before it starts: some of those who go first
    incidents: Sequence[IncidentSummary] = ()  # open ones at its sites, while it is not over
    retryable: int = 0
    returned: int = 0  # skipped ones that came back
    late: int = 0  # counted as failed, and kept until their job is over
    freeze: Freeze | None = None
    opening: MaintenanceOpening | None = None  # of the window that it is bound to, while it is not over
    evidence: Evidence = field(default_factory=Evidence)
    worked: timedelta = timedelta()  # how long gateways were under way, while it was not paused

    @property
    def total(self) -> int:
        """Gateways that take part, whatever became of them."""
        return sum(self.by_state.values())

    @property
    def by_state(self) -> Counter[TargetState]:
        """Those that take part."""
        found: Counter[TargetState] = Counter()
        for (wave, state), count in self.counts.items():
            found[state] += count if takes_part(wave, state) else 0
        return found

    @property
    def wave_sizes(self) -> tuple[int, ...]:
        """Gateways in each wave, in order."""
        sizes: Counter[int] = Counter()
        for (wave, _), count in self.counts.items():
            sizes[wave] += count if wave else 0
        return tuple(sizes[wave] for wave in sorted(sizes) if sizes[wave])

    @property
    def failed(self) -> int:
        return sum(self.in_state(state) for state in FAILURES)

    @property
    def canary_failed(self) -> bool:
        """Whether some of the canary failed, and nothing after it was begun."""
        failed = sum(self.counts.get((CANARY, state), 0) for state in FAILURES)
        return self.rollout.wave == CANARY < self.last_wave and failed > 0

    @property
    def last_wave(self) -> int:
        return max((wave for wave, _ in self.counts), default=0)

    def in_state(self, state: TargetState) -> int:
        return self.by_state[state]

    def work_left(self) -> timedelta | None:
        """How long the rest takes at the pace so far, waits aside; None before there is a pace."""
        settled = sum(count for (wave, state), count in self.counts.items() if wave and state.is_settled)
        if self.rollout.state is not RolloutState.RUNNING or not self.worked:
            return None
        left = self.total - settled - self.in_state(TargetState.AWAY)
        if settled < ESTIMATE_AFTER or left <= 0:
            return None
        return self.worked * (left / settled)

    @property
    def soaks_left(self) -> timedelta:
        """The time between the waves that are still to come; the canary's end waits for a person instead."""
        return self.rules.soak * max(self.last_wave - max(self.rollout.wave, CANARY + 1), 0)


Span = tuple[datetime, datetime]


def worked(spans: Sequence[Span], waits: Sequence[Span]) -> timedelta:
    """How long some gateway was under way, without the times in which people let it wait."""
    total, end = timedelta(), datetime.min.replace(tzinfo=UTC)
    for begin, until in sorted(spans):
        begin = max(begin, end)
        if until > begin:
            total += until - begin - sum((_overlap((begin, until), one) for one in waits), timedelta())
            end = until
    return total


def paused_spans(entries: Sequence[TimelineEntry], now: datetime) -> list[Span]:
    """From each pause to what came of it."""
    paused = [(one, over_with(one, entries[at + 1 :])) for at, one in enumerate(entries) if is_pause(one)]
    return [(one.at, over.at if over else now) for one, over in paused]


def is_pause(entry: TimelineEntry) -> bool:
    return isinstance(entry.event, Paused)


def _overlap(one: Span, other: Span) -> timedelta:
    return max(min(one[1], other[1]) - max(one[0], other[0]), timedelta())
