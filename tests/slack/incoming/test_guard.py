"""Around every listener: nothing escapes, everybody gets a sentence, and what runs is waited for."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bot import log
from bot.demo.slack.limits import problems_of_view
from bot.domain.access import Actor, Role
from bot.domain.errors import BotError, InvalidInput, NotAllowed, RoleUnknown
from bot.slack.incoming.command_router import normalise
from bot.slack.incoming.concurrency import leave_turn
from bot.slack.incoming.guard import AttemptedAction, Guard, catch, new_incident_id
from bot.slack.incoming.listeners import SubmissionAnswer
from bot.slack.incoming.signatures import begin_request
from bot.slack.views.blocks import Message
from bot.storage.db.engine import Database

SAM = Actor("U0SAM", "Sam", Role.VIEWER)


@dataclass
class Heard:
    """A responder that keeps what is said, or fails."""

    said: list[str] = field(default_factory=list)
    broken: bool = False

    async def answer(self, message: Message) -> None:
        await self.add(message)

    async def add(self, message: Message) -> None:
        if self.broken:
            raise ConnectionError
        self.said.append(normalise(message.text))

    async def send_file(self, name: str, content: bytes, title: str, alt: str = "") -> None:
        raise AssertionError("no file is sent here")


@dataclass
class Post:
    """A guard, and the refusals it wrote down."""

    refused: list[tuple[str, ...]] = field(default_factory=list)
    heard: Heard = field(default_factory=Heard)
    fails: bool = False

    def __post_init__(self) -> None:
        self.guard = Guard(self.audit, answering=self.answering, at_once=2)
        self.answered: list[bool] = []

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            self.answered.append(False)
            raise
        self.answered.append(True)

    async def audit(self, actor: Actor, what: str, about: str, channel: str, reason: str) -> None:
        if self.fails:
            raise ConnectionError
        self.refused.append((actor.user_id, what, about, channel, reason))

    async def answers(self, error: Exception, actor: Actor | None = SAM) -> str:
        self.guard.answer(AttemptedAction("rename", "C0OPS", self.heard, actor, about="a b"), raising(error))
        assert await self.guard.drain(5)
        return self.heard.said[-1] if self.heard.said else ""


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        raise error

    return work


async def test_an_error_of_ours_is_told_as_it_is() -> None:
    assert (
        await Post().answers(InvalidInput("There is no <!channel> & *x*.")) == "There is no <!channel> & *x*."
    )


async def test_all_lines_of_one_request_carry_its_ids_and_no_other_line_does() -> None:
    async def work() -> None:
        logging.getLogger("bot.services.fleet").info("looked")
        logging.getLogger("bot.storage.fleet").warning("wrote")

    written = io.StringIO()
    log.configure("info", "json", [], written)
    post = Post()
    for user in ("U0ANA", "U0BEN"):
        post.guard.answer(AttemptedAction("rename", "C0OPS", post.heard, SAM, user=user), work)
        assert await post.guard.drain(5)
        post.guard.draining = False
    logging.getLogger("bot.app").info("afterwards")
    *lines, afterwards = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["user"] for line in lines] == ["U0ANA", "U0ANA", "U0BEN", "U0BEN"]
    assert {(line["what"], line["channel"]) for line in lines} == {("rename", "C0OPS")}
    assert len({line["request"] for line in lines}) == 2
    assert "request" not in afterwards


async def test_any_other_error_gets_an_id_that_the_log_has_too(caplog: pytest.LogCaptureFixture) -> None:
    said = await Post().answers(KeyError("a secret thing"))
    incident = said.partition("(error ")[2][:8]
    assert "secret" not in said
    assert len(incident) == 8
    assert any(incident in record.getMessage() and record.exc_info for record in caplog.records)


@pytest.mark.parametrize("refusal", [NotAllowed, RoleUnknown])
async def test_a_refusal_is_written_down(refusal: type[BotError]) -> None:
    post = Post()
    await post.answers(refusal("You may not."))
    assert post.refused == [("U0SAM", "rename", "a b", "C0OPS", "You may not.")]


async def test_who_asked_is_answered_unless_the_work_raises_or_is_cut_short() -> None:
    post, begun = Post(), asyncio.Event()

    async def work() -> None:
        """What is there to do."""

    async def hangs() -> None:
        begun.set()
        await asyncio.Event().wait()

    post.guard.answer(AttemptedAction("rename", "C0OPS", post.heard, SAM), work)
    await post.guard.idle()
    await post.answers(InvalidInput("No."))
    post.guard.draining = False
    post.guard.answer(AttemptedAction("rename", "C0OPS", post.heard, SAM), hangs)
    await begun.wait()
    await post.guard.drain(0)
    assert post.answered == [True, False, False]


async def test_who_sent_a_modal_is_answered_once_that_is_shown() -> None:
    post, attempt = Post(), AttemptedAction("freeze", "", Heard(), SAM)
    await post.guard.decide(attempt, "Freeze", closing)
    assert post.answered == []
    await attempt.answered.aclose()
    assert post.answered == [True]


async def test_a_refusal_is_told_even_if_it_cannot_be_written_down() -> None:
    assert await Post(fails=True).answers(NotAllowed("You may not.")) == "You may not."


async def test_other_errors_are_no_refusals() -> None:
    post = Post()
    await post.answers(InvalidInput("No."))
    assert post.refused == []


async def test_an_answer_that_cannot_be_delivered_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await Post(heard=Heard(broken=True)).answers(InvalidInput("Nobody reads this."))
    assert "Nobody reads this." in caplog.text


async def test_the_listener_acknowledges_before_it_reads_the_payload() -> None:
    order: list[str] = []
    post = Post()

    async def ack() -> None:
        order.append("ack")

    await post.guard.acknowledge_first(lambda body: order.append(str(body["x"])))(ack, {"x": "read"})
    assert order == ["ack"]
    await post.guard.idle()
    assert order == ["ack", "read"]


async def test_a_payload_that_cannot_be_read_does_not_lose_its_acknowledgement(
    caplog: pytest.LogCaptureFixture,
) -> None:
    acknowledged, post = asyncio.Event(), Post()

    async def ack() -> None:
        acknowledged.set()

    def read(body: object) -> None:
        raise KeyError("user")

    await post.guard.acknowledge_first(read)(ack, {"type": "block_actions"})
    await post.guard.idle()
    assert acknowledged.is_set()
    assert "block_actions" in caplog.text


async def test_what_was_acknowledged_before_the_drain_is_still_answered() -> None:
    post = Post()

    async def ack() -> None:
        """Slack has it."""

    def handle(body: object) -> None:
        post.guard.answer(AttemptedAction("x", "", post.heard, SAM), raising(InvalidInput("told")))

    await post.guard.acknowledge_first(handle)(ack, {})
    assert await post.guard.drain(5)
    assert post.heard.said == ["told"]


async def test_while_draining_a_new_command_is_told_to_come_back() -> None:
    post = Post()
    post.guard.draining = True
    assert "restarting" in await post.answers(InvalidInput("This never ran."))


async def test_while_draining_a_modal_is_told_to_come_back() -> None:
    post = Post()
    post.guard.draining = True
    answer = await post.guard.decide(AttemptedAction("x", "", post.heard, SAM), "Title", closing)
    assert "restarting" in str(answer.view)


async def closing() -> SubmissionAnswer:
    return SubmissionAnswer()


async def test_draining_waits_for_what_runs() -> None:
    post, release, done = Post(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await release.wait()
        done.set()

    post.guard.answer(AttemptedAction("x", "", post.heard, SAM), work)
    draining = asyncio.create_task(post.guard.drain(5))
    await asyncio.sleep(0)
    assert not draining.done()
    release.set()
    assert await draining
    assert done.is_set()


async def test_what_does_not_end_in_time_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    post = Post()

    async def work() -> None:
        await asyncio.Event().wait()

    post.guard.answer(AttemptedAction("x", "", post.heard, SAM), work)
    assert not await post.guard.drain(0.01)
    assert post.guard.running == 0
    assert "cancelled" in caplog.text


async def test_only_so_many_run_at_once() -> None:
    post, release = Post(), asyncio.Event()
    running: list[int] = []

    async def work() -> None:
        running.append(1)
        await release.wait()

    for _ in range(5):
        post.guard.answer(AttemptedAction("x", "", post.heard, SAM), work)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(running) == 2
    release.set()
    assert await post.guard.drain(5)
    assert len(running) == 5


async def test_what_goes_on_by_itself_keeps_nobody_from_a_turn() -> None:
    post, release, third = Post(), asyncio.Event(), asyncio.Event()

    async def long() -> None:
        leave_turn()
        await release.wait()

    async def short() -> None:
        third.set()

    for user, work in (("U0ANA", long), ("U0BEN", long), ("U0SAM", short)):
        post.guard.answer(AttemptedAction("x", "", post.heard, SAM, user=user), work)
    async with asyncio.timeout(20):
        await third.wait()
    assert post.guard.running
    release.set()
    assert await post.guard.drain(5)


async def test_a_signed_request_is_claimed_over_the_connections_for_people(database: Database) -> None:
    used: list[object] = []

    async def is_first(_: str) -> bool:
        used.append(database.engine)
        return True

    async def ack() -> None:
        """Slack has it."""

    guard = Guard(Post().audit, is_first=is_first)

    async def arrives() -> None:
        begin_request("v0=1")
        await guard.acknowledge_first(lambda _: None)(ack, {})

    await asyncio.create_task(arrives())
    await guard.idle()
    assert used
    assert database.engine not in used


async def test_a_hundred_who_wait_for_the_portal_keep_nobody_waiting() -> None:
    heard, answered = Heard(), asyncio.Event()
    guard = Guard(Post().audit)

    async def slow() -> None:
        await answered.wait()

    async def quick() -> None:
        answered.set()

    for _ in range(100):
        guard.answer(AttemptedAction("devices", "", heard, SAM), slow)
    guard.answer(AttemptedAction("rollout_pause", "", heard, SAM), quick)
    assert await guard.drain(5)


async def test_the_error_of_a_modal_becomes_a_view_that_says_it() -> None:
    post = Post()

    async def work() -> SubmissionAnswer:
        raise NotAllowed("You may not <b>.")

    answer = await post.guard.decide(AttemptedAction("rollout_deny", "", post.heard, SAM), "Deny R-7", work)
    assert answer.view is not None
    assert problems_of_view(answer.view) == []
    assert "You may not &lt;b&gt;." in str(answer.view)
    assert post.refused == [("U0SAM", "rollout_deny", "", "", "You may not <b>.")]


async def test_the_error_of_an_event_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    post = Post()
    post.guard.observe("app_home_opened", raising(KeyError("x")))
    post.guard.observe("app_home_opened", raising(InvalidInput("A sentence.")))
    assert await post.guard.drain(5)
    assert "app_home_opened failed" in caplog.text
    assert "A sentence." in caplog.text


async def test_an_outcome_is_a_value_or_an_error() -> None:
    error = KeyError("x")
    assert await catch(raising(error)()) is error
    assert isinstance(await catch(closing()), SubmissionAnswer)


def test_an_incident_id_cannot_be_misread() -> None:
    made = {new_incident_id() for _ in range(200)}
    assert len(made) == 200
    assert not set("".join(made)) & set("01ILOU")
