"""Modals and the home tab as plain functions: the frame of a view, and what can be entered in it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bot.domain.errors import InvalidInput
from bot.slack import ids
from bot.slack.ids import Ref
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    escape,
    fit,
    given,
    menu,
    message,
    plain_text,
    section,
)

MOST_BLOCKS: Final = 100
MOST_PASTED: Final = 3000  # characters, which is what an input of Slack takes
_MOST_SIZE: Final = 60_000  # of all blocks as JSON; a view takes 250 kB


def modal(
    title: str,
    blocks: Sequence[Block],
    *,
    callback_id: str,
    ref: Ref | None = None,
    submit: str | None = None,
    close: str = "Close",
) -> View:
    """A modal; its title, submit and close take 24 characters. ``ref`` comes back with the submission."""
    view: View = {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain_text(title, 24),
        "close": plain_text(close, 24),
        "blocks": fit(blocks, most=MOST_BLOCKS, size=_MOST_SIZE),
    }
    sent = plain_text(submit, 24) if submit else None
    return view | given(submit=sent, private_metadata=str(ref) if ref else None)


def in_words(view: View) -> Message:
    """What a modal says, as a message where it cannot be shown."""
    texts = [block["text"]["text"] for block in view["blocks"] if "text" in block]
    said = [escape(view["title"]["text"]), *texts]
    return message("\n".join(said), [section(text) for text in said])


def home(blocks: Sequence[Block]) -> View:
    """The bot's home tab."""
    return {"type": "home", "blocks": fit(blocks, most=MOST_BLOCKS, size=_MOST_SIZE)}


def text_input(
    block_id: str,
    label: str,
    *,
    multiline: bool = False,
    most: int = 500,
    optional: bool = False,
    initial: str | None = None,
    placeholder: str | None = None,
    hint: str | None = None,
) -> Block:
    """A field to type in; the block and its element share the id."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": block_id,
        "multiline": multiline,
        "max_length": most,
    }
    element |= given(initial_value=initial, placeholder=plain_text(placeholder, 150) if placeholder else None)
    return _input(block_id, label, element, optional, hint)


def select(
    block_id: str,
    label: str,
    options: Sequence[tuple[str, str]],
    *,
    initial: str | None = None,
    optional: bool = False,
    placeholder: str = "Choose one",
    hint: str | None = None,
) -> Block:
    """A choice in a modal, among (value, text) pairs."""
    return _input(block_id, label, menu(block_id, placeholder, options, initial), optional, hint)


def pasting(title: str, said: str, columns: Sequence[str], callback_id: str, ref: Ref | None = None) -> View:
    """A modal in which rows of a CSV file are pasted; they come back as ``ids.CSV``."""
    rows = text_input(
        ids.CSV,
        "Rows",
        multiline=True,
        most=MOST_PASTED,
        placeholder=",".join(columns),
        hint=f"{MOST_PASTED:,} characters at once: a longer file goes in parts.",
    )
    return modal(title, [section(said), rows], callback_id=callback_id, ref=ref, submit="Preview")


def person_input(block_id: str, label: str, *, hint: str | None = None) -> Block:
    """Somebody of this workspace, in a modal; their id comes back."""
    element: Block = {
        "type": "users_select",
        "action_id": block_id,
        "placeholder": plain_text("Choose somebody", 150),
    }
    return _input(block_id, label, element, False, hint)


def moment_input(
    block_id: str, label: str, *, initial: str | None = None, optional: bool = False, hint: str | None = None
) -> Block:
    """A day and a time in a modal, in the zone of whoever picks it; ``picked`` reads what comes back."""
    element: Block = {"type": "datetimepicker", "action_id": block_id}
    element |= given(initial_date_time=int(picked(initial).timestamp()) if initial else None)
    return _input(block_id, label, element, optional, hint)


def picked(text: str) -> datetime:
    """The moment that was picked. Raises InvalidInput for what no picker sends."""
    if not (text.isascii() and text.isdigit() and len(text) == 10):
        raise InvalidInput("That is no moment. Please pick a day and a time.")
    return datetime.fromtimestamp(int(text), UTC)


def _input(block_id: str, label: str, element: Block, optional: bool, hint: str | None) -> Block:
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain_text(label, 150),
        "element": element,
    }
    return block | {"optional": optional} | ({"hint": plain_text(hint, 300)} if hint else {})
