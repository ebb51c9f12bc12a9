"""The audit log as a list and as rows of a file. Pure functions."""

from collections.abc import Sequence

from bot.domain.audit import BOT, AuditEntry, Outcome
from bot.slack.views.blocks import (
    Message,
    bold,
    channel,
    context,
    date,
    escape,
    lines,
    mention,
    message,
    name,
    section,
    status,
    utc,
)
from bot.slack.views.lists import PagePosition, buttons
from bot.slack.views.parts import row

AUDIT = "audit"
PAGE = 10
CSV_HEADING = ("when", "who", "what", "subject", "outcome", "before", "after", "where", "reason", "plan")
_EMOJI = {Outcome.DONE: "done", Outcome.FAILED: "failed", Outcome.REFUSED: "warning"}
_HASH_SHOWN = 12


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
    who = BOT if entry.actor == BOT else mention(entry.actor)
    what = escape(entry.action.replace("_", " "))
    said = f"{status(entry.outcome.value, _EMOJI[entry.outcome])} {date(entry.at)} {who}: {what}"
    if entry.subject:
        said += f" {name(entry.subject)}"
    if entry.before or entry.after:
        said += f": {name(entry.before or 'nothing', 120)} → {name(entry.after or 'nothing', 120)}"
    if entry.channel:
        said += f" in {channel(entry.channel)}"
    if entry.reason:
        said += f" ({name(entry.reason, 300)})"
    if entry.plan_hash:
        said += f", plan {name(entry.plan_hash[:_HASH_SHOWN])}"
    return said
