"""Where rollouts are shown, and whose subscription one of their gateways matches."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Text, cast, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.query import Query
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState
from bot.storage.cards.cards import CardKind, is_shown
from bot.storage.db.tables import cards, gateways, rollout_targets, rollouts
from bot.storage.query import condition
from bot.storage.rollouts.targets import is_updated

_FINAL = [state.value for state in RolloutState if state.is_final]
_CARD_OF_IT = (cards.c.kind == CardKind.ROLLOUT.value) & (cards.c.subject == cast(rollouts.c.id, Text))


async def matches(connection: AsyncConnection, rollout: RolloutId, query: Query, now: datetime) -> bool:
    """Whether a gateway of the rollout matches: one that it updates, or would as it returns."""
    wanted: list[ColumnElement[bool]] = [
        rollout_targets.c.rollout_id == rollout,
        is_updated(),
    ]
    condition_ = condition(query, now)
    if condition_ is not None:
        wanted += [gateways.c.id == rollout_targets.c.gateway_id, condition_]
    return bool((await connection.execute(select(exists().where(*wanted)))).scalar_one())


async def unseen(connection: AsyncConnection, since: datetime) -> Sequence[tuple[RolloutId, str | None]]:
    """Rollouts that no channel shows, and where they were asked for: those under way, or over since then."""
    shown = exists().where(_CARD_OF_IT, is_shown())
    rows = await connection.execute(
        select(rollouts.c.id, rollouts.c.channel)
        .where(or_(rollouts.c.state.not_in(_FINAL), rollouts.c.finished_at > since), ~shown)
        .order_by(rollouts.c.id)
    )
    return [(RolloutId(row.id), row.channel) for row in rows]


async def card_channels(connection: AsyncConnection, rollout: RolloutId) -> Collection[str]:
    """The channels in which it has a card, whatever became of it."""
    about = (cards.c.kind == CardKind.ROLLOUT.value) & (cards.c.subject == str(rollout))
    return set((await connection.execute(select(cards.c.channel).where(about))).scalars())
