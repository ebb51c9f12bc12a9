"""Slack: its token and scopes, the way in, and every channel that a card may go to."""

import contextlib
from collections.abc import Callable, Collection
from datetime import datetime

from bot.doctor.database import unopened
from bot.doctor.findings import Finding, Findings, clock, fatal, note, ok, wrong
from bot.doctor.roles import MISSING_SCOPE, access
from bot.domain.errors import BotError
from bot.network import Network
from bot.settings.definitions import Settings
from bot.slack.incoming.connection import ORG_WIDE
from bot.slack.manifest import BOT_SCOPES, OPTIONAL_SCOPES
from bot.slack.outgoing.web_api import APPS, BAD_TOKEN, BOT_TOKEN, SlackFailed, WebApi, refused_token
from bot.slack.views.blocks import code, message, section
from bot.storage import subscriptions
from bot.storage.db.engine import Database
from bot.storage.db.schema import current, needed
from bot.wiring.ground import web_api_of

APP_TOKEN = "MESHBOT_SLACK__APP_TOKEN"  # noqa: S105 - the name of a setting
SLACK_URL = "MESHBOT_SLACK__API_URL"


async def slack(
    settings: Settings,
    network: Network,
    now: Callable[[], datetime],
    unusable: Collection[str],
    *,
    send_test: bool,
) -> Findings:
    """What depends on a setting in ``unusable`` is left out."""
    api = web_api_of(settings, network)
    try:
        found, team = await bot_token(api)
        yield found
        if found.is_wrong:
            return
        yield scopes(api)
        if api.server_time is not None:
            yield clock("Slack", api.server_time, now())
        if APP_TOKEN not in unusable:
            yield await way_in(settings, api)
        for where, variable in default_channels(settings).items():
            finding = await default_channel(api, where, variable)
            yield finding
            if send_test and not finding.is_wrong:
                yield await _trial(api, where, variable)
        for where, numbers in (await _subscribed(settings)).items():
            named = f"subscription {', '.join(map(str, numbers))}"
            yield await _channel(
                api, where, named, f"end it with {settings.slack.command} unsubscribe {numbers[0]}"
            )
        if not any(one.startswith("MESHBOT_ACCESS__") for one in unusable):
            async for finding in access(settings, api, team):
                yield finding
    finally:
        await api.session.close()


async def bot_token(api: WebApi) -> tuple[Finding, str]:
    """Whether Slack takes it, and the workspace's id."""
    try:
        who = await api.call("auth.test")
    except SlackFailed as error:
        return _token_refused(error, "Slack token", BOT_TOKEN), ""
    if who.get("is_enterprise_install"):
        return fatal("Slack token", ORG_WIDE, BOT_TOKEN), ""
    found = ok("Slack token", f"{who.get('user')} in the workspace {who.get('team')}")
    return found, str(who.get("team_id") or "")


def _token_refused(error: SlackFailed, what: str, variable: str) -> Finding:
    if error.code in {"unreachable", "no_answer"} or "HTTP" in error.detail:
        return wrong(
            what,
            f"Slack does not answer: {error.detail}. Check that this machine reaches https://slack.com, and "
            f"{SLACK_URL} if it is set.",
            SLACK_URL,
        )
    refused = str(refused_token(error, variable))
    return fatal(what, refused, variable) if error.code in BAD_TOKEN else wrong(what, refused, variable)


def default_channels(settings: Settings) -> dict[str, str]:
    """Each by its id, with the variable that names it; of two the first."""
    channels = settings.channels
    named = {channels.rollouts: "MESHBOT_CHANNELS__ROLLOUTS", channels.alerts: "MESHBOT_CHANNELS__ALERTS"}
    return {where: named[where] for where in (channels.alerts, channels.rollouts) if where}


async def default_channel(api: WebApi, where: str, variable: str) -> Finding:
    """Whether the bot can post there."""
    return await _channel(api, where, variable, f"set {variable} to another channel", variable)


async def _trial(api: WebApi, where: str, variable: str) -> Finding:
    """Posts what shows, before anything happens, that the bot can post where its cards go."""
    text = (
        "Meshbot can post here: this is a test, and nothing has happened. Once the bot runs, "
        f"{code('/mesh status')} says how it is, and {code('/mesh help')} what you may do."
    )
    card = message(text, [section(text)])
    try:
        await api.patient("chat.postMessage", channel=where, text=card.text, blocks=list(card.blocks))
    except SlackFailed as error:
        return wrong("test card", f"it cannot be posted to {where} ({error.code}): {error}", variable)
    return ok("test card", f"posted to {where}")


def scopes(api: WebApi) -> Finding:
    if missing := sorted(set(BOT_SCOPES) - api.scopes):
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        return wrong(
            "Slack scopes",
            f"{', '.join(missing)} {are} missing. Add {them} at {APPS} under OAuth & Permissions, or paste "
            "the output of `meshbot manifest` under App Manifest; then reinstall the app.",
            BOT_TOKEN,
        )
    if missing := sorted(set(OPTIONAL_SCOPES) - api.scopes):
        return note(
            "Slack scopes", f"all needed ones are granted; optional and not granted: {', '.join(missing)}"
        )
    return ok("Slack scopes", "all that the manifest asks for are granted")


async def way_in(settings: Settings, api: WebApi) -> Finding:
    token = settings.slack.app_token
    if token is None:
        where = f"{settings.http.host}:{settings.http.port}"
        return note("Slack way in", f"HTTP: Slack's requests must reach POST /slack/events on {where}")
    try:
        await api.call("apps.connections.open", token=token.get_secret_value())
    except SlackFailed as error:
        if error.code == MISSING_SCOPE:
            return wrong(
                "Slack way in",
                "the token in MESHBOT_SLACK__APP_TOKEN lacks the scope connections:write. Generate another "
                f"with it at {APPS} under Basic Information, App-Level Tokens.",
                APP_TOKEN,
            )
        return _token_refused(error, "Slack way in", APP_TOKEN)
    return ok("Slack way in", "Socket Mode is open to us")


async def _subscribed(settings: Settings) -> dict[str, list[int]]:
    """The subscriptions of each channel; none where the database cannot be asked, which is told below."""
    url = settings.database_url.get_secret_value()
    found: dict[str, list[int]] = {}
    with contextlib.suppress(BotError):
        if unopened(url) is None:
            database = Database.open(url)
            try:
                if await current(database) == needed():
                    async with database.read() as connection:
                        for one in await subscriptions.everyone(connection, first=""):
                            found.setdefault(one.channel, []).append(one.id)
            finally:
                await database.close()
    return found


async def _channel(api: WebApi, channel: str, named: str, instead: str, *settings: str) -> Finding:
    what = f"channel {channel}"
    try:
        found = (await api.call("conversations.info", channel=channel))["channel"]
    except SlackFailed as error:
        if error.code == "channel_not_found":
            return wrong(
                what,
                f"{named} names a channel that does not exist, or is private and without the bot. Say "
                f"/invite @Meshbot there, or {instead}; an id stands at the end of the channel's details.",
                *settings,
            )
        if error.code == MISSING_SCOPE:
            return note(what, f"{named} can be checked once the scope is there")
        return wrong(what, f"{named} cannot be checked: {error}", *settings)
    if found.get("is_archived"):
        return wrong(what, f"#{found['name']} is archived ({named}). Unarchive it, or {instead}.", *settings)
    if not found.get("is_member"):
        return wrong(
            what, f"the bot is not in #{found['name']} ({named}). Say /invite @Meshbot there.", *settings
        )
    return ok(what, f"#{found['name']} exists, and the bot is in it")
