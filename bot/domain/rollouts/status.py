"""What is known of a rollout at one moment, for those who draw it; counts are of gateways, not attempts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.incident_kinds import IncidentSummary
from bot.domain.rollouts.plan import Plan, RolloutRules, TargetClass
from bot.domain.rollouts.rollout import (
    CANARY,
    FAILURES,
    Counts,
    Freeze,
    Rollout,
    RolloutState,
    TargetRecord,
    TargetState,
)

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
    incidents: Sequence[IncidentSummary] = ()  # open ones at its gateways' sites
    skipped: Sequence[str] = ()  # what may be newer than this "latest"


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
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def total(self) -> int:
        """Gateways that take part, whatever became of them."""
        return sum(count for (wave, _), count in self.counts.items() if wave)

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
        return sum(count for (wave, found), count in self.counts.items() if found is state and wave)

    def ends_about(self) -> datetime | None:
        """When the rest will be done at the pace so far; None before there is a pace to speak of."""
        rollout = self.rollout
        settled = sum(count for (wave, state), count in self.counts.items() if wave and state.is_settled)
        if rollout.state is not RolloutState.RUNNING or rollout.started_at is None:
            return None
        if settled < ESTIMATE_AFTER or settled >= self.total:
            return None
        return self.now + (self.now - rollout.started_at) * ((self.total - settled) / settled)
