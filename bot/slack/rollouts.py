"""Listeners for rollouts: `update`, `rollouts`, `rollout`, `jobs`, `job` and the buttons of cards."""

from collections.abc import Mapping

from bot.domain.access import Action, Actor, require
from bot.domain.errors import InvalidInput, NotFound
from bot.domain.plan import ModelChoice
from bot.domain.rollout import RolloutId
from bot.services.rollouts import RolloutPicture, RolloutService
from bot.slack import ids
from bot.slack.calls import (
    Click,
    Command,
    CommandCall,
    Feature,
    Submission,
    SubmissionAnswer,
    Views,
)
from bot.slack.ids import Ref
from bot.slack.lists import ListFile, ListHandler
from bot.slack.views import rollouts as views
from bot.slack.views.blocks import Message, actions, button
from bot.slack.views.csv_file import CsvFile
from bot.slack.views.lists import Place
from bot.slack.views.lists import buttons as page_buttons

PAGE = 10
ROLLOUTS, JOBS, ROLLOUT = "rollouts", "jobs", "rollout"
USAGE = "Write it like this: /mesh update tag:oslo to 3.5.0, or … to latest."


class RolloutListeners:
    """Translate only: parse, one call of the service, render."""

    def __init__(self, service: RolloutService, modals: Views) -> None:
        self._service = service
        self._modals = modals

    def feature(self) -> Feature:
        return Feature(
            commands={
                "update": Command(
                    "update <query> to <version|latest>",
                    "Plan a firmware update",
                    self.update,
                    needs="operator",
                    examples=("update tag:oslo to 3.5.0", "update model:2011 fw:<3.5.0 to latest"),
                ),
                "rollouts": Command("rollouts", "List firmware rollouts", self.rollouts),
                "rollout": Command(
                    "rollout <R-n>", "Show one rollout", self.rollout, examples=("rollout R-7",)
                ),
                "jobs": Command("jobs", "List the portal's jobs, whoever created them", self.jobs),
                "job": Command("job <id>", "Show one of the portal's jobs", self.job),
            },
            clicks={
                ids.ROLLOUT_REQUEST: self.request,
                ids.ROLLOUT_CANCEL: self.cancel,
                ids.ROLLOUT_REPLAN: self.replan,
                ids.ROLLOUT_APPROVE: self.approve,
                ids.ROLLOUT_DENY: self.ask_why,
            },
            submissions={ids.ROLLOUT_DENY: self.deny},
            cards={"rollout": self.draw_card},
            notes={"rollout_decided": views.decided_note, "rollout_finished": views.finished_note},
        )

    def lists(self) -> Mapping[str, ListHandler]:
        """The kinds of list that page, refresh and export through the shared buttons."""
        return {
            ROLLOUTS: ListHandler(self._rollouts_page),
            JOBS: ListHandler(self._jobs_page),
            ROLLOUT: ListHandler(self._rollout_page, export=self._export),
        }

    # ---- commands

    async def update(self, call: CommandCall) -> None:
        query, version = parse_update(call.text)
        await call.respond.answer(await self._plan(call.actor, call.channel, query, version))

    async def rollouts(self, call: CommandCall) -> None:
        await call.respond.answer(await self._rollouts_page(call.actor, 0, ""))

    async def rollout(self, call: CommandCall) -> None:
        await call.respond.answer(await self._rollout_page(call.actor, 0, call.text))

    async def jobs(self, call: CommandCall) -> None:
        await call.respond.answer(await self._jobs_page(call.actor, 0, ""))

    async def job(self, call: CommandCall) -> None:
        require(call.actor, Action.READ)
        if not call.text.strip():
            raise InvalidInput("Which job? /mesh jobs lists them with their ids; then /mesh job <id>.")
        line = await self._service.vendor_job(call.text)
        await call.respond.answer(views.job(line.job, line.rollout_id, str))

    async def _plan(
        self, actor: Actor, channel: str | None, query: str, version: str, model: str | None = None
    ) -> Message:
        drawn = await self._service.plan(actor, channel, query, version, model)
        return (
            views.model_choice(drawn) if isinstance(drawn, ModelChoice) else views.plan(drawn.id, drawn.plan)
        )

    # ---- clicks

    async def replan(self, click: Click) -> None:
        parts = click.ref.extra.split("\n", 2)
        if click.ref.id != "model" or len(parts) != 3:
            raise InvalidInput("I do not understand that button any more. Please run the update again.")
        model, version, query = parts
        await click.respond.answer(await self._plan(click.actor, click.channel, query, version, model))

    async def request(self, click: Click) -> None:
        rollout = await self._service.request(click.actor, click.ref.id)
        await click.respond.answer(views.requested(rollout))

    async def cancel(self, click: Click) -> None:
        """On a plan's answer it drops the plan; on a card it withdraws the request."""
        if click.ref.id.isdigit():
            await self._service.cancel(click.actor, _rollout_id(click))
            return
        await self._service.forget_plan(click.actor, click.ref.id)
        await click.respond.answer(views.plan_forgotten())

    async def approve(self, click: Click) -> None:
        await self._service.approve(click.actor, _rollout_id(click))

    async def ask_why(self, click: Click) -> None:
        rollout = await self._service.may_decide(click.actor, _rollout_id(click))
        if click.trigger_id is None:
            raise InvalidInput("Slack gave me no way to ask you why. Please click Deny once more.")
        await self._modals.open(click.trigger_id, views.deny_modal(rollout))

    async def deny(self, submission: Submission) -> SubmissionAnswer:
        try:
            await self._service.deny(
                submission.actor, RolloutId(int(submission.ref.id)), submission.values.get(ids.REASON, "")
            )
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.REASON: str(error)})
        return SubmissionAnswer()

    # ---- what is drawn

    async def draw_card(self, subject: str) -> Message:
        return _card(await self._service.picture(RolloutId(int(subject))))

    async def _rollouts_page(self, actor: Actor, offset: int, _question: str) -> Message:
        require(actor, Action.READ)
        page = await self._service.page(offset, PAGE)
        if offset and not page.lines:
            return await self._rollouts_page(actor, 0, "")
        entries = [(line.rollout, line.counts) for line in page.lines]
        buttons = page_buttons(Place(ROLLOUTS, offset, page.total, PAGE), refresh=True)
        return views.rollout_list(entries, page.total, offset, buttons)

    async def _jobs_page(self, actor: Actor, offset: int, _question: str) -> Message:
        require(actor, Action.READ)
        found, more = await self._service.vendor_jobs(offset, PAGE)
        entries = [(line.job, line.rollout_id) for line in found]
        known = offset + len(found) + int(more)  # how many there are in all is never asked
        buttons = page_buttons(Place(JOBS, offset, known, PAGE), refresh=True)
        return views.job_list(entries, offset, buttons)

    async def _rollout_page(self, actor: Actor, _offset: int, text: str) -> Message:
        require(actor, Action.READ)
        rollout_id = await self._service.find(text)
        message = _card(await self._service.picture(rollout_id))
        ref = Ref(ROLLOUT, 0, str(rollout_id))
        buttons = actions(
            button("Refresh", ids.REFRESH, ref), button("All gateways as CSV", ids.EXPORT_CSV, ref)
        )
        return Message(message.text, [*message.blocks, *buttons])

    async def _export(self, actor: Actor, text: str) -> ListFile:
        require(actor, Action.READ)
        rollout_id = await self._service.find(text)
        rows = await self._service.targets(rollout_id)
        file = CsvFile(["id", "name", "site", "firmware before", "wave", "class", "state", "reason"])
        file.add(
            (
                row.gateway_id,
                row.label,
                row.site,
                row.firmware_before,
                str(row.wave),
                row.cls.value,
                row.state.value,
                row.reason,
            )
            for row in rows
        )
        title = f"R-{rollout_id}: {len(rows)} gateways"
        return ListFile(f"R-{rollout_id}.csv", title, file.content(), file.rows)


def parse_update(text: str) -> tuple[str, str]:
    """The query and the version: the last " to " separates them. Raises InvalidInput with the usage."""
    query, separator, version = f" {text.strip()}".rpartition(" to ")
    version = version.strip()
    if not separator or not version:
        raise InvalidInput(f"I need a query and a version. {USAGE}")
    if not query.strip():
        raise InvalidInput(f"Which gateways? For the whole fleet, name:* says so. {USAGE}")
    if len(version.split()) > 1:
        raise InvalidInput(f"After “to” comes one version, and that is not one: {version[:60]}. {USAGE}")
    return query.strip(), version


def _card(picture: RolloutPicture) -> Message:
    failures = [(row.label, row.site, row.reason or "no reason given") for row in picture.failures]
    return views.card(picture.rollout, picture.counts, picture.classes, failures, picture.failed)


def _rollout_id(click: Click) -> RolloutId:
    if not click.ref.id.isdigit():
        raise NotFound("That button names no rollout any more. /mesh rollouts lists them.")
    return RolloutId(int(click.ref.id))
