"""How the fleet stands to the firmware policy, in one statement whose rows do not grow with the fleet."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Select, case, func, select

from bot.domain.firmware import FirmwarePolicy, PolicyId, PolicyKind
from bot.domain.fleet.firmware_policy import RunningCount
from bot.domain.query import Query
from bot.storage.db.tables import gateways
from bot.storage.firmware_policy import which
from bot.storage.query import condition


def running(
    connection: Connection,
    standing: Sequence[FirmwarePolicy],
    query: Query,
    now: datetime,
    new_since: datetime,
) -> list[RunningCount]:
    """Gateways of the query by version and by what they fall under; for ``Database.ask``."""
    found = connection.execute(_counted(standing, query, now, new_since))
    return [
        RunningCount(_numbered(row.wanted), _numbered(row.bad), row.version, row.gateways, row.new)
        for row in found
    ]


def _numbered(number: int | None) -> PolicyId | None:
    return None if number is None else PolicyId(number)


def _counted(
    standing: Sequence[FirmwarePolicy], query: Query, now: datetime, new_since: datetime
) -> Select[tuple[int | None, int | None, str, int, int]]:
    wanted = which([one for one in standing if one.kind is PolicyKind.WANTED], now)
    bad = which([one for one in standing if one.kind is PolicyKind.BAD], now)
    version = gateways.c.firmware_folded
    each = select(
        wanted.label("wanted"),
        bad.label("bad"),
        version.label("version"),
        case((gateways.c.first_seen > new_since, 1), else_=0).label("new"),
    )
    asked = condition(query, now)
    rows = (each if asked is None else each.where(asked)).subquery()
    return select(
        rows.c.wanted,
        rows.c.bad,
        rows.c.version,
        func.count().label("gateways"),
        func.sum(rows.c.new).label("new"),
    ).group_by(rows.c.wanted, rows.c.bad, rows.c.version)
