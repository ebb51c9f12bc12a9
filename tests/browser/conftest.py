from collections.abc import AsyncIterator

import pytest

from tests.browser.room import Room, open_room


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with open_room() as opened:
        yield opened
