"""The composition root: has every column built from the settings, starts and stops them in order.

It owns the clock and the tasks. Nothing below it reads a setting or knows what time it is by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from prometheus_client import CollectorRegistry

import bot
from bot.domain.audit import KEPT
from bot.domain.errors import Unavailable
from bot.domain.gateways import ListingResult
from bot.domain.query import EVERYTHING
from bot.metrics import BotMetrics
from bot.scheduler import Scheduler, Tick
from bot.services.clock import Clock, WallClock, machine_time
from bot.services.fleet.search import LOOK_EVERY
from bot.services.sites.book import SiteBook
from bot.settings.definitions import Settings
from bot.shutdown import finish_work
from bot.slack.home.views.status import OpenWork, Status
from bot.slack.incoming.connection import SlackApp
from bot.storage.db.schema import ensure_schema
from bot.web import Readiness, WebServer
from bot.wiring.alerts import build_alerts
from bot.wiring.fleet import build_fleet
from bot.wiring.ground import lay_ground
from bot.wiring.reporting import build_reporting
from bot.wiring.rollouts import build_rollouts
from bot.wiring.slack import build_slack

log = logging.getLogger(__name__)

FLEET_HISTORY = timedelta(days=90)
WRITES_KEPT = timedelta(days=7)  # for Undo, and for a late click that is told so
OFTEN = timedelta(seconds=5)


class App:
    """The whole bot. Make it, and start and stop it, inside one event loop."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self.clock = clock or WallClock()
        self._draining = False
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
        self.scheduler = self._build_scheduler()
        self.metrics = BotMetrics(
            ground.client, ground.api, self.publisher, self.scheduler, self.clock.now, ground.database
        )
        self.scheduler.add("metrics", timedelta(seconds=15), self._measure)
        registry = CollectorRegistry()
        registry.register(self.metrics)
        self._web = WebServer(
            settings.http.host,
            settings.http.port,
            readiness=self._readiness,
            registry=registry,
            slack_events=self.slack.handle_http if settings.slack.signing_secret else None,
            health_port=settings.http.health_port,
        )
        # What a test asks, past Slack.
        self.fleet, self.rollouts = fleet.gateways, self._rollouts.requests
        self.digests, self.audit = self._reporting.digests, self._reporting.audit

    def _build_scheduler(self) -> Scheduler:
        settings = self._ground.settings
        scheduler = Scheduler(self.clock.now)
        looking = min(LOOK_EVERY, settings.fleet.poll_every)
        scheduler.add("listing", looking, self._fleet.gateways.take_in_listing)
        # A tick for each, so that an error in one keeps none of the others from its work.
        alerting = min(OFTEN, settings.alerts.group_wait or timedelta(seconds=1))
        scheduler.add("alerts", alerting, self._alerts.engine.tick)
        scheduler.add("reminders", OFTEN, self._alerts.reminders.tick)
        scheduler.add("silences", OFTEN, self._alerts.silences.tick)
        scheduler.add("maintenance", OFTEN, self._alerts.maintenance.tick)
        scheduler.add("channels", OFTEN, self._reporting.broken_channels.tell)
        scheduler.add("places", OFTEN, self._rollouts.routing.open_again)
        scheduler.add("rollouts", min(OFTEN, settings.jobs.poll_every), self._rollouts.runner.advance)
        scheduler.add("writes", OFTEN, self._fleet.runs.resume)
        scheduler.add("people", OFTEN, self._reporting.changed_people.tick)
        scheduler.add("sockets", OFTEN, self.slack.watch)
        scheduler.add("digests", timedelta(seconds=30), self._reporting.digests.tick)
        scheduler.add("home", timedelta(minutes=1), self._slack.home.redraw)
        scheduler.add("database", OFTEN, self._check_database)
        scheduler.add("audit", OFTEN, self._reporting.audit.catch_up)
        for name, prune in self._pruning().items():
            scheduler.add(name, timedelta(hours=1), prune)
        if isinstance(self.clock, WallClock):
            scheduler.add("clock", OFTEN, partial(self.clock.follow, self._ground.database))
        if self.clock.speed != 1:
            scheduler.set_speed(self.clock.speed)
        self._fleet.gateways.tell(self._evaluate)
        return scheduler

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
        self._draining = True
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

    # ---- ticks
    async def _evaluate(self, taken: ListingResult) -> None:
        await self._alerts.engine.evaluate(taken.listing)

    async def _measure(self) -> None:
        snapshot = await self.fleet.snapshot_status()
        self.metrics.measured(await self.publisher.backlog(), snapshot.as_of, await self._sockets())

    def _pruning(self) -> Mapping[str, Tick]:
        return {
            "prune": self._reporting.retention.prune,
            "prune_rollouts": self._reporting.retention.prune_rollouts,
            "prune_incidents": self._reporting.retention.prune_incidents,
            "prune_fleet": partial(self._fleet.gateways.prune, FLEET_HISTORY),
            "prune_writes": partial(self._fleet.writes.prune, WRITES_KEPT),
            "prune_sites": partial(self._sites.prune, WRITES_KEPT),
            "prune_cards": partial(self.publisher.prune, KEPT),
            "prune_audit": self._reporting.audit.prune,
        }

    async def _check_database(self) -> None:
        await self._ground.database.check_writing(self.clock.now())

    # ---- how it fares
    async def _sockets(self) -> int | None:
        """How many are open; None in HTTP mode."""
        return await self.slack.connected_count() if self._ground.settings.slack.app_token else None

    async def _frozen(self) -> Callable[[str], str | None]:
        """What says of a version why no update to it would start now."""
        freezes = await self._rollouts.freezes.standing()
        return lambda version: next((one.says() for one in freezes if one.holds(version)), None)

    async def _listed_at(self) -> datetime | None:
        return (await self.fleet.snapshot_status()).as_of

    async def _status(self) -> Status:
        log_in = self._ground.client.auth_status()
        backlog = await self.publisher.backlog()
        return Status(
            version=bot.__version__,
            unwritable_since=self._ground.database.unwritable_since,
            counts=await self.fleet.counts(EVERYTHING),
            snapshot=await self.fleet.snapshot_status(),
            log_in=log_in.state.value,
            log_in_since=log_in.since,
            log_in_next_try=log_in.next_try,
            log_in_error=log_in.last_error,
            poll_every=self._ground.settings.fleet.poll_every,
            sockets=await self._sockets(),
            token_refused=self._ground.api.refused,
            cards_waiting=backlog.waiting,
            work=await self._work(),
            cards_broken=backlog.broken,
            roles=self._ground.people.faults(),
        )

    async def _work(self) -> OpenWork:
        alerts, unacknowledged = await self._alerts.incidents.count_open()
        return OpenWork(
            alerts,
            unacknowledged,
            await self._rollouts.requests.count_going_on(),
            await self._alerts.silences.count_active(),
            await self._rollouts.freezes.standing(),
            await self._fleet.policies.states(),
        )

    async def _readiness(self) -> Readiness:
        """The database, which must take changes too, and Slack decide; trouble with the vendor is told."""
        parts: dict[str, object] = {}
        try:
            await self._ground.database.check()
            since = self._ground.database.unwritable_since
            parts["database"] = f"takes no changes since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "ok"
            snapshot = await self.fleet.snapshot_status()
            as_of = snapshot.as_of
            age = None if as_of is None else int((self.clock.now() - as_of).total_seconds())
            parts["fleet"] = {"age_seconds": age, "failures": snapshot.consecutive_failures}
        except Unavailable as error:
            parts["database"] = str(error)
        slack = await self.slack.ready()
        parts["slack"] = "ok" if slack else self._ground.api.refused or "not connected"
        parts["meshtech"] = self._ground.client.auth_status().state.value
        ok = slack and parts["database"] == "ok" and not self._draining
        if self._draining:
            parts["stopping"] = True
        return Readiness(ok, parts)
