"""The audit log: rows are added, read, and pruned by age; never changed."""

from datetime import datetime

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.events import AuditEntry
from bot.storage.tables import audit


async def record(connection: AsyncConnection, *entries: AuditEntry) -> None:
    """Adds entries inside the transaction of what they tell about."""
    if entries:
        await connection.execute(insert(audit), [_row(entry) for entry in entries])


async def prune(connection: AsyncConnection, before: datetime) -> int:
    """Forgets what is older; returns how many rows."""
    return (await connection.execute(delete(audit).where(audit.c.at < before))).rowcount


def _row(entry: AuditEntry) -> dict[str, object]:
    return {
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "outcome": entry.outcome.value,
        "before": entry.before,
        "after": entry.after,
        "channel": entry.channel,
        "reason": entry.reason,
        "plan_hash": entry.plan_hash,
    }
