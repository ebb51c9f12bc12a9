"""A whole night: a portal, the bot's fleet and alerts on one database, Slack over the wire, on one clock.

Nothing between the two servers is left out: listings are HTTP, cards are posted to a local Slack, people
click there, and the click comes back over a socket. A restart, or a crash, throws away every object of it.
"""

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from sqlalchemy import Select, delete, insert, select

from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import PostedMessage as Shown
from bot.domain.access import Actor, Role
from bot.domain.alerts.incidents import AlertRules, Incident
from bot.domain.gateways import ListingResult
from bot.meshtech.client import MeshtechClient
from bot.services.alerts.engine import AlertEngine
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.reminders import Reminders
from bot.services.alerts.silences import SilenceService
from bot.services.audit import AuditService
from bot.services.context import Context
from bot.slack.alerts.acknowledgements import HandListeners
from bot.slack.alerts.incidents import AlertListeners
from bot.slack.alerts.silences import SilenceListeners
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.identity_cache import People
from bot.slack.outgoing.publisher import Publisher
from bot.slack.outgoing.replies import Modals
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards, gateway_claims, notes
from tests.worlds.builders import PAGING, alert_rules, fleet_service
from tests.worlds.databases import sqlite_url
from tests.worlds.machine import Machine

START = datetime(2026, 5, 4, 22, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALERTS = workspace.FLEET_ALERTS
ANA = Actor(workspace.OPERATOR, "Ana", Role.OPERATOR)
GROUP = workspace.OPERATORS


async def _oncall(_incident: Incident) -> Sequence[str]:
    return ["@oncall"]


async def _nobody(_actor: Actor) -> dict[str, list[str]]:
    return {}


class Bot:
    """One process of the bot: what ``bot/app.py`` builds of it, but for rollouts and the scheduler."""

    def __init__(self, night: "Night") -> None:
        now, database = night.now, night.database
        context = Context(database, now)
        self.session = new_session()
        self.api = WebApi(night.slack.bot_token, self.session, base_url=night.slack.api_url, command="/mesh")
        portal = night.portal
        self.client = MeshtechClient(
            portal.auth_url,
            portal.api_url,
            portal.username,
            portal.password,
            now=now,
            sleep=no_wait,
            **PAGING,
        )
        self.fleet = fleet_service(context, self.client)
        self.silences = SilenceService(
            context,
            understand=self.fleet.query_of,
            matching=self.fleet.ids_matching,
            within=self.fleet.require_within,
            channel=ALERTS,
            zone=ZoneInfo("UTC"),
        )
        silenced = self.silences.silenced
        self.engine = AlertEngine(context, rules=night.rules, default_channel=ALERTS, silenced=silenced)
        self.reminders = Reminders(context, groups=[GROUP], silenced=silenced)
        self.alerts = AlertService(context, rules=night.rules, default_channel=ALERTS)
        self.listeners = AlertListeners(self.alerts, night.pause, reminded=_oncall)
        silencing = SilenceListeners(
            self.silences, Modals(self.api), incident=self.alerts.incident, zone=ZoneInfo("UTC"), now=now
        )
        self.people = People(self.api, operators=[GROUP], approvers=[], admins=[], now=now)
        handing = HandListeners(
            self.alerts,
            Modals(self.api),
            actor_of=self.people.actor,
            called=_nobody,
            page=self.listeners.alerts_page,
        )
        self.slack = SlackApp(
            self.api,
            self.people,
            [self.listeners.feature(), handing.feature(), silencing.feature()],
            on_refused=AuditService(context).refused,
            app_token=night.slack.app_token,
            monotonic=night.seconds,
            sleep=no_wait,
        )
        self.publisher = Publisher(
            self.api,
            database,
            self.slack.cards,
            self.slack.notes,
            owner=secrets.token_hex(8),
            edit_every=timedelta(seconds=15),
            now=now,
            sleep=night.sleep,
        )
        self.fleet.tell(self._evaluate)

    async def _evaluate(self, taken: ListingResult) -> None:
        await self.engine.evaluate(taken.listing)

    async def tick(self) -> None:
        await self.engine.tick()
        await self.reminders.tick()
        await self.silences.tick()

    async def die(self) -> None:
        """Nothing is finished and nothing is said; only the test's own resources are given back."""
        await self.slack.drain(5)
        await self.slack.close()
        await self.session.close()
        await self.client.aclose()


class Night:
    """``goes`` changes the fleet, ``passes`` lets minutes go by with a listing each; the clock is ``now``."""

    def __init__(
        self, portal: FleetSimulator, slack: SlackServer, database: Database, rules: AlertRules
    ) -> None:
        self.portal = portal
        self.slack = slack
        self.database = database
        self.rules = rules
        self.machine = Machine(portal.clock)
        self.bot: Bot

    # ---- time
    def now(self) -> datetime:
        return self.machine.now()

    def seconds(self) -> float:
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """In whole seconds: the portal's own times are not much finer."""
        self.portal.clock.advance(timedelta(seconds=math.ceil(seconds)))
        await asyncio.sleep(0)

    # ---- the bot
    async def starts(self) -> None:
        self.bot = Bot(self)
        await self.bot.api.call("auth.test")
        await self.bot.slack.start()
        await self.slack.wait_for(lambda: self.slack.connected == 2)
        await self.database.forget_leases()

    async def restarts(self) -> None:
        await self.bot.die()
        await self.slack.wait_for(lambda: self.slack.connected == 0 or None)
        self.portal.clock.advance(timedelta(seconds=1))
        await self.starts()

    async def publishes_and_dies(self) -> None:
        """The process ends after Slack did what it was asked for, and before it hears of it."""
        done = len(self.slack.calls)
        publishing = asyncio.create_task(self.bot.publisher.publish())
        called = asyncio.create_task(self.slack.wait_for(lambda: len(self.slack.calls) > done or None))
        await asyncio.wait({publishing, called}, return_when=asyncio.FIRST_COMPLETED)
        for task in (publishing, called):
            task.cancel()
        await asyncio.gather(publishing, called, return_exceptions=True)
        await self.restarts()

    async def pause(self, actor: Actor, rollout_id: int, drawn: int | None, channel: str) -> None:
        """Rollouts are another story's."""

    async def listing(self) -> ListingResult | None:
        return await self.bot.fleet.take_in_listing()

    async def passes(self, minutes: int, *, publish: bool = True) -> None:
        """So many minutes, with a listing, a tick and a publisher at work in each."""
        for _ in range(minutes):
            self.portal.clock.advance(MINUTE)
            await self.listing()
            await self.bot.tick()
            if publish:
                await self.bot.publisher.publish()

    async def settles(self) -> None:
        """Slack behaves again, and gets all the time it needs."""
        self.slack.faults.clear()
        for _ in range(60):
            if (await self.bot.publisher.backlog()).waiting == 0:
                return
            self.portal.clock.advance(timedelta(seconds=20))
            await self.bot.publisher.publish()
        raise AssertionError(f"Slack never got to see {await self.bot.publisher.backlog()}")

    # ---- the fleet
    def add(self, *gateways: str) -> None:
        """Gateways are written ``site/id``."""
        for text in gateways:
            site, _, id_ = text.rpartition("/")
            self.portal.add_device(
                Device(
                    id_,
                    friendly_name=f"MT-{id_}",
                    model="2011",
                    labels=[site],
                    connected=True,
                    changed_at=self.now() - timedelta(days=1),
                    firmware="3.4.1",
                    hardware="1.0.0",
                )
            )

    def goes(self, state: str, *ids: str) -> None:
        if state == "online":
            self.portal.connect(ids)
        else:
            self.portal.disconnect([one for one in ids if self.portal.devices[one].connected])

    async def claim(self, id_: str) -> None:
        row = {"gateway_id": id_, "rollout_id": 7, "started_at": self.now()}
        async with self.database.write() as connection:
            await connection.execute(insert(gateway_claims).values(row))

    async def unclaim(self, id_: str) -> None:
        async with self.database.write() as connection:
            await connection.execute(delete(gateway_claims).where(gateway_claims.c.gateway_id == id_))

    # ---- people
    async def acknowledges(self, message: Shown, user: str = workspace.OPERATOR) -> list[str]:
        """Clicks on the card, again when Slack says that the bot did not answer; what the person reads."""
        for _ in range(5):
            act = await self.slack.click(user, message.snapshot(), "incident_ack")
            ack = await act.ack
            if ack.ok:
                await self.bot.slack.guard.idle()
                return [one.text for one in act.responses]
            await self.slack.wait_for(lambda: self.slack.connected == 2 or None)
        raise AssertionError("the bot never answered")

    # ---- what can be seen
    def in_channel(self) -> list[Shown]:
        return [one for one in self.slack.workspace.in_channel(ALERTS) if not one.is_reply]

    def messages_of(self, what: str, uid: str) -> list[Shown]:
        """Every message that carries this card's, or note's, id."""
        found = []
        for one in self.slack.workspace.messages.values():
            payload = (one.metadata or {}).get("event_payload") or {}
            if payload.get(what) == uid and not one.deleted:
                found.append(one)
        return found

    async def rows(self, query: Select[Any]) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(query)).all())

    async def cards(self) -> list[Any]:
        return await self.rows(select(cards).order_by(cards.c.id))

    async def notes(self) -> list[Any]:
        return await self.rows(select(notes).order_by(notes.c.id))

    def shown(self, card: Any) -> Shown:
        found = self.slack.workspace.find(card.posted_channel or card.channel, card.ts)
        assert found is not None, f"card {card.id} is not in Slack"
        return found


async def no_wait(_: float) -> None:
    """A sleep that takes no time."""
    await asyncio.sleep(0)


@asynccontextmanager
async def night(folder: Path, *gateways: str, rules: AlertRules | None = None) -> AsyncIterator[Night]:
    """A fleet that is listed three times before anything happens; whatever the bot sends must be in order."""
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(speed=0, start=START))
    slack = SlackServer(clock=lambda: portal.clock.now().timestamp())
    database = Database.open(sqlite_url(folder))
    await portal.start()
    await slack.start()
    made = Night(portal, slack, database, rules or alert_rules())
    made.add(*gateways)
    await made.starts()
    try:
        await made.passes(3)
        yield made
        assert slack.problems == []
    finally:
        with contextlib.suppress(aiohttp.ClientError):
            await made.bot.die()
        await database.close()
        await slack.stop()
        await portal.stop()


def ids_of(gateways: Sequence[str]) -> list[str]:
    return [text.rpartition("/")[2] for text in gateways]
