"""Every setting of the bot: its name, its default, what it means, and what a wrong one is answered with.

Only the entry points read this module; every layer below receives plain values. Settings come from the
environment, from ``.env`` and from files in ``/run/secrets`` named like the variable, the first of them
winning. pydantic-settings reads and merges them; what is ours is to refuse a name that is not a setting,
wherever it stands, since the library passes over it in silence. Defaults are written as an operator would
write them, so that docs/settings.md, ``/mesh settings`` and the parser cannot disagree about them.
"""

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from bot.domain.alerts import storms
from bot.domain.rollouts import waves
from bot.domain.rollouts.approvals import SHARE_COUNTS_FROM
from bot.domain.times.update_windows import Window, show_window
from bot.settings import value_formats
from bot.settings.environment import PREFIX, SettingsError, sources

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# The vendor's operations. The route may be set of those that its documentation leaves open, and the names in
# all: a portal may call them otherwise than it documents.
OPERATIONS = (
    "GET_DEVICE",
    "LIST_LABELS",
    "ADD_LABEL",
    "LIST_FIRMWARE",
    "CREATE_JOB",
    "LIST_JOBS",
    "GET_JOB",
    "CANCEL_JOB",
)
DOCUMENTED = ("LIST_DEVICES", "RENAME_DEVICE", "CREATE_LABEL", "REMOVE_LABEL")
NO_DEFAULT = ("required", "one of the two")  # what docs/settings.md says in place of one


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as it is shown: in ``/mesh settings`` with its value, in docs/settings.md without."""

    variable: str
    value: str
    default: str  # of what has none, one of NO_DEFAULT
    meaning: str

    @property
    def fallback(self) -> str:
        """What holds where nobody sets it; empty when somebody must."""
        return "" if self.default in NO_DEFAULT else self.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(BeforeValidator):
    """How a setting is read, and how its value is written again."""

    show: Callable[[Any], str] = str


def _hide(_: str) -> str:
    return value_formats.HIDDEN


def _as_written(text: str | None) -> str | None:
    return text


Secret = Annotated[SecretStr, Kind(str, show=_hide)]
Duration = Annotated[timedelta, Kind(value_formats.positive_duration, show=value_formats.show_duration)]
DurationOrZero = Annotated[timedelta, Kind(value_formats.duration, show=value_formats.show_duration)]
Share = Annotated[float, Kind(value_formats.share, show=value_formats.show_share)]
Count = Annotated[int, Kind(value_formats.whole(1, 1_000_000))]
PortOrNone = Annotated[int | None, Kind(value_formats.port_or_none, show=lambda port: str(port or ""))]
Flag = Annotated[bool, Kind(value_formats.flag, show=value_formats.show_flag)]
Url = Annotated[str, Kind(value_formats.url, show=value_formats.show_url)]
Channel = Annotated[str | None, Kind(value_formats.channel, show=lambda value: value or "")]
People = Annotated[tuple[str, ...], Kind(value_formats.people, show=",".join)]
Scopes = Annotated[tuple[tuple[str, str], ...], Kind(value_formats.scopes, show=value_formats.show_scopes)]
Durations = Annotated[
    tuple[timedelta, ...], Kind(value_formats.durations_or_off, show=value_formats.show_durations)
]
Groups = Annotated[tuple[str, ...], Kind(value_formats.groups, show=",".join)]
Threshold = Annotated[
    value_formats.Threshold | None, Kind(value_formats.threshold, show=value_formats.show_threshold)
]
TimeOfDay = Annotated[time | None, Kind(value_formats.time_of_day, show=value_formats.show_time_of_day)]
Waves = Annotated[value_formats.Waves | None, Kind(value_formats.waves, show=value_formats.show_waves)]
WindowOrNone = Annotated[
    Window | None, Kind(value_formats.window, show=lambda one: show_window(one) if one else "")
]
Route = Annotated[str, Kind(value_formats.route, show=value_formats.show_url)]
FieldNames = Annotated[dict[str, str], Kind(value_formats.field_names, show=value_formats.show_field_names)]
# Names of variables reach the models in small letters.
Operation = Annotated[str, AfterValidator(str.upper)]


def _setting(default: str, meaning: str, *, shown: str | None = None) -> Any:
    """A setting with its default as written; ``shown`` where that needs a word more."""
    extra: dict[str, Any] = {"shown": default if shown is None else shown}
    return Field(default, validate_default=True, description=meaning, json_schema_extra=extra)


def _required(meaning: str, set_it_to: str) -> Any:
    return Field(description=meaning, json_schema_extra={"shown": NO_DEFAULT[0], "set_it_to": set_it_to})


def _one_of_the_two(meaning: str, *, checked: bool = False) -> Any:
    """``checked``: by its own validator, where nothing is set too."""
    extra: dict[str, Any] = {"validate_default": checked, "json_schema_extra": {"shown": NO_DEFAULT[1]}}
    return Field(None, description=meaning, **extra)


def _overrides(meaning: str) -> Any:
    return Field(default_factory=dict, description=meaning, json_schema_extra={"shown": ""})


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SlackSettings(_Group):
    bot_token: Annotated[SecretStr, Kind(value_formats.token("xoxb-", "a bot token"), show=_hide)] = (
        _required(
            "`xoxb-…`, the bot token of the Slack app",
            "the bot token (xoxb-…) on the page “OAuth & Permissions” of the Slack app",
        )
    )
    app_token: Annotated[SecretStr | None, Kind(value_formats.token("xapp-", "an app token"), show=_hide)] = (
        _one_of_the_two("`xapp-…`: Socket Mode, the usual way in; it needs the scope `connections:write`")
    )
    signing_secret: Annotated[SecretStr | None, Kind(_as_written, show=_hide)] = _one_of_the_two(
        "HTTP mode instead: Slack calls `POST /slack/events` on the bot's own port", checked=True
    )
    api_url: Annotated[str, Kind(value_formats.base_url, show=value_formats.show_url)] = _setting(
        "https://slack.com/api/", "base of every Web API call, `apps.connections.open` too"
    )
    command: Annotated[str, Kind(value_formats.command)] = _setting(
        "/mesh", "the slash command; a second environment in one workspace takes another"
    )
    edit_every: DurationOrZero = _setting(
        "15s",
        "the shortest time between two edits of one card, a person's click excepted; "
        "stretches by itself when more than 10 cards live",
    )

    @field_validator("signing_secret")  # after all else of the group would keep quiet while a field is wrong
    @classmethod
    def _exactly_one_way_in(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        token = info.data.get("app_token", secret is None)  # a wrong one is told of by itself
        if token and secret:
            raise ValueError(
                f"{PREFIX}SLACK__APP_TOKEN and {PREFIX}SLACK__SIGNING_SECRET are both set: "
                "keep the first for Socket Mode or the second for HTTP mode"
            )
        if not token and not secret:
            raise ValueError(
                f"{PREFIX}SLACK__APP_TOKEN is missing: set it to the app-level token (xapp-…) for Socket "
                f"Mode, or set {PREFIX}SLACK__SIGNING_SECRET for HTTP mode"
            )
        return secret


class MeshtechSettings(_Group):
    username: str = _required(
        "user name of the shared service account", "the user name of the shared Meshtech account"
    )
    password: Secret = _required("its password", "the password of the shared Meshtech account")
    auth_url: Url = _setting("https://ops-api.meshtech.no", "log-in host")
    api_url: Url = _setting("https://iot-api.meshtech.no", "device host")
    page_size: Annotated[int, Kind(value_formats.whole(1, 10_000))] = _setting(
        "250", "`MaxResults` of a page of gateways; a shorter page is accepted, a 400 names this setting"
    )
    next_token_parameter: str = _setting(
        "NextToken", "name of the query parameter that asks for the next page"
    )
    routes: dict[Operation, Route] = _overrides(
        "`METHOD path` with `{id}` and `{label}`, or `METHOD absolute-URL`, where the vendor's differs from "
        f"what is assumed; operations: {', '.join(f'`{name}`' for name in OPERATIONS)}"
    )
    fields: dict[Operation, FieldNames] = _overrides(
        "`ours=theirs,…` for names in that operation's request and answer, "
        "e.g. `deviceIds=things,firmwareId=fw`"
    )


class HttpSettings(_Group):
    host: str = _setting("127.0.0.1", "address of health, metrics, and `/slack/events` in HTTP mode")
    port: Annotated[int, Kind(value_formats.whole(0, 65535))] = _setting(
        "8080", "its port; `0` takes a free one"
    )
    health_port: PortOrNone = _setting(
        "",
        "a port for health and metrics alone, so that Slack's can be open to the world; empty: the same",
    )


class ChannelSettings(_Group):
    alerts: Channel = _setting("", "id of the channel for alert cards, whoever else subscribed to them")
    rollouts: Channel = _setting("", "the same for rollout cards; unset: the channel of the request")


class AccessSettings(_Group):
    operators: People = _setting("", "user ids (`U…`) and user-group ids (`S…`) that may write and request")
    approvers: People = _setting("", "the same for those who may also approve rollouts")
    admins: People = _setting("", "the same for those who may also freeze, downgrade and override")
    scopes: Scopes = _setting(
        "",
        "`id=query,…`: who has a role by that id changes only the gateways of the query, "
        "e.g. `S0123456789=tag:oslo`; reading is not limited",
    )


class FleetSettings(_Group):
    poll_every: Duration = _setting(
        "60s", "from the start of one poll of the fleet to the next; polls never overlap"
    )
    site_tag: str = _setting(
        "",
        "prefix of the tag that names a gateway's site (`site:` for `site:oslo`); "
        "empty: its first tag; none: the site “no tag”",
    )
    most_gateways: Count = _setting(
        "200000", "a poll of more gateways is refused: nobody fills the bot's memory and database"
    )


class PortalSettings(_Group):
    gateway_url: Annotated[str, Kind(value_formats.url_template("gateway", "site"))] = _setting(
        "",
        "address of a gateway's page in the portal, with `{gateway}` for its id and maybe `{site}`: "
        "`https://portal.example/gateways/{gateway}`; empty: no links",
    )
    site_url: Annotated[str, Kind(value_formats.url_template("site"))] = _setting(
        "", "the same of a site's page, with `{site}`"
    )


class JobSettings(_Group):
    poll_every: Duration = _setting("30s", "how often running jobs are looked at")


class AlertSettings(_Group):
    offline_after: DurationOrZero = _setting(
        "5m", "how long a gateway must be offline, by the API's own timestamp"
    )
    offline_listings: Count = _setting("3", "and in how many completed polls")
    online_after: DurationOrZero = _setting("3m", "how long it must be back before its incident is over")
    online_listings: Count = _setting("3", "and in how many completed polls")
    group_wait: DurationOrZero = _setting("60s", "how long a new incident gathers before its first post")
    storm_gateways: Count = _setting(
        "10",
        f"so many newly offline within {storms.WITHIN // timedelta(minutes=1)} minutes, at more than one "
        "site, are one mass outage",
    )
    storm_share: Share = _setting(
        "20%", f"or this share of the fleet; the share counts from {storms.LEAST} gateways on"
    )
    startup_listings: Annotated[int, Kind(value_formats.whole(0, 1000))] = _setting(
        "2", "polls completed after a start before any new alert"
    )
    escalate_to: Groups = _setting(
        "", "user-group ids that are reminded, unless a site has its own; empty: none"
    )
    digest_at: TimeOfDay = _setting(
        "08:00",
        "when the daily digest comes to the channel for alerts, in `MESHBOT_TIMEZONE`; `off`: never",
    )
    announce_maintenance: Durations = _setting(
        "1d,1h", "how long before it opens a maintenance window is announced, each time once; `off`: never"
    )

    @property
    def usual_digest_at(self) -> time:
        """When a digest comes to a subscription that names no time, also where none comes by itself."""
        default = AlertSettings.model_fields["digest_at"].default
        usual = self.digest_at or value_formats.time_of_day(default)
        assert usual is not None, "the default is a time"
        return usual


class RolloutSettings(_Group):
    approvals: Annotated[int, Kind(value_formats.whole(0, 20))] = _setting(
        "1", "approvals needed; `0` at any size leaves the requester's own confirmation"
    )
    second_above: Threshold = _setting(
        "100,25%",
        "one approval more above so many gateways, or this share of a fleet of "
        f"{SHARE_COUNTS_FROM} or more; either may stand alone; `off`: never",
    )
    self_approval: Flag = _setting("false", "may the requester approve")
    approval_expires: Duration = _setting("8h", "how long a request waits for its approvals")
    ask: People = _setting(
        "",
        "ids of approvers and their user groups that a request calls, once, in the thread of its card; those "
        "who may not decide about it are left out; empty: nobody",
    )
    waves: Waves = _setting(
        "",
        "cumulative; a value that is set is used as written; percentages round up, empty waves vanish; "
        "one single wave has no canary and no promotion; "
        f"while unset, fewer than {waves.SMALL_BELOW} eligible gateways go as "
        f"`{value_formats.show_waves(waves.SMALL_WAVES)}`",
        shown=value_formats.show_waves(None),
    )
    soak: DurationOrZero = _setting("30m", "between a wave's end and the next")
    batch: Count = _setting("500", "gateways in one vendor job")
    per_site: Share = _setting(
        "20%", "of a site in flight at once, at least one gateway; `100%` turns it off"
    )
    look_for: Duration = _setting(
        "2m",
        "after a lost answer, how long the vendor's jobs are searched for ours before another is created",
    )
    overdue_after: Duration = _setting("45m", "a gateway that has not finished by then is overdue")
    return_within: Duration = _setting("20m", "a gateway that has not come back by then did not return")
    stable_for: DurationOrZero = _setting("10m", "online on the new version before it counts as verified")
    wait_for_return: DurationOrZero = _setting(
        "7d",
        "from its start on, how long an update waits for gateways that are offline, and updates them as "
        "they return; `0`: they are skipped",
    )
    window: WindowOrNone = _setting("", "`Mo-Fr 22:00-05:00`: when gateways may be started; empty: always")


class LogSettings(_Group):
    level: Annotated[value_formats.Level, Kind(value_formats.one_of(*get_args(value_formats.Level)))] = (
        _setting("info", "`debug`, `info`, `warning` or `error`")
    )
    format: Annotated[value_formats.Format, Kind(value_formats.one_of(*get_args(value_formats.Format)))] = (
        _setting("json", "`json`, or `console` for people")
    )


def _group() -> Any:
    """A group is read even when none of its variables is set: then its defaults hold, or one is missing."""
    return Field(default_factory=dict)


class Settings(BaseSettings):
    """All settings, checked and immutable. Made by ``load_settings`` only."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file_encoding="utf-8-sig",
        secrets_dir_missing="ok",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    slack: SlackSettings = _group()
    meshtech: MeshtechSettings = _group()
    database_url: Annotated[SecretStr, Kind(value_formats.database_url, show=value_formats.show_url)] = (
        _setting("sqlite:///meshbot.db", "or `postgresql://…`")
    )
    http: HttpSettings = _group()
    channels: ChannelSettings = _group()
    access: AccessSettings = _group()
    fleet: FleetSettings = _group()
    portal: PortalSettings = _group()
    jobs: JobSettings = _group()
    alerts: AlertSettings = _group()
    rollouts: RolloutSettings = _group()
    timezone: Annotated[str, Kind(value_formats.timezone)] = _setting(
        "UTC", "IANA zone of digests and windows where nothing else is said"
    )
    log: LogSettings = _group()

    def describe(self) -> list[Described]:
        """Every setting in the order of docs/settings.md; secrets are masked."""
        return [_described(path, field, self) for path, field in _fields(Settings)]

    def secrets(self) -> list[str]:
        """What must never be logged, shown or put in an exception."""
        known = (
            self.slack.bot_token,
            self.slack.app_token,
            self.slack.signing_secret,
            self.meshtech.password,
        )
        found = [secret.get_secret_value() for secret in known if secret]
        return [*found, *value_formats.database_passwords(self.database_url.get_secret_value())]


@dataclass(frozen=True, slots=True)
class Examined:
    """Settings of which some may be missing or wrong: ``wrong`` has a sentence for each by its variable.

    In their place ``settings`` has the default, or a stand-in that means nothing. ``named`` are the variables
    that have a value.
    """

    settings: Settings
    wrong: Mapping[str, str]
    named: Set[str]


def load_settings(
    environ: Mapping[str, str] | None = None,
    env_file: str | Path | None = ".env",
    secrets_dir: str | Path | None = "/run/secrets",
) -> Settings:
    """Read, merge and check. A ``SettingsError`` has a sentence for each wrong setting, each on a line."""
    examined = examine(environ, env_file, secrets_dir)
    if examined.wrong:
        raise SettingsError("\n".join(examined.wrong.values()))
    return examined.settings


def examine(
    environ: Mapping[str, str] | None = None,
    env_file: str | Path | None = ".env",
    secrets_dir: str | Path | None = "/run/secrets",
    instead: Mapping[str, str] | None = None,
) -> Examined:
    """As ``load_settings``, and goes on with what is right. Raises SettingsError for a file it cannot read.

    ``instead`` is taken as if it stood in ``env_file``.
    """
    found = sources(Settings, os.environ if environ is None else environ, env_file, secrets_dir)
    changed = {name.lower(): text for name, text in (instead or {}).items()}
    merged = {**found[1].env_vars, **changed}
    found[1].env_vars = {name: text for name, text in merged.items() if text}
    known = [variable for path, _ in _fields(Settings) for variable in _variables(path)]
    named = dict.fromkeys(variable.upper() for source in found for variable in source.env_vars)
    wrong = {variable: _unknown(variable, known) for variable in named if variable not in known}
    _leave_out(found, wrong)
    try:
        return Examined(Settings(_build_sources=(found, {})), wrong, named.keys())
    except ValidationError as error:
        wrong |= dict(map(_complaint, error.errors(include_url=False, include_input=False)))
    # Outside of the handler: what pydantic says may quote a secret, and nobody needs to read it.
    _leave_out(found, {*wrong, *_WAYS_IN} if _WAYS_IN & set(wrong) else wrong)
    stand_ins = {name.lower(): text for name, text in _STAND_INS.items() if name in wrong}
    found[0].env_vars = {**found[0].env_vars, **stand_ins}
    return Examined(Settings(_build_sources=(found, {})), wrong, named.keys())


_WAYS_IN = {f"{PREFIX}SLACK__APP_TOKEN", f"{PREFIX}SLACK__SIGNING_SECRET"}
_STAND_INS = {
    f"{PREFIX}SLACK__BOT_TOKEN": "xoxb-unset",
    f"{PREFIX}SLACK__APP_TOKEN": "xapp-unset",
    f"{PREFIX}MESHTECH__USERNAME": "unset",
    f"{PREFIX}MESHTECH__PASSWORD": "unset",
}


def _leave_out(found: Iterable[EnvSettingsSource], variables: Iterable[str]) -> None:
    for source in found:
        left = {name: text for name, text in source.env_vars.items() if name.upper() not in variables}
        source.env_vars = left


def slash_command() -> str:
    """The one that is asked for before the others can be known. Raises SettingsError."""
    found = sources(Settings, os.environ, ".env", "/run/secrets")
    variable = _variable(("slack", "command"))
    written = [one.env_vars[variable.lower()] for one in found if variable.lower() in one.env_vars]
    try:
        return (
            value_formats.command(written[0] or "")
            if written
            else SlackSettings.model_fields["command"].default
        )
    except ValueError as error:
        raise SettingsError(f"{variable} is not usable: {error}.") from None


def _group_of(field: FieldInfo) -> type[_Group] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, _Group) else None


def _fields(
    group: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every setting with its path, like ``("slack", "bot_token")``, in the order of their definition."""
    for name, field in group.model_fields.items():
        inner = _group_of(field)
        if inner:
            yield from _fields(inner, (*above, name))
        else:
            yield (*above, name), field


def _variable(path: Iterable[object]) -> str:
    return PREFIX + "__".join(str(part) for part in path).upper()


def _variables(path: tuple[str, ...]) -> list[str]:
    """The variables that fill one setting: one, or one for each operation."""
    if path in {("meshtech", "routes"), ("meshtech", "fields")}:
        operations = OPERATIONS if "routes" in path else (*DOCUMENTED, *OPERATIONS)
        return [_variable((*path, operation)) for operation in operations]
    return [_variable(path)]


def _unknown(variable: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(variable, list(known), n=1, cutoff=0)[0]
    return (
        f"{variable} is not a setting of Meshbot: correct its name (the nearest is {nearest}) or remove it."
    )


def _complaint(wrong: "ErrorDetails") -> tuple[str, str]:
    """The variable, and what is wrong, in our words."""
    variable = _variable(wrong["loc"])
    if wrong["type"] == "missing":
        field = dict(_fields(Settings))[tuple(str(part) for part in wrong["loc"])]
        return variable, f"{variable} is missing: set it to {_extra(field)['set_it_to']}."
    reason = str(wrong.get("ctx", {}).get("error", "it cannot be understood"))
    if reason.startswith(PREFIX):  # a rule about two variables names both itself
        return reason.split()[0], f"{reason}."
    return variable, f"{variable} is not usable: {reason}."


def _extra(field: FieldInfo) -> dict[str, str]:
    assert isinstance(field.json_schema_extra, dict)
    return {name: str(value) for name, value in field.json_schema_extra.items()}


def _described(path: tuple[str, ...], field: FieldInfo, settings: Settings) -> Described:
    value: Any = settings
    for part in path:
        value = getattr(value, part)
    variable = _variable(path)
    if isinstance(value, dict):
        variable += "__<OPERATION>"
    default = _extra(field)["shown"]
    is_default = isinstance(field.default, str) and value == _kind(field.metadata).func(field.default)  # type: ignore[call-arg]
    shown = default if is_default else _shown(value, field)
    return Described(variable, shown, default, field.description or "")


def _shown(value: Any, field: FieldInfo) -> str:
    """The value as an operator would write it; a secret as dots."""
    if isinstance(value, dict):
        show = _kind(getattr(get_args(field.annotation)[1], "__metadata__", ())).show
        return "; ".join(f"{operation}: {show(one)}" for operation, one in value.items())
    if isinstance(value, SecretStr):
        return _kind(field.metadata).show(value.get_secret_value())
    if value is None and field.default is None:
        return ""
    return _kind(field.metadata).show(value)


def _kind(metadata: Iterable[object]) -> Kind:
    return next((one for one in metadata if isinstance(one, Kind)), Kind(str))
