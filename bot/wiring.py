"""The settings as what the layers below take: the portal's client, digests, rules of alerts and rollouts."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.domain.alerts.incidents import AlertRules
from bot.domain.digests import STALE
from bot.domain.rollouts.plan import RolloutRules
from bot.domain.subscriptions import SubscriptionContext
from bot.domain.windows import Window
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.services.digests import DigestService
from bot.settings.model import Settings


def client_of(settings: Settings, now: Callable[[], datetime]) -> MeshtechClient:
    """The portal, as the settings say it is. Raises StartupError."""
    meshtech = settings.meshtech
    return MeshtechClient(
        meshtech.auth_url,
        meshtech.api_url,
        meshtech.username,
        meshtech.password.get_secret_value(),
        now=now,
        page_size=meshtech.page_size,
        most_gateways=settings.fleet.most_gateways,
        next_token_parameter=meshtech.next_token_parameter,
        routes=meshtech.routes,
        fields=meshtech.fields,
    )


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


def digests_of(settings: Settings, context: Context) -> DigestService:
    """When and where digests come."""
    return DigestService(
        context,
        channel=settings.channels.alerts,
        at=settings.alerts.digest_at,
        zone=ZoneInfo(settings.timezone),
        stable_for=settings.rollouts.stable_for,
        stale_after=max(STALE, settings.fleet.poll_every * 3),
    )


def around_of(settings: Settings) -> SubscriptionContext:
    """What subscriptions take the place of."""
    channels = settings.channels
    return SubscriptionContext(
        channels.alerts, channels.rollouts, settings.timezone, settings.alerts.digest_at
    )


def rollout_rules(settings: Settings) -> RolloutRules:
    """How an update goes."""
    rollouts = settings.rollouts
    above, share = rollouts.second_above or (None, None)
    return RolloutRules(
        approvals=rollouts.approvals,
        second_above_gateways=above,
        second_above_share=share,
        self_approval=rollouts.self_approval,
        approval_expires=rollouts.approval_expires,
        waves=rollouts.waves,
        soak=rollouts.soak,
        batch=rollouts.batch,
        per_site=rollouts.per_site,
        overdue_after=rollouts.overdue_after,
        return_within=rollouts.return_within,
        stable_for=rollouts.stable_for,
        window=_window(settings),
        zone=ZoneInfo(settings.timezone),
        look_for=rollouts.look_for,
        poll_every=settings.jobs.poll_every,
    )


def _window(settings: Settings) -> Window | None:
    if settings.rollouts.window is None:
        return None
    days, begins, ends = settings.rollouts.window
    return Window(frozenset(days), begins, ends)
