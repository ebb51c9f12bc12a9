"""A rollout's card."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from bot.domain.firmware import Firmware
from bot.domain.incident_kinds import IncidentSummary
from bot.domain.rollouts.lifecycle import (
    FAILURES,
    Counts,
    Decision,
    Rollout,
    RolloutId,
    RolloutRules,
    RolloutState,
    TargetRecord,
    TargetState,
    takes_part,
)
from bot.domain.rollouts.progress import Evidence, RolloutStatus
from bot.domain.rollouts.waves import wave_sizes
from bot.domain.times.update_windows import MaintenanceOpening
from bot.slack import ids
from bot.slack.ids import CardRef, PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    Style,
    actions,
    bold,
    button,
    code,
    confirm,
    context,
    count,
    date,
    duration,
    fields,
    header,
    lines,
    mention,
    message,
    name,
    plain_name,
    progress_bar,
    section,
    status,
    utc,
)
from bot.slack.views.incident_kind_words import words_of
from bot.slack.views.paging import Door, open_button

ROLLOUT = "rollout"  # the kind of list that its gateways are

WORDS: Mapping[RolloutState, tuple[str, str]] = {
    RolloutState.REQUESTED: ("waiting for approval", "waiting"),
    RolloutState.SCHEDULED: ("approved, starts", "waiting"),
    RolloutState.RUNNING: ("running", "running"),
    RolloutState.PROMOTION: ("canary done, waiting for promotion", "waiting"),
    RolloutState.PAUSED: ("paused", "paused"),
    RolloutState.FINISHED: ("finished", "done"),
    RolloutState.ABORTED: ("aborted", "stopped"),
    RolloutState.DENIED: ("denied", "denied"),
    RolloutState.EXPIRED: ("expired", "stopped"),
    RolloutState.CANCELED: ("withdrawn", "stopped"),
    RolloutState.VOID: ("void: not as it was approved", "warning"),
}

_TARGET: Mapping[TargetState, str] = {
    TargetState.REPORTED: "reported success, not verified yet",
    TargetState.IN_PROGRESS: "updating",
    TargetState.STARTED: "started",
    TargetState.WAITING: "waiting",
    TargetState.AWAY: "offline and waited for",
    TargetState.FAILED: "failed",
    TargetState.OVERDUE: "overdue",
    TargetState.NOT_RETURNED: "did not return",
    TargetState.SKIPPED: "skipped: offline",
    TargetState.EXCLUDED: "left out",
}

WHOLE_FLEET = "the whole fleet"
SHOWN_INCIDENTS = 3
NOTHING_SHOWN = "No gateway of the canary was updated, so it proves nothing and cannot be promoted."


def card(rollout_status: RolloutStatus, answer: PageRef | None = None) -> Message:
    """The one message about a rollout, drawn anew whenever something changes.

    ``answer``: the answer that it stands on, if it is no card.
    """
    rollout = rollout_status.rollout
    word, kind = state_words(rollout, rollout_status.by_state)
    version, number = plain_name(rollout.firmware_version), count(rollout_status.total, "gateway")
    state = f"{status(word, kind)}{since_words(rollout_status)}"
    decided = _decided(rollout)
    in_waves = {key: number for key, number in rollout_status.counts.items() if key != (0, TargetState.AWAY)}
    progress = (
        wave_lines(in_waves) if rollout.started_at else _to_come(rollout_status)
    )  # a notice has those away
    notices, start = _notices(rollout_status), _start(rollout)
    blocks: list[Block] = [
        header(f"{rollout.title}: firmware {version} for {number}"),
        section(state),
        *fields(
            [
                ("Requested by", mention(rollout.requester)),
                decided,
                *([("Starts", start)] if start else []),
                ("Query", code(rollout.query or WHOLE_FLEET)),
                ("Model", code(rollout.model)),
            ]
        ),
        section(f"{bold('File')}\n{file_words(rollout.firmware)}"),  # no half of a line is wide enough for it
        *lines(progress),
        *(section(notice) for notice in notices),
        *incident_blocks(rollout_status.incidents),
    ]
    failed = failure_lines(rollout_status)
    if failed:
        blocks.append(section("\n".join([bold(f"Failed: {rollout_status.failed:,}"), *failed])))
    small = _small_print(rollout_status)
    blocks += [context(*small)] if small else []
    blocks += actions(*buttons(rollout_status, CardRef(str(rollout.id), rollout.last_event, answer)))
    said = [
        f"{rollout.title}: firmware {code(rollout.firmware_version)} for {number}",
        state,
        f"Requested by {mention(rollout.requester)}, {decided[0].lower()} {decided[1]}",
        f"Starts {start}" if start else "",
        f"Query {code(rollout.query or WHOLE_FLEET)}, model {code(rollout.model)}",
        f"File {file_words(rollout.firmware)}",
        *progress,
        *notices,
        *incidents_words(rollout_status.incidents),
        *([f"{rollout_status.failed:,} failed: " + in_a_row(failed)] if failed else []),
        *small,
    ]
    return message(spoken(said), blocks)


def _start(rollout: Rollout) -> str:
    """When it starts, while it is not decided or waits; a scheduled one says so beside its state."""
    if rollout.state is not RolloutState.REQUESTED:
        return ""
    return f"{date(rollout.start_at)}, once it is approved" if rollout.start_at else "once it is approved"


def starts_words(rollout: Rollout) -> str:
    """When it starts, behind what it is about; empty where that is as soon as it may."""
    is_to_come = rollout.state in {RolloutState.REQUESTED, RolloutState.SCHEDULED}
    within = f" in M-{rollout.maintenance}" if rollout.maintenance else ""
    if not is_to_come or not (rollout.start_at or within):
        return ""
    return f", and starts{within}{f' {date(rollout.start_at)}' if rollout.start_at else ''}"


def spoken(parts: Sequence[str]) -> str:
    """What the blocks show, as sentences one after the other; some of them end by themselves."""
    return ". ".join(part.removeprefix("• ").removesuffix(".") for part in parts if part) + "."


def state_words(rollout: Rollout, by_state: Mapping[TargetState, int]) -> tuple[str, str]:
    """The word for a rollout's state, and the emoji's."""
    if rollout.state is RolloutState.FINISHED and any(by_state.get(state) for state in FAILURES):
        return "finished with failures", "warning"
    if rollout.state is RolloutState.RUNNING and rollout.held:
        return "running, and held", "paused"
    going_on = {state for state, number in by_state.items() if number and not state.is_settled}
    if rollout.state is RolloutState.RUNNING and going_on == {TargetState.AWAY}:
        return f"waiting for {count(by_state[TargetState.AWAY], 'gateway')}", "waiting"
    return WORDS[rollout.state]


def wave_lines(counts: Counts) -> list[str]:
    """A bar for each wave, by verified; then how many are where."""
    shown = []
    for wave in sorted({of for of, _ in counts if of}):
        by_state = {state: number for (of, state), number in counts.items() if of == wave and number}
        total = sum(by_state.values())
        done = by_state.get(TargetState.VERIFIED, 0)
        rest = _not_verified(by_state)
        name_of = "Canary" if wave == 1 and max(of for of, _ in counts) > 1 else f"Wave {wave}"
        shown.append(f"{name_of}: {' · '.join([f'{progress_bar(done, total)} verified', *rest])}")
    in_none = {state: number for (of, state), number in counts.items() if not of and takes_part(of, state)}
    if in_none:
        shown.append(f"In no wave: {' · '.join(_not_verified(in_none))}")
    return shown


def tally_words(by_state: Mapping[TargetState, int]) -> str:
    """How far those are that take part: what is not verified yet adds up to the rest."""
    verified, total = by_state.get(TargetState.VERIFIED, 0), sum(by_state.values())
    return ", ".join([f"{verified:,} of {total:,} verified", *_not_verified(by_state)])


def _not_verified(by_state: Mapping[TargetState, int]) -> list[str]:
    return [f"{by_state[state]:,} {word}" for state, word in _TARGET.items() if by_state.get(state)]


def _to_come(rollout_status: RolloutStatus) -> list[str]:
    """Before it starts: what would happen, for those who decide about it."""
    if rollout_status.rollout.state.is_final:
        return []
    away = rollout_status.in_state(TargetState.AWAY)
    shown = [waves_words(rollout_status.wave_sizes, rollout_status.rules, away)]
    if rollout_status.first:
        named = ", ".join(f"{name(one.label)} ({name(one.site, 40)})" for one in rollout_status.first)
        more = rollout_status.wave_sizes[0] - len(rollout_status.first) if rollout_status.wave_sizes else 0
        shown.append(f"First: {named}{f' and {more:,} more' if more > 0 else ''}")
    return shown


def waves_words(sizes: Sequence[int], rules: RolloutRules, away: int = 0) -> str:
    """How many go when, and what lies between; ``away`` are offline, and follow."""
    if len(sizes) < 2:
        if not away:
            return "One wave: there is no canary to look at first."
        first = f"A canary of {sizes[0]:,}" if sizes else "Those that return first are the canary"
        return f"{first}. A person promotes it before the others follow."
    *later, last = [f"{size:,}" for size in sizes[1:]]
    rest = f"{', '.join(later)} and {last}" if later else last
    return (
        f"A canary of {sizes[0]:,}, then {rest}. A person promotes the canary; later waves follow by "
        f"themselves, {duration(rules.soak)} apart, and it stops by itself when too many fail."
    )


def incident_blocks(found: Sequence[IncidentSummary]) -> list[Block]:
    """What is wrong already where it works: each with its details, of many the largest."""
    words = incidents_words(found)
    shown = []
    for one, said in zip(found[:SHOWN_INCIDENTS], words, strict=False):
        label = f"Details of A-{one.id}: {count(one.gateways, 'gateway')} at {plain_name(one.sites[0])}"
        details = button("Details", ids.INCIDENT_DETAILS, CardRef(str(one.id), one.version), label=label)
        shown.append(section(said, details))
    return [*shown, *map(section, words[len(shown) :])]


def incidents_words(found: Sequence[IncidentSummary]) -> list[str]:
    """A sentence for each of the first few, and how many more there are."""
    shown = [
        f"⚠️ Open alert A-{one.id}: {count(one.gateways, 'gateway')} {words_of(one.kind).state} "
        f"at {name(one.sites[0], 40) if len(one.sites) == 1 else f'{len(one.sites):,} of its sites'}."
        for one in found[:SHOWN_INCIDENTS]
    ]
    more = len(found) - len(shown)
    return [*shown, f"And {count(more, 'more open alert')}: see {code('alerts')}."] if more > 0 else shown


def opening_words(opening: MaintenanceOpening) -> str:
    """In which maintenance window alone it starts gateways, and when that opens."""
    is_open = f"open from {date(opening.begins)} to {date(opening.ends)}"
    return f"🔧 It starts gateways only in {opening.title}, {is_open}."


def wait_words(away: int, total: int, wait_for: timedelta, rules: RolloutRules) -> str:
    """That it waits for those that are offline, of all that it updates, for those who decide about it."""
    most = wave_sizes(total, rules.waves)[0]
    offline = f"{count(away, 'gateway')} that {'is' if away == 1 else 'are'} offline"
    then = f"them on return, {most:,} in a wave at most" if away > 1 else "it on return"
    return f"⏳ It waits up to {duration(wait_for)} for {offline}, and updates {then}."


def evidence_words(evidence: Evidence) -> str:
    """What this firmware did so far in this fleet."""
    if not evidence.attempted:
        return "This firmware was never tried in this fleet."
    said = (
        f"In this fleet so far: {evidence.attempted:,} tried, {evidence.verified:,} verified, "
        f"{evidence.failed:,} failed"
    )
    if evidence.median is None or evidence.p95 is None:
        return f"{said}."
    usually, nearly_always = duration(evidence.median), duration(evidence.p95)
    also = f", nearly always in {nearly_always}" if nearly_always != usually else ""
    return f"{said}; usually back in {usually}{also}."


def since_words(rollout_status: RolloutStatus) -> str:
    rollout = rollout_status.rollout
    if rollout.state is RolloutState.REQUESTED:
        why = "it is a downgrade" if rollout.downgrades else "the version is known to be bad"
        who = f" (an admin, since {why})" if rollout.needs_admin else ""
        return f": {people(rollout.approvals_missing)} must approve{who} by {date(rollout.expires_at)}"
    if rollout.state is RolloutState.SCHEDULED and rollout.start_at:
        return f" {date(rollout.start_at)}"
    if rollout.started_at is None:
        return f", {date(rollout.finished_at)}" if rollout.finished_at else ""
    if rollout.finished_at is not None:
        return f" {date(rollout.finished_at)}, after {duration(rollout.finished_at - rollout.started_at)}"
    if rollout.state is not RolloutState.RUNNING:
        return f", started {date(rollout.started_at)}"
    left, soaks = rollout_status.work_left(), rollout_status.soaks_left
    between = f", and {duration(soaks)} between waves" if soaks else ""
    about = f", about {duration(left)} of work left{between}" if left else ""
    return f" since {date(rollout.started_at)}{about}"


def _notices(rollout_status: RolloutStatus) -> list[str]:
    """What an operator must not miss, a sentence each."""
    rollout = rollout_status.rollout
    said = []
    if rollout.reason and rollout.state is not RolloutState.EXPIRED:
        said.append(reason_words(rollout.reason))
    if rollout.held:
        said.append(f"🧊 Nothing is started now: {name(rollout.held, 400)}.")
    elif rollout_status.freeze and not rollout.state.is_final and not rollout.through_freeze:
        said.append(f"🧊 It cannot start yet: {name(rollout_status.freeze.says(), 400)}.")
    if rollout.through_freeze:
        said.append(f"⚠️ Goes on through a freeze, by {name(rollout.through_freeze, 400)}.")
    if rollout.bad and not rollout.state.is_final:
        said.append(bad_words(rollout.bad))
    if rollout.downgrades and not rollout.state.is_final:
        said.append(downgrade_words(rollout.downgrades))
    if rollout_status.opening:
        said.append(opening_words(rollout_status.opening))
    if away := 0 if rollout.state.is_final else rollout_status.in_state(TargetState.AWAY):
        said.append(_away_words(rollout_status, away))
    soak = _next_wave_words(rollout_status)
    return [*said, soak] if soak else said


def _away_words(rollout_status: RolloutStatus, away: int) -> str:
    rollout = rollout_status.rollout
    if rollout.wait_until is None:
        return wait_words(away, rollout_status.total, rollout.wait_for, rollout_status.rules)
    waits = "1 waits for its return" if away == 1 else f"{away:,} wait for their return"
    return f"⏳ {waits}, until {date(rollout.wait_until)}."


def reason_words(reason: str) -> str:
    """A reason as a sentence; who did it is one by itself."""
    said = name(reason, 800)
    if reason.startswith(("paused by ", "aborted by ", "withdrawn by ")):
        return f"{said[0].upper()}{said[1:]}."
    return f"Reason: {said.removesuffix('.')}."


def _next_wave_words(rollout_status: RolloutStatus) -> str | None:
    """What happens next and when."""
    rollout = rollout_status.rollout
    if rollout.state is RolloutState.PROMOTION and not rollout_status.in_state(TargetState.VERIFIED):
        return f"{NOTHING_SHOWN} Abort it, and run the update again for a new plan."
    if rollout.state is RolloutState.PROMOTION:
        return f"Look at the canary, then promote it. {_next_wave(rollout_status)}"
    if rollout.state is RolloutState.PAUSED:
        failed = _failed_so_far(rollout_status)
        return f"Nothing more is started until somebody resumes it; what has started is still judged.{failed}"
    if (
        rollout.state is RolloutState.RUNNING
        and rollout.wave_settled_at
        and rollout.wave < rollout_status.last_wave
    ):
        return f"Wave {rollout.wave + 1} starts {date(rollout.wave_settled_at + rollout_status.rules.soak)}."
    return None


def bad_words(bad: str) -> str:
    return f"⚠️ {name(bad, 400)}. Only an admin's approval counts."


def downgrade_words(number: int) -> str:
    return (
        f"⚠️ {bold('Downgrade')}: {count(number, 'gateway')} would go back to an older version, or may. "
        "Only an admin's approval counts."
    )


def failure_lines(rollout_status: RolloutStatus) -> list[str]:
    shown = [_target_line(one) for one in rollout_status.failures]
    more = rollout_status.failed - len(shown)
    return [*shown, f"… and {more:,} more"] if more > 0 else shown


def in_a_row(shown: Sequence[str]) -> str:
    return "; ".join(line.removeprefix("• ") for line in shown)


def _target_line(target: TargetRecord) -> str:
    reason = f": {name(target.reason, 150)}" if target.reason else ""
    return f"• {name(target.label)} · {name(target.site, 40)}{reason}"


def _small_print(rollout_status: RolloutStatus) -> list[str]:
    said = []
    if rollout_status.stragglers:
        late = ", ".join(
            f"{name(one.label)} ({duration(rollout_status.now - one.started_at)})"
            for one in rollout_status.stragglers
            if one.started_at
        )
        said.append(f"Slow: {late}")
    if rollout_status.late == 1:
        said.append(
            "1 gateway that counts as failed is still in Meshtech's job: until that is over for it, "
            "no other rollout gets it"
        )
    elif rollout_status.late:
        said.append(
            f"{rollout_status.late:,} gateways that count as failed are still in Meshtech's jobs: until "
            "those are over, no other rollout gets them"
        )
    left_out = ", ".join(
        f"{number:,} {cls.value}"
        for cls, number in rollout_status.classes.items()
        if number and not cls.takes_part
    )
    if left_out:
        said.append(f"Not taking part: {left_out}")
    if not rollout_status.rollout.state.is_final:
        said.append(evidence_words(rollout_status.evidence))
    return said


def _decided(rollout: Rollout) -> tuple[str, str]:
    """Who approved it, or denied it, which wins."""
    denied = [one for one in rollout.approvals if one.decision is Decision.DENIED]
    if denied:
        return "Denied by", ", ".join(f"{mention(one.user_id)} {date(one.at)}" for one in denied)
    approved = [
        f"{mention(one.user_id)} {date(one.at)}"
        + (f", overriding: {name(one.reason, 200)}" if one.reason else "")
        for one in rollout.approvals
    ]
    nobody = "nobody" if rollout.state.is_final else "nobody yet"
    if not rollout.approvals_needed:
        nobody = "nobody: the requester's own confirmation was enough"
    return "Approved by", ", ".join(approved) or nobody


def file_words(firmware: Firmware) -> str:
    """Which file of a version it is: its name, or its id, and when it was made."""
    of = f", {date(firmware.created_at)}" if firmware.created_at else ""
    return f"{code(firmware.file_name or firmware.id)}{of}"


def people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"


# ---- buttons


def door(rollout_id: RolloutId, text: str = "Details") -> Block:
    """Shows a rollout as it is now, to whoever asks."""
    return open_button(Door(ROLLOUT, str(rollout_id), f"R-{rollout_id}"), text)


def buttons(rollout_status: RolloutStatus, ref: CardRef, *, shows_all: bool = True) -> list[Block]:
    """What can be done with it now.

    What ends it, or flashes once more what failed, asks first; all else does where the message does not show
    all of it.
    """
    rollout, total = rollout_status.rollout, rollout_status.total
    model, version = plain_name(rollout.model), plain_name(rollout.firmware_version)
    what = f"{count(total, 'gateway')} of model {model} to {version}"

    def asks(verb: str, text: str, *, always: bool = False) -> Block | None:
        sure = confirm(f"{verb} {rollout.title}?", text, verb, danger=always)
        return sure if always or not shows_all else None

    approve = button(
        "Approve",
        ids.ROLLOUT_APPROVE,
        ref,
        style="primary",
        confirm=asks(
            "Approve",
            f"This updates {what}{_start_in_plain_words(rollout)}.{_back(rollout)}{awaited(rollout_status)}",
        ),
    )
    withdraw = asks("Withdraw", f"The request to update {what} ends.", always=True)
    promote = asks("Promote", f"{_next_wave(rollout_status)}{_failed_so_far(rollout_status)}")
    resume = asks("Resume", f"The update of {what} goes on.{_failed_so_far(rollout_status)}")
    abort = asks(
        "Abort",
        f"The update of {what} ends: no more are started, and what Meshtech has not begun is called off. "
        "Those that have begun are finished and judged.",
        always=True,
    )
    ends = button("Abort", ids.ROLLOUT_ABORT, ref, style="danger", confirm=abort)
    emphasis: Style | None = None if rollout_status.canary_failed else "primary"
    goes_on = button("Resume", ids.ROLLOUT_RESUME, ref, style=emphasis, confirm=resume)
    pause = button("Pause", ids.ROLLOUT_PAUSE, ref)
    shown: list[Block] = []
    match rollout.state:
        case RolloutState.REQUESTED:
            deny = button("Deny…", ids.ROLLOUT_DENY, ref, style="danger")
            shown = [approve, deny, button("Withdraw", ids.ROLLOUT_CANCEL, ref, confirm=withdraw)]
        case RolloutState.SCHEDULED:
            shown = [button("Withdraw", ids.ROLLOUT_CANCEL, ref, confirm=withdraw)]
        case RolloutState.RUNNING if rollout_status.freeze and not rollout.through_freeze:
            shown = [button("Start anyway…", ids.ROLLOUT_RESUME, ref), pause, ends]
        case RolloutState.RUNNING:
            shown = [pause, ends]
        case RolloutState.PROMOTION if rollout_status.in_state(TargetState.VERIFIED):
            promotes = button("Promote", ids.ROLLOUT_PROMOTE, ref, style="primary", confirm=promote)
            shown = [promotes, pause, ends]
        case RolloutState.PROMOTION:
            shown = [ends, pause]
        case RolloutState.PAUSED if rollout_status.canary_failed:
            shown = [ends, goes_on]
        case RolloutState.PAUSED:
            shown = [goes_on, ends]
    return [*shown, *_again(rollout_status, ref)]


def _start_in_plain_words(rollout: Rollout) -> str:
    """For a dialog that asks, in which Slack shows no dates."""
    within = f", in M-{rollout.maintenance} alone" if rollout.maintenance else ""
    return within + (f", from {utc(rollout.start_at)} on" if rollout.start_at else "")


def _back(rollout: Rollout) -> str:
    if not rollout.downgrades:
        return ""
    return f" {count(rollout.downgrades, 'goes', 'go')} back to an older version, or may."


def awaited(rollout_status: RolloutStatus) -> str:
    """That it waits for some of its gateways, behind what it does."""
    return awaited_words(rollout_status.rollout, rollout_status.in_state(TargetState.AWAY))


def awaited_words(rollout: Rollout, away: int) -> str:
    offline = f"{away:,} of them that {'is' if away == 1 else 'are'} offline"
    return f" It waits up to {duration(rollout.wait_for)} for {offline}." if away else ""


def _next_wave(rollout_status: RolloutStatus) -> str:
    wave = rollout_status.rollout.wave + 1
    following = sum(number for (of, _), number in rollout_status.counts.items() if of == wave)
    if not following and rollout_status.in_state(TargetState.AWAY):
        return f"{count(rollout_status.in_state(TargetState.AWAY), 'gateway')} may follow on return."
    return f"Wave {wave} starts with {count(following, 'gateway')}; later waves follow by themselves."


def _failed_so_far(rollout_status: RolloutStatus) -> str:
    if not rollout_status.failed:
        return ""
    again = "it" if rollout_status.failed == 1 else "they"
    return f" {count(rollout_status.failed, 'gateway')} failed so far; {again} will not stop it again."


def _again(rollout_status: RolloutStatus, ref: CardRef) -> list[Block]:
    """What can be tried again, inside the same approval or with a new plan."""
    rollout = rollout_status.rollout
    if rollout.state in {RolloutState.VOID, RolloutState.EXPIRED}:
        return [button("Draw a new plan", ids.ROLLOUT_REPLAN, ref, style="primary")]
    if not rollout.state.is_under_way and rollout.state is not RolloutState.FINISHED:
        return []
    shown: list[Block] = []
    if away := rollout_status.in_state(TargetState.AWAY):
        sure = confirm(
            f"End the waiting of {rollout.title}?",
            f"{count(away, 'gateway')} that {'is' if away == 1 else 'are'} offline will not be updated.",
            "End waiting",
        )
        shown.append(button("End waiting", ids.ROLLOUT_END_WAITING, ref, confirm=sure))
    if rollout.state is RolloutState.PROMOTION:
        return shown
    if rollout_status.retryable and rollout_status.failed:
        again = count(rollout_status.retryable, "gateway")
        sure = confirm(f"Retry in {rollout.title}?", f"{again} that failed are updated once more.", "Retry")
        shown.append(button(f"Retry {again}", ids.ROLLOUT_RETRY_FAILED, ref, confirm=sure))
    if rollout_status.returned:
        back = count(rollout_status.returned, "gateway")
        sure = confirm(
            f"Catch up in {rollout.title}?",
            f"{back} that were offline came back and are updated in a wave of their own.",
            "Catch up",
        )
        shown.append(button(f"Catch up {back}", ids.ROLLOUT_CATCH_UP, ref, confirm=sure))
    return shown


def said(text: str) -> Message:
    """A sentence of ours whose names are escaped already."""
    return message(text, [section(text)])
