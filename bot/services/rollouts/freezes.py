"""What is frozen: held and let go by people, or by a gate; every rollout that it holds tells of it."""

from datetime import datetime

from bot.domain.access import Action, Actor, require_everywhere
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.errors import InvalidInput, Stale
from bot.domain.rollouts.events import Frozen, Unfrozen
from bot.domain.rollouts.freezes import Freeze, FreezeEffect, hold_anew, is_held
from bot.domain.rollouts.lifecycle import RolloutId
from bot.services.context import Context
from bot.services.rollouts.events import record_event
from bot.storage import audit
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import freezes as store
from bot.storage.rollouts import rollouts

FREEZE_TOLD = "freeze_told"  # the kind of the message to the channel of rollouts
MOST_REASON = 1000  # characters of why something is frozen


class RolloutFreezes:
    """``told`` is the channel that hears of freezes."""

    def __init__(self, context: Context, *, told: str | None) -> None:
        self._database = context.database
        self._now = context.now
        self._told = told

    async def check(self, actor: Actor, firmware_version: str, reason: str) -> tuple[RolloutId, ...]:
        """The rollouts that a freeze would hold now. Raises what ``freeze`` does, but asks for no reason."""
        require_everywhere(actor, Action.FREEZE)
        _check_length(reason)
        asked = Freeze(firmware_version, actor.user_id, actor.name, "", self._now())
        async with self._database.read() as connection:
            standing = await store.list_freezes(connection)
            there = next((one for one in standing if one.firmware_version == firmware_version), None)
            if there is not None:
                raise _frozen_already(there)
            return await store.list_held(connection, asked)

    async def freeze(
        self, actor: Actor, firmware_version: str, reason: str, channel: str | None = None
    ) -> FreezeEffect:
        """Holds every start, or those of one firmware; what has started is still judged.

        Raises NotAllowed, Stale when it is frozen already, and InvalidInput without a reason.
        """
        require_everywhere(actor, Action.FREEZE)
        why, now = reason.strip(), self._now()
        if not why:
            raise InvalidInput("Please say why: everybody whose update waits reads it.")
        _check_length(why)
        freeze = Freeze(firmware_version, actor.user_id, actor.name, why, now)
        async with self._database.write() as connection:
            await store.lock_all(connection)
            if not await store.add_freeze(connection, freeze):
                standing = await store.freeze_of(connection, firmware_version)
                raise _frozen_already(standing or freeze)
            effect = await record_freeze(connection, freeze, actor, now)
            await audit.record(connection, _entry(actor, AuditAction.FREEZE, freeze, now, channel))
            if self._told:
                await tell_of_freeze(connection, self._told, effect, actor, now)
        return effect

    async def unfreeze(
        self, actor: Actor, firmware_version: str, channel: str | None = None, *, drawn: str | None = None
    ) -> FreezeEffect:
        """Raises NotAllowed, and InvalidInput when it is not frozen.

        ``drawn`` is the reason that a button was drawn with. Raises Stale when it is frozen for another now.
        """
        require_everywhere(actor, Action.FREEZE)
        now = self._now()
        async with self._database.write() as connection:
            await store.lock_all(connection)
            lifted = await store.remove_freeze(connection, firmware_version)
            if lifted is None:
                standing = await store.list_freezes(connection)
                there = "; ".join(freeze.says() for freeze in standing) or "nothing is frozen"
                what = f"Firmware {firmware_version}" if firmware_version else "Everything"
                raise InvalidInput(f"{what} is not frozen. Now: {there}.")
            if drawn not in {None, lifted.reason}:
                raise Stale(f"It was frozen anew since: {lifted.says()}.")
            effect = await record_freeze(connection, lifted, actor, now, ended=True)
            ended = Freeze(firmware_version, actor.user_id, actor.name, "", now)
            await audit.record(connection, _entry(actor, AuditAction.UNFREEZE, ended, now, channel))
            if self._told:
                await tell_of_freeze(connection, self._told, effect, actor, now, ended=True)
        return effect

    async def standing(self) -> tuple[Freeze, ...]:
        async with self._database.read() as connection:
            return await store.list_freezes(connection)


async def record_freeze(
    connection: Transaction, freeze: Freeze, by: Actor | None, now: datetime, *, ended: bool = False
) -> FreezeEffect:
    """Adds it to the timeline of every rollout that it holds, whose next tick looks at once.

    Whoever calls this has locked them all, before anything else: see ``lock_all``.
    """
    version = freeze.firmware_version
    event = Unfrozen(version) if ended else Frozen(version, freeze.reason)
    held, besides = await store.held_by(connection, freeze), {}
    for rollout in held:
        if not ended and rollout.through_freeze is not None:
            await rollouts.save(connection, rollout, hold_anew(rollout), now)
        await record_event(connection, rollout, event, now, by)
        other = await store.freeze_of(connection, rollout.firmware_version) if ended else None
        if other is not None and is_held(rollout, other):
            besides[rollout.id] = other.says()
    await store.wake_all(connection, now)
    return FreezeEffect(freeze, tuple(rollout.id for rollout in held), besides)


async def tell_of_freeze(
    connection: Transaction,
    channel: str,
    effect: FreezeEffect,
    by: Actor,
    now: datetime,
    *,
    ended: bool = False,
) -> None:
    """Says in the channel of rollouts what was frozen, or is no more, and which rollouts that holds."""
    freeze = effect.freeze
    body = {
        "ended": ended,
        "by": by.user_id,
        "version": freeze.firmware_version,
        "reason": freeze.reason,
        "rollouts": list(effect.rollouts),
        "still_held": {str(number): why for number, why in effect.still_held.items()},
    }
    key = f"freeze/{freeze.firmware_version}/{now.isoformat()}/{'ended' if ended else 'begun'}"
    await cards.add_message(connection, channel, key, FREEZE_TOLD, body, now)


def _check_length(reason: str) -> None:
    if len(reason) > MOST_REASON:
        raise InvalidInput(f"A reason takes {MOST_REASON:,} characters, and this one has {len(reason):,}.")


def _frozen_already(standing: Freeze) -> Stale:
    return Stale(f"It is frozen already: {standing.says()}.")


def _entry(
    actor: Actor, action: AuditAction, freeze: Freeze, now: datetime, channel: str | None
) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"firmware {freeze.firmware_version}" if freeze.firmware_version else "everything",
        channel=channel,
        reason=freeze.reason or None,
    )
