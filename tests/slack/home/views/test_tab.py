"""The home tab as blocks: what is open is offered with the buttons that work for the reader."""

from dataclasses import replace
from typing import Any

import pytest

from bot.demo.slack.limits import problems_of_view
from bot.domain.alerts.silences import Silence, SilenceId
from bot.domain.gateways import Counts
from bot.domain.incident_kinds import IncidentKind
from bot.slack import ids
from bot.slack.home.views.tab import LISTED, HomePicture, HomeRollout, tab
from tests.slack.alerts.views.test_card import NOW, incident
from tests.slack.rollouts.views.test_card import rollout
from tests.slack.shown import HOSTILE, LONG

ACTS = {"may_acknowledge": True, "may_silence": True, "may_request": True}


def picture(**changes: Any) -> HomePicture:
    empty = HomePicture(
        counts=Counts(3, 1, 0),
        listed_at=NOW,
        versions=[],
        chart=[],
        waiting=[],
        mine=[],
        incidents=[],
        incidents_total=0,
        silences=[],
        may_acknowledge=False,
        may_silence=False,
        may_request=False,
        command="/mesh",
    )
    return replace(empty, **changes)


def offered(shown: HomePicture) -> list[str]:
    blocks = tab(shown, NOW)["blocks"]
    return [one["action_id"] for block in blocks if block["type"] == "actions" for one in block["elements"]]


def test_a_viewer_may_look_into_an_open_alert_and_nothing_else() -> None:
    assert offered(picture(incidents=[incident()], incidents_total=1)) == [ids.INCIDENT_DETAILS]


def test_an_operator_may_acknowledge_and_silence_it() -> None:
    buttons = offered(picture(incidents=[incident()], incidents_total=1, **ACTS))
    assert buttons == [ids.ROLLOUT_FORM, ids.INCIDENT_ACK, ids.INCIDENT_SILENCE, ids.INCIDENT_DETAILS]


def test_visibility_loss_of_the_fleet_cannot_be_silenced() -> None:
    blind = replace(incident(), kind=IncidentKind.VISIBILITY)
    assert ids.INCIDENT_SILENCE not in offered(picture(incidents=[blind], incidents_total=1, **ACTS))


def test_of_two_hundred_rollouts_five_are_shown_and_the_command_for_the_rest() -> None:
    live = [HomeRollout(rollout(), frozenset({ids.ROLLOUT_PAUSE}))] * 200
    view = tab(picture(mine=live), NOW)
    assert problems_of_view(view) == []
    assert "and 195 more rollouts: `/mesh rollouts`" in str(view)


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_whatever_things_are_called_the_tab_fits_and_rings_at_nobody(text: str) -> None:
    hours = NOW.replace(hour=23)
    silence = Silence(SilenceId(1), text, None, "U0ANA00001", text, text, NOW, hours)
    full = picture(
        versions=[(text, 3)] * LISTED,
        incidents=[incident(site=text, number=number) for number in range(LISTED)],
        incidents_total=99,
        silences=[silence] * 99,
        **ACTS,
    )
    view = tab(full, NOW)
    assert problems_of_view(view) == []
    assert "<!channel>" not in str([block for block in view["blocks"] if block["type"] != "actions"])
    assert "and 94 more silences" in str(view)
