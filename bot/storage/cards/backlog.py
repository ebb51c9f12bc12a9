"""How much Slack does not show yet, for the metrics."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.tables import cards, notes
from bot.storage.db.types import from_micros


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much Slack does not show yet, and since when the oldest of it waits."""

    waiting: int
    oldest: datetime | None
    broken: int


async def backlog(connection: AsyncConnection) -> Backlog:
    """What waits and what is broken, cards and notes together."""
    waiting_card = and_(cards.c.state == "live", cards.c.wanted > cards.c.shown)
    # A card's row does not say since when it is out of date; its last edit, or its birth, is the bound.
    since = func.coalesce(cards.c.edited_at, cards.c.created_at)
    card_row = (await connection.execute(select(func.count(), func.min(since)).where(waiting_card))).one()
    waiting_note = and_(notes.c.state == "waiting", or_(notes.c.card_id.is_(None), cards.c.state == "live"))
    counted_notes = select(func.count(), func.min(notes.c.created_at)).where(waiting_note)
    counted_notes = counted_notes.select_from(notes.outerjoin(cards, cards.c.id == notes.c.card_id))
    note_row = (await connection.execute(counted_notes)).one()
    broken = 0
    for table in (cards, notes):
        counted = await connection.execute(select(func.count()).where(table.c.state == "broken"))
        broken += int(counted.scalar_one())
    moments = [moment for moment in (_moment(card_row[1]), _moment(note_row[1])) if moment is not None]
    return Backlog(card_row[0] + note_row[0], min(moments, default=None), broken)


def _moment(value: datetime | int | None) -> datetime | None:
    """An aggregate loses its column's type on its way through some expressions."""
    return from_micros(value) if isinstance(value, int) else value
