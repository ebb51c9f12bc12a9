"""Takes the pictures of the README anew: `make pictures`. A demo, a person who clicks, five files."""

import asyncio
import io
import re
from pathlib import Path

from PIL import Image
from playwright.async_api import Locator, expect

from bot.demo.run import Demo
from tests.browser.person import Person, visitor
from tests.browser.room import browser

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = {"width": 1440, "height": 860}, {"width": 390, "height": 780}
TALL = {"width": 1280, "height": 1130}
LONG = 180_000
COLOURS = 128  # enough for flat areas and their edges, at a third of the weight


async def main() -> None:
    demo = Demo(gateways=240, speed=10)
    await demo.start()
    try:
        async with browser() as chromium, visitor(chromium, demo, scale=2) as person:
            await a_list(demo, person)
            await a_rollout_in_its_last_wave(demo, person)
            await a_dark_site(demo, person)
            await an_approver_s_home(person)
    finally:
        await demo.stop()


async def a_rollout_in_its_last_wave(demo: Demo, person: Person) -> None:
    demo.world.change("mend", {})
    await person.write("/mesh update tag:Kyiv-office model:2011 to 3.5.0")
    await person.press("Request approval")
    await person.be("Ana Moe")
    await person.go_to("rollouts")
    card = person.tab.locator("#pane .message").first
    await person.press("Approve", card)
    await card.get_by_role("button", name="Promote").wait_for(timeout=LONG)
    await person.press("Promote", card)
    await expect(card).to_contain_text(re.compile("Wave 4: ▰+▱"), timeout=LONG)
    await at_speed(demo, person, 1)
    await taken(person, "demo-narrow-rollout", NARROW, "dark", over=card)
    await card.get_by_role("button", name=re.compile("repl")).click()
    await expect(
        person.tab.get_by_role("complementary", name="Thread").locator(".message")
    ).not_to_have_count(1)
    await taken(person, "demo-rollout", WIDE, "light")
    await person.tab.keyboard.press("Escape")


async def an_approver_s_home(person: Person) -> None:
    await person.tab.get_by_role("button", name="Close the panel").click()
    await person.go_to("ops")
    await person.write("/mesh update tag:bergen model:2011 to 3.5.0")
    await person.press("Request approval")
    await person.be("Ana Moe")
    home = await person.home()
    await home.get_by_role("button", name="Approve R-2").wait_for(timeout=LONG)
    chart = home.get_by_role("img")
    await chart.wait_for(timeout=LONG)
    await expect(chart).to_have_js_property("complete", True)
    await taken(person, "demo-home", TALL, "light")


async def a_list(demo: Demo, person: Person) -> None:
    await person.tab.get_by_role("link", name=re.compile("^fleet-alerts, 2 unread")).wait_for(timeout=LONG)
    demo.world.fleet.live(outages_per_hour=0)
    await person.write("/mesh devices tag:bergen,svalbard is:offline")
    await expect(person.last).to_contain_text("gateways for")
    await taken(person, "demo-narrow-list", NARROW, "light")


async def a_dark_site(demo: Demo, person: Person) -> None:
    await at_speed(demo, person, 10)
    await person.be("Otto Lie")
    await person.tab.get_by_role("button", name="Make things happen").click()
    await person.go_to("fleet-alerts")
    panel = person.tab.get_by_role("complementary", name="Make things happen")
    await panel.get_by_role("combobox", name="Site").select_option("stavanger")
    await panel.get_by_role("button", name="Site goes offline").click()
    card = person.message("at stavanger").first
    await card.wait_for(timeout=LONG)
    await person.press("Acknowledge", card)
    await expect(card).to_contain_text("@Otto Lie")
    await at_speed(demo, person, 1)
    await taken(person, "demo-alerts", WIDE, "dark")


async def at_speed(demo: Demo, person: Person, factor: int) -> None:
    demo.world.change("speed", {"factor": factor})
    shown = expect(person.tab.locator("#clock"))
    await (shown.not_to_contain_text("×") if factor == 1 else shown.to_contain_text(f"× {factor}"))


async def taken(
    person: Person, name: str, size: dict[str, int], theme: str, over: Locator | None = None
) -> None:
    """Take the picture, and keep it with few colours."""
    await person.tab.set_viewport_size({"width": size["width"], "height": size["height"]})
    await person.tab.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    await person.tab.evaluate("document.activeElement.blur()")
    await person.tab.mouse.move(0, 0)
    await person.tab.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    if over is not None:
        await over.evaluate("(node) => node.scrollIntoView({ block: 'start' })")
    seen = Image.open(io.BytesIO(await person.tab.screenshot())).convert("RGB")
    few = seen.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)
    print(name, f"{(FOLDER / f'{name}.png').stat().st_size / 1000:.0f} kB")
    await person.tab.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})
    await person.tab.emulate_media(color_scheme="light")


if __name__ == "__main__":
    asyncio.run(main())
