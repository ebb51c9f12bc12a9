"""What the gateways of an incident have in common, counted as sets, and how much of the fleet has it too."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts import IncidentId, Share, Trait
from bot.domain.fleet import fold
from bot.domain.storms import Candidate, is_candidate
from bot.storage.tables import gateway_tags, gateways, incident_gateways, incidents, rollout_targets


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """The fleet by model and by firmware, both folded: one scan serves every incident of a tick."""

    models: Mapping[str, int]
    firmware: Mapping[str, int]
    gateways: int


async def fleet_counts(connection: AsyncConnection) -> FleetCounts:
    models: Counter[str] = Counter()
    firmware: Counter[str] = Counter()
    table = gateways.c
    rows = await connection.execute(
        select(table.model_folded, table.firmware_folded, func.count()).group_by(
            table.model_folded, table.firmware_folded
        )
    )
    for model, version, number in rows.all():
        models[model] += number
        firmware[version] += number
    return FleetCounts(models, firmware, sum(models.values()))


async def size_of(connection: AsyncConnection, incident: IncidentId) -> tuple[str, int]:
    """The folded site of an incident, and how many gateways it ever had."""
    many = (
        select(func.count())
        .where(incident_gateways.c.incident_id == incidents.c.id)
        .correlate(incidents)
        .scalar_subquery()
    )
    row = (
        await connection.execute(select(incidents.c.site_folded, many).where(incidents.c.id == incident))
    ).one()
    return row[0], row[1]


async def candidates(
    connection: AsyncConnection, incident: IncidentId, fleet: FleetCounts, since: datetime
) -> tuple[Sequence[Candidate], int]:
    """Everything that most of an incident's gateways share, but for its own site; and how many they are.

    A rollout counts that had a gateway at ``since`` or later.
    """
    site, many = await size_of(connection, incident)
    found: list[Candidate] = []
    for folded, shown, number in await _of_tags(connection, incident):
        if is_candidate(number, many) and folded != site:
            found.append(Candidate(Trait.TAG, shown, number, 0))
    found = await _with_fleet(connection, found)
    for trait, column, shown, counts in (
        (Trait.MODEL, gateways.c.model_folded, gateways.c.model, fleet.models),
        (Trait.FIRMWARE, gateways.c.firmware_folded, gateways.c.firmware, fleet.firmware),
    ):
        for folded, value, number in (await connection.execute(_of(incident, column, shown))).all():
            if is_candidate(number, many) and folded:
                found.append(Candidate(trait, value, number, counts.get(folded, 0)))
    found += await _of_rollouts(connection, incident, since, many)
    return found, many


async def _of_tags(connection: AsyncConnection, incident: IncidentId) -> Sequence[Any]:
    tags = gateway_tags.c
    rows = await connection.execute(
        select(tags.folded, func.min(tags.tag), func.count())
        .select_from(incident_gateways)
        .join(gateway_tags, tags.gateway_id == incident_gateways.c.gateway_id)
        .where(incident_gateways.c.incident_id == incident)
        .group_by(tags.folded)
    )
    return rows.all()


async def _with_fleet(connection: AsyncConnection, tags: Sequence[Candidate]) -> list[Candidate]:
    table = gateway_tags.c
    wanted = {fold(one.value): one for one in tags}
    rows = await connection.execute(
        select(table.folded, func.count()).where(table.folded.in_(sorted(wanted))).group_by(table.folded)
    )
    return [
        Candidate(Trait.TAG, wanted[folded].value, wanted[folded].gateways, number)
        for folded, number in rows.all()
    ]


def _of(incident: IncidentId, column: Column[str], shown: Column[str]) -> Select[Any]:
    columns: list[Any] = [column, func.min(shown), func.count()]
    return (
        select(*columns)
        .select_from(incident_gateways)
        .join(gateways, gateways.c.id == incident_gateways.c.gateway_id)
        .where(incident_gateways.c.incident_id == incident)
        .group_by(column)
    )


async def _of_rollouts(
    connection: AsyncConnection, incident: IncidentId, since: datetime, many: int
) -> list[Candidate]:
    table = rollout_targets.c
    inside = await connection.execute(
        select(table.rollout_id, func.count())
        .join(incident_gateways, incident_gateways.c.gateway_id == table.gateway_id)
        .where(incident_gateways.c.incident_id == incident, table.started_at >= since)
        .group_by(table.rollout_id)
    )
    found = {rollout: number for rollout, number in inside.all() if is_candidate(number, many)}
    rows = await connection.execute(
        select(table.rollout_id, func.count())
        .where(table.rollout_id.in_(sorted(found)), table.started_at >= since)
        .group_by(table.rollout_id)
    )
    return [Candidate(Trait.ROLLOUT, str(one), found[one], number) for one, number in rows.all()]


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
