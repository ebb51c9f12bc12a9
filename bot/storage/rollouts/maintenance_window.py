"""The maintenance window that a rollout is bound to."""

from sqlalchemy import select

from bot.domain.times.update_windows import MaintenanceOpening
from bot.storage.db.engine import Transaction
from bot.storage.db.tables import maintenance


async def maintenance_opening(connection: Transaction, number: int) -> MaintenanceOpening | None:
    """Its opening that is open or comes next; None once there is none, or somebody ended it."""
    row = (await connection.execute(select(maintenance).where(maintenance.c.id == number))).first()
    if row is None or row.opens_at is None or row.ended_by is not None:
        return None
    return MaintenanceOpening(number, row.opens_at, row.closes_at, row.every != "once")
