"""One Chromium for all tests of a run; each test has windows of its own, with nothing of the others."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from bot.demo.run import Demo
from tests.browser.person import Person, quick_demo, visitor
from tests.browser.room import Room, browser, open_room
from tests.worlds import databases


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who shares the browser shares the loop that it lives on."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as launched:
        yield launched


@pytest_asyncio.fixture(loop_scope="session")
async def quick() -> AsyncIterator[Demo]:
    with databases.sqlite_in_the_loop():
        async with quick_demo() as world:
            yield world


@pytest_asyncio.fixture(loop_scope="session")
async def hasty(quick: Demo, chromium: Browser) -> AsyncIterator[Person]:
    """Somebody in a world whose time flies."""
    async with visitor(chromium, quick) as visiting:
        yield visiting


@pytest_asyncio.fixture(loop_scope="session")
async def room(chromium: Browser) -> AsyncIterator[Room]:
    async with open_room(chromium) as opened:
        yield opened
