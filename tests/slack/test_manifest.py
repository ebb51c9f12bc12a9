"""The manifest: what the code needs is asked for, nothing else, in the form Slack takes."""

import copy
import functools
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.demo.slack.api import ALL_SCOPES
from bot.slack.manifest import EVENTS, OPTIONAL_SCOPES, USAGE_HINT, as_yaml, manifest
from bot.slack.outgoing.api_methods import METHODS
from tests.slack.incoming.connected import connected
from tests.slack.manifest_rules import faults, schemas
from tests.system.test_access import house

ROOT = Path(__file__).parents[2]
FORMS = [manifest("/mesh"), manifest("/mesh-test"), manifest("/mesh", http_url="https://bot.example.com")]


def test_the_file_in_the_repository_is_the_generated_one() -> None:
    assert (ROOT / "manifest.yml").read_text(encoding="utf-8") == as_yaml(manifest("/mesh"))


def test_socket_mode_needs_no_address() -> None:
    assert FORMS[0]["settings"]["socket_mode_enabled"] is True
    assert "http" not in as_yaml(FORMS[0])


@pytest.mark.parametrize("address", ["https://bot.example.com", "https://bot.example.com/slack/events"])
def test_http_mode_sends_everything_to_one_address(address: str) -> None:
    made = manifest("/mesh", address)
    url = "https://bot.example.com/slack/events"
    assert made["settings"]["socket_mode_enabled"] is False
    assert made["settings"]["event_subscriptions"]["request_url"] == url
    assert made["settings"]["interactivity"] == {"is_enabled": True, "request_url": url}
    assert made["features"]["slash_commands"][0]["url"] == url


def test_the_command_can_be_another() -> None:
    assert FORMS[1]["features"]["slash_commands"][0]["command"] == "/mesh-test"


def test_people_and_channels_come_as_ids() -> None:
    assert FORMS[0]["features"]["slash_commands"][0]["should_escape"] is True


def test_history_is_optional_and_the_rest_is_what_is_used() -> None:
    scopes = FORMS[0]["oauth_config"]["scopes"]
    assert scopes["bot_optional"] == ["channels:history", "groups:history"]
    assert set(scopes["bot"]) | set(scopes["bot_optional"]) <= ALL_SCOPES
    assert "chat:write.customize" not in scopes["bot"]


@pytest.mark.parametrize("schema", schemas())
@pytest.mark.parametrize("made", FORMS)
def test_slack_takes_it(made: dict[str, Any], schema: str) -> None:
    assert faults(made, schemas()[schema]) == []


# Where in the manifest, and what stands there instead; None takes it away.
MUTATIONS: Mapping[str, object] = {
    "display_information.name": None,
    "display_information.description": "x" * 141,
    "display_information.background_color": "#1d3557ff",
    "features.bot_user.display_name": None,
    "features.bot_user.always_online": "yes",
    "features.app_home.home_tab_enabled": "true",
    "features.app_home.about_tab_enabled": True,
    "features.slash_commands.0.command": "mesh",
    "features.slash_commands.0.description": "",
    "features.slash_commands.0.usage_hint": "x" * 1001,
    "features.slash_commands.0.url": "bot.example.com",
    "oauth_config.scopes.bot": "chat:write",
    "oauth_config.scopes.bot.0": "x" * 51,
    "settings.event_subscriptions.bot_events.0": "app_mention",  # it stands there already
    "settings.event_subscriptions.request_url": "",
    "settings.interactivity.is_enabled": None,
    "settings.socket_mode_enabled": 1,
    "settings.socket_mode": True,
    "name": "Meshbot",
}


@pytest.mark.parametrize("schema", schemas())
@pytest.mark.parametrize("place", MUTATIONS)
def test_what_slack_would_not_take_is_seen(place: str, schema: str) -> None:
    *way, last = [int(one) if one.isdigit() else one for one in place.split(".")]
    broken: Any = copy.deepcopy(FORMS[2])
    inner = functools.reduce(operator.getitem, way, broken)
    inner[last] = MUTATIONS[place]
    if MUTATIONS[place] is None:
        del inner[last]
    assert faults(broken, schemas()[schema])


# ---- what is asked for is what is used
def test_only_reading_the_history_is_optional() -> None:
    optional = {name for name, method in METHODS.items() if method.scopes & set(OPTIONAL_SCOPES)}
    assert optional == {"conversations.history", "conversations.replies"}
    assert not {scope for scopes in EVENTS.values() for scope in scopes} & set(OPTIONAL_SCOPES)


async def test_a_method_whose_scopes_are_not_declared_is_not_called() -> None:
    async with connected([]) as (made, _):
        with pytest.raises(KeyError, match=r"reactions\.add"):
            await made.api.call("reactions.add", name="eyes")


async def test_every_event_that_the_bot_listens_to_is_subscribed_and_no_other(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        assert made.app.slack.arrivals.event_types == set(EVENTS)


async def test_the_hint_behind_the_slash_command_names_commands_that_exist(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        assert set(USAGE_HINT.split(", ")) <= {*made.app.slack.arrivals.commands, "help"}


def test_the_yaml_says_what_the_manifest_says() -> None:
    """Read back by a few lines that know just this much YAML."""
    flat = [line.strip().lstrip("- ") for line in as_yaml(FORMS[2]).splitlines()]
    for path in ('name: "Meshbot"', "socket_mode_enabled: false", '"chat:write"', "is_enabled: true"):
        assert path in flat
