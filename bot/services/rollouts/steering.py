"""What people do with a rollout that runs: pause, resume, promote, abort, retry, catch up."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bot.domain.access import Action, Actor
from bot.domain.errors import Stale, Unavailable
from bot.domain.rollouts import freezes as through_freezes
from bot.domain.rollouts import lifecycle as decide
from bot.domain.rollouts.events import Aborted, CaughtUp, Paused, Promoted, Resumed, Retried, WaitEnded
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, RolloutRules, TargetState
from bot.domain.rollouts.stale_buttons import RolloutAct
from bot.services.context import Context, Within
from bot.services.rollouts.decisions import RolloutDecision, begin_decision
from bot.services.rollouts.events import anywhere
from bot.storage.rollouts import freezes, targets
from bot.storage.rollouts import retries as again
from bot.storage.rollouts import rollouts as store


class RolloutSteering:
    """One decision a transaction.

    ``drawn`` is what the button carries, see ``begin_decision``; ``channel`` is where somebody decides, for
    the audit log.
    """

    def __init__(
        self,
        context: Context,
        *,
        rules: RolloutRules,
        visibility_lost: Callable[[], Awaitable[bool]],
        within: Within = anywhere,
    ) -> None:
        self._within = within
        self._database = context.database
        self._rules = rules
        self._now = context.now
        self._visibility_lost = visibility_lost

    async def pause(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> Rollout:
        """Raises NotAllowed, Stale, AlreadyDone."""
        async with self._deciding(RolloutAct.PAUSE, actor, rollout_id, drawn, channel) as it:
            after = decide.pause(it.before, actor)
            await it.save(after)
            await it.record(after, Paused())
        return after

    async def resume(
        self,
        actor: Actor,
        rollout_id: RolloutId,
        override: str | None = None,
        *,
        drawn: int | None = None,
        channel: str | None = None,
    ) -> Rollout:
        """Raises NotAllowed, Stale, AlreadyDone, and ReasonNeeded when a freeze holds it and an admin may
        go on.
        """
        async with self._database.read() as connection:
            before = await store.load(connection, rollout_id)
            freeze = await freezes.freeze_of(connection, before.firmware_version)
        needed = Action.OVERRIDE if freeze and override else Action.RESUME
        await self._require_within(actor, rollout_id, needed)
        async with self._deciding(RolloutAct.RESUME, actor, rollout_id, drawn, channel) as it:
            freeze = await freezes.freeze_of(it.connection, it.before.firmware_version)
            after = through_freezes.resume(it.before, actor, it.now, override, freeze)
            await it.save(after)
            await it.record(after, Resumed(override))
        return after

    async def promote(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> Rollout:
        """Raises NotAllowed, Stale, AlreadyDone, and Unavailable while the fleet cannot be seen."""
        if await self._visibility_lost():
            raise Unavailable(
                "There is no data from Meshtech right now, so nobody knows how the canary is. "
                "Please promote it once the polls succeed again."
            )
        await self._require_within(actor, rollout_id)
        async with self._deciding(RolloutAct.PROMOTE, actor, rollout_id, drawn, channel) as it:
            counts = await targets.count_targets(it.connection, rollout_id)
            after = decide.promote(it.before, actor, counts.get((it.before.wave, TargetState.VERIFIED), 0))
            await it.save(after)
            await it.record(after, Promoted())
        return after

    async def abort(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> Rollout:
        """Raises NotAllowed, Stale, AlreadyDone. What is in flight is still judged; the vendor's queue is
        cleared.
        """
        async with self._deciding(RolloutAct.ABORT, actor, rollout_id, drawn, channel) as it:
            after = decide.abort(it.before, actor, it.now)
            await it.save(after)
            await targets.skip_all(it.connection, rollout_id, "not started: aborted", it.now)
            await targets.free_gateways(it.connection, rollout_id)
            await it.record(after, Aborted())
        return after

    async def end_waiting(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> int:
        """Has it wait for nobody any more who is offline; returns for how many it did."""
        async with self._deciding(RolloutAct.END_WAITING, actor, rollout_id, drawn, channel) as it:
            after = decide.end_waiting(it.before, actor)
            await it.save(after)
            count = await targets.end_waiting(it.connection, rollout_id, it.now)
            await it.record(after, WaitEnded(count))
        return count

    async def retry_failed(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> int:
        """Has those that failed and are online and free tried again; returns how many."""
        await self._require_within(actor, rollout_id)
        async with self._deciding(RolloutAct.RETRY, actor, rollout_id, drawn, channel) as it:
            last = await targets.last_wave(it.connection, rollout_id)
            after = decide.take_up(it.before, actor, last, it.now)
            which = await again.failed_and_online(it.connection, it.before, it.now)
            if not which:
                raise Stale(
                    f"None of the gateways that failed in {after.title} can be tried now: "
                    "those that are offline have to come back first, and a job of Meshtech's that still has "
                    "one has to be over for it."
                )
            count = await again.retry(it.connection, rollout_id, which)
            await targets.claim_gateways(it.connection, rollout_id, it.now)
            await it.save(after)
            await it.record(after, Retried(count))
        return count

    async def catch_up(
        self, actor: Actor, rollout_id: RolloutId, *, drawn: int | None = None, channel: str | None = None
    ) -> int:
        """Has skipped gateways that came back follow in a wave of their own; returns how many."""
        await self._require_within(actor, rollout_id)
        async with self._deciding(RolloutAct.CATCH_UP, actor, rollout_id, drawn, channel) as it:
            last = await targets.last_wave(it.connection, rollout_id)
            after = decide.take_up(it.before, actor, last, it.now, waves=1)
            which = await again.skipped_and_back(it.connection, it.before, it.now, self._rules.stable_for)
            if not which:
                raise Stale(
                    f"None of the skipped gateways of {after.title} has been online for long enough yet."
                )
            count = await again.put_into_wave(it.connection, rollout_id, which, last + 1)
            await targets.claim_gateways(it.connection, rollout_id, it.now)
            await it.save(after)
            await it.record(after, CaughtUp(count, last + 1))
        return count

    async def _require_within(
        self, actor: Actor, rollout_id: RolloutId, action: Action = Action.RESUME
    ) -> None:
        """Who is limited to a part of the fleet may stop any rollout, and has only their own go on."""
        if actor.limits:
            async with self._database.read() as connection:
                found = await targets.list_targets(connection, rollout_id)
            await self._within(actor, action, [one.gateway_id for one in found])

    @asynccontextmanager
    async def _deciding(
        self, act: RolloutAct, actor: Actor, rollout_id: RolloutId, drawn: int | None, channel: str | None
    ) -> AsyncIterator[RolloutDecision]:
        async with self._database.write() as connection:
            yield await begin_decision(connection, act, actor, rollout_id, drawn, channel, self._now())
