"""Who may do what. Roles build on each other; every refusal names the missing role and who has it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from bot.domain.errors import BotError, NotAllowed, RoleUnknown
from bot.domain.gateways import KnownGateway
from bot.domain.query import Query

_NAMED = 3  # gateways that a refusal names
NOT_NOW = "Slack does not tell me your groups. Nothing was changed; please try again in a few minutes."


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
    STEER = "pause or abort a firmware rollout"
    RESUME = "resume or promote a firmware rollout"
    OVERRIDE = "override a rule for a firmware rollout"
    FREEZE = "freeze or unfreeze firmware"
    ACKNOWLEDGE = "acknowledge an alert"
    SILENCE = "silence alerts"
    MAINTAIN = "plan maintenance"
    DESCRIBE = "edit the entry of a site"
    POLICY = "say which firmware is wanted or bad"
    SUBSCRIBE = "subscribe a channel"
    DIVERT = "keep cards out of the default channel"


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
    Action.RESUME: Role.OPERATOR,
    Action.OVERRIDE: Role.ADMIN,
    Action.FREEZE: Role.ADMIN,
    Action.ACKNOWLEDGE: Role.OPERATOR,
    Action.SILENCE: Role.OPERATOR,
    Action.MAINTAIN: Role.OPERATOR,
    Action.DESCRIBE: Role.OPERATOR,
    Action.POLICY: Role.OPERATOR,
    Action.SUBSCRIBE: Role.OPERATOR,
    Action.DIVERT: Role.ADMIN,
}


# What lets a firmware go on, or forbids it for all: who does it must have the role at this moment.
_ASKED_ANEW = frozenset({Action.APPROVE, Action.DENY, Action.OVERRIDE, Action.RESUME, Action.FREEZE})


def is_asked_anew(action: Action) -> bool:
    """Whether an answer of some minutes ago does not do while Slack gives a new one."""
    return action in _ASKED_ANEW


def role_needed(action: Action) -> Role:
    return _NEEDS[action]


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that one id gives, and the gateways among which it does; no ``limit``: the whole fleet."""

    role: Role
    limit: Query | None = None


Limits = Mapping[Role, tuple[Query, ...]]


def limits_of(grants: Sequence[Grant]) -> Limits:
    """For each role the queries of the ids that give it; a role that one of them gives everywhere is absent.

    An id counts for the role it gives and those below: who approves in the laboratory by one id, and operates
    the whole fleet by another, approves in the laboratory only.
    """
    found: dict[Role, tuple[Query, ...]] = {}
    for role in (Role.OPERATOR, Role.APPROVER, Role.ADMIN):
        queries = [grant.limit for grant in grants if grant.role >= role]
        limited = [query for query in queries if query is not None]
        if queries and len(limited) == len(queries):
            found[role] = tuple(dict.fromkeys(limited))
    return found


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody in Slack, with the role that was found for them.

    ``possible`` is the highest role they may have besides, by what Slack does not tell right now, and
    ``doubt`` says what that is. ``holders`` tells for each role who has it, as text for a refusal.
    ``limits``: what needs one of these roles they do only to gateways of one of its queries.
    """

    user_id: str
    name: str
    role: Role
    possible: Role = Role.NONE
    holders: Mapping[Role, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    doubt: str = NOT_NOW

    def limits_for(self, action: Action) -> tuple[Query, ...]:
        """They do it only to gateways of one of these queries; none: to all."""
        return self.limits.get(role_needed(action), ())

    def may(self, action: Action) -> bool:
        return self.role >= role_needed(action)


def require(actor: Actor, action: Action) -> None:
    """Raises NotAllowed when the role is missing, RoleUnknown when it cannot be checked now."""
    needed = role_needed(action)
    if actor.role < needed:
        raise refused(actor, action, refusal(actor, action, needed))


def require_within(actor: Actor, action: Action, gateways: Iterable[KnownGateway], now: datetime) -> None:
    """Raises NotAllowed when some gateway is outside of what the actor is limited to.

    RoleUnknown, when another id of theirs might give the role there.
    """
    if not (limits := actor.limits_for(action)):
        return
    outside = [one for one in gateways if not any(limit.matches(one, now) for limit in limits)]
    if not outside:
        return
    names = ", ".join(one.gateway.label for one in outside[:_NAMED])
    more = f" and {len(outside) - _NAMED:,} more" if len(outside) > _NAMED else ""
    raise refused(
        actor,
        action,
        f"You may {action} only among the gateways of {_either(limits)}, and this touches others: "
        f"{names}{more}. Narrow the query, or ask {_article(role_needed(action))} of those gateways.",
    )


def require_some(actor: Actor, action: Action, covered: Sequence[str], *, title: str, by: str) -> None:
    """Raises NotAllowed when it covers nothing, somebody else made it, and the actor is limited."""
    if not covered and by != actor.user_id and actor.limits_for(action):
        raise NotAllowed(
            f"{title} covers no gateway now, so I cannot tell that it is among yours. "
            "Ask whoever made it, or an operator of the whole fleet."
        )


def require_everywhere(actor: Actor, action: Action) -> None:
    """Raises NotAllowed without the role, or with it for a part of the fleet only: it touches all of it.

    RoleUnknown, when another id of theirs might give the role everywhere.
    """
    require(actor, action)
    if not (limits := actor.limits_for(action)):
        return
    raise refused(
        actor,
        action,
        f"You may {action} only among the gateways of {_either(limits)}, and this touches the whole fleet. "
        f"Ask {_article(role_needed(action))} who is not limited to a part of it.",
    )


def _either(limits: Sequence[Query]) -> str:
    return " or ".join(f"“{limit.text}”" for limit in limits)


def refused(actor: Actor, action: Action, said: str) -> BotError:
    """NotAllowed with what is ``said``; RoleUnknown where another id of theirs may well give the role."""
    if actor.possible >= role_needed(action):
        return RoleUnknown(f"I cannot check right now whether you may {action}, since {actor.doubt}")
    return NotAllowed(said)


def refusal(actor: Actor, action: str, needed: Role) -> str:
    """Why somebody may not do it, and whom they can ask."""
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
