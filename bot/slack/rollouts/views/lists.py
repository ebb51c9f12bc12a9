"""Plans, lists of rollouts and the portal's jobs as messages, and the modals that ask for a reason."""

from collections.abc import Callable, Mapping, Sequence

from bot.domain.firmware import DeviceProgress, JobStatus, VendorJob
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import CANARY, Rollout, RolloutId, TargetState
from bot.domain.rollouts.plan import Plan, RolloutRules, Target, TargetClass
from bot.domain.rollouts.progress import DrawnPlan, RolloutStatus
from bot.domain.update_windows import MaintenanceOpening
from bot.slack import ids
from bot.slack.ids import CardRef, PageRef, PlanRef
from bot.slack.rollouts.views.card import (
    ROLLOUT,
    WHOLE_FLEET,
    bad_words,
    card,
    downgrade_words,
    evidence_words,
    file_words,
    in_a_row,
    incident_blocks,
    incidents_words,
    opening_words,
    people,
    said,
    spoken,
    starts_words,
    state_words,
    tally_words,
    wait_words,
    waves_words,
)
from bot.slack.rollouts.views.notes import numbers_of
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    bold,
    button,
    channel,
    code,
    context,
    count,
    date,
    duration,
    escape,
    header,
    lines,
    mention,
    message,
    name,
    plain_name,
    progress_bar,
    section,
    status,
)
from bot.slack.views.modals import modal, text_input
from bot.slack.views.paging import DEVICES, Door, PagePosition, buttons, open_button, open_menu
from bot.slack.views.tables import (
    Cell,
    Row,
    Table,
    moment_cell,
    number_cell,
    person_cell,
    text_cell,
    with_table,
)
from bot.slack.views.undrawable import cells, row

REPORT = "report"  # the kind of list that its timeline is
ROLLOUTS, JOBS, JOB = "rollouts", "jobs", "job"
SHOWN = 10
FIRST_VERSIONS = 5  # of those that have no order

CLASS_WORDS: Mapping[TargetClass, tuple[str, str]] = {
    TargetClass.ELIGIBLE: ("will be updated", "will be updated"),
    TargetClass.FROZEN: ("will be updated once the freeze ends", "will be updated once the freeze ends"),
    TargetClass.ALREADY: ("is on this version already", "are on this version already"),
    TargetClass.WRONG_MODEL: ("is of another model", "are of another model"),
    TargetClass.OFFLINE: (
        "is offline: skipped, and can catch up later",
        "are offline: skipped, and can catch up later",
    ),
    TargetClass.FLAPPING: ("keeps going on and off: left out", "keep going on and off: left out"),
    TargetClass.BUSY: ("is in another rollout", "are in another rollout"),
    TargetClass.QUARANTINED: (
        "failed 3 times in a day: left alone for 24 h",
        "failed 3 times in a day: left alone for 24 h",
    ),
}

AWAITED_WORDS = ("is offline: updated on its return", "are offline: updated on their return")


# ---- the plan


def plan(drawn: DrawnPlan, rules: RolloutRules) -> Message:
    """What an update would do, by class with a reason each, and the button that requests it."""
    made = drawn.plan
    taking_part, awaited = made.eligible, made.awaited
    everybody = len(taking_part) + len(awaited)
    what = f"firmware {code(made.version)} for model {code(made.model)}"
    title = f"Plan: {what}, {count(everybody, 'gateway')} of {len(made.targets):,} that match"
    classes = [_class_line(cls, number, drawn) for cls, number in made.counts().items() if number]
    notices = _notices(drawn, rules)
    if awaited:
        notices.insert(0, wait_words(len(awaited), everybody, made.wait_for, rules))
    waves = waves_words(made.waves, rules, len(awaited))
    how = [waves, _approvals_words(made, rules), evidence_words(drawn.evidence)]
    who, first = _goes_first(made)
    if not everybody:
        how = [_nobody_words(made)]
    query = f"Query {code(made.query or WHOLE_FLEET)}"
    file = f"File {file_words(made.firmware)}"
    match = f"{len(made.targets):,} match" if len(made.targets) != 1 else "1 matches"
    blocks: list[Block] = [
        header(f"Plan: firmware {plain_name(made.version)} for {count(everybody, 'gateway')}"),
        section(f"{query} · {match} · model {code(made.model)}\n{file}"),
        *lines(classes),
        *_busy_doors(drawn.busy_in),
        *(section(notice) for notice in notices),
        *incident_blocks(drawn.incidents),
    ]
    if taking_part:
        blocks.append(section("\n".join([bold(who), *first])))
    blocks.append(context(*how) if everybody else section(how[0]))
    blocks += actions(
        *([_request_button(drawn)] if everybody else _instead(made)),
        button("Cancel", ids.ROLLOUT_CANCEL, PlanRef(drawn.id)),
    )
    after = "Nothing is sent before that." if everybody else ""
    notices += incidents_words(drawn.incidents)
    named = [f"{who}: {in_a_row(first)}"] if taking_part else []
    return message(spoken([title, query, file, *classes, *notices, *named, *how, after]), blocks)


def _class_line(cls: TargetClass, number: int, drawn: DrawnPlan) -> str:
    in_which = f": {numbers_of(drawn.busy_in)}" if cls is TargetClass.BUSY and drawn.busy_in else ""
    words = AWAITED_WORDS if cls is TargetClass.OFFLINE and drawn.plan.awaited else CLASS_WORDS[cls]
    return f"• {bold(f'{number:,}')} {words[number != 1]}{in_which}"


def _busy_doors(busy_in: Sequence[RolloutId]) -> list[Block]:
    """To the rollouts that have gateways of the plan."""
    doors = [Door(ROLLOUT, str(one), f"R-{one}") for one in busy_in]
    if len(doors) < 2:
        return actions(*(open_button(one, f"Open {one.name}") for one in doors))
    return actions(open_menu("Open a rollout", doors))


def _goes_first(made: Plan) -> tuple[str, list[str]]:
    """The canary; all of them where there is none."""
    if len(made.waves) < 2:
        return "Who is updated", _first(made.eligible, _planned_line)
    return "Who goes first", _first([one for one in made.eligible if one.wave == CANARY], _planned_line)


def _nobody_words(made: Plan) -> str:
    """What to do where nobody can be updated now."""
    counts = made.counts()
    offline, total = counts[TargetClass.OFFLINE], len(made.targets)
    if counts[TargetClass.ALREADY] == total:
        return "There is nothing to do: all of them are on this version already."
    if offline == total:
        who = "It is" if total == 1 else f"All {total:,} are"
        return f"{who} offline, so nobody can be updated now. Look again once some are back online."
    rest = f" {offline:,} of them are offline: look again once some are back online." if offline else ""
    return f"There is no gateway to update, so there is nothing to request.{rest}"


def _instead(made: Plan) -> list[Block]:
    """Which are offline, and the same plan as it is then."""
    if not made.counts()[TargetClass.OFFLINE]:
        return []
    again = PlanRef("", "", made.model, made.version, made.query, made.firmware.id)
    offline = Door(DEVICES, f"{made.query} is:offline".strip(), "the offline ones")
    return [
        button("Look again", ids.ROLLOUT_REPLAN, again, style="primary"),
        open_button(offline, "List the offline ones"),
    ]


def _short_words(opening: MaintenanceOpening, made: Plan, rules: RolloutRules) -> list[str]:
    """That an opening is too short for all of the waves."""
    least = rules.soak * max(len(made.waves) - 1, 0) + rules.stable_for * len(made.waves)
    length = opening.ends - opening.begins
    if least <= length:
        return []
    then = "waits for the next" if opening.comes_again else "stays as it is until somebody resumes it"
    return [f"⚠️ Its waves take {duration(least)} at least, and that is {duration(length)}: the rest {then}."]


def _notices(drawn: DrawnPlan, rules: RolloutRules) -> list[str]:
    told = []
    if drawn.opening:
        told += [opening_words(drawn.opening), *_short_words(drawn.opening, drawn.plan, rules)]
    elif drawn.start_at:
        told.append(f"⏳ It starts {date(drawn.start_at)}, once it is approved.")
    if drawn.freeze:
        told.append(f"🧊 {name(drawn.freeze.says(), 400)}. It can be requested, and starts when that ends.")
    if drawn.plan.bad:
        told.append(bad_words(drawn.plan.bad))
    if drawn.plan.downgrades:
        told.append(downgrade_words(drawn.plan.downgrades))
    if drawn.plan.incomparable:
        told.append(_incomparable_words(drawn.plan))
    return told + _skipped_words(drawn.skipped)


def _incomparable_words(made: Plan) -> str:
    versions = [code(version) if version else "an unknown version" for version in made.incomparable]
    return f"Nobody can tell whether {code(made.version)} is older than {_some(versions)}."


def _skipped_words(skipped: Sequence[str]) -> list[str]:
    if not skipped:
        return []
    return [
        f"Skipped in the search for the latest, since their order is unknown: {_some([*map(code, skipped)])}."
    ]


def _some(versions: Sequence[str]) -> str:
    more = f" and {len(versions) - FIRST_VERSIONS} more" if len(versions) > FIRST_VERSIONS else ""
    return f"{', '.join(versions[:FIRST_VERSIONS])}{more}"


def plan_forgotten() -> Message:
    return said("The plan is dropped. Nothing was sent and nothing was changed.")


def requested(rollout: Rollout, channels: Sequence[str]) -> Message:
    """Takes the plan's place once it was requested; ``channels`` have its card."""
    cards = f"its {'card' if len(channels) == 1 else 'cards'} in {' and '.join(map(channel, channels))}"
    if rollout.approvals_needed:
        waits_for = f"{people(rollout.approvals_needed)} to approve it{starts_words(rollout)}"
        return said(f"{rollout.title} is requested, and waits for {waits_for}: see {cards}.")
    if rollout.held:
        return said(f"{rollout.title} waits: {name(rollout.held, 400)}. See {cards} for how it goes.")
    if rollout.started_at is None and rollout.start_at:
        return said(f"{rollout.title} starts {date(rollout.start_at)}: see {cards} for how it goes.")
    return said(f"{rollout.title} is started: see {cards} for how it goes.")


def firmware_choice(choice: FirmwareChoice) -> Message:
    """A button for each file; where they are of several models, a rollout is for one of those too."""
    text = (
        f"{code(choice.wanted)} means {len(choice.options)} files here, and a rollout is for one file of one "
        "model. Choose one:"
    )
    start = choice.start_at.isoformat() if choice.start_at else ids.IN_MAINTENANCE * choice.in_maintenance
    if choice.start_at:
        text = f"{text.removesuffix(':')}; it starts {date(choice.start_at)}, once it is approved:"
    if choice.in_maintenance:
        text = f"{text.removesuffix(':')}; it starts gateways only in their next maintenance window:"
    skipped = _skipped_words(choice.skipped)
    blocks, listed = [section(text), *map(section, skipped)], []
    for firmware, number in choice.options:
        model, version = firmware.model or "", firmware.version or ""
        ref = PlanRef("", "", model, version, choice.query, firmware.id, start)
        label = f"Plan {version} for model {model}, {firmware.file_name or firmware.id}"
        facts = [f"Model {code(model)}", code(version), file_words(firmware), count(number, "gateway")]
        blocks.append(section(" · ".join(facts), button("Plan it", ids.ROLLOUT_REPLAN, ref, label=label)))
        listed.append(", ".join(facts))
    return message(spoken([f"{text} {'; '.join(listed)}", *skipped]), blocks)


def _request_button(drawn: DrawnPlan) -> Block:
    """It asks nothing more: the plan above it shows all of it."""
    text = "Request approval" if drawn.plan.approvals_needed else "Start"
    return button(text, ids.ROLLOUT_REQUEST, PlanRef(drawn.id), style="primary")


def _approvals_words(made: Plan, rules: RolloutRules) -> str:
    if not made.approvals_needed:
        return "Your own confirmation is enough."
    who = "admin" if made.needs_admin else "approver"
    many = ", one more than usual for so many gateways" if made.approvals_needed > rules.approvals else ""
    return f"{count(made.approvals_needed, who)} must approve it{many}."


def _planned_line(target: Target) -> str:
    before = code(target.firmware) if target.firmware else "unknown version"
    return f"• {name(target.label)} · {name(target.site, 40)} · now on {before}"


# ---- the modals


def deny_modal(rollout: Rollout, ref: CardRef) -> View:
    """Asks for the reason that a denial needs; ``ref`` is that of the button, and names its channel."""
    firmware = code(rollout.firmware_version)
    by = mention(rollout.requester)
    text = f"{rollout.title}: firmware {firmware}, requested by {by}{starts_words(rollout)}"
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
        ref=ref,
        submit="Deny",
    )


def override_modal(ref: CardRef, callback_id: str, prompt: str) -> View:
    """Asks an admin why they go on all the same; ``prompt`` is what the bot said to that."""
    titles = {ids.ROLLOUT_APPROVE: "Approve", ids.ROLLOUT_RESUME: "Start"}
    word = titles.get(callback_id, "Go on")
    return modal(
        f"{word} R-{ref.id}",
        [section(name(prompt, 1000)), text_input(ids.REASON, "Why?", multiline=True, most=1000)],
        callback_id=callback_id,
        ref=ref,
        submit=word,
    )


# ---- freezes


# ---- lists and details


def copy(rollout_status: RolloutStatus) -> Message:
    """What the card shows, as an answer: it does not change by itself, and all gateways come as a file."""
    rollout = rollout_status.rollout
    ref = PageRef(ROLLOUT, 0, str(rollout.id))
    shown = card(rollout_status, ref)
    below = actions(
        button("Refresh", ids.REFRESH, ref),
        open_button(Door(REPORT, str(rollout.id), f"on {rollout.title}"), "Report"),
        button("All gateways as CSV", ids.EXPORT_CSV, ref),
    )
    return message(shown.text, [*shown.blocks, *below])


def rollout_list(
    entries: Sequence[tuple[Rollout, Mapping[TargetState, int]]], place: PagePosition
) -> Message:
    """Rollouts, those that go on first."""
    if not entries:
        return said(
            f"There is no rollout yet. {code('/mesh update <query> to <version>')} draws a plan for one."
        )
    shown = [row(_rollout_line, rollout, counts) for rollout, counts in entries]
    title, order = place.says("rollout"), place.in_order("those that go on first")
    table = Table(
        "Rollouts",
        ("Rollout", "State", "Firmware", "Verified", "Gateways", "Requested by", "Requested"),
        [
            Row(line, cells(_rollout_cells, *one), Door(ROLLOUT, str(one[0].id), one[0].title))
            for line, one in zip(shown, entries, strict=True)
        ],
        "Open a rollout…",
    )
    text = f"{title}{order}. " + ". ".join(shown) + "."
    return with_table(text, [section(bold(title) + order)], table, buttons(place, refresh=True))


def _rollout_cells(rollout: Rollout, counts: Mapping[TargetState, int]) -> list[Cell]:
    verified = counts.get(TargetState.VERIFIED, 0)
    return [
        text_cell(rollout.title),
        text_cell(status(*state_words(rollout, counts))),
        text_cell(rollout.firmware_version),
        number_cell(verified, f"{verified:,} of {sum(counts.values()):,}"),
        text_cell(rollout.query or WHOLE_FLEET),
        person_cell(rollout.requester),
        moment_cell(rollout.created_at),
    ]


def _rollout_line(rollout: Rollout, counts: Mapping[TargetState, int]) -> str:
    word, kind = state_words(rollout, counts)
    done = f", {tally_words(counts)}" if rollout.started_at else ""
    query = code(rollout.query or WHOLE_FLEET)
    return (
        f"{bold(rollout.title)} · {status(word, kind)} · {code(rollout.firmware_version)} for {query}"
        f"{done} · {mention(rollout.requester)} {date(rollout.created_at)}{starts_words(rollout)}"
    )


def job_list(entries: Sequence[tuple[VendorJob, RolloutId | None]], place: PagePosition) -> Message:
    """The portal's jobs, whoever created them, the newest first. How many there are in all nobody knows."""
    if not entries:
        return said("The portal has no jobs" + (" beyond these." if place.offset else " yet."))
    shown = [row(_job_line, job, rollout_id) for job, rollout_id in entries]
    last = place.offset + len(entries)
    title = count(last, "job") if place.is_whole else f"Jobs {place.offset + 1:,}–{last:,}"
    table = Table(
        "Jobs of the portal",
        ("Job", "State", "Made by", "Created", "Id"),
        [
            Row(line, cells(_job_cells, *one), Door(JOB, one[0].id, f"job {one[0].id}"))
            for line, one in zip(shown, entries, strict=True)
        ],
        "Open a job…",
        is_wide=True,
    )
    text = f"{title}, newest first. " + ". ".join(shown) + "."
    return with_table(text, [section(f"{bold(title)}, newest first")], table, buttons(place, refresh=True))


def _job_cells(job: VendorJob, rollout_id: RolloutId | None) -> list[Cell]:
    return [
        text_cell(job.name),
        text_cell(_job_state(job)),
        text_cell(f"R-{rollout_id}" if rollout_id is not None else "the portal"),
        moment_cell(job.created_at),
        text_cell(job.id),
    ]


def _job_line(job: VendorJob, rollout_id: RolloutId | None) -> str:
    made_by = bold(f"R-{rollout_id}") if rollout_id is not None else "created in the portal"
    made = f" · {date(job.created_at)}" if job.created_at else ""
    return f"{escape(_job_state(job))} · {made_by}{made}\n{code(job.id)} · {name(job.name, 80)}"


def _job_state(job: VendorJob) -> str:
    """A list of jobs does not say how their gateways fared: one that is completed may have failed on each."""
    word = plain_name(job.word, 30) if job.word else "unknown"
    went_well = job.devices and all(one.progress is DeviceProgress.SUCCEEDED for one in job.devices)
    kind = {
        JobStatus.SCHEDULED: "waiting",
        JobStatus.IN_PROGRESS: "running",
        JobStatus.COMPLETED: "done" if went_well else "ended",
        JobStatus.CANCELED: "stopped",
    }
    return status(word, kind.get(job.status))


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
    done = f"{bar} finished" if found.devices else "It names no gateways"
    return message(spoken([line, done, counts, *bad_lines]), blocks)


def _first(targets: Sequence[Target], line: Callable[[Target], str]) -> list[str]:
    shown = [line(target) for target in targets[:SHOWN]]
    return [*shown, f"… and {len(targets) - SHOWN:,} more"] if len(targets) > SHOWN else shown
