"""The window in which an update is put together without typing. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain.plan import ModelChoice, Rules
from bot.domain.rollout_picture import DrawnPlan
from bot.slack import ids
from bot.slack.ids import Ref
from bot.slack.views import rollouts
from bot.slack.views.blocks import Block, View, context, divider, escape, modal, section, select, text_input

MOST_PLACES = 99  # a menu holds 100, and one of them is "everywhere"
_LONGEST = 140  # of an option's value
TITLE = "Update firmware"


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be chosen: versions by model, the newest first, and queries with what they are called."""

    versions: Mapping[str, Sequence[str]]
    places: Sequence[tuple[str, str]]


def loading() -> View:
    """What is shown while the choices are being looked up."""
    return modal(TITLE, [section("One moment, I am looking up what there is…")], callback_id=ids.ROLLOUT_FORM)


def form(offers: Offers, chosen: Mapping[str, str], preview: Sequence[Block], ref: Ref) -> View:
    """The choices, and below them what they would do; ``ref`` names the plan that is shown."""
    if not offers.versions:
        return modal(TITLE, [section("Meshtech offers no firmware.")], callback_id=ids.ROLLOUT_FORM)
    versions = offers.versions.get(chosen.get(ids.ROLLOUT_MODEL, ""), ())
    shown = [_asks(select(ids.ROLLOUT_MODEL, "Model", [(one, one) for one in offers.versions]))]
    if versions:
        places = [("", "Everywhere"), *offers.places[:MOST_PLACES]]
        shown += [
            _asks(select(ids.ROLLOUT_VERSION, "Version", [(one, one) for one in versions])),
            _asks(
                select(
                    ids.ROLLOUT_PLACE,
                    "Which gateways",
                    [
                        (query or ids.ROLLOUT_EVERYWHERE, text)
                        for query, text in places
                        if len(query) <= _LONGEST
                    ],
                )
            ),
            text_input(
                ids.ROLLOUT_START,
                "Start",
                optional=True,
                most=16,
                placeholder="22:00, or 2026-12-01 22:00",
                hint="Left empty, it starts when it is approved.",
            ),
        ]
    return modal(
        TITLE,
        [*shown, divider(), *preview],
        callback_id=ids.ROLLOUT_FORM,
        ref=ref,
        submit="Request approval",  # Slack wants one wherever there is something to fill in
    )


def nothing_chosen() -> list[Block]:
    return [context("Choose, and the plan is shown here. Nothing is sent before it is approved.")]


def plan(drawn: DrawnPlan | ModelChoice, rules: Rules) -> list[Block]:
    """The plan of what is chosen, without its buttons: the window has its own."""
    if isinstance(drawn, ModelChoice):
        return [section("Several models have that version: choose one.")]
    return [block for block in rollouts.plan(drawn, rules).blocks if block["type"] != "actions"]


def trouble(sentence: str) -> list[Block]:
    return [section(escape(sentence))]


def _asks(block: Block) -> Block:
    """An input whose every change is told, so that the preview follows."""
    return block | {"dispatch_action": True}
