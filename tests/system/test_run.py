"""`meshbot run`: what keeps it from starting is one sentence and exit status 2; then how it runs and ends."""

import asyncio
import resource
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.app import App
from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import OPERATOR, OPS, VIEWER
from bot.domain.errors import StartupError
from bot.settings.definitions import load_settings
from tests.settings.test_settings import REQUIRED, load
from tests.worlds.databases import sqlite_url
from tests.worlds.process import IN_TIME, PASSWORD, outside

# A wrong value for each setting; what a text of any kind may be has none.
WRONG = {
    "SLACK__BOT_TOKEN": "xoxp-a-person-s-token",
    "SLACK__APP_TOKEN": "xoxb-not-an-app-s",
    "SLACK__API_URL": "slack.com/api",
    "SLACK__COMMAND": "mesh",
    "SLACK__EDIT_EVERY": "often",
    "MESHTECH__AUTH_URL": "ops-api.meshtech.no",
    "MESHTECH__API_URL": "ftp://iot-api.meshtech.no",
    "MESHTECH__PAGE_SIZE": "0",
    "MESHTECH__ROUTES__GET_JOB": "FETCH /job",
    "MESHTECH__FIELDS__GET_JOB": "deviceIds",
    "DATABASE_URL": "mysql://me:pass-word-9@host/meshbot",
    "HTTP__PORT": "65536",
    "HTTP__HEALTH_PORT": "65536",
    "CHANNELS__ALERTS": "#alerts",
    "CHANNELS__ROLLOUTS": "rollouts",
    "ACCESS__OPERATORS": "@otto",
    "ACCESS__APPROVERS": "ana",
    "ACCESS__ADMINS": "C0ALERTS01",
    "ACCESS__SCOPES": "tag:oslo",
    "FLEET__POLL_EVERY": "0",
    "FLEET__MOST_GATEWAYS": "0",
    "JOBS__POLL_EVERY": "-5s",
    "ALERTS__OFFLINE_AFTER": "five minutes",
    "ALERTS__OFFLINE_LISTINGS": "0",
    "ALERTS__ONLINE_AFTER": "3 moons",
    "ALERTS__ONLINE_LISTINGS": "1.5",
    "ALERTS__GROUP_WAIT": "soon",
    "ALERTS__STORM_GATEWAYS": "many",
    "ALERTS__STORM_SHARE": "20",
    "ALERTS__STARTUP_LISTINGS": "-1",
    "ALERTS__DIGEST_AT": "8 in the morning",
    "ALERTS__ESCALATE_TO": "U0OPERAT01",
    "ALERTS__ANNOUNCE_MAINTENANCE": "the day before",
    "PORTAL__GATEWAY_URL": "portal",
    "PORTAL__SITE_URL": "portal",
    "ROLLOUTS__ASK": "@ana",
    "ROLLOUTS__APPROVALS": "21",
    "ROLLOUTS__SECOND_ABOVE": "100,many",
    "ROLLOUTS__SELF_APPROVAL": "perhaps",
    "ROLLOUTS__APPROVAL_EXPIRES": "0s",
    "ROLLOUTS__WAVES": "50%,5%",
    "ROLLOUTS__SOAK": "long",
    "ROLLOUTS__BATCH": "0",
    "ROLLOUTS__PER_SITE": "120%",
    "ROLLOUTS__LOOK_FOR": "0",
    "ROLLOUTS__OVERDUE_AFTER": "0",
    "ROLLOUTS__RETURN_WITHIN": "eventually",
    "ROLLOUTS__STABLE_FOR": "10 parsecs",
    "ROLLOUTS__WAIT_FOR_RETURN": "a week",
    "ROLLOUTS__WINDOW": "at night",
    "TIMEZONE": "Oslo",
    "LOG__LEVEL": "loud",
    "LOG__FORMAT": "xml",
}
ANY_TEXT = {
    "SLACK__SIGNING_SECRET",
    "MESHTECH__USERNAME",
    "MESHTECH__PASSWORD",
    "MESHTECH__NEXT_TOKEN_PARAMETER",
    "HTTP__HOST",
    "FLEET__SITE_TAG",
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **variables: str) -> str:
    """What `meshbot run` says before it gives up; nothing of it comes near a network."""
    for name, text in {**REQUIRED, **{f"MESHBOT_{name}": text for name, text in variables.items()}}.items():
        monkeypatch.setenv(name, text)
    status = main(["run"])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert not [secret for secret in (*REQUIRED.values(), "pass-word-9") if secret in err]
    return err


def test_every_setting_has_a_wrong_value_here_or_takes_any_text() -> None:
    known = {
        line.variable.removeprefix("MESHBOT_").removesuffix("__<OPERATION>") for line in load().describe()
    }
    named = {name.removesuffix("__GET_JOB") for name in WRONG} | ANY_TEXT
    assert named == known


@pytest.mark.parametrize("name", [name.removeprefix("MESHBOT_") for name in REQUIRED])
def test_a_required_setting_that_is_missing_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(monkeypatch, capsys, **{name: ""}).startswith(f"MESHBOT_{name} is missing: ")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_named_and_its_value_is_not_repeated(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal(monkeypatch, capsys, **{name: WRONG[name]})
    assert sentence.startswith(f"MESHBOT_{name} is not usable: ")
    if name in {"SLACK__BOT_TOKEN", "SLACK__APP_TOKEN", "DATABASE_URL"}:
        assert WRONG[name] not in sentence


def test_two_ways_in_at_once_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "SIGNING_SECRET are both set" in refusal(monkeypatch, capsys, SLACK__SIGNING_SECRET="shh-secret")


def test_an_unknown_variable_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal(monkeypatch, capsys, ROLLOUT__BATCH="5")
    assert sentence.startswith("MESHBOT_ROLLOUT__BATCH is not a setting")
    assert "MESHBOT_ROLLOUTS__BATCH" in sentence


# ---- what only turns out when it starts


async def last_words(tmp_path: Path, **variables: str) -> str:
    """The sentence that it ends with, where it ends by itself."""
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD), **variables) as world:
        with pytest.raises(StartupError) as refused:
            await App(load_settings(world.variables, env_file=None, secrets_dir=None)).start()
        assert world.slack.problems == []
        return str(refused.value)


async def test_a_port_that_is_taken_is_all_that_a_process_says(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        portal = FleetSimulator(gateways=3, password=PASSWORD)
        async with outside(tmp_path, portal, HTTP__PORT=port) as world:
            bot = await world.begin()
            assert await bot.ended() == 2
            world.check_nothing_is_wrong()
            (sentence,) = bot.lines
            assert sentence.startswith(f"MESHBOT_HTTP__PORT {port} is taken")


async def test_a_database_in_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    words = await last_words(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/meshbot.db")
    assert words.startswith("MESHBOT_DATABASE_URL ")
    assert "create the folder" in words


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear fleet, " * 100)
    words = await last_words(tmp_path, DATABASE_URL=f"sqlite:///{file}")
    assert words.startswith("MESHBOT_DATABASE_URL")
    assert file.read_text() == "Dear fleet, " * 100


async def test_a_postgresql_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    with free_port() as port:
        words = await last_words(tmp_path, DATABASE_URL=f"postgresql://me:pass-word-9@127.0.0.1:{port}/mesh")
    assert words.startswith("MESHBOT_DATABASE_URL")
    assert "pass-word-9" not in words


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "meshbot.db")) as newer, newer:
        newer.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        newer.execute("INSERT INTO alembic_version VALUES ('9999')")
    assert "written by a newer one" in await last_words(tmp_path)


@pytest.mark.parametrize(
    ("name", "token"), [("SLACK__BOT_TOKEN", "xoxb-revoked"), ("SLACK__APP_TOKEN", "xapp-revoked")]
)
async def test_a_token_that_slack_refuses_is_named(name: str, token: str, tmp_path: Path) -> None:
    words = await last_words(tmp_path, **{name: token})
    assert f"MESHBOT_{name}" in words
    assert token not in words


@contextmanager
def free_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else is given meanwhile."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


# ---- running and ending


async def test_a_wrong_password_leaves_the_bot_up_and_is_told(tmp_path: Path) -> None:
    async with outside(
        tmp_path, FleetSimulator(gateways=3, password="another"), MESHTECH__PASSWORD=PASSWORD
    ) as world:
        bot = await world.run()
        await world.reached("LOGIN")
        said = await world.says(VIEWER, "status")
        assert "refused" in said
        assert PASSWORD not in said
        status, body = await bot.get("/readyz")
        assert (status, body["parts"]["meshtech"]) == (200, "refused")
        assert await world.stop(bot) == 0
        world.check_nothing_is_wrong()


async def test_what_runs_at_sigterm_is_finished_and_what_comes_then_is_not_begun(tmp_path: Path) -> None:
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD)) as world:
        bot = await world.run()
        await world.has_listed()
        gateway = next(iter(world.portal.devices.values()))
        slow = world.portal.faults.add("RENAME_DEVICE", "slow")
        renaming = await world.slack.command(OPERATOR, OPS, f"rename {gateway.id} Roof")
        await slow.reached.wait()
        bot.terminate()
        await bot.logged("stopping")
        assert "restarting" in await world.says(OPERATOR, "devices")
        assert (await bot.get("/readyz"))[0] == 503
        slow.release()
        assert "done" in message_text(await world.reply(renaming))
        assert await bot.ended() == 0
        assert gateway.friendly_name == "Roof"
        await world.slack.wait_for(lambda: world.slack.connected == 0, IN_TIME)
        kinds = [event.kind for event in world.slack.events]
        assert kinds.index("socket closed") > max(at for at, kind in enumerate(kinds) if kind == "response")
        world.check_nothing_is_wrong()


async def test_a_full_disk_is_seen_and_so_is_its_end(tmp_path: Path) -> None:
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD)) as world:
        bot = await world.run()
        await world.has_listed()
        assert (await bot.get("/readyz"))[0] == 200
        limits = resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await bot.logged("the database takes no changes")
        status, body = await bot.get("/readyz")
        assert (status, body["parts"]["database"][:16]) == (503, "takes no changes")
        assert "*Database*: ⚠️ takes no changes" in await world.says(VIEWER, "status")
        resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, limits)
        await bot.logged("the database takes changes again")
        assert (await bot.get("/readyz"))[0] == 200
        world.check_nothing_is_wrong()
        assert await world.stop(bot) == 0


async def test_a_second_bot_by_mistake_leaves_what_the_first_has_claimed(tmp_path: Path) -> None:
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD)) as world:
        first = await world.run()
        await world.has_listed()
        with closing(sqlite3.connect(world.database, timeout=IN_TIME)) as database, database:
            database.execute("INSERT INTO ticks (name, owner, lease_until) VALUES ('mine', 'first', 9e15)")
        second = await world.begin(MESHBOT_HTTP__PORT=str(first.port))
        assert await second.ended() == 2
        assert world.rows("SELECT owner FROM ticks WHERE name = 'mine'") == [("first",)]


async def test_sigterm_ends_a_start_that_waits_for_slack(tmp_path: Path) -> None:
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD)) as world:
        world.slack.faults.hang("auth.test")
        bot = await world.begin()
        await world.slack.wait_for(
            lambda: [e for e in world.slack.events if e.kind == "hanging call"], IN_TIME
        )
        async with asyncio.timeout(20):
            assert await world.stop(bot) == 0


# Rows of 1970, done and said.
LONG_AGO = (
    "INSERT INTO writes (id, kind, state, version, actor, title, created_at, expires_at, unchanged)"
    " VALUES ('w', 'rename', 'done', 2, 'U1', 't', 0, 0, 0)",
    "INSERT INTO cards (kind, subject, channel, wanted, shown, urgent, state, created_at)"
    " VALUES ('incident', '1', 'C1', 3, 3, 0, 'live', 0)",
    "INSERT INTO notes (key, channel, kind, body, broadcast, live, state, wanted, shown, created_at)"
    " VALUES ('k', 'C1', 'x', '{}', 0, 0, 'posted', 1, 1, 0)",
)


async def test_what_nobody_needs_any_more_is_forgotten(tmp_path: Path) -> None:
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD)) as world:
        app = App(load_settings(world.variables, env_file=None, secrets_dir=None))
        await app.start()
        try:
            with closing(sqlite3.connect(world.database, timeout=IN_TIME)) as database, database:
                for statement in LONG_AGO:
                    database.execute(statement)
            for name in [one for one in app.scheduler.ticks if one.startswith("prune")]:
                await app.scheduler.run_now(name)
        finally:
            await app.stop()
        assert [world.rows(f"SELECT id FROM {table}") for table in ("writes", "cards", "notes")] == [[]] * 3


async def test_one_failed_part_of_the_pruning_keeps_no_other_from_its_work(tmp_path: Path) -> None:
    app = App(load(DATABASE_URL=sqlite_url(tmp_path)))
    with closing(sqlite3.connect(tmp_path / "meshbot.db", timeout=IN_TIME)) as database:
        for statement in (*LONG_AGO, "DROP TABLE writes", "ALTER TABLE rollout_targets RENAME TO gone"):
            database.execute(statement)
        database.execute("ALTER TABLE rollouts RENAME TO gone_too")
        database.commit()
        parts = {name: state for name, state in app.scheduler.ticks.items() if name.startswith("prune")}
        for name in parts:
            await app.scheduler.run_now(name)
        await app.close()
        failed = {name for name, state in parts.items() if state.failures}
        left = [database.execute(f"SELECT id FROM {table}").fetchall() for table in ("cards", "notes")]
    assert (failed, left) == ({"prune_writes", "prune_rollouts"}, [[], []])


async def test_without_slack_it_stays_up_and_is_not_ready(tmp_path: Path) -> None:
    with free_port() as port:
        async with outside(
            tmp_path,
            FleetSimulator(gateways=3, password=PASSWORD),
            SLACK__API_URL=f"http://127.0.0.1:{port}/api/",
        ) as world:
            bot = await world.begin()
            await bot.is_running()
            status, body = await bot.get("/readyz")
            assert (status, body["parts"]["slack"]) == (503, "not connected")
            assert (await bot.get("/livez"))[0] == 200
            assert await world.stop(bot) == 0
