"""The Web API methods: arguments in, answer or Slack's own error code out, the workspace changed in between.

Knows no HTTP: tokens, scopes and arguments come parsed. What Slack takes but the bot should not send is noted
in `problems`. Error codes are those of the methods' pages under docs.slack.dev/reference/methods.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from bot.demo.slack.limits import check_message, check_view
from bot.demo.slack.views import OpenViews, SlackRefusal
from bot.demo.slack.workspace import BOT, BOT_USER, TEAM, Channel, PostedMessage, SharedFile, Workspace

Json = dict[str, Any]

ALL_SCOPES = frozenset(
    {
        "app_mentions:read",
        "channels:history",
        "channels:read",
        "chat:write",
        "commands",
        "files:write",
        "groups:history",
        "groups:read",
        "im:history",
        "im:read",
        "im:write",
        "usergroups:read",
        "users:read",
    }
)
_SCOPE_OF = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.open": "im:write",
    "files.completeUploadExternal": "files:write",
    "files.getUploadURLExternal": "files:write",
    "usergroups.list": "usergroups:read",
    "usergroups.users.list": "usergroups:read",
    "users.info": "users:read",
    "users.list": "users:read",
}


class WebApiServer:
    """Every method the bot may call. `call` raises `SlackRefusal` with Slack's error code."""

    def __init__(
        self, workspace: Workspace, views: OpenViews, scopes: frozenset[str], problems: list[str], url: str
    ) -> None:
        self._workspace = workspace
        self._views = views
        self._problems = problems
        self._url = url
        self.scopes = scopes
        self.bot_token, self.app_token = "", ""
        self.open_connection: Callable[[], str] = str
        self._methods: dict[str, Callable[[Json], Json]] = {
            "auth.test": self._auth_test,
            "apps.connections.open": self._connections_open,
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "conversations.info": self._conversations_info,
            "conversations.list": self._conversations_list,
            "conversations.open": self._conversations_open,
            "conversations.history": self._history,
            "conversations.replies": self._history,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete_upload,
            "usergroups.list": self._groups,
            "usergroups.users.list": self._group_users,
            "users.info": self._users_info,
            "users.list": self._users_list,
            "views.open": self._views_call(views.open),
            "views.push": self._views_call(views.push),
            "views.update": self._views_call(views.update),
            "views.publish": self._views_call(views.publish),
        }

    def call(self, method: str, token: str, args: Json) -> Json:
        """The answer, `ok` included."""
        if method not in self._methods:
            raise SlackRefusal("unknown_method", req_method=method)
        self._authorize(method, token)
        if method in _SCOPE_OF:
            self._need(_SCOPE_OF[method])
        return {"ok": True} | self._methods[method](args)

    def note(self, source: str, problems: list[Any]) -> None:
        """Remember what is wrong with something the bot sent."""
        self._problems.extend(f"{source}: {problem}" for problem in problems)

    def check_blocks(self, blocks: object) -> list[str]:
        """What is wrong with blocks that are right in themselves: files, and types that this Slack lacks."""
        kinds = (
            [block.get("type") for block in blocks if isinstance(block, dict)]
            if isinstance(blocks, list)
            else []
        )
        lacking = [f"unsupported type: {kind}" for kind in kinds if kind in self._workspace.lacks]
        return [*lacking, *self.check_files(blocks)]

    def check_files(self, thing: object) -> list[str]:
        """What is wrong with the uploaded files that blocks show."""
        unknown = [file_id for file_id in _slack_files(thing) if not self._is_uploaded(file_id)]
        return [f"slack_file {file_id} does not exist" for file_id in unknown]

    def _is_uploaded(self, file_id: str) -> bool:
        file = self._workspace.files.get(file_id)
        return file is not None and file.complete

    def _authorize(self, method: str, token: str) -> None:
        if not token:
            raise SlackRefusal("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise SlackRefusal("invalid_auth")
        if (token == self.app_token) != (method == "apps.connections.open"):
            raise SlackRefusal("not_allowed_token_type")

    def _need(self, scope: str) -> None:
        if scope not in self.scopes:
            raise SlackRefusal("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def _auth_test(self, args: Json) -> Json:
        return {
            "url": "https://mesh.slack.example/",
            "team": "Mesh",
            "user": "meshbot",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT,
            "is_enterprise_install": self._workspace.is_org_wide,
        }

    def _connections_open(self, args: Json) -> Json:
        return {"url": self.open_connection()}

    # Messages

    def _post_message(self, args: Json) -> Json:
        channel = self._destination(str(args.get("channel") or ""))
        thread_ts = self._thread(channel, args)
        self._accept_message("chat.postMessage", args, update=False)
        message = PostedMessage(
            channel.id,
            self._workspace.next_ts(),
            str(args.get("text") or "")[:40_000],
            BOT_USER,
            blocks=args.get("blocks") or [],
            thread_ts=thread_ts,
            broadcast=bool(args.get("reply_broadcast")),
            metadata=args.get("metadata"),
            attachments=args.get("attachments") or [],
        )
        self._workspace.add(message)
        return {"channel": channel.id, "ts": message.ts, "message": message.to_json()}

    def _update(self, args: Json) -> Json:
        channel = self._conversation(str(args.get("channel") or ""))
        if channel.is_archived:
            raise SlackRefusal("is_inactive")
        message = self._workspace.find(channel.id, str(args.get("ts") or ""))
        if message is None or message.ephemeral_to is not None:
            raise SlackRefusal("message_not_found")
        if message.user != BOT_USER:
            raise SlackRefusal("cant_update_message")
        self._accept_message("chat.update", args, update=True)
        text = str(args.get("text") or "")
        if "attachments" in args:
            message.attachments = args["attachments"] or []
        self._workspace.edit(message, text, args.get("blocks") or [], args.get("metadata"))
        return {"channel": channel.id, "ts": message.ts, "text": text, "message": message.to_json()}

    def _accept_message(self, method: str, args: Json, *, update: bool) -> None:
        if not args.get("text") and not args.get("blocks") and not args.get("attachments"):
            raise SlackRefusal("no_text")
        found = check_message(args, update=update)
        self.note(method, found)
        refused = [problem for problem in found if problem.refused]
        for problem in refused:
            if problem.where == "text":
                raise SlackRefusal("msg_too_long")
            if problem.where == "metadata":
                raise SlackRefusal(
                    "metadata_too_large" if "more than" in problem.what else "invalid_metadata_format"
                )
            if problem.where == "attachments":
                raise SlackRefusal("too_many_attachments")
        messages = [str(problem) for problem in refused] + self.check_blocks(args.get("blocks"))
        if messages:
            raise SlackRefusal("invalid_blocks", messages=[f"[ERROR] {message}" for message in messages])

    def _thread(self, channel: Channel, args: Json) -> str | None:
        thread_ts = args.get("thread_ts")
        if not thread_ts:
            return None
        parent = self._workspace.find(channel.id, str(thread_ts))
        if parent is None or parent.ephemeral_to is not None:
            raise SlackRefusal("thread_not_found")
        if parent.is_reply:
            self.note("thread_ts", [f"{thread_ts} is a reply: a thread is named by its first message"])
        if parent.thread_ts is None:
            parent.thread_ts = parent.ts
        return parent.thread_ts

    def _destination(self, channel_id: str) -> Channel:
        """Where something may be posted; a person's id opens their direct messages."""
        if channel_id[:1] in ("U", "W"):
            user = self._workspace.users.get(channel_id)
            if user is None or user.deleted:
                raise SlackRefusal("channel_not_found")
            return self._workspace.dm(channel_id)
        channel = self._conversation(channel_id)
        if channel.is_archived:
            raise SlackRefusal("is_archived")
        if not channel.has_bot and "chat:write.public" not in self.scopes:
            raise SlackRefusal("not_in_channel")
        return channel

    def _conversation(self, channel_id: str) -> Channel:
        """A conversation that the bot may know of."""
        channel = self._workspace.channels.get(channel_id)
        if channel is None or (channel.is_private and not channel.has_bot):
            raise SlackRefusal("channel_not_found")
        return channel

    # Conversations

    def _conversations_info(self, args: Json) -> Json:
        channel = self._conversation(str(args.get("channel") or ""))
        self._need(_by_type(channel, "read"))
        return {"channel": channel.to_json()}

    def _conversations_list(self, args: Json) -> Json:
        """Public channels, and the private ones that the bot is in."""
        types = str(args.get("types") or "public_channel").split(",")
        for kind, scope in (("public_channel", "channels:read"), ("private_channel", "groups:read")):
            if kind in types:
                self._need(scope)
        listed = [
            channel.to_json()
            for channel in self._workspace.channels.values()
            if not channel.im_user
            and ("private_channel" if channel.is_private else "public_channel") in types
            and (channel.has_bot or not channel.is_private)
            and not (args.get("exclude_archived") and channel.is_archived)
        ]
        return _page("channels", listed, args)

    def _conversations_open(self, args: Json) -> Json:
        user_id = str(args.get("users") or "").strip()
        user = self._workspace.users.get(user_id)
        if "," in user_id:
            raise SlackRefusal("invalid_arguments")
        if user is None:
            raise SlackRefusal("user_not_found" if user_id else "users_list_not_supplied")
        if user.deleted:
            raise SlackRefusal("user_disabled")
        if user.is_bot:
            raise SlackRefusal("cannot_dm_bot")
        return {"channel": {"id": self._workspace.dm(user_id).id}}

    def _history(self, args: Json) -> Json:
        """conversations.history, and with a `ts` conversations.replies (which goes the other way round)."""
        channel = self._conversation(str(args.get("channel") or ""))
        self._need(_by_type(channel, "history"))
        if not channel.has_bot:
            raise SlackRefusal("not_in_channel")
        messages = self._listed(channel, args)
        metadata = bool(args.get("include_all_metadata"))
        page = _page("messages", [message.to_json(metadata=metadata) for message in messages], args)
        return page | {"has_more": bool(page["response_metadata"]["next_cursor"]), "pin_count": 0}

    def _listed(self, channel: Channel, args: Json) -> list[PostedMessage]:
        if args.get("ts"):
            parent = self._workspace.find(channel.id, str(args["ts"]))
            if parent is None:
                raise SlackRefusal("thread_not_found")
            messages = [parent, *self._workspace.thread(parent)]
        else:
            messages = self._workspace.in_channel(channel.id)[::-1]
        oldest, latest = float(args.get("oldest") or 0), float(args.get("latest") or "inf")
        if args.get("inclusive"):
            return [message for message in messages if oldest <= float(message.ts) <= latest]
        return [message for message in messages if oldest < float(message.ts) < latest]

    # People

    def _users_info(self, args: Json) -> Json:
        asked = str(args.get("user") or "-")
        user = next((one for one in self._workspace.users.values() if asked in (one.id, one.grid_id)), None)
        if user is None:
            raise SlackRefusal("user_not_found")
        if not user.visible:
            raise SlackRefusal("user_not_visible")
        return {"user": user.to_json()}

    def _users_list(self, args: Json) -> Json:
        return _page(
            "members", [one.to_json() for one in self._workspace.users.values() if one.visible], args
        )

    def _groups(self, args: Json) -> Json:
        users = bool(args.get("include_users"))
        return {"usergroups": [group.to_json(users=users) for group in self._workspace.groups.values()]}

    def _group_users(self, args: Json) -> Json:
        group = self._workspace.groups.get(str(args.get("usergroup") or ""))
        if group is None:
            raise SlackRefusal("no_such_subteam")
        return {"users": list(group.users)}

    # Files

    def _upload_url(self, args: Json) -> Json:
        name, length = str(args.get("filename") or ""), int(args.get("length") or 0)
        if not name or length < 1:
            raise SlackRefusal("invalid_arguments")
        file = SharedFile(
            self._workspace.next_id("F0"), name, length, alt_text=str(args.get("alt_txt") or "")
        )
        self._workspace.files[file.id] = file
        while len(self._workspace.files) > self._workspace.most_files:
            del self._workspace.files[next(iter(self._workspace.files))]
        return {"upload_url": f"{self._url}upload/{file.id}", "file_id": file.id}

    def _complete_upload(self, args: Json) -> Json:
        wanted = args.get("files")
        if not isinstance(wanted, list) or not wanted:
            raise SlackRefusal("invalid_arguments")
        channel_id = str(args.get("channel_id") or "")
        if channel_id[:1] in ("U", "W"):
            raise SlackRefusal("channel_not_found")
        channel = self._destination(channel_id) if channel_id else None
        thread_ts = self._thread(channel, args) if channel else None
        files = [self._finished(item) for item in wanted]
        if channel:
            self._share(files, channel, thread_ts, str(args.get("initial_comment") or ""))
        return {"files": [file.to_json() for file in files]}

    def _finished(self, item: Json) -> SharedFile:
        file = self._workspace.files.get(str(item.get("id") or ""))
        if file is None or file.complete or file.content is None:
            raise SlackRefusal("file_not_found")
        if len(file.content) != file.length:
            self.note("upload", [f"{file.name} has {len(file.content)} bytes, announced were {file.length}"])
        file.title, file.complete = str(item.get("title") or ""), True
        return file

    def _share(self, files: list[SharedFile], channel: Channel, thread_ts: str | None, comment: str) -> None:
        if comment:
            self.note("files.completeUploadExternal", check_message({"text": comment}))
        ts = self._workspace.next_ts()
        for file in files:
            file.channel, file.thread_ts = channel.id, thread_ts
        self._workspace.add(
            PostedMessage(channel.id, ts, comment, BOT_USER, thread_ts=thread_ts, files=files)
        )

    # Views

    def _views_call(self, method: Callable[[Json], Json]) -> Callable[[Json], Json]:
        def checked(args: Json) -> Json:
            self.accept_view(args.get("view"))
            return method(args)

        return checked

    def accept_view(self, view: object, source: str = "views") -> None:
        """Note what is wrong with a view, and refuse what Slack would refuse."""
        if not isinstance(view, dict):
            raise SlackRefusal("invalid_arguments", messages=["[ERROR] missing required field: view"])
        found = check_view(view)
        self.note(source, found)
        messages = [str(problem) for problem in found if problem.refused] + self.check_files(view)
        if messages:
            raise SlackRefusal("invalid_arguments", messages=[f"[ERROR] {message}" for message in messages])


def _page(name: str, things: list[Json], args: Json) -> Json:
    """A page of a list, and the cursor that leads to the next."""
    limit = int(args.get("limit") or 100)
    if not 1 <= limit <= 999:
        raise SlackRefusal("invalid_limit")
    start = int(str(args.get("cursor") or "at:0").removeprefix("at:"))
    more = f"at:{start + limit}" if start + limit < len(things) else ""
    return {name: things[start : start + limit], "response_metadata": {"next_cursor": more}}


def _by_type(channel: Channel, what: str) -> str:
    kind = "im" if channel.im_user else "groups" if channel.is_private else "channels"
    return f"{kind}:{what}"


def _slack_files(thing: object) -> Iterator[str]:
    if isinstance(thing, list):
        for one in thing:
            yield from _slack_files(one)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            if key == "slack_file" and isinstance(value, dict) and "id" in value:
                yield str(value["id"])
            else:
                yield from _slack_files(value)


def parsed(args: dict[str, Any]) -> Json:
    """Arguments as they came in a form: lists and objects are JSON in a string, truth is `1` or `true`."""
    answer: Json = {}
    for key, value in args.items():
        if key in ("blocks", "attachments", "metadata", "view", "files") and isinstance(value, str):
            try:
                answer[key] = json.loads(value)
            except ValueError:
                raise SlackRefusal(
                    f"invalid_{key}_format" if key != "view" else "invalid_arguments"
                ) from None
        elif isinstance(value, str) and key in _FLAGS:
            answer[key] = value.lower() in ("1", "true")
        else:
            answer[key] = value
    return answer


_FLAGS = frozenset(
    {
        "reply_broadcast",
        "include_all_metadata",
        "inclusive",
        "include_users",
        "exclude_archived",
        "link_names",
        "unfurl_links",
    }
)
