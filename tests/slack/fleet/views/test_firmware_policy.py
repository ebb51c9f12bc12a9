"""The firmware policy as people read it: in its list, in one line, and in the digest."""

from dataclasses import replace

from bot.domain.digests import Digest
from bot.domain.firmware import FirmwarePolicy, PolicyKind
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.gateways import Counts
from bot.slack.fleet.views import firmware_policy as views
from bot.slack.home.views.digests import digest
from bot.slack.home.views.tab import policies as on_the_home_tab
from bot.slack.views.blocks import Message
from tests.worlds.builders import NOW, bad_version

BAD = bad_version("3.3.0", "tag:oslo", 2)
WANTED: FirmwarePolicy = replace(bad_version("3.5.0", "model:2011"), kind=PolicyKind.WANTED, link=None)
ON_IT = PolicyState(BAD, 4, 4, "tag:oslo fw:3.3.0", remedy="3.5.0")
BEHIND = PolicyState(WANTED, 240, 31, "model:2011 fw:<3.5.0", new=3, untold=9)
NOBODY = replace(ON_IT, gateways=0, affected=0)
FROZEN = replace(BEHIND, held="firmware 3.5.0 is frozen by Ada: it bricks")


def listed(*states: PolicyState, operator: bool = True) -> Message:
    return views.listed(states, 0, may_end=operator, may_update=operator)


def values(drawn: Message, text: str) -> list[str]:
    """What the buttons of this text carry."""
    buttons = [one for block in drawn.blocks for one in block.get("elements", ()) if "action_id" in one]
    return [str(one["value"]) for one in buttons if one["text"]["text"] == text]


def test_each_policy_says_whom_it_is_about_and_how_they_stand() -> None:
    text = listed(ON_IT, BEHIND).text
    assert "P-2 3.3.0 is known to be bad for tag:oslo: CVE-2026-1, " in text
    assert "4 gateways run it." in text
    assert (
        "31 of 240 behind 3.5.0, 3 of them first seen in the last day. 9 gateways tell no version to compare."
        in text
    )


def test_its_buttons_plan_the_update_of_just_those_to_the_wanted_version() -> None:
    drawn = listed(ON_IT, BEHIND)
    assert values(drawn, "Update 31 gateways") == ["plan...\n3.5.0\n\n\nmodel:2011 fw:<3.5.0"]
    assert values(drawn, "Update 4 gateways") == ["plan...\n3.5.0\n\n\ntag:oslo fw:3.3.0"]
    assert len(values(drawn, "End")) == 2


def test_who_may_not_update_or_end_has_the_doors_alone() -> None:
    drawn = str(listed(ON_IT, BEHIND, operator=False).blocks)
    assert "'Gateways'" in drawn
    assert "Update" not in drawn
    assert "'End'" not in drawn


def test_of_a_frozen_version_no_update_is_offered() -> None:
    drawn = listed(FROZEN)
    assert "so no update to it starts: firmware 3.5.0 is frozen by Ada" in drawn.text
    assert values(drawn, "Update 31 gateways") == []


def test_one_line_says_it_all() -> None:
    assert views.summary([ON_IT, BEHIND]) == (
        "31 of 240 behind `3.5.0`, 3 of them first seen in the last day; 4 on `3.3.0`, known to be bad"
    )


def test_a_digest_tells_what_is_not_as_wanted_and_offers_the_update() -> None:
    found = Digest("", NOW, Counts(240, 0, 0), NOW, NOW - NOW, policies=[ON_IT, BEHIND])
    drawn = digest(found, {"number": None, "at": "08:00", "zone": "UTC"})
    assert "Firmware policy:" in drawn.text
    assert "31 of 240 behind 3.5.0, 3 of them first seen in the last day" in drawn.text
    assert len(values(drawn, "Update 31 gateways")) == 1


def test_the_home_tab_has_what_is_not_as_wanted() -> None:
    assert on_the_home_tab([], may_update=True) == []
    assert "Every gateway is as it should be." in str(on_the_home_tab([NOBODY], may_update=True))
    drawn = str(on_the_home_tab([ON_IT, FROZEN], may_update=True))
    assert "4 on `3.3.0`, known to be bad for `tag:oslo`" in drawn
    assert "Update 4 gateways" in drawn
    assert "Update 31 gateways" not in drawn
