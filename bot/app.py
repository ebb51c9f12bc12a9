"""The composition root: builds every object from the settings, starts and stops them in order.

It owns the clock and the tasks. Nothing below it reads a setting or knows what time it is by itself.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

import bot
from bot.domain.access import Actor
from bot.domain.audit import KEPT
from bot.domain.errors import Unavailable
from bot.domain.gateways import GatewayId, ListingResult
from bot.domain.query import EVERYTHING, Query, parse
from bot.domain.rollouts.rollout import RolloutId
from bot.metrics import BotMetrics
from bot.scheduler import Clock, Scheduler, WallClock
from bot.services.alerts.engine import AlertEngine
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.reminders import Reminders
from bot.services.alerts.silences import SilenceService
from bot.services.audit import AuditService
from bot.services.channels import BrokenChannels
from bot.services.context import Context
from bot.services.fleet.charts import ChartService
from bot.services.fleet.gateways import FleetService
from bot.services.fleet.write_runs import WriteRunner
from bot.services.fleet.writes import FleetWrites
from bot.services.retention import Retention
from bot.services.rollouts.jobs import RolloutContext
from bot.services.rollouts.requests import RolloutRequests
from bot.services.rollouts.routing import RolloutRouting
from bot.services.rollouts.runner import RolloutRunner
from bot.services.rollouts.steering import RolloutSteering
from bot.services.subscriptions import SubscriptionService
from bot.settings.model import Settings
from bot.slack.alerts.incidents import AlertListeners
from bot.slack.alerts.silences import SilenceListeners
from bot.slack.audit import AuditCommands
from bot.slack.fleet.charts import ChartListeners, LatestChart
from bot.slack.fleet.gateways import FleetCommands
from bot.slack.fleet.writes import WriteCommands
from bot.slack.home.digests import DigestNotes
from bot.slack.home.status import StatusCommands
from bot.slack.home.tab import HomeTab
from bot.slack.home.views.status import Setting, Status
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.people import People
from bot.slack.incoming.requests import Feature
from bot.slack.lists import list_clicks
from bot.slack.outgoing.publisher import Publisher
from bot.slack.outgoing.responses import Modals
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.slack.rollouts.buttons import RolloutButtons
from bot.slack.rollouts.commands import RolloutListeners
from bot.slack.rollouts.form import RolloutForm
from bot.slack.subscriptions import SubscriptionListeners
from bot.storage.db.engine import Database
from bot.storage.db.schema import ensure_schema
from bot.web import Readiness, WebServer
from bot.wiring import alert_rules, around_of, client_of, digests_of, rollout_rules

log = logging.getLogger(__name__)

DRAIN = timedelta(seconds=20)
LAST_CALLS = timedelta(seconds=4)  # of the publisher, after that
FLEET_HISTORY = timedelta(days=90)
WRITES_KEPT = timedelta(days=7)  # for Undo, and for a late click that is told so
STALE_LISTINGS = 5  # intervals without a completed listing before /readyz speaks of it
_OFTEN = timedelta(seconds=5)


class App:
    """The whole bot. Make it, and start and stop it, inside one event loop."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self.clock = clock or WallClock()
        now = self.clock.now
        self._owner = secrets.token_hex(8)  # this process among the replicas
        self._draining = False
        self._publishing: asyncio.Task[None] | None = None
        self._database = Database.open(settings.database_url.get_secret_value())
        self._client = client_of(settings, now)
        self._session: aiohttp.ClientSession = new_session()
        self._api = WebApi(
            settings.slack.bot_token.get_secret_value(), self._session, base_url=settings.slack.api_url
        )
        self._people = People(
            self._api,
            operators=settings.access.operators,
            approvers=settings.access.approvers,
            admins=settings.access.admins,
            scopes={one: parse(query) for one, query in settings.access.scopes},
            now=now,
        )
        self._build_services(now)
        self._slack = self._build_slack(now)
        self.publisher = Publisher(
            self._api,
            self._database,
            cards=self._slack.cards,
            notes=self._slack.notes,
            now=lambda: datetime.now(UTC),  # Slack's pace is the world's, however fast the demo's clock goes
            edit_every=settings.slack.edit_every,
        )
        self._database.when_touched(self.publisher.wake)
        self.scheduler = self._build_scheduler()
        self.metrics = BotMetrics(self._client, self.publisher, self.scheduler, now, self._database)
        self.scheduler.add("metrics", timedelta(seconds=15), self._measure)
        registry = CollectorRegistry()
        registry.register(self.metrics)
        self._web = WebServer(
            settings.http.host,
            settings.http.port,
            readiness=self._readiness,
            registry=registry,
            slack_events=self._slack.handle_http if settings.slack.signing_secret else None,
        )

    # ---- building
    def _build_services(self, now: Callable[[], datetime]) -> None:
        settings = self._settings
        context = Context(self._database, now)
        self.fleet = FleetService(
            context,
            self._client,
            site_tag=settings.fleet.site_tag,
            owner=self._owner,
            listing_every=settings.fleet.poll_every,
        )
        self.writes = FleetWrites(context)
        self.write_runs = WriteRunner(context, self._client, site_tag=settings.fleet.site_tag)
        self.silences = SilenceService(
            context,
            matching=self.fleet.ids_matching,
            within=self.fleet.require_within,
            channel=settings.channels.alerts,
            zone=ZoneInfo(settings.timezone),
        )
        when_to_alert = alert_rules(settings)
        self.alert_engine = AlertEngine(
            context,
            rules=when_to_alert,
            default_channel=settings.channels.alerts,
            silenced=self.silences.silenced,
        )
        self.reminders = Reminders(
            context, groups=settings.alerts.escalate_to, silenced=self.silences.silenced
        )
        self.alerts = AlertService(context, rules=when_to_alert, default_channel=settings.channels.alerts)
        rules = rollout_rules(settings)
        self.rollout_routing = RolloutRouting(context, default_channel=settings.channels.rollouts)
        self.rollouts = RolloutRequests(
            context,
            self._client,
            matching=self.fleet.all_matching,
            fleet_size=self._fleet_size,
            incidents_at=self.alerts.at_sites,
            may_post=self._api.may_post,
            rules=rules,
            places=self.rollout_routing,
            new_id=lambda: secrets.token_hex(8),
            within=self.fleet.require_within,
        )
        self.rollout_runner = RolloutRunner(
            RolloutContext(self._database, now, self._client, rules),
            visibility_lost=self._visibility_lost,
            listed_at=self._listed_at,
        )
        self.steering = RolloutSteering(
            context,
            rules=rules,
            visibility_lost=self._visibility_lost,
            within=self.fleet.require_within,
        )
        self.audit = AuditService(context)
        self.retention = Retention(context)
        self.subscriptions = SubscriptionService(context, covered=self._covered, may_post=self._api.may_post)
        self.broken_channels = BrokenChannels(context, admins=self._people.admins)
        self.charts = ChartService(context)
        self.digests = digests_of(settings, context)

    def _build_slack(self, now: Callable[[], datetime]) -> SlackApp:
        settings = self._settings
        alerts = AlertListeners(self.alerts, self._pause_rollout, reminded=self._reminded)
        rollout_buttons = RolloutButtons(self.rollouts, self.steering, Modals(self._api))
        form = RolloutForm(self.fleet, self.rollouts, Modals(self._api))
        rollouts = RolloutListeners(self.rollouts, self.steering, rollout_buttons, form.open)
        fleet = FleetCommands(self.fleet, now=now, incident_of=alerts.line_of, rollout_of=self._rollout_line)
        about = StatusCommands(status=self._status, settings=self._shown_settings, now=now)
        audit = AuditCommands(self.audit)
        around = around_of(settings)
        subscriptions = SubscriptionListeners(
            self.subscriptions, around, shared_outside=self._api.is_shared_outside
        )
        silences = SilenceListeners(
            self.silences,
            Modals(self._api),
            incident=self.alerts.incident,
            zone=ZoneInfo(settings.timezone),
            now=now,
        )
        paged = (fleet, alerts, rollouts, about, audit, subscriptions, silences)
        lists = {kind: one for feature in paged for kind, one in feature.lists().items()}
        shared = Feature(clicks=list_clicks(lists))
        writes = WriteCommands(self.fleet, self.writes, self.write_runs, now=now)
        charts = ChartListeners(self.charts, zone=ZoneInfo(settings.timezone))
        digests = DigestNotes(self.digests, self.charts, command=settings.slack.command)
        self.home = HomeTab(
            self.fleet,
            self.rollouts,
            self.alerts,
            self.silences,
            Modals(self._api),
            chart=LatestChart(self.charts, self._api, zone=ZoneInfo(settings.timezone), now=now).blocks,
            actor_of=self._people.actor,
            command=settings.slack.command,
            now=now,
        )
        return SlackApp(
            self._api,
            self._people,
            [
                fleet.feature(),
                charts.feature(),
                writes.feature(),
                digests.feature(),
                rollouts.feature(),
                form.feature(),
                alerts.feature(),
                silences.feature(),
                subscriptions.feature(),
                about.feature(),
                audit.feature(),
                self.home.feature(),
                shared,
            ],
            on_refused=self.audit.refused,
            command=settings.slack.command,
            app_token=_plain(settings.slack.app_token),
            signing_secret=_plain(settings.slack.signing_secret),
        )

    def _build_scheduler(self) -> Scheduler:
        settings = self._settings
        scheduler = Scheduler(self.clock.now)
        scheduler.add("listing", settings.fleet.poll_every, self.fleet.take_in_listing)
        # A tick for each, so that an error in one keeps none of the others from its work.
        alerting = min(_OFTEN, settings.alerts.group_wait or timedelta(seconds=1))
        scheduler.add("alerts", alerting, self.alert_engine.tick)
        scheduler.add("reminders", _OFTEN, self.reminders.tick)
        scheduler.add("silences", _OFTEN, self.silences.tick)
        scheduler.add("channels", _OFTEN, self.broken_channels.tell)
        scheduler.add("places", _OFTEN, self.rollout_routing.open_again)
        scheduler.add("rollouts", min(_OFTEN, settings.jobs.poll_every), self.rollout_runner.advance)
        scheduler.add("writes", timedelta(seconds=30), self.write_runs.resume)
        scheduler.add("sockets", _OFTEN, self._slack.watch)
        scheduler.add("digests", timedelta(seconds=30), self.digests.tick)
        scheduler.add("home", timedelta(minutes=1), self.home.redraw)
        scheduler.add("database", _OFTEN, lambda: self._database.check_writing(self.clock.now()))
        scheduler.add("prune", timedelta(hours=1), self._prune)
        if self.clock.speed != 1:
            scheduler.set_speed(self.clock.speed)
        self.fleet.tell(self._evaluate)
        return scheduler

    def set_speed(self, factor: float) -> None:
        """The clock goes this much faster from now on: so do the ticks."""
        self.scheduler.set_speed(factor)

    # ---- life
    async def start(self) -> None:
        """Raises StartupError for what keeps the bot from working; whatever was opened is closed again."""
        try:
            await ensure_schema(self._database)
            # The port comes early: a second bot by mistake ends here, before it touches what the first does.
            await self._web.start()
            await self._database.forget_leases()
            await self._slack.start()
            self._reminded()  # asks for names now, so that the first card has them
        except BaseException:
            await self._close()
            raise
        self._publishing = asyncio.create_task(self.publisher.run(), name="publisher")
        self.scheduler.start()
        log.info("meshbot is running", extra={"version": bot.__version__, "port": self._web.port})

    async def stop(self) -> None:
        """Takes no new work, lets what runs finish (20 s at most), and closes the socket last."""
        log.info("stopping")
        self._draining = True
        self.scheduler.pause()
        self._slack.stop_accepting()
        await asyncio.gather(self._slack.drain(DRAIN.total_seconds()), self.scheduler.shutdown(DRAIN))
        await self.publisher.stop(LAST_CALLS)
        await self._close()
        log.info("stopped")

    async def _close(self) -> None:
        await self._slack.close()
        await self._web.stop()
        await self._session.close()
        await self._client.aclose()
        await self._database.close()

    @property
    def slack(self) -> SlackApp:
        """What people reach it by."""
        return self._slack

    @property
    def port(self) -> int:
        """Where health, metrics and, in HTTP mode, Slack's requests are answered."""
        return self._web.port

    # ---- ticks
    async def _evaluate(self, taken: ListingResult) -> None:
        await self.alert_engine.evaluate(taken.listing)

    async def _measure(self) -> None:
        snapshot = await self.fleet.snapshot_status()
        self.metrics.measured(
            await self.publisher.backlog(), snapshot.as_of, await self._slack.connected_count()
        )

    async def _prune(self) -> None:
        await self.fleet.prune(FLEET_HISTORY)
        await self.writes.prune(WRITES_KEPT)
        await self.publisher.prune(KEPT)
        await self.retention.prune()
        await self.audit.prune()

    # ---- what the parts ask of each other
    async def _fleet_size(self) -> int:
        return await self._covered(EVERYTHING)

    async def _covered(self, query: Query) -> int:
        return (await self.fleet.counts(query)).total

    async def _visibility_lost(self) -> bool:
        return await self.alert_engine.visibility_loss() is not None

    async def _listed_at(self) -> datetime | None:
        return (await self.fleet.snapshot_status()).as_of

    async def _pause_rollout(self, actor: Actor, rollout_id: int, channel: str) -> None:
        await self.steering.pause(actor, RolloutId(rollout_id), channel=channel)

    def _reminded(self) -> list[str]:
        return self._people.handles(self._settings.alerts.escalate_to)

    async def _rollout_line(self, gateway_id: GatewayId) -> str | None:
        rollout_id = await self.rollouts.rollout_of(gateway_id)
        return None if rollout_id is None else f"In rollout *R-{rollout_id}* now"

    def _shown_settings(self) -> list[Setting]:
        return [
            Setting(one.variable, one.value, one.fallback, one.meaning) for one in self._settings.describe()
        ]

    async def _status(self) -> Status:
        log_in = self._client.auth_status()
        backlog = await self.publisher.backlog()
        return Status(
            version=bot.__version__,
            unwritable_since=self._database.unwritable_since,
            counts=await self.fleet.counts(parse("")),
            snapshot=await self.fleet.snapshot_status(),
            log_in=log_in.state.value,
            log_in_since=log_in.since,
            log_in_next_try=log_in.next_try,
            log_in_error=log_in.last_error,
            sockets=await self._slack.connected_count() if self._settings.slack.app_token else None,
            cards_waiting=backlog.waiting,
            cards_broken=backlog.broken,
            roles=self._people.faults(),
        )

    async def _readiness(self) -> Readiness:
        """The database, which must take changes too, and Slack decide; trouble with the vendor is told."""
        parts: dict[str, object] = {}
        try:
            await self._database.check()
            since = self._database.unwritable_since
            parts["database"] = f"takes no changes since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "ok"
            snapshot = await self.fleet.snapshot_status()
            as_of = snapshot.as_of
            age = None if as_of is None else int((self.clock.now() - as_of).total_seconds())
            parts["fleet"] = {"age_seconds": age, "failures": snapshot.consecutive_failures}
        except Unavailable as error:
            parts["database"] = str(error)
        slack = await self._slack.ready()
        parts["slack"] = "ok" if slack else "not connected"
        parts["meshtech"] = self._client.auth_status().state.value
        ok = slack and parts["database"] == "ok" and not self._draining
        if self._draining:
            parts["stopping"] = True
        return Readiness(ok, parts)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
