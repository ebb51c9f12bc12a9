"""People before the services of rollouts: commands, clicks and modals."""

from dataclasses import replace

import pytest

from bot.demo.slack.limits import problems_of_view
from bot.domain.access import Actor
from bot.domain.errors import Stale
from bot.slack import ids
from bot.slack.ids import CardRef, Ref, decode
from bot.slack.incoming.listeners import Click, CommandCall, Submission, SubmissionAnswer
from bot.slack.paging import list_clicks
from bot.slack.rollouts.buttons import RolloutButtons
from bot.slack.rollouts.commands import RolloutListeners
from bot.slack.rollouts.freezes import FreezeListeners
from bot.slack.views.blocks import Message, View
from tests.slack.shown import Answers, buttons, sendable
from tests.worlds.rollouts import NEW, OLGA, PAUL, World


class Modals:
    """Keeps what was opened."""

    def __init__(self) -> None:
        self.opened: list[View] = []

    async def open(self, trigger_id: str | None, view: View) -> str:
        assert problems_of_view(view) == []
        self.opened.append(view)
        return f"V{len(self.opened)}"

    async def update(self, view_id: str, view: View) -> None:
        raise AssertionError("no modal of rollouts is updated")

    async def publish(self, user_id: str, view: View) -> None:
        raise AssertionError("rollouts have no home tab")


class Desk:
    """People before the services: commands, clicks and modals."""

    def __init__(self, it: World) -> None:
        self.it = it
        self.modals = Modals()
        self.listeners = RolloutListeners(it.rollouts)
        typed = self.listeners.feature()
        clicked = RolloutButtons(it.rollouts, it.steering, self.modals).feature()
        frozen = FreezeListeners(it.freezes, self.modals).feature()
        self.feature = replace(
            typed,
            commands={**typed.commands, **frozen.commands},
            clicks={**typed.clicks, **clicked.clicks, **frozen.clicks},
            submissions={**typed.submissions, **clicked.submissions, **frozen.submissions},
        )

    async def says(self, text: str, actor: Actor = OLGA) -> Message:
        """As in a thread, where nothing triggers a window."""
        return (await self.types(text, actor, None)).last

    async def types(self, text: str, actor: Actor, trigger: str | None = "t") -> Answers:
        word, _, rest = text.partition(" ")
        answers = Answers()
        await self.feature.commands[word].listener(CommandCall(actor, "C0OPS", rest, answers, trigger))
        return answers

    async def clicks(self, action_id: str, ref: Ref, actor: Actor = PAUL) -> Answers:
        answers = Answers()
        listening = {**self.feature.clicks, **list_clicks(self.listeners.lists())}
        await listening[action_id](Click(actor, "C0ROLLOUTS", action_id, ref, answers, "t"))
        return answers

    async def refused(self, action_id: str, ref: Ref, actor: Actor) -> Answers:
        """What a click shows that is refused."""
        answers = Answers()
        with pytest.raises(Stale):
            await self.feature.clicks[action_id](Click(actor, "C0ROLLOUTS", action_id, ref, answers, "t"))
        return answers

    async def submits(self, callback_id: str, number: int, reason: str, actor: Actor) -> SubmissionAnswer:
        values = {ids.REASON: reason} if reason else {}
        submission = Submission(actor, callback_id, self._in_modal(number), values)
        return await self.feature.submissions[callback_id](submission)

    def _in_modal(self, number: int) -> Ref:
        if self.modals.opened:
            return decode(self.modals.opened[-1]["private_metadata"])
        return CardRef(str(number), 1)

    async def button(self, action_id: str) -> CardRef:
        """One of the card's, as it is drawn now."""
        ref = buttons(await self.card())[action_id]
        assert isinstance(ref, CardRef)
        return ref

    async def card(self, number: int = 1) -> Message:
        return sendable(await self.feature.cards["rollout"](str(number)))

    async def requested(self, command: str = f"update tag:oslo to {NEW}", actor: Actor = OLGA) -> Ref:
        """Somebody plans and requests; what the card's buttons point at."""
        plan = await self.says(command, actor)
        await self.clicks(ids.ROLLOUT_REQUEST, buttons(plan)[ids.ROLLOUT_REQUEST], actor)
        return buttons(await self.card())[ids.ROLLOUT_APPROVE]
