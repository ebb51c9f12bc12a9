"""Who is reminded of what nobody has."""

from bot.domain.alerts.reminders import called


def test_a_group_to_call_for_the_site_takes_the_place_of_the_usual_ones_and_a_person_does_not() -> None:
    assert called(["S0OPS", "S0LEADS"], "S0OSLO") == ["S0OSLO"]
    assert called(["S0OPS", "S0LEADS"], "U0ANA") == ["U0ANA", "S0OPS", "S0LEADS"]
    assert called(["S0OPS"], None) == ["S0OPS"]
    assert not called([], None)
