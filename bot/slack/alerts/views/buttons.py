"""The buttons of an incident, wherever it is shown, and the dialog that gives it to somebody."""

from collections.abc import Sequence

from bot.domain.alerts.acknowledgements import MOST_NOTE
from bot.domain.alerts.incidents import Incident
from bot.domain.incident_kinds import IncidentKind
from bot.slack import ids
from bot.slack.alerts.views.headline import headline
from bot.slack.ids import CardRef, PageRef, PlanRef
from bot.slack.views.blocks import Block, Style, View, bold, button, confirm, count, section
from bot.slack.views.modals import modal, person_input, text_input

ON_CARDS = "cards"  # where no list is drawn again: a card and the home tab change by themselves


def hands(
    incident: Incident, page: PageRef | None = None, reader: str | None = None
) -> Sequence[Block | None]:
    """Who has it, and how that changes. ``page``: of the answer to draw again; a card has none, it changes by
    itself. ``reader``: for whom it is drawn; a card is for everybody.
    """
    assign = _button("Assign…", ids.INCIDENT_ASSIGN, incident)
    if (taken := incident.acknowledged) is None:
        return [_button("Acknowledge", ids.INCIDENT_ACK, incident, page, "primary"), assign]
    take_over = _button("Take over", ids.INCIDENT_TAKE_OVER, incident, page)
    give_back = _button("Give back", ids.INCIDENT_GIVE_BACK, incident, page)
    return [
        None if reader == taken.user_id else take_over,
        give_back if reader in {None, taken.user_id} else None,
        assign,
    ]


def acknowledge_everything(incident: Incident) -> Block | None:
    """On the card of a mass outage that nobody has, for what else the same outage opened."""
    if incident.kind is not IncidentKind.STORM or incident.acknowledged is not None:
        return None
    sure = confirm("Acknowledge all?", "Every open alert that nobody has becomes yours.", "Acknowledge all")
    return button("Acknowledge all", ids.INCIDENT_ACK_ALL, PageRef(ON_CARDS), confirm=sure)


def silence(incident: Incident) -> Block:
    return _button("Silence", ids.INCIDENT_SILENCE, incident)


def details(incident: Incident) -> Block:
    return _button("Details", ids.INCIDENT_DETAILS, incident)


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


def update(incident: Incident) -> Block | None:
    """Where its gateways run a bad version: opens the dialog of updates with those chosen."""
    if (policy := incident.policy) is None:
        return None
    ref = PlanRef(query=f"{policy.query} {policy.running_it}".strip())
    many = count(incident.tally.down, "gateway")
    return button(f"Update {many}…", ids.ROLLOUT_FORM, ref, label=f"Update the gateways of {incident.title}")


def assign_modal(incident: Incident, channel: str) -> View:
    """To whom, with a note; ``channel`` is where the button was."""
    return modal(
        f"Assign {incident.title}",
        [
            section(bold(headline(incident))),
            person_input(ids.PERSON, "To", hint="They have it at once, and get a direct message."),
            text_input(ids.NOTE, "Note", optional=True, multiline=True, most=MOST_NOTE),
        ],
        callback_id=ids.INCIDENT_ASSIGN,
        ref=CardRef(str(incident.id), incident.version, channel=channel),
        submit="Assign",
    )


def _button(
    text: str, action_id: str, incident: Incident, page: PageRef | None = None, style: Style | None = None
) -> Block:
    ref = CardRef(str(incident.id), incident.version, page)
    return button(text, action_id, ref, style=style, label=f"{text.rstrip('…')} {incident.title}")
