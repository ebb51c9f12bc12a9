"""The site book: read, changed by a command, a dialog or a file, and taken back.

A change is one transaction: all of it, or none. Knows nothing of Slack but that it names user groups.
"""

import asyncio
import difflib
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.domain.access import Action, Actor, refused, require
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.confirmations import CONFIRM_WITHIN
from bot.domain.errors import InvalidInput, Mistake, Mistaken, NotAllowed, NotFound, Stale
from bot.domain.gateways import fold
from bot.domain.sites.changes_and_undo import (
    MOST_AT_ONCE,
    ChangeState,
    SiteChange,
    SiteItem,
    require_undoable,
)
from bot.domain.sites.entries import Entry, Site, SiteField, called, checked
from bot.services.context import Context, Within
from bot.storage import audit
from bot.storage.cards import cards
from bot.storage.cards.cards import CardKind
from bot.storage.db.engine import Transaction
from bot.storage.sites import book as store

Contacts = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
"""User groups and people by what somebody typed, each as an entry keeps it; what names none is left out."""


@dataclass(frozen=True, slots=True)
class SiteRow:
    """What somebody wants to say of a site: text by field, of which those that are absent stay as they are.

    ``line`` is where a file says it.
    """

    site: str
    fields: Mapping[SiteField, str]
    line: int = 0


class SiteBook:
    """``within`` refuses who is limited to other gateways; ``zone`` is that of hours where none is named."""

    def __init__(self, context: Context, *, within: Within, contacts: Contacts, zone: str) -> None:
        self._database = context.database
        self.now = context.now
        self._within = within
        self._contacts = contacts
        self._zone = zone

    # ---- reading
    async def every(self, actor: Actor) -> Sequence[Site]:
        """All sites, by name."""
        require(actor, Action.READ)
        async with self._database.read() as connection:
            return await store.every(connection)

    async def find(self, name: str) -> Site:
        """The one of this name, in any case. Raises NotFound with the nearest names."""
        async with self._database.read() as connection:
            found = (await store.named(connection, [name])).get(fold(name))
            others = [] if found else await store.every(connection)
        if found is None:
            raise NotFound(_unknown(name, others))
        return found

    async def entry_of(self, name: str) -> Entry:
        """What the book says of a site: nothing, where it says nothing."""
        async with self._database.read() as connection:
            return (await store.entries_of(connection, [name])).get(fold(name), {})

    async def called_at(self, names: Collection[str]) -> Mapping[str, str]:
        """The ids of user groups and people to call for these sites, by the names of the sites."""
        async with self._database.read() as connection:
            entries = await store.entries_of(connection, names)
        found = ((name, called(entries.get(fold(name), {}))) for name in names)
        return {name: one[0] for name, one in found if one is not None}

    # ---- changing
    async def describe(
        self, actor: Actor, row: SiteRow, channel: str | None = None, *, seen: int | None = None
    ) -> SiteChange:
        """Changes the entry of one site at once; where a dialog showed it, that was its version ``seen``.

        Raises NotAllowed, NotFound, InvalidInput, Mistaken, Stale.
        """
        change = await self._change(actor, [row], seen)
        async with self._database.write() as connection:
            await store.add_change(connection, change)
            return await self._carry_out(connection, actor, change, channel)

    async def propose(self, actor: Actor, rows: Sequence[SiteRow]) -> SiteChange:
        """A change by a file, for ``confirm``. Raises as ``describe``; Mistaken has all that is wrong."""
        if len(rows) > MOST_AT_ONCE:
            raise InvalidInput(f"That is {len(rows)} sites; {MOST_AT_ONCE} are the most for one change.")
        change = await self._change(actor, rows)
        async with self._database.write() as connection:
            await store.add_change(connection, change)
        return change

    async def confirm(self, actor: Actor, change_id: str, channel: str | None = None) -> SiteChange:
        """Carries a proposal out. Raises NotAllowed, NotFound, Stale."""
        require(actor, Action.DESCRIBE)
        async with self._database.read() as connection:
            change = await store.load_change(connection, change_id)
        if change.actor != actor.user_id:
            raise NotAllowed("Only who proposed this change may confirm it. Send the file yourself.")
        if change.state is not ChangeState.PROPOSED:
            raise Stale("This was confirmed already.")
        if self.now() - change.created_at > CONFIRM_WITHIN:
            raise Stale("This proposal is too old: send the file again.")
        await self._require_within(actor, [one.site for one in change.items])
        async with self._database.write() as connection:
            return await self._carry_out(connection, actor, change, channel)

    async def undo(self, actor: Actor, change_id: str, channel: str | None = None) -> SiteChange:
        """Takes a change back as a whole. Raises NotAllowed, NotFound, Stale."""
        require(actor, Action.DESCRIBE)
        async with self._database.read() as connection:
            change = await store.load_change(connection, change_id)
        await self._require_within(actor, [one.site for one in change.items])
        back = tuple(SiteItem(one.site, one.after, one.before) for one in change.items)
        async with self._database.write() as connection:
            found = await store.named(connection, [one.site for one in change.items])
            require_undoable(change, {one.site: found[fold(one.site)].entry for one in change.items})
            if not await store.advance(connection, change, ChangeState.UNDONE):
                raise Stale("Somebody undid this a moment ago.")
            await self._write(connection, actor, AuditAction.UNDO_DESCRIPTION, back, found, channel)
        return replace(change, state=ChangeState.UNDONE)

    async def prune(self, older_than: timedelta) -> None:
        """Forgets changes of long ago; the audit log keeps what they did."""
        async with self._database.write() as connection:
            await store.forget(connection, self.now() - older_than)

    # ---- below
    async def _change(self, actor: Actor, rows: Sequence[SiteRow], seen: int | None = None) -> SiteChange:
        """What the rows change, checked as a whole."""
        require(actor, Action.DESCRIBE)
        async with self._database.read() as connection:
            found = await store.named(connection, [one.site for one in rows])
            missing = [one for one in rows if fold(one.site) not in found]
            others = await store.every(connection) if missing else []
        if missing and len(rows) == 1 and not rows[0].line:
            raise NotFound(_unknown(rows[0].site, others))
        if seen is not None and any(site.version != seen for site in found.values()):
            raise Stale("Somebody changed this entry meanwhile. Close this, and open it again.")
        asked = {text for row in rows if (text := _new_call(row, found.get(fold(row.site))))}
        contacts = await self._contacts(asked) if asked else {}
        items: dict[str, SiteItem] = {}
        mistakes: list[Mistake] = []
        for row in rows:
            site = found.get(fold(row.site))
            if site is None:
                mistakes.append(
                    Mistake(row.line, "site", await asyncio.to_thread(_unknown, row.site, others))
                )
                continue
            if fold(site.name) in items:
                mistakes.append(Mistake(row.line, "site", f"{site.name} is there twice."))
                continue
            after = dict(site.entry)
            for field, text in row.fields.items():
                try:
                    after[field] = self._said(field, text, site, contacts)
                except InvalidInput as error:
                    mistakes.append(Mistake(row.line, field.value, str(error)))
            kept = {one: after[one] for one in SiteField if after.get(one)}
            items[fold(site.name)] = SiteItem(site.name, site.entry, kept)
        if mistakes:
            raise Mistaken(mistakes)
        await self._require_within(actor, [one.site for one in items.values()])
        changed = tuple(one for one in items.values() if one.fields)
        if not changed:
            raise InvalidInput("That is what the book says already, so there is nothing to change.")
        unchanged = len(items) - len(changed)
        return SiteChange(
            secrets.token_hex(8), ChangeState.PROPOSED, actor.user_id, self.now(), changed, unchanged
        )

    def _said(self, field: SiteField, text: str, site: Site, contacts: Mapping[str, str]) -> str:
        said = checked(field, text, self._zone)
        if field is not SiteField.CALL or not said or said == site.entry.get(field):
            return said
        if text not in contacts:
            raise InvalidInput(
                f"Slack knows no user group or person called “{said[:60]}”, or several. Write @handle or an "
                "id; a telephone number goes into the note."
            )
        return contacts[text]

    async def _require_within(self, actor: Actor, names: Sequence[str]) -> None:
        """Who is limited edits sites at which gateways stand that are all theirs."""
        if not actor.limits_for(Action.DESCRIBE):
            return
        async with self._database.read() as connection:
            found = await store.named(connection, names)
            ids = await store.gateways_at(connection, names)
        if gone := [one.name for one in found.values() if one.has_vanished]:
            raise refused(
                actor,
                Action.DESCRIBE,
                f"No gateway stands at {gone[0]} now, so I cannot tell that it is among yours. "
                "Ask an operator of the whole fleet.",
            )
        await self._within(actor, Action.DESCRIBE, ids)

    async def _carry_out(
        self, connection: Transaction, actor: Actor, change: SiteChange, channel: str | None
    ) -> SiteChange:
        found = await store.named(connection, [one.site for one in change.items])
        if not await store.advance(connection, change, ChangeState.DONE):
            raise Stale("This was confirmed a moment ago.")
        await self._write(connection, actor, AuditAction.DESCRIBE, change.items, found, channel)
        return replace(change, state=ChangeState.DONE)

    async def _write(
        self,
        connection: Transaction,
        actor: Actor,
        action: AuditAction,
        items: Sequence[SiteItem],
        found: Mapping[str, Site],
        channel: str | None,
    ) -> None:
        for one in items:
            site = found.get(fold(one.site), Site(one.site, 0, 0, {}))
            if site.entry != one.before or not await store.save(connection, site, one.after):
                raise Stale(f"Somebody changed the entry of {one.site} meanwhile. Look at it, and try again.")
        await audit.record(connection, *(self._entry(actor, action, one, channel) for one in items))
        alerts = await store.alerts_at(connection, [one.site for one in items])
        await cards.touch_all(connection, CardKind.INCIDENT, alerts)

    def _entry(self, actor: Actor, action: AuditAction, item: SiteItem, channel: str | None) -> AuditEntry:
        return AuditEntry(
            at=self.now(),
            actor=actor.user_id,
            action=action,
            subject=item.site,
            before=_in_words(item, item.before),
            after=_in_words(item, item.after),
            channel=channel,
        )


def _new_call(row: SiteRow, site: Site | None) -> str | None:
    """Whom somebody wants to be called, where that is to be looked up."""
    text = row.fields.get(SiteField.CALL, "")
    is_new = site is not None and text.strip() not in {"", "-", site.entry.get(SiteField.CALL)}
    return text if is_new else None


def _in_words(item: SiteItem, entry: Entry) -> str:
    return "; ".join(f"{one}: {entry.get(one, 'nothing')}" for one in item.fields)


def _unknown(name: str, others: Sequence[Site]) -> str:
    by_key = {fold(one.name): one.name for one in others}
    near = [by_key[one] for one in difflib.get_close_matches(fold(name), by_key, 3, 0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else "/mesh sites lists them."
    return f"There is no site “{name[:60]}”. {hint}"
