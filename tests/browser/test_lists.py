"""Lists as people see them, wide and on a phone, light and dark, in both forms: all fits, no id breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, ViewportSize, expect
from playwright.async_api import Page as Tab

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.payloads import Json
from bot.demo.slack.workspace import ADMIN, APPROVER, FLEET_ALERTS, OPERATOR, OPS, PostedMessage
from bot.slack.home.views.digests import digest
from bot.slack.views.blocks import typeset
from tests.browser.room import open_room
from tests.worlds import databases
from tests.worlds.house import House, house

pytestmark = pytest.mark.browser

SIZES: list[ViewportSize] = [{"width": width, "height": 6_000} for width in (1280, 400)]  # all is drawn
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SCRIPTS = "\n".join((Path(__file__).parent / name).read_text() for name in ("audit.js", "fit.js"))
LOOKED_AT = f"""(root) => {{ {SCRIPTS}
  return [...root.querySelectorAll('.message, .home-blocks')]
    .map((one) => [...sticking(one), ...broken(one), ...pale(one)]);
}}"""

AT_EIGHT = {"at": "08:00", "zone": "Europe/Oslo"}
AT_ONCE = {
    "ALERTS__OFFLINE_AFTER": "0",
    "ALERTS__OFFLINE_LISTINGS": "1",
    "ALERTS__ONLINE_AFTER": "0",
    "ALERTS__ONLINE_LISTINGS": "1",
    "ALERTS__GROUP_WAIT": "0",
    "ALERTS__STARTUP_LISTINGS": "1",
    "TIMEZONE": "Europe/Oslo",
}
LISTS: Mapping[str, str] = {
    "devices": "devices",
    "gateways that are offline": "devices offline",
    "gateway": 'device "Roof, north tower"',
    "open alerts": "alerts",
    "alert": "alert A-1",
    "closed alerts": "alerts closed",
    "firmware": "firmware",
    "audit": "audit",
    "jobs": "jobs",
    "job": "job {job}",
    "rollouts": "rollouts",
    "rollout": "rollout R-1",
    "report": "report R-1",
    "silences": "silences",
    "subscriptions": "subscriptions",
    "maintenance": "windows",
    "freeze": "freeze",
    "worst": "worst",
    "availability": "availability",
    "history": 'history "Roof, north tower"',
    "history of a site": "history oslo",
    "tags": "tags",
    "sites": "sites",
    "site": "site oslo",
    "policy": "policy",
    "status": "status",
    "chart": "chart offline",
    "chart of firmware": "chart firmware",
}
FORMS = {"as a table": frozenset[str](), "in lines": frozenset({"data_table", "data_visualization"})}
Blocks = Sequence[Json]


async def test_every_list_fits_wide_and_on_a_phone_light_and_dark_and_breaks_no_id(
    chromium: Browser, tmp_path: Path
) -> None:
    with databases.sqlite_in_the_loop():
        drawn = dict(await furnished(tmp_path))
    home = drawn.pop("home tab")
    async with open_room(chromium) as room:
        await room.tab.set_viewport_size(SIZES[0])
        for name, blocks in drawn.items():
            await room.post(name, blocks=list(blocks))
        await expect(room.tab.locator("#pane .message")).to_have_count(len(drawn))
        wrong = await looked_at(room.tab, [*drawn])
        await room.tab.goto(f"{room.page.url}/#D{OPERATOR[1:]}")
        await room.tab.get_by_role("tab", name="Home").click()
        await expect(room.tab.get_by_role("tabpanel", name="Home")).to_contain_text("Your fleet")  # its bot's
        await room.client.views_publish(user_id=OPERATOR, view={"type": "home", "blocks": list(home)})
        await expect(room.tab.get_by_role("tabpanel", name="Home")).to_contain_text("Open alerts")
        wrong |= await looked_at(room.tab, ["home tab"])
    assert not wrong, "\n".join(f"{where}: {what}" for where, what in wrong.items())


async def looked_at(tab: Tab, names: list[str]) -> dict[str, list[str]]:
    """What is wrong with each, at each width and in each theme."""
    wrong: dict[str, list[str]] = {}
    for size in SIZES:
        await tab.set_viewport_size(size)
        for theme in THEMES:
            await tab.emulate_media(color_scheme=theme)
            found = await tab.locator("#pane").evaluate(LOOKED_AT)
            for name, what in zip(names, found, strict=True):
                if what:
                    wrong[f"{name}, {size['width']} px, {theme}"] = what
    return wrong


async def furnished(folder: Path) -> Mapping[str, Blocks]:
    """Every list by its name, as a table too where it is one; besides, cards, the digest and the home tab."""
    portal = FleetSimulator(gateways=240)
    async with house(folder, portal, **AT_ONCE) as bot:
        await much_happens(bot)
        (job, *_) = portal.jobs
        slack, drawn = bot.slack, {}
        alert = await bot.card("A-4", FLEET_ALERTS)
        for form, lacks in FORMS.items():
            slack.workspace.lacks = lacks
            shown = {name: await answer(bot, command.format(job=job)) for name, command in LISTS.items()}
            shown["details of an alert"] = await pressed(bot, alert, "incident_details")
            for name, one in shown.items():
                if lacks or any(block["type"].startswith("data_") for block in one.blocks):
                    drawn[f"{name} {form}"] = one.blocks
        drawn["card of an alert"] = alert.blocks
        drawn["card of a rollout"] = (await bot.card("R-1")).blocks
        await slack.open_home(OPERATOR)
        home = await slack.wait_for(lambda: slack.workspace.homes.get(OPERATOR))
        drawn["home tab"] = home.blocks
        found = await bot.app.digests.digest("")
        for part, find in bot.app.digests.parts.items():
            found = replace(found, **{part.value: await find(found)})
        drawn["digest"] = typeset(digest(found, {"number": None} | AT_EIGHT).blocks, "/mesh")
    return drawn


async def much_happens(bot: House) -> None:
    portal = bot.portal

    async def later(minutes: int) -> None:
        bot.later(minutes=minutes)
        await bot.app.scheduler.run_now("listing")
        await bot.app.scheduler.run_now("alerts")

    await later(1)
    oslo, bergen = portal.at_site("oslo"), portal.at_site("bergen")
    for user, command in (
        (OPERATOR, f'rename {oslo[0]} "Roof, north tower"'),
        (OPERATOR, "silence site:stavanger for 2h because the mast is painted and nobody may climb it"),
        (OPERATOR, "subscribe offline tag:oslo"),
        (OPERATOR, "subscribe digest tag:bergen at 07:30 in Europe/Oslo"),
        (ADMIN, "freeze firmware 3.6.5 because it bricks the older boards"),
    ):
        await bot.command(user, command)
    planned = "maintenance site:oslo sat 02:00-04:00 weekly because the mast is painted"
    await pressed(bot, await answer(bot, planned, OPERATOR), "maintenance_confirm")
    wanted = "policy want 3.5.0 for model:2011 because the older ones lose their clock in winter"
    await pressed(bot, await answer(bot, wanted, OPERATOR), "policy_confirm")
    for gateways in (oslo[:5], portal.at_site("svalbard")):
        portal.disconnect(gateways)
        await later(5)
        portal.connect(gateways)
        await later(2)
    await bot.plan_and_request(OPERATOR, "model:2011 tag:tromsø to 3.5.0")
    await pressed(bot, await bot.card("R-1"), "rollout_approve", APPROVER)
    await bot.slack.wait_for(lambda: portal.jobs or None)
    await bot.plan_and_request(OPERATOR, "model:2011 tag:trondheim to 3.5.0")
    portal.disconnect([*bergen, *portal.at_site("ålesund")])
    await later(7)


async def answer(bot: House, command: str, user: str = ADMIN) -> PostedMessage:
    typed = await bot.slack.command(user, OPS, command)
    assert (await typed.ack).ok
    await bot.app.slack.guard.idle()
    return typed.responses[0]


async def pressed(bot: House, message: PostedMessage, action_id: str, user: str = OPERATOR) -> PostedMessage:
    act = await bot.slack.click(user, message, action_id)
    assert (await act.ack).ok
    await bot.app.slack.guard.idle()
    return act.responses[0] if act.responses else message
