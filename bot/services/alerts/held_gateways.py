"""Which gateways a query holds within its author's limits, and which channels lose their alerts.

Silences and maintenance windows share it. Says nothing of when they hold.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from copy import copy
from typing import TypeAlias

from bot.domain.access import Action, Actor, require_some
from bot.domain.gateways import Held, Interval
from bot.domain.query import Field, Query, exactly, parse
from bot.domain.subscriptions import Topic
from bot.services.context import Context, Within
from bot.storage import subscriptions
from bot.storage.alerts import routing, silences, storms

_NAMED = 5  # gateways that are down and held

Matching = Callable[[Query], Awaitable[Sequence[str]]]
HeldTogether: TypeAlias = tuple[Sequence[Interval], Sequence[str]]
"""When one silence or window held alerts, and of which gateways, by their ids."""


def by_gateway(held: Sequence[HeldTogether], wanted: Collection[str] | None) -> Held:
    """Of the wanted ids, or of all. It may take long: beside the event loop."""
    found: dict[str, list[Interval]] = {}
    asked = None if wanted is None else set(wanted)
    for intervals, covered in held:
        for id_ in covered if asked is None else asked.intersection(covered):
            found.setdefault(id_, []).extend(intervals)
    return found


class Coverage:
    """``matching`` finds the ids of a query's gateways; ``within`` refuses who is limited to a part of the
    fleet when one of them is outside; ``channel`` is the default one for alerts.
    """

    def __init__(self, context: Context, *, matching: Matching, within: Within, channel: str | None) -> None:
        self._database = context.database
        self._channel = channel
        self.matching = matching
        self.within = within

    def once(self) -> "Coverage":
        """For work in which the same queries come again: each is matched once."""
        found: dict[str, Sequence[str]] = {}

        async def matching(query: Query) -> Sequence[str]:
            if query.text not in found:
                found[query.text] = await self.matching(query)
            return found[query.text]

        twin = copy(self)
        twin.matching = matching
        return twin

    async def of(self, query: str, limits: Sequence[str]) -> Sequence[str]:
        """The ids that match now, always within the limits."""
        return await self.limited(await self.matching(parse(query)), limits)

    async def at_site(self, site: str) -> set[str]:
        """The ids at a site; none where no query names the site alone."""
        query = exactly(Field.SITE, site)
        return set(await self.matching(parse(query))) if query else set()

    async def limited(self, found: Sequence[str], limits: Sequence[str]) -> Sequence[str]:
        """Those of the ids that match one of the limits; all of them where there is none."""
        if not limits:
            return found
        allowed = {id_ for limit in limits for id_ in await self.matching(parse(limit))}
        return [id_ for id_ in found if id_ in allowed]

    async def require_within(
        self, actor: Actor, action: Action, covered: Sequence[str], *, title: str, by: str
    ) -> None:
        """Who is limited ends what is within that, and of what covers nothing their own."""
        require_some(actor, action, covered, title=title, by=by)
        await self.within(actor, action, covered)

    async def places(self, covered: Sequence[str]) -> Sequence[str]:
        """The channels that lose the alerts of these: those that subscribed to some, or show some, and the
        default one unless they are all kept away from it.
        """
        held, kept_away, places = set(covered), set[str](), list[str]()
        async with self._database.read() as connection:
            wanted = await subscriptions.of_topic(connection, Topic.OFFLINE)
            shown = await routing.channels_with(connection, covered)
        for one in wanted:
            if one.broken is None and (theirs := held.intersection(await self.matching(parse(one.query)))):
                places.append(one.channel)
                kept_away |= theirs if one.only else set()
        if self._channel is not None and not (held and held == kept_away):
            places.append(self._channel)
        return list(dict.fromkeys([*places, *shown]))

    async def down(self, covered: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        """How many of these are offline now, and the names of the first."""
        async with self._database.read() as connection:
            down = await silences.down_among(connection, covered)
        return len(down), tuple(down[:_NAMED])

    async def fleet_size(self) -> int:
        async with self._database.read() as connection:
            return await storms.fleet_size(connection)
