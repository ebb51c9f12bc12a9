"""Who must not be able to decide, tried through Slack: a limit of one role, a role that was taken away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.demo.fleet.simulator import Device, FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.workspace import APPROVER, OPERATOR
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
