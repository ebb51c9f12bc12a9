"""Incidents and the gateways in them, as sets: each rule is one statement, whatever the size of the fleet.

Who has to move is one query; moving them is done in chunks, each in a short transaction of the caller's. A
move changes only what is not so yet, and unique indexes keep a gateway out of a second incident: moving
twice, or in two replicas, or once more after a crash, comes to the same.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Insert,
    ScalarSelect,
    Select,
    Update,
    and_,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import Acknowledgement, Cut, IncidentId, IncidentKind, IncidentState, Leave
from bot.domain.alerts.storms import WentOffline
from bot.domain.gateways import Connectivity, GatewayId
from bot.storage.db import engine
from bot.storage.db.statements import among, insert_or_ignore_selected
from bot.storage.db.tables import RANKS, gateway_claims, gateways, incident_gateways, incidents
from bot.storage.db.types import UtcMicros, from_micros

CHUNK = 10_000  # gateways moved in one transaction: SQLite has one writer, and others wait for it
# Written out as in the unique index on live incidents: SQLite uses a partial index for its very words only.
IS_LIVE = incidents.c.state.in_([literal_column("'gathering'"), literal_column("'open'")])
_EVALUATION = 0x616C65727473  # "alerts": the key of PostgreSQL's advisory lock


Moved: TypeAlias = Counter[IncidentId]  # how many gateways have just joined or left each


class Named(NamedTuple):
    """A gateway of an incident, as it is called there."""

    id: GatewayId
    label: str


async def take_turn(connection: AsyncConnection) -> None:
    """Lets one replica at a time move gateways, until its transaction ends.

    The unique indexes alone would keep the rows right; two sets of rows locked in different orders would
    still be a deadlock.
    """
    await engine.take_turn(connection, _EVALUATION)


# ---- who has to move
async def who_is_back(connection: AsyncConnection, kind: IncidentKind, cut: Cut) -> Sequence[GatewayId]:
    """Gateways in a live incident that are online for long enough."""
    return await find_ids(
        connection,
        select(incident_gateways.c.gateway_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(is_in(kind), in_state(Connectivity.ONLINE, cut, named=True)),
    )


async def who_is_released(connection: AsyncConnection, kind: IncidentKind) -> Sequence[GatewayId]:
    """Gateways in a live incident that are no longer in the fleet."""
    return await find_ids(
        connection, select(incident_gateways.c.gateway_id).where(is_in(kind), ~_in_the_fleet())
    )


async def who_is_dark(connection: AsyncConnection, cut: Cut) -> Mapping[GatewayId, WentOffline]:
    """Gateways offline for long enough, in no live incident of any kind, and not expected to be down by a
    rollout.

    EXCEPT on PostgreSQL, and not NOT EXISTS: where it has no statistics yet of an incident that has just
    begun, it would look through all of it for each gateway (6 s for 10,000).
    """
    dark = in_state(Connectivity.OFFLINE, cut)
    in_one = select(incident_gateways.c.gateway_id).where(incident_gateways.c.left_at.is_(None))
    since = type_coerce(gateways.c.since, BigInteger)
    query = select(gateways.c.id, since, gateways.c.site_folded, gateways.c.since <= gateways.c.first_seen)
    if connection.dialect.name == "sqlite":
        query = query.where(dark, gateways.c.id.not_in(in_one), gateways.c.id.not_in(expected_ids()))
    else:
        new = select(gateways.c.id).where(dark).except_(in_one, expected_ids()).subquery()
        query = query.join(new, new.c.id == gateways.c.id)
    # Thousands went in the same listing, at few sites: one object for all that are alike.
    alike: dict[tuple[int, str, bool], WentOffline] = {}
    found = {}
    for id_, micros, site, dark_before in (await connection.execute(query)).all():
        gone = alike.get((micros, site, dark_before))
        if gone is None:
            gone = alike[micros, site, dark_before] = WentOffline(
                from_micros(micros), site, bool(dark_before)
            )
        found[GatewayId(id_)] = gone
    return found


async def who_has_left(connection: AsyncConnection, kind: IncidentKind) -> Sequence[GatewayId]:
    """Gateways that have left the incident, still live, of their site."""
    return await find_ids(
        connection,
        select(incident_gateways.c.gateway_id)
        .join(incidents, incidents.c.id == incident_gateways.c.incident_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(_had_left(kind)),
    )


# ---- moving them
async def leave_as_back(
    connection: AsyncConnection, kind: IncidentKind, ids: Sequence[GatewayId], cut: Cut
) -> Moved:
    """Those of the gateways that are back leave, at the moment they came back."""
    leaving = (
        update(incident_gateways)
        .where(
            is_in(kind),
            among(connection, incident_gateways.c.gateway_id, ids),
            incident_gateways.c.gateway_id == gateways.c.id,
            in_state(Connectivity.ONLINE, cut, named=True),
        )
        .values(left_at=gateways.c.since, left_as=Leave.BACK.value)
    )
    return await moved(connection, leaving)


async def leave_as_released(
    connection: AsyncConnection, kind: IncidentKind, ids: Sequence[GatewayId], at: datetime
) -> Moved:
    """Those of the gateways that are no longer in the fleet leave."""
    leaving = (
        update(incident_gateways)
        .where(is_in(kind), among(connection, incident_gateways.c.gateway_id, ids), ~_in_the_fleet())
        .values(left_at=at, left_as=Leave.RELEASED.value)
    )
    return await moved(connection, leaving)


async def begin_incidents(
    connection: AsyncConnection,
    kind: IncidentKind,
    ids: Sequence[GatewayId],
    at: datetime,
    post_at: datetime,
) -> int:
    """A live incident for each site of the gateways that has none; returns how many. They join it next."""
    have_one = select(incidents.c.site_folded).where(incidents.c.kind == kind.value, IS_LIVE)
    sites = (
        select(
            literal(kind.value),
            func.min(gateways.c.site),
            gateways.c.site_folded,
            literal(IncidentState.GATHERING.value),
            literal(1),
            literal(at, UtcMicros),
            literal(post_at, UtcMicros),
        )
        .where(among(connection, gateways.c.id, ids), gateways.c.site_folded.not_in(have_one))
        .group_by(gateways.c.site_folded)
        .order_by(gateways.c.site_folded)
    )
    names = ["kind", "site", "site_folded", "state", "version", "opened_at", "post_at"]
    begun = await connection.execute(
        insert_or_ignore_selected(connection, incidents, names, sites).returning(incidents.c.id)
    )
    return len(begun.all())


async def join_again(
    connection: AsyncConnection, kind: IncidentKind, ids: Sequence[GatewayId], at: datetime
) -> Moved:
    """Those that had left the live incident of their site, and went dark again, are down in it once more."""
    leaving = (
        update(incident_gateways)
        .where(
            among(connection, incident_gateways.c.gateway_id, ids),
            incident_gateways.c.incident_id == incidents.c.id,
            incident_gateways.c.gateway_id == gateways.c.id,
            _had_left(kind),
        )
        .values(label=label(), offline_since=gateways.c.since, joined_at=at, left_at=None, left_as=None)
    )
    return await moved(connection, leaving)


async def join(
    connection: AsyncConnection, kind: IncidentKind, ids: Sequence[GatewayId], at: datetime
) -> Moved:
    """The gateways join the live incident of their site; those that are in one stay where they are.

    Each looks its incident up: as a join, PostgreSQL took the whole fleet once for each of 200 incidents.
    """
    incident = (
        select(incidents.c.id)
        .where(incidents.c.kind == kind.value, incidents.c.site_folded == gateways.c.site_folded, IS_LIVE)
        .scalar_subquery()
    )
    return await moved(connection, _joining(connection, incident, kind, ids, at))


async def join_one(
    connection: AsyncConnection,
    incident: IncidentId,
    kind: IncidentKind,
    ids: Sequence[GatewayId],
    at: datetime,
) -> Moved:
    """The gateways join this incident; those that are in one of that kind stay where they are."""
    joined = await connection.execute(_joining(connection, literal(incident), kind, ids, at))
    return Counter({incident: joined.rowcount} if joined.rowcount else {})


def _joining(
    connection: AsyncConnection,
    incident: ColumnElement[int],
    kind: IncidentKind,
    ids: Sequence[GatewayId],
    at: datetime,
) -> Insert:
    joining = select(
        incident,
        gateways.c.id,
        literal(kind.value),
        label(),
        literal(at, UtcMicros),
        gateways.c.since,
    ).where(among(connection, gateways.c.id, ids), incident.is_not(None))
    names = ["incident_id", "gateway_id", "kind", "label", "joined_at", "offline_since"]
    return insert_or_ignore_selected(connection, incident_gateways, names, joining)


async def who_joined(
    connection: AsyncConnection, incident: IncidentId, ids: Sequence[GatewayId], at: datetime, limit: int
) -> Sequence[Named]:
    """The first of the gateways that joined this incident then."""
    rows = await connection.execute(
        select(incident_gateways.c.gateway_id, incident_gateways.c.label)
        .where(
            incident_gateways.c.incident_id == incident,
            incident_gateways.c.joined_at == at,
            among(connection, incident_gateways.c.gateway_id, ids),
        )
        .order_by(incident_gateways.c.gateway_id)
        .limit(limit)
    )
    return [Named(GatewayId(id_), name) for id_, name in rows.all()]


# ---- incidents go on
async def end_incidents(
    connection: AsyncConnection, at: datetime
) -> Mapping[IncidentState, Sequence[IncidentId]]:
    """Live incidents in which no gateway is left end: resolved, or dropped when they were never posted."""
    inhabited = select(incident_gateways.c.incident_id).where(incident_gateways.c.left_at.is_(None))
    unposted = incidents.c.state == IncidentState.GATHERING.value
    ended = await connection.execute(
        update(incidents)
        .where(IS_LIVE, incidents.c.id.not_in(inhabited), incidents.c.kind != IncidentKind.VISIBILITY.value)
        .values(
            state=case((unposted, IncidentState.DROPPED.value), else_=IncidentState.RESOLVED.value),
            resolved_at=at,
            version=incidents.c.version + 1,
        )
        .returning(incidents.c.id, incidents.c.state)
    )
    rows = ended.all()
    return {
        state: [IncidentId(row.id) for row in rows if row.state == state.value]
        for state in (IncidentState.RESOLVED, IncidentState.DROPPED)
    }


async def who_is_due(
    connection: AsyncConnection, now: datetime, limit: int, silenced: Collection[str] = ()
) -> Sequence[IncidentId]:
    """Incidents whose gathering is over, oldest first.

    One whose gateways are all online at the moment waits: either they stay, and it is dropped unposted, or
    one goes away again. So does one of which all are silenced, or in a rollout's hands.
    """
    told = ~among(connection, incident_gateways.c.gateway_id, list(silenced)) if silenced else true()
    due = select(incidents.c.id).where(_is_due(now, told)).order_by(incidents.c.id).limit(limit)
    return [IncidentId(one) for one in (await connection.execute(due)).scalars()]


async def open_due(connection: AsyncConnection, ids: Sequence[IncidentId], now: datetime) -> int:
    """Opens those of the incidents that are still due; returns how many."""
    opened = await connection.execute(
        update(incidents)
        .where(incidents.c.id.in_(ids), _is_due(now))
        .values(
            state=IncidentState.OPEN.value,
            post_at=now,
            told=func.coalesce(incidents.c.told, down_now()),
        )
    )
    return opened.rowcount


async def which_are_open(connection: AsyncConnection, ids: Sequence[IncidentId]) -> Sequence[IncidentId]:
    """Those of the incidents that are past their gathering, so that a card may show them."""
    rows = await connection.execute(
        select(incidents.c.id)
        .where(incidents.c.id.in_(ids), incidents.c.state == IncidentState.OPEN.value)
        .order_by(incidents.c.id)
    )
    return [IncidentId(row.id) for row in rows]


async def acknowledge(
    connection: AsyncConnection, incident_id: IncidentId, version: int, by: Acknowledgement
) -> bool:
    """Whether this was the first acknowledgement of a live incident, as the version was drawn."""
    taken = await connection.execute(
        update(incidents)
        .where(
            incidents.c.id == incident_id,
            incidents.c.version == version,
            IS_LIVE,
            incidents.c.acknowledged_by.is_(None),
        )
        .values(
            acknowledged_by=by.user_id,
            acknowledged_name=by.name,
            acknowledged_at=by.at,
            told=down_now(),
            lapsed_by=None,
            version=version + 1,
        )
    )
    return taken.rowcount == 1


# ---- conditions
def in_state(state: Connectivity, cut: Cut, *, named: bool = False) -> ColumnElement[bool]:
    """The cut of bot/domain/alerts.py, as SQL; a test holds the two against each other.

    ``named``: the statement names its gateways. The sum then keeps SQLite from reading all that are in that
    state, of which it cannot know how many there are.
    """
    rank = gateways.c.rank + 0 if named else gateways.c.rank
    return and_(
        rank == RANKS[state],
        gateways.c.since <= cut.since,
        gateways.c.since_listing <= cut.listing,
        gateways.c.missed == 0,
    )


def _is_due(now: datetime, told: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """``told``: of a gateway in it, that people are told of it."""
    online = exists().where(
        gateways.c.id == incident_gateways.c.gateway_id, gateways.c.rank == RANKS[Connectivity.ONLINE]
    )
    someone = exists().where(
        incident_gateways.c.incident_id == incidents.c.id,
        incident_gateways.c.left_at.is_(None),
        incident_gateways.c.gateway_id.not_in(expected_ids()),
        or_(~online, incidents.c.kind == IncidentKind.FLAPPING.value),
        true() if told is None else told,
    )
    return and_(incidents.c.state == IncidentState.GATHERING.value, incidents.c.post_at <= now, someone)


def is_in(kind: IncidentKind) -> ColumnElement[bool]:
    return and_(incident_gateways.c.kind == kind.value, incident_gateways.c.left_at.is_(None))


def expected_ids() -> Select[tuple[str]]:
    """Gateways that a rollout has in flight: only these are expected to go down, not what waits."""
    return select(gateway_claims.c.gateway_id).where(gateway_claims.c.started_at.is_not(None))


def down_now() -> ScalarSelect[int]:
    """Of an incident: how many are down in it and in no rollout's hands."""
    return (
        select(func.count())
        .select_from(incident_gateways)
        .where(
            incident_gateways.c.incident_id == incidents.c.id,
            incident_gateways.c.left_at.is_(None),
            incident_gateways.c.gateway_id.not_in(expected_ids()),
        )
        .correlate(incidents)
        .scalar_subquery()
    )


def _had_left(kind: IncidentKind) -> ColumnElement[bool]:
    """Joined with both: the incident is live and still that of the gateway's site, and it has left it."""
    return and_(
        incidents.c.kind == kind.value,
        IS_LIVE,
        incidents.c.site_folded == gateways.c.site_folded,
        incident_gateways.c.left_at.is_not(None),
    )


def _in_the_fleet() -> ColumnElement[bool]:
    """The intake removes what vanished, and only while the fleet can be seen."""
    return exists().where(gateways.c.id == incident_gateways.c.gateway_id)


def label() -> ColumnElement[str]:
    return func.coalesce(func.nullif(gateways.c.name, ""), gateways.c.id)


async def find_ids(
    connection: AsyncConnection, query: Select[Any] | CompoundSelect[Any]
) -> Sequence[GatewayId]:
    return sorted(GatewayId(one) for one in (await connection.execute(query)).scalars())


async def moved(connection: AsyncConnection, statement: Insert | Update) -> Moved:
    """Moves the gateways, and counts them: the rows themselves would take longer to fetch than to write."""
    done = await connection.execute(statement.returning(incident_gateways.c.incident_id))
    return Counter(IncidentId(one) for one in done.scalars())
