"""What every service works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bot.storage.db.engine import Database


@dataclass(frozen=True, slots=True)
class Context:
    """The database, which tells its listeners of each commit that Slack has to show, and the clock."""

    database: Database
    now: Callable[[], datetime]
