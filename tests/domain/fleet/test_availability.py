"""Availability against an independent computation: minute by minute, out of the log of events."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.fleet.availability import (
    Present,
    Transition,
    Uptime,
    Uptimes,
    WorstBy,
)
from bot.domain.gateways import Connectivity, FleetEvent, FleetEventKind, Interval, fold
from bot.storage.db.timestamps import to_micros
from tests.worlds.builders import LONG_AGO, NOW

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ON, OFF, UNKNOWN = Connectivity.ONLINE, Connectivity.OFFLINE, Connectivity.UNKNOWN
OSLO = ZoneInfo("Europe/Oslo")
STEP = 15 * MINUTE
STEPS = 30 * HOUR // STEP
# Between them the clocks change: forward, back, and not at all.
BEGINNINGS = [
    datetime(2026, 3, 28, 12, tzinfo=UTC),
    datetime(2026, 10, 24, 12, tzinfo=UTC),
    datetime(2026, 7, 1, 12, tzinfo=UTC),
]
KINDS = {
    ON: FleetEventKind.CAME_BACK,
    OFF: FleetEventKind.WENT_OFFLINE,
    UNKNOWN: FleetEventKind.BECAME_UNKNOWN,
}


# ---- a history: what each gateway was in each step, and what did not count
@dataclass(frozen=True)
class History:
    begins: datetime
    lives: Sequence[tuple[str, Sequence[Connectivity | None]]]  # site, and state by step; None: not there
    unseen: Sequence[tuple[int, int]]  # steps
    silences: Sequence[tuple[int, int, int]]  # gateway, steps
    nightly: Sequence[tuple[int, int, int]]  # gateway; local hours between which it is in maintenance

    def at(self, step: int) -> datetime:
        return self.begins + step * STEP


@st.composite
def lives(draw: st.DrawFn) -> tuple[str, list[Connectivity | None]]:
    runs = draw(
        st.lists(
            st.tuples(st.sampled_from([ON, ON, OFF, OFF, UNKNOWN, None]), st.integers(1, 50)),
            min_size=1,
            max_size=9,
        )
    )
    states = [state for state, steps in runs for _ in range(steps)][:STEPS]
    return draw(st.sampled_from(["oslo", "Oslo", "bergen"])), states + [states[-1]] * (STEPS - len(states))


@st.composite
def histories(draw: st.DrawFn) -> History:
    known = draw(st.lists(lives(), min_size=1, max_size=5))
    which, step = st.integers(0, len(known) - 1), st.integers(0, STEPS)
    return History(
        draw(st.sampled_from(BEGINNINGS)),
        known,
        draw(st.lists(st.tuples(step, step), max_size=3)),
        draw(st.lists(st.tuples(which, step, step), max_size=4)),
        draw(st.lists(st.tuples(which, st.integers(0, 5), st.integers(0, 6)), max_size=2)),
    )


# ---- what the bot has of it
def log_of(history: History, gateway: int) -> list[FleetEvent]:
    """As listings write it down."""
    _, states = history.lives[gateway]
    events = []
    for step in range(1, STEPS):
        was, now, at = states[step - 1], states[step], history.at(step)
        if was is now:
            continue
        if was is None:
            events.append(FleetEvent(FleetEventKind.APPEARED, str(gateway), at, step, None, now))
        elif now is None:
            events.append(FleetEvent(FleetEventKind.VANISHED, str(gateway), at, step, was, None))
        else:
            events.append(FleetEvent(KINDS[now], str(gateway), at, step, was, None))
    return events


def changes_of(history: History) -> list[Transition]:
    """Gateway by gateway in the order of time."""
    return [
        (one.gateway_id, to_micros(one.at), one.kind, one.before or one.after)
        for gateway in range(len(history.lives))
        for one in sorted(log_of(history, gateway), key=lambda one: one.at)
    ]


def present_of(history: History, gateway: int) -> Present:
    site, states = history.lives[gateway]
    seen = next((step for step, state in enumerate(states) if state is not None), STEPS)
    now = states[-1] or ON  # of one that is gone nothing is known now
    return site, now, to_micros(history.at(seen) if seen else LONG_AGO), [(str(gateway), "")]


def planned_of(history: History, gateway: int) -> list[Interval]:
    intervals = [(history.at(a), history.at(b)) for who, a, b in history.silences if who == gateway]
    for who, first, last in history.nightly:
        if who == gateway:
            day = history.begins.astimezone(OSLO).replace(minute=0)
            intervals += [
                ((day + n * DAY).replace(hour=first), (day + n * DAY).replace(hour=last)) for n in range(3)
            ]
    utc = [(begin.astimezone(UTC), end.astimezone(UTC)) for begin, end in intervals]
    return [one for one in utc if one[0] < one[1]]


# ---- the same by counting
def counted(history: History, site: str, until: int) -> tuple[timedelta, timedelta, timedelta]:
    online = offline = planned = 0
    hours = [history.at(step).astimezone(OSLO).hour for step in range(STEPS)]
    for gateway, (where, states) in enumerate(history.lives):
        if where.lower() != site:
            continue
        for step, state in enumerate(states[:until]):
            if state not in (ON, OFF) or any(a <= step < b for a, b in history.unseen):
                continue
            if any(who == gateway and a <= step < b for who, a, b in history.silences) or any(
                who == gateway and a <= hours[step] < b for who, a, b in history.nightly
            ):
                planned += 1
            elif state is ON:
                online += 1
            else:
                offline += 1
    return online * STEP, offline * STEP, planned * STEP


@settings(max_examples=200)
@given(histories(), st.one_of(st.just(STEPS), st.integers(1, STEPS)))
def test_availability_is_what_counting_every_step_gives_also_of_a_time_that_is_over(
    history: History, until: int
) -> None:
    everyone = range(len(history.lives))
    uptimes = Uptimes(
        history.begins,
        history.at(until),
        [(history.at(a), history.at(b)) for a, b in history.unseen if a < b],
        {str(one): planned_of(history, one) for one in everyone},
    )
    uptimes.add_changes(changes_of(history))
    uptimes.add_gateways(present_of(history, one) for one in everyone if any(history.lives[one][1]))
    for one in uptimes.report().sites:
        found = one.uptime
        assert (found.online, found.offline, found.planned) == counted(history, one.site.lower(), until)


# ---- rule by rule
def outage(id_: str, ago: timedelta, length: timedelta) -> list[Transition]:
    return [went(id_, NOW - ago), came(id_, NOW - ago + length)]


def went(id_: str, at: datetime) -> Transition:
    return id_, to_micros(at), FleetEventKind.WENT_OFFLINE, ON


def came(id_: str, at: datetime) -> Transition:
    return id_, to_micros(at), FleetEventKind.CAME_BACK, OFF


def gateway(id_: str = "a", state: Connectivity = ON, site: str = "oslo", name: str | None = None) -> Present:
    return site, state, to_micros(LONG_AGO), [(id_, fold(name or ""))]


def day(*changes: Transition, unseen: Sequence[Interval] = (), planned: Sequence[Interval] = ()) -> Uptime:
    """Of a gateway that is online now."""
    uptimes = Uptimes(NOW - DAY, NOW, unseen, {"a": planned})
    uptimes.add_changes(changes)
    uptimes.add_gateways([gateway()])
    return uptimes.report().whole.uptime


def test_a_site_of_which_nothing_counts_has_no_share_and_comes_last() -> None:
    uptimes = Uptimes(NOW - DAY, NOW)
    uptimes.add_gateways([gateway("x", UNKNOWN, "lab"), *(gateway(f"{n}") for n in range(3))])
    uptimes.add_gateways([gateway("y", OFF, "bergen"), gateway("z", OFF, "Bergen")])
    report = uptimes.report()
    assert [(one.site, one.uptime.share) for one in report.sites] == [
        ("bergen", 0.0),
        ("oslo", 1.0),
        ("lab", None),
    ]
    assert (report.whole.gateways, report.whole.uptime.share) == (6, 0.6)


def test_an_outage_within_planned_work_or_without_data_is_none() -> None:
    it = outage("a", 5 * HOUR, 2 * HOUR)
    whole, half = (NOW - 5 * HOUR, NOW - 3 * HOUR), (NOW - 4 * HOUR, NOW - 3 * HOUR)
    nothing = timedelta()
    assert day(*it, planned=[whole]) == Uptime(22 * HOUR, nothing, 2 * HOUR, 0, nothing, 0)
    assert day(*it, unseen=[whole]) == Uptime(22 * HOUR, nothing, nothing, 0, nothing, 0)
    assert day(*it, unseen=[half]) == Uptime(22 * HOUR, HOUR, nothing, 1, HOUR, 0)


def test_it_matters_not_in_which_parts_all_is_added() -> None:
    changes = sorted(one for n in range(2, 8) for one in outage(str(n), n * HOUR, HOUR))
    gateways = [gateway(str(n), site=f"s{n % 2}") for n in range(10)]
    whole, parts = Uptimes(NOW - DAY, NOW), Uptimes(NOW - DAY, NOW)
    whole.add_changes(changes)
    whole.add_gateways(gateways)
    for change in changes:
        parts.add_changes([change])
    for some in gateways:
        parts.add_gateways([some])
    assert (whole.report(), whole.worst(WorstBy.OFTEN)) == (parts.report(), parts.worst(WorstBy.OFTEN))


def test_a_report_changes_nothing_so_that_several_may_read_at_once() -> None:
    uptimes = Uptimes(NOW - DAY, NOW)
    uptimes.add_changes(outage("a", 5 * HOUR, HOUR))
    uptimes.add_gateways([gateway("a"), gateway("b"), gateway("c", site="bergen")])
    added = pickle.dumps(uptimes)
    assert uptimes.report().whole.gateways == 3
    assert uptimes.worst(WorstBy.LONGEST)[1] == 1
    assert pickle.dumps(uptimes) == added


def test_a_change_that_is_dated_before_the_one_before_it_comes_with_it() -> None:
    appears = ("a", to_micros(NOW - HOUR), FleetEventKind.APPEARED, ON)
    found = day(appears, went("a", NOW - 2 * HOUR), came("a", NOW - HOUR / 2))
    assert (found.online, found.offline) == (HOUR / 2, HOUR / 2)


@pytest.mark.parametrize(("apart", "times"), [(5, 1), (25, 0)])
def test_four_changes_within_an_hour_are_flapping_once_until_it_rests(apart: int, times: int) -> None:
    moments = [NOW - 5 * HOUR + n * apart * MINUTE for n in range(8)]
    changes = [made("a", at) for made, at in zip([went, came] * 4, moments, strict=True)]
    assert day(*changes).flapping == times


def test_the_worst_are_those_offline_longest_or_most_often_or_flapping() -> None:
    uptimes = Uptimes(NOW - DAY, NOW)
    uptimes.add_changes(outage("long", 9 * HOUR, 4 * HOUR))
    for n in range(9, 1, -2):
        uptimes.add_changes(outage("often", n * HOUR, HOUR / 2))
    for n in range(3):
        uptimes.add_changes(outage("flaps", 5 * HOUR - n * 10 * MINUTE, MINUTE))
    uptimes.add_gateways(gateway(id_) for id_ in ("long", "often", "flaps", "fine"))
    assert ids(uptimes, WorstBy.LONGEST) == ["long", "often", "flaps"]
    assert ids(uptimes, WorstBy.OFTEN) == ["often", "flaps", "long"]
    assert ids(uptimes, WorstBy.FLAPPING) == ["flaps"]
    some, total = uptimes.worst(WorstBy.LONGEST, 1, 1)
    assert ([one.id for one in some], total) == (["often"], 3)


def test_those_that_are_as_bad_as_one_another_are_in_the_order_of_their_names() -> None:
    uptimes = Uptimes(NOW - DAY, NOW)
    for id_ in ("1", "2", "3", "d"):
        uptimes.add_changes(outage(id_, 5 * HOUR, HOUR))
    names = {"3": "ålesund 1", "1": "Roof", "2": "Attic", "d": None}
    uptimes.add_gateways(gateway(id_, name=name) for id_, name in names.items())
    assert ids(uptimes, WorstBy.LONGEST) == ["2", "d", "1", "3"]


def test_gateways_of_whose_time_none_counts_are_counted() -> None:
    uptimes = Uptimes(NOW - DAY, NOW, planned={"held": [(NOW - DAY, NOW)]})
    uptimes.add_gateways([gateway("x", UNKNOWN), gateway("y", UNKNOWN), gateway("held"), gateway("fine")])
    assert uptimes.without_data == 3


def ids(uptimes: Uptimes, by: WorstBy) -> list[str]:
    return [one.id for one in uptimes.worst(by)[0]]


def test_an_event_without_its_state_led_from_what_its_kind_says() -> None:
    moments = {"went_offline": NOW - 3 * HOUR, "came_back": NOW - HOUR}
    found = day(*(("a", to_micros(at), kind, None) for kind, at in moments.items()))
    assert (found.online, found.offline) == (22 * HOUR, 2 * HOUR)
