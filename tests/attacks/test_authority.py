"""Who must not be able to decide, tried through Slack: a limit of one role, a role that was taken away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bot.demo.fleet.simulator import Device, FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.workspace import ADMIN, APPROVER, APPROVER_2, OPERATOR, PostedMessage
from bot.services.context import Context
from bot.services.replicas import ChangedPeople
from bot.slack.ids import CardRef
from bot.storage.db.engine import Database
from tests.worlds.house import House, house

ANA_OPERATES = f"{workspace.OPERATORS},{APPROVER}"  # the group, and Ana by her own id
MODEL, OLD, NEW = "2011", "3.4.1", "9.0.0"


def portal() -> FleetSimulator:
    """Two gateways in the laboratory and two in Bergen, on an old version."""
    made = FleetSimulator(gateways=0)
    for number, site in enumerate(["lab", "lab", "bergen", "bergen"]):
        made.add_device(
            Device(
                id=f"bmac-{number:012x}",
                friendly_name=f"MT{10000 + number}",
                model=MODEL,
                labels=[site],
                connected=True,
                changed_at=datetime.now(UTC) - timedelta(days=2),
                firmware=OLD,
                hardware="1.0.0",
            )
        )
    made.add_firmware(MODEL, NEW)
    return made


@asynccontextmanager
async def lab(folder: Path, **variables: str) -> AsyncIterator[House]:
    async with house(folder, portal(), **variables) as made:
        await made.app.fleet.take_in_listing()
        yield made


async def test_an_approver_of_the_laboratory_who_operates_everything_may_not_approve_bergen(
    tmp_path: Path,
) -> None:
    scopes = f"{workspace.APPROVERS}=tag:lab"
    async with lab(tmp_path, ACCESS__OPERATORS=ANA_OPERATES, ACCESS__SCOPES=scopes) as made:
        assert "R-1" in await made.plan_and_request(OPERATOR, f"tag:bergen to {NEW}")
        said = await made.click(APPROVER, "rollout_approve", await made.card("R-1"))
        assert "You may approve a firmware rollout only among the gateways of “tag:lab”" in said
        about = await made.submit(APPROVER, "rollout_approve", CardRef("1", 1))
        assert "You may approve a firmware rollout only among the gateways of “tag:lab”" in about
        assert "R-2" in await made.plan_and_request(OPERATOR, f"tag:lab to {NEW}")
        await made.click(APPROVER, "rollout_approve", await made.card("R-2"))
        assert "running" in await made.command(OPERATOR, "rollout R-2")
        assert "running" not in await made.command(OPERATOR, "rollout R-1")


async def test_on_a_grid_who_requested_does_not_approve_by_their_other_id(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        users = made.slack.workspace.users
        users[APPROVER].grid_id = "W0APPROV01"
        users["W0APPROV01"] = replace(users[APPROVER], id="W0APPROV01")
        await made.plan_and_request(APPROVER, f"tag:lab to {NEW}")
        said = await made.click("W0APPROV01", "rollout_approve", await made.card("R-1"))
        assert "somebody else has to approve it" in said


async def test_an_admin_by_their_own_id_pauses_a_rollout_while_no_group_can_be_read(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path, ACCESS__ADMINS=ADMIN) as made:
        await made.plan_and_request(OPERATOR, f"tag:lab to {NEW}")
        await made.click(APPROVER, "rollout_approve", await made.card("R-1"))
        card = await made.card("running")
        made.slack.faults.fail("usergroups.users.list", "internal_error", times=1000)
        for group in (workspace.OPERATORS, workspace.APPROVERS):
            made.app.slack.people.forget(group)
        assert "cannot check right now" in await made.click(OPERATOR, "rollout_pause", card)
        assert await made.click(ADMIN, "rollout_pause", card) == ""
        assert "paused" in await made.command(ADMIN, "rollout R-1")


async def test_that_groups_cannot_be_read_is_said_in_status(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        made.slack.faults.fail("usergroups.users.list", "plan_upgrade_required", times=1000)
        made.app.slack.people.forget(workspace.OPERATORS)
        said = await made.command(workspace.VIEWER, "status")
        assert f"{workspace.OPERATORS} (plan_upgrade_required): user groups need a paid plan" in said
        assert "That does not pass by itself" in await made.command(workspace.VIEWER, "rename MT10000 Roof")


async def test_somebody_whom_slack_has_never_described_reads_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        made.slack.faults.fail("users.info", "internal_error", times=1000)
        said = await made.command(workspace.GUEST, "devices")
        assert "MT1000" not in said
        assert "Slack does not tell me who you are" in said


async def requested(made: House) -> PostedMessage:
    """A card that waits for approval, the approvers and their groups known since a while."""
    for user in (OPERATOR, APPROVER, ADMIN):
        await made.command(user, "devices")
    await made.plan_and_request(OPERATOR, f"tag:lab to {NEW}")
    return await made.card("R-1")


async def test_who_was_taken_out_of_the_group_a_moment_ago_approves_nothing_though_no_event_came(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        card = await requested(made)
        made.slack.workspace.groups[workspace.APPROVERS].users.remove(APPROVER)
        made.later(seconds=6)
        assert "you need to be an approver" in await made.click(APPROVER, "rollout_approve", card)


async def test_who_became_a_guest_a_moment_ago_approves_nothing_though_no_event_came(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        card = await requested(made)
        made.slack.workspace.users[APPROVER].is_restricted = True
        made.later(seconds=6)
        assert "Guests and people" in await made.click(APPROVER, "rollout_approve", card)


async def test_what_lets_firmware_go_on_is_asked_of_slack_at_that_moment(tmp_path: Path) -> None:
    """The list of buttons, modals and commands that do; a form decides behind its acknowledgement."""
    async with lab(tmp_path, ACCESS__ADMINS=ADMIN) as made:
        await requested(made)
        buttons = ["rollout_approve", "rollout_deny", "rollout_resume", "rollout_promote"]
        card = await made.post_buttons(buttons)
        for act in [
            *(partial(made.click, ADMIN, one, card) for one in buttons),
            *(partial(made.submit, ADMIN, one) for one in ("rollout_approve", "rollout_deny")),
            *(partial(made.command, ADMIN, one) for one in ("freeze", "unfreeze")),
        ]:
            made.later(seconds=6)
            before = len(made.slack.called("users.info"))
            await act()
            asked = list(made.slack.called("users.info"))[before:]
            assert [call.args["user"] for call in asked] == [ADMIN]


async def test_while_slack_does_not_answer_a_role_of_15_minutes_ago_counts_and_no_older_one(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        card = await requested(made)
        made.slack.faults.fail("users.info", "internal_error", times=1000)
        made.later(minutes=16)
        assert "cannot check right now" in await made.click(APPROVER, "rollout_approve", card)
        made.later(minutes=-2)
        await made.click(APPROVER, "rollout_approve", card)
        assert "running" in await made.command(OPERATOR, "rollout R-1")


async def test_at_the_last_approval_those_who_approved_before_are_asked_about_again(tmp_path: Path) -> None:
    async with lab(tmp_path, ROLLOUTS__APPROVALS="2") as made:
        card = await requested(made)
        await made.click(APPROVER, "rollout_approve", card)
        made.slack.workspace.groups[workspace.APPROVERS].users.remove(APPROVER)
        made.later(seconds=6)
        card = await made.card(f"@{APPROVER}")  # drawn anew: the older button would be stale
        await made.click(APPROVER_2, "rollout_approve", card)
        assert "Ana Moe may not approve it any more" in await made.command(OPERATOR, "rollout R-1")
        assert made.portal.jobs == {}


async def test_what_slack_tells_one_replica_the_others_forget_too(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        await made.command(OPERATOR, "devices")
        forgotten: list[str] = []
        database = Database.open(f"sqlite:///{tmp_path}/meshbot.db")  # of another replica
        other = ChangedPeople(Context(database, made.portal.clock.now), forget=forgotten.append)
        made.slack.workspace.users[OPERATOR].deleted = True
        user = made.slack.workspace.users[OPERATOR].to_json()
        for event in (
            {"type": "user_change", "user": user},
            {"type": "subteam_members_changed", "subteam_id": workspace.APPROVERS},
        ):
            assert (await (await made.slack.event(event)).ack).ok
        await made.app.slack.guard.idle()
        await other.tick()
        assert set(forgotten) == {OPERATOR, workspace.APPROVERS}
        forgotten.clear()
        await other.tick()
        assert forgotten == []
        await database.close()


async def test_one_honest_line_does_not_switch_the_morning_digest_off(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        said = await made.command(OPERATOR, "subscribe digest every monday")
        assert "No gateway matches “every monday” now, so nothing was subscribed" in said
        assert "No channel has subscribed" in await made.command(OPERATOR, "subscriptions")


async def test_an_operator_cannot_take_alerts_from_the_default_channel_and_it_hears_of_an_admin_who_does(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        said = await made.command(OPERATOR, "subscribe offline tag:bergen only here")
        assert "you need to be an admin" in said
        await made.command(ADMIN, "subscribe offline tag:bergen only here")
        assert "<@U0ADMIN001>" in (await made.card("come here no more", workspace.FLEET_ALERTS)).text


async def test_an_operator_of_the_laboratory_ends_no_subscription_of_bergen(tmp_path: Path) -> None:
    scopes = f"{workspace.OPERATORS}=tag:lab"
    async with lab(tmp_path, ACCESS__SCOPES=scopes) as made:
        await made.command(ADMIN, "subscribe offline tag:bergen")
        said = await made.command(OPERATOR, "unsubscribe 1")
        assert "subscribe a channel only among the gateways of “tag:lab”" in said
        assert "1 subscription" in await made.command(OPERATOR, "subscriptions")


async def test_an_admin_of_the_laboratory_holds_back_nothing_in_bergen(tmp_path: Path) -> None:
    scopes = f"{workspace.ADMINS}=tag:lab"
    async with lab(tmp_path, ACCESS__SCOPES=scopes) as made:
        for said in (
            await made.command(ADMIN, f"freeze firmware {NEW} because it bricks"),
            await made.command(ADMIN, "freeze everything"),
            await made.command(ADMIN, "freeze because of the fair"),
            await made.command(ADMIN, "unfreeze"),
        ):
            assert "freeze or unfreeze firmware only among the gateways of “tag:lab”" in said
        assert "Nothing is frozen" in await made.command(ADMIN, "freeze")


async def test_a_bare_freeze_holds_nothing_and_a_whole_one_is_asked_about_and_told_to_all(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        card = await requested(made)
        assert "To hold every start: /mesh freeze everything" in await made.command(ADMIN, "freeze")
        await made.command(ADMIN, "freeze everything because of the fair")
        await made.click(APPROVER, "rollout_approve", card)
        assert "running" in await made.command(OPERATOR, "rollout R-1")
        typed = await made.slack.command(ADMIN, workspace.OPS, "freeze because of the fair")
        assert (await typed.ack).ok
        await made.app.slack.guard.idle()
        assert "Everything is frozen" in await made.click(ADMIN, "freeze", typed.responses[-1])
        assert "R-1 held: " in (await made.card("froze everything: of the fair")).text
        assert "No freeze holds R-1 any more" in await made.command(ADMIN, "unfreeze")
        await made.card("unfroze everything, which was frozen: of the fair")
