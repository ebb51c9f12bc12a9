"""Channels that subscribe, on the wire: who gets which card, and where a broken channel's go."""

from pathlib import Path

from bot.demo.slack.workspace import ADMIN, FLEET_ALERTS, OPERATOR, OPS, ROLLOUTS
from tests.system.test_messages import bot_in_slack, check_all, is_at
from tests.worlds.process import IN_TIME

AT_ONCE = {
    "ALERTS__OFFLINE_AFTER": "0",
    "ALERTS__OFFLINE_LISTINGS": "1",
    "ALERTS__ONLINE_AFTER": "0",
    "ALERTS__ONLINE_LISTINGS": "1",
    "ALERTS__GROUP_WAIT": "0",
    "ALERTS__STARTUP_LISTINGS": "1",
}


async def test_two_channels_show_an_incident_and_when_both_are_lost_the_default_channel_does(
    tmp_path: Path,
) -> None:
    async with bot_in_slack(tmp_path, CHANNELS__ALERTS=FLEET_ALERTS, **AT_ONCE) as world:
        workspace = world.slack.workspace
        for channel in (OPS, ROLLOUTS):
            assert "10 gateways" in await world.says(ADMIN, "subscribe offline tag:oslo only here", channel)
        oslo = [one for one in world.portal.devices if is_at(world, one, "oslo")]
        world.portal.disconnect(oslo[:4])
        first = await world.message(OPS, "4 of 10 gateways")
        second = await world.message(ROLLOUTS, "4 of 10 gateways")

        workspace.archive(OPS)
        world.portal.disconnect(oslo[4:6])
        await world.shows(second, "6 of 10 gateways")
        assert "4 of 10 gateways" in first.text
        assert "the channel is archived" in (await world.message(ADMIN, "cannot post")).text
        assert world.in_channel(FLEET_ALERTS, "offline") == []
        assert "broken" in await world.says(OPERATOR, "subscriptions", ROLLOUTS)

        workspace.archive(ROLLOUTS)
        world.portal.disconnect(oslo[6:7])
        last = await world.message(FLEET_ALERTS, "7 of 10 gateways")
        await world.slack.wait_for(lambda: len(world.in_channel(ADMIN, "cannot post")) == 2, IN_TIME)

        workspace.archive(OPS, archived=False)
        assert "mended" in await world.says(ADMIN, "subscribe offline tag:oslo only here")
        await world.shows(first, "7 of 10 gateways")
        await (await world.slack.click(OPERATOR, last, "incident_ack")).ack
        await world.shows(first, "cknowledged by")
        assert len(world.in_channel(ADMIN, "cannot post")) == 2
        world.slack.rejected.clear()  # Slack had to refuse what went to the archived channels
        check_all(world)
