"""Who did what, asked for in Slack: words that narrow it, pages, and a file."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.access import Actor, Role
from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.domain.errors import InvalidInput, NotAllowed
from bot.services.audit import AuditService
from bot.services.context import Context
from bot.slack import ids
from bot.slack.audit import AuditCommands
from bot.slack.incoming.command_router import CommandRouter
from bot.slack.incoming.listeners import Click, CommandCall
from bot.slack.paging import list_clicks
from bot.slack.views.audit_list import entries
from bot.slack.views.blocks import BREAK, date
from bot.storage import audit
from bot.storage.db.engine import Database
from tests.slack.shown import HOSTILE, LONG, Answers, buttons, sendable

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANA, BEN = "U0ANA00001", "U0BEN00001"
VERA = Actor("U0VERA0001", "Vera", Role.VIEWER)
GUEST = Actor("U0GUEST001", "Gus", Role.NONE)


def entry(
    number: int, actor: str = ANA, action: AuditAction = AuditAction.RENAME, subject: str = "", **more: str
) -> AuditEntry:
    outcome = Outcome(more.pop("outcome", "done"))
    at = NOW - timedelta(minutes=number)
    return AuditEntry(at, actor, action, subject or f"bmac-{number:04}", outcome, **more)


async def names(user_ids: Sequence[str]) -> dict[str, list[str]]:
    called = {ANA: ["ana", "Ana Berg"], BEN: ["ben", "Ben Øst"]}
    return {user_id: called[user_id] for user_id in user_ids if user_id in called}


async def channel_names(channels: Sequence[str]) -> dict[str, str]:
    called = {"C0OPS00001": "ops", "C0OTHER001": "other"}
    return {channel: called[channel] for channel in channels if channel in called}


def ids_of(user_id: str) -> Sequence[str]:
    """Ben comes by two."""
    return [BEN, "W0BEN00001"] if user_id == "W0BEN00001" else [user_id]


@pytest.fixture
def commands(database: Database) -> AuditCommands:
    service = AuditService(Context(database, lambda: NOW))
    return AuditCommands(service, names, channel_names=channel_names, ids_of=ids_of)


async def record(database: Database, *entries: AuditEntry) -> None:
    async with database.write() as connection:
        await audit.record(connection, *entries)


async def asked(commands: AuditCommands, text: str = "", actor: Actor = VERA) -> Answers:
    answers = Answers()
    listener = CommandRouter([commands.feature()], "/mesh")
    await listener.route("audit", CommandCall(actor, "C0OPS00001", text, answers))
    return answers


async def test_an_entry_is_a_sentence_that_tells_who_what_before_after_where_and_when(
    database: Database, commands: AuditCommands
) -> None:
    told = entry(1, before="Roof", after="Roof north", channel="C0OPS00001", reason="moved")
    await record(database, told)
    text = (await asked(commands)).last.text
    said = f"<@{ANA}> renamed bmac-0001 from Roof to Roof north in <#C0OPS00001>: moved."
    assert text.endswith(f"✅ {date(NOW - timedelta(minutes=1))}: {said}")


async def test_the_head_draws_the_person_and_the_channel_that_were_asked_for(
    database: Database, commands: AuditCommands
) -> None:
    await record(database, entry(1, channel="C0OPS00001"))
    text = (await asked(commands, f"<@{ANA}|ana> <#C0OPS00001|ops> bmac")).last.text
    assert text.startswith(f"1 entry for <@{ANA}> <#C0OPS00001> bmac:")


@pytest.mark.parametrize(
    ("question", "subjects"),
    [
        (f"<@{BEN}>", {"R-1", "R-12"}),
        (f"<@{BEN}|ben>", {"R-1", "R-12"}),
        ("@ben", {"R-1", "R-12"}),
        ("refused @Ben Øst", {"R-12"}),
        ("@BEN ØST r-12", {"R-12"}),
        ("@ana", {"bmac-0003"}),
        ("<#C0OPS00001|ops>", {"R-1"}),
        ("<#C0OPS00001>", {"R-1"}),
        ("#ops", {"R-1"}),
        ("approve #OPS", {"R-1"}),
        ("<@W0BEN00001>", {"R-1", "R-12"}),
        (BEN, {"R-1", "R-12"}),
        ("r-1", {"R-1"}),
        ("Refused", {"R-12"}),
        ("refused failed", {"R-12", "bmac-0003"}),
        ("rename", {"bmac-0003"}),
        ("approve r-12", {"R-12"}),
        ("meshbot", {"R-3"}),
        ("feed", {"R-1"}),
        ("%", set()),
    ],
)
@pytest.mark.on_both
async def test_words_narrow_it_by_person_act_thing_outcome_and_plan(
    question: str, subjects: set[str], database: Database, commands: AuditCommands
) -> None:
    await record(
        database,
        entry(1, BEN, AuditAction.APPROVE, "R-1: 3.5.0", plan_hash="feedbeef", channel="C0OPS00001"),
        entry(2, BEN, AuditAction.APPROVE, "R-12", outcome="refused"),
        entry(3, outcome="failed"),
        entry(4, "meshbot", AuditAction.PAUSE, "R-3: 3.5.0"),
    )
    text = (await asked(commands, question)).last.text
    lines = text.splitlines()[1:]
    assert {subject for subject in ("R-1", "R-12", "R-3", "bmac-0003") if _names(lines, subject)} == subjects


def _names(lines: list[str], subject: str) -> bool:
    return any(subject in re.split(r"[^\w-]", line) for line in lines)


async def test_a_page_knows_all_ids_of_a_person_in_a_process_that_never_heard_of_them(
    database: Database,
) -> None:
    known: set[str] = set()

    async def learnt(user_ids: Sequence[str]) -> dict[str, list[str]]:
        known.update(user_ids)
        return {}

    def by_two(user_id: str) -> Sequence[str]:
        return [BEN, user_id] if user_id in known else [user_id]

    fresh = AuditCommands(
        AuditService(Context(database, lambda: NOW)), learnt, channel_names=channel_names, ids_of=by_two
    )
    await record(database, entry(1, BEN))
    answers = Answers()
    ref = ids.PageRef("audit", 0, "<@W0BEN00001>")
    await list_clicks(fresh.lists())[ids.REFRESH](Click(VERA, "C0OPS00001", ids.REFRESH, ref, answers))
    assert "bmac-0001" in answers.last.text


async def test_a_channel_that_slack_does_not_name_now_is_not_said_to_be_absent(
    database: Database, commands: AuditCommands
) -> None:
    await record(database, entry(1, channel="C0UNTOLD01"))
    with pytest.raises(InvalidInput, match="Slack does not tell me all names now"):
        await asked(commands, "#ops")


async def test_pages_go_from_the_newest_to_the_oldest(database: Database, commands: AuditCommands) -> None:
    await record(database, *(entry(number) for number in range(12)))
    answers = await asked(commands)
    assert answers.last.text.startswith("1–10 of 12 entries")
    ref = buttons(answers.last)[ids.PAGE_NEXT]
    await list_clicks(commands.lists())[ids.PAGE_NEXT](Click(VERA, "C0OPS00001", ids.PAGE_NEXT, ref, answers))
    assert "bmac-0011" in answers.last.text
    assert "bmac-0009" not in answers.last.text


@pytest.mark.on_both
async def test_the_whole_answer_comes_as_a_file(database: Database, commands: AuditCommands) -> None:
    await record(database, *(entry(number, after="=1+1") for number in range(12)), entry(13, BEN))
    answers = await asked(commands, ANA)
    ref = buttons(answers.last)[ids.EXPORT_CSV]
    await list_clicks(commands.lists())[ids.EXPORT_CSV](
        Click(VERA, "C0OPS00001", ids.EXPORT_CSV, ref, answers)
    )
    ((name, content, _),) = answers.files
    assert name == "audit.csv"
    assert content.decode("utf-8-sig").count("\r\n") == 13
    assert "'=1+1" in content.decode()


@pytest.mark.on_both
async def test_an_empty_answer_says_how_to_ask(commands: AuditCommands) -> None:
    assert "No entries for &lt;here&gt;" in (await asked(commands, "<here>")).last.text


async def test_names_from_outside_ring_at_nobody_and_fit(database: Database, commands: AuditCommands) -> None:
    await record(database, *(entry(n, before=LONG, after=HOSTILE, reason=HOSTILE * 9) for n in range(10)))
    assert "<!channel>" not in sendable((await asked(commands)).last).text


async def test_a_guest_does_not_read_the_audit_log(commands: AuditCommands) -> None:
    with pytest.raises(NotAllowed, match="Guests and people from other organisations"):
        await asked(commands, actor=GUEST)


@pytest.mark.on_both
async def test_entries_are_forgotten_after_a_year_and_not_before(
    database: Database, commands: AuditCommands
) -> None:
    await record(database, entry(365 * 24 * 60 + 1), entry(365 * 24 * 60))
    await AuditService(Context(database, lambda: NOW)).prune()
    assert (await asked(commands)).last.text.startswith("1 entry")


async def test_a_name_that_nobody_in_the_log_has_is_said(database: Database, commands: AuditCommands) -> None:
    await record(database, entry(1, BEN))
    with pytest.raises(InvalidInput, match="Nobody called @zoe is in the audit log"):
        await asked(commands, "@zoe")


async def test_a_channel_that_is_not_in_the_log_is_said(database: Database, commands: AuditCommands) -> None:
    await record(database, entry(1, BEN, channel="C0OPS00001"))
    with pytest.raises(InvalidInput, match="No channel called #other is in the audit log"):
        await asked(commands, "#other")


def test_no_line_ends_within_a_number_while_the_text_that_is_searched_has_it_plain() -> None:
    drawn = entries([entry(1, action=AuditAction.APPROVE, subject="R-12: 3.5.0, 20 gateways")], 1, 0, "")
    shown = "".join(block["text"]["text"] for block in drawn.blocks if block["type"] == "section")
    assert f"approved R-{BREAK}12 (3.5.0, 20 gateways)" in shown
    assert "approved R-12 (3.5.0, 20 gateways)" in drawn.text
