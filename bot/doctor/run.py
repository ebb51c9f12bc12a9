"""Checks the set-up before, or instead of, a start: one line for each finding, each fault with its way out.

It asks what the bot itself would ask, and changes nothing unless it is told to: not in Slack, not at
Meshtech, not in the database. A setting that is missing or wrong hides nothing but what hangs on it.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bot.doctor.database import DATABASE_URL, database
from bot.doctor.findings import Finding, Findings, Verdict, fatal, note, ok, wrong
from bot.doctor.portal import contract, meshtech
from bot.doctor.slack import SLACK_URL, slack
from bot.domain.errors import BotError
from bot.network import Network
from bot.settings.definitions import Settings
from bot.settings.env_file import close_to_others, is_sqlite, open_to_others
from bot.slack.outgoing.web_api import BOT_TOKEN

_SLACK = {BOT_TOKEN, SLACK_URL}
_WORDS = ("Everything holds.", "{} to mend.", "{} to mend before the bot starts.")


async def run(
    settings: Settings,
    *,
    unusable: Mapping[str, str] | None = None,
    openapi: str | None = None,
    send_test: bool = False,
    fix: bool = False,
    as_json: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    say: Callable[[str], None] = print,
) -> int:
    """Checks everything and says each finding; the exit status is that of the gravest.

    ``unusable`` has a sentence for each setting that is missing or wrong, for which ``settings`` has a
    stand-in. With ``as_json`` all is said at once.
    """
    found: list[Finding] = []
    to_set: list[str] = []
    async for finding in _all(settings, unusable or {}, openapi, send_test, now, to_set.append):
        shown = await _fixed(finding) if fix and finding.fix else finding
        found.append(shown)
        if not as_json:
            say(str(shown))
    status = max(one.verdict.exit_status for one in found)
    if as_json:
        findings = [one.as_json() for one in found]
        say(json.dumps({"status": status, "findings": findings, "set": to_set}, ensure_ascii=False, indent=2))
        return status
    if to_set:
        say("Set these, in the environment or in .env:")
        for line in to_set:
            say(line)
    say(_WORDS[status].format(sum(one.is_wrong for one in found)))
    return status


async def _fixed(finding: Finding) -> Finding:
    assert finding.fix is not None
    try:
        return replace(finding, verdict=Verdict.FIXED, text=await finding.fix())
    except BotError as error:
        return replace(finding, text=f"{finding.text} It could not be mended: {error}")


async def _all(
    settings: Settings,
    unusable: Mapping[str, str],
    openapi: str | None,
    send_test: bool,
    now: Callable[[], datetime],
    set_it: Callable[[str], None],
) -> AsyncIterator[Finding]:
    network = Network.of(os.environ)
    for finding in (*_settings(settings, unusable), *_files(settings)):
        yield finding
    try:
        for finding in _network(settings, network):
            yield finding
    except BotError as error:
        yield fatal("network", str(error))
    else:
        checks: list[Findings] = []
        if not _SLACK & set(unusable):
            checks.append(slack(settings, network, now, unusable, send_test=send_test))
        if not any(one.startswith("MESHBOT_MESHTECH__") for one in unusable):
            checks.append(meshtech(settings, network, now))
        for check in checks:
            async for finding in check:
                yield finding
    if DATABASE_URL not in unusable:
        async for finding in database(settings):
            yield finding
    if openapi is not None:
        async for finding in contract(settings, network, openapi, set_it):
            yield finding


def _settings(settings: Settings, unusable: Mapping[str, str]) -> Iterator[Finding]:
    for variable, sentence in unusable.items():
        yield fatal("settings", sentence, variable)
    described = settings.describe()
    changed = sum(one.value not in {one.default, ""} for one in described)
    if not unusable:
        yield ok("settings", f"{len(described)} are understood, {changed} of them are not the default")
    if settings.channels.alerts is None and "MESHBOT_CHANNELS__ALERTS" not in unusable:
        yield wrong(
            "default channels",
            f"an alert that no subscription matches is shown nowhere but in {settings.slack.command} alerts. "
            "Set MESHBOT_CHANNELS__ALERTS to a channel's id.",
            "MESHBOT_CHANNELS__ALERTS",
        )
    if settings.channels.rollouts is None and "MESHBOT_CHANNELS__ROLLOUTS" not in unusable:
        yield note(
            "default channels",
            "MESHBOT_CHANNELS__ROLLOUTS is not set: a rollout's card goes to the channel of its request",
        )


def _files(settings: Settings) -> Iterator[Finding]:
    """What every user of the machine may read; to close it is safe."""
    for path, sentence in open_to_others(settings.database_url.get_secret_value()):
        if path.name == ".env" or is_sqlite(path):
            yield replace(note("files", sentence), fix=partial(_close, path))


async def _close(path: Path) -> str:
    close_to_others(path)
    return f"no other user of this machine may read {path} now"


def _network(settings: Settings, network: Network) -> Iterator[Finding]:
    """Which way each of the outside worlds is asked, and who vouches for them. Raises StartupError."""
    network.trust()
    ways: dict[str, list[str]] = {}
    for url in (settings.slack.api_url, settings.meshtech.auth_url, settings.meshtech.api_url):
        ways.setdefault(network.way_to(url), []).append(urlsplit(url).netloc)
    for way, hosts in ways.items():
        named = f" ({network.named})" if way != "directly" else " (NO_PROXY)" if network.proxy else ""
        yield ok("network", f"{' and '.join(dict.fromkeys(hosts))} {way}{named}")
    for folder in network.unread():
        yield note(
            "certificates",
            f"nothing in {folder} is read, since OpenSSL looks for files named by a hash. Run "
            f"`openssl rehash {folder}`, or name a file of authorities in SSL_CERT_FILE",
        )
    if trusted := network.trusted():
        yield ok("certificates", f"the authorities in {' and '.join(trusted)} are trusted")
    else:
        yield note(
            "certificates",
            "this machine has no authorities, so no https:// address is trusted. Install the package "
            "ca-certificates, or name a file of them in SSL_CERT_FILE",
        )
