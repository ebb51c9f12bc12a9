"""Incidents as messages: the card, the list of what is open, the gateways of one, and the notes in a thread.

Pure functions. A card shows moments, never ages: it stays in the channel as it was drawn.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.alerts import (
    AffectedGateway,
    AlertRules,
    Incident,
    IncidentState,
    Leave,
    Tally,
)
from bot.domain.fleet import NO_SITE
from bot.slack import ids
from bot.slack.ids import Ref
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
    header,
    lines,
    mention,
    message,
    name,
    section,
    status,
)
from bot.slack.views.lists import Place, buttons

ALERTS, INCIDENT = "alerts", "incident"  # kinds of lists
ALERTS_PAGE, INCIDENT_PAGE = 8, 15
_NAME = 40  # characters of a name or a site, so that a page fits whatever they hold
CSV_HEADING = ("id", "name", "offline since", "joined", "left", "left as")

_DOWN, _OVER = "🔴 Offline", "🟢 Over"


# ---- the card
def card(incident: Incident, rules: AlertRules) -> Message:
    """The one message about an incident, from its first post to its end."""
    return _open_card(incident, rules) if incident.state.is_live else _closed_card(incident)


def _open_card(incident: Incident, rules: AlertRules) -> Message:
    tally = incident.tally
    said = [_since(tally), *_others(tally)]
    shown = [_down_line(one) for one in incident.first if one.is_down]
    more = _more(tally.down - len(shown))
    who = _who(incident) or "Nobody has acknowledged this yet."
    happens = (
        f"A gateway counts as back after {duration(rules.online_after)} online and "
        f"{count(rules.online_listings, 'listing')}. When all are back, this card says so."
    )
    blocks: list[Block] = [
        header(f"{_title(tally)} {_where_plain(incident)}"),
        section(" ".join(said)),
        *lines([*shown, *more]),
        section(who),
        context(happens),
        *actions(_acknowledge(incident), _details(incident)),
    ]
    title = f"{_title(tally)} {_where(incident)}."
    return message("\n".join([f"{title} {' '.join(said)}", *shown, *more, who, happens]), blocks)


def _closed_card(incident: Incident) -> Message:
    tally = incident.tally
    said = " ".join([_lasted(incident), *_released(tally)])
    shown = [_left_line(one) for one in incident.first]
    more = _more(tally.total - len(shown))
    who = _who(incident)
    title = f"{_OVER}: {count(tally.total, 'gateway')}"
    were = "was" if tally.total == 1 else "were"
    blocks: list[Block] = [
        header(f"{title} {_where_plain(incident)} {were} offline"),
        section(said),
        *lines([*shown, *more]),
        *([context(who)] if who else []),
        *actions(_details(incident)),
    ]
    text = [f"{title} {_where(incident)} {were} offline. {said}", *shown, *more]
    return message("\n".join([*text, who] if who else text), blocks)


def joined_note(body: Mapping[str, Any]) -> Message:
    """More gateways joined an incident that was posted before."""
    first, number = [name(str(label), _NAME) for label in body["first"]], int(body["count"])
    named = (
        f"{', '.join(first)} and {number - len(first):,} more" if number > len(first) else ", ".join(first)
    )
    text = f"{_DOWN}: {count(number, 'more gateway')} here: {named}."
    return message(text, [section(text)])


# ---- lists
def alerts(
    page: Sequence[Incident], total: int, offset: int, rules: AlertRules, *, has_channel: bool
) -> Message:
    """The open incidents, what nobody has acknowledged first."""
    place = Place(ALERTS, offset, total, ALERTS_PAGE)
    unposted = [] if has_channel else [_NO_CHANNEL]
    if not page:
        text = (
            "🟢 No open alerts. A gateway becomes one after "
            f"{duration(rules.offline_after)} offline and {count(rules.offline_listings, 'listing')}."
        )
        return message(" ".join([text, *unposted]), [section(text), *map(context, unposted), *_foot(place)])
    title = f"{bold(place.says('open alert'))}, the unacknowledged first"
    rows = [(incident, listed(incident)) for incident in page]
    blocks: list[Block] = [section(title)]
    for incident, row in rows:
        blocks += [section(row), *actions(_acknowledge(incident, str(offset)), _details(incident))]
    text = "\n".join([f"{title}.", *(row for _, row in rows), *unposted])
    return message(text, [*blocks, *map(context, unposted), *_foot(place)])


def gateways(incident: Incident, page: Sequence[AffectedGateway], offset: int) -> Message:
    """A page of the gateways of an incident, those down first."""
    tally = incident.tally
    place = Place(INCIDENT, offset, tally.total, INCIDENT_PAGE, str(incident.id))
    title = f"{bold(place.says('gateway'))} of the incident {_where(incident)}: {_counts(tally)}"
    shown = [_down_line(one) if one.is_down else _left_line(one) for one in page]
    text = "\n".join([f"{title}.", *shown])
    return message(text, [section(title), *lines(shown), *buttons(place, refresh=True, export=True)])


def line(incident: Incident) -> str:
    """What the card of a gateway says about the incident it is in."""
    others = incident.tally.down - 1
    together = f", with {count(others, 'other gateway')}" if others > 0 else ""
    return f"{_DOWN}: in the open incident {_where(incident)}{together}. {_who(incident)}".rstrip()


def csv_row(one: AffectedGateway) -> tuple[str | None, ...]:
    """One row under CSV_HEADING; moments as ISO 8601 in UTC."""
    left = one.left_as.value if one.left_as else None
    return (one.id, one.label, _iso(one.offline_since), _iso(one.joined_at), _iso(one.left_at), left)


_NO_CHANNEL = "No channel for alerts is set (MESHBOT_CHANNELS__ALERTS), so these are shown here only."


def listed(incident: Incident) -> str:
    """An incident in a list."""
    said = [
        _since(incident.tally),
        *_others(incident.tally),
        _who(incident) or "Nobody has acknowledged this yet.",
    ]
    if incident.state is IncidentState.GATHERING:
        said.append(f"⏳ gathering: it is posted after {date(incident.post_at)}.")
    return f"{bold(_title(incident.tally))} {_where(incident)}\n{' '.join(said)}"


def _foot(place: Place) -> list[Block]:
    return buttons(place, refresh=True)


# ---- words
def _title(tally: Tally) -> str:
    gone = tally.back + tally.released
    number = f"{tally.down:,} of {count(tally.total, 'gateway')}" if gone else count(tally.down, "gateway")
    return f"{_DOWN}: {number}"


def _where(incident: Incident) -> str:
    return "without a tag" if incident.site == NO_SITE else f"at {name(incident.site, _NAME)}"


def _where_plain(incident: Incident) -> str:
    """For headings and labels, which are plain text; cut, or what follows a long name would be lost."""
    if incident.site == NO_SITE:
        return "without a tag"
    site = incident.site
    return f"at {site if len(site) <= _NAME else site[: _NAME - 1].rstrip() + '…'}"


def _since(tally: Tally) -> str:
    if tally.since is None:
        return "Its gateways are being counted."
    return f"{'Offline since' if tally.total == 1 else 'The first went offline'} {date(tally.since)}."


def _others(tally: Tally) -> list[str]:
    back = [f"{count(tally.back, 'gateway is', 'gateways are')} back online."] if tally.back else []
    return [*back, *_released(tally)]


def _released(tally: Tally) -> list[str]:
    if not tally.released:
        return []
    return [f"{count(tally.released, 'gateway is', 'gateways are')} no longer in the fleet (released)."]


def _counts(tally: Tally) -> str:
    released = f", {tally.released:,} released" if tally.released else ""
    return f"{tally.down:,} offline, {tally.back:,} back{released}"


def _lasted(incident: Incident) -> str:
    since, until = incident.tally.since, incident.tally.until or incident.resolved_at
    if since is None or until is None:
        return "Over."
    return f"Offline from {date(since)} to {date(until)}, {duration(until - since)} in all."


def _who(incident: Incident) -> str:
    taken = incident.acknowledged
    return f"{status('acknowledged')} by {mention(taken.user_id)} {date(taken.at)}." if taken else ""


def _down_line(one: AffectedGateway) -> str:
    return f"{status('offline')} {_named(one)} since {date(one.offline_since)}"


def _left_line(one: AffectedGateway) -> str:
    if one.left_at is None:
        return _down_line(one)
    if one.left_as is Leave.RELEASED:
        return f"{status('released')} {_named(one)}: offline since {date(one.offline_since)}, then gone"
    away = duration(one.left_at - one.offline_since)
    return f"{status('back', 'online')} {_named(one)} since {date(one.left_at)}, after {away}"


def _named(one: AffectedGateway) -> str:
    return bold(name(one.label, _NAME)) + (f" {code(one.id)}" if one.label != one.id else "")


def _more(number: int) -> list[str]:
    return [f"… and {count(number, 'more', 'more')}: Details lists them all."] if number > 0 else []


def _acknowledge(incident: Incident, redraw: str = "") -> Block | None:
    """``redraw``: the offset of the list to draw again. A card has none: it changes by itself."""
    if incident.acknowledged is not None:
        return None
    ref = Ref(str(incident.id), incident.version, redraw)
    spoken = f"Acknowledge: {_where_plain(incident)}"
    return button("Acknowledge", ids.INCIDENT_ACK, ref, style="primary", label=spoken)


def row_buttons(incident: Incident, *, may_acknowledge: bool) -> list[Block]:
    """The buttons of an incident where it is listed for one person."""
    return actions(_acknowledge(incident) if may_acknowledge else None, _details(incident))


def _details(incident: Incident) -> Block:
    ref = Ref(str(incident.id), incident.version)
    return button("Details", ids.INCIDENT_DETAILS, ref, label=f"Details: {_where_plain(incident)}")


def _iso(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
