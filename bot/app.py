"""The composition root: has every column built from the settings, starts and stops them in order.

It owns the clock and the tasks. Nothing below it reads a setting or knows what time it is by itself.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

import bot
from bot.health import Health
from bot.metrics import BotMetrics
from bot.services.clock import Clock, WallClock, machine_time
from bot.services.sites.book import SiteBook
from bot.settings.definitions import Settings
from bot.shutdown import finish_work
from bot.slack.home.views.status import Status
from bot.slack.incoming.connection import SlackApp
from bot.storage.db.schema import ensure_schema
from bot.web import WebServer
from bot.wiring.alerts import build_alerts
from bot.wiring.fleet import build_fleet
from bot.wiring.ground import lay_ground
from bot.wiring.reporting import build_reporting
from bot.wiring.rollouts import build_rollouts
from bot.wiring.schedule import build_scheduler
from bot.wiring.slack import build_slack

log = logging.getLogger(__name__)


class App:
    """The whole bot. Make it, and start and stop it, inside one event loop."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self.clock = clock or WallClock()
        self._publishing: asyncio.Task[None] | None = None
        self._ground = ground = lay_ground(settings, self.clock.now)
        self._fleet = fleet = build_fleet(ground, frozen=self._frozen)
        self._sites = SiteBook(
            ground.context,
            within=fleet.gateways.require_within,
            contacts=ground.people.contacts,
            zone=settings.timezone,
        )
        self._alerts = build_alerts(
            ground,
            understand=fleet.gateways.query_of,
            matching=fleet.gateways.ids_matching,
            within=fleet.gateways.require_within,
            called_at=self._sites.called_at,
            bad=fleet.policies.bad,
        )
        self._rollouts = build_rollouts(
            ground,
            understand=fleet.gateways.query_of,
            matching=fleet.gateways.all_matching,
            within=fleet.gateways.require_within,
            fleet_size=fleet.size,
            listed_at=self._listed_at,
            incidents_at=self._alerts.incidents.at_sites,
            visibility_lost=self._alerts.visibility_lost,
            bad_among=fleet.policies.bad_among,
            opening_for=self._alerts.maintenance.opening_for,
        )
        self._reporting = build_reporting(
            ground,
            understand=fleet.gateways.query_of,
            covered=fleet.covered,
            matching=fleet.gateways.ids_matching,
            within=fleet.gateways.require_within,
            policies=fleet.policies.states,
        )
        self._slack = build_slack(
            ground,
            fleet,
            self._rollouts,
            self._alerts,
            self._reporting,
            self._sites,
            status=self._status,
            world_time=self.clock.now if isinstance(self.clock, WallClock) else machine_time,
        )
        self.publisher = self._slack.publisher
        self.scheduler = build_scheduler(
            ground,
            fleet,
            self._sites,
            self._rollouts,
            self._alerts,
            self._reporting,
            self._slack,
            self.clock,
        )
        self._health = Health(ground, fleet, self._rollouts, self._alerts, self._slack)
        self.metrics = BotMetrics(
            ground.client, ground.api, self.publisher, self.scheduler, self.clock.now, ground.database
        )
        self.scheduler.add("metrics", timedelta(seconds=15), self._measure)
        registry = CollectorRegistry()
        registry.register(self.metrics)
        self._web = WebServer(
            settings.http.host,
            settings.http.port,
            readiness=self._health.readiness,
            registry=registry,
            slack_events=self.slack.handle_http if settings.slack.signing_secret else None,
            health_port=settings.http.health_port,
        )
        # What a test asks, past Slack.
        self.fleet, self.rollouts = fleet.gateways, self._rollouts.requests
        self.digests, self.audit = self._reporting.digests, self._reporting.audit

    def set_speed(self, factor: float) -> None:
        """The clock goes this much faster from now on: so do the ticks."""
        self.scheduler.set_speed(factor)

    # ---- life
    async def start(self) -> None:
        """Raises StartupError for what keeps the bot from working; whatever was opened is closed again."""
        try:
            await ensure_schema(self._ground.database)
            # The port comes early: a second bot by mistake ends here, before it touches what the first does.
            await self._web.start()
            if isinstance(self.clock, WallClock):
                await self.clock.begin(self._ground.database)
            await self._ground.database.forget_leases()
            await self.slack.start()
            self._ground.people.handles(self._ground.settings.alerts.escalate_to)  # the first card has them
        except BaseException:
            await self.close()
            raise
        self._publishing = asyncio.create_task(self.publisher.run(), name="publisher")
        self.scheduler.start()
        log.info("meshbot is running", extra={"version": bot.__version__, "port": self._web.port})

    async def stop(self) -> None:
        """Takes no new work, lets what runs finish (20 s at most), and closes the socket last."""
        self._health.is_stopping = True
        await finish_work(self.slack, self.scheduler, self.publisher, self.audit)
        await self.close()
        log.info("stopped")

    async def close(self) -> None:
        """Gives back what was opened; ``stop`` ends with it."""
        await self.slack.close()
        await self._web.stop()
        await self._ground.close()

    @property
    def slack(self) -> SlackApp:
        """What people reach it by."""
        return self._slack.app

    @property
    def port(self) -> int:
        """Where health, metrics and, in HTTP mode, Slack's requests are answered."""
        return self._web.port

    async def _measure(self) -> None:
        snapshot = await self.fleet.snapshot_status()
        self.metrics.measured(await self.publisher.backlog(), snapshot.as_of, await self._health.sockets())

    # ---- what the columns ask of one another
    async def _frozen(self) -> Callable[[str], str | None]:
        """What says of a version why no update to it would start now."""
        freezes = await self._rollouts.freezes.standing()
        return lambda version: next((one.says() for one in freezes if one.holds(version)), None)

    async def _listed_at(self) -> datetime | None:
        return (await self.fleet.snapshot_status()).as_of

    async def _status(self) -> Status:
        return await self._health.status()
