"""Silences as messages, and the window in which one is made."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.alerts.silences import CHOICES, Silence, SilenceId
from bot.slack import ids
from bot.slack.alerts.views import silences as views
from tests.slack.alerts.views.test_card import incident
from tests.slack.shown import HOSTILE, LONG, buttons, sendable

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def choices(view: dict[str, Any]) -> list[str]:
    (chooser,) = [block for block in view["blocks"] if block.get("block_id") == ids.DURATION]
    return [option["value"] for option in chooser["element"]["options"]]


def test_a_silence_lasts_half_an_hour_to_a_day_or_until_a_date_and_never_for_ever() -> None:
    view = views.silence_modal(incident(), "C0ALERTS", 2, 240)
    assert choices(view) == list(CHOICES) == ["30m", "1h", "4h", "12h", "24h"]
    assert [block["block_id"] for block in view["blocks"][1:]] == [ids.DURATION, ids.UNTIL, ids.REASON]


def test_five_hundred_silences_are_sixty_three_pages() -> None:
    many = [
        Silence(SilenceId(number), f"tag:{LONG}", None, "U0ANA00001", HOSTILE, HOSTILE * 9, NOW, NOW)
        for number in range(500)
    ]
    first, last = views.listed(many, 0), views.listed(many, 496)
    assert "1–8 of 500 silences" in sendable(first).text
    assert list(buttons(first)) == [ids.PAGE_NEXT]
    assert "S-7 " in first.text
    assert "S-499" in sendable(last).text
    assert list(buttons(last)) == [ids.PAGE_PREVIOUS]


def test_an_answer_says_what_is_held_and_that_its_end_is_announced() -> None:
    until = NOW + timedelta(hours=1)
    made = Silence(SilenceId(3), "tag:oslo", None, "U0ANA00001", "Ana", None, NOW, until)
    text = sendable(views.silenced(made, 7)).text
    assert "Nothing opens, repeats or escalates for them until then; I say so before it ends." in text
