"""The page in real Chromium: what came over the wire is drawn as Slack draws it, and nothing else."""

import re

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from bot.demo.slack.workspace import APPROVER, FLEET_ALERTS, OPERATOR, OPS
from tests.browser.room import PNG, Room, button, buttons, open_room, section, sure, words

pytestmark = pytest.mark.browser


async def test_a_name_with_markup_is_shown_as_text(room: Room) -> None:
    await room.post(
        "x", blocks=[section("&lt;img src=x onerror=alert(1)&gt; \u2060*\u2060bold\u2060*\u2060")]
    )
    text = room.message("<img src=x").locator(".text")
    await expect(text).to_have_text("<img src=x onerror=alert(1)> \u2060*\u2060bold\u2060*\u2060")
    await expect(text.locator("img, b")).to_have_count(0)


@pytest.mark.parametrize(
    ("markup", "selector", "shown"),
    [
        ("*now*", "b", "now"),
        ("_now_", "i", "now"),
        ("~now~", "s", "now"),
        ("`a*b*c`", "code", "a*b*c"),
        ("```one\ntwo```", "pre", "one\ntwo"),
        ("> said\n> twice", "blockquote", "saidtwice"),
        (f"<@{APPROVER}>", ".mention", "@Ana Moe"),
        (f"<@{OPERATOR}>", ".mention.me", "@Otto Lie"),
        (f"<#{FLEET_ALERTS}|x>", "a.mention", "#fleet-alerts"),
        ("<https://mesh.no/a?b=1&amp;c=2|the page>", 'a[href="https://mesh.no/a?b=1&c=2"]', "the page"),
        ("<!date^1700000000^{date_short} at {time}|then>", "time", "Nov 14, 2023 at 23:13"),
        (":white_check_mark:", "[aria-label='white check mark']", "✅"),
    ],
)
async def test_markup_is_drawn_as_slack_draws_it(room: Room, markup: str, selector: str, shown: str) -> None:
    await room.post(markup)
    await expect(room.tab.locator(f".message .text {selector}")).to_have_text(shown)


async def test_what_only_looks_like_markup_stays_as_it_is(room: Room) -> None:
    await room.post("2*3*4 snake_case_name ~/home :nosuch: <javascript:alert(1)|no link>")
    text = room.tab.locator(".message .text")
    await expect(text).to_have_text("2*3*4 snake_case_name ~/home :nosuch: no link")
    await expect(text.locator("b, i, s, a")).to_have_count(0)


async def test_a_dangerous_click_is_asked_about_first(room: Room) -> None:
    await room.post("card", blocks=[buttons(button("Approve", "rollout_approve", confirm=sure()))])
    card = room.tab.locator(".message").last
    await card.get_by_role("button", name="Approve").click()
    dialog = room.tab.get_by_role("dialog", name="Approve R-1?")
    await expect(dialog).to_contain_text("This updates 12 gateways")
    await dialog.get_by_role("button", name="Go back").click()
    await expect(card.get_by_role("button", name="Approve")).to_be_focused()
    assert not room.slack.called("chat.update")
    await card.get_by_role("button", name="Approve").click()
    await dialog.get_by_role("button", name="Approve").click()
    await expect(card).to_contain_text("Approved by @Otto Lie")
    await expect(card.get_by_role("button", name="Approve")).to_have_count(0)


async def test_a_modal_shows_what_is_wrong_beside_the_input_and_keeps_what_was_typed(room: Room) -> None:
    await room.post("card", blocks=[buttons(button("Deny…", "rollout_deny"))])
    await room.tab.get_by_role("button", name="Deny…").click()
    modal = room.tab.get_by_role("dialog", name="Deny R-1")
    reason = modal.get_by_role("textbox", name="Why not?")
    await modal.get_by_role("button", name="Deny").click()
    await expect(modal).to_contain_text("Please complete this required field.")
    await reason.fill("no")
    await modal.get_by_role("button", name="Deny").click()
    await expect(reason).to_have_accessible_description(re.compile("Say a little more."))
    await expect(reason).to_have_value("no")
    await expect(reason).to_be_focused()
    await reason.fill("not tonight")
    await modal.get_by_role("button", name="Deny").click()
    await expect(modal).to_have_count(0)


async def test_a_modal_is_left_with_escape_and_focus_returns_to_its_button(room: Room) -> None:
    await room.post("card", blocks=[buttons(button("Deny…", "rollout_deny"))])
    await room.tab.get_by_role("button", name="Deny…").click()
    await room.tab.get_by_role("dialog").wait_for()
    await room.tab.keyboard.press("Escape")
    await expect(room.tab.get_by_role("dialog")).to_have_count(0)
    await expect(room.tab.get_by_role("button", name="Deny…")).to_be_focused()
    assert room.slack.top_view(OPERATOR) is None


async def test_an_answer_is_visible_to_the_asker_only_and_changes_in_its_place(room: Room) -> None:
    other = await room.context.new_page()
    await other.goto(room.page.url)
    await room.be("Ana Moe", other)
    await room.write("/mesh devices is:offline")
    answer = room.message("You typed devices is:offline")
    await expect(answer).to_contain_text("Only visible to you")
    await answer.get_by_role("button", name="Next").click()
    await expect(room.tab.locator(".message").last).to_contain_text("Page 2")
    await expect(room.tab.locator(".message")).to_have_count(1)
    await room.post("for all")
    await expect(other.locator(".message")).to_have_text(re.compile("for all"))


async def test_a_note_for_the_channel_quotes_its_card_as_it_is_by_now(room: Room) -> None:
    await room.tab.set_viewport_size({"width": 390, "height": 844})
    ts = await room.post("R-1 is running\nWave 2 of 4")
    await room.post("the end", thread_ts=ts, reply_broadcast=True)
    quote = room.message("the end").get_by_role("button", name="R-1 is running Wave 2 of 4")
    await expect(quote).to_be_visible()
    assert await quote.evaluate("(node) => node.offsetWidth") > 100
    await room.client.chat_update(channel=OPS, ts=ts, text="R-1 is finished " + "and very long " * 20)
    await expect(room.message("the end").get_by_role("button", name="R-1 is finished")).to_be_visible()
    assert await room.tab.evaluate("document.documentElement.scrollWidth") == 390


async def test_a_thread_opens_beside_and_goes_on_living(room: Room) -> None:
    ts = await room.post("the card")
    await room.post("first note", thread_ts=ts)
    await room.tab.get_by_role("button", name="1 reply").click()
    thread = room.tab.get_by_role("complementary", name="Thread")
    await expect(thread.locator(".message")).to_have_count(2)
    await room.post("the end", thread_ts=ts, reply_broadcast=True)
    await expect(thread.locator(".message").last).to_contain_text("the end")
    await expect(room.message("the end")).to_contain_text("replied to a thread")
    reply = thread.get_by_role("combobox", name="Reply…")
    await reply.fill("@Meshbot status")
    await reply.press("Enter")
    await expect(thread).to_contain_text("At your service.")
    await room.tab.keyboard.press("Escape")
    await expect(thread).to_be_hidden()


async def test_a_file_can_be_downloaded_and_a_picture_is_shown(room: Room) -> None:
    for name, content in (("fleet.csv", b"id\n1\n"), ("chart.png", PNG)):
        told = await room.client.files_getUploadURLExternal(filename=name, length=len(content))
        async with aiohttp.ClientSession() as session:
            await session.post(str(told["upload_url"]), data=content)
        files = [{"id": told["file_id"], "title": name}]
        await room.client.files_completeUploadExternal(files=files, channel_id=OPS)
    async with room.tab.expect_download() as download:
        await room.tab.get_by_role("link", name="Download fleet.csv").click()
    assert (await (await download.value).path()).read_bytes() == b"id\n1\n"
    picture = room.tab.get_by_role("img", name="chart.png")
    await expect(picture).to_have_js_property("naturalWidth", 1)


async def test_the_home_tab_is_what_the_bot_published_for_this_person(room: Room) -> None:
    await room.tab.get_by_role("link", name="Meshbot").click()
    await room.tab.get_by_role("tab", name="Home").click()
    await expect(room.tab.get_by_role("heading", name="Your fleet")).to_be_visible()
    await expect(room.tab.get_by_role("tabpanel")).to_contain_text("236 online")


async def test_whoever_sits_down_at_the_home_tab_sees_their_own(room: Room) -> None:
    await room.tab.get_by_role("link", name="Meshbot").click()
    await room.tab.get_by_role("tab", name="Home").click()
    await expect(room.tab.get_by_role("heading", name="Your fleet")).to_be_visible()
    await room.be("Ana Moe")
    await expect(room.tab.get_by_role("tab", name="Home")).to_have_attribute("aria-selected", "true")
    await expect(room.tab.get_by_role("heading", name="Your fleet")).to_be_visible()
    assert {APPROVER, OPERATOR} <= set(room.slack.workspace.homes)


async def test_the_page_comes_back_by_itself_when_the_server_does(room: Room) -> None:
    port = int(room.page.url.rpartition(":")[2])
    await room.page.stop()
    await expect(room.tab.get_by_text("The local Slack cannot be reached")).to_be_visible()
    await room.post("said meanwhile")
    await room.page.start(port)
    await expect(room.message("said meanwhile")).to_be_visible()
    await expect(room.tab.get_by_text("The local Slack cannot be reached")).to_be_hidden()


async def test_what_was_not_read_is_marked_and_counted(room: Room) -> None:
    await room.post("one", FLEET_ALERTS)
    await room.post("two", FLEET_ALERTS)
    alerts = room.tab.get_by_role("link", name="fleet-alerts, 2 unread")
    await alerts.click()
    await expect(room.tab.get_by_role("separator", name="New messages")).to_be_visible()
    await expect(room.tab.get_by_role("link", name="fleet-alerts", exact=True)).to_be_visible()
    await room.be("Ana Moe")
    await room.tab.get_by_role("link", name="ops").click()
    await expect(room.tab.get_by_role("link", name="fleet-alerts", exact=True)).to_be_visible()


async def test_a_message_is_edited_in_its_place_and_the_focus_stays_on_its_button(room: Room) -> None:
    blocks = [section("old"), buttons(button("Details", "incident_details"))]
    ts = await room.post("old", blocks=blocks)
    details = room.tab.get_by_role("button", name="Details")
    await details.focus()
    await room.client.chat_update(channel=OPS, ts=ts, text="new", blocks=[section("new"), blocks[1]])
    await expect(room.tab.locator(".message")).to_have_text(re.compile("new"))
    await expect(details).to_be_focused()
    await expect(room.tab.get_by_text("(edited)")).to_have_count(0)


async def test_a_guest_sees_only_the_channels_they_are_in(room: Room) -> None:
    await room.be("Gustav Ness")
    links = room.tab.get_by_role("navigation", name="Channels").get_by_role("link")
    await expect(links).to_have_text(["ops", "Meshbot"])


async def test_on_a_narrow_window_the_channels_come_as_a_drawer(room: Room) -> None:
    await room.tab.set_viewport_size({"width": 420, "height": 800})
    link = room.tab.get_by_role("link", name="rollouts")
    await expect(link).to_be_hidden()
    await room.tab.get_by_role("button", name="Channels", exact=True).click()
    await link.click()
    await expect(room.tab.get_by_role("heading", name="rollouts", exact=True)).to_be_visible()
    await expect(link).to_be_hidden()
    width = await room.tab.evaluate("document.documentElement.scrollWidth")
    assert width == 420, "nothing sticks out to the side"


async def test_a_menu_of_people_or_channels_outside_a_message_lists_the_workspace_s_own(room: Room) -> None:
    await room.tab.get_by_role("link", name="Meshbot").click()
    await room.tab.get_by_role("tab", name="Home").click()
    await expect(room.tab.get_by_role("heading", name="Your fleet")).to_be_visible()
    menus = [
        {"type": f"{kind}_select", "action_id": kind, "placeholder": words(kind)}
        for kind in ("users", "conversations")
    ]
    await room.client.views_publish(user_id=OPERATOR, view={"type": "home", "blocks": [buttons(*menus)]})
    for kind, listed in (("users", "Ana Moe"), ("conversations", "#ops")):
        menu = room.tab.get_by_role("combobox", name=kind)
        await expect(menu.locator("option", has_text=listed)).to_have_count(1)


async def test_on_a_phone_the_menu_of_people_has_their_names(room: Room) -> None:
    await room.tab.set_viewport_size({"width": 400, "height": 800})
    await room.tab.get_by_role("button", name="You are").click()
    await expect(
        room.tab.get_by_role("menuitemradio").filter(has_text="Ana Moe").locator("b")
    ).to_be_visible()


async def test_light_and_dark_follow_the_reader_and_the_toggle(room: Room) -> None:
    root = room.tab.locator("html")
    await room.tab.emulate_media(color_scheme="dark")
    await expect(root).to_have_attribute("data-theme", "dark")
    await room.tab.get_by_role("button", name="Dark appearance").click()
    await expect(root).to_have_attribute("data-theme", "light")
    await room.tab.reload()
    await expect(root).to_have_attribute("data-theme", "light")


async def test_the_tour_stays_on_the_screen_when_the_window_becomes_narrow(chromium: Browser) -> None:
    async with open_room(chromium, tour=True) as room:
        card = room.tab.get_by_role("dialog")
        await room.tab.get_by_role("button", name="Next").click()
        await room.tab.get_by_role("button", name="Next").click()
        await expect(card).to_contain_text("3 of 5")
        await room.tab.set_viewport_size({"width": 390, "height": 844})
        await expect(card).to_be_in_viewport(ratio=1)


async def test_the_first_visit_is_met_by_a_tour_of_five_steps_and_the_second_is_not(
    chromium: Browser,
) -> None:
    async with open_room(chromium, tour=True) as room:
        for number in range(1, 5):
            await expect(room.tab.get_by_role("dialog")).to_contain_text(f"{number} of 5")
            await room.tab.get_by_role("button", name="Next").click()
        await room.tab.get_by_role("button", name="Type it for me").click()
        await expect(room.tab.get_by_role("combobox")).to_have_value(re.compile("^/mesh update"))
        await room.tab.get_by_role("button", name="Done").click()
        await room.tab.reload()
        await room.tab.locator("#app[data-ready]").wait_for()
        await expect(room.tab.get_by_role("dialog")).to_have_count(0)
