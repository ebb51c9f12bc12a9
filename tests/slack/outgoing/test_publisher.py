"""Cards and notes until Slack shows them: each once, in order, at Slack's pace, whatever goes wrong."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import PostedMessage as Shown
from bot.domain.errors import Unavailable
from bot.services.context import Context
from bot.services.late_answers import LATE, LateAnswers
from bot.slack.incoming.command_router import normalise
from bot.slack.outgoing.messages import TWICE
from bot.slack.outgoing.publisher import Publisher
from bot.slack.outgoing.replies import late
from bot.slack.outgoing.web_api import WebApi
from bot.slack.views import blocks
from bot.slack.views.blocks import File, Message
from bot.storage.cards import broken_channels as channels
from bot.storage.cards import cards as wanted
from bot.storage.cards.cards import About, CardKind
from bot.storage.db import clock_change
from bot.storage.db.engine import Database
from bot.storage.db.leases import LASTS
from bot.storage.db.tables import cards, notes
from tests.slack.incoming.connected import Clock, bed
from tests.worlds.databases import sqlite_url

OPS, ALERTS, ROLLOUTS = workspace.OPS, workspace.FLEET_ALERTS, workspace.ROLLOUTS
SCOPES = frozenset({"chat:write", "files:write", "im:write"})


@dataclass
class Stand:
    """A database with cards, a local Slack, and publishers between them."""

    slack: SlackServer
    api: WebApi
    database: Database
    clock: Clock
    text: dict[str, str] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    slept: list[float] = field(default_factory=list)
    away: bool = False  # the database, from what draws a note with it

    def __post_init__(self) -> None:
        self.publisher = self.another()

    def another(self) -> Publisher:
        """Another process, or this one after a restart."""
        return Publisher(
            self.api,
            self.database,
            {"rollout": self.draw, "incident": self.draw},
            {
                "progress": draw_note,
                "file": draw_file,
                "picture": draw_picture,
                "broken": draw_badly,
                "asking": self.draw_with_the_database,
                "live": self.draw_live,
                LATE: late,
            },
            owner=secrets.token_hex(8),
            edit_every=timedelta(seconds=15),
            now=self.clock.now,
            sleep=self.sleep,
        )

    async def draw(self, subject: str) -> Message:
        if self.text.get(subject) == "crash":
            raise KeyError(subject)
        text = self.text.get(subject, f"card {subject}")
        drawn = blocks.message(blocks.escape(text), [blocks.section(blocks.escape(text))])
        return replace(drawn, is_over=subject in self.over)

    async def draw_live(self, body: Mapping[str, Any]) -> Message:
        key = str(body["text"])
        return replace(blocks.message(self.text.get(key, key)), is_over=key in self.over)

    async def draw_with_the_database(self, body: Mapping[str, Any]) -> Message:
        if self.away:
            raise Unavailable("My database does not answer.")
        return draw_note(body)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds=seconds)
        await asyncio.sleep(0)

    async def open(self, subject: str = "7", *channels: str) -> None:
        async with self.database.write() as connection:
            await wanted.open_cards(
                connection, About(CardKind.ROLLOUT, subject), channels or (OPS,), self.clock.now()
            )

    async def change(self, text: str, subject: str = "7", *, urgent: bool = False) -> None:
        self.text[subject] = text
        async with self.database.write() as connection:
            await wanted.touch(connection, About(CardKind.ROLLOUT, subject), urgent=urgent)

    async def ends(self, subject: str = "7") -> None:
        """What the card tells of is over."""
        self.over.add(subject)
        await self.change("over", subject)

    async def note(
        self, key: str, kind: str = "progress", *, broadcast: bool = False, live: bool = False
    ) -> None:
        about = About(CardKind.ROLLOUT, "7")
        async with self.database.write() as connection:
            await wanted.add_note(
                connection, about, key, kind, {"text": key}, self.clock.now(), broadcast=broadcast, live=live
            )

    async def message(self, channel: str, key: str, kind: str = "progress", *, live: bool = False) -> None:
        async with self.database.write() as connection:
            await wanted.add_message(
                connection, channel, key, kind, {"text": key}, self.clock.now(), live=live
            )

    async def tells(self, key: str, text: str, *, over: bool = False) -> None:
        """What a live note says has changed."""
        self.text[key] = text
        self.over |= {key} if over else set()
        async with self.database.write() as connection:
            await wanted.touch_notes(connection, key)

    async def publish(self, *, after: float = 0.0) -> None:
        self.clock.advance(seconds=after)
        await self.publisher.publish()

    def texts(self, channel: str = OPS) -> list[str]:
        return [normalise(message.text) for message in self.slack.workspace.in_channel(channel)]

    def card(self, channel: str = OPS) -> Shown:
        return self.slack.workspace.in_channel(channel)[0]

    def thread(self) -> list[str]:
        return [message.text for message in self.slack.workspace.thread(self.card())]

    def files(self) -> list[tuple[str, str, bytes | None]]:
        """Those in the thread of the card."""
        thread = self.slack.workspace.thread(self.card())
        return [(file.name, file.title, file.content) for one in thread for file in one.files]

    def count(self, method: str) -> int:
        return len(self.slack.called(method))

    async def error(self) -> str | None:
        async with self.database.read() as connection:
            found = await connection.execute(select(cards.c.error).where(cards.c.state == "broken"))
            return found.scalar_one_or_none()


def draw_note(body: Mapping[str, Any]) -> Message:
    text = blocks.escape(str(body["text"]))
    return blocks.message(text, [blocks.section(text)])


def draw_file(body: Mapping[str, Any]) -> Message:
    return blocks.message("with a file", files=[File("rest.csv", b"id\n1\n", "The rest")])


def draw_picture(body: Mapping[str, Any]) -> Message:
    picture = File("all.png", b"png", "All", "All is well.")
    said = [blocks.section("a picture"), blocks.context("small print")]
    return blocks.message("a picture", said, pictures=[picture])


def draw_badly(body: Mapping[str, Any]) -> Message:
    raise KeyError("no such thing")


@asynccontextmanager
async def standing(
    tmp_path: Path, *, history: bool = True, database: Database | None = None
) -> AsyncIterator[Stand]:
    slack = SlackServer(scopes=None if history else SCOPES)
    own = database or Database.open(sqlite_url(tmp_path))
    async with bed(slack) as made:
        await made.api.call("auth.test")
        yield Stand(slack, made.api, own, made.clock)
    await own.close()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path) as one:
        yield one


@pytest.fixture
async def blind(tmp_path: Path) -> AsyncIterator[Stand]:
    """Without the optional scope: what was posted cannot be looked up."""
    async with standing(tmp_path, history=False) as one:
        yield one


# ---- cards
async def test_a_card_is_posted_once_to_each_channel(stand: Stand) -> None:
    await stand.open("7", OPS, ALERTS)
    await stand.publish()
    await stand.publish(after=60)
    assert stand.texts(OPS) == stand.texts(ALERTS) == ["card 7"]


async def test_what_is_over_before_its_card_was_posted_is_never_posted(stand: Stand) -> None:
    stand.slack.faults.rate_limit("chat.postMessage", retry_after=30)
    await stand.open()
    await stand.note("a")
    await stand.publish()
    await stand.ends()
    await stand.publish(after=60)
    assert stand.texts() == []
    assert (await stand.publisher.backlog()).waiting == 0


async def test_what_is_over_is_said_where_its_card_was_posted(stand: Stand) -> None:
    await stand.open("7", OPS)
    await stand.publish()
    await stand.open("7", ALERTS)
    await stand.ends()
    await stand.publish(after=60)
    assert (stand.texts(OPS), stand.texts(ALERTS)) == (["over"], [])


async def test_a_card_whose_post_was_lost_is_looked_for_before_it_is_given_up(stand: Stand) -> None:
    stand.slack.faults.lose_answer("chat.postMessage")
    await stand.open()
    await stand.publish()
    await stand.ends()
    for _ in range(2):
        await stand.publish(after=60)
    assert stand.texts() == ["over"]


async def test_a_hostile_name_on_a_card_harms_nobody(stand: Stand) -> None:
    stand.text["7"] = "<!channel> & *x* :boom:"
    await stand.open()
    await stand.publish()
    assert stand.texts() == ["<!channel> & *x* :boom:"]


async def test_a_card_carries_what_it_is_found_by_and_unfurls_nothing(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    sent = stand.slack.called("chat.postMessage")[0].args
    assert sent["metadata"]["event_type"] == "meshbot_card"
    assert set(sent["metadata"]["event_payload"]) == {"card"}
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)


async def test_a_change_edits_the_card_in_place(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    await stand.change("half done")
    await stand.publish(after=15)
    assert stand.texts() == ["half done"]


async def test_two_processes_post_a_card_once(stand: Stand) -> None:
    others = [stand.publisher, stand.another(), stand.another()]
    for number in range(5):
        await stand.open(str(number), OPS, ALERTS, ROLLOUTS)
    await asyncio.gather(*(one.publish() for one in others))
    stand.clock.advance(seconds=10)
    await asyncio.gather(*(one.publish() for one in others))
    assert [len(stand.texts(channel)) for channel in (OPS, ALERTS, ROLLOUTS)] == [5, 5, 5]


@pytest.mark.postgres
async def test_two_processes_post_a_card_once_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    async with standing(tmp_path, database=Database.open(postgres_url)) as stand:
        await stand.open("7", OPS, ALERTS)
        await stand.note("a")
        await asyncio.gather(*(stand.another().publish() for _ in range(3)))
        assert (stand.texts(OPS), stand.texts(ALERTS)) == (["card 7"], ["card 7"])
        assert stand.thread() == ["a"]


async def test_a_card_for_a_person_is_edited_where_slack_put_it(stand: Stand) -> None:
    await stand.open("7", workspace.ADMIN)
    await stand.publish()
    await stand.change("new")
    await stand.publish(after=15)
    assert stand.texts(workspace.ADMIN) == ["new"]


# ---- pace
async def test_a_card_is_edited_at_most_every_fifteen_seconds(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    for second in range(60):
        await stand.change(f"second {second}")
        await stand.publish(after=1)
    assert stand.count("chat.update") == 4


async def test_a_person_s_click_does_not_wait(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    await stand.change("approved", urgent=True)
    await stand.publish()
    assert stand.texts() == ["approved"]


async def test_many_cards_together_are_edited_forty_times_a_minute(stand: Stand) -> None:
    for number in range(20):
        await stand.open(str(number), (OPS, ALERTS)[number % 2])
    for _ in range(5):
        await stand.publish(after=5)
    stand.clock.advance(minutes=2)
    for step in range(24):
        for number in range(20):
            await stand.change(f"step {step}", str(number))
        await stand.publish(after=5)
    assert 60 <= stand.count("chat.update") <= 80


async def test_what_looks_the_same_is_not_sent(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    await stand.change("card 7")
    await stand.publish(after=15)
    assert stand.count("chat.update") == 0
    assert (await stand.publisher.backlog()).waiting == 0


async def test_what_another_process_drew_meanwhile_is_drawn_over(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    await stand.change("theirs", urgent=True)
    await stand.another().publish()
    await stand.change("card 7", urgent=True)
    await stand.publish()
    assert stand.texts() == ["card 7"]


async def test_a_channel_gets_a_message_a_second_after_a_burst(stand: Stand) -> None:
    for number in range(6):
        await stand.open(str(number))
    await stand.publish()
    assert len(stand.texts()) == 3
    await stand.publish(after=1)
    assert len(stand.texts()) == 4
    await stand.publish(after=2)
    assert len(stand.texts()) == 6


async def test_a_full_channel_does_not_hold_up_another(stand: Stand) -> None:
    for number in range(6):
        await stand.open(str(number))
    await stand.open("9", ALERTS)
    await stand.publish()
    assert stand.texts(ALERTS) == ["card 9"]


async def test_a_rate_limit_loses_nothing_and_is_waited_for(stand: Stand) -> None:
    stand.slack.faults.rate_limit("chat.postMessage", retry_after=30)
    await stand.open()
    await stand.publish()
    await stand.publish(after=29)
    assert stand.texts() == []
    await stand.publish(after=1)
    assert stand.texts() == ["card 7"]
    assert (stand.publisher.sender.rejected, stand.publisher.sender.posts) == (1, 1)


async def test_a_pause_without_sense_ends_after_an_hour(stand: Stand) -> None:
    stand.slack.faults.rate_limit("chat.postMessage", retry_after=10**12)
    await stand.open()
    await stand.publish()
    await stand.publish(after=3599)
    assert stand.texts() == []
    await stand.publish(after=1)
    assert stand.texts() == ["card 7"]


async def test_a_rate_limit_on_edits_does_not_stop_posts(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    stand.slack.faults.rate_limit("chat.update", retry_after=60)
    await stand.change("new", urgent=True)
    await stand.open("8", ALERTS)
    await stand.publish()
    assert (stand.texts(), stand.texts(ALERTS)) == (["card 7"], ["card 8"])
    await stand.publish(after=60)
    assert stand.texts() == ["new"]


async def test_where_slack_takes_a_message_a_second_few_are_refused_and_none_is_lost(stand: Stand) -> None:
    stand.slack.pace = type(stand.slack.pace)(stand.clock.seconds)
    stand.slack.message_interval = 1.0
    for number in range(12):
        await stand.open(str(number), (OPS, ALERTS, ROLLOUTS)[number % 3])
    start = stand.clock.moment
    while (await stand.publisher.backlog()).waiting:
        await stand.publish(after=0.1)
    assert [len(stand.texts(channel)) for channel in (OPS, ALERTS, ROLLOUTS)] == [4, 4, 4]
    assert stand.clock.moment - start < timedelta(seconds=16)
    assert sum(stand.slack.rejected.values()) <= 5


# ---- trouble
async def test_a_card_that_was_deleted_is_posted_once_more(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    stand.slack.workspace.delete_message(stand.card())
    await stand.change("new", urgent=True)
    await stand.publish()
    assert stand.texts() == ["new"]


async def test_a_card_that_is_deleted_again_is_left_alone(stand: Stand) -> None:
    await stand.open()
    for text in ("first", "second", "third"):
        await stand.publish()
        stand.slack.workspace.delete_message(stand.card()) if stand.texts() else None
        await stand.change(text, urgent=True)
    await stand.publish()
    assert stand.texts() == []
    assert "message_not_found" in (await stand.error() or "")


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("C0NOWHERE1", "channel_not_found"),
        (workspace.RANDOM, "not_in_channel"),
        (workspace.ARCHIVED, "is_archived"),
    ],
)
async def test_a_card_without_a_place_is_put_aside_with_its_reason(
    stand: Stand, channel: str, code: str
) -> None:
    await stand.open("7", channel, OPS)
    await stand.publish()
    await stand.publish(after=3600)
    assert stand.texts() == ["card 7"]
    assert stand.slack.rejected["chat.postMessage", code] == 1
    assert code in (await stand.error() or "")


async def broken_channels(stand: Stand) -> Mapping[str, str]:
    async with stand.database.read() as connection:
        return await channels.broken(connection)


async def test_a_channel_that_is_archived_midway_is_broken_and_the_others_go_on(stand: Stand) -> None:
    await stand.open("7", OPS, ALERTS)
    await stand.publish()
    stand.slack.workspace.archive(OPS)
    await stand.change("later")
    await stand.publish(after=20)
    assert await broken_channels(stand) == {OPS: "is_inactive"}
    assert (stand.texts(), stand.texts(ALERTS)) == (["card 7"], ["later"])


async def test_a_channel_without_the_bot_is_broken_when_a_message_is_refused_there_too(stand: Stand) -> None:
    stand.slack.workspace.kick(OPS)
    await stand.message(OPS, "digest")
    await stand.message(workspace.DEACTIVATED, "to somebody who left")
    await stand.publish()
    assert await broken_channels(stand) == {OPS: "not_in_channel"}


async def test_a_post_that_slack_takes_shows_that_a_channel_was_mended(stand: Stand) -> None:
    await stand.open("7", OPS)
    await stand.publish()
    stand.slack.workspace.archive(OPS)
    await stand.change("later")
    await stand.publish(after=20)
    stand.slack.workspace.archive(OPS, archived=False)
    await stand.open("8", OPS)
    await stand.publish(after=20)
    await stand.publish(after=20)
    assert await broken_channels(stand) == {}
    assert stand.texts() == ["later", "card 8"]


async def test_one_bad_card_does_not_stop_the_others(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.text["1"] = "crash"
    for subject in ("1", "2"):
        await stand.open(subject)
    await stand.publish()
    assert stand.texts() == ["card 2"]
    assert "card rollout 1 failed" in caplog.text
    stand.text["1"] = "mended"
    await stand.publish(after=3)
    assert stand.texts() == ["card 2", "mended"]


async def test_blocks_that_slack_does_not_take_are_sent_as_text(stand: Stand) -> None:
    stand.slack.faults.fail("chat.postMessage", "invalid_blocks")
    await stand.open()
    await stand.publish()
    assert stand.texts() == ["card 7"]
    assert stand.card().blocks == []


async def test_a_text_that_slack_finds_too_long_is_cut(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    stand.slack.faults.fail("chat.update", "msg_too_long")
    await stand.change("x" * 3000, urgent=True)
    await stand.publish()
    assert stand.card().text.startswith("xxx")
    assert len(stand.card().text) < 2000


async def test_an_answer_that_was_lost_is_looked_for_and_not_repeated(stand: Stand) -> None:
    stand.slack.faults.lose_answer("chat.postMessage")
    await stand.open()
    await stand.publish()
    await stand.change("new")
    await stand.publish(after=3)
    await stand.publish(after=15)
    assert stand.texts() == ["new"]


@pytest.mark.parametrize(("ahead", "set_back"), [(10, False), (60, True)])
async def test_a_lost_answer_is_looked_for_by_a_clock_that_is_ahead_too(
    stand: Stand, ahead: int, set_back: bool
) -> None:
    by = timedelta(minutes=ahead)
    stand.clock.moment = datetime.now(UTC) + by
    await stand.open()
    await stand.publish()
    stand.slack.faults.lose_answer("chat.postMessage", times=2)
    await stand.open("8")
    await stand.note("a")
    await stand.publish()
    if set_back:
        stand.clock.moment -= by
        async with stand.database.write() as connection:
            await clock_change.move(connection, -by, stand.clock.now())
    for _ in range(3):
        await stand.publish(after=3)
    assert (stand.texts(), stand.thread()) == (["card 7", "card 8"], ["a"])


async def test_a_restart_between_a_post_and_its_record_posts_nothing_twice(stand: Stand) -> None:
    stand.slack.faults.lose_answer("chat.postMessage")
    await stand.open()
    await stand.publish()
    stand.clock.advance(minutes=2)
    await stand.another().publish()
    await stand.another().publish()
    assert stand.texts() == ["card 7"]


async def test_a_post_that_did_not_happen_is_made(stand: Stand) -> None:
    stand.slack.faults.fail("chat.postMessage", "bad_gateway", status=502)
    await stand.open()
    await stand.publish()
    await stand.publish(after=3)
    assert stand.texts() == ["card 7"]


async def test_where_history_cannot_be_read_a_lost_post_is_repeated_once_and_says_so(blind: Stand) -> None:
    blind.slack.faults.lose_answer("chat.postMessage")
    await blind.open()
    await blind.publish()
    for _ in range(5):
        await blind.publish(after=60)
    assert blind.texts() == ["card 7", f"card 7 {TWICE}"]
    assert TWICE in str(blind.slack.workspace.in_channel(OPS)[1].blocks)


async def test_a_lost_answer_to_an_edit_is_simply_repeated(blind: Stand) -> None:
    await blind.open()
    await blind.publish()
    blind.slack.faults.lose_answer("chat.update")
    await blind.change("new", urgent=True)
    await blind.publish()
    await blind.publish(after=3)
    assert blind.texts() == ["new"]


async def test_while_slack_is_down_tries_become_rarer(stand: Stand) -> None:
    stand.slack.faults.fail("chat.postMessage", "internal_error", times=1000, status=500)
    await stand.open()
    for _ in range(60):
        await stand.publish(after=10)
    assert 7 <= stand.count("chat.postMessage") <= 10
    stand.slack.faults.clear()
    await stand.publish(after=300)
    assert stand.texts() == ["card 7"]


# ---- notes
async def test_notes_go_into_the_thread_in_order_and_once(stand: Stand) -> None:
    await stand.open()
    for key in ("one", "two"):
        await stand.note(key)
    await stand.publish()
    await stand.note("three")
    await stand.publish(after=59)
    assert stand.thread() == ["one\ntwo"], "a thread gets a note a minute"
    await stand.publish(after=1)
    assert stand.thread() == ["one\ntwo", "three"]
    assert stand.texts() == ["card 7"]


async def test_a_broadcast_note_is_seen_in_the_channel_too(stand: Stand) -> None:
    await stand.open()
    await stand.note("did not return", broadcast=True)
    await stand.publish()
    assert stand.texts() == ["card 7", "did not return"]
    assert stand.thread() == ["did not return"]


@pytest.mark.parametrize("broadcast", [True, False])
async def test_a_note_whose_answer_was_lost_is_looked_for_in_the_thread(
    stand: Stand, broadcast: bool
) -> None:
    await stand.open()
    await stand.publish()
    await stand.note("a", broadcast=broadcast)
    stand.slack.faults.lose_answer("chat.postMessage")
    await stand.publish(after=1)
    await stand.note("b")
    await stand.publish(after=60)
    await stand.publish(after=60)
    assert stand.thread() == ["a", "b"]


async def test_a_note_that_cannot_be_drawn_does_not_stop_the_others(stand: Stand) -> None:
    await stand.open()
    await stand.note("a", "broken")
    await stand.note("b", "unheard of")
    await stand.note("c")
    await stand.publish()
    assert stand.thread() == ["c"]
    assert (await stand.publisher.backlog()).broken == 2


async def test_a_note_is_drawn_again_when_the_database_is_back(stand: Stand) -> None:
    await stand.open()
    await stand.note("a", "asking")
    await stand.note("b")
    stand.away = True
    await stand.publish()
    assert stand.thread() == []
    stand.away = False
    await stand.publish(after=1)
    assert stand.thread() == ["a\nb"]


@asynccontextmanager
async def refused(stand: Stand, table: str) -> AsyncIterator[None]:
    """The database goes away behind a post: neither its result nor its failure can be written."""
    gone = "BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
    async with stand.database.write() as connection:
        await connection.exec_driver_sql(f"CREATE TRIGGER away BEFORE UPDATE OF try_after ON {table} {gone}")
    yield
    async with stand.database.write() as connection:
        await connection.exec_driver_sql("DROP TRIGGER away")


@pytest.mark.parametrize("table", ["cards", "notes"])
async def test_a_failed_release_is_repeated_when_the_database_is_back(stand: Stand, table: str) -> None:
    await stand.open()
    if table == "notes":
        await stand.publish()
        await stand.note("a")
    async with refused(stand, table):
        await stand.publish()
        await stand.publish(after=1)
    await stand.publish(after=1)
    await stand.another().publish()  # which need not wait until the lease is over
    assert ((await stand.publisher.backlog()).waiting, stand.texts()) == (0, ["card 7"])
    assert stand.thread() == (["a"] if table == "notes" else [])


@pytest.mark.parametrize("table", ["cards", "notes"])
async def test_what_could_not_be_given_back_is_taken_up_when_its_lease_is_over(
    stand: Stand, table: str
) -> None:
    await stand.open()
    if table == "notes":
        await stand.publish()
        await stand.note("a")
    async with refused(stand, table):
        await stand.publish()
    await stand.another().publish()
    assert (await stand.publisher.backlog()).waiting == 1
    stand.clock.advance(seconds=LASTS.total_seconds())
    await stand.another().publish()
    assert ((await stand.publisher.backlog()).waiting, stand.texts()) == (0, ["card 7"])
    assert stand.thread() == (["a"] if table == "notes" else [])


async def test_a_release_that_fails_for_good_holds_up_nothing_else(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    await stand.note("a")
    async with refused(stand, "notes"):
        for number in range(12):
            await stand.change(f"number {number}", urgent=True)
            await stand.publish(after=1)
        assert (stand.texts(), stand.thread()) == (["number 11"], ["a"])


async def test_a_card_that_was_deleted_while_a_note_of_its_thread_waited_is_posted_again_once(
    stand: Stand,
) -> None:
    await stand.open()
    await stand.publish()
    stand.slack.workspace.delete_message(stand.card())
    await stand.change("new", urgent=True)
    await stand.note("a")
    for _ in range(3):  # the edit finds it gone, and so does the note
        await stand.publish(after=1)
    assert (stand.texts(), stand.thread()) == (["new"], ["a"])
    assert await stand.error() is None


async def test_a_note_in_the_thread_of_a_deleted_card_brings_the_card_back(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    stand.slack.workspace.delete_message(stand.card())
    await stand.note("a")
    await stand.publish(after=1)
    await stand.publish(after=1)
    assert stand.texts() == ["card 7"]
    assert stand.thread() == ["a"]


async def test_a_file_goes_into_the_thread_of_the_card(stand: Stand) -> None:
    await stand.open()
    await stand.note("a", "file")
    await stand.publish()
    assert stand.files() == [("rest.csv", "The rest", b"id\n1\n")]


@pytest.mark.parametrize("is_sent", [True, False])
async def test_a_note_that_was_cut_short_has_its_file_once_all_the_same(stand: Stand, is_sent: bool) -> None:
    await stand.open()
    await stand.publish()
    await stand.note("a", "file")
    stand.slack.faults.lose_answer("chat.postMessage")
    await stand.publish(after=1)
    if is_sent:
        await stand.api.send_file(OPS, draw_file({}).files[0], thread_ts=stand.card().ts)
    stand.clock.advance(minutes=2)
    await stand.another().publish()
    await stand.another().publish()
    assert len(stand.files()) == 1
    assert stand.thread().count("with a file") == 1


async def noted(stand: Stand) -> None:
    """A note with a file is said for the first time, as far as Slack takes it."""
    await stand.open()
    await stand.publish()
    await stand.note("a", "file")
    await stand.publish(after=1)


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_file_that_slack_did_not_take_follows_later(
    tmp_path: Path, method: str, history: bool
) -> None:
    async with standing(tmp_path, history=history) as stand:
        stand.slack.faults.rate_limit(method, times=4)
        await noted(stand)
        assert stand.files() == []
        await stand.publish(after=3)
        await stand.publish(after=60)
        assert len(stand.files()) == 1
        assert stand.thread().count("with a file") == 1


async def test_a_file_whose_answer_was_lost_is_there_once(stand: Stand) -> None:
    stand.slack.faults.lose_answer("files.completeUploadExternal")
    await noted(stand)
    await stand.publish(after=3)
    assert len(stand.files()) == 1


async def test_where_nobody_can_look_a_file_that_may_be_there_is_not_sent_again(blind: Stand) -> None:
    blind.slack.faults.lose_answer("files.completeUploadExternal")
    await noted(blind)
    await blind.publish(after=3)
    assert len(blind.files()) == 1


async def test_a_file_that_slack_refuses_for_good_is_given_up(stand: Stand) -> None:
    stand.slack.faults.fail("files.getUploadURLExternal", "missing_scope")
    await noted(stand)
    await stand.publish(after=300)
    assert (stand.files(), stand.count("files.getUploadURLExternal")) == ([], 1)


async def test_a_file_that_is_still_missing_holds_up_no_note(stand: Stand) -> None:
    stand.slack.faults.fail("files.getUploadURLExternal", "internal_error", times=100)
    await noted(stand)
    await stand.note("b")
    await stand.publish(after=60)
    assert stand.thread() == ["with a file", "b"]


async def test_a_message_of_its_own_goes_to_a_channel_or_to_a_person(stand: Stand) -> None:
    await stand.message(ALERTS, "digest")
    await stand.message(workspace.OPERATOR, "yours was approved")
    await stand.publish()
    assert stand.texts(ALERTS) == ["digest"]
    assert stand.texts(workspace.OPERATOR) == ["yours was approved"]


async def test_an_answer_that_slack_did_not_take_comes_by_direct_message_and_says_so(stand: Stand) -> None:
    now = stand.clock.now
    await LateAnswers(Context(stand.database, now), now).keep(workspace.OPERATOR, "renamed &lt;b&gt;")
    await stand.publish()
    (said,) = stand.texts(workspace.OPERATOR)
    assert said.startswith("renamed <b> Slack did not take this answer")


async def test_a_note_without_a_place_is_put_aside(stand: Stand) -> None:
    await stand.message("C0NOWHERE1", "digest")
    await stand.publish()
    async with stand.database.read() as connection:
        row = (await connection.execute(select(notes.c.state, notes.c.error))).one()
    assert row.state == "broken"
    assert "channel_not_found" in row.error


# ---- the loop
async def test_the_loop_publishes_when_it_is_woken_and_ends_when_it_is_told(stand: Stand) -> None:
    running = asyncio.create_task(stand.publisher.run())
    await stand.open()
    stand.publisher.wake()
    await stand.slack.wait_for(lambda: stand.texts() == ["card 7"])
    await stand.publisher.stop()
    await asyncio.wait_for(running, 5)


async def test_the_loop_ends_though_slack_does_not_answer_and_nothing_is_lost(stand: Stand) -> None:
    stand.slack.faults.hang("chat.postMessage")
    running = asyncio.create_task(stand.publisher.run())
    await stand.open()
    stand.publisher.wake()
    await stand.slack.wait_for(lambda: [e for e in stand.slack.events if e.kind == "hanging call"])
    await stand.publisher.stop(timedelta(0))
    assert running.done()
    stand.clock.advance(minutes=2)
    await stand.another().publish()
    assert stand.texts() == ["card 7"]


async def test_the_loop_survives_a_database_that_does_not_answer(
    stand: Stand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = Database.open(f"sqlite:///{tmp_path}/empty.db")
    publisher = Publisher(stand.api, empty, {}, {}, owner="one", edit_every=timedelta(), now=stand.clock.now)
    running = asyncio.create_task(publisher.run())
    async with asyncio.timeout(10):
        while "I go on" not in caplog.text:
            publisher.wake()
            await asyncio.sleep(0)
    assert not running.done()
    assert not [record for record in caplog.records if record.exc_info]
    await publisher.stop()
    await running
    await empty.close()


# ---- pictures
async def pictured(stand: Stand) -> Shown:
    """A note with a picture, posted to a channel of its own."""
    async with stand.database.write() as connection:
        await wanted.add_message(connection, ALERTS, "digest", "picture", {}, stand.clock.now())
    await stand.publish()
    return stand.slack.workspace.in_channel(ALERTS)[0]


def in_thread(stand: Stand, message: Shown) -> list[str]:
    return [file.alt_text for one in stand.slack.workspace.thread(message) for file in one.files]


async def test_a_picture_is_shown_inside_of_its_note(stand: Stand) -> None:
    message = await pictured(stand)
    _, image, _ = message.blocks
    assert image["alt_text"] == "All is well."
    assert stand.slack.workspace.files[image["slack_file"]["id"]].content == b"png"
    assert in_thread(stand, message) == []


async def test_a_picture_that_slack_does_not_know_at_once_is_shown_when_it_does(stand: Stand) -> None:
    stand.slack.faults.fail("chat.postMessage", "invalid_blocks")
    message = await pictured(stand)
    assert "image" in [block["type"] for block in message.blocks]
    assert stand.slept == [2.0]


async def test_a_picture_that_slack_does_not_show_goes_into_the_thread(stand: Stand) -> None:
    stand.slack.faults.fail("chat.postMessage", "invalid_blocks", times=2)
    message = await pictured(stand)
    assert [block["type"] for block in message.blocks] == ["section", "context"]
    assert in_thread(stand, message) == ["All is well."]
    assert len(stand.slack.workspace.in_channel(ALERTS)) == 1


async def test_a_note_whose_picture_cannot_be_uploaded_is_posted_and_the_thread_tried(stand: Stand) -> None:
    stand.slack.faults.fail("files.getUploadURLExternal", "internal_error", times=4)
    message = await pictured(stand)
    assert [block["type"] for block in message.blocks] == ["section", "context"]
    assert in_thread(stand, message) == ["All is well."]


async def test_a_picture_is_no_reason_to_post_twice(stand: Stand) -> None:
    stand.slack.faults.fail("chat.postMessage", "ratelimited")
    async with stand.database.write() as connection:
        await wanted.add_message(connection, ALERTS, "digest", "picture", {}, stand.clock.now())
    await stand.publish()
    await stand.publish(after=5)
    assert stand.texts(ALERTS) == ["a picture"]


# ---- live notes
async def test_a_live_note_is_edited_until_it_is_over(stand: Stand) -> None:
    await stand.open()
    await stand.note("paused", "live", broadcast=True, live=True)
    await stand.publish()
    await stand.tells("paused", "paused, 2 failed")
    await stand.publish(after=15)
    assert stand.thread() == ["paused, 2 failed"]
    await stand.tells("paused", "resumed", over=True)
    await stand.publish(after=15)
    await stand.tells("paused", "nobody reads this")
    await stand.publish(after=15)
    assert stand.thread() == ["resumed"]
    assert stand.count("chat.update") == 2


async def test_a_live_message_to_a_person_is_edited_where_slack_put_it(stand: Stand) -> None:
    await stand.message(workspace.OPERATOR, "paused", "live", live=True)
    await stand.publish()
    await stand.tells("paused", "resumed", over=True)
    await stand.publish(after=15)
    (call,) = stand.slack.called("chat.update")
    assert (call.args["channel"][0], call.args["text"]) == ("D", "resumed")


async def test_a_live_note_is_posted_alone(stand: Stand) -> None:
    await stand.open()
    for key, kind in (("one", "progress"), ("canary done", "live"), ("two", "progress")):
        await stand.note(key, kind, live=kind == "live")
    for _ in range(4):
        await stand.publish(after=61)
    assert stand.thread() == ["one", "canary done", "two"]


async def test_what_changes_before_a_live_note_is_posted_needs_no_edit(stand: Stand) -> None:
    await stand.open()
    await stand.note("paused", "live", live=True)
    await stand.tells("paused", "resumed", over=True)
    await stand.publish()
    await stand.publish(after=61)
    assert stand.thread() == ["resumed"]
    assert stand.count("chat.update") == 0


async def test_a_live_note_that_somebody_deleted_is_left_alone(stand: Stand) -> None:
    await stand.open()
    await stand.note("paused", "live", live=True)
    await stand.publish()
    stand.slack.workspace.delete_message(stand.slack.workspace.thread(stand.card())[0])
    await stand.tells("paused", "resumed")
    for _ in range(3):
        await stand.publish(after=61)
    assert stand.thread() == []
    assert stand.count("chat.update") == 1


async def test_a_live_note_whose_post_got_no_answer_is_found_and_drawn_anew(stand: Stand) -> None:
    await stand.open()
    await stand.publish()
    await stand.note("paused", "live", live=True)
    stand.slack.faults.lose_answer("chat.postMessage")
    await stand.publish()
    await stand.tells("paused", "resumed", over=True)
    for _ in range(3):
        await stand.publish(after=61)
    assert stand.thread() == ["resumed"]
