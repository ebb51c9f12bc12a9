"""A newcomer's first ten minutes: the real bot, the make-believe fleet, and a person who clicks and types."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from bot.demo.run import Demo
from bot.demo.slack.workspace import FLEET_ALERTS
from tests.browser.person import Person, visitor

pytestmark = pytest.mark.browser

ONE_MINUTE = 60_000


@pytest_asyncio.fixture(loop_scope="session")
async def demo(request: pytest.FixtureRequest) -> AsyncIterator[Demo]:
    """A world whose time goes this many times as fast as ours; as fast, unless a test says more."""
    world = Demo(gateways=240, speed=getattr(request, "param", 1))
    await world.start()
    yield world
    await world.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def person(demo: Demo, chromium: Browser) -> AsyncIterator[Person]:
    async with visitor(chromium, demo) as visiting:
        yield visiting


@pytest.mark.parametrize("demo", [4], indirect=True)
async def test_an_alert_comes_by_itself_within_a_minute(demo: Demo, person: Person) -> None:
    clock = demo.world.fleet.clock
    begun = clock.now()
    await expect(person.tab.get_by_role("link", name=re.compile("^fleet-alerts, .* unread"))).to_be_visible(
        timeout=ONE_MINUTE
    )
    (alert, *_) = demo.world.slack.workspace.in_channel(FLEET_ALERTS)
    assert float(alert.ts) < begun.timestamp() + 60
    await person.go_to("fleet-alerts")
    await person.press("Acknowledge")
    await expect(person.message("@Otto Lie").first).to_be_visible()
    assert demo.world.slack.problems == []


async def test_a_person_lists_pages_renames_and_takes_it_back(demo: Demo, person: Person) -> None:
    await person.write("/mesh devices tag:bergen")
    await expect(person.last).to_contain_text("1–10 of")
    await person.press("Next")
    await expect(person.last).to_contain_text("11–20 of")
    gateway = next(one for one in demo.world.fleet.devices.values() if one.friendly_name == "MT10003")
    await person.write("/mesh rename MT10003 <b>Roof</b> & co")
    await expect(person.last.get_by_role("button", name="Undo")).to_be_visible()
    await expect(person.last).to_contain_text("<b>Roof</b> & co")
    assert gateway.friendly_name == "<b>Roof</b> & co"
    await person.press("Undo")
    await expect(person.last.get_by_role("button", name="Undo")).to_have_count(0)
    await expect(person.last).to_contain_text("MT10003")
    assert gateway.friendly_name == "MT10003"
    assert demo.world.slack.problems == []


async def test_several_gateways_are_tagged_after_a_confirmation(demo: Demo, person: Person) -> None:
    before = len(demo.world.fleet.at_site("svalbard"))
    await person.write("/mesh tag tag:svalbard +north")
    await person.press("Change", sure="Change")
    await expect(person.last.get_by_role("button", name="Undo")).to_be_visible()
    assert len(demo.world.fleet.at_site("north")) == before


async def test_an_update_is_put_together_with_menus_and_waits_on_its_approver_s_home_tab(
    demo: Demo, person: Person
) -> None:
    await person.write("/mesh update")
    window = person.tab.get_by_role("dialog", name="Update firmware")
    await window.get_by_role("combobox", name="Model").select_option(label="2011")
    await window.get_by_role("combobox", name="Version").select_option(label="3.5.0")
    await window.get_by_role("combobox", name="Which gateways").select_option(index=2)
    await expect(window).to_contain_text("Plan: firmware 3.5.0")
    await window.get_by_role("button", name="Request approval").click()
    await expect(window).to_contain_text("R-1 is requested")
    await window.get_by_role("button", name="Close").last.click()
    await person.be("Ana Moe")
    home = await person.home()
    await expect(home.get_by_role("heading", name="Waits for you")).to_be_visible()
    await home.get_by_role("button", name="Approve R-1").click()
    await person.tab.get_by_role("dialog").get_by_role("button", name="Approve").click()
    await expect(home.get_by_role("button", name="Approve R-1")).to_have_count(0)
    await person.go_to("rollouts")
    await expect(person.message("Approved by").first).to_contain_text("@Ana Moe")
    assert demo.world.slack.problems == []


async def test_a_viewer_s_home_tab_shows_the_fleet_and_has_no_button_that_refuses(
    quick: Demo, hasty: Person
) -> None:
    await hasty.tab.get_by_role("link", name=re.compile("^fleet-alerts, .* unread")).wait_for(
        timeout=ONE_MINUTE
    )
    await hasty.be("Vera Holm")
    home = await hasty.home()
    await expect(home).to_contain_text("240 gateways")
    await expect(home.get_by_role("heading", name="Open alerts")).to_be_visible()
    names = await home.get_by_role("button").all_inner_texts()
    assert set(names) == {"Details"}
    await home.get_by_role("button", name="Details").first.click()
    await expect(hasty.tab.get_by_role("link", name="Meshbot, 1 unread")).to_be_visible()
    await expect(home.get_by_role("alert")).to_have_count(0)


async def test_a_mention_in_a_card_s_thread_is_answered_in_that_thread(quick: Demo, hasty: Person) -> None:
    await hasty.go_to("fleet-alerts")
    await expect(hasty.last).to_contain_text("offline", timeout=ONE_MINUTE)
    card = hasty.tab.locator("#pane .message").first
    await card.hover()
    await card.get_by_role("button", name="Reply in thread").click()
    thread = hasty.tab.get_by_role("complementary", name="Thread")
    reply = thread.get_by_role("combobox", name="Reply…")
    await reply.fill("@Meshbot status")
    await reply.press("Enter")
    await expect(thread.locator(".message").last).to_contain_text("Version")
    await expect(card.get_by_role("button", name=re.compile("repl"))).to_contain_text(
        re.compile(r"\d replies")  # what the bot itself has to say there is counted too
    )
    assert quick.world.slack.problems == []


async def test_starting_over_begins_a_new_world_in_the_same_window(demo: Demo, person: Person) -> None:
    await person.write("hello")
    await expect(person.last).to_contain_text("hello")
    await person.tab.get_by_role("button", name="Make things happen").click()
    await person.tab.get_by_role("button", name="Start over").click()
    await expect(person.tab.get_by_text("A new world")).to_be_visible()
    await expect(person.tab.locator("#pane .message")).to_have_count(0)
    await person.write("/mesh status")
    await expect(person.last).to_contain_text("Version")
