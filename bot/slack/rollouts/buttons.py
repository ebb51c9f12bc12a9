"""Listeners for the buttons and modals of rollouts: one service call each; the card changes by itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from bot.domain.access import Actor
from bot.domain.errors import AlreadyDone, InvalidInput, NotFound, Stale
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import ReasonNeeded, Rollout, RolloutId
from bot.domain.rollouts.progress import DrawnPlan
from bot.services.rollouts.plans_and_approvals import RolloutRequests
from bot.services.rollouts.steering import RolloutSteering
from bot.slack import ids
from bot.slack.ids import CardRef, PlanRef
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.rollouts.views import dialogs
from bot.slack.rollouts.views import lists as views
from bot.slack.rollouts.views import plan as plan_views
from bot.slack.views.blocks import Message

on = Declarations()


class Act(Protocol):
    """A decision about a rollout; ``drawn`` is what the button was drawn with, ``channel`` where it stood."""

    async def __call__(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None, channel: str | None
    ) -> object: ...


class Overridable(Protocol):
    """Approving and resuming, with an admin's reason where it takes one."""

    async def __call__(
        self,
        actor: Actor,
        rollout_id: RolloutId,
        override: str | None = None,
        *,
        drawn: int | None = None,
        channel: str | None = None,
    ) -> Rollout: ...


class RolloutButtons:
    """Who may is checked by the services, at the click."""

    def __init__(self, service: RolloutRequests, steering: RolloutSteering, modals: ViewCalls) -> None:
        self._service = service
        self._steering = steering
        self._modals = modals

    def feature(self) -> Feature:
        return on.of(self, in_threads={"rollout": self.in_thread})

    async def in_thread(self, word: str, call: CommandCall) -> bool:
        """What somebody decides about the rollout in whose thread they say it; the answer shows it."""
        assert call.about is not None
        rollout = rollout_id(CardRef(call.about[1], 0))
        if word == "deny":
            raise InvalidInput("A denial needs a reason: press Deny on the card.")
        act = self._said().get(word)
        if call.text not in {"", "this", *([f"R-{rollout}", f"r-{rollout}"] if act else [])}:
            return False
        if act is not None:
            try:
                await act(call.actor, rollout, drawn=None, channel=call.channel)
            except ReasonNeeded as needed:
                raise InvalidInput(f"{needed} The button on the card asks for it.") from needed
        elif word not in {"", "this", "rollout", "progress"}:
            return False
        await call.respond.answer(views.copy(await self._service.status(rollout)))
        return True

    def _said(self) -> Mapping[str, Act]:
        return {
            "approve": partial(self._service.approve, override=None),
            "cancel": self._service.cancel,
            "pause": self._steering.pause,
            "resume": partial(self._steering.resume, override=None),
            "promote": self._steering.promote,
            "abort": self._steering.abort,
            "retry": self._steering.retry_failed,
        }

    # ---- before it runs

    @on.click(ids.ROLLOUT_REPLAN)
    async def replan(self, click: Click) -> None:
        """On a choice of files it plans for one; on a void rollout's card it draws a new plan."""
        if isinstance(click.ref, PlanRef):
            chosen = click.ref
            in_maintenance = chosen.start == ids.IN_MAINTENANCE
            drawn = await self._service.plan(
                click.actor,
                click.channel,
                chosen.query,
                chosen.version,
                chosen.model or None,
                None if in_maintenance else _start(chosen),
                file=chosen.file or None,
                in_maintenance=in_maintenance,
            )
            await click.respond.answer(self._draw(drawn))
            return
        drawn = await self._service.plan_again(click.actor, rollout_id(click.card))
        await click.respond.add(self._draw(drawn))

    def _draw(self, drawn: DrawnPlan | FirmwareChoice) -> Message:
        if isinstance(drawn, FirmwareChoice):
            return plan_views.firmware_choice(drawn)
        return plan_views.plan(drawn, self._service.rules)

    @on.click(ids.ROLLOUT_REQUEST)
    async def request(self, click: Click) -> None:
        rollout = await self._service.request(click.actor, click.plan.id)
        await click.respond.answer(plan_views.requested(rollout, await self._service.shown_in(rollout.id)))

    @on.click(ids.ROLLOUT_CANCEL)
    async def cancel(self, click: Click) -> None:
        """On a plan's answer it drops the plan; on a card it withdraws the request."""
        if isinstance(click.ref, CardRef):
            await self._decide(click, self._service.cancel)
            return
        await self._service.forget_plan(click.actor, click.plan.id)
        await click.respond.answer(plan_views.plan_forgotten())

    @on.click(ids.ROLLOUT_APPROVE)
    async def approve(self, click: Click) -> None:
        await self._or_ask(click, self._service.approve)

    @on.submission(ids.ROLLOUT_APPROVE)
    async def approve_with_reason(self, submission: Submission) -> SubmissionAnswer:
        return await _with_reason(submission, self._service.approve)

    @on.click(ids.ROLLOUT_DENY)
    async def ask_why(self, click: Click) -> None:
        rollout = await self._service.may_deny(click.actor, rollout_id(click.card), click.card.version)
        await self._modals.open(click.trigger_id, dialogs.deny_modal(rollout, _in_modal(click)))

    @on.submission(ids.ROLLOUT_DENY)
    async def deny(self, submission: Submission) -> SubmissionAnswer:
        try:
            await self._service.deny(
                submission.actor,
                rollout_id(submission.card),
                submission.values.get(ids.REASON, ""),
                drawn=submission.card.version,
                channel=submission.card.channel or None,
            )
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.REASON: str(error)})
        return SubmissionAnswer()

    # ---- while it runs

    @on.click(ids.ROLLOUT_PAUSE)
    async def pause(self, click: Click) -> None:
        await self._decide(click, self._steering.pause)

    @on.click(ids.ROLLOUT_RESUME)
    async def resume(self, click: Click) -> None:
        await self._or_ask(click, self._steering.resume)

    @on.submission(ids.ROLLOUT_RESUME)
    async def resume_with_reason(self, submission: Submission) -> SubmissionAnswer:
        return await _with_reason(submission, self._steering.resume)

    @on.click(ids.ROLLOUT_PROMOTE)
    async def promote(self, click: Click) -> None:
        await self._decide(click, self._steering.promote)

    @on.click(ids.ROLLOUT_ABORT)
    async def abort(self, click: Click) -> None:
        await self._decide(click, self._steering.abort)

    @on.click(ids.ROLLOUT_RETRY_FAILED)
    async def retry_failed(self, click: Click) -> None:
        await self._decide(click, self._steering.retry_failed)

    @on.click(ids.ROLLOUT_CATCH_UP)
    async def catch_up(self, click: Click) -> None:
        await self._decide(click, self._steering.catch_up)

    @on.click(ids.ROLLOUT_END_WAITING)
    async def end_waiting(self, click: Click) -> None:
        await self._decide(click, self._steering.end_waiting)

    async def _or_ask(self, click: Click, act: Overridable) -> None:
        """Does it, or asks an admin for the reason that going on all the same takes."""
        try:
            await self._decide(click, partial(act, override=None))
        except ReasonNeeded as needed:
            view = dialogs.override_modal(_in_modal(click), click.action_id, str(needed))
            await self._modals.open(click.trigger_id, view)

    async def _decide(self, click: Click, act: Act) -> None:
        """The card changes by itself; an answer that shows the same is drawn anew here.

        So it is after a click that came too late: its buttons are of the state that it shows.
        """
        try:
            await act(
                click.actor, rollout_id(click.card), drawn=click.card.version, channel=click.channel or None
            )
        except (Stale, AlreadyDone):
            await self._draw_copy(click)
            raise
        await self._draw_copy(click)

    async def _draw_copy(self, click: Click) -> None:
        if click.card.answer is not None:
            await click.respond.answer(views.copy(await self._service.status(rollout_id(click.card))))


def rollout_id(ref: CardRef) -> RolloutId:
    """Raises NotFound for a button, or a dialog, that names none."""
    number = ids.number(ref.id)
    if number is None:
        raise NotFound("That button names no rollout any more. /mesh rollouts lists them.")
    return RolloutId(number)


async def _with_reason(submission: Submission, act: Overridable) -> SubmissionAnswer:
    reason = submission.values.get(ids.REASON, "").strip()
    if not reason:
        return SubmissionAnswer(errors={ids.REASON: "Please say why: the card shows it."})
    asked = submission.card
    await act(submission.actor, rollout_id(asked), reason, drawn=asked.version, channel=asked.channel or None)
    return SubmissionAnswer()


def _start(chosen: PlanRef) -> datetime | None:
    """When it is to start, as the command said. Raises InvalidInput for what is no moment."""
    if not chosen.start:
        return None
    try:
        return datetime.fromisoformat(chosen.start).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("That button names no time. Please run the command again.") from error


def _in_modal(click: Click) -> CardRef:
    """What the modal is about: what its button is about, as that was drawn."""
    return CardRef(click.card.id, click.card.version, channel=click.channel)
