"""``meshbot init``: from nothing to a bot that can post in one's own workspace.

It asks for what is missing and for what the doctor finds wrong, tries each answer at once, and writes it to
``.env`` when it is right, so that a second run asks nothing. What is right is for the settings and the doctor
to say.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import questionary

from bot.doctor import run as doctor
from bot.doctor.findings import Finding, Findings, fatal
from bot.doctor.portal import ACCOUNT, PORTAL_URLS, meshtech
from bot.doctor.roles import APPROVERS, SELF_APPROVAL, access
from bot.doctor.slack import (
    APP_TOKEN,
    SLACK_URL,
    bot_token,
    default_channel,
    default_channels,
    scopes,
    way_in,
)
from bot.domain.errors import StartupError
from bot.network import Network
from bot.settings.definitions import Examined, Settings, examine
from bot.settings.env_file import names_in, write_settings
from bot.slack.manifest import manifest
from bot.slack.outgoing.web_api import APPS, BOT_TOKEN, SlackFailed, WebApi
from bot.wiring.ground import web_api_of

ENV_FILE: Final = Path(".env")
SIGNING_SECRET: Final = "MESHBOT_SLACK__SIGNING_SECRET"  # noqa: S105 - the name of a setting
_COMMAND: Final = "MESHBOT_SLACK__COMMAND"
_ADDRESSES: Final = {SLACK_URL, *PORTAL_URLS}
_SEARCH: Final = "(type to search)"
_SEVERAL: Final = "(type to search, Space chooses)"
_PAGE: Final = 200  # of a list, as Slack recommends


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for one setting. ``is_needed``: there is no bot without; ``is_for_trouble``: it is asked
    only where something is wrong without."""

    variable: str
    words: str
    is_needed: bool = False
    is_secret: bool = False
    is_for_trouble: bool = False


# By the flag that answers it where nobody is asked.
QUESTIONS: Final[Mapping[str, Question]] = {
    "bot-token": Question(BOT_TOKEN, "Bot User OAuth Token (xoxb-…):", is_needed=True, is_secret=True),
    "app-token": Question(APP_TOKEN, "App-Level Token (xapp-…):", is_needed=True, is_secret=True),
    "signing-secret": Question(SIGNING_SECRET, "Signing Secret:", is_needed=True, is_secret=True),
    "username": Question(ACCOUNT[0], "User name of the Meshtech account:", is_needed=True),
    "password": Question(ACCOUNT[1], "Its password:", is_needed=True, is_secret=True),
    "alerts": Question("MESHBOT_CHANNELS__ALERTS", "Which channel gets alerts?", is_needed=True),
    "rollouts": Question("MESHBOT_CHANNELS__ROLLOUTS", "Which channel gets rollouts?"),
    "operators": Question("MESHBOT_ACCESS__OPERATORS", "Who may change gateways and ask for updates?"),
    "approvers": Question(APPROVERS, "Who may also approve the updates of others?"),
    "admins": Question("MESHBOT_ACCESS__ADMINS", "Who may also freeze firmware and override?"),
    "self-approval": Question(
        SELF_APPROVAL, "May whoever asks for an update approve it too?", is_for_trouble=True
    ),
}
_CHANNELS: Final = ("alerts", "rollouts")
_PEOPLE: Final = ("operators", "approvers", "admins")


@dataclass(frozen=True, slots=True)
class _Choice:
    """A channel, a user group or a person to choose, by id; ``names`` are what a flag may say instead."""

    id: str
    title: str
    names: tuple[str, ...]


Check = Callable[[Settings], Findings]


@dataclass
class Init:
    """One run, in the folder that the bot is started in.

    ``given`` are answers by their flag. Without ``may_ask`` there are no others.
    """

    given: Mapping[str, str]
    may_ask: bool
    http_url: str | None = None
    command: str | None = None
    secrets_dir: str | None = "/run/secrets"
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    say: Callable[[str], None] = print
    asked: int = 0
    _answers: dict[str, str] = field(default_factory=dict)
    _is_changed: bool = False
    _listed: dict[str, list[_Choice]] = field(default_factory=dict)

    async def run(self) -> int:
        """Asks, writes, posts a test card, and ends with the doctor's exit status. Raises StartupError."""
        self._take_flags()
        by_http = self.http_url is not None or SIGNING_SECRET in self._known()
        token = "signing-secret" if by_http else "app-token"
        self._refuse_what_nobody_can_answer(token)
        if BOT_TOKEN not in self._known():
            self._say_how_to_make_the_app()
        await self._settle(["bot-token"], self._token)
        await self._settle([token], self._way_in)
        await self._settle(["username", "password"], self._account)
        for flag in (*_CHANNELS, *_PEOPLE):
            if flag in self.given:
                self._answers[QUESTIONS[flag].variable] = await self._ids(flag, self.given[flag])
        await self._settle(_CHANNELS, self._channels)
        await self._settle([*_PEOPLE, "self-approval"], self._people)
        self.say("")
        found = self._examined()
        status = await doctor.run(
            found.settings,
            unusable=found.wrong,
            send_test=self._is_changed,
            fix=True,
            now=self.now,
            say=self.say,
        )
        if status == 0:
            self.say("Start the bot with `meshbot run`.")
        return status

    # ---- what is known
    def _take_flags(self) -> None:
        for flag, answer in self.given.items():
            if flag not in (*_CHANNELS, *_PEOPLE):  # these may be named, which Slack has to tell
                self._answers[QUESTIONS[flag].variable] = answer
        if self.command is not None:
            self._answers[_COMMAND] = self.command
        for variable in (*self._answers, *(QUESTIONS[flag].variable for flag in self.given)):
            self._refuse_what_the_environment_says(variable)
        ours = {question.variable for question in QUESTIONS.values()}
        if others := [said for variable, said in self._examined().wrong.items() if variable not in ours]:
            raise StartupError("\n".join(others))

    def _examined(self) -> Examined:
        return examine(None, ENV_FILE, self.secrets_dir, instead=self._answers)

    def _known(self) -> set[str]:
        """Every setting that has an answer, an empty one too."""
        return {*self._answers, *self._examined().named, *names_in(ENV_FILE)}

    def _refuse_what_the_environment_says(self, variable: str) -> None:
        if os.environ.get(variable):
            raise StartupError(
                f"{variable} stands in the environment, which comes before .env: set it there."
            )

    def _refuse_what_nobody_can_answer(self, token: str) -> None:
        other = {"app-token": "signing-secret", "signing-secret": "app-token"}[token]
        missing = [
            f"--{flag}"
            for flag, question in QUESTIONS.items()
            if question.is_needed
            and flag not in {*self.given, other}
            and question.variable not in self._known()
        ]
        if missing and not self.may_ask:
            raise StartupError(f"Nobody is asked here, so give {_listing(missing)}.")

    # ---- asking until it is right
    async def _settle(self, flags: Sequence[str], check: Check) -> None:
        known = self._known()
        asked = [
            flag
            for flag in flags
            if QUESTIONS[flag].variable not in known and not QUESTIONS[flag].is_for_trouble
        ]
        if not self.may_ask:
            self._answers |= {QUESTIONS[flag].variable: "" for flag in asked}
            asked = []
        while True:
            for flag in asked:
                await self._ask(flag)
            found = await self._found(flags, check)
            wrong = [finding for finding in found if finding.is_wrong]
            to_mend = {variable for finding in wrong for variable in finding.settings}
            if asked or wrong:
                for finding in wrong or found:
                    self.say(f"  {finding}")
            if to_mend & _ADDRESSES:
                raise StartupError("No answer mends that. Run `meshbot init` again when it is reached.")
            asked = [flag for flag in flags if QUESTIONS[flag].variable in to_mend]
            if not asked:
                break
            if not self.may_ask:
                raise StartupError(
                    f"Nobody is asked here, so give {_listing([f'--{one}' for one in asked])}."
                )
        settled = {_COMMAND, *(QUESTIONS[flag].variable for flag in flags)}
        answers = {variable: answer for variable, answer in self._answers.items() if variable in settled}
        self._is_changed |= write_settings(ENV_FILE, answers)

    async def _found(self, flags: Sequence[str], check: Check) -> list[Finding]:
        examined = self._examined()
        variables = {QUESTIONS[flag].variable for flag in flags}
        unusable = [
            fatal("settings", sentence, variable)
            for variable, sentence in examined.wrong.items()
            if variable in variables
        ]
        return unusable or [finding async for finding in check(examined.settings)]

    async def _ask(self, flag: str) -> None:
        question = QUESTIONS[flag]
        self._refuse_what_the_environment_says(question.variable)
        self.asked += 1
        settings = self._examined().settings
        if flag in _CHANNELS:
            chosen = getattr(settings.channels, flag) or ""
            answer = await _one(question.words, await self._choices(flag), chosen)
        elif flag in _PEOPLE:
            answer = ",".join(
                await _several(question.words, await self._choices(flag), getattr(settings.access, flag))
            )
        elif flag == "self-approval":
            answer = str(await questionary.confirm(question.words, default=False).unsafe_ask_async()).lower()
        elif question.is_secret:
            answer = await questionary.password(question.words).unsafe_ask_async()
        else:
            before = self._answers.get(question.variable, "")
            answer = await questionary.text(question.words, default=before).unsafe_ask_async()
        if answer.strip() or not question.is_needed:  # else what stands there is tried again
            self._answers[question.variable] = answer.strip()

    # ---- what is tried
    async def _token(self, settings: Settings) -> Findings:
        async with _slack(settings) as api:
            found, _ = await bot_token(api)
            yield found
            if not found.is_wrong:
                yield scopes(api)

    async def _way_in(self, settings: Settings) -> Findings:
        async with _slack(settings) as api:
            yield await way_in(settings, api)

    async def _account(self, settings: Settings) -> Findings:
        async for finding in meshtech(settings, Network.of(os.environ), self.now):
            yield finding

    async def _channels(self, settings: Settings) -> Findings:
        async with _slack(settings) as api:
            for where, variable in default_channels(settings).items():
                yield await default_channel(api, where, variable)

    async def _people(self, settings: Settings) -> Findings:
        async with _slack(settings) as api:
            _, team = await bot_token(api)
            async for finding in access(settings, api, team):
                yield finding

    # ---- what there is to choose
    async def _choices(self, flag: str) -> list[_Choice]:
        kind = "channel" if flag in _CHANNELS else "holder"
        if kind not in self._listed:
            async with _slack(self._examined().settings) as api:
                self._listed[kind] = await (_all_channels(api) if kind == "channel" else _all_holders(api))
        found = self._listed[kind]
        none = _Choice("", "(the channel in which somebody asks for it)", ())
        return [none, *found] if flag == "rollouts" else found

    async def _ids(self, flag: str, given: str) -> str:
        """The ids behind what a flag says, which may be names. Raises StartupError."""
        ids = []
        for one in filter(None, map(str.strip, given.split(","))):
            if re.fullmatch(r"[CGSUW][A-Z0-9]{2,}", one):
                ids.append(one)
                continue
            name = one.lstrip("#@").casefold()
            found = [choice.id for choice in await self._choices(flag) if name in choice.names]
            if len(found) != 1:
                number = f"{len(found)} of that name" if found else "nothing of that name"
                raise StartupError(f"--{flag} {one}: Slack shows {number}. Give the id instead.")
            ids += found
        return ",".join(ids)

    # ---- what is said
    def _say_how_to_make_the_app(self) -> None:
        command = self._examined().settings.slack.command
        made = manifest(command, self.http_url)
        name = made["display_information"]["name"]
        token = (
            "Under Basic Information, copy the Signing Secret."
            if self.http_url
            else "Under Basic Information, App-Level Tokens, generate one with the scope connections:write."
        )
        for line in (
            "1. Open this link, choose the workspace, then Next and Create:",
            "",
            new_app_link(made),
            "",
            "2. Under Install App, install it, and copy the Bot User OAuth Token.",
            f"3. {token}",
            f"4. In Slack, say /invite @{name} in each channel that is to get cards.",
            "",
        ):
            self.say(line)


def answers_in(path: str) -> dict[str, str]:
    """The answers in a file, by their flag: ``bot-token=xoxb-…``, one on each line.

    Raises StartupError, which quotes nothing of it: what is written wrong may be a secret.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise StartupError(f"--answers {path}: it is not written in UTF-8.") from error
    except (OSError, ValueError) as error:  # the last for a NUL in its name
        reason = getattr(error, "strerror", None) or "no file has such a name"
        raise StartupError(f"--answers {path} cannot be read: {reason}.") from error
    answers = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        flag, equals, answer = line.partition("=")
        if not equals or flag.strip() not in QUESTIONS:
            raise StartupError(
                f"--answers {path}: line {number} is no answer. Write one of {', '.join(QUESTIONS)}, then = "
                "and the answer."
            )
        answers[flag.strip()] = answer.strip()
    return answers


def new_app_link(made: Mapping[str, Any]) -> str:
    """Where Slack makes an app of a manifest: docs.slack.dev/app-manifests, “Sharing manifests”."""
    return f"{APPS}?new_app=1&manifest_json={quote(json.dumps(made, separators=(',', ':')), safe='')}"


@asynccontextmanager
async def _slack(settings: Settings) -> AsyncIterator[WebApi]:
    api = web_api_of(settings, Network.of(os.environ))
    try:
        yield api
    finally:
        await api.session.close()


async def _all_channels(api: WebApi) -> list[_Choice]:
    """Those that the bot may post in once it is invited, the ones it is in first."""
    wanted = {"types": "public_channel,private_channel", "exclude_archived": True}
    found = [one async for one in _paged(api, "conversations.list", "channels", **wanted)]
    found.sort(key=lambda one: (not one.get("is_member"), one["name"]))
    return [
        _Choice(
            one["id"],
            f"#{one['name']}{'' if one.get('is_member') else ' (the bot is not in it yet)'}",
            (one["name"].casefold(),),
        )
        for one in found
    ]


async def _all_holders(api: WebApi) -> list[_Choice]:
    """User groups, which only paid plans of Slack have, then people who may have a role."""
    try:
        groups = (await api.patient("usergroups.list"))["usergroups"]
    except SlackFailed:
        groups = []
    found = [
        _Choice(one["id"], f"@{one['handle']} (user group)", (one["handle"].casefold(),)) for one in groups
    ]
    people = [one async for one in _paged(api, "users.list", "members") if _may_have_a_role(one)]
    for one in sorted(people, key=lambda one: one["name"]):
        shown, real = (one.get("profile") or {}).get("display_name") or "", one.get("real_name") or ""
        names = tuple({name.casefold() for name in (one["name"], shown, real) if name})
        found.append(_Choice(one["id"], f"{real or shown or one['name']} (@{one['name']})", names))
    return found


def _may_have_a_role(user: Mapping[str, Any]) -> bool:
    never = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")
    return user["id"] != "USLACKBOT" and not any(user.get(flag) for flag in never)


async def _paged(api: WebApi, method: str, name: str, **wanted: Any) -> AsyncIterator[dict[str, Any]]:
    cursor = None
    while True:
        page = await api.patient(method, limit=_PAGE, cursor=cursor, **wanted)
        for one in page[name]:
            yield one
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return


# ---- prompts
async def _one(words: str, choices: Sequence[_Choice], chosen: str) -> str:
    known = [choice.id for choice in choices]
    answer = await questionary.select(
        words,
        [questionary.Choice(choice.title, value=choice.id) for choice in choices],
        default=chosen if chosen in known else None,
        instruction=_SEARCH,
        use_search_filter=True,
        use_jk_keys=False,
    ).unsafe_ask_async()
    return str(answer)


async def _several(words: str, choices: Sequence[_Choice], chosen: Sequence[str]) -> list[str]:
    answer = await questionary.checkbox(
        words,
        [questionary.Choice(one.title, value=one.id, checked=one.id in chosen) for one in choices],
        instruction=_SEVERAL,
        use_search_filter=True,
        use_jk_keys=False,
    ).unsafe_ask_async()
    return list(map(str, answer))


def _listing(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
