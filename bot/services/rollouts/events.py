"""What happens in a rollout, recorded once: in its timeline, in its card's thread and in the audit log.

One function writes all of it inside the transaction of what it tells about. A note carries the number of its
timeline entry, and is drawn from that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.domain.access import Action, Actor
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.rollouts.events import (
    CALLS_THE_REQUESTER,
    Aborted,
    Approved,
    Denied,
    Finished,
    Frozen,
    NotReturned,
    Paused,
    Person,
    Promoted,
    RecordedEvent,
    Requested,
    Resumed,
    Retried,
    Unfrozen,
    WaitEnded,
    Withdrawn,
    leaves_a_move,
)
from bot.domain.rollouts.lifecycle import Rollout, RolloutId
from bot.domain.rollouts.stale_buttons import is_decisive
from bot.storage import audit, preferences
from bot.storage.cards import cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import events

BY_ITSELF = "meshbot"
NOTE = "rollout_event"
DECIDED = "rollout_decided"
ENTRY = "entry"  # in the body of both: the number of the timeline entry
CALL = "call"  # in the body of the first copy of a note: the ids of whose move it is
BROADCAST = (Paused, Aborted, NotReturned, Finished)  # said in the channel as well
_AUDITED_ELSEWHERE = (Frozen, Unfrozen)  # once, and not for each rollout
# In the audit log an act has the name of its button, as a refusal of it has.
_ACTIONS: Mapping[type[RecordedEvent], AuditAction] = {
    Requested: AuditAction.REQUEST,
    Approved: AuditAction.APPROVE,
    Denied: AuditAction.DENY,
    Withdrawn: AuditAction.WITHDRAW,
    Paused: AuditAction.PAUSE,
    Resumed: AuditAction.RESUME,
    Promoted: AuditAction.PROMOTE,
    Aborted: AuditAction.ABORT,
    Retried: AuditAction.RETRY,
    WaitEnded: AuditAction.END_WAITING,
}


async def anywhere(_actor: Actor, _action: Action, _gateways: Sequence[str]) -> None:
    """Nobody is limited to a part of the fleet."""


def about(rollout_id: RolloutId) -> About:
    """The rollout's card."""
    return About(CardKind.ROLLOUT, str(rollout_id))


async def record_event(
    connection: Transaction,
    rollout: Rollout,
    event: RecordedEvent,
    now: datetime,
    by: Actor | None = None,
    *,
    before: Rollout | None = None,
    channel: str | None = None,
    asked: Sequence[str] = (),
) -> int:
    """Adds an event to the timeline with its note and its audit row, and has the card drawn anew.

    ``before`` is the rollout that this changed, ``channel`` where somebody did it, ``asked`` the people and
    groups that a request calls. Whoever does something is not called about it. Returns the number of the
    timeline entry.
    """
    person = Person.of(by) if by else None
    number = await events.add_event(connection, rollout.id, event, person, now)
    await cards.touch(connection, about(rollout.id), urgent=by is not None)
    if is_decisive(event):
        await cards.touch_notes(connection, f"rollout/{rollout.id}/")
    if isinstance(event, CALLS_THE_REQUESTER):
        asked = [] if by and by.user_id == rollout.requester else [rollout.requester]
        await tell_requester(connection, rollout, number, event, by, now)
    if asked or not isinstance(event, Requested):  # the card itself says that
        await cards.add_note(
            connection,
            about(rollout.id),
            f"rollout/{rollout.id}/{number}",
            NOTE,
            {ENTRY: number},
            now,
            broadcast=isinstance(event, BROADCAST),
            live=leaves_a_move(event) and not isinstance(event, Approved),
            once={CALL: list(asked)} if asked else None,
        )
    if not isinstance(event, _AUDITED_ELSEWHERE):
        await audit.record(connection, _audited(rollout, event, now, by, before, channel))
    return number


def audit_action(event: type[RecordedEvent]) -> AuditAction:
    """What the audit log calls it."""
    return _ACTIONS.get(event) or AuditAction(f"rollout_{event.kind}")


def _audited(
    rollout: Rollout,
    event: RecordedEvent,
    now: datetime,
    by: Actor | None,
    before: Rollout | None,
    channel: str | None,
) -> AuditEntry:
    gateways = "1 gateway" if rollout.planned == 1 else f"{rollout.planned:,} gateways"
    wanted = f"{rollout.query} to {rollout.firmware_version}" if isinstance(event, Requested) else None
    return AuditEntry(
        at=now,
        actor=by.user_id if by else BY_ITSELF,
        action=audit_action(type(event)),
        subject=f"{rollout.title}: {rollout.firmware_version}, {gateways}",
        before=_standing(before) if before else None,
        after=_standing(rollout) if before else wanted,
        channel=channel,
        reason=getattr(event, "reason", None),
        plan_hash=rollout.plan_hash,
    )


async def tell_requester(
    connection: Transaction,
    rollout: Rollout,
    entry: int,
    event: RecordedEvent,
    by: Actor | None,
    now: datetime,
) -> None:
    """Says to the requester, by direct message, what happened, unless they did it (``by``)."""
    if by is None or by.user_id != rollout.requester:
        key, live = f"rollout/{rollout.id}/{entry}/decided", leaves_a_move(event)
        await preferences.tell(connection, rollout.requester, key, DECIDED, {ENTRY: entry}, now, live=live)


def _standing(rollout: Rollout) -> str:
    return f"{rollout.state.value}, wave {rollout.wave}" if rollout.wave else rollout.state.value
