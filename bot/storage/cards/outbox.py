"""All that Slack does not show yet: how much is due or waits, and what is forgotten once it stands there."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.cards.card_outbox import CardClaim, EditPace, is_card_due
from bot.storage.cards.note_outbox import NOTES_AND_CARDS, NoteClaim, is_edit_due, is_note_due
from bot.storage.db import leases
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards, notes
from bot.storage.db.timestamps import from_micros


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much Slack does not show yet, and since when the oldest of it waits."""

    waiting: int
    oldest: datetime | None
    broken: int


async def count_due(connection: AsyncConnection, pace: EditPace, now: datetime, most: int) -> int:
    """How many cards and notes there are to claim, and no more than that; a cheap question to ask every
    second.
    """
    card = select(cards.c.id).where(is_card_due(pace, now)).limit(most)
    due = len((await connection.execute(card)).all())
    if due == most:
        return due
    for is_due in (is_note_due(pace, now), is_edit_due(pace, now)):
        note = select(notes.c.id).select_from(NOTES_AND_CARDS).where(is_due).limit(most - due)
        due += len((await connection.execute(note)).all())
    return due


async def backlog(connection: AsyncConnection) -> Backlog:
    """What waits and what is broken, cards and notes together."""
    waiting_card = and_(cards.c.state == "live", cards.c.wanted > cards.c.shown)
    # A card's row does not say since when it is out of date; its last edit, or its birth, is the bound.
    since = func.coalesce(cards.c.edited_at, cards.c.created_at)
    card_row = (await connection.execute(select(func.count(), func.min(since)).where(waiting_card))).one()
    waiting_note = and_(notes.c.state == "waiting", or_(notes.c.card_id.is_(None), cards.c.state == "live"))
    counted_notes = select(func.count(), func.min(notes.c.created_at)).where(waiting_note)
    counted_notes = counted_notes.select_from(NOTES_AND_CARDS)
    note_row = (await connection.execute(counted_notes)).one()
    broken = 0
    for table in (cards, notes):
        counted = await connection.execute(select(func.count()).where(table.c.state == "broken"))
        broken += int(counted.scalar_one())
    moments = [moment for moment in (_moment(card_row[1]), _moment(note_row[1])) if moment is not None]
    return Backlog(card_row[0] + note_row[0], min(moments, default=None), broken)


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Prunes cards that nothing has changed since then, and notes that were said before."""
    last_change = func.coalesce(cards.c.edited_at, cards.c.created_at)
    at_rest = or_(cards.c.wanted == cards.c.shown, cards.c.state == "broken")
    await connection.execute(delete(cards).where(last_change < before, at_rest))
    await connection.execute(delete(notes).where(notes.c.created_at < before, notes.c.state != "waiting"))


def kept(
    database: Database, claim: CardClaim | NoteClaim, now: Callable[[], datetime]
) -> AbstractAsyncContextManager[None]:
    """Renews the claim while it is worked on."""
    table = cards if isinstance(claim, CardClaim) else notes
    return leases.kept(database, table.c.id == claim.id, table, claim.owner, now)


def _moment(value: datetime | int | None) -> datetime | None:
    """An aggregate loses its column's type on its way through some expressions."""
    return from_micros(value) if isinstance(value, int) else value
