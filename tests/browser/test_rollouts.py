"""Bad firmware stops by itself and good firmware arrives: on the page, sixty times as fast at most."""

import re

import pytest
from playwright.async_api import Locator, expect

from bot.demo.run import Demo
from tests.browser.person import Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

TO_THE_END = 180_000
QUERY = "tag:Kyiv-office model:2011"
CANARY_FAILED = r"\d of \d canaries failed"


async def begun(person: Person, version: str) -> Locator:
    """An operator requests it and may not approve it; an approver approves; its card."""
    await person.write(f"/mesh update {QUERY} to {version}")
    await person.press("Request approval")
    await person.go_to("rollouts")
    stamp = await person.message("R-1").get_attribute("data-ts")
    card = person.tab.locator(f'#pane .message[data-ts="{stamp}"]')
    await person.press("Approve", card)
    await expect(person.last).to_contain_text("Only visible to you")
    await person.be("Ana Moe")
    await person.press("Approve", card)
    return card


async def goes_on_until(person: Person, card: Locator, end: re.Pattern[str]) -> None:
    """The canary is promoted, if it comes to that."""
    promote = card.get_by_role("button", name="Promote")
    reached = card.filter(has_text=end)
    await expect(promote.or_(reached).first).to_be_visible(timeout=TO_THE_END)
    if await promote.is_visible():
        await person.press("Promote", card)
    await expect(card).to_contain_text(end, timeout=TO_THE_END)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        pytest.param(
            "3.6.0",
            r"canaries failed|gateways failed|did not return|failed at Kyiv-office",
            id="bricks",
        ),
        pytest.param("3.6.2", CANARY_FAILED, id="lies", marks=pytest.mark.soak),
        pytest.param("3.6.3", CANARY_FAILED, id="never answers", marks=pytest.mark.soak),
        pytest.param(
            "3.6.4",
            r"\d+ gateways at Kyiv-office that are not part of it went offline after it began there",
            id="drops its neighbours",
        ),
    ],
)
async def test_bad_firmware_is_stopped_with_the_reason_on_the_card(
    quick: Demo, hasty: Person, version: str, reason: str
) -> None:
    card = await begun(hasty, version)
    await goes_on_until(hasty, card, re.compile(reason))
    await expect(card).to_contain_text(re.compile("paused|aborted"))
    touched = len(quick.world.fleet.starts)
    assert touched < len(quick.world.fleet.at_site("Kyiv-office")) / 2
    assert quick.world.slack.problems == []


async def test_good_firmware_reaches_every_gateway_that_is_online_verified(
    quick: Demo, hasty: Person
) -> None:
    card = await begun(hasty, "3.5.0")
    await goes_on_until(hasty, card, re.compile(r"waiting for \d+ gateways"))
    await hasty.press("End waiting", card, sure="End waiting")
    await expect(card).to_contain_text("✅ finished")
    updated = [one for one in quick.world.fleet.devices.values() if one.firmware == "3.5.0"]
    started = quick.world.fleet.starts
    assert len(updated) == len(started) > 20
    assert {len(jobs) for jobs in started.values()} == {1}
    await expect(card).not_to_contain_text("failed")
    for wave in range(2, 5):
        await expect(card).to_contain_text(f"Wave {wave}")
    assert quick.world.slack.problems == []
