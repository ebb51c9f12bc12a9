"""The column of alerts: its services and rules, and what it listens to in Slack."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.access import Action, Actor
from bot.domain.alerts.incidents import AlertRules, Incident
from bot.domain.gateways import Held
from bot.domain.query import Query
from bot.services.alerts.engine import AlertEngine, Bad
from bot.services.alerts.held_gateways import by_gateway
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.maintenance import MaintenanceService
from bot.services.alerts.reminders import CalledAt, Reminders
from bot.services.alerts.silences import SilenceService
from bot.services.audit import AuditService
from bot.settings.definitions import Settings
from bot.slack.alerts.acknowledgements import HandListeners
from bot.slack.alerts.incidents import AlertListeners, PauseRollout
from bot.slack.alerts.maintenance import MaintenanceListeners
from bot.slack.alerts.silences import SilenceListeners
from bot.slack.incoming.listeners import SaidOfSite
from bot.wiring.ground import Ground, Listeners


@dataclass(frozen=True, slots=True)
class Alerts:
    """Incidents as they move on, as people take them, and what holds them back."""

    engine: AlertEngine
    incidents: AlertService
    reminders: Reminders
    silences: SilenceService
    maintenance: MaintenanceService

    async def held_between(
        self, begins: datetime, ends: datetime, wanted: Collection[str] | None = None
    ) -> Held:
        """When alerts were held between two moments: of the gateways with these ids, or of all."""
        silenced = await self.silences.held_between(begins, ends)
        planned = await self.maintenance.held_between(begins, ends)
        return await asyncio.to_thread(by_gateway, [*silenced, *planned], wanted)

    async def visibility_lost(self) -> bool:
        return await self.engine.visibility_loss() is not None


def build_alerts(
    ground: Ground,
    *,
    understand: Callable[[str], Awaitable[Query]],
    matching: Callable[[Query], Awaitable[Sequence[str]]],
    within: Callable[[Actor, Action, Sequence[str]], Awaitable[None]],
    called_at: CalledAt,
    bad: Bad,
) -> Alerts:
    """``understand`` reads a query, ``matching`` names its gateways, ``within`` refuses who may not.

    ``called_at`` tells whom to call for some sites, ``bad`` which versions are known to be bad.
    """
    settings, context, channels = ground.settings, ground.context, ground.channels
    rules = alert_rules(settings)
    silences = SilenceService(
        context,
        understand=understand,
        matching=matching,
        within=within,
        channel=channels.silences,
        zone=ground.zone,
    )
    maintenance = MaintenanceService(
        context,
        understand=understand,
        matching=matching,
        within=within,
        channel=channels.maintenance,
        zone=settings.timezone,
        before=settings.alerts.announce_maintenance,
        silenced=silences.silenced,
    )

    async def held() -> Collection[str]:
        return {*await silences.silenced(), *await maintenance.held()}

    return Alerts(
        AlertEngine(context, rules=rules, default_channel=channels.alerts, silenced=held, bad=bad),
        AlertService(context, rules=rules, default_channel=channels.alerts),
        Reminders(context, groups=settings.alerts.escalate_to, called_at=called_at, silenced=held),
        silences,
        maintenance,
    )


def alert_listeners(
    alerts: Alerts,
    ground: Ground,
    *,
    pause_rollout: PauseRollout,
    understand: Callable[[str], Awaitable[Query]],
    said_of_site: SaidOfSite,
) -> tuple[Listeners, AlertListeners, Sequence[SaidOfSite]]:
    """With the listeners that the fleet asks about a gateway, and what the sites ask about a site.

    ``said_of_site`` tells what is known of one.
    """

    async def reminded(incident: Incident) -> Sequence[str]:
        return ground.people.handles(await alerts.reminders.called(incident))

    incidents = AlertListeners(
        alerts.incidents,
        pause_rollout,
        reminded=reminded,
        said_of_site=said_of_site,
        silenced_down=alerts.silences.down,
        understand=understand,
        portal=ground.portal,
        maintenance=alerts.maintenance,
    )
    silences = SilenceListeners(
        alerts.silences,
        ground.modals,
        incident=alerts.incidents.incident,
        zone=ground.zone,
        now=ground.now,
    )
    log = AuditService(ground.context)

    async def called(actor: Actor) -> Mapping[str, Sequence[str]]:
        return await ground.people.names([*await log.actors(actor), *ground.people.known()])

    hands = HandListeners(
        alerts.incidents,
        ground.modals,
        actor_of=ground.people.actor,
        called=called,
        page=incidents.alerts_page,
    )
    maintenance = MaintenanceListeners(alerts.maintenance)
    lists = {**incidents.lists(), **silences.lists(), **maintenance.lists()}
    features = (incidents.feature(), hands.feature(), silences.feature(), maintenance.feature())
    return Listeners(features, lists), incidents, [one.of_site for one in (incidents, silences, maintenance)]


def alert_rules(settings: Settings) -> AlertRules:
    """When silence becomes an alert."""
    alerts = settings.alerts
    return AlertRules(
        offline_after=alerts.offline_after,
        offline_listings=alerts.offline_listings,
        online_after=alerts.online_after,
        online_listings=alerts.online_listings,
        group_wait=alerts.group_wait,
        startup_listings=alerts.startup_listings,
        storm_gateways=alerts.storm_gateways,
        storm_share=alerts.storm_share,
    )
