"""Rows of which one may be no longer what the code expects, say after a version that knew more.

What many are read for goes on without it: it is left out, logged, and counted for whoever shows the others.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from sqlalchemy import Result, Row

log = logging.getLogger(__name__)
T = TypeVar("T")

_left_out: ContextVar[list[str] | None] = ContextVar("left_out", default=None)


def legible(rows: Iterable[Row[Any]], read: Callable[[Row[Any]], T]) -> list[T]:
    """What can be read of them. The first column names a row.

    A result reads times as its rows are taken out: so they are taken one by one, without its iterator, which
    would end at the first that cannot be read.
    """
    found = []
    left = rows if isinstance(rows, Result) else iter(rows)
    while True:
        name = "with a time that is none"
        try:
            row = next(left)
            name = str(row[0])
            found.append(read(row))
        except StopIteration:
            return found
        except (ValueError, TypeError, LookupError, OverflowError):
            log.exception("row %s cannot be read and is left out", name)
            if (noted := _left_out.get()) is not None:
                noted.append(name)


def legible_rows(found: Result[Any]) -> list[Row[Any]]:
    """Of a result whose rows are needed before they are read."""
    return legible(found, lambda row: row)


@contextmanager
def noting_what_is_left_out() -> Iterator[list[str]]:
    """The rows that ``legible`` leaves out meanwhile, in this task and what it starts."""
    noted: list[str] = []
    token = _left_out.set(noted)
    try:
        yield noted
    finally:
        _left_out.reset(token)
