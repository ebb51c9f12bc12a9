"""Who may do what, as far as it needs neither Slack nor a fleet."""

from dataclasses import replace

import pytest

from bot.domain.access import (
    Action,
    Actor,
    Grant,
    Role,
    limits_of,
    require,
    require_everywhere,
    require_within,
    role_needed,
)
from bot.domain.errors import BotError, NotAllowed, RoleUnknown
from bot.domain.query import parse
from tests.worlds.builders import NOW, known


def actor(role: Role, *, possible: Role = Role.NONE) -> Actor:
    return Actor("U0SOME0001", "Sam", role, possible, {Role.OPERATOR: "Ola"})


@pytest.mark.parametrize("action", Action)
def test_a_role_may_do_what_the_ones_below_it_may(action: Action) -> None:
    for role in Role:
        assert actor(role).may(action) is (role >= role_needed(action))


@pytest.mark.parametrize(
    ("role", "action", "error"),
    [
        (Role.NONE, Action.READ, RoleUnknown),
        (Role.VIEWER, Action.RENAME, RoleUnknown),
        (Role.OPERATOR, Action.APPROVE, RoleUnknown),
        (Role.VIEWER, Action.FREEZE, NotAllowed),
    ],
)
def test_who_could_gain_the_role_by_what_is_not_known_is_asked_to_wait_and_no_other_is(
    role: Role, action: Action, error: type[BotError]
) -> None:
    with pytest.raises(error):
        require(actor(role, possible=Role.APPROVER), action)


def test_a_role_that_is_known_counts_whatever_is_not() -> None:
    require(actor(Role.OPERATOR, possible=Role.ADMIN), Action.RENAME)


def test_a_refusal_names_the_missing_role_and_who_has_it() -> None:
    with pytest.raises(NotAllowed, match=r"to be an operator, and you are a viewer\. Ask one of them: Ola"):
        require(actor(Role.VIEWER), Action.TAG)


LAB, OSLO = parse("tag:lab"), parse("tag:oslo")


@pytest.mark.parametrize(
    ("grants", "limits"),
    [
        ([], {}),
        ([Grant(Role.OPERATOR)], {}),
        ([Grant(Role.OPERATOR, LAB)], {Role.OPERATOR: (LAB,)}),
        ([Grant(Role.OPERATOR), Grant(Role.APPROVER, LAB)], {Role.APPROVER: (LAB,)}),
        (
            [Grant(Role.OPERATOR, OSLO), Grant(Role.APPROVER, LAB)],
            {Role.OPERATOR: (OSLO, LAB), Role.APPROVER: (LAB,)},
        ),
        (
            [Grant(Role.APPROVER), Grant(Role.ADMIN, LAB)],
            {Role.ADMIN: (LAB,)},
        ),
        ([Grant(Role.OPERATOR, LAB), Grant(Role.ADMIN)], {}),
        ([Grant(Role.ADMIN, LAB), Grant(Role.ADMIN, OSLO)], dict.fromkeys(list(Role)[2:], (LAB, OSLO))),
    ],
)
def test_a_limit_belongs_to_the_role_that_the_same_id_gives(grants: list[Grant], limits: object) -> None:
    assert limits_of(grants) == limits


def test_who_operates_everywhere_and_approves_in_the_laboratory_approves_nothing_else() -> None:
    ana = Actor("U0ANA", "Ana", Role.APPROVER, limits={Role.APPROVER: (LAB,)})
    bergen = [known(tags=("bergen",))]
    require_within(ana, Action.RENAME, bergen, NOW)
    with pytest.raises(NotAllowed, match="approve a firmware rollout only among the gateways of “tag:lab”"):
        require_within(ana, Action.APPROVE, bergen, NOW)


def test_what_touches_the_whole_fleet_takes_the_role_without_a_limit() -> None:
    require_everywhere(actor(Role.ADMIN), Action.FREEZE)
    limits = {Role.ADMIN: (parse("tag:lab"), parse("tag:attic"))}
    with pytest.raises(NotAllowed, match="“tag:lab” or “tag:attic”, and this touches the whole fleet"):
        require_everywhere(replace(actor(Role.ADMIN), limits=limits), Action.FREEZE)
    with pytest.raises(RoleUnknown):
        require_everywhere(replace(actor(Role.ADMIN, possible=Role.ADMIN), limits=limits), Action.FREEZE)
    with pytest.raises(NotAllowed, match="you need to be an admin"):
        require_everywhere(actor(Role.APPROVER), Action.FREEZE)
