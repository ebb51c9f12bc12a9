"""A home tab before a real fleet with rollouts, on a screen that keeps what is drawn on it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain.access import Actor
from bot.domain.errors import Unavailable
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.maintenance import MaintenanceService
from bot.services.alerts.silences import SilenceService
from bot.services.context import Context
from bot.services.fleet.firmware_policy import PolicyService
from bot.slack.home.tab import HomeTab
from bot.slack.outgoing.web_api import SlackFailed
from bot.slack.views.blocks import Block, View, image
from tests.worlds.builders import alert_rules
from tests.worlds.rollouts import World


@dataclass
class Screen:
    """What Slack was asked to show."""

    published: list[dict[str, Any]] = field(default_factory=list)
    opened: list[View] = field(default_factory=list)
    drawn_for: list[str] = field(default_factory=list)
    has_chart: bool = False
    draws: bool = True  # charts can be drawn at all
    knows_files: bool = True
    gone: set[str] = field(default_factory=set)  # whose tab Slack does not take

    async def open(self, _trigger_id: str | None, view: View) -> str:
        self.opened.append(view)
        return "V0VIEW0001"

    async def update(self, _view_id: str, view: View) -> None:
        self.opened.append(view)

    async def chart(self) -> list[Block]:
        if not self.draws:
            raise Unavailable("The chart could not be drawn.")
        return [image("The share offline", file_id="F0CHART001")] if self.has_chart else []

    async def publish(self, user_id: str, view: View) -> None:
        if user_id in self.gone:
            raise SlackFailed("views.publish", "user_not_found")
        if not self.knows_files and "F0CHART001" in str(view):
            raise SlackFailed("views.publish", "invalid_blocks")
        self.drawn_for.append(user_id)
        self.published.append(view)


def silences_of(it: World) -> SilenceService:
    return SilenceService(
        Context(it.database, it.clock.now),
        understand=it.fleet.query_of,
        matching=it.fleet.ids_matching,
        within=it.fleet.require_within,
        channel=None,
        zone=ZoneInfo("UTC"),
    )


def maintenance_of(it: World) -> MaintenanceService:
    return MaintenanceService(
        Context(it.database, it.clock.now),
        understand=it.fleet.query_of,
        matching=it.fleet.ids_matching,
        within=it.fleet.require_within,
        channel=None,
        zone="UTC",
        before=(),
        silenced=silences_of(it).silenced,
    )


def policies_of(it: World) -> PolicyService:
    async def frozen() -> Callable[[str], str | None]:
        return lambda _version: None

    return PolicyService(
        Context(it.database, it.clock.now),
        understand=it.fleet.query_of,
        within=it.fleet.require_within,
        frozen=frozen,
        channel=None,
    )


def home_of(it: World, screen: Screen, actor: Actor) -> HomeTab:
    alerts = AlertService(Context(it.database, it.clock.now), rules=alert_rules(), default_channel=None)

    async def actor_of(_user_id: str) -> Actor:
        return actor

    return HomeTab(
        it.fleet,
        it.rollouts,
        alerts,
        silences_of(it),
        maintenance_of(it),
        policies_of(it),
        screen,
        chart=screen.chart,
        actor_of=actor_of,
        now=it.clock.now,
    )


async def spoil_rollouts(it: World) -> None:
    """A decision that is none, which no list of rollouts does without: none can be read any more."""
    async with it.database.write() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO rollout_approvals (rollout_id, user_id, name, decision, plan_hash, at) "
            "VALUES (1, 'U0', 'Nobody', 'unheard of', '', 0)"
        )


async def spoil_one(it: World) -> None:
    """A state of one rollout that this version does not know."""
    async with it.database.write() as connection:
        await connection.exec_driver_sql("UPDATE rollouts SET state = 'unheard of' WHERE id = 1")
