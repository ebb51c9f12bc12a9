"""What Slack does not show yet: cards and notes, claimed one at a time with a lease, and how each try ended.

The publisher's half of ``cards.py``. Every change is a conditional UPDATE, so any number of
processes may publish side by side.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    RowMapping,
    Table,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.cards.cards import About, CardKind
from bot.storage.db import leases
from bot.storage.db.engine import Database
from bot.storage.db.leases import LASTS, is_free, is_held, taken
from bot.storage.db.tables import cards, notes
from bot.storage.db.timestamps import from_micros

REPOSTED: Final = "reposted"
MOST_MERGED: Final = 20  # notes in one message
_NOTES_AND_CARDS: Final = notes.outerjoin(cards, cards.c.id == notes.c.card_id)


@dataclass(slots=True, eq=False)
class CardClaim:
    """A card that this process alone brings up to date until its lease ends, which it may renew."""

    id: int
    about: About
    channel: str
    posted_channel: str | None
    ts: str | None
    wanted: int
    shown: int
    urgent: bool
    attempted_at: datetime | None
    error: str | None
    created_at: datetime
    owner: str

    @property
    def uid(self) -> str:
        """What its post carries as metadata; another database never makes the same."""
        return _uid("card", self.about.kind, self.about.subject, self.id, self.created_at)

    @property
    def was_reposted(self) -> bool:
        return (self.error or "").startswith(REPOSTED)


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


@dataclass(frozen=True, slots=True)
class EditPace:
    """What may be done now. ``edited_before``: a card edited later than that waits, unless it is urgent."""

    edited_before: datetime
    posts: bool = True
    edits: bool = True
    urgent_edits: bool = True
    full_channels: frozenset[str] = frozenset()
    notes_before: datetime | None = None  # a thread that got a note later than that waits for its next


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
    card = select(cards.c.id).where(_card_is_due(pace, now)).limit(most)
    due = len((await connection.execute(card)).all())
    if due == most:
        return due
    for is_due in (_note_is_due(pace, now), _edit_is_due(pace, now)):
        note = select(notes.c.id).select_from(_NOTES_AND_CARDS).where(is_due).limit(most - due)
        due += len((await connection.execute(note)).all())
    return due


async def count_live(connection: AsyncConnection, since: datetime) -> int:
    """Cards that are being edited: edited since then, or waiting for an edit."""
    live = cards.c.ts.is_not(None) & (cards.c.state == "live")
    busy = (cards.c.wanted > cards.c.shown) | (cards.c.edited_at > since)
    return int((await connection.execute(select(func.count()).where(live, busy))).scalar_one())


async def claim_card(
    connection: AsyncConnection, pace: EditPace, owner: str, now: datetime, besides: Collection[int] = ()
) -> CardClaim | None:
    """The card that is most urgently out of date, leased; None when none is due ``besides`` these."""
    due = and_(_card_is_due(pace, now), cards.c.id.not_in(list(besides)))
    order = (cards.c.urgent.desc(), cards.c.ts.is_(None).desc(), cards.c.edited_at, cards.c.id)
    while True:
        found = await connection.execute(select(cards).where(due).order_by(*order).limit(1))
        row = found.mappings().first()
        if row is None:
            return None
        claimed = await connection.execute(
            update(cards).where(cards.c.id == row["id"], due).values(taken(owner, now)).returning(*cards.c)
        )
        row_now = claimed.mappings().first()  # another process may have had it since it was found
        if row_now is not None:
            return _card_claim(row_now)


async def record_post_intent(connection: AsyncConnection, claim: CardClaim, now: datetime) -> bool:
    """Says, before Slack is called, that a post is about to be made, and renews the lease for it.

    False when the lease ran out meanwhile and somebody else has the card.
    """
    done = await connection.execute(
        update(cards)
        .where(cards.c.id == claim.id, is_held(cards, claim.owner))
        .values(attempted_at=claim.attempted_at or now, lease_until=now + LASTS)
    )
    return done.rowcount == 1


async def record_found(connection: AsyncConnection, claim: CardClaim, channel: str, ts: str) -> None:
    """An earlier attempt did post it; what it shows is not known, so that an edit follows."""
    await connection.execute(
        update(cards)
        .where(_is_as_claimed(claim))
        .values(ts=ts, posted_channel=channel, attempted_at=None, try_after=None, lease_until=None)
    )


async def record_not_found(connection: AsyncConnection, claim: CardClaim) -> bool:
    """An earlier attempt did not post it. False when the lease ran out and somebody else has the card."""
    done = await connection.execute(
        update(cards).where(cards.c.id == claim.id, is_held(cards, claim.owner)).values(attempted_at=None)
    )
    return done.rowcount == 1


async def record_shown(
    connection: AsyncConnection,
    claim: CardClaim,
    *,
    channel: str | None,
    ts: str | None,
    edited_at: datetime | None,
    reposted: bool = False,
) -> None:
    """Slack shows the claimed version now. ``edited_at`` is None when nothing had to be sent.

    Nothing is recorded of a message that was found to be gone meanwhile.
    """
    values: dict[str, Any] = {
        "shown": claim.wanted,
        "posted_channel": channel,
        "ts": ts,
        "attempted_at": None,
        "try_after": None,
        "lease_until": None,
        "error": REPOSTED if reposted or claim.was_reposted else None,
        "urgent": case((cards.c.wanted > claim.wanted, cards.c.urgent), else_=false()),
    }
    if edited_at is not None:
        values["edited_at"] = edited_at
    await connection.execute(
        update(cards).where(_is_as_claimed(claim), cards.c.shown <= claim.wanted).values(values)
    )


async def record_gone(connection: AsyncConnection, card_id: int, ts: str, reason: str) -> bool:
    """The card's message of that ``ts`` is gone: it is posted once more. False when it was so before.

    An edit and a note of its thread may both find out about one deletion: the second is no news, and True.
    """
    shown = (await connection.execute(select(cards.c.ts).where(cards.c.id == card_id))).scalar()
    if shown != ts:
        return True
    again = await connection.execute(
        update(cards)
        .where(
            cards.c.id == card_id,
            cards.c.ts == ts,
            or_(cards.c.error.is_(None), cards.c.error.not_like(f"{REPOSTED}%")),
        )
        .values(
            ts=None,
            posted_channel=None,
            attempted_at=None,
            lease_until=None,
            wanted=cards.c.wanted + 1,
            error=f"{REPOSTED}: {reason}",
        )
    )
    return again.rowcount == 1


async def record_failure(
    connection: AsyncConnection, claim: CardClaim, try_after: datetime, *, may_have_worked: bool
) -> None:
    """The claimed card goes back; whether it was posted stays open where Slack did not say.

    Nothing is recorded when the lease ran out and somebody else has the card.
    """
    values: dict[str, Any] = {"try_after": try_after, "lease_until": None}
    if not may_have_worked:
        values["attempted_at"] = claim.attempted_at
    mine = and_(cards.c.id == claim.id, is_held(cards, claim.owner))
    await connection.execute(update(cards).where(mine).values(values))


async def withdraw(connection: AsyncConnection, claim: CardClaim) -> None:
    """The claimed card, which was never posted, is wanted no more, nor what would stand in its thread."""
    gone = await connection.execute(delete(cards).where(cards.c.id == claim.id, is_held(cards, claim.owner)))
    if gone.rowcount:
        await connection.execute(delete(notes).where(notes.c.card_id == claim.id))


async def record_broken(
    connection: AsyncConnection, card_id: int, reason: str, owner: str | None = None
) -> None:
    """The card cannot be shown where it belongs, nor can its notes.

    ``owner``: nothing is recorded when their lease ran out and somebody else has the card.
    """
    broken = {"state": "broken", "error": reason, "lease_until": None}
    held = true() if owner is None else is_held(cards, owner)
    done = await connection.execute(update(cards).where(cards.c.id == card_id, held).values(broken))
    if done.rowcount != 1:
        return
    await connection.execute(
        update(notes).where(notes.c.card_id == card_id, notes.c.state == "waiting").values(broken)
    )


async def claim_notes(
    connection: AsyncConnection, pace: EditPace, owner: str, now: datetime, besides: Collection[int] = ()
) -> NoteClaim | None:
    """The notes to post next as one message, leased; None when none is due ``besides`` these.

    The oldest waiting note of a thread goes first, and takes those behind it along; a note that is broadcast
    goes alone. A thread waits for its pace, unless a broadcast stands in the line.
    """
    found = await connection.execute(
        select(notes.c.id, cards.c.ts, cards.c.posted_channel)
        .select_from(_NOTES_AND_CARDS)
        .where(_note_is_due(pace, now), notes.c.id.not_in(list(besides)))
        .order_by(notes.c.id)
        .limit(1)
    )
    first = found.first()
    if first is None:
        return None
    # Whoever holds the first note holds those behind it: nobody else can claim them before it is posted.
    claimed = await connection.execute(
        update(notes)
        .where(notes.c.id == first.id, notes.c.state == "waiting", _is_free(notes, now))
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
    due = and_(_edit_is_due(pace, now), notes.c.id.not_in(list(besides)))
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


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Prunes cards that nothing has changed since then, and notes that were said before."""
    last_change = func.coalesce(cards.c.edited_at, cards.c.created_at)
    at_rest = or_(cards.c.wanted == cards.c.shown, cards.c.state == "broken")
    await connection.execute(delete(cards).where(last_change < before, at_rest))
    await connection.execute(delete(notes).where(notes.c.created_at < before, notes.c.state != "waiting"))


async def _update_notes(connection: AsyncConnection, claim: NoteClaim, values: dict[str, Any]) -> None:
    ids = [note.id for note in claim.notes]
    await connection.execute(update(notes).where(notes.c.id.in_(ids)).values(values))


def _card_is_due(pace: EditPace, now: datetime) -> ColumnElement[bool]:
    unposted = cards.c.ts.is_(None)
    may_post = unposted & cards.c.channel.not_in(pace.full_channels) if pace.posts else false()
    set_back = cards.c.edited_at > now + timedelta(minutes=1)  # the clock, since that edit
    calm = or_(cards.c.edited_at.is_(None), cards.c.edited_at <= pace.edited_before, set_back)
    may_edit = or_(
        cards.c.urgent if pace.urgent_edits else false(),
        calm if pace.edits else false(),
    )
    return and_(
        cards.c.state == "live",
        cards.c.wanted > cards.c.shown,
        _is_free(cards, now),
        or_(may_post, and_(cards.c.ts.is_not(None), may_edit)),
    )


def _note_is_due(pace: EditPace, now: datetime) -> ColumnElement[bool]:
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
        _is_free(notes, now),
        notes.c.channel.not_in(pace.full_channels),
        or_(notes.c.card_id.is_(None), and_(cards.c.ts.is_not(None), ~earlier, or_(loud, ~recent))),
    )


def _edit_is_due(pace: EditPace, now: datetime) -> ColumnElement[bool]:
    if not pace.edits:
        return false()
    return and_(notes.c.state == "live", notes.c.wanted > notes.c.shown, _is_free(notes, now))


def kept(
    database: Database, claim: CardClaim | NoteClaim, now: Callable[[], datetime]
) -> AbstractAsyncContextManager[None]:
    """Renews the claim while it is worked on."""
    table = cards if isinstance(claim, CardClaim) else notes
    return leases.kept(database, table.c.id == claim.id, table, claim.owner, now)


def _is_as_claimed(claim: CardClaim) -> ColumnElement[bool]:
    """The card still stands where it did when it was claimed, or nowhere."""
    return and_(cards.c.id == claim.id, cards.c.ts.is_not_distinct_from(claim.ts))


def _is_unsaid(table: FromClause) -> ColumnElement[bool]:
    """A note whose files alone are missing holds up no other."""
    return and_(table.c.state == "waiting", table.c.ts.is_(None))


def _is_free(table: Table, now: datetime) -> ColumnElement[bool]:
    return and_(
        or_(table.c.try_after.is_(None), table.c.try_after <= now),
        is_free(table, now),
    )


def _card_claim(row: RowMapping) -> CardClaim:
    return CardClaim(
        row["id"],
        About(CardKind(row["kind"]), row["subject"]),
        row["channel"],
        row["posted_channel"],
        row["ts"],
        row["wanted"],
        row["shown"],
        row["urgent"],
        row["attempted_at"],
        row["error"],
        row["created_at"],
        row["owner"],
    )


def _note(row: RowMapping) -> Note:
    return Note(row["id"], row["kind"], row["body"], _uid("note", row["key"], row["id"], row["created_at"]))


def _uid(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def _moment(value: datetime | int | None) -> datetime | None:
    """An aggregate loses its column's type on its way through some expressions."""
    return from_micros(value) if isinstance(value, int) else value
