"""An upgrade whose schema changes, under two replicas: the old ones go on until each has been replaced."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import psycopg
import pytest

import bot
from bot.demo.slack.workspace import APPROVER, OPERATOR, ROLLOUTS
from tests.system.test_crash import fleet, has_jobs, promotes
from tests.worlds.process import IN_TIME, Outside, outside

EXPANDS = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    for table in ("gateways", "rollouts", "rollout_targets", "cards", "notes", "audit"):
        op.add_column(table, sa.Column("of_the_next_version", sa.String))
    op.create_table("of_the_next_version", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.timeout(600)
async def test_an_update_goes_on_while_replicas_of_a_newer_schema_replace_the_old_ones(
    tmp_path: Path, postgres_url: str
) -> None:
    newer = newer_version(tmp_path)
    portal = fleet(30, speed=60)
    async with outside(tmp_path, portal, DATABASE_URL=postgres_url, ROLLOUTS__WAVES="5,100%") as world:
        old = [await world.run() for _ in range(2)]
        plan = await world.answer(OPERATOR, "update tag:oslo to 3.5.0")
        await world.slack.click(OPERATOR, plan, "rollout_request")
        card = await world.message(ROLLOUTS, "R-1")
        migrating = await new(world, newer, "migrate")
        assert await migrating.wait() == 0
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]
        await world.slack.click(APPROVER, card, "rollout_approve")  # the old ones know nothing of it
        await has_jobs(world, 1)
        replacing = [await new(world, newer, "run") for _ in range(2)]
        try:
            await world.slack.wait_for(lambda: world.slack.connected == 8, IN_TIME)
            for one in old:
                assert await world.stop(one) == 0
            await world.slack.wait_for(lambda: world.slack.connected == 4, IN_TIME)
            await promotes(world)
            await world.shows(card, "finished")
        finally:
            for process in replacing:
                process.terminate()
            assert [await process.wait() for process in replacing] == [0, 0]
        assert {len(jobs) for jobs in portal.starts.values()} == {1}
        assert [one for one in world.in_channel(ROLLOUTS) if not one.is_reply] == [card]
        world.check_nothing_is_wrong()


def newer_version(folder: Path) -> Path:
    """This version with another migration."""
    shutil.copytree(Path(bot.__file__).parent, folder / "newer" / "bot")
    versions = folder / "newer" / "bot" / "storage" / "db" / "migrations" / "versions"
    (versions / "0002_of_the_next_version.py").write_text(EXPANDS)
    return folder / "newer"


async def new(world: Outside, version: Path, command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", command),
        cwd=world.folder,
        env={**os.environ, **world.variables, "PYTHONPATH": str(version)},
    )
