"""The site book as rows, beside the sites where gateways stand, and its changes from proposal to Undo."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.errors import NotFound
from bot.domain.gateways import NO_SITE, Connectivity, fold
from bot.domain.incident_kinds import LIVE
from bot.domain.sites.changes_and_undo import ChangeState, SiteChange, SiteItem
from bot.domain.sites.entries import Entry, Site, SiteField
from bot.storage.db.statements import among, insert_or_ignore
from bot.storage.db.tables import RANKS, gateways, incidents, site_changes, sites

_IS_OFFLINE = case((gateways.c.rank == RANKS[Connectivity.OFFLINE], 1), else_=0)


async def every(connection: AsyncConnection) -> Sequence[Site]:
    """Those at which gateways stand and those with an entry, by name."""
    return [one for _, one in sorted((await _found(connection, None)).items())]


async def named(connection: AsyncConnection, names: Collection[str]) -> Mapping[str, Site]:
    """Those of these names, in any case, by their folded names."""
    return await _found(connection, {fold(one) for one in names})


async def entries_of(connection: AsyncConnection, names: Iterable[str]) -> Mapping[str, Entry]:
    """What the book says of sites, by their folded names; of one that is not in it nothing."""
    wanted = among(connection, sites.c.folded, [fold(one) for one in names])
    rows = await connection.execute(select(sites.c.folded, sites.c.entry).where(wanted))
    return {row.folded: _entry(row.entry) for row in rows}


async def gateways_at(connection: AsyncConnection, names: Iterable[str]) -> Sequence[str]:
    """The ids of all gateways at these sites."""
    at = among(connection, gateways.c.site_folded, [fold(one) for one in names])
    return list(await connection.scalars(select(gateways.c.id).where(at)))


async def alerts_at(connection: AsyncConnection, names: Iterable[str]) -> set[str]:
    """The numbers of the live alerts of these sites, as cards name them."""
    at = among(connection, incidents.c.site_folded, [fold(one) for one in names])
    live = incidents.c.state.in_([one.value for one in LIVE])
    return {str(one) for one in await connection.scalars(select(incidents.c.id).where(at, live))}


async def save(connection: AsyncConnection, site: Site, entry: Entry) -> bool:
    """What the book says of a site from now on, unless somebody was faster."""
    folded, said = fold(site.name), {one.value: text for one, text in entry.items()}
    if not site.version:
        row = {"folded": folded, "name": site.name, "entry": said, "version": 1}
        made = await connection.execute(insert_or_ignore(connection, sites, row).returning(sites.c.folded))
        return made.first() is not None
    done = await connection.execute(
        update(sites)
        .where(sites.c.folded == folded, sites.c.version == site.version)
        .values(entry=said, version=site.version + 1)
    )
    return done.rowcount == 1


async def add_change(connection: AsyncConnection, change: SiteChange) -> None:
    items = [{"site": one.site, "before": one.before, "after": one.after} for one in change.items]
    await connection.execute(
        insert(site_changes).values(
            id=change.id,
            state=change.state.value,
            actor=change.actor,
            created_at=change.created_at,
            changes=items,
            unchanged=change.unchanged,
        )
    )


async def load_change(connection: AsyncConnection, change_id: str) -> SiteChange:
    """Raises NotFound."""
    found = (await connection.execute(select(site_changes).where(site_changes.c.id == change_id))).first()
    if found is None:
        raise NotFound("I no longer know this change; it was forgotten with age.")
    return _change(found)


async def advance(connection: AsyncConnection, change: SiteChange, state: ChangeState) -> bool:
    """Moves a change on, unless somebody did a moment ago."""
    done = await connection.execute(
        update(site_changes)
        .where(site_changes.c.id == change.id, site_changes.c.state == change.state.value)
        .values(state=state.value)
    )
    return done.rowcount == 1


async def forget(connection: AsyncConnection, before: datetime) -> None:
    await connection.execute(delete(site_changes).where(site_changes.c.created_at < before))


async def _found(connection: AsyncConnection, folded: Collection[str] | None) -> dict[str, Site]:
    """Of these sites, or of all."""

    def wanted(column: Any) -> ColumnElement[bool]:
        return column != fold(NO_SITE) if folded is None else among(connection, column, sorted(folded))

    standing = select(
        gateways.c.site_folded, func.min(gateways.c.site), func.count(), func.sum(_IS_OFFLINE)
    ).where(wanted(gateways.c.site_folded))
    found = {
        key: Site(name, int(number), int(offline), {})
        for key, name, number, offline in await connection.execute(standing.group_by(gateways.c.site_folded))
    }
    for row in await connection.execute(select(sites).where(wanted(sites.c.folded))):
        there, entry = found.get(row.folded), _entry(row.entry)
        if there is not None:
            found[row.folded] = Site(there.name, there.gateways, there.offline, entry, row.version)
        elif entry or folded is not None:
            found[row.folded] = Site(row.name, 0, 0, entry, row.version)
    return found


def _entry(said: Mapping[str, str]) -> Entry:
    return {one: said[one.value] for one in SiteField if said.get(one.value)}


def _change(row: Row[Any]) -> SiteChange:
    items = [SiteItem(one["site"], _entry(one["before"]), _entry(one["after"])) for one in row.changes]
    return SiteChange(row.id, ChangeState(row.state), row.actor, row.created_at, tuple(items), row.unchanged)
