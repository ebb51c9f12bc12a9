"""The past of the fleet, replayed: against a simulation that counts minute by minute, and rule by rule."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.fleet.charts import (
    MOST_BARS,
    MOST_BUCKETS,
    MOST_SITES,
    ChartKind,
    ChartRequest,
    OfflineChart,
    Replay,
    Track,
    firmware_chart,
    parse_chart,
    spans,
)
from bot.domain.gateways import FleetEventKind
from tests.worlds.builders import LONG_AGO, NOW

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PERIOD = 8 * HOUR  # buckets of five minutes
MINUTES = PERIOD // MINUTE
WENT, BACK, APPEARED, VANISHED, LOST = (
    FleetEventKind.WENT_OFFLINE,
    FleetEventKind.CAME_BACK,
    FleetEventKind.APPEARED,
    FleetEventKind.VANISHED,
    FleetEventKind.BECAME_UNKNOWN,
)


def chart(tracks: Sequence[Track], since: timedelta = 30 * DAY, period: timedelta = PERIOD) -> OfflineChart:
    replay = Replay(NOW - since, period, NOW)
    replay.add(tracks)
    return replay.chart()


def track(*events: tuple[FleetEventKind, timedelta], site: str = "oslo", offline: bool = False) -> Track:
    """``events`` say how long ago each was."""
    return Track(site, offline, LONG_AGO, events=tuple((kind, NOW - ago) for kind, ago in events))


# One gateway's life by minute of the period: when it changes (absent or there, off or on), and how it began.
LIVES = st.tuples(
    st.sampled_from(["oslo", "bergen"]),
    st.booleans(),
    st.lists(
        st.tuples(st.integers(0, MINUTES), st.sampled_from(["flip", "flip", "flip", "leave"])), max_size=6
    ),
)


def lived(site: str, offline: bool, changes: list[tuple[int, str]]) -> tuple[Track, list[bool | None]]:
    """What the bot stored of a life, and whether the gateway was offline in each minute; None: not there."""
    begins, state, minutes = NOW - PERIOD, offline, list[bool | None]()
    events: list[tuple[FleetEventKind, int]] = []
    for minute, change in sorted(changes):
        gone = change == "leave" and events != [] and minute + 1 < MINUTES
        minutes += [state] * (minute - len(minutes))
        if not gone:
            state = not state
            events.append((WENT if state else BACK, minute))
            continue
        minutes += [None] * (minute + 1 - len(minutes))  # away for a minute, then back and seen to change
        state = not state
        events += [(VANISHED, minute), (APPEARED, len(minutes)), (WENT if state else BACK, len(minutes))]
    minutes += [state] * (MINUTES - len(minutes))
    stored = sorted(((kind, begins + at * MINUTE) for kind, at in events), key=lambda one: one[1])
    return Track(site, state, LONG_AGO, events=tuple(stored)), minutes[:MINUTES]


@given(st.lists(LIVES, min_size=1, max_size=8))
def test_the_replay_says_what_counting_every_minute_says(
    lives: list[tuple[str, bool, list[tuple[int, str]]]],
) -> None:
    told = [lived(*life) for life in lives]
    drawn = chart([one for one, _ in told])
    for bucket, (begin, share) in enumerate(zip(drawn.edges[:-1], drawn.whole.shares, strict=True)):
        first = (begin - drawn.begins) // MINUTE
        last = (drawn.edges[bucket + 1] - drawn.begins) // MINUTE
        known = [one for _, minutes in told for one in minutes[first:last] if one is not None]
        assert share == (sum(known) / len(known) if known else None)


@given(st.lists(LIVES, min_size=1, max_size=8), st.integers(0, 8))
def test_it_matters_not_in_which_parts_the_gateways_are_added(
    lives: list[tuple[str, bool, list[tuple[int, str]]]], at: int
) -> None:
    tracks = [lived(*life)[0] for life in lives]
    replay = Replay(LONG_AGO, PERIOD, NOW)
    replay.add(tracks[at:])
    replay.add(tracks[:at])
    assert replay.chart().whole == chart(tracks).whole


def test_gateways_to_which_nothing_happened_are_what_they_are_now() -> None:
    drawn = chart([Track("oslo", True, LONG_AGO, gateways=1), Track("oslo", False, LONG_AGO, gateways=3)])
    assert set(drawn.whole.shares) == {0.25}
    assert (drawn.whole.offline, drawn.whole.gateways, drawn.whole.share_now) == (1, 4, 0.25)


def test_what_came_before_the_first_event_follows_from_its_kind() -> None:
    begins = NOW - PERIOD
    for kind, before in ((WENT, False), (BACK, True), (LOST, False)):
        first, *_ = spans(track((kind, HOUR)), begins, NOW)
        assert first == (begins, NOW - HOUR, before)


def test_a_gateway_counts_from_the_moment_it_appeared() -> None:
    assert list(spans(track((APPEARED, HOUR), offline=True), NOW - PERIOD, NOW)) == [(NOW - HOUR, NOW, True)]
    young = Track("oslo", False, NOW - HOUR)
    assert list(spans(young, NOW - PERIOD, NOW)) == [(NOW - HOUR, NOW, False)]


def test_a_gateway_whose_state_is_unknown_is_not_offline() -> None:
    drawn = chart([track((WENT, 4 * HOUR), (LOST, 2 * HOUR))])
    assert [drawn.whole.shares[bucket] for bucket in (10, 60, 90)] == [0, 1, 0]


def test_the_chart_begins_where_history_begins_and_says_so() -> None:
    short, whole = chart([track()], since=2 * HOUR), chart([track()], since=30 * DAY)
    assert (short.begins, short.is_shortened) == (NOW - 2 * HOUR, True)
    assert (whole.begins, whole.is_shortened) == (NOW - PERIOD, False)


@pytest.mark.parametrize("period", [MINUTE, 61 * MINUTE, DAY, 7 * DAY, 30 * DAY, 3 * DAY + 7 * MINUTE])
def test_every_period_has_as_many_buckets_as_a_phone_can_show(period: timedelta) -> None:
    drawn = chart([track()], period=period)
    assert 1 <= len(drawn.whole.shares) <= MOST_BUCKETS
    assert (drawn.begins, drawn.ends) == (NOW - period, NOW)
    assert list(drawn.edges) == sorted(set(drawn.edges))


def test_the_sites_with_the_largest_share_offline_have_lines() -> None:
    down = [track((WENT, hours * HOUR), site=f"s{hours}", offline=True) for hours in range(1, 8)]
    drawn = chart([*down, track(site="fine")])
    assert [line.name for line in drawn.worst] == ["s7", "s6", "s5", "s4", "s3"]
    assert len(drawn.worst) == MOST_SITES
    assert (drawn.sites, drawn.most_elsewhere) == (8, 2 / 8)


def test_a_site_that_was_never_offline_has_no_line() -> None:
    drawn = chart([track((WENT, HOUR), site="bergen", offline=True), track(site="oslo")])
    assert [line.name for line in drawn.worst] == ["bergen"]


def test_one_site_alone_is_the_whole() -> None:
    assert chart([track((WENT, HOUR), offline=True), track(site="OSLO")]).worst == ()


def test_the_peak_is_the_first_of_the_highest() -> None:
    whole = chart([track((WENT, 6 * HOUR), (BACK, 5 * HOUR), (WENT, 2 * HOUR), (BACK, HOUR))]).whole
    assert whole.peak() == (1.0, 24)


def test_the_newest_version_comes_first_and_what_is_rare_is_left_out() -> None:
    versions = [("2011", f"3.{minor}.0", minor) for minor in range(1, 15)]
    (model,) = firmware_chart(versions).models
    assert [one.version for one in model.versions] == [
        f"3.{minor}.0" for minor in range(14, 14 - MOST_BARS, -1)
    ]
    assert (model.left_out, model.left_out_gateways) == (4, 1 + 2 + 3 + 4)


def test_the_models_with_the_most_gateways_share_the_bars() -> None:
    counts = [(f"m{number}", f"1.{minor}.0", number) for number in range(1, 7) for minor in range(9)]
    drawn = firmware_chart(counts)
    assert [model.model for model in drawn.models] == ["m6", "m5", "m4", "m3"]
    assert sum(len(model.versions) for model in drawn.models) <= MOST_BARS
    assert (drawn.left_out, drawn.gateways) == (2, sum(number for _, _, number in counts))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("offline", ChartRequest(ChartKind.OFFLINE, "", None)),
        ("Offline 24H", ChartRequest(ChartKind.OFFLINE, "", DAY)),
        ('offline tag:"Kyiv office" 7d', ChartRequest(ChartKind.OFFLINE, 'tag:"Kyiv office"', 7 * DAY)),
        ("firmware model:2011", ChartRequest(ChartKind.FIRMWARE, "model:2011", None)),
        ("offline for:>1h", ChartRequest(ChartKind.OFFLINE, "for:>1h", None)),
        ("offline 1d12h", ChartRequest(ChartKind.OFFLINE, "", 36 * HOUR)),
    ],
)
def test_a_chart_is_a_kind_a_query_and_a_period(text: str, asked: ChartRequest) -> None:
    assert parse_chart(text) == asked


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Which chart"),
        ("pie", "no chart of “pie”"),
        ("offline 31d", "30d at most"),
        ("offline 5m", "1h at least"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_what_can(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        parse_chart(text)
    assert "/mesh chart offline tag:oslo 7d" in str(refused.value)
