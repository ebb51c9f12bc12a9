"""A fleet, its listings and an alert service on a real database, moved along by the test."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

from sqlalchemy import Select, delete, insert, select, update

from bot.domain.access import Actor, Role
from bot.domain.alerts.incidents import AlertRules, Incident
from bot.domain.firmware import FirmwarePolicy
from bot.domain.fleet.listing_diff import VANISHED_AFTER, first_sight, take_in
from bot.domain.gateways import Connectivity, FleetEvent, Gateway, GatewayId, KnownGateway, Listing
from bot.domain.subscriptions import parse_subscription
from bot.domain.visibility_loss import ListingOutcome, visibility_loss
from bot.services.alerts.engine import AlertEngine, Evaluation, Silenced
from bot.services.alerts.incidents import AlertService
from bot.services.context import Context
from bot.storage import firmware_policy, subscriptions
from bot.storage import listings as listing_store
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards, gateway_claims, listings, notes, rollout_targets, rollouts
from bot.storage.fleet import gateways as fleet
from tests.worlds.builders import alert_rules

START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANA = Actor("U0ANA00001", "Ana", Role.OPERATOR)
BEN = Actor("U0BEN00001", "Ben", Role.OPERATOR)


class World:
    """``goes`` changes the fleet, ``listing`` shows it to the bot and evaluates; the clock is ``now``.

    A world begins with three quiet listings behind it, so that a test speaks of its own rule only.
    """

    def __init__(self, database: Database, rules: AlertRules, channel: str | None) -> None:
        self.database = database
        self.rules = rules
        self.channel = channel
        self.now = START
        self.fleet: dict[str, Gateway] = {}
        self.sites: dict[str, str] = {}
        self.known: dict[str, KnownGateway] = {}
        self.number = 0
        self.changed = 0
        database.when_touched(self._count_change)
        self._context = Context(database, lambda: self.now)
        self.paused: list[tuple[str, int, int | None, str]] = []
        self.silenced: Silenced = _nobody
        self.restart()

    @classmethod
    async def begin(
        cls,
        database: Database,
        *gateways: str,
        rules: AlertRules | None = None,
        channel: str | None = "C0ALERTS",
        listings: int = 3,
    ) -> "World":
        """Gateways are written ``site/id``."""
        world = cls(database, rules or alert_rules(), channel)
        world.now = START - listings * MINUTE
        world.add(*gateways)
        for _ in range(listings):
            await world.listing()
            world.now += MINUTE
        return world

    def restart(self) -> None:
        """A process that has just started, on the same database."""
        self.engine = self.restarted()
        self.alerts = AlertService(self._context, rules=self.rules, default_channel=self.channel)

    def restarted(self) -> AlertEngine:
        return AlertEngine(
            self._context,
            rules=self.rules,
            default_channel=self.channel,
            silenced=self.silenced,
            bad=self.bad,
        )

    async def bad(self) -> Sequence[FirmwarePolicy]:
        """The versions that are known to be bad."""
        async with self.database.read() as connection:
            return await firmware_policy.standing(connection)

    async def pause(self, actor: Actor, rollout_id: int, drawn: int | None, channel: str) -> None:
        """What the root passes to the card's button."""
        self.paused.append((actor.user_id, rollout_id, drawn, channel))

    def _count_change(self) -> None:
        self.changed += 1

    # ---- the fleet
    def add(self, *gateways: str, name: str | None = None) -> None:
        for text in gateways:
            site, _, gateway_id = text.rpartition("/")
            self.sites[gateway_id] = site
            self.fleet[gateway_id] = Gateway(
                GatewayId(gateway_id),
                name=name,
                tags=(site,),
                connectivity=Connectivity.ONLINE,
                changed_at=self.now - timedelta(days=1),
            )

    def goes(self, state: str, *ids: str, at: datetime | None = None) -> None:
        for gateway_id in ids:
            self.fleet[gateway_id] = replace(
                self.fleet[gateway_id], connectivity=Connectivity(state), changed_at=at or self.now
            )

    def release(self, gateway_id: str) -> None:
        del self.fleet[gateway_id]

    # ---- time
    async def passes(self, minutes: float) -> Evaluation:
        """So many minutes, with a listing and a tick each."""
        done = Evaluation()
        for _ in range(int(minutes)):
            self.now += MINUTE
            done = await self.listing()
            await self.engine.tick()
        return done

    async def passes_quickly(self, minutes: float, listings: int) -> Evaluation:
        """So many minutes, with so many listings evenly in them."""
        done = Evaluation()
        for _ in range(listings):
            self.now += MINUTE * minutes / listings
            done = await self.listing()
        return done

    async def listing(self) -> Evaluation:
        listing = await self.take_in()
        return await self.engine.evaluate(listing)

    async def failed_listing(self) -> None:
        self.number += 1
        async with self.database.write() as connection:
            await connection.execute(insert(listings).values(self._listing("failed")))

    async def take_in(self) -> Listing:
        """A completed listing becomes the snapshot, and nobody has evaluated it yet."""
        self.number += 1
        listing = Listing(self.number, self.now, self.now)
        online, before = self._online(), list(self.known.values())
        changed, events = self._difference(listing)
        now = self._online()
        gone = await self._vanished(
            ListingOutcome(self.number, True, self.now, len(online), len(online - now), len(now))
        )
        async with self.database.write() as connection:
            if changed:
                await fleet.save(connection, [(known, _digest(known)) for known in changed])
                ids = {known.gateway.id for known in changed}
                had = [known.gateway for known in before if known.gateway.id in ids]
                await fleet.save_tags(connection, had, [known.gateway for known in changed])
            if gone:
                await fleet.remove(connection, gone)
            await fleet.add_events(connection, events)
            row = self._listing("completed", len(online), len(online - now), len(now))
            await connection.execute(insert(listings).values(row))
        return listing

    def _online(self) -> set[str]:
        return {
            known.gateway.id
            for known in self.known.values()
            if known.gateway.connectivity is Connectivity.ONLINE and not known.missed
        }

    async def _vanished(self, look: ListingOutcome) -> list[str]:
        """As the intake does it: who is missing for long is gone, unless nobody can see the fleet."""
        gone = [one for one, known in self.known.items() if known.missed >= VANISHED_AFTER]
        if not gone:
            return []
        async with self.database.read() as connection:
            earlier = await listing_store.recent_outcomes(connection)
        if visibility_loss([look, *earlier]) is not None:
            return []
        for gateway_id in gone:
            del self.known[gateway_id]
        return gone

    def _difference(self, listing: Listing) -> tuple[list[KnownGateway], list[FleetEvent]]:
        changed: list[KnownGateway] = []
        events: list[FleetEvent] = []
        for gateway_id, seen in self.fleet.items():
            before = self.known.get(gateway_id)
            site = self.sites[gateway_id]
            if before:
                after, happened = take_in(before, seen, listing, site)
                events += happened
            else:
                after = first_sight(seen, listing, site)
            if after != before:
                changed.append(after)
        missing = [self.known[one] for one in sorted(self.known.keys() - self.fleet.keys())]
        changed += [replace(known, missed=known.missed + 1) for known in missing]
        for known in changed:
            self.known[known.gateway.id] = known
        return changed, events

    def _listing(self, outcome: str, before: int = 0, lost: int = 0, online: int = 0) -> dict[str, Any]:
        return {
            "number": self.number,
            "started_at": self.now,
            "finished_at": self.now,
            "outcome": outcome,
            "gateways": len(self.fleet),
            "changes": 0,
            "online_before": before,
            "online_lost": lost,
            "online": online,
        }

    # ---- channels
    async def subscribe(self, channel: str, query: str = "") -> None:
        async with self.database.write() as connection:
            draft = parse_subscription(f"offline {query}")
            await subscriptions.add(connection, channel, draft, ANA.user_id, self.now)

    # ---- rollouts
    async def claim(self, gateway_id: str) -> None:
        async with self.database.write() as connection:
            await connection.execute(
                insert(gateway_claims).values(gateway_id=gateway_id, rollout_id=7, started_at=self.now)
            )

    async def unclaim(self, gateway_id: str) -> None:
        async with self.database.write() as connection:
            await connection.execute(delete(gateway_claims).where(gateway_claims.c.gateway_id == gateway_id))

    # ---- what can be seen
    async def live(self) -> list[Incident]:
        """Every live incident in full, by site."""
        page = await self.alerts.open_incidents(limit=1000)
        found = [await self.alerts.incident(one.id) for one in page.incidents]
        return sorted(found, key=lambda one: one.site)

    async def only_incident(self) -> Incident:
        (incident,) = await self.live()
        return incident

    async def cards(self) -> list[Any]:
        """Of incidents."""
        return await self.rows(select(cards).where(cards.c.kind == "incident").order_by(cards.c.id))

    async def notes(self) -> list[Any]:
        return await self.rows(select(notes).order_by(notes.c.id))

    async def rows(self, query: Select[Any]) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(query)).all())


async def _nobody() -> Collection[str]:
    return ()


def _digest(known: KnownGateway) -> bytes:
    """The intake keeps one of every gateway; nothing here compares them."""
    return md5(known.gateway.id.encode(), usedforsecurity=False).digest()


async def rollout(world: World, *ids: str, state: str = "not_returned", number: int = 1) -> None:
    """A rollout that runs and has given these up just now."""
    row = {"id": number, "uid": f"u{number}", "created_at": world.now, "expires_at": world.now}
    async with world.database.write() as connection:
        await connection.execute(insert(rollouts).values(_ROLLOUT | row))
        for one in ids:
            await connection.execute(
                insert(rollout_targets).values(
                    rollout_id=number,
                    gateway_id=one,
                    label=one,
                    site="Oslo",
                    cls="eligible",
                    wave=1,
                    state=state,
                    started_at=world.now - 25 * MINUTE,
                    settled_at=world.now,
                )
            )


async def give_up(world: World, gateway_id: str) -> None:
    """The verdict, in one transaction as the rollouts' runner commits it; ``rollout`` started it."""
    target = rollout_targets.c
    async with world.database.write() as connection:
        await connection.execute(
            update(rollout_targets)
            .where(target.gateway_id == gateway_id)
            .values(state="not_returned", settled_at=world.now)
        )
        await connection.execute(delete(gateway_claims).where(gateway_claims.c.gateway_id == gateway_id))


_ROLLOUT = {
    "state": "running",
    "requester": "U0ANA00001",
    "requester_name": "Ana",
    "query": "",
    "model": "2011",
    "firmware_id": "f",
    "firmware_version": "3.5.0",
    "plan_hash": "h",
    "planned": 2,
    "approvals_needed": 1,
    "downgrades": 0,
    "wave": 1,
    "reminded": False,
    "wait_seconds": 0,
}
