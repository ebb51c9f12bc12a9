"""What is said about an incident in its thread, and to whom it was given. Pure functions.

The first words are its number, its place and how many are down: that is what a phone shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.domain.alerts.acknowledgements import MOST_NOTE, Handed
from bot.domain.alerts.incidents import Incident
from bot.slack.alerts.views.buttons import details, hands
from bot.slack.alerts.views.headline import NAME, headline, lasted, said_of, subject, who
from bot.slack.views.blocks import (
    Message,
    actions,
    count,
    date,
    duration,
    escape,
    mention,
    mentions,
    message,
    name,
    section,
)
from bot.slack.views.incident_kind_words import words_of

_NUMBERED = 10  # alerts that an answer names


def joined(incident: Incident, body: Mapping[str, Any]) -> Message:
    """More gateways joined an incident that was posted before. Where it has grown, the channel reads this."""
    first, number = [name(str(label), NAME) for label in body["first"]], int(body["count"])
    named = (
        f"{', '.join(first)} and {number - len(first):,} more" if number > len(first) else ", ".join(first)
    )
    if "told" in body and not incident.state.is_live:
        return ended(incident)
    # Some may have joined without a word since it was told how many there are.
    was, more = (
        (f" (was {int(body['told']):,})", "Newest") if "told" in body else ("", count(number, "more gateway"))
    )
    text = f"{headline(incident)}{was}. {more}: {named}.{_grown(incident, body)}"
    return _said(text)


def _grown(incident: Incident, body: Mapping[str, Any]) -> str:
    """Who had it when it outgrew what they said that they look after."""
    if "user" not in body:
        return ""
    told, down = int(body["told"]), int(body["down"])
    given = f"{mention(str(body['user']))} acknowledged {count(told, 'gateway')}"
    did = words_of(incident.kind).more
    since = f"{date(datetime.fromisoformat(body['at']))}; {down - told:,} more {did} since"
    return f" {given} {since}, so nobody has this now. Acknowledge it on its card to take it again."


def escalated(incident: Incident, body: Mapping[str, Any]) -> Message:
    """Those to call are told that nobody has it, in one copy of the card; it says so until somebody has."""
    if not incident.state.is_live:
        return ended(incident)
    if incident.acknowledged is not None:
        return _said(f"{headline(incident)}. {who(incident)}")
    text = f"{headline(incident)}: nobody has acknowledged this yet. {mentions(body.get('called', ()))}"
    return _said(text.rstrip())


def still_yours(incident: Incident, body: Mapping[str, Any]) -> Message:
    """Whoever has it for hours is asked, in one copy of the card."""
    who_has, asks = escape(str(body.get("name", ""))), "It was asked about."
    if "user" in body:
        who_has, asks = mention(str(body["user"])), "Is it still yours?"
    text = f"{headline(incident)}: {who_has} acknowledged this a while ago. {asks}"
    return _said(text)


def ended(incident: Incident) -> Message:
    """In the place of what the channel was told: it is over."""
    return replace(_said(f"{headline(incident)}. {lasted(incident)}"), is_over=True)


def recovered(incident: Incident, body: Mapping[str, Any]) -> Message:
    """One quiet line at its end, which mentions whoever had it in one copy of the card."""
    yours = f" {mention(str(body['user']))}, you had this." if "user" in body else ""
    return _said(f"{_recovered(incident)}{yours}")


def _recovered(incident: Incident) -> str:
    tally, begun = incident.tally, incident.tally.since or incident.opened_at
    lasted_for = duration((tally.until or incident.resolved_at or begun) - begun)
    if incident.kind.rules.trouble is None:
        return f"{headline(incident)}, after {lasted_for}."
    if tally.still_down:
        return f"{headline(incident)}."
    ended = words_of(incident.kind).ended
    return f"🟢 {subject(incident)} {ended} after {lasted_for}: {count(tally.back, 'gateway')}."


def handed(incident: Incident, body: Mapping[str, Any]) -> Message:
    """Who has it now, and from whom: who had it is mentioned in one copy of the card."""
    by, to = escape(str(body["by"])), escape(str(body.get("to", "")))
    before = mention(str(body["user"])) if "user" in body else escape(str(body.get("from", "")))
    match Handed(body["what"]):
        case Handed.ACKNOWLEDGED:
            did = f"{by} acknowledged this"
        case Handed.ASSIGNED:
            did = f"{by} gave this to {to}" + (f"; {before} had it" if before else "")
        case Handed.GIVEN_BACK:
            did = f"{by} gave this back, so nobody has it now"
        case Handed.TAKEN_OVER:
            did = f"{by} took this over from {before}"
    return _said(f"{headline(incident)}. {did}{_words(body)}.")


def for_you(incident: Incident, body: Mapping[str, Any]) -> Message:
    """By direct message, to whom somebody gave it."""
    given = f"{escape(str(body['by']))} gave you this alert{_words(body)}."
    text = f"{headline(incident)}. {given}"
    said = " ".join(said_of(incident))
    taken = incident.acknowledged
    mine = hands(incident, reader=taken.user_id) if taken is not None and incident.state.is_live else ()
    return message(f"{text} {said}", [section(text), section(said), *actions(*mine, details(incident))])


def in_hands_now(incident: Incident, reader: str) -> Message:
    """The answer to whoever changed who has it."""
    taken = incident.acknowledged
    if taken is None:
        return _said(f"{headline(incident)}. Nobody has it now.")
    has = "You have it now" if taken.user_id == reader else f"{escape(taken.name)} has it now"
    return _said(f"{headline(incident)}. {has}.")


def taken_all(taken: Sequence[Incident], missed: int) -> Message:
    """The answer to whoever acknowledged all at once."""
    numbers = ", ".join(one.title for one in taken[:_NUMBERED])
    more = f" and {len(taken) - _NUMBERED:,} more" if len(taken) > _NUMBERED else ""
    said = [f"You have {count(len(taken), 'alert')} now: {numbers}{more}."] if taken else []
    if missed:
        said.append(f"{count(missed, 'alert')} changed since the list was drawn: look at it again.")
    return _said(" ".join(said) or "Every open alert has somebody already.")


def _words(body: Mapping[str, Any]) -> str:
    return f": {name(str(body['note']), MOST_NOTE)}" if body.get("note") else ""


def _said(text: str) -> Message:
    return message(text, [section(text)])
