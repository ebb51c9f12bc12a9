from typing import Any

import pytest

from bot.demo.slack.elements import problems_of_mrkdwn, problems_of_options, problems_of_plain
from bot.demo.slack.limits import check_message, problems_of_message, problems_of_view

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(**more: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": plain("Go"), **more}


def option(value: str = "1", **more: Any) -> Json:
    return {"text": plain("One"), "value": value, **more}


def select(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "pick", "options": [option()], **more}


def section(**more: Any) -> Json:
    return {"type": "section", "text": mrkdwn("Words"), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def row(*cells: str) -> list[Json]:
    return [{"type": "raw_text", "text": cell} for cell in cells]


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def confirm(**more: Any) -> Json:
    return {name: plain(name) for name in ("title", "text", "confirm", "deny")} | more


def choices(kind: str, count: int) -> Json:
    return {"type": kind, "action_id": "x", "options": [option(str(number)) for number in range(count)]}


def input_block(element: Json | None = None) -> Json:
    element = element or {"type": "plain_text_input", "action_id": "reason"}
    return {"type": "input", "block_id": "reason", "label": plain("Reason"), "element": element}


def modal(*blocks: Json, **more: Any) -> Json:
    words = {name: plain(name.title()) for name in ("title", "submit", "close")}
    return {"type": "modal", "callback_id": "ask", "blocks": list(blocks), **words, **more}


def of_blocks(*blocks: Json) -> list[str]:
    return problems_of_message({"text": "x", "blocks": list(blocks)})


GOOD_BLOCKS = [
    section(accessory=button(confirm=confirm(text=mrkdwn("x")))),
    {"type": "section", "fields": [mrkdwn("*State*\n:red_circle: offline"), plain("x")]},
    actions(button(style="danger"), select(), choices("overflow", 5)),
    {"type": "context", "elements": [mrkdwn("as of <!date^1700000000^{date_short_pretty}|14 Nov UTC>")]},
    {"type": "header", "text": plain("R & D <x>")},
    {"type": "divider"},
    {"type": "image", "slack_file": {"id": "F0AAAAAAA"}, "alt_text": "chart"},
    {
        "type": "table",
        "rows": [row("id", "name"), row("1", "a")],
        "column_settings": [{"align": "right"}, None],
    },
    {"type": "data_table", "rows": [row("id"), row("1")], "caption": "gateways", "page_size": 10},
    rich({"type": "text", "text": "<!channel> is only text here"}, {"type": "user", "user_id": "U0AAAAAAA"}),
    {"type": "markdown", "text": "**bold**"},
    {
        "type": "data_visualization",
        "title": "Offline",
        "chart": {
            "type": "line",
            "axis_config": {"categories": ["Mon", "Tue"]},
            "series": [{"name": "n", "data": [{"label": "Mon", "value": 1}, {"label": "Tue", "value": 0}]}],
        },
    },
]


@pytest.mark.parametrize("block", GOOD_BLOCKS, ids=lambda block: str(block["type"]))
def test_a_proper_block_has_no_problem(block: Json) -> None:
    assert of_blocks(block) == []


BAD_BLOCKS = [
    (section(text=mrkdwn("x" * 3001)), "more than 3000"),
    (section(text=mrkdwn("")), "is empty"),
    ({"type": "section"}, "needs text or fields"),
    ({"type": "section", "fields": [plain("x")] * 11}, "are 11"),
    ({"type": "section", "fields": [plain("x" * 2001)]}, "more than 2000"),
    (section(accessory={"type": "plain_text_input", "action_id": "x"}), "not allowed in section"),
    (section(colour="red"), "unknown property 'colour'"),
    ({"type": "context", "elements": [plain("x")] * 11}, "are 11"),
    ({"type": "context", "elements": [button()]}, "not allowed in context"),
    (actions(), "are 0"),
    (actions(*[button(action_id=f"b{n}") for n in range(26)]), "are 26"),
    (actions(button(), button()), "repeats the action_id 'go'"),
    (actions({"type": "button", "text": plain("Go")}), "has no action_id"),
    (actions(button(text=plain("x" * 76))), "more than 75"),
    (actions(button(text=mrkdwn("x"))), "must be plain_text"),
    (actions(button(value="x" * 2001)), "more than 2000"),
    (actions(button(url="https://x.no/" + "x" * 3000)), "more than 3000"),
    (actions(button(style="warning")), "neither primary nor danger"),
    (actions(button(confirm={"title": plain("t")})), "lacks 'text'"),
    (actions(button(confirm=confirm(title=plain("x" * 101)))), "more than 100"),
    (actions(button(confirm=confirm(confirm=plain("x" * 31)))), "more than 30"),
    (actions(select(options=[option(f"{n}") for n in range(101)])), "are 101"),
    (actions(select(options=[option("x" * 151)])), "1 to 150"),
    (actions(select(options=[option(description=plain("x" * 76))])), "more than 75"),
    (actions(select(options=[option(), option()])), "repeat a value"),
    (actions(select(option_groups=[])), "only one"),
    (actions(select(initial_option=option("9"))), "none of the options"),
    (actions(select(placeholder=plain("x" * 151))), "more than 150"),
    (actions(choices("multi_static_select", 1)), "not allowed in actions"),
    (actions(choices("overflow", 6)), "are 6"),
    (actions(choices("checkboxes", 11)), "are 11"),
    (actions({"type": "datepicker", "action_id": "x", "initial_date": "1.2.2026"}), "wrong form"),
    (actions({"type": "datetimepicker", "action_id": "x", "initial_date_time": 170000000}), "10 digits"),
    (actions({"type": "slider", "action_id": "x"}), "unknown type 'slider'"),
    ({"type": "header", "text": plain("x" * 151)}, "more than 150"),
    ({"type": "header", "text": mrkdwn("x")}, "must be plain_text"),
    ({"type": "image", "alt_text": "x"}, "only one"),
    ({"type": "image", "image_url": "chart.png", "alt_text": "x"}, "no http address"),
    ({"type": "image", "image_url": "https://x.no/c.png", "alt_text": ""}, "1 to 2000"),
    ({"type": "alert", "text": plain("x")}, "not allowed in a message"),
    ({"type": "poster"}, "unknown type 'poster'"),
    ({"type": "table", "rows": [row("x")] * 101}, "are 101"),
    ({"type": "table", "rows": [row(*["x"] * 21)]}, "are 21"),
    ({"type": "table", "rows": [row("")]}, "needs a character"),
    ({"type": "table", "rows": [row("x" * 600)] * 17}, "more than 10000"),
    ({"type": "data_table", "rows": [row("x"), row("x", "y")], "caption": "c"}, "not equally long"),
    ({"type": "data_table", "rows": [row("x")], "caption": "c"}, "are 1"),
    ({"type": "markdown", "text": "x" * 12_001}, "12000"),
    (rich({"type": "broadcast", "range": "here"}), "pings everybody"),
    (rich({"type": "text", "text": ""}), "lacks 'text'"),
    ({"type": "rich_text", "elements": [{"type": "rich_text_list", "elements": []}]}, "neither bullet"),
    ({"type": "data_visualization", "title": "t", "chart": {"type": "pie", "segments": []}}, "are 0"),
]


@pytest.mark.parametrize(("block", "problem"), BAD_BLOCKS)
def test_a_broken_block_is_found(block: Json, problem: str) -> None:
    assert any(problem in found for found in of_blocks(block)), of_blocks(block)


def test_a_message_holds_fifty_blocks() -> None:
    assert of_blocks(*[{"type": "divider"}] * 50) == []
    assert of_blocks(*[{"type": "divider"}] * 51) == ["blocks are 51, more than 50"]


def test_a_block_id_is_used_once() -> None:
    twice = {"type": "divider", "block_id": "a"}
    assert of_blocks(twice, twice) == ["blocks[1] repeats the block_id 'a'"]


def test_blocks_without_text_leave_screen_readers_nothing() -> None:
    assert "is missing" in problems_of_message({"blocks": [{"type": "divider"}]})[0]


def test_slack_takes_a_long_text_in_a_post_but_not_in_an_update() -> None:
    long = {"text": "x" * 4001}
    assert [problem.refused for problem in check_message(long)] == [False]
    assert [problem.refused for problem in check_message(long, update=True)] == [True]


def test_metadata_needs_a_type_and_an_object() -> None:
    assert problems_of_message({"text": "x", "metadata": {"event_type": "a", "event_payload": {}}}) == []
    assert problems_of_message({"text": "x", "metadata": {"event_type": "a"}}) != []


@pytest.mark.parametrize(
    "text",
    [
        "a &amp; b &lt;c&gt;",
        "<@U0AAAAAAA> and <#C0AAAAAAA|ops> and <!subteam^S0AAAAAAA>",
        "<https://x.no/?a=1&amp;b=2|the portal>",
        "<!date^1700000000^{date_num} {time_secs}^https://x.no|2023-11-14 22:13 UTC>",
        "> quoted\n>>> and on",
    ],
)
def test_proper_markup_has_no_problem(text: str) -> None:
    assert problems_of_mrkdwn(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<!channel>", "pings everybody"),
        ("<!here|here>", "pings everybody"),
        ("<!everyone>", "pings everybody"),
        ("R&D", "& is not escaped"),
        ("fw <3.4.1", "< is not escaped"),
        ("3 -> 4", "> is not escaped"),
        ("<name>", "neither a mention"),
        ("<@ana>", "neither a mention"),
        ("<https://x.no|>", "neither a mention"),
        ("<!date^now^{time}|x>", "is not <!date"),
        ("<!date^1700000000000^{time}|x>", "too many digits"),
        ("<!date^1700000000^{hour}|x>", "{hour} is no date token"),
        ("<!date^1700000000^today|x>", "names no token"),
        ("<!date^1700000000^{time}>", "is not <!date"),
        ("<!date^1700000000^{time}| >", "no fallback"),
    ],
)
def test_broken_markup_is_found(text: str, problem: str) -> None:
    assert any(problem in found for found in problems_of_mrkdwn(text)), problems_of_mrkdwn(text)


def test_plain_text_may_hold_anything_but_visible_markup() -> None:
    assert problems_of_plain("R&D <x> -> y") == []
    assert problems_of_plain("<!date^1^{time}|x>") != []
    assert problems_of_plain("<!channel>") != []


def test_a_proper_modal_has_no_problem() -> None:
    assert (
        problems_of_view(modal(input_block(), {"type": "alert", "text": plain("x"), "level": "warning"}))
        == []
    )


def test_a_proper_home_tab_has_no_problem() -> None:
    assert problems_of_view({"type": "home", "blocks": [section(), actions(button())]}) == []


@pytest.mark.parametrize(
    ("view", "problem"),
    [
        (modal(title=plain("x" * 25)), "more than 24"),
        (modal(submit=mrkdwn("x")), "must be plain_text"),
        (modal(input_block(), submit=None), "submit is required"),
        (modal(private_metadata="x" * 3001), "more than 3000"),
        (modal(callback_id="x" * 256), "more than 255"),
        (modal(*[{"type": "divider"}] * 101), "are 101"),
        (modal({"type": "table", "rows": [row("x")]}), "not allowed in a modal"),
        (modal(input_block(button())), "not allowed in input"),
        (modal(input_block({"type": "plain_text_input", "action_id": "x", "max_length": 3001})), "0 to 3000"),
        (modal(input_block({"type": "number_input", "action_id": "x"})), "lacks 'is_decimal_allowed'"),
        ({"type": "home", "blocks": [], "title": plain("x")}, "unknown property 'title'"),
        ({"type": "home"}, "lacks 'blocks'"),
        ({"type": "page", "blocks": []}, "neither modal nor home"),
    ],
)
def test_a_broken_view_is_found(view: Json, problem: str) -> None:
    assert any(problem in found for found in problems_of_view(view)), problems_of_view(view)


def test_an_external_menu_gets_at_most_a_hundred_options() -> None:
    assert problems_of_options({"options": []}) == []
    assert problems_of_options({"options": [option(str(n)) for n in range(100)]}) == []
    assert problems_of_options({"options": [option(str(n)) for n in range(101)]}) == [
        "options are 101, not 1 to 100"
    ]
