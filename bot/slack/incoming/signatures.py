"""Whether a request over HTTP is Slack's and comes for the first time, before anything reads what it holds.

A request that somebody recorded is signed as well. Slack's own repetitions carry a new time stamp, hence a
new signature, so each signature is good once. Of several replicas, the one that claims it acts on it: that is
asked when the request is acknowledged already.
"""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

from slack_sdk.signature import Clock, SignatureVerifier

IsNew = Callable[[str], Awaitable[bool]]
"""Whether no replica acts on what has this key yet: the signature of a request, or the id of an event."""

# A stamp may lie five minutes back or ahead: ten minutes after it came, a request is too old in any case.
_REMEMBERED: Final = 10 * 60.0
_signature: ContextVar[str] = ContextVar("signature", default="")


class SignedRequests:
    """What came so far, for as long as it would be taken again; ``now`` is Unix time in seconds.

    A stamp from before this memory began is refused: the process that ran then may have acted on it.
    """

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._began = int(now())
        self._verifier = SignatureVerifier(secret, _Time(now))
        self._seen: dict[str, float] = {}  # the oldest first

    def is_new(self, body: str, stamp: str, signature: str) -> bool:
        """Whether Slack signed it, in the last five minutes, and it did not come before."""
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20 and signature.isascii()):
            return False  # the verifier would fail on it
        if not self._verifier.is_valid(body, stamp, signature) or int(stamp) < self._began:
            return False
        now = self._now()
        while self._seen and (oldest := next(iter(self._seen.items())))[1] <= now:
            del self._seen[oldest[0]]
        if signature in self._seen:
            return False
        self._seen[signature] = now + _REMEMBERED
        return True


def begin_request(signature: str) -> None:
    """From here on this task, and what it starts, acts on the request with this signature."""
    _signature.set(signature)


async def of_one_process(_: str) -> bool:
    """Without replicas: what this process did not hear before is new."""
    return True


async def is_acted_on_here(is_first: IsNew) -> bool:
    """Whether this task goes on with its request; what came over a socket of ours came to nobody else."""
    signature = _signature.get()
    return not signature or await is_first(signature.removeprefix("v0="))


class _Time(Clock):
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def now(self) -> float:
        return self._now()
