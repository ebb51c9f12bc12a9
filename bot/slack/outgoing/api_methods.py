"""The methods of Slack's Web API that the bot calls, each with what Slack wants for it.

The manifest asks for these scopes, and ``WebApi`` calls no other method. See docs.slack.dev/reference/methods
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Method:
    """``form``: it takes no JSON; ``once``: carried out twice, it does something else than once.

    A channel may be public or private, so some need one of two scopes.
    """

    scopes: frozenset[str] = frozenset()
    form: bool = False
    once: bool = False


def _method(*scopes: str, form: bool = False, once: bool = False) -> Method:
    return Method(frozenset(scopes), form, once)


METHODS: Final[Mapping[str, Method]] = {
    "apps.connections.open": _method(form=True),  # has a token of its own
    "auth.test": _method(form=True),
    "chat.postMessage": _method("chat:write", once=True),
    "chat.update": _method("chat:write"),
    "conversations.history": _method("channels:history", "groups:history", form=True),
    "conversations.info": _method("channels:read", "groups:read", form=True),
    "conversations.list": _method("channels:read", "groups:read", form=True),
    "conversations.open": _method("im:write"),
    "conversations.replies": _method("channels:history", "groups:history", form=True),
    "files.completeUploadExternal": _method("files:write", once=True),
    "files.getUploadURLExternal": _method("files:write", form=True),
    "usergroups.list": _method("usergroups:read", form=True),
    "usergroups.users.list": _method("usergroups:read", form=True),
    "users.info": _method("users:read", form=True),
    "users.list": _method("users:read", form=True),
    "views.open": _method(once=True),
    "views.publish": _method(),
    "views.update": _method(),
}
