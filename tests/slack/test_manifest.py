"""The manifest: what the code needs is asked for, nothing else, in the form Slack takes."""

import re
from pathlib import Path
from typing import Any

import pytest

from bot.demo.slack_api import ALL_SCOPES
from bot.slack.manifest import as_yaml, manifest

ROOT = Path(__file__).parents[2]
FORMS = [manifest(), manifest("/mesh-test"), manifest(http_url="https://bot.example.com")]


def test_the_file_in_the_repository_is_the_generated_one() -> None:
    assert (ROOT / "manifest.yml").read_text(encoding="utf-8") == as_yaml(manifest())


def test_socket_mode_needs_no_address() -> None:
    assert FORMS[0]["settings"]["socket_mode_enabled"] is True
    assert "http" not in as_yaml(FORMS[0])


@pytest.mark.parametrize("address", ["https://bot.example.com", "https://bot.example.com/slack/events"])
def test_http_mode_sends_everything_to_one_address(address: str) -> None:
    made = manifest(http_url=address)
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


@pytest.mark.parametrize("made", FORMS)
def test_lengths_and_shapes_are_what_slack_s_schema_asks_for(made: dict[str, Any]) -> None:
    command = made["features"]["slash_commands"][0]
    assert 1 <= len(made["display_information"]["name"]) <= 35
    assert len(made["display_information"]["description"]) <= 140
    assert re.fullmatch(r"#[0-9a-f]{6}", made["display_information"]["background_color"])
    assert re.fullmatch(r"/[a-z0-9_-]{1,31}", command["command"])
    assert len(command["description"]) <= 2000
    assert len(command["usage_hint"]) <= 1000
    assert set(made) == {"_metadata", "display_information", "features", "oauth_config", "settings"}


def test_the_yaml_says_what_the_manifest_says() -> None:
    """Read back by a few lines that know just this much YAML."""
    flat = [line.strip().lstrip("- ") for line in as_yaml(FORMS[2]).splitlines()]
    for path in ('name: "Meshbot"', "socket_mode_enabled: false", '"chat:write"', "is_enabled: true"):
        assert path in flat
