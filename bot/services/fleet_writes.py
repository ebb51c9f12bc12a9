"""Renaming and tagging gateways: proposed, confirmed when there are several, run, and taken back.

An intent is stored before the vendor is called and its result after, each in a transaction of its own, so
that a write which a crash cut short is finished by whoever finds it. Knows nothing of Slack.
"""

from collections.abc import Sequence

from bot.domain.access import Actor
from bot.domain.fleet import KnownGateway
from bot.domain.query import Query
from bot.domain.writes import Write


class FleetWrites:
    """FleetWrites(database, client, now=…, site_tag=…). A write that does not need confirmation is run next."""

    async def propose_rename(
        self, actor: Actor, channel: str | None, gateway: KnownGateway, new_name: str
    ) -> Write:
        """Running at once: call ``run`` with its id."""

    async def propose_tags(
        self,
        actor: Actor,
        channel: str | None,
        which: Query | Sequence[str],
        add: Sequence[str],
        remove: Sequence[str],
    ) -> Write:
        """One gateway: running, call ``run``. Several: proposed, needs ``confirm``. InvalidInput when no change."""

    async def confirm(self, actor: Actor, write_id: str, version: int) -> Write:
        """Running: call ``run`` next. Raises Stale when it was decided or changed or has expired."""

    async def cancel(self, actor: Actor, write_id: str, version: int) -> Write: ...

    async def run(self, write_id: str) -> Write:
        """Calls the vendor for every gateway that waits, and returns the write with each item's result."""

    async def undo(self, actor: Actor, write_id: str, channel: str | None = None) -> Write:
        """A new running write with before and after swapped: call ``run``. Raises Stale."""

    async def get(self, write_id: str) -> Write: ...

    async def resume_writes(self) -> tuple[Write, ...]:
        """Finishes what a crash cut short; for a tick."""
