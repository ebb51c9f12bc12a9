"""The firmware policy as messages, and as lines where the fleet is shown. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bot.domain.audit import AuditAction
from bot.domain.firmware import FirmwarePolicy, PolicyKind
from bot.domain.fleet.firmware_policy import PolicyReasonMissing, PolicyRequest, PolicyState
from bot.slack import ids
from bot.slack.ids import CardRef, PageRef, PlanRef
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    bold,
    button,
    code,
    context,
    count,
    escape,
    mention,
    message,
    name,
    nothing_matches,
    section,
    status,
)
from bot.slack.views.modals import modal, text_input
from bot.slack.views.paging import DEVICES, Door, buttons, cut_page, open_button
from bot.slack.views.portal_links import linked
from bot.slack.views.undrawable import asks_first, part, row

POLICIES: Final = "policy"  # the kind of the list
ALL_POLICIES: Final = Door(POLICIES, "", "the firmware policy")
PAGE: Final = 8
SHOWN: Final = 5  # beside other things
HOW: Final = (
    "To say which version gateways are to run: /mesh policy want 3.5.0 for model:2011. That one is known to "
    "be bad: /mesh policy bad 3.3.0 because CVE-2026-1 https://…"
)


def listed(states: Sequence[PolicyState], offset: int, *, may_end: bool, may_update: bool) -> Message:
    """What is known to be bad and what is wanted, each with how the fleet stands to it, and its buttons."""
    if not states:
        text = "No version of firmware is wanted, and none is known to be bad."
        return message(f"{text}\n{escape(HOW)}", [section(text), context(escape(HOW))])
    page, place = cut_page(states, POLICIES, offset, PAGE)
    title = bold(place.says("firmware policy", "firmware policies"))
    rows = [row(line, one) for one in page]
    shown = [section(title)]
    for one, said in zip(page, rows, strict=True):
        end = _end_button(one.policy, PageRef(POLICIES, place.offset)) if may_end else None
        shown += [section(said), *part(_buttons, one, end, may_update=may_update)]
    return message("\n".join([title, *rows]), [*shown, *buttons(place, refresh=True)])


def line(state: PolicyState) -> str:
    """One policy: what it says of whom, how many gateways that is about, by whom and why."""
    policy = state.policy
    return f"{_sign(policy)} {bold(policy.title)} {_says(policy)}. {_stands(state)} By {mention(policy.by)}."


def summary(states: Sequence[PolicyState]) -> str:
    """``31 of 240 behind 3.5.0; 4 on 3.3.0, known to be bad``. Empty where nothing is wanted or bad."""
    wanted = [_behind(one) for one in states if not one.is_bad]
    bad = [_on_it(one) for one in states if one.is_bad]
    more = len(wanted) + len(bad) - SHOWN
    return "; ".join([*[*wanted, *bad][:SHOWN], *([f"and {more:,} more"] if more > 0 else [])])


def open_states(states: Sequence[PolicyState]) -> list[PolicyState]:
    """Those that gateways do not comply with."""
    return [one for one in states if one.affected]


def shown_beside(states: Sequence[PolicyState], *, may_update: bool) -> list[Block]:
    """Those that gateways do not comply with, each with its buttons, beside other things of the fleet."""
    blocks: list[Block] = []
    for one in open_states(states)[:SHOWN]:
        blocks += [section(row(short, one)), *part(_buttons, one, may_update=may_update)]
    return blocks


def with_policy(drawn: Message, states: Sequence[PolicyState], *, may_update: bool) -> Message:
    """What is shown of firmware, below what gateways do not comply with."""
    if not (blocks := shown_beside(states, may_update=may_update)):
        return drawn
    newer = [*blocks, *drawn.newer] if drawn.newer else ()
    text = f"{summary(open_states(states))}.\n{drawn.text}"
    return replace(drawn, text=text, blocks=[*blocks, *drawn.blocks], newer=newer)


def short(state: PolicyState) -> str:
    """``31 of 240 behind 3.5.0`` and for whom, without who said it."""
    whom = f" for {code(state.policy.query, 100)}" if state.policy.query else ""
    held = f". {_held(state)}" if state.held else ""
    return f"{_sign(state.policy)} {_on_it(state) if state.is_bad else _behind(state)}{whom}{held}"


def confirmation(text: str, question: PageRef, fleet: int) -> Message:
    """How many gateways it is about, before that is said of so many, or of none."""
    yes = button("Say so", ids.POLICY_CONFIRM, question, label="Say so all the same")
    small = "Nothing is said until you confirm it, and nothing is updated by it."
    return asks_first(f"policy {text}", question, fleet, yes, small, does="hold for")


def reason_dialog(question: PageRef, missing: PolicyReasonMissing, asked: PolicyRequest) -> View:
    """Asks why a version is bad; ``question`` comes back with the answer."""
    whom = f"{bold(f'{missing.covered:,} of {missing.fleet:,} gateways')}, whatever they run now"
    return modal(
        "Bad firmware",
        [
            section(f"Firmware {code(asked.version)} is known to be bad. That holds for {whom}."),
            text_input(ids.REASON, "Why?", most=300, placeholder="CVE-2026-1: remote code execution"),
            text_input(
                ids.LINK,
                "Where it is described",
                optional=True,
                most=300,
                initial=asked.link,
                placeholder="https://…",
            ),
        ],
        callback_id=ids.POLICY_CONFIRM,
        ref=question,
        submit="Say so",
    )


def declared(policy: FirmwarePolicy, covered: int) -> Message:
    """The answer to whoever said it."""
    text = (
        f"{_sign(policy)} {bold(policy.title)} {_says(policy)}. It holds for {count(covered, 'gateway')} now."
    )
    if not covered:
        text += f"\n{nothing_matches()}"
    then = "Gateways on it become an alert with the next poll. " if policy.kind is PolicyKind.BAD else ""
    small = f"{then}Nothing is updated by itself: `/mesh policy` shows how the fleet stands, with buttons."
    stand = open_button(ALL_POLICIES, "Gateways on it" if policy.kind is PolicyKind.BAD else "Who is behind")
    undo = _end_button(policy, text="Undo")
    return message(f"{text}\n{small}", [section(text), *actions(stand, undo), context(small)])


def declared_dialog(policy: FirmwarePolicy, covered: int) -> View:
    """In the place of the dialog that asked why."""
    return modal("Bad firmware", declared(policy, covered).blocks, callback_id="said")


def ended(policy: FirmwarePolicy) -> Message:
    text = f"{bold(policy.title)} ended: {_word(policy)}."
    undo = button("Undo", ids.POLICY_UNDO, CardRef(str(policy.id)), label=f"Undo the end of {policy.title}")
    return message(text, [section(text), *actions(undo)])


def back(policy: FirmwarePolicy) -> Message:
    text = f"Undone: {_sign(policy)} {bold(policy.title)} {_says(policy)}."
    return message(text, [section(text)])


def told(body: Mapping[str, Any]) -> Message:
    """In the channel of rollouts: what somebody says of a version, or says no more."""
    version, whom = code(str(body["version"])), _whom(str(body["query"]))
    is_bad = body["kind"] == PolicyKind.BAD.value
    what = "known to be bad" if is_bad else "the version to run"
    is_it = f"firmware {version} is {what} {whom}{_why(body['reason'], body['link'])}"
    who, title = mention(str(body["who"])), bold(f"P-{body['id']}")
    match AuditAction(body["what"]):
        case AuditAction.END_POLICY:
            text = f"{title} ended by {who}: firmware {version} is no longer {what} {whom}."
        case AuditAction.UNDO_POLICY:
            text = f"{title} brought back by {who}: {is_it}."
        case _:
            text = f"{'⚠️' if is_bad else '🎯'} {title} by {who}: {is_it}."
    return message(text, [section(text, open_button(ALL_POLICIES, "Policy"))])


def _buttons(state: PolicyState, end: Block | None = None, *, may_update: bool) -> list[Block]:
    """To the gateways, and to a plan of their update; nothing starts by it."""
    version = state.remedy or "latest" if state.is_bad else state.policy.version
    gateways = update = None
    if state.affected:
        gateways = open_button(Door(DEVICES, state.query, state.query), "Gateways")
        many = count(state.affected, "gateway")
        ref = PlanRef(version=version, query=state.query)
        if may_update and not state.held:
            label = f"Plan the update of {many} to {version}"
            update = button(f"Update {many}", ids.ROLLOUT_REPLAN, ref, label=label)
    return actions(gateways, update, end)


def _end_button(policy: FirmwarePolicy, page: PageRef | None = None, text: str = "End") -> Block:
    """``page``: of the list to draw again."""
    ref = CardRef(str(policy.id), answer=page)
    return button(text, ids.POLICY_END, ref, label=f"{text} the firmware policy {policy.title}")


def _sign(policy: FirmwarePolicy) -> str:
    return "⚠️" if policy.kind is PolicyKind.BAD else "🎯"


def _word(policy: FirmwarePolicy) -> str:
    what = policy.kind.word
    return f"{code(policy.version)} is no longer {what} {_whom(policy.query)}"


def _says(policy: FirmwarePolicy) -> str:
    what = f"is {policy.kind.word}"
    return f"{code(policy.version)} {what} {_whom(policy.query)}{_why(policy.reason, policy.link)}"


def _whom(query: str) -> str:
    return f"for {code(query, 200)}" if query else "for all gateways"


def _why(reason: str | None, link: str | None) -> str:
    told = [*([name(reason, 300).rstrip(".")] if reason else []), *([linked("more", link)] if link else [])]
    return f": {', '.join(told)}" if told else ""


def _stands(state: PolicyState) -> str:
    if state.is_bad:
        return f"{count(state.affected, 'gateway runs', 'gateways run')} it."
    untold = (
        f" {count(state.untold, 'gateway tells', 'gateways tell')} no version to compare."
        if state.untold
        else ""
    )
    held = f" {_held(state)}." if state.held else ""
    return f"{_behind(state)}.{untold}{held}"


def _behind(state: PolicyState) -> str:
    """``31 of 240 behind 3.5.0, 3 of them first seen in the last day``."""
    new = f", {state.new:,} of them first seen in the last day" if state.new else ""
    return f"{state.affected:,} of {state.gateways:,} behind {code(state.policy.version, 40)}{new}"


def _on_it(state: PolicyState) -> str:
    return f"{state.affected:,} on {code(state.policy.version, 40)}, {state.policy.kind.word}"


def _held(state: PolicyState) -> str:
    return f"{status('frozen')}, so no update to it starts: {name(state.held or '', 300)}"
