"""How the bot itself fares, and its settings, as messages. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.domain.access import Action, Actor, Role, role_needed
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.gateways import Counts, SnapshotStatus
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import RolloutState
from bot.slack.fleet.views.firmware_policy import POLICIES, summary
from bot.slack.fleet.views.search import as_of, counts_text
from bot.slack.views.blocks import (
    Block,
    Message,
    bold,
    code,
    count,
    date,
    escape,
    lines,
    mention,
    message,
    name,
    section,
    status,
)
from bot.slack.views.paging import Door, buttons, cut_page, open_button

SETTINGS = "settings"
SETTINGS_PAGE = 12
_A: Mapping[Role, str] = {
    Role.VIEWER: "a",
    Role.OPERATOR: "an",
    Role.APPROVER: "an",
    Role.ADMIN: "an",
}
_REFUSED = status("refused", "warning")
_GOES_ON: Mapping[RolloutState, str] = {
    RolloutState.REQUESTED: "waiting for approval",
    RolloutState.SCHEDULED: "scheduled",
    RolloutState.RUNNING: "running",
    RolloutState.PROMOTION: "waiting for promotion",
    RolloutState.PAUSED: "paused",
}
_LOG_IN_EMOJI = {"logged in": "done", "not logged in yet": "waiting"}


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What goes on: alerts, and those that nobody has; rollouts by state; silences; what is frozen; how the
    fleet stands to the firmware policy.
    """

    alerts: int = 0
    unacknowledged: int = 0
    rollouts: Mapping[RolloutState, int] = field(default_factory=dict)
    silences: int = 0
    freezes: Sequence[Freeze] = ()
    policies: Sequence[PolicyState] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How the bot fares, as plain values from whoever built it."""

    version: str
    counts: Counts
    snapshot: SnapshotStatus
    log_in: str  # "logged in", "not logged in yet", "refused", "unreachable"
    log_in_since: datetime
    log_in_next_try: datetime | None
    log_in_error: str | None
    poll_every: timedelta
    sockets: int | None  # open connections to Slack; None where Slack calls us by HTTP
    cards_waiting: int  # cards and notes that Slack does not show yet
    work: OpenWork = OpenWork()
    cards_broken: int = 0  # those that Slack refuses for good
    token_refused: str | None = None  # what to do about the token that Slack does not take any more
    unwritable_since: datetime | None = None  # the database, which can still be read
    roles: Sequence[str] = ()  # what keeps people from their roles until somebody mends it, each a sentence


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it may be shown: a secret's value is masked already."""

    variable: str
    value: str
    default: str
    meaning: str


def person(actor: Actor, muted_since: datetime | None = None) -> Message:
    """Who asks, what they may do, to which gateways, and who may do more; whether they are written to."""
    own = f"{_A[actor.role]} {actor.role.word}" if actor.role else "without a role here"
    rows = [f"You are {mention(actor.user_id)}, {own}."]
    if actor.possible > actor.role:
        rows.append(f"⚠️ I cannot check right now whether you may do more, since {escape(actor.doubt)}")
    for role in Role:
        holders = actor.holders.get(role)
        needs = [action.value for action in Action if role_needed(action) is role]
        if role <= Role.VIEWER or not needs:
            continue
        limits = actor.limits.get(role, ())
        among = f", among {' or '.join(code(limit.text, 200) for limit in limits)}," if limits else ""
        who = f"{_A[role]} {role.word}"
        if role <= actor.role:
            rows.append(f"• As {who}{among} you may: {', '.join(needs)}")
        else:
            rows.append(f"• Only {who} may: {', '.join(needs)}. Ask {holders or 'whoever runs the bot'}")
    rows.append(_written_to(muted_since))
    return message("\n".join(rows), lines(rows))


def notified(*, wants: bool) -> Message:
    """What somebody hears of from now on."""
    text = (
        "I write to you when it is your move, and when something of yours is decided or over."
        if wants
        else "I do not write to you any more: the threads of the cards have what happens, and mention you."
    )
    return message(text, [section(text)])


def _written_to(muted_since: datetime | None) -> str:
    if muted_since is None:
        return f"I write to you about your updates and alerts: {code('/mesh notify off')} ends that."
    return f"I have not written to you since {date(muted_since)}: {code('/mesh notify on')} changes that."


def bot_status(state: Status, now: datetime) -> Message:
    """Fleet counts, how old they are, and how the bot's connections fare."""
    facts = [
        ("Fleet", f"{count(state.counts.total, 'gateway')}: {counts_text(state.counts)}"),
        ("Snapshot", _snapshot(state.snapshot, state.poll_every, now)),
        ("Meshtech", _log_in(state)),
        ("Slack", _slack(state)),
        *([("Token", f"{_REFUSED}: {escape(state.token_refused)}")] if state.token_refused else []),
        *(("Roles", f"{status('not known', 'warning')}: {escape(one)}") for one in state.roles),
        *([("Database", _unwritable(state.unwritable_since))] if state.unwritable_since else []),
        ("Version", name(state.version)),
    ]
    shown = [f"{bold(label)}: {value}" for label, value in facts]
    work = [f"{bold(label)}: {value}" for label, value, _ in _work(state.work)]
    doors = [section(row, _door(*one)) for row, one in zip(work, _work(state.work), strict=True)]
    return message("\n".join([*shown[:1], *work, *shown[1:]]), [section(shown[0]), *doors, *lines(shown[1:])])


def settings(rows: Sequence[Setting], offset: int, question: str = "") -> Message:
    """A page of the settings in force: those with all words in their name, else in name and meaning."""
    words = question.casefold().split()
    found = [one for one in rows if all(word in one.variable.casefold() for word in words)] or [
        one for one in rows if all(word in f"{one.variable} {one.meaning}".casefold() for word in words)
    ]
    page, place = cut_page(found, SETTINGS, offset, SETTINGS_PAGE, question)
    if not page:
        text = f"No setting is about “{name(question)}”. `settings` lists all {len(rows)}."
        return message(text, [section(text)])
    shown = [_setting_line(row) for row in page]
    title = bold(f"{place.says('setting')}{f' about “{name(question)}”' if question else ''}")
    return message("\n".join([f"{title}:", *shown]), [section(title), *lines(shown), *buttons(place)])


def _work(work: OpenWork) -> list[tuple[str, str, str | None]]:
    """What goes on, each with the list that its button leads to."""
    unacknowledged = f", {work.unacknowledged:,} acknowledged by nobody" if work.unacknowledged else ""
    going_on = [f"{number:,} {_GOES_ON[state]}" for state, number in work.rollouts.items() if number]
    frozen = "; ".join(name(one.says(), 200) for one in work.freezes)
    return [
        ("Alerts", f"{work.alerts:,} open{unacknowledged}", "alerts"),
        ("Rollouts", ", ".join(going_on) or "none goes on", "rollouts"),
        ("Silences", f"{work.silences:,}", "silences"),
        ("Freezes", f"{len(work.freezes):,}{f': {frozen}' if frozen else ''}", None),
        *([("Firmware policy", summary(work.policies), POLICIES)] if work.policies else []),
    ]


def _door(label: str, _value: str, kind: str | None) -> Block | None:
    return open_button(Door(kind, "", label.lower()), "Show") if kind else None


def _snapshot(snapshot: SnapshotStatus, every: timedelta, now: datetime) -> str:
    age = as_of(snapshot.as_of, now) if snapshot.as_of else "no poll has been completed yet"
    if snapshot.listed_at is not None and snapshot.is_missing(now, every):
        return f"{status('behind', 'warning')}, {age}; no poll began since {date(snapshot.listed_at)}"
    if not snapshot.consecutive_failures:
        return f"{status('up to date', 'done') if snapshot.as_of else status('waiting')}, {age}"
    failed = count(snapshot.consecutive_failures, "poll")
    why = f": {escape(snapshot.last_error)}" if snapshot.last_error else ""
    return f"{status('behind', 'warning')}, {age}; {failed} in a row failed{why}"


def _log_in(state: Status) -> str:
    said = f"{status(escape(state.log_in), _LOG_IN_EMOJI.get(state.log_in, 'warning'))}"
    said += f" since {date(state.log_in_since)}"
    if state.log_in_next_try:
        said += f", next try {date(state.log_in_next_try)}"
    if state.log_in_error:
        said += f": {escape(state.log_in_error)}"
    if state.log_in == "refused":
        said += f". Check {code('MESHBOT_MESHTECH__USERNAME')} and {code('MESHBOT_MESHTECH__PASSWORD')}"
    return said


def _slack(state: Status) -> str:
    if state.sockets is None:
        way = status("called by HTTP", "done")
    elif state.sockets:
        way = status(f"{count(state.sockets, 'connection')} open", "done")
    else:
        way = status("not connected", "warning")
    waiting = f"{count(state.cards_waiting, 'card waits', 'cards wait')} to be shown"
    if not state.cards_broken:
        return f"{way}; {waiting}"
    refused = f"{state.cards_broken:,} refused by Slack"
    return f"{way}; {waiting}, {refused}: `/mesh subscriptions` and the log name the channel"


def _unwritable(since: datetime) -> str:
    return (
        f"{status('takes no changes', 'warning')} since {date(since)}, so nothing is alerted and nothing can "
        "be done: mostly the disk is full or may only be read. The log says which"
    )


def _setting_line(row: Setting) -> str:
    value = code(row.value, 120) if row.value else "not set"
    default = f" (default {code(row.default, 100)})" if row.default and row.value != row.default else ""
    return f"{bold(code(row.variable, 100))} {value}{default}: {escape(row.meaning.replace('`', ''))}"
