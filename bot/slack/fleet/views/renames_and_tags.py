"""Renames and changes of tags as messages: the preview, the work in progress, the result with its Undo.

Pure functions. What a write means and whether it can be taken back is the domain's to say.
"""

import zlib
from collections.abc import Sequence
from datetime import datetime

from bot.domain.errors import InvalidInput
from bot.domain.fleet.renames_and_tags import LONGEST, UNDO_WITHIN, Write, WriteItem, WriteKind, WriteState
from bot.domain.gateways import Gateway
from bot.slack import ids
from bot.slack.fleet.views.search import all_tags
from bot.slack.ids import CardRef, GatewayRef
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    ago,
    bold,
    button,
    code,
    confirm,
    context,
    count,
    date,
    duration,
    escape,
    lines,
    message,
    name,
    progress_bar,
    section,
    status,
)
from bot.slack.views.modals import modal, pasting, text_input

NAMES = ("id", "name")  # the columns of a file with new names
_DIFFS = 10
_FAILURES = 20
_CUT = 60
_MOST_TYPED = 3000  # of a field in a dialog


def rename_dialog(gateway: Gateway, channel: str) -> View:
    """Asks for the new name of one gateway; ``channel`` is where the button was."""
    named = gateway.name or ""
    return modal(
        "Rename",
        [
            section(_called(gateway)),
            text_input(ids.NAME, "New name", most=LONGEST, initial=named[:LONGEST] or None),
        ],
        callback_id=ids.GATEWAY_RENAME,
        ref=GatewayRef(gateway.id, drawn_of([named]), channel),
        submit="Rename",
    )


def tags_dialog(gateway: Gateway, channel: str) -> View:
    """The tags of one gateway, to be edited. Raises InvalidInput where a dialog does not hold them."""
    tags = "\n".join(gateway.tags)
    if len(tags) > _MOST_TYPED:
        raise InvalidInput(f"It has {len(gateway.tags)} tags, too many for a dialog: use /mesh tag.")
    return modal(
        "Tags",
        [
            section(_called(gateway)),
            text_input(
                ids.TAGS,
                "Tags, one a line",
                multiline=True,
                most=_MOST_TYPED,
                optional=True,
                initial=tags or None,
                hint="A line that you add is a new tag; a line that you take out is a tag that goes.",
            ),
        ],
        callback_id=ids.GATEWAY_TAGS,
        ref=GatewayRef(gateway.id, drawn_of(gateway.tags), channel),
        submit="Save",
    )


def names_dialog(channel: str) -> View:
    """Where the rows of a file are pasted; ``channel`` is where that was asked for."""
    said = (
        "Paste rows with their heading. The columns are id and name, as the CSV button of `/mesh devices` "
        "has them; others are passed over. A gateway that is not there keeps its name."
    )
    return pasting("Rename by CSV", said, NAMES, ids.NAMES_CSV, CardRef("names", channel=channel))


def preview_dialog(it: Write, now: datetime) -> View:
    """What the rows would change: nothing is changed until it is confirmed."""
    shown = [block for block in write(it, now).blocks if block["type"] != "actions"]
    amount = count(len(it.items), "gateway")
    return modal(
        "Rename by CSV",
        shown,
        callback_id=ids.WRITE_CONFIRM,
        ref=CardRef(it.id, it.version),
        submit=f"Rename {amount}",
        close="Cancel",
    )


def ended_dialog(it: Write, now: datetime) -> View:
    """How it ended, with its Undo, in the place of the dialog that asked for it."""
    title = {WriteKind.RENAME: "Rename", WriteKind.TAG: "Tags"}[it.kind]
    return modal(title, write(it, now).blocks, callback_id="said")


def drawn_of(texts: Sequence[str]) -> int:
    """A sum of texts, to tell whether they are what a dialog showed."""
    return zlib.crc32("\n".join(texts).encode())


def _called(gateway: Gateway) -> str:
    return f"{bold(name(gateway.label))}\n{code(gateway.id)}"


def write(it: Write, now: datetime) -> Message:
    """A write as it stands: preview, progress, result or the end of it."""
    match it.state:
        case WriteState.PROPOSED:
            return _preview(it, now)
        case WriteState.RUNNING:
            return _progress(it)
        case WriteState.DONE:
            return _result(it, now)
        case WriteState.CANCELLED:
            said = f"{status('cancelled', 'stopped')}: {escape(it.title)}. Nothing was changed."
            return message(said, [section(said)])


def _preview(it: Write, now: datetime) -> Message:
    amount = count(len(it.items), "gateway")
    title = f"{status('waiting')} for you: {bold(escape(it.title))}"
    rows = [*_some([_diff(it, item) for item in it.items], _DIFFS), *_remarks(it)]
    if it.expires_at <= now:
        end = "The time to confirm this is over; nothing was changed. Please run the command again."
        return message("\n".join([title, *rows, end]), [section(title), *lines(rows), section(end)])
    until = f"Nothing has been changed yet. Confirm until {date(it.expires_at)}."
    again = f"You can take it back for {duration(UNDO_WITHIN)}."
    ask = confirm(f"Change {amount}?", f"{_shortly(it.title)}. {again}", f"Change {amount}")
    ref = CardRef(it.id, it.version)
    return message(
        "\n".join([title, *rows, until]),
        [
            section(title),
            *lines(rows),
            context(until),
            *actions(
                button(f"Change {amount}", ids.WRITE_CONFIRM, ref, style="primary", confirm=ask),
                button("Cancel", ids.WRITE_CANCEL, ref),
            ),
        ],
    )


def _progress(it: Write) -> Message:
    settled = len(it.done) + len(it.failed) + len(it.left)
    text = f"{status('running')}: {bold(escape(it.title))}\n{progress_bar(settled, len(it.items))} gateways"
    return message(text, [section(text)])


def _result(it: Write, now: datetime) -> Message:
    rows = _one(it, it.items[0]) if len(it.items) == 1 else _many(it)
    rows += _remarks(it)
    undo, until = _undo(it, now)
    return message("\n".join([*rows, *until]), [*lines(rows), *(context(line) for line in until), *undo])


def last(it: Write, now: datetime) -> Message:
    """Somebody's last change, which they may undo: as it was done, and that it still is so."""
    shown = _result(it, now)
    done_at = it.expires_at - UNDO_WITHIN
    head = f"Your last change, {ago(now - done_at)}. It still holds: press Undo to take it back."
    return message(f"{head}\n{shown.text}", [section(head), *shown.blocks])


def _one(it: Write, item: WriteItem) -> list[str]:
    who = f"{bold(name(item.label))} {code(item.gateway_id)}"
    if item in it.failed:
        return [f"{status('failed')}: {who} was not changed. {_reason(item)}"]
    if item in it.left:
        return [f"{status('left alone', 'warning')}: {who}. {_reason(item)}"]
    what = {WriteKind.RENAME: "renamed", WriteKind.TAG: "tags changed"}[it.kind]
    again = " back" if it.undoes else ""
    return [
        f"{status('done')}: {who} {what}{again}",
        f"Before: {_values(it.kind, item.before)}",
        f"After: {_values(it.kind, item.after)}",
    ]


def _many(it: Write) -> list[str]:
    total = len(it.items)
    if len(it.done) == total:
        head = f"{status('done')}: {bold(escape(it.title))}, all changed"
    else:
        word = status("done in part", "warning") if it.done else status("failed")
        head = f"{word}: {bold(escape(it.title))}, {len(it.done):,} of {count(total, 'gateway')} changed"
    failed = [f"❌ {_who(item)}: {_reason(item)}" for item in it.failed]
    left = [f"⚠️ {_who(item)} left alone: {_reason(item)}" for item in it.left]
    return [head, *_some(failed, _FAILURES, "failed"), *_some(left, _FAILURES, "left alone")]


def _undo(it: Write, now: datetime) -> tuple[list[Block], list[str]]:
    """The button and the line that says until when; neither when there is nothing to take back."""
    if it.undone_by is not None:
        return [], ["This was undone."]
    if it.undoes is not None or not it.may_be_undone(now):
        return [], []
    what = count(len(it.done), "gateway")
    ask = None
    if len(it.done) > 1:
        ask = confirm("Undo this?", f"This gives {what} back what was there before.", f"Undo {what}")
    button_ = button(
        "Undo", ids.WRITE_UNDO, CardRef(it.id, it.version), confirm=ask, label=f"Undo for {what}"
    )
    return actions(button_), [f"Undo is there until {date(it.expires_at)}."]


def _remarks(it: Write) -> list[str]:
    remarks = [f"{status('warning')}: {escape(it.warning)}"] if it.warning else []
    if it.unchanged:
        remarks.append(f"Already so and left as they are: {count(it.unchanged, 'gateway')}.")
    return remarks


def _diff(it: Write, item: WriteItem) -> str:
    if it.kind is WriteKind.RENAME:
        return f"• {_who(item)}: {_values(it.kind, item.before)} → {_values(it.kind, item.after)}"
    moved = [f"+{name(tag, _CUT)}" for tag in item.added] + [f"−{name(tag, _CUT)}" for tag in item.removed]
    return f"• {_who(item)}: {', '.join(moved)} (now {all_tags(item.before, 5)})"


def _shortly(title: str) -> str:
    """A title for a dialog, which takes 300 characters and has more to say."""
    return title if len(title) <= 200 else f"{title[:199].rstrip()}…"


def _who(item: WriteItem) -> str:
    label = name(item.label, 40)
    return label if item.label == item.gateway_id else f"{bold(label)} {code(item.gateway_id)}"


def _values(kind: WriteKind, values: Sequence[str]) -> str:
    if kind is WriteKind.RENAME:
        return name(values[0], 300) if values else "(no name)"
    return all_tags(values)


def _reason(item: WriteItem) -> str:
    return escape(item.error or "The reason is not known.")


def _some(rows: list[str], most: int, what: str = "") -> list[str]:
    """The first rows, and how many more there are."""
    more = len(rows) - most
    return [*rows[:most], f"… and {more:,} more {what}".rstrip()] if more > 0 else rows
