"""What needs a second yes: what covers many gateways, or none; and how long a preview can be confirmed."""

from datetime import timedelta
from typing import Final

from bot.domain.errors import Unconfirmed

CONFIRM_WITHIN: Final = timedelta(minutes=30)  # the rows of a file take a while to read
ASKED_ABOVE: Final = 20  # gateways
ASKED_PART: Final = 10  # more than one of so many gateways


def check_confirmed(covered: int, fleet: int, seen: int | None) -> None:
    """Raises Unconfirmed unless it is small, or somebody said yes when it covered ``seen`` gateways."""
    if 0 < covered <= ASKED_ABOVE and covered * ASKED_PART <= fleet:
        return
    if seen is None or covered > seen or (not covered and seen):
        raise Unconfirmed(covered, fleet)
