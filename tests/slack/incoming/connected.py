"""The bot's side of Slack, connected to a local Slack over real sockets, with features of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.domain.access import Actor
from bot.slack.incoming.connection import SlackApp
from bot.slack.incoming.identity_cache import People
from bot.slack.incoming.listeners import Feature
from bot.slack.outgoing.replies import Modals
from bot.slack.outgoing.web_api import WebApi, new_session

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Time that goes on only when the test says so."""

    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def seconds(self) -> float:
        return self.moment.timestamp()

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


@dataclass
class Bed:
    """A local Slack and what talks to it."""

    slack: SlackServer
    api: WebApi
    people: People
    modals: Modals
    clock: Clock
    refused: list[tuple[str, ...]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    undelivered: list[tuple[str, str]] = field(default_factory=list)
    kept_some: asyncio.Event = field(default_factory=asyncio.Event)

    async def audit(self, actor: Actor, what: str, about: str, channel: str, reason: str) -> None:
        self.refused.append((actor.user_id, what, about, channel, reason))

    async def kept(self, user_id: str, text: str) -> None:
        self.undelivered.append((user_id, text))
        self.kept_some.set()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def says(self, user: str, text: str, channel: str = workspace.OPS) -> str:
        """Types a command and reads the first answer, once it is there."""
        typed = await self.slack.command(user, channel, text)
        answers = await self.slack.wait_for(lambda: typed.responses)
        assert (await typed.ack).ok
        return answers[0].text


@asynccontextmanager
async def bed(slack: SlackServer | None = None) -> AsyncIterator[Bed]:
    """A local Slack, and a Web API that points at it; whatever the bot sent must have been in order."""
    slack = slack or SlackServer()
    await slack.start()
    session = new_session()
    clock = Clock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    api = WebApi(slack.bot_token, session, base_url=slack.api_url, command="/mesh", sleep=sleep)
    people = People(
        api,
        operators=[workspace.OPERATORS],
        approvers=[workspace.APPROVERS],
        admins=[workspace.ADMIN],
        now=clock.now,
    )
    try:
        yield Bed(slack, api, people, Modals(api), clock, slept=slept)
        assert slack.problems == []
    finally:
        await people.close()
        await session.close()
        await slack.stop()


@asynccontextmanager
async def connected(
    features: Sequence[Feature], *, http: bool = False, decide_within: float = 1.5
) -> AsyncIterator[tuple[Bed, SlackApp]]:
    """As ``bed``, with the app started on two sockets (or ready for HTTP requests)."""
    async with bed() as made:
        app = SlackApp(
            made.api,
            made.people,
            features,
            on_refused=made.audit,
            on_undelivered=made.kept,
            app_token=None if http else made.slack.app_token,
            signing_secret=made.slack.signing_secret if http else None,
            monotonic=made.clock.seconds,
            sleep=made.sleep,
            decide_within=decide_within,
        )
        try:
            await app.start()
            if not http:
                await made.slack.wait_for(lambda: made.slack.connected == 2)
            yield made, app
        finally:
            await app.drain(5)
            await app.close()
