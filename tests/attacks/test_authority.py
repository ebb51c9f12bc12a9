"""Who must not be able to decide, tried through Slack: a limit of one role, a role that was taken away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.demo.fleet.simulator import Device, FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.workspace import ADMIN, APPROVER, OPERATOR
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
        assert "R-2" in await made.plan_and_request(OPERATOR, f"tag:lab to {NEW}")
        await made.click(APPROVER, "rollout_approve", await made.card("R-2"))
        assert "running" in await made.command(OPERATOR, "rollout R-2")
        assert "running" not in await made.command(OPERATOR, "rollout R-1")


async def test_an_admin_by_their_own_id_pauses_a_rollout_while_no_group_can_be_read(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path, ACCESS__ADMINS=ADMIN) as made:
        await made.plan_and_request(OPERATOR, f"tag:lab to {NEW}")
        await made.click(APPROVER, "rollout_approve", await made.card("R-1"))
        card = await made.card("running")
        made.slack.faults.fail("usergroups.users.list", "internal_error", times=1000)
        for group in (workspace.OPERATORS, workspace.APPROVERS):
            made.app.slack.people.forget_group(group)
        assert "cannot check right now" in await made.click(OPERATOR, "rollout_pause", card)
        assert await made.click(ADMIN, "rollout_pause", card) == ""
        assert "paused" in await made.command(ADMIN, "rollout R-1")


async def test_that_groups_cannot_be_read_is_said_in_status(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        made.slack.faults.fail("usergroups.users.list", "plan_upgrade_required", times=1000)
        made.app.slack.people.forget_group(workspace.OPERATORS)
        said = await made.command(workspace.VIEWER, "status")
        assert f"{workspace.OPERATORS} (plan_upgrade_required): user groups need a paid plan" in said
        assert "That does not pass by itself" in await made.command(workspace.VIEWER, "rename MT10000 Roof")


async def test_somebody_whom_slack_has_never_described_reads_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        made.slack.faults.fail("users.info", "internal_error", times=1000)
        said = await made.command(workspace.GUEST, "devices")
        assert "MT1000" not in said
        assert "Slack does not tell me who you are" in said
