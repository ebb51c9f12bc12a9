"""The home tab: the fleet at a glance, what waits for the reader, what is open. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.maintenance import Maintenance
from bot.domain.alerts.silences import Silence
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.gateways import Counts
from bot.domain.rollouts.lifecycle import Rollout
from bot.slack import ids
from bot.slack.alerts.views import lists as alert_views
from bot.slack.alerts.views import maintenance as maintenance_views
from bot.slack.alerts.views import silences as silence_views
from bot.slack.alerts.views.buttons import ON_CARDS
from bot.slack.fleet.views import firmware_policy as policy_views
from bot.slack.fleet.views.search import as_of, counts_text
from bot.slack.ids import CardRef, PageRef, PlanRef
from bot.slack.rollouts.views import lists as rollout_views
from bot.slack.rollouts.views.card import awaited_words, door, state_words
from bot.slack.views.blocks import (
    Block,
    View,
    actions,
    button,
    code,
    confirm,
    context,
    count,
    escape,
    header,
    lines,
    mention,
    name,
    plain_name,
    progress_bar,
    section,
    status,
)
from bot.slack.views.modals import home
from bot.slack.views.paging import Door, open_button
from bot.slack.views.undrawable import UNDRAWN, left_out, part, row

VERSIONS = 5
LISTED = 5
ALL_ROLLOUTS = Door(rollout_views.ROLLOUTS, "", "all rollouts")
ALL_ALERTS = Door(alert_views.ALERTS, "", "all alerts")
ALL_SILENCES = Door(silence_views.SILENCES, "", "all silences")


@dataclass(frozen=True, slots=True)
class HomeRollout:
    """A rollout on the home tab, with the action ids that the reader would not be refused."""

    rollout: Rollout
    allowed: frozenset[str]
    away: int = 0  # of its gateways, those that it waits for


def tab(parts: Sequence[Block]) -> View:
    """The whole tab, drawn anew each time."""
    return home([*parts, context(f"{code('/mesh help')} lists what you can do.")])


def undrawn(title: str) -> list[Block]:
    """In the place of a part that cannot be shown."""
    return [header(title), section(UNDRAWN)]


def lacking(rows: int, title: str) -> list[Block]:
    """Below a part of which storage could not read so many rows; with its title where all are among them."""
    return [*([header(title)] if title else []), section(left_out(rows))] if rows else []


def without_pictures(view: View) -> View:
    """The tab as it is but for its pictures, whose words stand in it anyway."""
    return home([block for block in view["blocks"] if block["type"] != "image"])


def closed(sentence: str) -> View:
    """For somebody who may see nothing of the fleet."""
    return home([section(escape(sentence))])


def fleet(
    counts: Counts,
    listed_at: datetime | None,
    versions: Sequence[tuple[str, int]],
    chart: Sequence[Block],
    now: datetime,
) -> list[Block]:
    """The most frequent version comes first; ``chart`` is a picture, or nothing where there is none."""
    seen = as_of(listed_at, now) if listed_at else "no poll has been completed yet"
    bars = [
        f"{name(version or 'unknown')}  {progress_bar(number, counts.total)}" for version, number in versions
    ]
    return [
        header("The fleet"),
        section(f"{count(counts.total, 'gateway')}: {counts_text(counts)}"),
        *lines(bars),
        *chart,
        context(seen),
    ]


def policies(states: Sequence[PolicyState], *, may_update: bool) -> list[Block]:
    """What gateways are behind, and what runs though it is known to be bad."""
    if not states:
        return []
    open_ = policy_views.shown_beside(states, may_update=may_update)
    everything = open_button(policy_views.ALL_POLICIES, "Show all")
    said = "What is not as it should be:" if open_ else "Every gateway is as it should be."
    return [header("Firmware policy"), section(said, everything), *open_]


def start() -> list[Block]:
    """For who may request an update."""
    return actions(button("Update firmware…", ids.ROLLOUT_FORM, PlanRef(), label="Update firmware"))


def rollouts(title: str, listed: Sequence[HomeRollout]) -> list[Block]:
    """Those that wait for the reader, or that the reader asked for."""
    if not listed:
        return []
    shown = [header(title)]
    for one in listed[:LISTED]:
        shown += part(_rollout, one)
    if (more := len(listed) - LISTED) > 0:
        shown += _more(f"and {count(more, 'more rollout')}: {code('/mesh rollouts')}", ALL_ROLLOUTS)
    return shown


def _more(says: str, everything: Door) -> list[Block]:
    """What is not shown here, and the way to all of it."""
    return [section(says, open_button(everything, "Show all"))]


def _rollout(one: HomeRollout) -> list[Block]:
    return [section(_rollout_line(one.rollout)), *_rollout_buttons(one)]


def _rollout_line(rollout: Rollout) -> str:
    word, kind = state_words(rollout, {})
    what = f"{count(rollout.planned, 'gateway')} of model {name(rollout.model)}"
    return (
        f"{status(word, kind)} *{rollout.title}*: {what} to {name(rollout.firmware_version)}, "
        f"requested by {mention(rollout.requester)}"
    )


def _rollout_buttons(one: HomeRollout) -> list[Block]:
    rollout = one.rollout
    ref, title = CardRef(str(rollout.id), rollout.last_event), rollout.title
    what = f"This updates {count(rollout.planned, 'gateway')} to {plain_name(rollout.firmware_version)}."
    what += awaited_words(rollout, one.away)
    offered = (
        button(
            "Approve",
            ids.ROLLOUT_APPROVE,
            ref,
            confirm=confirm(f"Approve {title}?", what, "Approve"),
            label=f"Approve {title}",
        ),
        button("Deny…", ids.ROLLOUT_DENY, ref, style="danger", label=f"Deny {title}"),
        button(
            "Promote",
            ids.ROLLOUT_PROMOTE,
            ref,
            confirm=confirm(f"Promote {title}?", "The next wave starts.", "Promote"),
            label=f"Promote {title}",
        ),
        button("Pause", ids.ROLLOUT_PAUSE, ref, label=f"Pause {title}"),
    )
    look = door(rollout.id, "Open")
    return actions(*(each for each in offered if each["action_id"] in one.allowed), look)


def incidents(
    shown: Sequence[Incident],
    total: int,
    reader: str,
    *,
    may_acknowledge: bool,
    may_silence: bool,
) -> list[Block]:
    """The first of all that are open, each with the buttons that work for the reader."""
    if not total:
        return [header("Open alerts"), section(status("Nothing is open.", "done"))]
    blocks = [header("Open alerts")]
    for incident in shown:
        blocks += part(_incident, incident, reader, may_acknowledge=may_acknowledge, may_silence=may_silence)
    if may_acknowledge:
        blocks += actions(alert_views.acknowledge_all(shown, PageRef(ON_CARDS)))
    if more := total - len(shown):
        blocks += _more(f"and {count(more, 'more alert')}: {code('/mesh alerts')}", ALL_ALERTS)
    return blocks


def _incident(incident: Incident, reader: str, *, may_acknowledge: bool, may_silence: bool) -> list[Block]:
    buttons = alert_views.row_buttons(
        incident, reader, may_acknowledge=may_acknowledge, may_silence=may_silence
    )
    return [section(alert_views.listed(incident)), *buttons]


def silences(standing: Sequence[Silence], *, may_end: bool) -> list[Block]:
    """All that hold, the first to end first; ``may_end``: with a button that ends each."""
    if not standing:
        return []
    shown = [
        section(row(silence_views.line, one), silence_views.end_button(one) if may_end else None)
        for one in standing[:LISTED]
    ]
    if (more := len(standing) - LISTED) > 0:
        shown += _more(f"and {count(more, 'more silence')}: {code('/mesh silences')}", ALL_SILENCES)
    return [header("Silences"), *shown]


def maintenance(planned: Sequence[Maintenance]) -> list[Block]:
    """The windows that are open or to come, the first to open first."""
    if not planned:
        return []
    shown = [section(row(maintenance_views.line, one)) for one in planned[:LISTED]]
    more = len(planned) - LISTED
    rest = f"and {count(more, 'more window')}: " if more > 0 else ""
    shown.append(context(f"{rest}{code('/mesh windows')} lists them, with buttons to skip or end one."))
    return [header("Maintenance"), *shown]
