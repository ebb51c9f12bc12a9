"""What people do with firmware rollouts: plan, request, approve, deny, withdraw, and look.

Each decision is one transaction: load, decide in the domain, save, say so on the card. How a rollout then
goes on is in ``rollout_course.py``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.domain import plan as planning
from bot.domain import rollout as decide
from bot.domain.access import Action, Actor, require
from bot.domain.errors import InvalidInput, Stale
from bot.domain.events import AuditEntry, Outcome
from bot.domain.firmware import Firmware, JobId, VendorJob
from bot.domain.fleet import GatewayId, KnownGateway
from bot.domain.plan import ModelChoice, Plan, Rules, TargetClass
from bot.domain.query import Query, parse
from bot.domain.rollout import Counts, Rollout, RolloutId, RolloutState, TargetState
from bot.meshtech.client import MeshtechClient
from bot.storage import audit, cards
from bot.storage import rollout_targets as targets
from bot.storage import rollouts as store
from bot.storage.cards import About, CardKind
from bot.storage.engine import Database, Transaction
from bot.storage.rollout_targets import TargetRow

SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class DrawnPlan:
    """A plan that may be requested by its id."""

    id: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class RolloutPicture:
    """What a card shows of a rollout: counts are of gateways, never of attempts."""

    rollout: Rollout
    counts: Counts
    classes: Mapping[TargetClass, int]
    failures: tuple[TargetRow, ...]  # the first few
    failed: int


@dataclass(frozen=True, slots=True)
class RolloutLine:
    """A rollout in a list."""

    rollout: Rollout
    counts: Mapping[TargetState, int]


@dataclass(frozen=True, slots=True)
class RolloutPage:
    lines: tuple[RolloutLine, ...]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class JobLine:
    """A vendor's job, and the rollout that created it; None for one from the portal."""

    job: VendorJob
    rollout_id: RolloutId | None


class RolloutService:
    """All that can be done with rollouts.

    ``matching`` gives the gateways of a query in chunks, ``fleet_size`` how many there are in all.
    ``may_post`` tells whether a card can be shown in a channel. ``changed`` is called after a commit that
    the publisher should know of.
    """

    def __init__(
        self,
        database: Database,
        client: MeshtechClient,
        *,
        matching: Callable[[Query], AsyncIterator[tuple[KnownGateway, ...]]],
        fleet_size: Callable[[], Awaitable[int]],
        may_post: Callable[[str], Awaitable[bool]],
        rules: Rules,
        default_channel: str | None,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._client = client
        self._matching = matching
        self._fleet_size = fleet_size
        self._may_post = may_post
        self._rules = rules
        self._default_channel = default_channel
        self._now = now
        self._new_id = new_id
        self._changed = changed

    # ---- plan and request

    async def plan(
        self, actor: Actor, channel: str | None, query_text: str, version: str, model: str | None = None
    ) -> DrawnPlan | ModelChoice:
        """A plan that can be requested, or the models to choose from. Nothing is sent to the vendor.

        Raises InvalidInput when the query, the version or the model names nothing.
        """
        require(actor, Action.REQUEST)
        query = parse(query_text)
        firmwares = await self._firmwares()
        matches = [known async for chunk in self._matching(query) for known in chunk]
        if not matches:
            raise InvalidInput("No gateway matches that query, so there is nothing to update.")
        by_model = Counter(known.gateway.model for known in matches if known.gateway.model)
        chosen = planning.choose_firmware(query.text, version, model, firmwares, by_model)
        if isinstance(chosen, ModelChoice):
            return chosen
        size = await self._fleet_size()
        # Ten thousand targets take a while to sort and hash: not on the event loop.
        plan = await asyncio.to_thread(planning.make_plan, query.text, chosen, matches, size, self._rules)
        now, plan_id = self._now(), self._new_id()
        async with self._database.write() as connection:
            await store.save_plan(
                connection, plan_id, plan, actor.user_id, channel, now, now + self._rules.plan_expires
            )
        return DrawnPlan(plan_id, plan)

    async def request(self, actor: Actor, plan_id: str) -> Rollout:
        """Asks for approval of a drawn plan; with no approvals needed it starts.

        Raises Stale when it was requested already or is too old, InvalidInput when nothing in it can be
        updated or its card could be shown nowhere.
        """
        async with self._database.read() as connection:
            saved = await store.load_plan(connection, plan_id)
        if actor.user_id != saved.requester:
            raise Stale("That plan was drawn for somebody else. Run the update yourself to request it.")
        channel = await self._card_channel(saved.channel)
        now = self._now()
        async with self._database.write() as connection:
            saved = await store.load_plan(connection, plan_id)
            if saved.rollout_id is not None:
                raise Stale(f"That plan was requested already: it is R-{saved.rollout_id}.")
            if now >= saved.expires_at:
                raise Stale("That plan is too old to request. Run the update again for a new one.")
            decide.check_request(saved.plan, actor)
            rollout = self._requested(saved.plan, actor, saved.channel, now)
            rollout = replace(rollout, id=await store.create(connection, plan_id, rollout, saved.plan))
            await self._record(connection, actor, Action.REQUEST, rollout)
            if not rollout.approvals_needed:
                await self._start(connection, rollout, decide.start(rollout, now))
            await cards.open_cards(connection, _about(rollout.id), [channel], now)
        self._changed()
        return rollout

    async def forget_plan(self, actor: Actor, plan_id: str) -> None:
        """The asker does not want the plan after all."""
        async with self._database.write() as connection:
            saved = await store.load_plan(connection, plan_id)
            if actor.user_id == saved.requester:
                await store.forget_plan(connection, plan_id)

    def _requested(self, plan: Plan, actor: Actor, channel: str | None, now: datetime) -> Rollout:
        return Rollout(
            id=RolloutId(0),
            uid=self._new_id(),
            state=RolloutState.REQUESTED,
            version=1,
            requester=actor.user_id,
            requester_name=actor.name,
            channel=channel,
            query=plan.query,
            model=plan.model,
            firmware_id=plan.firmware_id,
            firmware_version=plan.version,
            plan_hash=plan.hash,
            approvals_needed=plan.approvals_needed,
            downgrades=plan.downgrades,
            created_at=now,
            expires_at=now + self._rules.approval_expires,
        )

    async def _card_channel(self, asked_in: str | None) -> str:
        if self._default_channel:
            return self._default_channel
        if asked_in and await self._may_post(asked_in):
            return asked_in
        raise InvalidInput(
            "I am not in this channel, so I could not show the rollout's card here. Invite me with /invite, "
            "or ask whoever runs the bot to set MESHBOT_CHANNELS__ROLLOUTS. Then request it again."
        )

    async def _firmwares(self) -> list[Firmware]:
        return [firmware async for firmware in self._client.firmwares()]

    # ---- decisions

    async def approve(self, actor: Actor, rollout_id: RolloutId) -> Rollout:
        """Counts one approval; the last one that is needed starts the rollout. Raises NotAllowed, Stale."""
        now = self._now()
        async with self._database.write() as connection:
            before = await store.load(connection, rollout_id, to_change=True)
            after = decide.approve(before, actor, now, self._rules)
            await self._record(connection, actor, Action.APPROVE, before)
            if after.state is RolloutState.RUNNING:
                await self._start(connection, before, after)
                await self._tell_requester(connection, after, actor)
            else:
                await store.save(connection, before, after, after.expires_at)
            await cards.touch(connection, _about(rollout_id), urgent=True)
        self._changed()
        return after

    async def deny(self, actor: Actor, rollout_id: RolloutId, reason: str) -> Rollout:
        """Ends a rollout before it began; a denial wins. Raises NotAllowed, Stale, InvalidInput."""
        return await self._end(
            actor, Action.DENY, rollout_id, lambda before, now: decide.deny(before, actor, reason, now)
        )

    async def cancel(self, actor: Actor, rollout_id: RolloutId) -> Rollout:
        """The requester withdraws it before it was decided. Raises NotAllowed, Stale."""
        return await self._end(
            actor, Action.CANCEL, rollout_id, lambda before, now: decide.cancel(before, actor, now)
        )

    async def may_decide(self, actor: Actor, rollout_id: RolloutId) -> Rollout:
        """The rollout, when this actor could deny it now. Raises as ``deny`` would."""
        async with self._database.read() as connection:
            before = await store.load(connection, rollout_id)
        decide.deny(before, actor, "checking", self._now())
        return before

    async def _end(
        self,
        actor: Actor,
        action: Action,
        rollout_id: RolloutId,
        decided: Callable[[Rollout, datetime], Rollout],
    ) -> Rollout:
        async with self._database.write() as connection:
            before = await store.load(connection, rollout_id, to_change=True)
            after = decided(before, self._now())
            await store.save(connection, before, after, None)
            await self._record(connection, actor, action, after)
            if actor.user_id != after.requester:
                await self._tell_requester(connection, after, actor)
            await cards.touch(connection, _about(rollout_id), urgent=True)
        self._changed()
        return after

    async def _start(self, connection: Transaction, before: Rollout, after: Rollout) -> None:
        """From this commit on its gateways are this rollout's alone, and the next tick starts them."""
        refused = await targets.claim_gateways(connection, before.id)
        await targets.exclude_targets(connection, before.id, refused)
        await store.save(connection, before, after, self._now())

    async def _tell_requester(self, connection: Transaction, rollout: Rollout, by: Actor) -> None:
        await cards.add_message(
            connection,
            rollout.requester,
            f"rollout/{rollout.id}/{rollout.state.value}",
            "rollout_decided",
            {
                "rollout": rollout.id,
                "state": rollout.state.value,
                "by": by.user_id,
                "version": rollout.firmware_version,
                "query": rollout.query,
                "reason": rollout.reason,
            },
            self._now(),
        )

    async def _record(self, connection: Transaction, actor: Actor, action: Action, rollout: Rollout) -> None:
        await audit.record(
            connection,
            AuditEntry(
                at=self._now(),
                actor=actor.user_id,
                action=action.name.lower(),
                subject=rollout.title,
                outcome=Outcome.DONE,
                after=f"{rollout.query or 'all'} to {rollout.firmware_version}",
                channel=rollout.channel,
                reason=rollout.reason,
                plan_hash=rollout.plan_hash,
            ),
        )

    # ---- looking

    async def picture(self, rollout_id: RolloutId) -> RolloutPicture:
        """Raises NotFound when there is no such rollout."""
        async with self._database.read() as connection:
            rollout = await store.load(connection, rollout_id)
            counts = await targets.count_targets(connection, rollout_id)
            classes = await targets.count_classes(connection, rollout_id)
            bad = (TargetState.FAILED, TargetState.OVERDUE)
            failures = await targets.list_targets(connection, rollout_id, bad, SHOWN_FAILURES)
        failed = sum(_in_state(counts, state) for state in bad)
        return RolloutPicture(rollout, counts, classes, failures, failed)

    async def find(self, text: str) -> RolloutId:
        """The rollout that ``R-7``, ``r7`` or ``7`` names. Raises InvalidInput."""
        digits = text.strip().lower().removeprefix("r").removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 18):
            raise InvalidInput("A rollout is named like R-7. /mesh rollouts lists them.")
        return RolloutId(int(digits))

    async def page(self, offset: int, limit: int = 10) -> RolloutPage:
        """Those that go on first, then the newest."""
        async with self._database.read() as connection:
            found, total = await store.load_many(connection, limit, offset)
            counts = await targets.count_many(connection, [rollout.id for rollout in found])
        lines = tuple(RolloutLine(rollout, counts[rollout.id]) for rollout in found)
        return RolloutPage(lines, total, offset)

    async def targets(self, rollout_id: RolloutId) -> tuple[TargetRow, ...]:
        """All of a rollout's gateways, for a file. Raises NotFound."""
        async with self._database.read() as connection:
            await store.load(connection, rollout_id)
            return await targets.list_targets(connection, rollout_id)

    async def rollout_of(self, gateway_id: GatewayId) -> RolloutId | None:
        """The rollout that has the gateway now."""
        async with self._database.read() as connection:
            return await targets.rollout_of_gateway(connection, gateway_id)

    async def vendor_jobs(self, offset: int, limit: int = 10) -> tuple[tuple[JobLine, ...], bool]:
        """Jobs as the portal has them, the newest first, whoever created them; and whether there are more."""
        jobs: list[VendorJob] = []
        async for job in self._client.jobs():
            jobs.append(job)
            if len(jobs) > offset + limit:
                break
        shown = jobs[offset : offset + limit]
        return await self._lines(shown), len(jobs) > offset + limit

    async def vendor_job(self, job_id: str) -> JobLine:
        """One job with its gateways. Raises NotFound."""
        job = await self._client.job(JobId(job_id.strip()))
        return (await self._lines([job]))[0]

    async def _lines(self, jobs: Sequence[VendorJob]) -> tuple[JobLine, ...]:
        async with self._database.read() as connection:
            ours = await targets.rollout_of_job(connection, [job.id for job in jobs])
        return tuple(JobLine(job, ours.get(job.id)) for job in jobs)


def _about(rollout_id: RolloutId) -> About:
    return About(CardKind.ROLLOUT, str(rollout_id))


def _in_state(counts: Counts, state: TargetState) -> int:
    return sum(count for (_, found), count in counts.items() if found is state)
