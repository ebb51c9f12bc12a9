"""Incidents as messages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.alerts.incidents import (
    Acknowledgement,
    AffectedGateway,
    Incident,
    Lapse,
    Leave,
    LossDetails,
    MemberCounts,
    PastOutage,
    Share,
    Silenced,
    Trait,
)
from bot.domain.gateways import NO_SITE, Connectivity, GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from bot.slack import ids
from bot.slack.alerts.views import card as incident_card
from bot.slack.alerts.views import lists as views
from bot.slack.alerts.views import notes
from bot.slack.ids import CardRef, PageRef, decode
from bot.slack.views.blocks import BREAK, Message, date
from bot.slack.views.portal_links import Portal
from tests.slack.shown import NAMES, buttons, elements, sendable, words
from tests.worlds.builders import alert_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = alert_rules()
ANA = Acknowledgement("U0ANA00001", "Ana", NOW + 3 * MINUTE)


def gateway(
    number: int, label: str | None = None, left_at: datetime | None = None, left_as: Leave | None = None
) -> AffectedGateway:
    return AffectedGateway(
        GatewayId(f"bmac-{number:04}"), label or f"MT{number}", NOW + number * MINUTE, NOW, left_at, left_as
    )


def incident(
    *first: AffectedGateway,
    state: IncidentState = IncidentState.OPEN,
    tally: MemberCounts | None = None,
    site: str = "Kyiv-office",
    acknowledged: Acknowledgement | None = None,
    number: int = 7,
) -> Incident:
    named = first or (gateway(1), gateway(2), gateway(3))
    return Incident(
        id=IncidentId(number),
        kind=IncidentKind.OFFLINE,
        site=site,
        state=state,
        version=2,
        opened_at=NOW,
        post_at=NOW + MINUTE,
        tally=tally or MemberCounts(down=len(named), since=NOW),
        acknowledged=acknowledged,
        first=named,
    )


def over(**changes: object) -> Incident:
    back = (
        gateway(1, left_at=NOW + 16 * MINUTE, left_as=Leave.BACK),
        gateway(2, left_at=NOW + 5 * MINUTE, left_as=Leave.RELEASED),
    )
    tally = MemberCounts(back=1, released=1, since=NOW, until=NOW + 17 * MINUTE)
    return incident(*back, state=IncidentState.RESOLVED, tally=tally, **changes)  # type: ignore[arg-type]


def card(shown: Incident) -> Message:
    return sendable(incident_card.card(shown, RULES))


def heading(message: Message) -> str:
    block = message.blocks[0]
    assert block["type"] == "header"
    return str(block["text"]["text"])


# ---- the card
def test_a_card_says_what_is_offline_where_and_since_when() -> None:
    drawn = card(incident())
    assert heading(drawn) == "🔴 A-7 Kyiv-office: 3 gateways offline"
    for text in (drawn.text, words(drawn)):
        assert f"The first went offline {date(NOW)}." in text
        assert "MT1" in text
        assert "bmac-0001" in text
        assert date(NOW + 3 * MINUTE) in text


def test_a_card_of_one_gateway_speaks_of_one() -> None:
    drawn = card(incident(gateway(1)))
    assert heading(drawn) == "🔴 A-7 Kyiv-office: 1 gateway offline"
    assert f"Offline since {date(NOW)}." in drawn.text


def test_a_site_that_is_no_tag_is_not_called_by_that_name() -> None:
    assert heading(card(incident(site=NO_SITE))) == "🔴 A-7 no tag: 3 gateways offline"


def test_an_unacknowledged_card_says_so_and_what_happens_next() -> None:
    drawn = card(incident())
    assert "Nobody has acknowledged this yet." in drawn.text
    assert "counts as back after 3 min online and 3 polls" in drawn.text
    ours = (ids.INCIDENT_ACK, ids.INCIDENT_ASSIGN, ids.INCIDENT_SILENCE, ids.INCIDENT_DETAILS)
    assert buttons(drawn) == dict.fromkeys(ours, CardRef("7", 2))


def test_an_acknowledged_card_says_who_has_it_and_offers_no_second_acknowledgement() -> None:
    drawn = card(incident(acknowledged=ANA))
    assert f"👀 acknowledged by <@U0ANA00001> {date(ANA.at)}." in drawn.text
    handed = [ids.INCIDENT_TAKE_OVER, ids.INCIDENT_GIVE_BACK, ids.INCIDENT_ASSIGN]
    assert list(buttons(drawn)) == [*handed, ids.INCIDENT_SILENCE, ids.INCIDENT_DETAILS]


def test_a_card_names_those_still_down_and_counts_the_others() -> None:
    mixed = incident(
        gateway(1),
        gateway(2, left_at=NOW + 9 * MINUTE, left_as=Leave.BACK),
        tally=MemberCounts(down=1, back=1, released=2, since=NOW),
    )
    drawn = card(mixed)
    assert heading(drawn) == "🔴 A-7 Kyiv-office: 1 gateway offline"
    assert "MT2" not in drawn.text
    assert "1 gateway is back online. 2 gateways are no longer in the fleet (released)." in drawn.text


def test_what_a_card_does_not_name_it_counts() -> None:
    many = incident(*(gateway(number) for number in range(10)), tally=MemberCounts(down=1240, since=NOW))
    assert "… and 1,230 more: Details lists them all." in card(many).text


def test_a_card_that_is_over_says_how_long_it_took_and_offers_nothing_to_acknowledge() -> None:
    drawn = card(over())
    assert heading(drawn) == "🟢 A-7 Kyiv-office: over, 2 gateways were offline"
    assert f"Offline from {date(NOW)} to {date(NOW + 17 * MINUTE)}, 17 min in all." in drawn.text
    assert f"🟢 back bmac-0001 MT1 since {date(NOW + 16 * MINUTE)}, after 15 min" in drawn.text
    assert "released bmac-0002 MT2" in drawn.text
    assert list(buttons(drawn)) == [ids.INCIDENT_DETAILS]


def test_a_card_that_is_over_still_says_who_had_it() -> None:
    assert "acknowledged by <@U0ANA00001>" in card(over(acknowledged=ANA)).text
    assert "acknowledged" not in card(over()).text


def test_the_plain_text_of_a_card_says_all_that_its_blocks_say() -> None:
    for shown in (incident(), incident(acknowledged=ANA), over(acknowledged=ANA)):
        drawn = card(shown)
        said = words(drawn).replace("*", "").replace("`", "")
        assert all(line in drawn.text for line in said.splitlines())


@pytest.mark.parametrize("hostile", NAMES)
def test_hostile_names_are_shown_and_harm_nothing(hostile: str) -> None:
    down = [gateway(number, hostile) for number in range(10)]
    back = [gateway(number, hostile, NOW + MINUTE, Leave.BACK) for number in range(10)]
    tally = MemberCounts(down=40, back=2, released=1, since=NOW, until=NOW)
    card(incident(*down, tally=tally, site=hostile))
    card(incident(*back, tally=tally, site=hostile, state=IncidentState.RESOLVED, acknowledged=ANA))
    sendable(views.gateways(incident(site=hostile, tally=tally), down, 0))
    sendable(notes.joined(incident(), {"count": 3, "first": [hostile] * 3}))
    page = [incident(site=hostile, tally=tally, number=number) for number in range(views.ALERTS_PAGE)]
    drawn = sendable(views.alerts(page, 99, 8, RULES, has_channel=False))
    assert len(list(elements(drawn))) == 3 * views.ALERTS_PAGE + 4


def test_a_card_says_which_acknowledgement_it_outgrew_and_offers_another() -> None:
    grown = replace(incident(), lapse=Lapse(ANA, 1, 50, NOW + 9 * MINUTE))
    drawn = card(grown)
    said = f"<@{ANA.user_id}> acknowledged 1 gateway {date(ANA.at)}; 50 more went offline since"
    assert said in drawn.text
    assert buttons(drawn)[ids.INCIDENT_ACK] == CardRef("7", 2)
    assert "Nobody has acknowledged this yet" not in drawn.text
    listed = sendable(views.alerts([grown], 1, 0, RULES, has_channel=True))
    assert said in listed.text


def test_a_silenced_card_that_outgrew_its_acknowledgement_says_both() -> None:
    hushed = Silenced("U0BEN00001", NOW + 60 * MINUTE)
    drawn = card(replace(incident(), lapse=Lapse(ANA, 1, 50, NOW), silenced=hushed))
    assert "50 more went offline since" in drawn.text
    assert "<@U0BEN00001> until" in drawn.text


def test_only_a_card_about_what_is_over_need_not_be_posted_any_more() -> None:
    assert card(over()).is_over
    assert not card(incident()).is_over


def test_what_was_dark_before_it_was_first_seen_is_said_to_be() -> None:
    drawn = card(of_kind(IncidentKind.SEEN_DARK, site="", sites=2))
    assert heading(drawn) == "🔴 A-7 2 sites: 2 gateways offline"
    assert f"They were offline already when I first saw them, the first since {date(NOW)}." in drawn.text
    assert drawn.text.endswith("What goes offline from now on is an alert of its own.")


# ---- notes
def test_a_note_names_who_joined() -> None:
    drawn = sendable(notes.joined(incident(), {"count": 2, "first": ["MT4", "MT5"]}))
    assert drawn.text == "🔴 A-7 Kyiv-office: 3 gateways offline. 2 more gateways: MT4, MT5."


def test_a_note_counts_those_it_does_not_name() -> None:
    drawn = sendable(notes.joined(incident(), {"count": 500, "first": ["a", "b", "c"]}))
    assert drawn.text.endswith("offline. 500 more gateways: a, b, c and 497 more.")


def test_a_note_about_an_incident_that_grew_says_how_large_it_was() -> None:
    body = {"count": 3, "first": ["a", "b", "c"], "told": 1, "down": 4}
    text = sendable(notes.joined(incident(), body)).text
    assert text == "🔴 A-7 Kyiv-office: 3 gateways offline (was 1). Newest: a, b, c."


def test_a_note_that_ends_an_acknowledgement_mentions_who_had_it() -> None:
    growth = {"told": 1, "down": 51, "user": ANA.user_id, "at": ANA.at.isoformat()}
    text = sendable(notes.joined(incident(), {"count": 50, "first": ["a", "b", "c"]} | growth)).text
    assert f"<@{ANA.user_id}> acknowledged 1 gateway {date(ANA.at)}; 50 more went offline since" in text
    assert text.endswith("Acknowledge it on its card to take it again.")


# ---- lists
def alerts(*page: Incident, total: int | None = None, offset: int = 0, has_channel: bool = True) -> Message:
    return sendable(
        views.alerts(page, len(page) if total is None else total, offset, RULES, has_channel=has_channel)
    )


def test_no_open_alerts_is_said_with_the_rule() -> None:
    assert alerts().text.startswith("🟢 No open alerts.")
    assert "5 min offline and 3 polls" in alerts().text


def test_a_list_shows_each_incident_with_its_buttons() -> None:
    drawn = alerts(incident(number=1), incident(number=2, acknowledged=ANA))
    order = "what nobody has acknowledged first, then the worst, then the newest"
    assert drawn.text.startswith(f"2 open alerts: {order}.")
    clicks = [(one["action_id"], decode(one["value"])) for one in elements(drawn)]
    assert clicks == [
        (ids.INCIDENT_ACK, CardRef("1", 2, PageRef("alerts"))),
        (ids.INCIDENT_ASSIGN, CardRef("1", 2)),
        (ids.INCIDENT_DETAILS, CardRef("1", 2)),
        (ids.INCIDENT_TAKE_OVER, CardRef("2", 2, PageRef("alerts"))),
        (ids.INCIDENT_GIVE_BACK, CardRef("2", 2, PageRef("alerts"))),
        (ids.INCIDENT_ASSIGN, CardRef("2", 2)),
        (ids.INCIDENT_DETAILS, CardRef("2", 2)),
        (ids.REFRESH, PageRef("alerts")),
    ]


def test_a_list_pages() -> None:
    drawn = alerts(*(incident(number=one) for one in range(8)), total=30, offset=8)
    assert drawn.text.startswith("9–16 of 30 open alerts")
    assert buttons(drawn)[ids.PAGE_NEXT] == PageRef("alerts", 16)
    assert buttons(drawn)[ids.PAGE_PREVIOUS] == PageRef("alerts", 0)


def test_a_gathering_incident_says_when_it_is_posted() -> None:
    assert f"posted after {date(NOW + MINUTE)}" in alerts(incident(state=IncidentState.GATHERING)).text


@pytest.mark.parametrize("page", [(), (incident(),)])
def test_without_a_channel_the_list_names_the_setting(page: tuple[Incident, ...]) -> None:
    assert "MESHBOT_CHANNELS__ALERTS" in alerts(*page, has_channel=False).text
    assert "MESHBOT_CHANNELS__ALERTS" not in alerts(*page).text


def test_the_gateways_of_an_incident_page_refresh_and_export() -> None:
    shown = incident(tally=MemberCounts(down=40, back=1, since=NOW))
    drawn = sendable(views.gateways(shown, [gateway(number) for number in range(15)], 15))
    assert drawn.text.startswith("16–30 of 41 gateways of A-7 at Kyiv-office: 40 offline, 1 back.")
    assert buttons(drawn) == {
        ids.PAGE_PREVIOUS: PageRef("incident", 0, "7"),
        ids.PAGE_NEXT: PageRef("incident", 30, "7"),
        ids.REFRESH: PageRef("incident", 15, "7"),
        ids.EXPORT_CSV: PageRef("incident", 0, "7"),
    }


def test_a_row_of_the_file_has_a_cell_for_each_heading() -> None:
    row = views.csv_row(gateway(1, "MT1", NOW + 9 * MINUTE, Leave.BACK))
    assert dict(zip(views.CSV_HEADING, row, strict=True)) == {
        "id": "bmac-0001",
        "name": "MT1",
        "offline since": "2026-05-04T08:01:00Z",
        "joined": "2026-05-04T08:00:00Z",
        "left": "2026-05-04T08:09:00Z",
        "left as": "back",
    }


# ---- a line on a gateway's own card
def test_a_gateways_card_says_in_which_incident_it_is() -> None:
    assert views.line(incident()) == "🔴 A-7 Kyiv-office: 3 gateways offline."
    assert "acknowledged by <@U0ANA00001>" in views.line(incident(gateway(1), acknowledged=ANA))


# ---- kinds
def of_kind(kind: IncidentKind, **changes: object) -> Incident:
    return replace(incident(gateway(1), gateway(2)), kind=kind, **changes)  # type: ignore[arg-type]


def test_a_storm_is_one_card_that_counts_its_sites_and_names_its_cause() -> None:
    share = Share(Trait.TAG, "Kyiv-office", 38, 40)
    worst = (("Kyiv-office", 38), ("oslo*", 1))
    tally = MemberCounts(down=40, since=NOW)
    shown = of_kind(IncidentKind.STORM, sites=3, worst_sites=worst, cause=(share,), tally=tally)
    drawn = card(shown)
    assert heading(drawn) == "🔴 A-7 mass outage at 3 sites: 40 gateways offline"
    assert "38 of 40 at Kyiv-office" in drawn.text
    assert f"By site: Kyiv-office 38, oslo{BREAK}*{BREAK} 1, 1 other site." in drawn.text
    assert "38 more: Details lists them all" in drawn.text


@pytest.mark.parametrize(
    ("trait", "words"),
    [
        (Trait.MODEL, "3 of 4 of model X"),
        (Trait.FIRMWARE, "3 of 4 on firmware X"),
        (Trait.ROLLOUT, "3 of 4 in rollout R-X"),
    ],
)
def test_a_cause_is_named_by_what_it_is(trait: Trait, words: str) -> None:
    assert words in card(of_kind(IncidentKind.OFFLINE, cause=(Share(trait, "X", 3, 4),))).text


def test_a_flapping_card_says_that_it_is_only_edited() -> None:
    drawn = card(of_kind(IncidentKind.FLAPPING))
    assert heading(drawn) == "🟡 A-7 Kyiv-office: 2 gateways going on and off"
    assert "Only this card is edited" in drawn.text


def test_a_flapping_card_that_is_over_says_how_each_is_now() -> None:
    on = gateway(1, left_at=NOW + 90 * MINUTE, left_as=Leave.BACK)
    off = gateway(2, left_at=NOW + 90 * MINUTE, left_as=Leave.STILL_DOWN)
    shown = replace(over(), kind=IncidentKind.FLAPPING, first=(on, off))
    assert "🟢 online bmac-0001 MT1 for the last hour" in card(shown).text
    assert "🔴 offline bmac-0002 MT2 for the last hour" in card(shown).text


def test_what_did_not_return_is_louder_and_names_rollout_and_firmware() -> None:
    shown = of_kind(IncidentKind.NOT_RETURNED, site="R-7", rollout_id=7, firmware="3.5.0", running_rollout=7)
    drawn = card(shown)
    assert heading(drawn) == "🚨 A-7 R-7 to 3.5.0: 2 gateways did not return"
    assert ids.INCIDENT_PAUSE_ROLLOUT in buttons(drawn)


def test_a_rollout_that_does_not_run_cannot_be_paused() -> None:
    shown = of_kind(IncidentKind.NOT_RETURNED, site="R-7", rollout_id=7, firmware="3.5.0")
    assert ids.INCIDENT_PAUSE_ROLLOUT not in buttons(card(shown))


def test_visibility_loss_says_how_many_are_gone_and_what_is_held() -> None:
    shown = of_kind(IncidentKind.VISIBILITY, loss=LossDetails(lost=25, online_before=40))
    drawn = card(shown)
    assert heading(drawn) == "⚠️ A-7 no data from Meshtech"
    assert "25 of 40 gateways" in drawn.text
    assert "New alerts are held" in drawn.text


def test_visibility_loss_by_failed_listings_says_so() -> None:
    assert "3 polls in a row failed" in card(of_kind(IncidentKind.VISIBILITY, loss=LossDetails(3))).text


@pytest.mark.parametrize(("outage", "words"), [(False, "data from Meshtech again"), (True, "an outage")])
def test_the_card_about_visibility_loss_says_how_it_ended(outage: bool, words: str) -> None:
    blind = LossDetails(lost=25, online_before=40, outage=outage)
    shown = of_kind(IncidentKind.VISIBILITY, loss=blind, state=IncidentState.RESOLVED, resolved_at=NOW)
    assert words in card(shown).text


def test_a_silenced_card_says_by_whom_until_when_and_why() -> None:
    hushed = Silenced("U0ANA00001", NOW + 60 * MINUTE, "paint on the mast")
    text = card(replace(incident(), silenced=hushed)).text
    assert f"🔕 silenced by <@U0ANA00001> until {date(hushed.until)}: paint on the mast." in text


def test_the_card_of_a_storm_that_nobody_has_offers_to_acknowledge_all() -> None:
    storm = of_kind(IncidentKind.STORM, site="")
    assert ids.INCIDENT_ACK_ALL in buttons(card(storm))
    taken = Acknowledgement("U0ANA00001", "Ana", NOW)
    assert ids.INCIDENT_ACK_ALL not in buttons(card(replace(storm, acknowledged=taken)))
    assert ids.INCIDENT_ACK_ALL not in buttons(card(incident()))


def test_a_storm_says_when_nothing_that_its_gateways_share_stands_out() -> None:
    assert "Nothing that they share stands out." in card(of_kind(IncidentKind.STORM, site="")).text
    assert "stands out" not in card(incident()).text


def test_a_flapping_card_that_is_over_says_so_red_while_some_are_offline() -> None:
    down = gateway(1, left_at=NOW + 60 * MINUTE, left_as=Leave.STILL_DOWN)
    tally = MemberCounts(back=1, still_down=1, since=NOW, until=NOW + 60 * MINUTE)
    drawn = card(of_kind(IncidentKind.FLAPPING, state=IncidentState.RESOLVED, tally=tally, first=(down,)))
    assert heading(drawn) == "🔴 A-7 Kyiv-office: quiet again, 1 of 2 gateways is offline"
    assert "What is offline becomes an alert of its own." in drawn.text


# ---- who hears of it when
def reminding(shown: Incident) -> str:
    return sendable(incident_card.card(shown, RULES, ["@oncall", "@field"])).text


def test_a_card_says_whom_it_reminds_when_unless_somebody_acknowledges() -> None:
    text = reminding(incident())
    assert f"I remind @oncall, @field {date(NOW + 11 * MINUTE)} unless somebody acknowledges it." in text


def test_a_card_without_groups_promises_no_reminder() -> None:
    assert "remind" not in card(incident()).text


def test_after_the_last_reminder_a_card_says_that_it_was_the_last() -> None:
    assert "That was the last reminder" in reminding(replace(incident(), reminded=7))


def test_an_acknowledged_card_says_when_its_holder_is_asked() -> None:
    text = reminding(incident(acknowledged=ANA))
    assert f"I ask <@U0ANA00001> {date(ANA.at + 240 * MINUTE)} whether it is still theirs." in text
    assert "@oncall" not in text


def test_an_acknowledged_card_says_when_its_holder_is_asked_again() -> None:
    asked = replace(incident(acknowledged=ANA), asked_at=NOW + 300 * MINUTE)
    assert f"I ask <@U0ANA00001> {date(NOW + 540 * MINUTE)}" in reminding(asked)


def test_a_silenced_card_says_that_nobody_is_reminded_before_its_end() -> None:
    text = reminding(replace(incident(), silenced=Silenced("U0ANA00001", NOW + 60 * MINUTE)))
    assert "Nobody is reminded before that." in text
    assert "@oncall" not in text


def test_nobody_is_reminded_of_what_only_flaps() -> None:
    assert "remind" not in reminding(replace(incident(), kind=IncidentKind.FLAPPING))


def test_the_card_about_visibility_loss_says_whom_it_reminds() -> None:
    shown = replace(incident(), kind=IncidentKind.VISIBILITY, loss=LossDetails(3), first=())
    assert "I remind @oncall, @field" in reminding(shown)


def test_a_flapping_card_says_how_each_gateway_is_now_and_since_when() -> None:
    restless = replace(gateway(1), state=Connectivity.ONLINE, changed_at=NOW + 9 * MINUTE)
    text = card(replace(incident(restless), kind=IncidentKind.FLAPPING)).text
    assert f"🟡 flapping bmac-0001 MT1, online since {date(NOW + 9 * MINUTE)}" in text


def test_a_reminder_rings_at_people_and_groups_and_says_how_many_are_down() -> None:
    note = sendable(notes.escalated(incident(), {"called": ["U0OLA00001", "S0ONCALL01"], "down": 2}))
    assert (
        note.text
        == "🔴 A-7 Kyiv-office: 3 gateways offline: nobody has acknowledged this yet. <@U0OLA00001> "
        "<!subteam^S0ONCALL01>"
    )
    asked = sendable(notes.still_yours(incident(), {"user": "U0ANA00001", "down": 0}))
    assert (
        asked.text == "🔴 A-7 Kyiv-office: 3 gateways offline: <@U0ANA00001> acknowledged this a while ago. "
        "Is it still yours?"
    )


def test_a_reminder_in_another_copy_of_the_card_calls_nobody() -> None:
    note = sendable(notes.escalated(incident(), {"down": 1}))
    assert note.text.endswith(": nobody has acknowledged this yet.")
    asked = sendable(notes.still_yours(incident(), {"name": "Ana <b>", "down": 0}))
    assert asked.text.endswith(": Ana &lt;b&gt; acknowledged this a while ago. It was asked about.")


# ---- what decides a trip
def at_a_site_of(number: int, *, down: int, **changes: object) -> Incident:
    tally = MemberCounts(down=down, since=NOW)
    return replace(incident(tally=tally), of=number, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("down", "of", "words"),
    [
        (18, 18, "🟥 critical, 18 of 18: the whole site."),
        (9, 18, "🟧 major, 9 of 18 at the site."),
        (3, 18, "🟨 minor, 3 of 18 at the site."),
        (3, 0, "🟨 minor."),
    ],
)
def test_a_card_says_which_share_of_its_site_is_down_and_how_bad_that_is(
    down: int, of: int, words: str
) -> None:
    assert words in card(at_a_site_of(of, down=down)).text


def test_a_heading_names_number_site_and_share_before_all_else() -> None:
    drawn = card(at_a_site_of(27, down=27, site="tromsø"))
    assert heading(drawn) == "🔴 A-7 tromsø: 27 of 27 gateways offline"
    assert drawn.text.startswith(heading(drawn))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (IncidentKind.STORM, "40 of 240 in the fleet, 17 %."),
        (IncidentKind.NOT_RETURNED, "40 of 240 in the rollout."),
    ],
)
def test_what_has_no_site_of_its_own_is_a_share_of_the_fleet_or_of_the_rollout(
    kind: IncidentKind, words: str
) -> None:
    assert words in card(at_a_site_of(240, down=40, kind=kind, site="R-7", sites=3)).text


def test_a_card_says_when_its_site_was_last_offline() -> None:
    past = PastOutage(IncidentId(3), NOW - 600 * MINUTE, NOW - 559 * MINUTE, 5)
    said = card(replace(incident(), before=past)).text
    assert f"The last time here: A-3, {date(past.since)}, for 41 min, 5 gateways." in said
    assert "last time" not in card(incident()).text


def test_a_card_leads_to_the_portal_where_that_has_an_address() -> None:
    portal = Portal("https://p.example/g/{gateway}", "https://p.example/s/{site}")
    shown = incident(site="Kyiv office")
    drawn = sendable(incident_card.card(shown, RULES, portal=portal))
    assert "`bmac-0001` <https://p.example/g/bmac-0001|*MT1*>" in words(drawn)
    assert "<https://p.example/s/Kyiv%20office|Kyiv office in the portal>" in words(drawn)
    assert "p.example" not in words(card(shown))


def test_those_that_are_over_are_listed_with_how_long_and_whose() -> None:
    drawn = sendable(views.closed([over(acknowledged=ANA)], 1, 0, "closed Kyiv"))
    assert drawn.text.startswith("1 closed alert for alerts closed Kyiv, the last to end first.")
    assert "A-7 Kyiv-office: over" in drawn.text
    assert "17 min in all. 👀 acknowledged by <@U0ANA00001>" in drawn.text
    assert buttons(drawn) == {ids.REFRESH: PageRef("alerts", 0, "closed Kyiv")}
    assert decode(drawn.blocks[1]["accessory"]["value"]) == CardRef("7", 2)
    assert "No alert that is over fits" in sendable(views.closed([], 0, 0, "closed")).text
