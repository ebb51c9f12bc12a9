"""Listeners for the firmware policy: one command, its dialog, and the buttons of its answers."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from bot.domain.access import Action, Actor
from bot.domain.errors import InvalidInput
from bot.domain.firmware import PolicyId
from bot.domain.fleet.firmware_policy import (
    PolicyReasonMissing,
    PolicyRequest,
    parse_policy,
    parse_policy_number,
)
from bot.services.fleet.firmware_policy import TOLD, PolicyService
from bot.slack import ids
from bot.slack.fleet.views import firmware_policy as views
from bot.slack.ids import PageRef
from bot.slack.incoming.confirmations import NOT_ASKED, Yes, asking_first, yes_to
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.paging import ListHandler
from bot.slack.views.blocks import Message

on = Declarations("Gateways")


class PolicyListeners:
    """Translate only: parse, one call of the service, render. ``renew`` lists the fleet anew."""

    def __init__(
        self, service: PolicyService, modals: ViewCalls, *, renew: Callable[[Actor], Awaitable[str | None]]
    ) -> None:
        self._service = service
        self._modals = modals
        self._renew = renew

    def feature(self) -> Feature:
        return on.of(self, notes={TOLD: views.told})

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.POLICIES: ListHandler(self._page, self._renew)}

    @on.command(
        "policy [want|bad <version> [for <query>] [because <reason>] [https://…]] [end <P-n>]",
        "Say which firmware is wanted or known to be bad; alone, it shows that and who is behind",
        examples=(
            "policy",
            "policy want 3.5.0 for model:2011",
            "policy bad 3.3.0 because CVE-2026-1 https://example.com/cve",
            "policy end P-1",
        ),
        also=("policies", "compliance", "wanted", "behind", "outdated", "vulnerable"),
    )
    async def policy(self, call: CommandCall) -> None:
        """What is bad without a reason asks for one."""
        if not call.text.strip():
            await call.respond.answer(await self._page(call.actor, 0, ""))
            return
        asked = parse_policy(call.text)
        if not isinstance(asked, PolicyRequest):
            await call.respond.answer(views.ended(await self._service.end(call.actor, asked, call.channel)))
            return
        try:
            await call.respond.answer(await self._declare(call.actor, call.text, call.channel))
        except PolicyReasonMissing as missing:
            if call.trigger_id is None:
                raise
            question = PageRef(views.POLICIES, missing.covered, f"{call.channel} {asked.text}")
            await self._modals.open(call.trigger_id, views.reason_dialog(question, missing, asked))

    @on.click(ids.POLICY_CONFIRM)
    async def confirm(self, click: Click) -> None:
        yes, text = yes_to(click.page)
        await click.respond.answer(await self._declare(click.actor, text, click.channel, yes))

    @on.submission(ids.POLICY_CONFIRM)
    async def declare_with_reason(self, sent: Submission) -> SubmissionAnswer:
        """The dialog said how many gateways it is about."""
        channel, _, text = sent.page.question.partition(" ")
        reason, link = sent.values.get(ids.REASON, "").strip(), sent.values.get(ids.LINK, "").strip()
        if link and not link.startswith("https://"):
            return SubmissionAnswer(errors={ids.LINK: "A link begins with https://."})
        asked = f"{text} because {reason} {link}"
        try:
            made = await self._service.declare(sent.actor, asked, channel, sent.page.offset)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.REASON: str(error)})
        return SubmissionAnswer(view=views.declared_dialog(*made))

    async def _declare(self, actor: Actor, text: str, channel: str, yes: Yes = NOT_ASKED) -> Message:
        async def act() -> Message:
            made = await self._service.declare(actor, text, channel, yes.seen, yes.asked_once)
            return views.declared(*made)

        return await asking_first(act(), partial(views.confirmation, text), views.POLICIES, text)

    @on.click(ids.POLICY_END)
    async def end(self, click: Click) -> None:
        """A list, whose button carries its page, is drawn again."""
        after = await self._service.end(click.actor, _number(click), click.channel)
        if click.card.answer is not None:
            await click.respond.answer(await self._page(click.actor, click.card.answer.offset, ""))
            await click.respond.add(views.ended(after))
        else:
            await click.respond.answer(views.ended(after))

    @on.click(ids.POLICY_UNDO)
    async def undo(self, click: Click) -> None:
        again = await self._service.undo(click.actor, _number(click), click.channel)
        await click.respond.answer(views.back(again))

    async def _page(self, actor: Actor, offset: int, _question: str) -> Message:
        states = await self._service.states()
        may_end, may_update = actor.may(Action.POLICY), actor.may(Action.REQUEST)
        return views.listed(states, offset, may_end=may_end, may_update=may_update)


def _number(click: Click) -> PolicyId:
    return parse_policy_number(click.card.id)
