"""The buttons of an incident, wherever it is shown."""

from bot.domain.alerts.incidents import Incident
from bot.slack import ids
from bot.slack.alerts.views.words import where_plain
from bot.slack.ids import CardRef, PageRef
from bot.slack.views.blocks import Block, button, confirm


def acknowledge(incident: Incident, page: PageRef | None = None) -> Block | None:
    """``page``: of the list to draw again. A card has none: it changes by itself."""
    if incident.acknowledged is not None:
        return None
    ref = CardRef(str(incident.id), incident.version, page)
    spoken = f"Acknowledge: {where_plain(incident)}"
    return button("Acknowledge", ids.INCIDENT_ACK, ref, style="primary", label=spoken)


def silence(incident: Incident) -> Block:
    ref = CardRef(str(incident.id), incident.version)
    return button("Silence", ids.INCIDENT_SILENCE, ref, label=f"Silence: {where_plain(incident)}")


def pause_rollout(incident: Incident) -> Block | None:
    """Where the rollout that explains it, or that it is about, still runs."""
    if incident.running_rollout is None:
        return None
    rollout = f"R-{incident.running_rollout}"
    return button(
        f"Pause rollout {rollout}",
        ids.INCIDENT_PAUSE_ROLLOUT,
        CardRef(str(incident.id), incident.rollout_entry),
        style="danger",
        confirm=confirm(
            f"Pause {rollout}?", "Nothing more is started; what has started is still judged.", "Pause"
        ),
    )


def details(incident: Incident) -> Block:
    ref = CardRef(str(incident.id), incident.version)
    return button("Details", ids.INCIDENT_DETAILS, ref, label=f"Details: {where_plain(incident)}")
