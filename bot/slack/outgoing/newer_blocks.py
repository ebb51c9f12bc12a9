"""Whether the workspace takes Slack's newer blocks, which are handed out to one after the other.

Nobody can ask; a message that holds one is either shown or refused with ``invalid_blocks``. So the first is
the question, its refusal loses nothing, since the older form is sent at once, and the answer is kept for all.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from bot.slack.views.blocks import Message

log = logging.getLogger(__name__)

REFUSAL: Final = "invalid_blocks"
ASKED_AGAIN: Final = timedelta(hours=6)


class NewerBlocks:
    """What one process knows of its workspace; a restart asks again, and so do six hours."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refused_at: float | None = None

    def suits(self, message: Message) -> bool:
        """Whether the newer form of a message is to be tried."""
        return bool(message.newer) and not self._is_refused

    def refused(self, detail: str) -> None:
        """Slack did not take one."""
        if not self._is_refused:
            log.warning("Slack does not take its newer blocks here, so I send lines instead: %s", detail)
        self._refused_at = self._monotonic()

    @property
    def _is_refused(self) -> bool:
        at = self._refused_at
        return at is not None and self._monotonic() - at < ASKED_AGAIN.total_seconds()
