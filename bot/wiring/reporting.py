"""What reports on all columns: subscriptions, digests, `status`, the audit log; and what is forgotten."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.domain.digests import stale_after
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.query import Query
from bot.domain.subscriptions import SubscriptionContext
from bot.services.audit import AuditService
from bot.services.broken_channels import BrokenChannels
from bot.services.context import Within
from bot.services.digests import DigestService
from bot.services.preferences import Preferences
from bot.services.pruning import Retention
from bot.services.replicas import ChangedPeople, Heard
from bot.services.subscriptions import SubscriptionService
from bot.slack.audit import AuditCommands
from bot.slack.home.preferences import PreferenceCommands
from bot.slack.home.status import StatusCommands
from bot.slack.home.views.status import Setting, Status
from bot.slack.subscriptions import SubscriptionListeners
from bot.wiring.ground import Ground, Listeners


@dataclass(frozen=True, slots=True)
class Reporting:
    """Who hears of what, what was done, and how long it is kept: the services that all columns share."""

    subscriptions: SubscriptionService
    broken_channels: BrokenChannels
    digests: DigestService
    audit: AuditService
    retention: Retention
    changed_people: ChangedPeople
    heard: Heard


def build_reporting(
    ground: Ground,
    *,
    understand: Callable[[str], Awaitable[Query]],
    covered: Callable[[Query], Awaitable[int]],
    matching: Callable[[Query], Awaitable[Sequence[str]]],
    within: Within,
    policies: Callable[[Query], Awaitable[Sequence[PolicyState]]],
) -> Reporting:
    """``understand`` reads a query, ``covered`` counts the gateways of a query, ``matching`` lists them,
    ``policies`` says how they stand to the firmware policy.
    """
    context, settings = ground.context, ground.settings
    digests = DigestService(
        context,
        channel=ground.channels.digests,
        at=settings.alerts.digest_at,
        usual_at=settings.alerts.usual_digest_at,
        zone=ground.zone,
        stable_for=settings.rollouts.stable_for,
        stale_after=stale_after(settings.fleet.poll_every),
        policies=policies,
    )
    return Reporting(
        SubscriptionService(
            context,
            understand=understand,
            covered=covered,
            matching=matching,
            within=within,
            may_post=ground.api.may_post,
            around=_around(ground),
        ),
        BrokenChannels(context, admins=ground.people.admins),
        digests,
        AuditService(context),
        Retention(context),
        ChangedPeople(context, forget=ground.people.forget),
        Heard(context),
    )


def reporting_listeners(
    reporting: Reporting, ground: Ground, *, status: Callable[[], Awaitable[Status]]
) -> Listeners:
    """``status`` says how the bot fares."""
    subscriptions = SubscriptionListeners(
        reporting.subscriptions, _around(ground), shared_outside=ground.api.is_shared_outside
    )
    about = StatusCommands(status=status, settings=lambda: _shown(ground), now=ground.now)
    preferences = PreferenceCommands(Preferences(ground.context))
    audit = AuditCommands(
        reporting.audit,
        ground.people.names,
        channel_names=ground.api.channel_names,
        ids_of=ground.people.same_person,
    )
    return Listeners(
        (subscriptions.feature(), preferences.feature(), about.feature(), audit.feature()),
        {**subscriptions.lists(), **about.lists(), **audit.lists()},
    )


def _around(ground: Ground) -> SubscriptionContext:
    settings = ground.settings
    return SubscriptionContext(
        ground.channels,
        settings.timezone,
        settings.alerts.digest_at,
        settings.alerts.usual_digest_at,
    )


def _shown(ground: Ground) -> list[Setting]:
    return [
        Setting(line.variable, line.value, line.fallback, line.meaning) for line in ground.settings.describe()
    ]
