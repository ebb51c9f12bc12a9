"""What no single message shows: how much the page weighs, and whom it leaves out."""

from pathlib import Path

import pytest
from playwright.async_api import Page as Tab
from playwright.async_api import expect

from bot.demo.slack.workspace import OPERATOR
from tests.browser.room import Room, button, buttons, section

pytestmark = pytest.mark.browser

AUDIT = f"() => {{ {(Path(__file__).parent / 'audit.js').read_text()}\n return [...unnamed(), ...pale()]; }}"


async def furnished(room: Room) -> Tab:
    """A window with something of everything in it."""
    fields = [{"type": "mrkdwn", "text": "*Site*\noslo"}, {"type": "mrkdwn", "text": f"<@{OPERATOR}> `x`"}]
    act = [
        button("Approve", "rollout_approve", style="primary"),
        button("Deny…", "rollout_deny", style="danger"),
    ]
    small = {"type": "context", "elements": [{"type": "mrkdwn", "text": "as of just now"}]}
    blocks = [section("🔴 *offline*"), {"type": "section", "fields": fields}, small, buttons(*act)]
    ts = await room.post("card", blocks=blocks)
    await room.post("note", thread_ts=ts)
    await room.write("/mesh devices")
    await room.message("You typed").wait_for()
    return room.tab


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_everything_has_a_name_and_can_be_read(room: Room, theme: str) -> None:
    tab = await furnished(room)
    await tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    await tab.get_by_role("button", name="1 reply").click()
    await expect(tab.get_by_role("complementary", name="Thread").locator(".message")).to_have_count(2)
    assert await tab.evaluate(AUDIT) == []
    await tab.get_by_role("button", name="Make things happen").click()
    assert await tab.evaluate(AUDIT) == []
    await room.message("offline").get_by_role("button", name="Deny…").click()
    await tab.get_by_role("dialog").get_by_role("button", name="Deny").click()
    assert await tab.evaluate(AUDIT) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
async def test_nobody_is_left_out_of_the_other_views(room: Room, theme: str, width: int) -> None:
    tab = room.tab
    await tab.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    await tab.set_viewport_size({"width": width, "height": 844})
    found = {"empty channel": await tab.evaluate(AUDIT)}
    await room.write("/me")
    await tab.get_by_text("/me is not a valid command").wait_for()
    found["refusal"] = await tab.evaluate(AUDIT)
    await tab.get_by_role("combobox").fill("/mesh d")
    await expect(tab.get_by_role("option")).to_have_count(2)
    found["completion"] = await tab.evaluate(AUDIT)
    await tab.get_by_role("button", name="You are").click()
    found["menu"] = await tab.evaluate(AUDIT)
    await tab.keyboard.press("Escape")
    await tab.goto(f"{room.page.url}/#D{OPERATOR[1:]}")
    for name in ("Home", "About"):
        await tab.get_by_role("tab", name=name).click()
        await expect(tab.get_by_role("tabpanel", name=name)).to_contain_text("fleet")
        found[name] = await tab.evaluate(AUDIT)
    await tab.evaluate("localStorage.removeItem('meshbot-tour')")
    await tab.get_by_role("button", name="Make things happen").click()
    await tab.get_by_role("button", name="Show the tour").click()
    await expect(tab.get_by_role("dialog")).to_contain_text("1 of 5")
    found["tour"] = await tab.evaluate(AUDIT)
    assert found == {view: [] for view in found}
    assert await tab.evaluate("document.documentElement.scrollWidth") == width


async def test_the_audit_sees_an_offence_when_it_is_shown_one(room: Room) -> None:
    await room.tab.evaluate("""() => {
      const pale = document.createElement('p');
      pale.textContent = 'pale words';
      pale.style.color = '#aaaaaa';
      document.querySelector('.top').append(document.createElement('button'));
      document.querySelector('.pane-head').append(pale);
    }""")
    found = await room.tab.evaluate(AUDIT)
    assert [one.split(" ")[0] for one in found] == ["no", "2.32"]


async def test_everything_is_reached_by_keyboard_alone(room: Room) -> None:
    tab = await furnished(room)
    await tab.locator("body").press("Tab")
    reached: set[str] = set()
    for _ in range(60):
        reached.add(await tab.evaluate("document.activeElement.textContent.trim()"))
        await tab.keyboard.press("Tab")
    assert {"Approve", "Deny…", "Next", "fleet-alerts", "Make things happen"} <= reached


async def test_arrow_keys_walk_from_message_to_message_and_tab_reaches_its_tools(room: Room) -> None:
    for number in range(40):
        await room.post(f"message {number}")
    await room.message("message 39").wait_for()
    await room.tab.get_by_role("region", name="Messages in #ops").focus()
    for _ in range(30):
        await room.tab.keyboard.press("ArrowUp")
    await expect(room.tab.locator(".message", has_text="message 10")).to_be_focused()
    await room.tab.keyboard.press("Tab")
    await expect(room.tab.get_by_role("button", name="Reply in thread")).to_be_focused()


async def test_the_first_paint_needs_less_than_200_kb(room: Room) -> None:
    sizes: list[int] = []
    fresh = await room.context.new_page()
    fresh.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", 0))))
    await fresh.goto(room.page.url)
    await fresh.locator("#app[data-ready]").wait_for()
    assert len(sizes) > 10
    assert sum(sizes) < 200_000
