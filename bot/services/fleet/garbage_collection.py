"""Keeps the garbage collector away from work whose many new objects all stay until it is done."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_was_on: Final[list[bool]] = []  # before the first of them, once for each who keeps it away now


@contextmanager
def no_collecting() -> Iterator[None]:
    """Until the last of those who keep it away at the same time is done.

    Looking through a million objects of a listing again and again takes a sixth of the whole time, and holds
    the event loop up.
    """
    _was_on.append(_was_on[0] if _was_on else gc.isenabled())
    gc.disable()
    try:
        yield
    finally:
        if _was_on.pop() and not _was_on:
            gc.enable()
