"""What is found: a verdict, a sentence with its way out, and the settings that mend it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

SKEW = timedelta(seconds=30)  # HTTP mode refuses requests at five minutes; alerts count minutes


class Verdict(StrEnum):
    """How grave a finding is; the exit status of ``meshbot doctor`` is the gravest one's."""

    OK = "ok"
    FIXED = "fixed"
    NOTE = "note"  # works, and somebody may want to know
    WRONG = "WRONG"  # the bot starts, and something does not work
    FATAL = "FATAL"  # the bot does not start

    @property
    def exit_status(self) -> int:
        return {Verdict.WRONG: 1, Verdict.FATAL: 2}.get(self, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``text`` holds the way out where something is wrong.

    ``settings`` are the variables that mend it. ``fix`` mends it at once, where that is safe, and says what
    it did.
    """

    verdict: Verdict
    what: str
    text: str
    settings: tuple[str, ...] = ()
    fix: Callable[[], Awaitable[str]] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.verdict:<6} {self.what}: {self.text}"

    @property
    def is_wrong(self) -> bool:
        return self.verdict in {Verdict.WRONG, Verdict.FATAL}

    def as_json(self) -> dict[str, Any]:
        said = {"verdict": self.verdict.value.lower(), "what": self.what, "text": self.text}
        return {**said, "settings": list(self.settings)}


Findings = AsyncIterator[Finding]


def ok(what: str, text: str) -> Finding:
    return Finding(Verdict.OK, what, text)


def note(what: str, text: str) -> Finding:
    return Finding(Verdict.NOTE, what, text)


def wrong(what: str, text: str, *settings: str) -> Finding:
    return Finding(Verdict.WRONG, what, text, settings)


def fatal(what: str, text: str, *settings: str) -> Finding:
    return Finding(Verdict.FATAL, what, text, settings)


def clock(whose: str, theirs: datetime, ours: datetime) -> Finding:
    apart = abs(theirs - ours)
    if apart <= SKEW:
        return ok("clock", f"agrees with {whose}'s")
    way = "ahead of" if ours > theirs else "behind"
    return wrong(
        "clock",
        f"this machine's clock is {round(apart.total_seconds())} s {way} {whose}'s. "
        "Switch time synchronisation on (timedatectl set-ntp true).",
    )
