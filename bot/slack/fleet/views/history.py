"""What was, as messages: how available the sites were, and which gateways were the worst.

Pure functions.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from bot.domain.fleet.availability import AvailabilityReport, GatewayUptime, SiteUptime, Uptime, WorstBy
from bot.domain.fleet.charts import LONGEST, ChartKind
from bot.domain.fleet.timeline import (
    AlertsHeld,
    GatewayChanged,
    Happening,
    JoinedAlert,
    TakenAlong,
    Timeline,
)
from bot.domain.gateways import KnownGateway
from bot.domain.times.written_times import in_one_unit, parse_duration, split_month
from bot.slack import ids
from bot.slack.fleet.views.search import event_text
from bot.slack.ids import PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    button,
    code,
    context,
    count,
    date,
    duration,
    lines,
    message,
    name,
    section,
)
from bot.slack.views.incident_kind_words import words_of
from bot.slack.views.paging import DEVICE, HISTORY, Door, PagePosition, buttons, cut_page, open_button
from bot.slack.views.undrawable import row

AVAILABILITY, WORST = "availability", "worst"
AVAILABILITY_PAGE, WORST_PAGE, HISTORY_PAGE = 20, 10, 20
AVAILABILITY_HEADING = (
    "site",
    "gateways",
    "availability %",
    "online hours",
    "offline hours",
    "planned hours",
    "outages",
    "longest outage hours",
)
WORST_HEADING = ("id", "name", "site", *AVAILABILITY_HEADING[2:], "flapping")
_OF_SITE = 6  # alerts and rollouts on the card of a site
_ORDERS = {
    WorstBy.LONGEST: "offline longest first",
    WorstBy.OFTEN: "offline most often first",
    WorstBy.FLAPPING: "flapping most often first",
}


# ---- sites
def availability(report: AvailabilityReport, query: str, offset: int, when: str) -> Message:
    """The whole, and a page of its sites, the worst first; ``when`` is its period or month, as typed."""
    page, place = cut_page(report.sites, AVAILABILITY, offset, AVAILABILITY_PAGE, f"{query} {when}".strip())
    shown, foot = [row(_site_line, one) for one in page], _foot(report)
    title = _available(report, query, when, place)
    under = buttons(place, export=True, more=_chart(query, when))
    blocks = [section(title), *lines(shown), context(*foot), *under]
    return message("\n".join([f"{title}.", *shown, *foot]), blocks)


def monthly(report: AvailabilityReport, query: str, month: str, number: int) -> Message:
    """The same for a channel that subscribed, where nobody turns a page: a door leads to the others."""
    question = f"{query} {month}".strip()
    page, place = cut_page(report.sites, AVAILABILITY, 0, AVAILABILITY_PAGE, question)
    shown = [row(_site_line, one) for one in page]
    title = _available(report, query, month, place)
    foot = [*_foot(report), f"Subscription {number}; `/mesh unsubscribe {number}` ends it."]
    door = open_button(Door(AVAILABILITY, question, "all sites"), "All sites")
    file = button("CSV", ids.EXPORT_CSV, PageRef(AVAILABILITY, 0, question), label="Send it as a CSV file")
    under = actions(None if place.is_whole else door, file, _chart(query, month))
    blocks = [section(title), *lines(shown), context(*foot), *under]
    return message("\n".join([f"{title}.", *shown, *foot]), blocks)


def _available(report: AvailabilityReport, query: str, when: str, place: PagePosition) -> str:
    is_month = split_month(when)[1] is not None
    over = f"in {when}" if is_month else f"over the last {_length(report.ends - report.begins)}"
    of = f" for {code(query, 300)}" if query else ""
    return f"{bold(_share(report.whole.uptime).capitalize())}: {place.says('site')}{of} {over}"


def _foot(report: AvailabilityReport) -> list[str]:
    return [_counted(report), "Time that is unknown, planned or without data does not count."]


def _chart(query: str, when: str) -> Block | None:
    """Who of them was offline then; None for what is longer than a chart."""
    if split_month(when)[1] is None and parse_duration(when) > LONGEST:
        return None
    question = f"{ChartKind.OFFLINE} {query} {when}".replace("  ", " ")
    return button("Chart", ids.CHART, PageRef(ids.CHART, 0, question), label="Draw who was offline")


def availability_row(one: SiteUptime) -> tuple[str, ...]:
    """One row under AVAILABILITY_HEADING."""
    return (one.site, str(one.gateways), *_numbers(one.uptime))


def of_site(report: AvailabilityReport, told: Timeline) -> list[str]:
    """What the card of a site says: how available it was, its last alerts and rollouts."""
    over = _length(report.ends - report.begins)
    happened = [one for one in told.happenings if isinstance(one, JoinedAlert | TakenAlong)]
    shown = [row(_happening_line, one, {"": ""}) for one in happened[:_OF_SITE]]
    more = len(happened) - len(shown)
    return [
        f"{_share(report.whole.uptime).capitalize()} over the last {over}.",
        *([f"Alerts and rollouts of the last {over}:"] if shown else []),
        *shown,
        *([f"and {more:,} more before"] if more else []),
    ]


# ---- gateways
def worst(
    page: Sequence[GatewayUptime],
    known: Mapping[str, KnownGateway],
    by: WorstBy,
    period: timedelta,
    query: str,
    place: PagePosition,
    without_data: int = 0,
) -> Message:
    """A page of gateways, each with a button that opens it; ``known`` has those that are still there."""
    of, over = f" for {code(query, 300)}" if query else "", f"in the last {_length(period)}"
    nothing = f" {count(without_data, 'gateway')} had no data that counts." if without_data else ""
    if not page:
        what = "flapped" if by is WorstBy.FLAPPING else "was offline"
        text = f"No gateway{of} {what} {over}, in time that counts.{nothing}"
        return message(text, [section(text)])
    title = f"{bold(place.says('gateway'))} that had outages{of} {over}, {_ORDERS[by]}"
    shown = [(row(_gateway_line, one, known.get(one.id)), _door(one, known.get(one.id))) for one in page]
    others = " or ".join(code(f"/mesh worst {one}") for one in WorstBy if one is not by)
    foot = f"Ask for {others} to see them in another order.{nothing}"
    blocks: list[Block] = [section(title), *(section(text, door) for text, door in shown), context(foot)]
    text = "\n".join([f"{title}:", *(text for text, _ in shown), foot])
    chart = _chart(query, in_one_unit(period))
    return message(text, [*blocks, *buttons(place, export=True, more=chart)])


def worst_row(one: GatewayUptime, known: KnownGateway | None) -> tuple[str | None, ...]:
    """One row under WORST_HEADING."""
    called = known.gateway.name if known else None
    return (one.id, called, one.site, *_numbers(one.uptime), str(one.uptime.flapping))


# ---- what happened
def timeline_page(told: Timeline, offset: int, question: str) -> tuple[Sequence[Happening], PagePosition]:
    return cut_page(told.happenings, HISTORY, offset, HISTORY_PAGE, question)


def timeline(
    told: Timeline,
    page: Sequence[Happening],
    names: Mapping[str, str],
    period: timedelta,
    place: PagePosition,
    query: str | None,
) -> Message:
    """A page of it, newest first; ``names`` are those of the gateways on it, ``query`` finds them all."""
    of, over = bold(name(told.of)), f"in the last {_length(period)}"
    if not page:
        text = f"Nothing happened to {of} {over}."
        return message(text, [section(text)])
    title = f"{of}: {place.says('entry', 'entries')} {over}, the newest first"
    shown = [row(_happening_line, one, names if told.is_site else {}) for one in page]
    cut = ["There is more, and the newest of it is told. Give a shorter period."] if told.is_cut else []
    blocks = [section(title), *lines(shown), *(context(one) for one in cut)]
    blocks += buttons(place, more=_chart(query, in_one_unit(period)) if query else None)
    return message("\n".join([f"{title}:", *shown, *cut]), blocks)


# ---- below: lines and phrases
def _site_line(one: SiteUptime) -> str:
    share = _share(one.uptime).removesuffix(" available")
    facts = [
        f"{bold(share)} {name(one.site)}",
        count(one.gateways, "gateway"),
        *_outages(one.uptime),
    ]
    return " · ".join(facts)


def _gateway_line(one: GatewayUptime, known: KnownGateway | None) -> str:
    facts = [
        bold(name(known.gateway.label if known else one.id, 40)),
        *_outages(one.uptime),
        *([f"flapped {count(one.uptime.flapping, 'time')}"] if one.uptime.flapping else []),
        _share(one.uptime),
    ]
    return "\n".join([" · ".join(facts), f"{code(one.id)} · {name(one.site, 40)}"])


def _door(one: GatewayUptime, known: KnownGateway | None) -> Block | None:
    return open_button(Door(DEVICE, one.id, known.gateway.label)) if known else None


def _happening_line(one: Happening, names: Mapping[str, str]) -> str:
    """``names`` has those of the gateways where there are several."""
    several = count(one.gateways, "gateway") if not isinstance(one, GatewayChanged) else ""
    many = f", {several}" if names and several else ""
    match one:
        case GatewayChanged(_, event, after):
            who = f"{bold(name(names.get(event.gateway_id, event.gateway_id), 40))} " if names else ""
            said = f"{who}{event_text(event)}{f' after {duration(after)}' if after else ''}"
        case JoinedAlert(_, number, kind, site, _):
            happened = words_of(kind).happened.format(site=name(site, 40))
            said = f"alert {bold(f'A-{number}')}: {happened}{many}"
        case TakenAlong(_, number, version, _):
            said = f"rollout {bold(f'R-{number}')} to {name(version, 40)} began{many}"
        case AlertsHeld(_, until, _):
            said = f"alerts held until {date(until)}{many}"
    return f"• {date(one.at)}: {said}"


def _outages(one: Uptime) -> list[str]:
    if one.share is None:
        return []
    if not one.outages:
        return ["no outage"]
    if one.outages == 1:
        return [f"1 outage of {duration(one.longest)}"]
    return [
        f"offline for {duration(one.offline)}",
        f"{one.outages:,} outages of up to {duration(one.longest)}",
    ]


def _counted(report: AvailabilityReport) -> str:
    said = [f"From {date(report.begins)} to {date(report.ends)}"]
    if report.unseen:
        said.append(f"without data from Meshtech for {duration(report.unseen)}")
    if report.whole.uptime.planned:
        held = duration(report.whole.uptime.planned)
        said.append(f"held by silences or maintenance for {held}, all gateways taken together")
    return "; ".join(said) + "."


def _share(one: Uptime) -> str:
    """Never 100 % for less: what is cut off is always the better part."""
    share = one.share
    if share is None:
        return "no data that counts"
    return f"{'100' if share == 1 else f'{int(share * 10_000) / 100:.2f}'} % available"


def _numbers(one: Uptime) -> tuple[str, ...]:
    share = one.share
    return (
        "" if share is None else "100" if share == 1 else f"{int(share * 1_000_000) / 10_000:.4f}",
        _hours(one.online),
        _hours(one.offline),
        _hours(one.planned),
        str(one.outages),
        _hours(one.longest),
    )


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):.2f}"


_ONE = {timedelta(hours=1): "hour", timedelta(days=1): "day"}


def _length(period: timedelta) -> str:
    """Behind “the last”."""
    if period in _ONE:
        return _ONE[period]
    days = period / timedelta(days=1)
    return count(int(days), "day") if days > 1 and not days % 1 else duration(period)
