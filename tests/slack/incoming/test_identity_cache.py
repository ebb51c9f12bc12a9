"""Who somebody is: roles from ids and groups, cached, asked for once at a time, and never guessed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.demo.slack import workspace
from bot.domain.access import Action, Role, require, require_within
from bot.domain.errors import NotAllowed, RoleUnknown, Unavailable
from bot.domain.query import parse
from bot.slack.incoming.identity_cache import People
from tests.slack.incoming.connected import Bed, bed
from tests.worlds.builders import NOW, known


@pytest.fixture
async def made() -> AsyncIterator[Bed]:
    async with bed() as one:
        one.people.team_id = workspace.TEAM
        yield one


def asked(made: Bed, method: str) -> int:
    return len(made.slack.called(method))


@pytest.mark.parametrize(
    ("user", "role"),
    [
        (workspace.VIEWER, Role.VIEWER),
        (workspace.OPERATOR, Role.OPERATOR),
        (workspace.APPROVER, Role.APPROVER),
        (workspace.ADMIN, Role.ADMIN),
        (workspace.GUEST, Role.NONE),
        (workspace.EXTERNAL, Role.NONE),
        (workspace.DEACTIVATED, Role.NONE),
        (workspace.BOT_USER, Role.NONE),
        ("U0UNKNOWN1", Role.NONE),
    ],
)
async def test_a_role_comes_from_user_ids_and_groups(made: Bed, user: str, role: Role) -> None:
    actor = await made.people.actor(user)
    assert (actor.role, actor.possible) == (role, Role.NONE)


async def test_a_guest_has_no_role_even_if_one_is_configured(made: Bed) -> None:
    people = People(made.api, admins=[workspace.GUEST], now=made.clock.now)
    assert (await people.actor(workspace.GUEST)).role is Role.NONE
    await people.close()


@pytest.mark.parametrize("flag", ["deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger"])
async def test_each_flag_of_who_is_no_member_alone_takes_every_role_away(made: Bed, flag: str) -> None:
    setattr(made.slack.workspace.users[workspace.ADMIN], flag, True)
    assert (await made.people.actor(workspace.ADMIN)).role is Role.NONE


async def test_who_belongs_to_another_workspace_has_no_role_even_if_slack_flags_nothing(made: Bed) -> None:
    made.people.team_id = workspace.TEAM
    made.slack.workspace.users[workspace.OPERATOR].team_id = "T0OTHER001"
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.NONE
    assert (await made.people.actor(workspace.ADMIN)).role is Role.ADMIN


async def test_nobody_is_asked_for_before_somebody_comes(made: Bed) -> None:
    assert list(made.slack.calls) == []


async def test_within_five_minutes_nobody_is_asked_for_again(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    before = len(made.slack.calls)
    made.clock.advance(minutes=5)
    await made.people.actor(workspace.OPERATOR)
    assert len(made.slack.calls) == before


async def test_many_at_once_ask_once(made: Bed) -> None:
    actors = await asyncio.gather(*(made.people.actor(workspace.OPERATOR) for _ in range(50)))
    assert {actor.role for actor in actors} == {Role.OPERATOR}
    assert asked(made, "usergroups.users.list") == 2
    assert sum(call.args["user"] == workspace.OPERATOR for call in made.slack.called("users.info")) == 1


async def test_who_decides_is_asked_for_anew_unless_it_was_within_five_seconds(made: Bed) -> None:
    await made.people.actor_now(workspace.VIEWER)
    known = asked(made, "users.info")
    made.clock.advance(seconds=4.9)
    await made.people.actor_now(workspace.VIEWER)
    assert asked(made, "users.info") == known
    made.clock.advance(seconds=0.2)
    await made.people.actor_now(workspace.VIEWER)
    assert asked(made, "users.info") == known + 1


async def test_those_who_decide_are_called_in_their_order_a_group_with_the_role_that_it_gives(
    made: Bed,
) -> None:
    called = await made.people.deciders([workspace.ADMIN, workspace.OPERATORS, workspace.VIEWER])
    assert [(one.user_id, one.role) for one in called] == [
        (workspace.ADMIN, Role.ADMIN),
        (workspace.OPERATORS, Role.OPERATOR),
        (workspace.VIEWER, Role.VIEWER),
    ]


async def test_after_a_failure_nobody_is_asked_for_within_ten_seconds(made: Bed) -> None:
    made.slack.faults.fail("users.info", "internal_error", times=1)
    assert (await made.people.actor(workspace.VIEWER)).role is Role.NONE
    failed = asked(made, "users.info")
    made.clock.advance(seconds=9.9)
    assert (await made.people.actor(workspace.VIEWER)).role is Role.NONE
    assert asked(made, "users.info") == failed
    made.clock.advance(seconds=0.2)
    assert (await made.people.actor(workspace.VIEWER)).role is Role.VIEWER
    assert asked(made, "users.info") == failed + 1


async def test_after_five_minutes_the_answer_is_at_once_and_renewed_behind_it(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    made.slack.workspace.groups[workspace.OPERATORS].users.remove(workspace.OPERATOR)
    made.clock.advance(minutes=5, seconds=1)
    before = asked(made, "usergroups.users.list")
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.OPERATOR
    await made.slack.wait_for(lambda: asked(made, "usergroups.users.list") == before + 2)
    await made.people.close()
    made.clock.advance(minutes=6)


async def test_a_clock_that_is_set_back_does_not_keep_an_old_role(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    made.slack.workspace.groups[workspace.OPERATORS].users.remove(workspace.OPERATOR)
    made.clock.advance(hours=-2)
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.VIEWER


async def test_a_clock_that_is_set_back_does_not_keep_slack_from_being_asked_again(made: Bed) -> None:
    made.slack.faults.fail("users.info", "internal_error")
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.NONE
    made.clock.advance(hours=-2)
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.OPERATOR


async def test_when_slack_is_silent_a_young_answer_still_counts(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    made.slack.faults.fail("*", "internal_error", times=100)
    made.clock.advance(minutes=15)
    actor = await made.people.actor(workspace.OPERATOR)
    assert (actor.role, actor.possible) == (Role.OPERATOR, Role.NONE)


async def test_when_slack_is_silent_for_longer_somebody_reads_and_writes_nothing(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    made.slack.faults.fail("*", "internal_error", times=100)
    made.clock.advance(minutes=16)
    actor = await made.people.actor(workspace.OPERATOR)
    assert (actor.role, actor.possible) == (Role.VIEWER, Role.APPROVER)


async def test_somebody_slack_has_never_described_does_not_even_read(made: Bed) -> None:
    made.slack.faults.fail("*", "internal_error", times=100)
    for user in (workspace.ADMIN, workspace.GUEST, "U0UNKNOWN1"):
        with pytest.raises(RoleUnknown, match="Slack does not tell me who you are"):
            require(await made.people.actor(user), Action.READ)


async def test_a_role_by_ones_own_id_rests_on_no_group(made: Bed) -> None:
    made.slack.faults.fail("usergroups.users.list", "internal_error", times=100)
    actor = await made.people.actor(workspace.ADMIN)
    for action in Action:
        require(actor, action)
    assert made.people.cached_actor(workspace.ADMIN) is not None


async def test_of_a_group_that_cannot_be_read_only_those_are_in_doubt_who_could_gain_by_it(made: Bed) -> None:
    people = People(
        made.api, operators=[workspace.VIEWER], approvers=[workspace.APPROVERS], now=made.clock.now
    )
    made.slack.faults.fail("usergroups.users.list", "internal_error", times=100)
    actor = await people.actor(workspace.VIEWER)
    require(actor, Action.RENAME)
    with pytest.raises(RoleUnknown):
        require(actor, Action.APPROVE)
    with pytest.raises(NotAllowed):
        require(actor, Action.FREEZE)
    await people.close()


async def test_a_limit_is_in_doubt_while_a_group_that_could_widen_it_cannot_be_read(made: Bed) -> None:
    people = People(
        made.api,
        operators=[workspace.VIEWER, workspace.OPERATORS],
        scopes={workspace.VIEWER: parse("tag:oslo")},
        now=made.clock.now,
    )
    made.slack.faults.fail("usergroups.users.list", "internal_error", times=100)
    actor = await people.actor(workspace.VIEWER)
    require_within(actor, Action.RENAME, [known(tags=("oslo",))], NOW)
    with pytest.raises(RoleUnknown):
        require_within(actor, Action.RENAME, [known(tags=("bergen",))], NOW)
    await people.close()


@pytest.mark.parametrize("code", ["plan_upgrade_required", "missing_scope", "no_such_subteam"])
async def test_what_does_not_pass_by_itself_is_named_and_logged_once(
    made: Bed, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    people = People(made.api, operators=[workspace.OPERATORS], now=made.clock.now)
    made.slack.faults.fail("usergroups.users.list", code, times=3)
    for _ in range(3):
        await people.actor(workspace.VIEWER)
        made.clock.advance(minutes=16)
    assert [one.startswith(f"{workspace.OPERATORS} ({code}): ") for one in people.faults()] == [True]
    assert sum(code in one.getMessage() for one in caplog.records) == 1
    await people.actor(workspace.VIEWER)
    assert people.faults() == []
    await people.close()


async def test_a_group_that_does_not_exist_puts_nobody_in_doubt(made: Bed) -> None:
    people = People(made.api, operators=["S0NOBODY01"], now=made.clock.now)
    with pytest.raises(NotAllowed):
        require(await people.actor(workspace.VIEWER), Action.RENAME)
    await people.close()


async def test_somebody_whose_groups_are_not_known_is_asked_to_wait_not_refused(made: Bed) -> None:
    made.slack.faults.fail("usergroups.users.list", "internal_error", times=100)
    actor = await made.people.actor(workspace.OPERATOR)
    require(actor, Action.READ)
    with pytest.raises(Unavailable, match="cannot check right now"):
        require(actor, Action.RENAME)


async def test_a_guest_stays_a_guest_while_slack_is_silent(made: Bed) -> None:
    await made.people.actor(workspace.GUEST)
    made.slack.faults.fail("*", "internal_error", times=100)
    made.clock.advance(hours=1)
    assert (await made.people.actor(workspace.GUEST)).role is Role.NONE


async def test_a_rate_limit_on_groups_is_obeyed_and_the_old_answer_serves(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    made.slack.faults.rate_limit("usergroups.users.list", retry_after=30, times=2)
    made.clock.advance(minutes=6)
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.OPERATOR
    await made.slack.wait_for(lambda: made.slack.rejected["usergroups.users.list", "ratelimited"] == 2)
    before = asked(made, "usergroups.users.list")
    made.clock.advance(seconds=29)
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.OPERATOR
    assert asked(made, "usergroups.users.list") == before


async def test_what_slack_says_has_changed_is_asked_for_again(made: Bed) -> None:
    await made.people.actor(workspace.OPERATOR)
    made.slack.workspace.groups[workspace.OPERATORS].users.remove(workspace.OPERATOR)
    made.people.forget(workspace.OPERATORS)
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.VIEWER
    made.slack.workspace.users[workspace.OPERATOR].is_restricted = True
    made.people.forget(workspace.OPERATOR)
    assert (await made.people.actor(workspace.OPERATOR)).role is Role.NONE


async def test_without_asking_only_somebody_known_is_known(made: Bed) -> None:
    assert made.people.cached_actor(workspace.OPERATOR) is None
    await made.people.actor(workspace.OPERATOR)
    made.clock.advance(minutes=14)
    found = made.people.cached_actor(workspace.OPERATOR)
    assert found is not None
    assert found.role is Role.OPERATOR


async def test_a_refusal_names_who_has_the_role_without_ringing_at_them(made: Bed) -> None:
    holders = (await made.people.actor(workspace.VIEWER)).holders
    assert holders[Role.ADMIN] == "Ada Lund"
    assert holders[Role.APPROVER] == "@approvers, Ada Lund"
    assert holders[Role.OPERATOR] == "@operators, @approvers, Ada Lund"
    assert "<" not in "".join(holders.values())


async def test_the_holders_of_a_role_nobody_has_are_nobody(made: Bed) -> None:
    people = People(made.api, now=made.clock.now)
    assert (await people.actor(workspace.VIEWER)).holders[Role.ADMIN] == ""
    await people.close()


async def limits(made: Bed, user: str, **scopes: str) -> dict[str, set[str]]:
    """What somebody is limited to, where operators and approvers are groups, and Ana is both."""
    people = People(
        made.api,
        operators=[workspace.OPERATORS, workspace.APPROVER],
        approvers=[workspace.APPROVERS],
        scopes={one: parse(query) for one, query in scopes.items()},
        now=made.clock.now,
    )
    found = (await people.actor(user)).limits
    await people.close()
    return {role.word: {limit.text for limit in queries} for role, queries in found.items()}


async def test_an_operator_is_limited_to_the_query_of_their_group(made: Bed) -> None:
    limited = await limits(made, workspace.OPERATOR, **{workspace.OPERATORS: "tag:oslo"})
    assert limited == {"operator": {"tag:oslo"}}


async def test_an_id_without_a_limit_takes_it_away_for_the_role_it_gives_and_no_other(made: Bed) -> None:
    limited = await limits(made, workspace.APPROVER, **{workspace.APPROVERS: "tag:oslo"})
    assert limited == {"approver": {"tag:oslo"}}


async def test_the_limits_of_all_ids_that_give_a_role_add_up(made: Bed) -> None:
    both = {workspace.APPROVERS: "tag:oslo", workspace.APPROVER: "tag:bergen"}
    limited = await limits(made, workspace.APPROVER, **both)
    assert limited == {"operator": {"tag:oslo", "tag:bergen"}, "approver": {"tag:oslo"}}


async def test_groups_and_people_are_named_without_waiting_for_slack_and_without_ringing(made: Bed) -> None:
    groups = [workspace.OPERATORS]
    assert made.people.handles([*groups, workspace.VIEWER]) == [f"@{workspace.OPERATORS}", workspace.VIEWER]
    await made.people.actor(workspace.VIEWER)  # waits for what is being asked
    assert made.people.handles([*groups, workspace.VIEWER]) == ["@operators", "Vera Holm"]
    made.slack.workspace.groups[workspace.OPERATORS].handle = "night-shift"
    made.people.forget(workspace.OPERATORS)
    assert made.people.handles(groups) == ["@operators"]
    await made.people.actor(workspace.VIEWER)
    assert made.people.handles(groups) == ["@night-shift"]


async def test_the_admins_are_those_named_and_the_members_of_their_groups(made: Bed) -> None:
    made.slack.workspace.groups[workspace.ADMINS].users[:] = [workspace.ADMIN, workspace.APPROVER]
    named = [workspace.OPERATOR, workspace.ADMINS, workspace.ADMIN]
    people = People(made.api, admins=named, now=made.clock.now)
    assert await people.admins() == [workspace.OPERATOR, workspace.ADMIN, workspace.APPROVER]
    await people.close()


async def test_while_slack_does_not_tell_who_is_in_a_group_the_admins_are_not_known(made: Bed) -> None:
    people = People(made.api, admins=[workspace.ADMINS], now=made.clock.now)
    made.slack.faults.fail("usergroups.users.list", "internal_error")
    assert await people.admins() is None
    await people.close()


@pytest.mark.parametrize("named", [workspace.VIEWER, "W0VIEWER01"])
@pytest.mark.parametrize("comes_as", [workspace.VIEWER, "W0VIEWER01"])
async def test_on_a_grid_a_person_is_both_of_their_ids(made: Bed, named: str, comes_as: str) -> None:
    made.slack.workspace.users[workspace.VIEWER].grid_id = "W0VIEWER01"
    made.slack.workspace.groups[workspace.APPROVERS].users = [named]
    people = People(
        made.api,
        operators=[named],
        approvers=[workspace.APPROVERS],
        scopes={comes_as: parse("tag:oslo")},
        now=made.clock.now,
    )
    actor = await people.actor(comes_as)
    assert (actor.user_id, actor.role) == ("W0VIEWER01", Role.APPROVER)
    people = People(made.api, operators=[named], scopes={comes_as: parse("tag:oslo")}, now=made.clock.now)
    with pytest.raises(NotAllowed):
        require_within(await people.actor(comes_as), Action.RENAME, [known(tags=("bergen",))], NOW)


async def test_what_changed_about_one_id_of_a_person_counts_for_the_other(made: Bed) -> None:
    made.slack.workspace.users[workspace.ADMIN].grid_id = "W0ADMIN001"
    assert (await made.people.actor(workspace.ADMIN)).role is Role.ADMIN
    made.slack.workspace.users[workspace.ADMIN].is_restricted = True
    made.people.forget("W0ADMIN001")
    assert (await made.people.actor(workspace.ADMIN)).role is Role.NONE
