"""What somebody who recorded a request can do to several replicas behind one address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from bot.services.context import Context
from bot.services.replicas import Heard
from bot.slack.incoming.connection import SlackApp
from bot.storage.db.engine import Database
from bot.web import WebServer
from tests.attacks.test_hostile_callers import Door, echo, is_ready
from tests.slack.incoming.connected import bed

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def replicas(database: Database) -> AsyncIterator[tuple[Door, Door]]:
    """Two of them, each with a port of its own, before one Slack."""
    async with bed() as made:
        doors: list[Door] = []

        heard = Heard(Context(database, made.clock.now))

        def replica() -> SlackApp:
            return SlackApp(
                made.api,
                made.people,
                [echo()],
                on_refused=made.audit,
                signing_secret=made.slack.signing_secret,
                is_first=heard.is_new,
                unix_time=lambda: doors[0].unix_time if doors else 0.0,
            )

        apps = [replica(), replica()]
        for app in apps:
            server = WebServer(
                "127.0.0.1", 0, readiness=is_ready, registry=CollectorRegistry(), slack_events=app.handle_http
            )
            await app.start()
            await server.start()
            doors.append(Door(made, server))
        yield doors[0], doors[1]
        for door, app in zip(doors, apps, strict=True):
            await door.server.stop()
            await app.drain(5)
            await app.close()


async def test_a_request_that_one_replica_acted_on_is_acknowledged_by_another_and_not_acted_on(
    postgres_url: str,
) -> None:
    database = Database.open(postgres_url)
    async with replicas(database) as (one, two):
        body = one.command("echo once")
        assert await one.post(body, one.signed(body)) == 200
        assert await one.direct_messages(1) == ["once"]
        assert await two.post(body, one.signed(body)) == 200

        after = two.command("echo after")
        assert await two.post(after, two.signed(after)) == 200
        assert await two.direct_messages(2) == ["once", "after"]
    await database.close()
