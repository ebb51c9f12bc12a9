"""`meshbot demo`: the bot in a make-believe world on this machine, and the page to use it from.

The only part of the demo that knows the bot: it builds both simulated servers, gives the bot settings that
point there, and begins the world anew when somebody asks for it. Nothing is kept unless a file is named.
"""

import asyncio
import contextlib
import re
import signal
import tempfile
import time
import webbrowser
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from bot import log
from bot.app import App
from bot.demo.fleet.simulator import FleetSimulator, SimulatorClock
from bot.demo.opening_scene import AT_MOST, begin, let_a_small_site_go
from bot.demo.page.panel import World
from bot.demo.page.server import PageServer
from bot.demo.slack.payloads import NotOnScreenError
from bot.demo.slack.server import SlackServer
from bot.demo.slack.text import readable
from bot.demo.slack.workspace import (
    ADMIN,
    ADMINS,
    APPROVERS,
    ARCHIVED,
    BOT_USER,
    FLEET_ALERTS,
    OPERATORS,
    OPS,
    PRIVATE_NO_BOT,
    ROLLOUTS,
)
from bot.domain.errors import StartupError
from bot.settings.definitions import load_settings

# Shorter than in earnest, so that everything can be seen within minutes; the rules are the real ones.
TIMES: Mapping[str, tuple[str, str]] = {
    "MESHBOT_FLEET__POLL_EVERY": ("5s", "Fleet is listed every"),
    "MESHBOT_JOBS__POLL_EVERY": ("5s", "Jobs are looked at every"),
    "MESHBOT_SLACK__EDIT_EVERY": ("2s", "A card is edited at most every"),
    "MESHBOT_ALERTS__OFFLINE_AFTER": ("15s", "Offline before an alert"),
    "MESHBOT_ALERTS__GROUP_WAIT": ("5s", "Alerts are gathered for"),
    "MESHBOT_ALERTS__ONLINE_AFTER": ("10s", "Back before an alert ends"),
    "MESHBOT_ROLLOUTS__SOAK": ("20s", "Pause between two waves"),
    "MESHBOT_ROLLOUTS__STABLE_FOR": ("15s", "Back before it counts as verified"),
    "MESHBOT_ROLLOUTS__RETURN_WITHIN": ("2m", "A gateway must be back within"),
    "MESHBOT_ROLLOUTS__OVERDUE_AFTER": ("5m", "A gateway is overdue after"),
}
_USAGE = re.compile(r"`(?P<usage>[^`]+)`\s+(?P<says>.+)")
_MOST_MESSAGES, _MOST_FILES, _MOST_CALLS = 4_000, 200, 500
_OUTAGES_PER_HOUR = 12
_FIRST_OUTAGE_AFTER, _FIRST_OUTAGE_LASTS = 8.0, timedelta(minutes=4)
_WIDE = 110
PORTS_TRIED = 20


async def run(
    *,
    port: int = 8065,
    gateways: int = 240,
    seed: int = 1,
    speed: float = 1.0,
    open_browser: bool = True,
    keep: str | None = None,
    hostile_names: bool = False,
) -> int:
    """Run the demo until Ctrl-C or SIGTERM; the exit status. A port that is taken is left for the next one.

    Raises StartupError when many in a row are taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(signum, stop.set)
    free = await free_port(port)
    print("Starting a local Slack, a make-believe fleet and the bot …", flush=True)
    demo = Demo(gateways=gateways, seed=seed, speed=speed, keep=keep, hostile_names=hostile_names, begun=True)
    try:
        await demo.start(free)
        instead = f"Port {port} is taken. " if free != port else ""
        print(f"{instead}Meshbot's demo is on {demo.page.url}  (Ctrl-C ends it)", flush=True)
        if keep:
            print(f"It keeps what it knows in {keep}.", flush=True)
        if open_browser:
            await asyncio.to_thread(webbrowser.open, demo.page.url)
        await stop.wait()
    finally:
        await demo.stop()
    return 0


class Demo:
    """The bot, its make-believe world and the page; one world after another in its life.

    In a `quiet` one nothing goes offline unless somebody makes it. In one that has `begun`, an alert is open
    and an update runs when the page comes; each step towards that has ``at_most`` real seconds.
    """

    def __init__(
        self,
        *,
        gateways: int = 240,
        seed: int = 1,
        speed: float = 1.0,
        keep: str | None = None,
        quiet: bool = False,
        begun: bool = False,
        at_most: float = AT_MOST,
        hostile_names: bool = False,
    ):
        self._gateways, self._seed, self._speed, self._keep = gateways, seed, speed, keep
        self._quiet, self._begun, self._at_most, self._hostile_names = quiet, begun, at_most, hostile_names
        self._rooms = contextlib.AsyncExitStack()
        self._changing = asyncio.Lock()
        self.world = World(SlackServer(), FleetSimulator(gateways=1))
        self.page = PageServer(self.world)

    async def start(self, port: int = 0) -> None:
        """Bring up a world, then the page on its port. Raises StartupError when the port is taken."""
        await self._build()
        try:
            await self.page.start(port)
        except OSError as error:
            raise _taken(port) from error

    async def stop(self) -> None:
        await self.page.stop()
        async with self._changing:
            await self._rooms.aclose()

    async def reset(self) -> None:
        """A new world as at the start, in the place of the old one."""
        async with self._changing:
            await self._rooms.aclose()
            await self._build()

    async def _build(self) -> None:
        self._rooms = rooms = contextlib.AsyncExitStack()
        try:
            folder = rooms.enter_context(tempfile.TemporaryDirectory(prefix="meshbot-"))
            clock = SimulatorClock(self._speed)
            fleet = FleetSimulator(
                gateways=self._gateways, seed=self._seed, clock=clock, hostile_names=self._hostile_names
            )
            _quicken(fleet)
            slack = _local_slack(clock)
            await slack.start()
            rooms.push_async_callback(slack.stop)
            await fleet.start()
            rooms.push_async_callback(fleet.stop)
            environ = _environment(slack, fleet, self._keep or str(Path(folder) / "meshbot.db"))
            settings = load_settings(environ, env_file=None, secrets_dir=None)
            log.configure("error", "console", settings.secrets())
            app = App(settings, clock=clock)
            await app.start()
            rooms.push_async_callback(app.stop)
            with contextlib.suppress(TimeoutError):  # without a fleet, what is typed first finds nothing
                async with asyncio.timeout(self._at_most):
                    await app.scheduler.run_now("listing")
            if self._begun:
                with contextlib.suppress(TimeoutError, NotOnScreenError):  # a tiny fleet, a slow machine
                    await begin(slack, fleet, app.set_speed, self._at_most)
        except BaseException:
            await rooms.aclose()
            raise
        life = [] if self._quiet else [_live(fleet, has_begun=self._begun)]
        for work in [_tell(slack), *life]:
            rooms.push_async_callback(_end, asyncio.create_task(work))
        self.world = World(
            slack,
            fleet,
            on_speed=app.set_speed,
            facts=_facts(environ),
            commands=await _commands(slack, settings.slack.command),
            first=FLEET_ALERTS if self._begun else OPS,
            on_reset=self.reset,
        )
        self.page.show(self.world)


def _local_slack(clock: SimulatorClock) -> SlackServer:
    slack = SlackServer(clock=lambda: clock.now().timestamp(), patience=time.monotonic)
    slack.calls = deque(maxlen=_MOST_CALLS)
    workspace = slack.workspace
    workspace.most_messages, workspace.most_files = _MOST_MESSAGES, _MOST_FILES
    for channel in (PRIVATE_NO_BOT, ARCHIVED):  # they are there for tests
        del workspace.channels[channel]
    return slack


async def _commands(slack: SlackServer, slash: str) -> list[tuple[str, str]]:
    """What the bot says that it can do, for the page to complete; asked as anybody asks: with its help."""
    act = await slack.command(ADMIN, OPS, "help all")
    answer = (await slack.wait_for(lambda: act.responses))[0]
    shown = "\n".join(str(block["text"]["text"]) for block in answer.blocks if block["type"] == "section")
    slack.workspace.delete_message(answer)
    rows = [(readable(row["usage"]), readable(row["says"])) for row in _USAGE.finditer(shown)]
    return [("help [topic]", "What Meshbot can do")] + [
        (usage.removeprefix(f"{slash} "), says) for usage, says in rows if usage.startswith(f"{slash} ")
    ]


def _quicken(fleet: FleetSimulator) -> None:
    """Gateways that take half a minute for a firmware, not a quarter of an hour."""
    fleet.pickup = (timedelta(seconds=1), timedelta(seconds=5))
    fleet.download = (timedelta(seconds=10), timedelta(seconds=25))
    fleet.reboot = (timedelta(seconds=5), timedelta(seconds=15))


def _environment(slack: SlackServer, fleet: FleetSimulator, database: str) -> dict[str, str]:
    return {
        "MESHBOT_SLACK__BOT_TOKEN": slack.bot_token,
        "MESHBOT_SLACK__APP_TOKEN": slack.app_token,
        "MESHBOT_SLACK__API_URL": slack.api_url,
        "MESHBOT_MESHTECH__USERNAME": fleet.username,
        "MESHBOT_MESHTECH__PASSWORD": fleet.password,
        "MESHBOT_MESHTECH__AUTH_URL": fleet.auth_url,
        "MESHBOT_MESHTECH__API_URL": fleet.api_url,
        "MESHBOT_DATABASE_URL": f"sqlite:///{database}",
        "MESHBOT_HTTP__PORT": "0",
        "MESHBOT_FLEET__MOST_GATEWAYS": "1000000",  # as many as --gateways takes
        "MESHBOT_CHANNELS__ALERTS": FLEET_ALERTS,
        "MESHBOT_CHANNELS__ROLLOUTS": ROLLOUTS,
        "MESHBOT_ACCESS__OPERATORS": OPERATORS,
        "MESHBOT_ACCESS__APPROVERS": APPROVERS,
        "MESHBOT_ACCESS__ADMINS": ADMINS,
        "MESHBOT_TIMEZONE": "Europe/Oslo",
        "MESHBOT_LOG__FORMAT": "console",
    } | {variable: here for variable, (here, _) in TIMES.items()}


def _facts(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Each shortened time by name, as it is here and as it usually is."""
    settings = load_settings(environ, env_file=None, secrets_dir=None)
    usual = {one.variable: one.default for one in settings.describe()}
    return [(name, here, usual[variable]) for variable, (here, name) in TIMES.items()]


async def _live(fleet: FleetSimulator, *, has_begun: bool) -> None:
    """A small site goes offline soon, so that a newcomer sees an alert come; then the fleet just lives."""
    if not has_begun:
        await asyncio.sleep(_FIRST_OUTAGE_AFTER / max(fleet.clock.speed, 1))
        let_a_small_site_go(fleet, _FIRST_OUTAGE_LASTS)
    fleet.live(outages_per_hour=_OUTAGES_PER_HOUR)


async def _tell(slack: SlackServer) -> None:
    """One line in the terminal for each new message of the bot; what was noted is forgotten after a while."""
    workspace = slack.workspace
    names = {user.id: user.real_name for user in workspace.users.values()}
    async for event in slack.subscribe():
        del slack.problems[:-100]
        if event.kind != "message posted" or event.detail["to"]:
            continue
        message = workspace.find(event.detail["channel"], event.detail["ts"])
        channel = workspace.channels.get(str(event.detail["channel"]))
        if message is None or channel is None or message.user != BOT_USER:
            continue
        where = "direct message" if channel.im_user else f"#{channel.name}"
        said = readable(message.text, names).partition("\n")[0]
        said = said or ", ".join(file.title or file.name for file in message.files)
        print(f"{where}: {said[:_WIDE]}", flush=True)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def free_port(port: int, tried: int = PORTS_TRIED) -> int:
    """The port, or the next one that nobody has, before a world is built in vain. Zero takes any."""
    for free in range(port, min(port + tried, 65_536)) if port else ():
        try:
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", free)
        except OSError:
            continue
        server.close()
        await server.wait_closed()
        return free
    if port:
        raise _taken(port)
    return port


def _taken(port: int) -> StartupError:
    return StartupError(
        f"Port {port} is taken, and so are the next ones: choose another one with --port 9000, or make demo "
        "PORT=9000."
    )
