"""A picture drawn in a process of its own, which ends with it and so gives the memory of it back.

Started as a program, this is that process: what to draw comes on standard input, the picture goes to standard
output. It imports no more than that takes.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import sys
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import bot
from bot.domain.errors import NotFound, Unavailable
from bot.slack.views.blocks import File

log = logging.getLogger(__name__)

Draw = Callable[..., Awaitable[File]]
"""Calls a function of the views with its arguments, wherever that is."""

PATIENCE: Final = 60.0  # seconds for a picture, which takes one
_POLITE: Final = 5  # what the process gives way to: the bot itself


async def drawn_apart(view: Callable[..., File], *arguments: Any) -> File:
    """In a process of its own.

    Raises NotFound where what draws is not installed, and Unavailable when it does not end well.
    """
    if find_spec("matplotlib") is None:
        raise NotFound(
            "Charts need the bot's extra “charts”, which is not installed here. Ask whoever runs the bot to "
            "add it."
        )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1])},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            made, said = await process.communicate(pickle.dumps((view, arguments)))
    except TimeoutError:
        made, said = b"", b"it took too long"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if said:
        log.warning("of a chart that is drawn: %s", said.decode(errors="replace").strip())
    if not made or process.returncode:
        raise Unavailable("The chart could not be drawn. Please ask again in a minute.")
    picture: File = pickle.loads(made)  # noqa: S301 - from a process of ours
    return picture


def _draw_one() -> None:
    with contextlib.suppress(AttributeError, OSError):  # Windows knows no niceness
        os.nice(_POLITE)
    view, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    sys.stdout.buffer.write(pickle.dumps(view(*arguments)))


if __name__ == "__main__":
    _draw_one()
