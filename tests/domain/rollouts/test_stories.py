"""Rollouts through random stories: a model in memory asks the domain in the order in which services do.

Gateways answer, fall silent, lie and come back; people click; freezes, nights and blindness come and go.
Thousands of steps in all, and after each of them what must always hold.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.domain.access import Actor, Role
from bot.domain.errors import NotAllowed, Stale
from bot.domain.firmware import DeviceProgress, Firmware, FirmwareId, JobDevice
from bot.domain.gateways import Connectivity, Gateway, GatewayId, KnownGateway
from bot.domain.rollouts import approvals, freezes, gateway_verdict, next_starts, stop_gates
from bot.domain.rollouts import lifecycle as machine
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.gateway_verdict import Attempt, SeenState, Straggler
from bot.domain.rollouts.lifecycle import SILENT, Rollout, RolloutState, TargetState
from bot.domain.rollouts.next_starts import WaitingGateway
from bot.domain.rollouts.plan import Circumstances, Plan, make_plan
from bot.domain.times.update_windows import Window, may_start
from tests.worlds.builders import examples, rollout, rollout_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OLGA = Actor("U0OLGA", "Olga", Role.OPERATOR)
PAUL = Actor("U0PAUL", "Paul", Role.APPROVER)
ADA = Actor("U0ADA", "Ada", Role.ADMIN)
OLD, NEW = "3.4.1", "3.5.0"
SITES = ("oslo", "bergen", "narvik")
RULES = rollout_rules(
    soak=5 * MINUTE,
    window=Window(frozenset(range(7)), time(6), time(22)),
    zone=ZoneInfo("Europe/Oslo"),
    second_above_share=None,
)
FREEZE = Freeze("", "U0ADA", "Ada", "fair", NOW)
REASONABLE = settings(
    max_examples=examples(25), stateful_step_count=100, suppress_health_check=[HealthCheck.too_slow]
)


class RolloutStory(RuleBasedStateMachine):
    """One rollout of thirty gateways, from its request to wherever the story takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.seen = {
            GatewayId(f"g{number:02}"): SeenState(Connectivity.ONLINE, NOW - timedelta(days=2), OLD)
            for number in range(30)
        }
        self.told: dict[GatewayId, JobDevice] = {}
        self.blind = False
        self.freeze: Freeze | None = None
        self.plan = make_plan("", FIRMWARE, map(_known, self.seen), Circumstances(NOW, 30), RULES)
        self.waves = {target.gateway_id: target.wave for target in self.plan.eligible}
        self.states = dict.fromkeys(self.waves, TargetState.WAITING)
        self.attempts: dict[GatewayId, Attempt] = {}
        self.settled: dict[GatewayId, datetime] = {}
        self.kept: dict[GatewayId, Straggler] = {}  # settled by their silence, and their job goes on
        self.rollout = _requested(self.plan)
        self.ended: Rollout | None = None
        self.retried: Counter[GatewayId] = Counter()  # attempts that a person or the one exception allowed
        self.starts: Counter[GatewayId] = Counter()

    # ---- people

    @initialize(later=st.sampled_from([None, None, 30]))
    def a_person_approves(self, later: int | None) -> None:
        at = NOW + later * MINUTE if later else None
        self.rollout = approvals.approve(replace(self.rollout, start_at=at), PAUL, self.now, RULES)

    @rule(actor=st.sampled_from([OLGA, PAUL, ADA]), times=st.integers(1, 2))
    def pauses(self, actor: Actor, times: int) -> None:
        before = self.rollout.state
        done = sum(self._decides(lambda: machine.pause(self.rollout, actor)) for _ in range(times))
        could = before in {RolloutState.RUNNING, RolloutState.PROMOTION} and actor.role >= Role.OPERATOR
        assert done == could

    @rule(actor=st.sampled_from([OLGA, PAUL, ADA]), override=st.sampled_from([None, "tested"]))
    def resumes(self, actor: Actor, override: str | None) -> None:
        self._decides(lambda: freezes.resume(self.rollout, actor, self.now, override, self.freeze))

    @rule()
    def promotes(self) -> None:
        if not self.blind:
            self._decides(lambda: machine.promote(self.rollout, PAUL, self._verified_in_the_canary()))

    def _verified_in_the_canary(self) -> int:
        return sum(
            state is TargetState.VERIFIED and self.waves[one] == 1 for one, state in self.states.items()
        )

    @rule(sure=st.integers(0, 9))
    def aborts(self, sure: int) -> None:
        if sure == 9 and self._decides(lambda: machine.abort(self.rollout, PAUL, self.now)):
            self._set_aside()

    @rule()
    def retries_the_failed(self) -> None:
        failed = [
            one
            for one, state in self.states.items()
            if state.is_failure and self._is_online(one) and one not in self.kept
        ]
        if failed and self._decides(lambda: machine.take_up(self.rollout, PAUL, self._last(), self.now)):
            for one in failed:
                self.states[one] = TargetState.WAITING
                self.retried[one] += 1

    @rule()
    def catches_up(self) -> None:
        skipped = [one for one, state in self.states.items() if state is TargetState.SKIPPED]
        back = [one for one in skipped if self._is_online(one)]
        last = self._last()
        if back and self._decides(lambda: machine.take_up(self.rollout, PAUL, last, self.now, waves=1)):
            for one in back:
                self.states[one], self.waves[one] = TargetState.WAITING, last + 1

    @rule(frozen=st.sampled_from([False, False, True]))
    def somebody_freezes_or_ends_it(self, frozen: bool) -> None:
        self.freeze = FREEZE if frozen else None
        if frozen and not self.rollout.state.is_final:
            self.rollout = freezes.hold_anew(self.rollout)

    # ---- the outside world

    @rule(blind=st.sampled_from([False, False, True]))
    def the_fleet_is_seen_or_not(self, blind: bool) -> None:
        self.blind = blind

    @rule(number=st.integers(0, 29), online=st.booleans(), version=st.sampled_from([OLD, NEW]))
    def a_gateway_changes(self, number: int, online: bool, version: str) -> None:
        state = Connectivity.ONLINE if online else Connectivity.OFFLINE
        self.seen[GatewayId(f"g{number:02}")] = SeenState(state, self.now, version)

    @rule(version=st.sampled_from([NEW, NEW, NEW, OLD]))
    def all_in_flight_are_flashed(self, version: str) -> None:
        for one in self._flying():
            self.seen[one] = SeenState(Connectivity.ONLINE, self.now, version)
            self.told[one] = JobDevice(one, DeviceProgress.SUCCEEDED)
        self.now += MINUTE
        self._tick()
        self.time_passes(11)

    @rule(hours=st.integers(1, 4))
    def people_look_after_it_for_a_while(self, hours: int) -> None:
        for _ in range(hours):
            self.resumes(ADA, "tested")
            self.promotes()
            self.all_in_flight_are_flashed(NEW)

    @precondition(lambda self: self._flying())
    @rule(data=st.data(), progress=st.sampled_from(list(DeviceProgress)))
    def a_job_tells_of_a_gateway(self, data: st.DataObject, progress: DeviceProgress) -> None:
        one = data.draw(st.sampled_from(self._flying()))
        self.told[one] = JobDevice(one, progress)

    @precondition(lambda self: self._flying())
    @rule(number=st.integers(1, 4))
    def a_job_times_out_and_once_more(self, number: int) -> None:
        for _ in range(2):
            for one in self._flying()[:number]:
                self.told[one] = JobDevice(one, DeviceProgress.TIMED_OUT)
            self.time_passes(1)

    @rule(minutes=st.sampled_from([1, 1, 5, 11, 50, 600]))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        before, held = self.rollout.state, self._held()
        started = self.starts.total()
        self._tick()
        if before is RolloutState.PAUSED or self.rollout.state is not RolloutState.RUNNING or held:
            assert self.starts.total() == started, "nothing is started while paused, held or over"

    @rule()
    def two_processes_tick_at_once(self) -> None:
        self._tick()
        before = (self.rollout, dict(self.states), Counter(self.starts))
        self._tick()
        if before[0].state is RolloutState.PAUSED:
            assert (self.rollout, self.states, self.starts) == before, "two triggers pause once"

    # ---- what the services do

    def _tick(self) -> None:
        rollout = self.rollout
        if rollout.state is RolloutState.SCHEDULED:
            self.rollout = rollout = machine.begin(rollout, self.now)
        if rollout.state is RolloutState.SCHEDULED:
            return
        if not self.blind:
            self._judge()
            self._look()
            self.rollout = machine.advance(self.rollout, self._counts(), self.now, RULES)
        self._follow_the_late()
        if self.rollout.state is RolloutState.RUNNING and not self._held():
            self._start()

    def _judge(self) -> None:
        aborted = self.rollout.state is RolloutState.ABORTED
        for one in self._flying():
            attempt = gateway_verdict.judge(
                self.attempts[one],
                self.told.get(one),
                self.seen[one],
                NEW,
                self.now,
                self.now,
                RULES,
                aborted=aborted,
            )
            self._becomes(attempt)

    def _becomes(self, attempt: Attempt) -> None:
        one = attempt.gateway_id
        self.attempts[one], self.states[one] = attempt, attempt.state
        if attempt.state is TargetState.WAITING:
            assert attempt.number == 1, "only the first attempt is tried again by itself"
            assert self.rollout.state is not RolloutState.ABORTED
            self.retried[one] += 1
        if attempt.state is TargetState.VERIFIED:
            assert self.seen[one].firmware == NEW
            assert self._is_online(one)
        if attempt.state.is_settled:
            self.settled[one] = self.now
        if attempt.state in SILENT:
            self.kept[one] = Straggler(one, one, _site(one), 1, self.now)

    def _follow_the_late(self) -> None:
        """Lets go of those whose job is over, and has the vendor forget what nobody waits for."""
        for one, kept in list(self.kept.items()):
            if gateway_verdict.ending(kept, self.told.get(one), self.now) is not None:
                del self.kept[one]
        if gateway_verdict.may_call_off(self.kept.values(), self.told, self._flying()):
            for one, device in self.told.items():
                if device.progress is DeviceProgress.QUEUED:
                    self.told[one] = JobDevice(one, DeviceProgress.CANCELED)

    def _look(self) -> None:
        if not self.rollout.state.is_under_way:
            return
        trip = stop_gates.check_gates(self._tally())
        if trip is None or (self.rollout.state is RolloutState.PAUSED and not trip.for_good):
            return
        if trip.for_good:
            self.rollout = machine.aborted(self.rollout, trip.reason, self.now)
            self._set_aside()
        elif TargetState.WAITING in self.states.values():
            self.rollout = machine.paused(self.rollout, trip.reason)

    def _tally(self) -> stop_gates.GateCounts:
        since = self.rollout.gate_from or NOW
        recent = [one for one, at in self.settled.items() if at > since and not self._waits(one)]
        states = Counter(self.states[one] for one in recent)
        failed = [one for one in recent if self.states[one].is_failure]
        judged = sum(states[state] for state in (TargetState.VERIFIED, *machine.FAILURES))
        newest = sorted(recent, key=lambda one: (self.settled[one], one), reverse=True)
        return stop_gates.GateCounts(
            finished=judged - states[TargetState.OVERDUE],
            overdue=states[TargetState.OVERDUE],
            failures=len(failed),
            canary_failures=sum(self.waves[one] == machine.CANARY for one in failed),
            by_site=Counter(_site(one) for one in failed),
            newest=[self.states[one] for one in newest],
        )

    def _start(self) -> None:
        waiting = []
        for one in [one for one in self.states if self._waits(one)]:
            if self.waves[one] <= self.rollout.wave:
                seen, attempts = self.seen[one], self.attempts[one].number if one in self.attempts else 0
                turn = WaitingGateway(one, _site(one), seen.connectivity, seen.firmware, attempts)
                if instead := next_starts.skip_reason(turn, self.rollout, self.now):
                    self.states[one], self.settled[one] = instead[0], self.now
                else:
                    waiting.append(turn)
        aloft = Counter(_site(one) for one in self._flying())
        sizes = dict.fromkeys(SITES, 10)
        for one in next_starts.choose_starts(waiting, aloft, sizes, RULES):
            assert self.states[one] is TargetState.WAITING, "it was chosen twice"
            assert one not in self.kept, "an older job may still flash it"
            self.starts[one] += 1
            self.states[one] = TargetState.STARTED
            attempts = self.attempts[one].number + 1 if one in self.attempts else 1
            wave = self.waves[one]
            self.told[one] = JobDevice(one, DeviceProgress.QUEUED)
            self.attempts[one] = Attempt(one, _site(one), wave, TargetState.STARTED, attempts, self.now)
        aloft = Counter(_site(one) for one in self._flying())
        assert all(number <= 2 for number in aloft.values()), "a fifth of a site"

    # ---- small things

    def _decides(self, decide: Callable[[], Rollout]) -> bool:
        try:
            self.rollout = decide()
        except (Stale, NotAllowed):
            return False
        return True

    def _held(self) -> bool:
        frozen = self.freeze is not None and freezes.is_held(self.rollout, self.freeze)
        return self.blind or frozen or not may_start(RULES.window, RULES.zone, self.now)

    def _set_aside(self) -> None:
        for one in self.states:
            if self._waits(one):
                self.states[one] = TargetState.EXCLUDED

    def _waits(self, one: GatewayId) -> bool:
        return self.states[one] is TargetState.WAITING

    def _is_online(self, one: GatewayId) -> bool:
        return self.seen[one].connectivity is Connectivity.ONLINE

    def _flying(self) -> list[GatewayId]:
        return [one for one, state in self.states.items() if state.is_in_flight]

    def _last(self) -> int:
        return max(self.waves.values())

    def _counts(self) -> Counter[tuple[int, TargetState]]:
        return Counter((self.waves[one], state) for one, state in self.states.items())

    # ---- what always holds

    @invariant()
    def no_gateway_is_started_twice_for_one_step(self) -> None:
        for one, times in self.starts.items():
            assert times <= 1 + self.retried[one], one

    @invariant()
    def counts_add_up_to_the_plan(self) -> None:
        assert sum(self._counts().values()) == self.rollout.planned == sum(self.plan.waves)

    @invariant()
    def what_is_kept_for_its_job_stays_settled(self) -> None:
        assert all(self.states[one] in SILENT for one in self.kept)

    @invariant()
    def nobody_waits_in_an_aborted_rollout(self) -> None:
        if self.rollout.state is RolloutState.ABORTED:
            assert TargetState.WAITING not in self.states.values()

    @invariant()
    def a_finished_rollout_waits_for_nobody(self) -> None:
        if self.rollout.state is RolloutState.FINISHED:
            assert all(state.is_settled for state in self.states.values())

    @invariant()
    def an_abort_is_the_end(self) -> None:
        if self.ended is not None and self.ended.state is RolloutState.FINISHED:
            assert self.rollout.state in {RolloutState.FINISHED, RolloutState.RUNNING}, "taken up, or not"
        elif self.ended is not None:
            assert self.rollout == self.ended
        self.ended = self.rollout if self.rollout.state.is_final else None


FIRMWARE = Firmware(FirmwareId("fw"), "2011", NEW)


def _site(one: GatewayId) -> str:
    return SITES[int(one[1:]) % 3]


def _known(one: GatewayId) -> KnownGateway:
    gateway = Gateway(one, model="2011", connectivity=Connectivity.ONLINE, firmware=OLD)
    since = NOW - timedelta(days=2)
    return KnownGateway(gateway, _site(one), since, since_listing=1, first_seen=since)


def _requested(plan: Plan) -> Rollout:
    return rollout(
        channel=None,
        query="",
        firmware=plan.firmware,
        plan_hash=plan.hash,
        planned=sum(plan.waves),
        approvals_needed=plan.approvals_needed,
    )


TestRolloutStory = RolloutStory.TestCase
TestRolloutStory.settings = REASONABLE
