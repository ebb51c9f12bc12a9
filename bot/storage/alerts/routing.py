"""Where open incidents are shown, and whose subscription one of their gateways matches: asked as sets."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Text, cast, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from bot.domain.query import Query
from bot.storage.cards.cards import CardKind, is_shown
from bot.storage.db.statements import among
from bot.storage.db.tables import cards, gateways, incident_gateways, incidents
from bot.storage.query import condition

_IS_OPEN = incidents.c.state == IncidentState.OPEN.value
_CARD_OF_IT = (cards.c.kind == CardKind.INCIDENT.value) & (cards.c.subject == cast(incidents.c.id, Text))


async def open_kinds(connection: AsyncConnection) -> Mapping[IncidentId, IncidentKind]:
    """Every open incident."""
    rows = await connection.execute(
        select(incidents.c.id, incidents.c.kind).where(_IS_OPEN).order_by(incidents.c.id)
    )
    return {IncidentId(row.id): IncidentKind(row.kind) for row in rows}


async def unseen(connection: AsyncConnection) -> Sequence[IncidentId]:
    """Open incidents that no channel shows: none was given one, or those that had one broke."""
    shown = exists().where(_CARD_OF_IT, is_shown())
    rows = await connection.execute(select(incidents.c.id).where(_IS_OPEN, ~shown).order_by(incidents.c.id))
    return [IncidentId(one) for one in rows.scalars()]


async def joins(connection: AsyncConnection) -> Sequence[tuple[IncidentId, int]]:
    """Of every open incident a number, another one when gateways have joined it: nobody counts them."""
    rows = await connection.execute(
        select(incidents.c.id, incidents.c.joins).where(_IS_OPEN).order_by(incidents.c.id)
    )
    return [(IncidentId(row.id), row.joins) for row in rows]


async def card_channels(connection: AsyncConnection) -> Mapping[IncidentId, Collection[str]]:
    """The channels in which open incidents have a card, whatever became of it."""
    rows = await connection.execute(
        select(incidents.c.id, cards.c.channel).join(cards, _CARD_OF_IT).where(_IS_OPEN)
    )
    found: defaultdict[IncidentId, set[str]] = defaultdict(set)
    for row in rows:
        found[IncidentId(row.id)].add(row.channel)
    return found


async def channels_with(connection: AsyncConnection, gateway_ids: Sequence[str]) -> Sequence[str]:
    """The channels that show an open incident in which one of these gateways is down."""
    down = exists().where(
        incident_gateways.c.incident_id == incidents.c.id,
        incident_gateways.c.left_at.is_(None),
        among(connection, incident_gateways.c.gateway_id, gateway_ids),
    )
    rows = await connection.execute(
        select(cards.c.channel)
        .join(incidents, _CARD_OF_IT)
        .where(_IS_OPEN, is_shown(), down)
        .distinct()
        .order_by(cards.c.channel)
    )
    return list(rows.scalars())


async def open_with(connection: AsyncConnection, query: Query, now: datetime) -> Sequence[IncidentId]:
    """Open incidents with a gateway that matches; "visibility lost" has none."""
    wanted: list[ColumnElement[bool]] = [incident_gateways.c.incident_id == incidents.c.id]
    matches = condition(query, now)
    if matches is not None:
        wanted += [gateways.c.id == incident_gateways.c.gateway_id, matches]
    rows = await connection.execute(
        select(incidents.c.id).where(_IS_OPEN, exists().where(*wanted)).order_by(incidents.c.id)
    )
    return [IncidentId(one) for one in rows.scalars()]
