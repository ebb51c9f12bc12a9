"""``update`` alone: a dialog with menus, a plan that follows every choice, and a request at its end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from weakref import WeakValueDictionary

from bot.domain.access import Action, Actor, require
from bot.domain.errors import BotError, InvalidInput
from bot.domain.firmware import Firmware
from bot.domain.query import Field, exactly
from bot.domain.rollouts.progress import DrawnPlan
from bot.domain.times.written_times import checked_start
from bot.services.rollouts.plans_and_approvals import RolloutRequests
from bot.slack import ids
from bot.slack.ids import PlanRef
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Errand,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.rollouts.views import form as views
from bot.slack.rollouts.views import plan as plan_views
from bot.slack.rollouts.views.form import Offers
from bot.slack.views.blocks import Block, View, button
from bot.slack.views.modals import modal, picked

_CHOICES = (ids.ROLLOUT_MODEL, ids.ROLLOUT_VERSION, ids.ROLLOUT_PLACE)
START_TWICE = "An update in maintenance starts when the window opens: leave out the time."
_NO_PLAN = ""


on = Declarations()
_ERRANDS = (
    Errand(
        "Update firmware",
        ("update oslo to latest", "rollouts"),
        button("Plan…", ids.ROLLOUT_FORM, PlanRef(), label="Plan an update"),
        needs="operator",
    ),
)


class RolloutForm:
    """Translate only; what is chosen lives in the dialog itself.

    Choices in one dialog are drawn in turn, so that the last one is what stays to be seen. Where another
    process drew an earlier one over it, submitting shows the plan instead of requesting it. ``firmware`` is
    what Meshtech offers, the newest of each model first; ``tags`` are those that gateways carry, and
    ``windows`` the maintenance that is planned.
    """

    def __init__(
        self,
        rollouts: RolloutRequests,
        screen: ViewCalls,
        *,
        firmware: Callable[[], Awaitable[Sequence[Firmware]]],
        tags: Callable[[], Awaitable[Sequence[str]]],
        windows: Callable[[Actor], Awaitable[Sequence[object]]],
    ) -> None:
        self._firmware = firmware
        self._tags = tags
        self._windows = windows
        self._rollouts = rollouts
        self._screen = screen
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def feature(self) -> Feature:
        return on.of(self, errands=_ERRANDS)

    async def open(self, call: CommandCall) -> None:
        """From the command ``update`` alone."""
        require(call.actor, Action.REQUEST)
        assert call.trigger_id is not None, "a mention has none, and is answered with the usage"
        await self._open(call.actor, call.trigger_id, call.channel, {})

    @on.click(ids.ROLLOUT_FORM)
    async def begin(self, click: Click) -> None:
        """From the home tab, where there is no channel, or from a gateway's card, which chooses for it."""
        require(click.actor, Action.REQUEST)
        asked = click.ref if isinstance(click.ref, PlanRef) else PlanRef()  # a shortcut has none
        chosen = {ids.ROLLOUT_MODEL: asked.model, ids.ROLLOUT_PLACE: asked.query}
        known = {key: text for key, text in chosen.items() if text}
        await self._open(click.actor, click.trigger_id, click.channel, known)

    async def _open(
        self, actor: Actor, trigger_id: str | None, channel: str, chosen: Mapping[str, str]
    ) -> None:
        """Opens it at once, since a trigger lives three seconds, and fills it when Meshtech has answered."""
        view_id = await self._screen.open(trigger_id, views.loading())
        try:
            form = views.form(
                await self._offers(actor, await self._firmware()),
                chosen,
                views.nothing_chosen(),
                _ref(_NO_PLAN, channel, chosen),
            )
        except BotError as error:
            form = views.closed(str(error))
        await self._screen.update(view_id, form)

    @on.click(*_CHOICES, ids.ROLLOUT_WHEN)
    async def choose(self, click: Click) -> None:
        """Draws the plan of what is chosen now; the dialog remembers which plan that is, and of what."""
        if click.view_id is None:
            raise InvalidInput("That dialog is gone. Send /mesh update again.")
        async with self._turns.setdefault(click.view_id, asyncio.Lock()):
            form = await self._form(click.actor, click.plan.channel, click.values)
            await self._screen.update(click.view_id, form)

    @on.submission(ids.ROLLOUT_FORM)
    async def submit(self, sent: Submission) -> SubmissionAnswer:
        """Requests the plan that the dialog shows, and asks Meshtech nothing: Slack waits for this."""
        if any(not sent.values.get(one) for one in _CHOICES):
            return SubmissionAnswer(
                errors={ids.ROLLOUT_MODEL: "Choose a model, a version and which gateways."}
            )
        shown, channel = sent.plan, sent.plan.channel
        if shown.id == _NO_PLAN or shown != _ref(shown.id, channel, sent.values):
            return SubmissionAnswer(view=await self._form(sent.actor, channel, sent.values, is_unseen=True))
        try:
            start_at = self._start(sent.values)
            if start_at and _is_in_maintenance(sent.values):
                raise InvalidInput(START_TWICE)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.ROLLOUT_START: str(error)})
        try:
            rollout = await self._rollouts.request(sent.actor, shown.id, start_at)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.ROLLOUT_VERSION: str(error)})
        said = plan_views.requested(rollout, await self._rollouts.shown_in(rollout.id))
        return SubmissionAnswer(view=modal(views.TITLE, said.blocks, callback_id=ids.ROLLOUT_FORM))

    async def _form(
        self, actor: Actor, channel: str, values: Mapping[str, str], *, is_unseen: bool = False
    ) -> View:
        """The dialog of these choices; ``is_unseen``: they were sent before their plan was there to see."""
        firmware = await self._firmware()
        plan_id, shown = await self._preview(actor, channel, values, firmware)
        if is_unseen and plan_id != _NO_PLAN:
            shown = [*views.look_first(), *shown]
        offers = await self._offers(actor, firmware)
        return views.form(offers, values, shown, _ref(plan_id, channel, values))

    async def _preview(
        self, actor: Actor, channel: str, values: Mapping[str, str], firmware: Sequence[Firmware]
    ) -> tuple[str, Sequence[Block]]:
        """The plan's id, if there is one, and what is shown of it."""
        model, file, place = (values.get(one, "") for one in _CHOICES)
        version = next((one.version for one in firmware if (one.id, one.model) == (file, model)), None)
        if not version or not place:
            return _NO_PLAN, views.nothing_chosen()
        query = "" if place == ids.ROLLOUT_EVERYWHERE else place
        of_model = exactly(Field.MODEL, model) or f"model:{model}"
        try:
            drawn = await self._rollouts.plan(
                actor,
                channel or None,
                f"{of_model} {query}".strip(),
                version,
                model,
                file=file,
                in_maintenance=_is_in_maintenance(values),
            )
        except BotError as error:
            return _NO_PLAN, views.trouble(str(error))
        plan_id = drawn.id if isinstance(drawn, DrawnPlan) else _NO_PLAN
        return plan_id, views.plan(drawn, self._rollouts.rules)

    def _start(self, values: Mapping[str, str]) -> datetime | None:
        text = values.get(ids.ROLLOUT_START, "")
        if not text:
            return None
        return checked_start(picked(text), "That time", self._rollouts.rules.zone, self._rollouts.now())

    async def _offers(self, actor: Actor, firmware: Sequence[Firmware]) -> Offers:
        files: dict[str, list[Firmware]] = {}
        for one in firmware:
            if one.model and one.version:
                files.setdefault(one.model, []).append(one)
        tags = ((exactly(Field.TAG, tag), tag) for tag in await self._tags())
        places = [(query, f"With the tag {tag}") for query, tag in tags if query]
        return Offers(files, places, windows=bool(await self._windows(actor)))


def _ref(plan_id: str, channel: str, values: Mapping[str, str]) -> PlanRef:
    """Which plan the dialog shows, where it was asked for, and of which choices it is."""
    shown = PlanRef(plan_id, channel, *(values.get(one, "") for one in _CHOICES))
    return replace(shown, start=ids.IN_MAINTENANCE) if _is_in_maintenance(values) else shown


def _is_in_maintenance(values: Mapping[str, str]) -> bool:
    return values.get(ids.ROLLOUT_WHEN) == ids.IN_MAINTENANCE
