"""What keeps a rollout's gateways from being started at this moment."""

from datetime import datetime

from bot.domain.rollouts.plan import RolloutRules
from bot.domain.rollouts.rollout import Rollout
from bot.domain.windows import may_start, next_start
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import rollouts as store

LOST_SIGHT = "the fleet cannot be seen now"


async def start_blocker(
    connection: Transaction, rollout: Rollout, rules: RolloutRules, now: datetime, *, blind: bool
) -> str | None:
    """In words, or None while starts are allowed; asked again in the transaction of each start."""
    if blind:
        return LOST_SIGHT
    freeze = await store.freeze_of(connection, rollout.firmware_version)
    if freeze is not None and rollout.through_freeze is None:
        return freeze.says()
    if not may_start(rules.window, rules.zone, now):
        opens = next_start(rules.window, rules.zone, now).astimezone(rules.zone)
        return f"outside the window; it opens {opens:%A %H:%M} ({rules.zone.key})"
    return None
