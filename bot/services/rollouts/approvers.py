"""Whether those who let a rollout go may still do so, asked when it is about to start."""

from collections.abc import Awaitable, Callable, Sequence

from bot.domain.access import Action, Actor, require
from bot.domain.errors import NotAllowed, RoleUnknown, Unavailable
from bot.domain.rollouts import rollout as decide
from bot.domain.rollouts.plan import RolloutRules
from bot.domain.rollouts.rollout import Rollout
from bot.services.context import Context
from bot.services.rollouts.events import Within
from bot.storage.rollouts import targets

Lost = Callable[[Rollout], Awaitable[Sequence[str]]]
"""The names of those whose word for a rollout counts no more. Raises Unavailable while that is not known."""


async def nobody(_rollout: Rollout) -> Sequence[str]:
    """Whoever approved may still approve."""
    return ()


class Approvers:
    """``ask`` tells who somebody is at this moment; ``within`` refuses who is limited to other gateways."""

    def __init__(
        self,
        context: Context,
        *,
        rules: RolloutRules,
        ask: Callable[[str], Awaitable[Actor]],
        within: Within,
    ) -> None:
        self._database = context.database
        self._rules = rules
        self._ask = ask
        self._within = within

    async def lost(self, rollout: Rollout) -> Sequence[str]:
        """Of those who approved; of a rollout that needs no approval, the requester. See ``Lost``."""
        async with self._database.read() as connection:
            found = await targets.list_targets(connection, rollout.id)
        ids = [one.gateway_id for one in found if one.wave]
        lost = []
        for user, name in _who(rollout):
            actor = await self._ask(user)
            action = (
                decide.approval_is(rollout, actor, self._rules)
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
