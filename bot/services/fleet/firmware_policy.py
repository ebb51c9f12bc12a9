"""The firmware policy: said, listed, ended; and how the fleet stands to it. Nothing is updated by itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.domain.access import Action, Actor, require, require_some
from bot.domain.audit import AuditAction, AuditEntry
from bot.domain.confirmations import check_confirmed
from bot.domain.errors import AlreadyDone, InvalidInput, Stale
from bot.domain.firmware import FirmwarePolicy, PolicyId, PolicyKind, is_same_firmware
from bot.domain.fleet import firmware_policy as decide
from bot.domain.fleet.firmware_policy import PolicyRequest, PolicyState, parse_policy
from bot.domain.query import EVERYTHING, Query, parse
from bot.services.context import Context, Within
from bot.storage import audit
from bot.storage import firmware_policy as store
from bot.storage.cards import cards
from bot.storage.db.engine import Transaction
from bot.storage.fleet import compliance, search

TOLD = "policy_told"  # the kind of the message that something is wanted, bad, or no more
NEW = timedelta(days=1)  # gateways that appeared so lately are told of as new


class PolicyService:
    """``understand`` reads what somebody typed; ``within`` refuses who is limited to a part of the fleet when
    a gateway is outside; ``frozen`` gives what says of a version why no update to it would start.
    ``channel`` is told of what is said and ended.
    """

    def __init__(
        self,
        context: Context,
        *,
        understand: Callable[[str], Awaitable[Query]],
        within: Within,
        frozen: Callable[[], Awaitable[Callable[[str], str | None]]],
        channel: str | None,
    ) -> None:
        self._database = context.database
        self._now = context.now
        self._understand = understand
        self._within = within
        self._frozen = frozen
        self._channel = channel

    # ---- people
    async def declare(
        self, actor: Actor, text: str, channel: str, seen: int | None = None, asked_once: str | None = None
    ) -> tuple[FirmwarePolicy, int]:
        """What is said now, and how many gateways it is about.

        ``seen``: somebody said yes when it was about so many, to the question ``asked_once``. Raises
        NotAllowed, InvalidInput, PolicyReasonMissing, Unconfirmed; AlreadyDone for a second yes.
        """
        require(actor, Action.POLICY)
        asked, now = parse_policy(text), self._now()
        if not isinstance(asked, PolicyRequest):
            raise InvalidInput(decide.USAGE)
        query = await self._understand(asked.query)
        await self._require_within(actor, query)
        query = decide.scope(query, actor)
        asked = replace(asked, query=query.text)
        covered, fleet = await self._count(query), await self._count(EVERYTHING)
        decide.check_reason(asked, covered, fleet)
        await self._check_frozen(asked)
        check_confirmed(covered, fleet, seen)
        said = FirmwarePolicy(
            PolicyId(0),
            asked.kind,
            asked.version,
            asked.query,
            actor.user_id,
            actor.name,
            now,
            asked.reason,
            asked.link,
        )
        async with self._database.write() as connection:
            await _check_clash(connection, asked, now)
            made = await store.add(connection, said, asked_once)
            if made is None:
                raise AlreadyDone("That is said already. /mesh policy lists it.")
            await self._record(connection, actor, AuditAction.POLICY, made, channel)
        return made, covered

    async def end(self, actor: Actor, number: PolicyId, channel: str) -> FirmwarePolicy:
        """Raises NotAllowed, NotFound."""
        await self._require_its(actor, number)
        async with self._database.write() as connection:
            ended = await store.end(connection, number, actor.user_id, self._now())
            if ended is None:
                raise decide.unknown(number)
            await self._record(connection, actor, AuditAction.END_POLICY, ended, channel)
        return ended

    async def undo(self, actor: Actor, number: PolicyId, channel: str) -> FirmwarePolicy:
        """Takes back that it was ended. Raises NotAllowed, NotFound, InvalidInput, Stale."""
        policy = await self._require_its(actor, number)
        asked = PolicyRequest(policy.kind, policy.version, policy.query)
        await self._check_frozen(asked)
        async with self._database.write() as connection:
            await _check_clash(connection, asked, self._now())
            again = await store.revive(connection, number)
            if again is None:
                raise Stale(f"{policy.title} holds again already.")
            await self._record(connection, actor, AuditAction.UNDO_POLICY, again, channel)
        return again

    async def _require_its(self, actor: Actor, number: PolicyId) -> FirmwarePolicy:
        require(actor, Action.POLICY)
        async with self._database.read() as connection:
            policy = await store.find(connection, number)
        if policy is None:
            raise decide.unknown(number)
        covered = await self._require_within(actor, parse(policy.query))
        require_some(actor, Action.POLICY, covered, title=policy.title, by=policy.by)
        return policy

    async def _require_within(self, actor: Actor, query: Query) -> Sequence[str]:
        """The ids of its gateways, which nobody needs of whoever is not limited."""
        if not actor.limits_for(Action.POLICY):
            return ()
        covered = await self._database.ask(partial(search.listed, query=query, now=self._now()))
        await self._within(actor, Action.POLICY, covered)
        return covered

    async def _count(self, query: Query) -> int:
        return (await self._database.ask(partial(search.counted, query=query, now=self._now()))).total

    async def _check_frozen(self, asked: PolicyRequest) -> None:
        why = (await self._frozen())(asked.version) if asked.kind is PolicyKind.WANTED else None
        if why is not None:
            raise InvalidInput(f"{asked.version} cannot be wanted: {why}.")

    async def _record(
        self, connection: Transaction, actor: Actor, action: AuditAction, policy: FirmwarePolicy, channel: str
    ) -> None:
        """In the audit log, and where people read of it."""
        now = self._now()
        await audit.record(connection, _entry(actor, action, policy, now, channel))
        if self._channel is not None:
            key = f"policy/{policy.id}/{action.value}/{now.isoformat()}"
            body = {**_body(policy), "what": action.value, "who": actor.user_id}
            await cards.add_message(connection, self._channel, key, TOLD, body, now)

    # ---- who asks
    async def standing(self) -> Sequence[FirmwarePolicy]:
        """What is wanted and known to be bad now, the newest first."""
        async with self._database.read() as connection:
            return await store.standing(connection)

    async def bad(self) -> Sequence[FirmwarePolicy]:
        """The versions that are known to be bad."""
        return [one for one in await self.standing() if one.kind is PolicyKind.BAD]

    async def bad_among(self, version: str, ids: Sequence[str]) -> FirmwarePolicy | None:
        """What says that this version is bad for one of these gateways."""
        for one in await self.bad():
            if is_same_firmware(one.version, version):
                async with self._database.read() as connection:
                    if await store.holds_among(connection, one, ids, self._now()):
                        return one
        return None

    async def states(self, query: Query = EVERYTHING) -> Sequence[PolicyState]:
        """How the gateways of a query stand to it: what is bad first."""
        standing, now = await self.standing(), self._now()
        if not standing:
            return ()
        found = await self._database.ask(
            partial(compliance.running, standing=standing, query=query, now=now, new_since=now - NEW)
        )
        return decide.compliance(standing, found, await self._frozen())


async def _check_clash(connection: Transaction, asked: PolicyRequest, now: datetime) -> None:
    """Raises InvalidInput where a version would be wanted and bad for a gateway, AlreadyDone for the same."""
    standing = await store.standing(connection)
    for one in standing:
        is_same = is_same_firmware(one.version, asked.version) and one.query == asked.query
        if is_same and one.kind is asked.kind:
            raise AlreadyDone(f"That is said already: {one.says()}.")
    for one in decide.may_clash(asked, standing):
        both = [parse(asked.query), parse(one.query)]
        if one.query == asked.query or await store.count_matching(connection, both, now):
            raise decide.clash(asked, one)


def _body(policy: FirmwarePolicy) -> Mapping[str, Any]:
    """What a message about it says."""
    return {
        "id": policy.id,
        "kind": policy.kind.value,
        "version": policy.version,
        "query": policy.query,
        "reason": policy.reason,
        "link": policy.link,
    }


def _entry(
    actor: Actor, action: AuditAction, policy: FirmwarePolicy, now: datetime, channel: str | None
) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor.user_id,
        action=action,
        subject=f"{policy.title}: {policy.version} {policy.kind.value} for {policy.query or 'all gateways'}",
        channel=channel,
        reason=policy.reason,
    )
