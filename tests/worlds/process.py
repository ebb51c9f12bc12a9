"""`meshbot run` as a process of its own, beside a simulated portal and a local Slack that stay in the test.

Nothing here sleeps: a test waits for a line of the bot's log, for its end, or for what reaches either server.
"""

import asyncio
import json
import multiprocessing
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import aiohttp

from bot.app import App
from bot.demo.fleet.simulator import FaultKind, FleetSimulator
from bot.demo.slack.server import SlackServer
from bot.demo.slack.text import message_text
from bot.demo.slack.wire_log import Interaction
from bot.demo.slack.workspace import ADMINS, APPROVERS, OPERATORS, OPS, ROLLOUTS, PostedMessage
from bot.settings.definitions import load_settings
from tests.slack.phone import unnamed_on_a_phone
from tests.worlds.databases import sqlite_url

PASSWORD = "correct-horse-battery"
BOT_TOKEN = "xoxb-1234-the-bot"
APP_TOKEN = "xapp-1-the-sockets"
IN_TIME = 100.0  # seconds for what takes a few; a machine may be very busy


# Importing is most of the work of a start. So a process forks from one that has imported all it needs; that
# ``python -m bot`` leads to the same is for tests/test_main.py and tests/project/test_readme.py to show.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["bot.__main__", "bot.app", "bot.settings.env_file"])


def _live(folder: str, environ: dict[str, str], pipe: Connection) -> None:
    """What the process does: as after ``cd folder; meshbot run``, with both streams on the pipe."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    for number in (1, 2):
        os.dup2(pipe.fileno(), number)
    pipe.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
    from bot.__main__ import main

    sys.exit(main(["run"]))


class Bot:
    """One life of the process. ``lines`` is all it wrote, on either stream."""

    def __init__(self, process: ForkServerProcess, written: asyncio.StreamReader) -> None:
        self._process = process
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read(written))
        self.lines: list[str] = []
        self.port = 0

    @classmethod
    async def start(cls, folder: Path, variables: Mapping[str, str]) -> "Bot":
        """Begins it; whether it comes up is another question."""
        ours, its = _FORKS.Pipe(duplex=False)
        process = _FORKS.Process(target=_live, args=(str(folder), {**os.environ, **variables}, its))
        await asyncio.to_thread(process.start)
        its.close()
        written = asyncio.StreamReader(limit=1024 * 1024)
        end = os.fdopen(os.dup(ours.fileno()), "rb", 0)
        ours.close()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(written), end)
        return cls(process, written)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    async def is_running(self) -> None:
        """Waits until it says so itself, which tells its port too."""
        self.port = (await self.logged("meshbot is running"))["port"]

    async def logged(self, event: str) -> dict[str, Any]:
        """The first line of the log with this event, once it is there."""
        async with asyncio.timeout(IN_TIME), self._news:
            while True:
                for entry in self.entries():
                    if entry.get("event") == event:
                        return entry
                assert not self._reading.done(), "\n".join(self.lines)
                await self._news.wait()

    def entries(self) -> list[dict[str, Any]]:
        """The lines that are entries of the log."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """A page of its own port: the status and the JSON."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.json()

    def strike(self) -> None:
        """SIGKILL, at this very moment."""
        self._process.kill()

    def terminate(self) -> None:
        """SIGTERM: it is asked to finish."""
        self._process.terminate()

    async def ended(self) -> int:
        """Its exit status, once it has one and all it wrote has been read."""
        async with asyncio.timeout(IN_TIME):
            await self._reading
            await asyncio.to_thread(self._process.join)
        status = self._process.exitcode
        assert status is not None
        return status

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.lines.append(line.decode().rstrip("\n"))
            async with self._news:
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


@dataclass
class Outside:
    """The portal, Slack, a folder with the database, and the lives of the bot between them."""

    portal: FleetSimulator
    slack: SlackServer
    folder: Path
    variables: dict[str, str]
    lives: list[Bot] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "meshbot.db"

    async def run(self, **variables: str) -> Bot:
        """Starts the bot and waits until it runs and Slack has its first socket."""
        bot = await self.begin(**variables)
        await bot.is_running()
        await self.slack.wait_for(lambda: self.slack.connected > 0, IN_TIME)
        return bot

    async def begin(self, **variables: str) -> Bot:
        """Starts the bot without waiting for anything."""
        bot = await Bot.start(self.folder, {**self.variables, **variables})
        self.lives.append(bot)
        return bot

    async def kill(self, bot: Bot) -> None:
        """SIGKILL, and waits until its sockets are gone."""
        bot.strike()
        await bot.ended()
        await self.slack.wait_for(lambda: self.slack.connected == 0, IN_TIME)

    async def stop(self, bot: Bot) -> int:
        bot.terminate()
        return await bot.ended()

    async def reached(self, operation: str, *, after: int = 0) -> None:
        """Waits until one more request of an operation (``after`` others) has come to the portal."""
        watched = self.portal.faults.add(operation, FaultKind.SLOW, after=after)
        watched.release()  # so that it is not slow at all
        async with asyncio.timeout(IN_TIME):
            await watched.reached.wait()

    async def has_listed(self) -> None:
        """Waits until the bot has taken in a listing that began after now: they never overlap."""
        await self.reached("LIST_DEVICES", after=1)

    # ---- what people do and see
    async def says(self, user: str, text: str, channel: str = OPS) -> str:
        """What a person reads in answer to a command."""
        return message_text(await self.answer(user, text, channel))

    async def answer(self, user: str, text: str, channel: str = OPS) -> PostedMessage:
        """The first answer to a command."""
        return await self.reply(await self.slack.command(user, channel, text))

    async def reply(self, act: Interaction, words: str = "") -> PostedMessage:
        """What somebody gets to see first after an act, which is acknowledged, that says this."""
        assert (await act.ack).ok, act.ack.result().error

        def first() -> PostedMessage | None:
            return next((one for one in act.responses if words in message_text(one)), None)

        return await self.slack.wait_for(first, IN_TIME)

    async def shows(self, message: PostedMessage, words: str) -> None:
        """Waits until a message says this."""
        await self.slack.wait_for(lambda: words in message_text(message), IN_TIME)

    def in_channel(self, channel: str, words: str = "") -> list[PostedMessage]:
        """The messages of a channel, or of a person's direct messages, that say this."""
        found = self.slack.workspace.in_channel(channel)
        return [message for message in found if words in message_text(message)]

    async def message(self, channel: str, words: str) -> PostedMessage:
        """The first message of a channel that says this, once it is there."""

        def first() -> PostedMessage | None:
            return next(iter(self.in_channel(channel, words)), None)

        try:
            return await self.slack.wait_for(first, IN_TIME)
        except TimeoutError as error:
            there = "\n".join(map(message_text, self.in_channel(channel)))
            raise AssertionError(f"“{words}” is not said in {channel}, but:\n{there}") from error

    # ---- what there is afterwards
    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database; for when the bot is not running, or for what is surely committed."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(question, values).fetchall()

    def check_nothing_is_wrong(self) -> None:
        """Slack has nothing to object to, and no bug of ours was logged."""
        assert self.slack.problems == []
        for bot in self.lives:
            assert [line for line in bot.lines if "Traceback" in line] == []

    def check_no_secret_was_written(self) -> None:
        """Of all bots that lived here."""
        written = "\n".join(line for bot in self.lives for line in bot.lines)
        secrets = (PASSWORD, BOT_TOKEN, APP_TOKEN, self.slack.signing_secret, *self.tokens)
        assert [secret for secret in secrets if secret in written] == []

    @property
    def tokens(self) -> set[str]:
        """Every token that the portal saw in a request."""
        sent = {request.headers.get("Authorization", "") for request in self.portal.requests}
        return {token.removeprefix("Bearer ") for token in sent if token}


@asynccontextmanager
async def outside(folder: Path, portal: FleetSimulator, **variables: str) -> AsyncIterator[Outside]:
    """The two servers, started, and the settings that lead the bot to them; no bot runs yet.

    ``variables`` are further settings, named without their prefix. What still runs at the end is killed.
    """
    slack = SlackServer(bot_token=BOT_TOKEN, app_token=APP_TOKEN)
    slack.ack_seconds = IN_TIME
    await portal.start()
    await slack.start()
    given = {f"MESHBOT_{name}": text for name, text in variables.items()}
    if not (folder / "meshbot.db").exists():
        sqlite_url(folder)  # as an earlier start has left it
    world = Outside(portal, slack, folder, {**settings(portal, slack, folder), **given})
    try:
        yield world
    finally:
        for bot in world.lives:
            bot.strike()
            await bot.ended()
        await slack.stop()
        await portal.stop()
    world.check_no_secret_was_written()
    assert unnamed_on_a_phone(slack.calls) == []


def settings(portal: FleetSimulator, slack: SlackServer, folder: Path) -> dict[str, str]:
    """Everything required, and times so short that a test need not wait."""
    return {
        "MESHBOT_SLACK__BOT_TOKEN": BOT_TOKEN,
        "MESHBOT_SLACK__APP_TOKEN": APP_TOKEN,
        "MESHBOT_SLACK__API_URL": slack.api_url,
        "MESHBOT_SLACK__EDIT_EVERY": "0",
        "MESHBOT_MESHTECH__USERNAME": portal.username,
        "MESHBOT_MESHTECH__PASSWORD": portal.password,
        "MESHBOT_MESHTECH__AUTH_URL": portal.auth_url,
        "MESHBOT_MESHTECH__API_URL": portal.api_url,
        "MESHBOT_DATABASE_URL": f"sqlite:///{folder}/meshbot.db",
        "MESHBOT_HTTP__PORT": "0",
        "MESHBOT_CHANNELS__ROLLOUTS": ROLLOUTS,
        "MESHBOT_ACCESS__OPERATORS": OPERATORS,
        "MESHBOT_ACCESS__APPROVERS": APPROVERS,
        "MESHBOT_ACCESS__ADMINS": ADMINS,
        "MESHBOT_FLEET__POLL_EVERY": "0.5s",
        "MESHBOT_JOBS__POLL_EVERY": "0.5s",
        "MESHBOT_ROLLOUTS__LOOK_FOR": "1s",
        "MESHBOT_ROLLOUTS__SECOND_ABOVE": "off",
        "MESHBOT_ROLLOUTS__WAVES": "100%",
        "MESHBOT_ROLLOUTS__PER_SITE": "100%",
        "MESHBOT_ROLLOUTS__SOAK": "0",
        "MESHBOT_ROLLOUTS__STABLE_FOR": "0",
    }


@asynccontextmanager
async def inside(world: Outside) -> AsyncIterator[App]:
    """One life of the bot in this process, connected, with the fleet taken in; its clock is the portal's."""
    app = App(load_settings(world.variables, env_file=None, secrets_dir=None), clock=world.portal.clock)
    await app.start()
    try:
        await world.slack.wait_for(lambda: world.slack.connected > 0, IN_TIME)
        await world.has_listed()
        yield app
    finally:
        await app.stop()
