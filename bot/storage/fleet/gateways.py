"""Gateways and their events as rows: read, written, deleted.

A row and the events about it are written in the caller's one transaction. Decides nothing about the fleet;
searching it is `search`.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.firmware import firmware_key
from bot.domain.gateways import (
    Connectivity,
    FleetEvent,
    FleetEventKind,
    Gateway,
    GatewayId,
    KnownGateway,
    fold,
)
from bot.storage.db.statements import Row, delete_rows, insert_rows, upsert_rows
from bot.storage.db.tables import RANKS, fleet_events, gateway_tags, gateways
from bot.storage.db.timestamps import from_micros, micros, moment, plain, to_micros
from bot.storage.db.unreadable_rows import legible

_MANY = 2_000  # ids in one statement: PostgreSQL's protocol takes 65,535 values
# Few values, many gateways: a model, a version, a site is folded once.
_fold = lru_cache(maxsize=4096)(fold)
_firmware_key = lru_cache(maxsize=1024)(firmware_key)
_states = {state.value: state for state in Connectivity}


_READ = select(
    *(
        plain(gateways.c[name])
        for name in (
            "id",
            "name",
            "model",
            "tags",
            "state",
            "changed_at",
            "firmware",
            "hardware",
            "imei",
            "status",
            "boot_mode",
            "site",
            "since",
            "since_listing",
            "first_seen",
            "timestamp_moves",
            "missed",
            "written_at",
        )
    )
)


def rows() -> Select[Any]:
    """A select of what ``read`` understands; the caller says which and in what order."""
    return _READ


async def read(connection: AsyncConnection, statement: Select[Any]) -> list[KnownGateway]:
    return legible((await connection.execute(statement)).all(), known)


async def load(
    connection: AsyncConnection, ids: Collection[str], *, lock: bool = False
) -> dict[str, KnownGateway]:
    """The snapshot's gateways of these ids; ``lock`` keeps other transactions from writing them."""
    found: dict[str, KnownGateway] = {}
    wanted = sorted(ids) if lock else list(ids)  # two that lock the same rows do so in the same order
    for start in range(0, len(wanted), _MANY):
        statement = _READ.where(gateways.c.id.in_(wanted[start : start + _MANY]))
        if lock:
            statement = statement.order_by(gateways.c.id).with_for_update()
        found |= {known.gateway.id: known for known in await read(connection, statement)}
    return found


async def save(connection: AsyncConnection, changed: Iterable[tuple[KnownGateway, bytes]]) -> None:
    """Writes whole rows, new or known, with the digests of what they were made from; tags are `save_tags`."""
    await upsert_rows(connection, gateways, [_row(known, digest) for known, digest in changed])


async def show_ahead(connection: AsyncConnection, was: Gateway, known: KnownGateway) -> None:
    """Puts a written name and tags into a row; its digest stays that of what the vendor last listed."""
    gateway = known.gateway
    await connection.execute(
        update(gateways)
        .where(gateways.c.id == gateway.id)
        .values(
            name=gateway.name,
            name_folded=fold(gateway.name or ""),
            tags=_write_tags(gateway.tags),
            site=known.site,
            site_folded=_fold(known.site),
            written_at=known.written_at,
        )
    )
    await save_tags(connection, (was,), (gateway,))


async def save_tags(connection: AsyncConnection, before: Iterable[Gateway], after: Iterable[Gateway]) -> None:
    """The searchable form of the tags of gateways, in place of that of the same gateways before."""
    had, have = _tags(before), _tags(after)
    gone = [key for key, tag in had.items() if have.get(key) != tag]
    await delete_rows(connection, gateway_tags, gone)
    new = [(*key, tag) for key, tag in have.items() if had.get(key) != tag]
    new.sort()  # in the order of the table, which writes less
    await insert_rows(connection, gateway_tags, ("folded", "gateway_id", "tag"), new)


def _tags(found: Iterable[Gateway]) -> dict[tuple[str, str], str]:
    return {(_fold(tag), gateway.id): tag for gateway in found for tag in gateway.tags}


async def add_events(connection: AsyncConnection, events: Iterable[FleetEvent]) -> None:
    await insert_rows(
        connection,
        fleet_events,
        ("kind", "gateway_id", "at", "listing", "before", "after"),
        [
            (
                event.kind.value,
                event.gateway_id,
                to_micros(event.at),
                event.listing,
                event.before,
                event.after,
            )
            for event in events
        ],
    )


async def remove(connection: AsyncConnection, ids: Sequence[str]) -> None:
    if ids:
        await connection.execute(delete(gateway_tags).where(gateway_tags.c.gateway_id.in_(ids)))
        await connection.execute(delete(gateways).where(gateways.c.id.in_(ids)))


async def recent_events(connection: AsyncConnection, gateway_id: str, limit: int) -> list[FleetEvent]:
    """Newest first."""
    table = fleet_events.c
    found = await connection.execute(
        select(table.kind, table.gateway_id, table.at, table.listing, table.before, table.after)
        .where(table.gateway_id == gateway_id)
        .order_by(table.at.desc(), table.id.desc())
        .limit(limit)
    )
    return [FleetEvent(FleetEventKind(kind), *rest) for kind, *rest in found]


async def forget_events(connection: AsyncConnection, before: datetime) -> int:
    return (await connection.execute(delete(fleet_events).where(fleet_events.c.at < before))).rowcount


def known(row: Sequence[Any]) -> KnownGateway:
    """The gateway of a row that holds what ``rows`` selects and nothing more."""
    (
        id_,
        name,
        model,
        tags,
        state,
        changed_at,
        firmware,
        hardware,
        imei,
        status,
        boot_mode,
        site,
        since,
        since_listing,
        first_seen,
        timestamp_moves,
        missed,
        written_at,
    ) = row
    gateway = Gateway(
        GatewayId(id_),
        name,
        model,
        _read_tags(tags),
        _states[state],
        moment(changed_at),
        firmware,
        hardware,
        imei,
        status,
        boot_mode,
    )
    return KnownGateway(
        gateway,
        site,
        from_micros(since),
        since_listing,
        from_micros(first_seen),
        timestamp_moves,
        missed,
        moment(written_at),
    )


def _row(known: KnownGateway, digest: bytes) -> Row:
    """In the order of the table's columns."""
    gateway = known.gateway
    name, model, hardware, firmware = gateway.name, gateway.model, gateway.hardware, gateway.firmware
    return (
        gateway.id,
        RANKS[gateway.connectivity],
        to_micros(known.since),
        fold(gateway.id),
        fold(name) if name else "",
        _fold(known.site),
        _fold(model) if model else "",
        _firmware_key(firmware),
        _fold(firmware) if firmware else "",
        _fold(hardware) if hardware else "",
        name,
        model,
        hardware,
        firmware,
        gateway.imei,
        gateway.status,
        gateway.boot_mode,
        _write_tags(gateway.tags),
        known.site,
        gateway.connectivity.value,
        micros(gateway.changed_at),
        known.since_listing,
        to_micros(known.first_seen),
        known.timestamp_moves,
        known.missed,
        micros(known.written_at),
        digest,
    )


@lru_cache(maxsize=4096)
def _read_tags(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@lru_cache(maxsize=4096)
def _write_tags(tags: tuple[str, ...]) -> str:
    return json.dumps(tags, ensure_ascii=False)
