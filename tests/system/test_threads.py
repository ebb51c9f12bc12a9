"""What people say in the thread of a card is about what the card is about."""

from datetime import timedelta
from pathlib import Path

from bot.demo.fleet.simulator import FleetSimulator, SimulatorClock
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import ADMIN, APPROVER, FLEET_ALERTS, OPERATOR, ROLLOUTS, VIEWER, PostedMessage
from tests.slack.fleet.room import START, device
from tests.system.test_channels import AT_ONCE
from tests.worlds.house import House, house


def fleet() -> FleetSimulator:
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(1, START))
    for number in range(30):
        at: dict[str, object] = {} if number < 3 else {"labels": ["bergen"]}
        portal.add_device(device(number, None, changed_at=START - timedelta(hours=5), **at))
    portal.labels = {"oslo", "bergen"}
    portal.add_firmware("2011", "9.0.0")
    return portal


async def says(bot: House, user: str, text: str, card: PostedMessage) -> str:
    """What the bot answers in the thread of the card."""
    before = len(bot.slack.workspace.thread(card))
    assert (await (await bot.slack.mention(user, card.channel, text, card.ts)).ack).ok
    await bot.app.slack.guard.idle()
    added = bot.slack.workspace.thread(card)[before:]
    return "\n".join(message_text(one) for one in added if one.user != user)


async def test_this_is_the_alert_in_whose_thread_it_is_said(tmp_path: Path) -> None:
    portal = fleet()
    async with house(tmp_path, portal, **AT_ONCE) as bot:
        await bot.app.fleet.refresh()
        portal.disconnect([f"bmac-{number:04}" for number in range(4)])
        bot.later(minutes=1)
        await bot.app.fleet.refresh()
        card = await bot.card("3 gateways", FLEET_ALERTS)

        assert "MT0002" in await says(bot, VIEWER, "devices", card)
        assert "1–10 of 27 gateways" in await says(bot, VIEWER, "devices bergen", card)
        assert "need to be an operator" in await says(bot, VIEWER, "ack", card)
        assert "You have" in await says(bot, OPERATOR, "ack", card)
        await bot.card("cknowledged by", FLEET_ALERTS)
        assert "as *S-1*" in await says(bot, OPERATOR, "silence this for 2h because of paint", card)
        assert "as *S-2*" in await says(bot, OPERATOR, "mute 30m because of paint", card)
        assert "For how long?" in await says(bot, OPERATOR, "silence this", card)
        large = await bot.card("MT0003", FLEET_ALERTS)
        said = await says(bot, OPERATOR, "silence this for 2h because of paint", large)
        assert "would hold the alerts of *27 of 30 gateways*" in said
        assert "incident ack" in await bot.command(ADMIN, "audit refused")


async def test_this_is_the_rollout_in_whose_thread_it_is_said(tmp_path: Path) -> None:
    async with house(tmp_path, fleet()) as bot:
        await bot.app.fleet.refresh()
        await bot.plan_and_request(OPERATOR, "oslo to 9.0.0")
        card = await bot.card("R-1", ROLLOUTS)
        while "0 cards wait" not in await bot.command(VIEWER, "status"):
            """Slack shows a card a moment before the bot knows where."""

        assert "need to be an approver" in await says(bot, OPERATOR, "approve", card)
        assert "press Deny on the card" in await says(bot, APPROVER, "deny", card)
        refused = await bot.command(APPROVER, "audit refused")
        assert "rollout approve" in refused
        assert "R-1" in refused
        assert "running" in await says(bot, APPROVER, "approve", card)
        assert "paused" in await says(bot, OPERATOR, "pause this", card)
        assert "paused" in await says(bot, VIEWER, "this", card)
        assert "R-7" in await says(bot, OPERATOR, "pause R-7", card)
