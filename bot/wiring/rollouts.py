"""The column of rollouts: its services and rules, and what it listens to in Slack."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from bot.domain.access import Actor
from bot.domain.firmware import Firmware
from bot.domain.gateways import GatewayId, KnownGateway
from bot.domain.incident_kinds import IncidentSummary
from bot.domain.query import Query
from bot.domain.rollouts.lifecycle import RolloutId, RolloutRules
from bot.services.context import Within
from bot.services.rollouts.approval_checks import StartChecks
from bot.services.rollouts.freezes import RolloutFreezes
from bot.services.rollouts.plans_and_approvals import BadAmong, OpeningFor, RolloutRequests
from bot.services.rollouts.routing import RolloutRouting
from bot.services.rollouts.runner import RolloutRunner
from bot.services.rollouts.steering import RolloutSteering
from bot.services.rollouts.vendor_jobs import RolloutContext
from bot.settings.definitions import Settings
from bot.slack.rollouts.buttons import RolloutButtons
from bot.slack.rollouts.commands import RolloutListeners
from bot.slack.rollouts.form import RolloutForm
from bot.slack.rollouts.freezes import FreezeListeners
from bot.wiring.ground import Ground, Listeners


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Updates as they are asked for, as they run, and as people steer them."""

    requests: RolloutRequests
    runner: RolloutRunner
    steering: RolloutSteering
    freezes: RolloutFreezes
    routing: RolloutRouting

    async def pause(self, actor: Actor, rollout_id: int, drawn: int | None, channel: str) -> None:
        await self.steering.pause(actor, RolloutId(rollout_id), drawn=drawn, channel=channel)

    async def line_of(self, gateway_id: GatewayId) -> str | None:
        """What a gateway's card says of the rollout that it is in."""
        rollout_id = await self.requests.rollout_of(gateway_id)
        return None if rollout_id is None else f"In rollout *R-{rollout_id}* now"


def build_rollouts(
    ground: Ground,
    *,
    understand: Callable[[str], Awaitable[Query]],
    matching: Callable[[Query], AsyncIterator[tuple[KnownGateway, ...]]],
    within: Within,
    fleet_size: Callable[[], Awaitable[int]],
    listed_at: Callable[[], Awaitable[datetime | None]],
    incidents_at: Callable[[set[str]], Awaitable[Sequence[IncidentSummary]]],
    visibility_lost: Callable[[], Awaitable[bool]],
    bad_among: BadAmong,
    opening_for: OpeningFor,
) -> Rollouts:
    """The first five and ``bad_among`` are the fleet's, the others the alerts'."""
    context, rules = ground.context, rollout_rules(ground.settings)
    routing = RolloutRouting(context, default_channel=ground.channels.rollouts)
    of_rollouts = RolloutContext(context.database, context.now, ground.client, rules)
    checks = StartChecks(
        of_rollouts, ask=ground.people.actor_now, within=within, visibility_lost=visibility_lost
    )
    requests = RolloutRequests(
        context,
        ground.questions,
        understand=understand,
        matching=matching,
        fleet_size=fleet_size,
        incidents_at=incidents_at,
        may_post=ground.api.may_post,
        rules=rules,
        checks=checks,
        places=routing,
        new_id=lambda: secrets.token_hex(8),
        within=within,
        bad_among=bad_among,
        deciders=partial(ground.people.deciders, ground.settings.rollouts.ask),
        opening_for=opening_for,
    )
    runner = RolloutRunner(
        of_rollouts, checks=checks, visibility_lost=visibility_lost, listed_at=listed_at, owner=ground.owner
    )
    steering = RolloutSteering(
        context,
        rules=rules,
        visibility_lost=visibility_lost,
        within=within,
    )
    freezes = RolloutFreezes(context, told=ground.channels.freezes)
    return Rollouts(requests, runner, steering, freezes, routing)


def rollout_listeners(
    rollouts: Rollouts,
    ground: Ground,
    *,
    firmware: Callable[[], Awaitable[Sequence[Firmware]]],
    tags: Callable[[], Awaitable[Sequence[str]]],
    windows: Callable[[Actor], Awaitable[Sequence[object]]],
) -> Listeners:
    """``firmware`` and ``tags`` are the fleet's, ``windows`` the alerts'."""
    form = RolloutForm(rollouts.requests, ground.modals, firmware=firmware, tags=tags, windows=windows)
    buttons = RolloutButtons(rollouts.requests, rollouts.steering, ground.modals)
    listeners = RolloutListeners(rollouts.requests, form.open)
    freezes = FreezeListeners(rollouts.freezes, ground.modals)
    features = (listeners.feature(), freezes.feature(), buttons.feature(), form.feature())
    return Listeners(features, listeners.lists())


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
        wait_for_return=rollouts.wait_for_return,
        window=rollouts.window,
        zone=ZoneInfo(settings.timezone),
        look_for=rollouts.look_for,
        poll_every=settings.jobs.poll_every,
    )
