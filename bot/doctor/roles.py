"""Who may do what: each id that the settings name is somebody, each role has somebody, approvers suffice."""

import contextlib
from collections.abc import Iterator, Mapping

from bot.doctor.findings import Finding, Findings, note, ok, wrong
from bot.settings.definitions import Settings
from bot.slack.outgoing.web_api import SlackFailed, WebApi

APPROVERS = "MESHBOT_ACCESS__APPROVERS"
SELF_APPROVAL = "MESHBOT_ROLLOUTS__SELF_APPROVAL"
MISSING_SCOPE = "missing_scope"  # named once, with the scopes; what depends on it is no fault of its own
_GONE = {"user_not_found", "user_not_visible", "no_such_subteam", "subteam_not_found"}
_ROLES = ("operators", "approvers", "admins")


async def access(settings: Settings, api: WebApi, team: str) -> Findings:
    holders: dict[str, set[str]] = {}
    named: dict[str, str] = {}
    others: dict[str, str] = {}  # of people on Enterprise Grid: what else they are known as
    unchecked = False
    for role in _ROLES:
        variable = f"MESHBOT_ACCESS__{role.upper()}"
        holders[role] = set()
        for one in getattr(settings.access, role):
            try:
                if one.startswith("S"):
                    found = await _group(api, one)
                    named[one] = f"{await _handle(api, one)} ({len(found)})"
                else:
                    named[one], known_as = await _member(api, one, team)
                    found, others = {known_as}, others | {one: known_as}
            except _Unchecked:
                yield note(f"access {one}", f"{variable} can be checked once the scope is there")
                unchecked = True
            except _Unusable as error:
                yield wrong(f"access {one}", f"{variable}: {error}", variable)
            else:
                holders[role] |= found
    for one, _ in settings.access.scopes:
        if not any(one in getattr(settings.access, role) for role in _ROLES):
            text = f"MESHBOT_ACCESS__SCOPES limits {one}, which has no role. Name the id that has one."
            yield wrong(f"access {one}", text, "MESHBOT_ACCESS__SCOPES")
    for one in settings.rollouts.ask:
        if one not in {*settings.access.approvers, *settings.access.admins}:
            text = f"MESHBOT_ROLLOUTS__ASK calls {one}, which does not make anybody an approver."
            yield wrong(f"access {one}", text, "MESHBOT_ROLLOUTS__ASK")
    for group in settings.alerts.escalate_to:
        try:
            await _group(api, group)
        except _Unchecked:
            unchecked = True
        except _Unusable as error:
            escalate_to = "MESHBOT_ALERTS__ESCALATE_TO"
            yield wrong(f"access {group}", f"{escalate_to}: {error}", escalate_to)
    if unchecked:
        return
    holders = {role: {others.get(one, one) for one in ids} for role, ids in holders.items()}
    for line in _roles(settings, named):
        yield line
    if not any(holders.values()):
        yield note("operators", "nobody may change anything: name people in MESHBOT_ACCESS__OPERATORS")
    yield _approvers(settings, holders["approvers"] | holders["admins"])


def _roles(settings: Settings, named: Mapping[str, str]) -> Iterator[Finding]:
    """For each role who has it, by which id, and among which gateways; a higher role has the lower ones."""
    limits = dict(settings.access.scopes)
    for number, role in enumerate(_ROLES):
        rows = [
            f"{named[one]}{f' as {higher[:-1]}' if higher != role else ''}: "
            f"{f'only “{limits[one]}”' if one in limits else 'the whole fleet'}"
            for higher in _ROLES[number:]
            for one in getattr(settings.access, higher)
            if one in named
        ]
        if rows:
            yield ok(f"role {role[:-1]}", "; ".join(rows))


def _approvers(settings: Settings, may_approve: set[str]) -> Finding:
    rollouts = settings.rollouts
    if rollouts.approvals == 0:
        return note("approvers", "MESHBOT_ROLLOUTS__APPROVALS is 0: rollouts need nobody's approval")
    enough = rollouts.approvals + (0 if rollouts.self_approval else 1)
    if len(may_approve) < enough:
        return wrong(
            "approvers",
            f"{len(may_approve)} may approve a rollout, and {enough} are needed, since the one who asks does "
            "not approve. Name more people or a user group in MESHBOT_ACCESS__APPROVERS.",
            APPROVERS,
            *(() if rollouts.self_approval else (SELF_APPROVAL,)),
        )
    if rollouts.second_above is not None and len(may_approve) == enough:
        return note(
            "approvers",
            f"{len(may_approve)} may approve a rollout; a large one needs an approval more, which is one too "
            "few when one of them asks for it. Name another in MESHBOT_ACCESS__APPROVERS.",
        )
    return ok("approvers", f"{len(may_approve)} may approve a rollout")


class _Unchecked(Exception):
    """A scope is missing without which nobody can tell."""


class _Unusable(Exception):
    """An id that gives nobody a role; the text ends with what to do."""


async def _group(api: WebApi, group: str) -> set[str]:
    try:
        users = set(map(str, (await api.call("usergroups.users.list", usergroup=group)).get("users") or ()))
    except SlackFailed as error:
        if error.code in _GONE:
            raise _Unusable(
                f"there is no user group {group}. Copy its id from the menu of the group in Slack."
            ) from error
        if error.code == MISSING_SCOPE:
            raise _Unchecked from error
        if error.code == "plan_upgrade_required":
            raise _Unusable(
                f"user groups, such as {group}, need a paid plan of Slack ({error.code}). "
                "Name people by their own ids instead."
            ) from error
        raise _Unusable(f"the user group {group} cannot be read ({error.code}): {error}") from error
    if not users:
        raise _Unusable(f"the user group {group} is empty. Add people to it in Slack, or name another.")
    return users


async def _handle(api: WebApi, group: str) -> str:
    """How people call a user group; its id where Slack does not tell."""
    with contextlib.suppress(SlackFailed):
        for one in (await api.call("usergroups.list"))["usergroups"]:
            if one["id"] == group and one.get("handle"):
                return f"@{one['handle']}"
    return group


async def _member(api: WebApi, user: str, team: str) -> tuple[str, str]:
    """Their name, and the id that is theirs in the whole organisation. Raises for who has no role."""
    try:
        found = (await api.call("users.info", user=user))["user"]
    except SlackFailed as error:
        if error.code in _GONE:
            raise _Unusable(f"there is no {user}. Copy the member ID from the person's profile.") from error
        if error.code == MISSING_SCOPE:
            raise _Unchecked from error
        raise _Unusable(f"{user} cannot be looked up ({error.code}): {error}") from error
    if found.get("deleted"):
        raise _Unusable(f"{user} has left the workspace. Remove the id.")
    on_grid = found.get("enterprise_user") or {}
    teams = {found.get("team_id"), *(on_grid.get("teams") or ())}
    outside = found.get("is_stranger") or (team and team not in teams)
    if outside or found.get("is_restricted") or found.get("is_ultra_restricted") or found.get("is_bot"):
        raise _Unusable(
            f"{user} is a guest, a bot or of another organisation and has no role. Remove the id."
        )
    profile = found.get("profile") or {}
    name = str(profile.get("display_name") or found.get("real_name") or user)
    return name, str(on_grid.get("id") or found.get("id") or user)
