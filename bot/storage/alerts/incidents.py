"""Incidents as a person asks for them: one with its gateways, or a page of those that are live."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Row, case, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import (
    FIRST_GATEWAYS,
    Acknowledgement,
    AffectedGateway,
    Incident,
    Lapse,
    Leave,
    LossDetails,
    MemberCounts,
    PastOutage,
    Share,
    Silenced,
    Trait,
)
from bot.domain.firmware import PolicyId
from bot.domain.gateways import GatewayId, fold
from bot.domain.incident_kinds import LIVE, IncidentId, IncidentKind, IncidentState, IncidentSummary, Scope
from bot.domain.query import Query
from bot.storage import firmware_policy
from bot.storage.db.tables import (
    RANKS,
    gateways,
    incident_gateways,
    incidents,
    rollout_events,
    rollouts,
    silences,
)
from bot.storage.db.unreadable_rows import legible, legible_rows
from bot.storage.query import condition, like

_LIVE = [state.value for state in LIVE]
_COMPARED = [kind.value for kind in IncidentKind if kind.rules.is_compared]
_OF_NO_SITE = [kind.value for kind in IncidentKind if kind.rules.scope in {Scope.ROLLOUT, Scope.POLICY}]
_SITES_NAMED = 5  # of several, on a card
_STATES = {rank: state for state, rank in RANKS.items()}


async def load(connection: AsyncConnection, incident_id: IncidentId) -> Incident | None:
    """An incident with its tally and the gateways that a card names."""
    row = (await connection.execute(select(incidents).where(incidents.c.id == incident_id))).first()
    if row is None:
        return None
    tallies = await _tallies(connection, [incident_id])
    first = await affected(connection, incident_id, FIRST_GATEWAYS, 0)
    incident = _incident(row, tallies.get(incident_id, MemberCounts()), first)
    incident = await _with_rollout(connection, await _with_sites(connection, incident))
    (incident,) = await _with_sizes(connection, [incident])
    incident = await _with_policy(connection, incident, row.site_folded)
    return await _with_silence(connection, await _with_last_outage(connection, incident, row.site_folded))


async def newest(connection: AsyncConnection) -> int:
    """The highest number of those that are kept; 0 where there is none."""
    return await connection.scalar(select(func.max(incidents.c.id))) or 0


async def open_joined(connection: AsyncConnection, at: datetime) -> Sequence[IncidentId]:
    """Incidents that are posted and not over, of gateways that can have something in common, that one of
    them joined then.
    """
    joined = exists().where(
        incident_gateways.c.incident_id == incidents.c.id, incident_gateways.c.joined_at == at
    )
    rows = await connection.execute(
        select(incidents.c.id).where(
            incidents.c.state == IncidentState.OPEN.value,
            incidents.c.kind.in_(_COMPARED),
            joined,
        )
    )
    return [IncidentId(one) for one in rows.scalars()]


async def open_at_a_glance(connection: AsyncConnection) -> Sequence[Incident]:
    """Open incidents without their gateways: one query."""
    rows = await connection.execute(
        select(incidents).where(incidents.c.state == IncidentState.OPEN.value).order_by(incidents.c.id)
    )
    return legible(rows, lambda row: _incident(row, MemberCounts()))


async def larger_than(
    connection: AsyncConnection, ids: Sequence[IncidentId], number: int
) -> Mapping[IncidentId, int]:
    """Those of the incidents that had more gateways than that, and how many."""
    rows = await connection.execute(
        select(incident_gateways.c.incident_id, func.count())
        .where(incident_gateways.c.incident_id.in_(ids))
        .group_by(incident_gateways.c.incident_id)
        .having(func.count() > number)
    )
    return {IncidentId(one): many for one, many in rows.all()}


async def live(connection: AsyncConnection, limit: int, offset: int) -> tuple[Incident, ...]:
    """Those that are live, with tallies and silences: what nobody has first, then the worst, the newest."""
    rows = await connection.execute(select(incidents).where(incidents.c.state.in_(_LIVE)))
    found = await _told(connection, legible_rows(rows))
    found = sorted(found, key=lambda one: (one.acknowledged is not None, one.rank, -one.id))
    page = found[offset : offset + limit]
    return tuple([await _with_silence(connection, await _with_sites(connection, one)) for one in page])


async def closed(
    connection: AsyncConnection,
    query: Query,
    text: str,
    since: datetime,
    now: datetime,
    limit: int,
    offset: int,
) -> tuple[int, tuple[Incident, ...]]:
    """How many incidents ended since then with a gateway that matches, or at a site with such a name, and a
    page of them, the last to end first.
    """
    member = incident_gateways.c.incident_id == incidents.c.id
    matches = condition(query, now)
    wanted = [incidents.c.state == IncidentState.RESOLVED.value, incidents.c.resolved_at >= since]
    if matches is not None:
        theirs = exists().where(member, gateways.c.id == incident_gateways.c.gateway_id, matches)
        wanted.append(or_(theirs, like(incidents.c.site_folded, ["", fold(text), ""])))
    total = await connection.execute(select(func.count()).select_from(incidents).where(*wanted))
    rows = await connection.execute(
        select(incidents)
        .where(*wanted)
        .order_by(incidents.c.resolved_at.desc(), incidents.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    found = await _told(connection, legible_rows(rows))
    return int(total.scalar_one()), tuple([await _with_sites(connection, one) for one in found])


async def _told(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> Sequence[Incident]:
    """With their tallies, and the sizes of their places."""
    tallies = await _tallies(connection, [row.id for row in rows])
    return await _with_sizes(
        connection, legible(rows, lambda row: _incident(row, tallies.get(row.id, MemberCounts())))
    )


async def at_sites(connection: AsyncConnection, sites: Collection[str]) -> Sequence[IncidentSummary]:
    """Live incidents that have gateways at these sites now, those with the most first."""
    found = await connection.execute(
        select(incidents.c.id, incidents.c.version, incidents.c.kind, gateways.c.site, func.count())
        .select_from(
            incident_gateways.join(incidents, incidents.c.id == incident_gateways.c.incident_id).join(
                gateways, gateways.c.id == incident_gateways.c.gateway_id
            )
        )
        .where(
            incident_gateways.c.left_at.is_(None),
            incidents.c.state.in_(_LIVE),
            incidents.c.kind.not_in(_OF_NO_SITE),  # a rollout's card tells of its own
        )
        .group_by(incidents.c.id, incidents.c.version, incidents.c.kind, gateways.c.site)
    )
    touched: dict[int, IncidentSummary] = {}
    for number, version, kind, site, down in found:
        if site not in sites:
            continue
        one = touched.get(number) or IncidentSummary(IncidentId(number), version, IncidentKind(kind), (), 0)
        touched[number] = replace(one, sites=(*one.sites, site), gateways=one.gateways + down)
    return sorted(touched.values(), key=lambda one: (-one.gateways, one.id))


async def count_live(connection: AsyncConnection) -> int:
    query = select(func.count()).select_from(incidents).where(incidents.c.state.in_(_LIVE))
    return int((await connection.execute(query)).scalar_one())


async def count_unacknowledged(connection: AsyncConnection) -> int:
    nobody_has_it = incidents.c.state.in_(_LIVE) & incidents.c.acknowledged_by.is_(None)
    query = select(func.count()).select_from(incidents).where(nobody_has_it)
    return int((await connection.execute(query)).scalar_one())


async def affected(
    connection: AsyncConnection, incident_id: IncidentId, limit: int | None, offset: int
) -> tuple[AffectedGateway, ...]:
    """Gateways of an incident: those down first, longest offline first."""
    page = (
        select(incident_gateways)
        .where(incident_gateways.c.incident_id == incident_id)
        .order_by(*_those_down_first(incident_gateways))
        .limit(limit)
        .offset(offset)
        .subquery()
    )
    # The page first: joined before that, each of thousands would be looked up for the sake of ten.
    rows = await connection.execute(
        select(page, gateways.c.rank, gateways.c.since.label("changed_at"), gateways.c.site, gateways.c.name)
        .outerjoin(gateways, gateways.c.id == page.c.gateway_id)
        .order_by(*_those_down_first(page))
    )
    return tuple(_affected(row) for row in rows)


def _those_down_first(of: FromClause) -> Sequence[ColumnElement[Any]]:
    return case((of.c.left_at.is_(None), 0), else_=1), of.c.offline_since, of.c.gateway_id


async def live_incident_of(connection: AsyncConnection, gateway_id: str) -> IncidentId | None:
    """The live incident that a gateway is in; of several kinds the newest."""
    found = await connection.execute(
        select(incident_gateways.c.incident_id)
        .where(incident_gateways.c.gateway_id == gateway_id, incident_gateways.c.left_at.is_(None))
        .order_by(incident_gateways.c.incident_id.desc())
        .limit(1)
    )
    number = found.scalar()
    return None if number is None else IncidentId(number)


async def _with_sites(connection: AsyncConnection, incident: Incident) -> Incident:
    if incident.kind.rules.scope is not Scope.SITES:
        return incident
    down = func.count().filter(incident_gateways.c.left_at.is_(None))
    found = await connection.execute(
        select(func.min(gateways.c.site), down, func.count().over())
        .select_from(incident_gateways)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(incident_gateways.c.incident_id == incident.id)
        .group_by(gateways.c.site_folded)
        .order_by(down.desc(), gateways.c.site_folded)
        .limit(_SITES_NAMED)
    )
    worst = found.all()
    named = tuple((site, number) for site, number, _ in worst if number)
    return replace(incident, sites=worst[0][2] if worst else 0, worst_sites=named)


async def _with_sizes(connection: AsyncConnection, some: Sequence[Incident]) -> Sequence[Incident]:
    places = [PlaceKey(one.kind.rules.scope, fold(one.site), one.rollout_id) for one in some]
    return [replace(one, of=size) for one, size in zip(some, await sizes(connection, places), strict=True)]


class PlaceKey(NamedTuple):
    """Where an incident is: its site, folded, or its rollout."""

    scope: Scope
    site: str
    rollout: int | None


async def sizes(connection: AsyncConnection, places: Sequence[PlaceKey]) -> Sequence[int]:
    """How many gateways each has: the site, the rollout or the fleet; 0 for none by name."""
    by_site = {one.site: 0 for one in places if one.scope is Scope.SITE}
    if by_site:
        found = await connection.execute(
            select(gateways.c.site_folded, func.count())
            .where(gateways.c.site_folded.in_(by_site))
            .group_by(gateways.c.site_folded)
        )
        by_site |= {row[0]: row[1] for row in found}
    planned = {one.rollout: 0 for one in places if one.scope is Scope.ROLLOUT}
    if planned:
        found = await connection.execute(
            select(rollouts.c.id, rollouts.c.planned).where(rollouts.c.id.in_(planned))
        )
        planned |= {row[0]: row[1] for row in found}
    fleet = 0
    if any(one.scope is Scope.SITES for one in places):
        fleet = int((await connection.execute(select(func.count()).select_from(gateways))).scalar_one())

    def size(one: PlaceKey) -> int:
        match one.scope:
            case Scope.SITE:
                return by_site[one.site]
            case Scope.ROLLOUT:
                return planned[one.rollout]
            case Scope.SITES:
                return fleet
            case Scope.MAINTENANCE | Scope.POLICY | Scope.FLEET:
                return 0

    return [size(one) for one in places]


async def _with_last_outage(connection: AsyncConnection, incident: Incident, site: str) -> Incident:
    """With the last one of the same kind there; only a site has such a history."""
    if incident.kind.rules.scope is not Scope.SITE:
        return incident
    found = await connection.execute(
        select(incidents.c.id)
        .where(
            incidents.c.site_folded == site,
            incidents.c.kind == incident.kind.value,
            incidents.c.state == IncidentState.RESOLVED.value,
            incidents.c.id < incident.id,
        )
        .order_by(incidents.c.id.desc())
        .limit(1)
    )
    if (number := found.scalar()) is None:
        return incident
    tally = (await _tallies(connection, [number])).get(number, MemberCounts())
    if tally.since is None or tally.until is None:
        return incident
    past = PastOutage(IncidentId(number), tally.since, tally.until, tally.total)
    return replace(incident, before=past)


async def _with_rollout(connection: AsyncConnection, incident: Incident) -> Incident:
    """With the firmware that a rollout brings, and whether it still runs, so that it can be paused."""
    named = [int(one.value) for one in incident.cause if one.trait is Trait.ROLLOUT]
    rollout = incident.rollout_id or (named[0] if named else None)
    if rollout is None:
        return incident
    newest = select(func.max(rollout_events.c.id)).where(rollout_events.c.rollout_id == rollouts.c.id)
    found = await connection.execute(
        select(rollouts, func.coalesce(newest.scalar_subquery(), 0).label("newest")).where(
            rollouts.c.id == rollout
        )
    )
    row = found.first()
    if row is None:
        return incident
    running = rollout if row.state == "running" else None
    return replace(incident, firmware=row.firmware_version, running_rollout=running, rollout_entry=row.newest)


async def _with_policy(connection: AsyncConnection, incident: Incident, key: str) -> Incident:
    """With what says that the version is bad, and why."""
    if incident.kind.rules.scope is not Scope.POLICY:
        return incident
    return replace(
        incident, policy=await firmware_policy.find(connection, PolicyId(int(key.removeprefix("p-"))))
    )


async def _with_silence(connection: AsyncConnection, incident: Incident) -> Incident:
    """The last that was made from its card and not ended early; the card says until when."""
    found = await connection.execute(
        select(silences)
        .where(silences.c.incident_id == incident.id, silences.c.ended_by.is_(None))
        .order_by(silences.c.until.desc())
        .limit(1)
    )
    row = found.first()
    return incident if row is None else replace(incident, silenced=Silenced(row.by, row.until, row.reason))


async def _tallies(connection: AsyncConnection, ids: Sequence[int]) -> Mapping[int, MemberCounts]:
    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    rows = await connection.execute(
        select(
            incident_gateways.c.incident_id,
            count(incident_gateways.c.left_at.is_(None)).label("down"),
            count(incident_gateways.c.left_as == Leave.BACK.value).label("back"),
            count(incident_gateways.c.left_as == Leave.RELEASED.value).label("released"),
            count(incident_gateways.c.left_as == Leave.STILL_DOWN.value).label("still_down"),
            count(incident_gateways.c.left_as == Leave.TAKEN.value).label("taken"),
            func.min(incident_gateways.c.offline_since).label("since"),
            func.max(incident_gateways.c.left_at).label("until"),
        )
        .where(incident_gateways.c.incident_id.in_(ids))
        .group_by(incident_gateways.c.incident_id)
    )
    return {
        row.incident_id: MemberCounts(
            down=row.down,
            back=row.back,
            released=row.released,
            still_down=row.still_down,
            taken=row.taken,
            since=row.since,
            until=row.until,
        )
        for row in rows
    }


def _affected(row: Row[Any]) -> AffectedGateway:
    return AffectedGateway(
        id=GatewayId(row.gateway_id),
        label=row.name or row.label,  # what it was called when it joined, once it is gone
        offline_since=row.offline_since,
        joined_at=row.joined_at,
        left_at=row.left_at,
        left_as=Leave(row.left_as) if row.left_as else None,
        state=_STATES.get(row.rank),
        changed_at=row.changed_at,
        site=row.site or "",
    )


def _lapse(row: Row[Any]) -> Lapse | None:
    if not row.lapsed_by:
        return None
    given = Acknowledgement(row.lapsed_by, row.lapsed_name or "Somebody", row.lapsed_given_at)
    return Lapse(given, row.lapsed_gateways, row.lapsed_more, row.lapsed_at)


def _incident(row: Row[Any], tally: MemberCounts, first: tuple[AffectedGateway, ...] = ()) -> Incident:
    is_loss = IncidentKind(row.kind).rules.trouble is None
    acknowledged = (
        Acknowledgement(
            row.acknowledged_by,
            row.acknowledged_name or "Somebody",
            row.acknowledged_at,
            row.acknowledged_note,
            row.assigned_by,
        )
        if row.acknowledged_by
        else None
    )
    return Incident(
        id=IncidentId(row.id),
        kind=IncidentKind(row.kind),
        site=row.site,
        state=IncidentState(row.state),
        version=row.version,
        opened_at=row.opened_at,
        post_at=row.post_at,
        tally=tally,
        acknowledged=acknowledged,
        lapse=_lapse(row),
        resolved_at=row.resolved_at,
        first=first,
        cause=tuple(Share(Trait(trait), *rest) for trait, *rest in row.cause or ()) if not is_loss else (),
        loss=LossDetails(**row.cause) if is_loss else None,
        rollout_id=row.rollout_id,
        reminded=row.reminded,
        asked_at=row.ack_reminded_at,
    )
