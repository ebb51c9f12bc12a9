"""A question about the audit log, as words: who, what, which thing, and how it ended, joined by "and"."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

KEPT: Final = timedelta(days=365)  # the audit log; rollouts and incidents, after their end


class Outcome(StrEnum):
    """How something that a person asked for ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did, or was refused, what: one row of the append-only audit log."""

    at: datetime
    actor: str  # Slack user id, or "meshbot" for what the bot decided
    action: str
    subject: str
    outcome: Outcome
    before: str | None = None
    after: str | None = None
    channel: str | None = None
    reason: str | None = None
    plan_hash: str | None = None


BEGINNING: Final = "0" * 64  # what stands in place of a hash before the first entry of all


def chained(before: str, entry: AuditEntry) -> str:
    """The hash of an entry behind the one with the hash ``before``: if one changes, all that follow do."""
    told = (
        before,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
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
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditChain:
    """What a walk along the whole log found: how many entries, the last hash, and the first that is wrong."""

    entries: int
    last: str
    broken_at: int | None = None  # the number of an entry that is not as it was written, or behind a gap
    cut_off: bool = False  # the newest entries are gone

    @property
    def is_whole(self) -> bool:
        return self.broken_at is None and not self.cut_off


BOT = "meshbot"  # the actor of what the bot decided by itself
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{6,})")


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Entries of one of these actors, with one of these outcomes, each word in action, subject or plan."""

    actors: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    words: tuple[str, ...] = ()  # casefolded


def parse_audit(text: str) -> AuditQuery:
    """``@ana tag refused``, ``R-7``, ``meshbot``: any word that is no person and no outcome is looked for."""
    actors: list[str] = []
    outcomes: list[Outcome] = []
    words: list[str] = []
    for word in text.split():
        if match := _MENTION.fullmatch(word):
            actors.append(match[1] or match[2])
        elif word.casefold() == BOT:
            actors.append(BOT)
        elif word.casefold() in set(Outcome):
            outcomes.append(Outcome(word.casefold()))
        else:
            words.append(word.casefold())
    return AuditQuery(tuple(actors), tuple(outcomes), tuple(words))
