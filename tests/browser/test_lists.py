"""Lists as people see them, wide and on a phone, in both forms: nothing sticks out, no id breaks."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser

from bot.domain.gateways import Connectivity, Counts
from bot.slack.fleet.views import gateways as views
from bot.slack.views.blocks import Message
from tests.browser.room import open_room
from tests.worlds.builders import known

pytestmark = pytest.mark.browser

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BROKEN = """() => {
  const broken = [];
  const walker = document.createTreeWalker(document.querySelector('#pane'), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const match of node.data.matchAll(/bmac-[0-9a-f]{12}/g)) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const tops = [...range.getClientRects()].map((box) => Math.round(box.top));
      if (new Set(tops).size > 1) broken.push(match[0]);
    }
  }
  return broken;
}"""
STICKS_OUT = """() => [...document.querySelectorAll('#pane .message, #pane .message .block')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.className)"""


def a_list() -> Message:
    rows = [
        known(
            f"bmac-c0ffee{number:06x}",
            name=("MT10225", "Roof, north tower, behind the lift")[number % 2],
            tags=("Kyiv office", "roof"),
            connectivity=Connectivity.OFFLINE,
            since=NOW,
        )
        for number in range(10)
    ]
    return views.devices(rows, Counts(240, 10), 0, "is:offline", NOW, NOW)


@pytest.mark.parametrize("width", [1280, 400])
async def test_a_list_fits_the_screen_as_lines_and_as_a_table_and_breaks_no_id(
    chromium: Browser, width: int
) -> None:
    async with open_room(chromium, width=width) as room:
        drawn = a_list()
        await room.post("as lines", blocks=list(drawn.blocks))
        await room.post("as a table", blocks=list(drawn.newer))
        await room.tab.locator("#pane .table").wait_for()
        assert await room.tab.evaluate(BROKEN) == []
        assert await room.tab.evaluate(STICKS_OUT) == []
        assert await room.tab.evaluate("document.documentElement.scrollWidth") == width
        menu = room.tab.locator("#pane select")
        assert await menu.locator("option").count() == 11
