"""Carrying out what `renames_and_tags` decided: each gateway is asked for, read back, and recorded.

An intent is stored before the vendor is called and its result after, each in a transaction of its own, so
that a write which a crash cut short is finished by whoever finds it: all that is asked of the vendor here
may be asked twice. Knows nothing of Slack, nor of who may.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.domain.errors import BotError, Stale
from bot.domain.fleet.renames_and_tags import (
    UNDO_WITHIN,
    ItemState,
    Write,
    WriteItem,
    WriteKind,
    WriteState,
    applied,
    ended,
    failed,
    left_alone,
)
from bot.domain.gateways import FleetEvent, FleetEventKind, Gateway, GatewayId, fold, site_of
from bot.meshtech.client import MeshtechClient
from bot.meshtech.errors import DeviceUnknown, MeshtechError, RateLimited, RouteMissing
from bot.services.context import Context
from bot.storage import audit, listings
from bot.storage.cards import cards
from bot.storage.cards.late_answers import owe
from bot.storage.db.engine import Transaction
from bot.storage.fleet import gateways, renames_and_tags, search

log = logging.getLogger(__name__)

AT_ONCE = 8  # gateways that one write asks the vendor about at the same time
LONGEST_NAP = timedelta(minutes=1)
ENDED = "write_ended"  # the kind of the message to who no longer waits for an answer
PATIENCE = timedelta(minutes=10)  # for a vendor who asks to slow down, without a gateway done in between
REST = timedelta(minutes=1)  # where it does not say for how long
_EVENTS = {WriteKind.RENAME: FleetEventKind.RENAMED, WriteKind.TAG: FleetEventKind.TAGGED}
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Pace:
    """What the vendor said of too many requests: it holds for all that one write asks at the same time."""

    patience: timedelta
    rest_until: datetime | None = None
    since: datetime | None = None  # nothing was done since
    refusal: BotError | None = None  # nothing more is asked

    def slow_down(self, error: RateLimited, now: datetime) -> None:
        """Raises the error, now and from now on, when the vendor wants more time than there is patience."""
        until = now + (error.retry_after or REST)
        self.since = self.since or now
        if until - self.since > self.patience:
            self.refusal = error
            raise error
        self.rest_until = max(until, self.rest_until or until)

    def left(self, now: datetime) -> timedelta:
        """How long to rest still; what is longer than any rest was set by a clock set back since."""
        left = self.rest_until - now if self.rest_until is not None else timedelta()
        return left if timedelta() < left <= self.patience else timedelta()


class WriteRunner:
    """Runs writes that are ``RUNNING``, and finishes those that a crash cut short.

    ``owner`` names this process among the replicas, and no process before it.
    """

    def __init__(
        self,
        context: Context,
        client: MeshtechClient,
        *,
        owner: str,
        site_tag: str = "",
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._database = context.database
        self._client = client
        self._now = context.now
        self._site_tag = site_tag
        self._sleep = sleep
        self._owner = owner
        self._mine: set[str] = set()  # that this process runs now, whatever became of a lease meanwhile

    async def run(self, write_id: str, *, tell: bool = False) -> Write:
        """Asks the vendor for every gateway that waits; the write with the result of each.

        ``tell``: its author no longer waits for an answer, and is told. Raises Stale when another process
        is running it, or when it was never confirmed.
        """
        now = self._now()
        async with self._database.write() as connection:
            claimed = write_id not in self._mine and await renames_and_tags.claim(
                connection, write_id, self._owner, now
            )
            write = await renames_and_tags.load(connection, write_id)
        if write.state is WriteState.DONE:
            return write
        if not claimed:
            raise Stale(_why_not_run(write))
        self._mine.add(write_id)
        try:
            async with renames_and_tags.kept(self._database, write_id, self._owner, self._now):
                await self._carry_out(write)
                return await self._finish(write, tell=tell)
        finally:
            self._mine.discard(write_id)

    async def _carry_out(self, write: Write) -> None:
        waiting = [item for item in write.items if item.state is ItemState.WAITING]
        # Who waits for one gateway would rather hear at once that the vendor is busy.
        pace = _Pace(PATIENCE if len(write.items) > 1 else timedelta())
        await self._create_labels(write, waiting, pace)
        queue = iter(waiting)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._run_items(write, queue, pace))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors  # the others are of the same kind: the database is gone

    async def _finish(self, write: Write, *, tell: bool) -> Write:
        async with self._database.write() as connection:
            ended_at = self._now()
            await renames_and_tags.advance(connection, write, WriteState.DONE, ended_at + UNDO_WITHIN)
            key, body = f"write/{write.id}", {"write": write.id}
            if tell:
                await cards.add_message(connection, write.actor, key, ENDED, body, ended_at)
            else:
                await owe(connection, write.actor, key, ENDED, body, ended_at)
            if write.undoes is not None and not (await renames_and_tags.load(connection, write.id)).done:
                await renames_and_tags.count_no_undo(connection, write.id)
            return await renames_and_tags.load(connection, write.id)

    async def resume(self) -> tuple[Write, ...]:
        """Finishes what a crash cut short, and has its author told; for a tick."""
        async with self._database.read() as connection:
            found = await renames_and_tags.cut_short(connection, self._now())
        finished = []
        for write_id in found:
            try:
                finished.append(await self.run(write_id, tell=True))
            except BotError as error:
                log.info("write %s was not resumed: %s", write_id, error)
        return tuple(finished)

    async def _create_labels(self, write: Write, items: list[WriteItem], pace: _Pace) -> None:
        """Makes tags known that no gateway carries yet; without them nothing is asked of any gateway."""
        if write.kind is not WriteKind.TAG:
            return
        wanted = {fold(tag): tag for item in items for tag in item.added}
        async with self._database.read() as connection:
            known = await search.spellings(connection, wanted)
        try:
            for tag in (wanted[folded] for folded in wanted.keys() - known.keys()):
                await self._asked(pace, self._client.create_label, tag)
        except BotError as error:
            pace.refusal = error

    async def _run_items(self, write: Write, queue: Iterator[WriteItem], pace: _Pace) -> None:
        """One of several that take from the same queue."""
        for item in queue:
            shown: Gateway | None = None
            try:
                if write.undoes and (other := await self._changed_since(write, item, pace)):
                    await self._settle(write, left_alone(item, other), None)
                    continue
                is_there = await self._change(write, item, pace)
                shown = await self._read_back(item, pace)
            except BotError as error:
                result = failed(item, str(error))
            else:
                result = ended(item, write.kind, shown) if shown or is_there else failed(item, _gone(item))
            pace.since = None
            await self._settle(write, result, shown)

    async def _settle(self, write: Write, result: WriteItem, shown: Gateway | None) -> None:
        async with self._database.write() as connection:
            await self._record_result(connection, write, result, shown)

    async def _changed_since(self, write: Write, item: WriteItem, pace: _Pace) -> Gateway | None:
        """The gateway as somebody renamed it since the last listing. Tags come and go one by one."""
        if write.kind is not WriteKind.RENAME:
            return None
        shown = await self._read_back(item, pace)
        return shown if shown is not None and (shown.name,) not in (item.before, item.after) else None

    async def _change(self, write: Write, item: WriteItem, pace: _Pace) -> bool:
        """Whether the vendor knew the gateway: it says the same of one that is gone and of a tag that is."""
        gateway = GatewayId(item.gateway_id)
        if write.kind is WriteKind.RENAME:
            await self._asked(pace, self._client.rename, gateway, item.after[0])
            return True
        for tag in item.added:
            await self._asked(pace, self._client.add_label, gateway, tag)
        removed = [await self._asked(pace, self._client.remove_label, gateway, tag) for tag in item.removed]
        return bool(item.added) or any(removed)

    async def _read_back(self, item: WriteItem, pace: _Pace) -> Gateway | None:
        """The gateway as the vendor shows it now; None where it cannot show one, or not at this moment."""
        try:
            return await self._asked(pace, self._client.device, GatewayId(item.gateway_id))
        except (DeviceUnknown, RouteMissing):
            return None  # the operation is assumed, and some portal may not have it: its 200 must do
        except MeshtechError as error:
            log.warning("the result of a write could not be read back: %s", error)
            return None

    async def _asked(self, pace: _Pace, ask: Callable[..., Awaitable[_Answer]], *what: str) -> _Answer:
        """The vendor's answer, asked for again once it has had the rest that it wants."""
        while True:
            await self._rest(pace)
            if pace.refusal is not None:
                raise pace.refusal
            try:
                return await ask(*what)
            except RateLimited as error:
                pace.slow_down(error, self._now())

    async def _rest(self, pace: _Pace) -> None:
        while left := pace.left(self._now()):
            await self._sleep(min(left, LONGEST_NAP).total_seconds())

    async def _record_result(
        self, connection: Transaction, write: Write, item: WriteItem, shown: Gateway | None
    ) -> None:
        now = self._now()
        known = (await gateways.load(connection, [item.gateway_id], lock=True)).get(item.gateway_id)
        done = item.state is ItemState.DONE
        if not await renames_and_tags.settle(connection, write.id, item):
            return
        if known is not None and done:
            after = applied(known.gateway, write.kind, item, shown)
            site = site_of(after.tags, self._site_tag)
            ahead = replace(known, gateway=after, site=site, written_at=now)
            await gateways.show_ahead(connection, known.gateway, ahead)
            before, then = _texts(known.gateway, after, write.kind)
            if before != then:
                number = await listings.newest(connection)
                event = FleetEvent(_EVENTS[write.kind], item.gateway_id, now, number, before, then)
                await gateways.add_events(connection, [event])
        await audit.record(
            connection,
            AuditEntry(
                at=now,
                actor=write.actor,
                action=AuditAction(f"undo {write.kind}" if write.undoes else write.kind.value),
                subject=item.gateway_id,
                outcome=Outcome.DONE if done else Outcome.FAILED,
                before="\n".join(item.before),
                after="\n".join(item.after),
                channel=write.channel,
                reason=item.error,
            ),
        )


def _texts(before: Gateway, after: Gateway, kind: WriteKind) -> tuple[str | None, str | None]:
    if kind is WriteKind.RENAME:
        return before.name, after.name
    return "\n".join(before.tags), "\n".join(after.tags)


def _gone(item: WriteItem) -> str:
    return (
        f"Meshtech knows no gateway {item.gateway_id}, or it had none of these tags any more. "
        "Look again after the next poll."
    )


def _why_not_run(write: Write) -> str:
    if write.state is WriteState.PROPOSED:
        return "This change has not been confirmed yet."
    if write.state is WriteState.CANCELLED:
        return "This was cancelled already: send the command again."
    return "This change is being carried out at this moment."
