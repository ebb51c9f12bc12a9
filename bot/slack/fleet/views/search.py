"""The fleet as messages: lists of gateways, one gateway, its tags and firmware.

Pure functions. A gateway in a list is two lines that begin with its state, as high as the button beside them;
everything else about it is on its card.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.access import Action, Actor
from bot.domain.firmware import Firmware, is_same_firmware
from bot.domain.gateways import (
    Counts,
    FleetEvent,
    FleetEventKind,
    Gateway,
    KnownGateway,
    RunningVersion,
    TagCount,
    fold,
)
from bot.domain.query import Field, Query, WordRead, exactly
from bot.slack import ids
from bot.slack.ids import GatewayRef, PageRef, PlanRef, Ref
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    ago,
    bold,
    button,
    code,
    context,
    count,
    date,
    duration,
    fields,
    lines,
    message,
    name,
    plain_name,
    progress_bar,
    section,
    status,
)
from bot.slack.views.modals import modal, text_input
from bot.slack.views.paging import (
    DEVICE,
    DEVICES,
    HISTORY,
    Door,
    PagePosition,
    buttons,
    cut_page,
    open_button,
    rows_with,
)
from bot.slack.views.portal_links import linked
from bot.slack.views.tables import Cell, Row, Table, moment_cell, number_cell, text_cell, with_table
from bot.slack.views.undrawable import cells, row

TAGS, FIRMWARE = "tags", "firmware"
DEVICES_PAGE, TAGS_PAGE, FIRMWARE_PAGE = 10, 25, 10
CSV_HEADING = (
    "id",
    "name",
    "state",
    "since",
    "site",
    "tags",
    "model",
    "firmware",
    "hardware",
    "imei",
    "flapping",
    "updating",
)
_NEEDS_NO_QUOTES = re.compile(r"\w[\w.-]*")
RUNNING_SHOWN = 6  # versions
_FIND = "Find a gateway"
_TAGS_IN_A_LINE = 2
_NO_LISTING = (
    "I have no data from Meshtech yet: no poll has been completed. `/mesh status` says what keeps it."
)


# ---- lists of gateways
def devices(
    rows: Sequence[KnownGateway],
    counts: Counts,
    offset: int,
    question: str,
    seen: datetime | None,
    now: datetime,
    words: Sequence[WordRead] = (),
    near: Sequence[str] = (),
) -> Message:
    """A page of gateways, worst first; ``counts`` are of all that match ``question``.

    ``words`` says how each bare word was read, with a button for each other reading. ``near`` are tags that
    may have been meant.
    """
    place = PagePosition(DEVICES, offset, counts.total, DEVICES_PAGE, question)
    if seen is None:
        return message(_NO_LISTING, [section(_NO_LISTING), *buttons(place, refresh=True)])
    age = as_of(seen, now)
    if not rows:
        meant = [f"tag:{one}" if one.isalnum() else f'tag:"{one}"' for one in near]
        text = _nothing(question)
        if meant:
            text = (
                f"No gateway matches {code(question, 300)}. "
                f"Did you mean {' or '.join(code(one, 60) for one in meant)}?"
            )
        doors = [section(code(one, 60), _show(one)) for one in meant]
        return message(f"{text} {_sentence(age)}", [section(text), *doors, *_foot(place, age)])
    read = [_read(word) for word in words]
    asked = f" for {code(question, 300)}" if question else ""
    title = f"{bold(place.says('gateway'))}{asked}: {counts_text(counts)}"
    shown = [row(device_line, known, now) for known in rows]
    text = "\n".join([f"{title}, {age}.", *read, *shown])
    said = [context(" ".join(read))] if read else []
    others = [_other(word, *other) for word in words for other in word.others]
    table = Table(
        "Gateways",
        ("Gateway", "State", "For", "Firmware", "Model", "Tags", "Id"),
        [Row(line, cells(_cells, known, now), door(known)) for line, known in zip(shown, rows, strict=True)],
        "Open a gateway…",
    )
    return with_table(text, [section(title), *said], table, [*others, *_foot(place, age, export=True)])


def _cells(known: KnownGateway, now: datetime) -> list[Cell]:
    gateway, length = known.gateway, known.online_or_offline_for(now)
    marks = [mark for mark, holds in (("flapping", known.flapping), ("updating", known.updating)) if holds]
    state = status(gateway.connectivity.value)
    return [
        text_cell(plain_name(gateway.label)),
        text_cell(", ".join([state, *marks])),
        number_cell(int(length.total_seconds()), duration(length)),
        text_cell(gateway.firmware, "unknown"),
        text_cell(gateway.model, "unknown"),
        text_cell(", ".join(gateway.tags), "none"),
        text_cell(gateway.id),
    ]


def find_dialog() -> View:
    """Asks which gateway."""
    return modal(
        _FIND,
        [text_input(ids.QUERY, "Name, id, tag or query", most=1000, placeholder="MT10225, or oslo offline")],
        callback_id=ids.GATEWAY_FIND,
        submit="Find",
    )


def found_dialog(rows: Sequence[KnownGateway], total: int, question: str, now: datetime) -> View:
    """The first that match, the worst first, each with the button that sends its card as a direct message."""
    title = f"{bold(count(total, 'gateway'))} for {code(question, 300)}"
    shown = rows_with([row(device_line, one, now) for one in rows], [open_button(door(one)) for one in rows])
    rest = [context("Only the first are shown: add a term, or or try `/mesh devices` with this query.")]
    small = [context("Open sends it to you as a direct message."), *(rest if total > len(rows) else [])]
    blocks = [section(title), *shown, *small] if rows else [section(_nothing(question))]
    return modal(_FIND, blocks, callback_id="said")


def door(known: KnownGateway) -> Door:
    """Where a row about a gateway leads."""
    gateway = known.gateway
    called = f"{plain_name(gateway.name, 40)} ({gateway.id})" if gateway.name else gateway.id
    return Door(DEVICE, gateway.id, called)


def _read(word: WordRead) -> str:
    return f"I read “{name(word.word, 60)}” as {code(word.term, 80)}."


def _other(word: WordRead, term: str, query: Query) -> Block:
    says = "is in names or ids too" if term.startswith('"') else f"is {code(term, 80)} too"
    return section(f"“{name(word.word, 60)}” {says}", _show(query.text))


def _show(question: str) -> Block:
    return button("Show", ids.PAGE_NEXT, PageRef(DEVICES, 0, question), label=f"Show {question}")


def device_line(known: KnownGateway, now: datetime) -> str:
    """How one gateway is, its state as an emoji and a word first; below, what it is.

    Its id begins a line, so that no line ends within it.
    """
    gateway = known.gateway
    marks = [mark for mark, holds in (("flapping", known.flapping), ("updating", known.updating)) if holds]
    state = [
        f"{status(gateway.connectivity.value)} {bold(name(gateway.label, 40))}",
        f"for {duration(known.online_or_offline_for(now))}",
        *(status(mark) for mark in marks),
        *(["changed, the next poll will confirm it"] if known.written_at else []),
    ]
    facts = [
        *([code(gateway.id, 60)] if gateway.name else []),
        name(gateway.firmware, 30) if gateway.firmware else "firmware unknown",
        f"model {name(gateway.model, 20)}" if gateway.model else "model unknown",
        _few_tags(gateway.tags),
    ]
    return "\n".join([" · ".join(state), " · ".join(facts)])


def counts_text(counts: Counts) -> str:
    """``12 offline, 3 unknown, 225 online``."""
    unknown = f", {counts.unknown:,} unknown" if counts.unknown else ""
    return f"{counts.offline:,} offline{unknown}, {counts.online:,} online"


def as_of(moment: datetime, now: datetime) -> str:
    """``as of 20 s ago``, with the moment itself for those who read it later."""
    return f"as of {ago(max(now - moment, timedelta()))} ({date(moment)})"


def csv_row(known: KnownGateway) -> tuple[str | None, ...]:
    """One row under CSV_HEADING; moments as ISO 8601 in UTC, tags joined by semicolons."""
    gateway = known.gateway
    return (
        gateway.id,
        gateway.name,
        gateway.connectivity.value,
        f"{known.since:%Y-%m-%dT%H:%M:%SZ}",
        known.site,
        "; ".join(gateway.tags),
        gateway.model,
        gateway.firmware,
        gateway.hardware,
        gateway.imei,
        "yes" if known.flapping else "no",
        "yes" if known.updating else "no",
    )


# ---- one gateway
@dataclass(frozen=True, slots=True)
class Card:
    """All that the card of one gateway shows. ``incident`` and ``rollout`` are lines of mrkdwn, escaped.

    ``actor`` is who looks at it: what they may not do has no button. ``url`` is its page in the portal.
    """

    known: KnownGateway
    events: Sequence[FleetEvent]
    as_of: datetime | None
    actor: Actor
    incident: str | None = None
    rollout: str | None = None
    url: str = ""
    of_site: Sequence[str] = ()  # lines of mrkdwn too


def device(card: Card, now: datetime) -> Message:
    """One gateway: its state, its facts, what happened to it last, and what it is part of."""
    known, gateway = card.known, card.known.gateway
    state = (
        f"{status(gateway.connectivity.value)} {bold(name(gateway.label))} for "
        f"{duration(known.online_or_offline_for(now))}, since {date(known.since)}"
    )
    remarks = _remarks(card)
    facts = _facts(known)
    happened = [f"• {date(event.at)}: {row(event_text, event)}" for event in card.events]
    seen = as_of(card.as_of, now) if card.as_of else "no poll has been completed yet"
    said = [f"{label}: {value}" for label, value in facts]
    text = "\n".join(
        [f"{state}.", *remarks, *said, "Last changes:", *(happened or ["none"]), _sentence(seen)]
    )
    changes: list[Block] = (
        lines([bold("Last changes"), *happened]) if happened else [context("No changes yet")]
    )
    return message(
        text,
        [
            section("\n".join([state, *remarks])),
            *fields(facts),
            *changes,
            context(seen, *([linked("Open in portal", card.url)] if card.url else [])),
            *_card_buttons(card),
        ],
    )


def _card_buttons(card: Card) -> list[Block]:
    """What can be done with it; ``Update`` opens the dialog with this gateway chosen."""
    gateway, may = card.known.gateway, card.actor.may
    called, ref = plain_name(gateway.label), GatewayRef(gateway.id)
    query = exactly(Field.ID, gateway.id)
    offered: list[tuple[Action, str, str, Ref]] = [
        (Action.RENAME, "Rename…", ids.GATEWAY_RENAME, ref),
        (Action.TAG, "Tags…", ids.GATEWAY_TAGS, ref),
        *([(Action.SILENCE, "Silence…", ids.GATEWAY_SILENCE, ref)] if query else []),
        *([(Action.REQUEST, "Update…", ids.ROLLOUT_FORM, _update_of(gateway, query))] if query else []),
    ]
    return actions(
        *(
            button(text, action_id, about, label=f"{text.removesuffix('…')}: {called}")
            for action, text, action_id, about in offered
            if may(action)
        ),
        open_button(Door(HISTORY, gateway.id, gateway.label), "History"),
        button("Refresh", ids.REFRESH, PageRef(DEVICE, 0, gateway.id)),
    )


def _update_of(gateway: Gateway, query: str) -> PlanRef:
    return PlanRef(model=gateway.model or "", query=query)


def event_text(event: FleetEvent) -> str:
    """What happened to a gateway, without its name and the time."""
    match event.kind:
        case FleetEventKind.WENT_OFFLINE:
            return "went offline"
        case FleetEventKind.CAME_BACK:
            return "came back online"
        case FleetEventKind.BECAME_UNKNOWN:
            return "neither online nor offline any more, says the vendor"
        case FleetEventKind.FIRMWARE:
            return f"firmware {_was_and_is(event)}"
        case FleetEventKind.RENAMED:
            return f"renamed: {_was_and_is(event)}"
        case FleetEventKind.TAGGED:
            return f"tags: {_tags_moved(event)}"
        case FleetEventKind.APPEARED:
            return "appeared in the fleet"
        case FleetEventKind.VANISHED:
            return "vanished from the fleet"


# ---- tags, firmware
def tags(rows: Sequence[TagCount], offset: int, seen: datetime | None, now: datetime) -> Message:
    """Every tag with how many gateways carry it."""
    page, place = cut_page(rows, TAGS, offset, TAGS_PAGE)
    if seen is None:
        return message(_NO_LISTING, [section(_NO_LISTING), *buttons(place, refresh=True)])
    age = as_of(seen, now)
    if not page:
        text = "No gateway has a tag yet. Give one with `/mesh tag <id or name> +oslo`.".translate(_ANGLES)
        return message(text, [section(text), *_foot(place, age)])
    shown = [row(_tag_line, tag) for tag in page]
    title = bold(place.says("tag"))
    text = "\n".join([f"{title}, {age}.", *shown])
    return message(text, [section(title), *lines(shown), *_foot(place, age)])


def firmware(
    rows: Sequence[tuple[Firmware, int]],
    model: str,
    models: Sequence[str],
    offset: int,
    running: Sequence[RunningVersion] = (),
    *,
    may_update: bool = False,
) -> Message:
    """What gateways run, then firmware files, each with how many run it; ``models`` are those with any."""
    page, place = cut_page(rows, FIRMWARE, offset, FIRMWARE_PAGE, model)
    newest = {fold(file.model or ""): file.version for file, _ in reversed(rows)}
    runs, total = running if not offset else (), sum(one.gateways for one in running)
    bars = [f"{_runs(one)}  {progress_bar(one.gateways, total)}" for one in runs[:RUNNING_SHOWN]]
    doors = [
        block
        for one, bar in zip(runs, bars, strict=False)
        for block in (section(bar), *_doors(one, newest.get(one.model) if may_update else None))
    ]
    more = [context(f"… and {count(len(runs) - len(bars), 'version')} more")] if len(runs) > len(bars) else []
    title = bold(f"What {count(total, 'gateway runs', 'gateways run')}")
    runs_text, runs_blocks = ([title, *bars], [section(title), *doors, *more]) if bars else ([], [])
    if not page:
        known = f" There is some for {', '.join(name(one, 30) for one in models[:20])}." if models else ""
        text = f"The vendor has no firmware{f' for model {name(model)}' if model else ''}.{known}"
        said = "\n".join([*runs_text, text])
        return message(said, [*runs_blocks, section(text), *buttons(place, refresh=True)])
    shown: list[str] = []
    heading = None
    for file, on_it in page:
        line = row(_firmware_line, file, on_it)
        if file.model != heading or not shown:
            heading = file.model
            line = f"{bold(f'Model {name(heading, 40)}' if heading else 'No model named')}\n{line}"
        shown.append(line)
    title = bold(f"{place.says('file', 'files')} in Meshtech's list")
    said = "\n".join([*runs_text, f"{title}:", *shown])
    above = [*runs_blocks, section(title)]
    table = Table(
        "Firmware files",
        ("Version", "Model", "Gateways on it", "File", "Created"),
        [Row(line, cells(_file_cells, *one)) for line, one in zip(shown, page, strict=True)],
    )
    return with_table(said, above, table, buttons(place, refresh=True))


def _file_cells(file: Firmware, on_it: int) -> list[Cell]:
    return [
        text_cell(file.version, "no version"),
        text_cell(file.model, "none named"),
        number_cell(on_it, f"{on_it:,}"),
        text_cell(file.file_name),
        moment_cell(file.created_at),
    ]


def _runs(one: RunningVersion) -> str:
    model = f" on model {name(one.model, 20)}" if one.model else ""
    return f"{bold(name(one.version, 30) if one.version else 'unknown firmware')}{model}"


def _doors(one: RunningVersion, newest: str | None) -> list[Block]:
    """To the gateways of a version, and to their update where there is another file for their model."""
    if not one.version:
        return []
    terms = [_term(Field.MODEL, one.model) if one.model else "", _term(Field.FIRMWARE, one.version)]
    if None in terms:
        return []
    query, update = " ".join(term for term in terms if term), None
    if newest and not is_same_firmware(newest, one.version):
        ref = PlanRef(version="latest", query=query)
        update = button("Update…", ids.ROLLOUT_REPLAN, ref, label=f"Update {query} to the latest")
    return actions(open_button(Door(DEVICES, query, query), "Gateways"), update)


def _term(field: Field, text: str) -> str | None:
    return f"{field}:{text}" if _NEEDS_NO_QUOTES.fullmatch(text) else exactly(field, text)


# ---- below: lines and phrases
_ANGLES = str.maketrans({"<": "&lt;", ">": "&gt;"})
_CUT_TAG = 40
_OF_STATE = ("is:", "for:")  # what holds for a while: no other spelling finds more


def _nothing(question: str) -> str:
    if not question:
        return "The fleet is empty: the last poll found no gateway."
    said = f"No gateway matches {code(question, 300)}"
    if all(term.startswith(_OF_STATE) for term in question.split()):
        return f"{said} now."
    return (
        f"{said}. Leave a term out, put `*` where a part may differ (`name:MT*`), see the tags with "
        "`/mesh tags`, or what I can do with `/mesh help`."
    )


def _foot(place: PagePosition, seen: str, *, export: bool = False) -> list[Block]:
    return [context(seen), *buttons(place, refresh=True, export=export)]


def _sentence(phrase: str) -> str:
    return f"{phrase[:1].upper()}{phrase[1:]}."


def _few_tags(tags_: tuple[str, ...]) -> str:
    if not tags_:
        return "no tag"
    shown = ", ".join(name(tag, 30) for tag in tags_[:_TAGS_IN_A_LINE])
    more = len(tags_) - _TAGS_IN_A_LINE
    return f"{shown} +{more}" if more > 0 else shown


def all_tags(tags_: Sequence[str], most: int = 20) -> str:
    """Tags one after the other; "none" when there is none."""
    shown = ", ".join(name(tag, _CUT_TAG) for tag in tags_[:most])
    more = f" and {len(tags_) - most} more" if len(tags_) > most else ""
    return f"{shown}{more}" if tags_ else "none"


def _facts(known: KnownGateway) -> list[tuple[str, str]]:
    gateway = known.gateway
    facts = [
        ("Id", code(gateway.id, 200)),
        ("Site", name(known.site)),
        ("Tags", all_tags(gateway.tags)),
        ("Model", _or_unknown(gateway.model)),
        ("Firmware", _or_unknown(gateway.firmware)),
        ("Hardware", _or_unknown(gateway.hardware)),
    ]
    more = [("IMEI", gateway.imei), ("Status", gateway.status), ("Boot mode", gateway.boot_mode)]
    facts += [(label, name(value)) for label, value in more if value]
    return [*facts, ("First seen", date(known.first_seen))]


def _or_unknown(value: str | None) -> str:
    return name(value) if value else "unknown"


def _remarks(card: Card) -> list[str]:
    known = card.known
    remarks = []
    if known.flapping:
        remarks.append(f"{status('flapping')}: it goes on and off, 4 changes or more within an hour")
    if known.updating:
        remarks.append(f"{status('updating')}: its firmware is being changed")
    if known.written_at:
        remarks.append("It was changed a moment ago; the next poll will confirm it.")
    if known.missed:
        remarks.append(f"{status('warning')}: missing from the last {count(known.missed, 'poll')}")
    remarks += [f"Alert: {card.incident}"] if card.incident else []
    remarks += [f"Rollout: {card.rollout}"] if card.rollout else []
    remarks += card.of_site
    return remarks


def _was_and_is(event: FleetEvent) -> str:
    return f"{_or_none(event.before)} → {_or_none(event.after)}"


def _or_none(value: str | None) -> str:
    return name(value, _CUT_TAG) if value else "none"


def _tags_moved(event: FleetEvent) -> str:
    before = [tag for tag in (event.before or "").split("\n") if tag]
    after = [tag for tag in (event.after or "").split("\n") if tag]
    moved = [f"+{name(tag, _CUT_TAG)}" for tag in after if tag not in before]
    moved += [f"−{name(tag, _CUT_TAG)}" for tag in before if tag not in after]
    more = f" and {len(moved) - 10} more" if len(moved) > 10 else ""
    return ", ".join(moved[:10]) + more if moved else "another order"


def _tag_line(one: TagCount) -> str:
    offline = f", {status('offline')} {one.offline:,}" if one.offline else ""
    return f"{bold(name(one.tag))}: {count(one.gateways, 'gateway')}{offline}"


def _firmware_line(file: Firmware, running: int) -> str:
    """The file's name begins a line, so that no line ends within it."""
    facts = [
        f"• {name(file.version, 40) if file.version else 'no version'}",
        f"{count(running, 'gateway')} on it",
        *([date(file.created_at)] if file.created_at else []),
    ]
    return "\n".join([" · ".join(facts), *([code(file.file_name)] if file.file_name else [])])
