"""Logs: one line an event, whoever wrote it, and never a secret in it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bot import log

PASSWORD = 'correct "horse" / staple'
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_x"


class Output:
    """What was written, as text and as events."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def event(self) -> dict[str, Any]:
        (only,) = self.events
        return only


@pytest.fixture
def no_secret_is_said() -> None:
    """In the place of the one that all tests have: here secrets are logged, to see that none is written."""


@pytest.fixture
def output() -> Iterator[Output]:
    """Our logs, in JSON; the process's logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = Output()
    log.configure("info", "json", [PASSWORD, "xoxb-known"], written.stream)
    yield written
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_an_event_is_one_line_of_json_with_its_fields(output: Output) -> None:
    log.get_logger("bot.app").info("connected", sockets=2)
    event = output.event
    assert (event["event"], event["sockets"], event["level"]) == ("connected", 2, "info")
    assert event["logger"] == "bot.app"
    assert event["timestamp"].endswith("Z")


def test_extra_fields_of_a_plain_logger_are_fields_of_the_event(output: Output) -> None:
    logging.getLogger("bot.services.fleet").info("took in %d", 3, extra={"seconds": 0.5})
    assert output.event["event"] == "took in 3"
    assert output.event["seconds"] == 0.5


def test_ids_in_context_stand_on_every_line(output: Output) -> None:
    with structlog.contextvars.bound_contextvars(request="r-1"):
        log.get_logger().info("ours")
        logging.getLogger("bot.storage").warning("theirs")
    logging.getLogger("bot.storage").warning("after")
    assert [event.get("request") for event in output.events] == ["r-1", "r-1", None]


@pytest.mark.parametrize(
    "text",
    [
        f"logged in with {PASSWORD}",
        f"got {JWT} back",
        "token xoxb-12-34-abCD is bad",
        "token xapp-1-A0-12-ff is bad",
        "Authorization: Bearer abc.def-ghi",
        "GET /login?username=a&password=abc.def-ghi&x=1",
        '{"username": "a", "password": "abc.def-ghi"}',
        "{'authToken': 'abc.def-ghi'}",
        "postgresql://bot:abc.def-ghi@db/meshbot",
        "POST https://hooks.slack.com/commands/T1/2/abc.def-ghi failed",
        "wss://wss-primary.slack.com/link/?ticket=abc.def-ghi&app_id=1",
    ],
)
def test_whatever_looks_like_a_secret_is_redacted(output: Output, text: str) -> None:
    log.get_logger().info(text)
    logging.getLogger("httpx").warning("%s", text)
    log.get_logger().info("nested", details={"list": [{"text": text}]})
    for secret in (PASSWORD, JWT, "xoxb-", "xapp-", "abc.def-ghi"):
        assert secret not in output.text
        assert json.dumps(secret)[1:-1] not in output.text
    assert output.text.count(log.REDACTED) >= 3


def test_a_known_secret_is_redacted_in_every_form_it_travels_in(output: Output) -> None:
    log.get_logger().info(
        "sent", url="/login?p=correct%20%22horse%22%20%2F%20staple", body=json.dumps(PASSWORD)
    )
    assert "staple" not in output.text


def test_a_secret_that_is_no_text_is_redacted_too() -> None:
    assert log.Redactor(["s3cret-\udcff"]).text("it is s3cret-\udcff") == f"it is {log.REDACTED}"


def test_a_traceback_is_redacted(output: Output) -> None:
    try:
        raise ValueError(f"refused {PASSWORD} and {JWT}")
    except ValueError:
        log.get_logger().exception("failed")
    assert "Traceback" in output.event["exception"]
    assert "staple" not in output.text
    assert JWT not in output.text


def test_a_field_with_a_telling_name_is_redacted_whatever_it_holds(output: Output) -> None:
    log.get_logger().info("x", headers={"Authorization": "abc"}, auth_token="abc", nextToken="kept")
    assert output.event["headers"] == {"Authorization": log.REDACTED}
    assert output.event["auth_token"] == log.REDACTED
    assert output.event["nextToken"] == "kept"


def test_an_object_is_redacted_as_the_text_it_becomes(output: Output) -> None:
    log.get_logger().info("x", error=ValueError(f"Bearer {JWT}"), when={1, 2})
    assert output.event["error"] == "Bearer [redacted]"
    assert output.event["when"] == [1, 2]


def test_plain_words_are_left_alone(output: Output) -> None:
    text = "MT10225 at site:oslo, R-7 w2: password expired, see https://slack.com/help?page=2"
    log.get_logger().info(text)
    assert output.event["event"] == text


def test_libraries_stay_quiet_below_warning(output: Output) -> None:
    for name in (
        "slack_bolt.AsyncApp",
        "slack_sdk.web",
        "httpx",
        "sqlalchemy.engine",
        "apscheduler.scheduler",
    ):
        logging.getLogger(name).info("chatter")
    logging.getLogger("slack_bolt.AsyncApp").warning("heard")
    assert [event["event"] for event in output.events] == ["heard"]


def test_even_when_debugging_nobody_writes_bodies(output: Output) -> None:
    log.configure("debug", "json", [], output.stream)
    for name in ("slack_sdk.web.async_client", "aiohttp.client", "sqlalchemy.engine.Engine"):
        logging.getLogger(name).debug("body")
    logging.getLogger("sqlalchemy.engine.Engine").info("parameters")
    log.get_logger("bot").debug("ours")
    assert [event["event"] for event in output.events] == ["ours"]


def test_configuring_twice_writes_each_line_once(output: Output) -> None:
    log.configure("warning", "console", ["abcdef"], output.stream)
    log.get_logger().info("too quiet")
    log.get_logger().warning("attention", value="abcdef")
    (line,) = output.text.splitlines()
    assert "attention" in line
    assert "value=[redacted]" in line


def test_the_console_shows_tracebacks(output: Output) -> None:
    log.configure("info", "console", [PASSWORD], output.stream)
    try:
        raise ValueError(PASSWORD)
    except ValueError:
        logging.getLogger("bot.x").exception("failed")
    assert "Traceback" in output.text
    assert "staple" not in output.text


def test_a_name_from_outside_begins_no_line_of_the_console_and_commands_no_terminal() -> None:
    stream = io.StringIO()
    log.configure("info", "console", [], stream)
    logging.getLogger("bot").info("gateway %s", "x\n2026 [error] forged\x1b[2J", extra={"name_": "y\rz"})
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "x\\n2026" in line
