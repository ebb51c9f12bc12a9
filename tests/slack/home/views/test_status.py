"""The bot's own state and settings as messages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.access import Actor, Role
from bot.domain.gateways import Counts, SnapshotStatus
from bot.domain.query import parse
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import RolloutState
from bot.slack import ids
from bot.slack.home.views import status as views
from bot.slack.home.views.status import OpenWork, Setting, Status
from bot.slack.ids import PageRef
from tests.slack.shown import NAMES, buttons, sendable, words

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
WELL = Status(
    version="1.2.0",
    counts=Counts(240, 12, 3),
    snapshot=SnapshotStatus(as_of=NOW - timedelta(seconds=20), listing=7, gateways=240),
    log_in="logged in",
    log_in_since=NOW - timedelta(minutes=10),
    log_in_next_try=None,
    log_in_error=None,
    poll_every=timedelta(minutes=1),
    sockets=2,
    cards_waiting=0,
)


def said(state: Status) -> str:
    message = sendable(views.bot_status(state, NOW))
    assert words(message).replace("*", "").replace("`", "") == message.text
    return message.text


def test_a_bot_that_is_well_says_so_of_each_part() -> None:
    text = said(WELL)
    assert "Fleet: 240 gateways: 12 offline, 3 unknown, 225 online" in text
    assert "Snapshot: ✅ up to date, as of 20 s ago" in text
    assert "Meshtech: ✅ logged in" in text
    assert "Slack: ✅ 2 connections open; 0 cards wait to be shown" in text
    assert "Version: 1.2.0" in text


def test_status_counts_what_goes_on() -> None:
    text = said(WELL)
    for nothing in ("Alerts: 0 open\n", "Rollouts: none goes on", "Silences: 0", "Freezes: 0"):
        assert nothing in text
    freeze = Freeze("3.6.0", "U0ANA", "Ana", "it bricks", NOW)
    rollouts = {RolloutState.REQUESTED: 2, RolloutState.RUNNING: 1}
    text = said(replace(WELL, work=OpenWork(3, 1, rollouts, 2, (freeze,))))
    assert "Alerts: 3 open, 1 acknowledged by nobody" in text
    assert "Rollouts: 2 waiting for approval, 1 running" in text
    assert f"Silences: 2\nFreezes: 1: {freeze.says()}" in text


def test_a_failing_listing_is_told_with_its_reason() -> None:
    failing = replace(WELL.snapshot, consecutive_failures=3, last_error="Meshtech answers 503.")
    assert "⚠️ behind, as of 20 s ago" in said(replace(WELL, snapshot=failing))
    assert "3 polls in a row failed: Meshtech answers 503." in said(replace(WELL, snapshot=failing))


def test_a_token_that_slack_refuses_is_told_with_what_to_do() -> None:
    text = said(replace(WELL, token_refused="Slack does not accept it: reinstall the app."))
    assert "Token: ⚠️ refused: Slack does not accept it: reinstall the app." in text


def test_polls_that_do_not_begin_are_told_of() -> None:
    late = replace(WELL.snapshot, listed_at=NOW - timedelta(minutes=3))
    text = said(replace(WELL, snapshot=late))
    assert "⚠️ behind, as of 20 s ago" in text
    assert "; no poll began since <!date^" in text
    early = replace(late, listed_at=NOW - timedelta(minutes=3) + timedelta(seconds=1))
    assert "✅ up to date" in said(replace(WELL, snapshot=early))


def test_before_the_first_listing_the_snapshot_is_awaited() -> None:
    assert "no poll has been completed yet" in said(replace(WELL, snapshot=SnapshotStatus()))


def test_a_refused_log_in_is_told_with_its_reason_and_the_next_try() -> None:
    refused = replace(WELL, log_in="refused", log_in_next_try=NOW, log_in_error="The password is wrong.")
    assert "⚠️ refused since" in said(refused)
    assert "next try" in said(refused)
    assert "The password is wrong." in said(refused)


@pytest.mark.parametrize(("sockets", "words_"), [(0, "⚠️ not connected"), (None, "✅ called by HTTP")])
def test_the_way_to_slack_is_told(sockets: int | None, words_: str) -> None:
    assert words_ in said(replace(WELL, sockets=sockets))


def test_a_database_that_takes_no_changes_is_told_and_one_that_does_is_not() -> None:
    assert "Database" not in said(WELL)
    assert "Database: ⚠️ takes no changes since" in said(replace(WELL, unwritable_since=NOW))


def test_cards_that_slack_refuses_are_told() -> None:
    assert "1 card waits to be shown, 2 refused by Slack: /mesh subscriptions and the log" in said(
        replace(WELL, cards_waiting=1, cards_broken=2)
    )


def setting(number: int = 1, **changes: str) -> Setting:
    values = {"variable": f"MESHBOT_X{number}", "value": "5m", "default": "5m", "meaning": "how long"}
    return Setting(**(values | changes))


def test_a_setting_shows_its_default_only_when_it_differs() -> None:
    text = sendable(views.settings([setting(), setting(2, value="9m")], 0)).text
    assert "MESHBOT_X1 5m: how long" in text
    assert "MESHBOT_X2 9m (default 5m): how long" in text


def test_an_empty_setting_is_said_to_be_unset() -> None:
    assert "MESHBOT_X1 not set: how long" in sendable(views.settings([setting(value="", default="")], 0)).text


def test_settings_come_in_pages() -> None:
    message = sendable(views.settings([setting(number) for number in range(40)], 12))
    assert message.text.startswith("13–24 of 40 settings")
    assert buttons(message) == {
        ids.PAGE_PREVIOUS: PageRef("settings", 0),
        ids.PAGE_NEXT: PageRef("settings", 24),
    }


@pytest.mark.parametrize("name", NAMES)
def test_any_words_are_within_slack_s_limits(name: str) -> None:
    sendable(views.settings([setting(variable=name, value=name, default=name, meaning=name)] * 40, 12))
    failing = replace(WELL.snapshot, consecutive_failures=3, last_error=name)
    sendable(
        views.bot_status(replace(WELL, snapshot=failing, log_in_error=name, log_in=name, version=name), NOW)
    )


def test_somebody_is_told_their_role_its_limits_and_whom_to_ask_for_more() -> None:
    ola = Actor(
        "U0OLA00001",
        "ola",
        Role.OPERATOR,
        holders={Role.APPROVER: "@leads"},
        limits={Role.OPERATOR: (parse("tag:oslo"), parse("tag:voss"))},
    )

    shown = sendable(views.person(ola)).text.replace("*", "").replace("`", "")

    assert "You are <@U0OLA00001>, an operator." in shown
    assert "As an operator, among tag:oslo or tag:voss, you may: rename a gateway, change tags" in shown
    assert "Only an approver may: approve a firmware rollout, deny a firmware rollout. Ask @leads" in shown
    assert "Only an admin may: override a rule for a firmware rollout" in shown
    assert shown.count("Ask whoever runs the bot") == 1
    assert "cannot check" not in shown


def test_somebody_whose_groups_cannot_be_read_is_told_so() -> None:
    shown = sendable(views.person(Actor("U0OLA00001", "Ola", Role.NONE, possible=Role.ADMIN))).text

    assert "whether you may do more, since Slack does not tell me your groups" in shown
