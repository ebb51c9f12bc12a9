"""Draws what has many parts: a line stands for one that cannot be drawn, and the others are shown.

Here alone a view catches every error: whatever is wrong with one row must not take its list along.
"""

import logging
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from bot.slack.ids import PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    code,
    context,
    count,
    message,
    nothing_matches,
    section,
)

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

UNDRAWN: Final = "⚠️ This cannot be shown: an error of mine, which whoever runs the bot finds in the log."


def left_out(rows: int) -> str:
    """In the place of what storage could not read."""
    is_missing = f"{count(rows, 'row')} {'is' if rows == 1 else 'are'} missing here and cannot be read"
    return f"⚠️ {is_missing}: an error of mine, which whoever runs the bot finds in the log."


def asks_first(
    asked: str,
    question: PageRef,
    fleet: int,
    yes: Block,
    small: str,
    *,
    does: str = "hold the alerts of",
) -> Message:
    """What was ``asked``, a command, covers much or nothing: the button ``yes`` says that it is meant."""
    would = f"{code(f'/mesh {asked}', 600)} would {does}"
    many = count(fleet, "gateway")
    if question.offset:
        said = f"{would} {bold(f'{question.offset:,} of {many}')}."
    else:
        said = f"{nothing_matches()} {would} what matches later."
    return message(f"{said}\n{small}", [section(said), *actions(yes), context(small)])


def row(draw: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> str:
    """One line of a list."""
    return _drawn(UNDRAWN, draw, *args, **kwargs)


def part(draw: Callable[P, list[Block]], *args: P.args, **kwargs: P.kwargs) -> list[Block]:
    """Some blocks of a message or a view."""
    return _drawn([section(UNDRAWN)], draw, *args, **kwargs)


def cells(draw: Callable[P, list[Block]], *args: P.args, **kwargs: P.kwargs) -> list[Block]:
    """The cells of a row of a table; none, and so no table, for one that cannot be drawn."""
    return _drawn([], draw, *args, **kwargs)


def _drawn(otherwise: T, draw: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return draw(*args, **kwargs)
    except Exception:
        log.exception("a part of what is shown cannot be drawn (%s)", getattr(draw, "__name__", draw))
        return otherwise
