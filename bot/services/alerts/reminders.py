"""Reminds people of incidents: those to call while nobody has one, and whoever has it for long."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.reminders import called, is_acknowledged_for_long, reminders_due
from bot.domain.incident_kinds import IncidentId, Scope
from bot.services.alerts.notes import about, notes_of
from bot.services.context import Context
from bot.storage.alerts import incidents
from bot.storage.alerts import reminders as store
from bot.storage.cards import cards

ESCALATED = "incident_escalated"
STILL_YOURS = "incident_still_yours"

CalledAt = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
"""The user group or person to call for some sites, by the names of those that have one."""


async def nobody(_sites: Collection[str]) -> Mapping[str, str]:
    """Where no site has one of its own."""
    return {}


class Reminders:
    """``groups`` are told of what nobody has, unless ``called_at`` knows a group of its site; a person whom
    that knows is told beside them, and without either nobody is. ``silenced`` tells whose alerts are held.
    """

    def __init__(
        self,
        context: Context,
        *,
        groups: Sequence[str],
        called_at: CalledAt = nobody,
        silenced: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._database = context.database
        self._groups = list(groups)
        self._called_at = called_at
        self._silenced = silenced
        self._now = context.now

    async def tick(self) -> int:
        """Says what is due, once each, in the threads of the cards; returns of how many incidents."""
        async with self._database.read() as connection:
            glance = await incidents.open_at_a_glance(connection)
        due = [incident for incident in glance if self._is_due(incident)]
        if not self._groups:
            own = await self._called(due)
            due = [one for one in due if one.acknowledged is not None or one.id in own]
        silenced = await self._silenced() if due else ()
        told = 0
        for one in due:
            async with self._database.read() as connection:
                incident = await incidents.load(connection, one.id)
                down = await store.down_in(connection, one.id)
            if incident is None or not self._is_due(incident):
                continue  # somebody has just decided something
            # What is all silenced, or in a rollout's hands, is expected.
            if incident.kind.rules.trouble and all(id_ in silenced for id_ in down):
                continue
            told += await self._remind(incident)
        return told

    def _is_due(self, incident: Incident) -> bool:
        now = self._now()
        return is_acknowledged_for_long(incident, now) or reminders_due(incident, now) > incident.reminded

    async def called(self, incident: Incident) -> Sequence[str]:
        """Who is reminded of what nobody has: groups, and the person to call for its site."""
        return called(self._groups, (await self._called([incident])).get(incident.id))

    async def _called(self, some: Sequence[Incident]) -> Mapping[IncidentId, str]:
        """Those of the sites that alerts are about."""
        sites = {one.id: one.site for one in some if one.kind.rules.scope is Scope.SITE}
        found = await self._called_at(set(sites.values())) if sites else {}
        return {number: found[site] for number, site in sites.items() if site in found}

    async def _remind(self, incident: Incident) -> bool:
        now, taken, down = self._now(), incident.acknowledged, incident.tally.down
        called = await self.called(incident) if taken is None else ()
        if taken is None and not called:
            return False
        async with self._database.write() as connection:
            if taken is not None:
                said = await store.record_asked(connection, incident, now)
                once: Mapping[str, object] = {"user": taken.user_id}
                body = {"incident": incident.id, "name": taken.name, "down": down}
                kind, key = STILL_YOURS, f"{notes_of(incident.id)}yours/{now.isoformat()}"
            else:
                due = reminders_due(incident, now)
                said = await store.record_reminded(connection, incident, due)
                once, body = {"called": called}, {"incident": incident.id, "down": down}
                kind, key = ESCALATED, f"{notes_of(incident.id)}v{incident.version}/escalated/{due}"
            if said:
                await cards.add_note(
                    connection,
                    about(incident.id),
                    key,
                    kind,
                    body,
                    now,
                    broadcast=taken is None,
                    live=taken is None,
                    once=once,
                )
                await cards.touch(connection, about(incident.id))
        return said
