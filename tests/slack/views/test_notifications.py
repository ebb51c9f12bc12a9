"""What a phone shows first of each card and note that the bot posts: what it is about, and its number."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from bot.domain.alerts.maintenance import end
from bot.domain.alerts.silences import Silence, SilenceId
from bot.domain.incident_kinds import IncidentKind
from bot.domain.rollouts.events import Person, RecordedEvent, TimelineEntry
from bot.domain.rollouts.lifecycle import RolloutId, RolloutState
from bot.slack.alerts.views import lists as alerts
from bot.slack.alerts.views import maintenance, silences
from bot.slack.alerts.views import notes as alert_notes
from bot.slack.alerts.views.card import card as alert_card
from bot.slack.rollouts.views import freezes, notes
from bot.slack.views import subscriptions
from tests.slack.alerts.views.test_card import RULES, incident
from tests.slack.phone import FIRST, unnamed
from tests.worlds.builders import maintenance as window_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LONG = "a-place-with-a-name-that-is-longer-than-any-place-should-have-it"
SAMPLES: Mapping[str, Any] = {
    "int": 3,
    "str": "a reason that goes on",
    "bool": False,
    "datetime": NOW,
    "IncidentKind": IncidentKind.OFFLINE,
}


def sample(event: type[Any]) -> Any:
    """An event with something in each field; what may be absent is."""
    given = {}
    for one in fields(event):
        kind = one.type if isinstance(one.type, str) else getattr(one.type, "__name__", str(one.type))
        given[one.name] = () if "tuple" in str(one.type) else SAMPLES.get(kind)
    return event(**given)


@pytest.mark.parametrize("event", get_args(RecordedEvent), ids=lambda event: event.__name__)
@pytest.mark.parametrize("by", [Person("U0ANA00001", "Ana"), None], ids=["a person", "the bot"])
def test_what_happens_in_a_rollout_begins_with_its_number(event: type[Any], by: Person | None) -> None:
    entry = TimelineEntry(RolloutId(7), NOW, by, sample(event), 1)
    assert unnamed(notes.event_words(entry, RolloutState.RUNNING, "R-7 (`3.6.2` for `tag:oslo`)")) is None


@pytest.mark.parametrize("kind", IncidentKind)
def test_a_card_of_an_alert_begins_with_its_number(kind: IncidentKind) -> None:
    assert unnamed(alert_card(replace(incident(), kind=kind), RULES).text) is None


def test_a_card_of_an_alert_names_the_place_and_how_many_gateways() -> None:
    first = alert_card(incident(), RULES).text[:FIRST]
    assert incident().site in first
    assert "gateway" in first


JOINED = {"first": ["MT1"], "count": 3}
NOTES = {
    "joined": alert_notes.joined(incident(), JOINED),
    "outgrown": alert_notes.joined(incident(), {**JOINED, "told": 2, "down": 9}),
    "escalated": alert_notes.escalated(incident(), {"called": ["S0ADMINS01"]}),
    "still yours": alert_notes.still_yours(incident(), {"user": "U0ANA00001"}),
    "taken over": alert_notes.handed(incident(), {"what": "taken_over", "by": "Ben", "from": "Ana"}),
    "for you": alert_notes.for_you(incident(), {"by": "Ana"}),
    "recovered": alert_notes.recovered(incident(), {"user": "U0ANA00001"}),
    "its file": alerts.gateways_note(incident(), ()),
}


@pytest.mark.parametrize("note", NOTES)
def test_a_note_about_an_alert_begins_with_its_number(note: str) -> None:
    assert unnamed(NOTES[note].text) is None


def silence(**changes: Any) -> Silence:
    usual: dict[str, Any] = {
        "id": SilenceId(3),
        "query": f"site:{LONG}",
        "incident_id": None,
        "by": "U0ANA00001",
        "by_name": "Ana",
        "created_at": NOW,
        "until": NOW + timedelta(hours=2),
        "reason": LONG,
    }
    return Silence(**{**usual, **changes})


def test_what_is_said_of_a_silence_begins_with_its_number() -> None:
    body = {"silence": "S-3", "query": f"site:{LONG}", "by": "U0ANA00001", "ended_by": "U0ANA00001"}
    assert unnamed(silences.card(silence(), 4).text) is None
    assert unnamed(silences.card(silence(ended_by="U0ANA00001"), 4).text) is None
    assert unnamed(silences.ended(body).text) is None
    assert unnamed(silences.ending({**body, "until": NOW.isoformat()}).text) is None


def test_what_is_said_of_a_maintenance_window_begins_with_its_number() -> None:
    window = window_of(query=f"site:{LONG}", reason=LONG)
    moments = {"begins": NOW.isoformat(), "ends": NOW.isoformat(), "over": False, "closing": False}
    body = {"window": "M-1", "query": f"site:{LONG}", "limits": [], "by": "U0ANA00001", "reason": LONG}
    assert unnamed(maintenance.card(window, 4).text) is None
    assert unnamed(maintenance.card(end(window, "U0ANA00001", NOW), 4).text) is None
    assert unnamed(maintenance.soon({**body, **moments, "covered": 4}).text) is None
    assert (
        unnamed(maintenance.changed({**body, **moments, "who": "U0BEN00001", "what": "ended"}).text) is None
    )


@pytest.mark.parametrize("what", ["gains", "loses", "kept", "back"])
def test_what_a_channel_hears_of_a_subscription_begins_with_its_number(what: str) -> None:
    body = {"topic": "offline", "query": f"site:{LONG}", "by": "U0ANA00001", "number": 4, "what": what}
    assert unnamed(subscriptions.told({**body, "channel": "C0OPS00001"}).text) is None


@pytest.mark.parametrize("rollouts", [[7, 8], []])
@pytest.mark.parametrize("ended", [False, True])
def test_what_is_said_of_a_freeze_begins_with_the_rollouts_that_it_holds(
    rollouts: list[int], ended: bool
) -> None:
    body = {"ended": ended, "by": "U0ANA00001", "version": "3.6.0", "reason": LONG, "rollouts": rollouts}
    assert unnamed(freezes.told_of_freeze({**body, "still_held": {}}).text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Alert at oslo: nobody has acknowledged this yet.",
        f"The rollout to {LONG} was paused: 5 of 5 canaries failed.",
        f"{LONG} is offline: 3 gateways.",
    ],
)
def test_a_text_that_names_no_number_in_time_is_found(text: str) -> None:
    assert unnamed(text) == text[:FIRST]
