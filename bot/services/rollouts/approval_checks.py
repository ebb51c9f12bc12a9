"""Whether a rollout may start as it was approved: its approvers, its file and its gateways at that moment.

Slack and the portal are asked before the transaction of the start, the gateways are looked at inside it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.domain.access import Action, Actor, require
from bot.domain.errors import NotAllowed, RoleUnknown, Unavailable
from bot.domain.rollouts import approvals
from bot.domain.rollouts import lifecycle as decide
from bot.domain.rollouts.lifecycle import Rollout
from bot.domain.rollouts.plan import has_drifted
from bot.meshtech.errors import MeshtechError
from bot.services.context import Within
from bot.services.rollouts.vendor_jobs import FLEET_NOT_VISIBLE, RolloutContext
from bot.storage.db.engine import Transaction
from bot.storage.rollouts import targets
from bot.storage.rollouts.maintenance_window import maintenance_opening

FILE_NOT_TOLD = "Meshtech does not say right now which firmware files it has"


@dataclass(frozen=True, slots=True)
class StartFinding:
    """``void`` says why it is void, ``held`` why nobody can tell now: then it waits."""

    void: str | None = None
    held: str | None = None

    async def complete(self, connection: Transaction, rollout: Rollout) -> str | None:
        """Why it is void, also by its gateways as the newest listing has them."""
        if self.void or self.held:
            return self.void
        changed = await targets.count_drifted(connection, rollout)
        away = decide.count_away(await targets.count_targets(connection, rollout.id))
        drifted = has_drifted(rollout.planned - away, changed)
        return approvals.drift_words(rollout, changed) if drifted else None


class StartChecks:
    """``ask`` tells who somebody is at this moment; ``within`` refuses who is limited to other gateways.

    ``visibility_lost`` tells that the fleet cannot be seen.
    """

    def __init__(
        self,
        context: RolloutContext,
        *,
        ask: Callable[[str], Awaitable[Actor]],
        within: Within,
        visibility_lost: Callable[[], Awaitable[bool]],
    ) -> None:
        self._context = context
        self._ask = ask
        self._within = within
        self._visibility_lost = visibility_lost

    async def begin(self, rollout: Rollout) -> StartFinding:
        """Raises Unavailable while nobody knows whether those whose word it rests on may still give it."""
        if held := await self.not_visible():
            return StartFinding(held=held)
        if lost := await self._lost(rollout):
            return StartFinding(void=approvals.lost_words(rollout, lost))
        window = await self.in_maintenance(rollout)
        if window.void:
            return window
        try:
            found = await self._context.client.firmware(rollout.firmware.id)
        except MeshtechError:
            return StartFinding(held=FILE_NOT_TOLD)
        return StartFinding(rollout.firmware.change(found), window.held)

    async def in_maintenance(self, rollout: Rollout) -> StartFinding:
        """What the maintenance window says that it is bound to: it is closed, or over."""
        if rollout.maintenance is None:
            return StartFinding()
        async with self._context.database.read() as connection:
            opening = await maintenance_opening(connection, rollout.maintenance)
        if opening is None:
            return StartFinding(void=decide.window_over(rollout))
        return StartFinding(held=opening.blocker(self._context.now(), self._context.rules.zone))

    async def not_visible(self) -> str | None:
        """What to say while nobody can tell whether the fleet drifted; None while it can be seen."""
        return FLEET_NOT_VISIBLE if await self._visibility_lost() else None

    async def _lost(self, rollout: Rollout) -> list[str]:
        """Who may not any more: of those who approved, or of a rollout without approvals the requester."""
        async with self._context.database.read() as connection:
            found = await targets.list_targets(connection, rollout.id)
        ids = [one.gateway_id for one in found if decide.takes_part(one.wave, one.state)]
        lost = []
        for user, name in _who(rollout):
            actor = await self._ask(user)
            action = (
                approvals.approval_is(rollout, actor, self._context.rules)
                if rollout.approvals_needed
                else Action.REQUEST
            )
            try:
                require(actor, action)
                await self._within(actor, action, ids)
            except NotAllowed:
                lost.append(name)
            except RoleUnknown as error:
                raise Unavailable(
                    f"I cannot check right now whether {name} may still {action}, as Slack does not tell me. "
                    "Nothing was started; please try again in a minute."
                ) from error
        return lost


def _who(rollout: Rollout) -> list[tuple[str, str]]:
    if not rollout.approvals_needed:
        return [(rollout.requester, rollout.requester_name)]
    return [(approval.user_id, approval.name) for approval in rollout.approvals]
