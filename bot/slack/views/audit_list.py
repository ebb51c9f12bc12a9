"""The audit log as a list and as rows of a file. Pure functions."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.slack.views.audit_sentences import audit_sentence
from bot.slack.views.blocks import (
    BREAK,
    Message,
    bold,
    channel,
    context,
    date,
    escape,
    mention,
    message,
    section,
    utc,
)
from bot.slack.views.paging import PagePosition, buttons
from bot.slack.views.tables import Cell, Row, Table, moment_cell, person_cell, text_cell, with_table
from bot.slack.views.undrawable import cells, row

AUDIT = "audit"
PAGE = 10
CSV_HEADING = ("when", "who", "what", "subject", "outcome", "before", "after", "where", "reason", "plan")
_NUMBER = re.compile(r"\b[AMPRS]-(?=\d)")
_EMOJI = {Outcome.DONE: "✅", Outcome.FAILED: "❌", Outcome.REFUSED: "🚫"}  # the sentence says it in words


def entries(found: Sequence[AuditEntry], total: int, offset: int, question: str) -> Message:
    """A page, newest first."""
    place = PagePosition(AUDIT, offset, total, PAGE, question)
    about = f" for {_asked(question)}" if question else ""
    title = f"{place.says('entry', 'entries')}{about}"
    if not found:
        hint = (
            "Words are looked for in what was done and to what; a person, done, failed or refused narrow it."
        )
        return message(f"No entries{about}. {hint}", [section(f"No entries{about}."), context(hint)])
    rows = [row(_line, entry) for entry in found]
    table = Table(
        "Audit log",
        ("When", "Who", "What", "About", "Outcome", "Change", "Reason"),
        [Row(_unbroken(line), cells(_cells, one)) for line, one in zip(rows, found, strict=True)],
    )
    said = "\n".join([f"{title}:", *rows])
    return with_table(said, [section(bold(title))], table, buttons(place, export=True))


def _asked(question: str) -> str:
    """As it was asked, with its people and channels drawn as such."""
    drawn = {"@": mention, "#": channel}
    between, *found = re.split(r"<([@#])([A-Z0-9]+)(?:\|[^>]*)?>", question)
    parts = zip(found[::3], found[1::3], found[2::3], strict=True)
    return escape(between) + "".join(f"{drawn[sign](id_)}{escape(more)}" for sign, id_, more in parts)


def _cells(entry: AuditEntry) -> list[Cell]:
    is_change = entry.before or entry.after
    change = f"{entry.before or 'nothing'} → {entry.after or 'nothing'}" if is_change else None
    return [
        moment_cell(entry.at),
        person_cell(entry.actor),
        text_cell(entry.action.replace("_", " ")),
        text_cell(entry.subject),
        text_cell(f"{_EMOJI[entry.outcome]} {entry.outcome.value}"),
        text_cell(change),
        text_cell(entry.reason),
    ]


def unanswered(body: Mapping[str, Any]) -> Message:
    """To who had this done, and got no answer."""
    asked = {"at": datetime.fromisoformat(body["at"]), "action": AuditAction(body["action"])}
    entry = AuditEntry(**{**body, **asked, "outcome": Outcome(body["outcome"])})
    said = f"{_EMOJI[entry.outcome]} {audit_sentence(entry, who='You')}."
    why = f"This was done {date(entry.at)}, and my answer was lost."
    return message(f"{said}\n{why}", [section(said), context(why)])


def csv_row(entry: AuditEntry) -> tuple[str | None, ...]:
    """A row of the file, in the order of ``CSV_HEADING``."""
    return (utc(entry.at), *entry.texts)


def _line(entry: AuditEntry) -> str:
    return f"{_EMOJI[entry.outcome]} {date(entry.at)}: {audit_sentence(entry)}."


def _unbroken(line: str) -> str:
    """A number such as R-1 may stand anywhere in the sentence: no line ends within it."""
    return _NUMBER.sub(rf"\g<0>{BREAK}", line)
