"""The audit log as a list and as rows of a file. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.slack.views.audit_words import audit_sentence
from bot.slack.views.blocks import Message, bold, context, date, escape, lines, message, section, utc
from bot.slack.views.lists import PagePosition, buttons
from bot.slack.views.parts import row

AUDIT = "audit"
PAGE = 10
CSV_HEADING = ("when", "who", "what", "subject", "outcome", "before", "after", "where", "reason", "plan")
_EMOJI = {Outcome.DONE: "✅", Outcome.FAILED: "❌", Outcome.REFUSED: "🚫"}  # the sentence says it in words


def entries(found: Sequence[AuditEntry], total: int, offset: int, question: str) -> Message:
    """A page, newest first."""
    place = PagePosition(AUDIT, offset, total, PAGE, question)
    about = f" for {escape(question)}" if question else ""
    title = f"{place.says('entry', 'entries')}{about}"
    if not found:
        hint = (
            "Words are looked for in what was done and to what; a person, done, failed or refused narrow it."
        )
        return message(f"No entries{about}. {hint}", [section(f"No entries{about}."), context(hint)])
    rows = [row(_line, entry) for entry in found]
    return message(
        "\n".join([f"{title}:", *rows]), [section(bold(title)), *lines(rows), *buttons(place, export=True)]
    )


def unanswered(body: Mapping[str, Any]) -> Message:
    """To who had this done, and got no answer."""
    asked = {"at": datetime.fromisoformat(body["at"]), "action": AuditAction(body["action"])}
    entry = AuditEntry(**{**body, **asked, "outcome": Outcome(body["outcome"])})
    said = f"{_EMOJI[entry.outcome]} {audit_sentence(entry, who='You')}."
    why = f"This was done {date(entry.at)}, and my answer was lost."
    return message(f"{said}\n{why}", [section(said), context(why)])


def csv_row(entry: AuditEntry) -> tuple[str | None, ...]:
    """A row of the file, in the order of ``CSV_HEADING``."""
    return (
        utc(entry.at),
        entry.actor,
        entry.action,
        entry.subject,
        entry.outcome.value,
        entry.before,
        entry.after,
        entry.channel,
        entry.reason,
        entry.plan_hash,
    )


def _line(entry: AuditEntry) -> str:
    return f"{_EMOJI[entry.outcome]} {date(entry.at)}: {audit_sentence(entry)}."
