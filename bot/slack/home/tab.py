"""The home tab: drawn when somebody opens it, then for ten minutes whenever what it shows has changed.

Slack tells when it is opened and not when it is closed, hence the ten minutes. A button is offered only where
the domain itself would not refuse the click.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.domain.access import Action, Actor, require
from bot.domain.errors import BotError, NotAllowed, RoleUnknown, Unavailable
from bot.domain.query import EVERYTHING
from bot.domain.rollouts import approvals
from bot.domain.rollouts import lifecycle as decide
from bot.domain.rollouts.lifecycle import RolloutState, TargetState
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.maintenance import MaintenanceService
from bot.services.alerts.silences import SilenceService
from bot.services.fleet.firmware_policy import PolicyService
from bot.services.fleet.search import FleetService
from bot.services.rollouts.plans_and_approvals import RolloutLine, RolloutRequests
from bot.slack import ids
from bot.slack.home.views import tab as views
from bot.slack.home.views.tab import HomeRollout
from bot.slack.incoming.guard import catch
from bot.slack.incoming.listeners import Feature, ViewCalls
from bot.slack.outgoing.web_api import SlackFailed
from bot.slack.views.blocks import Block, View
from bot.storage.db.unreadable_rows import noting_what_is_left_out

log = logging.getLogger(__name__)

WATCHED_FOR = timedelta(minutes=10)
MOST_WATCHED = 200  # tabs that are drawn again by themselves
_BAD_PICTURE = frozenset({"invalid_blocks", "invalid_arguments"})
_LOOKED_AT = 50  # rollouts, those that go on first


@dataclass(slots=True)
class _Watched:
    until: datetime
    shown: View


class HomeTab:
    """Draws everybody their own. ``actor_of`` tells who somebody is, ``chart`` is the fleet as a picture."""

    def __init__(
        self,
        fleet: FleetService,
        rollouts: RolloutRequests,
        alerts: AlertService,
        silences: SilenceService,
        maintenance: MaintenanceService,
        policies: PolicyService,
        screen: ViewCalls,
        *,
        chart: Callable[[], Awaitable[Sequence[Block]]],
        actor_of: Callable[[str], Awaitable[Actor]],
        now: Callable[[], datetime],
    ) -> None:
        self._fleet = fleet
        self._rollouts = rollouts
        self._alerts = alerts
        self._silences = silences
        self._maintenance = maintenance
        self._policies = policies
        self._screen = screen
        self._newest_chart = chart
        self._chart: Sequence[Block] = ()
        self._actor_of = actor_of
        self._now = now
        self._watched: dict[str, _Watched] = {}

    def feature(self) -> Feature:
        return Feature(events={"app_home_opened": self.opened})

    async def opened(self, event: Mapping[str, Any]) -> None:
        """Draws the tab of whoever opened it: at once with the chart there is, again when that is renewed."""
        if event.get("tab", "home") != "home" or not event.get("user"):
            return
        user = str(event["user"])
        view = await self._draw(user)
        await self._publish(user, view)
        self._watched.pop(user, None)
        while len(self._watched) >= MOST_WATCHED:
            del self._watched[next(iter(self._watched))]
        self._watched[user] = watched = _Watched(self._now() + WATCHED_FOR, view)
        await self._renew_chart()
        await self._draw_again(user, watched)

    async def redraw(self) -> None:
        """A tick, once a minute: draws again what was opened lately and is another now."""
        now = self._now()
        if self._watched:
            await self._renew_chart()
        for user, watched in list(self._watched.items()):
            if now >= watched.until:
                del self._watched[user]
                continue
            failed = await catch(self._draw_again(user, watched))
            if isinstance(failed, Exception):
                log.warning("the home tab of %s was not drawn again: %s", user, failed)

    async def _renew_chart(self) -> None:
        """The one there is stays where no newer one can be drawn."""
        chart = await catch(self._newest_chart())
        if isinstance(chart, Exception):
            log.warning("the chart of the home tab stays as it is: %s", chart)
        else:
            self._chart = chart

    async def _draw_again(self, user: str, watched: _Watched) -> None:
        view = await self._draw(user)
        if _without_age(view) != _without_age(watched.shown):
            await self._publish(user, view)
            watched.shown = view

    async def _publish(self, user: str, view: View) -> None:
        """Without its chart where Slack does not take that: a new file may be unknown for a moment."""
        try:
            await self._screen.publish(user, view)
        except SlackFailed as error:
            plain = views.without_pictures(view)
            if error.code not in _BAD_PICTURE or plain == view:
                raise
            await self._screen.publish(user, plain)

    async def _draw(self, user: str) -> View:
        actor = await self._actor_of(user)
        try:
            require(actor, Action.READ)
        except (NotAllowed, RoleUnknown) as error:
            return views.closed(str(error))
        parts: list[Block] = []
        for title, draw in self._parts.items():
            with noting_what_is_left_out() as rows:
                drawn = await catch(draw(actor))
            if isinstance(drawn, Unavailable):
                raise drawn
            if isinstance(drawn, Exception):
                log.error("a part of the home tab cannot be drawn: %s", title, exc_info=drawn)
                drawn = views.undrawn(title)
            parts += [*drawn, *views.lacking(len(set(rows)), title if not drawn else "")]
        return views.tab(parts)

    @property
    def _parts(self) -> Mapping[str, Callable[[Actor], Awaitable[list[Block]]]]:
        return {
            "The fleet": self._fleet_part,
            "Firmware policy": self._policy_part,
            "Rollouts": self._rollouts_part,
            "Open alerts": self._alerts_part,
            "Silences": self._silences_part,
            "Maintenance": self._maintenance_part,
        }

    async def _fleet_part(self, actor: Actor) -> list[Block]:
        page = await self._fleet.search(EVERYTHING, limit=1)
        versions = (await self._fleet.versions())[: views.VERSIONS]
        shown = views.fleet(page.counts, page.as_of, versions, self._chart, self._now())
        return [*shown, *(views.start() if actor.may(Action.REQUEST) else [])]

    async def _policy_part(self, actor: Actor) -> list[Block]:
        return views.policies(await self._policies.states(), may_update=actor.may(Action.REQUEST))

    async def _rollouts_part(self, actor: Actor) -> list[Block]:
        page = await self._rollouts.page(0, _LOOKED_AT)
        live = [line for line in page.lines if not line.rollout.state.is_final]
        offered = [
            HomeRollout(line.rollout, self._allowed(line, actor), line.counts.get(TargetState.AWAY, 0))
            for line in live
        ]
        asked = {ids.ROLLOUT_APPROVE, ids.ROLLOUT_PROMOTE}
        waiting = [one for one in offered if one.allowed & asked]
        mine = [one for one in offered if one.rollout.requester == actor.user_id and one not in waiting]
        others = [one for one in offered if one not in waiting and one not in mine]
        return [
            *views.rollouts("Waits for you", waiting),
            *views.rollouts("Your rollouts", mine),
            *views.rollouts("Scheduled and under way", others),
        ]

    async def _alerts_part(self, actor: Actor) -> list[Block]:
        page = await self._alerts.open_incidents(views.LISTED)
        return views.incidents(
            page.incidents,
            page.total,
            actor.user_id,
            may_acknowledge=actor.may(Action.ACKNOWLEDGE),
            may_silence=actor.may(Action.SILENCE),
        )

    async def _silences_part(self, actor: Actor) -> list[Block]:
        standing = await self._silences.active(actor)
        return views.silences(standing, may_end=actor.may(Action.SILENCE))

    async def _maintenance_part(self, actor: Actor) -> list[Block]:
        return views.maintenance(await self._maintenance.planned(actor))

    def _allowed(self, line: RolloutLine, actor: Actor) -> frozenset[str]:
        """What the domain would let this actor do with it now."""
        now, rules, rollout = self._now(), self._rollouts.rules, line.rollout
        verified = line.counts.get(TargetState.VERIFIED, 0)
        tried: dict[str, Callable[[], object]] = {ids.ROLLOUT_PAUSE: lambda: decide.pause(rollout, actor)}
        if not actor.limits:  # whether all its gateways are within a limit is looked up at the click
            tried[ids.ROLLOUT_APPROVE] = lambda: approvals.approve(rollout, actor, now, rules)
            tried[ids.ROLLOUT_PROMOTE] = lambda: decide.promote(rollout, actor, verified)
        if rollout.state is RolloutState.REQUESTED:
            tried[ids.ROLLOUT_DENY] = lambda: approvals.deny(rollout, actor, "looking", now)
        return frozenset(action for action, attempt in tried.items() if _is_allowed(attempt))


def _is_allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except BotError:
        return False
    return True


def _without_age(view: View) -> list[Any]:
    """What a tab says but for how old it is, which alone is no reason to draw it again."""
    return [block for block in view["blocks"] if block["type"] != "context"]
