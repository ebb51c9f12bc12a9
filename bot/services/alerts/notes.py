"""What is said in the threads of incidents when gateways join, and whose acknowledgement they outgrow."""

from collections.abc import Sequence
from datetime import datetime

from bot.domain.alerts.acknowledgements import Handed
from bot.domain.alerts.incidents import FIRST_GATEWAYS, Acknowledgement, Growth, Incident, has_grown
from bot.domain.audit import BOT, AuditAction, AuditEntry
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId
from bot.storage import audit, preferences
from bot.storage.alerts import acknowledgements, incidents, reminders
from bot.storage.alerts import membership as store
from bot.storage.alerts.membership import Moved
from bot.storage.cards import cards
from bot.storage.cards.cards import About, CardKind
from bot.storage.db.engine import Transaction

JOINED = "incident_joined"  # the kind of the note about gateways that joined a posted incident
GATEWAYS = "incident_gateways"  # the kind of the note with the file of all gateways
HANDED = "incident_handed"  # of the note that somebody else has it, or nobody
FOR_YOU = "incident_for_you"  # of the direct message to whom it was given
RECOVERED = "incident_recovered"  # of the note that it is over
NAMED = 3  # gateways that a note about those that joined names


async def tell_joined(connection: Transaction, moved: Moved, ids: Sequence[GatewayId], at: datetime) -> None:
    """Tells the threads of incidents that are posted already; the others have no thread yet. The channel
    hears of those that have grown, and whoever acknowledged one has it no longer.
    """
    larger = await reminders.larger(connection, list(moved))
    grown = {found.incident: found for found in larger if has_grown(found)}
    if grown:
        await acknowledgements.tell(connection, list(grown), at)
    for found in grown.values():
        await _record_lapse(connection, found, at)
    posted = await store.which_are_open(connection, list(moved))
    sizes = await incidents.larger_than(connection, posted, FIRST_GATEWAYS)
    for incident_id in posted:
        loud = incident_id in grown
        joined = await store.who_joined(connection, incident_id, ids, at, NAMED)
        first = [one.label for one in joined]
        body: dict[str, object] = {"incident": incident_id, "count": moved[incident_id], "first": first}
        if loud:
            body |= _growth(grown[incident_id])
        key = f"{notes_of(incident_id)}joined/{at.isoformat()}/{joined[0].id}"
        await cards.add_note(connection, about(incident_id), key, JOINED, body, at, broadcast=loud, live=loud)
        size = sizes.get(incident_id, 0)
        if size and size - moved[incident_id] <= FIRST_GATEWAYS:
            await add_file(connection, incident_id, at)
        elif size and loud:
            await add_file(connection, incident_id, at, f"/{at.isoformat()}")


async def add_file(connection: Transaction, incident_id: IncidentId, at: datetime, again: str = "") -> None:
    """The gateways that a card does not name follow into its thread as a file, once for each ``again``."""
    key = f"{notes_of(incident_id)}file{again}"
    await cards.add_note(connection, about(incident_id), key, GATEWAYS, {"incident": incident_id}, at)


async def tell_handed(
    connection: Transaction,
    incident: Incident,
    what: Handed,
    by: str,
    before: Acknowledgement | None,
    at: datetime,
    words: str | None = None,
) -> None:
    """Says in its thread, not to the channel, what somebody did; who had it ``before`` is mentioned, once."""
    body: dict[str, object] = {"incident": incident.id, "what": what.value, "by": by, "note": words}
    if incident.acknowledged is not None:
        body["to"] = incident.acknowledged.name
    if before is not None:
        body["from"] = before.name
    once = {"user": before.user_id} if before is not None else None
    key = f"{notes_of(incident.id)}handed/v{incident.version}"
    await cards.add_note(connection, about(incident.id), key, HANDED, body, at, once=once)


async def tell_assigned(connection: Transaction, incident: Incident, to: Acknowledgement, by: str) -> None:
    """Writes to whoever has it now, unless they want no direct messages."""
    key = f"{notes_of(incident.id)}assigned/v{incident.version}"
    body = {"incident": incident.id, "by": by, "note": to.note}
    await preferences.tell(connection, to.user_id, key, FOR_YOU, body, to.at)


async def tell_recovered(connection: Transaction, ids: Sequence[IncidentId], at: datetime) -> None:
    """One quiet line in the thread of each, which mentions whoever has it; what the channel was told ends."""
    had = await acknowledgements.who_has(connection, ids) if ids else {}
    for incident_id in ids:
        once = {"user": had[incident_id]} if incident_id in had else None
        key, body = f"{notes_of(incident_id)}recovered", {"incident": incident_id}
        await cards.add_note(connection, about(incident_id), key, RECOVERED, body, at, once=once)
    await cards.touch_notes(connection, *map(notes_of, ids))


def notes_of(incident_id: IncidentId) -> str:
    """How the keys of all notes about it begin."""
    return f"incident/{incident_id}/"


def about(incident_id: IncidentId) -> About:
    return About(CardKind.INCIDENT, str(incident_id))


def _growth(grown: Growth) -> dict[str, object]:
    """What the note says of it beside who joined."""
    body: dict[str, object] = {"told": grown.told, "down": grown.down}
    if grown.acknowledged is not None:
        body |= {"user": grown.acknowledged.user_id, "at": grown.acknowledged.at.isoformat()}
    return body


async def _record_lapse(connection: Transaction, grown: Growth, at: datetime) -> None:
    incident = await incidents.load(connection, grown.incident)
    if incident is None or grown.acknowledged is None:
        return
    entry = AuditEntry(
        at=at,
        actor=BOT,
        action=AuditAction.END_ACKNOWLEDGEMENT,
        subject=incident.audited,
        before=f"{grown.told:,} offline, acknowledged by {grown.acknowledged.name}",
        after=f"{grown.down:,} offline",
    )
    await audit.record(connection, entry)
