"""An entry of the audit log as a sentence, with its times in the reader's zone. Pure functions."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bot.domain.audit import BOT, AuditAction, AuditEntry, Outcome
from bot.slack import ids
from bot.slack.views.blocks import channel, code, date, escape, mention, name

# Each action, once it is done. ``what`` is its subject, ``before`` and ``after`` are what it changed.
DONE: Final[Mapping[AuditAction, str]] = {
    AuditAction.RENAME: "{who} renamed {what} from {before} to {after}",
    AuditAction.TAG: "{who} changed the tags of {what} from {before} to {after}",
    AuditAction.UNDO_RENAME: "{who} undid a rename: {what} is {after} again, not {before}",
    AuditAction.UNDO_TAG: "{who} undid a change of tags: {what} has {after} again, not {before}",
    AuditAction.EXPORT: "{who} exported {what}: {after}",
    AuditAction.SUBSCRIBE: "{who} made {what}: {after}",
    AuditAction.UNSUBSCRIBE: "{who} ended {what}: {before}",
    AuditAction.UNDO_SUBSCRIPTION: "{who} took {what} back: {before} is {after} again",
    AuditAction.SILENCE: "{who} silenced {what} {after}",
    AuditAction.UNSILENCE: "{who} ended the silence {what}",
    AuditAction.PLAN_MAINTENANCE: "{who} planned maintenance {what}: {after}",
    AuditAction.SKIP_MAINTENANCE: "{who} skipped an opening of maintenance {what}: {after}",
    AuditAction.END_MAINTENANCE: "{who} ended maintenance {what}",
    AuditAction.UNDO_MAINTENANCE: "{who} undid the last change of maintenance {what}: {after}",
    AuditAction.DESCRIBE: "{who} changed the entry of {what} from {before} to {after}",
    AuditAction.UNDO_DESCRIPTION: "{who} undid a change of the entry of {what}: {after} again, not {before}",
    AuditAction.POLICY: "{who} set the firmware policy {what}",
    AuditAction.END_POLICY: "{who} ended the firmware policy {what}",
    AuditAction.UNDO_POLICY: "{who} brought the firmware policy {what} back",
    AuditAction.ACKNOWLEDGE: "{who} acknowledged {what}",
    AuditAction.END_ACKNOWLEDGEMENT: "{who} ended the acknowledgement of {what}: {before}, now {after}",
    AuditAction.TAKE_OVER: "{who} took {what} over from {before}",
    AuditAction.GIVE_BACK: "{who} gave {what} back",
    AuditAction.ASSIGN: "{who} assigned {what} to {after}",
    AuditAction.FREEZE: "{who} froze {what}",
    AuditAction.UNFREEZE: "{who} unfroze {what}",
    AuditAction.REQUEST: "{who} requested {what}: {after}",
    AuditAction.APPROVE: "{who} approved {what}",
    AuditAction.DENY: "{who} denied {what}",
    AuditAction.WITHDRAW: "{who} withdrew {what}",
    AuditAction.VOID: "{who} voided {what}",
    AuditAction.EXPIRE: "{who} let {what} expire: nobody decided in time",
    AuditAction.REMIND: "{who} reminded the approvers of {what}",
    AuditAction.SCHEDULE: "{who} scheduled {what}",
    AuditAction.START: "{who} started {what}",
    AuditAction.BEGIN_WAVE: "{who} began the next wave of {what}: {after}",
    AuditAction.END_CANARY: "{who} ended the canary of {what}",
    AuditAction.PROMOTE: "{who} promoted {what}",
    AuditAction.PAUSE: "{who} paused {what}",
    AuditAction.RESUME: "{who} resumed {what}",
    AuditAction.ABORT: "{who} aborted {what}",
    AuditAction.RETRY: "{who} retried the failed gateways of {what}",
    AuditAction.CATCH_UP: "{who} let the gateways that were offline catch up in {what}",
    AuditAction.WAIT: "{who} waits in {what} for gateways that are offline",
    AuditAction.END_WAITING: "{who} ended the waiting for gateways that were offline in {what}",
    AuditAction.MISS: "{who} reported gateways that did not return in {what}",
    AuditAction.HEAR_LATE: "{who} heard late results of {what}",
    AuditAction.NOT_CALL_OFF: "{who} could not call off a job of {what}",
    AuditAction.FINISH: "{who} finished {what}",
}
_FAILED: Final[Mapping[AuditAction, str]] = {
    AuditAction.RENAME: "{who} could not rename {what} from {before} to {after}",
    AuditAction.TAG: "{who} could not change the tags of {what} from {before} to {after}",
    AuditAction.UNDO_RENAME: "{who} could not undo a rename: {what} is not {after} again",
    AuditAction.UNDO_TAG: "{who} could not undo a change of tags: {what} does not have {after} again",
}
_TRIED: Final[Mapping[str, str]] = {  # with buttons that have their purpose from another one
    ids.INCIDENT_ASSIGN: "assign an alert",
    ids.INCIDENT_TAKE_OVER: "take an alert over",
    ids.INCIDENT_GIVE_BACK: "give an alert back",
}
_NUMBERED = re.compile(r"([A-Z]-\d+): (.+)", re.DOTALL)
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
_CHANGE, _REASON = 120, 300  # characters


def audit_sentence(entry: AuditEntry, *, who: str = "") -> str:
    """``@ana approved R-1 (3.5.0, 20 gateways) in #rollouts``: mrkdwn, all names escaped, no full stop.

    ``who`` is what the actor is called there.
    """
    who = who or ("Meshbot" if entry.actor == BOT else mention(entry.actor))
    said = _refused(entry, who) if entry.outcome is Outcome.REFUSED else _done(entry, who)
    where = f" in {channel(entry.channel)}" if entry.channel else ""
    reason = f": {name(entry.reason.rstrip('.'), _REASON)}" if entry.reason else ""
    reason = _for_readers(reason) if entry.outcome is Outcome.REFUSED else reason  # then the words are ours
    return f"{said}{where}{reason}"


def _refused(entry: AuditEntry, who: str) -> str:
    """A button has a purpose; whatever else was tried is shown as it was typed."""
    if (purpose := ids.PURPOSES.get(entry.action)) is not None:
        about = f" ({name(entry.subject, _CHANGE)})" if entry.subject else ""
        return f"{who} was not allowed to {_TRIED.get(entry.action, purpose.value)}{about}"
    return f"{who} was not allowed to use {code(f'{entry.action} {entry.subject}', _CHANGE)}"


def _done(entry: AuditEntry, who: str) -> str:
    if not isinstance(entry.action, AuditAction):  # of a version that knew more actions
        return f"{who}: {escape(entry.action)} {name(entry.subject, _CHANGE)}"
    wording = _FAILED.get(entry.action) if entry.outcome is Outcome.FAILED else None
    return (wording or DONE[entry.action]).format(
        who=who, what=_subject(entry.subject), before=_value(entry.before), after=_value(entry.after)
    )


def _subject(subject: str) -> str:
    numbered = _NUMBERED.fullmatch(subject)
    return f"{numbered[1]} ({name(numbered[2], _CHANGE)})" if numbered else name(subject, _CHANGE)


def _value(text: str | None) -> str:
    """What an entry says of before or after; several tags stand on a line each, a time is the reader's."""
    return _for_readers(name((text or "").replace("\n", ", ") or "nothing", _CHANGE))


def _for_readers(said: str) -> str:
    return MOMENT.sub(_for_the_reader, said)


def _for_the_reader(moment: re.Match[str]) -> str:
    """What people typed may look like a time and be none."""
    try:
        return date(datetime.strptime(moment[0], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC))
    except ValueError:
        return moment[0]
