"""What the gateways of an incident have in common, counted as sets, and how much of the fleet has it too."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.common_causes import Candidate, is_candidate
from bot.domain.alerts.incidents import Share, Trait
from bot.domain.gateways import fold
from bot.domain.incident_kinds import IncidentId
from bot.storage.db.tables import gateway_tags, gateways, incident_gateways, incidents, rollout_targets

_COLUMNS = {Trait.MODEL: gateways.c.model_folded, Trait.FIRMWARE: gateways.c.firmware_folded}


class _Thing(NamedTuple):
    """Something that gateways can share; ``folded`` is what they are compared by."""

    trait: Trait
    folded: str


_Shared: TypeAlias = tuple[IncidentId, _Thing, str, int]
"""An incident, what gateways of it share, how that is shown, and how many share it."""


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
    shared: list[_Shared] = []
    found = [*await _in_rows(connection, ids), *await _in_rollouts(connection, ids, since)]
    for incident, thing, shown, number in found:
        its_own_site = thing == (Trait.TAG, alike[incident].site)
        if thing.folded and not its_own_site and is_candidate(number, alike[incident].gateways):
            shared.append((incident, thing, shown, number))
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


async def _in_rollouts(
    connection: AsyncConnection, ids: Sequence[IncidentId], since: datetime
) -> list[_Shared]:
    inside, targets = incident_gateways.c, rollout_targets.c
    number = cast(targets.rollout_id, Text)
    rows = await connection.execute(
        select(inside.incident_id, number, func.count())
        .join(rollout_targets, targets.gateway_id == inside.gateway_id)
        .where(targets.started_at >= since, inside.incident_id.in_(ids))
        .group_by(inside.incident_id, targets.rollout_id)
    )
    return [(incident, _Thing(Trait.ROLLOUT, rollout), rollout, many) for incident, rollout, many in rows]


async def _in_rows(connection: AsyncConnection, ids: Sequence[IncidentId]) -> list[_Shared]:
    """The same of what stands in a gateway's row: each row is looked up once, for all of that."""
    incident, own = incident_gateways.c.incident_id, gateways.c
    rows = await connection.execute(
        select(incident, own.model, own.firmware, own.tags, func.count())
        .join(gateways, own.id == incident_gateways.c.gateway_id)
        .where(incident.in_(ids))
        .group_by(incident, own.model, own.firmware, own.tags)
    )
    # Beside the event loop: where each gateway has a tag of its own, these are as many as gateways.
    return await asyncio.to_thread(_counted, rows.all())


def _counted(rows: Iterable[Any]) -> list[_Shared]:
    counted: dict[tuple[IncidentId, _Thing], tuple[str, int]] = {}
    for incident, model, firmware, tags, many in rows:
        things = {_Thing(Trait.TAG, fold(tag)): tag for tag in json.loads(tags)}
        things[_Thing(Trait.MODEL, fold(model or ""))] = model or ""
        things[_Thing(Trait.FIRMWARE, fold(firmware or ""))] = firmware or ""
        for thing, shown in things.items():
            least, number = counted.get((incident, thing), (shown, 0))
            counted[incident, thing] = min(least, shown), number + many
    return [(incident, thing, *found) for (incident, thing), found in counted.items()]


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
