"""Structured logs: one pipeline for our own events and for those of every library, and no secret in either.

structlog runs on the standard library's logging, so a module that knows only ``logging.getLogger`` comes out
the same way: its ``extra`` fields become fields of the event. Redaction comes last, on the finished event,
tracebacks included, so nothing that was formatted on the way can slip past it.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO
from urllib.parse import quote

import structlog
from structlog.typing import Processor

get_logger = structlog.get_logger

REDACTED = "[redacted]"

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

# Shorter ones would tear words apart wherever they happen to occur.
_SHORTEST_SECRET = 4

# Whoever logs below this says too much: at DEBUG the Slack SDK writes whole bodies, and at INFO SQLAlchemy
# writes the parameters of each statement. APScheduler warns whenever it skips a tick that still runs, which
# is what we want of it.
_FLOORS = {
    "slack_bolt": logging.WARNING,
    "slack_sdk": logging.WARNING,
    "httpx": logging.WARNING,
    "aiohttp": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "matplotlib": logging.WARNING,
    "asyncio": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "apscheduler": logging.ERROR,
}
# With the level "debug" these may say a little more; none ever gets to DEBUG.
_MORE_WHEN_DEBUGGING = ("slack_bolt", "slack_sdk", "httpx", "aiohttp", "alembic")

_SECRET_KEY = re.compile(
    r"(?i)(password|passwd|secret|authorization|cookie|api_?key|(?<!next)(?<!next_)token)$"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), REDACTED),  # a JWT
    (re.compile(r"\bxox[a-z](?:\.xox[a-z])?-[\w-]+|\bxapp-[\w-]+"), REDACTED),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{4,}"), rf"\1 {REDACTED}"),
    # password=…, "password": "…", 'authToken': '…'
    (
        re.compile(
            r"""(?i)((?:password|passwd|secret|auth_?token|access_?token)["']?\s*[=:]\s*)"""
            r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&)}\]]+)"""
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(\w://[^\s:/@]*:)[^\s/]+@"), rf"\1{REDACTED}@"),  # a password in a URL
    (
        re.compile(r"(https://hooks\.slack\.com/)\S+?(?=[\s\"'<>]|$)"),
        rf"\1{REDACTED}",
    ),  # a response_url writes
    (re.compile(r"([?&]ticket=)[^\s&\"']+"), rf"\1{REDACTED}"),  # the address of a Slack socket
)


class Redactor:
    """Removes secrets from an event: those registered, and all that look like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {
            form
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for form in (
                secret,
                quote(secret, safe="", errors="replace"),
                json.dumps(secret)[1:-1],
                repr(secret)[1:-1],
            )
        }
        # The longest first, or a secret that begins like another would leave its tail behind.
        known = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._known = re.compile(known) if known else None

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {str(key): self._field(str(key), value) for key, value in event.items()}

    def text(self, text: str) -> str:
        if self._known:
            text = self._known.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def _field(self, key: str, value: Any) -> Any:
        return REDACTED if value and _SECRET_KEY.search(key) else self._value(value)

    def _value(self, value: Any) -> Any:
        """The value as plain JSON: an object becomes its text here, where it can still be looked through."""
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self._field(str(key), one) for key, one in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._value(one) for one in value]
            case _:
                return self.text(str(value))


def configure(level: Level, format: Format, secrets: Iterable[str], stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every log line of this process to ``stream`` (standard error), as JSON lines or for people."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Output(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                Redactor(secrets),
                *_rendering(format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Output)] + [handler]
    root.setLevel(level.upper())
    _quieten(debugging=level == "debug")


def _rendering(format: Format) -> list[Processor]:  # noqa: A002
    if format == "console":
        return [
            _on_one_line,
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            ),
        ]
    return [structlog.processors.JSONRenderer(ensure_ascii=False)]


def _on_one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A name from outside may neither begin a line of its own nor command the terminal."""
    return {
        key: _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
        if isinstance(value, str) and key not in {"exception", "stack"}
        else value
        for key, value in event.items()
    }


def _quieten(*, debugging: bool) -> None:
    for name, floor in _FLOORS.items():
        more = debugging and name in _MORE_WHEN_DEBUGGING
        logging.getLogger(name).setLevel(logging.INFO if more else floor)


class _Output(logging.StreamHandler[TextIO]):
    """Our own handler, so that a second ``configure`` replaces it and leaves others alone."""
