"""What a silence must not hide: said where the alerts are missed, and listed among what is open."""

from pathlib import Path

from bot.demo.slack import workspace
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import OPERATOR, VIEWER
from tests.attacks.test_authority import lab

BERGEN = "silence tag:bergen for 1h because of the mast"


async def test_a_silence_asks_first_and_is_said_in_the_channel_that_loses_the_alerts(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        typed = await made.slack.command(OPERATOR, workspace.OPS, BERGEN)
        assert (await typed.ack).ok
        await made.app.slack.guard.idle()
        (question,) = typed.responses
        assert "No silence holds now" in await made.command(VIEWER, "silences")
        assert "S-1" in await made.click(OPERATOR, "silence_confirm", question)
        said = message_text(await made.card("S-1", workspace.FLEET_ALERTS))
        for words in (OPERATOR, "tag:bergen", "of the mast", "2 gateways", "until"):
            assert words in said


async def test_a_silence_is_ended_where_it_is_said_by_who_may_and_that_is_said(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        typed = await made.slack.command(OPERATOR, workspace.OPS, BERGEN)
        assert (await typed.ack).ok
        await made.app.slack.guard.idle()
        await made.click(OPERATOR, "silence_confirm", typed.responses[0])
        card = await made.card("S-1", workspace.FLEET_ALERTS)
        assert "To silence alerts you need to be an operator" in await made.click(VIEWER, "silence_end", card)
        assert "S-1 ended" in await made.click(OPERATOR, "silence_end", card)
        told = await made.card("come here again", workspace.FLEET_ALERTS)
        assert f"ended by @{OPERATOR}" in message_text(told)
        over = await made.card("It held the alerts", workspace.FLEET_ALERTS)
        assert (over.ts, "silence_end" in str(over.blocks)) == (card.ts, False)
        assert "No silence S-1 holds now" in await made.command(OPERATOR, "unsilence S-1")


async def test_what_is_down_and_silenced_is_listed_among_the_alerts(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        assert "and offline" not in await made.command(VIEWER, "alerts")
        typed = await made.slack.command(OPERATOR, workspace.OPS, BERGEN)
        assert (await typed.ack).ok
        await made.app.slack.guard.idle()
        await made.click(OPERATOR, "silence_confirm", typed.responses[0])
        made.portal.disconnect(["bmac-000000000002"])
        made.later(minutes=2)
        await made.app.fleet.take_in_listing()
        said = await made.command(VIEWER, "alerts")
        assert "S-1" in said
        assert "Offline: MT10002." in said
