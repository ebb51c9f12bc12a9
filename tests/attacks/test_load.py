"""What one person can take of the bot, and what everybody else then still has."""

import asyncio
import operator
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.demo.fleet.simulator import FaultKind, FleetSimulator
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import APPROVER, GUEST, OPERATOR, OPS, VIEWER
from bot.domain.access import Actor, Role
from bot.domain.audit import AuditQuery, Outcome
from bot.domain.errors import Unavailable
from bot.domain.query import EVERYTHING, parse
from bot.meshtech.client import MeshtechClient
from bot.services.audit import AuditService
from bot.services.context import Context
from bot.services.fleet.charts import ChartService
from bot.slack.fleet.chart_process import drawn_apart
from bot.slack.fleet.charts import ChartListeners, ChartPictures
from bot.slack.incoming.concurrency import RUNNING, WAITING, leave_turn
from bot.slack.incoming.listeners import Command, CommandCall, Feature
from bot.slack.views.blocks import File, sentence
from bot.storage.db.engine import Database, work_for_people
from tests.slack.incoming.connected import Clock, connected
from tests.worlds.builders import NOW, PAGING
from tests.worlds.databases import sqlite_url
from tests.worlds.fleet import world
from tests.worlds.house import AUDITOR, House, house

UTC = ZoneInfo("UTC")
HOUR = timedelta(hours=1)
VERA = Actor(VIEWER, "Vera", Role.VIEWER)


# ---- one person
class Slow:
    """Commands that go on when the test says so, and notes on what they saw."""

    def __init__(self) -> None:
        self.begun = 0
        self.three = asyncio.Event()
        self.leaves = False
        self.release = asyncio.Event()

    def feature(self) -> Feature:
        return Feature(
            commands={
                name: Command(name, "For the tests", listener)
                for name, listener in (("slow", self.slow), ("quick", self.quick))
            }
        )

    async def slow(self, call: CommandCall) -> None:
        self.begun += 1
        if self.begun == RUNNING == 3:
            self.three.set()
        if self.leaves:
            leave_turn()
        await self.release.wait()
        await call.respond.answer(sentence("done"))

    async def quick(self, call: CommandCall) -> None:
        await call.respond.answer(sentence("at once"))


async def test_one_person_has_three_requests_at_work_and_a_short_queue_and_is_then_told_so() -> None:
    slow = Slow()
    async with connected([slow.feature()]) as (made, app):
        sent = [await made.slack.command(VIEWER, OPS, "slow") for _ in range(RUNNING + WAITING + 5)]
        assert all([(await one.ack).ok for one in sent])
        told = await made.slack.wait_for(lambda: [one for act in sent for one in act.responses])
        async with asyncio.timeout(20):
            await slow.three.wait()
        assert await made.says(OPERATOR, "quick") == "at once", "nobody else waits"
        assert slow.begun == RUNNING

        slow.release.set()
        await app.guard.idle()
    assert [message_text(one) for one in told] == [
        "I am at work on 3 things for you, and 5 more wait, so I did not take this one. Please send it again "
        "when one of them is answered."
    ]
    answers = [message_text(one) for act in sent for one in act.responses]
    assert answers.count("done") == slow.begun == RUNNING + WAITING
    assert len(answers) == RUNNING + WAITING + 1, "it is said once"


async def test_work_that_goes_on_by_itself_takes_no_turn_from_who_asked_for_it() -> None:
    slow = Slow()
    slow.leaves = True
    async with connected([slow.feature()]) as (made, app):
        for _ in range(RUNNING + WAITING):
            assert (await (await made.slack.command(OPERATOR, OPS, "slow")).ack).ok
        assert await made.says(OPERATOR, "quick") == "at once"
        slow.release.set()
        await app.guard.idle()
    assert slow.begun == RUNNING + WAITING


# ---- the audit log
async def refusals(made: House) -> list[tuple[str, str, str]]:
    """Who was refused what, and the beginning of why, the oldest first."""
    page = await made.app.audit.find(AUDITOR, AuditQuery(outcomes=(Outcome.REFUSED,)), 100)
    return [(one.actor, one.action, (one.reason or "")[:15]) for one in reversed(page.entries)]


async def test_a_guest_s_repeated_refusals_are_one_audit_row_with_a_count(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        for number in range(6):
            await made.command(GUEST, f"device MT{number}")
        await made.command(GUEST, "tags")
        assert await refusals(made) == [
            (GUEST, "device", "Guests and peop"),
            (GUEST, "tags", "Guests and peop"),
        ]
        made.later(minutes=10)
        await made.app.audit.catch_up()
        await made.app.audit.catch_up()
        assert (await refusals(made))[2:] == [(GUEST, "device", "5 more times si")]
        await made.command(GUEST, "device MT1")
        await made.command(GUEST, "device MT2")
        await made.app.audit.catch_up(at_end=True)
        assert (await refusals(made))[3:] == [
            (GUEST, "device", "Guests and peop"),
            (GUEST, "device", "once more since"),
        ]
        chain = await made.app.audit.verify()
    assert (chain.is_whole, chain.entries) == (True, 5)


async def test_what_a_member_is_refused_is_counted_only_where_it_is_about_the_same(
    database: Database,
) -> None:
    audit = AuditService(Context(database, Clock().now))
    for about in ("MT1 roof", "MT2 roof", "MT1 roof"):
        await audit.refused(VERA, "rename", about, "C0OPS", "You need to be an operator.")
    await audit.catch_up(at_end=True)
    page = await audit.find(AUDITOR, AuditQuery(), 100)
    assert [(one.subject, one.reason) for one in reversed(page.entries)] == [
        ("MT1 roof", "You need to be an operator."),
        ("MT2 roof", "You need to be an operator."),
        ("MT1 roof", "once more since 08:00:00 UTC: You need to be an operator."),
    ]


# ---- the portal
async def test_what_people_ask_of_the_portal_is_one_request_and_kept_for_some_seconds(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        slow = made.portal.faults.add("LIST_JOBS", FaultKind.SLOW)
        sent = [await made.slack.command(user, OPS, "jobs") for user in (VIEWER, OPERATOR, APPROVER) * 2]
        async with asyncio.timeout(20):
            await slow.reached.wait()
        slow.release()
        for one in sent:
            await made.slack.wait_for(lambda one=one: one.responses)  # type: ignore[misc]
        await made.command(VIEWER, "jobs")
        assert asked(made.portal, "LIST_JOBS") == 1
        made.later(seconds=10)
        await made.command(VIEWER, "jobs")
        assert asked(made.portal, "LIST_JOBS") == 2


def asked(portal: FleetSimulator, operation: str) -> int:
    return [one.operation for one in portal.requests].count(operation)


async def test_listing_and_rollouts_have_connections_to_the_portal_of_their_own() -> None:
    portal = FleetSimulator(gateways=3)
    await portal.start()
    own = MeshtechClient(
        portal.auth_url, portal.api_url, portal.username, portal.password, now=portal.clock.now, **PAGING
    )
    peoples = own.beside()
    hangs = portal.faults.add("LIST_FIRMWARE", FaultKind.SLOW, None)

    async def firmwares() -> int:
        return len([one async for one in peoples.firmwares()])

    waiting = [asyncio.create_task(firmwares()) for _ in range(25)]
    try:
        async with asyncio.timeout(20):
            await hangs.reached.wait()
            listed = [raw async for page in own.device_pages() for raw in page.raw_items]
        assert len(listed) == 3
        assert not any(one.done() for one in waiting)
        hangs.release()
        assert all(await asyncio.gather(*waiting))
        assert asked(portal, "LOGIN") == 1, "they share the token"
    finally:
        await peoples.aclose()
        await own.aclose()
        await portal.stop()


# ---- the database
@pytest.mark.on_both
async def test_listing_and_rollouts_have_connections_to_the_database_of_their_own(database: Database) -> None:
    ended = asyncio.Event()
    holding = 0

    async def hold() -> None:
        nonlocal holding
        work_for_people()
        async with database.read():
            holding += 1
            await ended.wait()

    people = [asyncio.create_task(hold()) for _ in range(20)]
    async with asyncio.timeout(20):
        while not holding:
            await database.check()
        await database.try_writing(NOW)
    assert holding < len(people)
    ended.set()
    await asyncio.gather(*people)


async def test_listing_and_rollouts_have_threads_for_the_database_of_their_own(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    ended = threading.Event()

    async def hold() -> bool:
        work_for_people()
        return await database.ask(lambda _: ended.wait(20))

    people = [asyncio.create_task(hold()) for _ in range(40)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await database.ask(lambda _: 7) == 7
        assert not any(one.done() for one in people)
    ended.set()
    assert all(await asyncio.gather(*people))
    await database.close()


async def test_what_a_person_asks_goes_over_the_connections_for_people(tmp_path: Path) -> None:
    database = Database.open(sqlite_url(tmp_path))
    used: list[object] = []

    async def look(call: CommandCall) -> None:
        used.append(database.engine)
        await call.respond.answer(sentence("seen"))

    async with connected([Feature(commands={"look": Command("look", "For the tests", look)})]) as (made, _):
        await made.says(VIEWER, "look")
    assert used != [database.engine]
    await database.close()


# ---- charts
async def test_a_chart_is_drawn_in_a_process_that_ends_with_it(tmp_path: Path) -> None:
    before = children()
    async with world(sqlite_url(tmp_path), "a", "b") as fleet:
        await fleet.taken()
        charts = ChartPictures(ChartService(Context(fleet.database, fleet.now)), now=fleet.now)
        async with connected([ChartListeners(charts, zone=UTC).feature()]) as (made, app):
            typed = await made.slack.command(VIEWER, OPS, "chart firmware")
            assert (await typed.ack).ok
            await app.guard.idle()
            (picture,) = [file for one in made.slack.workspace.in_channel(VIEWER) for file in one.files]
    assert "as a direct message" in message_text(typed.responses[0])
    assert picture.content is not None
    assert picture.content.startswith(b"\x89PNG")
    assert children() == before


async def test_a_chart_that_cannot_be_drawn_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    before = children()
    with pytest.raises(Unavailable, match="could not be drawn"):
        await drawn_apart(operator.truediv, 1, 0)
    assert "ZeroDivisionError" in caplog.text
    assert children() == before


async def test_charts_are_drawn_one_at_a_time_and_identical_ones_once(tmp_path: Path) -> None:
    drawn: list[str] = []
    at_work = 0

    async def draw(view: Callable[..., File], *arguments: Any) -> File:
        nonlocal at_work
        at_work += 1
        assert at_work == 1
        await asyncio.sleep(0)
        drawn.append(str(arguments[-1]))
        at_work -= 1
        return File("a.png", b"png", "A title")

    async with world(sqlite_url(tmp_path), "a", "b") as fleet:
        await fleet.taken()
        fleet.later(HOUR)
        charts = ChartPictures(ChartService(Context(fleet.database, fleet.now)), now=fleet.now, draw=draw)
        questions: list[Callable[[], Awaitable[File]]] = [
            lambda: charts.offline(EVERYTHING, HOUR, UTC),
            lambda: charts.firmware(EVERYTHING),
            lambda: charts.firmware(parse("id:a")),
        ]
        await asyncio.gather(*(ask() for ask in questions * 5))
        assert sorted(drawn) == ["", "", "id:a"]
        await charts.firmware(EVERYTHING)
        assert len(drawn) == 3
        fleet.later()
        await charts.firmware(EVERYTHING)
        assert len(drawn) == 4


def children() -> set[str]:
    """The processes of this one that run, a database of other tests perhaps."""
    return {
        number
        for thread in Path("/proc/self/task").iterdir()
        for number in (thread / "children").read_text().split()
    }
