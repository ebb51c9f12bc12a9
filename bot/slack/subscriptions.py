"""``subscribe``, ``subscriptions``, ``unsubscribe``: what a channel is told."""

from collections.abc import Awaitable, Callable, Mapping

from bot.domain.access import Action, Actor
from bot.domain.errors import Stale
from bot.domain.subscriptions import SubscriptionContext, SubscriptionId
from bot.services.broken_channels import BROKEN
from bot.services.subscriptions import TOLD, SubscriptionService
from bot.slack import ids
from bot.slack.incoming.listeners import Click, CommandCall, Declarations, Errand, Feature
from bot.slack.paging import ListHandler
from bot.slack.views import subscriptions as views
from bot.slack.views.blocks import Message
from bot.slack.views.paging import Door, open_button

on = Declarations("Channels")
_ERRANDS = (
    Errand(
        "Bring alerts to a channel",
        ("subscribe offline tag:oslo",),
        open_button(Door(views.SUBSCRIPTIONS, "", "what channels get"), "Show"),
    ),
)


class SubscriptionListeners:
    """Translate only: parse, one call of the service, render.

    ``shared_outside`` tells whether people of other organisations read along in a channel.
    """

    def __init__(
        self,
        service: SubscriptionService,
        around: SubscriptionContext,
        *,
        shared_outside: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._service = service
        self._around = around
        self._shared_outside = shared_outside

    def feature(self) -> Feature:
        notes = {BROKEN: lambda body: views.broken(body, self._around), TOLD: views.told}
        return on.of(self, notes=notes, errands=_ERRANDS)

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.SUBSCRIPTIONS: ListHandler(self._page)}

    @on.command(
        "subscribe <offline|rollouts|digest|availability> [query] [at <HH:MM>] [in <IANA zone>] [only here]",
        "Bring alerts, rollouts, a daily digest or each month's availability to this channel",
        needs="operator",
        examples=(
            "subscribe offline tag:Kyiv-office",
            "subscribe rollouts model:2011",
            "subscribe digest tag:oslo at 07:30 in Europe/Oslo",
            "subscribe availability tag:oslo monthly",
        ),
        also=("watch", "follow", "digest"),
    )
    async def subscribe(self, call: CommandCall) -> None:
        done = await self._service.subscribe(call.actor, call.text, call.channel)
        shared = await self._shared_outside(call.channel)
        await call.respond.answer(views.subscribed(done, self._around, shared_outside=shared))

    @on.command("subscriptions", "List what each channel gets")
    async def subscriptions(self, call: CommandCall) -> None:
        await call.respond.answer(await self._page(call.actor, 0, call.channel))

    @on.command(
        "unsubscribe <n>", "End a subscription, with Undo", needs="operator", examples=("unsubscribe 4",)
    )
    async def unsubscribe(self, call: CommandCall) -> None:
        ended = await self._service.unsubscribe(call.actor, call.text)
        await call.respond.answer(views.unsubscribed(ended, self._around))

    @on.click(ids.SUBSCRIPTION_END)
    async def end(self, click: Click) -> None:
        """From the list, which is drawn again without it."""
        ended = await self._service.unsubscribe(click.actor, click.card.id, click.card.version)
        if (page := click.card.answer) is not None:
            await click.respond.answer(await self._page(click.actor, page.offset, page.question))
        await click.respond.add(views.unsubscribed(ended, self._around))

    @on.click(ids.SUBSCRIPTION_UNDO)
    async def undo(self, click: Click) -> None:
        number = ids.number(click.card.id)
        if number is None:
            raise Stale(
                "That button names no subscription any more. /mesh subscriptions lists those there are."
            )
        one, is_back = await self._service.undo(click.actor, SubscriptionId(number), click.card.version)
        await click.respond.answer(views.undone(one, is_back=is_back))

    async def _page(self, actor: Actor, offset: int, channel: str) -> Message:
        everyone = await self._service.everyone(actor, channel)
        may_end = actor.may(Action.SUBSCRIBE)
        return views.listed(everyone, channel, self._around, offset, may_end=may_end)
