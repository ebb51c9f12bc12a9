"""Lists of rollouts and of the portal's jobs as messages. Pure functions."""

from collections.abc import Callable, Mapping, Sequence

from bot.domain.firmware import DeviceProgress, JobStatus, VendorJob
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, TargetState
from bot.domain.rollouts.progress import RolloutStatus
from bot.slack import ids
from bot.slack.ids import PageRef
from bot.slack.rollouts.views.card import (
    ROLLOUT,
    WHOLE_FLEET,
    card,
    said,
    spoken,
    starts_words,
    state_words,
    tally_words,
)
from bot.slack.views.blocks import (
    Message,
    actions,
    bold,
    button,
    code,
    count,
    date,
    escape,
    mention,
    message,
    name,
    plain_name,
    progress_bar,
    section,
    status,
)
from bot.slack.views.paging import Door, PagePosition, buttons, open_button
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


# ---- the modals


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
