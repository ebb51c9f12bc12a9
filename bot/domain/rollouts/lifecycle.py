"""Firmware rollouts: what they are, and how people and the waves move one on. A pure state machine.

``now`` is always an argument; nothing here knows the vendor's wire, the database or Slack. How a single
gateway fares is in ``gateway_verdict.py``, what stops a rollout by itself in ``stop_gates.py``, what people
decide before it starts in ``approvals.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from zoneinfo import ZoneInfo

from bot.domain.access import Action, Actor, require
from bot.domain.errors import NotAllowed, Stale
from bot.domain.firmware import Firmware
from bot.domain.gateways import GatewayId
from bot.domain.rollouts.waves import WaveEnd, wave_sizes
from bot.domain.times.update_windows import Window

RolloutId = NewType("RolloutId", int)

CANARY = 1  # the first wave, when there is another behind it
APPROVAL_LASTS = timedelta(days=7)  # retries and catch-up waves stay inside the approval that long


class RolloutState(StrEnum):
    """Where a rollout is."""

    REQUESTED = "requested"
    SCHEDULED = "scheduled"  # approved, and starts at a later time
    RUNNING = "running"
    PROMOTION = "promotion"  # the canary is done; a person promotes
    PAUSED = "paused"
    FINISHED = "finished"  # only a retry or a catch-up wave takes it up again
    ABORTED = "aborted"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELED = "canceled"
    VOID = "void"  # what was approved is not what would be done

    @property
    def is_under_way(self) -> bool:
        """Whether gateways may be in flight and more may follow."""
        return self in {RolloutState.RUNNING, RolloutState.PROMOTION, RolloutState.PAUSED}

    @property
    def is_final(self) -> bool:
        return not self.is_under_way and self not in {RolloutState.REQUESTED, RolloutState.SCHEDULED}


class TargetState(StrEnum):
    """Where a gateway stands in a rollout."""

    EXCLUDED = "excluded"
    SKIPPED = "skipped"  # offline, and no longer waited for; a catch-up wave can take it along
    WAITING = "waiting"
    AWAY = "away"  # offline when its turn came, or when it was planned: it follows when it returns
    STARTED = "started"  # it is in a vendor job, or about to be
    IN_PROGRESS = "in_progress"
    REPORTED = "reported"  # the job says succeeded; that alone is not success
    VERIFIED = "verified"
    FAILED = "failed"
    OVERDUE = "overdue"
    NOT_RETURNED = "not_returned"

    @property
    def is_in_flight(self) -> bool:
        return self in {TargetState.STARTED, TargetState.IN_PROGRESS, TargetState.REPORTED}

    @property
    def is_failure(self) -> bool:
        """Silence is one: it counts like a failure that was reported."""
        return self in {TargetState.FAILED, TargetState.OVERDUE, TargetState.NOT_RETURNED}

    @property
    def is_settled(self) -> bool:
        """Whether the rollout no longer waits for it."""
        return not self.is_in_flight and self not in {TargetState.WAITING, TargetState.AWAY}


FAILURES = tuple(state for state in TargetState if state.is_failure)
IN_FLIGHT = tuple(state for state in TargetState if state.is_in_flight)
SILENT = (TargetState.OVERDUE, TargetState.NOT_RETURNED)  # the vendor's job may go on for these


class TargetClass(StrEnum):
    """Why a gateway that matched takes part, or does not."""

    ELIGIBLE = "eligible"
    ALREADY = "already on it"
    WRONG_MODEL = "of another model"
    OFFLINE = "offline"
    FLAPPING = "flapping"
    BUSY = "in another rollout"
    QUARANTINED = "quarantined"
    FROZEN = "frozen"

    @property
    def takes_part(self) -> bool:
        """Whether it is in a wave. A frozen gateway is: it starts when the freeze ends or is overridden."""
        return self in {TargetClass.ELIGIBLE, TargetClass.FROZEN}


@dataclass(frozen=True, slots=True)
class RolloutRules:
    """The numbers a rollout is run by; each is a setting."""

    approvals: int
    second_above_gateways: int | None
    second_above_share: float | None
    self_approval: bool
    approval_expires: timedelta
    waves: tuple[WaveEnd, ...] | None
    soak: timedelta
    batch: int
    per_site: float
    overdue_after: timedelta
    return_within: timedelta
    stable_for: timedelta
    wait_for_return: timedelta  # for those that are offline at their turn; zero: they are skipped
    window: Window | None
    zone: ZoneInfo
    poll_every: timedelta
    # After a lost answer the vendor's jobs are searched for ours this long before another is created.
    look_for: timedelta


class Decision(StrEnum):
    APPROVED = "approved"
    DENIED = "denied"


class ReasonNeeded(NotAllowed):
    """An admin may do it all the same, and has to say why; the text asks for it."""


@dataclass(frozen=True, slots=True)
class Approval:
    user_id: str
    name: str
    decision: Decision
    plan_hash: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A requested rollout, without its targets."""

    id: RolloutId
    uid: str
    state: RolloutState
    version: int
    requester: str
    requester_name: str
    channel: str | None
    query: str
    firmware: Firmware
    plan_hash: str
    planned: int  # gateways that take part, as approved
    approvals_needed: int
    downgrades: int
    created_at: datetime
    expires_at: datetime
    start_at: datetime | None = None
    wait_for: timedelta = timedelta()  # from its start on, for those that are offline; zero: not at all
    maintenance: int | None = None  # the number of the window in which alone gateways are started
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wave: int = 0  # the highest wave that was opened
    wave_settled_at: datetime | None = None  # when the last gateway of the open waves settled
    gate_from: datetime | None = None  # what settled before was looked at by a person
    reason: str | None = None  # why it paused, was aborted, denied …
    paused_by: str | None = None  # who paused it last; None: a gate did, or nobody
    held: str | None = None  # what keeps gateways from being started now, in words
    through_freeze: str | None = None  # an admin's reason to go on in spite of a freeze
    reminded: bool = False
    approvals: tuple[Approval, ...] = field(default=())
    last_event: int = 0  # number of the newest entry of its timeline; its buttons carry it
    bad: str | None = None  # what says that the version is known to be bad for some of its gateways

    @property
    def needs_admin(self) -> bool:
        """Whether only an admin's approval counts."""
        return bool(self.downgrades or self.bad)

    @property
    def title(self) -> str:
        return f"R-{self.id}"

    @property
    def model(self) -> str:
        return self.firmware.model or ""

    @property
    def firmware_version(self) -> str:
        return self.firmware.version or ""

    @property
    def wait_until(self) -> datetime | None:
        """Until when those that are offline may return; None where they are not waited for."""
        return self.started_at + self.wait_for if self.started_at and self.wait_for else None

    def is_waiting_at(self, now: datetime) -> bool:
        return self.wait_until is not None and now < self.wait_until

    def has_waited_at(self, now: datetime) -> bool:
        """Whether the time is over, and those that did not return are still to be told."""
        return self.wait_until is not None and now >= self.wait_until

    @property
    def approvals_missing(self) -> int:
        given = sum(approval.decision is Decision.APPROVED for approval in self.approvals)
        return max(self.approvals_needed - given, 0)


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """A target as it is shown."""

    gateway_id: GatewayId
    label: str
    site: str
    firmware_before: str | None
    cls: TargetClass
    wave: int
    state: TargetState
    reason: str | None
    attempts: int
    started_at: datetime | None
    settled_at: datetime | None
    return_time: timedelta | None


Counts = Mapping[tuple[int, TargetState], int]  # gateways by wave and state; wave 0 is in none


def takes_part(wave: int, state: TargetState) -> bool:
    """Whether such a gateway is updated: it is in a wave, or it is or was waited for."""
    return wave > 0 or state in {TargetState.AWAY, TargetState.SKIPPED}


def count_away(counts: Counts) -> int:
    return sum(count for (_, state), count in counts.items() if state is TargetState.AWAY)


# ---- before it starts


def begin(rollout: Rollout, now: datetime, held: str | None = None) -> Rollout:
    """All approvals are there: it starts, or waits for its time, or until nothing holds it any more."""
    if rollout.start_at is not None and rollout.start_at > now:
        return replace(rollout, state=RolloutState.SCHEDULED)
    if held:
        return replace(rollout, state=RolloutState.SCHEDULED, held=held)
    return replace(rollout, state=RolloutState.RUNNING, started_at=now, gate_from=now, wave=CANARY, held=None)


def window_over(rollout: Rollout) -> str:
    """Why nothing is started any more in the maintenance window that it is bound to."""
    return f"M-{rollout.maintenance}, in which alone it starts gateways, is over"


# ---- while it runs


def pause(rollout: Rollout, actor: Actor) -> Rollout:
    """Nothing more is started; what has started is still judged. Raises Stale when it does not run."""
    require(actor, Action.STEER)
    if rollout.state not in {RolloutState.RUNNING, RolloutState.PROMOTION}:
        raise Stale(_is_now(rollout, "paused"))
    return replace(paused(rollout, f"paused by {actor.name}"), paused_by=actor.user_id)


def paused(rollout: Rollout, reason: str) -> Rollout:
    """By itself."""
    return replace(rollout, state=RolloutState.PAUSED, reason=reason, paused_by=None, held=None)


def without_window(rollout: Rollout) -> Rollout:
    """The maintenance window that it was bound to is over: it pauses, and whoever resumes it starts at any
    time.
    """
    return replace(paused(rollout, f"{window_over(rollout)}: resumed, it goes on without"), maintenance=None)


def is_paused_by_itself(rollout: Rollout) -> bool:
    """By a gate, whose reason it has."""
    is_paused = rollout.state is RolloutState.PAUSED and rollout.reason is not None
    return is_paused and rollout.paused_by is None


def resume(rollout: Rollout, actor: Actor, now: datetime) -> Rollout:
    """Goes on after a pause, its failures so far seen by a person and not counted again."""
    require(actor, Action.STEER)
    if rollout.state is not RolloutState.PAUSED:
        raise Stale(_is_now(rollout, "resumed"))
    return replace(rollout, state=RolloutState.RUNNING, reason=None, gate_from=now, wave_settled_at=None)


def promote(rollout: Rollout, actor: Actor, verified: int) -> Rollout:
    """A person has looked at the canary, of which some were ``verified``, and lets the next wave go.

    Raises Stale when none waits for that, and when no gateway of it was updated: then it proves nothing.
    """
    require(actor, Action.STEER)
    if rollout.state is not RolloutState.PROMOTION:
        raise Stale(_is_now(rollout, "promoted"))
    if not verified:
        raise Stale(
            f"No gateway of the canary of {rollout.title} was updated, so it proves nothing and cannot be "
            "promoted. Abort it, and run the update again for a new plan."
        )
    return _next_wave(replace(rollout, state=RolloutState.RUNNING))


def abort(rollout: Rollout, actor: Actor, now: datetime) -> Rollout:
    """Ends it for good: nothing more is started. Raises Stale when it is not under way."""
    require(actor, Action.STEER)
    if not (rollout.state.is_under_way or rollout.state is RolloutState.SCHEDULED):
        raise Stale(_is_now(rollout, "aborted"))
    return aborted(rollout, f"aborted by {actor.name}", now)


def aborted(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """By a person or by itself."""
    return replace(rollout, state=RolloutState.ABORTED, finished_at=now, reason=reason, held=None)


def end_waiting(rollout: Rollout, actor: Actor) -> Rollout:
    """Waits for nobody any more who is offline. Raises Stale when it does not wait."""
    require(actor, Action.STEER)
    if not rollout.state.is_under_way or not rollout.wait_for:
        raise Stale(f"{rollout.title} waits for no gateway that is offline.")
    return waited(rollout)


def take_up(rollout: Rollout, actor: Actor, last_wave: int, now: datetime, *, waves: int = 0) -> Rollout:
    """Goes on with some that failed, or with skipped ones in ``waves`` more waves, inside its approval.

    Raises Stale when it did not get that far or the approval is too old.
    """
    require(actor, Action.STEER)
    if rollout.state not in {RolloutState.FINISHED, RolloutState.RUNNING, RolloutState.PAUSED}:
        raise Stale(_is_now(rollout, "taken up again"))
    if rollout.started_at is None or now - rollout.started_at > APPROVAL_LASTS:
        raise Stale(
            f"The approval of {rollout.title} is older than {APPROVAL_LASTS.days} days. "
            "Run the update again for a new plan."
        )
    if rollout.state is not RolloutState.FINISHED:
        return rollout
    return replace(
        rollout,
        state=RolloutState.RUNNING,
        finished_at=None,
        wave=last_wave + waves,
        wave_settled_at=None,
        gate_from=now,
        reason=None,
        through_freeze=None,  # that was for a freeze of then
    )


def advance(rollout: Rollout, counts: Counts, now: datetime, rules: RolloutRules) -> Rollout:
    """How a rollout goes on by itself: the next wave after the soak, a stop for promotion, the end.

    One whose rest is offline waits for that, see ``return_wave``.
    """
    away, is_last = count_away(counts), is_last_wave(rollout, counts)
    if rollout.state is RolloutState.PROMOTION and is_last and not away:
        return replace(rollout, state=RolloutState.FINISHED, finished_at=now)  # nobody is left to promote for
    if rollout.state is not RolloutState.RUNNING:
        return rollout
    if _has_open(rollout, counts):
        return replace(rollout, wave_settled_at=None)
    if is_last and not away:
        return replace(rollout, state=RolloutState.FINISHED, finished_at=now, held=None)
    if not is_last and not any(wave == rollout.wave for wave, _ in counts):
        return _next_wave(rollout)  # nobody was left in it
    settled_at = rollout.wave_settled_at or now
    looks_at_canary = not is_last or (has_canary(counts, rules) and not _is_canary_untried(counts))
    if rollout.wave == CANARY and looks_at_canary:
        return replace(rollout, state=RolloutState.PROMOTION, wave_settled_at=settled_at, held=None)
    if is_last or rollout.wave_settled_at is None or now < settled_at + rules.soak:
        return replace(rollout, wave_settled_at=settled_at)
    return _next_wave(rollout)


def return_wave(rollout: Rollout, counts: Counts, now: datetime, rules: RolloutRules) -> int | None:
    """The wave that those may join who were offline and are back; None while it is not their turn.

    They are the canary where there is no other, and waves behind all others else, a soak apart.
    """
    if rollout.state is not RolloutState.RUNNING or not rollout.is_waiting_at(now):
        return None
    if _has_open(rollout, counts) or not count_away(counts):
        return None
    last, settled_at = _last_wave(counts), rollout.wave_settled_at
    if rollout.wave == CANARY >= last and _is_canary_untried(counts):
        return CANARY
    if rollout.wave == CANARY and has_canary(counts, rules):
        return None  # it is looked at first
    if rollout.wave > last:  # promoted for them
        return rollout.wave
    is_soaked = settled_at is not None and now >= settled_at + rules.soak
    return last + 1 if rollout.wave == last and is_soaked else None


def most_at_once(counts: Counts, rules: RolloutRules) -> int:
    """How many that are back make one wave: as many as a canary of all."""
    return wave_sizes(_total(counts), rules.waves)[0]


def has_canary(counts: Counts, rules: RolloutRules) -> bool:
    """Whether a first wave of all leaves some behind it, who may be offline still."""
    return most_at_once(counts, rules) < _total(counts)


def _total(counts: Counts) -> int:
    return sum(count for of, count in counts.items() if takes_part(*of))


def is_last_wave(rollout: Rollout, counts: Counts) -> bool:
    return rollout.wave >= _last_wave(counts)


def waited(rollout: Rollout) -> Rollout:
    """By itself: its time is over, or what was approved stands no longer."""
    return replace(rollout, wait_for=timedelta())


def follow(rollout: Rollout, wave: int) -> Rollout:
    """Some that are back are in that wave, which is open."""
    return replace(rollout, wave=wave, wave_settled_at=None)


def _last_wave(counts: Counts) -> int:
    return max((wave for wave, _ in counts), default=0)


def _has_open(rollout: Rollout, counts: Counts) -> bool:
    """Whether a wave that was opened has gateways that are not settled, those aside that are away."""
    return any(
        count and wave <= rollout.wave and not state.is_settled and state is not TargetState.AWAY
        for (wave, state), count in counts.items()
    )


def _is_canary_untried(counts: Counts) -> bool:
    return not any(counts.get((CANARY, state)) for state in (TargetState.VERIFIED, *FAILURES))


def _next_wave(rollout: Rollout) -> Rollout:
    return replace(rollout, wave=rollout.wave + 1, wave_settled_at=None)


def _is_now(rollout: Rollout, wanted: str) -> str:
    because = f" ({rollout.reason})" if rollout.reason else ""
    return f"{rollout.title} is {rollout.state.value}{because}, so it cannot be {wanted} now."
