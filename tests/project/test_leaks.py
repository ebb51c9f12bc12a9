"""The look-out for secrets sees one wherever it is put; the whole suite runs under it."""

import logging
from collections.abc import Iterator

import pytest

from bot.demo.slack.server import SlackServer
from bot.demo.slack.wire_log import EventLog
from bot.demo.slack.workspace import OPS
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.slack.views.blocks import File
from tests.worlds.leaks import SECRETS, Leaks

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_x"


@pytest.fixture
def no_secret_is_said() -> None:
    """In the place of the one that all tests have: here it is no fault."""


@pytest.fixture
def leaks() -> Iterator[Leaks]:
    made = Leaks()
    EventLog.listeners.append(made.told)
    yield made
    EventLog.listeners.remove(made.told)


@pytest.mark.parametrize("secret", [*SECRETS, JWT, "xoxb-12-34-abCD", "xapp-1-A0-12-ff"])
def test_a_secret_in_a_log_line_its_fields_or_its_traceback_is_seen(secret: str, leaks: Leaks) -> None:
    own = logging.Logger("own")
    own.addHandler(leaks)
    own.warning("refused %s", secret)
    own.warning("refused", extra={"body": {"given": secret}})
    try:
        raise ValueError(secret)
    except ValueError:
        own.exception("failed")
    own.warning("the password expired; see MESHBOT_SLACK__BOT_TOKEN (xoxb-…)")
    assert len(leaks.found) == 3


async def test_a_secret_in_a_message_is_seen(leaks: Leaks) -> None:
    slack = SlackServer()
    await slack.start()
    session = new_session()
    api = WebApi(slack.bot_token, session, base_url=slack.api_url, command="/mesh")
    await api.call("chat.postMessage", channel=OPS, text="All is well")
    assert leaks.found == []
    await api.call("chat.postMessage", channel=OPS, text=f"I use {SECRETS[0]}")
    await api.send_file(OPS, File("a.csv", JWT.encode(), "A file"))
    await session.close()
    await slack.stop()
    assert len(leaks.found) == 2
