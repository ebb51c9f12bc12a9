"""Reading the fleet from Slack."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.demo.fleet.simulator import FleetSimulator
from bot.domain.errors import InvalidInput, NotAllowed, NotFound
from bot.slack import ids
from bot.slack.ids import PageRef
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.listeners import Click
from bot.slack.paging import ListHandler, list_clicks
from bot.slack.views.blocks import Message, sentence
from tests.slack.fleet.room import ANA, GUEST, START, VERA, Room, device, opened
from tests.slack.shown import HOSTILE, Answers, buttons


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """Thirty gateways at oslo, two dark at the Kyiv office, one of them with a hostile name."""
    dark: dict[str, Any] = {"connected": False, "labels": ["Kyiv office"], "firmware": "3.3.0"}
    fleet = [device(number) for number in range(30)]
    fleet.append(device(100, changed_at=START - timedelta(hours=2, minutes=5), **dark))
    fleet.append(device(101, HOSTILE, changed_at=START - timedelta(minutes=30), **dark))
    async with opened(tmp_path, *fleet) as made:
        yield made


# ---- devices
async def test_devices_are_listed_worst_first(room: Room) -> None:
    text = await room.says("devices")
    assert text.startswith("1–10 of 32 gateways: 2 offline, 30 online, as of just now")
    states = [line[:9] for line in text.split("\n")[1::2]]
    assert states == ["🔴 offline"] * 2 + ["🟢 online "] * 8
    assert "🔴 offline MT0100 · for 2 h 5 min\nbmac-0100 · 3.3.0 · model 2011 · Kyiv office" in text


@pytest.mark.parametrize(
    "typed",
    [
        'devices tag:"Kyiv office"',
        "devices tag:“Kyiv office”",
        "devices fw:&lt;3.4.1",
        "devices –tag:oslo",
        "DEVICES\u00a0IS:Offline",
        "devices <http://is:offline|is:offline>",
    ],
)
async def test_a_query_is_understood_however_slack_sends_it(room: Room, typed: str) -> None:
    assert (await room.says(typed)).startswith("2 gateways")


async def test_a_query_that_makes_no_sense_is_answered_with_its_term(room: Room) -> None:
    with pytest.raises(InvalidInput, match="tga:oslo"):
        await room.says("devices tga:oslo")


@pytest.mark.parametrize("typed", ["silnce tag:oslo for 2h", "updaet tag:oslo to 3.5.0"])
async def test_a_misspelt_command_with_a_query_is_told_its_name(room: Room, typed: str) -> None:
    said = await room.says(typed)
    assert "I do not know" in said
    assert "No gateway matches" not in said


async def test_a_query_that_finds_nothing_says_what_to_try(room: Room) -> None:
    assert "No gateway matches tag:nowhere" in await room.says("devices tag:nowhere")


async def test_pages_are_turned_with_the_query_they_began_with(room: Room) -> None:
    await room.says("devices tag:oslo")
    assert (await room.clicks(ids.PAGE_NEXT)).startswith("11–20 of 30 gateways for tag:oslo")
    assert (await room.clicks(ids.PAGE_NEXT)).startswith("21–30 of 30")
    assert ids.PAGE_NEXT not in buttons(room.answers.last)
    assert (await room.clicks(ids.PAGE_PREVIOUS)).startswith("11–20 of 30")


async def test_a_page_that_is_there_no_more_gives_the_last_one(room: Room) -> None:
    await room.says("devices")
    await room.clicks(ids.PAGE_NEXT)
    for number in range(14):
        room.portal.remove_device(f"bmac-{number:04}")
    for _ in range(3):
        await room.list_again()
    assert (await room.clicks(ids.PAGE_NEXT)).startswith("11–18 of 18 gateways")


async def test_refresh_shows_what_changed_since(room: Room) -> None:
    await room.says("devices is:offline")
    room.portal.connect(["bmac-0100"])
    room.later(seconds=20)
    assert (await room.clicks(ids.REFRESH)).startswith("1 gateway for is:offline")


async def test_a_refresh_that_fails_shows_what_was_seen_before_and_says_so(room: Room) -> None:
    await room.says("devices")
    room.portal.faults.add("LIST_DEVICES", 400, times=None)
    room.later(seconds=20)
    assert "as of 20 s ago" in await room.clicks(ids.REFRESH)
    assert "could not be listed" in room.answers.added[0].text


async def test_the_csv_file_holds_every_match_and_goes_to_the_asker(room: Room) -> None:
    await room.says("devices is:offline")
    await room.clicks(ids.EXPORT_CSV)
    (name, content, title), said = room.answers.files[0], room.answers.added[0].text
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert {row["id"]: row["name"] for row in rows} == {"bmac-0100": "MT0100", "bmac-0101": HOSTILE}
    assert title == "Gateways for is:offline"
    assert said == f"I sent you {name} with 2 rows as a direct message."


async def test_what_a_guest_clicks_is_refused(room: Room) -> None:
    await room.says("devices")
    with pytest.raises(NotAllowed):
        await room.clicks(ids.EXPORT_CSV, GUEST)
    assert room.answers.files == []


async def test_an_empty_fleet_is_said_to_be_empty(tmp_path: Path) -> None:
    async with opened(tmp_path) as empty:
        assert "The fleet is empty" in await empty.says("devices")


async def test_before_the_first_listing_nobody_is_told_that_the_fleet_is_empty(tmp_path: Path) -> None:
    async with opened(tmp_path, device(1), listed=False) as unseen:
        assert "no poll has been completed" in await unseen.says("devices")
        assert "no poll has been completed" in await unseen.says("tags")
        assert (await unseen.clicks(ids.REFRESH)).startswith("1 tag")


# ---- device
@pytest.mark.parametrize("typed", ["device MT0100", "device “mt0100”", "device BMAC-0100"])
async def test_a_gateway_is_found_by_its_id_or_name(room: Room, typed: str) -> None:
    text = await room.says(typed)
    assert text.startswith("🔴 offline MT0100 for 2 h 5 min")
    assert "Tags: Kyiv office" in text


async def test_a_card_tells_the_last_changes_the_incident_and_the_rollout(room: Room) -> None:
    room.portal.connect(["bmac-0100"])
    await room.list_again()
    room.incidents["bmac-0100"] = "I-7, open"
    room.rollouts["bmac-0100"] = "R-3, wave 2"
    text = await room.says("device MT0100")
    assert "came back online" in text
    assert "Alert: I-7, open" in text
    assert "Rollout: R-3, wave 2" in text


async def test_refresh_redraws_the_card(room: Room) -> None:
    await room.says("device MT0100")
    room.portal.connect(["bmac-0100"])
    room.later(seconds=20)
    assert (await room.clicks(ids.REFRESH)).startswith("🟢 online MT0100")


async def test_a_card_of_a_gateway_that_is_gone_says_so(room: Room) -> None:
    await room.says("device MT0100")
    room.portal.remove_device("bmac-0100")
    for _ in range(3):
        await room.list_again()
    with pytest.raises(NotFound, match="bmac-0100"):
        await room.clicks(ids.REFRESH)


async def test_a_name_of_several_gateways_lists_their_ids(room: Room) -> None:
    room.portal.devices["bmac-0001"].friendly_name = "MT0000"
    await room.list_again()
    with pytest.raises(InvalidInput, match=r"bmac-0000.*bmac-0001"):
        await room.says("device MT0000")


async def test_device_without_a_gateway_asks_which(room: Room) -> None:
    with pytest.raises(InvalidInput, match="Which gateway"):
        await room.says('device ""')


# ---- tags, firmware
async def test_tags_are_listed_with_what_is_offline(room: Room) -> None:
    text = await room.says("tags")
    assert "Kyiv office: 2 gateways, 🔴 offline 2" in text
    assert "oslo: 30 gateways" in text


async def test_firmware_is_listed_with_the_gateways_that_run_it(room: Room) -> None:
    text = await room.says("firmware 2011")
    assert "Model 2011\n" in text
    assert "3.4.1 · 30 gateways on it · " in text
    assert "\ngateway-2011-3.4.1.bin\n" in text
    assert "Model 2012" not in text


async def test_pages_of_firmware_are_turned(room: Room) -> None:
    await room.says("firmware")
    assert (await room.clicks(ids.PAGE_NEXT)).startswith("11–20 of 30 files")


async def test_an_unknown_model_is_answered_with_the_known_ones(room: Room) -> None:
    assert "There is some for 2011, 2012, 2020" in await room.says("firmware 9999")


async def test_a_model_too_long_to_page_is_refused(room: Room) -> None:
    with pytest.raises(InvalidInput, match="1500 at most"):
        await room.says(f"firmware {'9' * 1600}")


async def test_a_fleet_of_hostile_names_is_shown_within_slack_s_limits(tmp_path: Path) -> None:
    wild = FleetSimulator(gateways=120, hostile_names=True).devices.values()
    async with opened(tmp_path, *wild) as room:
        for command in ("devices", "tags", "devices " + "name:<!channel>* " * 3):
            await room.says(command)
        for one in wild:
            await room.says(f"device {one.id}")


# ---- lists in general
def click(kind: str, action_id: str, answers: Answers) -> Click:
    return Click(ANA, "C0OPS", action_id, PageRef(kind, 20, "question"), answers)


async def page(actor: object, offset: int, question: str) -> Message:
    return sentence(f"{question} from {offset}")


async def test_each_list_gets_the_clicks_of_its_own_kind() -> None:
    answers = Answers()
    listeners = list_clicks({"jobs": ListHandler(page)})
    for action_id in (ids.PAGE_NEXT, ids.PAGE_PREVIOUS, ids.REFRESH):
        await listeners[action_id](click("jobs", action_id, answers))
    assert [message.text for message in answers.shown] == ["question from 20"] * 3


async def test_a_list_that_is_not_known_is_refused() -> None:
    for action_id, listener in list_clicks({}).items():
        with pytest.raises(InvalidInput, match="run the command again"):
            await listener(click("jobs", action_id, Answers()))


async def test_a_list_without_a_file_refuses_to_make_one() -> None:
    with pytest.raises(InvalidInput, match="cannot be exported"):
        await list_clicks({"jobs": ListHandler(page)})[ids.EXPORT_CSV](
            click("jobs", ids.EXPORT_CSV, Answers())
        )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ('"North roof"', "North roof"),
        ("MT1", "MT1"),
        ('5" pipe', '5" pipe'),
        ('"', '"'),
        ('"a" "b"', '"a" "b"'),
    ],
)
def test_only_quotes_around_the_whole_are_taken_off(typed: str, meant: str) -> None:
    assert unquoted(typed) == meant


# ---- plain words
async def test_a_bare_word_is_read_as_what_the_fleet_has_and_the_answer_says_so(room: Room) -> None:
    text = await room.says("devices oslo")
    assert text.startswith("1–10 of 30 gateways")
    assert "I read “oslo” as tag:oslo." in text


async def test_what_else_a_word_fits_is_a_button_away(room: Room) -> None:
    await room.says("devices 2011")
    assert "I read “2011” as model:2011." in room.answers.last.text
    assert ids.PAGE_NEXT in buttons(room.answers.last)

    room.portal.add_device(device(200, "Model 2011 on the roof", model="2012"))
    await room.list_again()
    await room.says("devices 2011")
    is_other = re.compile("“2011”").match
    blocks = [block for block in room.answers.last.blocks if "accessory" in block]
    shown = [block for block in blocks if is_other(block["text"]["text"])]
    assert [block["text"]["text"] for block in shown] == ["“2011” is in names or ids too"]
    assert '"2011"' in shown[0]["accessory"]["value"]


async def test_a_tag_that_was_nearly_named_is_offered(room: Room) -> None:
    assert "Did you mean tag:oslo?" in await room.says("devices osol")


async def test_a_text_without_a_command_is_taken_as_a_query(room: Room) -> None:
    assert "MT0003" in await room.says("MT0003")
    assert (await room.says("oslo online")).startswith("1–10 of 30 gateways")
    assert "I do not know “nonsense”" in await room.says("nonsense here")


async def test_a_gateway_is_found_in_a_dialog_from_a_shortcut(room: Room) -> None:
    await room.presses(ids.GATEWAY_FIND)
    found = await room.submits(query="MT0003", actor=VERA)
    assert "bmac-0003" in str(found.view)
    assert "page.device.0.bmac-0003" in str(found.view)
    assert "No gateway matches" in str((await room.submits(query="osol")).view)
    assert ids.QUERY in (await room.submits(query="fw:<")).errors


async def test_undo_shows_the_last_change_with_its_button(room: Room) -> None:
    with pytest.raises(NotFound, match="no rename or change of tags of yours"):
        await room.says("undo", ANA)
    await room.says("rename MT0003 Roof", ANA)
    await room.says("undo", ANA)
    await room.clicks(ids.WRITE_UNDO, ANA)
    assert room.device("bmac-0003").friendly_name == "MT0003"
    with pytest.raises(NotFound, match="no rename or change of tags of yours"):
        await room.says("undo", ANA)
