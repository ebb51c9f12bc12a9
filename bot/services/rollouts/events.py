"""What happened in a rollout, said once: in its timeline, in its card's thread and in the audit log.

One function writes all of it inside the transaction of what it tells about.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from bot.domain.access import Action, Actor
from bot.domain.audit import AuditEntry, Outcome
from bot.domain.rollouts.rollout import Rollout, RolloutEvent, RolloutId
from bot.storage import audit
from bot.storage.cards import cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import rollouts as store

Within = Callable[[Actor, Action, Sequence[str]], Awaitable[None]]
"""Refuses somebody who is limited to a part of the fleet when one of these gateways is outside of it."""

BY_ITSELF = "meshbot"
NOTE = "rollout_event"
TOLD = "rollout_decided"
BROADCAST = frozenset({"paused", "aborted", "not_returned", "finished"})  # said in the channel as well
# In the audit log an act has the name of its button, as a refusal of it has.
_ACTIONS = {
    "requested": "rollout_request",
    "approved": "rollout_approve",
    "denied": "rollout_deny",
    "withdrawn": "rollout_cancel",
    "paused": "rollout_pause",
    "resumed": "rollout_resume",
    "promoted": "rollout_promote",
    "aborted": "rollout_abort",
    "retried": "rollout_retry_failed",
}
QUIET = frozenset({"requested"})  # the card itself says so


async def anywhere(_actor: Actor, _action: Action, _gateways: Sequence[str]) -> None:
    """Nobody is limited to a part of the fleet."""


def about(rollout_id: RolloutId) -> About:
    """The rollout's card."""
    return About(CardKind.ROLLOUT, str(rollout_id))


async def record_event(
    connection: Transaction,
    rollout: Rollout,
    kind: str,
    now: datetime,
    by: Actor | None = None,
    *,
    before: Rollout | None = None,
    channel: str | None = None,
    **body: Any,
) -> None:
    """Adds an event to the timeline with its note and its audit row, and has the card drawn anew.

    ``before`` is the rollout that this changed, ``channel`` where somebody did it.
    """
    by_id = by.user_id if by else None
    event = RolloutEvent(now, kind, by_id, {"rollout": rollout.id, **body})
    number = await store.add_event(connection, rollout.id, event)
    await cards.touch(connection, about(rollout.id), urgent=by is not None)
    if kind not in QUIET:
        await cards.add_note(
            connection,
            about(rollout.id),
            f"rollout/{rollout.id}/{number}",
            NOTE,
            {"kind": kind, "by": by_id, **event.body},
            now,
            broadcast=kind in BROADCAST,
        )
    entry = AuditEntry(
        at=now,
        actor=by_id or BY_ITSELF,
        action=_ACTIONS.get(kind, f"rollout_{kind}"),
        subject=rollout.title,
        outcome=Outcome.DONE,
        before=_standing(before) if before else None,
        after=_standing(rollout) if before else _wanted(rollout) if kind == "requested" else None,
        channel=channel,
        reason=body.get("reason"),
        plan_hash=rollout.plan_hash,
    )
    await audit.record(connection, entry)


async def tell_requester(connection: Transaction, rollout: Rollout, by: Actor | None, now: datetime) -> None:
    """Says to the requester, by direct message, how it was decided, or that nobody did (``by`` is None)."""
    if by is not None and by.user_id == rollout.requester:
        return
    await cards.add_message(
        connection,
        rollout.requester,
        f"rollout/{rollout.id}/{rollout.state.value}",
        TOLD,
        {
            "rollout": rollout.id,
            "state": rollout.state.value,
            "by": by.user_id if by is not None else None,
            "version": rollout.firmware_version,
            "query": rollout.query,
            "reason": rollout.reason,
            "start_at": rollout.start_at.isoformat() if rollout.start_at else None,
        },
        now,
    )


def _standing(rollout: Rollout) -> str:
    return f"{rollout.state.value}, wave {rollout.wave}" if rollout.wave else rollout.state.value


def _wanted(rollout: Rollout) -> str:
    return f"{rollout.query} to {rollout.firmware_version}"
