"""Incidents in lists and notes: what is open, the gateways of one, what a thread says. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bot.domain.alerts.incidents import AffectedGateway, AlertRules, Incident, Leave
from bot.domain.incident_kinds import IncidentId, IncidentState
from bot.slack import ids
from bot.slack.alerts.views.buttons import details, hands, silence
from bot.slack.alerts.views.headline import (
    counts,
    headline,
    in_hands,
    lasted,
    left_line,
    said_of,
    state_of_those_in,
    state_of_those_out,
    where,
    where_plain,
    who,
)
from bot.slack.ids import PageRef
from bot.slack.views.blocks import (
    Block,
    File,
    Message,
    actions,
    bold,
    button,
    code,
    context,
    count,
    date,
    duration,
    message,
    section,
    status,
)
from bot.slack.views.csv_file import CsvFile
from bot.slack.views.incident_kind_words import words_of
from bot.slack.views.paging import DEVICE, Door, PagePosition, buttons
from bot.slack.views.portal_links import NO_PORTAL, Portal
from bot.slack.views.tables import Cell, Row, Table, moment_cell, text_cell, with_table
from bot.slack.views.undrawable import cells, part, row

ALERTS, INCIDENT = "alerts", "incident"  # kinds of lists
ALERTS_PAGE, CLOSED_PAGE, INCIDENT_PAGE = 8, 10, 15
CSV_HEADING = ("id", "name", "offline since", "joined", "left", "left as")


def gateways_note(incident: Incident, gateways: Sequence[AffectedGateway]) -> Message:
    """What the card does not name, as a file in its thread."""
    text = f"{incident.title}: all {count(len(gateways), 'gateway')} {where(incident)} are in this file."
    return message(text, [section(text)], [gateways_file(incident, gateways)])


def gateways_file(incident: Incident, gateways: Sequence[AffectedGateway]) -> File:
    file = CsvFile(CSV_HEADING)
    file.add(csv_row(one) for one in gateways)
    heading = f"Gateways of the alert {incident.title} {where_plain(incident)}"
    return File(f"incident-{incident.id}.csv", file.content(), heading)


def alerts(
    page: Sequence[Incident],
    total: int,
    offset: int,
    rules: AlertRules,
    *,
    has_channel: bool,
    held: Sequence[str] = (),
    reader: str | None = None,
) -> Message:
    """The open incidents, what nobody has acknowledged first; then lines of what is down and held."""
    below = [section("\n".join(held))] if held else []
    place = PagePosition(ALERTS, offset, total, ALERTS_PAGE)
    unposted = [] if has_channel else [_NO_CHANNEL]
    if not page:
        text = (
            "🟢 No open alerts. A gateway becomes one after "
            f"{duration(rules.offline_after)} offline and {count(rules.offline_listings, 'poll')}."
        )
        blocks = [section(text), *below, *map(context, unposted), *_foot(place)]
        return message("\n".join([" ".join([text, *unposted]), *held]), blocks)
    order = ": what nobody has acknowledged first, then the worst, then the newest" if total > 1 else ""
    heading = f"{bold(place.says('open alert'))}{order}"
    rows = [row(listed, incident) for incident in page]
    blocks = [section(heading)]
    for incident, shown in zip(page, rows, strict=True):
        blocks += [section(shown), *part(_listed_buttons, incident, offset, reader)]
    text = "\n".join([f"{heading}.", *rows, *held, *unposted])
    all_of_them = actions(acknowledge_all(page, PageRef(ALERTS, offset)))
    return message(text, [*blocks, *below, *map(context, unposted), *all_of_them, *_foot(place)])


def closed(page: Sequence[Incident], total: int, offset: int, question: str) -> Message:
    """A page of those that are over, the last to end first, each with the way to its gateways."""
    place = PagePosition(ALERTS, offset, total, CLOSED_PAGE, question)
    asked = code(f"alerts {question}")
    if not page:
        text = f"No alert that is over fits {asked}."
        return message(text, [section(text), *_foot(place)])
    heading = f"{bold(place.says('closed alert'))} for {asked}, the last to end first"
    rows = [row(_closed_line, one) for one in page]
    blocks = [section(heading)]
    for one, shown in zip(page, rows, strict=True):
        blocks.append(section(shown, accessory=details(one)))
    return message("\n".join([f"{heading}.", *rows]), [*blocks, *_foot(place)])


def _closed_line(incident: Incident) -> str:
    return f"{bold(headline(incident))}\n{' '.join(filter(None, [lasted(incident), who(incident)]))}"


def gateways(
    incident: Incident, page: Sequence[AffectedGateway], offset: int, portal: Portal = NO_PORTAL
) -> Message:
    """A page of the gateways of an incident, those down first."""
    tally = incident.tally
    place = PagePosition(INCIDENT, offset, tally.total, INCIDENT_PAGE, str(incident.id))
    heading = f"{bold(place.says('gateway'))} of {incident.title} {where(incident)}: {counts(incident)}"
    shown = [row(left_line, one, incident, portal) for one in page]
    text = "\n".join([f"{heading}.", *shown])
    table = Table(
        f"Gateways of {incident.title}",
        ("Gateway", "State", f"{words_of(incident.kind).are.capitalize()} since", "Left", "Id"),
        [
            Row(line, cells(_cells, one, incident), Door(DEVICE, one.id, one.label))
            for line, one in zip(shown, page, strict=True)
        ],
        "Open a gateway…",
    )
    return with_table(text, [section(heading)], table, buttons(place, refresh=True, export=True))


_LEFT: Mapping[Leave | None, str] = {
    Leave.RELEASED: "no longer in the fleet",
    Leave.TAKEN: "in the alert of its rollout",
    Leave.STILL_DOWN: status("offline"),
}


def _cells(one: AffectedGateway, incident: Incident) -> list[Cell]:
    state = (
        state_of_those_in(incident) if one.is_down else _LEFT.get(one.left_as, state_of_those_out(incident))
    )
    return [
        text_cell(one.label),
        text_cell(state),
        moment_cell(one.offline_since),
        moment_cell(one.left_at),
        text_cell(one.id),
    ]


def _listed_buttons(incident: Incident, offset: int, reader: str | None) -> list[Block]:
    return actions(*hands(incident, PageRef(ALERTS, offset), reader), details(incident))


def acknowledge_all(shown: Sequence[Incident], page: PageRef) -> Block | None:
    """For those of a page that nobody has, as they are drawn, where there are several."""
    free = [one for one in shown if one.acknowledged is None]
    if len(free) < 2:
        return None
    drawn = ",".join(f"{one.id}.{one.version}" for one in free)
    return button(f"Acknowledge these {len(free)}", ids.INCIDENT_ACK_ALL, replace(page, question=drawn))


def drawn_in(question: str) -> Sequence[tuple[IncidentId, int]]:
    """The numbers and versions that ``acknowledge_all`` wrote, as far as they are any."""
    pairs = (one.partition(".") for one in question.split(","))
    known = [(ids.number(number), ids.number(version)) for number, _, version in pairs]
    return [(IncidentId(one), version) for one, version in known if one is not None and version is not None]


def line(incident: Incident) -> str:
    """What the card of a gateway says about the incident it is in."""
    return f"{headline(incident)}. {who(incident)}".rstrip()


def csv_row(one: AffectedGateway) -> tuple[str | None, ...]:
    """One row under CSV_HEADING; moments as ISO 8601 in UTC."""
    left = one.left_as.value if one.left_as else None
    return (one.id, one.label, _iso(one.offline_since), _iso(one.joined_at), _iso(one.left_at), left)


_NO_CHANNEL = (
    "No default channel is set (MESHBOT_CHANNELS__ALERTS): what no channel subscribed to is shown here only."
)


def listed(incident: Incident) -> str:
    """An incident where several are shown."""
    said = [*said_of(incident), in_hands(incident)]
    if incident.state is IncidentState.GATHERING:
        said.append(f"⏳ gathering: it is posted after {date(incident.post_at)}.")
    return f"{bold(headline(incident))}\n{' '.join(said)}"


def row_buttons(incident: Incident, reader: str, *, may_acknowledge: bool, may_silence: bool) -> list[Block]:
    """The buttons of an incident where it is listed for one person."""
    return actions(
        *(hands(incident, reader=reader) if may_acknowledge else ()),
        silence(incident) if may_silence and incident.kind.rules.may_be_silenced else None,
        details(incident),
    )


def _foot(place: PagePosition) -> list[Block]:
    return buttons(place, refresh=True)


def _iso(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
