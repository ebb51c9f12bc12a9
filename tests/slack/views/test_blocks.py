"""The blocks: within Slack's limits whatever they are given, and names shown as they are written."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.demo.slack.limits import problems_of_message, problems_of_view
from bot.slack.ids import CardRef
from bot.slack.incoming.command_router import normalise
from bot.slack.views import blocks, modals
from bot.slack.views.blocks import Block, Message

HOSTILE = [
    "<!channel>",
    "<@U0123456789> & <#C0123456789>",
    "*bold* _italic_ ~gone~ `code`",
    ":boom: and :smile:",
    "> quoted",
    "<http://evil.example|click me>",
    "&amp;lt;",
    "a\nb\rc\td",
    "\u202egnp.exe\u2066",
    "\ud800 lone",
    "x" * 5000,
    "<" * 5000,
]


def problems(message: Message) -> list[str]:
    payload = {"text": message.text, "blocks": list(message.blocks)}
    return problems_of_message(payload, update=True)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_harms_no_message(text: str) -> None:
    shown = [
        blocks.section(f"{blocks.name(text)} {blocks.escape(text)} {blocks.code(text)}"),
        blocks.header(text or "x"),
        *blocks.fields([("Name", blocks.escape(text))]),
        blocks.context(blocks.escape(text)),
        *blocks.actions(
            blocks.button(
                text,
                "go",
                CardRef("a", 1),
                label=text,
                confirm=blocks.confirm(text, text, text, text, danger=True),
            ),
            blocks.menu("pick", text, [("a", text), ("b", text + "2")]),
        ),
    ]
    assert problems(blocks.message(blocks.escape(text), shown)) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_harms_no_modal(text: str) -> None:
    inputs = [
        modals.text_input("reason", text, hint=text, placeholder=text),
        modals.select("duration", text, [("30m", text)], hint=text),
        modals.moment_input("until", text, initial="1795000000"),
    ]
    view = modals.modal(text, inputs, callback_id="x", submit=text, close=text, ref=CardRef("R-1", 3))
    assert problems_of_view(view) == []


@pytest.mark.parametrize("text", ["*x*", "_x_", "~x~", "`x`", ":boom:", "> x", "MT_0001", "a*b", "a & b <c>"])
def test_a_name_pasted_from_an_answer_is_the_name_again(text: str) -> None:
    assert normalise(blocks.name(text)) == text
    assert normalise(blocks.code(text)) == text.replace("`", "'")


def test_marks_in_a_name_are_no_marks() -> None:
    assert "*x*" not in blocks.escape("*x*")
    assert ":boom:" not in blocks.escape(":boom:")
    assert not blocks.escape("> x").startswith("&gt;")
    assert not blocks.escape("a\n> x").split("\n")[1].startswith("&gt;")


def test_a_name_that_needs_nothing_is_left_alone() -> None:
    for text in ("MT_0001", "bmac-c0ffee", "Kyiv office", "Tromsø", "10:30", "3.4.1"):
        assert blocks.name(text) == text


def test_characters_that_turn_or_hide_text_are_taken_out() -> None:
    assert blocks.name("\u202eabc\u2069\u200b\x07d") == "abcd"


def test_a_name_is_one_line_and_cut() -> None:
    assert blocks.name("a\n b\t c") == "a b c"
    assert blocks.name("x" * 100, 10) == "x" * 9 + "…"
    assert blocks.name("") == blocks.name(None) == "(no name)"


def test_the_plain_text_says_the_words_without_our_marks() -> None:
    assert blocks.plain("*Down*: `name:MT_1` ~old~") == "Down: name:MT_1 old"


def test_the_plain_text_keeps_the_marks_of_names() -> None:
    assert normalise(blocks.plain(f"*Gateway* {blocks.name('*x*')} `name:MT*`")) == "Gateway *x* name:MT*"


def test_a_text_is_cut_between_entities() -> None:
    cut = blocks.plain("&lt;" * 2000)
    assert len(cut) <= 3900
    assert cut.replace("&lt;", "") == "…"


def test_a_date_is_shown_to_each_in_their_own_zone() -> None:
    moment = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    expected = "<!date^1795428000^{date_short_pretty} at {time}|2026-11-23 10:00 UTC>"
    assert blocks.date(moment) == expected
    assert problems(blocks.message(blocks.date(moment), [blocks.section(blocks.date(moment))])) == []


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=20), "20 s"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(minutes=65, seconds=9), "1 h 5 min"),
        (timedelta(hours=48), "2 d"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(length: timedelta, said: str) -> None:
    assert blocks.duration(length) == said


def test_a_moment_ago_is_just_now() -> None:
    assert blocks.ago(timedelta(milliseconds=300)) == "just now"
    assert blocks.ago(timedelta(seconds=20)) == "20 s ago"


def test_things_are_counted_in_words() -> None:
    assert blocks.count(1, "gateway") == "1 gateway"
    assert blocks.count(0, "gateway") == "0 gateways"
    assert blocks.count(1200, "copy", "copies") == "1,200 copies"


def test_a_bar_is_full_only_when_all_is_done() -> None:
    assert blocks.progress_bar(199, 200).count("▰") == 9
    assert blocks.progress_bar(200, 200).count("▱") == 0
    assert blocks.progress_bar(1, 200).count("▰") == 1
    assert blocks.progress_bar(0, 200).count("▰") == 0
    assert blocks.progress_bar(3, 10).endswith("30 %, 3 of 10")
    assert " 99 %, " in blocks.progress_bar(199, 200)
    assert " 1 %, " in blocks.progress_bar(1, 200)
    assert " 0 %, " in blocks.progress_bar(0, 200)
    assert "0 of 0" in blocks.progress_bar(0, 0)


def test_a_status_is_a_word_and_an_emoji() -> None:
    assert blocks.status("offline") == "🔴 offline"
    assert blocks.status("did not return", "failed") == "❌ did not return"


def test_rows_share_sections_and_none_is_lost() -> None:
    rows = [f"{number} {'x' * 100}" for number in range(60)]
    packed = blocks.lines(rows)
    assert len(packed) < 5
    assert "\n".join(block["text"]["text"] for block in packed) == "\n".join(rows)
    assert problems(Message("60 rows", packed)) == []


def test_more_fields_than_a_section_takes_go_into_the_next() -> None:
    shown = blocks.fields([(str(number), "x") for number in range(23)])
    assert [len(block["fields"]) for block in shown] == [10, 10, 3]


def test_a_row_without_buttons_is_no_row() -> None:
    assert blocks.actions(None, None) == []


def rows_of(number: int, size: int) -> list[Block]:
    return [blocks.section("x" * size) for _ in range(number)]


def test_a_message_with_too_many_blocks_says_how_many_are_missing() -> None:
    buttons = blocks.actions(blocks.button("Go", "go", CardRef("a")))
    fitted = blocks.fit([*rows_of(80, 10), *buttons])
    assert len(fitted) == 50
    assert fitted[-1] == buttons[0]
    assert "32 parts are left out" in fitted[-2]["elements"][0]["text"]


def test_a_message_that_is_too_large_is_cut_to_what_slack_takes() -> None:
    fitted = blocks.fit([*rows_of(10, 2900), blocks.context("small print")])
    assert sum(len(str(block)) for block in fitted) <= blocks.MOST_SIZE
    assert fitted[-1] == blocks.context("small print")
    assert "left out" in fitted[-2]["elements"][0]["text"]


def test_a_message_that_fits_is_not_touched() -> None:
    shown = rows_of(5, 100)
    assert blocks.fit(shown) == shown


def test_images_say_what_they_show() -> None:
    shown = [
        blocks.image("Offline gateways by day", url="https://example.com/x.png", title="*Title*"),
        blocks.image("", file_id="F012345"),
    ]
    assert problems(Message("a chart", shown)) == []


def test_the_sentence_of_an_error_is_shown_as_it_is() -> None:
    said = blocks.sentence("There is no <!channel> & *co*.")
    assert problems(said) == []
    assert normalise(said.text) == "There is no <!channel> & *co*."


def test_a_home_tab_takes_a_hundred_blocks() -> None:
    view = modals.home(rows_of(150, 10))
    assert len(view["blocks"]) == 100
    assert problems_of_view(view) == []


def test_a_hint_names_the_workspaces_own_command_and_a_button_keeps_what_it_carries() -> None:
    button = blocks.button("Show", "show", CardRef("/mesh tags"))
    said = blocks.message("Run /mesh alerts.", [blocks.section("`/mesh alerts` or a/mesh x"), button])
    sent = {"text": said.text, "blocks": list(said.blocks), "errors": {"x": "See /mesh tags."}}

    assert blocks.typeset(sent, "/mesh") == sent
    shown = blocks.typeset(sent, "/lab")
    assert shown["text"] == "Run /lab alerts."
    assert shown["blocks"][0]["text"]["text"] == "`/lab alerts` or a/mesh x"
    assert shown["blocks"][1] == button
    assert shown["errors"] == {"x": "See /lab tags."}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("for 2 h 5 min, 48 % of 3 gateways", "for 2\xa0h\xa05\xa0min, 48\xa0% of 3 gateways"),
        ("1 d ago, 3 dogs, 2 seconds", "1\xa0d ago, 3 dogs, 2 seconds"),
        ("`silence oslo for 2 h` holds", "`silence oslo for 2 h` holds"),
        ("since <!date^1^{time}|5 min ago>", "since <!date^1^{time}|5 min ago>"),
    ],
)
def test_no_line_ends_between_a_number_and_its_unit_and_what_is_copied_stays(
    written: str, shown: str
) -> None:
    sent = {"text": written, "blocks": [blocks.section(written), blocks.header("2 h")]}
    typeset = blocks.typeset(sent, "/mesh")
    assert typeset["blocks"][0]["text"]["text"] == shown
    assert (typeset["text"], typeset["blocks"][1]) == (written, blocks.header("2 h"))
