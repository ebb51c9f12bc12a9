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
    bindparam,
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

from bot.domain.alerts.incidents import Leave, Thresholds
from bot.domain.alerts.storms import WentOffline
from bot.domain.gateways import Connectivity, FleetEventKind, GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState, Trouble
from bot.storage.alerts.troubles import conditions, expected_ids
from bot.storage.db import engine
from bot.storage.db.statements import among, insert_or_ignore_selected
from bot.storage.db.tables import RANKS, fleet_events, gateways, incident_gateways, incidents
from bot.storage.db.timestamps import UtcMicros, from_micros

CHUNK = 10_000  # gateways moved in one transaction: SQLite has one writer, and others wait for it
# Written out as in the unique index on live incidents: SQLite uses a partial index for its very words only.
IS_LIVE = incidents.c.state.in_([literal_column("'gathering'"), literal_column("'open'")])
IS_GATHERING = incidents.c.state == IncidentState.GATHERING.value
_HAVE_GATEWAYS = [kind.value for kind in IncidentKind if kind.rules.trouble]
_LAST_ONLINE = [trouble.value for trouble in Trouble if trouble.rules.lasts_online]
_SHOW_STATE = [trouble.value for trouble in Trouble if trouble.rules.shows_state]
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


# ---- who enters and who leaves
async def who_enters(
    connection: AsyncConnection, trouble: Trouble, as_of: Thresholds
) -> Mapping[GatewayId, WentOffline]:
    """Gateways in this trouble that no incident keeps out of one for it.

    EXCEPT on PostgreSQL, and not NOT EXISTS: where it has no statistics yet of an incident that has just
    begun, it would look through all of it for each gateway (6 s for 10,000).
    """
    since = type_coerce(gateways.c.since, BigInteger)
    query = select(gateways.c.id, since, gateways.c.site_folded, gateways.c.since <= gateways.c.first_seen)
    query = query.where(_is_entering(connection, trouble, as_of)).order_by(gateways.c.id)
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


async def who_leaves(connection: AsyncConnection, trouble: Trouble, as_of: Thresholds) -> Sequence[GatewayId]:
    """Gateways in a live incident whose trouble is over."""
    return await _find_ids(
        connection,
        select(incident_gateways.c.gateway_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(is_in(trouble), conditions(trouble, as_of, named=True).leaves),
    )


async def who_is_released(connection: AsyncConnection, trouble: Trouble) -> Sequence[GatewayId]:
    """Gateways in a live incident that are no longer in the fleet."""
    return await _find_ids(
        connection, select(incident_gateways.c.gateway_id).where(is_in(trouble), ~_in_the_fleet())
    )


async def who_has_left(
    connection: AsyncConnection, trouble: Trouble, as_of: Thresholds
) -> Sequence[GatewayId]:
    """Gateways that have left the incident, still live, of their own place."""
    return await _find_ids(
        connection,
        select(incident_gateways.c.gateway_id)
        .join(incidents, incidents.c.id == incident_gateways.c.incident_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(_had_left(trouble, as_of)),
    )


# ---- moving them
async def leave(
    connection: AsyncConnection, trouble: Trouble, ids: Sequence[GatewayId], as_of: Thresholds
) -> Moved:
    """Those of the gateways whose trouble is over leave."""
    over = conditions(trouble, as_of, named=True)
    leaving = (
        update(incident_gateways)
        .where(
            is_in(trouble),
            among(connection, incident_gateways.c.gateway_id, ids),
            incident_gateways.c.gateway_id == gateways.c.id,
            over.leaves,
        )
        .values(left_at=over.left_at, left_as=over.left_as)
    )
    return await _moved(connection, leaving)


async def leave_as_released(
    connection: AsyncConnection, trouble: Trouble, ids: Sequence[GatewayId], at: datetime
) -> Moved:
    """Those of the gateways that are no longer in the fleet leave."""
    leaving = (
        update(incident_gateways)
        .where(is_in(trouble), among(connection, incident_gateways.c.gateway_id, ids), ~_in_the_fleet())
        .values(left_at=at, left_as=Leave.RELEASED.value)
    )
    return await _moved(connection, leaving)


async def leave_as_taken(
    connection: AsyncConnection, trouble: Trouble, ids: Sequence[GatewayId], at: datetime
) -> Moved:
    """Those of the gateways that are in an incident of this trouble leave those that it takes from."""
    leaving = (
        update(incident_gateways)
        .where(
            or_(*(is_in(other) for other in sorted(trouble.rules.takes_from))),
            among(connection, incident_gateways.c.gateway_id, ids),
            incident_gateways.c.gateway_id.in_(_member_ids({trouble})),
        )
        .values(left_at=at, left_as=Leave.TAKEN.value)
    )
    return await _moved(connection, leaving)


async def begin_incidents(
    connection: AsyncConnection,
    trouble: Trouble,
    ids: Sequence[GatewayId],
    as_of: Thresholds,
    post_at: datetime,
) -> int:
    """A live incident for each place of the gateways that has none; returns how many. They join it next."""
    kind = trouble.rules.kind
    have_one = select(incidents.c.site_folded).where(incidents.c.kind == kind.value, IS_LIVE)
    place = conditions(trouble, as_of).place
    theirs = (
        select(
            place.key.label("key"),
            place.name.label("name"),
            place.rollout.label("rollout"),
        )
        .where(among(connection, gateways.c.id, ids))
        .subquery()
    )
    places = (
        select(
            literal(kind.value),
            func.min(theirs.c.name),
            theirs.c.key,
            literal(IncidentState.GATHERING.value),
            literal(1),
            literal(as_of.at, UtcMicros),
            literal(post_at, UtcMicros),
            func.max(theirs.c.rollout),
        )
        .where(theirs.c.key.is_not(None), theirs.c.key.not_in(have_one))
        .group_by(theirs.c.key)
        .order_by(theirs.c.key)
    )
    names = ["kind", "site", "site_folded", "state", "version", "opened_at", "post_at", "rollout_id"]
    begun = await connection.execute(
        insert_or_ignore_selected(connection, incidents, names, places).returning(incidents.c.id)
    )
    return len(begun.all())


async def join_again(
    connection: AsyncConnection, trouble: Trouble, ids: Sequence[GatewayId], as_of: Thresholds
) -> Moved:
    """Those that had left the live incident of their place, and are in trouble anew, are in it once more."""
    joining = (
        update(incident_gateways)
        .where(
            among(connection, incident_gateways.c.gateway_id, ids),
            incident_gateways.c.incident_id == incidents.c.id,
            incident_gateways.c.gateway_id == gateways.c.id,
            _had_left(trouble, as_of),
            _is_entering(connection, trouble, as_of, ids),
        )
        .values(
            label=label(),
            offline_since=conditions(trouble, as_of).since,
            joined_at=as_of.at,
            left_at=None,
            left_as=None,
        )
    )
    return await _counted(connection, await _moved(connection, joining))


async def join(
    connection: AsyncConnection, trouble: Trouble, ids: Sequence[GatewayId], as_of: Thresholds
) -> Moved:
    """The gateways join the live incident of their place, unless they are no longer to.

    Each looks its incident up: as a join, PostgreSQL took the whole fleet once for each of 200 incidents.
    """
    incident = (
        select(incidents.c.id)
        .where(
            incidents.c.kind == trouble.rules.kind.value,
            incidents.c.site_folded == conditions(trouble, as_of).place.key,
            IS_LIVE,
        )
        .scalar_subquery()
    )
    joining = _joining(connection, incident, trouble, ids, as_of)
    return await _counted(connection, await _moved(connection, joining))


async def join_one(
    connection: AsyncConnection,
    incident: IncidentId,
    kind: IncidentKind,
    ids: Sequence[GatewayId],
    as_of: Thresholds,
) -> Moved:
    """The gateways join this incident, unless they are no longer to, or it takes nobody any more."""
    trouble = kind.rules.trouble
    assert trouble is not None
    takes = IS_LIVE if kind.rules.joined_once_posted else IS_GATHERING
    one = select(incidents.c.id).where(incidents.c.id == incident, takes).scalar_subquery()
    joined = await connection.execute(_joining(connection, one, trouble, ids, as_of))
    return await _counted(connection, Counter({incident: joined.rowcount} if joined.rowcount else {}))


def _joining(
    connection: AsyncConnection,
    incident: ScalarSelect[int],
    trouble: Trouble,
    ids: Sequence[GatewayId],
    as_of: Thresholds,
) -> Insert:
    """Whether they still enter is asked again, in the statement that has them join: what was committed since
    they were found counts.
    """
    joining = select(
        incident,
        gateways.c.id,
        literal(trouble.value),
        label(),
        literal(as_of.at, UtcMicros),
        conditions(trouble, as_of).since,
    ).where(
        among(connection, gateways.c.id, ids),
        _is_entering(connection, trouble, as_of, ids),
        incident.is_not(None),
    )
    names = ["incident_id", "gateway_id", "kind", "label", "joined_at", "offline_since"]
    return insert_or_ignore_selected(connection, incident_gateways, names, joining)


def _is_entering(
    connection: AsyncConnection,
    trouble: Trouble,
    as_of: Thresholds,
    ids: Sequence[GatewayId] | None = None,
) -> ColumnElement[bool]:
    """Of a gateway; ``ids``: the statement names its gateways."""
    rules = conditions(trouble, as_of, named=ids is not None)
    kept_out = [_member_ids(trouble.rules.kept_out_by), *rules.kept_out]
    if connection.dialect.name == "sqlite":
        return and_(rules.enters, *(gateways.c.id.not_in(some) for some in kept_out))
    new = select(gateways.c.id).where(rules.enters).correlate(None)
    if ids is not None:
        new = new.where(among(connection, gateways.c.id, ids))
    return gateways.c.id.in_(new.except_(*kept_out))


def _member_ids(troubles: Collection[Trouble]) -> Select[tuple[str]]:
    """Gateways in a live incident for one of these; for all of them without naming any."""
    member = incident_gateways.c
    query = select(member.gateway_id).where(member.left_at.is_(None)).correlate(None)
    if set(troubles) == set(Trouble):
        return query
    return query.where(or_(*(is_in(one) for one in sorted(troubles))))


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


async def who_changed(connection: AsyncConnection, listing: int) -> Sequence[IncidentId]:
    """Live incidents that show how their gateways are, with one that changed in this listing."""
    found = await connection.execute(
        select(incident_gateways.c.incident_id)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(
            incident_gateways.c.kind.in_(_SHOW_STATE),
            incident_gateways.c.left_at.is_(None),
            gateways.c.since_listing == listing,
        )
        .distinct()
    )
    return [IncidentId(one) for one in found.scalars()]


# ---- incidents go on
async def end_incidents(
    connection: AsyncConnection, at: datetime
) -> Mapping[IncidentState, Sequence[IncidentId]]:
    """Live incidents in which no gateway is left end: resolved, or dropped when they were never posted."""
    inhabited = select(incident_gateways.c.incident_id).where(incident_gateways.c.left_at.is_(None))
    unposted = incidents.c.state == IncidentState.GATHERING.value
    ended = await connection.execute(
        update(incidents)
        .where(IS_LIVE, incidents.c.id.not_in(inhabited), incidents.c.kind.in_(_HAVE_GATEWAYS))
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


async def renamed_since(connection: AsyncConnection, listing: int, at: datetime) -> Sequence[IncidentId]:
    """The open incidents of which a gateway that is down was renamed then or later, ``at`` the earliest."""
    member, event = incident_gateways.c, fleet_events.c
    rows = await connection.execute(
        select(incidents.c.id)
        .distinct()
        .join(incident_gateways, member.incident_id == incidents.c.id)
        .join(fleet_events, event.gateway_id == member.gateway_id)
        .where(
            incidents.c.state == IncidentState.OPEN.value,
            member.left_at.is_(None),
            event.kind == FleetEventKind.RENAMED.value,
            event.listing >= listing,
            event.at >= at,
        )
    )
    return [IncidentId(row.id) for row in rows]


# ---- conditions
def _is_due(now: datetime, told: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """``told``: of a gateway in it, that people are told of it."""
    online = exists().where(
        gateways.c.id == incident_gateways.c.gateway_id, gateways.c.rank == RANKS[Connectivity.ONLINE]
    )
    someone = exists().where(
        incident_gateways.c.incident_id == incidents.c.id,
        incident_gateways.c.left_at.is_(None),
        incident_gateways.c.gateway_id.not_in(expected_ids()),
        or_(~online, incident_gateways.c.kind.in_(_LAST_ONLINE)),
        true() if told is None else told,
    )
    return and_(incidents.c.state == IncidentState.GATHERING.value, incidents.c.post_at <= now, someone)


def is_in(trouble: Trouble) -> ColumnElement[bool]:
    return and_(incident_gateways.c.kind == trouble.value, incident_gateways.c.left_at.is_(None))


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


def _had_left(trouble: Trouble, as_of: Thresholds) -> ColumnElement[bool]:
    """Joined with both: the incident is live and still that of the gateway's place, and it has left it."""
    return and_(
        incidents.c.kind == trouble.rules.kind.value,
        IS_LIVE,
        incidents.c.site_folded == conditions(trouble, as_of).place.key,
        incident_gateways.c.left_at.is_not(None),
    )


def _in_the_fleet() -> ColumnElement[bool]:
    """The intake removes what vanished, and only while the fleet can be seen."""
    return exists().where(gateways.c.id == incident_gateways.c.gateway_id)


def label() -> ColumnElement[str]:
    return func.coalesce(func.nullif(gateways.c.name, ""), gateways.c.id)


async def _find_ids(
    connection: AsyncConnection, query: Select[Any] | CompoundSelect[Any]
) -> Sequence[GatewayId]:
    return sorted(GatewayId(one) for one in (await connection.execute(query)).scalars())


async def _moved(connection: AsyncConnection, statement: Insert | Update) -> Moved:
    """Moves the gateways, and counts them: the rows themselves would take longer to fetch than to write."""
    done = await connection.execute(statement.returning(incident_gateways.c.incident_id))
    return Counter(IncidentId(one) for one in done.scalars())


async def _counted(connection: AsyncConnection, joined: Moved) -> Moved:
    """The same, noted in the incidents: who asks whether somebody joined need not count the gateways."""
    if joined:
        await connection.execute(
            update(incidents)
            .where(incidents.c.id == bindparam("incident"))
            .values(joins=incidents.c.joins + bindparam("more")),
            [{"incident": incident, "more": more} for incident, more in sorted(joined.items())],
        )
    return joined
