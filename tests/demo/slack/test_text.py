from typing import Any

from bot.demo.slack.text import message_text, readable, view_text
from bot.demo.slack.workspace import PostedMessage, SharedFile, View

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def message(*blocks: Json, text: str = "fallback") -> PostedMessage:
    return PostedMessage("C1", "1.000001", text, "U1", blocks=list(blocks))


def test_markup_is_shown_as_a_person_reads_it() -> None:
    text = "<@U1> &amp; <!subteam^S1>: <https://x.no|R-7> at <!date^1^{time}|12:00 UTC>, fw &lt; 3 in <#C1>"
    names = {"U1": "ana", "S1": "ops", "C1": "rollouts"}
    assert readable(text, names) == "@ana & @ops: R-7 at 12:00 UTC, fw < 3 in #rollouts"


def test_buttons_stand_in_brackets() -> None:
    buttons = [
        {"type": "button", "text": plain("Approve")},
        {"type": "button", "text": plain("Portal"), "url": "https://x.no"},
    ]
    assert message_text(message({"type": "actions", "elements": buttons})) == "[Approve] [Portal ↗]"


def test_a_message_without_blocks_shows_its_text() -> None:
    bare = message(text="2 &lt; 3")
    bare.files = [SharedFile("F1", "r7.csv", 12)]
    assert message_text(bare) == "2 < 3\n(file: r7.csv, 12 bytes)"


def test_a_section_shows_text_fields_and_its_accessory() -> None:
    menu = {"type": "static_select", "placeholder": plain("Silence")}
    section = {
        "type": "section",
        "text": plain("Kyiv"),
        "fields": [plain("a"), plain("b")],
        "accessory": menu,
    }
    assert message_text(message(section)).splitlines() == ["Kyiv  [Silence ▾]", "a" + " " * 35 + "b"]


def test_a_table_has_aligned_columns() -> None:
    rows = [
        [{"type": "raw_text", "text": word} for word in row] for row in (("id", "name"), ("MT-1", "roof"))
    ]
    assert message_text(message({"type": "table", "rows": rows})).splitlines() == [
        "id    name",
        "----  ----",
        "MT-1  roof",
    ]


def test_a_modal_shows_its_inputs_errors_and_buttons() -> None:
    block = {
        "type": "input",
        "block_id": "reason",
        "label": plain("Reason"),
        "element": {"type": "plain_text_input"},
    }
    body = {"type": "modal", "title": plain("Deny"), "submit": plain("Deny"), "blocks": [block]}
    view = View("V1", "U1", body, "h", "V1", errors={"reason": "Say more."})
    assert view_text(view) == "== Deny ==\nReason: [____]\n  ! Say more.\n[Deny]"
