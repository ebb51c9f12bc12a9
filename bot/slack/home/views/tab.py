"""The home tab: the fleet at a glance, what waits for the reader, what is open. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import Silence
from bot.domain.gateways import Counts
from bot.domain.rollouts.rollout import Rollout
from bot.slack import ids
from bot.slack.alerts.views import lists as alert_views
from bot.slack.alerts.views import silences as silence_views
from bot.slack.fleet.views.gateways import as_of, counts_text
from bot.slack.ids import CardRef, PlanRef
from bot.slack.rollouts.views.card import state_words
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

VERSIONS = 5
LISTED = 5


@dataclass(frozen=True, slots=True)
class HomeRollout:
    """A rollout on the home tab, with the action ids that the reader would not be refused."""

    rollout: Rollout
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class HomePicture:
    """What the home tab shows to one person."""

    counts: Counts
    listed_at: datetime | None
    versions: Sequence[tuple[str, int]]  # the most frequent first
    chart: Sequence[Block]  # a picture, or nothing where there is none
    waiting: Sequence[HomeRollout]  # for the reader's approval or promotion
    mine: Sequence[HomeRollout]  # asked for by the reader, not over
    incidents: Sequence[Incident]
    incidents_total: int
    silences: Sequence[Silence]  # all that hold, the first to end first
    may_acknowledge: bool
    may_silence: bool
    may_request: bool
    command: str


def tab(picture: HomePicture, now: datetime) -> View:
    """The whole tab, drawn anew each time."""
    return home(
        [
            *_fleet(picture, now),
            *(_start() if picture.may_request else []),
            *_rollouts("Waits for you", picture.waiting, picture.command),
            *_rollouts("Your rollouts", picture.mine, picture.command),
            *_incidents(picture),
            *_silences(picture),
            context(f"{code(f'{picture.command} help')} lists what you can do."),
        ]
    )


def without_pictures(view: View) -> View:
    """The tab as it is but for its pictures, whose words stand in it anyway."""
    return home([block for block in view["blocks"] if block["type"] != "image"])


def closed(sentence: str) -> View:
    """For somebody who may see nothing of the fleet."""
    return home([section(escape(sentence))])


def _fleet(picture: HomePicture, now: datetime) -> list[Block]:
    total = picture.counts.total
    seen = as_of(picture.listed_at, now) if picture.listed_at else "no poll has been completed yet"
    bars = [
        f"{name(version or 'unknown')}  {progress_bar(number, total)}" for version, number in picture.versions
    ]
    return [
        header("The fleet"),
        section(f"{count(total, 'gateway')}: {counts_text(picture.counts)}"),
        *lines(bars),
        *picture.chart,
        context(seen),
    ]


def _start() -> list[Block]:
    return actions(button("Update firmware…", ids.ROLLOUT_FORM, PlanRef(), label="Update firmware"))


def _rollouts(title: str, listed: Sequence[HomeRollout], command: str) -> list[Block]:
    if not listed:
        return []
    shown = [header(title)]
    for one in listed[:LISTED]:
        shown += [section(_rollout_line(one.rollout)), *_rollout_buttons(one)]
    if (more := len(listed) - LISTED) > 0:
        shown.append(context(f"and {count(more, 'more rollout')}: {code(f'{command} rollouts')}"))
    return shown


def _rollout_line(rollout: Rollout) -> str:
    word, kind = state_words(rollout, 0)
    what = f"{count(rollout.planned, 'gateway')} of model {name(rollout.model)}"
    return (
        f"{status(word, kind)} *{rollout.title}*: {what} to {name(rollout.firmware_version)}, "
        f"requested by {mention(rollout.requester)}"
    )


def _rollout_buttons(one: HomeRollout) -> list[Block]:
    rollout = one.rollout
    ref, title = CardRef(str(rollout.id), rollout.last_event), rollout.title
    what = f"This updates {count(rollout.planned, 'gateway')} to {plain_name(rollout.firmware_version)}."
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
    return actions(*(each for each in offered if each["action_id"] in one.allowed))


def _incidents(picture: HomePicture) -> list[Block]:
    if not picture.incidents_total:
        return [header("Open alerts"), section(status("Nothing is open.", "done"))]
    shown = [header("Open alerts")]
    for incident in picture.incidents:
        shown += [
            section(alert_views.listed(incident)),
            *alert_views.row_buttons(
                incident, may_acknowledge=picture.may_acknowledge, may_silence=picture.may_silence
            ),
        ]
    if more := picture.incidents_total - len(picture.incidents):
        shown.append(context(f"and {count(more, 'more alert')}: {code(f'{picture.command} alerts')}"))
    return shown


def _silences(picture: HomePicture) -> list[Block]:
    if not picture.silences:
        return []
    shown = [section(silence_views.line(one)) for one in picture.silences[:LISTED]]
    more = len(picture.silences) - LISTED
    rest = f"and {count(more, 'more silence')}: " if more > 0 else ""
    command = picture.command
    shown.append(
        context(f"{rest}{code(f'{command} silences')} lists them, {code(f'{command} unsilence')} ends one.")
    )
    return [header("Silences"), *shown]
