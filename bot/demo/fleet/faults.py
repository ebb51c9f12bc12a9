"""Everything that can go wrong between the bot and the portal, one request at a time.

A fault waits for requests of its operation and spoils the next `times` of them. Nothing here waits by the
clock: what hangs or is slow goes on when it is released.
"""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.demo.fleet.contract import PortalOperation
from bot.demo.fleet.model import mapped

ANY = "*"
HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"
_KEPT = frozenset({"id", "deviceId", "nextToken", "items"})
_WORDS = frozenset({"status", "bootMode"})


class FaultKind(StrEnum):
    STATUS = (
        "status"  # an HTTP status; options: status, body = "json", "html" or "empty", message, retry_after
    )
    RATE_LIMITED = "rate_limited"  # 429; option: retry_after, in seconds or as a date (default 1)
    TRUNCATED = "truncated"  # half of the JSON, as if it were whole
    HTML = "html"  # 200, but a page for people
    RESET = "reset"  # the connection is cut before anything was done
    LOST_ANSWER = "lost_answer"  # it is done, then the connection is cut
    HANG = "hang"  # no answer; once released, the connection is cut and nothing was done
    SLOW = "slow"  # answered properly, once released
    EXPIRED_TOKEN = "expired_token"  # 400 for a request with a next token; others pass by
    UNKNOWN_WORDS = "unknown_words"  # every status is a word nobody has heard of
    NULLS = "nulls"  # everything is null but the ids and the paging


@dataclass(slots=True, eq=False)
class FleetFault:
    """One thing that goes wrong: `reached` is set at its first request, `release` lets waiting ones go."""

    operation: str
    kind: FaultKind
    left: int | None  # None: until cleared
    after: int  # how many matching requests pass before the first one is spoilt
    options: dict[str, Any]
    hits: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, operation: str, *, has_token: bool) -> bool:
        if self.kind is FaultKind.EXPIRED_TOKEN and not has_token:
            return False
        return self.left != 0 and self.operation in (ANY, operation)

    def release(self) -> None:
        self.released.set()

    @property
    def answer(self) -> tuple[int, str, dict[str, Any] | str | None]:
        """The status, the kind of body and the body of a fault that is a plain answer."""
        if self.kind is FaultKind.HTML:
            return 200, "html", HTML.format(self.options.get("message", "Device Management Portal"))
        if self.kind is FaultKind.EXPIRED_TOKEN:
            return 400, "json", {"message": self.options.get("message", "The next token has expired.")}
        status = 429 if self.kind is FaultKind.RATE_LIMITED else int(self.options["status"])
        kind = self.options.get("body", "json")
        message = self.options.get("message", f"Simulated answer {status}")
        return status, kind, HTML.format(message) if kind == "html" else {"message": message}

    @property
    def retry_after(self) -> str | None:
        default = 1 if self.kind is FaultKind.RATE_LIMITED else None
        wanted = self.options.get("retry_after", default)
        return None if wanted is None else str(wanted)


class FleetFaults:
    """The faults that wait for their requests, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[FleetFault] = []
        self._added: list[FleetFault] = []

    def add(
        self,
        operation: str,
        kind: FaultKind | str | int,
        times: int | None = 1,
        *,
        after: int = 0,
        **options: Any,
    ) -> FleetFault:
        """Spoil the next `times` requests of an operation (`*`: of any); None means until cleared.

        A number as `kind` is an HTTP status. `after` lets that many matching requests pass first.
        """
        operation = operation.upper()
        if operation != ANY and operation not in set(PortalOperation):
            raise ValueError(
                f"Not an operation: {operation}. Use {ANY} or one of {', '.join(PortalOperation)}."
            )
        if isinstance(kind, int) or kind.isdecimal():
            options["status"], kind = int(kind), FaultKind.STATUS
        fault = FleetFault(operation, FaultKind(kind), times, after, options)
        self._waiting.append(fault)
        self._added.append(fault)
        return fault

    def take(self, operation: str, *, has_token: bool) -> FleetFault | None:
        """The fault for this request, counted down; None when it goes well."""
        for fault in self._waiting:
            if not fault.matches(operation, has_token=has_token):
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.left is not None:
                fault.left -= 1
                if fault.left == 0:
                    self._waiting.remove(fault)
            fault.hits += 1
            fault.reached.set()
            return fault
        return None

    def release(self) -> None:
        """Let every request go that hangs or is slow."""
        for fault in self._added:
            fault.release()

    def clear(self) -> None:
        """Nothing goes wrong any more; what hangs or is slow is released."""
        self.release()
        self._waiting.clear()
        self._added.clear()

    @property
    def pending(self) -> int:
        """How many faults still wait for a request."""
        return len(self._waiting)


def unknown_words(document: Any) -> Any:
    def change(key: str, value: Any) -> Any:
        return f"{value}_IN_A_NEW_WAY" if key in _WORDS else value

    return mapped(document, change)


def nulls(document: Any) -> Any:
    return mapped(document, lambda key, value: value if key in _KEPT else None)
