"""The rules of each kind of incident, and of each trouble."""

import pytest

from bot.domain.incident_kinds import IncidentKind, Scope, Trouble


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_kind_has_rules_and_gateways_only_where_they_are_in_trouble(kind: IncidentKind) -> None:
    assert (kind.rules.trouble is None) == (kind.rules.scope is Scope.FLEET)
    assert kind.rules.may_be_silenced == (kind.rules.trouble is not None)


@pytest.mark.parametrize("trouble", Trouble)
def test_every_trouble_has_a_kind_of_its_own_that_gateways_join_by_their_place(trouble: Trouble) -> None:
    kind = trouble.rules.kind
    assert kind.rules.trouble is trouble
    assert kind.rules.scope in {Scope.SITE, Scope.ROLLOUT, Scope.POLICY}


@pytest.mark.parametrize("trouble", Trouble)
def test_nobody_is_in_two_incidents_for_one_trouble(trouble: Trouble) -> None:
    assert trouble in trouble.rules.kept_out_by


@pytest.mark.parametrize("trouble", Trouble)
def test_what_takes_from_another_trouble_keeps_gateways_out_of_it(trouble: Trouble) -> None:
    assert all(trouble in other.rules.kept_out_by for other in trouble.rules.takes_from)
