"""Two mornings in Slack: the digest comes at eight with its pictures, once, and who wants a chart gets one;
on the first of the next month comes what tells of the last.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import FLEET_ALERTS, OPERATOR, OPS
from tests.slack.shown import HOSTILE
from tests.worlds.process import PASSWORD, inside, outside

BEFORE_SEVEN = datetime(2026, 11, 25, 5, 50, tzinfo=UTC)  # in Oslo
SEVEN_OF_THE_NEXT_MONTH = datetime(2026, 12, 1, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fleet() -> FleetSimulator:
    """Twelve gateways at three sites; one, of a hostile name, has been dark for two days."""
    portal = FleetSimulator(gateways=0, password=PASSWORD, clock=SimulatorClock(start=BEFORE_SEVEN))
    for number in range(12):
        away = number == 3
        since = BEFORE_SEVEN - timedelta(days=2)
        site = ("oslo", "Kyiv-office", "oslo", HOSTILE)[number % 4]
        name = HOSTILE if away else f"MT{10000 + number}"
        portal.add_device(Device(f"bmac-{number:012x}", name, "2011", [site], not away, since, "3.4.1"))
    return portal


@pytest.mark.timeout(240)  # two lives and some pictures, on a machine that may be busy
async def test_a_morning(tmp_path: Path) -> None:
    async with outside(tmp_path, fleet(), CHANNELS__ALERTS=FLEET_ALERTS, TIMEZONE="Europe/Oslo") as world:
        async with inside(world) as app:
            await app.digests.tick()
            assert world.in_channel(FLEET_ALERTS, "are online") == [], "it is not eight yet"
            await world.says(OPERATOR, "subscribe availability -site:oslo monthly at 07:00")

            world.portal.clock.advance(1.25 * HOUR)
            await world.has_listed()
            await app.digests.tick()
            digest = await world.message(FLEET_ALERTS, "11 of 12 gateways are online")
            assert "1 is offline for more than 24 h" in message_text(digest)
            assert "bmac-000000000003" in message_text(digest)
            others = [block for block in digest.blocks if block["type"] != "image"]
            assert "<!channel" not in digest.text + str(others)
            pictures = [block for block in digest.blocks if block["type"] == "image"]
            assert ["share of gateways offline" in one["alt_text"] for one in pictures] == [True, False]
            for one in pictures:
                content = world.slack.workspace.files[one["slack_file"]["id"]].content
                assert content is not None
                assert content.startswith(b"\x89PNG")

            world.slack.workspace.lacks = frozenset({"data_visualization"})
            assert "The share of gateways offline" in await world.says(
                OPERATOR, "chart offline -site:oslo 24h"
            )
            direct = world.slack.workspace.in_channel
            (sent,) = await world.slack.wait_for(lambda: [f for one in direct(OPERATOR) for f in one.files])
            assert "All 6 gateways: 1 offline now" in sent.alt_text

            world.portal.clock.advance(SEVEN_OF_THE_NEXT_MONTH - world.portal.clock.now())
            await world.has_listed()
            await app.digests.tick()
            month = await world.message(OPS, "in 2026-11")
            assert "2 sites for `-site:oslo` in 2026-11" in message_text(month)
            assert "<!channel" not in month.text + str(month.blocks)

        async with inside(world) as app:
            await app.digests.tick()
        assert world.rows("SELECT state FROM notes WHERE kind = 'digest'") == [("posted",)]
        assert len(world.in_channel(FLEET_ALERTS, "11 of 12 gateways are online")) == 1
        assert world.in_channel(OPS, "in 2026-11") == [month]
        world.check_nothing_is_wrong()
