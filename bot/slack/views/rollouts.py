"""Rollouts as messages: the plan, the card, lists, the vendor's jobs, and the modal for a reason."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.domain.firmware import DeviceProgress, VendorJob
from bot.domain.plan import ModelChoice, Plan, Target, TargetClass
from bot.domain.rollout import Counts, Decision, Rollout, RolloutId, RolloutState, TargetState
from bot.slack import ids
from bot.slack.ids import Ref
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    bold,
    button,
    code,
    confirm,
    context,
    count,
    date,
    duration,
    escape,
    fields,
    header,
    lines,
    message,
    modal,
    name,
    progress_bar,
    section,
    status,
    text_input,
)

SHOWN = 10

_CLASS_WORDS: Mapping[TargetClass, str] = {
    TargetClass.ELIGIBLE: "will be updated",
    TargetClass.ALREADY: "are on this version already",
    TargetClass.WRONG_MODEL: "are of another model",
    TargetClass.OFFLINE: "are offline and are left out",
    TargetClass.FLAPPING: "keep going on and off and are left out",
    TargetClass.BUSY: "are in another rollout",
}

_STATE: Mapping[RolloutState, tuple[str, str]] = {
    RolloutState.REQUESTED: ("waiting for approval", "waiting"),
    RolloutState.RUNNING: ("running", "running"),
    RolloutState.FINISHED: ("finished", "done"),
    RolloutState.DENIED: ("denied", "denied"),
    RolloutState.EXPIRED: ("expired", "stopped"),
    RolloutState.CANCELED: ("withdrawn", "stopped"),
}

_TARGET: Mapping[TargetState, str] = {
    TargetState.WAITING: "waiting",
    TargetState.STARTED: "started",
    TargetState.IN_PROGRESS: "updating",
    TargetState.SUCCEEDED: "succeeded",
    TargetState.FAILED: "failed",
    TargetState.OVERDUE: "overdue",
}


def mention(user_id: str) -> str:
    """Somebody by name, as Slack shows it; an id that is none is shown as it is."""
    return f"<@{user_id}>" if re.fullmatch(r"[UW][A-Z0-9]{1,30}", user_id) else escape(user_id)


# ---- the plan


def plan(plan_id: str, drawn: Plan) -> Message:
    """What an update would do, by class with a reason each, and the button that requests it."""
    eligible = drawn.eligible
    what = f"firmware {code(drawn.version)} for model {code(drawn.model)}"
    title = f"Plan: {what}, {count(len(eligible), 'gateway')} of {len(drawn.targets):,} that match"
    classes = [
        f"• {bold(f'{number:,}')} {_CLASS_WORDS[cls]}" for cls, number in drawn.counts().items() if number
    ]
    who = _approvals_words(drawn)
    blocks: list[Block] = [
        header(f"Plan: firmware {drawn.version} for {count(len(eligible), 'gateway')}"),
        section(f"Query {code(drawn.query or 'the whole fleet')} · model {code(drawn.model)}"),
        *lines(classes),
    ]
    if eligible:
        blocks += [section("\n".join([bold("Who gets it"), *_first(eligible, _planned_line)]))]
    if drawn.downgrades:
        blocks.append(section(_downgrade_words(drawn.downgrades)))
    blocks.append(context(who if eligible else "There is nobody to update, so there is nothing to request."))
    blocks += actions(
        _request_button(plan_id, drawn) if eligible else None,
        button("Cancel", ids.ROLLOUT_CANCEL, Ref(plan_id)),
    )
    said = [title, *(line.removeprefix("• ") for line in classes)]
    if drawn.downgrades:
        said.append(_downgrade_words(drawn.downgrades))
    return message(". ".join(said) + f". {who} Nothing is sent before that.", blocks)


def plan_forgotten() -> Message:
    return _said("The plan is dropped. Nothing was sent and nothing was changed.")


def requested(rollout: Rollout) -> Message:
    """Takes the plan's place once it was requested."""
    if rollout.approvals_needed:
        return _said(
            f"{rollout.title} is requested: its card waits for "
            f"{_people(rollout.approvals_needed)} to approve."
        )
    return _said(f"{rollout.title} is started; its card shows how it goes.")


def model_choice(choice: ModelChoice) -> Message:
    """One rollout is one firmware, hence one model: a button for each."""
    text = (
        f"{code(choice.wanted)} exists for several models among the matches, and a rollout is for one model. "
        "Choose one:"
    )
    blocks = [section(text)]
    for model, version, number in choice.options:
        ref = Ref("model", 0, "\n".join([model, version, choice.query]))
        plan_it = button("Plan it", ids.ROLLOUT_REPLAN, ref, label=f"Plan {version} for model {model}")
        blocks.append(section(f"Model {code(model)} · {code(version)} · {count(number, 'gateway')}", plan_it))
    listed = "; ".join(
        f"model {code(model)}, {code(version)}, {count(number, 'gateway')}"
        for model, version, number in choice.options
    )
    return message(f"{text} {listed}.", blocks)


def _request_button(plan_id: str, drawn: Plan) -> Block:
    number = count(len(drawn.eligible), "gateway")
    sure = confirm(
        "Request this update?",
        f"{number} of model {drawn.model} will be updated to {drawn.version}"
        + (" as soon as it is approved." if drawn.approvals_needed else " at once."),
        "Request" if drawn.approvals_needed else "Start",
        danger=not drawn.approvals_needed,
    )
    text = "Request approval" if drawn.approvals_needed else "Start"
    return button(text, ids.ROLLOUT_REQUEST, Ref(plan_id), style="primary", confirm=sure)


def _approvals_words(drawn: Plan) -> str:
    if not drawn.approvals_needed:
        return "Your own confirmation is enough."
    who = "admin" if drawn.downgrades else "approver"
    return f"{count(drawn.approvals_needed, who)} must approve it."


def _downgrade_words(number: int) -> str:
    return (
        f"⚠️ {bold('Downgrade')}: {count(number, 'gateway')} would go back to an older version. "
        "Only an admin's approval counts."
    )


def _planned_line(target: Target) -> str:
    before = code(target.firmware) if target.firmware else "unknown version"
    return f"• {name(target.label)} · {name(target.site, 40)} · now on {before}"


# ---- the card


def card(
    rollout: Rollout,
    counts: Counts,
    classes: Mapping[TargetClass, int],
    failures: Sequence[tuple[str, str, str]],
    failed: int,
) -> Message:
    """The one message about a rollout. ``failures`` are the first few: label, site and reason."""
    total = sum(number for (wave, _), number in counts.items() if wave)
    word, kind = _state(rollout, failed)
    title = f"{rollout.title}: firmware {rollout.firmware_version} for {count(total, 'gateway')}"
    blocks: list[Block] = [
        header(title),
        section(f"{status(word, kind)}{_since(rollout)}"),
        *fields(
            [
                ("Requested by", mention(rollout.requester)),
                ("Approved by", _approved_by(rollout)),
                ("Query", code(rollout.query or "the whole fleet")),
                ("Model", code(rollout.model)),
            ]
        ),
    ]
    progress = [_wave_line(wave, counts) for wave in sorted({wave for wave, _ in counts if wave})]
    if rollout.started_at:
        blocks += lines(progress)
    if rollout.downgrades and not rollout.state.is_final:
        blocks.append(section(_downgrade_words(rollout.downgrades)))
    if rollout.reason and rollout.state is not RolloutState.EXPIRED:
        blocks.append(section(f"Reason: {name(rollout.reason, 1500)}"))
    failed_lines = [
        f"• {name(label)} · {name(site, 40)}: {name(reason, 150)}" for label, site, reason in failures
    ]
    if failed:
        more = [f"… and {failed - len(failures):,} more"] if failed > len(failures) else []
        blocks.append(section("\n".join([bold(f"Failed: {failed:,}"), *failed_lines, *more])))
    left_out = _left_out(classes)
    if left_out:
        blocks.append(context(f"Not taking part: {left_out}"))
    blocks += _card_buttons(rollout, total)
    said = [
        f"{rollout.title}: firmware {code(rollout.firmware_version)} for {count(total, 'gateway')}",
        f"{word}{_since(rollout)}",
        f"requested by {mention(rollout.requester)}, approved by {_approved_by(rollout)}",
        *(progress if rollout.started_at else []),
        *([f"Reason: {name(rollout.reason, 500)}"] if rollout.reason else []),
        *(
            [f"{failed:,} failed: " + "; ".join(line.removeprefix("• ") for line in failed_lines)]
            if failed
            else []
        ),
        *([f"not taking part: {left_out}"] if left_out else []),
    ]
    return message(". ".join(said) + ".", blocks)


def _card_buttons(rollout: Rollout, total: int) -> list[Block]:
    if rollout.state is not RolloutState.REQUESTED:
        return []
    ref = Ref(str(rollout.id), rollout.version)
    what = f"{count(total, 'gateway')} of model {rollout.model} to {rollout.firmware_version}"
    sure = confirm(f"Approve {rollout.title}?", f"This updates {what}.", "Approve")
    back = confirm(
        f"Withdraw {rollout.title}?", f"The request to update {what} ends.", "Withdraw", danger=True
    )
    return actions(
        button("Approve", ids.ROLLOUT_APPROVE, ref, style="primary", confirm=sure),
        button("Deny…", ids.ROLLOUT_DENY, ref, style="danger"),
        button("Withdraw", ids.ROLLOUT_CANCEL, ref, confirm=back),
    )


def _state(rollout: Rollout, failed: int) -> tuple[str, str]:
    if rollout.state is RolloutState.FINISHED and failed:
        return "finished with failures", "warning"
    return _STATE[rollout.state]


def _since(rollout: Rollout) -> str:
    if rollout.state is RolloutState.REQUESTED:
        missing = _people(rollout.approvals_missing)
        who = " (an admin, since it is a downgrade)" if rollout.downgrades else ""
        return f": {missing} must approve{who}, until {date(rollout.expires_at)}"
    if rollout.started_at is None:
        return f" {date(rollout.finished_at)}" if rollout.finished_at else ""
    if rollout.finished_at is None:
        return f" since {date(rollout.started_at)}"
    return f" {date(rollout.finished_at)}, after {duration(rollout.finished_at - rollout.started_at)}"


def _approved_by(rollout: Rollout) -> str:
    given = [one for one in rollout.approvals if one.decision is Decision.APPROVED]
    denied = [one for one in rollout.approvals if one.decision is Decision.DENIED]
    said = [f"{mention(one.user_id)} {date(one.at)}" for one in given]
    said += [f"denied by {mention(one.user_id)} {date(one.at)}" for one in denied]
    if not said and not rollout.approvals_needed:
        return "nobody: the requester's own confirmation was enough"
    return ", ".join(said) or "nobody yet"


def _wave_line(wave: int, counts: Counts) -> str:
    by_state = {state: number for (of, state), number in counts.items() if of == wave}
    total = sum(by_state.values())
    settled = sum(number for state, number in by_state.items() if state.is_settled)
    details = ", ".join(
        f"{by_state[state]:,} {word}" for state, word in _TARGET.items() if by_state.get(state)
    )
    return f"Wave {wave}: {progress_bar(settled, total)} · {details}"


def _left_out(classes: Mapping[TargetClass, int]) -> str:
    return ", ".join(
        f"{number:,} {cls.value}"
        for cls, number in classes.items()
        if number and cls is not TargetClass.ELIGIBLE
    )


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"


# ---- notes


def decided_note(body: Mapping[str, Any]) -> Message:
    """Tells the requester by direct message how their rollout was decided."""
    title, by = f"R-{body['rollout']}", mention(str(body["by"]))
    what = f"{code(str(body['version']))} for {code(str(body['query'] or 'the whole fleet'))}"
    if body["state"] == RolloutState.RUNNING.value:
        return _said(f"✅ {by} approved {title} ({what}). It starts now.")
    reason = f" Reason: {name(body['reason'], 1000)}" if body.get("reason") else ""
    word = "denied" if body["state"] == RolloutState.DENIED.value else "ended"
    return _said(f"🚫 {by} {word} {title} ({what}).{reason}")


def finished_note(body: Mapping[str, Any]) -> Message:
    """Says in the card's thread, and in the channel, how a rollout ended."""
    failed, overdue = int(body["failed"]), int(body["overdue"])
    emoji = "⚠️" if failed or overdue else "✅"
    said = [f"{int(body['succeeded']):,} succeeded"]
    said += [f"{failed:,} failed"] if failed else []
    said += [f"{overdue:,} gave no result in time"] if overdue else []
    return _said(
        f"{emoji} R-{body['rollout']} is finished: firmware {code(str(body['version']))}, {', '.join(said)}."
    )


# ---- the modal


def deny_modal(rollout: Rollout) -> View:
    """Asks for the reason that a denial needs."""
    firmware = code(rollout.firmware_version)
    text = f"{rollout.title}: firmware {firmware}, requested by {mention(rollout.requester)}"
    return modal(
        f"Deny {rollout.title}",
        [
            section(text),
            text_input(
                ids.REASON,
                "Why not?",
                multiline=True,
                most=1000,
                hint="The requester and everybody who sees the card can read it.",
            ),
        ],
        callback_id=ids.ROLLOUT_DENY,
        ref=Ref(str(rollout.id), rollout.version),
        submit="Deny",
    )


# ---- lists and details


def rollout_list(
    entries: Sequence[tuple[Rollout, Mapping[TargetState, int]]],
    total: int,
    offset: int,
    buttons: list[Block],
) -> Message:
    """Rollouts, those that go on first."""
    if not entries:
        return _said(f"There is no rollout yet. {code('update <query> to <version>')} draws a plan for one.")
    shown = [_rollout_line(rollout, counts) for rollout, counts in entries]
    title = f"Rollouts {offset + 1:,} to {offset + len(entries):,} of {total:,}"
    return message(f"{title}. " + ". ".join(shown) + ".", [section(bold(title)), *lines(shown), *buttons])


def _rollout_line(rollout: Rollout, counts: Mapping[TargetState, int]) -> str:
    failed = counts.get(TargetState.FAILED, 0) + counts.get(TargetState.OVERDUE, 0)
    total = sum(number for state, number in counts.items() if state is not TargetState.EXCLUDED)
    word, kind = _state(rollout, failed)
    done = f", {counts.get(TargetState.SUCCEEDED, 0):,} of {total:,} succeeded" if rollout.started_at else ""
    bad = f", {failed:,} failed" if failed else ""
    query = code(rollout.query or "the whole fleet")
    return (
        f"{status(word, kind)} · {bold(rollout.title)} · {code(rollout.firmware_version)} for {query}"
        f"{done}{bad} · {mention(rollout.requester)} {date(rollout.created_at)}"
    )


def job_list(
    entries: Sequence[tuple[VendorJob, RolloutId | None]], offset: int, buttons: list[Block]
) -> Message:
    """The portal's jobs, whoever created them, the newest first."""
    if not entries:
        return _said("The portal has no jobs" + (" beyond these." if offset else " yet."))
    shown = [_job_line(job, rollout_id) for job, rollout_id in entries]
    title = f"Jobs {offset + 1:,} to {offset + len(entries):,}, newest first"
    return message(f"{title}. " + ". ".join(shown) + ".", [section(bold(title)), *lines(shown), *buttons])


def _job_line(job: VendorJob, rollout_id: RolloutId | None) -> str:
    made_by = bold(f"R-{rollout_id}") if rollout_id is not None else "created in the portal"
    made = f" · {date(job.created_at)}" if job.created_at else ""
    return f"{_job_status(job)} · {code(job.id)} · {name(job.name, 80)} · {made_by}{made}"


def _job_status(job: VendorJob) -> str:
    word = name(job.word, 30) if job.word else "unknown"
    kind = {"SCHEDULED": "waiting", "IN_PROGRESS": "running", "COMPLETED": "done", "CANCELED": "stopped"}
    return status(word, kind.get(job.status.value))


def job(found: VendorJob, rollout_id: RolloutId | None, label_of: Callable[[str], str]) -> Message:
    """One of the portal's jobs, with the gateways that ended badly."""
    by_word: dict[str, int] = {}
    for device in found.devices:
        word = device.word or device.progress.value
        by_word[word] = by_word.get(word, 0) + 1
    finished = sum(device.progress.terminal for device in found.devices)
    bar = progress_bar(finished, len(found.devices))
    counts = ", ".join(f"{number:,} {name(word, 30)}" for word, number in sorted(by_word.items()))
    bad = [
        device
        for device in found.devices
        if device.progress.terminal and device.progress is not DeviceProgress.SUCCEEDED
    ]
    bad_lines = [
        f"• {name(label_of(device.device_id))} · {name(device.word or '', 30)}"
        + (f": {name(device.details, 150)}" if device.details else "")
        for device in bad[:SHOWN]
    ]
    if len(bad) > SHOWN:
        bad_lines.append(f"… and {len(bad) - SHOWN:,} more")
    line = _job_line(found, rollout_id)
    blocks = [section(line), section(f"{bar} · {counts}" if found.devices else "It names no gateways.")]
    if bad_lines:
        blocks.append(section("\n".join([bold(f"Ended badly: {len(bad):,}"), *bad_lines])))
    spoken = [line, f"{bar} finished", counts, *(one.removeprefix("• ") for one in bad_lines)]
    return message(". ".join(part for part in spoken if part) + ".", blocks)


def _first(targets: Sequence[Target], line: Callable[[Target], str]) -> list[str]:
    shown = [line(target) for target in targets[:SHOWN]]
    return [*shown, f"… and {len(targets) - SHOWN:,} more"] if len(targets) > SHOWN else shown


def _said(text: str) -> Message:
    """A sentence of ours whose names are escaped already."""
    return message(text, [section(text)])
