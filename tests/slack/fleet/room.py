"""Somebody in Slack before a real fleet service, its database and a simulated portal, but no Slack."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.domain.access import Actor, Role
from bot.domain.gateways import GatewayId
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.services.fleet.renames_and_tags import FleetWrites
from bot.services.fleet.renames_and_tags_runner import WriteRunner
from bot.services.fleet.search import FleetService
from bot.slack.fleet.renames_and_tags import WriteCommands
from bot.slack.fleet.search import FleetCommands
from bot.slack.ids import CardRef, decode
from bot.slack.incoming.command_router import CommandRouter, normalise
from bot.slack.incoming.listeners import Click, ClickListener, CommandCall, Submission, SubmissionAnswer
from bot.slack.paging import list_clicks
from bot.slack.views.blocks import Message, View
from bot.storage.db.engine import Database
from tests.slack.shown import Answers, Modals, buttons
from tests.worlds.builders import PAGING, fleet_service, no_policies
from tests.worlds.databases import sqlite_url

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANA = Actor("U0ANA", "Ana", Role.OPERATOR)
VERA = Actor("U0VERA", "Vera", Role.VIEWER)
GUEST = Actor("U0GUEST", "Gus", Role.NONE)


@dataclass
class Room:
    """``says`` is a line after the slash command, as Slack sends it; ``clicks`` the last answer's button."""

    portal: FleetSimulator
    database: Database
    client: MeshtechClient
    fleet: FleetService
    progress_after: tuple[timedelta, ...] = (timedelta(minutes=1),)
    answers: Answers = field(default_factory=Answers)
    incidents: dict[str, str] = field(default_factory=dict)
    rollouts: dict[str, str] = field(default_factory=dict)
    modals: Modals = field(default_factory=Modals)

    async def says(self, text: str, actor: Actor = ANA) -> str:
        """The plain text of the answer."""
        router = CommandRouter([self._reading.feature(), self._writing.feature()], "/mesh")
        word, rest = router.split(normalise(text))
        await router.route(word, CommandCall(actor, "C0OPS", rest, self.answers, "trigger"))
        return self.answers.last.text

    async def clicks(self, action_id: str, actor: Actor = ANA, *, seen: int = -1) -> str:
        """``seen`` is the number of the answer whose button is clicked."""
        ref = buttons(self.answers.shown[seen])[action_id]
        await self._listeners()[action_id](Click(actor, "C0OPS", action_id, ref, self.answers, "trigger"))
        return self.answers.last.text

    async def clicks_on(self, view: View, action_id: str, actor: Actor = ANA) -> None:
        """A button in a dialog."""
        ref = buttons(Message("", view["blocks"]))[action_id]
        await self._listeners()[action_id](Click(actor, "", action_id, ref, self.answers, "trigger"))

    async def presses(self, action_id: str, actor: Actor = ANA) -> None:
        """A shortcut, which points at nothing."""
        click = Click(actor, "", action_id, CardRef(""), self.answers, "trigger")
        await self._listeners()[action_id](click)

    async def submits(self, actor: Actor = ANA, **values: str) -> SubmissionAnswer:
        """Sends the dialog that was opened last, with these values by the ids of their blocks."""
        view = self.modals.opened[-1]
        ref = decode(view["private_metadata"]) if "private_metadata" in view else CardRef("")
        both = {**self._reading.feature().submissions, **self._writing.feature().submissions}
        listener = both[view["callback_id"]]
        return await listener(Submission(actor, view["callback_id"], ref, values))

    def now(self) -> datetime:
        return self.portal.clock.now()

    def later(self, **by: float) -> None:
        self.portal.clock.advance(timedelta(**by))

    def device(self, name: str) -> Device:
        """What the portal has."""
        return next(one for one in self.portal.devices.values() if name in (one.friendly_name, one.id))

    async def list_again(self) -> None:
        self.later(minutes=1)
        assert await self.fleet.take_in_listing() is not None

    @property
    def _reading(self) -> FleetCommands:
        return FleetCommands(
            self.fleet,
            self.modals,
            now=self.now,
            incident_of=self._incident_of,
            rollout_of=self._rollout_of,
            policies=no_policies,
        )

    @property
    def _writing(self) -> WriteCommands:
        writes = FleetWrites(Context(self.database, self.now))
        runs = WriteRunner(Context(self.database, self.now), self.client, owner="room")
        return WriteCommands(
            self.fleet, writes, runs, self.modals, now=self.now, progress_after=self.progress_after
        )

    def _listeners(self) -> Mapping[str, ClickListener]:
        own = self._reading.feature().clicks
        return {**list_clicks(self._reading.lists()), **own, **self._writing.feature().clicks}

    async def _incident_of(self, gateway_id: GatewayId) -> str | None:
        return self.incidents.get(gateway_id)

    async def _rollout_of(self, gateway_id: GatewayId) -> str | None:
        return self.rollouts.get(gateway_id)


def device(number: int, name: str | None = None, **changes: object) -> Device:
    """An online gateway at oslo."""
    made = Device(
        f"bmac-{number:04}",
        f"MT{number:04}" if name is None else name,
        "2011",
        ["oslo"],
        connected=True,
        changed_at=START - timedelta(days=2),
        firmware="3.4.1",
        hardware="1.0.0",
    )
    for attribute, value in changes.items():
        setattr(made, attribute, value)
    return made


@asynccontextmanager
async def opened(folder: Path, *devices: Device, listed: bool = True) -> AsyncIterator[Room]:
    """A room before a fleet of these gateways, listed once unless told otherwise."""
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(0, START))
    for one in devices:
        portal.add_device(one)
    portal.labels = {label for one in devices for label in one.labels or ()}
    await portal.start()
    database = Database.open(sqlite_url(folder))
    now = portal.clock.now
    client = MeshtechClient(
        portal.auth_url, portal.api_url, portal.username, portal.password, now=now, **PAGING
    )
    try:
        room = Room(portal, database, client, fleet_service(Context(database, now), client))
        if listed:
            await room.fleet.take_in_listing()
        yield room
    finally:
        await client.aclose()
        await database.close()
        await portal.stop()
