"""What people do with a rollout that runs: pause, resume, promote, abort, retry, catch up; and freezes."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from bot.domain.access import Action, Actor, require
from bot.domain.audit import AuditEntry, Outcome
from bot.domain.errors import InvalidInput, Stale, Unavailable
from bot.domain.rollouts import rollout as decide
from bot.domain.rollouts.plan import RolloutRules
from bot.domain.rollouts.rollout import Freeze, Rollout, RolloutId
from bot.services.context import Context
from bot.services.rollouts.events import Within, anywhere, record_event
from bot.storage import audit
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import retries as again
from bot.storage.rollouts import rollouts as store
from bot.storage.rollouts import targets


class RolloutSteering:
    """One decision a transaction. ``channel`` is where somebody decides, for the audit log."""

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

    async def pause(self, actor: Actor, rollout_id: RolloutId, *, channel: str | None = None) -> Rollout:
        """Raises NotAllowed, Stale."""
        return await self._decide(
            actor, rollout_id, "paused", lambda before, _: decide.pause(before, actor), channel
        )

    async def resume(
        self,
        actor: Actor,
        rollout_id: RolloutId,
        override: str | None = None,
        *,
        channel: str | None = None,
    ) -> Rollout:
        """Raises NotAllowed, Stale, and ReasonNeeded when a freeze holds it and an admin may go on."""
        async with self._database.read() as connection:
            version = (await store.load(connection, rollout_id)).firmware_version
            freeze = await store.freeze_of(connection, version)
        await self._require_within(
            actor, rollout_id, Action.OVERRIDE if freeze and override else Action.RESUME
        )
        return await self._decide(
            actor,
            rollout_id,
            "resumed",
            lambda before, now: decide.resume(before, actor, now, override, freeze),
            channel,
            reason=override,
        )

    async def promote(self, actor: Actor, rollout_id: RolloutId, *, channel: str | None = None) -> Rollout:
        """Raises NotAllowed, Stale, and Unavailable while the fleet cannot be seen."""
        if await self._visibility_lost():
            raise Unavailable(
                "The fleet cannot be seen right now, so nobody knows how the canary is. "
                "Please promote it once the listings succeed again."
            )
        await self._require_within(actor, rollout_id)
        return await self._decide(
            actor, rollout_id, "promoted", lambda before, _: decide.promote(before, actor), channel
        )

    async def abort(self, actor: Actor, rollout_id: RolloutId, *, channel: str | None = None) -> Rollout:
        """Raises NotAllowed, Stale. What is in flight is still judged; the vendor's queue is cleared."""
        now = self._now()
        async with self._database.write() as connection:
            before = await store.load(connection, rollout_id, to_change=True)
            after = decide.abort(before, actor, now)
            await store.save(connection, before, after, now)
            await targets.skip_all(connection, rollout_id, "not started: aborted", now)
            await targets.free_gateways(connection, rollout_id)
            await record_event(
                connection, after, "aborted", now, actor, before=before, channel=channel, reason=after.reason
            )
        return after

    async def retry_failed(self, actor: Actor, rollout_id: RolloutId, *, channel: str | None = None) -> int:
        """Has those that failed and are online and free tried again; returns how many."""
        await self._require_within(actor, rollout_id)
        now = self._now()
        async with self._database.write() as connection:
            before = await store.load(connection, rollout_id, to_change=True)
            last = await targets.last_wave(connection, rollout_id)
            after = decide.take_up(before, actor, last, now)
            which = await again.failed_and_online(connection, before, now)
            if not which:
                raise Stale(
                    f"None of the gateways that failed in {before.title} can be tried now: "
                    "those that are offline have to come back first, and a job of Meshtech's that still has "
                    "one has to be over for it."
                )
            count = await again.retry(connection, rollout_id, which)
            await self._take_up(connection, before, after, now)
            await record_event(
                connection, after, "retried", now, actor, before=before, channel=channel, count=count
            )
        return count

    async def catch_up(self, actor: Actor, rollout_id: RolloutId, *, channel: str | None = None) -> int:
        """Has parked gateways that came back follow in a wave of their own; returns how many."""
        await self._require_within(actor, rollout_id)
        now = self._now()
        async with self._database.write() as connection:
            before = await store.load(connection, rollout_id, to_change=True)
            last = await targets.last_wave(connection, rollout_id)
            after = decide.take_up(before, actor, last, now, waves=1)
            which = await again.parked_and_back(connection, before, now, self._rules.stable_for)
            if not which:
                raise Stale(
                    f"None of the parked gateways of {before.title} has been online for long enough yet."
                )
            count = await again.put_into_wave(connection, rollout_id, which, last + 1)
            await self._take_up(connection, before, after, now)
            await record_event(
                connection,
                after,
                "catch_up",
                now,
                actor,
                before=before,
                channel=channel,
                count=count,
                wave=last + 1,
            )
        return count

    async def _require_within(
        self, actor: Actor, rollout_id: RolloutId, action: Action = Action.RESUME
    ) -> None:
        """Who is limited to a part of the fleet may stop any rollout, and has only their own go on."""
        if actor.limits:
            async with self._database.read() as connection:
                found = await targets.list_targets(connection, rollout_id)
            await self._within(actor, action, [one.gateway_id for one in found])

    async def _take_up(self, connection: Transaction, before: Rollout, after: Rollout, now: datetime) -> None:
        await targets.claim_gateways(connection, before.id, now)
        await store.save(connection, before, after, now)

    async def _decide(
        self,
        actor: Actor,
        rollout_id: RolloutId,
        kind: str,
        decided: Callable[[Rollout, datetime], Rollout],
        channel: str | None,
        reason: str | None = None,
    ) -> Rollout:
        now = self._now()
        async with self._database.write() as connection:
            before = await store.load(connection, rollout_id, to_change=True)
            after = decided(before, now)
            await store.save(connection, before, after, now)
            await record_event(
                connection, after, kind, now, actor, before=before, channel=channel, reason=reason
            )
        return after

    # ---- freezes

    async def freeze(
        self, actor: Actor, firmware_version: str, reason: str, channel: str | None = None
    ) -> Freeze:
        """Holds every start, or those of one firmware; what has started is still judged. Raises Stale."""
        require(actor, Action.FREEZE)
        now = self._now()
        freeze = Freeze(firmware_version, actor.user_id, actor.name, reason.strip() or "no reason given", now)
        async with self._database.write() as connection:
            if not await store.add_freeze(connection, freeze):
                standing = await store.freeze_of(connection, firmware_version)
                raise Stale(f"It is frozen already: {standing.says() if standing else freeze.says()}.")
            await store.wake_all(connection, now)
            await audit.record(connection, _entry(actor, "freeze", freeze, now, channel))
        return freeze

    async def unfreeze(self, actor: Actor, firmware_version: str, channel: str | None = None) -> None:
        """Raises InvalidInput when it is not frozen."""
        require(actor, Action.FREEZE)
        now = self._now()
        async with self._database.write() as connection:
            if not await store.remove_freeze(connection, firmware_version):
                standing = await store.list_freezes(connection)
                there = "; ".join(freeze.says() for freeze in standing) or "nothing is frozen"
                what = f"Firmware {firmware_version}" if firmware_version else "Everything"
                raise InvalidInput(f"{what} is not frozen. Now: {there}.")
            await store.wake_all(connection, now)
            freeze = Freeze(firmware_version, actor.user_id, actor.name, "", now)
            await audit.record(connection, _entry(actor, "unfreeze", freeze, now, channel))

    async def freezes(self) -> tuple[Freeze, ...]:
        async with self._database.read() as connection:
            return await store.list_freezes(connection)


def _entry(actor: Actor, action: str, freeze: Freeze, now: datetime, channel: str | None) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"firmware {freeze.firmware_version}" if freeze.firmware_version else "everything",
        outcome=Outcome.DONE,
        channel=channel,
        reason=freeze.reason or None,
    )
