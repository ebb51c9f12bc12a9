"""What a chart says in words, and that no name can keep it from being drawn."""

import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from struct import unpack
from zoneinfo import ZoneInfo

import pytest

from bot.domain.fleet.charts import DEFAULT_PERIOD, OfflineChart, Replay, Track, firmware_chart
from bot.domain.gateways import FleetEventKind
from bot.slack.fleet.views import charts as views
from bot.slack.fleet.views.charts import (
    PIXELS,
    firmware_picture,
    firmware_words,
    offline_picture,
    offline_words,
    sent,
)
from bot.slack.views.blocks import File
from tests.slack.shown import NAMES, sendable
from tests.worlds.builders import LONG_AGO, NOW

OSLO = ZoneInfo("Europe/Oslo")
HOUR = timedelta(hours=1)
# Besides what Slack reads as markup: what mathtext, a font and the direction of writing trip over.
HOSTILE = (
    *NAMES,
    "$x^2$",
    "$\\frac{",
    "日本語",
    "موقع",
    "עיר",
    "😀",
    "\n\t",
    "\ud800",
    "\x00",
    "e\u0301",
    "\U0001f9ff" * 50,
)


def chart(tracks: Iterable[Track], since: timedelta = timedelta(days=30)) -> OfflineChart:
    replay = Replay(NOW - since, DEFAULT_PERIOD, NOW)
    replay.add(tracks)
    return replay.chart()


def outage(site: str, gateways: int = 1) -> Track:
    """Offline from two hours ago to one hour ago."""
    events = ((FleetEventKind.WENT_OFFLINE, NOW - 2 * HOUR), (FleetEventKind.CAME_BACK, NOW - HOUR))
    return Track(site, False, LONG_AGO, gateways, events)


def size(picture: File) -> tuple[int, ...]:
    assert picture.content.startswith(b"\x89PNG\r\n\x1a\n")
    return unpack(">II", picture.content[16:24])


@pytest.mark.parametrize("sites", [1, 6, 60])
def test_a_fleet_of_any_number_of_sites_is_drawn_at_twice_the_size_of_a_phone(sites: int) -> None:
    assert size(offline_picture(chart(outage(f"site {number}") for number in range(sites)), OSLO)) == PIXELS


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 4))
def test_no_name_keeps_a_chart_from_being_drawn(first: int) -> None:
    names = HOSTILE[first : first + 4]
    offline = offline_picture(chart(map(outage, names)), OSLO, names[0])
    firmware = firmware_picture(firmware_chart((name, name, 3) for name in names), names[-1])
    assert (size(offline), size(firmware)) == (PIXELS, PIXELS)
    for picture in (offline, firmware):
        assert "\u202e" not in picture.alt + picture.title
        sendable(sent(picture))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_chart_that_slack_draws_is_within_its_limits_whatever_things_are_called(name: str) -> None:
    sites = [outage(f"{name}{number}" if number % 2 else f"site {number}") for number in range(9)]
    drawn = sendable(views.offline_chart(chart(sites), OSLO, name))
    assert [block["type"] for block in drawn.newer] in (["data_visualization", "context"], [])
    versions = [("2011", f"{name}{number}"[-20:], number + 1) for number in range(30)]
    sendable(views.firmware_chart(firmware_chart(versions), name))


def test_slack_s_own_chart_has_a_point_for_as_much_time_as_fits_and_says_the_same_in_words() -> None:
    message = sendable(views.offline_chart(chart([outage("oslo"), outage("bergen", 3)], 5 * HOUR), OSLO))
    drawn, words = message.newer
    (whole, *sites), axis = drawn["chart"]["series"], drawn["chart"]["axis_config"]["categories"]
    assert [one["name"] for one in (whole, *sites)] == ["All gateways", "bergen", "oslo"]
    assert 10 < len(axis) == len(whole["data"]) <= 20
    assert {point["value"] for point in whole["data"]} == {0.0, 100.0}
    assert "All 4 gateways" in words["elements"][0]["text"]


def test_slack_s_own_chart_of_firmware_has_a_bar_for_each_model_on_each_version() -> None:
    found = firmware_chart([("2011", "3.4.1", 30), ("2012", "3.4.1", 2), ("2012", "3.3.0", 5)])
    drawn = sendable(views.firmware_chart(found, no_past=True)).newer[0]["chart"]
    bars = {one["name"]: [(p["label"], p["value"]) for p in one["data"]] for one in drawn["series"]}
    assert bars == {
        "Model 2011": [("3.4.1", 30), ("3.3.0", 0)],
        "Model 2012": [("3.4.1", 2), ("3.3.0", 5)],
    }


def test_the_words_of_an_offline_chart_say_what_it_shows() -> None:
    said = offline_words(
        chart([outage("Kyiv-office", 3), Track("oslo", False, LONG_AGO, 37)]), OSLO, "model:2011"
    )
    assert said == (
        "The share of gateways offline of model:2011 from 22 Feb 13:00 to 1 Mar 13:00 (Europe/Oslo).\n"
        "All 40 gateways: 0 offline now, under 0.1 % on average, at most 3.8 % around 1 Mar 12:00.\n"
        "Kyiv-office (3 gateways): 0 offline now, 0.6 % on average, at most 50 % around 1 Mar 12:00.\n"
        "1 other site: none was offline."
    )


def test_the_picture_names_the_time_zone_of_its_axis() -> None:
    drawn = chart([outage("oslo")])
    here, there = offline_picture(drawn, OSLO), offline_picture(drawn, ZoneInfo("Europe/Berlin"))
    assert here.content == offline_picture(drawn, OSLO).content
    assert here.content != there.content, "the same hours, by another name"


def test_a_short_history_is_told() -> None:
    young = Track("oslo", False, NOW - 3 * HOUR)
    assert "since they are not known for longer" in offline_words(chart([young], since=3 * HOUR), OSLO)


def test_the_words_of_a_firmware_chart_say_what_it_shows() -> None:
    counts = [("2011", "3.5.0", 30), ("2011", "", 2), ("", "1.0.0", 1)]
    assert firmware_words(firmware_chart(counts)) == (
        "The firmware of 33 gateways.\nmodel 2011: 3.5.0 on 30, unknown on 2.\nno model: 1.0.0 on 1."
    )


def test_the_answer_says_where_the_chart_is_and_what_it_shows() -> None:
    answer = sendable(sent(firmware_picture(firmware_chart([("2011", "3.5.0", 30)])), no_past=True))
    assert "as a direct message" in answer.text
    assert "3.5.0 on 30" in answer.text
    assert "a period changes nothing" in answer.text


def test_the_plotting_library_is_loaded_with_the_first_chart_and_not_before() -> None:
    look = "import sys, bot.app; sys.exit('matplotlib' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
