"""``freeze`` and ``unfreeze``: what holds every start, or those of one firmware."""

import re

from bot.domain.errors import InvalidInput
from bot.services.rollouts.freezes import FREEZE_TOLD, RolloutFreezes
from bot.slack import ids
from bot.slack.ids import FreezeRef
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.rollouts.views import freezes as views

on = Declarations("Firmware updates")


class FreezeListeners:
    """Translate only: parse, one call of the service, render."""

    def __init__(self, freezes: RolloutFreezes, modals: ViewCalls) -> None:
        self._freezes = freezes
        self._modals = modals

    def feature(self) -> Feature:
        return on.of(self, notes={FREEZE_TOLD: views.told_of_freeze})

    @on.command(
        "freeze [everything|firmware <version>] [because <reason>]",
        "Hold every start of an update, or those of one firmware; alone, it shows what is frozen",
        needs="admin",
        examples=("freeze everything because of the trade fair", "freeze firmware 3.6.0 because it bricks"),
    )
    async def freeze(self, call: CommandCall) -> None:
        """What holds everything is asked about first, and what has no reason asks for one."""
        if not call.text.strip():
            await call.respond.answer(views.freezes(await self._freezes.standing()))
            return
        version, reason = parse_freeze(call.text)
        asked = FreezeRef(version, reason, call.channel)
        if version and reason:
            effect = await self._freezes.freeze(call.actor, version, reason, call.channel)
            await call.respond.answer(views.frozen(effect))
            return
        held = await self._freezes.check(call.actor, version, reason)
        if reason:
            await call.respond.answer(views.freeze_asked(held, asked))
        elif call.trigger_id:
            await self._modals.open(call.trigger_id, views.freeze_modal(held, asked))
        else:
            raise InvalidInput(
                f"Why? Nothing is frozen yet. Write /mesh freeze {asked.subject} because <reason>."
            )

    @on.click(ids.FREEZE)
    async def freeze_everything(self, click: Click) -> None:
        asked = click.freeze
        effect = await self._freezes.freeze(
            click.actor, asked.version, asked.reason, click.channel or asked.channel or None
        )
        await click.respond.answer(views.frozen(effect))

    @on.submission(ids.FREEZE)
    async def freeze_with_reason(self, submission: Submission) -> SubmissionAnswer:
        asked = submission.freeze
        reason = submission.values.get(ids.REASON, "")
        try:
            effect = await self._freezes.freeze(
                submission.actor, asked.version, reason, asked.channel or None
            )
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.REASON: str(error)})
        return SubmissionAnswer(view=views.frozen_view(effect))

    @on.command(
        "unfreeze [everything|firmware <version>]",
        "End a freeze, and say which rollouts go on",
        needs="admin",
        examples=("unfreeze", "unfreeze firmware 3.5.0"),
    )
    async def unfreeze(self, call: CommandCall) -> None:
        version, _ = parse_freeze(call.text)
        effect = await self._freezes.unfreeze(call.actor, version, call.channel)
        await call.respond.answer(views.unfrozen(effect))

    @on.click(ids.UNFREEZE)
    async def unfreeze_drawn(self, click: Click) -> None:
        """From the list of what is frozen, which is drawn again."""
        effect = await self._freezes.unfreeze(
            click.actor, click.freeze.version, click.channel or None, drawn=click.freeze.reason
        )
        await click.respond.answer(views.freezes(await self._freezes.standing()))
        await click.respond.add(views.unfrozen(effect))


def parse_freeze(text: str) -> tuple[str, str]:
    """The firmware, empty for all, and the reason, which may be empty. Raises InvalidInput."""
    match = re.fullmatch(
        r'(?:everything\b|firmware\s+(?P<version>"[^"]{1,100}"|\S{1,100}))?\s*(?:because\s+(?P<reason>.+))?',
        text.strip(),
        re.IGNORECASE | re.DOTALL,
    )
    if match is None:
        raise InvalidInput(
            "Write /mesh freeze firmware 3.6.0 because it bricks, or /mesh freeze everything because …"
        )
    return unquoted(match["version"] or ""), (match["reason"] or "").strip()
