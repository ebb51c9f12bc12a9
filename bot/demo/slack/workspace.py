"""The people, channels, groups, messages, files and views of a made-up Slack workspace.

State only: what exists and who may see it. It knows no HTTP and no error codes; those are in `api`.
"""

import copy
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

TEAM, APP, BOT_USER, BOT = "T0MESH0001", "A0MESHBOT1", "U0MESHBOT1", "B0MESHBOT1"
VIEWER, OPERATOR, OPERATOR_2 = "U0VIEWER01", "U0OPERAT01", "U0OPERAT02"
APPROVER, APPROVER_2, ADMIN = "U0APPROV01", "U0APPROV02", "U0ADMIN001"
GUEST, EXTERNAL, DEACTIVATED = "U0GUEST001", "U0EXTERN01", "U0DEACTI01"
FLEET_ALERTS, ROLLOUTS, OPS, RANDOM = "C0ALERTS01", "C0ROLLOUT1", "C0OPS00001", "C0RANDOM01"
PRIVATE_NO_BOT, ARCHIVED = "C0PRIVATE1", "C0ARCHIVE1"
OPERATORS, APPROVERS, ADMINS = "S0OPERAT01", "S0APPROV01", "S0ADMINS01"

_MOST_MESSAGES, _MOST_FILES = 20_000, 1_000
_MANGLED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass
class User:
    id: str
    name: str
    real_name: str
    tz: str = "Europe/Oslo"
    team_id: str = TEAM
    grid_id: str = ""  # of the organisation, on Enterprise Grid
    is_admin: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    is_bot: bool = False
    deleted: bool = False
    visible: bool = True  # to the app: users.info describes nobody else

    def to_json(self) -> Json:
        """The `user` of users.info; a deactivated person lacks the flags, as in Slack."""
        profile = {
            "real_name": self.real_name,
            "real_name_normalized": self.real_name,
            "display_name": self.real_name,
            "display_name_normalized": self.real_name,
            "status_text": "",
            "status_emoji": "",
            "avatar_hash": "",
            "team": self.team_id,
        }
        answer: Json = {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "deleted": self.deleted,
            "profile": profile,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "updated": 1_700_000_000,
        }
        if self.grid_id:
            answer["enterprise_user"] = {
                "id": self.grid_id,
                "enterprise_id": "E0MESH0001",
                "enterprise_name": "Mesh",
                "is_admin": False,
                "is_owner": False,
                "teams": [self.team_id],
            }
        if self.deleted:
            return answer
        return answer | {
            "color": "9f69e7",
            "real_name": self.real_name,
            "tz": self.tz,
            "tz_label": self.tz,
            "tz_offset": 3600,
            "is_admin": self.is_admin,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_stranger": self.is_stranger,
            "is_email_confirmed": True,
            "who_can_share_contact_card": "EVERYONE",
        }


@dataclass
class Channel:
    id: str
    name: str
    members: set[str] = field(default_factory=set)
    is_private: bool = False
    is_archived: bool = False
    is_ext_shared: bool = False
    im_user: str = ""

    @property
    def has_bot(self) -> bool:
        return BOT_USER in self.members

    def to_json(self) -> Json:
        base: Json = {"id": self.id, "created": 1_700_000_000, "is_archived": self.is_archived}
        if self.im_user:
            return base | {"is_im": True, "user": self.im_user, "is_user_deleted": False, "priority": 0}
        return base | {
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.is_private,
            "is_group": self.is_private,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.is_private,
            "is_general": False,
            "is_member": self.has_bot,
            "is_shared": self.is_ext_shared,
            "is_ext_shared": self.is_ext_shared,
            "is_org_shared": False,
            "creator": ADMIN,
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
            "num_members": len(self.members),
        }


@dataclass
class Group:
    """A user group (`S…`), mentioned as `<!subteam^S…>`."""

    id: str
    handle: str
    users: list[str]

    def to_json(self, *, users: bool) -> Json:
        answer: Json = {
            "id": self.id,
            "team_id": TEAM,
            "is_usergroup": True,
            "is_subteam": True,
            "name": self.handle.capitalize(),
            "handle": self.handle,
            "description": "",
            "is_external": False,
            "date_create": 1_700_000_000,
            "date_update": 1_700_000_000,
            "date_delete": 0,
            "user_count": len(self.users),
            "prefs": {"channels": [], "groups": []},
        }
        return answer | ({"users": list(self.users)} if users else {})


@dataclass(eq=False)
class PostedMessage:
    """One message; the object stays the same while it is edited, so a test may hold on to it."""

    channel: str
    ts: str
    text: str
    user: str
    blocks: list[Json] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: Json | None = None
    attachments: list[Json] = field(default_factory=list)
    files: list["SharedFile"] = field(default_factory=list)
    ephemeral_to: str | None = None
    edits: int = 0
    deleted: bool = False

    @property
    def is_reply(self) -> bool:
        return self.thread_ts is not None and self.thread_ts != self.ts

    def snapshot(self) -> "PostedMessage":
        """The message as it is drawn now, for a person who clicks after it has changed."""
        return copy.deepcopy(self)

    def to_json(self, *, metadata: bool = True) -> Json:
        answer: Json = {"type": "message", "user": self.user, "ts": self.ts, "text": self.text, "team": TEAM}
        if self.user == BOT_USER:
            answer |= {"bot_id": BOT, "app_id": APP, "bot_profile": BOT_PROFILE}
        if self.blocks:
            answer["blocks"] = self.blocks
        if self.attachments:
            answer["attachments"] = self.attachments
        if self.thread_ts:
            answer["thread_ts"] = self.thread_ts
        if self.broadcast:
            answer["subtype"] = "thread_broadcast"
        if self.files:
            answer["files"] = [file.to_json() for file in self.files]
        if metadata and self.metadata:
            answer["metadata"] = self.metadata
        if self.edits and not self.blocks:
            answer["edited"] = {"user": self.user, "ts": self.ts}
        return answer


BOT_PROFILE: Json = {
    "id": BOT,
    "deleted": False,
    "name": "meshbot",
    "updated": 1_700_000_000,
    "app_id": APP,
    "icons": {"image_36": "", "image_48": "", "image_72": ""},
    "team_id": TEAM,
}


@dataclass(eq=False)
class SharedFile:
    id: str
    name: str
    length: int
    title: str = ""
    alt_text: str = ""
    content: bytes | None = None
    channel: str | None = None
    thread_ts: str | None = None
    complete: bool = False

    def to_json(self) -> Json:
        kind = self.name.rpartition(".")[2] or "text"
        return {
            "id": self.id,
            "name": self.name,
            "title": self.title or self.name,
            "created": 1_700_000_000,
            "timestamp": 1_700_000_000,
            "mimetype": {"csv": "text/csv", "png": "image/png", "json": "application/json"}.get(
                kind, "text/plain"
            ),
            "filetype": kind,
            "pretty_type": kind.upper(),
            "user": BOT_USER,
            "user_team": TEAM,
            "editable": False,
            "size": self.length,
            "mode": "hosted",
            "is_external": False,
            "is_public": False,
            "url_private": f"https://files.example/{self.id}/{self.name}",
            "permalink": f"https://mesh.slack.example/files/{BOT_USER}/{self.id}/{self.name}",
            "alt_txt": self.alt_text,
            "channels": [self.channel] if self.channel and self.channel[0] == "C" else [],
            "ims": [self.channel] if self.channel and self.channel[0] == "D" else [],
        }


@dataclass(eq=False)
class View:
    """A modal or a home tab on one person's screen; `values` is what has been typed so far."""

    id: str
    user: str
    body: Json
    hash: str
    root_view_id: str
    previous_view_id: str | None = None
    is_open: bool = True
    errors: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, Json]] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def callback_id(self) -> str:
        return str(self.body.get("callback_id") or "")

    @property
    def blocks(self) -> list[Json]:
        return list(self.body["blocks"])

    def to_json(self) -> Json:
        keep = ("title", "submit", "close")
        return {
            "id": self.id,
            "team_id": TEAM,
            "type": self.type,
            "blocks": self.blocks,
            "private_metadata": self.body.get("private_metadata") or "",
            "callback_id": self.callback_id,
            "external_id": self.body.get("external_id") or "",
            "state": {"values": copy.deepcopy(self.values)},
            "hash": self.hash,
            **{key: self.body.get(key) for key in keep},
            "clear_on_close": bool(self.body.get("clear_on_close")),
            "notify_on_close": bool(self.body.get("notify_on_close")),
            "submit_disabled": False,
            "root_view_id": self.root_view_id,
            "previous_view_id": self.previous_view_id,
            "app_id": APP,
            "app_installed_team_id": TEAM,
            "bot_id": BOT,
        }


class Workspace:
    """Everything that exists in the made-up workspace. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.changed: Callable[[str, object], None] = _nobody_watches
        self.is_org_wide = False  # the app is installed for a whole organisation
        self.lacks: frozenset[str] = frozenset()  # types of blocks that Slack has not given it yet
        self.most_messages, self.most_files = _MOST_MESSAGES, _MOST_FILES
        self._last_ts = 0
        self._numbers = itertools.count(1)
        self.users = {user.id: user for user in _people()}
        self.channels = {channel.id: channel for channel in _channels()}
        self.groups = {
            OPERATORS: Group(OPERATORS, "operators", [OPERATOR, OPERATOR_2]),
            APPROVERS: Group(APPROVERS, "approvers", [APPROVER, APPROVER_2]),
            ADMINS: Group(ADMINS, "admins", [ADMIN]),
        }
        self.messages: dict[tuple[str, str], PostedMessage] = {}
        self.files: dict[str, SharedFile] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[str, View] = {}

    def archive(self, channel_id: str, *, archived: bool = True) -> None:
        """Somebody archives a channel, or takes it back."""
        channel = self.channels[channel_id]
        channel.is_archived = archived
        self.changed("channel", channel)

    def kick(self, channel_id: str, user_id: str = BOT_USER) -> None:
        """Somebody takes a member out of a channel, the bot unless another is named."""
        channel = self.channels[channel_id]
        channel.members.discard(user_id)
        self.changed("channel", channel)

    def next_ts(self) -> str:
        """A message time stamp: unique in the workspace and never smaller than the one before."""
        self._last_ts = max(self._last_ts + 1, int(self._clock() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def next_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers):09d}"

    def dm(self, user: str) -> Channel:
        """The direct messages between a person and the bot; the first call opens them."""
        channel_id = "D" + user[1:]
        if channel_id not in self.channels:
            self.channels[channel_id] = Channel(channel_id, "directmessage", {user, BOT_USER}, im_user=user)
        return self.channels[channel_id]

    def add(self, message: PostedMessage) -> PostedMessage:
        _number_blocks(message)
        self.messages[(message.channel, message.ts)] = message
        while len(self.messages) > self.most_messages:
            del self.messages[next(iter(self.messages))]
        self.changed("posted", message)
        return message

    def edit(
        self, message: PostedMessage, text: str, blocks: list[Json], metadata: Json | None = None
    ) -> None:
        """New content for a message; as in Slack, blocks that are not given again are gone."""
        message.text, message.blocks = text, blocks
        message.metadata = metadata or message.metadata
        message.edits += 1
        _number_blocks(message)
        self.changed("edited", message)

    def find(self, channel: str, ts: str) -> PostedMessage | None:
        """The message with that time stamp, unless it has been deleted."""
        message = self.messages.get((channel, ts))
        return None if message is None or message.deleted else message

    def in_channel(self, channel: str) -> list[PostedMessage]:
        """What everybody sees in a channel (or in a person's direct messages), thread replies left out."""
        channel = self.dm(channel).id if channel.startswith("U") else channel
        return [
            m for m in self._seen_in(channel) if m.ephemeral_to is None and (not m.is_reply or m.broadcast)
        ]

    def thread(self, parent: PostedMessage) -> list[PostedMessage]:
        """The replies to a message, oldest first."""
        return [m for m in self._seen_in(parent.channel) if m.is_reply and m.thread_ts == parent.ts]

    def ephemeral_for(self, user: str) -> list[PostedMessage]:
        """What only that person sees, oldest first."""
        return [m for m in self.messages.values() if m.ephemeral_to == user and not m.deleted]

    def open_views(self, user: str) -> list[View]:
        """A person's modals, the one on top last."""
        return [view for view in self.views.values() if view.user == user and view.is_open]

    def delete_message(self, message: PostedMessage) -> None:
        """A person with the right to do so deletes a message."""
        message.deleted = True
        self.changed("deleted", message)

    def _seen_in(self, channel: str) -> list[PostedMessage]:
        return [m for (where, _), m in self.messages.items() if where == channel and not m.deleted]


def _nobody_watches(kind: str, thing: object) -> None:
    """Until a server listens, changes are nobody's business."""


def _number_blocks(message: PostedMessage) -> None:
    for number, block in enumerate(message.blocks):
        block.setdefault("block_id", f"b{number}{message.ts[-6:]}{message.edits or ''}")


def mangle(text: str) -> str:
    """What Slack makes of a text typed on a Mac: entities, curly quotes, dashes, links and hard spaces."""
    words = text.translate(_MANGLED).split(" ")
    for number, word in enumerate(words):
        if word.startswith("--"):
            words[number] = "—" + word[2:]
        elif word.startswith(("http://", "https://")):
            words[number] = f"<{word}>"
        elif word.startswith("www."):
            words[number] = f"<http://{word}|{word}>"
    joined = " ".join(words)
    opening = True
    letters = []
    for letter in joined:
        if letter == '"':
            letter, opening = ("“" if opening else "”"), not opening
        letters.append(letter)
    return "".join(letters).replace("  ", "\N{NO-BREAK SPACE} ")


def _people() -> list[User]:
    return [
        User(VIEWER, "vera", "Vera Holm"),
        User(OPERATOR, "otto", "Otto Lie"),
        User(OPERATOR_2, "olga", "Olga Dahl", tz="Europe/Kyiv"),
        User(APPROVER, "ana", "Ana Moe"),
        User(APPROVER_2, "arne", "Arne Vik"),
        User(ADMIN, "ada", "Ada Lund", is_admin=True),
        User(GUEST, "gustav", "Gustav Ness", is_restricted=True),
        User(EXTERNAL, "eva", "Eva Berg", team_id="T0OTHER001", is_stranger=True),
        User(DEACTIVATED, "dag", "Dag Strand", deleted=True),
        User(BOT_USER, "meshbot", "Meshbot", is_bot=True),
    ]


def _channels() -> list[Channel]:
    staff = {VIEWER, OPERATOR, OPERATOR_2, APPROVER, APPROVER_2, ADMIN}
    return [
        Channel(FLEET_ALERTS, "fleet-alerts", staff | {BOT_USER}),
        Channel(ROLLOUTS, "rollouts", staff | {BOT_USER}),
        Channel(OPS, "ops", staff | {BOT_USER, GUEST, EXTERNAL}),
        Channel(RANDOM, "random", set(staff)),
        Channel(PRIVATE_NO_BOT, "private-no-bot", set(staff), is_private=True),
        Channel(ARCHIVED, "archived", staff | {BOT_USER}, is_archived=True),
    ]
