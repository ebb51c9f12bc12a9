"""The timelines of rollouts as rows. An event's fields are JSON here, and values everywhere else."""

from collections.abc import Mapping
from dataclasses import astuple, fields
from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints

from sqlalchemy import ColumnElement, Row, insert, select

from bot.domain.errors import NotFound
from bot.domain.rollouts.events import Person, RecordedEvent, TimelineEntry
from bot.domain.rollouts.lifecycle import RolloutId
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import rollout_events

KINDS: Mapping[str, type[RecordedEvent]] = {one.kind: one for one in get_args(RecordedEvent)}
_TYPES: Mapping[str, Mapping[str, Any]] = {
    kind: {one.name: get_type_hints(of)[one.name] for one in fields(of)} for kind, of in KINDS.items()
}
_NAME = "by_name"  # beside the event's own fields: the column of who did it holds the id


async def add_event(
    connection: Transaction, rollout_id: RolloutId, event: RecordedEvent, by: Person | None, at: datetime
) -> int:
    """Adds to the timeline; returns the number of the entry."""
    body = {one.name: _to_json(getattr(event, one.name)) for one in fields(event)}
    added = await connection.execute(
        insert(rollout_events)
        .values(
            rollout_id=rollout_id,
            at=at,
            kind=event.kind,
            by=by.user_id if by else None,
            body=body | ({_NAME: by.name} if by else {}),
        )
        .returning(rollout_events.c.id)
    )
    return int(added.scalar_one())


async def timeline(
    connection: Transaction, rollout_id: RolloutId, start: int = 0
) -> tuple[TimelineEntry, ...]:
    """What happened, in order, from the entry of this number on."""
    return await _find(
        connection, (rollout_events.c.rollout_id == rollout_id) & (rollout_events.c.id >= start)
    )


async def load_entry(connection: Transaction, number: int) -> TimelineEntry:
    """Raises NotFound when its rollout is no longer kept."""
    for entry in await _find(connection, rollout_events.c.id == number):
        return entry
    raise NotFound("That rollout is no longer kept.")


async def _find(connection: Transaction, which: ColumnElement[bool]) -> tuple[TimelineEntry, ...]:
    found = await connection.execute(select(rollout_events).where(which).order_by(rollout_events.c.id))
    return tuple(_entry(row) for row in found.all())


def _entry(row: Row[Any]) -> TimelineEntry:
    event = KINDS[row.kind](**{name: _from_json(row.body[name], of) for name, of in _TYPES[row.kind].items()})
    by = Person(row.by, row.body[_NAME]) if row.by else None
    return TimelineEntry(RolloutId(row.rollout_id), row.at, by, event, row.id)


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return [list(astuple(one)) for one in value] if isinstance(value, tuple) else value


def _from_json(value: Any, of: Any) -> Any:
    if get_origin(of) is tuple:
        item = get_args(of)[0]
        return tuple(item(*one) for one in value)
    if value is not None and datetime in {of, *get_args(of)}:
        return datetime.fromisoformat(value)
    return value
