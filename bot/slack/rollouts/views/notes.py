"""What is said of a rollout beside its card: the notes in its thread, direct messages, its report."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.incident_kinds import IncidentKind
from bot.domain.rollouts.plan import TargetClass
from bot.domain.rollouts.rollout import RolloutEvent, RolloutState
from bot.domain.rollouts.status import RolloutStatus
from bot.slack.rollouts.views.card import (
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


def decided_note(body: Mapping[str, Any]) -> Message:
    """Tells the requester by direct message how their rollout was decided."""
    title, by = f"R-{body['rollout']}", mention(str(body["by"])) if body.get("by") else None
    what = f"{code(str(body['version']))} for {code(str(body['query'] or WHOLE_FLEET))}"
    state = str(body["state"])
    if state in {RolloutState.RUNNING.value, RolloutState.SCHEDULED.value}:
        when = "now" if state == RolloutState.RUNNING.value else _moment(body, "start_at") or "at its time"
        return said(f"✅ {by} approved {title} ({what}). It starts {when}.")
    if state == RolloutState.REQUESTED.value:
        return said(f"✅ {by} approved {title} ({what}). It needs one more approval.")
    reason = f" {reason_words(str(body['reason']))}" if body.get("reason") else ""
    if state == RolloutState.VOID.value:
        offer = "Its card offers a new plan."
        when = f"when {by} approved it" if by else "at its start"
        return said(f"⚠️ {title} ({what}) turned out void {when}.{reason} {offer}")
    if state == RolloutState.EXPIRED.value:
        return said(
            f"🛑 {title} ({what}) has expired: nobody decided in time. Run the update again for a new plan."
        )
    if state == RolloutState.CANCELED.value:
        return said(f"🚫 {by} withdrew {title} ({what}).")
    return said(f"🚫 {by} denied {title} ({what}).{reason}")


def event_note(body: Mapping[str, Any], state: RolloutState) -> Message:
    """One thing that happened, in the card's thread; the gravest are said in the channel as well."""
    return said(event_words(str(body["kind"]), body, str(body["by"]) if body.get("by") else None, state))


def event_words(kind: str, body: Mapping[str, Any], by: str | None, state: RolloutState) -> str:
    """What happened, as mrkdwn; who still has to do something about it only if ``state``, which it is in
    now, says so: a note may be read when that is long done.
    """
    title = f"R-{body.get('rollout')}"
    who = mention(by) if by else "The bot"
    reason = f" {reason_words(str(body['reason']))}" if body.get("reason") else ""
    frozen = " Its firmware is frozen." if body.get("frozen") else ""
    number = int(body.get("count") or 0)
    tally = f"{int(body.get('verified') or 0):,} verified, {int(body.get('failed') or 0):,} failed"
    missing = people(int(body.get("missing") or 1))
    waits = "still waits" if state is RolloutState.REQUESTED else "waited"
    promote = " A person has to promote it." if state is RolloutState.PROMOTION else ""
    ends = _moment(body, "until")
    until = f", until {ends}" if ends else ""
    at = _moment(body, "start_at") or "at its time"
    asked = f" {mention(str(body['requester']))} requested it." if body.get("requester") else ""
    words = {
        "requested": f"{who} requested {title}.",
        "approved": f"✅ {who} approved {title}.{reason}",
        "denied": f"🚫 {who} denied {title}.{reason}",
        "withdrawn": f"🛑 {who} withdrew {title}.",
        "void": f"⚠️ {title} is void.{reason}",
        "expired": f"🛑 {title} has expired: nobody decided in time.",
        "reminder": f"⏳ {title} {waits} for {missing} to approve it{until}.",
        "scheduled": f"⏳ {title} is approved and starts {at}.",
        "started": f"🔄 {title} has started.",
        "wave": f"🔄 Wave {body.get('wave')} of {title} begins: {tally} so far.",
        "canary_done": f"⏳ The canary of {title} is done: {tally}.{promote}",
        "promoted": f"🔄 {who} promoted {title}.",
        "paused": f"⏸️ {who} paused {title}." if by else f"⏸️ {title} paused itself.{reason}",
        "resumed": f"🔄 {who} resumed {title}.{reason}",
        "aborted": f"🛑 {who} aborted {title}."
        if by
        else f"🛑 {title} stopped itself for good.{reason}{frozen}",
        "retried": f"🔄 {who} tries {count(number, 'gateway')} of {title} again.",
        "catch_up": f"🔄 {who} lets {count(number, 'gateway')} of {title} catch up.",
        "finished": f"{'⚠️' if body.get('failed') else '✅'} {title} is finished: {tally}.{asked}",
        "not_returned": _not_returned_words(title, body),
        "late": _late_words(title, body),
        "not_called_off": f"⚠️ Meshtech does not call off {code(str(body.get('job')))}, so what it has not "
        f"begun is updated all the same.{reason}",
        "alert": f"🚨 Alert {body.get('alert')}: {count(number, 'gateway')} {_trouble(body)}.",
        "acknowledged": f"👀 {who} acknowledged alert {body.get('alert')}.",
        "outgrown": f"🚨 Alert {body.get('alert')} outgrew what {mention(str(body.get('had')))} acknowledged "
        f"by {count(number, 'gateway')}: nobody had it from then on.",
        "more_alerts": f"🚨 And {count(number, 'more alert')}.",
    }
    return words.get(kind, f"{title}: {escape(kind)}.")


def _moment(body: Mapping[str, Any], key: str) -> str | None:
    """A time that was kept as text, as Slack shows it to each reader."""
    return date(datetime.fromisoformat(str(body[key]))) if body.get(key) else None


def _not_returned_words(title: str, body: Mapping[str, Any]) -> str:
    number = int(body.get("count") or 0)
    shown = [f"{name(label)} ({name(site, 40)})" for label, site in body.get("gateways") or []]
    more = f" and {number - len(shown):,} more" if number > len(shown) else ""
    return (
        f"❌ {count(number, 'gateway')} did not return after firmware {code(str(body.get('version')))} "
        f"in {title}: {', '.join(shown)}{more}."
    )


def _trouble(body: Mapping[str, Any]) -> str:
    """What an alert was about."""
    words = words_of(IncidentKind(body.get("trouble") or IncidentKind.OFFLINE))
    return words.happened.format(site=name(str(body.get("site") or ""), 40))


def _late_words(title: str, body: Mapping[str, Any]) -> str:
    number = int(body.get("count") or 0)
    by_ending: dict[str, list[str]] = {}
    for label, site, words in body.get("endings") or []:
        by_ending.setdefault(str(words), []).append(f"{name(label)} ({name(site, 40)})")
    shown = "; ".join(f"{', '.join(named)} {escape(words)}" for words, named in by_ending.items())
    rest = number - sum(map(len, by_ending.values()))
    more = f"; and {rest:,} more" if rest > 0 else ""
    return f"⌛ {count(number, 'gateway')} of {title} that counted as failed already: {shown}{more}."


# ---- the report


def report(picture: RolloutStatus, events: Sequence[RolloutEvent], buttons: list[Block]) -> Message:
    """A rollout from request to end: its timeline, its counts, its failures."""
    rollout = picture.rollout
    word, kind = state_words(rollout, picture.failed)
    words = [event_words(event.kind, event.body, event.by, rollout.state) for event in events]
    told = [f"{date(event.at)} {sentence}" for event, sentence in zip(events, words, strict=True)]
    # The text is cut sooner than the blocks: it says a time once for all that happened then.
    begins = [number == 0 or one.at != events[number - 1].at for number, one in enumerate(events)]
    in_short = [dated if new else bare for dated, bare, new in zip(told, words, begins, strict=True)]
    facts = wave_lines(picture.counts)
    failed = failure_lines(picture)
    blocks: list[Block] = [
        header(f"Report on {rollout.title}: firmware {rollout.firmware_version}"),
        section(f"{status(word, kind)}{since_words(picture)}"),
        *lines(facts),
        *lines(told),
    ]
    if failed:
        blocks.append(section("\n".join([bold(f"Failed: {picture.failed:,}"), *failed])))
    left_out = {cls: number for cls, number in picture.classes.items() if cls is not TargetClass.ELIGIBLE}
    small = ", ".join(f"{number:,} {cls.value}" for cls, number in left_out.items() if number)
    blocks += [context(f"Not taking part: {small}")] if small else []
    out = f"Not taking part: {small}" if small else ""
    state = f"{word}{since_words(picture)}"
    parts = [f"Report on {rollout.title}: firmware {rollout.firmware_version}", state, *facts, *in_short]
    bad = [f"{picture.failed:,} failed: {in_a_row(failed)}"] if failed else []
    return message(spoken([*parts, *bad, out]), [*blocks, *buttons])
