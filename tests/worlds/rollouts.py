"""A portal on the wire, a fleet taken in from it, and rollouts on a database; the clock is the portal's."""

import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from bot.demo.fleet.simulator import Behaviour, Device, FleetSimulator, PortalFirmware, SimulatorClock
from bot.domain.access import Actor, Role
from bot.domain.firmware import FirmwarePolicy
from bot.domain.incident_kinds import IncidentSummary
from bot.domain.query import parse
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, RolloutRules, RolloutState, TargetState
from bot.domain.rollouts.progress import DrawnPlan, RolloutStatus
from bot.meshtech.client import MeshtechClient
from bot.services.alerts.maintenance import MaintenanceService
from bot.services.context import Context
from bot.services.rollouts.approval_checks import StartChecks
from bot.services.rollouts.events import ENTRY
from bot.services.rollouts.freezes import RolloutFreezes
from bot.services.rollouts.plans_and_approvals import RolloutRequests
from bot.services.rollouts.routing import RolloutRouting
from bot.services.rollouts.runner import RolloutRunner
from bot.services.rollouts.steering import RolloutSteering
from bot.services.rollouts.vendor_jobs import RolloutContext
from bot.services.vendor_questions import VendorQuestions
from bot.settings.definitions import MeshtechSettings
from bot.storage.db.engine import Database
from bot.storage.db.tables import audit, cards, gateway_claims, notes, rollout_targets
from tests.worlds.builders import PAGING, fleet_service, rollout_rules
from tests.worlds.machine import Machine

START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OLGA = Actor("U0OLGA", "Olga", Role.OPERATOR)
PAUL = Actor("U0PAUL", "Paul", Role.APPROVER, holders={Role.APPROVER: "Paul, Pia", Role.ADMIN: "Ada"})
PIA = Actor("U0PIA1", "Pia", Role.APPROVER)
ADA = Actor("U0ADAM", "Ada", Role.ADMIN)
VERA = Actor("U0VERA", "Vera", Role.VIEWER, holders={Role.OPERATOR: "Olga"})
ONE_WAVE = rollout_rules(waves=(1.0,), per_site=1.0)
WAVES = rollout_rules(
    waves=(2, 0.5, 1.0),
    per_site=1.0,
    second_above_share=None,
    soak=3 * MINUTE,
    overdue_after=12 * MINUTE,
    return_within=6 * MINUTE,
    stable_for=2 * MINUTE,
)
QUICK = replace(WAVES, waves=(1.0,))
SKIPPING = replace(QUICK, wait_for_return=timedelta())
MODEL, OLD, NEW = "2011", "3.4.1", "9.0.0"


class World:
    """``oslo`` gateways of one model on an old version, and the services over them."""

    def __init__(
        self,
        database: Database,
        portal: FleetSimulator,
        rules: RolloutRules,
        called: Sequence[Actor] = (),
    ) -> None:
        self.called = called  # for each request
        self.database = database
        self.portal = portal
        self.rules = rules
        self.clock = portal.clock
        self.machine = Machine(portal.clock)
        self.context = Context(database, self.machine.now)
        self._numbers = itertools.count(1)
        self.client = self._client()
        self.fleet = fleet_service(self.context, self.client)
        self.people = {one.user_id: one for one in (OLGA, PAUL, PIA, ADA)}  # what Slack says at this moment
        self.blind = False
        self.bad: FirmwarePolicy | None = None  # the version that is known to be bad
        self.channel: str | None = "C0ROLLOUTS"
        self.foreign: set[str] = set()
        self.maintenance = MaintenanceService(
            self.context,
            understand=self.fleet.query_of,
            matching=self.fleet.ids_matching,
            within=self.fleet.require_within,
            channel=None,
            zone="UTC",
            before=(),
            silenced=_no_ids,
        )
        self.rollouts, self.runner = self.restarted()
        self.freezes = RolloutFreezes(self.context, told=self.channel)
        self.steering = RolloutSteering(
            self.context,
            rules=rules,
            visibility_lost=self._is_blind,
            within=self.fleet.require_within,
        )

    def restarted(self, rules: RolloutRules | None = None) -> tuple[RolloutRequests, RolloutRunner]:
        """A process that has just started, on the same database and the same portal."""
        chosen = rules or self.rules
        context = RolloutContext(self.database, self.machine.now, self.client, chosen)
        checks = StartChecks(
            context, ask=self._ask, within=self.fleet.require_within, visibility_lost=self._is_blind
        )
        service = RolloutRequests(
            self.context,
            VendorQuestions(self.client, self.clock.now),
            understand=self.fleet.query_of,
            matching=self.fleet.all_matching,
            fleet_size=self._fleet_size,
            incidents_at=_none,
            may_post=self._may_post,
            rules=chosen,
            checks=checks,
            places=self.places,
            new_id=lambda: f"id{next(self._numbers):04}",
            within=self.fleet.require_within,
            deciders=self._deciders,
            bad_among=self._bad_among,
            opening_for=self.maintenance.opening_for,
        )
        runner = RolloutRunner(
            context,
            checks=checks,
            visibility_lost=self._is_blind,
            listed_at=self._listed_at,
            owner=secrets.token_hex(8),
        )
        return service, runner

    async def _bad_among(self, version: str, ids: Sequence[str]) -> FirmwarePolicy | None:
        return self.bad if self.bad is not None and self.bad.version == version and ids else None

    async def _deciders(self) -> Sequence[Actor]:
        return self.called

    async def _ask(self, user_id: str) -> Actor:
        return self.people.get(user_id, ADA)

    async def restarted_with(self, contract: MeshtechSettings) -> None:
        """From here on the bot speaks to the portal by these routes and names."""
        await self.client.aclose()
        self.client = self._client(contract.routes, contract.fields)
        self.fleet = fleet_service(self.context, self.client)
        self.rollouts, self.runner = self.restarted()

    def _client(
        self,
        routes: Mapping[str, str] | None = None,
        fields: Mapping[str, Mapping[str, str]] | None = None,
    ) -> MeshtechClient:
        return MeshtechClient(
            auth_url=self.portal.auth_url,
            api_url=self.portal.api_url,
            username="demo",
            password="demo-password",
            now=self.machine.now,
            routes=routes,
            fields=fields,
            sleep=_at_once,
            **PAGING,
        )

    @property
    def places(self) -> RolloutRouting:
        return RolloutRouting(self.context, default_channel=self.channel)

    async def _may_post(self, channel: str) -> bool:
        return channel not in self.foreign

    async def _listed_at(self) -> datetime | None:
        return (await self.fleet.snapshot_status()).as_of

    async def _is_blind(self) -> bool:
        return self.blind

    async def _fleet_size(self) -> int:
        return (await self.fleet.counts(parse(""))).total

    # ---- steps
    async def plan(
        self,
        query: str = "tag:oslo",
        version: str = NEW,
        actor: Actor = OLGA,
        *,
        in_maintenance: bool = False,
    ) -> DrawnPlan:
        drawn = await self.rollouts.plan(actor, "C0OPS", query, version, in_maintenance=in_maintenance)
        assert isinstance(drawn, DrawnPlan)
        return drawn

    async def requested(self, query: str = "tag:oslo", version: str = NEW, actor: Actor = OLGA) -> Rollout:
        drawn = await self.plan(query, version, actor)
        return await self.rollouts.request(actor, drawn.id)

    async def running(self, query: str = "tag:oslo", version: str = NEW) -> RolloutId:
        rollout = await self.requested(query, version)
        await self.rollouts.approve(PAUL, rollout.id)
        return rollout.id

    async def passes(self, minutes: int) -> None:
        """So many minutes, with a listing and a tick each."""
        for _ in range(minutes):
            self.clock.advance(MINUTE)
            await self.fleet.take_in_listing()
            await self.runner.advance()

    async def until(
        self, rollout_id: RolloutId, holds: Callable[[RolloutStatus], bool], most: int = 60
    ) -> RolloutStatus:
        """Minute after minute until something holds of the rollout."""
        for _ in range(most):
            picture = await self.rollouts.status(rollout_id)
            if holds(picture):
                return picture
            await self.passes(1)
        raise AssertionError(f"not within {most} minutes: {picture.rollout.state} {picture.counts}")

    async def comes_to(self, rollout_id: RolloutId, state: RolloutState, most: int = 60) -> RolloutStatus:
        return await self.until(rollout_id, lambda picture: picture.rollout.state is state, most)

    async def past_the_canary(self, **changes: object) -> RolloutId:
        """A running rollout whose canary was good and promoted; then the firmware changes."""
        rollout_id = await self.running("name:*")
        await self.comes_to(rollout_id, RolloutState.PROMOTION)
        for name, value in changes.items():
            setattr(self.firmware, name, value)
        await self.steering.promote(PAUL, rollout_id)
        return rollout_id

    @property
    def firmware(self) -> PortalFirmware:
        return self.portal.firmware(MODEL, NEW)

    # ---- what came of it
    async def in_flight(self, rollout_id: RolloutId) -> set[str]:
        states = await self.states(rollout_id)
        return {gateway for gateway, state in states.items() if state.is_in_flight}

    async def claimed(self) -> set[str]:
        """Gateways that a rollout has for itself."""
        async with self.database.read() as connection:
            return set((await connection.execute(select(gateway_claims.c.gateway_id))).scalars().all())

    async def broadcasts(self) -> list[str]:
        """What was said in the channel as well, by kind."""
        async with self.database.read() as connection:
            rows = await connection.execute(
                select(notes.c.body).where(notes.c.broadcast).order_by(notes.c.id)
            )
            entries = [(await self.rollouts.entry(body[ENTRY]))[0] for body in rows.scalars().all()]
            return [entry.event.kind for entry in entries]

    async def states(self, rollout_id: RolloutId) -> dict[str, TargetState]:
        async with self.database.read() as connection:
            rows = await connection.execute(
                select(rollout_targets.c.gateway_id, rollout_targets.c.state).where(
                    rollout_targets.c.rollout_id == rollout_id
                )
            )
            return {gateway: TargetState(state) for gateway, state in rows.all()}

    async def audited(self) -> list[tuple[str, str, str]]:
        """Who, what, and the number of the rollout."""
        async with self.database.read() as connection:
            rows = await connection.execute(
                select(audit.c.actor, audit.c.action, audit.c.subject).order_by(audit.c.id)
            )
            return [(actor, action, subject.partition(":")[0]) for actor, action, subject in rows.all()]

    async def events(self, rollout_id: RolloutId) -> list[str]:
        return [entry.event.kind for entry in await self.rollouts.timeline(rollout_id)]

    async def notes(self) -> list[tuple[str, str]]:
        async with self.database.read() as connection:
            rows = await connection.execute(select(notes.c.channel, notes.c.kind).order_by(notes.c.id))
            return [(channel, kind) for channel, kind in rows.all()]

    async def card_channels(self) -> list[str]:
        async with self.database.read() as connection:
            return list((await connection.execute(select(cards.c.channel))).scalars().all())

    def jobs_created(self) -> list[str]:
        return [job.name for job in self.portal.jobs.values()]

    def started_more_than_once(self) -> dict[str, list[str]]:
        return {gateway: jobs for gateway, jobs in self.portal.starts.items() if len(jobs) != 1}


@asynccontextmanager
async def world(
    database_url: str,
    *,
    gateways: int = 8,
    rules: RolloutRules | None = None,
    behaviour: Behaviour = Behaviour.GOOD,
    sites: Sequence[str] = ("oslo",),
    quick: bool = False,
    deciders: Sequence[Actor] = (),
) -> AsyncIterator[World]:
    """``gateways`` that take turns at ``sites``, online for a day, on the old version.

    The new one behaves as told; a ``quick`` gateway is flashed in a minute and away for another.
    """
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(speed=0, start=START))
    if quick:
        portal.pickup = (timedelta(0), timedelta(0))
        portal.download = portal.reboot = (MINUTE, MINUTE)
    for number in range(gateways):
        portal.add_device(device(number, sites[number % len(sites)]))
    portal.add_firmware(MODEL, NEW, behaviour, share=1.0)
    await portal.start()
    database = Database.open(database_url)
    try:
        made = World(database, portal, rules or ONE_WAVE, deciders)
        try:
            await made.fleet.take_in_listing()
            yield made
        finally:
            await made.client.aclose()
    finally:
        await database.close()
        await portal.stop()


def device(number: int, site: str) -> Device:
    """Online for a day, on the old version."""
    return Device(
        id=f"bmac-{number:012x}",
        friendly_name=f"MT{10000 + number}",
        model=MODEL,
        labels=[site],
        connected=True,
        changed_at=START - timedelta(days=1),
        firmware=OLD,
        hardware="1.0.0",
    )


async def _no_ids() -> Sequence[str]:
    return ()


async def _none(_sites: set[str]) -> Sequence[IncidentSummary]:
    return ()


async def _at_once(_seconds: float) -> None:
    return None
