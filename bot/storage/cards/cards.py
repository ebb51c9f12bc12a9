"""Cards and notes: what Slack is to show, as rows.

A service opens a card, touches it when what it shows has changed, and adds notes to its thread, all inside
its own transaction. The publisher claims what Slack does not show yet, and records what it showed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.storage.db.engine import mark_touched
from bot.storage.db.statements import among, insert_or_ignore
from bot.storage.db.tables import broken_channels, cards, notes

_PREFIXES = 100  # in one statement: SQLite takes conditions only so deep


class CardKind(StrEnum):
    """What a card is about; ``subject`` is the id of that thing as text."""

    ROLLOUT = "rollout"
    INCIDENT = "incident"
    SILENCE = "silence"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class About:
    """What a card is about."""

    kind: CardKind
    subject: str


async def open_cards(
    connection: AsyncConnection, about: About, channels: Iterable[str], now: datetime
) -> None:
    """Wants the card in each of the channels; a channel that has it already keeps its own."""
    for channel in dict.fromkeys(channels):
        mark_touched(connection)
        await connection.execute(
            insert_or_ignore(
                connection,
                cards,
                {
                    "kind": about.kind.value,
                    "subject": about.subject,
                    "channel": channel,
                    "wanted": 1,
                    "shown": 0,
                    "urgent": True,
                    "state": "live",
                    "created_at": now,
                },
            )
        )


def is_shown() -> ColumnElement[bool]:
    """Of a card: people can see it, or will as soon as it is posted."""
    broken = select(broken_channels.c.channel)
    return (cards.c.state == "live") & cards.c.channel.not_in(broken)


async def in_thread(connection: AsyncConnection, channel: str, ts: str) -> About | None:
    """What the card is about that was posted there as this message."""
    posted = (cards.c.posted_channel == channel) & (cards.c.ts == ts)
    row = (await connection.execute(select(cards.c.kind, cards.c.subject).where(posted))).first()
    return About(CardKind(row.kind), row.subject) if row else None


async def touch(connection: AsyncConnection, about: About, *, urgent: bool = False) -> None:
    """Says that what the card shows has changed. ``urgent``: a person clicked and is looking at it."""
    mark_touched(connection)
    values: dict[str, Any] = {"wanted": cards.c.wanted + 1}
    if urgent:
        values["urgent"] = True
    await connection.execute(
        update(cards).where(cards.c.kind == about.kind.value, cards.c.subject == about.subject).values(values)
    )


async def touch_all(connection: AsyncConnection, kind: CardKind, subjects: Collection[str]) -> None:
    """As ``touch``, for any number of subjects in one statement."""
    if subjects:
        mark_touched(connection)
        await connection.execute(
            update(cards)
            .where(cards.c.kind == kind.value, among(connection, cards.c.subject, sorted(subjects)))
            .values(wanted=cards.c.wanted + 1)
        )


async def add_note(
    connection: AsyncConnection,
    about: About,
    key: str,
    kind: str,
    body: Mapping[str, Any],
    now: datetime,
    *,
    broadcast: bool = False,
    live: bool = False,
    once: Mapping[str, Any] | None = None,
) -> None:
    """Adds a note to the thread of each of the card's copies. A key that was used before adds nothing.

    ``once`` belongs to the body of the first copy that people can see, and to no other: whom it calls.
    ``live``: it is drawn anew by ``touch_notes`` until its drawing says that it is over.
    """
    found = await connection.execute(
        select(cards.c.id, cards.c.channel)
        .where(cards.c.kind == about.kind.value, cards.c.subject == about.subject, cards.c.state == "live")
        .order_by(case((is_shown(), 0), else_=1), cards.c.id)
    )
    for place, (card_id, channel) in enumerate(found.all()):
        await _want_note(
            connection,
            key=f"{key}/{card_id}",
            card_id=card_id,
            channel=channel,
            kind=kind,
            body={**body, **(once or {})} if place == 0 else dict(body),
            broadcast=broadcast,
            live=live,
            created_at=now,
        )


async def add_message(
    connection: AsyncConnection,
    channel: str,
    key: str,
    kind: str,
    body: Mapping[str, Any],
    now: datetime,
    *,
    live: bool = False,
    lease: Mapping[str, Any] | None = None,
) -> None:
    """Adds a message of its own: to a channel, or to a person when ``channel`` is a user id.

    Under a ``lease`` it is not posted before that ends.
    """
    row = {"key": key, "channel": channel, "kind": kind, "body": dict(body), "live": live, "created_at": now}
    await _want_note(connection, card_id=None, broadcast=False, **row, **(lease or {}))


async def _want_note(connection: AsyncConnection, **row: object) -> None:
    mark_touched(connection)
    new = {"state": "waiting", "wanted": 1, "shown": 0}
    await connection.execute(insert_or_ignore(connection, notes, {**row, **new}))


async def touch_notes(connection: AsyncConnection, *prefixes: str) -> None:
    """Says that what live notes and messages tell has changed: those whose keys begin like one of these."""
    for start in range(0, len(prefixes), _PREFIXES):
        some = prefixes[start : start + _PREFIXES]
        begins = or_(*(notes.c.key.startswith(prefix, autoescape=True) for prefix in some))
        changed = await connection.execute(
            update(notes)
            .where(notes.c.live, notes.c.state.in_(("waiting", "live")), begins)
            .values(wanted=notes.c.wanted + 1)
        )
        if changed.rowcount:
            mark_touched(connection)
