"""`kill -9` at any moment, and a restart on the same database or a copy: nothing twice, nothing forgotten.

A moment is a condition at one of the two servers, chosen by a seed among those that are sure to come: a
request that has arrived, been carried out or lost its answer, a Slack call, or an answer that the database,
held by the test, does not let the bot write down. The portal's clock stands still and moves between lives,
in which three waves are requested, approved, promoted and flashed.
"""

import asyncio
import itertools
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import psycopg
import pytest

from bot.__main__ import main
from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import APPROVER, FLEET_ALERTS, OPERATOR, OPS, ROLLOUTS, PostedMessage
from bot.storage.db.timestamps import to_micros
from tests.worlds.databases import sqlite_url
from tests.worlds.postgres import programs
from tests.worlds.process import IN_TIME, PASSWORD, Bot, Outside, inside, outside

pytestmark = pytest.mark.timeout(300)

GATEWAYS, BATCH = 60, 20
SITES = 4  # with an alert each
WAVES = "5,50%,100%"
JOBS = {1: [5], 2: [5, 20, 5], 3: [5, 20, 5, 20, 10]}  # gateways in each job, once a wave was started
STEP = timedelta(minutes=3)  # of the portal's clock between two lives: something changes in each
TO_THE_END = timedelta(hours=1)


@dataclass(frozen=True)
class CrashPoint:
    """``comes`` arranges it and waits for it; the bot is killed when that returns."""

    name: str
    comes: Callable[[Outside, Bot], Coroutine[None, None, None]]


def fleet(gateways: int = GATEWAYS, speed: float = 0) -> FleetSimulator:
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(speed=speed), password=PASSWORD)
    portal.token_lifetime = timedelta(days=2)
    portal.pickup = (timedelta(0), timedelta(minutes=3))
    portal.download = portal.reboot = (timedelta(minutes=1), timedelta(minutes=3))
    since = portal.clock.now() - timedelta(days=3)
    for number in range(gateways):
        name, mac = f"MT{10000 + number}", f"bmac-{number:012x}"
        portal.add_device(
            Device(mac, name, "2011", ["oslo"], connected=True, changed_at=since, firmware="3.4.1")
        )
    return portal


# ---- moments


def request(operation: str, kind: str, after: int = 0) -> CrashPoint:
    """A request has come to the portal: not carried out (hang), carried out without an answer, or later."""

    async def moment(world: Outside, _bot: Bot) -> None:
        fault = world.portal.faults.add(operation, kind, after=after)
        async with asyncio.timeout(IN_TIME):
            await fault.reached.wait()

    return CrashPoint(f"{operation} {kind} +{after}", moment)


def unwritten(operation: str) -> CrashPoint:
    """The answer has come, and the bot cannot write it down: the database is held when it is let go."""

    async def moment(world: Outside, bot: Bot) -> None:
        fault = world.portal.faults.add(operation, "slow")
        async with asyncio.timeout(IN_TIME):
            await fault.reached.wait()
        await bot.is_running()
        with held(world.database):
            fault.release()
            await bot.get("/livez")  # it answers this after it has read the other answer
            await world.kill(bot)

    return CrashPoint(f"{operation} unwritten", moment)


def said(method: str, *, lost: bool) -> CrashPoint:
    """A call has been carried out by Slack; when it is ``lost``, its answer never comes."""

    async def moment(world: Outside, _bot: Bot) -> None:
        before = len(world.slack.called(method))
        if lost:
            world.slack.faults.lose_answer(method)
        await world.slack.wait_for(lambda: len(world.slack.called(method)) > before, IN_TIME)

    return CrashPoint(f"{method} {'lost' if lost else 'answered'}", moment)


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Nobody else writes to the database meanwhile."""
    with closing(sqlite3.connect(database, timeout=IN_TIME, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


FLYING = "state IN ('started', 'in_progress', 'reported')"
LOST_JOB = request("CREATE_JOB", "lost_answer")


def requests(operation: str, after: int = 0) -> list[CrashPoint]:
    return [request(operation, kind, after) for kind in ("hang", "slow", "lost_answer")]


def both(method: str) -> list[CrashPoint]:
    return [said(method, lost=True), said(method, lost=False)]


def moments(world: Outside, chosen: list[str]) -> list[CrashPoint]:
    """Those that are sure to come in the next life, by what the database and the portal hold now."""
    states = [state for (state,) in world.rows("SELECT state FROM rollouts")]
    if not states:
        return [*requests("LIST_FIRMWARE"), *both("chat.postMessage")]
    if states == ["requested"]:
        return [unwritten("CREATE_JOB"), *requests("CREATE_JOB"), *both("chat.update")]
    if states == ["running"] or states == ["promotion"]:
        return running_moments(world, chosen)
    assert states == ["finished"]
    return finished_moments(world)


def all_started(world: Outside, wave: int | None = None) -> bool:
    """Whether the jobs of a wave, of the open one unless told otherwise, are in the portal."""
    if wave is None:
        ((wave,),) = world.rows("SELECT wave FROM rollouts") or [(0,)]
    return wave > 0 and len(world.portal.jobs) >= len(JOBS[wave])


def wave_is_over(world: Outside) -> int:
    """The open wave, when nothing of it is waited for; else 0."""
    ((wave,),) = world.rows("SELECT wave FROM rollouts") or [(0,)]
    rest = world.rows(
        f"SELECT 1 FROM rollout_targets WHERE wave <= {wave} AND (state = 'waiting' OR {FLYING})"
    )
    return 0 if rest else wave


def running_moments(world: Outside, chosen: list[str]) -> list[CrashPoint]:
    if not all_started(world) or wave_is_over(world) in {1, 2}:
        if LOST_JOB.name not in chosen:
            return [LOST_JOB]
        return [unwritten("CREATE_JOB"), *requests("CREATE_JOB")]
    if wave_is_over(world):
        return both("chat.postMessage")  # the end is told
    still_open = len(world.rows(f"SELECT DISTINCT batch_id FROM rollout_targets WHERE {FLYING}"))
    following = [
        unwritten("GET_JOB"),
        *requests("GET_JOB"),
        *requests("GET_JOB", after=still_open - 1),
        *both("chat.update"),
    ]
    looked_for = world.rows(
        "SELECT 1 FROM rollout_batches WHERE vendor_job_id IS NULL AND called_at IS NOT NULL"
    )
    return [*following, *requests("LIST_JOBS")] if looked_for else following


def finished_moments(world: Outside) -> list[CrashPoint]:
    found: list[CrashPoint] = []
    if world.rows("SELECT 1 FROM cards WHERE wanted > shown"):
        found += both("chat.update")
    if world.rows("SELECT 1 FROM notes WHERE state = 'waiting' AND attempted_at IS NULL"):
        found += both("chat.postMessage")
    return found or requests("LIST_DEVICES")


# ---- lives


async def acts(world: Outside) -> None:
    """What the people do in this life, by what they see: one requests the update, another approves it.

    When the canary is done, they promote it.
    """
    states = [state for (state,) in world.rows("SELECT state FROM rollouts")]
    await world.slack.wait_for(lambda: world.slack.connected > 0, IN_TIME)
    if not states:
        await world.has_listed()
        plan = await world.answer(OPERATOR, "update tag:oslo to 3.5.0")
        await world.slack.click(OPERATOR, plan, "rollout_request")
    if states in ([], ["requested"]):
        card = await world.message(ROLLOUTS, "R-1")
        await world.slack.click(APPROVER, card, "rollout_approve")
    if wave_is_over(world) == 1:
        await promotes(world)


async def promotes(world: Outside) -> None:
    card = await world.message(ROLLOUTS, "R-1")
    await world.shows(card, "waiting for promotion")
    await world.slack.click(APPROVER, card, "rollout_promote")


async def lives_until(world: Outside, moment: CrashPoint) -> None:
    """One life, ended at that moment by SIGKILL."""
    bot = await world.begin()
    acting = asyncio.create_task(acts(world))
    try:
        await moment.comes(world, bot)
    except TimeoutError as error:
        said = "\n".join([*map(str, world.slack.events), *bot.lines][-20:])
        raise AssertionError(f"{moment.name} did not come; people: {acting}\n{said}") from error
    finally:
        bot.strike()
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
    await world.kill(bot)
    world.portal.faults.clear()
    world.slack.faults.clear()
    await what_was_sent_has_come(world)


async def what_was_sent_has_come(world: Outside) -> None:
    """A request that the dead bot had sent is carried out: it stood in line before these."""
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(f"{world.portal.api_url}/nothing") as answer:
                assert answer.status == 404


async def lives_to_the_end(world: Outside) -> PostedMessage:
    """The last life, which nobody cuts short; the card as it is at the end."""
    world.portal.clock.advance(TO_THE_END)
    bot = await world.run()
    await acts(world)
    card = await world.message(ROLLOUTS, "R-1")
    for wave in JOBS:
        async with asyncio.timeout(IN_TIME):
            while not all_started(world, wave):
                await world.reached("LIST_DEVICES")
        world.portal.clock.advance(TO_THE_END)
        if wave == 1 and len(world.portal.jobs) == 1:
            await promotes(world)
    await world.shows(card, "Wave 3")
    await world.shows(card, "30 of 30 verified")
    thread = world.slack.workspace.thread
    await world.slack.wait_for(lambda: any(" finished: " in note.text for note in thread(card)), IN_TIME)
    assert await world.stop(bot) == 0
    return card


@pytest.mark.timeout(600)  # many starts of a process, on a machine that may be busy
@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 6), *(pytest.param(seed, 20, marks=pytest.mark.soak) for seed in range(1, 12))]
)
async def test_whenever_it_is_killed_each_gateway_is_started_once(
    seed: int, kills: int, tmp_path: Path
) -> None:
    choose = random.Random(seed).choice
    chosen: list[str] = []
    async with outside(tmp_path, fleet(), ROLLOUTS__BATCH=str(BATCH), ROLLOUTS__WAVES=WAVES) as world:
        for _ in range(kills):
            possible = moments(world, chosen)
            due = [one for one in possible if one.name == LOST_JOB.name and one.name not in chosen]
            moment = choose(due or possible)
            chosen.append(moment.name)
            await lives_until(world, moment)
            if all_started(world):
                world.portal.clock.advance(STEP)
        card = await lives_to_the_end(world)
        assert LOST_JOB.name in chosen, chosen
        assert len(world.lives) == kills + 1
        assert {len(jobs) for jobs in world.portal.starts.values()} == {1}, chosen
        assert len(world.portal.starts) == GATEWAYS
        # The batches of a wave are created side by side.
        assert sorted(len(job.devices) for job in world.portal.jobs.values()) == sorted(JOBS[3]), chosen
        assert [one for one in world.in_channel(ROLLOUTS) if not one.is_reply] == [card], chosen
        notes = [line for note in world.slack.workspace.thread(card) for line in note.text.splitlines()]
        assert len(notes) == len(set(notes)), chosen
        assert f"firmware 3.5.0 for {GATEWAYS} gateways" in message_text(card)
        assert world.rows("SELECT state, count(*) FROM rollout_targets GROUP BY state") == [
            ("verified", GATEWAYS)
        ]
        world.check_nothing_is_wrong()


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["hang", "slow", "lost_answer", "unwritten"])
async def test_one_that_returned_is_started_once_whenever_it_is_killed_on_the_way(
    kind: str, tmp_path: Path
) -> None:
    portal = fleet(3)
    last = list(portal.devices)[2]
    portal.disconnect([last])
    async with outside(tmp_path, portal) as world:
        bot = await world.begin()
        await acts(world)
        async with asyncio.timeout(IN_TIME):
            while not portal.jobs:
                await world.reached("LIST_DEVICES")
        portal.clock.advance(TO_THE_END)
        card = await world.message(ROLLOUTS, "R-1")
        await world.shows(card, "waiting for 1 gateway")
        portal.connect([last])
        moment = unwritten("CREATE_JOB") if kind == "unwritten" else request("CREATE_JOB", kind)
        await moment.comes(world, bot)
        bot.strike()
        await world.kill(bot)
        portal.faults.clear()
        await what_was_sent_has_come(world)
        bot = await world.run()
        async with asyncio.timeout(IN_TIME):
            while len(portal.jobs) < 2:
                await world.reached("LIST_DEVICES")
        portal.clock.advance(TO_THE_END)
        await world.shows(card, "✅ finished")
        assert await world.stop(bot) == 0
        assert {len(jobs) for jobs in portal.starts.values()} == {1}
        assert len(portal.starts) == 3
        world.check_nothing_is_wrong()


async def test_a_card_that_was_posted_but_not_recorded_is_found_again(tmp_path: Path) -> None:
    async with outside(tmp_path, fleet(3)) as world:
        await lives_until(world, said("chat.postMessage", lost=True))
        assert world.rows("SELECT ts FROM cards") == [(None,)]
        card = await world.message(ROLLOUTS, "R-1")
        bot = await world.run()
        await world.slack.click(APPROVER, card, "rollout_approve")
        await world.shows(card, "since")
        assert await world.stop(bot) == 0
        assert world.in_channel(ROLLOUTS) == [card]
        world.check_nothing_is_wrong()


@pytest.mark.parametrize("kind", ["hang", pytest.param("slow", marks=pytest.mark.soak)])
async def test_a_job_whose_answer_died_with_the_bot_is_there_once(kind: str, tmp_path: Path) -> None:
    async with outside(tmp_path, fleet(3)) as world:
        await lives_until(world, request("CREATE_JOB", kind))
        bot = await world.run()
        await world.reached("GET_JOB")
        assert await world.stop(bot) == 0
        assert len(world.portal.jobs) == 1
        world.check_nothing_is_wrong()


@pytest.mark.parametrize("kind", [pytest.param("slow", marks=pytest.mark.soak), "lost_answer"])
async def test_a_rename_that_died_with_the_bot_is_finished_once(kind: str, tmp_path: Path) -> None:
    async with outside(tmp_path, fleet(3)) as world:
        await dies_while(world, "rename MT10001 Roof", request("RENAME_DEVICE", kind))
        await lives_through(world, "GET_DEVICE")
        assert world.portal.devices["bmac-000000000001"].friendly_name == "Roof"
        assert audited(world) == [("rename", "bmac-000000000001", "done")]


async def test_a_tag_on_several_that_died_with_the_bot_is_finished_once(tmp_path: Path) -> None:
    async with outside(tmp_path, fleet(4)) as world:
        await dies_while(world, "tag tag:oslo +roof", request("ADD_LABEL", "lost_answer", after=1))
        bot = await world.begin()
        told = await world.slack.wait_for(lambda: direct_message(world, OPERATOR), IN_TIME)
        assert await world.stop(bot) == 0
        assert "all changed" in message_text(told)
        assert "write_undo" in str(told.blocks)
        world.check_nothing_is_wrong()
        assert len(world.portal.at_site("roof")) == 4
        assert sorted(audited(world)) == [("tag", f"bmac-{number:012x}", "done") for number in range(4)]


@pytest.mark.soak
async def test_a_decision_whose_answer_died_with_the_bot_is_told_to_who_made_it(tmp_path: Path) -> None:
    async with outside(tmp_path, fleet(3)) as world:
        bot = await world.run()
        await world.has_listed()
        world.slack.faults.hang("response_url")
        await world.slack.command(OPERATOR, OPS, "subscribe rollouts tag:oslo")
        await bot.logged("audit")
        await world.kill(bot)
        world.slack.faults.clear()
        bot = await world.begin()
        told = await world.slack.wait_for(lambda: direct_message(world, OPERATOR), IN_TIME)
        assert await world.stop(bot) == 0
        assert "You made subscription 1" in message_text(told)
        assert "my answer was lost" in message_text(told)
        world.check_nothing_is_wrong()


@pytest.mark.soak
@pytest.mark.parametrize("lost", [True, False])
async def test_a_window_is_announced_opened_and_closed_once_though_it_is_killed_at_each(
    lost: bool, tmp_path: Path
) -> None:
    portal = fleet(speed=1)
    async with outside(tmp_path, portal, CHANNELS__ALERTS=FLEET_ALERTS, **AT_ONCE) as world:
        bot = await world.run()
        await world.has_listed()
        said_so = await world.says(
            OPERATOR, "maintenance name:MT10001 tomorrow 02:00-04:00 because of the mast"
        )
        assert "M-1" in said_so
        card = await world.message(FLEET_ALERTS, "M-1")
        await world.kill(bot)

        opens(world, timedelta(minutes=30))
        await is_killed_as(world, said("chat.postMessage", lost=lost))
        opens(world, -timedelta(minutes=1))
        await is_killed_as(world, said("chat.update", lost=lost))
        portal.disconnect(["bmac-000000000001"])
        bot = await world.run()
        await world.shows(card, "It is open until")
        await world.has_listed()
        await world.kill(bot)
        assert len(world.in_channel(FLEET_ALERTS)) == 2
        closes(world)
        await is_killed_as(world, said("chat.postMessage", lost=lost))

        bot = await world.run()
        alert = await world.message(FLEET_ALERTS, "M-1: of the mast")
        await world.shows(card, "ended")
        await world.has_listed()
        assert await world.stop(bot) == 0
        assert [one.ts for one in world.in_channel(FLEET_ALERTS) if one not in (card, alert)] == [
            one.ts for one in world.in_channel(FLEET_ALERTS, "is open from")
        ]
        world.check_nothing_is_wrong()


def opens(world: Outside, after: timedelta) -> None:
    """The window that is planned opens so long after now, as if nothing had been said of it yet."""
    begins = (datetime.now(UTC) + after).replace(second=0, microsecond=0)
    first, ends = f"{begins:%Y-%m-%dT%H:%M}", begins + timedelta(hours=1)
    changed = "first = ?, ends = ?, opens_at = ?, closes_at = ?, announced = NULL"
    values = (first, f"{ends:%H:%M}", to_micros(begins), to_micros(ends))
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute(f"UPDATE maintenance SET {changed}", values)


def closes(world: Outside) -> None:
    """The window that is open closes now."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    with closing(sqlite3.connect(world.database)) as connection, connection:
        changed = "ends = ?, closes_at = ?"
        connection.execute(f"UPDATE maintenance SET {changed}", (f"{now:%H:%M}", to_micros(now)))


async def is_killed_as(world: Outside, moment: CrashPoint) -> None:
    """A life in which nobody does anything, ended at that moment."""
    bot = await world.begin()
    await moment.comes(world, bot)
    await world.kill(bot)
    world.slack.faults.clear()


@pytest.mark.soak
@pytest.mark.postgres
async def test_another_replica_polls_within_fifteen_seconds_of_a_kill(
    tmp_path: Path, postgres_url: str
) -> None:
    async with outside(tmp_path, fleet(3), DATABASE_URL=postgres_url) as world:
        first = await world.run()
        hanging = world.portal.faults.add("LIST_DEVICES", "hang")
        await asyncio.wait_for(hanging.reached.wait(), IN_TIME)
        second = await world.begin()
        await second.is_running()
        first.strike()
        async with asyncio.timeout(15):
            await world.reached("LIST_DEVICES")
        assert await world.stop(second) == 0
        world.check_nothing_is_wrong()


async def dies_while(world: Outside, command: str, moment: CrashPoint) -> None:
    """An operator sends a command that writes, confirmed if it asks, and the bot is killed in the middle."""
    bot = await world.run()
    await world.has_listed()
    reached = asyncio.create_task(moment.comes(world, bot))
    act = await world.slack.command(OPERATOR, OPS, command)
    if command.startswith("tag"):
        await world.slack.click(OPERATOR, await world.reply(act), "write_confirm")
    await reached
    await world.kill(bot)
    world.portal.faults.clear()


async def lives_through(world: Outside, operation: str) -> None:
    """A life in which the portal is asked this; what is under way then is finished before it ends."""
    bot = await world.begin()
    await world.reached(operation)
    assert await world.stop(bot) == 0
    world.check_nothing_is_wrong()


def direct_message(world: Outside, user: str) -> PostedMessage | None:
    """The newest that the bot sent them."""
    found = world.slack.workspace.in_channel(world.slack.workspace.dm(user).id)
    return found[-1] if found else None


def audited(world: Outside) -> list[tuple[str, str, str]]:
    rows = world.rows("SELECT action, subject, outcome FROM audit ORDER BY id")
    return [(str(action), str(subject), str(outcome)) for action, subject, outcome in rows]


# ---- on a copy of its database
@dataclass(frozen=True)
class Copied:
    """A backup that is taken while the bot runs, and put back after it has stopped."""

    back_up: Callable[[Outside, str], object]
    restore: Callable[[Outside, str], object]


def _back_up_file(world: Outside, _url: str) -> None:
    backup = world.folder / "copy.db"
    with closing(sqlite3.connect(world.database)) as old, closing(sqlite3.connect(backup)) as copy:
        old.backup(copy)  # what the program sqlite3 calls .backup


def _restore_file(world: Outside, _url: str) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{world.database}{end}").unlink(missing_ok=True)
    (world.folder / "copy.db").replace(world.database)


def _postgresql(world: Outside, program: str, *words: str) -> None:
    found = shutil.which(program) or f"{programs()}/{program}"
    dump = str(world.folder / "meshbot.dump")
    subprocess.run([found, *words, dump], check=True, timeout=IN_TIME)


def _dump(world: Outside, url: str) -> None:
    _postgresql(world, "pg_dump", "--format=custom", f"--dbname={url}", "--file")


def _restore_dump(world: Outside, url: str) -> None:
    _postgresql(world, "pg_restore", "--clean", f"--dbname={url}")


SQLITE_RESTORED = Copied(_back_up_file, _restore_file)
POSTGRESQL_RESTORED = Copied(_dump, _restore_dump)
AT_ONCE = {
    "ALERTS__OFFLINE_AFTER": "0",
    "ALERTS__OFFLINE_LISTINGS": "1",
    "ALERTS__ONLINE_AFTER": "0",
    "ALERTS__ONLINE_LISTINGS": "1",
    "ALERTS__GROUP_WAIT": "0",
    "ALERTS__STARTUP_LISTINGS": "0",
}


@pytest.mark.soak
async def test_on_a_restored_file_it_goes_on_with_its_update_and_its_alert(tmp_path: Path) -> None:
    await goes_on(tmp_path, SQLITE_RESTORED, sqlite_url(tmp_path))


@pytest.mark.soak
@pytest.mark.postgres
async def test_on_a_restored_postgresql_it_goes_on_with_its_update_and_its_alert(
    tmp_path: Path, postgres_url: str
) -> None:
    await goes_on(tmp_path, POSTGRESQL_RESTORED, postgres_url)


async def goes_on(folder: Path, copied: Copied, url: str) -> None:
    """In the middle of the canary, with an alert open: nothing is started or posted twice."""
    portal = fleet(12, speed=1)
    portal.add_device(Device("bmac-b", "MT2", "2011", ["bergen"], False, portal.clock.now(), "3.4.1"))
    variables = {"CHANNELS__ALERTS": FLEET_ALERTS, "ROLLOUTS__WAVES": "5,100%", **AT_ONCE}
    async with outside(folder, portal, DATABASE_URL=url, **variables) as world:
        async with inside(world):
            alert = await world.message(FLEET_ALERTS, "MT2")
            plan = await world.answer(OPERATOR, "update tag:oslo to 3.5.0")
            await world.slack.click(OPERATOR, plan, "rollout_request")
            card = await world.message(ROLLOUTS, "R-1")
            await world.slack.click(APPROVER, card, "rollout_approve")
            await has_jobs(world, 1)
            copied.back_up(world, url)
        copied.restore(world, url)
        async with inside(world):
            portal.clock.advance(4 * STEP)
            await promotes(world)
            await has_jobs(world, 2)
            portal.connect(["bmac-b"])
            portal.clock.advance(4 * STEP)
            await world.shows(card, "finished")
            await world.shows(alert, "was offline")
        assert {len(jobs) for jobs in portal.starts.values()} == {1}
        assert [one for one in world.in_channel(ROLLOUTS) if not one.is_reply] == [card]
        assert [one for one in world.in_channel(FLEET_ALERTS) if not one.is_reply] == [alert]
        world.check_nothing_is_wrong()


# ---- from SQLite to PostgreSQL
@pytest.mark.postgres
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("gateways", "batch", "seed"),
    [(GATEWAYS, BATCH, 1), *(pytest.param(10_000, 500, seed, marks=pytest.mark.soak) for seed in (1, 2, 3))],
)
async def test_killed_in_the_middle_of_a_wave_and_moved_it_goes_on_and_does_nothing_twice(
    gateways: int, batch: int, seed: int, tmp_path: Path, empty_postgres_url: str
) -> None:
    choose, url = random.Random(seed), sqlite_url(tmp_path)
    waves = [in_batches(ends, batch) for ends in (5, gateways // 2 - 5, gateways - gateways // 2)]
    jobs = sorted(itertools.chain(*waves))
    portal = fleet(gateways)
    dark = [f"bmac-{number}" for number in range(2 * SITES)]
    for number, mac in enumerate(dark):
        site = f"site-{number % SITES}"
        portal.add_device(Device(mac, f"MT{number}", "2011", [site], False, portal.clock.now(), "3.4.1"))
    settings = {"CHANNELS__ALERTS": FLEET_ALERTS, "ROLLOUTS__WAVES": WAVES, "ROLLOUTS__BATCH": str(batch)}
    async with outside(tmp_path, portal, DATABASE_URL=url, **settings, **AT_ONCE) as world:
        bot = await world.run()
        alerts = [await world.message(FLEET_ALERTS, f"site-{number}") for number in range(SITES)]
        await acts(world)
        card = await world.message(ROLLOUTS, "R-1")
        await has_jobs(world, 1)
        portal.clock.advance(TO_THE_END)
        await world.shows(card, "waiting for promotion")
        if choose.random() < 0.5:  # then one note is posted of which the bot does not hear
            world.slack.faults.lose_answer("chat.postMessage")
            world.slack.faults.hang("conversations.replies", times=100)
        world.slack.faults.hang("chat.postMessage", times=1_000)
        kind = choose.choice(["hang", "slow", "lost_answer"])
        middle = portal.faults.add("CREATE_JOB", kind, after=choose.randrange(1, len(waves[1])))
        portal.connect(dark[:SITES])
        await world.slack.click(APPROVER, card, "rollout_promote")
        async with asyncio.timeout(IN_TIME):
            await middle.reached.wait()
        await world.kill(bot)
        portal.faults.clear()
        world.slack.faults.clear()
        await what_was_sent_has_come(world)
        assert world.rows("SELECT 1 FROM notes WHERE state = 'waiting'")
        assert world.rows("SELECT count(*) FROM incidents WHERE state = 'open'") == [(SITES,)]
        assert 1 < len(portal.jobs) <= 1 + len(waves[1])

        with ThreadPoolExecutor(1) as thread:  # a command has an event loop of its own
            moving = thread.submit(main, ["move-database", url, empty_postgres_url])
            assert moving.result() == 0
        bot = await world.run(MESHBOT_DATABASE_URL=empty_postgres_url)
        await has_jobs(world, len(jobs))
        portal.connect(dark)
        portal.clock.advance(TO_THE_END)
        await world.shows(card, "finished")
        for alert in alerts:
            await world.shows(alert, "over, 2 gateways were offline")
        with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
            while connection.execute("SELECT 1 FROM notes WHERE state = 'waiting'").fetchone():
                await world.reached("LIST_DEVICES")
        assert await world.stop(bot) == 0
        assert {len(started) for started in portal.starts.values()} == {1}
        assert sorted(len(job.devices) for job in portal.jobs.values()) == jobs
        for channel, cards in ((ROLLOUTS, [card]), (FLEET_ALERTS, alerts)):
            tops = {one.ts for one in world.in_channel(channel) if not one.is_reply}
            assert tops == {one.ts for one in cards}
        for posted in (card, *alerts):
            notes = [line for note in world.slack.workspace.thread(posted) for line in note.text.splitlines()]
            assert len(notes) == len(set(notes))
        world.check_nothing_is_wrong()


def in_batches(gateways: int, batch: int) -> list[int]:
    return [min(batch, gateways - begun) for begun in range(0, gateways, batch)]


async def has_jobs(world: Outside, number: int) -> None:
    """Time goes by until the portal has so many jobs."""
    while len(world.portal.jobs) < number:
        world.portal.clock.advance(STEP)
        await world.reached("LIST_DEVICES")
