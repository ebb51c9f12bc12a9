"""When somebody is reminded of an incident: groups while nobody has it, and later whoever has it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.domain.alerts.incidents import Incident
from bot.domain.incident_kinds import IncidentState

FIRST, SECOND = timedelta(minutes=10), timedelta(minutes=30)
EVERY, TIMES = timedelta(hours=1), 5
ACKNOWLEDGED = timedelta(hours=4)
SCHEDULE = (FIRST, SECOND, *(SECOND + EVERY * number for number in range(1, TIMES + 1)))


def reminders_due(incident: Incident, now: datetime) -> int:
    """How many reminders an incident should have had that nobody acknowledged. After a pause only one is
    made up for: the number counts, not what was missed.

    What did not return is louder: its groups are told with its first post. When an acknowledgement ends by
    itself, the count begins anew.
    """
    rules = incident.kind.rules
    if incident.state is not IncidentState.OPEN or incident.acknowledged or not rules.is_reminded:
        return 0
    since = now - incident.reminded_from
    at_once = int(rules.reminds_at_once)
    return at_once + sum(since >= after for after in SCHEDULE)


def called(groups: Sequence[str], of_its_site: str | None) -> Sequence[str]:
    """Who is reminded: a group to call for its site in place of the usual ones, a person beside them."""
    if of_its_site is None:
        return groups
    return [of_its_site] if of_its_site.startswith("S") else [of_its_site, *groups]


def next_reminder(incident: Incident) -> datetime | None:
    """When its groups are told the next time, unless somebody acknowledges it."""
    at_once = int(incident.kind.rules.reminds_at_once)
    made = incident.reminded - at_once
    if incident.acknowledged or not incident.kind.rules.is_reminded or made >= len(SCHEDULE):
        return None
    return incident.reminded_from + SCHEDULE[max(made, 0)]


def next_question(incident: Incident) -> datetime | None:
    """When whoever has it is asked the next time how it goes."""
    taken = incident.acknowledged
    if taken is None or not incident.kind.rules.is_reminded:
        return None
    return max(taken.at, incident.asked_at or taken.at) + ACKNOWLEDGED


def is_acknowledged_for_long(incident: Incident, now: datetime) -> bool:
    """Whether whoever has it should be asked how it goes."""
    due = next_question(incident)
    return incident.state is IncidentState.OPEN and due is not None and now >= due
