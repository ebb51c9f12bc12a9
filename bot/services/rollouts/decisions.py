"""A person's decision: the rollout loaded, compared with what they saw, saved and recorded at once."""

from dataclasses import dataclass
from datetime import datetime

from bot.domain.access import Actor
from bot.domain.rollouts.events import RecordedEvent
from bot.domain.rollouts.lifecycle import Rollout, RolloutId
from bot.domain.rollouts.stale_buttons import RolloutAct, check_unchanged
from bot.services.rollouts.events import record_event
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import events
from bot.storage.rollouts import rollouts as store


@dataclass(frozen=True, slots=True)
class RolloutDecision:
    """What one person decides now about the rollout as it is ``before``."""

    connection: Transaction
    actor: Actor
    before: Rollout
    now: datetime
    channel: str | None

    async def save(self, after: Rollout, *, again_at: datetime | None = None) -> None:
        """``again_at``: when the runner looks at it, at once where nothing is said."""
        await store.save(self.connection, self.before, after, again_at or self.now)

    async def record(self, after: Rollout, event: RecordedEvent) -> int:
        """The number of the timeline entry."""
        return await record_event(
            self.connection, after, event, self.now, self.actor, before=self.before, channel=self.channel
        )


async def begin_decision(
    connection: Transaction,
    act: RolloutAct,
    actor: Actor,
    rollout_id: RolloutId,
    drawn: int | None,
    channel: str | None,
    now: datetime,
) -> RolloutDecision:
    """Nobody else changes the rollout until the commit.

    ``drawn`` is the newest timeline entry that the person saw, None for a decision about the rollout as it is
    now. Raises NotFound, and AlreadyDone or Stale when the decision is about another state than that.
    """
    before = await store.load(connection, rollout_id, to_change=True)
    await check_drawn(connection, act, before, drawn, actor, now)
    return RolloutDecision(connection, actor, before, now, channel)


async def check_drawn(
    connection: Transaction,
    act: RolloutAct,
    rollout: Rollout,
    drawn: int | None,
    actor: Actor,
    now: datetime,
) -> None:
    """Raises AlreadyDone and Stale, see ``check_unchanged``."""
    if drawn is not None:
        since = await events.timeline(connection, rollout.id, drawn)
        check_unchanged(act, drawn, since, actor, rollout.title, now)
