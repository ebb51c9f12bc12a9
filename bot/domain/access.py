"""Who may do what. Roles build on each other; every refusal names the missing role and who has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from bot.domain.errors import NotAllowed, Unavailable


class Role(IntEnum):
    """Each role may do all that the ones below it may."""

    NONE = 0  # guests, people of other organisations, and those Slack does not know
    VIEWER = 1
    OPERATOR = 2
    APPROVER = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        return {
            Role.NONE: "nobody",
            Role.VIEWER: "viewer",
            Role.OPERATOR: "operator",
            Role.APPROVER: "approver",
            Role.ADMIN: "admin",
        }[self]


class Action(StrEnum):
    """What a person can do; the value reads after "to" in a sentence."""

    READ = "look at the fleet"
    RENAME = "rename a gateway"
    TAG = "change tags"
    UNDO = "undo a change"
    REQUEST = "request a firmware rollout"
    APPROVE = "approve a firmware rollout"
    DENY = "deny a firmware rollout"
    CANCEL = "withdraw a firmware rollout"
    STEER = "steer a firmware rollout"
    FREEZE = "freeze or unfreeze firmware"
    ACKNOWLEDGE = "acknowledge an incident"


_NEEDS: Mapping[Action, Role] = {
    Action.READ: Role.VIEWER,
    Action.RENAME: Role.OPERATOR,
    Action.TAG: Role.OPERATOR,
    Action.UNDO: Role.OPERATOR,
    Action.REQUEST: Role.OPERATOR,
    Action.APPROVE: Role.APPROVER,
    Action.DENY: Role.APPROVER,
    Action.CANCEL: Role.OPERATOR,
    Action.STEER: Role.OPERATOR,
    Action.FREEZE: Role.ADMIN,
    Action.ACKNOWLEDGE: Role.OPERATOR,
}


def role_needed(action: Action) -> Role:
    return _NEEDS[action]


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody in Slack, with the role that was found for them.

    ``certain`` is False while Slack could not be asked for longer than a stale answer is trusted: such an
    actor reads, and writes nothing. ``holders`` tells for each role who has it, as text for a refusal.
    """

    user_id: str
    name: str
    role: Role
    certain: bool = True
    holders: Mapping[Role, str] = field(default_factory=dict)

    def may(self, action: Action) -> bool:
        return self.role >= role_needed(action)


def require(actor: Actor, action: Action) -> None:
    """Raises NotAllowed when the role is missing, Unavailable when it cannot be checked now."""
    needed = role_needed(action)
    # Somebody whose groups are not known may well have the role: that is no refusal.
    if actor.role < needed and (actor.certain or actor.role is Role.NONE):
        raise NotAllowed(_refusal(actor, action, needed))
    if needed > Role.VIEWER and not actor.certain:
        raise Unavailable(
            f"I cannot check right now whether you may {action}, since Slack does not tell me your groups. "
            "Nothing was changed; please try again in a few minutes."
        )


def _refusal(actor: Actor, action: Action, needed: Role) -> str:
    if actor.role is Role.NONE:
        return (
            f"Guests and people from other organisations cannot {action} here. "
            "Ask a member of this workspace to do it for you."
        )
    holders = actor.holders.get(needed, "")
    who = (
        f"Ask one of them: {holders}."
        if holders
        else "Nobody has that role yet; whoever runs the bot gives it with "
        f"MESHBOT_ACCESS__{needed.word.upper()}S."
    )
    return f"To {action} you need to be {_article(needed)}, and you are {_article(actor.role)}. {who}"


def _article(role: Role) -> str:
    return f"{'an' if role.word[0] in 'aeiou' else 'a'} {role.word}"
