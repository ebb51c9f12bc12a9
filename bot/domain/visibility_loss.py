"""Whether the fleet can be seen at all: so many gateways do not go at once, but listings do fail.

Follows from the last listings alone, so every replica, and one that has just started, says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

FAILURES = 3  # listings that failed in a row
FLEET = 20  # gateways online from which losing half of them says something about the view
CONFIRM = 3  # further listings that say the same make it an outage
LOOKBACK = 12  # listings; fewer than half of half of half are soon none


@dataclass(frozen=True, slots=True)
class ListingOutcome:
    """A listing that ended. The numbers are None where it failed."""

    number: int
    completed: bool
    at: datetime
    online_before: int | None = None
    lost: int | None = None  # of those: now offline, unknown or missing
    online: int | None = None

    @property
    def lost_half(self) -> bool:
        before, lost = self.online_before or 0, self.lost or 0
        return self.completed and before >= FLEET and lost * 2 > before


@dataclass(frozen=True, slots=True)
class VisibilityLoss:
    """Why nobody can tell how the fleet is, and since when."""

    since: datetime
    failures: int = 0
    lost: int = 0
    online_before: int = 0


def visibility_loss(outcomes: Sequence[ListingOutcome]) -> VisibilityLoss | None:
    """``outcomes``: newest first. None while the fleet can be seen, and when what was lost is an outage."""
    failed = _failed_in_a_row(outcomes)
    if len(failed) >= FAILURES:
        return VisibilityLoss(failed[-1].at, failures=len(failed))
    completed = [outcome for outcome in outcomes if outcome.completed]
    for after, outcome in enumerate(completed[:CONFIRM]):
        if outcome.lost_half:
            before = outcome.online_before or 0
            if all((later.online or 0) * 2 <= before for later in completed[:after]):
                return VisibilityLoss(outcome.at, lost=outcome.lost or 0, online_before=before)
            return None
    return None


def is_outage(outcomes: Sequence[ListingOutcome]) -> bool:
    """Whether the half that was lost stayed lost: then it was not the view that failed."""
    completed = [outcome for outcome in outcomes if outcome.completed]
    if not outcomes or not outcomes[0].completed or len(completed) <= CONFIRM:
        return False
    lost, later = completed[CONFIRM], completed[:CONFIRM]
    before = lost.online_before or 0
    return lost.lost_half and all((outcome.online or 0) * 2 <= before for outcome in later)


def _failed_in_a_row(outcomes: Sequence[ListingOutcome]) -> list[ListingOutcome]:
    found: list[ListingOutcome] = []
    for outcome in outcomes:
        if outcome.completed:
            break
        found.append(outcome)
    return found
