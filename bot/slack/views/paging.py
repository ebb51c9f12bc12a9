"""What all lists with pages share: where a page stands, said in words, and the buttons that lead on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from bot.slack import ids
from bot.slack.ids import PageRef
from bot.slack.views.blocks import Block, actions, button, count, lines, menu, plain_name, section

T = TypeVar("T")
DEVICE: Final = "device"  # the kind of list that one gateway is: every column's rows lead there
DEVICES: Final = "devices"  # that of gateways, to which they lead too
HISTORY: Final = "history"  # what happened to a gateway, or at a site
SITE: Final = "site"  # one site
_LONGEST_VALUE: Final = 150  # of an option of a menu
_MOST_ROWS: Final = 8_000  # characters of the rows as JSON: a message holds a heading and buttons besides


@dataclass(frozen=True, slots=True)
class PagePosition:
    """Where a page stands: in which kind of list, of which question, and how much there is."""

    kind: str
    offset: int
    total: int
    size: int
    question: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether this page is all there is."""
        return self.offset == 0 and self.total <= self.size

    def in_order(self, order: str) -> str:
        """``, the worst first``; of one thing there is no order."""
        return f", {order}" if self.total > 1 else ""

    def says(self, thing: str, things: str = "") -> str:
        """``11–20 of 240 gateways``, or ``7 gateways`` when one page holds them."""
        amount = count(self.total, thing, things)
        if self.is_whole:
            return amount
        return f"{self.offset + 1:,}–{min(self.offset + self.size, self.total):,} of {amount}"


def last_offset(total: int, size: int) -> int:
    """Where the last page begins."""
    return max(total - 1, 0) // size * size


def cut_page(
    rows: Sequence[T], kind: str, offset: int, size: int, question: str = ""
) -> tuple[Sequence[T], PagePosition]:
    """The rows of one page of a list that is at hand as a whole; behind the end, of the last page."""
    start = min(offset, last_offset(len(rows), size))
    return rows[start : start + size], PagePosition(kind, start, len(rows), size, question)


def buttons(
    place: PagePosition, *, refresh: bool = False, export: bool = False, more: Block | None = None
) -> list[Block]:
    """Previous, Next, Refresh and CSV, as far as each has something to do; ``more`` stands behind them."""
    before, after = max(place.offset - place.size, 0), place.offset + place.size
    return actions(
        _to(place, before, "Previous", ids.PAGE_PREVIOUS) if place.offset > 0 else None,
        _to(place, after, "Next", ids.PAGE_NEXT) if after < place.total else None,
        _to(place, place.offset, "Refresh", ids.REFRESH) if refresh else None,
        _to(place, 0, "CSV", ids.EXPORT_CSV, "Send the whole list as a CSV file") if export else None,
        more,
    )


def rows_with(shown: Sequence[str], beside: Sequence[Block | None]) -> list[Block]:
    """Rows of a list, each with its button or none; without any where those would push rows out."""
    rows = [section(line, one) for line, one in zip(shown, beside, strict=True)]
    return rows if len(json.dumps(rows, ensure_ascii=False)) <= _MOST_ROWS else lines(shown)


@dataclass(frozen=True, slots=True)
class Door:
    """Where a row leads: to a kind of list and one question of it. ``name`` is plain text, not escaped."""

    kind: str
    question: str
    name: str

    @property
    def ref(self) -> PageRef:
        return PageRef(self.kind, 0, self.question)


def open_button(door: Door, text: str = "Open") -> Block:
    """Shows where a row leads, below its list."""
    return button(text, ids.OPEN, door.ref, label=f"{text} {plain_name(door.name, 60)}")


def open_menu(placeholder: str, doors: Sequence[Door]) -> Block | None:
    """The same for many rows at once; None where no row leads anywhere.

    A place that is too long for a menu is left out: its command takes it.
    """
    options = [(str(door.ref), plain_name(door.name, 75)) for door in doors]
    options = [one for one in dict.fromkeys(options) if len(one[0]) <= _LONGEST_VALUE]
    return menu(ids.OPEN, placeholder, options) if options else None


def _to(place: PagePosition, offset: int, text: str, action_id: str, spoken: str | None = None) -> Block:
    return button(text, action_id, PageRef(place.kind, offset, place.question), label=spoken)
