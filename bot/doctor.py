"""Checks the set-up before, or instead of, a start: one line for each finding, each fault with its way out.

It asks what the bot itself would ask, and changes nothing: not in Slack, not at Meshtech, not in the
database. What the vendor's OpenAPI document says of our requests is compared in ``bot/meshtech/contract.py``.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from bot.domain.errors import BotError
from bot.meshtech.contract import Difference, compare, fetch, server_time
from bot.meshtech.errors import VendorUnavailable
from bot.meshtech.routes import RouteTable
from bot.network import Network
from bot.settings.model import Settings
from bot.slack.incoming.connection import ORG_WIDE
from bot.slack.manifest import BOT_SCOPES, OPTIONAL_SCOPES
from bot.slack.outgoing.web_api import APPS, SlackFailed, WebApi, refused_token
from bot.storage import subscriptions
from bot.storage.db.engine import Database
from bot.storage.db.schema import current, known, needed, require_changes, require_owner
from bot.wiring.ground import client_of, web_api_of

SKEW = timedelta(seconds=30)  # HTTP mode refuses requests at five minutes; alerts count minutes
_GONE = {"user_not_found", "user_not_visible", "no_such_subteam", "subteam_not_found"}
_SCOPE = "missing_scope"  # named once, with the scopes; what depends on it is no fault of its own
_ROLES = ("operators", "approvers", "admins")


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"  # works, and somebody may want to know
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``text`` holds the fix where something is wrong."""

    verdict: Verdict
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<6} {self.what}: {self.text}"


Findings = AsyncIterator[Finding]


async def run(
    settings: Settings,
    *,
    openapi: str | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    say: Callable[[str], None] = print,
) -> int:
    """Checks everything and says each finding; exit status 0 only if nothing is wrong."""
    wrong, network = 0, Network.of(os.environ)
    checks = [
        _settings(settings),
        _outside(settings, network, now),
        _database(settings),
    ]
    if openapi is not None:
        checks.append(_contract(settings, network, openapi, say))
    for check in checks:
        async for finding in check:
            wrong += finding.verdict is Verdict.WRONG
            say(str(finding))
    say("Everything holds." if not wrong else f"{wrong} to mend.")
    return 1 if wrong else 0


def _ok(what: str, text: str) -> Finding:
    return Finding(Verdict.OK, what, text)


def _note(what: str, text: str) -> Finding:
    return Finding(Verdict.NOTE, what, text)


def _wrong(what: str, text: str) -> Finding:
    return Finding(Verdict.WRONG, what, text)


# ---- settings
async def _settings(settings: Settings) -> Findings:
    described = settings.describe()
    changed = sum(one.value not in {one.default, ""} for one in described)
    yield _ok("settings", f"{len(described)} are understood, {changed} of them are not the default")
    if settings.channels.alerts is None:
        yield _wrong(
            "default channels",
            "an alert that no subscription matches is shown nowhere but in the command “alerts”. "
            "Set MESHBOT_CHANNELS__ALERTS to a channel's id.",
        )
    if settings.channels.rollouts is None:
        yield _note(
            "default channels",
            "MESHBOT_CHANNELS__ROLLOUTS is not set: a rollout's card goes to the channel of its request",
        )


# ---- the network
async def _outside(settings: Settings, network: Network, now: Callable[[], datetime]) -> Findings:
    try:
        for finding in _network(settings, network):
            yield finding
    except BotError as error:
        yield _wrong("network", str(error))
        return
    async for finding in _slack(settings, network, now):
        yield finding
    async for finding in _meshtech(settings, network, now):
        yield finding


def _network(settings: Settings, network: Network) -> Iterator[Finding]:
    """Which way each of the outside worlds is asked, and who vouches for them. Raises StartupError."""
    network.trust()
    ways: dict[str, list[str]] = {}
    for url in (settings.slack.api_url, settings.meshtech.auth_url, settings.meshtech.api_url):
        ways.setdefault(network.way_to(url), []).append(urlsplit(url).netloc)
    for way, hosts in ways.items():
        named = f" ({network.named})" if way != "directly" else " (NO_PROXY)" if network.proxy else ""
        yield _ok("network", f"{' and '.join(dict.fromkeys(hosts))} {way}{named}")
    for folder in network.unread():
        yield _note(
            "certificates",
            f"nothing in {folder} is read, since OpenSSL looks for files named by a hash. Run "
            f"`openssl rehash {folder}`, or name a file of authorities in SSL_CERT_FILE",
        )
    if trusted := network.trusted():
        yield _ok("certificates", f"the authorities in {' and '.join(trusted)} are trusted")
    else:
        yield _note(
            "certificates",
            "this machine has no authorities, so no https:// address is trusted. Install the package "
            "ca-certificates, or name a file of them in SSL_CERT_FILE",
        )


# ---- Slack
async def _slack(settings: Settings, network: Network, now: Callable[[], datetime]) -> Findings:
    api = web_api_of(settings, network)
    try:
        try:
            who = await api.call("auth.test")
        except SlackFailed as error:
            yield _wrong("Slack token", _token_refused(error, "MESHBOT_SLACK__BOT_TOKEN"))
            return
        if who.get("is_enterprise_install"):
            yield _wrong("Slack token", ORG_WIDE)
            return
        yield _ok("Slack token", f"{who.get('user')} in the workspace {who.get('team')}")
        yield _scopes(api)
        if api.server_time is not None:
            yield _clock("Slack", api.server_time, now())
        yield await _way_in(settings, api)
        for name in ("alerts", "rollouts"):
            if channel := getattr(settings.channels, name):
                variable = f"MESHBOT_CHANNELS__{name.upper()}"
                yield await _channel(api, channel, variable, f"set {variable} to another channel")
        for channel, numbers in (await _subscribed(settings)).items():
            named = f"subscription {', '.join(map(str, numbers))}"
            yield await _channel(api, channel, named, f"end it with “unsubscribe {numbers[0]}”")
        async for finding in _access(settings, api, str(who.get("team_id") or "")):
            yield finding
    finally:
        await api.session.close()


def _token_refused(error: SlackFailed, variable: str) -> str:
    if error.code in {"unreachable", "no_answer"} or "HTTP" in error.detail:
        return (
            f"Slack does not answer: {error.detail}. Check that this machine reaches https://slack.com, and "
            "MESHBOT_SLACK__API_URL if it is set."
        )
    return str(refused_token(error, variable))


def _scopes(api: WebApi) -> Finding:
    if missing := sorted(set(BOT_SCOPES) - api.scopes):
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        return _wrong(
            "Slack scopes",
            f"{', '.join(missing)} {are} missing. Add {them} at {APPS} under OAuth & Permissions, or paste "
            "the output of `meshbot manifest` under App Manifest; then reinstall the app.",
        )
    if missing := sorted(set(OPTIONAL_SCOPES) - api.scopes):
        return _note(
            "Slack scopes", f"all needed ones are granted; optional and not granted: {', '.join(missing)}"
        )
    return _ok("Slack scopes", "all that the manifest asks for are granted")


async def _way_in(settings: Settings, api: WebApi) -> Finding:
    token = settings.slack.app_token
    if token is None:
        where = f"{settings.http.host}:{settings.http.port}"
        return _note("Slack way in", f"HTTP: Slack's requests must reach POST /slack/events on {where}")
    try:
        await api.call("apps.connections.open", token=token.get_secret_value())
    except SlackFailed as error:
        if error.code == _SCOPE:
            return _wrong(
                "Slack way in",
                "the token in MESHBOT_SLACK__APP_TOKEN lacks the scope connections:write. Generate another "
                f"with it at {APPS} under Basic Information, App-Level Tokens.",
            )
        return _wrong("Slack way in", _token_refused(error, "MESHBOT_SLACK__APP_TOKEN"))
    return _ok("Slack way in", "Socket Mode is open to us")


async def _subscribed(settings: Settings) -> dict[str, list[int]]:
    """The subscriptions of each channel; none where the database cannot be asked, which is told below."""
    url = settings.database_url.get_secret_value()
    found: dict[str, list[int]] = {}
    with contextlib.suppress(BotError):
        if _file_to_be(url) is None:
            database = Database.open(url)
            try:
                if await current(database) == needed():
                    async with database.read() as connection:
                        for one in await subscriptions.everyone(connection, first=""):
                            found.setdefault(one.channel, []).append(one.id)
            finally:
                await database.close()
    return found


async def _channel(api: WebApi, channel: str, named: str, instead: str) -> Finding:
    what = f"channel {channel}"
    try:
        found = (await api.call("conversations.info", channel=channel))["channel"]
    except SlackFailed as error:
        if error.code == "channel_not_found":
            return _wrong(
                what,
                f"{named} names a channel that does not exist, or is private and without the bot. Say "
                f"/invite @Meshbot there, or {instead}; an id stands at the end of the channel's details.",
            )
        if error.code == _SCOPE:
            return _note(what, f"{named} can be checked once the scope is there")
        return _wrong(what, f"{named} cannot be checked: {error}")
    if found.get("is_archived"):
        return _wrong(what, f"#{found['name']} is archived ({named}). Unarchive it, or {instead}.")
    if not found.get("is_member"):
        return _wrong(what, f"the bot is not in #{found['name']} ({named}). Say /invite @Meshbot there.")
    return _ok(what, f"#{found['name']} exists, and the bot is in it")


# ---- people
async def _access(settings: Settings, api: WebApi, team: str) -> Findings:
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
                yield _note(f"access {one}", f"{variable} can be checked once the scope is there")
                unchecked = True
            except _Unusable as error:
                yield _wrong(f"access {one}", f"{variable}: {error}")
            else:
                holders[role] |= found
    for one, _ in settings.access.scopes:
        if not any(one in getattr(settings.access, role) for role in _ROLES):
            text = f"MESHBOT_ACCESS__SCOPES limits {one}, which has no role. Name the id that has one."
            yield _wrong(f"access {one}", text)
    for group in settings.alerts.escalate_to:
        try:
            await _group(api, group)
        except _Unchecked:
            unchecked = True
        except _Unusable as error:
            yield _wrong(f"access {group}", f"MESHBOT_ALERTS__ESCALATE_TO: {error}")
    if unchecked:
        return
    holders = {role: {others.get(one, one) for one in ids} for role, ids in holders.items()}
    for line in _roles(settings, named):
        yield line
    if not any(holders.values()):
        yield _note("operators", "nobody may change anything: name people in MESHBOT_ACCESS__OPERATORS")
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
            yield _ok(f"role {role[:-1]}", "; ".join(rows))


def _approvers(settings: Settings, may_approve: set[str]) -> Finding:
    rollouts = settings.rollouts
    if rollouts.approvals == 0:
        return _note("approvers", "MESHBOT_ROLLOUTS__APPROVALS is 0: rollouts need nobody's approval")
    enough = rollouts.approvals + (0 if rollouts.self_approval else 1)
    if len(may_approve) < enough:
        return _wrong(
            "approvers",
            f"{len(may_approve)} may approve a rollout, and {enough} are needed, since the one who asks does "
            "not approve. Name more people or a user group in MESHBOT_ACCESS__APPROVERS.",
        )
    if rollouts.second_above is not None and len(may_approve) == enough:
        return _note(
            "approvers",
            f"{len(may_approve)} may approve a rollout; a large one needs an approval more, which is one too "
            "few when one of them asks for it. Name another in MESHBOT_ACCESS__APPROVERS.",
        )
    return _ok("approvers", f"{len(may_approve)} may approve a rollout")


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
        if error.code == _SCOPE:
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
        if error.code == _SCOPE:
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


def _clock(whose: str, theirs: datetime, ours: datetime) -> Finding:
    apart = abs(theirs - ours)
    if apart <= SKEW:
        return _ok("clock", f"agrees with {whose}'s")
    way = "ahead of" if ours > theirs else "behind"
    return _wrong(
        "clock",
        f"this machine's clock is {round(apart.total_seconds())} s {way} {whose}'s. "
        "Switch time synchronisation on (timedatectl set-ntp true).",
    )


# ---- Meshtech
async def _meshtech(settings: Settings, network: Network, now: Callable[[], datetime]) -> Findings:
    meshtech = settings.meshtech
    try:
        client = client_of(settings, network, now)
    except BotError as error:
        yield _wrong("Meshtech", str(error))
        return
    try:
        await client.check()
    except BotError as error:
        hosts = f"{urlsplit(meshtech.auth_url).netloc} and {urlsplit(meshtech.api_url).netloc}"
        reach = (
            " If it stays so, see whether this machine reaches these hosts, and look at "
            "MESHBOT_MESHTECH__AUTH_URL and MESHBOT_MESHTECH__API_URL."
            if isinstance(error, VendorUnavailable)
            else ""
        )
        yield _wrong("Meshtech", f"{error}{reach} (Asked: {hosts}, as the account {meshtech.username}.)")
    else:
        yield _ok("Meshtech", "the account logs in and lists gateways")
        if theirs := await server_time(meshtech.api_url, network):
            yield _clock("Meshtech", theirs, now())
    finally:
        await client.aclose()


# ---- the database
async def _database(settings: Settings) -> Findings:
    url = settings.database_url.get_secret_value()
    try:
        if finding := _file_to_be(url):
            yield finding
            return
        database = Database.open(url)
        try:
            have = await current(database)
            if have == needed():
                await require_changes(database)
            elif have is None or have in known():
                await require_owner(database)
        finally:
            await database.close()
    except BotError as error:
        yield _wrong("database", str(error))
        return
    yield _ok("database", "it opens and takes changes" if have == needed() else "it opens")
    yield _schema(have, is_sqlite=database.is_sqlite)


def _file_to_be(url: str) -> Finding | None:
    """What can be said of a SQLite file that is not there yet; looking into it would make it."""
    path = Path(url.removeprefix("sqlite:///").partition("?")[0])
    if not url.startswith("sqlite:") or path.exists():
        return None
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return _wrong(
            "database",
            f"{folder} does not exist or may not be written to. Create it for the bot's user, or set "
            "MESHBOT_DATABASE_URL to another file.",
        )
    return _ok("database", f"{path} is made by the first start")


def _schema(have: str | None, *, is_sqlite: bool) -> Finding:
    if have == needed():
        return _ok("schema", f"{have}, the one this version needs")
    if have is not None and have not in known():
        return _wrong(
            "schema",
            f"{have} is not known to this version: a newer one wrote it. Run that version, or restore the "
            "backup that was made before the upgrade.",
        )
    if is_sqlite:
        return _ok("schema", f"{have or 'none'}; the next start brings it to {needed()}")
    return _wrong(
        "schema", f"{have or 'none'}, and this version needs {needed()}. Run `meshbot migrate` once."
    )


# ---- the vendor's contract
async def _contract(settings: Settings, network: Network, where: str, say: Callable[[str], None]) -> Findings:
    meshtech = settings.meshtech
    try:
        table = RouteTable(meshtech.api_url, meshtech.routes, meshtech.fields)
        found = compare(
            await fetch(where, network),
            table,
            api_url=meshtech.api_url,
            next_token=meshtech.next_token_parameter,
        )
    except BotError as error:
        yield _wrong("contract", str(error))
        return
    for one in found:
        verdict = (Verdict.OK if one.compared else Verdict.NOTE) if one.agrees else Verdict.WRONG
        yield Finding(verdict, f"contract {one.operation}", one.text)
    if lines := _settings_of(found):
        say("Set these, in the environment or in .env:")
        for line in lines:
            say(line)


def _settings_of(found: Sequence[Difference]) -> Iterable[str]:
    return list(dict.fromkeys(f"{name}={value}" for one in found for name, value in one.settings.items()))
