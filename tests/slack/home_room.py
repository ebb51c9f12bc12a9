"""A home tab before a real fleet with rollouts, on a screen that keeps what is drawn on it."""

from dataclasses import dataclass, field
from typing import Any

from bot.domain.access import Actor
from bot.domain.alerts import AlertRules
from bot.services.alerts import AlertService
from bot.slack.home import HomeTab
from bot.slack.views.blocks import View
from tests.rollout_world import World


@dataclass
class Screen:
    """What Slack was asked to show."""

    published: list[dict[str, Any]] = field(default_factory=list)
    opened: list[View] = field(default_factory=list)

    async def open(self, _trigger_id: str, view: View) -> str:
        self.opened.append(view)
        return "V0VIEW0001"

    async def update(self, _view_id: str, view: View) -> None:
        self.opened.append(view)

    async def publish(self, _user_id: str, view: View) -> None:
        self.published.append(view)


def home_of(it: World, screen: Screen, actor: Actor) -> HomeTab:
    alerts = AlertService(
        it.database, rules=AlertRules(), default_channel=None, now=it.clock.now, changed=lambda: None
    )

    async def actor_of(_user_id: str) -> Actor:
        return actor

    return HomeTab(
        it.fleet, it.rollouts, alerts, screen, actor_of=actor_of, command="/mesh", now=it.clock.now
    )
