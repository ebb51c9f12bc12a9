"""The world of the adapter's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.meshtech.vendor import World, world


@pytest.fixture
async def meshtech() -> AsyncIterator[World]:
    """A vendor that records, and a client with the default settings."""
    async with world() as running:
        yield running
