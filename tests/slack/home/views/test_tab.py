"""The home tab as blocks: what is open is offered with the buttons that work for the reader."""

from dataclasses import replace

import pytest

from bot.demo.slack.limits import problems_of_view
from bot.domain.alerts.silences import Silence, SilenceId
from bot.domain.gateways import Counts
from bot.domain.incident_kinds import IncidentId, IncidentKind
from bot.slack import ids
from bot.slack.alerts.views.buttons import ON_CARDS
from bot.slack.home.views import tab as views
from bot.slack.home.views.tab import HomeRollout
from bot.slack.ids import PageRef, decode
from bot.slack.views.blocks import Block, section
from bot.slack.views.undrawable import UNDRAWN
from tests.slack.alerts.views.test_card import NOW, incident
from tests.slack.rollouts.views.test_card import rollout
from tests.slack.shown import HOSTILE, LONG
from tests.worlds.builders import maintenance

ACTS = {"may_acknowledge": True, "may_silence": True}
NONE = {"may_acknowledge": False, "may_silence": False}


def offered(blocks: list[Block]) -> list[str]:
    return [one["action_id"] for block in blocks if block["type"] == "actions" for one in block["elements"]]


def test_a_viewer_may_look_into_an_open_alert_and_nothing_else() -> None:
    assert offered(views.incidents([incident()], 1, "U0ANA00001", **NONE)) == [ids.INCIDENT_DETAILS]


def test_an_operator_may_acknowledge_and_silence_it() -> None:
    buttons = offered(views.incidents([incident()], 1, "U0ANA00001", **ACTS))
    assert buttons == [ids.INCIDENT_ACK, ids.INCIDENT_ASSIGN, ids.INCIDENT_SILENCE, ids.INCIDENT_DETAILS]


def test_several_that_nobody_has_are_acknowledged_at_once() -> None:
    several = [replace(incident(), id=IncidentId(number)) for number in (7, 8)]
    (ref,) = (
        decode(one["value"])
        for block in views.incidents(several, 2, "U0ANA00001", **ACTS)
        for one in block.get("elements", ())
        if one["action_id"] == ids.INCIDENT_ACK_ALL
    )
    assert ref == PageRef(ON_CARDS, 0, f"7.{several[0].version},8.{several[1].version}")
    assert ids.INCIDENT_ACK_ALL not in offered(views.incidents(several, 2, "U0ANA00001", **NONE))


def test_visibility_loss_of_the_fleet_cannot_be_silenced() -> None:
    blind = replace(incident(), kind=IncidentKind.VISIBILITY)
    assert ids.INCIDENT_SILENCE not in offered(views.incidents([blind], 1, "U0ANA00001", **ACTS))


def test_of_two_hundred_rollouts_five_are_shown_and_the_command_for_the_rest() -> None:
    live = [HomeRollout(rollout(), frozenset({ids.ROLLOUT_PAUSE}))] * 200
    view = views.tab(views.rollouts("Your rollouts", live))
    assert problems_of_view(view) == []
    assert "and 195 more rollouts: `/mesh rollouts`" in str(view)


def test_every_rollout_has_a_way_to_look_into_it_and_every_silence_its_end() -> None:
    shown = views.rollouts("Your rollouts", [HomeRollout(rollout(), frozenset())])
    assert offered(shown) == [ids.OPEN]
    silence = Silence(SilenceId(1), "tag:oslo", None, "U0ANA00001", "Ana", None, NOW, NOW)
    for may_end in (True, False):
        blocks = views.silences([silence], may_end=may_end)
        assert (ids.SILENCE_END in str(blocks)) is may_end


def test_an_alert_that_cannot_be_drawn_says_so_and_the_others_are_shown() -> None:
    broken = replace(incident(), kind="unheard of")  # type: ignore[arg-type]
    shown = views.incidents([broken, incident()], 2, "U0ANA00001", **NONE)
    assert shown[1] == section(UNDRAWN)
    assert offered(shown) == [ids.INCIDENT_DETAILS]


@pytest.mark.parametrize("text", [HOSTILE, LONG])
def test_whatever_things_are_called_the_tab_fits_and_rings_at_nobody(text: str) -> None:
    hours = NOW.replace(hour=23)
    silence = Silence(SilenceId(1), text, None, "U0ANA00001", text, text, NOW, hours)
    open_ones = [incident(site=text, number=number) for number in range(views.LISTED)]
    parts = [
        *views.fleet(Counts(3, 1, 0), NOW, [(text, 3)] * views.VERSIONS, [], NOW),
        *views.start(),
        *views.incidents(open_ones, 99, "U0ANA00001", **ACTS),
        *views.silences([silence] * 99, may_end=True),
        *views.maintenance([maintenance(query=text, by_name=text, reason=text)] * 99),
    ]
    view = views.tab(parts)
    assert problems_of_view(view) == []
    assert "<!channel>" not in str([block for block in view["blocks"] if block["type"] != "actions"])
    assert "and 94 more silences" in str(view)
