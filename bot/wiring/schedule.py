"""What the bot does by itself, and how often: every tick by its name."""

from datetime import timedelta
from functools import partial

from bot.domain.gateways import ListingResult
from bot.domain.times.retention import FLEET_HISTORY, KEPT, WRITES_KEPT
from bot.scheduler import Scheduler
from bot.services.clock import Clock, WallClock
from bot.services.fleet.search import LOOK_EVERY
from bot.services.sites.book import SiteBook
from bot.wiring.alerts import Alerts
from bot.wiring.fleet import Fleet
from bot.wiring.ground import Ground
from bot.wiring.reporting import Reporting
from bot.wiring.rollouts import Rollouts
from bot.wiring.slack import Slack

OFTEN = timedelta(seconds=5)
_HOURLY = timedelta(hours=1)


def build_scheduler(
    ground: Ground,
    fleet: Fleet,
    sites: SiteBook,
    rollouts: Rollouts,
    alerts: Alerts,
    reporting: Reporting,
    slack: Slack,
    clock: Clock,
) -> Scheduler:
    """A tick for each, so that an error in one keeps none of the others from its work."""
    settings, database = ground.settings, ground.database
    alerting = min(OFTEN, settings.alerts.group_wait or timedelta(seconds=1))
    scheduler = Scheduler(clock.now)
    for name, every, tick in (
        ("listing", min(LOOK_EVERY, settings.fleet.poll_every), fleet.gateways.take_in_listing),
        ("alerts", alerting, alerts.engine.tick),
        ("reminders", OFTEN, alerts.reminders.tick),
        ("silences", OFTEN, alerts.silences.tick),
        ("maintenance", OFTEN, alerts.maintenance.tick),
        ("channels", OFTEN, reporting.broken_channels.tell),
        ("places", OFTEN, rollouts.routing.open_again),
        ("rollouts", min(OFTEN, settings.jobs.poll_every), rollouts.runner.advance),
        ("writes", OFTEN, fleet.runs.resume),
        ("people", OFTEN, reporting.changed_people.tick),
        ("sockets", OFTEN, slack.app.watch),
        ("digests", timedelta(seconds=30), reporting.digests.tick),
        ("home", timedelta(minutes=1), slack.home.redraw),
        ("database", OFTEN, lambda: database.check_writing(clock.now())),
        ("audit", OFTEN, reporting.audit.catch_up),
        ("prune", _HOURLY, reporting.retention.prune),
        ("prune_rollouts", _HOURLY, reporting.retention.prune_rollouts),
        ("prune_incidents", _HOURLY, reporting.retention.prune_incidents),
        ("prune_fleet", _HOURLY, partial(fleet.gateways.prune, FLEET_HISTORY)),
        ("prune_writes", _HOURLY, partial(fleet.writes.prune, WRITES_KEPT)),
        ("prune_sites", _HOURLY, partial(sites.prune, WRITES_KEPT)),
        ("prune_cards", _HOURLY, partial(slack.publisher.prune, KEPT)),
        ("prune_audit", _HOURLY, reporting.audit.prune),
    ):
        scheduler.add(name, every, tick)
    if isinstance(clock, WallClock):
        scheduler.add("clock", OFTEN, partial(clock.follow, database))
    if clock.speed != 1:
        scheduler.set_speed(clock.speed)

    async def evaluate(taken: ListingResult) -> None:
        await alerts.engine.evaluate(taken.listing)

    fleet.gateways.tell(evaluate)
    return scheduler
