"""Maintenance windows as messages, and as lines on the cards of alerts."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest

from bot.domain.alerts.maintenance import (
    Change,
    Every,
    MaintenanceDown,
    MaintenanceId,
    Schedule,
    end,
    opened,
    skip,
)
from bot.slack import ids
from bot.slack.alerts.views import maintenance as views
from bot.slack.alerts.views.card import card as alert_card
from bot.slack.ids import CardRef
from bot.slack.views.blocks import date as moment
from tests.slack.alerts.views.test_card import incident
from tests.slack.shown import HOSTILE, LONG, buttons, sendable
from tests.worlds.builders import MONDAY, alert_rules, maintenance

SATURDAY = datetime.fromisoformat("2026-05-09T02:00")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule("Europe/Oslo", SATURDAY, time(4), Every.WEEK), "every Saturday 02:00–04:00 (Europe/Oslo)"),
        (
            Schedule("UTC", SATURDAY, time(4), Every.MONTH, date(2027, 1, 1)),
            "on day 9 of each month 02:00–04:00 until 2027-01-01 (UTC)",
        ),
        (
            Schedule("UTC", datetime.fromisoformat("2026-05-31T22:00"), time(1), Every.MONTH),
            "on day 31 of each month, or on its last day, 22:00–01:00 (UTC)",
        ),
        (
            Schedule("UTC", SATURDAY, time(4), Every.MONTH_BY_WEEKDAY),
            "on the second Saturday of each month 02:00–04:00 (UTC)",
        ),
        (
            Schedule("UTC", datetime.fromisoformat("2026-05-30T02:00"), time(4), Every.MONTH_BY_WEEKDAY),
            "on the last Saturday of each month 02:00–04:00 (UTC)",
        ),
    ],
)
def test_a_window_says_how_often_it_opens_in_which_zone(schedule: Schedule, said: str) -> None:
    assert views.when(schedule) == said


def test_an_answer_says_what_is_held_when_and_what_happens_at_the_end_with_undo() -> None:
    drawn = sendable(views.planned(maintenance(), 7))
    assert "planned as M-1: tag:oslo, 7 gateways now. It is open from" in drawn.text
    assert "It opens every Saturday 02:00–04:00 (UTC)." in drawn.text
    assert "what is still offline at the end alerts at once" in drawn.text
    assert buttons(drawn) == {ids.MAINTENANCE_UNDO: CardRef("1", 1)}
    assert "No gateway matches now" in views.planned(maintenance(), 0).text


def test_a_card_has_buttons_to_skip_just_the_opening_that_it_shows_and_to_end_the_window() -> None:
    window = maintenance()
    drawn = sendable(views.card(window, 7))
    assert window.opening is not None
    assert buttons(drawn) == {
        ids.MAINTENANCE_SKIP: CardRef("1", int(window.opening.begins.timestamp())),
        ids.MAINTENANCE_END: CardRef("1"),
    }
    once = maintenance(schedule=replace(window.schedule, every=Every.ONCE))
    assert list(buttons(views.card(once, 7))) == [ids.MAINTENANCE_END]


def test_a_card_says_that_it_is_open_and_who_ended_it() -> None:
    window = maintenance()
    assert "It is open until" in views.card(opened(window), 7).text
    over = sendable(views.card(end(window, "U0BEN00001", MONDAY), 7))
    assert "by <@U0BEN00001>: the mast is painted." in over.text
    assert buttons(over) == {}


def test_a_window_that_was_closed_while_open_says_that_the_next_poll_closes_it_and_what_follows() -> None:
    window = opened(maintenance())
    assert window.opening is not None
    now = window.opening.begins + timedelta(hours=1)
    again = window.schedule.next_opening(window.opening.ends)
    assert again is not None
    for shown in (views.decided, partial(views.card, covered=7), views.line):
        skipped = str(shown(skip(window, None, now)))
        assert f"It closes with the next poll. It is open again from {moment(again.begins)} to" in skipped
        assert ids.MAINTENANCE_SKIP not in skipped
        assert "It closes with the next poll. No opening follows." in str(
            shown(end(window, "U0BEN00001", now))
        )
    down = MaintenanceDown(skip(window, None, now), 1, ("MT1",))
    assert "until the next poll: the mast" in views.down([down])[1]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (Change.SKIPPED, "skipped an opening."),
        (Change.ENDED, "ended it."),
        (Change.UNDONE, "undid the last change."),
        (Change.PLANNED, "planned it."),
    ],
)
def test_who_changed_what_is_told_and_answered(what: Change, said: str) -> None:
    assert said in sendable(views.changed(BODY | {"what": what.value, "who": "U0BEN00001"})).text
    answer = sendable(views.decided(maintenance(last=what)))
    assert (ids.MAINTENANCE_UNDO in buttons(answer)) == (what is not Change.UNDONE)


def test_where_no_opening_follows_alerts_come_as_usual() -> None:
    over = BODY | {"what": "ended", "who": "U0BEN00001", "begins": None, "ends": None}
    assert "ended it. No opening follows: their alerts come as usual." in views.changed(over).text


def test_the_note_about_an_open_window_says_that_the_next_poll_closes_it() -> None:
    closing = BODY | {"what": "skipped", "who": "U0BEN00001", "closing": True}
    assert "It closes with the next poll. It is open again from" in views.changed(closing).text
    ended = closing | {"what": "ended", "begins": None, "ends": None}
    assert "ended it. It closes with the next poll. No opening follows" in views.changed(ended).text


def test_an_announcement_says_from_when_until_when_and_whose_alerts_do_not_come() -> None:
    said = sendable(views.soon(BODY | {"covered": 7})).text
    assert "M-1 by <@U0ANA00001> is open from" in said
    assert "The alerts of tag:oslo within site:x, 7 gateways, do not come here then." in said


def test_five_hundred_windows_are_sixty_three_pages_that_fit_whatever_they_are_called() -> None:
    many = [
        maintenance(id=MaintenanceId(number), query=f"tag:{LONG}", reason=HOSTILE * 9)
        for number in range(500)
    ]
    first = sendable(views.listed(many, 0, may_end=True))
    assert "1–8 of 500 maintenance windows" in first.text
    assert "<!channel>" not in str(first.blocks).replace("confirm", "")
    assert "No maintenance is planned" in sendable(views.listed([], 0)).text


def test_what_is_offline_and_held_is_listed_with_its_window() -> None:
    down = MaintenanceDown(opened(maintenance()), 7, ("MT1", HOSTILE))
    said = views.down([down] * 6)
    assert "Offline: MT1, " in said[1]
    assert "and 5 more." in said[1]
    assert said[-1] == "and 1 more window with gateways that are offline"
    assert views.down([]) == []


def test_the_card_of_an_alert_tells_of_maintenance_of_its_gateways() -> None:
    notice = views.notice([maintenance()])
    drawn = sendable(alert_card(incident(), alert_rules(), besides=notice))
    assert "M-1 of its gateways: the mast is painted. It is open from" in drawn.text


BODY: dict[str, Any] = {
    "window": "M-1",
    "query": "tag:oslo",
    "limits": ["site:x"],
    "by": "U0ANA00001",
    "reason": "the mast is painted",
    "begins": MONDAY.isoformat(),
    "ends": (MONDAY + timedelta(hours=2)).isoformat(),
    "closing": False,
}
