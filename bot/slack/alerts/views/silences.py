"""Silences as messages, and the modal that makes one. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import CHOICES, Silence
from bot.slack import ids
from bot.slack.alerts.views.card import where_plain
from bot.slack.ids import CardRef
from bot.slack.views.blocks import (
    Message,
    View,
    bold,
    code,
    count,
    date,
    mention,
    message,
    name,
    nothing_matches,
    section,
    sentence,
    status,
)
from bot.slack.views.lists import buttons, cut_page
from bot.slack.views.modals import date_input, modal, select, text_input

SILENCES = "silences"  # the kind of the list
PAGE = 8
_WORDS = {"30m": "30 minutes", "1h": "1 hour", "4h": "4 hours", "12h": "12 hours", "24h": "24 hours"}


def silenced(silence: Silence, covered: int) -> Message:
    """The answer to whoever silenced."""
    text = (
        f"{status('silenced')} as {bold(silence.title)}: {_what(silence)}, "
        f"{count(covered, 'gateway')} now, until {date(silence.until)}. "
        "Nothing opens, repeats or escalates for them until then; I say so before it ends."
    )
    if not covered:
        text += f"\n{nothing_matches()}"
    return message(text, [section(text)])


def unsilenced(silence: Silence) -> Message:
    return sentence(f"{silence.title} is over. What is still offline is told of after the next listing.")


def listed(silences: Sequence[Silence], offset: int) -> Message:
    """A page of those that hold, the first to end first."""
    if not silences:
        return sentence("No silence holds now.")
    page, place = cut_page(silences, SILENCES, offset, PAGE)
    title = f"{bold(place.says('silence'))}, the first to end first"
    rows = [line(one) for one in page]
    return message("\n".join([title, *rows]), [section(title), *map(section, rows), *buttons(place)])


def line(silence: Silence) -> str:
    """A silence where several are shown."""
    ends = f"until {date(silence.until)}, by {mention(silence.by)}"
    return f"{bold(silence.title)} {_what(silence)} {ends}{_why(silence)}"


def ending(body: Mapping[str, Any]) -> Message:
    """One is about to end."""
    until = datetime.fromisoformat(str(body["until"]))
    what = code(str(body["query"])) if body["query"] else "the gateways of an alert"
    text = (
        f"{status('silenced')}: {body['silence']} by {mention(str(body['by']))}, {what}, ends {date(until)}."
    )
    return message(text, [section(text)])


def silence_modal(incident: Incident, channel: str) -> View:
    """How long, and why. A date goes before a duration; ``channel`` is where the button was."""
    return modal(
        "Silence",
        [
            section(f"Alerts {name(where_plain(incident), 80)} are held for a while, seven days at most."),
            select(ids.DURATION, "For", [(one, _WORDS[one]) for one in CHOICES], initial="1h"),
            date_input(ids.UNTIL, "Or until a day, at most 7 days from now", optional=True),
            text_input(ids.REASON, "Why? Needed above 4 hours", optional=True, most=500),
        ],
        callback_id=ids.INCIDENT_SILENCE,
        ref=CardRef(str(incident.id), incident.version, channel=channel),
        submit="Silence",
    )


def _what(silence: Silence) -> str:
    return code(silence.query) if silence.query else f"the gateways of alert {silence.incident_id}"


def _why(silence: Silence) -> str:
    return f": {name(silence.reason, 100)}" if silence.reason else ""
