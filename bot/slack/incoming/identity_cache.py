"""Who somebody is and which roles they have: users.info and user groups, cached.

A role comes from the configured user and group ids. Guests, people of other organisations, bots and those
who left have none, whatever is configured. Nobody is enumerated: people and groups are asked for when they
matter. On Enterprise Grid somebody has an id of the organisation besides the workspace's: both are theirs.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from bot.domain.access import NOT_NOW, Actor, Grant, Role, limits_of
from bot.domain.audit import called_so
from bot.domain.query import Query
from bot.slack.outgoing.web_api import SlackFailed, WebApi

log = logging.getLogger(__name__)
T = TypeVar("T")

JUST_NOW = timedelta(seconds=5)
FRESH = timedelta(minutes=5)
TRUSTED = timedelta(minutes=15)  # older than this, a role lets somebody read and nothing more
_AFTER_FAILURE = timedelta(seconds=10)
_PATIENCE = 2.0  # seconds that somebody waits for Slack to tell who they are
_WHO = "Slack does not tell me who you are. Nothing was done; please try again in a minute."
_NAMED = 5  # holders of a role that a refusal names
NO_MEMBER = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")
_NO_USER = frozenset({"user_not_found", "user_not_visible"})
_NO_MEMBERS: frozenset[str] = frozenset()
_NO_GROUP = frozenset({"no_such_subteam", "subteam_not_found"})
# What asking again does not mend, and what does.
_LASTING: Mapping[str, str] = {
    "no_such_subteam": "there is no such user group: name another, or people",
    "subteam_not_found": "there is no such user group: name another, or people",
    "plan_upgrade_required": "user groups need a paid plan of Slack: name people by their own ids instead",
    "missing_scope": "the app lacks a scope: add usergroups:read and users:read, then reinstall it",
    "permission_denied": "the app may not read it: an owner of the workspace has to allow that",
}


# A mention, an id alone, or one behind a name.
_BY_ID = re.compile(r"(?:<[@!](?:subteam\^)?|@|.*\()?([SUW](?=[A-Z0-9]*\d)[A-Z0-9]{5,30})(?:\|[^>]*)?[)>]?")


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    is_member: bool
    names: tuple[str, ...] = ()  # the shown one, the real one, and the one people log in with
    ids: tuple[str, ...] = ()  # that of the organisation first, where there is one, then the workspace's


_NOBODY = _Person("somebody", False)


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    at: datetime
    forgotten: bool = False  # an event said that it changed


class _Cache(Generic[T]):
    """Values by id, each asked for once at a time, kept until something newer is known."""

    def __init__(
        self,
        ask: Callable[[str], Awaitable[T]],
        now: Callable[[], datetime],
        *,
        gone: Collection[str] = (),
        nothing: T | None = None,
    ) -> None:
        """``nothing`` is the value of what Slack answers with one of the codes of ``gone``."""
        self._ask = ask
        self._now = now
        self._gone = gone
        self._nothing = nothing
        self._entries: dict[str, _Entry[T]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, tuple[datetime, timedelta]] = {}  # when, and how long to leave it
        self.faults: dict[str, str] = {}  # codes that do not pass by themselves

    def age(self, key: str) -> timedelta:
        entry = self._entries.get(key)
        if entry is None or entry.forgotten or entry.at > self._now():  # a clock that was set back
            return timedelta.max
        return self._now() - entry.at

    def is_known(self, key: str) -> bool:
        """Whether there is a value, and nothing said that it changed since."""
        return key in self._entries and not self._entries[key].forgotten

    def value(self, key: str) -> T | None:
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def known(self) -> Sequence[str]:
        """Of what there is a value, whatever was said since."""
        return list(self._entries)

    def forget(self, key: str) -> None:
        self._failed.pop(key, None)
        if entry := self._entries.get(key):
            entry.forgotten = True

    def put(self, key: str, value: T) -> None:
        self._entries[key] = _Entry(value, self._now())

    def refresh(self, key: str) -> "asyncio.Task[None] | None":
        """Asks in the background, unless somebody does, or Slack has just refused. The task never raises."""
        task = self._asking.get(key)
        if task is None:
            if self._is_too_early(key):
                return None
            task = asyncio.get_running_loop().create_task(self._renew(key))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    def _is_too_early(self, key: str) -> bool:
        """Whether Slack has just refused; of a clock that was set back since, nothing is waited for."""
        if (failed := self._failed.get(key)) is None:
            return False
        at, wait = failed
        return timedelta() <= self._now() - at < wait

    async def close(self) -> None:
        for task in (tasks := list(self._asking.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _renew(self, key: str) -> None:
        try:
            self.put(key, await self._ask(key))
        except SlackFailed as error:
            self._fail(key, error)
        else:
            self.faults.pop(key, None)

    def _fail(self, key: str, error: SlackFailed) -> None:
        """What does not pass by itself is kept for people to see, and logged once."""
        if error.code in self._gone and self._nothing is not None:
            self.put(key, self._nothing)
        if error.code in _LASTING:
            if self.faults.get(key) != error.code:
                log.error("Slack does not tell about %s (%s): %s", key, error.code, _LASTING[error.code])
            self.faults[key] = error.code
            self._failed[key] = self._now(), FRESH
        elif error.code not in self._gone:
            log.warning("Slack does not tell about %s: %s", key, error.code)
            wait = timedelta(seconds=error.retry_after) if error.retry_after else _AFTER_FAILURE
            self._failed[key] = self._now(), wait


class People:
    """Tells who somebody is. ``team_id`` is the workspace's own, known once Slack was asked for it."""

    def __init__(
        self,
        api: WebApi,
        *,
        operators: Sequence[str] = (),
        approvers: Sequence[str] = (),
        admins: Sequence[str] = (),
        scopes: Mapping[str, Query] | None = None,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._configured: Mapping[Role, Sequence[str]] = {
            Role.OPERATOR: tuple(operators),
            Role.APPROVER: tuple(approvers),
            Role.ADMIN: tuple(admins),
        }
        self._scopes = dict(scopes or {})
        self._groups_wanted = tuple(
            dict.fromkeys(one for ids in self._configured.values() for one in ids if one.startswith("S"))
        )
        self._users = _Cache(self._ask_user, now, gone=_NO_USER, nothing=_NOBODY)
        self._groups = _Cache(self._ask_group, now, gone=_NO_GROUP, nothing=_NO_MEMBERS)
        self._handles = _Cache(self._ask_handles, now)
        self.team_id: str | None = None

    async def actor(self, user_id: str) -> Actor:
        """Who they are, from the cache where that is young enough, else from Slack, which gets 2 s for it."""
        return await self._actor(user_id, TRUSTED)

    async def actor_now(self, user_id: str) -> Actor:
        """Who they are at this moment: no older answer counts while Slack gives a new one."""
        return await self._actor(user_id, JUST_NOW)

    async def _actor(self, user_id: str, limit: timedelta) -> Actor:
        asked = [*self._refresh(user_id, limit), *self._unnamed(user_id)]
        if asked:
            await asyncio.wait(asked, timeout=_PATIENCE)
        self._refresh(user_id, FRESH)  # what is older is asked for in the background
        return self._build(user_id)

    async def deciders(self, ids: Sequence[str]) -> Sequence[Actor]:
        """Each as somebody to be called: a person as they are now, a group as the role that it gives."""
        return await asyncio.gather(*map(self._decider, ids))

    async def _decider(self, one: str) -> Actor:
        if not one.startswith("S"):
            return await self.actor(one)
        return Actor(one, self._shown(one), self._highest([one]), limits=limits_of(self._grants_of(one)))

    def _grants_of(self, group_id: str) -> list[Grant]:
        limit = self._scopes.get(group_id)
        return [Grant(role, limit) for role, ids in self._configured.items() if group_id in ids]

    async def names(self, user_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """How each is called, the shown name first; whom Slack does not tell about is left out."""
        unknown = (user_id for user_id in user_ids if not self._users.is_known(user_id))
        asked = [task for user_id in unknown if (task := self._users.refresh(user_id)) is not None]
        if asked:
            await asyncio.wait(asked, timeout=_PATIENCE)
        found = {user_id: self._users.value(user_id) for user_id in user_ids}
        return {user_id: person.names for user_id, person in found.items() if person and person.names}

    def known(self) -> Sequence[str]:
        """The ids of those who have a role, and of those whom Slack told about, as far as is known."""
        named = [one for ids in self._configured.values() for one in ids if not one.startswith("S")]
        members = [one for group in self._groups_wanted for one in self._groups.value(group) or ()]
        return list(dict.fromkeys([*named, *members, *self._users.known()]))

    def cached_actor(self, user_id: str) -> Actor | None:
        """Who they are, if that is known without asking; for decisions that Slack waits for."""
        self._refresh(user_id, FRESH)
        actor = self._build(user_id)
        return None if actor.possible > actor.role else actor

    def handles(self, ids: Sequence[str]) -> list[str]:
        """How groups and people are called, for texts that ring at nobody.

        Nothing waits for Slack: what is not known is asked for in the background, and is its id until then;
        so is what was renamed, and its old name serves meanwhile.
        """
        for one in ids:
            known: _Cache[str] | _Cache[_Person] = self._users
            if one.startswith("S"):
                known = self._handles
            if not known.is_known(one):
                known.refresh(one)
        return [self._shown(one) for one in ids]

    async def contacts(self, texts: Collection[str]) -> Mapping[str, str]:
        """User groups and people that somebody typed, each as ``@oslo-field (S0OSLO0001)``.

        What names none, or several, is left out. Raises SlackFailed.
        """
        answer = await self._api.call("usergroups.list")
        groups = {str(one["id"]): str(one.get("handle") or one.get("name")) for one in answer["usergroups"]}
        by_id = {text: match[1] for text in texts if (match := _BY_ID.fullmatch(text.strip()))}
        people = await self.names([*(one for one in by_id.values() if one[0] != "S"), *self.known()])
        called = {**{one: (handle,) for one, handle in groups.items()}, **people}
        found: dict[str, str] = {}
        for text in texts:
            words = text.split()
            ids, length = called_so(words, called) if text not in by_id else ([by_id[text]], len(words))
            if len(ids) == 1 and length == len(words) and ids[0] in called:
                found[text] = f"{'@' if ids[0] in groups else ''}{called[ids[0]][0]} ({ids[0]})"
        return found

    async def admins(self) -> Sequence[str] | None:
        """Everybody who is an admin; None while Slack does not tell who is in their groups."""
        named = self._configured[Role.ADMIN]
        groups = [one for one in named if one.startswith("S")]
        asked = [self._groups.refresh(one) for one in groups if self._groups.age(one) > TRUSTED]
        if waited := [task for task in asked if task is not None]:
            await asyncio.wait(waited, timeout=_PATIENCE)
        members = {
            one: frozenset() if one in self._groups.faults else self._groups.value(one) for one in groups
        }
        if None in members.values():
            return None
        people = [sorted(members[one] or ()) if one in members else [one] for one in named]
        return list(dict.fromkeys(each for some in people for each in some))

    def faults(self) -> Sequence[str]:
        """What keeps somebody from their role until whoever runs the bot mends it, each as a sentence."""
        kept = {**self._users.faults, **self._groups.faults}
        return [f"{one} ({code}): {_LASTING[code]}" for one, code in kept.items()]

    def forget(self, one: str) -> None:
        """Slack said that something changed about a person, or a user group, or who is in it."""
        for cache in (self._users, self._groups, self._handles):
            cache.forget(one)
        for user_id in self._users.known():
            if one in self._ids(user_id):
                self._users.forget(user_id)

    def same_person(self, user_id: str) -> Sequence[str]:
        """The id that everything of theirs is written down with, then the others they have on a Grid."""
        return self._ids(user_id)

    def has_role(self, user_id: str) -> bool:
        """Whether they have more than everybody has, as far as that is known here."""
        return bool(self._grants(user_id))

    async def close(self) -> None:
        for cache in (self._users, self._groups, self._handles):
            await cache.close()

    def _refresh(self, user_id: str, limit: timedelta) -> "list[asyncio.Task[None]]":
        """Asks for what is older than the limit."""
        asked = [self._users.refresh(user_id)] if self._users.age(user_id) > limit else []
        asked += [self._groups.refresh(one) for one in self._groups_wanted if self._groups.age(one) > limit]
        return [task for task in asked if task is not None]

    def _unnamed(self, user_id: str) -> "list[asyncio.Task[None]]":
        """Asks for the names that a refusal of this person may need; an admin is refused nothing."""
        if user_id in self._configured[Role.ADMIN]:
            return []
        asked = []
        for one in self._holder_ids():
            cache: _Cache[Any] = self._handles if one.startswith("S") else self._users
            if not cache.is_known(one) and (task := cache.refresh(one)):
                asked.append(task)
        return asked

    def _build(self, user_id: str) -> Actor:
        """Reading rests on an old answer too; whom Slack has never described is nobody."""
        person = self._users.value(user_id)
        given = self._grants(user_id)
        role = max([Role.VIEWER, *(grant.role for grant in given)])
        unread = [one for one in self._groups_wanted if self._groups.age(one) > TRUSTED]
        possible = self._highest(unread)
        if person is None or self._users.age(user_id) > TRUSTED:
            role, possible = Role.NONE if person is None else Role.VIEWER, max(role, possible)
        if person is not None and not person.is_member:
            role = possible = Role.NONE
        return Actor(
            self._ids(user_id)[0],
            (person or _NOBODY).name,
            role,
            possible,
            holders=_Holders(self._holders),
            limits=limits_of(given),
            doubt=self._doubt(unread) if person else _WHO,
        )

    def _grants(self, user_id: str) -> list[Grant]:
        """What each of the configured ids that are theirs gives them, as far as that is known."""
        own = self._ids(user_id)
        return [
            Grant(role, self._limit(one, own))
            for role, ids in self._configured.items()
            for one in ids
            if self._is(one, own)
        ]

    def _ids(self, user_id: str) -> Sequence[str]:
        person = self._users.value(user_id)
        return (person and person.ids) or (user_id,)

    def _limit(self, one: str, own: Sequence[str]) -> Query | None:
        """That of an id; of a person it may stand behind another of theirs."""
        named = (one, *own) if one in own else (one,)
        return next((self._scopes[each] for each in named if each in self._scopes), None)

    def _highest(self, ids: Sequence[str]) -> Role:
        """The highest role that one of these ids gives."""
        return max([Role.NONE, *(role for role, named in self._configured.items() if set(ids) & set(named))])

    def _doubt(self, unread: Sequence[str]) -> str:
        lasting = [f"{one}: {self._groups.faults[one]}" for one in unread if one in self._groups.faults]
        if not lasting:
            return NOT_NOW
        return (
            f"Slack does not tell me who is in a user group ({', '.join(lasting)}). That does not pass by "
            "itself: /mesh status says what whoever runs the bot can do."
        )

    def _is(self, one: str, own: Sequence[str]) -> bool:
        """Whether an id is one of this person's, or names a group they are in."""
        if one in own or not frozenset(own).isdisjoint(self._ids(one)):
            return True
        return self._groups.age(one) <= TRUSTED and not frozenset(own).isdisjoint(
            self._groups.value(one) or frozenset()
        )

    def _holder_ids(self) -> list[str]:
        return [one for ids in self._configured.values() for one in ids[:_NAMED]]

    def _holders(self, role: Role) -> str:
        """Who has the role, or a higher one; names, never mentions, which would ring at people."""
        ids = dict.fromkeys(
            one for higher in Role if higher >= role for one in self._configured.get(higher, ())
        )
        names = [self._shown(one) for one in list(ids)[:_NAMED]]
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        return ", ".join(names) + more

    def _shown(self, one: str) -> str:
        if one.startswith("S"):
            return f"@{self._handles.value(one) or one}"
        person = self._users.value(one)
        return person.name if person else one

    async def _ask_user(self, user_id: str) -> _Person:
        user = (await self._api.call("users.info", user=user_id))["user"]
        profile = user.get("profile") or {}
        known = (
            profile.get("display_name"),
            user.get("real_name"),
            profile.get("real_name"),
            user.get("name"),
        )
        names = tuple(dict.fromkeys(str(name) for name in known if name))
        on_grid = (user.get("enterprise_user") or {}).get("id")
        ids = tuple(dict.fromkeys(str(one) for one in (on_grid, user.get("id"), user_id) if one))
        return _Person(names[0] if names else user_id, self._is_member(user), names, ids)

    def _is_member(self, user: Mapping[str, Any]) -> bool:
        if any(user.get(flag) for flag in NO_MEMBER):
            return False
        # On Enterprise Grid a member's own team is another workspace of the same organisation.
        teams = {user.get("team_id"), *((user.get("enterprise_user") or {}).get("teams") or ())}
        return self.team_id is None or self.team_id in teams

    async def _ask_group(self, group_id: str) -> frozenset[str]:
        answer = await self._api.call("usergroups.users.list", usergroup=group_id)
        return frozenset(map(str, answer.get("users") or ()))

    async def _ask_handles(self, group_id: str) -> str:
        answer = await self._api.call("usergroups.list")
        found = {
            str(group["id"]): str(group.get("handle") or group.get("name")) for group in answer["usergroups"]
        }
        for other in self._groups_wanted:
            self._handles.put(other, found.get(other, other))
        return found.get(group_id, group_id)


class _Holders(Mapping[Role, str]):
    """The texts of who has a role, made when a refusal asks for one."""

    def __init__(self, text: Callable[[Role], str]) -> None:
        self._text = text

    def __getitem__(self, role: Role) -> str:
        return self._text(role)

    def __iter__(self) -> Iterator[Role]:
        return iter(Role)

    def __len__(self) -> int:
        return len(Role)
