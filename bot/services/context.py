"""What every service works with."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.access import Action, Actor
from bot.storage.db.engine import Database

Within = Callable[[Actor, Action, Sequence[str]], Awaitable[None]]
"""Refuses somebody who is limited to a part of the fleet when one of these gateways is outside of it."""


@dataclass(frozen=True, slots=True)
class Context:
    """The database, which tells its listeners of each commit that Slack has to show, and the clock."""

    database: Database
    now: Callable[[], datetime]
