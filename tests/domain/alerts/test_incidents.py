"""The rules of offline alerts, for one gateway at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.alerts.acknowledgements import refuse_acknowledgement
from bot.domain.alerts.incidents import (
    Acknowledgement,
    Cut,
    Growth,
    Incident,
    ListingHistory,
    has_grown,
    is_back_enough,
    is_offline_enough,
    may_open,
    thresholds,
)
from bot.domain.errors import NotFound, Stale
from bot.domain.gateways import Connectivity, Gateway, GatewayId, KnownGateway, Listing
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from tests.worlds.builders import alert_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = alert_rules()


def history(*numbers: int, every: timedelta = MINUTE) -> ListingHistory:
    """Completed listings, the newest now and last in the arguments."""
    newest_first = tuple(reversed(numbers))
    return ListingHistory(
        [
            Listing(number, NOW - place * every, NOW - place * every)
            for place, number in enumerate(newest_first)
        ]
    )


def known(
    state: Connectivity = Connectivity.OFFLINE, minutes: float = 5, since_listing: int = 8, missed: int = 0
) -> KnownGateway:
    return KnownGateway(
        gateway=Gateway(GatewayId("bmac-1"), connectivity=state),
        site="Oslo",
        since=NOW - minutes * MINUTE,
        since_listing=since_listing,
        first_seen=NOW - timedelta(days=1),
        missed=missed,
    )


CUT = thresholds(RULES, history(8, 9, 10)).offline


def test_five_minutes_and_three_listings_are_enough() -> None:
    assert is_offline_enough(known(minutes=5, since_listing=8), CUT)


def test_a_second_less_than_five_minutes_is_not_enough() -> None:
    assert not is_offline_enough(known(minutes=4 + 59 / 60), CUT)


def test_of_a_time_still_to_come_the_listings_count_alone() -> None:
    """A clock that was set back stored it."""
    assert is_offline_enough(known(minutes=-60), CUT)
    assert not is_offline_enough(known(minutes=-60, since_listing=9), CUT)
    assert not is_offline_enough(known(minutes=0), CUT)


def test_two_listings_are_not_enough() -> None:
    assert not is_offline_enough(known(minutes=60, since_listing=9), CUT)


def test_failed_listings_in_between_do_not_count() -> None:
    cut = thresholds(RULES, history(8, 12, 20)).offline
    assert is_offline_enough(known(since_listing=8), cut)
    assert not is_offline_enough(known(since_listing=9), cut)


def test_nobody_is_offline_for_long_enough_before_the_third_listing() -> None:
    cut = thresholds(RULES, history(1, 2)).offline
    assert cut is None
    assert not is_offline_enough(known(minutes=600, since_listing=1), cut)


@pytest.mark.parametrize("state", [Connectivity.ONLINE, Connectivity.UNKNOWN])
def test_only_offline_is_offline(state: Connectivity) -> None:
    assert not is_offline_enough(known(state), CUT)


def test_a_gateway_that_the_listing_did_not_have_is_not_judged_by_it() -> None:
    assert not is_offline_enough(known(missed=1), CUT)
    assert not is_back_enough(
        known(Connectivity.ONLINE, missed=1), thresholds(RULES, history(8, 9, 10)).online
    )


def test_three_minutes_and_three_listings_online_are_a_return() -> None:
    cut = thresholds(RULES, history(8, 9, 10)).online
    assert is_back_enough(known(Connectivity.ONLINE, minutes=3), cut)
    assert not is_back_enough(known(Connectivity.ONLINE, minutes=2.9), cut)
    assert not is_back_enough(known(Connectivity.ONLINE, minutes=3, since_listing=9), cut)
    assert not is_back_enough(known(Connectivity.UNKNOWN, minutes=60), cut)


def test_a_rule_of_no_listings_asks_for_the_newest_one() -> None:
    cut = thresholds(replace(RULES, offline_listings=0), history(10)).offline
    assert cut == Cut(NOW - 5 * MINUTE, 10, NOW)


def test_time_counts_to_the_listing_not_to_when_it_is_evaluated() -> None:
    assert history(8, 9, 10).at == NOW


def test_the_lookback_covers_every_rule() -> None:
    assert alert_rules(offline_listings=2, online_listings=7, startup_listings=4).lookback == 7
    assert alert_rules(offline_listings=0, online_listings=0, startup_listings=0).lookback == 1


# ---- after a start
def test_two_listings_of_this_process_come_before_a_new_alert() -> None:
    looking = history(8, 9, 10)
    assert may_open(RULES, looking, started_at=NOW - MINUTE)
    assert not may_open(RULES, looking, started_at=NOW - MINUTE + timedelta(seconds=1))


def test_an_empty_database_holds_new_alerts() -> None:
    assert not may_open(RULES, ListingHistory(()), started_at=NOW)


def test_no_startup_listings_hold_nothing() -> None:
    assert may_open(replace(RULES, startup_listings=0), ListingHistory(()), started_at=NOW)


# ---- growth
@pytest.mark.parametrize(
    ("told", "down", "of", "grown"),
    [
        (0, 0, 100, False),
        (0, 2, 100, False),
        (0, 3, 100, True),
        (3, 5, 100, False),
        (3, 6, 100, True),
        (10, 14, 100, False),
        (10, 15, 100, True),
        (15, 10, 100, False),
        (2, 3, 4, True),  # from minor to major
        (9, 10, 10, True),  # and to critical
    ],
)
def test_half_as_many_again_and_at_least_three_more_or_a_worse_severity_is_another_matter(
    told: int, down: int, of: int, grown: bool
) -> None:
    assert has_grown(Growth(IncidentId(4), told, down, of)) is grown


# ---- a late acknowledgement
def incident(state: IncidentState = IncidentState.OPEN, by: Acknowledgement | None = None) -> Incident:
    return Incident(IncidentId(4), IncidentKind.OFFLINE, "Oslo", state, 1, NOW - MINUTE, NOW, acknowledged=by)


def test_the_second_learns_who_acknowledged_and_that_it_was_just_now() -> None:
    taken = incident(by=Acknowledgement("U0ANA00001", "Ana", NOW - MINUTE))
    refusal = refuse_acknowledgement(taken, "U0BEN00001", NOW)
    assert isinstance(refusal, Stale)
    assert str(refusal).startswith("Ana acknowledged A-4 a moment ago")


def test_an_old_acknowledgement_was_not_a_moment_ago() -> None:
    taken = incident(by=Acknowledgement("U0ANA00001", "Ana", NOW - 20 * MINUTE))
    assert str(refuse_acknowledgement(taken, "U0BEN00001", NOW)).startswith("Ana acknowledged A-4 already")


def test_somebody_who_clicks_twice_is_told_that_it_was_themselves() -> None:
    taken = incident(by=Acknowledgement("U0ANA00001", "Ana", NOW))
    assert str(refuse_acknowledgement(taken, "U0ANA00001", NOW)).startswith("You acknowledged A-4")


def test_an_incident_that_is_over_is_not_acknowledged_even_when_it_was_before() -> None:
    over = incident(IncidentState.RESOLVED, Acknowledgement("U0ANA00001", "Ana", NOW))
    assert "is over" in str(refuse_acknowledgement(over, "U0BEN00001", NOW))


def test_an_incident_that_changed_otherwise_asks_for_another_click() -> None:
    assert "Please look at its card again" in str(refuse_acknowledgement(incident(), "U0BEN00001", NOW))


def test_an_unknown_incident_is_not_found() -> None:
    assert isinstance(refuse_acknowledgement(None, "U0BEN00001", NOW), NotFound)
