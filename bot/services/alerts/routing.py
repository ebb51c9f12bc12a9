"""Sees to it that every open incident has a card wherever a subscription wants it, and one somewhere.

What is wanted is worked out from the subscriptions, and only when something that it depends on has changed:
one statement for each distinct query then, however many incidents there are.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from bot.domain.alerts.incidents import FIRST_GATEWAYS
from bot.domain.incident_kinds import IncidentId, IncidentKind, Scope
from bot.domain.query import parse
from bot.domain.subscriptions import Subscription, Topic, places
from bot.services.alerts.notes import about, add_file
from bot.services.context import Context
from bot.storage import subscriptions
from bot.storage.alerts import incidents
from bot.storage.alerts import routing as store
from bot.storage.cards import broken_channels as channels
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction

AT_ONCE = 100  # incidents that get their cards in one transaction


class IncidentRouting:
    """``default_channel`` gets everything but what an admin keeps away from it; without one, what no
    subscription matches is kept, and listed.
    """

    def __init__(self, context: Context, *, default_channel: str | None) -> None:
        self._database = context.database
        self._default_channel = default_channel
        self._now = context.now
        self._settled_for: object = None  # what the last answer followed from, when nothing was missing

    async def open_cards(self, *, only_visibility: bool) -> int:
        """Opens the cards that are missing; returns of how many incidents."""
        async with self._database.read() as connection:
            wanted = await subscriptions.of_topic(connection, Topic.OFFLINE)
            broken = await channels.broken(connection)
            unseen = await store.unseen(connection)
            joins = await store.joins(connection)
            depends_on = (only_visibility, wanted, broken, unseen, joins)
            if depends_on == self._settled_for:
                return 0
            missing = await self._missing(
                connection, wanted, broken, set(unseen), only_visibility=only_visibility
            )
        opening = list(missing)
        for start in range(0, len(opening), AT_ONCE):
            chunk = opening[start : start + AT_ONCE]
            async with self._database.write() as connection:
                large = await incidents.larger_than(connection, chunk, FIRST_GATEWAYS)
                for incident in chunk:
                    await cards.open_cards(connection, about(incident), missing[incident], self._now())
                    if incident in large:
                        await add_file(connection, incident, self._now())
        self._settled_for = depends_on if not missing else None
        return len(missing)

    async def _missing(
        self,
        connection: Transaction,
        wanted: Sequence[Subscription],
        broken: Collection[str],
        unseen: Collection[IncidentId],
        *,
        only_visibility: bool,
    ) -> Mapping[IncidentId, Sequence[str]]:
        """The channels in which each open incident should have a card and has none."""
        whole = [one for one in wanted if one.broken is None]
        theirs = {} if only_visibility else await self._matched(connection, whole, broken)
        everybody = [one.channel for one in whole]
        have = await store.card_channels(connection)
        missing = {}
        for incident, kind in (await store.open_kinds(connection)).items():
            channels = theirs.get(incident, [])
            if kind.rules.scope is Scope.FLEET or (not channels and not only_visibility):
                channels = self._fallback(kind, everybody, broken) if incident in unseen else []
            new = [one for one in channels if one not in have.get(incident, ())]
            if new:
                missing[incident] = new
        return missing

    async def _matched(
        self, connection: Transaction, whole: Sequence[Subscription], broken: Collection[str]
    ) -> Mapping[IncidentId, Sequence[str]]:
        """The channels that subscribed to an incident, and the default one unless it is kept from there."""
        by_query: defaultdict[str, list[Subscription]] = defaultdict(list)
        for one in whole:
            by_query[one.query].append(one)
        theirs: defaultdict[IncidentId, list[Subscription]] = defaultdict(list)
        for query, subscribed in by_query.items():
            for incident in await store.open_with(connection, parse(query), self._now()):
                theirs[incident] += subscribed
        default = None if self._default_channel in broken else self._default_channel
        return {incident: places(subscribed, default) for incident, subscribed in theirs.items()}

    def _fallback(
        self, kind: IncidentKind, everybody: Sequence[str], broken: Collection[str]
    ) -> Sequence[str]:
        """Where an incident goes that no channel shows. What has no gateways concerns everybody.

        A default channel that is broken is tried all the same: that is how it shows that it was mended.
        """
        default = self._default_channel
        if kind.rules.scope is Scope.FLEET and everybody and (default is None or default in broken):
            return everybody
        return [default] if default else []
