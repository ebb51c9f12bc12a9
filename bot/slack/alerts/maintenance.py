"""Listeners for maintenance windows: four commands, and the buttons of their cards and answers."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from bot.domain.access import Action, Actor
from bot.domain.alerts.maintenance import Maintenance
from bot.services.alerts.maintenance import CHANGED, SOON, MaintenanceService
from bot.slack import ids
from bot.slack.alerts.views import maintenance as views
from bot.slack.incoming.confirmations import NOT_ASKED, Yes, asking_first, yes_to
from bot.slack.incoming.listeners import Click, CommandCall, Declarations, Feature
from bot.slack.paging import ListHandler
from bot.slack.views.blocks import Message

on = Declarations("Alerts")

_CHANGE = re.compile(r"(skip|end)\s+(m-?\d+)", re.IGNORECASE)


class MaintenanceListeners:
    """Translate only: parse, one call of the service, render."""

    def __init__(self, service: MaintenanceService) -> None:
        self._service = service

    def feature(self) -> Feature:
        return on.of(
            self, cards={"maintenance": self.draw_card}, notes={SOON: views.soon, CHANGED: views.changed}
        )

    async def of_site(self, site: str) -> Sequence[str]:
        """What the card of a site says of windows."""
        return views.soon_at(await self._service.at_site(site))

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.WINDOWS: ListHandler(self._page)}

    @on.command(
        "maintenance <query> <day> <HH:MM>-<HH:MM> [weekly|monthly] [until <date>] [in <IANA zone>] "
        "because <reason>",
        "Plan work, once or again and again: alerts are held meanwhile",
        needs="operator",
        examples=(
            "maintenance tag:oslo sat 02:00-04:00 because the mast is painted",
            "maintenance site:bergen sun 22:00-05:00 monthly in Europe/Oslo because of patches",
        ),
        also=("maintain", "downtime", "planned"),
    )
    async def maintenance(self, call: CommandCall) -> None:
        """Alone, it lists what is planned; ``skip M-3`` and ``end M-3`` are the commands of that name."""
        if not call.text.strip():
            await call.respond.answer(await self._page(call.actor, 0, ""))
            return
        if change := _CHANGE.fullmatch(call.text.strip()):
            act = self._service.skip if change[1].lower() == "skip" else self._service.end
            await call.respond.answer(views.decided(await act(call.actor, change[2], call.channel)))
            return
        await call.respond.answer(await self._plan(call.actor, call.text, call.channel))

    @on.click(ids.MAINTENANCE_CONFIRM)
    async def confirm(self, click: Click) -> None:
        yes, text = yes_to(click.page)
        await click.respond.answer(await self._plan(click.actor, text, click.channel, yes))

    async def _plan(self, actor: Actor, text: str, channel: str, yes: Yes = NOT_ASKED) -> Message:
        async def act() -> Message:
            return views.planned(*await self._service.plan(actor, text, channel, yes.seen, yes.asked_once))

        return await asking_first(act(), partial(views.confirmation, text), views.WINDOWS, text)

    @on.command("windows", "List maintenance that is planned", also=("maintenances",))
    async def windows(self, call: CommandCall) -> None:
        await call.respond.answer(await self._page(call.actor, 0, ""))

    @on.command(
        "skip <M-n>",
        "Leave out the next opening of a maintenance window, with Undo",
        needs="operator",
        examples=("skip M-3",),
    )
    async def skip(self, call: CommandCall) -> None:
        await call.respond.answer(
            views.decided(await self._service.skip(call.actor, call.text, call.channel))
        )

    @on.command("end <M-n>", "End a maintenance window, with Undo", needs="operator", examples=("end M-3",))
    async def end(self, call: CommandCall) -> None:
        await call.respond.answer(views.decided(await self._service.end(call.actor, call.text, call.channel)))

    @on.click(ids.MAINTENANCE_SKIP)
    async def skip_drawn(self, click: Click) -> None:
        """Only the opening that the button was drawn with: a second click skips no other."""
        begins = datetime.fromtimestamp(click.card.version, UTC)
        after = await self._service.skip(click.actor, click.card.id, click.channel, begins)
        await self._answer(click, after)

    @on.click(ids.MAINTENANCE_END)
    async def end_drawn(self, click: Click) -> None:
        await self._answer(click, await self._service.end(click.actor, click.card.id, click.channel))

    async def _answer(self, click: Click, after: Maintenance) -> None:
        """Below the card, with Undo; a list, whose button carries its page, is drawn again."""
        if click.card.answer is not None:
            await click.respond.answer(await self._page(click.actor, click.card.answer.offset, ""))
        await click.respond.add(views.decided(after))

    @on.click(ids.MAINTENANCE_UNDO)
    async def undo(self, click: Click) -> None:
        after = await self._service.undo(click.actor, click.card.id, click.channel, click.card.version)
        await click.respond.answer(views.decided(after))

    async def draw_card(self, subject: str) -> Message:
        return views.card(*await self._service.shown(subject))

    async def _page(self, actor: Actor, offset: int, _question: str) -> Message:
        return views.listed(await self._service.planned(actor), offset, may_end=actor.may(Action.MAINTAIN))
