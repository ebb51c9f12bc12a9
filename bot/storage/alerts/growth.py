"""How large incidents were when people last heard of them. The rule is in bot/domain/alerts.py."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import case, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.alerts.incidents import Acknowledgement, Growth
from bot.domain.incident_kinds import IncidentId
from bot.storage.alerts.membership import IS_LIVE, down_now
from bot.storage.db.tables import incidents
from bot.storage.db.types import UtcMicros


async def larger(connection: AsyncConnection, ids: Collection[IncidentId]) -> Sequence[Growth]:
    """Those of the incidents in which more are down than people heard of, held until the transaction ends:
    who acknowledges one meanwhile, does it after.
    """
    row = incidents.c
    down = down_now()
    rows = await connection.execute(
        select(
            row.id,
            row.told,
            row.acknowledged_by,
            row.acknowledged_name,
            row.acknowledged_at,
            down.label("down"),
        )
        .where(row.id.in_(ids), IS_LIVE, row.told.is_not(None), row.told < down)
        .order_by(row.id)
        .with_for_update(key_share=True)
    )
    return [
        Growth(
            IncidentId(one.id),
            one.told,
            one.down,
            Acknowledgement(one.acknowledged_by, one.acknowledged_name or "Somebody", one.acknowledged_at)
            if one.acknowledged_by
            else None,
        )
        for one in rows
    ]


async def tell(connection: AsyncConnection, ids: Collection[IncidentId], at: datetime) -> None:
    """People hear of the incidents as they are now; who had one of them has it no longer."""
    row = incidents.c
    down = down_now()
    had = row.acknowledged_by.is_not(None)
    await connection.execute(
        update(incidents)
        .where(row.id.in_(ids))
        .values(
            told=down,
            version=row.version + case((had, 1), else_=0),
            reminded=case((had, 0), else_=row.reminded),
            lapsed_by=case((had, row.acknowledged_by), else_=row.lapsed_by),
            lapsed_name=case((had, row.acknowledged_name), else_=row.lapsed_name),
            lapsed_given_at=case((had, row.acknowledged_at), else_=row.lapsed_given_at),
            lapsed_gateways=case((had, row.told), else_=row.lapsed_gateways),
            lapsed_more=case((had, down - row.told), else_=row.lapsed_more),
            lapsed_at=case((had, literal(at, UtcMicros)), else_=row.lapsed_at),
            acknowledged_by=null(),
            acknowledged_name=null(),
            acknowledged_at=null(),
        )
    )
