"""The command line: run, init, demo, doctor, migrate, move-database, audit, manifest.

Each command imports what it needs when it runs, so that a missing setting is answered before anything
heavy is loaded. What keeps a command from working is one sentence on standard error and exit status 2.
"""

import argparse
import asyncio
import contextlib
import errno
import gc
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bot.domain.errors import BotError

if TYPE_CHECKING:
    from datetime import datetime

    from bot.settings.definitions import Settings
    from bot.setup_questions import Init

INTERRUPTED = 130
UNREAD = 141  # as of any program whose reader has gone, like head


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter gets its number instead
            stream.reconfigure(errors="backslashreplace")
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.run
    try:
        status = command(chosen)
        sys.stdout.flush()
        return status
    except BotError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _write_no_more()
        return UNREAD
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _write_no_more()
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        return 2


def _write_no_more() -> None:
    """What is left in the buffer goes nowhere; else Python complains of it when it ends."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshbot", description="A Slack bot for the people who run a fleet of Meshtech gateways."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run the bot against the configured Slack and Meshtech")
    run.set_defaults(run=_run)

    demo = commands.add_parser("demo", help="run the bot in a make-believe world on this machine")
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--port", type=_port, default=8065, help="port of the page (8065), or the next free one"
    )
    demo.add_argument("--gateways", type=_count, default=240, help="size of the fleet (240)")
    demo.add_argument("--seed", type=int, default=1, help="another number makes another fleet (1)")
    demo.add_argument("--speed", type=_factor, default=1.0, help="how much faster time goes by (1)")
    demo.add_argument(
        "--hostile-names", action="store_true", help="some gateways have names made to break things"
    )
    demo.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    demo.add_argument("--keep", metavar="FILE", help="keep the bot's database in this file")

    init = commands.add_parser(
        "init",
        help="set the bot up: the Slack app, its tokens, the account, channels and people",
        description="Asks for what is missing or wrong, tries each answer, and writes it to .env in this "
        "folder. A flag answers its question.",
    )
    init.set_defaults(run=_init)
    for flag, metavar, answers in ANSWERS:
        init.add_argument(f"--{flag}", metavar=metavar, help=answers)
    init.add_argument(
        "--answers",
        metavar="FILE",
        help="a file of them, so that no secret stands in the list of processes: on each line a flag without "
        "its dashes, = and the answer, as bot-token=xoxb-…",
    )
    init.add_argument("--http", type=_public_address, metavar="URL", help="as of meshbot manifest")
    init.add_argument("--command", type=_slash_command, help="another slash command than /mesh")
    init.add_argument("--yes", action="store_true", help="ask nothing: what is missing is an error")

    doctor = commands.add_parser("doctor", help="check the set-up, and say how to mend what is wrong")
    doctor.set_defaults(run=_doctor)
    doctor.add_argument(
        "--openapi",
        type=_document,
        metavar="URL-or-FILE",
        help="the vendor's OpenAPI document to compare with",
    )
    doctor.add_argument("--send-test", action="store_true", help="post a test card to the default channels")
    doctor.add_argument("--fix", action="store_true", help="mend what is safe: modes of files, the schema")
    doctor.add_argument("--json", action="store_true", help="say it as JSON")

    migrate = commands.add_parser("migrate", help="bring the database schema up to date")
    migrate.set_defaults(run=_migrate)

    move = commands.add_parser(
        "move-database", help="copy everything from a SQLite file to an empty PostgreSQL; stop the bot first"
    )
    move.set_defaults(run=_move)
    move.add_argument("source", type=_database, metavar="FROM", help="sqlite:///meshbot.db")
    move.add_argument("target", type=_database, metavar="TO", help="postgresql://…")

    audit = commands.add_parser("audit", help="check the audit log, or hand it out")
    audit.set_defaults(run=_audit)
    audit.add_argument(
        "what",
        choices=["verify", "export"],
        help="verify: is each entry as it was written? export: each as a line of JSON, the oldest first",
    )
    audit.add_argument("--since", type=_day, metavar="DATE", help="export from this day on (UTC)")

    manifest = commands.add_parser("manifest", help="print the Slack app manifest")
    manifest.set_defaults(run=_manifest)
    manifest.add_argument(
        "--http",
        type=_public_address,
        metavar="URL",
        help="for HTTP instead of Socket Mode: the bot's public address",
    )
    manifest.add_argument("--command", type=_slash_command, help="another slash command than /mesh")
    return parser


ANSWERS = (
    ("bot-token", "xoxb-…", "the Bot User OAuth Token"),
    ("app-token", "xapp-…", "the App-Level Token, for Socket Mode"),
    ("signing-secret", "SECRET", "the Signing Secret, for HTTP"),
    ("username", "NAME", "of the Meshtech account"),
    ("password", "PASSWORD", "of the Meshtech account"),
    ("alerts", "CHANNEL", "gets alerts: an id, or #name"),
    ("rollouts", "CHANNEL", "gets rollouts: an id, or #name"),
    ("operators", "WHO,…", "ids or @names of user groups and people"),
    ("approvers", "WHO,…", "the same"),
    ("admins", "WHO,…", "the same"),
    ("self-approval", "true|false", "may whoever asks for an update approve it?"),
)


def _run(_: argparse.Namespace) -> int:
    from bot.settings.definitions import load_settings

    settings = load_settings()
    from bot import log

    log.configure(settings.log.level, settings.log.format, _secrets(settings))
    return asyncio.run(_until_told(settings))


async def _until_told(settings: "Settings") -> int:
    """Runs the bot until SIGTERM or SIGINT; returns the exit status. Raises StartupError."""
    from bot import log
    from bot.app import App
    from bot.settings.env_file import open_to_others

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(signum, stop.set)
    app = App(settings)
    starting, stopping = asyncio.create_task(app.start()), asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()  # it closes what it opened
        await asyncio.wait({starting})
        return 0
    await starting
    gc.collect()
    gc.freeze()  # what is there now stays; to look through it again would hold the event loop up for 70 ms
    for _, sentence in open_to_others(settings.database_url.get_secret_value()):
        log.get_logger("bot").warning(sentence)
    try:
        await stopping
    finally:
        await app.stop()
    return 0


def _secrets(settings: "Settings") -> list[str]:
    from bot.network import Network

    return [*settings.secrets(), *Network.of(os.environ).secrets()]


def _demo(chosen: argparse.Namespace) -> int:
    from bot.demo import run as demo

    return asyncio.run(
        demo.run(
            port=chosen.port,
            gateways=chosen.gateways,
            seed=chosen.seed,
            speed=chosen.speed,
            open_browser=not chosen.no_browser,
            keep=chosen.keep,
            hostile_names=chosen.hostile_names,
        )
    )


def _init(chosen: argparse.Namespace) -> int:
    from bot import log
    from bot.setup_questions import Init, answers_in

    log.configure("error", "console", [])
    answers = {flag: getattr(chosen, flag.replace("-", "_")) for flag, *_ in ANSWERS}
    flags = {flag: answer for flag, answer in answers.items() if answer is not None}
    run = Init(
        given={**(answers_in(chosen.answers) if chosen.answers else {}), **flags},
        may_ask=sys.stdin.isatty() and not chosen.yes,
        http_url=chosen.http,
        command=chosen.command,
    )
    return ask(run)


def ask(run: "Init") -> int:
    """The exit status of a run of init, also of one that somebody leaves in the middle."""
    try:
        return asyncio.run(run.run())
    except (KeyboardInterrupt, EOFError):  # Ctrl-C, and Ctrl-D
        print("Stopped. What was right stands in .env; `meshbot init` asks for the rest.", file=sys.stderr)
        return INTERRUPTED


def _doctor(chosen: argparse.Namespace) -> int:
    from bot.settings.definitions import examine

    examined = examine()
    from bot import log
    from bot.doctor import run as doctor

    # Findings are for people; what the libraries think of them would only stand in between.
    log.configure("error", "console", _secrets(examined.settings))
    return asyncio.run(
        doctor.run(
            examined.settings,
            unusable=examined.wrong,
            openapi=chosen.openapi,
            send_test=chosen.send_test,
            fix=chosen.fix,
            as_json=chosen.json,
        )
    )


def _migrate(_: argparse.Namespace) -> int:
    from bot.settings.definitions import load_settings

    settings = load_settings()
    from bot import log
    from bot.storage.db.engine import Database
    from bot.storage.db.schema import migrate

    async def bring_up_to_date() -> tuple[str | None, str]:
        database = Database.open(settings.database_url.get_secret_value())
        try:
            return await migrate(database)
        finally:
            await database.close()

    log.configure("warning", "console", _secrets(settings))
    before, after = asyncio.run(bring_up_to_date())
    if before == after:
        print(f"The database has schema {after} already.")
    else:
        print(f"The database has schema {after} now; it had {before or 'none'}.")
    return 0


def _move(chosen: argparse.Namespace) -> int:
    from bot import log
    from bot.settings.value_formats import database_passwords, show_url
    from bot.storage.db.engine import Database
    from bot.storage.db.move_database import move

    async def copy() -> int:
        source = Database.open(chosen.source, named="FROM")
        target = Database.open(chosen.target, named="TO")
        try:
            return await move(source, target)
        finally:
            await target.close()
            await source.close()

    log.configure("warning", "console", list(database_passwords(chosen.target)))
    rows = asyncio.run(copy())
    print(
        f"{rows:,} rows are in {show_url(chosen.target)} now: set MESHBOT_DATABASE_URL to it, and start the "
        f"bot. {chosen.source} is as it was; do not start a bot with it again."
    )
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from bot.settings.definitions import load_settings

    settings = load_settings()
    from datetime import UTC, datetime

    from bot import log
    from bot.domain.audit import AuditChain
    from bot.services.audit import AuditService
    from bot.services.context import Context
    from bot.storage.db.engine import Database
    from bot.storage.db.schema import require_schema

    async def walk() -> AuditChain | None:
        database = Database.open(settings.database_url.get_secret_value())
        try:
            await require_schema(database)
            service = AuditService(Context(database, lambda: datetime.now(UTC)))
            if chosen.what == "verify":
                return await service.verify()
            async with contextlib.aclosing(service.export(chosen.since)) as chunks:
                async for chunk in chunks:
                    for entry in chunk:
                        print(json.dumps(entry))  # in ASCII: some readers end a line at U+2028 too
            return None
        finally:
            await database.close()

    log.configure("warning", "console", _secrets(settings))
    chain = asyncio.run(walk())
    if chain is None:
        return 0
    if chain.is_whole:
        print(f"The audit log is whole: {chain.entries:,} entries, the last with the hash {chain.last}.")
        return 0
    what = (
        "the newest entries are gone"
        if chain.broken_at is None
        else f"entry {chain.broken_at} is not as it was written, or one before it is gone"
    )
    print(
        f"The audit log was changed: {what}; {chain.entries:,} entries before that are as they were written. "
        "The bot's own log has each entry with its hash: compare them there."
    )
    return 1


def _manifest(chosen: argparse.Namespace) -> int:
    from bot.settings.definitions import slash_command
    from bot.slack.manifest import as_yaml, manifest

    command = chosen.command or slash_command()
    print(as_yaml(manifest(command=command, http_url=chosen.http)), end="")
    return 0


def _day(text: str) -> "datetime":
    from datetime import UTC, datetime

    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be a day like 2026-01-31") from error


def _port(text: str) -> int:
    return _within(text, 0, 65535)


def _count(text: str) -> int:
    return _within(text, 1, 1_000_000)


def _within(text: str, minimum: int, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= maximum:
        raise argparse.ArgumentTypeError(f"must be a whole number from {minimum} to {maximum}")
    return int(text)


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0.1 <= factor <= 1000:
        raise argparse.ArgumentTypeError("must be a number from 0.1 to 1000")
    return factor


def _document(text: str) -> str:
    from bot.network import names_a_server

    scheme, is_address, _ = text.partition("://")
    if "\0" in text or (is_address and (scheme.lower() not in {"http", "https"} or not names_a_server(text))):
        raise argparse.ArgumentTypeError(
            "must be a file's path, or an address that begins with https:// and a host that can be"
        )
    return text


def _database(text: str) -> str:
    from bot.settings.env_file import sqlite_file
    from bot.settings.value_formats import database_url

    try:
        url = database_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if (path := sqlite_file(url)) and not path.is_file():
        raise argparse.ArgumentTypeError("there is no such file")
    return url


def _public_address(text: str) -> str:
    from bot.settings.value_formats import url

    try:
        address = url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not address.startswith("https:"):
        raise argparse.ArgumentTypeError("Slack calls nothing but https:// addresses")
    return address


def _slash_command(text: str) -> str:
    from bot.settings.value_formats import command

    try:
        return command(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
