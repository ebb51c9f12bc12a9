"""Writing on the page: commands and names are completed, and what was sent comes back with the arrow key."""

import re

import pytest
from playwright.async_api import Locator, expect

from tests.browser.room import Room

pytestmark = pytest.mark.browser


def field(room: Room) -> Locator:
    return room.tab.get_by_role("combobox", name="Message #ops")


async def test_a_command_is_completed_word_by_word(room: Room) -> None:
    await field(room).press_sequentially("/m")
    await expect(room.tab.get_by_role("option", name="/mesh")).to_be_visible()
    await field(room).press("Tab")
    await field(room).press_sequentially("ren")
    await expect(room.tab.get_by_role("option")).to_have_text([re.compile("^/mesh rename <id or name>")])
    await field(room).press("Enter")
    await expect(field(room)).to_have_value("/mesh rename ")


async def test_a_whole_command_is_sent_with_enter_although_longer_ones_are_offered(room: Room) -> None:
    await field(room).press_sequentially("/mesh device")
    await room.tab.get_by_role("option", name="/mesh device <id or name>").wait_for()
    await field(room).press("ArrowDown")
    await expect(room.tab.get_by_role("option", selected=True)).to_contain_text("device <id or name>")
    await field(room).press("Enter")
    await expect(field(room)).to_have_value("/mesh device ")


async def test_a_name_is_completed_and_becomes_a_mention(room: Room) -> None:
    await field(room).press_sequentially("over to @an")
    await field(room).press("Enter")
    await expect(field(room)).to_have_value("over to @Ana Moe ")
    await field(room).press("Enter")
    await expect(room.message("over to").locator(".mention")).to_have_text("@Ana Moe")


async def test_arrow_up_brings_back_what_was_sent(room: Room) -> None:
    await room.write("first")
    await room.write("second")
    await field(room).press("ArrowUp")
    await expect(field(room)).to_have_value("second")
    await field(room).press("ArrowUp")
    await expect(field(room)).to_have_value("first")
    await field(room).press("ArrowDown")
    await field(room).press("ArrowDown")
    await expect(field(room)).to_have_value("")


async def test_a_command_that_does_not_exist_is_refused_with_a_sentence_and_kept(room: Room) -> None:
    await room.write("/mush devices")
    await expect(room.tab.get_by_role("alert")).to_contain_text("/mush is not a valid command")
    await expect(field(room)).to_have_value("/mush devices")


async def test_a_draft_waits_in_its_channel(room: Room) -> None:
    await field(room).fill("half a thou")
    await room.tab.get_by_role("link", name="random").click()
    await expect(room.tab.get_by_role("combobox", name="Message #random")).to_have_value("")
    await room.tab.get_by_role("link", name="ops").click()
    await expect(field(room)).to_have_value("half a thou")


async def test_a_message_of_several_lines_is_sent_as_it_is(room: Room) -> None:
    await field(room).press_sequentially("one")
    await field(room).press("Shift+Enter")
    await field(room).press_sequentially("two <b>")
    await field(room).press("Enter")
    await expect(room.tab.locator(".message .text")).to_have_text("onetwo <b>")
