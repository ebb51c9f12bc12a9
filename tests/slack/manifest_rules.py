"""What Slack takes as a manifest, as far as ours goes: a schema in our own words, stricter than it need be.

Whoever has Slack's own schema as a file names it in ``SLACK_MANIFEST_SCHEMA``; then both are asked.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

Json = Mapping[str, Any]

SLACKS_OWN = "SLACK_MANIFEST_SCHEMA"
YES_NO: Json = {"type": "boolean"}
ADDRESS: Json = {"type": "string", "pattern": "^https://", "maxLength": 3000}


def text(most: int, pattern: str = "") -> Json:
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern}


def names() -> Json:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": text(50, "^[a-z_:]+$")}


def exactly(optional: tuple[str, ...] = (), **properties: Json) -> Json:
    """An object with these keys and no other, all of them there but the optional ones."""
    needed = [key for key in properties if key not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


RULES = exactly(
    _metadata=exactly(major_version={"enum": [1, 2]}),
    display_information=exactly(
        name=text(35), description=text(140), background_color=text(7, "^#[0-9a-f]{6}$")
    ),
    features=exactly(
        app_home=exactly(
            home_tab_enabled=YES_NO, messages_tab_enabled=YES_NO, messages_tab_read_only_enabled=YES_NO
        ),
        shortcuts={
            "type": "array",
            "minItems": 1,
            "maxItems": 5,
            "items": exactly(
                name=text(24),
                type={"enum": ["global", "message"]},
                callback_id=text(255, "^[a-z_]+$"),
                description=text(150),
            ),
        },
        bot_user=exactly(display_name=text(80), always_online=YES_NO),
        slash_commands={
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": exactly(
                optional=("url",),
                command=text(32, "^/[a-z0-9_-]+$"),
                description=text(2000),
                usage_hint=text(1000),
                should_escape=YES_NO,
                url=ADDRESS,
            ),
        },
    ),
    oauth_config=exactly(scopes=exactly(bot=names(), bot_optional=names())),
    settings=exactly(
        event_subscriptions=exactly(optional=("request_url",), bot_events=names(), request_url=ADDRESS),
        interactivity=exactly(optional=("request_url",), is_enabled=YES_NO, request_url=ADDRESS),
        org_deploy_enabled=YES_NO,
        socket_mode_enabled=YES_NO,
        token_rotation_enabled=YES_NO,
    ),
)


def schemas() -> dict[str, Json]:
    """Every schema that a manifest must pass, by name."""
    found: dict[str, Json] = {"our own": RULES}
    if path := os.environ.get(SLACKS_OWN):
        found[path] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def faults(manifest: Json, schema: Json) -> list[str]:
    """What is wrong with it, each with its place."""
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(manifest)]
