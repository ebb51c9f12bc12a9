"""Renaming and tagging gateways: proposed, confirmed when there are several, and taken back.

Each is a decision in one transaction. Asking the vendor is `renames_and_tags_runner`.
Knows nothing of Slack.
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta

from bot.domain.access import Action, Actor, require, require_within
from bot.domain.confirmations import CONFIRM_WITHIN
from bot.domain.errors import InvalidInput, NotFound, Stale
from bot.domain.fleet.renames_and_tags import (
    MOST_GATEWAYS,
    START_WITHIN,
    ItemState,
    NewName,
    Write,
    WriteItem,
    WriteKind,
    WriteState,
    checked_change,
    checked_name,
    numbered,
    renamed,
    require_decidable,
    require_undoable,
    tagging,
    undoing,
)
from bot.domain.gateways import Gateway, KnownGateway, fold
from bot.domain.query import Query
from bot.services.context import Context
from bot.storage.db.engine import Transaction
from bot.storage.fleet import gateways as fleet
from bot.storage.fleet import renames_and_tags, search

_NAMED = 10  # names that others have
_ACTIONS = {WriteKind.RENAME: Action.RENAME, WriteKind.TAG: Action.TAG}


class FleetWrites:
    """What is ``RUNNING`` when it comes back from here is carried out next, by ``FleetWriteRuns``."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._now = context.now

    async def propose_rename(
        self, actor: Actor, channel: str | None, gateway: KnownGateway, new_name: str
    ) -> Write:
        """A write of one gateway, running. Raises InvalidInput for a bad name or the one it has."""
        was = gateway.gateway
        require(actor, Action.RENAME)
        require_within(actor, Action.RENAME, [gateway], self._now())
        name = checked_name(new_name)
        if name == was.name:
            raise InvalidInput(f"{was.id} is called “{name}” already, so there is nothing to change.")
        item = WriteItem(was.id, was.label, (was.name,) if was.name else (), (name,))
        async with self._database.write() as connection:
            others = await search.names_in_use(connection, name, besides=was.id)
            write = self._new(
                WriteKind.RENAME,
                actor,
                channel,
                f"rename {was.label} to {name}",
                [item],
                running=True,
                warning=_in_use(name, others),
            )
            await renames_and_tags.add(connection, write)
        return write

    async def propose_names(self, actor: Actor, channel: str | None, query: Query, pattern: str) -> Write:
        """Numbered names for all that match, proposed, so that ``confirm`` comes first.

        Raises InvalidInput for a bad pattern or names that they have already, NotFound when nothing matches.
        """
        require(actor, Action.RENAME)
        async with self._database.write() as connection:
            matching = await self._matching(connection, query)
            require_within(actor, Action.RENAME, matching, self._now())
            gateways = [known.gateway for known in matching]
            items = await asyncio.to_thread(numbered, pattern, gateways)
            return await self._propose_renames(connection, actor, channel, items, gateways, pattern)

    async def propose_renames(self, actor: Actor, channel: str | None, rows: Sequence[NewName]) -> Write:
        """New names from a file, proposed as ``propose_names`` does it. Raises Mistaken too."""
        require(actor, Action.RENAME)
        async with self._database.write() as connection:
            found = await search.by_ids(connection, [one.gateway_id for one in rows], self._now())
            require_within(actor, Action.RENAME, found, self._now())
            gateways = {known.gateway.id: known.gateway for known in found}
            items = renamed(rows, gateways)
            return await self._propose_renames(
                connection, actor, channel, items, list(gateways.values()), "names from a file"
            )

    async def _propose_renames(
        self,
        connection: Transaction,
        actor: Actor,
        channel: str | None,
        items: Sequence[WriteItem],
        gateways: Sequence[Gateway],
        to: str,
    ) -> Write:
        """Of these gateways those change for which there is an item. Raises InvalidInput for none."""
        if not items:
            raise _unchanged(len(gateways), to)
        names = [item.after[0] for item in items]
        taken = await search.names_taken(connection, names, [one.id for one in gateways])
        where = items[0].label if len(items) == 1 else f"{len(items):,} gateways"
        write = self._new(
            WriteKind.RENAME,
            actor,
            channel,
            f"rename {where} to {to}",
            items,
            running=False,
            unchanged=len(gateways) - len(items),
            warning=_taken(taken),
        )
        await renames_and_tags.add(connection, write)
        return write

    async def propose_tags(
        self,
        actor: Actor,
        channel: str | None,
        which: Query | Sequence[str],
        add: Sequence[str],
        remove: Sequence[str],
    ) -> Write:
        """One gateway to change: running. Several: proposed, so that ``confirm`` comes first.

        ``which`` is a query or ids. Raises InvalidInput when nothing would change, NotFound when nothing
        matches.
        """
        require(actor, Action.TAG)
        add, remove = checked_change(add, remove)
        async with self._database.write() as connection:
            matching = await self._matching(connection, which)
            require_within(actor, Action.TAG, matching, self._now())
            spelled = await search.spellings(connection, {fold(tag) for tag in add})
            add = [spelled.get(fold(tag), tag) for tag in add]
            items = await asyncio.to_thread(_taggings, matching, add, remove)
            change = " ".join([*(f"+{tag}" for tag in add), *(f"-{tag}" for tag in remove)])
            if not items:
                raise _unchanged(len(matching), change)
            where = items[0].label if len(items) == 1 else f"{len(items):,} gateways"
            write = self._new(
                WriteKind.TAG,
                actor,
                channel,
                f"{change} on {where}",
                items,
                running=len(items) == 1,
                unchanged=len(matching) - len(items),
            )
            await renames_and_tags.add(connection, write)
        return write

    async def confirm(self, actor: Actor, write_id: str, version: int) -> Write:
        """The proposal, running now. Raises Stale when it was decided before, or is too old."""
        return await self._decide(actor, write_id, version, WriteState.RUNNING)

    async def cancel(self, actor: Actor, write_id: str, version: int) -> Write:
        """The proposal, cancelled. Raises Stale when it was decided before."""
        return await self._decide(actor, write_id, version, WriteState.CANCELLED)

    async def undo(self, actor: Actor, write_id: str, channel: str | None = None) -> Write:
        """A running write that takes another one back where nobody has changed it since.

        Raises Stale when it was taken back before, when the time for it is over, or when nothing is left.
        """
        require(actor, Action.UNDO)
        async with self._database.write() as connection:
            before = await renames_and_tags.load(connection, write_id)
            require_undoable(before, self._now())
            present = await fleet.load(connection, [item.gateway_id for item in before.done])
            if actor.user_id != before.actor:  # what is one's own is taken back, though its tag be gone
                require_within(actor, Action.UNDO, present.values(), self._now())
            items = await asyncio.to_thread(_undoings, before, present)
            if not any(item.state is ItemState.WAITING for item in items):
                raise Stale(f"There is nothing left to take back: {items[0].error}")
            # Moves the version on, so that of two clicks at once one finds it changed.
            if not await renames_and_tags.advance(connection, before, before.state):
                raise Stale("Somebody took this back a moment ago.")
            title = f"undo: {before.title}"
            write = self._new(before.kind, actor, channel, title, items, running=True, undoes=before.id)
            await renames_and_tags.add(connection, write)
        return write

    async def get(self, write_id: str) -> Write:
        async with self._database.read() as connection:
            return await renames_and_tags.load(connection, write_id)

    async def last_to_undo(self, actor: Actor) -> Write | None:
        """The latest of somebody's changes that can still be taken back."""
        async with self._database.read() as connection:
            write_id = await renames_and_tags.last_to_undo(connection, actor.user_id, self._now())
            return await renames_and_tags.load(connection, write_id) if write_id else None

    async def prune(self, older_than: timedelta) -> None:
        """Forgets writes of long ago; the audit log keeps what they did."""
        async with self._database.write() as connection:
            await renames_and_tags.forget(connection, self._now() - older_than)

    def _new(
        self,
        kind: WriteKind,
        actor: Actor,
        channel: str | None,
        title: str,
        items: Sequence[WriteItem],
        *,
        running: bool,
        undoes: str | None = None,
        unchanged: int = 0,
        warning: str | None = None,
    ) -> Write:
        now = self._now()
        return Write(
            id=secrets.token_hex(8),
            kind=kind,
            state=WriteState.RUNNING if running else WriteState.PROPOSED,
            version=1,
            actor=actor.user_id,
            channel=channel,
            title=title,
            created_at=now,
            expires_at=now + (START_WITHIN if running else CONFIRM_WITHIN),
            items=tuple(items),
            undoes=undoes,
            unchanged=unchanged,
            warning=warning,
        )

    async def _matching(self, connection: Transaction, which: Query | Sequence[str]) -> list[KnownGateway]:
        now = self._now()
        ids = await search.ids(connection, which, now) if isinstance(which, Query) else list(which)
        if len(ids) > MOST_GATEWAYS:
            raise InvalidInput(
                f"That is {len(ids):,} gateways, and {MOST_GATEWAYS:,} are the most for one change: "
                "say fewer, by site for example."
            )
        found = await search.by_ids(connection, ids, now)
        if not found:
            raise NotFound(
                f"No gateway matches {_subject(which)}. Try the same words with /mesh devices first."
            )
        return found

    async def _decide(self, actor: Actor, write_id: str, version: int, state: WriteState) -> Write:
        now = self._now()
        async with self._database.write() as connection:
            write = await renames_and_tags.load(connection, write_id)
            require(actor, _ACTIONS[write.kind])
            require_decidable(write, actor.user_id, version, state, now)
            if actor.limits:
                present = await fleet.load(connection, [item.gateway_id for item in write.items])
                require_within(actor, _ACTIONS[write.kind], present.values(), now)
            if not await renames_and_tags.advance(connection, write, state, now + START_WITHIN):
                raise Stale("Somebody decided about this a moment ago.")
            return await renames_and_tags.load(connection, write_id)


# Of ten thousand gateways these take long enough to run beside the event loop.
def _taggings(matching: Sequence[KnownGateway], add: Sequence[str], remove: Sequence[str]) -> list[WriteItem]:
    return [item for known in matching if (item := tagging(known.gateway, add, remove))]


def _undoings(write: Write, present: dict[str, KnownGateway]) -> list[WriteItem]:
    gateways = {id_: known.gateway for id_, known in present.items()}
    return [undoing(item, write.kind, gateways.get(item.gateway_id)) for item in write.done]


def _subject(which: Query | Sequence[str]) -> str:
    return which.text or "all gateways" if isinstance(which, Query) else ", ".join(which)


def _unchanged(number: int, change: str) -> InvalidInput:
    if number == 1:
        return InvalidInput(f"This gateway is already as {change} would make it.")
    return InvalidInput(f"All {number:,} gateways are already as {change} would make them.")


def _taken(names: Sequence[str]) -> str | None:
    """Said of new names that other gateways have."""
    if not names:
        return None
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"Other gateways are called {', '.join(names[:_NAMED])}{more} already."


def _in_use(name: str, others: int) -> str | None:
    if not others:
        return None
    gateways = "Another gateway is" if others == 1 else f"{others} other gateways are"
    return f"{gateways} called “{name}” too."
