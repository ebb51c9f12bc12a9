"""The Slack app's manifest, from the constants the code uses: what the app is called, may and listens to.

Two forms: Socket Mode, and HTTP with one address for everything. The schema is described at
docs.slack.dev/reference/app-manifest.
"""

from collections.abc import Mapping
from typing import Any, Final

from bot.slack import ids
from bot.slack.outgoing.api_methods import METHODS

# By the event's name: the scopes that Slack wants for it.
EVENTS: Final[Mapping[str, frozenset[str]]] = {
    "app_home_opened": frozenset(),
    "app_mention": frozenset({"app_mentions:read"}),
    "subteam_members_changed": frozenset({"usergroups:read"}),
    "subteam_updated": frozenset({"usergroups:read"}),
    "user_change": frozenset({"users:read"}),
}
# The history finds a post whose answer was lost, instead of repeating it.
OPTIONAL_SCOPES: Final = ("channels:history", "groups:history")
BOT_SCOPES: Final = tuple(
    sorted(
        {"commands"}.union(*EVENTS.values(), *(method.scopes for method in METHODS.values()))
        - {*OPTIONAL_SCOPES}
    )
)
PATH: Final = "/slack/events"
USAGE_HINT: Final = "status, devices, update, alerts, help"
# By the button that each of them is: where it may be chosen, how it is called, and what it does.
SHORTCUTS: Final[Mapping[str, tuple[str, str, str]]] = {
    ids.GATEWAY_FIND: ("global", "Find a gateway", "Look for gateways by name, id, tag or query"),
    ids.ROLLOUT_FORM: ("global", "Update firmware", "Plan a firmware update with menus"),
    ids.INCIDENT_ACK: ("message", "Acknowledge this alert", "Take the alert that this card is about"),
    ids.INCIDENT_SILENCE: ("message", "Silence this alert", "Hold the alerts of this card for a while"),
}


def manifest(command: str, http_url: str | None = None) -> dict[str, Any]:
    """For Socket Mode, or for HTTP when the bot's public address is given."""
    url = http_url.rstrip("/") if http_url else None
    if url and not url.endswith(PATH):
        url += PATH
    address = {"request_url": url} if url else {}
    return {
        "_metadata": {"major_version": 1},
        "display_information": {
            "name": "Meshbot",
            "description": "Watch and update a fleet of Meshtech gateways from Slack",
            "background_color": "#1d3557",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "meshbot", "always_online": True},
            "shortcuts": [
                {"name": called, "type": kind, "callback_id": button, "description": does}
                for button, (kind, called, does) in SHORTCUTS.items()
            ],
            "slash_commands": [
                {
                    "command": command,
                    "description": "Ask about gateways, rollouts and alerts, or change them",
                    "usage_hint": USAGE_HINT,
                    "should_escape": True,  # people and channels come as ids
                    **({"url": url} if url else {}),
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(BOT_SCOPES), "bot_optional": list(OPTIONAL_SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": list(EVENTS), **address},
            "interactivity": {"is_enabled": True, **address},
            "org_deploy_enabled": False,
            "socket_mode_enabled": url is None,
            "token_rotation_enabled": False,
        },
    }


def as_yaml(document: dict[str, Any]) -> str:
    """The manifest as YAML, which Slack's page takes; only what a manifest holds is written."""
    return "\n".join(_lines(document, 0)) + "\n"


def _lines(value: dict[str, Any], depth: int) -> list[str]:
    lines = []
    pad = "  " * depth
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [f"{pad}{key}:", *_lines(item, depth + 1)]
        elif isinstance(item, list):
            lines += [f"{pad}{key}:", *_items(item, depth + 1)]
        else:
            lines.append(f"{pad}{key}: {_scalar(item)}")
    return lines


def _items(items: list[Any], depth: int) -> list[str]:
    lines = []
    pad = "  " * depth
    for item in items:
        if isinstance(item, dict):
            first, *rest = _lines(item, depth + 1)
            lines += [f"{pad}- {first.strip()}", *rest]
        else:
            lines.append(f"{pad}- {_scalar(item)}")
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return f'"{value}"'
