"""What is said of a rollout beside its card: the notes in its thread, direct messages, its report."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

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
    WaveStarted,
    Withdrawn,
)
from bot.domain.rollouts.plan import TargetClass
from bot.domain.rollouts.rollout import Rollout, RolloutId, RolloutState
from bot.domain.rollouts.status import RolloutStatus
from bot.slack.rollouts.views.card import (
    NOTHING_SHOWN,
    WHOLE_FLEET,
    failure_lines,
    in_a_row,
    people,
    reason_words,
    said,
    since_words,
    spoken,
    state_words,
    wave_lines,
)
from bot.slack.views.blocks import (
    Block,
    Message,
    bold,
    code,
    context,
    count,
    date,
    escape,
    header,
    lines,
    mention,
    message,
    name,
    section,
    status,
)
from bot.slack.views.incident_words import words_of

NUMBERS_SHOWN = 10  # rollouts that a freeze names


def decided_note(rollout: Rollout, entry: TimelineEntry) -> Message:
    """Tells the requester by direct message how their rollout was decided, or fares, and what they can do."""
    by, title, event = mention(entry.by.user_id) if entry.by else "", _named(rollout), entry.event
    match event:
        case Approved(missing=0):
            when = date(event.start_at) if event.start_at else "now"
            if event.held:
                return said(f"✅ {by} approved {title}. It waits: {name(event.held, 400)}.")
            return said(f"✅ {by} approved {title}. It starts {when}.")
        case Approved():
            more = "one more approval" if event.missing == 1 else f"{event.missing} more approvals"
            return said(f"✅ {by} approved {title}. It needs {more}.")
        case Denied():
            return said(f"🚫 {by} denied {title}. {reason_words(event.reason)}")
        case Withdrawn():
            return said(f"🚫 {by} withdrew {title}.")
        case Voided():
            when = f"when {by} approved it" if by else "at its start"
            return said(
                f"⚠️ {title} turned out void {when}. {reason_words(event.reason)} Its card offers a new plan."
            )
        case Expired():
            return said(
                f"🛑 {title} has expired: nobody decided in time. Run the update again for a new plan."
            )
        case Paused() | CanaryDone() | NotReturned() | Aborted() | Finished():
            words = event_words(entry, rollout.state, title)
            return said(f"{words} {_your_move(rollout, event)}".strip())
        case _:
            raise AssertionError(f"{event.kind} decides no request")


def _your_move(rollout: Rollout, event: RolloutEvent) -> str:
    match rollout.state:
        case RolloutState.PAUSED:
            return "Its card has Resume and Abort."
        case RolloutState.PROMOTION if isinstance(event, CanaryDone) and not event.verified:
            return "Abort it on its card, and run the update again."
        case RolloutState.PROMOTION:
            return "Promote or abort it on its card."
        case RolloutState.RUNNING:
            return "Its card has Pause and Abort."
        case _:
            return f"“report {rollout.title}” tells all of it."


def told_of_freeze(body: Mapping[str, Any]) -> Message:
    """Tells the channel of rollouts what somebody froze or unfroze, and which rollouts that holds."""
    who, what = mention(str(body["by"])), _frozen(str(body["version"]))
    rollouts = [RolloutId(int(number)) for number in body["rollouts"]]
    why = name(str(body["reason"]), 400)
    if body["ended"]:
        still = {RolloutId(int(number)): str(reason) for number, reason in body["still_held"].items()}
        return said(f"🔄 {who} unfroze {what}, which was frozen: {why}. {freed_words(rollouts, still)}")
    holds = f"It holds {numbers_of(rollouts)}." if rollouts else "No rollout waits for it now."
    return said(f"🧊 {who} froze {what}: {why}. {holds} “unfreeze” ends it.")


def freed_words(rollouts: Sequence[RolloutId], still_held: Mapping[RolloutId, str]) -> str:
    """Which rollouts no freeze holds any more, and what holds the others."""
    free = [number for number in rollouts if number not in still_held]
    told = [f"No freeze holds {numbers_of(free)} any more." if free else "No rollout waited for that alone."]
    by_reason: dict[str, list[RolloutId]] = {}
    for number, why in still_held.items():
        by_reason.setdefault(why, []).append(number)
    for why, numbers in by_reason.items():
        wait = "waits" if len(numbers) == 1 else "wait"
        told.append(f"{numbers_of(numbers)} still {wait}: {name(why, 400)}.")
    return " ".join(told)


def numbers_of(rollouts: Sequence[RolloutId]) -> str:
    """The first of them by their numbers, and how many more there are."""
    shown = ", ".join(f"R-{number}" for number in rollouts[:NUMBERS_SHOWN])
    more = f" and {len(rollouts) - NUMBERS_SHOWN:,} more" if len(rollouts) > NUMBERS_SHOWN else ""
    return shown + more


def event_note(entry: TimelineEntry, rollout: Rollout) -> Message:
    """One thing that happened, in the card's thread; the gravest are said in the channel as well."""
    return said(event_words(entry, rollout.state, _named(rollout)))


def _named(rollout: Rollout) -> str:
    """So that a phone says which one it is."""
    return f"{rollout.title} ({code(rollout.firmware_version)} for {code(rollout.query or WHOLE_FLEET)})"


def event_words(entry: TimelineEntry, state: RolloutState, title: str = "") -> str:
    """What happened, as mrkdwn; ``title`` names the rollout where no heading does.

    Who still has to do something about it is said only if ``state``, which the rollout is in now, allows it:
    a note may be read when that is long done.
    """
    led = f"{title}: " if title else ""
    title, event = title or f"R-{entry.rollout_id}", entry.event
    who = mention(entry.by.user_id) if entry.by else "The bot"
    match event:
        case Requested():
            return f"{who} requested {title}."
        case Approved():
            return f"✅ {who} approved {title}.{_because(event.reason)}"
        case Denied():
            return f"🚫 {who} denied {title}.{_because(event.reason)}"
        case Withdrawn():
            return f"🛑 {who} withdrew {title}."
        case Voided():
            return f"⚠️ {title} is void.{_because(event.reason)}"
        case Expired():
            return f"🛑 {title} has expired: nobody decided in time."
        case ApprovalReminder():
            waits = "still waits" if state is RolloutState.REQUESTED else "waited"
            return f"⏳ {title} {waits} for {people(event.missing)} to approve it, until {date(event.until)}."
        case Scheduled():
            return f"⏳ {title} is approved and starts {date(event.start_at)}."
        case Started():
            return f"🔄 {title} has started."
        case WaveStarted():
            return f"🔄 Wave {event.wave} of {title} begins: {_tally(event)} so far."
        case CanaryDone():
            promote = f" {'A person has to promote it.' if event.verified else NOTHING_SHOWN}"
            promote = promote if state is RolloutState.PROMOTION else ""
            return f"⏳ The canary of {title} is done: {_tally(event)}.{promote}"
        case Promoted():
            return f"🔄 {who} promoted {title}."
        case Paused():
            itself = f"⏸️ {title} paused itself.{_because(event.reason)}"
            return f"⏸️ {who} paused {title}." if entry.by else itself
        case Resumed():
            return f"🔄 {who} resumed {title}.{_because(event.reason)}"
        case Aborted():
            frozen = " Its firmware is frozen." if event.frozen else ""
            itself = f"🛑 {title} stopped itself for good.{_because(event.reason)}{frozen}"
            return f"🛑 {who} aborted {title}." if entry.by else itself
        case Retried():
            return f"🔄 {who} tries {count(event.count, 'gateway')} of {title} again."
        case CaughtUp():
            return f"🔄 {who} lets {count(event.count, 'gateway')} of {title} catch up."
        case Finished():
            mark = "⚠️" if event.failed else "✅"
            return f"{mark} {title} is finished: {_tally(event)}. {mention(event.requester)} requested it."
        case NotReturned():
            return _not_returned_words(title, event)
        case LateResults():
            return _late_words(title, event)
        case NotCalledOff():
            return (
                f"⚠️ {led}Meshtech does not call off {code(event.job)}, so what it has not begun is "
                f"updated all the same.{_because(event.reason)}"
            )
        case Frozen():
            return f"🧊 {led}{who} froze {_frozen(event.version)}.{_because(event.reason)}"
        case Unfrozen():
            return f"🔄 {led}{who} unfroze {_frozen(event.version)}."
        case AlertOpened():
            return f"🚨 {led}Alert {event.alert}: {count(event.count, 'gateway')} {_trouble(event)}."
        case AlertAcknowledged():
            return f"👀 {led}{who} acknowledged alert {event.alert}."
        case AlertOutgrown():
            return (
                f"🚨 {led}Alert {event.alert} outgrew what {mention(event.had_by)} acknowledged by "
                f"{count(event.count, 'gateway')}: nobody had it from then on."
            )
        case MoreAlerts():
            return f"🚨 {led}And {count(event.count, 'more alert')}."
        case _:
            assert_never(event)


def _because(reason: str | None) -> str:
    return f" {reason_words(reason)}" if reason else ""


def _tally(event: WaveStarted | CanaryDone | Finished) -> str:
    return f"{event.verified:,} verified, {event.failed:,} failed"


def _frozen(version: str) -> str:
    return f"firmware {code(version)}" if version else "everything"


def _not_returned_words(title: str, event: NotReturned) -> str:
    shown = [f"{name(one.label)} ({name(one.site, 40)})" for one in event.gateways]
    more = f" and {event.count - len(shown):,} more" if event.count > len(shown) else ""
    return (
        f"❌ {count(event.count, 'gateway')} did not return after firmware {code(event.version)} "
        f"in {title}: {', '.join(shown)}{more}."
    )


def _trouble(event: AlertOpened) -> str:
    """What an alert was about."""
    return words_of(event.trouble).happened.format(site=name(event.site, 40))


def _late_words(title: str, event: LateResults) -> str:
    by_ending: dict[str, list[str]] = {}
    for one in event.results:
        by_ending.setdefault(one.words, []).append(f"{name(one.label)} ({name(one.site, 40)})")
    shown = "; ".join(f"{', '.join(named)} {escape(words)}" for words, named in by_ending.items())
    rest = event.count - len(event.results)
    more = f"; and {rest:,} more" if rest > 0 else ""
    return f"⌛ {count(event.count, 'gateway')} of {title} that counted as failed already: {shown}{more}."


# ---- the report


def report(rollout_status: RolloutStatus, entries: Sequence[TimelineEntry], buttons: list[Block]) -> Message:
    """A rollout from request to end: its timeline, its counts, its failures."""
    rollout = rollout_status.rollout
    word, kind = state_words(rollout, rollout_status.failed)
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
