"""A rename or a change of tags: what was, what is asked for, and whether it can still be taken back.

Decides which names and tags are acceptable and what a change of tags means for one gateway. Knows neither
who asked the vendor nor how a write is stored.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.confirmations import CONFIRM_WITHIN
from bot.domain.errors import InvalidInput, Mistake, Mistaken, NotAllowed, Stale
from bot.domain.gateways import Gateway, GatewayId, fold

UNDO_WITHIN = timedelta(minutes=10)
START_WITHIN = timedelta(minutes=1)
MOST_GATEWAYS = 10_000  # in one write: two requests each keep the portal busy for half an hour
_PLACE = re.compile(r"\{[^{}]*\}")
_NUMBER = re.compile(r"\{n(?::0?([1-9]))?\}")
LONGEST = 128  # characters of a name or a tag; what the vendor accepts is not documented


class WriteKind(StrEnum):
    RENAME = "rename"
    TAG = "tag"


class WriteState(StrEnum):
    """A write of several gateways waits for its confirmation; of one it is running at once."""

    PROPOSED = "proposed"
    RUNNING = "running"
    DONE = "done"  # with or without failures: each item says how it ended
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    LEFT = "left"  # an undo leaves alone what somebody has changed since


@dataclass(frozen=True, slots=True)
class WriteItem:
    """One gateway of a write. A rename's values hold one name or none, a tagging's all tags."""

    gateway_id: str
    label: str  # what the gateway was called when the write was made
    before: tuple[str, ...]
    after: tuple[str, ...]
    state: ItemState = ItemState.WAITING
    error: str | None = None  # a sentence: why it failed, or why it was left alone

    @property
    def added(self) -> tuple[str, ...]:
        """The tags that ``after`` has and ``before`` has not."""
        return _missing_from(self.before, self.after)

    @property
    def removed(self) -> tuple[str, ...]:
        """The tags that ``before`` has and ``after`` has not, in each spelling: to the vendor they differ."""
        kept = {fold(tag) for tag in self.after}
        return tuple(tag for tag in self.before if fold(tag) not in kept)


@dataclass(frozen=True, slots=True)
class Write:
    """A rename or a change of tags, from proposal to Undo. ``version`` counts its changes of state."""

    id: str
    kind: WriteKind
    state: WriteState
    version: int
    actor: str
    channel: str | None
    title: str  # what it does, in words: "+oslo on 12 gateways"
    created_at: datetime
    # The end of the confirmation while proposed, of Undo once done; while running, of the time in which only
    # its own click starts it.
    expires_at: datetime
    items: tuple[WriteItem, ...] = field(default=())
    undoes: str | None = None  # the write that this one takes back
    undone_by: str | None = None  # the write that took this one back
    unchanged: int = 0  # gateways that matched and were already so
    warning: str | None = None

    @property
    def needs_confirmation(self) -> bool:
        return self.state is WriteState.PROPOSED

    @property
    def is_running(self) -> bool:
        return self.state is WriteState.RUNNING

    @property
    def done(self) -> tuple[WriteItem, ...]:
        return self._in(ItemState.DONE)

    @property
    def failed(self) -> tuple[WriteItem, ...]:
        return self._in(ItemState.FAILED)

    @property
    def left(self) -> tuple[WriteItem, ...]:
        return self._in(ItemState.LEFT)

    def may_be_undone(self, now: datetime) -> bool:
        return (
            self.state is WriteState.DONE
            and self.undone_by is None
            and now < self.expires_at
            and bool(self.done)
        )

    def _in(self, state: ItemState) -> tuple[WriteItem, ...]:
        return tuple(item for item in self.items if item.state is state)


def checked_name(text: str) -> str:
    """A new name of one gateway without its outer spaces. Raises InvalidInput."""
    if is_pattern(text):
        raise InvalidInput(
            f"“{text.strip()}” has a place for a number, which is for several gateways: "
            'rename tag:oslo to "OSL-{n:03}".'
        )
    return _checked(text, "name")


def checked_tag(text: str) -> str:
    """A tag without its outer spaces. Raises InvalidInput."""
    return _checked(text, "tag")


def checked_change(add: Iterable[str], remove: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tags to put on and those to take off, each once and checked. Raises InvalidInput."""
    added = {fold(tag): tag for tag in map(checked_tag, add)}
    removed = {fold(tag): tag for tag in map(checked_tag, remove)}
    if not added and not removed:
        raise InvalidInput("Say which tags: +tag puts one on, -tag takes one off.")
    if both := added.keys() & removed.keys():
        raise InvalidInput(f"“{added[min(both)]}” cannot be put on and taken off at once.")
    return list(added.values()), list(removed.values())


def is_pattern(name: str) -> bool:
    """Whether a new name has a place for a number, so that it is for several gateways."""
    return _PLACE.search(name) is not None


def numbered(pattern: str, gateways: Iterable[Gateway]) -> list[WriteItem]:
    """New names of gateways, counted from 1 in the order of their present names; those that change nothing
    count and are left out. Raises InvalidInput.
    """
    places = _PLACE.findall(pattern)
    if len(places) != 1:
        raise InvalidInput(f"“{pattern}” needs one {{n}} or {{n:03}} for the number, and has several.")
    if not _NUMBER.fullmatch(places[0]):
        raise InvalidInput(f"{places[0]} is no place for a number: write {{n}}, or {{n:03}} for 001, 002, …")
    in_order = sorted(gateways, key=lambda one: (fold(one.label), one.id))
    items = []
    for number, gateway in enumerate(in_order, 1):
        name = _checked(_NUMBER.sub(lambda place: f"{number:0{place[1] or 1}}", pattern), "name")  # noqa: B023
        if name != gateway.name:
            before = (gateway.name,) if gateway.name else ()
            items.append(WriteItem(gateway.id, gateway.label, before, (name,)))
    return items


@dataclass(frozen=True, slots=True)
class NewName:
    """A row of a file: the id of a gateway and its new name."""

    line: int
    gateway_id: str
    name: str


def renamed(rows: Sequence[NewName], gateways: Mapping[GatewayId, Gateway]) -> list[WriteItem]:
    """New names from a file; those that change nothing are left out. Raises Mistaken."""
    items: dict[str, WriteItem] = {}
    lines: dict[str, int] = {}  # of the names, folded
    mistakes: list[Mistake] = []
    for row in rows:
        gateway = gateways.get(GatewayId(row.gateway_id))
        if gateway is None:
            mistakes.append(Mistake(row.line, "id", f"No gateway has the id “{row.gateway_id[:60]}”."))
            continue
        if gateway.id in items:
            mistakes.append(Mistake(row.line, "id", f"{gateway.id} is there twice."))
        try:
            name = checked_name(row.name)
        except InvalidInput as error:
            mistakes.append(Mistake(row.line, "name", str(error)))
            continue
        if (other := lines.setdefault(fold(name), row.line)) != row.line:
            mistakes.append(Mistake(row.line, "name", f"Line {other} has “{name}” too."))
        before = (gateway.name,) if gateway.name else ()
        items[gateway.id] = WriteItem(gateway.id, gateway.label, before, (name,))
    if mistakes:
        raise Mistaken(mistakes)
    return [one for one in items.values() if one.before != one.after]


def tagging(gateway: Gateway, add: Iterable[str], remove: Iterable[str]) -> WriteItem | None:
    """What a change of tags is to this gateway; None when it changes nothing."""
    after = retagged(gateway.tags, add, remove)
    return None if after == gateway.tags else WriteItem(gateway.id, gateway.label, gateway.tags, after)


def retagged(tags: Sequence[str], add: Iterable[str], remove: Iterable[str]) -> tuple[str, ...]:
    """The tags after a change: what stays keeps its place, what is new comes last, case does not matter."""
    gone = {fold(tag) for tag in remove}
    kept = [tag for tag in tags if fold(tag) not in gone]
    return (*kept, *_missing_from(kept, add))


def undoing(item: WriteItem, kind: WriteKind, now: Gateway | None) -> WriteItem:
    """The item that takes this one back, or leaves the gateway alone and says why."""
    back = replace(item, before=item.after, after=item.before, state=ItemState.LEFT, error=None)
    if now is None:
        return replace(back, error=f"{item.label} is no longer in the fleet.")
    if not is_still(item, kind, now):
        return left_alone(back, now)
    if kind is WriteKind.RENAME and not item.before:
        return replace(back, error=f"{now.label} had no name before, and Meshtech cannot take a name away.")
    if kind is WriteKind.TAG:
        back = replace(back, before=now.tags, after=retagged(now.tags, item.removed, item.added))
    return replace(back, state=ItemState.WAITING)


def ended(item: WriteItem, kind: WriteKind, shown: Gateway | None) -> WriteItem:
    """How an item ended that the vendor said yes to: done, if what it shows since then says so too."""
    if shown is None or is_still(item, kind, shown):
        return replace(item, state=ItemState.DONE)
    have = shown.name or "no name" if kind is WriteKind.RENAME else ", ".join(shown.tags) or "no tags"
    return failed(
        item, f"Meshtech accepted the change and still shows “{have}”. Look again after the next poll."
    )


def failed(item: WriteItem, why: str) -> WriteItem:
    return replace(item, state=ItemState.FAILED, error=why)


def applied(known: Gateway, kind: WriteKind, item: WriteItem, shown: Gateway | None) -> Gateway:
    """The gateway with what was written: as the vendor shows it, or as it was asked for."""
    if kind is WriteKind.RENAME:
        return replace(known, name=shown.name if shown else item.after[0])
    return replace(known, tags=shown.tags if shown else retagged(known.tags, item.added, item.removed))


def left_alone(item: WriteItem, now: Gateway) -> WriteItem:
    """What an undo does to a gateway that somebody has changed since."""
    why = f"{now.label} was changed again since, so I left it alone."
    return replace(item, state=ItemState.LEFT, error=why)


def require_decidable(write: Write, user_id: str, version: int, wanted: WriteState, now: datetime) -> None:
    """Who proposed it confirms it in time, or cancels it. Raises NotAllowed for others, Stale when it is
    decided, or too old to run.
    """
    if user_id != write.actor:
        raise NotAllowed("Only who proposed this change may decide about it. Send the command yourself.")
    if write.state is not WriteState.PROPOSED or write.version != version:
        raise Stale(_DECIDED[write.state])
    if wanted is WriteState.RUNNING and now >= write.expires_at:
        minutes = int(CONFIRM_WITHIN.total_seconds() // 60)
        raise Stale(f"This proposal is more than {minutes} minutes old: send the command again.")


_DECIDED = {
    WriteState.PROPOSED: "This proposal has changed: send the command again.",
    WriteState.RUNNING: "This was confirmed already and is being carried out.",
    WriteState.DONE: "This was confirmed already and is done.",
    WriteState.CANCELLED: "This was cancelled already: send the command again.",
}


def require_undoable(write: Write, now: datetime) -> None:
    """Raises Stale, saying why, for a write that cannot be taken back."""
    if write.undone_by is not None:
        raise Stale("This was taken back already.")
    if write.state is not WriteState.DONE:
        raise Stale("This is not done yet, so there is nothing to take back.")
    if now >= write.expires_at:
        minutes = int(UNDO_WITHIN.total_seconds() // 60)
        raise Stale(f"The {minutes} minutes for Undo are over: change it back with a command of its own.")
    if not write.done:
        raise Stale("Nothing of this change was carried out, so there is nothing to take back.")


def is_still(item: WriteItem, kind: WriteKind, gateway: Gateway) -> bool:
    """Whether what the write left behind is what the gateway has now; other tags do not matter."""
    if kind is WriteKind.RENAME:
        return (gateway.name,) == item.after
    have = {fold(tag) for tag in gateway.tags}
    return all(fold(tag) in have for tag in item.added) and not any(fold(tag) in have for tag in item.removed)


def _missing_from(have: Sequence[str], wanted: Iterable[str]) -> tuple[str, ...]:
    known = {fold(tag) for tag in have}
    return tuple({fold(tag): tag for tag in wanted if fold(tag) not in known}.values())


def _checked(text: str, what: str) -> str:
    value = unicodedata.normalize("NFC", text.strip())
    if not value:
        raise InvalidInput(f"The {what} is empty: say what to call it.")
    if len(value) > LONGEST:
        raise InvalidInput(f"The {what} has {len(value)} characters; {LONGEST} is the most.")
    bad = next((char for char in value if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}), None)
    if bad is not None:
        raise InvalidInput(f"The {what} holds a line break or a control character: leave it out.")
    return value
