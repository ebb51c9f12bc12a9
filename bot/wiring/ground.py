"""What every column is built from: the settings, the database, the clock, the portal and Slack."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.domain.default_channels import DefaultChannels
from bot.domain.query import parse
from bot.meshtech.client import MeshtechClient
from bot.network import Network
from bot.services.context import Context
from bot.services.vendor_questions import VendorQuestions
from bot.settings.definitions import Settings
from bot.slack.incoming.identity_cache import People
from bot.slack.incoming.listeners import Feature
from bot.slack.outgoing.replies import Modals
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.slack.paging import ListHandler
from bot.slack.views.portal_links import Portal
from bot.storage.db.engine import Database


@dataclass(frozen=True, slots=True)
class Ground:
    """One process's connections, opened by ``lay_ground``.

    ``owner`` names it among the replicas and the processes before it. ``client`` is for listings
    and rollouts; what people ask of Meshtech goes over ``peoples_client``.
    """

    settings: Settings
    context: Context
    client: MeshtechClient
    peoples_client: MeshtechClient
    questions: VendorQuestions
    api: WebApi
    people: People
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def now(self) -> Callable[[], datetime]:
        return self.context.now

    @property
    def database(self) -> Database:
        return self.context.database

    @property
    def channels(self) -> DefaultChannels:
        return DefaultChannels(self.settings.channels.alerts, self.settings.channels.rollouts)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.timezone)

    @property
    def portal(self) -> Portal:
        return Portal(self.settings.portal.gateway_url, self.settings.portal.site_url)

    @property
    def modals(self) -> Modals:
        return Modals(self.api)

    async def close(self) -> None:
        await self.api.session.close()
        await self.peoples_client.aclose()
        await self.client.aclose()
        await self.database.close()


@dataclass(frozen=True, slots=True)
class Listeners:
    """What a column has in Slack: its features, and its lists by kind."""

    features: tuple[Feature, ...] = ()
    lists: Mapping[str, ListHandler] = field(default_factory=dict)


def lay_ground(settings: Settings, now: Callable[[], datetime]) -> Ground:
    """Call it inside the running event loop; nothing is connected yet. Raises StartupError."""
    network = Network.of(os.environ)
    database = Database.open(settings.database_url.get_secret_value())
    client = client_of(settings, network, now)
    api = web_api_of(settings, network)
    people = People(
        api,
        operators=settings.access.operators,
        approvers=settings.access.approvers,
        admins=settings.access.admins,
        scopes={holder: parse(query) for holder, query in settings.access.scopes},
        now=now,
    )
    peoples = client.beside()
    return Ground(
        settings, Context(database, now), client, peoples, VendorQuestions(peoples, now), api, people
    )


def web_api_of(settings: Settings, network: Network) -> WebApi:
    """Slack, with a pool of connections of its own. Raises StartupError."""
    network.proxy_for(settings.slack.api_url)  # before there is a pool to close
    token = settings.slack.bot_token.get_secret_value()
    return WebApi(
        token,
        new_session(network),
        base_url=settings.slack.api_url,
        network=network,
        command=settings.slack.command,
    )


def client_of(settings: Settings, network: Network, now: Callable[[], datetime]) -> MeshtechClient:
    """The portal, as the settings say it is. Raises StartupError."""
    meshtech = settings.meshtech
    network.trust()
    for url in (meshtech.auth_url, meshtech.api_url):
        network.proxy_for(url)
    return MeshtechClient(
        meshtech.auth_url,
        meshtech.api_url,
        meshtech.username,
        meshtech.password.get_secret_value(),
        now=now,
        network=network,
        page_size=meshtech.page_size,
        most_gateways=settings.fleet.most_gateways,
        next_token_parameter=meshtech.next_token_parameter,
        routes=meshtech.routes,
        fields=meshtech.fields,
    )
