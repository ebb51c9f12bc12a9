"""``update`` alone: a window with menus, a plan that follows every choice, and a request at its end."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.domain.access import Action, require
from bot.domain.errors import BotError, InvalidInput
from bot.domain.plan import ModelChoice
from bot.domain.rollout_picture import DrawnPlan
from bot.domain.windows import parse_start
from bot.services.fleet import FleetService
from bot.services.rollouts import RolloutService
from bot.slack import ids
from bot.slack.calls import Click, CommandCall, Feature, Submission, SubmissionAnswer, Views
from bot.slack.views import rollout_form as views
from bot.slack.views import rollouts as rollout_views
from bot.slack.views.blocks import Block, modal
from bot.slack.views.rollout_form import Offers

_CHOICES = (ids.ROLLOUT_MODEL, ids.ROLLOUT_VERSION, ids.ROLLOUT_PLACE)


class RolloutForm:
    """Translate only; what is chosen lives in the window itself."""

    def __init__(self, fleet: FleetService, rollouts: RolloutService, screen: Views) -> None:
        self._fleet = fleet
        self._rollouts = rollouts
        self._screen = screen

    def feature(self) -> Feature:
        return Feature(
            clicks={**dict.fromkeys(_CHOICES, self.choose), ids.ROLLOUT_FORM: self.begin},
            submissions={ids.ROLLOUT_FORM: self.submit},
        )

    async def open(self, call: CommandCall) -> None:
        """From the command ``update`` alone."""
        require(call.actor, Action.REQUEST)
        assert call.trigger_id is not None, "a mention has none, and is answered with the usage"
        await self._open(call.trigger_id, call.channel)

    async def begin(self, click: Click) -> None:
        """From the button on the home tab, where there is no channel."""
        require(click.actor, Action.REQUEST)
        if click.trigger_id is None:
            raise InvalidInput("Slack gave me no way to open a window. Please click once more.")
        await self._open(click.trigger_id, click.channel)

    async def _open(self, trigger_id: str, channel: str) -> None:
        """Opens it at once, since a trigger lives three seconds, and fills it when Meshtech has answered."""
        view_id = await self._screen.open(trigger_id, views.loading())
        form = views.form(await self._offers(), {}, views.nothing_chosen(), channel)
        await self._screen.update(view_id, form)

    async def choose(self, click: Click) -> None:
        """Draws the plan of what is chosen now."""
        if click.view_id is None:
            raise InvalidInput("That window is gone. Send the command “update” again.")
        channel = click.ref.extra
        shown = await self._preview(click, channel)
        form = views.form(await self._offers(), click.values, shown, channel)
        await self._screen.update(click.view_id, form)

    async def submit(self, sent: Submission) -> SubmissionAnswer:
        if any(not sent.values.get(one) for one in _CHOICES):
            return SubmissionAnswer(
                errors={ids.ROLLOUT_MODEL: "Choose a model, a version and which gateways."}
            )
        try:
            start_at = self._start(sent.values)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.ROLLOUT_START: str(error)})
        try:
            drawn = await self._drawn(sent, sent.ref.extra, start_at)
            if isinstance(drawn, ModelChoice):
                raise InvalidInput("Several models have that version: choose one.")
            rollout = await self._rollouts.request(sent.actor, drawn.id)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.ROLLOUT_VERSION: str(error)})
        said = rollout_views.requested(rollout)
        return SubmissionAnswer(view=modal(views.TITLE, said.blocks, callback_id=ids.ROLLOUT_FORM))

    async def _preview(self, click: Click, channel: str) -> Sequence[Block]:
        if any(not click.values.get(one) for one in _CHOICES):
            return views.nothing_chosen()
        try:
            drawn = await self._drawn(click, channel, None)
        except BotError as error:
            return views.trouble(str(error))
        return views.plan(drawn, self._rollouts.rules)

    async def _drawn(
        self, asked: Click | Submission, channel: str, start_at: datetime | None
    ) -> DrawnPlan | ModelChoice:
        model, version, place = (asked.values.get(one, "") for one in _CHOICES)
        query = "" if place == ids.ROLLOUT_EVERYWHERE else place
        return await self._rollouts.plan(
            asked.actor, channel or None, f"model:{_quoted(model)} {query}".strip(), version, model, start_at
        )

    def _start(self, values: Mapping[str, str]) -> datetime | None:
        text = values.get(ids.ROLLOUT_START, "")
        return parse_start(text, self._rollouts.rules.zone, self._rollouts.now()) if text else None

    async def _offers(self) -> Offers:
        versions: dict[str, list[str]] = {}
        for one in await self._fleet.firmware():
            if one.firmware.model and one.firmware.version:
                versions.setdefault(one.firmware.model, []).append(one.firmware.version)
        tags = [one.tag for one in await self._fleet.tags()]
        return Offers(versions, [(f"tag:{_quoted(tag)}", f"With the tag {tag}") for tag in tags])


def _quoted(text: str) -> str:
    return f'"{text}"'
