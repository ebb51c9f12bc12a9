"""The fleet as messages."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.access import Actor, Role
from bot.domain.firmware import Firmware, FirmwareId
from bot.domain.gateways import (
    Connectivity,
    Counts,
    FleetEvent,
    FleetEventKind,
    Gateway,
    GatewayId,
    KnownGateway,
    RunningVersion,
    TagCount,
)
from bot.slack import ids
from bot.slack.fleet.views import search as views
from bot.slack.ids import GatewayRef, PageRef, PlanRef, decode
from bot.slack.views.blocks import Message
from tests.slack.fleet.room import ANA
from tests.slack.shown import HOSTILE, NAMES, buttons, doors, sendable, words

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SEEN = NOW - timedelta(seconds=20)


def gateway(number: int = 1, **changes: object) -> Gateway:
    values: dict[str, object] = {
        "id": f"bmac-{number:04}",
        "name": f"MT{number}",
        "model": "2011",
        "tags": ("Kyiv-office",),
        "connectivity": Connectivity.OFFLINE,
        "firmware": "3.4.1",
        "hardware": "1.0.0",
    }
    return Gateway(**(values | changes))  # type: ignore[arg-type]


def known(shown: Gateway | None = None, **changes: object) -> KnownGateway:
    values: dict[str, object] = {
        "gateway": shown or gateway(),
        "site": "Kyiv-office",
        "since": NOW - timedelta(hours=2, minutes=5),
        "since_listing": 7,
        "first_seen": NOW - timedelta(days=30),
    }
    return KnownGateway(**(values | changes))  # type: ignore[arg-type]


def hostile(name: str) -> KnownGateway:
    """Every text of the gateway is that name."""
    all_texts = Gateway(
        GatewayId(name), name, name, (name,) * 30, Connectivity.UNKNOWN, None, name, name, name, name, name
    )
    return known(all_texts, site=name, flapping=True, updating=True, missed=2)


def devices(
    rows: Sequence[KnownGateway],
    counts: Counts | None = None,
    offset: int = 0,
    question: str = "",
    seen: datetime | None = SEEN,
) -> Message:
    found = counts or Counts(len(rows), len(rows))
    return sendable(views.devices(rows, found, offset, question, seen, NOW))


def device(one: KnownGateway, *events: FleetEvent, actor: Actor = ANA, **links: str) -> Message:
    return sendable(views.device(views.Card(one, events, SEEN, actor, **links), NOW))


def event(kind: FleetEventKind, before: str | None = None, after: str | None = None) -> FleetEvent:
    return FleetEvent(kind, "bmac-0001", SEEN, 7, before, after)


# ---- lists
def test_a_gateway_in_a_list_begins_with_its_state_as_a_word_and_its_second_line_with_its_id() -> None:
    line = views.device_line(known(), NOW)
    assert line == "🔴 offline *MT1* · for 2 h 5 min\n`bmac-0001` · 3.4.1 · model 2011 · Kyiv-office"


def test_every_row_of_a_list_opens_its_gateway() -> None:
    listed = devices([known(gateway(number)) for number in range(2)])
    assert [str(ref) for _, ref in doors(listed)] == ["page.device.0.bmac-0000", "page.device.0.bmac-0001"]


def test_a_gateway_without_a_name_is_called_by_its_id_once() -> None:
    assert views.device_line(known(gateway(name=None)), NOW).count("bmac-0001") == 1


def test_a_line_says_what_is_missing_instead_of_leaving_a_gap() -> None:
    line = views.device_line(known(gateway(model=None, firmware=None, tags=())), NOW)
    assert "firmware unknown · model unknown · no tag" in line


def test_flapping_updating_and_an_unconfirmed_change_are_marked() -> None:
    line = views.device_line(known(flapping=True, updating=True, written_at=SEEN), NOW)
    assert "🟡 flapping · 🔄 updating" in line
    assert "changed, the next poll will confirm it" in line


def test_a_list_counts_what_matches_and_says_how_old_that_is() -> None:
    text = devices([known()], Counts(240, 12, 3), question="is:offline").text
    assert text.startswith(
        "1–10 of 240 gateways for is:offline: 12 offline, 3 unknown, 225 online, as of 20 s ago"
    )


def test_the_text_of_a_list_says_every_line_of_it() -> None:
    message = devices([known(gateway(number)) for number in range(10)], Counts(10, 10))
    assert all(f"MT{number} " in message.text for number in range(10))


def test_buttons_lead_to_the_pages_around_and_carry_the_query() -> None:
    message = devices([known()], Counts(35, 35), offset=10, question="tag:oslo")
    assert buttons(message) == {
        ids.PAGE_PREVIOUS: PageRef("devices", 0, "tag:oslo"),
        ids.PAGE_NEXT: PageRef("devices", 20, "tag:oslo"),
        ids.REFRESH: PageRef("devices", 10, "tag:oslo"),
        ids.EXPORT_CSV: PageRef("devices", 0, "tag:oslo"),
    }


def test_a_list_of_one_page_has_no_buttons_to_others() -> None:
    assert set(buttons(devices([known()]))) == {ids.REFRESH, ids.EXPORT_CSV}


def test_an_empty_answer_says_what_to_try_and_offers_no_file() -> None:
    message = devices([], question="tag:nowhere")
    assert "No gateway matches tag:nowhere" in message.text
    assert "tags" in message.text
    assert set(buttons(message)) == {ids.REFRESH}


def test_what_holds_for_a_while_is_looked_for_no_other_way() -> None:
    assert "No gateway matches is:flapping now." in devices([], question="is:flapping").text


def test_before_the_first_listing_a_list_says_so() -> None:
    assert "no poll has been completed" in devices([], seen=None).text


@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_any_names_is_within_slack_s_limits_and_keeps_its_buttons(name: str) -> None:
    message = devices([hostile(name)] * 10, Counts(30, 30), 10, question=name)
    assert set(buttons(message)) == {ids.PAGE_NEXT, ids.PAGE_PREVIOUS, ids.REFRESH, ids.EXPORT_CSV}


def test_no_row_gives_way_to_a_button() -> None:
    listed = devices([hostile(HOSTILE * 12)] * 10, Counts(30, 30), 10)
    assert "left out here" not in str(listed.blocks)
    assert doors(listed) == []


# ---- one gateway
def test_a_card_shows_state_facts_and_the_last_changes() -> None:
    message = device(known(), event(FleetEventKind.FIRMWARE, "3.4.0", "3.4.1"))
    for said in ("offline", "MT1", "2 h 5 min", "Kyiv-office", "2011", "1.0.0", "firmware 3.4.0 → 3.4.1"):
        assert said in message.text
        assert said in words(message)


def test_a_card_names_the_open_incident_and_the_rollout() -> None:
    message = device(known(), incident="I-7, open", rollout="R-3, wave 2")
    assert "Alert: I-7, open" in message.text
    assert "Rollout: R-3, wave 2" in words(message)


def test_refresh_on_a_card_carries_the_gateway_s_id() -> None:
    assert buttons(device(known()))[ids.REFRESH] == PageRef("device", 0, "bmac-0001")


def test_a_card_has_a_button_for_each_thing_that_can_be_done_with_its_gateway() -> None:
    gateway_ref = GatewayRef("bmac-0001")
    assert buttons(device(known())) == {
        ids.GATEWAY_RENAME: gateway_ref,
        ids.GATEWAY_TAGS: gateway_ref,
        ids.GATEWAY_SILENCE: gateway_ref,
        ids.ROLLOUT_FORM: PlanRef(model="2011", query='id:"bmac-0001"'),
        ids.OPEN: PageRef("history", 0, "bmac-0001"),
        ids.REFRESH: PageRef("device", 0, "bmac-0001"),
    }
    viewer = Actor("U0VERA", "Vera", Role.VIEWER)
    assert list(buttons(device(known(), actor=viewer))) == [ids.OPEN, ids.REFRESH]


def test_a_card_leaves_out_what_the_vendor_does_not_say() -> None:
    assert "IMEI" not in device(known()).text
    assert "IMEI: 490154203237518" in device(known(gateway(imei="490154203237518"))).text


@pytest.mark.parametrize("name", NAMES)
def test_a_card_of_any_names_is_within_slack_s_limits(name: str) -> None:
    tags = "\n".join(f"{name}{number}" for number in range(20))
    events = [event(kind, name, name) for kind in FleetEventKind]
    device(hostile(name), *events, event(FleetEventKind.TAGGED, None, tags))


@pytest.mark.parametrize(
    ("kind", "before", "after", "said"),
    [
        (FleetEventKind.WENT_OFFLINE, None, None, "went offline"),
        (FleetEventKind.CAME_BACK, None, None, "came back online"),
        (FleetEventKind.FIRMWARE, None, "3.4.1", "firmware none → 3.4.1"),
        (FleetEventKind.RENAMED, "Old", "New", "renamed: Old → New"),
        (FleetEventKind.TAGGED, "oslo\nroof", "roof\nbergen", "tags: +bergen, −oslo"),
        (FleetEventKind.TAGGED, "a\nb", "b\na", "tags: another order"),
        (FleetEventKind.VANISHED, None, None, "vanished from the fleet"),
    ],
)
def test_a_change_is_told_in_words(
    kind: FleetEventKind, before: str | None, after: str | None, said: str
) -> None:
    assert views.event_text(event(kind, before, after)) == said


# ---- tags and firmware
def test_tags_are_listed_with_their_gateways_and_those_offline() -> None:
    message = sendable(views.tags([TagCount("oslo", 40, 2), TagCount("roof", 1, 0)], 0, SEEN, NOW))
    assert "oslo: 40 gateways, 🔴 offline 2\nroof: 1 gateway" in message.text


def test_a_page_of_tags_behind_the_end_is_the_last_one() -> None:
    rows = [TagCount(f"t{number}", 1, 0) for number in range(60)]
    message = sendable(views.tags(rows, 900, SEEN, NOW))
    assert message.text.startswith("51–60 of 60 tags")
    assert buttons(message)[ids.PAGE_PREVIOUS] == PageRef("tags", 25)


def test_without_tags_the_answer_says_how_to_give_one() -> None:
    assert "tag &lt;id or name&gt; +oslo" in sendable(views.tags([], 0, SEEN, NOW)).text


def firmware(version: str | None = "3.4.1", model: str | None = "2011", **changes: str) -> Firmware:
    return Firmware(FirmwareId("fw-1"), model, version, changes.get("file_name"), SEEN)


def test_firmware_is_grouped_by_model_with_the_gateways_that_run_it() -> None:
    rows = [
        (firmware("3.5.0", file_name="gw-3.5.0.bin"), 0),
        (firmware(), 38),
        (firmware("1.0.0", "3000"), 2),
    ]
    text = sendable(views.firmware(rows, "", [], 0)).text
    assert text.startswith("3 files in Meshtech's list:\nModel 2011\n• 3.5.0 · 0 gateways on it · ")
    assert "\ngw-3.5.0.bin\n" in text
    assert "• 3.4.1 · 38 gateways on it" in text
    assert text.index("38 gateways") < text.index("Model 3000") < text.index("2 gateways")


def test_firmware_begins_with_what_runs_with_shares_and_doors() -> None:
    running = [RunningVersion("2011", "3.4.1", 30), RunningVersion("2011", "3.5.0", 10)]
    drawn = sendable(
        views.firmware([(firmware("3.5.0"), 10), (firmware(), 30)], "", [], 0, running, may_update=True)
    )
    assert drawn.text.startswith(
        "What 40 gateways run\n3.4.1 on model 2011  ▰▰▰▰▰▰▰▱▱▱ 75 %, 30 of 40\n3.5.0 on model 2011  ▰▰"
    )
    doors = [one for block in drawn.blocks if block["type"] == "actions" for one in block["elements"]]
    assert [one["text"]["text"] for one in doors] == ["Gateways", "Update…", "Gateways", "Refresh"]
    assert decode(doors[0]["value"]) == PageRef("devices", 0, "model:2011 fw:3.4.1")
    assert decode(doors[1]["value"]) == PlanRef(version="latest", query="model:2011 fw:3.4.1")


def test_an_update_is_offered_to_nobody_who_may_request_none() -> None:
    drawn = views.firmware([(firmware("3.5.0"), 0)], "", [], 0, [RunningVersion("2011", "3.4.1", 30)])
    assert ids.ROLLOUT_REPLAN not in buttons(drawn)


def test_a_model_without_firmware_is_answered_with_those_that_have_some() -> None:
    text = sendable(views.firmware([], "2012", ["2011", "3000"], 0)).text
    assert "no firmware for model 2012. There is some for 2011, 3000" in text


def test_pages_of_firmware_keep_the_model() -> None:
    message = sendable(views.firmware([(firmware(), 1)] * 50, "2011", [], 20))
    assert buttons(message)[ids.PAGE_NEXT] == PageRef("firmware", 30, "2011")


@pytest.mark.parametrize("name", NAMES)
def test_tags_and_firmware_of_any_names_are_within_slack_s_limits(name: str) -> None:
    sendable(views.tags([TagCount(name, 1200, 7)] * 60, 25, SEEN, NOW))
    sendable(views.firmware([(firmware(name, name, file_name=name), 3)] * 60, name, [], 20))
    sendable(views.firmware([], name, [name] * 40, 0))


# ---- the file
def test_a_row_of_the_file_stands_under_its_heading() -> None:
    row = dict(zip(views.CSV_HEADING, views.csv_row(known(gateway(tags=("oslo", "roof")))), strict=True))
    assert row["id"] == "bmac-0001"
    assert row["state"] == "offline"
    assert row["since"] == "2026-03-02T09:55:00Z"
    assert row["tags"] == "oslo; roof"
    assert row["flapping"] == "no"


def test_the_hostile_name_is_shown_harmless_and_on_one_line() -> None:
    line = views.device_line(known(gateway(name=HOSTILE, id=GatewayId("bmac-1"))), NOW)
    assert "<!channel>" not in line
    assert "\u202e" not in line
