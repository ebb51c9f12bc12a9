"""Meshtech: the account logs in and lists gateways, and the vendor's document agrees with our requests."""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from bot.doctor.findings import Finding, Findings, Verdict, clock, ok, wrong
from bot.domain.errors import BotError
from bot.meshtech.contract import compare, fetch, server_time
from bot.meshtech.errors import VendorUnavailable
from bot.meshtech.routes import RouteTable
from bot.network import Network
from bot.settings.definitions import Settings
from bot.wiring.ground import client_of

ACCOUNT = ("MESHBOT_MESHTECH__USERNAME", "MESHBOT_MESHTECH__PASSWORD")
PORTAL_URLS = ("MESHBOT_MESHTECH__AUTH_URL", "MESHBOT_MESHTECH__API_URL")


async def meshtech(settings: Settings, network: Network, now: Callable[[], datetime]) -> Findings:
    portal = settings.meshtech
    try:
        client = client_of(settings, network, now)
    except BotError as error:
        yield wrong("Meshtech", str(error))
        return
    try:
        await client.check()
    except BotError as error:
        hosts = f"{urlsplit(portal.auth_url).netloc} and {urlsplit(portal.api_url).netloc}"
        reach, mended_by = "", ACCOUNT
        if isinstance(error, VendorUnavailable):
            reach = (
                " If it stays so, see whether this machine reaches these hosts, and look at "
                f"{' and '.join(PORTAL_URLS)}."
            )
            mended_by = PORTAL_URLS
        yield wrong(
            "Meshtech", f"{error}{reach} (Asked: {hosts}, as the account {portal.username}.)", *mended_by
        )
    else:
        yield ok("Meshtech", "the account logs in and lists gateways")
        if theirs := await server_time(portal.api_url, network):
            yield clock("Meshtech", theirs, now())
    finally:
        await client.aclose()


async def contract(
    settings: Settings, network: Network, where: str, set_it: Callable[[str], None]
) -> Findings:
    """What would mend a difference, as a line of ``.env`` each, goes to ``set_it``."""
    portal = settings.meshtech
    try:
        table = RouteTable(portal.api_url, portal.routes, portal.fields)
        found = compare(
            await fetch(where, network),
            table,
            api_url=portal.api_url,
            next_token=portal.next_token_parameter,
        )
    except BotError as error:
        yield wrong("contract", str(error))
        return
    for one in found:
        verdict = (Verdict.OK if one.compared else Verdict.NOTE) if one.agrees else Verdict.WRONG
        yield Finding(verdict, f"contract {one.operation}", one.text)
    for line in dict.fromkeys(f"{name}={value}" for one in found for name, value in one.settings.items()):
        set_it(line)
