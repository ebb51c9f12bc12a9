"""When gateways that went are one storm."""

from datetime import UTC, datetime, timedelta

from bot.domain.alerts.storms import (
    StormWindow,
    WentOffline,
    are_enough,
    find_storm,
    raging,
    storm_size,
)
from tests.worlds.builders import alert_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = alert_rules()


def gone(number: int, *, sites: int = 2, apart: timedelta = timedelta(seconds=10)) -> list[WentOffline]:
    return [WentOffline(NOW + one * apart, f"site{one % sites}") for one in range(number)]


def test_ten_gateways_at_two_sites_within_five_minutes_are_a_storm() -> None:
    assert find_storm(RULES, gone(10), fleet=1000) == StormWindow(NOW, NOW + timedelta(seconds=90))


def test_nine_gateways_of_a_large_fleet_are_none() -> None:
    assert find_storm(RULES, gone(9), fleet=1000) is None


def test_a_fifth_of_a_small_fleet_is_a_storm_from_five_gateways_on() -> None:
    assert find_storm(RULES, gone(5), fleet=25) is not None
    assert find_storm(RULES, gone(4), fleet=10) is None
    assert (storm_size(RULES, 10), storm_size(RULES, 40), storm_size(RULES, 1000)) == (5, 8, 10)


def test_one_site_however_large_is_no_storm() -> None:
    assert find_storm(RULES, gone(500, sites=1), fleet=1000) is None


def test_a_large_site_beside_a_storm_does_not_hide_it() -> None:
    later = [WentOffline(one.since + timedelta(hours=1), one.site) for one in gone(10)]
    window = find_storm(RULES, [*gone(40, sites=1), *later], fleet=1000)
    assert window == StormWindow(later[0].since, later[-1].since)


def test_ten_gateways_over_an_hour_are_no_storm() -> None:
    assert find_storm(RULES, gone(10, apart=6 * MINUTE), fleet=1000) is None


def test_those_who_went_on_from_there_belong_to_the_storm() -> None:
    late = WentOffline(NOW + 5 * MINUTE, "site9")
    window = find_storm(RULES, [*gone(10), late, WentOffline(NOW + 30 * MINUTE, "site9")], fleet=1000)
    assert window == StormWindow(NOW, late.since)


def test_enough_at_more_than_one_site_are_enough_whenever_they_went() -> None:
    week = timedelta(weeks=1)
    assert are_enough(RULES, gone(10, apart=week), fleet=1000)
    assert are_enough(RULES, gone(5, apart=week), fleet=25)
    assert not are_enough(RULES, gone(9, apart=week), fleet=1000)
    assert not are_enough(RULES, gone(500, sites=1, apart=week), fleet=1000)


def test_a_storm_rages_while_as_many_go_within_five_minutes_as_make_one() -> None:
    one_by_one = [(NOW + number * 4 * MINUTE, 1) for number in range(1, 9)]
    assert raging(RULES, [(NOW, 12), *one_by_one], fleet=1000) == StormWindow(NOW, NOW + 4 * MINUTE)
    rolling = [(NOW + number * MINUTE, 4) for number in range(30)]
    assert raging(RULES, rolling, fleet=1000) == StormWindow(NOW, NOW + 29 * MINUTE)
    assert raging(RULES, one_by_one, fleet=1000) is None
