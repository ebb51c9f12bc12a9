"""`meshbot doctor`: each broken set-up is named with its fix, and a right one leaves with exit status 0."""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.api import ALL_SCOPES
from bot.demo.slack.server import SlackServer
from bot.doctor import run as doctor
from bot.domain.rollouts.lifecycle import RolloutState, TargetState
from bot.domain.subscriptions import parse_subscription
from bot.settings.definitions import examine
from bot.storage import subscriptions
from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate
from tests.settings.test_settings import load
from tests.worlds.databases import sqlite_url
from tests.worlds.process import PASSWORD
from tests.worlds.rollouts import world


@dataclass
class SetUp:
    """A Slack, a portal and settings that fit them; a test breaks one thing."""

    slack: SlackServer
    portal: FleetSimulator
    variables: dict[str, str]
    said: list[str] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def examined(self, openapi: str | None = None, **variables: str) -> int:
        settings = load(**{**self.variables, **variables})
        return await doctor.run(settings, openapi=openapi, now=self.now, say=self.said.append)

    async def fault(self, *, status: int = 1, **variables: str) -> str:
        """The one line that is wrong, and with exit status 2 keeps the bot from starting."""
        assert await self.examined(**variables) == status, self.said
        wrong = [line for line in self.said if line.startswith("WRONG" if status == 1 else "FATAL")]
        assert len(wrong) == 1, self.said
        return wrong[0]


@asynccontextmanager
async def set_up(folder: Path, scopes: frozenset[str] | None = None) -> AsyncIterator[SetUp]:
    slack = SlackServer(bot_token="xoxb-bot-secret", app_token="xapp-app-secret", scopes=scopes)
    portal = FleetSimulator(gateways=3, username="fleet@example.com", password=PASSWORD)
    await slack.start()
    await portal.start()
    variables = {
        "SLACK__API_URL": slack.api_url,
        "MESHTECH__AUTH_URL": portal.auth_url,
        "MESHTECH__API_URL": portal.api_url,
        "MESHTECH__PASSWORD": PASSWORD,
        "DATABASE_URL": f"sqlite:///{folder}/meshbot.db",
        "CHANNELS__ALERTS": workspace.FLEET_ALERTS,
        "CHANNELS__ROLLOUTS": workspace.ROLLOUTS,
        "ACCESS__OPERATORS": workspace.OPERATORS,
        "ACCESS__APPROVERS": workspace.APPROVERS,
        "ACCESS__ADMINS": workspace.ADMIN,
    }
    try:
        yield SetUp(slack, portal, variables)
    finally:
        await portal.stop()
        await slack.stop()


@pytest.fixture
async def right(tmp_path: Path) -> AsyncIterator[SetUp]:
    async with set_up(tmp_path) as made:
        yield made


async def test_a_right_set_up_leaves_with_exit_status_0(right: SetUp, tmp_path: Path) -> None:
    assert await right.examined() == 0, right.said
    assert right.said[-1] == "Everything holds."
    assert not (tmp_path / "meshbot.db").exists(), "looking changes nothing"


async def test_no_line_holds_a_secret(right: SetUp) -> None:
    await right.examined(MESHTECH__PASSWORD="not-the-right-one")
    text = "\n".join(right.said)
    assert not [one for one in ("xoxb-bot", "xapp-app", "not-the-right-one", PASSWORD) if one in text]


async def test_an_install_for_a_whole_organisation_is_a_fault(right: SetUp) -> None:
    right.slack.workspace.is_org_wide = True
    assert "installed for a whole organisation" in await right.fault(status=2)


async def test_a_bot_token_that_slack_refuses_is_named(right: SetUp) -> None:
    fault = await right.fault(status=2, SLACK__BOT_TOKEN="xoxb-another")
    assert "MESHBOT_SLACK__BOT_TOKEN (invalid_auth): copy it again" in fault


async def test_a_slack_that_does_not_answer_is_no_wrong_token(right: SetUp) -> None:
    await right.slack.stop()
    assert "Slack does not answer" in await right.fault()


async def test_a_scope_that_is_missing_is_named_with_where_to_add_it(tmp_path: Path) -> None:
    async with set_up(tmp_path, ALL_SCOPES - {"files:write"}) as broken:
        fault = await broken.fault()
    assert "files:write is missing" in fault
    assert "meshbot manifest" in fault
    assert "reinstall" in fault


async def test_what_hangs_on_a_missing_scope_is_no_fault_of_its_own(tmp_path: Path) -> None:
    missing = {"users:read", "usergroups:read", "channels:read", "groups:read"}
    async with set_up(tmp_path, ALL_SCOPES - missing) as broken:
        fault = await broken.fault()
    assert "channels:read, groups:read, usergroups:read, users:read are missing. Add them" in fault
    assert sum("can be checked once the scope is there" in line for line in broken.said) == 5


async def test_an_optional_scope_that_is_missing_is_no_fault(tmp_path: Path) -> None:
    async with set_up(tmp_path, ALL_SCOPES - {"groups:history"}) as made:
        assert await made.examined() == 0
    assert any("not granted: groups:history" in line for line in made.said)


async def test_an_app_token_that_slack_refuses_is_named(right: SetUp) -> None:
    assert "MESHBOT_SLACK__APP_TOKEN (invalid_auth)" in await right.fault(
        status=2, SLACK__APP_TOKEN="xapp-another"
    )


async def test_a_channel_that_does_not_exist_is_named(right: SetUp) -> None:
    fault = await right.fault(CHANNELS__ALERTS="C0NOWHERE1")
    assert "MESHBOT_CHANNELS__ALERTS names a channel that does not exist" in fault


async def test_a_channel_without_the_bot_is_named_with_the_invitation(right: SetUp) -> None:
    fault = await right.fault(CHANNELS__ROLLOUTS=workspace.RANDOM)
    assert "the bot is not in #random (MESHBOT_CHANNELS__ROLLOUTS). Say /invite @Meshbot there." in fault


async def test_a_channel_that_is_archived_is_named(right: SetUp) -> None:
    assert "#archived is archived" in await right.fault(CHANNELS__ALERTS=workspace.ARCHIVED)


async def test_a_channel_that_subscribed_and_was_archived_is_named_with_the_number(right: SetUp) -> None:
    database = Database.open(right.variables["DATABASE_URL"])
    await migrate(database)
    async with database.write() as connection:
        for channel in (workspace.OPS, workspace.ARCHIVED):
            draft = parse_subscription("offline tag:oslo")
            await subscriptions.add(connection, channel, draft, workspace.OPERATOR, right.now())
    await database.close()
    fault = await right.fault()
    assert "#archived is archived (subscription 2). Unarchive it, or end it with /mesh unsubscribe 2" in fault


async def test_no_channel_for_alerts_is_a_fault_and_none_for_rollouts_is_not(right: SetUp) -> None:
    assert "Set MESHBOT_CHANNELS__ALERTS" in await right.fault(CHANNELS__ALERTS="", CHANNELS__ROLLOUTS="")


async def test_a_user_group_that_does_not_exist_is_named(right: SetUp) -> None:
    fault = await right.fault(ACCESS__OPERATORS="S0NOBODY01")
    assert "MESHBOT_ACCESS__OPERATORS: there is no user group S0NOBODY01" in fault


async def test_an_empty_user_group_is_named(right: SetUp) -> None:
    right.slack.workspace.groups[workspace.OPERATORS].users.clear()
    assert "is empty. Add people to it" in await right.fault()


async def test_one_approver_is_one_too_few(right: SetUp) -> None:
    fault = await right.fault(ACCESS__APPROVERS=workspace.APPROVER, ACCESS__ADMINS="")
    assert "1 may approve a rollout, and 2 are needed" in fault
    assert "MESHBOT_ACCESS__APPROVERS" in fault


async def test_one_approver_is_enough_who_may_approve_their_own(right: SetUp) -> None:
    alone = {"ACCESS__APPROVERS": workspace.APPROVER, "ACCESS__ADMINS": ""}
    assert await right.examined(**alone, ROLLOUTS__SELF_APPROVAL="true") == 0


@pytest.mark.parametrize("user", [workspace.GUEST, workspace.EXTERNAL])
async def test_a_guest_or_stranger_among_those_with_a_role_is_named(right: SetUp, user: str) -> None:
    fault = await right.fault(ACCESS__OPERATORS=f"{workspace.OPERATORS},{user}")
    assert f"{user} is a guest, a bot or of another organisation" in fault


async def test_somebody_who_left_is_named(right: SetUp) -> None:
    fault = await right.fault(ACCESS__OPERATORS=f"{workspace.OPERATORS},{workspace.DEACTIVATED}")
    assert "has left the workspace. Remove the id." in fault


async def test_a_refused_log_in_names_the_two_settings(right: SetUp) -> None:
    fault = await right.fault(MESHTECH__PASSWORD="not-the-right-one")
    assert "MESHBOT_MESHTECH__USERNAME" in fault
    assert "MESHBOT_MESHTECH__PASSWORD" in fault


async def test_a_portal_that_does_not_answer_is_named_with_its_host(right: SetUp) -> None:
    await right.portal.stop()
    fault = await right.fault()
    assert right.portal.api_url.removeprefix("http://") in fault
    assert "whether this machine reaches these hosts" in fault


async def test_a_clock_that_is_off_is_named(right: SetUp) -> None:
    right.now = lambda: datetime.now(UTC) + timedelta(minutes=10)
    assert await right.examined() == 1
    wrong = [line for line in right.said if line.startswith("WRONG")]
    assert wrong
    assert all("s ahead of" in line and "time synchronisation" in line for line in wrong)


async def test_a_database_in_a_folder_that_is_not_there_is_named(right: SetUp, tmp_path: Path) -> None:
    fault = await right.fault(status=2, DATABASE_URL=f"sqlite:///{tmp_path}/no/meshbot.db")
    assert f"{tmp_path}/no does not exist" in fault


async def test_a_file_that_is_no_database_is_named(right: SetUp, tmp_path: Path) -> None:
    (tmp_path / "meshbot.db").write_text("these are not the rows you are looking for\n" * 100)
    fault = await right.fault(status=2)
    assert "MESHBOT_DATABASE_URL: the database does not open" in fault
    assert fault.endswith("name a file that the bot's user may write, or restore a backup of it.")


async def test_a_postgresql_that_is_not_there_is_named_with_what_to_do(right: SetUp) -> None:
    fault = await right.fault(status=2, DATABASE_URL="postgresql://me@127.0.0.1:1/meshbot")
    assert fault.endswith("start it, or correct its address, its role and what that may do there.")


@pytest.mark.postgres
async def test_a_postgresql_that_takes_no_changes_is_named(right: SetUp, postgres_url: str) -> None:
    read_only = f"{postgres_url}&options=-c%20default_transaction_read_only%3Don"
    fault = await right.fault(status=2, DATABASE_URL=read_only)
    assert "takes no changes (it may only be read)" in fault


async def test_looking_whether_a_database_takes_changes_changes_nothing(right: SetUp, tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    assert await right.examined() == 0, right.said
    async with database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM ticks")).scalar() == 0
    await database.close()


async def test_a_schema_of_a_newer_version_is_named(right: SetUp, tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    await database.close()
    assert "9999 is not known to this version: a newer one wrote it" in await right.fault(status=2)


@pytest.mark.postgres
async def test_a_postgresql_without_the_schema_is_sent_to_migrate(
    right: SetUp, empty_postgres_url: str
) -> None:
    assert "Run `meshbot migrate` once." in await right.fault(status=2, DATABASE_URL=empty_postgres_url)


# ---- the vendor's contract
async def test_a_document_of_the_assumed_portal_agrees(right: SetUp, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(right.portal.openapi()))
    assert await right.examined(f"{tmp_path}/openapi.json") == 0, right.said
    assert sum(line.startswith("ok     contract ") for line in right.said) == 12


async def test_a_document_without_fields_is_noted_and_not_called_right(right: SetUp, tmp_path: Path) -> None:
    document = right.portal.openapi()
    for item in document["paths"].values():
        for described in item.values():
            described.pop("requestBody", None)
            described["responses"] = {"200": {"description": "Success"}}
    (tmp_path / "openapi.json").write_text(json.dumps(document))

    assert await right.examined(f"{tmp_path}/openapi.json") == 0, right.said
    said = [line for line in right.said if "contract " in line]
    assert sum(line.startswith("note   contract ") for line in said) == 10
    assert [line for line in said if line.startswith("ok ")] == [
        "ok     contract REMOVE_LABEL: DELETE /api/v1/devices/{id}/labels/{label}, as the bot asks",
        "ok     contract CANCEL_JOB: PUT /api/v1/jobs/{id}/cancel, as the bot asks",
    ]


async def test_a_document_that_cannot_be_read_is_named(right: SetUp, tmp_path: Path) -> None:
    assert await right.examined(f"{tmp_path}/nowhere.json") == 1
    assert any("The OpenAPI document cannot be read from" in line for line in right.said)


async def test_what_it_prints_for_another_portal_once_set_makes_a_job_run(
    right: SetUp, tmp_path: Path
) -> None:
    async with world(sqlite_url(tmp_path, "fleet.db")) as fleet:
        right.variables |= {
            "MESHTECH__AUTH_URL": fleet.portal.auth_url,
            "MESHTECH__API_URL": fleet.portal.api_url,
            "MESHTECH__USERNAME": "demo",
            "MESHTECH__PASSWORD": "demo-password",
        }
        fleet.portal.routes |= {
            "CREATE_JOB": "POST /api/v2/fota/updates",
            "LIST_JOBS": "GET /api/v2/fota/updates",
            "GET_JOB": "GET /api/v2/fota/updates/{id}",
        }
        fleet.portal.fields |= {
            "CREATE_JOB": {"deviceIds": "things", "firmwareId": "fw", "name": "title"},
            "GET_JOB": {"devices": "things", "deviceId": "thingKey", "name": "title", "status": "phase"},
            "LIST_JOBS": {"name": "title", "status": "phase"},
        }
        where = f"{fleet.portal.api_url}/swagger/v1/swagger.json"
        assert await right.examined(where) == 1
        printed = dict(line.partition("=")[::2] for line in right.said if line.startswith("MESHBOT_"))
        assert printed["MESHBOT_MESHTECH__ROUTES__CREATE_JOB"] == "POST /api/v2/fota/updates"

        right.variables |= {name.removeprefix("MESHBOT_"): value for name, value in printed.items()}
        right.said.clear()
        assert await right.examined(where) == 0, right.said

        await fleet.restarted_with(load(**right.variables).meshtech)
        rollout_id = await fleet.running()
        await fleet.comes_to(rollout_id, RolloutState.FINISHED)
        assert set((await fleet.states(rollout_id)).values()) == {TargetState.VERIFIED}
        assert fleet.started_more_than_once() == {}


async def test_a_limit_for_an_id_without_a_role_is_named(right: SetUp) -> None:
    fault = await right.fault(ACCESS__SCOPES="S0NOBODY01=tag:oslo")
    assert "MESHBOT_ACCESS__SCOPES limits S0NOBODY01, which has no role" in fault


async def test_for_each_role_it_is_said_who_has_it_and_with_which_limits(right: SetUp) -> None:
    scopes = f"{workspace.APPROVER}=tag:lab,{workspace.OPERATORS}=tag:oslo"
    assert await right.examined(ACCESS__APPROVERS=workspace.APPROVER, ACCESS__SCOPES=scopes) == 0
    roles = [line.removeprefix("ok     ") for line in right.said if " role " in line]
    assert roles == [
        "role operator: @operators (2): only “tag:oslo”; Ana Moe as approver: only “tag:lab”; "
        "Ada Lund as admin: the whole fleet",
        "role approver: Ana Moe: only “tag:lab”; Ada Lund as admin: the whole fleet",
        "role admin: Ada Lund: the whole fleet",
    ]


async def test_that_user_groups_need_a_paid_plan_is_said(right: SetUp) -> None:
    right.slack.faults.fail("usergroups.users.list", "plan_upgrade_required")
    assert "need a paid plan of Slack (plan_upgrade_required). Name people" in await right.fault()


# ---- all at once, and what it does on the way
async def test_a_missing_password_hides_only_what_hangs_on_it(right: SetUp) -> None:
    examined = examine(
        {f"MESHBOT_{name}": text for name, text in right.variables.items() if name != "MESHTECH__PASSWORD"}
        | {"MESHBOT_SLACK__BOT_TOKEN": "xoxb-bot-secret", "MESHBOT_SLACK__APP_TOKEN": "xapp-another"},
        env_file=None,
        secrets_dir=None,
    )
    status = await doctor.run(
        examined.settings, unusable=examined.wrong, now=right.now, say=right.said.append
    )
    wrong = [line.split(": ")[0] for line in right.said if line.startswith(("WRONG", "FATAL"))]
    assert (status, wrong) == (2, ["FATAL  settings", "FATAL  settings", "FATAL  Slack way in"])
    assert not right.portal.requests


async def test_the_exit_status_is_that_of_the_gravest_finding(right: SetUp) -> None:
    gone = "sqlite:////nowhere/at/all.db"
    assert await right.examined(CHANNELS__ROLLOUTS="") == 0
    assert await right.examined(CHANNELS__ALERTS="") == 1
    assert await right.examined(CHANNELS__ALERTS="", DATABASE_URL=gone) == 2
    assert right.said[-1] == "2 to mend before the bot starts."


async def test_a_test_card_goes_to_each_default_channel_when_it_is_asked_for(right: SetUp) -> None:
    await right.examined()
    assert right.slack.workspace.in_channel(workspace.FLEET_ALERTS) == []
    await doctor.run(load(**right.variables), send_test=True, now=right.now, say=right.said.append)
    for channel in (workspace.FLEET_ALERTS, workspace.ROLLOUTS):
        (card,) = right.slack.workspace.in_channel(channel)
        assert "Meshbot can post here" in card.text
    assert right.slack.problems == []


async def test_what_is_said_as_json_holds_every_finding_and_the_status(right: SetUp) -> None:
    settings = load(**{**right.variables, "SLACK__APP_TOKEN": "xapp-another"})
    assert await doctor.run(settings, as_json=True, now=right.now, say=right.said.append) == 2
    (text,) = right.said
    said = json.loads(text)
    assert said["status"] == 2
    (fatal,) = [one for one in said["findings"] if one["verdict"] == "fatal"]
    assert fatal["settings"] == ["MESHBOT_SLACK__APP_TOKEN"]
    assert len(said["findings"]) > 10


async def test_a_file_that_others_may_read_is_noted_and_closed_when_it_is_asked_for(
    right: SetUp, tmp_path: Path
) -> None:
    sqlite_url(tmp_path)
    (tmp_path / "meshbot.db").chmod(0o644)
    assert await right.examined() == 0
    assert any(line.startswith("note   files: ") for line in right.said)
    await doctor.run(load(**right.variables), fix=True, now=right.now, say=right.said.append)
    assert any(line.startswith("fixed  files: ") for line in right.said)
    assert (tmp_path / "meshbot.db").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("what", ["text", "empty", "link", "second name"])
async def test_the_doctor_changes_no_file_but_a_database_of_its_own(
    right: SetUp, tmp_path: Path, what: str
) -> None:
    named, other = tmp_path / "meshbot.db", tmp_path / "other"
    sqlite_url(tmp_path, "other")
    match what:
        case "link":
            named.symlink_to(other)
        case "second name":
            named.hardlink_to(other)
        case _:
            named.write_text("root:x:0:0\n" if what == "text" else "")
    named.chmod(0o644)
    os.utime(named, (0, 0))
    before = named.stat(), named.read_bytes()
    await doctor.run(load(**right.variables), fix=True, now=right.now, say=right.said.append)
    assert named.stat().st_mode == before[0].st_mode
    assert not [line for line in right.said if line.startswith("fixed")]
    if what in {"text", "empty"}:
        after = named.stat()
        assert (after.st_mtime, named.read_bytes()) == (before[0].st_mtime, before[1])
    else:
        assert any("its mode is left" in line for line in right.said)


@pytest.mark.postgres
async def test_an_old_schema_is_brought_up_to_date_when_it_is_asked_for(
    right: SetUp, empty_postgres_url: str
) -> None:
    settings = load(**{**right.variables, "DATABASE_URL": empty_postgres_url})
    assert await doctor.run(settings, fix=True, now=right.now, say=right.said.append) == 0, right.said
    assert any(line.startswith("fixed  schema: ") for line in right.said)
    assert await right.examined(DATABASE_URL=empty_postgres_url) == 0
