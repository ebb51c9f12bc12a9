"""A plan as a message, and what its request is answered with. Pure functions."""

from collections.abc import Callable, Mapping, Sequence

from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import CANARY, Rollout, RolloutId, RolloutRules, TargetClass
from bot.domain.rollouts.plan import Plan, Target
from bot.domain.rollouts.progress import DrawnPlan
from bot.domain.times.update_windows import MaintenanceOpening
from bot.slack import ids
from bot.slack.ids import PlanRef
from bot.slack.rollouts.views.card import (
    ROLLOUT,
    WHOLE_FLEET,
    bad_words,
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
    wait_words,
    waves_words,
)
from bot.slack.rollouts.views.lists import SHOWN
from bot.slack.rollouts.views.notes import numbers_of
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    button,
    channel,
    code,
    context,
    count,
    date,
    duration,
    header,
    lines,
    message,
    name,
    plain_name,
    section,
)
from bot.slack.views.paging import DEVICES, Door, open_button, open_menu

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


def _first(targets: Sequence[Target], line: Callable[[Target], str]) -> list[str]:
    shown = [line(target) for target in targets[:SHOWN]]
    return [*shown, f"… and {len(targets) - SHOWN:,} more"] if len(targets) > SHOWN else shown
