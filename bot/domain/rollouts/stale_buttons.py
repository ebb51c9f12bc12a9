"""Whether a rollout is still what a person saw when they decide about it. Pure.

A button carries the number of the newest timeline entry at the time it was drawn. What came after that entry
and changes the decision makes the button stale: a person or a gate stopped the rollout, or let it go on.
Progress does not: a wave that begins, a gateway that fails, a result that comes late.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.access import Actor
from bot.domain.errors import AlreadyDone, Stale
from bot.domain.rollouts.events import (
    Aborted,
    Approved,
    CaughtUp,
    Denied,
    Expired,
    Finished,
    Frozen,
    Paused,
    Promoted,
    Resumed,
    Retried,
    RolloutEvent,
    Scheduled,
    Started,
    TimelineEntry,
    Unfrozen,
    Voided,
    WaitEnded,
    Withdrawn,
)

MOST_TOLD = 3  # changes that a refusal tells of, the newest


class RolloutAct(StrEnum):
    """What a person decides about a rollout; the value is what they did, as in "Paul approved R-7"."""

    APPROVE = "approved"
    DENY = "denied"
    WITHDRAW = "withdrew"
    PAUSE = "paused"
    RESUME = "resumed"
    PROMOTE = "promoted"
    ABORT = "aborted"
    RETRY = "retried"
    CATCH_UP = "caught up"
    END_WAITING = "ended the waiting of"


_BEGUN_OR_OVER = (Denied, Withdrawn, Voided, Expired, Scheduled, Started)
_STEERED = (Paused, Resumed, Promoted, Aborted)
_CHANGES: Mapping[RolloutAct, tuple[type[RolloutEvent], ...]] = {
    # Another approval makes this one the last, which starts it.
    RolloutAct.APPROVE: (Approved, Denied, Withdrawn, Voided, Expired),
    RolloutAct.DENY: _BEGUN_OR_OVER,
    RolloutAct.WITHDRAW: _BEGUN_OR_OVER,
    RolloutAct.PAUSE: (*_STEERED, Started, Finished),
    RolloutAct.RESUME: (*_STEERED, Frozen, Unfrozen),
    RolloutAct.PROMOTE: _STEERED,
    RolloutAct.ABORT: (*_STEERED, Started, Finished),
    RolloutAct.RETRY: (*_STEERED, Retried),
    RolloutAct.CATCH_UP: (*_STEERED, CaughtUp),
    RolloutAct.END_WAITING: (Aborted, Finished, WaitEnded),
}
_OUTCOMES: Mapping[RolloutAct, tuple[type[RolloutEvent], ...]] = {
    RolloutAct.APPROVE: (Approved, Voided),
    RolloutAct.DENY: (Denied,),
    RolloutAct.WITHDRAW: (Withdrawn,),
    RolloutAct.PAUSE: (Paused,),
    RolloutAct.RESUME: (Resumed,),
    RolloutAct.PROMOTE: (Promoted,),
    RolloutAct.ABORT: (Aborted,),
    RolloutAct.RETRY: (Retried,),
    RolloutAct.CATCH_UP: (CaughtUp,),
    RolloutAct.END_WAITING: (WaitEnded,),
}


_DECISIVE = tuple({kind for kinds in _CHANGES.values() for kind in kinds})


def is_decisive(event: RolloutEvent) -> bool:
    """Whether some button that was drawn before it decides about another state now."""
    return isinstance(event, _DECISIVE)


def check_unchanged(
    act: RolloutAct, drawn: int, entries: Sequence[TimelineEntry], actor: Actor, title: str, now: datetime
) -> None:
    """``entries`` is the timeline from the entry on that the button was drawn with.

    Raises AlreadyDone for a click that repeats one's own, and Stale, which says what changed since.
    """
    if not entries or entries[0].number != drawn:
        raise Stale(f"That button is from another time: look at the card of {title}, and decide there.")
    since = [one for one in entries[1:] if isinstance(one.event, _DECISIVE)]
    changes = [one.event for one in since if isinstance(one.event, _CHANGES[act])]
    if not changes:
        return
    newest = next(one for one in reversed(since) if one.event is changes[-1])
    if isinstance(newest.event, _OUTCOMES[act]) and newest.by and newest.by.user_id == actor.user_id:
        missing = newest.event.missing if isinstance(newest.event, Approved) else 0
        rest = "It needs somebody else's approval as well." if missing else "There is nothing more to do."
        raise AlreadyDone(f"That is done already: {_clause(newest, title, actor, now)}. {rest}")
    told = since[-MOST_TOLD:]
    said = [_clause(one, "it" if number else title, actor, now) for number, one in enumerate(told)]
    raise Stale(
        f"{_capital('; '.join(said))}. That was after this button was drawn, so your click did nothing: look "
        "at the card as it is now, and decide again."
    )


def _clause(entry: TimelineEntry, it: str, actor: Actor, now: datetime) -> str:
    who = "the bot" if entry.by is None else "you" if entry.by.user_id == actor.user_id else entry.by.name
    return f"{_what(entry.event, who, it, by_itself=entry.by is None)} {_ago(now - entry.at)}"


def _what(event: RolloutEvent, who: str, it: str, *, by_itself: bool) -> str:
    """Who changed what, as a clause without its time."""
    match event:
        case Approved():
            return f"{who} approved {it}"
        case Denied():
            return f"{who} denied {it} ({event.reason})"
        case Withdrawn():
            return f"{who} withdrew {it}"
        case Voided():
            return f"{it} turned out void ({event.reason})"
        case Expired():
            return f"{it} expired"
        case Scheduled():
            return f"{it} was scheduled"
        case Started():
            return f"{it} started"
        case Promoted():
            return f"{who} promoted {it}"
        case Paused():
            return f"{it} paused itself ({event.reason})" if by_itself else f"{who} paused {it}"
        case Resumed():
            return f"{who} resumed {it}"
        case Aborted():
            return f"{it} stopped itself for good ({event.reason})" if by_itself else f"{who} aborted {it}"
        case Retried():
            return f"{who} had {_gateways(event.count)} of {it} tried again"
        case CaughtUp():
            return f"{who} had {_gateways(event.count)} of {it} catch up"
        case WaitEnded():
            return f"{who} ended the waiting for {_gateways(event.count)} of {it}"
        case Finished():
            return f"{it} finished"
        case Frozen():
            return f"{who} froze {_frozen(event.version)} ({event.reason})"
        case Unfrozen():
            return f"{who} unfroze {_frozen(event.version)}"
        case _:
            raise AssertionError(f"{event.kind} changes no decision")


def _frozen(version: str) -> str:
    return f"firmware {version}" if version else "everything"


def _gateways(number: int) -> str:
    return "1 gateway" if number == 1 else f"{number:,} gateways"


def _ago(passed: timedelta) -> str:
    minutes = int(passed.total_seconds() // 60)
    if minutes < 2:
        return "a moment ago"
    if minutes < 120:
        return f"{minutes} minutes ago"
    hours = minutes // 60
    return f"{hours} hours ago" if hours < 48 else f"{hours // 24} days ago"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
