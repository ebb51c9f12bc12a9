"""What goes on already when somebody opens the page for the first time: an open alert and a running update.

It comes about as it would in earnest: a site goes offline, and people in Slack request an update and approve
it. Their first minute passes at once.
"""

import random
from collections.abc import Callable
from datetime import timedelta

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import APPROVER, FLEET_ALERTS, OPERATOR, OPERATORS, OPS, ROLLOUTS, PostedMessage

FAST = 20.0  # times as fast as usual
AT_MOST = 30.0  # real seconds for each step: without it the page comes all the same
_SMALL_SITE, _OUTAGE = 12, timedelta(minutes=10)


async def begin(
    slack: SlackServer,
    fleet: FleetSimulator,
    set_speed: Callable[[float], None],
    at_most: float = AT_MOST,
) -> None:
    """Raises TimeoutError where the bot does not do its part in time; the world is as usual again then."""
    usual = fleet.clock.speed
    _go(fleet, set_speed, max(usual, FAST))
    try:
        await _describe(slack, small_site(fleet), at_most)
        let_a_small_site_go(fleet, _OUTAGE)
        await _update(slack, fleet, at_most)
        await slack.wait_for(lambda: slack.workspace.in_channel(FLEET_ALERTS), at_most)
    finally:
        _go(fleet, set_speed, usual)


def let_a_small_site_go(fleet: FleetSimulator, length: timedelta) -> None:
    if (site := small_site(fleet)) is not None:
        fleet.darken_site(site, length)


def small_site(fleet: FleetSimulator) -> str | None:
    """Always the same site of a fleet; None where it has no small one."""
    sizes = {device.site: len(fleet.at_site(device.site)) for device in fleet.devices.values() if device.site}
    most = max(_SMALL_SITE, len(fleet.devices) // 20)
    small = sorted(site for site, size in sizes.items() if 2 <= size <= most)
    return random.Random(fleet.seed).choice(small) if small else None


def _go(fleet: FleetSimulator, set_speed: Callable[[float], None], factor: float) -> None:
    fleet.clock.set_speed(factor)
    set_speed(factor)


async def _describe(slack: SlackServer, site: str | None, at_most: float) -> None:
    """What the site book says of the site that goes offline: the card of its alert tells of it."""
    if site is None:
        return
    for said in (f"call {OPERATORS}", "hours Mo-Fr 07:00-16:00", "note The key is at the reception"):
        await _answer(slack, f'describe "{site}" {said}', at_most)


async def _update(slack: SlackServer, fleet: FleetSimulator, at_most: float) -> None:
    """The largest site gets the newest good firmware; whoever may approve does, and it starts."""
    site = max(fleet.labels, key=lambda label: len(fleet.at_site(label)), default=None)
    if site is None:
        return
    plan = await _answer(slack, f'update site:"{site}" model:2011 to 3.5.0', at_most, keep=True)
    await slack.click(OPERATOR, plan, "rollout_request")
    cards = await slack.wait_for(lambda: slack.workspace.in_channel(ROLLOUTS), at_most)
    slack.workspace.delete_message(plan)
    await slack.click(APPROVER, cards[0], "rollout_approve")
    await slack.wait_for(lambda: "running" in str(cards[0].blocks), at_most)


async def _answer(slack: SlackServer, text: str, at_most: float, *, keep: bool = False) -> PostedMessage:
    act = await slack.command(OPERATOR, OPS, text)
    answer: PostedMessage = (await slack.wait_for(lambda: act.responses, at_most))[0]
    if not keep:
        slack.workspace.delete_message(answer)
    return answer
