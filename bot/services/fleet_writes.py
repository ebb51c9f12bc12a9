"""Renaming and tagging gateways: proposed, confirmed when there are several, run, and taken back.

An intent is stored before the vendor is called and its result after, each in a transaction of its own, so
that a write which a crash cut short is finished by whoever finds it: all that is asked of the vendor here
may be asked twice. Knows nothing of Slack.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.access import Action, Actor, require, require_within
from bot.domain.errors import BotError, InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.events import AuditEntry, FleetEvent, FleetEventKind, Outcome
from bot.domain.fleet import Gateway, GatewayId, KnownGateway, fold, site_of
from bot.domain.query import Query
from bot.domain.writes import (
    CONFIRM_WITHIN,
    MOST_GATEWAYS,
    START_WITHIN,
    UNDO_WITHIN,
    ItemState,
    Write,
    WriteItem,
    WriteKind,
    WriteState,
    checked_name,
    checked_tag,
    is_still,
    require_undoable,
    retagged,
    undoing,
)
from bot.meshtech.client import MeshtechClient
from bot.meshtech.errors import DeviceUnknown, MeshtechError, RouteMissing
from bot.storage import audit, fleet, fleet_search, listings, writes
from bot.storage.engine import Database, Transaction

log = logging.getLogger(__name__)

AT_ONCE = 8  # gateways that one write asks the vendor about at the same time
LEASE = timedelta(minutes=2)
_ACTIONS = {WriteKind.RENAME: Action.RENAME, WriteKind.TAG: Action.TAG}
_EVENTS = {WriteKind.RENAME: FleetEventKind.RENAMED, WriteKind.TAG: FleetEventKind.TAGGED}


class FleetWrites:
    """What is ``RUNNING`` when it comes back from here is run next: ``await run(write.id)``."""

    def __init__(
        self,
        database: Database,
        client: MeshtechClient,
        *,
        now: Callable[[], datetime],
        site_tag: str = "",
    ) -> None:
        self._database = database
        self._client = client
        self._now = now
        self._site_tag = site_tag

    async def propose_rename(
        self, actor: Actor, channel: str | None, gateway: KnownGateway, new_name: str
    ) -> Write:
        """A write of one gateway, running. Raises InvalidInput for a bad name or the one it has."""
        was = gateway.gateway
        await self._require(actor, Action.RENAME, was.id, channel)
        require_within(actor, Action.RENAME, [gateway], self._now())
        name = checked_name(new_name)
        if name == was.name:
            raise InvalidInput(f"{was.id} is called “{name}” already, so there is nothing to change.")
        item = WriteItem(was.id, was.label, (was.name,) if was.name else (), (name,))
        async with self._database.write() as connection:
            others = await fleet_search.names_in_use(connection, name, besides=was.id)
            write = self._new(
                WriteKind.RENAME,
                actor,
                channel,
                f"rename {was.label} to {name}",
                [item],
                running=True,
                warning=_in_use(name, others),
            )
            await writes.add(connection, write)
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
        await self._require(actor, Action.TAG, _subject(which), channel)
        add, remove = _checked_change(add, remove)
        async with self._database.write() as connection:
            matching = await self._matching(connection, which)
            require_within(actor, Action.TAG, matching, self._now())
            spelled = await fleet_search.spellings(connection, {fold(tag) for tag in add})
            add = [spelled.get(fold(tag), tag) for tag in add]
            items = [item for known in matching if (item := _tagging(known.gateway, add, remove))]
            change = " ".join([*(f"+{tag}" for tag in add), *(f"-{tag}" for tag in remove)])
            if not items:
                raise InvalidInput(f"{_counted(len(matching))} already as {change} would make it.")
            where = items[0].label if len(items) == 1 else f"{len(items)} gateways"
            write = self._new(
                WriteKind.TAG,
                actor,
                channel,
                f"{change} on {where}",
                items,
                running=len(items) == 1,
                unchanged=len(matching) - len(items),
            )
            await writes.add(connection, write)
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
        await self._require(actor, Action.UNDO, write_id, channel)
        async with self._database.write() as connection:
            before = await _load(connection, write_id)
            require_undoable(before, self._now())
            present = await fleet.load(connection, [item.gateway_id for item in before.done])
            if actor.user_id != before.actor:  # what is one's own is taken back, though its tag be gone
                require_within(actor, Action.UNDO, present.values(), self._now())
            items = [undoing(item, before.kind, _gateway(present, item)) for item in before.done]
            if not any(item.state is ItemState.WAITING for item in items):
                raise Stale(f"There is nothing left to take back: {items[0].error}")
            # Moves the version on, so that of two clicks at once one finds it changed.
            if not await writes.advance(connection, before, before.state):
                raise Stale("Somebody took this back a moment ago.")
            title = f"undo: {before.title}"
            write = self._new(before.kind, actor, channel, title, items, running=True, undoes=before.id)
            await writes.add(connection, write)
        return write

    async def get(self, write_id: str) -> Write:
        async with self._database.read() as connection:
            return await _load(connection, write_id)

    async def run(self, write_id: str) -> Write:
        """Asks the vendor for every gateway that waits; the write with the result of each.

        Raises Stale when another process is running it, or when it was never confirmed.
        """
        now = self._now()
        async with self._database.write() as connection:
            claimed = await writes.claim(connection, write_id, now, now + LEASE)
            write = await _load(connection, write_id)
        if write.state is WriteState.DONE:
            return write
        if not claimed:
            raise Stale(_why_not_run(write))
        waiting = [item for item in write.items if item.state is ItemState.WAITING]
        refusal = await self._create_labels(write, waiting)
        queue = iter(waiting)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._run_items(write, queue, refusal))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors  # the others are of the same kind: the database is gone
        async with self._database.write() as connection:
            await writes.advance(connection, write, WriteState.DONE, self._now() + UNDO_WITHIN)
            if write.undoes is not None and not (await _load(connection, write_id)).done:
                await writes.count_no_undo(connection, write_id)
            return await _load(connection, write_id)

    async def resume_writes(self) -> tuple[Write, ...]:
        """Finishes what a crash cut short; for a tick."""
        async with self._database.read() as connection:
            found = await writes.cut_short(connection, self._now())
        finished = []
        for write_id in found:
            try:
                finished.append(await self.run(write_id))
            except BotError as error:
                log.info("write %s was not resumed: %s", write_id, error)
        return tuple(finished)

    async def prune(self, older_than: timedelta) -> None:
        """Forgets writes of long ago; the audit log keeps what they did."""
        async with self._database.write() as connection:
            await writes.forget(connection, self._now() - older_than)

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
        ids = await fleet_search.ids(connection, which, now) if isinstance(which, Query) else list(which)
        if len(ids) > MOST_GATEWAYS:
            raise InvalidInput(
                f"That is {len(ids):,} gateways, and {MOST_GATEWAYS:,} are the most for one change: "
                "say fewer, by site for example."
            )
        found = await fleet_search.by_ids(connection, ids, now)
        if not found:
            raise NotFound(f"No gateway matches {_subject(which)}. Try the same words with devices first.")
        return found

    async def _decide(self, actor: Actor, write_id: str, version: int, state: WriteState) -> Write:
        async with self._database.read() as connection:
            write = await _load(connection, write_id)
        await self._require(actor, _ACTIONS[write.kind], write_id, write.channel)
        if actor.user_id != write.actor:
            raise NotAllowed("Only who proposed this change may decide about it. Send the command yourself.")
        now = self._now()
        async with self._database.write() as connection:
            write = await _load(connection, write_id)
            present = await fleet.load(connection, [item.gateway_id for item in write.items])
            require_within(actor, _ACTIONS[write.kind], present.values(), now)
            if write.state is not WriteState.PROPOSED or write.version != version:
                raise Stale(_DECIDED[write.state])
            if state is WriteState.RUNNING and now >= write.expires_at:
                raise Stale("This proposal is more than ten minutes old: send the command again.")
            if not await writes.advance(connection, write, state, now + START_WITHIN):
                raise Stale("Somebody decided about this a moment ago.")
            return await _load(connection, write_id)

    async def _create_labels(self, write: Write, items: Sequence[WriteItem]) -> BotError | None:
        """Makes tags known that no gateway carries yet; what kept the vendor from it, if anything."""
        if write.kind is not WriteKind.TAG:
            return None
        wanted = {fold(tag): tag for item in items for tag in item.added}
        async with self._database.read() as connection:
            known = await fleet_search.spellings(connection, wanted)
        try:
            for folded in wanted.keys() - known.keys():
                await self._client.create_label(wanted[folded])
        except BotError as error:
            return error
        return None

    async def _run_items(self, write: Write, queue: Iterator[WriteItem], refusal: BotError | None) -> None:
        """One of several that take from the same queue."""
        for item in queue:
            shown: Gateway | None = None
            try:
                if refusal is not None:
                    raise refusal
                await self._ask(write.kind, item)
                shown = await self._read_back(item)
            except BotError as error:
                ended = replace(item, state=ItemState.FAILED, error=str(error))
            else:
                ended = _ended(item, write.kind, shown)
            async with self._database.write() as connection:
                await self._record_result(connection, write, ended, shown)

    async def _ask(self, kind: WriteKind, item: WriteItem) -> None:
        gateway = GatewayId(item.gateway_id)
        if kind is WriteKind.RENAME:
            await self._client.rename(gateway, item.after[0])
            return
        for tag in item.added:
            await self._client.add_label(gateway, tag)
        for tag in item.removed:
            await self._client.remove_label(gateway, tag)

    async def _read_back(self, item: WriteItem) -> Gateway | None:
        """The gateway as the vendor shows it now; None where it cannot show one, or not at this moment."""
        try:
            return await self._client.device(GatewayId(item.gateway_id))
        except (DeviceUnknown, RouteMissing):
            return None  # the operation is assumed, and some portal may not have it: its 200 must do
        except MeshtechError as error:
            log.warning("the result of a write could not be read back: %s", error)
            return None

    async def _record_result(
        self, connection: Transaction, write: Write, item: WriteItem, shown: Gateway | None
    ) -> None:
        now = self._now()
        await writes.renew(connection, write.id, now + LEASE)
        known = (await fleet.load(connection, [item.gateway_id], lock=True)).get(item.gateway_id)
        done = item.state is ItemState.DONE
        if not await writes.settle(connection, write.id, item):
            return
        if known is not None and done:
            after = _applied(known.gateway, write.kind, item, shown)
            site = site_of(after.tags, self._site_tag)
            await fleet.show_ahead(connection, replace(known, gateway=after, site=site, written_at=now))
            before, then = _texts(known.gateway, after, write.kind)
            if before != then:
                number = await listings.newest(connection)
                event = FleetEvent(_EVENTS[write.kind], item.gateway_id, now, number, before, then)
                await fleet.add_events(connection, [event])
        await audit.record(
            connection,
            AuditEntry(
                at=now,
                actor=write.actor,
                action=f"undo {write.kind}" if write.undoes else write.kind.value,
                subject=item.gateway_id,
                outcome=Outcome.DONE if done else Outcome.FAILED,
                before="\n".join(item.before),
                after="\n".join(item.after),
                channel=write.channel,
                reason=item.error,
            ),
        )

    async def _require(self, actor: Actor, action: Action, subject: str, channel: str | None) -> None:
        try:
            require(actor, action)
        except BotError as error:
            entry = AuditEntry(
                at=self._now(),
                actor=actor.user_id,
                action=action.name.lower(),
                subject=subject,
                outcome=Outcome.REFUSED,
                channel=channel,
                reason=str(error),
            )
            async with self._database.write() as connection:
                await audit.record(connection, entry)
            raise


_DECIDED = {
    WriteState.PROPOSED: "This proposal has changed: send the command again.",
    WriteState.RUNNING: "This was confirmed already and is being carried out.",
    WriteState.DONE: "This was confirmed already and is done.",
    WriteState.CANCELLED: "This was cancelled already: send the command again.",
}


def _why_not_run(write: Write) -> str:
    if write.state is WriteState.PROPOSED:
        return "This change has not been confirmed yet."
    if write.state is WriteState.CANCELLED:
        return _DECIDED[WriteState.CANCELLED]
    return "This change is being carried out at this moment."


async def _load(connection: Transaction, write_id: str) -> Write:
    write = await writes.get(connection, write_id)
    if write is None:
        raise NotFound("I no longer know this change; it was forgotten with age. Send the command again.")
    return write


def _checked_change(add: Sequence[str], remove: Sequence[str]) -> tuple[list[str], list[str]]:
    """Each tag once, checked. Raises InvalidInput."""
    added = {fold(tag): tag for tag in map(checked_tag, add)}
    removed = {fold(tag): tag for tag in map(checked_tag, remove)}
    if not added and not removed:
        raise InvalidInput("Say which tags: +tag puts one on, -tag takes one off.")
    if both := added.keys() & removed.keys():
        raise InvalidInput(f"“{added[min(both)]}” cannot be put on and taken off at once.")
    return list(added.values()), list(removed.values())


def _tagging(gateway: Gateway, add: Sequence[str], remove: Sequence[str]) -> WriteItem | None:
    after = retagged(gateway.tags, add, remove)
    return None if after == gateway.tags else WriteItem(gateway.id, gateway.label, gateway.tags, after)


def _gateway(present: dict[str, KnownGateway], item: WriteItem) -> Gateway | None:
    return known.gateway if (known := present.get(item.gateway_id)) else None


def _ended(item: WriteItem, kind: WriteKind, shown: Gateway | None) -> WriteItem:
    if shown is None or is_still(item, kind, shown):
        return replace(item, state=ItemState.DONE)
    have = shown.name or "no name" if kind is WriteKind.RENAME else ", ".join(shown.tags) or "no tags"
    return replace(
        item,
        state=ItemState.FAILED,
        error=f"Meshtech accepted the change and still shows “{have}”. Look again after the next listing.",
    )


def _applied(known: Gateway, kind: WriteKind, item: WriteItem, shown: Gateway | None) -> Gateway:
    """The gateway with what was written: as the vendor shows it, or as it was asked for."""
    if kind is WriteKind.RENAME:
        return replace(known, name=shown.name if shown else item.after[0])
    return replace(known, tags=shown.tags if shown else retagged(known.tags, item.added, item.removed))


def _texts(before: Gateway, after: Gateway, kind: WriteKind) -> tuple[str | None, str | None]:
    if kind is WriteKind.RENAME:
        return before.name, after.name
    return "\n".join(before.tags), "\n".join(after.tags)


def _subject(which: Query | Sequence[str]) -> str:
    return which.text or "all gateways" if isinstance(which, Query) else ", ".join(which)


def _counted(number: int) -> str:
    return "This gateway is" if number == 1 else f"All {number} gateways are"


def _in_use(name: str, others: int) -> str | None:
    if not others:
        return None
    gateways = "Another gateway is" if others == 1 else f"{others} other gateways are"
    return f"{gateways} called “{name}” too."
