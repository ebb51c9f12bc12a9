"""The dialog in which an update is put together without typing. Pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.firmware import Firmware
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import RolloutRules
from bot.domain.rollouts.progress import DrawnPlan
from bot.slack import ids
from bot.slack.ids import PlanRef
from bot.slack.rollouts.views import plan as plan_views
from bot.slack.views.blocks import Block, View, context, divider, escape, section, utc
from bot.slack.views.modals import modal, moment_input, select

MOST_PLACES = 98  # a menu holds 100; one is "everywhere", and one may be what the dialog was opened for
_LONGEST = 140  # of an option's value
_ANY_TIME = {ids.ROLLOUT_WHEN: "any"}
_WHEN = [("any", "At any time"), (ids.IN_MAINTENANCE, "In maintenance: the next window that holds them all")]
TITLE = "Update firmware"


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be chosen: files by model, the newest first, and queries with what they are called; and
    whether a maintenance window is planned.
    """

    files: Mapping[str, Sequence[Firmware]]
    places: Sequence[tuple[str, str]]
    windows: bool = False


def loading() -> View:
    """What is shown while the choices are being looked up."""
    return modal(TITLE, [section("One moment, I am looking up what there is…")], callback_id=ids.ROLLOUT_FORM)


def form(offers: Offers, chosen: Mapping[str, str], preview: Sequence[Block], ref: PlanRef) -> View:
    """The choices, and below them what they would do; ``ref`` names the plan that is shown."""
    models = _choices((model, model) for model in offers.files)
    if not models:
        return closed("Meshtech offers no firmware.")
    versions = _choices(_versions(offers.files.get(chosen.get(ids.ROLLOUT_MODEL, ""), ())))
    shown = [_asks(ids.ROLLOUT_MODEL, "Model", models, chosen)]
    if versions:
        places = [one for one in offers.places if len(one[0]) <= _LONGEST]
        everywhere = [(ids.ROLLOUT_EVERYWHERE, "Everywhere")]
        asked = chosen.get(ids.ROLLOUT_PLACE, "")
        offered = {ids.ROLLOUT_EVERYWHERE, *(query for query, _ in places[:MOST_PLACES])}
        only = [] if asked in {"", *offered} or len(asked) > _LONGEST else [(asked, f"Only {asked}")]
        shown_places = [*only, *everywhere, *places[:MOST_PLACES]]
        hint = None
        if len(places) > MOST_PLACES:
            hint = f"{MOST_PLACES} of {len(places):,} tags. /mesh update takes any query."
        shown += [
            _asks(ids.ROLLOUT_VERSION, "Version", versions, chosen),
            _asks(ids.ROLLOUT_PLACE, "Which gateways", shown_places, chosen, hint),
            *([_asks(ids.ROLLOUT_WHEN, "When", _WHEN, {**_ANY_TIME, **chosen})] if offers.windows else []),
            moment_input(
                ids.ROLLOUT_START,
                "Start",
                optional=True,
                initial=chosen.get(ids.ROLLOUT_START),
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


def closed(sentence: str) -> View:
    """Where there is nothing to choose; ``sentence`` says why."""
    return modal(TITLE, [section(escape(sentence))], callback_id=ids.ROLLOUT_FORM)


def look_first() -> list[Block]:
    """Above a plan that was asked for before it was there to be seen."""
    return [section("Look at the plan of what is chosen now, then press the button again.")]


def nothing_chosen() -> list[Block]:
    return [context("Choose, and the plan is shown here. Nothing is sent before it is approved.")]


def plan(drawn: DrawnPlan | FirmwareChoice, rules: RolloutRules) -> list[Block]:
    """The plan of what is chosen, without its buttons: the dialog has its own."""
    if isinstance(drawn, FirmwareChoice):
        return [section("Several files have that version: choose one.")]
    return [block for block in plan_views.plan(drawn, rules).blocks if block["type"] != "actions"]


def trouble(sentence: str) -> list[Block]:
    return [section(escape(sentence))]


def _versions(files: Sequence[Firmware]) -> Iterable[tuple[str, str]]:
    """Files by their ids, called by their versions, and by name and time too where one has several."""
    of_version = Counter(one.version for one in files)
    for one in files:
        version = one.version or ""
        if of_version[version] == 1:
            yield one.id, version
        else:
            made = utc(one.created_at) if one.created_at else ""
            yield one.id, " · ".join(filter(None, (version, made, one.file_name or one.id)))


def _choices(options: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """All but those too long for a menu: the command takes them."""
    return [(value, text) for value, text in options if max(len(value), len(text)) <= _LONGEST]


def _asks(
    block_id: str,
    label: str,
    options: Sequence[tuple[str, str]],
    chosen: Mapping[str, str],
    hint: str | None = None,
) -> Block:
    """A menu whose every change is told, so that the preview follows."""
    asked = select(block_id, label, options, initial=chosen.get(block_id), hint=hint)
    return asked | {"dispatch_action": True}
