"""Somebody at the page of a demo, and a demo whose time does not wait for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from playwright.async_api import Browser, Locator
from playwright.async_api import Page as Tab

from bot.demo.fleet.simulator import FaultKind
from bot.demo.run import Demo
from tests.browser.room import SOON

BETWEEN_LISTINGS = timedelta(seconds=20)  # the demo's own are five; each is work, and no rule needs so many


class Person:
    """Somebody at the page."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    async def go_to(self, channel: str) -> None:
        await self.tab.get_by_role("navigation", name="Channels").get_by_text(channel, exact=True).click()
        await self.tab.get_by_role("heading", name=channel, exact=True).wait_for()

    async def write(self, text: str) -> None:
        field = self.tab.get_by_role("combobox", name="Message ")
        await field.fill(text)
        await field.press("Escape")
        await field.press("Enter")

    async def be(self, name: str) -> None:
        await self.tab.get_by_role("button", name="You are").click()
        await self.tab.get_by_role("menuitemradio", name=name).click()
        await self.tab.get_by_role("button", name=f"You are {name}").wait_for()

    async def press(self, button: str, message: Locator | None = None, *, sure: str = "") -> None:
        """Click a button of a message, and say yes with the word `sure` when asked."""
        await (message or self.last).get_by_role("button", name=button).click()
        if sure:
            await self.tab.get_by_role("dialog").get_by_role("button", name=sure).click()

    async def home(self) -> Locator:
        """The bot's home tab, opened."""
        await self.tab.get_by_role("link", name="Meshbot").click()
        await self.tab.get_by_role("tab", name="Home").click()
        return self.tab.get_by_role("tabpanel", name="Home")

    @property
    def last(self) -> Locator:
        return self.tab.locator("#pane .message").last

    def message(self, text: str) -> Locator:
        return self.tab.locator("#pane .message", has_text=text).last


@asynccontextmanager
async def visitor(chromium: Browser, demo: Demo, *, scale: int = 1) -> AsyncIterator[Person]:
    """Somebody who opened the page and skipped its tour."""
    context = await chromium.new_context(
        viewport={"width": 1440, "height": 900},
        device_scale_factor=scale,
        locale="en-GB",
        timezone_id="Europe/Oslo",
    )
    context.set_default_timeout(SOON)
    tab = await context.new_page()
    await tab.goto(demo.page.url)
    await tab.get_by_role("button", name="Skip", exact=True).click()
    yield Person(tab)
    await context.close()


@asynccontextmanager
async def quick_demo() -> AsyncIterator[Demo]:
    """A quiet world whose clock moves on by what lies between two listings whenever the bot asked for one.

    So a machine that is busy makes a test take longer, and nothing else of it.
    """
    demo = Demo(gateways=240, speed=60, quiet=True)
    await demo.start()
    demo.world.fleet.clock.set_speed(0)
    passing = asyncio.create_task(_time_passes(demo))
    try:
        yield demo
    finally:
        passing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await passing
        await demo.stop()


async def _time_passes(demo: Demo) -> None:
    fleet = demo.world.fleet
    while True:
        fleet.clock.advance(BETWEEN_LISTINGS)  # at first too: none is due after the start's poll
        listing = fleet.faults.add("LIST_DEVICES", FaultKind.SLOW)
        listing.release()  # so that it is not slow at all
        await listing.reached.wait()
