"""Listeners for incidents: ``alerts``, and the buttons of their cards."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bot.domain.access import Action, Actor, require
from bot.domain.alerts.closed_alerts import closed_search
from bot.domain.alerts.incidents import Incident, number_in
from bot.domain.alerts.silences import SilencedDown
from bot.domain.errors import InvalidInput, NotFound, Stale
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, Scope
from bot.domain.query import Query, parse
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.maintenance import MaintenanceService
from bot.services.alerts.notes import GATEWAYS, JOINED, RECOVERED
from bot.services.alerts.reminders import ESCALATED, STILL_YOURS
from bot.slack import ids
from bot.slack.alerts.views import card as cards
from bot.slack.alerts.views import lists as views
from bot.slack.alerts.views import maintenance as maintenance_views
from bot.slack.alerts.views import notes as note_views
from bot.slack.alerts.views import silences as silence_views
from bot.slack.ids import PageRef
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Errand,
    Feature,
    NoteDrawing,
    SaidOfSite,
)
from bot.slack.paging import ListFile, ListHandler, check_question
from bot.slack.views.blocks import Message, count, sentence
from bot.slack.views.paging import Door, open_button
from bot.slack.views.portal_links import NO_PORTAL, Portal

PauseRollout = Callable[[Actor, int, int | None, str], Awaitable[None]]
"""Who, which rollout, the newest entry of its timeline that a button was drawn with, and where."""

_AT_A_SITE = 3  # open alerts that its card names
_LISTS = {"devices", "gateways", "list", "alert"}

SilencedDownOf = Callable[[Actor], Awaitable[Sequence[SilencedDown]]]
"""What is offline while a silence holds its alerts."""

on = Declarations("Alerts")
_ERRANDS = (Errand("Take an alert", ("alerts",), open_button(Door(views.ALERTS, "", "open alerts"), "Show")),)


async def as_written(text: str) -> Query:
    """A query in the bot's own grammar, whatever the fleet knows."""
    return parse(text)


async def nobody(_incident: Incident) -> Sequence[str]:
    """Who is reminded where no groups are."""
    return ()


async def nothing(_site: str) -> Sequence[str]:
    """What is said of a site where no book is."""
    return ()


class AlertListeners:
    """Translate only: parse, one call of the service, render.

    ``pause_rollout`` is another feature's: who may is checked there. ``reminded`` names the groups that hear
    of what nobody acknowledges, so that a card can say when, and ``said_of_site`` what is known of its site.
    ``silenced_down`` is listed below what is open; so is what ``maintenance`` holds, of which cards tell too.
    ``understand`` reads the query of those that are over.
    """

    def __init__(
        self,
        service: AlertService,
        pause_rollout: PauseRollout,
        *,
        reminded: Callable[[Incident], Awaitable[Sequence[str]]] = nobody,
        said_of_site: SaidOfSite = nothing,
        silenced_down: SilencedDownOf | None = None,
        understand: Callable[[str], Awaitable[Query]] = as_written,
        portal: Portal = NO_PORTAL,
        maintenance: MaintenanceService | None = None,
    ) -> None:
        self._understand = understand
        self._portal = portal
        self._maintenance = maintenance
        self._silenced_down = silenced_down
        self._reminded = reminded
        self._said_of_site = said_of_site
        self._service = service
        self._pause_rollout = pause_rollout

    def feature(self) -> Feature:
        return on.of(
            self,
            cards={"incident": self.draw_card},
            notes={
                JOINED: self._about_incident(note_views.joined),
                GATEWAYS: self.gateways_note,
                ESCALATED: self._about_incident(note_views.escalated),
                RECOVERED: self._about_incident(note_views.recovered),
                STILL_YOURS: self._about_incident(note_views.still_yours),
            },
            in_threads={"incident": self.in_thread},
            errands=_ERRANDS,
        )

    def lists(self) -> Mapping[str, ListHandler]:
        """The kinds of list that page, refresh and export through the shared buttons."""
        return {
            views.ALERTS: ListHandler(self.alerts_page),
            views.INCIDENT: ListHandler(self._gateways_page, export=self._export),
        }

    async def line_of(self, gateway_id: GatewayId) -> str | None:
        """What a gateway's own card says about the incident that it is in."""
        incident = await self._service.incident_of(gateway_id)
        return views.line(incident) if incident is not None else None

    async def of_site(self, site: str) -> Sequence[str]:
        """What the card of a site says of open alerts."""
        found = await self._service.at_sites([site])
        shown = [await self._service.incident(one.id) for one in found[:_AT_A_SITE]]
        more = len(found) - len(shown)
        return [*map(views.line, shown), *([f"and {count(more, 'more open alert')}"] if more else [])]

    async def in_thread(self, word: str, call: CommandCall) -> bool:
        """What somebody says of the alert in whose thread they say it."""
        assert call.about is not None
        incident = await self._service.incident(incident_id(call.about[1]))
        if word == "pause" and incident.running_rollout is not None:
            await self._pause_rollout(call.actor, incident.running_rollout, None, call.channel)
            await call.respond.answer(sentence(f"R-{incident.running_rollout} is paused."))
        elif word in {"", "this", "details"} or (word in _LISTS and call.text in {"", "this"}):
            await call.respond.answer(await self._gateways_page(call.actor, 0, call.about[1]))
        else:
            return False
        return True

    # ---- commands and clicks
    @on.command(
        "alerts [closed] [A-n, or query] [for <duration>]",
        "List open alerts or those that are over, or show one",
        examples=("alerts", "alert A-10", "alerts closed tag:oslo for 7d"),
        also=("alert", "incidents", "incident"),
    )
    async def alerts(self, call: CommandCall) -> None:
        check_question(call.text)
        await call.respond.answer(await self.alerts_page(call.actor, 0, call.text))

    @on.click(ids.INCIDENT_PAUSE_ROLLOUT)
    async def pause(self, click: Click) -> None:
        """The rollout that the incident is about or that explains it, while it runs. Its own card says so."""
        incident = await self._service.incident(incident_id(click.card.id))
        if incident.running_rollout is None:
            raise Stale("That rollout does not run any more, so there is nothing to pause.")
        await self._pause_rollout(click.actor, incident.running_rollout, click.card.version, click.channel)
        await self._service.redraw(incident.id)

    @on.click(ids.INCIDENT_DETAILS)
    async def details(self, click: Click) -> None:
        await click.respond.add(await self._gateways_page(click.actor, 0, click.card.id))

    # ---- what is drawn
    async def draw_card(self, subject: str) -> Message:
        incident = await self._service.incident(incident_id(subject))
        return await self._card(incident)

    def _about_incident(self, drawn: Callable[[Incident, Mapping[str, Any]], Message]) -> NoteDrawing:
        """Notes are drawn of the incident as it is by then."""

        async def draw(body: Mapping[str, Any]) -> Message:
            return drawn(await self._service.incident(IncidentId(int(body["incident"]))), body)

        return draw

    async def gateways_note(self, body: Mapping[str, Any]) -> Message:
        page = await self._service.affected(IncidentId(int(body["incident"])))
        return views.gateways_note(page.incident, page.gateways)

    async def alerts_page(self, actor: Actor, offset: int, question: str) -> Message:
        """What is open; "closed" and a query: what is over; a number: that one."""
        require(actor, Action.READ)
        if (asked := closed_search(question)) is not None:
            query = await self._understand(asked.text)
            closed = await self._service.closed_incidents(asked, query, views.CLOSED_PAGE, offset)
            return views.closed(closed.incidents, closed.total, closed.offset, question)
        if (number := number_in(question)) is not None:
            incident = await self._service.incident(number)
            return await self._card(incident, PageRef(views.ALERTS, 0, question))
        if question:
            raise InvalidInput(
                f"“{question}” is no alert: write its number, such as A-10, or “closed” before a query."
            )
        page = await self._service.open_incidents(views.ALERTS_PAGE, offset)
        has_channel = self._service.default_channel is not None
        silenced = await self._silenced_down(actor) if self._silenced_down is not None else ()
        in_windows = await self._maintenance.down(actor) if self._maintenance is not None else ()
        return views.alerts(
            page.incidents,
            page.total,
            page.offset,
            self._service.rules,
            has_channel=has_channel,
            held=[*silence_views.down(silenced), *maintenance_views.down(in_windows)],
            reader=actor.user_id,
        )

    async def _card(self, incident: Incident, page: PageRef | None = None) -> Message:
        planned = await self._maintenance.of_incident(incident.id) if self._maintenance is not None else ()
        of_site = incident.kind.rules.scope is Scope.SITE and incident.state.is_live
        known = await self._said_of_site(incident.site) if of_site else ()
        besides = [*maintenance_views.notice(planned), *known]
        groups = await self._reminded(incident)
        return cards.card(incident, self._service.rules, groups, self._portal, page, besides)

    async def _gateways_page(self, actor: Actor, offset: int, question: str) -> Message:
        require(actor, Action.READ)
        page = await self._service.affected(incident_id(question), views.INCIDENT_PAGE, offset)
        return views.gateways(page.incident, page.gateways, page.offset, self._portal)

    async def _export(self, actor: Actor, question: str) -> ListFile:
        require(actor, Action.READ)
        page = await self._service.affected(incident_id(question))
        file = views.gateways_file(page.incident, page.gateways)
        return ListFile(file.name, file.title, file.content, len(page.gateways))


def incident_id(text: str) -> IncidentId:
    """Raises NotFound for a button that names none."""
    number = ids.number(text)
    if number is None:
        raise NotFound("That button names no alert any more. /mesh alerts lists what is open.")
    return IncidentId(number)
