"""Slack: what all columns listen to and draw, joined on one connection, with the home tab and the digests."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.services.late_answers import LATE, LateAnswers
from bot.services.sites.book import SiteBook
from bot.slack.fleet.charts import LatestChart
from bot.slack.home.digests import DigestNotes
from bot.slack.home.tab import HomeTab
from bot.slack.home.views.status import Status
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.listeners import Feature, SaidOfSite
from bot.slack.incoming.signatures import of_one_process
from bot.slack.outgoing.publisher import Publisher
from bot.slack.outgoing.replies import late
from bot.slack.paging import OnExported, list_clicks
from bot.slack.sites.book import SiteListeners
from bot.slack.views.audit_list import unanswered
from bot.storage.audit import UNANSWERED
from bot.wiring.alerts import Alerts, alert_listeners
from bot.wiring.fleet import Fleet, fleet_listeners
from bot.wiring.ground import Ground, Listeners
from bot.wiring.reporting import Reporting, reporting_listeners
from bot.wiring.rollouts import Rollouts, rollout_listeners


@dataclass(frozen=True, slots=True)
class Slack:
    """What people reach the bot by, and what shows them its cards."""

    app: SlackApp
    publisher: Publisher
    home: HomeTab


def build_slack(
    ground: Ground,
    fleet: Fleet,
    rollouts: Rollouts,
    alerts: Alerts,
    reporting: Reporting,
    sites: SiteBook,
    *,
    status: Callable[[], Awaitable[Status]],
    world_time: Callable[[], datetime],
) -> Slack:
    """``status`` says how the bot fares; ``world_time`` is Slack's, however fast the demo's clock goes.

    Raises ValueError when two features claim the same name."""
    settings = ground.settings
    app_token, signing_secret = settings.slack.app_token, settings.slack.signing_secret
    said: list[SaidOfSite] = []
    of_sites = SiteListeners(sites, ground.modals, said=said)
    of_alerts, incidents, said_of_alerts = alert_listeners(
        alerts,
        ground,
        pause_rollout=rollouts.pause,
        understand=fleet.gateways.query_of,
        said_of_site=of_sites.facts_of,
    )
    of_fleet, history = fleet_listeners(
        fleet,
        ground,
        incident_of=incidents.line_of,
        rollout_of=rollouts.line_of,
        said_of_site=of_sites.facts_of,
        held=alerts.held_between,
    )
    said += [*said_of_alerts, history.of_site]
    home = _home(ground, fleet, rollouts, alerts)
    digests = DigestNotes(reporting.digests, fleet.charts, month=history.month)
    answers = LateAnswers(ground.context, world_time)
    app = SlackApp(
        ground.api,
        ground.people,
        _joined(
            reporting.audit.exported,
            of_fleet,
            Listeners((of_sites.feature(),), of_sites.lists()),
            rollout_listeners(
                rollouts,
                ground,
                firmware=fleet.offered_firmware,
                tags=fleet.tag_names,
                windows=alerts.maintenance.planned,
            ),
            of_alerts,
            reporting_listeners(reporting, ground, status=status),
            Listeners(
                (digests.feature(), home.feature(), Feature(notes={LATE: late, UNANSWERED: unanswered}))
            ),
        ),
        on_refused=reporting.audit.refused,
        on_changed=reporting.changed_people.tell,
        card_in=reporting.heard.card_in,
        on_undelivered=answers.keep,
        answering=answers.answering,
        # One process remembers by itself which requests it has had.
        is_first=of_one_process if ground.database.is_sqlite else reporting.heard.is_new,
        is_new=reporting.heard.is_new,
        app_token=app_token.get_secret_value() if app_token else None,
        signing_secret=signing_secret.get_secret_value() if signing_secret else None,
    )
    publisher = Publisher(
        ground.api,
        ground.database,
        cards=app.cards,
        notes=app.notes,
        owner=ground.owner,
        now=world_time,
        edit_every=settings.slack.edit_every,
    )
    ground.database.when_touched(publisher.wake)
    return Slack(app, publisher, home)


def _joined(exported: OnExported, *columns: Listeners) -> Sequence[Feature]:
    """The features of all, and one for the buttons that their lists share."""
    lists = {kind: handler for column in columns for kind, handler in column.lists.items()}
    shared = Feature(clicks=list_clicks(lists, exported))
    return [*(one for column in columns for one in column.features), shared]


def _home(ground: Ground, fleet: Fleet, rollouts: Rollouts, alerts: Alerts) -> HomeTab:
    return HomeTab(
        fleet.gateways,
        rollouts.requests,
        alerts.incidents,
        alerts.silences,
        alerts.maintenance,
        fleet.policies,
        ground.modals,
        chart=LatestChart(fleet.charts, ground.api, zone=ground.zone, now=ground.now).blocks,
        actor_of=ground.people.actor,
        now=ground.now,
    )
