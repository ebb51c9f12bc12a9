"""What the gateways of an incident have in common, counted as sets, and how much of the fleet has it too."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, Text, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import Share, Trait
from bot.domain.alerts.storms import Candidate, is_candidate
from bot.domain.incident_kinds import IncidentId
from bot.storage.db.tables import gateway_tags, gateways, incident_gateways, incidents, rollout_targets

_COLUMNS = {Trait.MODEL: gateways.c.model_folded, Trait.FIRMWARE: gateways.c.firmware_folded}


class _Thing(NamedTuple):
    """Something that gateways can share; ``folded`` is what they are compared by."""

    trait: Trait
    folded: str


@dataclass(slots=True)
class Alike:
    """How many gateways an incident ever had, and what most of them share, but for its own site."""

    site: str
    gateways: int
    candidates: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CauseComparison:
    """Incidents beside the whole fleet."""

    incidents: Mapping[IncidentId, Alike]
    fleet: int


async def compare(connection: AsyncConnection, ids: Sequence[IncidentId], since: datetime) -> CauseComparison:
    """What the gateways of each incident share, and how many of the fleet have it too: the same few
    statements for one incident and for a hundred. A rollout counts that had a gateway at ``since`` or later.
    """
    alike = await _sizes(connection, ids)
    shared: list[tuple[IncidentId, _Thing, str, int]] = []
    found = [(trait, await connection.execute(query)) for trait, query in _queries(ids, since)]
    for trait, rows in [*found, *await _by_columns(connection, ids)]:
        for incident, folded, shown, number in rows:
            its_own_site = trait is Trait.TAG and folded == alike[incident].site
            if folded and not its_own_site and is_candidate(number, alike[incident].gateways):
                shared.append((IncidentId(incident), _Thing(trait, folded), shown, number))
    things = {thing for _, thing, _, _ in shared}
    fleet, in_fleet = await _in_fleet(connection, things, since)
    for incident, thing, shown, number in shared:
        candidate = Candidate(thing.trait, shown, number, in_fleet.get(thing, 0))
        alike[incident].candidates.append(candidate)
    return CauseComparison(alike, fleet)


async def _sizes(connection: AsyncConnection, ids: Sequence[IncidentId]) -> dict[IncidentId, Alike]:
    rows = await connection.execute(
        select(incidents.c.id, incidents.c.site_folded, func.count())
        .join(incident_gateways, incident_gateways.c.incident_id == incidents.c.id)
        .where(incidents.c.id.in_(ids))
        .group_by(incidents.c.id, incidents.c.site_folded)
    )
    return {IncidentId(incident): Alike(site, many) for incident, site, many in rows.all()}


def _queries(ids: Sequence[IncidentId], since: datetime) -> Sequence[tuple[Trait, Select[Any]]]:
    """Of each trait: an incident, what is compared, what is shown, and how many gateways have it."""
    inside = incident_gateways.c
    tags, targets = gateway_tags.c, rollout_targets.c
    number = cast(targets.rollout_id, Text)
    by_tag = (
        select(inside.incident_id, tags.folded, func.min(tags.tag), func.count())
        .join(gateway_tags, tags.gateway_id == inside.gateway_id)
        .group_by(inside.incident_id, tags.folded)
    )
    by_rollout = (
        select(inside.incident_id, number, number, func.count())
        .join(rollout_targets, targets.gateway_id == inside.gateway_id)
        .where(targets.started_at >= since)
        .group_by(inside.incident_id, targets.rollout_id)
    )
    queries = {Trait.TAG: by_tag, Trait.ROLLOUT: by_rollout}
    return [(trait, query.where(inside.incident_id.in_(ids))) for trait, query in queries.items()]


async def _by_columns(
    connection: AsyncConnection, ids: Sequence[IncidentId]
) -> Sequence[tuple[Trait, Sequence[tuple[int, str, str, int]]]]:
    """The same of what stands in a gateway's row: each row is looked up once, for all of that."""
    incident, own = incident_gateways.c.incident_id, gateways.c
    rows = await connection.execute(
        select(
            incident,
            own.model_folded,
            func.min(own.model),
            own.firmware_folded,
            func.min(own.firmware),
            func.count(),
        )
        .join(gateways, own.id == incident_gateways.c.gateway_id)
        .where(incident.in_(ids))
        .group_by(incident, own.model_folded, own.firmware_folded)
    )
    models: dict[tuple[int, str], tuple[str, int]] = {}
    firmware: dict[tuple[int, str], tuple[str, int]] = {}
    for number, model_folded, model, firmware_folded, version, many in rows:
        _add(models, (number, model_folded), model, many)
        _add(firmware, (number, firmware_folded), version, many)
    return [
        (trait, [(*of, *found) for of, found in counted.items()])
        for trait, counted in ((Trait.MODEL, models), (Trait.FIRMWARE, firmware))
    ]


def _add(
    counted: dict[tuple[int, str], tuple[str, int]], of: tuple[int, str], shown: str | None, many: int
) -> None:
    known, number = counted.get(of, (shown, 0))
    counted[of] = min(known or "", shown or ""), number + many


async def _in_fleet(
    connection: AsyncConnection, things: Collection[_Thing], since: datetime
) -> tuple[int, Mapping[_Thing, int]]:
    """How large the fleet is, and how many gateways of it have each of these things."""
    of: defaultdict[Trait, list[str]] = defaultdict(list)
    for trait, folded in sorted(things):
        of[trait].append(folded)
    # One pass over the fleet, whatever is asked of it; grouping all of it takes three times as long.
    scanned = [thing for thing in sorted(things) if thing.trait in _COLUMNS]
    counts = [func.count().filter(_COLUMNS[trait] == folded) for trait, folded in scanned]
    fleet, *numbers = (await connection.execute(select(func.count(), *counts).select_from(gateways))).one()
    found = dict(zip(scanned, numbers, strict=True))
    tags, targets = gateway_tags.c, rollout_targets.c
    tagged = await connection.execute(
        select(tags.folded, func.count()).where(tags.folded.in_(of[Trait.TAG])).group_by(tags.folded)
    )
    found |= {_Thing(Trait.TAG, folded): number for folded, number in tagged.all()}
    updated = await connection.execute(
        select(targets.rollout_id, func.count())
        .where(targets.rollout_id.in_([int(one) for one in of[Trait.ROLLOUT]]), targets.started_at >= since)
        .group_by(targets.rollout_id)
    )
    return fleet, found | {_Thing(Trait.ROLLOUT, str(one)): number for one, number in updated.all()}


async def save(connection: AsyncConnection, incident: IncidentId, cause: Sequence[Share]) -> bool:
    """Whether this is another cause than was known."""
    written = [[one.trait.value, one.value, one.gateways, one.of] for one in cause]
    known = (
        await connection.execute(select(incidents.c.cause).where(incidents.c.id == incident))
    ).scalar_one()
    if (known or []) == written:
        return False
    await connection.execute(update(incidents).where(incidents.c.id == incident).values(cause=written))
    return True
