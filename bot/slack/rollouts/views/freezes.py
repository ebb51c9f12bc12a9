"""Freezes as messages: what is frozen, what that holds, and the dialog that asks why. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain.rollouts.freezes import Freeze, FreezeEffect
from bot.domain.rollouts.lifecycle import RolloutId
from bot.slack import ids
from bot.slack.ids import FreezeRef
from bot.slack.rollouts.views.card import said, spoken
from bot.slack.rollouts.views.notes import frozen_words, numbers_of
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
    date,
    escape,
    mention,
    message,
    name,
    plain_name,
    section,
)
from bot.slack.views.modals import modal, text_input
from bot.slack.views.paging import rows_with

HOW_TO_FREEZE = (
    "To hold every start: /mesh freeze everything because <reason>. To hold one firmware: "
    "/mesh freeze firmware <version> because <reason>. What has started is still judged, and "
    "/mesh unfreeze ends it."
)


def freezes(standing: Sequence[Freeze]) -> Message:
    """Everything that is frozen, and how to freeze."""
    shown = [
        f"🧊 {_frozen(one.firmware_version)} is frozen by "
        f"{mention(one.by) if one.by != 'meshbot' else 'the bot'}, {date(one.at)}: {name(one.reason, 400)}"
        for one in standing
    ]
    how = escape(HOW_TO_FREEZE)
    blocks = rows_with(shown, [_unfreeze(one) for one in standing])
    if not standing:
        shown, blocks = ["Nothing is frozen."], [section("Nothing is frozen.")]
    return message(spoken([*shown, how]), [*blocks, context(how)])


def _unfreeze(freeze: Freeze) -> Block:
    version = freeze.firmware_version
    ref = FreezeRef(version, freeze.reason)
    sure = confirm(
        f"Unfreeze {plain_name(ref.subject, 60)}?", "The rollouts that it alone holds go on.", "Unfreeze"
    )
    return button("Unfreeze", ids.UNFREEZE, ref, confirm=sure, label=f"Unfreeze {plain_name(ref.subject)}")


def freeze_asked(held: Sequence[RolloutId], asked: FreezeRef) -> Message:
    """What a freeze of everything would hold, before it does."""
    text = (
        f"⚠️ This holds {bold('every start of every update')} until somebody ends it: "
        f"{name(asked.reason, 400)}. {_would_hold(held)} Nothing is frozen yet."
    )
    sure = button("Freeze everything", ids.FREEZE, asked, style="danger")
    return message(text, [section(text), *actions(sure)])


def freeze_modal(held: Sequence[RolloutId], asked: FreezeRef) -> View:
    """Asks for the reason that a freeze needs."""
    what = (
        f"every start of firmware {code(asked.version)}" if asked.version else "every start of every update"
    )
    return modal(
        "Freeze firmware" if asked.version else "Freeze everything",
        [
            section(f"This holds {bold(what)} until somebody ends it. {_would_hold(held)}"),
            text_input(
                ids.REASON,
                "Why?",
                multiline=True,
                most=1000,
                hint="The channel of rollouts and everybody whose update waits can read it.",
            ),
        ],
        callback_id=ids.FREEZE,
        ref=asked,
        submit="Freeze",
    )


def frozen(effect: FreezeEffect) -> Message:
    """What was frozen, as its answer."""
    freeze, held = effect.freeze, numbers_of(effect.rollouts)
    holds = f"It holds {held}." if held else "No rollout waits for it now."
    return said(
        f"🧊 {_frozen(freeze.firmware_version)} is frozen: {name(freeze.reason, 400)}. {holds} "
        "What has started is still judged; `/mesh unfreeze` ends it."
    )


def frozen_view(effect: FreezeEffect) -> View:
    """The same in the place of the modal that asked why."""
    title = "Freeze firmware" if effect.freeze.firmware_version else "Freeze everything"
    return modal(title, list(frozen(effect).blocks), callback_id="said")


def unfrozen(effect: FreezeEffect) -> Message:
    """What a freeze was that ended, and which rollouts go on without it."""
    lifted = effect.freeze
    by = mention(lifted.by) if lifted.by != "meshbot" else "the bot"
    return said(
        f"🔄 {_frozen(lifted.firmware_version)} is no longer frozen: {by} froze it {date(lifted.at)}, "
        f"{name(lifted.reason, 400)}. {freed_words(effect.rollouts, effect.still_held)}"
    )


def _frozen(version: str) -> str:
    return f"Firmware {code(version)}" if version else "Everything"


def _would_hold(held: Sequence[RolloutId]) -> str:
    return f"Now that is {numbers_of(held)}." if held else "No rollout would wait for it now."


def told_of_freeze(body: Mapping[str, Any]) -> Message:
    """Tells the channel of rollouts what somebody froze or unfroze, and which rollouts that holds."""
    who, what = mention(str(body["by"])), frozen_words(str(body["version"]))
    rollouts = [RolloutId(int(number)) for number in body["rollouts"]]
    why = name(str(body["reason"]), 400)
    if body["ended"]:
        still = {RolloutId(int(number)): str(reason) for number, reason in body["still_held"].items()}
        led = numbers_of(rollouts) if rollouts else "No rollout waited"
        freed = freed_words(rollouts, still)
        return said(f"🔄 {led}: {who} unfroze {what}, which was frozen: {why}. {freed}")
    led = f"{numbers_of(rollouts)} held" if rollouts else "No rollout held"
    return said(f"🧊 {led}: {who} froze {what}: {why}. `/mesh unfreeze` ends it.")


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
