"""Notes that Slack does not show yet: which of a thread is next, what goes along, and how each try ended.

As ``card_outbox.py`` for cards; messages of their own are notes without a card.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    RowMapping,
    and_,
    case,
    exists,
    false,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.cards.card_outbox import EditPace, is_free_to_try, uid_of
from bot.storage.db.leases import LASTS, is_held, taken
from bot.storage.db.tables import cards, notes

MOST_MERGED: Final = 20  # notes in one message
NOTES_AND_CARDS: Final = notes.outerjoin(cards, cards.c.id == notes.c.card_id)


@dataclass(frozen=True, slots=True)
class Note:
    """One note of a claim. ``body`` is what its kind needs to be drawn."""

    id: int
    kind: str
    body: Mapping[str, Any]
    uid: str


@dataclass(slots=True, eq=False)
class NoteClaim:
    """Notes that are posted as one message, in order; several only where none is broadcast or live.

    ``is_edit``: the message stands there and shows what it no longer should.
    """

    notes: tuple[Note, ...]
    card_id: int | None
    channel: str
    thread_ts: str | None
    broadcast: bool
    attempted_at: datetime | None
    owner: str
    ts: str | None = None  # of the message that stands there already; its files do not
    wanted: int = 1
    is_edit: bool = False

    @property
    def id(self) -> int:
        """Who holds the first note holds those behind it."""
        return self.notes[0].id


async def claim_notes(
    connection: AsyncConnection, pace: EditPace, owner: str, now: datetime, besides: Collection[int] = ()
) -> NoteClaim | None:
    """The notes to post next as one message, leased; None when none is due ``besides`` these.

    The oldest waiting note of a thread goes first, and takes those behind it along; a note that is broadcast
    goes alone. A thread waits for its pace, unless a broadcast stands in the line.
    """
    found = await connection.execute(
        select(notes.c.id, cards.c.ts, cards.c.posted_channel)
        .select_from(NOTES_AND_CARDS)
        .where(is_note_due(pace, now), notes.c.id.not_in(list(besides)))
        .order_by(notes.c.id)
        .limit(1)
    )
    first = found.first()
    if first is None:
        return None
    # Whoever holds the first note holds those behind it: nobody else can claim them before it is posted.
    claimed = await connection.execute(
        update(notes)
        .where(notes.c.id == first.id, notes.c.state == "waiting", is_free_to_try(notes, now))
        .values(taken(owner, now))
        .returning(*notes.c)
    )
    row = claimed.mappings().first()  # as it is now: another process may have had it since it was found
    if row is None:
        return None
    line = await _line_behind(connection, row)
    return NoteClaim(
        tuple(_note(one) for one in line),
        row["card_id"],
        first.posted_channel or row["channel"],
        first.ts,
        row["broadcast"],
        row["attempted_at"],
        owner,
        row["ts"],
        row["wanted"],
    )


async def claim_edit(
    connection: AsyncConnection, pace: EditPace, owner: str, now: datetime, besides: Collection[int] = ()
) -> NoteClaim | None:
    """A live note that shows what it no longer should, leased; None when none is due ``besides`` these."""
    due = and_(is_edit_due(pace, now), notes.c.id.not_in(list(besides)))
    first = select(notes.c.id).where(due).order_by(notes.c.id).limit(1).scalar_subquery()
    claimed = await connection.execute(
        update(notes).where(notes.c.id == first, due).values(taken(owner, now)).returning(*notes.c)
    )
    row = claimed.mappings().first()
    if row is None:
        return None
    return NoteClaim(
        (_note(row),),
        row["card_id"],
        row["posted_channel"],
        None,
        row["broadcast"],
        row["attempted_at"],
        owner,
        row["ts"],
        row["wanted"],
        is_edit=True,
    )


async def _line_behind(connection: AsyncConnection, first: RowMapping) -> list[RowMapping]:
    if first["card_id"] is None or first["broadcast"] or first["live"] or first["ts"]:
        return [first]
    found = await connection.execute(
        select(notes)
        .where(notes.c.card_id == first["card_id"], _is_unsaid(notes), notes.c.id >= first["id"])
        .order_by(notes.c.id)
        .limit(MOST_MERGED)
    )
    line: list[RowMapping] = []
    for row in found.mappings():
        # What was attempted together is looked for, and repeated, together.
        if row["broadcast"] or row["live"] or row["attempted_at"] != first["attempted_at"]:
            break
        line.append(row)
    return line


async def record_notes_intent(connection: AsyncConnection, claim: NoteClaim, now: datetime) -> bool:
    """As ``record_post_intent``; who holds the first note holds those behind it."""
    held = await connection.execute(
        update(notes)
        .where(notes.c.id == claim.id, is_held(notes, claim.owner))
        .values(lease_until=now + LASTS)
    )
    if held.rowcount != 1:
        return False
    await _update_notes(connection, claim, {"attempted_at": claim.attempted_at or now})
    return True


async def record_note_broken(connection: AsyncConnection, note: Note, reason: str) -> None:
    """One note that cannot be drawn; those around it go on."""
    await connection.execute(
        update(notes).where(notes.c.id == note.id).values(state="broken", error=reason, lease_until=None)
    )


async def record_notes_said(connection: AsyncConnection, claim: NoteClaim, ts: str) -> None:
    """Their message stands there; they wait for their files, which this process sends."""
    await _update_notes(connection, claim, {"ts": ts})


async def record_notes_posted(
    connection: AsyncConnection,
    claim: NoteClaim,
    ts: str,
    *,
    channel: str | None = None,
    is_over: bool = False,
    shown: bool = True,
) -> None:
    """They stand there, in ``channel``; those that are live are edited until one ``is_over``.

    Not ``shown``: an earlier attempt posted it, and what it says is not known, so that an edit follows.
    """
    live = and_(notes.c.live, true() if channel and not is_over else false())
    values: dict[str, Any] = {"ts": ts, "lease_until": None, "try_after": None, "error": None}
    values |= {"posted_channel": channel, "shown": claim.wanted if shown else 0}
    await _update_notes(connection, claim, values | {"state": case((live, "live"), else_="posted")})


async def record_notes_failure(
    connection: AsyncConnection, claim: NoteClaim, try_after: datetime, *, may_have_worked: bool
) -> None:
    """As ``record_failure``."""
    values: dict[str, Any] = {"try_after": try_after, "lease_until": None}
    if not may_have_worked:
        values["attempted_at"] = claim.attempted_at
    if await _is_held(connection, claim):
        await _update_notes(connection, claim, values)


async def record_notes_broken(connection: AsyncConnection, claim: NoteClaim, reason: str) -> None:
    """Slack refuses them for good. Nothing is recorded when somebody else has them."""
    if await _is_held(connection, claim):
        await _update_notes(connection, claim, {"state": "broken", "error": reason, "lease_until": None})


async def _is_held(connection: AsyncConnection, claim: NoteClaim) -> bool:
    """Whether the lease is still this one, locked until the transaction ends."""
    first = select(notes.c.id).where(notes.c.id == claim.id, is_held(notes, claim.owner))
    return (await connection.execute(first.with_for_update())).first() is not None


async def _update_notes(connection: AsyncConnection, claim: NoteClaim, values: dict[str, Any]) -> None:
    ids = [note.id for note in claim.notes]
    await connection.execute(update(notes).where(notes.c.id.in_(ids)).values(values))


def is_note_due(pace: EditPace, now: datetime) -> ColumnElement[bool]:
    """The first waiting note of a thread, when its time has come."""
    if not pace.posts:
        return false()
    other = notes.alias()
    earlier = exists().where(other.c.card_id == notes.c.card_id, _is_unsaid(other), other.c.id < notes.c.id)
    loud = exists().where(other.c.card_id == notes.c.card_id, other.c.state == "waiting", other.c.broadcast)
    recent = exists().where(
        other.c.card_id == notes.c.card_id,
        other.c.state.in_(("posted", "live")),
        other.c.broadcast.is_(False),
        other.c.attempted_at > (pace.notes_before or now),
        other.c.attempted_at <= now,  # it does not move with a clock that was set
    )
    return and_(
        notes.c.state == "waiting",
        is_free_to_try(notes, now),
        notes.c.channel.not_in(pace.full_channels),
        or_(notes.c.card_id.is_(None), and_(cards.c.ts.is_not(None), ~earlier, or_(loud, ~recent))),
    )


def is_edit_due(pace: EditPace, now: datetime) -> ColumnElement[bool]:
    if not pace.edits:
        return false()
    return and_(notes.c.state == "live", notes.c.wanted > notes.c.shown, is_free_to_try(notes, now))


def _is_unsaid(table: FromClause) -> ColumnElement[bool]:
    """A note whose files alone are missing holds up no other."""
    return and_(table.c.state == "waiting", table.c.ts.is_(None))


def _note(row: RowMapping) -> Note:
    return Note(row["id"], row["kind"], row["body"], uid_of("note", row["key"], row["id"], row["created_at"]))
