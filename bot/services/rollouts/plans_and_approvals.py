"""What people do with firmware rollouts before they run: plan, request, approve, deny, withdraw; and look.

Each decision is one transaction: load, decide in the domain, save, say so on the card. Steering one that runs
is in ``rollout_steering.py``, how it goes on by itself in ``rollout_course.py``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.domain.access import Action, Actor, require, require_within
from bot.domain.errors import InvalidInput, NotAllowed, RoleUnknown, Stale
from bot.domain.firmware import Firmware, FirmwarePolicy, JobId, VendorJob
from bot.domain.gateways import GatewayId, KnownGateway
from bot.domain.incident_kinds import IncidentSummary
from bot.domain.query import Query
from bot.domain.rollouts import approvals, firmware_choice
from bot.domain.rollouts import lifecycle as decide
from bot.domain.rollouts import plan as planning
from bot.domain.rollouts.events import (
    Approved,
    Denied,
    RecordedEvent,
    Requested,
    Scheduled,
    Started,
    TimelineEntry,
    Voided,
    Withdrawn,
    over_with,
)
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import (
    FAILURES,
    IN_FLIGHT,
    Rollout,
    RolloutId,
    RolloutRules,
    RolloutState,
    TargetClass,
    TargetRecord,
    TargetState,
)
from bot.domain.rollouts.plan import Circumstances, Plan, check_request
from bot.domain.rollouts.progress import DrawnPlan, Evidence, RolloutStatus, paused_spans, worked
from bot.domain.rollouts.stale_buttons import RolloutAct
from bot.domain.times.update_windows import MaintenanceOpening
from bot.services.context import Context, Within
from bot.services.rollouts.approval_checks import StartChecks, StartFinding
from bot.services.rollouts.decisions import RolloutDecision, begin_decision, check_drawn
from bot.services.rollouts.events import about, anywhere, record_event, tell_requester
from bot.services.rollouts.routing import RolloutRouting, no_place
from bot.services.vendor_questions import VendorQuestions
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import batches, events, freezes, targets
from bot.storage.rollouts import retries as again
from bot.storage.rollouts import rollouts as store
from bot.storage.rollouts.alerts_meanwhile import alerts_during
from bot.storage.rollouts.in_flight import count_late
from bot.storage.rollouts.maintenance_window import maintenance_opening
from bot.storage.rollouts.routing import card_channels

SHOWN_FAILURES = 5
SHOWN_STRAGGLERS = 3
SHOWN_FIRST = 5


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


BadAmong = Callable[[str, Sequence[str]], Awaitable[FirmwarePolicy | None]]


async def none_bad(_version: str, _ids: Sequence[str]) -> None:
    """No version is known to be bad."""


async def nobody() -> Sequence[Actor]:
    """No one is called for a request."""
    return ()


OpeningFor = Callable[[Sequence[str]], Awaitable[MaintenanceOpening]]


async def no_opening(_gateway_ids: Sequence[str]) -> MaintenanceOpening:
    raise InvalidInput("No maintenance is planned.")


class RolloutRequests:
    """All that can be done with rollouts.

    ``understand`` reads what somebody typed, ``matching`` gives the gateways of a query in chunks, and
    ``fleet_size`` how many there are in all.
    ``incidents_at`` finds the open incidents at some sites, ``may_post`` tells whether a card can be shown
    in a channel. ``within`` refuses somebody who is limited to a part of the fleet when gateways are outside
    of it. ``deciders`` are the people and groups that are called for a request.
    ``bad_among`` finds what says that a version is bad for one of some gateways.
    ``opening_for`` finds the maintenance window that holds some gateways.
    """

    def __init__(
        self,
        context: Context,
        questions: VendorQuestions,
        *,
        understand: Callable[[str], Awaitable[Query]],
        matching: Callable[[Query], AsyncIterator[tuple[KnownGateway, ...]]],
        fleet_size: Callable[[], Awaitable[int]],
        incidents_at: Callable[[set[str]], Awaitable[Sequence[IncidentSummary]]],
        may_post: Callable[[str], Awaitable[bool]],
        rules: RolloutRules,
        checks: StartChecks,
        places: RolloutRouting,
        new_id: Callable[[], str],
        within: Within = anywhere,
        deciders: Callable[[], Awaitable[Sequence[Actor]]] = nobody,
        bad_among: BadAmong = none_bad,
        opening_for: OpeningFor = no_opening,
    ) -> None:
        self._bad_among = bad_among
        self._opening_for = opening_for
        self._checks = checks
        self._database = context.database
        self._within = within
        self._questions = questions
        self._understand = understand
        self._matching = matching
        self._fleet_size = fleet_size
        self._incidents_at = incidents_at
        self._may_post = may_post
        self.rules = rules
        self._places = places
        self.now = context.now
        self._new_id = new_id
        self._deciders = deciders

    # ---- plan and request

    async def plan(
        self,
        actor: Actor,
        channel: str | None,
        query_text: str,
        version: str,
        model: str | None = None,
        start_at: datetime | None = None,
        *,
        file: str | None = None,
        in_maintenance: bool = False,
    ) -> DrawnPlan | FirmwareChoice:
        """A plan that can be requested, or the files to choose from. Nothing is sent to the vendor.

        ``file`` is the id of the one that was chosen. ``in_maintenance``: it starts gateways only while a
        maintenance window is open that holds them all. Raises InvalidInput when there is none, and when the
        query, the version or the model names nothing.
        """
        require(actor, Action.REQUEST)
        query = await self._understand(query_text)
        firmwares = await self._questions.firmwares()
        matches = [known async for chunk in self._matching(query) for known in chunk]
        if not matches:
            raise InvalidInput("No gateway matches that query, so there is nothing to update.")
        require_within(actor, Action.REQUEST, matches, self.now())
        by_model = Counter(known.gateway.model for known in matches if known.gateway.model)
        chosen = firmware_choice.choose_firmware(
            query.text, version, firmwares, by_model, model=model, file=file
        )
        if isinstance(chosen, FirmwareChoice):
            return replace(chosen, start_at=start_at, in_maintenance=in_maintenance)
        skipped = firmware_choice.skipped_for_latest(version, firmwares, [chosen.model or ""])
        drawn = await self._draw(
            actor, channel, query, chosen, matches, start_at, in_maintenance=in_maintenance
        )
        return replace(drawn, skipped=skipped)

    async def plan_again(self, actor: Actor, rollout_id: RolloutId) -> DrawnPlan | FirmwareChoice:
        """A new plan of what a rollout was for: the fleet is another now."""
        async with self._database.read() as connection:
            old = await store.load(connection, rollout_id)
        bound = old.maintenance is not None
        return await self.plan(
            actor, old.channel, old.query, old.firmware_version, old.model, in_maintenance=bound
        )

    async def _draw(
        self,
        actor: Actor,
        channel: str | None,
        query: Query,
        firmware: Firmware,
        matches: Sequence[KnownGateway],
        start_at: datetime | None,
        *,
        in_maintenance: bool,
    ) -> DrawnPlan:
        now, plan_id = self.now(), self._new_id()
        size = await self._fleet_size()
        async with self._database.read() as connection:
            freeze = await freezes.freeze_of(connection, firmware.version or "")
            around = Circumstances(
                now,
                size,
                await again.quarantined(connection, now),
                await targets.claimed(connection),
                freeze is not None,
            )
            evidence = await _evidence(connection, firmware.version or "", firmware.model or "")
        # Ten thousand targets take a while to sort and hash: not on the event loop.
        plan = await asyncio.to_thread(planning.make_plan, query.text, firmware, matches, around, self.rules)
        opening = await self._opening_for(_updated(plan)) if in_maintenance else None
        if opening is not None and opening.begins > now:
            start_at = opening.begins
        expires_at = now + planning.PLAN_EXPIRES
        plan = replace(plan, bad=await self._bad(firmware.version or "", _updated(plan)))
        busy = [one.gateway_id for one in plan.targets if one.cls is TargetClass.BUSY]
        async with self._database.write() as connection:
            busy_in = await targets.rollouts_of(connection, busy)
            await store.save_plan(
                connection,
                plan_id,
                plan,
                actor.user_id,
                channel,
                start_at,
                now,
                expires_at,
                maintenance=None if opening is None else opening.number,
            )
        sites = {target.site for target in (*plan.eligible, *plan.awaited)}
        incidents = await self._incidents_at(sites)
        return DrawnPlan(plan_id, plan, evidence, freeze, start_at, opening, incidents, busy_in=busy_in)

    async def _bad(self, version: str, ids: Sequence[str]) -> str | None:
        """What says that the version is known to be bad for one of these gateways."""
        found = await self._bad_among(version, ids)
        return None if found is None else found.says()

    async def request(self, actor: Actor, plan_id: str, start_at: datetime | None = None) -> Rollout:
        """Asks for approval of a drawn plan; with no approvals needed it starts, at ``start_at`` if given.

        Raises Stale when it was requested already or is too old, InvalidInput when nothing in it can be
        updated or its card could be shown nowhere.
        """
        async with self._database.read() as connection:
            saved = await store.load_plan(connection, plan_id)
        if actor.user_id != saved.requester:
            raise Stale("That plan was drawn for somebody else. Run the update yourself to request it.")
        await self._within(actor, Action.REQUEST, _updated(saved.plan))
        usual = await self._usual_channels(saved.channel)
        not_visible = await self._checks.not_visible()
        now = self.now()
        window = await self._checks.in_maintenance(self._requested(saved, actor, start_at, now))
        if window.void:
            raise Stale(f"{window.void}. Run the update again for a new plan.")
        asked = await self._who_decides(self._requested(saved, actor, start_at, now), saved.plan)
        async with self._database.write() as connection:
            saved = await store.load_plan(connection, plan_id)
            if saved.rollout_id is not None:
                raise Stale(f"That plan was requested already: it is R-{saved.rollout_id}.")
            if now >= saved.expires_at:
                raise Stale("That plan is too old to request. Run the update again for a new one.")
            check_request(saved.plan, actor)
            rollout = self._requested(saved, actor, start_at or saved.start_at, now)
            rollout = replace(rollout, id=await store.create(connection, plan_id, rollout, saved.plan))
            channels = await self._places.wanted(connection, rollout.id) or usual[:1]
            if not channels:
                raise InvalidInput(no_place(saved.channel))
            await cards.open_cards(connection, about(rollout.id), channels, now)
            await record_event(
                connection, rollout, Requested(), now, actor, channel=saved.channel, asked=asked
            )
            if not rollout.approvals_needed:
                if await StartFinding(held=not_visible).complete(connection, rollout):
                    raise Stale("The fleet is another than in that plan. Run the update again for a new one.")
                begun = decide.begin(rollout, now, not_visible or window.held)
                await self._begin(connection, rollout, begun, now)
                return begun
        return rollout

    async def _who_decides(self, rollout: Rollout, plan: Plan) -> list[str]:
        """Of the people and groups that are called for a request, those whose approval of this one counts."""
        found, ids = [], _updated(plan)
        for one in await self._deciders() if rollout.approvals_needed else ():
            action = approvals.approval_is(rollout, one, self.rules)
            try:
                require(one, action)
                await self._within(one, action, ids)
            except (NotAllowed, RoleUnknown):
                continue
            if one.user_id != rollout.requester or self.rules.self_approval:
                found.append(one.user_id)
        return found

    async def forget_plan(self, actor: Actor, plan_id: str) -> None:
        """The asker does not want the plan after all."""
        async with self._database.write() as connection:
            saved = await store.load_plan(connection, plan_id)
            if actor.user_id == saved.requester:
                await store.forget_plan(connection, plan_id)

    def _requested(
        self, saved: store.SavedPlan, actor: Actor, start_at: datetime | None, now: datetime
    ) -> Rollout:
        plan = saved.plan
        return Rollout(
            id=RolloutId(0),
            uid=self._new_id(),
            state=RolloutState.REQUESTED,
            version=1,
            requester=actor.user_id,
            requester_name=actor.name,
            channel=saved.channel,
            query=plan.query,
            firmware=plan.firmware,
            plan_hash=plan.hash,
            planned=len(_updated(plan)),
            approvals_needed=plan.approvals_needed,
            downgrades=plan.downgrades,
            bad=plan.bad,
            created_at=now,
            expires_at=now + self.rules.approval_expires,
            start_at=start_at,
            wait_for=plan.wait_for,
            maintenance=saved.maintenance,
        )

    async def _usual_channels(self, asked_in: str | None) -> list[str]:
        """Where its card may go if nobody subscribed to it."""
        usual = await self._places.usual(asked_in)
        return [one for one in usual if one != asked_in or await self._may_post(one)]

    # ---- decisions

    async def approve(
        self,
        actor: Actor,
        rollout_id: RolloutId,
        override: str | None = None,
        *,
        drawn: int | None = None,
        channel: str | None = None,
    ) -> Rollout:
        """Counts one approval; the last one that is needed starts the rollout.

        ``drawn`` is what the button carries, see ``begin_decision``; ``channel`` is where. When the fleet
        drifted, the file is another, or an earlier approver may not approve any more, it is void instead;
        while nobody can tell, it waits. Raises NotAllowed, Stale, AlreadyDone, and ReasonNeeded when an admin
        may do it with a reason.
        """
        async with self._database.read() as connection:
            waiting = await store.load(connection, rollout_id)
        check = await self._checks.begin(waiting)
        now = self.now()
        ids = [one.gateway_id for one in await self.targets(rollout_id)]
        bad = await self._bad(waiting.firmware_version, ids)
        if actor.limits:
            asked = approvals.approval_is(replace(waiting, bad=bad), actor, self.rules)
            await self._within(actor, asked, ids)
        async with self._database.write() as connection:
            it = await begin_decision(connection, RolloutAct.APPROVE, actor, rollout_id, drawn, channel, now)
            asked_now = replace(it.before, bad=bad)  # it may be known only since it was requested
            after = approvals.approve(asked_now, actor, now, self.rules, override, check.held)
            if why := await check.complete(connection, it.before):
                after = approvals.void(it.before, why, now)
                await store.save(connection, it.before, after, None)
                await targets.skip_all(connection, rollout_id, "not started: void", now)
                event: RecordedEvent = Voided(why)
                entry = await it.record(after, event)
            else:
                later = after.start_at if after.state is RolloutState.SCHEDULED else None
                event = Approved(after.approvals_missing, later, override, after.held)
                entry = await it.record(after, event)
                if after.state is RolloutState.REQUESTED:
                    await it.save(after, again_at=approvals.remind_at(after))
                else:
                    await self._begin(connection, it.before, after, now)
            await tell_requester(connection, after, entry, event, actor, now)
        return after

    async def deny(
        self,
        actor: Actor,
        rollout_id: RolloutId,
        reason: str,
        *,
        drawn: int | None = None,
        channel: str | None = None,
    ) -> Rollout:
        """Ends a rollout before it began; a denial wins.

        Raises NotAllowed, Stale, AlreadyDone, InvalidInput.
        """
        async with self._database.write() as connection:
            it = await begin_decision(
                connection, RolloutAct.DENY, actor, rollout_id, drawn, channel, self.now()
            )
            after = approvals.deny(it.before, actor, reason, it.now)
            await self._end(it, after, Denied(after.reason or ""))
        return after

    async def cancel(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> Rollout:
        """The requester withdraws it before it has started. Raises NotAllowed, Stale, AlreadyDone."""
        async with self._database.write() as connection:
            it = await begin_decision(
                connection, RolloutAct.WITHDRAW, actor, rollout_id, drawn, channel, self.now()
            )
            after = approvals.cancel(it.before, actor, it.now)
            await self._end(it, after, Withdrawn())
        return after

    async def may_deny(self, actor: Actor, rollout_id: RolloutId, drawn: int) -> Rollout:
        """The rollout, when this actor could deny it now. Raises as ``deny`` would."""
        now = self.now()
        async with self._database.read() as connection:
            before = await store.load(connection, rollout_id)
            await check_drawn(connection, RolloutAct.DENY, before, drawn, actor, now)
        approvals.deny(before, actor, "checking", now)
        return before

    async def _end(self, it: RolloutDecision, after: Rollout, event: RecordedEvent) -> None:
        await store.save(it.connection, it.before, after, None)
        await targets.skip_all(it.connection, after.id, f"not started: {after.state.value}", it.now)
        await targets.free_gateways(it.connection, after.id)
        entry = await it.record(after, event)
        await tell_requester(it.connection, after, entry, event, it.actor, it.now)

    async def _begin(self, connection: Transaction, before: Rollout, after: Rollout, now: datetime) -> None:
        """From this commit on its gateways are this rollout's alone, and the next tick starts them."""
        await targets.claim_gateways(connection, before.id, now)
        later = after.start_at if after.state is RolloutState.SCHEDULED else None
        await store.save(connection, before, after, later or now)
        if later or not after.held:
            await record_event(
                connection, after, Scheduled(later) if later else Started(), now, before=before
            )

    # ---- looking

    async def status(self, rollout_id: RolloutId) -> RolloutStatus:
        """Raises NotFound when there is no such rollout."""
        now = self.now()
        async with self._database.read() as connection:
            rollout = await store.load(connection, rollout_id)
            version = rollout.firmware_version
            counts = await targets.count_targets(connection, rollout_id)
            classes = await targets.count_classes(connection, rollout_id)
            failures = await targets.list_targets(connection, rollout_id, FAILURES, SHOWN_FAILURES)
            in_flight = await targets.list_targets(
                connection, rollout_id, IN_FLIGHT, SHOWN_STRAGGLERS, oldest_first=True
            )
            retryable = await again.failed_and_online(connection, rollout, now)
            returned = await again.skipped_and_back(connection, rollout, now, self.rules.stable_for)
            kept = await count_late(connection, rollout_id)
            first = await targets.first_to_start(connection, rollout_id, SHOWN_FIRST)
            sites = set() if rollout.state.is_final else await targets.sites(connection, rollout_id)
            freeze = await freezes.freeze_of(connection, version)
            evidence = await _evidence(connection, version, rollout.model)
            bound = None if rollout.state.is_final else rollout.maintenance
            opening = None if bound is None else await maintenance_opening(connection, bound)
            spent = timedelta()
            if rollout.state is RolloutState.RUNNING:
                spans = await targets.work_spans(connection, rollout_id, now)
                spent = worked(spans, paused_spans(await events.timeline(connection, rollout_id), now))
        late = now - self.rules.overdue_after / 2
        return RolloutStatus(
            rollout=rollout,
            counts=counts,
            classes=classes,
            failures=failures,
            stragglers=tuple(one for one in in_flight if one.started_at and one.started_at <= late),
            retryable=len(retryable),
            returned=len(returned),
            late=kept,
            first=() if rollout.started_at else first,
            incidents=await self._incidents_at(sites) if sites else (),
            freeze=freeze,
            opening=opening,
            evidence=evidence,
            worked=spent,
            now=now,
            rules=self.rules,
        )

    async def entry(self, number: int) -> tuple[TimelineEntry, TimelineEntry | None]:
        """An entry of a timeline, and what has left nothing to do about it. Raises NotFound."""
        async with self._database.read() as connection:
            entry = await events.load_entry(connection, number)
            later = await events.timeline(connection, entry.rollout_id, number + 1)
        return entry, over_with(entry, later)

    async def timeline(self, rollout_id: RolloutId) -> tuple[TimelineEntry, ...]:
        """Everything that happened, in order, with the alerts about its gateways. Raises NotFound."""
        async with self._database.read() as connection:
            rollout = await store.load(connection, rollout_id)
            own = await events.timeline(connection, rollout_id)
            alerts = await alerts_during(connection, rollout, self.now())
        return tuple(sorted([*own, *alerts], key=lambda entry: entry.at))

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

    async def count_going_on(self) -> Mapping[RolloutState, int]:
        """How many of those that are not over are in each state."""
        async with self._database.read() as connection:
            return await store.count_going_on(connection)

    async def targets(self, rollout_id: RolloutId) -> tuple[TargetRecord, ...]:
        """All of a rollout's gateways, for a file. Raises NotFound."""
        async with self._database.read() as connection:
            await store.load(connection, rollout_id)
            return await targets.list_targets(connection, rollout_id)

    async def shown_in(self, rollout_id: RolloutId) -> Sequence[str]:
        """The channels that have its card."""
        async with self._database.read() as connection:
            return sorted(await card_channels(connection, rollout_id))

    async def rollout_of(self, gateway_id: GatewayId) -> RolloutId | None:
        """The rollout that has the gateway now."""
        async with self._database.read() as connection:
            return await targets.rollout_of_gateway(connection, gateway_id)

    async def vendor_jobs(self, offset: int, limit: int = 10) -> tuple[tuple[JobLine, ...], bool]:
        """Jobs as the portal has them, the newest first, whoever created them; and whether there are more."""
        jobs = await self._questions.jobs(offset + limit + 1)
        shown = jobs[offset : offset + limit]
        return await self._lines(shown), len(jobs) > offset + limit

    async def vendor_job(self, job_id: str) -> JobLine:
        """One job with its gateways. Raises NotFound."""
        job = await self._questions.job(JobId(job_id.strip()))
        return (await self._lines([job]))[0]

    async def _lines(self, jobs: Sequence[VendorJob]) -> tuple[JobLine, ...]:
        async with self._database.read() as connection:
            ours = await batches.rollout_of_job(connection, [job.id for job in jobs])
        return tuple(JobLine(job, ours.get(job.id)) for job in jobs)


def _updated(plan: Plan) -> list[GatewayId]:
    return [one.gateway_id for one in (*plan.eligible, *plan.awaited)]


async def _evidence(connection: Transaction, version: str, model: str) -> Evidence:
    states, away = await targets.return_times(connection, version, model)
    return Evidence.of(states, away)
