"""In whose hands an incident is: who takes it, takes it over, gives it back or gives it to somebody else."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.access import Action, Actor, refused
from bot.domain.alerts.incidents import Acknowledgement, Incident, forgotten, number_in
from bot.domain.errors import InvalidInput, NotFound, Stale
from bot.domain.incident_kinds import IncidentId

MOST_NOTE = 500  # characters
_JUST_NOW = timedelta(minutes=2)


class Handed(StrEnum):
    """How it comes into other hands."""

    ACKNOWLEDGED = "acknowledged"
    TAKEN_OVER = "taken_over"
    GIVEN_BACK = "given_back"
    ASSIGNED = "assigned"


@dataclass(frozen=True, slots=True)
class NamedIncident:
    """What follows a word such as ``take``: the incident, if it is named, and what is left."""

    incident: IncidentId | None
    rest: str


def named_in(text: str) -> NamedIncident:
    """``A-10 on my way``, or a note alone; a bare number counts only where nothing follows it."""
    first, _, rest = text.strip().partition(" ")
    number = number_in(first)
    if number is not None and (not rest or not first.isdigit()):
        return NamedIncident(number, rest.strip())
    return NamedIncident(None, text.strip())


def checked_note(text: str | None) -> str | None:
    """Raises InvalidInput for one that is too long. “because” before it says nothing."""
    note = re.sub(r"^because\s+", "", (text or "").strip(), flags=re.IGNORECASE)
    if len(note) > MOST_NOTE:
        raise InvalidInput(f"That note has {len(note)} characters; {MOST_NOTE} are the most. Write less.")
    return note or None


def check_as_drawn(incident: Incident | None, version: int | None, now: datetime) -> Incident:
    """Raises NotFound or Stale for what is over, or is not as a button was drawn; None: as it is now."""
    if incident is None:
        raise forgotten()
    if not incident.state.is_live:
        raise Stale(f"{incident.title} {incident.place} is over, so nobody needs to have it any more.")
    if version is not None and incident.version != version:
        raise _changed(incident, now)
    return incident


def refuse_acknowledgement(incident: Incident | None, user_id: str, now: datetime) -> Stale | NotFound:
    """The sentence for somebody whose acknowledgement came too late. The end beats a late one."""
    if incident is None:
        return forgotten()
    if not incident.state.is_live:
        return Stale(f"{incident.title} {incident.place} is over, so there is nothing left to acknowledge.")
    taken = incident.acknowledged
    if taken is None:
        return _changed(incident, now)
    who = "You" if taken.user_id == user_id else taken.name
    then = "." if who == "You" else f": /mesh take {incident.title} takes it over."
    return Stale(f"{who} acknowledged {incident.title} {_when(taken, now)}{then}")


def check_take_over(incident: Incident, actor: Actor) -> Acknowledgement | None:
    """Who has it until now; None where nobody has. Raises Stale for one's own."""
    taken = incident.acknowledged
    if taken is not None and taken.user_id == actor.user_id:
        raise Stale(f"You have {incident.title} already.")
    return taken


def check_give_back(incident: Incident, actor: Actor) -> Acknowledgement:
    """Only who has it gives it back. Raises Stale."""
    taken = incident.acknowledged
    if taken is None:
        raise Stale(f"Nobody has {incident.title}, so there is nothing to give back.")
    if taken.user_id != actor.user_id:
        raise Stale(f"{taken.name} has {incident.title}, not you. Take it over first.")
    return taken


def check_assign(incident: Incident, person: Actor) -> None:
    """Whoever gets it must be able to do something about it. Raises NotAllowed, RoleUnknown, or Stale."""
    if not person.may(Action.ACKNOWLEDGE):
        said = f"{person.name} may not {Action.ACKNOWLEDGE}. Choose an operator for {incident.title}."
        raise refused(person, Action.ACKNOWLEDGE, said)
    if incident.acknowledged is not None and incident.acknowledged.user_id == person.user_id:
        raise Stale(f"{person.name} has {incident.title} already.")


def _changed(incident: Incident, now: datetime) -> Stale:
    taken = incident.acknowledged
    has = f"{taken.name} has it {_since(taken, now)}." if taken is not None else "Nobody has it now."
    return Stale(f"{incident.title} changed since the button was drawn. {has} Please look at its card again.")


def _since(taken: Acknowledgement, now: datetime) -> str:
    return "since a moment ago" if now - taken.at < _JUST_NOW else "already"


def _when(taken: Acknowledgement, now: datetime) -> str:
    return "a moment ago" if now - taken.at < _JUST_NOW else "already"
