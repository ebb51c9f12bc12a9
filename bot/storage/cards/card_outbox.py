"""Cards that Slack does not show yet: claimed one at a time with a lease, and how each try ended.

The publisher's half of ``cards.py``. Every change is a conditional UPDATE, so any number of
processes may publish side by side.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Table,
    and_,
    case,
    delete,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.cards.cards import About, CardKind
from bot.storage.db.leases import LASTS, is_free, is_held, taken
from bot.storage.db.tables import cards, notes

REPOSTED: Final = "reposted"


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
        return uid_of("card", self.about.kind, self.about.subject, self.id, self.created_at)

    @property
    def was_reposted(self) -> bool:
        return (self.error or "").startswith(REPOSTED)


@dataclass(frozen=True, slots=True)
class EditPace:
    """What may be done now. ``edited_before``: a card edited later than that waits, unless it is urgent."""

    edited_before: datetime
    posts: bool = True
    edits: bool = True
    urgent_edits: bool = True
    full_channels: frozenset[str] = frozenset()
    notes_before: datetime | None = None  # a thread that got a note later than that waits for its next


async def count_live(connection: AsyncConnection, since: datetime) -> int:
    """Cards that are being edited: edited since then, or waiting for an edit."""
    live = cards.c.ts.is_not(None) & (cards.c.state == "live")
    busy = (cards.c.wanted > cards.c.shown) | (cards.c.edited_at > since)
    return int((await connection.execute(select(func.count()).where(live, busy))).scalar_one())


async def claim_card(
    connection: AsyncConnection, pace: EditPace, owner: str, now: datetime, besides: Collection[int] = ()
) -> CardClaim | None:
    """The card that is most urgently out of date, leased; None when none is due ``besides`` these."""
    due = and_(is_card_due(pace, now), cards.c.id.not_in(list(besides)))
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


def is_card_due(pace: EditPace, now: datetime) -> ColumnElement[bool]:
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
        is_free_to_try(cards, now),
        or_(may_post, and_(cards.c.ts.is_not(None), may_edit)),
    )


def _is_as_claimed(claim: CardClaim) -> ColumnElement[bool]:
    """The card still stands where it did when it was claimed, or nowhere."""
    return and_(cards.c.id == claim.id, cards.c.ts.is_not_distinct_from(claim.ts))


def is_free_to_try(table: Table, now: datetime) -> ColumnElement[bool]:
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


def uid_of(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]
