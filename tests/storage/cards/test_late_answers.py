"""An answer that is owed: told by direct message when nobody lives to give it, and by nobody else."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from bot.domain.audit import BOT, AuditAction, AuditEntry, Outcome
from bot.slack.views.audit_list import unanswered
from bot.storage import audit
from bot.storage.audit import UNANSWERED
from bot.storage.cards import note_outbox
from bot.storage.cards.card_outbox import EditPace
from bot.storage.cards.late_answers import answering
from bot.storage.cards.note_outbox import Note
from bot.storage.db.engine import Database
from bot.storage.db.leases import LASTS

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
ANA = "U0ANA00001"


class Killed(Exception):
    """The process is gone before the answer."""


def now() -> datetime:
    return NOW


async def decides(database: Database, action: AuditAction = AuditAction.FREEZE, actor: str = ANA) -> None:
    entry = AuditEntry(NOW, actor, action, "everything", Outcome.DONE, channel="C0OPS00001", reason="bricks")
    async with database.write() as connection:
        await audit.record(connection, entry)


async def dies_after(database: Database, action: AuditAction, actor: str = ANA) -> None:
    with suppress(Killed):
        async with answering(database, now):
            await decides(database, action, actor)
            raise Killed


async def due(database: Database, at: datetime) -> tuple[Note, ...]:
    async with database.write() as connection:
        claim = await note_outbox.claim_notes(connection, EditPace(at), "publisher", at)
        return claim.notes if claim else ()


@pytest.mark.on_both
async def test_what_was_done_is_told_to_who_asked_when_its_answer_died(database: Database) -> None:
    await dies_after(database, AuditAction.FREEZE)
    assert await due(database, NOW) == ()
    (note,) = await due(database, NOW + LASTS)
    assert note.kind == UNANSWERED
    said = unanswered(note.body).text
    assert said.startswith("✅ You froze everything in <#C0OPS00001>: bricks.\nThis was done <!date")
    assert said.endswith("and my answer was lost.")


@pytest.mark.on_both
async def test_what_was_answered_is_told_no_second_time(database: Database) -> None:
    async with answering(database, now):
        await decides(database)
    assert await due(database, NOW + LASTS) == ()


@pytest.mark.parametrize(
    ("action", "actor"), [(AuditAction.APPROVE, ANA), (AuditAction.UNSILENCE, BOT)], ids=["card", "bot"]
)
async def test_what_a_card_shows_and_what_the_bot_decides_owe_nobody_an_answer(
    action: AuditAction, actor: str, database: Database
) -> None:
    await dies_after(database, action, actor)
    assert await due(database, NOW + LASTS) == ()


async def test_an_answer_may_take_as_long_as_it_likes(database: Database) -> None:
    moment, asked = [NOW], asyncio.Event()

    def later() -> datetime:
        asked.set()
        return moment[0]

    async with answering(database, later, every=LASTS / 9_000):
        await decides(database)
        moment[0] += LASTS
        for _ in range(2):  # the first may be about to be written with the time before
            asked.clear()
            await asked.wait()
        assert await due(database, NOW + LASTS) == ()


async def test_what_a_request_leaves_to_itself_owes_no_answer_once_it_is_over(database: Database) -> None:
    over = asyncio.Event()

    async def goes_on() -> None:
        await over.wait()
        await decides(database)

    async with answering(database, now):
        going_on = asyncio.create_task(goes_on())
    over.set()
    await going_on
    assert await due(database, NOW + LASTS) == ()
