"""Gateways that are offline at their turn are waited for, and updated as they return.

Two hundred seeded histories of a fleet that comes and goes, minute after minute: the domain is asked in the
order in which services ask it, and after each minute what must always hold is looked at.
"""

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.errors import Stale
from bot.domain.gateways import Connectivity, Gateway, GatewayId, KnownGateway
from bot.domain.rollouts import approvals, next_starts
from bot.domain.rollouts import lifecycle as machine
from bot.domain.rollouts.lifecycle import Rollout, RolloutState, TargetState
from bot.domain.rollouts.next_starts import AwayGateway, WaitingGateway
from bot.domain.rollouts.plan import Circumstances, make_plan
from tests.worlds.builders import MONDAY, firmware, rollout, rollout_rules
from tests.worlds.rollouts import OLGA, PAUL

STEP, WAIT = timedelta(minutes=10), timedelta(hours=12)
OLD, NEW = "3.4.1", "3.5.0"
SITES = ("oslo", "bergen", "narvik")
RULES = rollout_rules(wait_for_return=WAIT, second_above_share=None, soak=2 * STEP)
RUNNING = replace(
    rollout(started_at=MONDAY, gate_from=MONDAY, wave=1, wait_for=WAIT),
    state=RolloutState.RUNNING,
)
AWAY, VERIFIED, WAITING = TargetState.AWAY, TargetState.VERIFIED, TargetState.WAITING


class History:
    """A rollout of some gateways that come and go, as one seed has it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = MONDAY
        self.ids = [GatewayId(f"g{number:02}") for number in range(self.chance.randint(1, 14))]
        self.online = {one: self.chance.random() < self.chance.choice([0, 0.6, 0.9]) for one in self.ids}
        self.since = dict.fromkeys(self.ids, MONDAY - timedelta(days=2))
        self.version = dict.fromkeys(self.ids, OLD)
        plan = make_plan("", firmware(), map(self._known, self.ids), Circumstances(MONDAY, 30), RULES)
        self.wave = {target.gateway_id: target.wave for target in plan.targets}
        self.state = {one: WAITING if wave else AWAY for one, wave in self.wave.items()}
        self.offline = {one for one, state in self.state.items() if state is AWAY}
        self.started = Counter[GatewayId]()
        self.started_at = dict.fromkeys(self.ids, MONDAY)
        self.frozen = self.given_up = False
        asked = rollout(planned=len(self.ids), wait_for=plan.wait_for, plan_hash=plan.hash)
        self.rollout = approvals.approve(asked, PAUL, self.now, RULES)

    def _known(self, one: GatewayId) -> KnownGateway:
        state = Connectivity.ONLINE if self.online[one] else Connectivity.OFFLINE
        gateway = Gateway(one, model="2011", connectivity=state, firmware=OLD)
        return KnownGateway(gateway, self.site(one), self.since[one], since_listing=1, first_seen=MONDAY)

    def site(self, one: GatewayId) -> str:
        return SITES[int(one[1:]) % 3]

    def passes(self) -> None:
        """Ten minutes: gateways come and go, people decide now and then, and the bot ticks once."""
        self.now += STEP
        for one in self.ids:
            comes = not self.online[one] and self.chance.random() < 0.03
            goes = self.online[one] and not self.state[one].is_in_flight and self.chance.random() < 0.02
            if comes or goes:
                self.online[one], self.since[one] = comes, self.now
        self.frozen = self.chance.random() < (0.9 if self.frozen else 0.02)
        self._people()
        self._judge()
        before = self.started.total()
        self._tick()
        if self.frozen or self.given_up or self.rollout.state is not RolloutState.RUNNING:
            assert self.started.total() == before

    def _people(self) -> None:
        act = self.chance.random()
        try:
            if self.rollout.state is RolloutState.PROMOTION and act < 0.3:
                self.rollout = machine.promote(self.rollout, PAUL, self._in(VERIFIED))
            elif act < 0.01:
                self.rollout = machine.pause(self.rollout, OLGA)
            elif self.rollout.state is RolloutState.PAUSED and act < 0.5:
                self.rollout = machine.resume(self.rollout, OLGA, self.now)
            elif 0.99 < act < 0.992:
                self.rollout = machine.end_waiting(self.rollout, OLGA)
                self._end_waiting()
            elif act > 0.998:
                self.rollout, self.given_up = machine.abort(self.rollout, PAUL, self.now), True
                self._nobody(AWAY, TargetState.EXCLUDED)
                self._nobody(WAITING, TargetState.EXCLUDED)
        except Stale:
            pass

    def _judge(self) -> None:
        for one in [one for one in self.ids if self.state[one].is_in_flight]:
            if self.now - self.started_at[one] >= 3 * STEP:
                self.state[one], self.version[one] = VERIFIED, NEW

    def _tick(self) -> None:
        if self.rollout.state.is_under_way and self.rollout.has_waited_at(self.now):
            self.rollout = machine.waited(self.rollout)
            self._end_waiting()
        self.rollout = machine.advance(self.rollout, self.counts(), self.now, RULES)
        if self.rollout.state is not RolloutState.RUNNING or self.frozen:
            return
        away = [AwayGateway(self._seen(one), self.since[one]) for one in self.ids if self.state[one] is AWAY]
        found = next_starts.choose_returned(away, self.rollout, self.counts(), RULES, self.now, self.now)
        if found is not None:
            for one, (state, _) in found.instead.items():
                self.state[one] = state
            assert len(found.gateways) <= machine.most_at_once(self.counts(), RULES)
            for one in found.gateways:
                assert self.online[one]
                assert self.now - self.since[one] >= RULES.stable_for
                self.state[one], self.wave[one] = WAITING, found.wave
            if found.gateways:
                self.rollout = machine.follow(self.rollout, found.wave)
        self._start()

    def _start(self) -> None:
        turn = []
        for one in self.ids:
            if self.state[one] is WAITING and self.wave[one] <= self.rollout.wave:
                instead = next_starts.skip_reason(self._seen(one), self.rollout, self.now)
                if instead is None:
                    turn.append(self._seen(one))
                else:
                    self.state[one] = instead[0]
                    self.offline |= {one} if instead[0] is AWAY else set()
        sizes = Counter(map(self.site, self.ids))
        for one in next_starts.choose_starts(turn, self.aloft(), sizes, RULES):
            self.started[one] += 1
            self.state[one], self.started_at[one] = TargetState.STARTED, self.now
            assert one not in self.offline or self.rollout.is_waiting_at(self.now)
        most = {site: max(1, int(RULES.per_site * size)) for site, size in sizes.items()}
        assert all(number <= most[site] for site, number in self.aloft().items())

    def _seen(self, one: GatewayId) -> WaitingGateway:
        state = Connectivity.ONLINE if self.online[one] else Connectivity.OFFLINE
        return WaitingGateway(one, self.site(one), state, self.version[one], self.started[one])

    def _end_waiting(self) -> None:
        unstarted = {one for one in self.offline if self.state[one] in {AWAY, WAITING}}
        self.state.update(dict.fromkeys(unstarted, TargetState.SKIPPED))

    def _nobody(self, was: TargetState, becomes: TargetState) -> None:
        self.state.update({one: becomes for one, state in self.state.items() if state is was})

    def _in(self, state: TargetState) -> int:
        return sum(found is state for found in self.state.values())

    def aloft(self) -> Counter[str]:
        return Counter(self.site(one) for one in self.ids if self.state[one].is_in_flight)

    def counts(self) -> Counter[tuple[int, TargetState]]:
        return Counter((self.wave[one], state) for one, state in self.state.items())


@pytest.mark.parametrize("tens", range(20))
def test_in_two_hundred_histories_nobody_is_started_twice_or_after_the_approval_or_through_a_freeze(
    tens: int,
) -> None:
    returned = ended = 0
    for seed in range(10 * tens, 10 * tens + 10):
        history = History(seed)
        planned = dict(history.wave)
        while history.now < MONDAY + WAIT + 6 * STEP * 6:
            history.passes()
            assert max(history.started.values(), default=0) <= 1
        if history.rollout.state is RolloutState.FINISHED:
            ended += 1
            assert all(state.is_settled for state in history.state.values())
        returned += sum(history.wave[one] != planned[one] for one in history.started)
    assert returned > 0
    assert ended > 0


def counts(**states: int) -> dict[tuple[int, TargetState], int]:
    """``canary_verified=2, none_away=1`` and so on."""
    waves = {"none": 0, "canary": 1, "second": 2}
    return {
        (waves[name.partition("_")[0]], TargetState(name.partition("_")[2])): number
        for name, number in states.items()
    }


def advanced(rollout: Rollout, **states: int) -> Rollout:
    return machine.advance(rollout, counts(**states), MONDAY + STEP, RULES)


def test_a_rollout_whose_rest_is_offline_waits_for_it_and_ends_when_nobody_is_left() -> None:
    last = replace(RUNNING, wave=2)
    waiting = advanced(last, canary_verified=2, second_verified=8, none_away=3)
    assert (waiting.state, waiting.wave_settled_at) == (RolloutState.RUNNING, MONDAY + STEP)
    assert (
        advanced(waiting, canary_verified=2, second_verified=8, none_skipped=3).state is RolloutState.FINISHED
    )


def test_the_only_wave_is_a_canary_while_others_are_waited_for() -> None:
    assert advanced(RUNNING, canary_verified=1, none_away=3).state is RolloutState.PROMOTION
    assert advanced(RUNNING, canary_verified=1, none_skipped=3).state is RolloutState.FINISHED


def test_a_canary_that_waits_for_promotion_ends_with_the_waiting_for_those_behind_it() -> None:
    waits = advanced(RUNNING, canary_verified=1, none_away=3)
    assert advanced(waits, canary_verified=1, none_skipped=3).state is RolloutState.FINISHED


def test_where_everybody_is_offline_those_that_return_first_are_the_canary() -> None:
    waiting = advanced(RUNNING, none_away=3)
    assert waiting.state is RolloutState.RUNNING
    assert machine.return_wave(waiting, counts(none_away=3), MONDAY + STEP, RULES) == machine.CANARY
    done = counts(canary_verified=1, none_away=2)
    assert machine.return_wave(waiting, done, MONDAY + STEP, RULES) is None
    promoted = machine.promote(machine.advance(waiting, done, MONDAY + STEP, RULES), PAUL, 1)
    assert machine.return_wave(promoted, done, MONDAY + STEP, RULES) == 2


def test_later_waves_of_those_that_return_are_a_soak_apart() -> None:
    last = replace(RUNNING, wave=2, wave_settled_at=MONDAY)
    there = counts(canary_verified=1, second_verified=1, none_away=2)
    waves = [machine.return_wave(last, there, MONDAY + after * STEP, RULES) for after in (1, 2)]
    assert waves == [None, 3]


def test_nobody_follows_while_other_waves_are_to_come_or_one_is_under_way() -> None:
    for rest in ({"second_waiting": 1}, {"second_started": 1}):
        there = counts(canary_verified=1, none_away=2, **rest)
        for wave in (1, 2):
            now = replace(RUNNING, wave=wave, wave_settled_at=MONDAY)
            assert machine.return_wave(now, there, MONDAY + 5 * STEP, RULES) is None


def test_a_flapping_gateway_and_one_that_is_back_for_a_moment_do_not_follow() -> None:
    there = counts(none_away=3)
    seen = [WaitingGateway(GatewayId(name), "oslo", Connectivity.ONLINE, OLD) for name in "abc"]
    now = MONDAY + STEP
    away = [
        AwayGateway(seen[0], MONDAY, is_flapping=True),
        AwayGateway(seen[1], now - RULES.stable_for / 2),
        AwayGateway(replace(seen[2], firmware=NEW), now),
    ]
    found = next_starts.choose_returned(away, RUNNING, there, RULES, now, now)
    assert found is not None
    assert found.gateways == ()
    assert found.instead == {"c": (TargetState.EXCLUDED, "already on it when its turn came")}


def test_whoever_is_offline_at_its_turn_is_waited_for_as_long_as_the_rollout_waits() -> None:
    gone = WaitingGateway(GatewayId("a"), "oslo", Connectivity.OFFLINE, OLD)
    until = MONDAY + WAIT
    found = [next_starts.skip_reason(gone, RUNNING, now) for now in (until - STEP, until)]
    assert [one and one[0] for one in found] == [AWAY, TargetState.SKIPPED]
    ended = machine.end_waiting(RUNNING, OLGA)
    assert next_starts.skip_reason(gone, ended, MONDAY) == (TargetState.SKIPPED, "offline when its turn came")
    with pytest.raises(Stale, match="waits for no gateway"):
        machine.end_waiting(ended, OLGA)
