"""A question about the audit log, as words: who, what, which thing, and how it ended, joined by "and"."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NewType

from bot.domain.errors import InvalidInput


class Outcome(StrEnum):
    """How something that a person asked for ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


class AuditAction(StrEnum):
    """What is done, by a person or by the bot; of a button it is the id."""

    RENAME = "rename"
    TAG = "tag"
    UNDO_RENAME = "undo rename"
    UNDO_TAG = "undo tag"
    EXPORT = "export"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    UNDO_SUBSCRIPTION = "subscription_undo"
    SILENCE = "silence"
    UNSILENCE = "unsilence"
    PLAN_MAINTENANCE = "maintenance"
    SKIP_MAINTENANCE = "maintenance_skip"
    END_MAINTENANCE = "maintenance_end"
    UNDO_MAINTENANCE = "maintenance_undo"
    DESCRIBE = "site_edit"
    UNDO_DESCRIPTION = "site_undo"
    POLICY = "policy"
    END_POLICY = "policy_end"
    UNDO_POLICY = "policy_undo"
    ACKNOWLEDGE = "incident_ack"
    END_ACKNOWLEDGEMENT = "incident_ack_ended"
    TAKE_OVER = "incident_take_over"
    GIVE_BACK = "incident_give_back"
    ASSIGN = "incident_assign"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    REQUEST = "rollout_request"
    APPROVE = "rollout_approve"
    DENY = "rollout_deny"
    WITHDRAW = "rollout_cancel"
    VOID = "rollout_void"
    EXPIRE = "rollout_expired"
    REMIND = "rollout_reminder"
    SCHEDULE = "rollout_scheduled"
    START = "rollout_started"
    BEGIN_WAVE = "rollout_wave"
    END_CANARY = "rollout_canary_done"
    PROMOTE = "rollout_promote"
    PAUSE = "rollout_pause"
    RESUME = "rollout_resume"
    ABORT = "rollout_abort"
    RETRY = "rollout_retry_failed"
    CATCH_UP = "rollout_catch_up"
    WAIT = "rollout_waits"
    END_WAITING = "rollout_end_waiting"
    MISS = "rollout_not_returned"
    HEAR_LATE = "rollout_late"
    NOT_CALL_OFF = "rollout_not_called_off"
    FINISH = "rollout_finished"


ANSWERED: Final = frozenset(
    {
        AuditAction.SUBSCRIBE,
        AuditAction.UNSUBSCRIBE,
        AuditAction.UNDO_SUBSCRIPTION,
        AuditAction.SILENCE,
        AuditAction.UNSILENCE,
        AuditAction.PLAN_MAINTENANCE,
        AuditAction.SKIP_MAINTENANCE,
        AuditAction.END_MAINTENANCE,
        AuditAction.UNDO_MAINTENANCE,
        AuditAction.POLICY,
        AuditAction.END_POLICY,
        AuditAction.UNDO_POLICY,
        AuditAction.FREEZE,
        AuditAction.UNFREEZE,
        AuditAction.DESCRIBE,
        AuditAction.UNDO_DESCRIPTION,
    }
)
"""What its author may hear of by the answer alone; all else changes a card, or is told by who finishes it."""

TriedAction = NewType("TriedAction", str)
"""What somebody was refused: the word of a command, or the id of a button."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did, or was refused, what: one row of the append-only audit log."""

    at: datetime
    actor: str  # Slack user id, or "meshbot" for what the bot decided
    action: AuditAction | TriedAction
    subject: str  # what has a number begins with it: "R-1: 3.5.0, 20 gateways"
    outcome: Outcome = Outcome.DONE
    before: str | None = None
    after: str | None = None
    channel: str | None = None
    reason: str | None = None
    plan_hash: str | None = None

    @property
    def texts(self) -> tuple[str | None, ...]:
        """All but the moment, in the order in which they are hashed and exported."""
        done = (self.actor, self.action, self.subject, self.outcome.value, self.before, self.after)
        return (*done, self.channel, self.reason, self.plan_hash)


BEGINNING: Final = "0" * 64  # what stands in place of a hash before the first entry of all


def chained(before: str, entry: AuditEntry) -> str:
    """The hash of an entry behind the one with the hash ``before``: if one changes, all that follow do."""
    told = (before, entry.at.astimezone(UTC).isoformat(timespec="microseconds"), *entry.texts)
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
_CHANNEL = re.compile(r"<#([CG][A-Z0-9]+)(?:\|[^>]*)?>|([CG][A-Z0-9]{8,})")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{6,})")


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Entries of one of these actors, with one of these outcomes, from one of these channels.

    Each word is in action, subject or plan.
    """

    actors: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    words: tuple[str, ...] = ()  # casefolded
    channels: tuple[str, ...] = ()


def parse_audit(text: str) -> AuditQuery:
    """``@ana tag refused``, ``R-7``, ``meshbot``: any word that is no person and no outcome is looked for."""
    actors: list[str] = []
    outcomes: list[Outcome] = []
    words: list[str] = []
    channels: list[str] = []
    for word in _words(text):
        if match := _MENTION.fullmatch(word):
            actors.append(match[1] or match[2])
        elif match := _CHANNEL.fullmatch(word):
            channels.append(match[1] or match[2])
        elif word.casefold() == BOT:
            actors.append(BOT)
        elif word.casefold() in set(Outcome):
            outcomes.append(Outcome(word.casefold()))
        else:
            words.append(word.casefold())
    return AuditQuery(tuple(actors), tuple(outcomes), tuple(words), tuple(channels))


def with_people(text: str, names: Mapping[str, Sequence[str]]) -> str:
    """The question with ``@ana`` and ``@Ana Berg`` as mentions of all who are called so.

    Raises InvalidInput for a name that nobody has.
    """
    words, meant = _words(text), []
    while words:
        if not words[0].startswith("@"):
            meant.append(words.pop(0))
            continue
        ids, length = called_so(words, names)
        if not ids:
            raise InvalidInput(
                f"Nobody called {words[0]} is in the audit log. Choose a person from Slack's list."
            )
        meant += [f"<@{user_id}>" for user_id in ids]
        del words[:length]
    return " ".join(meant)


def called_so(words: Sequence[str], names: Mapping[str, Sequence[str]]) -> tuple[Sequence[str], int]:
    """Who is called as the words begin, ``@Ana Berg on her way``, and how many words the name takes."""
    ids: dict[str, list[str]] = {}
    for user_id, called in names.items():
        for name in called:
            ids.setdefault(" ".join(_words(name.casefold())), []).append(user_id)
    folded = [" ".join(_words(word.casefold())) for word in words]
    folded[0] = folded[0].removeprefix("@")
    length = next((end for end in range(len(words), 0, -1) if " ".join(folded[:end]) in ids), 0)
    return (list(dict.fromkeys(ids[" ".join(folded[:length])])) if length else [], length)


def with_channels(text: str, names: Mapping[str, str], *, all_known: bool) -> str:
    """The question with ``#ops`` as a mention of it. Raises InvalidInput for a name that is unknown."""
    ids = {name.casefold(): channel for channel, name in names.items()}
    words = _words(text)
    return " ".join(_channel_of(word, ids, all_known) if word.startswith("#") else word for word in words)


def _words(text: str) -> list[str]:
    """Its words without the quotes and stops around them, which are nobody's name."""
    parts = re.sub(r"[,;](?=[<@#])", " ", text.replace('"', "")).split()
    return [word for part in parts if (word := part.strip("'(),.;:"))]


def _channel_of(word: str, ids: Mapping[str, str], all_known: bool) -> str:
    if (channel := ids.get(word.removeprefix("#").casefold())) is None:
        if not all_known:
            raise InvalidInput("Slack does not tell me all names now; choose the channel from Slack's list.")
        raise InvalidInput(
            f"No channel called {word} is in the audit log, as far as I see. Choose one from Slack's list."
        )
    return f"<#{channel}>"
