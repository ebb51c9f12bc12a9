"""The site book as messages: a site on one card, the list, dialogs, what a change does. Pure functions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.domain.sites.changes_and_undo import ChangeState, SiteChange, SiteItem
from bot.domain.sites.entries import LINKS, LONGEST, Entry, Site, SiteField, access, called
from bot.slack import ids
from bot.slack.ids import CardRef, PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    bold,
    button,
    code,
    context,
    count,
    date,
    fields,
    header,
    lines,
    message,
    name,
    plain_name,
    section,
    sentence,
    status,
)
from bot.slack.views.modals import modal, pasting, text_input
from bot.slack.views.paging import DEVICES, HISTORY, SITE, Door, buttons, cut_page, open_button, rows_with
from bot.slack.views.portal_links import GATEWAY, filled, linked
from bot.slack.views.portal_links import SITE as PLACE_OF_SITE
from bot.slack.views.undrawable import row

SITES: Final = "sites"  # the kind of the list
COLUMNS: Final = ("site", *(one.value for one in SiteField))
PAGE = 8
_SHOWN = 10  # changes of a preview
_CUT = 80
_LABELS: Final = {
    SiteField.OWNER: "Owner",
    SiteField.CALL: "Call",
    SiteField.HOURS: "Access hours",
    SiteField.NOTE: "Note",
    SiteField.RUNBOOK: "Runbook",
    SiteField.MAP: "Map",
    SiteField.PORTAL: "Portal",
}
_HINTS: Final = {
    SiteField.CALL: "A user group or a person: @oslo-field, or an id. Reminders of alerts go to the group.",
    SiteField.HOURS: "Mo-Fr 07:00-16:00, Sa 09:00-12:00 in Europe/Oslo",
    SiteField.PORTAL: "https://…; {site} and {gateway} stand for the names, in each of the three links.",
}


# ---- a site
def card(site: Site, now: datetime, said: Sequence[str], devices: str | None, *, may_edit: bool) -> Message:
    """All of one site; ``said`` is what other features say of it, ``devices`` the query of its gateways."""
    facts = [
        (_LABELS[one], _fact(one, site, now)) for one in SiteField if one in site.entry and one not in LINKS
    ]
    facts += [("Links", " · ".join(links))] if (links := _links(site.name, site.entry, "")) else []
    empty = [] if facts else ["The site book says nothing of it yet."]
    door = None
    if devices is not None and not site.has_vanished:
        door = open_button(Door(DEVICES, devices, f"the gateways of {site.name}"), "Devices")
    history = Door(HISTORY, site.name, f"the history of {site.name}")
    return message(
        "\n".join(
            [
                f"{name(site.name)}: {_gateways(site)}.",
                *(f"{label}: {value}" for label, value in facts),
                *empty,
                *said,
            ]
        ),
        [
            header(plain_name(site.name, 100)),
            section(f"{_gateways(site)}.", door),
            *fields(facts),
            *lines([*empty, *said]),
            *actions(
                _about(site, "Edit", ids.SITE_EDIT) if may_edit else None,
                open_button(history, "History"),
                None if site.has_vanished else _about(site, "Silence", ids.SITE_SILENCE),
            ),
        ],
    )


def _gateways(site: Site) -> str:
    """``2 gateways, 1 offline``."""
    if site.has_vanished:
        return status("no gateways", "warning")
    down = f", {status(f'{site.offline:,} offline', 'offline')}" if site.offline else ""
    return f"{count(site.gateways, 'gateway')}{down}"


def facts_of(site: str, entry: Entry, now: datetime, gateway: str = "") -> list[str]:
    """What the card of an alert, or of a ``gateway``, says of its site: whom to call, access, links."""
    if not entry:
        return []
    contact, owner, note = called(entry), entry.get(SiteField.OWNER), entry.get(SiteField.NOTE)
    said = [
        f"Call {bold(name(contact[1]))}." if contact else "",
        f"Owner: {name(owner, _CUT)}." if owner else "",
        f"Access hours: {_access(entry, now)}." if SiteField.HOURS in entry else "",
        f"{name(note, 200)}" if note else "",
        " · ".join(_links(site, entry, gateway)),
    ]
    return [f"📒 {' '.join(filter(None, said))}"]


def _fact(field: SiteField, site: Site, now: datetime) -> str:
    text = site.entry[field]
    if field is SiteField.HOURS:
        return f"{code(text)}\n{_access(site.entry, now)}"
    contact = called(site.entry) if field is SiteField.CALL else None
    return name(contact[1] if contact else text, LONGEST)


def _access(entry: Entry, now: datetime) -> str:
    found = access(entry, now)
    assert found is not None, "it is asked where there are hours"
    is_open, until = found
    word = status("open", "online") if is_open else status("shut", "stopped")
    return f"{word} until {date(until)}" if until else f"{word} around the clock"


def _links(site: str, entry: Entry, gateway: str) -> list[str]:
    found = (_link(one, entry[one], site, gateway) for one in LINKS if one in entry)
    return [one for one in found if one]


def _link(field: SiteField, template: str, site: str, gateway: str) -> str:
    """Empty, where the address needs a gateway and there is none."""
    url = filled(template, {PLACE_OF_SITE: site, GATEWAY: gateway})
    return linked(_LABELS[field], url) if url else ""


def _about(site: Site, text: str, action_id: str) -> Block:
    return button(text, action_id, PageRef(SITE, question=site.name), label=f"{text} {plain_name(site.name)}")


# ---- the list
def listed(sites: Sequence[Site], question: str, offset: int, *, may_edit: bool) -> Message:
    """A page of them, by name, each with its door."""
    if not sites:
        what = f"No site has “{question}” in its name." if question else "There is no site yet."
        return sentence(f"{what} /mesh sites lists all.")
    page, place = cut_page(sites, SITES, offset, PAGE, question)
    title = f"{bold(place.says('site'))}{place.in_order('by name')}"
    rows = [row(_line, one) for one in page]
    doors = [open_button(Door(SITE, one.name, one.name)) for one in page]
    paste = button("Paste CSV", ids.SITES_CSV, PageRef(SITES), label="Change entries by a CSV file")
    return message(
        "\n".join([title, *rows]),
        [
            section(title, paste if may_edit else None),
            *rows_with(rows, doors),
            *buttons(place, export=True),
        ],
    )


def _line(site: Site) -> str:
    contact, owner = called(site.entry), site.entry.get(SiteField.OWNER)
    said = [
        f"Call {name(contact[1], 40)}" if contact else "",
        f"Owner: {name(owner, 40)}" if owner else "",
        "" if site.entry else "No entry yet",
    ]
    return ". ".join([f"{bold(name(site.name))} {_gateways(site)}", *filter(None, said)])


def csv_row(site: Site) -> list[str]:
    """One row under COLUMNS."""
    return [site.name, *(site.entry.get(one, "") for one in SiteField)]


# ---- changes
def edit_dialog(site: Site) -> View:
    """All fields of an entry, with its version, which tells whether it is still what was shown."""
    inputs = [
        text_input(
            one.value,
            _LABELS[one],
            most=LONGEST,
            optional=True,
            multiline=one is SiteField.NOTE,
            initial=site.entry.get(one),
            hint=_HINTS.get(one),
        )
        for one in SiteField
    ]
    top = section(f"What the site book says of {bold(name(site.name))}")
    ref = PageRef(SITE, site.version, site.name)
    return modal("Site", [top, *inputs], callback_id=ids.SITE_EDIT, ref=ref, submit="Save")


def csv_dialog() -> View:
    """Where the rows of a file are pasted."""
    said = (
        "Paste rows with their heading, as the CSV button of `/mesh sites` sends them, or out of a "
        "spreadsheet. A column that is not there stays as it is; an empty cell clears what was there."
    )
    return pasting("Sites by CSV", said, COLUMNS, ids.SITES_CSV)


def preview_dialog(change: SiteChange) -> View:
    """What the rows would change: nothing is changed until it is confirmed."""
    sites = count(len(change.items), "site")
    shown = [*_rows(change), *_same(change)]
    return modal(
        "Sites by CSV",
        [section(f"{bold(sites)} would change."), *lines(shown), context("Nothing has been changed yet.")],
        callback_id=ids.SITES_CONFIRM,
        ref=CardRef(change.id),
        submit=f"Change {sites}",
        close="Cancel",
    )


def done_dialog(change: SiteChange) -> View:
    """In the place of the dialog: what was changed, with its Undo."""
    return modal("Sites", changed(change).blocks, callback_id="said")


def changed(change: SiteChange) -> Message:
    """The answer to whoever changed entries, or undid that."""
    if change.state is ChangeState.UNDONE:
        of = name(change.title, 200)
        text = f"{status('undone', 'done')}: the site book says of {of} what it said before."
        return message(text, [section(text)])
    title = f"{status('done')}: the site book is changed for {bold(name(change.title, 200))}."
    rows = [*_rows(change), *_same(change)]
    undo = button("Undo", ids.SITE_UNDO, CardRef(change.id), label="Undo the change of the site book")
    return message("\n".join([title, *rows]), [section(title), *lines(rows), *actions(undo)])


def _rows(change: SiteChange) -> list[str]:
    more = len(change.items) - _SHOWN
    rest = [f"and {count(more, 'more site')}"] if more > 0 else []
    return [*(row(_diff, one) for one in change.items[:_SHOWN]), *rest]


def _diff(item: SiteItem) -> str:
    told = [
        f"{_LABELS[one]}: {_said(item.before, one)} → {bold(_said(item.after, one))}" for one in item.fields
    ]
    return f"{bold(name(item.site))} · {' · '.join(told)}"


def _said(entry: Entry, field: SiteField) -> str:
    return name(entry.get(field, "nothing"), _CUT)


def _same(change: SiteChange) -> list[str]:
    if not change.unchanged:
        return []
    be = "is" if change.unchanged == 1 else "are"
    return [f"{count(change.unchanged, 'site')} {be} so already."]
