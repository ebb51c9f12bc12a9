"""A night of maintenance in Slack, from the plan to what is told at its end, by those who may."""

from datetime import datetime, timedelta
from pathlib import Path

from bot.demo.slack import workspace
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import OPERATOR, VIEWER, PostedMessage
from tests.attacks.test_authority import lab
from tests.worlds.house import House

AT_ONCE = {"ALERTS__STARTUP_LISTINGS": "0", "ALERTS__OFFLINE_LISTINGS": "1", "ALERTS__GROUP_WAIT": "0"}
WORK = "maintenance tag:bergen {begins:%H:%M}-{ends:%H:%M} {often}because of the mast"


async def plan(made: House, often: str = "") -> datetime:
    """Two hours from now, for an hour; returns when it opens."""
    begins = made.portal.clock.now() + timedelta(hours=2)
    text = WORK.format(begins=begins, ends=begins + timedelta(hours=1), often=often)
    typed = await made.slack.command(OPERATOR, workspace.OPS, text)
    assert (await typed.ack).ok
    await made.app.slack.guard.idle()
    (question,) = typed.responses
    assert "would hold the alerts of *2 of 4 gateways*" in message_text(question)
    assert "as *M-1*" in await made.click(OPERATOR, "maintenance_confirm", question)
    return begins


async def passes(made: House, **by: float) -> None:
    """Time, a poll, and what is due then."""
    made.later(**by)
    await made.app.scheduler.run_now("listing")
    await made.app.scheduler.run_now("maintenance")
    await made.app.scheduler.run_now("alerts")


async def card_of_the_window(made: House) -> PostedMessage:
    return await made.card("planned by", workspace.FLEET_ALERTS)


async def test_a_night_of_maintenance_from_the_plan_to_what_is_told_at_its_end(tmp_path: Path) -> None:
    async with lab(tmp_path, **AT_ONCE) as made:
        await plan(made)
        said = message_text(await card_of_the_window(made))
        for words in (OPERATOR, "tag:bergen", "of the mast", "2 gateways now"):
            assert words in said
        assert "*M-1*" in await made.command(VIEWER, "windows")

        await passes(made, minutes=70)
        soon = await made.card("do not come here then", workspace.FLEET_ALERTS)
        assert "of `tag:bergen`, 2 gateways" in message_text(soon)

        await passes(made, minutes=55)
        made.portal.disconnect(["bmac-000000000002", "bmac-000000000000"])
        await passes(made, minutes=7)
        held = await made.command(VIEWER, "alerts")
        assert "maintenance, held and offline" in held
        assert "Offline: MT10002." in held
        shown = await made.card("lab: 1 of 2", workspace.FLEET_ALERTS)
        assert "MT10002" not in message_text(shown)

        await passes(made, minutes=55)
        told = message_text(await made.card("after maintenance M-1: of the mast", workspace.FLEET_ALERTS))
        assert "1 gateway still offline" in told
        assert "MT10002" in told
        assert "No maintenance is planned" in await made.command(VIEWER, "windows")


async def test_a_window_is_skipped_and_ended_where_it_is_said_by_who_may_and_that_is_said(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        begins = await plan(made, "weekly ")
        card = await card_of_the_window(made)
        assert "To plan maintenance you need to be an operator" in await made.click(
            VIEWER, "maintenance_end", card
        )
        assert "the opening is skipped" in await made.click(OPERATOR, "maintenance_skip", card)
        await made.card("skipped an opening", workspace.FLEET_ALERTS)
        week_later = f"{begins + timedelta(days=7):%Y-%m-%d %H:%M} UTC"
        assert week_later in await made.command(VIEWER, "windows")
        assert "*M-1* ended" in await made.command(OPERATOR, "end M-1")
        over = await made.card("maintenance planned by", workspace.FLEET_ALERTS)
        assert (over.ts, "maintenance_end" in str(over.blocks)) == (card.ts, False)
        assert "M-1 is over" in await made.command(OPERATOR, "skip M-1")
