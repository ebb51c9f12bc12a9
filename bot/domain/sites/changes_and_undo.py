"""A change of the site book's entries: what it does to each, and whether it can still be taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.domain.errors import Stale
from bot.domain.sites.entries import Entry, SiteField

MOST_AT_ONCE: Final = 200  # sites in one change
_NAMED = 3  # sites that a title names


class ChangeState(StrEnum):
    PROPOSED = "proposed"
    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class SiteItem:
    """What a change does to the entry of one site."""

    site: str
    before: Entry
    after: Entry

    @property
    def fields(self) -> Sequence[SiteField]:
        """Those that change."""
        return [one for one in SiteField if self.before.get(one) != self.after.get(one)]


@dataclass(frozen=True, slots=True)
class SiteChange:
    """A change of entries, by a command, a dialog or a file: from its proposal to its Undo."""

    id: str
    state: ChangeState
    actor: str
    created_at: datetime
    items: tuple[SiteItem, ...]
    unchanged: int = 0  # sites of the file that are so already

    @property
    def title(self) -> str:
        """``Oslo``, or ``5 sites: Bergen, Bodø, Oslo, …``."""
        names = [one.site for one in self.items]
        if len(names) == 1:
            return names[0]
        more = ", …" if len(names) > _NAMED else ""
        return f"{len(names)} sites: {', '.join(names[:_NAMED])}{more}"


def require_undoable(change: SiteChange, now_said: Mapping[str, Entry]) -> None:
    """Raises Stale for what was undone, never done, or changed again since: it is taken back as a whole."""
    if change.state is not ChangeState.DONE:
        raise Stale("This was undone already, or never done.")
    for one in change.items:
        if now_said[one.site] != one.after:
            raise Stale(f"The entry of {one.site} was changed again since, so nothing was taken back.")
