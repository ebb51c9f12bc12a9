"""How long what is over is kept. Then it is forgotten, some of it each hour."""

from datetime import timedelta
from typing import Final

KEPT: Final = timedelta(days=365)  # the audit log; cards, rollouts, incidents and the like, after their end
FLEET_HISTORY: Final = timedelta(days=90)
WRITES_KEPT: Final = timedelta(days=7)  # for Undo, and for a late click that is told so
PLAN_KEPT: Final = timedelta(days=1)  # after it has expired
HEARD_KEPT: Final = timedelta(hours=2)  # Slack delivers an event again for an hour at most
