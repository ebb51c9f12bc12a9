"""Listens to everything that is logged and everything the demo's Slack is told, for secrets.

The fixture in ``conftest.py`` asks after each test; what a separate process logs is looked through where it
is run, in ``process.py``.
"""

import inspect
import logging
import re

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack.server import SlackServer

# Tokens by their looks, whoever made them: Slack's, and the portal's JWTs.
_TOKEN = re.compile(r"\bxox[a-z]-[\w-]+|\bxapp-[\w-]+|\beyJ[\w-]+\.[\w-]+\.[\w-]+")


def _default(server: type, name: str) -> str:
    return str(inspect.signature(server).parameters[name].default)


# Those of the two servers, and of the tests that have their own.
SECRETS = (
    _default(FleetSimulator, "password"),
    _default(SlackServer, "signing_secret"),
    "correct-horse-battery",
    "correct-horse battery/staple",
)


class Leaks(logging.Handler):
    """A handler of log records, raw as they were written: before anything is redacted."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.look(f"log {record.name}", logging.Formatter().format(record), record.__dict__)

    def told(self, body: object) -> None:
        """Something the demo's Slack was told."""
        self.look("Slack", body)

    def look(self, where: str, *said: object) -> None:
        text = " ".join(
            one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in said
        )
        if any(secret in text for secret in SECRETS) or _TOKEN.search(text):
            self.found.append(f"{where}: {text[:500]}")
