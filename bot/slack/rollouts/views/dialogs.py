"""The dialogs that ask why, before somebody denies a rollout or overrides a rule. Pure functions."""

from bot.domain.rollouts.lifecycle import Rollout
from bot.slack import ids
from bot.slack.ids import CardRef
from bot.slack.rollouts.views.card import starts_words
from bot.slack.views.blocks import View, code, mention, name, section
from bot.slack.views.modals import modal, text_input


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
