"""What somebody writes without a command: the id or the name of a gateway, or words about several."""

from collections.abc import Awaitable, Callable, Sequence

from bot.domain.access import Actor
from bot.domain.errors import InvalidInput
from bot.domain.query import Field, Query, WordRead
from bot.services.fleet.search import FleetService
from bot.slack.incoming.listeners import CommandCall
from bot.slack.views.blocks import Message


class FreeText:
    """``draw_one`` draws a gateway by its id, ``draw_all`` those that match a query."""

    def __init__(
        self,
        fleet: FleetService,
        *,
        draw_one: Callable[[Actor, int, str], Awaitable[Message]],
        draw_all: Callable[[Query, int, Sequence[WordRead]], Awaitable[Message]],
    ) -> None:
        self._fleet = fleet
        self._draw_one = draw_one
        self._draw_all = draw_all

    async def guess(self, call: CommandCall) -> bool:
        """A text that names one gateway, or says something about several, is shown; False for another.

        Where nothing matches and it begins with a word of no field, that is a command with a slip.
        """
        try:
            query, words = await self._fleet.understand(call.text)
        except InvalidInput:
            return False
        found = (await self._fleet.counts(query)).total
        first = next(iter(query.single_terms), None)
        if not found and (first is None or first.field is Field.ANY):
            return False
        if found == 1 and not words:
            (id_,) = await self._fleet.ids_matching(query)
            await call.respond.answer(await self._draw_one(call.actor, 0, id_))
        else:
            await call.respond.answer(await self._draw_all(query, 0, words))
        return True
