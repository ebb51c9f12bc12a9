"""Whose move it is: who is mentioned, who is written to, and who is not, at each moment of a rollout."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.domain.access import Actor, Role
from bot.domain.query import parse
from bot.domain.rollouts.events import (
    Aborted,
    Approved,
    CanaryDone,
    Finished,
    NamedGateway,
    NotReturned,
    Paused,
    Promoted,
    RecordedEvent,
    Resumed,
    WaveStarted,
)
from bot.domain.rollouts.lifecycle import Rollout, RolloutId
from bot.services.preferences import Preferences
from bot.services.rollouts.events import about, record_event
from bot.slack.views.blocks import Message
from bot.storage.cards import cards
from bot.storage.db.tables import notes
from tests.slack.rollouts.desk import Desk
from tests.slack.shown import sendable
from tests.worlds.databases import sqlite_url
from tests.worlds.rollouts import ADA, NEW, OLGA, PAUL, WAVES, world

TEAM = Actor("S0TEAM", "@approvers", Role.APPROVER)
BERGEN = Actor("S0BERGEN", "@bergen", Role.APPROVER, limits={Role.APPROVER: (parse("tag:bergen"),)})
OPERATORS = Actor("S0OPERAT", "@operators", Role.OPERATOR)
CALLED = (TEAM, BERGEN, OPERATORS, PAUL, OLGA)
HERE, THERE = "C0ROLLOUTS", "C0SECOND"
LOST = NotReturned(1, NEW, (NamedGateway("MT1", "oslo"),))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with world(sqlite_url(tmp_path), rules=WAVES, deciders=CALLED) as it:
        yield Desk(it)


async def requested(desk: Desk) -> Rollout:
    """By Olga, with a copy of its card in another channel."""
    rollout = await desk.it.requested()
    async with desk.it.database.write() as connection:
        await cards.open_cards(connection, about(rollout.id), [THERE], desk.it.clock.now())
    return rollout


async def happens(desk: Desk, rollout: Rollout, event: RecordedEvent, by: Actor | None = None) -> None:
    async with desk.it.database.write() as connection:
        await record_event(connection, rollout, event, desk.it.clock.now(), by)


@dataclass(frozen=True)
class Told:
    """What was said last: whom the thread of each channel mentions, and who is written to."""

    threads: Mapping[str, list[str]]
    written_to: list[str]


async def told(desk: Desk) -> Told:
    async with desk.it.database.read() as connection:
        rows = (await connection.execute(select(notes).order_by(notes.c.id))).mappings().all()
    newest = [one for one in rows if one["body"]["entry"] == rows[-1]["body"]["entry"]]
    threads = {one["channel"]: mentions(await drawn(desk, one)) for one in newest if one["card_id"]}
    return Told(threads, [one["channel"] for one in newest if not one["card_id"]])


async def drawn(desk: Desk, row: Any) -> Message:
    made = desk.feature.notes[row["kind"]](row["body"])
    return sendable(made if isinstance(made, Message) else await made)


def mentions(message: Message) -> list[str]:
    return re.findall(r"<(?:@|!subteam\^)(\w+)>", message.text)


@pytest.mark.parametrize(
    ("event", "by", "mentioned", "written_to"),
    [
        pytest.param(Approved(0), PAUL, [], [], id="approval"),
        pytest.param(CanaryDone(2, 0), None, [OLGA.user_id], [OLGA.user_id], id="canary done"),
        pytest.param(Paused("too many failed"), None, [OLGA.user_id], [OLGA.user_id], id="pause"),
        pytest.param(Paused(), PAUL, [OLGA.user_id], [OLGA.user_id], id="pause by another"),
        pytest.param(Paused(), OLGA, [], [], id="pause by the requester"),
        pytest.param(Aborted("too many failed"), None, [OLGA.user_id], [OLGA.user_id], id="abort"),
        pytest.param(Aborted(), PAUL, [OLGA.user_id], [OLGA.user_id], id="abort by another"),
        pytest.param(LOST, None, [OLGA.user_id], [OLGA.user_id], id="not returned"),
        pytest.param(Finished(8, 0, OLGA.user_id), None, [OLGA.user_id], [OLGA.user_id], id="end"),
        pytest.param(Promoted(), PAUL, [], [], id="promotion"),
        pytest.param(Resumed(), PAUL, [], [], id="resume"),
        pytest.param(WaveStarted(2, 2, 0), None, [], [], id="wave"),
    ],
)
async def test_the_requester_is_mentioned_once_and_written_to_when_it_is_their_move_and_nobody_else_is(
    desk: Desk, event: RecordedEvent, by: Actor | None, mentioned: list[str], written_to: list[str]
) -> None:
    await happens(desk, await requested(desk), event, by)
    assert await told(desk) == Told({HERE: mentioned, THERE: []}, written_to)


async def test_a_request_mentions_once_those_who_may_decide_it_and_no_one_else(desk: Desk) -> None:
    await requested(desk)
    assert await told(desk) == Told({HERE: [TEAM.user_id, PAUL.user_id]}, [])


async def test_only_admins_are_called_for_a_downgrade(desk: Desk) -> None:
    desk.it.portal.add_firmware("2011", "3.0.0")
    desk.it.called = (*CALLED, ADA)
    await desk.it.requested(version="3.0.0")
    assert (await told(desk)).threads == {HERE: [ADA.user_id]}


async def test_where_nobody_is_named_a_request_is_its_card_alone(desk: Desk) -> None:
    desk.it.called = ()
    await desk.it.requested()
    async with desk.it.database.read() as connection:
        assert (await connection.execute(select(notes.c.id))).all() == []


async def test_the_requester_is_written_to_about_a_decision_and_not_mentioned(desk: Desk) -> None:
    rollout = await requested(desk)
    await desk.it.rollouts.deny(PAUL, rollout.id, "not on a Friday")
    assert await told(desk) == Told({HERE: [], THERE: []}, [OLGA.user_id])


async def test_who_wants_no_messages_is_mentioned_all_the_same(desk: Desk) -> None:
    preferences = Preferences(desk.it.context)
    rollout = await requested(desk)
    await preferences.set_muted(OLGA.user_id, muted=True)
    await happens(desk, rollout, Paused("too many failed"))
    assert await told(desk) == Told({HERE: [OLGA.user_id], THERE: []}, [])
    await preferences.set_muted(OLGA.user_id, muted=False)
    await happens(desk, rollout, Paused("too many failed"))
    assert (await told(desk)).written_to == [OLGA.user_id]


async def test_a_pause_that_is_over_says_so_in_each_note_and_message_about_it(desk: Desk) -> None:
    await requested(desk)
    await desk.it.rollouts.approve(PAUL, RolloutId(1))
    await desk.it.steering.pause(PAUL, RolloutId(1))
    await desk.it.steering.resume(PAUL, RolloutId(1))
    async with desk.it.database.read() as connection:
        found = await connection.execute(select(notes).where(notes.c.live, notes.c.wanted > 1))
    messages = [(one["channel"], await drawn(desk, one)) for one in found.mappings()]
    pauses = {channel: message for channel, message in messages if "paused by Paul" in message.text}
    assert set(pauses) == {HERE, THERE, OLGA.user_id}
    for message in pauses.values():
        assert message.is_over
