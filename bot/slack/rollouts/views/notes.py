"""What is said of a rollout beside its card: the notes in its thread, direct messages, its report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from bot.domain.rollouts.events import (
    Aborted,
    AlertAcknowledged,
    AlertOpened,
    AlertOutgrown,
    ApprovalReminder,
    Approved,
    CanaryDone,
    CaughtUp,
    Denied,
    Expired,
    Finished,
    Frozen,
    LateResults,
    MoreAlerts,
    NamedGateway,
    NotCalledOff,
    NotReturned,
    Paused,
    Promoted,
    Requested,
    Resumed,
    Retried,
    RolloutEvent,
    Scheduled,
    Started,
    TimelineEntry,
    Unfrozen,
    Voided,
    WaitBegan,
    WaitEnded,
    WaveStarted,
    Withdrawn,
    leaves_a_move,
)
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, RolloutState, TargetClass, is_paused_by_itself
from bot.domain.rollouts.progress import RolloutStatus
from bot.slack import ids
from bot.slack.ids import CardRef
from bot.slack.rollouts.views import card
from bot.slack.rollouts.views.card import (
    NOTHING_SHOWN,
    WHOLE_FLEET,
    failure_lines,
    in_a_row,
    people,
    said,
    since_words,
    spoken,
    state_words,
    wave_lines,
)
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    code,
    context,
    count,
    date,
    escape,
    header,
    lines,
    mention,
    mentions,
    message,
    name,
    section,
    status,
)
from bot.slack.views.incident_kind_words import words_of

NUMBERS_SHOWN = 10  # rollouts that a freeze names


def told(status: RolloutStatus, entry: TimelineEntry, over: TimelineEntry | None) -> Message:
    """Tells the requester by direct message how their rollout was decided, or fares, and what they can do."""
    rollout, event = status.rollout, entry.event
    entry = replace(entry, event=_as_it_is_now(rollout, event)) if over is None else entry
    words = event_words(entry, rollout.state, named(rollout))
    match event:
        case Approved(missing=0) if event.held:
            words = f"{words} It waits: {name(event.held, 400)}."
        case Approved(missing=0):
            words = f"{words} It starts {date(event.start_at) if event.start_at else 'now'}."
        case Approved():
            more = "one more approval" if event.missing == 1 else f"{event.missing} more approvals"
            words = f"{words} It needs {more}."
    if over is not None:
        return _over(words, entry, over)
    offered = [one for one in _buttons(status) if one["action_id"] not in _OF_APPROVERS]
    moves = _moves(offered)
    return _with_buttons(f"{words} You can {moves}." if moves else words, rollout, offered)


def event_note(
    status: RolloutStatus, entry: TimelineEntry, over: TimelineEntry | None, call: Sequence[str] = ()
) -> Message:
    """One thing that happened, in the card's thread; the gravest are said in the channel as well.

    ``call`` are those whose move it is, people and user groups: they are mentioned while it is.
    """
    rollout = status.rollout
    entry = replace(entry, event=_as_it_is_now(rollout, entry.event)) if over is None else entry
    words = event_words(entry, rollout.state, named(rollout))
    if isinstance(entry.event, Requested):
        words = f"{words} It updates {count(status.total, 'gateway')}{card.starts_words(rollout)}."
        words += card.awaited(status)
    if over is not None:
        return _over(words, entry, over)
    called = mentions(call)
    if not leaves_a_move(entry.event) or isinstance(entry.event, Approved):
        return said(f"{words} {called} requested it." if called else words)
    offered = [one for one in _buttons(status) if one["action_id"] != ids.ROLLOUT_CANCEL]
    moves = _moves(offered)
    if called:
        words = f"{words} {called} can {moves}." if moves else f"{words} {called} requested it."
    return _with_buttons(words, rollout, offered)


def _buttons(status: RolloutStatus) -> Sequence[Block]:
    ref = CardRef(str(status.rollout.id), status.rollout.last_event)
    return card.buttons(status, ref, shows_all=False)


def _as_it_is_now(rollout: Rollout, event: RolloutEvent) -> RolloutEvent:
    """A pause by itself has the reason that the card has: more may have failed since."""
    if isinstance(event, Paused) and event.reason and is_paused_by_itself(rollout):
        return Paused(rollout.reason)
    return event


def _with_buttons(words: str, rollout: Rollout, offered: Sequence[Block]) -> Message:
    return message(words, [section(words), *actions(*offered, card.door(rollout.id))])


def _over(words: str, entry: TimelineEntry, over: TimelineEntry) -> Message:
    """What happened, and what came of it, which leaves nothing to do about it."""
    by = f" by {name(over.by.name)}" if over.by else ""
    came = f"{_CAME[type(over.event)]}{by} {date(over.at)}." if over.at != entry.at else ""
    shown = [section(words), *([context(came)] if came else [])]
    return replace(message(f"{words} {came}".strip(), shown), is_over=True)


def _moves(offered: Sequence[Block]) -> str:
    """What the buttons do, as words: "promote, pause or abort it"."""
    actions_ = [str(one["action_id"]) for one in offered]
    verbs = [_VERBS[one] for one in actions_ if one in _VERBS]
    it = [f"{' or '.join([', '.join(verbs[:-1]), verbs[-1]]) if verbs[1:] else verbs[0]} it"] if verbs else []
    return ", or ".join([*it, *(_PHRASES[one] for one in actions_ if one in _PHRASES)])


_OF_APPROVERS = frozenset({ids.ROLLOUT_APPROVE, ids.ROLLOUT_DENY})
_VERBS: Mapping[str, str] = {
    ids.ROLLOUT_APPROVE: "approve",
    ids.ROLLOUT_DENY: "deny",
    ids.ROLLOUT_CANCEL: "withdraw",
    ids.ROLLOUT_PROMOTE: "promote",
    ids.ROLLOUT_PAUSE: "pause",
    ids.ROLLOUT_RESUME: "resume",
    ids.ROLLOUT_ABORT: "abort",
}
_PHRASES: Mapping[str, str] = {
    ids.ROLLOUT_REPLAN: "draw a new plan",
    ids.ROLLOUT_RETRY_FAILED: "retry what failed",
    ids.ROLLOUT_CATCH_UP: "let those that are back catch up",
    ids.ROLLOUT_END_WAITING: "end the waiting for those that are offline",
}
_CAME: Mapping[type[RolloutEvent], str] = {
    Approved: "Approved",
    Denied: "Denied",
    Withdrawn: "Withdrawn",
    Voided: "Turned out void",
    Expired: "Expired",
    Scheduled: "Approved",
    Started: "Started",
    Paused: "Paused",
    Resumed: "Resumed",
    Aborted: "Stopped for good",
    Promoted: "Promoted",
    Finished: "Finished",
    Retried: "Retried",
    CaughtUp: "Caught up",
}


def numbers_of(rollouts: Sequence[RolloutId]) -> str:
    """The first of them by their numbers, and how many more there are."""
    shown = ", ".join(f"R-{number}" for number in rollouts[:NUMBERS_SHOWN])
    more = f" and {len(rollouts) - NUMBERS_SHOWN:,} more" if len(rollouts) > NUMBERS_SHOWN else ""
    return shown + more


def named(rollout: Rollout) -> str:
    """So that a phone says which one it is."""
    return f"{rollout.title} ({code(rollout.firmware_version)}, {code(rollout.query or WHOLE_FLEET)})"


def event_words(entry: TimelineEntry, state: RolloutState, title: str = "") -> str:
    """What happened, as mrkdwn that begins with the rollout; ``title`` names it where no heading does.

    People are named, not mentioned, since nobody is called about what they did. Who still has to do something
    about it is said only if ``state``, which the rollout is in now, allows it: a note may be read when that
    is long done.
    """
    it, event = title or f"R-{entry.rollout_id}", entry.event
    who = name(entry.by.name) if entry.by else "the bot"
    match event:
        case Requested():
            return f"⏳ {it} requested by {who}."
        case Approved():
            return f"✅ {it} approved by {who}{_because(event.reason)}."
        case Denied():
            return f"🚫 {it} denied by {who}{_because(event.reason)}."
        case Withdrawn():
            return f"🛑 {it} withdrawn by {who}."
        case Voided():
            when = f" when {who} approved it" if entry.by else ""
            return f"⚠️ {it} turned out void{when}{_because(event.reason)}."
        case Expired():
            return f"🛑 {it} has expired: nobody decided in time."
        case ApprovalReminder():
            waits = "still waits" if state is RolloutState.REQUESTED else "waited"
            return f"⏳ {it} {waits} for {people(event.missing)} to approve it, until {date(event.until)}."
        case Scheduled():
            return f"⏳ {it} starts {date(event.start_at)}."
        case Started():
            return f"🔄 {it} has started."
        case WaveStarted():
            return f"🔄 {it}: wave {event.wave} begins, {_tally(event)} so far."
        case CanaryDone():
            waits = " It waits for promotion." if event.verified else f" {NOTHING_SHOWN}"
            return f"⏳ {it}: canary done, {_tally(event)}.{waits if state is RolloutState.PROMOTION else ''}"
        case Promoted():
            return f"🔄 {it} promoted by {who}."
        case Paused():
            return f"⏸️ {it} paused{f' by {who}' if entry.by else _because(event.reason)}."
        case Resumed():
            return f"🔄 {it} resumed by {who}{_because(event.reason)}."
        case Aborted():
            frozen = " Its firmware is frozen." if event.frozen else ""
            itself = f"🛑 {it} stopped for good{_because(event.reason)}.{frozen}"
            return f"🛑 {it} aborted by {who}." if entry.by else itself
        case Retried():
            return f"🔄 {it}: {who} retries {count(event.count, 'gateway')}."
        case CaughtUp():
            back = f"{count(event.count, 'gateway')} that {'was' if event.count == 1 else 'were'} offline"
            if entry.by is None:
                return f"🔄 {it}: {back} came back, and {'is' if event.count == 1 else 'are'} updated now."
            return f"🔄 {it}: {who} lets {count(event.count, 'gateway')} catch up."
        case WaitBegan():
            offline = f"{count(event.count, 'gateway')} that {'is' if event.count == 1 else 'are'} offline"
            return f"⏳ {it}: {_tally(event)}; it waits for {offline}, until {date(event.until)}."
        case WaitEnded():
            ended = f"⌛ {it} no longer waits for {count(event.count, 'gateway')} that did not return"
            return f"{ended}{f': {who} ended that' if entry.by else _because(event.reason)}."
        case Finished():
            return f"{'⚠️' if event.failed else '✅'} {it} finished: {_tally(event)}.{_missed(event)}"
        case NotReturned():
            return _not_returned_words(it, event)
        case LateResults():
            return _late_words(it, event)
        case NotCalledOff():
            return (
                f"⚠️ {it}: Meshtech does not call off {code(event.job)}, so what it has not begun is "
                f"updated all the same{_because(event.reason)}."
            )
        case Frozen():
            return f"🧊 {it}: {who} froze {frozen_words(event.version)}{_because(event.reason)}."
        case Unfrozen():
            return f"🔄 {it}: {who} unfroze {frozen_words(event.version)}."
        case AlertOpened():
            return f"🚨 {it}: alert A-{event.alert}, {count(event.count, 'gateway')} {_trouble(event)}."
        case AlertAcknowledged():
            return f"👀 {it}: {who} acknowledged alert A-{event.alert}."
        case AlertOutgrown():
            return (
                f"🚨 {it}: alert A-{event.alert} outgrew what {mention(event.had_by)} acknowledged by "
                f"{count(event.count, 'gateway')}: nobody had it from then on."
            )
        case MoreAlerts():
            return f"🚨 {it}: and {count(event.count, 'more alert')}."
        case _:
            assert_never(event)


def _because(reason: str | None) -> str:
    return f": {name(reason, 800).removesuffix('.')}" if reason else ""


def _tally(event: WaveStarted | CanaryDone | WaitBegan | Finished) -> str:
    return f"{event.verified:,} verified, {event.failed:,} failed"


def _missed(event: Finished) -> str:
    if not event.skipped:
        return ""
    missed = f"{count(event.skipped, 'gateway')}: {_names(event.gateways, event.skipped)}"
    return f" Offline to the end, and not updated, {'was' if event.skipped == 1 else 'were'} {missed}."


def _names(shown: Sequence[NamedGateway], number: int) -> str:
    names = ", ".join(f"{name(one.label)} ({name(one.site, 40)})" for one in shown)
    return f"{names} and {number - len(shown):,} more" if number > len(shown) else names


def frozen_words(version: str) -> str:
    """What a freeze is for, within a sentence."""
    return f"firmware {code(version)}" if version else "everything"


def _not_returned_words(it: str, event: NotReturned) -> str:
    return f"❌ {it}: {count(event.count, 'gateway')} did not return: {_names(event.gateways, event.count)}."


def _trouble(event: AlertOpened) -> str:
    """What an alert was about."""
    return words_of(event.trouble).happened.format(site=name(event.site, 40))


def _late_words(it: str, event: LateResults) -> str:
    by_ending: dict[str, list[str]] = {}
    for one in event.results:
        by_ending.setdefault(one.words, []).append(f"{name(one.label)} ({name(one.site, 40)})")
    shown = "; ".join(f"{', '.join(named)} {escape(words)}" for words, named in by_ending.items())
    rest = event.count - len(event.results)
    more = f"; and {rest:,} more" if rest > 0 else ""
    return f"⌛ {it}: {count(event.count, 'gateway')} that counted as failed already: {shown}{more}."


# ---- the report


def report(rollout_status: RolloutStatus, entries: Sequence[TimelineEntry], buttons: list[Block]) -> Message:
    """A rollout from request to end: its timeline, its counts, its failures."""
    rollout = rollout_status.rollout
    word, kind = state_words(rollout, rollout_status.by_state)
    words = [event_words(entry, rollout.state) for entry in entries]
    told = [f"{date(entry.at)} {sentence}" for entry, sentence in zip(entries, words, strict=True)]
    # The text is cut sooner than the blocks: it says a time once for all that happened then.
    begins = [number == 0 or one.at != entries[number - 1].at for number, one in enumerate(entries)]
    in_short = [dated if new else bare for dated, bare, new in zip(told, words, begins, strict=True)]
    facts = wave_lines(rollout_status.counts)
    failed = failure_lines(rollout_status)
    blocks: list[Block] = [
        header(f"Report on {rollout.title}: firmware {rollout.firmware_version}"),
        section(f"{status(word, kind)}{since_words(rollout_status)}"),
        *lines(facts),
        *lines(told),
    ]
    if failed:
        blocks.append(section("\n".join([bold(f"Failed: {rollout_status.failed:,}"), *failed])))
    left_out = {
        cls: number for cls, number in rollout_status.classes.items() if cls is not TargetClass.ELIGIBLE
    }
    small = ", ".join(f"{number:,} {cls.value}" for cls, number in left_out.items() if number)
    blocks += [context(f"Not taking part: {small}")] if small else []
    out = f"Not taking part: {small}" if small else ""
    state = f"{word}{since_words(rollout_status)}"
    parts = [f"Report on {rollout.title}: firmware {rollout.firmware_version}", state, *facts, *in_short]
    bad = [f"{rollout_status.failed:,} failed: {in_a_row(failed)}"] if failed else []
    return message(spoken([*parts, *bad, out]), [*blocks, *buttons])
