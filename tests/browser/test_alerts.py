"""Alerts as they come to a channel: what is seen of a dark site, of half a fleet, of a rollout's reboots."""

import re
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from bot.demo.run import Demo
from tests.browser.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

AT_LENGTH = 90_000
OLD = r"A-\d+ \d sites: 10 of 240 gateways offline"


@pytest_asyncio.fixture(loop_scope="session")
async def person(hasty: Person) -> Person:
    """Somebody at the alerts, where one card says what was dark at the start."""
    await hasty.tab.get_by_role("button", name="Make things happen").click()
    await hasty.go_to("fleet-alerts")
    await expect(cards(hasty, OLD)).to_have_count(1)
    return hasty


def cards(person: Person, title: str) -> Locator:
    return person.tab.locator("#pane .message", has=person.tab.get_by_role("heading", name=re.compile(title)))


async def updated(person: Person, query: str, version: str) -> Locator:
    """An operator asks for it, an approver approves it; its card."""
    await person.go_to("ops")
    await person.write(f"/mesh update {query} to {version}")
    await person.press("Request approval")
    await person.be("Ana Moe")
    await person.go_to("rollouts")
    card = cards(person, "^R-1: ")
    await person.press("Approve", card)
    return card


async def test_a_dark_site_is_one_card_that_also_says_when_it_is_over(quick: Demo, person: Person) -> None:
    panel = person.tab.get_by_role("complementary", name="Make things happen")
    await panel.get_by_role("combobox", name="Site").select_option("trondheim")
    await panel.get_by_role("button", name="Site goes offline").click()
    card = cards(person, "A-\\d+ trondheim: ")
    await expect(card).to_contain_text("trondheim: 18 of 18 gateways offline")
    stamp = await card.get_attribute("data-ts")
    quick.world.fleet.connect(quick.world.fleet.at_site("trondheim"))
    await expect(card).to_contain_text("trondheim: over, 18 gateways")
    assert await card.get_attribute("data-ts") == stamp
    await expect(card.get_by_role("button", name="Acknowledge")).to_have_count(0)
    assert quick.world.slack.problems == []


async def test_half_the_fleet_gone_is_visibility_loss_first_and_a_storm_if_it_stays(
    quick: Demo, person: Person
) -> None:
    panel = person.tab.get_by_role("complementary", name="Make things happen")
    before = await person.tab.locator("#pane .message").count()
    await panel.get_by_role("combobox", name="For how long").select_option("until it is mended")
    await panel.get_by_role("button", name="Half the fleet").click()
    await expect(cards(person, "no data from Meshtech")).to_have_count(1)
    storm = cards(person, "mass outage at ")
    await expect(storm).to_contain_text(re.compile(r"mass outage at \d+ sites: 1\d\d of 240 gateways"))
    assert await person.tab.locator("#pane .message").count() == before + 2
    assert quick.world.slack.problems == []


async def test_the_reboots_of_a_rollout_are_no_alert(quick: Demo, person: Person) -> None:
    fleet = quick.world.fleet
    fleet.reboot = (timedelta(seconds=60), timedelta(seconds=70))  # an alert opens after 15 s
    card = await updated(person, "tag:tromsø model:2011", "3.5.0")
    await expect(card.get_by_role("button", name="Promote")).to_be_visible(timeout=AT_LENGTH)
    assert [fleet.devices[one].firmware for one in fleet.starts] == ["3.5.0"] * 5
    await person.go_to("fleet-alerts")
    await expect(cards(person, OLD)).to_have_count(1)
    await expect(cards(person, "tromsø|R-1")).to_have_count(0)
    assert quick.world.slack.problems == []


async def test_a_gateway_that_firmware_bricked_is_a_louder_alert_with_the_rollout_s_name(
    quick: Demo, person: Person
) -> None:
    card = await updated(person, "tag:tromsø model:2011", "3.6.0")
    await expect(card).to_contain_text(re.compile("did not return"), timeout=AT_LENGTH)
    await person.go_to("fleet-alerts")
    loud = cards(person, "🚨 A-\\d+ R-1.* did not return")
    await expect(loud).to_have_count(1)
    await expect(loud).to_contain_text("3.6.0")
    await expect(cards(person, "tromsø: .* offline")).to_have_count(0)
    assert quick.world.slack.problems == []
