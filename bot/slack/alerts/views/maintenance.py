"""Maintenance windows as messages, and as lines on the cards of alerts. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.alerts.maintenance import (
    LAST_DAY_OF_ALL,
    Change,
    Every,
    Maintenance,
    MaintenanceDown,
    Schedule,
)
from bot.domain.audit import BOT
from bot.slack import ids
from bot.slack.alerts.views.silences import offline, within
from bot.slack.ids import CardRef, PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    button,
    code,
    confirm,
    count,
    date,
    escape,
    mention,
    message,
    name,
    nothing_matches,
    section,
    sentence,
    status,
    utc,
)
from bot.slack.views.paging import buttons, cut_page
from bot.slack.views.undrawable import asks_first, part, row

WINDOWS = "windows"  # the kind of the list
PAGE = 8
_DOWN_SHOWN = 5  # windows beside what is open
_REASON = 300
_CLOSING = "It closes with the next poll."
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}


def planned(window: Maintenance, covered: int) -> Message:
    """The answer to whoever planned it."""
    text = (
        f"{status('maintenance')} planned as {bold(window.title)}: {whose(window)}, "
        f"{count(covered, 'gateway')} now. {_coming(window)} "
        "Their alerts are held meanwhile; what is still offline at the end alerts at once."
    )
    if not covered:
        text += f"\n{nothing_matches()}"
    return message(text, [section(text), *actions(_undo(window))])


def confirmation(text: str, question: PageRef, fleet: int) -> Message:
    """What a window would cover, before it is planned for so much, or for nothing."""
    yes = button("Plan it", ids.MAINTENANCE_CONFIRM, question, label="Plan it for them all the same")
    return asks_first(f"maintenance {text}", question, fleet, yes, "Nothing is planned until you confirm it.")


def decided(window: Maintenance) -> Message:
    """The answer to whoever skipped, ended or undid something."""
    said = {
        Change.SKIPPED: f"{bold(window.title)}: the opening is skipped.",
        Change.ENDED: f"{bold(window.title)} ended.",
        Change.UNDONE: f"Undone: {bold(window.title)} is as it was before.",
        Change.PLANNED: f"{bold(window.title)} is planned.",
    }[window.last]
    text = f"{said} {_coming(window)}"
    undo = actions(_undo(window)) if window.last is not Change.UNDONE else []
    return message(text, [section(text), *undo])


def card(window: Maintenance, covered: int) -> Message:
    """The channel loses alerts: whose, when and why; buttons skip an opening, or end the window."""
    by, reason = mention(window.by), name(window.reason, _REASON)
    if window.is_over and window.opening is None:
        whom = "" if window.ended_by == BOT else f" by {mention(str(window.ended_by))}"
        held = "It never opened." if window.never_opened else f"It held the alerts of {whose(window)}."
        ended = "" if window.ended_at is None else f" {date(window.ended_at)}"
        text = f"{bold(window.title)}, maintenance planned by {by}, ended{ended}{whom}: {reason}. {held}"
        return message(text, [section(text)])
    text = (
        f"{status('maintenance')} {bold(window.title)}, planned by {by}: {reason}. {_coming(window)} "
        f"Meanwhile the alerts of {whose(window)}, {count(covered, 'gateway')} now, do not come here; "
        "what is still offline at the end alerts at once."
    )
    return message(text, [section(text), *_card_buttons(window)])


def listed(windows: Sequence[Maintenance], offset: int, *, may_end: bool = False) -> Message:
    """A page of those that are open or to come, each with its buttons for whoever may press them."""
    if not windows:
        return sentence("No maintenance is planned. /mesh help maintenance shows how to plan some.")
    page, place = cut_page(windows, WINDOWS, offset, PAGE)
    title = f"{bold(place.says('maintenance window'))}{place.in_order('the first to open first')}"
    rows = [row(line, one) for one in page]
    shown = [section(title)]
    for one, said in zip(page, rows, strict=True):
        shown += [section(said), *(part(_card_buttons, one, PageRef(WINDOWS, offset)) if may_end else [])]
    return message("\n".join([title, *rows]), [*shown, *buttons(place)])


def line(window: Maintenance) -> str:
    """A window where several are shown."""
    return (
        f"{bold(window.title)} {whose(window)}. {_coming(window)} "
        f"By {mention(window.by)}: {name(window.reason, 100)}."
    )


def soon_at(found: Sequence[Maintenance]) -> list[str]:
    """The first windows to open, a line for each, for those who look at a site."""
    more = len(found) - _DOWN_SHOWN
    rest = [f"and {count(more, 'more window')}"] if more > 0 else []
    return [*(f"{status('maintenance')} {row(line, one)}" for one in found[:_DOWN_SHOWN]), *rest]


def down(found: Sequence[MaintenanceDown]) -> list[str]:
    """What is offline and held by a window, a line for each, for those who look at what is open."""
    rows = [row(_down_line, one) for one in found[:_DOWN_SHOWN]]
    more = len(found) - _DOWN_SHOWN
    rest = [f"and {count(more, 'more window')} with gateways that are offline"] if more > 0 else []
    return [f"{status('maintenance')}, held and offline:", *rows, *rest] if rows else []


def _down_line(one: MaintenanceDown) -> str:
    window = one.window
    until = f" until {date(window.opening.ends)}" if window.opening else ""
    until = " until the next poll" if window.is_closing else until
    reason = name(window.reason, 100)
    return f"{bold(window.title)} {whose(window)}{until}: {reason}. {offline(one.down, one.first)}"


def notice(windows: Sequence[Maintenance]) -> list[str]:
    """What the card of an alert says of maintenance of its gateways."""
    return [row(_notice, one) for one in windows]


def _notice(window: Maintenance) -> str:
    reason = name(window.reason, 100)
    return f"{status('maintenance')} {bold(window.title)} of its gateways: {reason}. {_coming(window)}"


def soon(body: Mapping[str, Any]) -> Message:
    """A window opens soon."""
    begins, ends = (datetime.fromisoformat(str(body[end])) for end in ("begins", "ends"))
    text = (
        f"{status('maintenance')} {bold(str(body['window']))} by {mention(str(body['by']))} is open from "
        f"{date(begins)} to {date(ends)}: {name(str(body['reason']), _REASON)}. "
        f"The alerts of {_whose_of(body)}, {count(int(body['covered']), 'gateway')}, do not come here then."
    )
    return message(text, [section(text)])


def changed(body: Mapping[str, Any]) -> Message:
    """Somebody skipped an opening, ended the window, or took that back."""
    did = {
        Change.SKIPPED: "skipped an opening",
        Change.ENDED: "ended it",
        Change.UNDONE: "undid the last change",
        Change.PLANNED: "planned it",
    }[Change(body["what"])]
    text = (
        f"{status('maintenance')} {bold(str(body['window']))} of {_whose_of(body)}: "
        f"{mention(str(body['who']))} {did}. {_next_of(body)}"
    )
    return message(text, [section(text)])


def whose(window: Maintenance) -> str:
    """Whose alerts it holds."""
    return f"{code(window.query, 100)}{within(window.limits)}"


def when(schedule: Schedule) -> str:
    """How often one that comes again opens, from when until when, in which zone."""
    first = schedule.first
    often = {
        Every.WEEK: f"every {first:%A}",
        Every.MONTH: f"on day {first.day} of each month",
        Every.MONTH_BY_WEEKDAY: f"on the {_NTH[schedule.nth]} {first:%A} of each month",
    }[schedule.every]
    if schedule.every is Every.MONTH and first.day > LAST_DAY_OF_ALL:
        often += ", or on its last day,"
    until = f" until {schedule.until.isoformat()}" if schedule.until else ""
    return f"{often} {first:%H:%M}–{schedule.ends:%H:%M}{until} ({escape(schedule.zone)})"


def _coming(window: Maintenance) -> str:
    """The opening that is open or comes next."""
    opening, schedule = window.coming, window.schedule
    closing = f"{_CLOSING} " if window.is_closing else ""
    if opening is None:
        return f"{closing}No opening follows."
    often = f" It opens {when(schedule)}." if schedule.every is not Every.ONCE else ""
    if window.is_open and not window.is_closing:
        return f"It is open until {date(opening.ends)}.{often}"
    return f"{closing}{_is_open(opening.begins, opening.ends, again=window.is_closing)}{often}"


def _next_of(body: Mapping[str, Any]) -> str:
    closing = f"{_CLOSING} " if body["closing"] else ""
    if not body["begins"]:
        return f"{closing}No opening follows: their alerts come as usual."
    begins, ends = (datetime.fromisoformat(str(body[end])) for end in ("begins", "ends"))
    return f"{closing}{_is_open(begins, ends, again=bool(closing))}"


def _is_open(begins: datetime, ends: datetime, *, again: bool) -> str:
    return f"It is open{' again' if again else ''} from {date(begins)} to {date(ends)}."


def _whose_of(body: Mapping[str, Any]) -> str:
    return f"{code(str(body['query']), 100)}{within(body['limits'])}"


def _card_buttons(window: Maintenance, page: PageRef | None = None) -> list[Block]:
    """``page``: of the list to draw again. A card has none: it changes by itself."""
    if window.opening is None or window.is_over:
        return []
    title, begins = window.title, window.opening.begins
    skip = button(
        "Skip once",
        ids.MAINTENANCE_SKIP,
        CardRef(str(window.id), int(begins.timestamp()), page),
        confirm=confirm(f"Skip {title} once?", f"Its opening of {utc(begins)} is left out.", "Skip"),
        label=f"Skip {title} once",
    )
    end = button(
        "End window",
        ids.MAINTENANCE_END,
        CardRef(str(window.id), answer=page),
        confirm=confirm(f"End {title}?", "It opens no more; Undo brings it back.", "End"),
        label=f"End the window {title}",
    )
    may_skip = window.schedule.every is not Every.ONCE and not window.is_closing
    return actions(skip if may_skip else None, end)


def _undo(window: Maintenance) -> Block:
    ref = CardRef(str(window.id), window.decided)
    return button("Undo", ids.MAINTENANCE_UNDO, ref, label=f"Undo for {window.title}")
