"""How the value of a setting is written, and what it becomes: one function a kind, and its way back.

Every function takes the text of one variable and returns a plain value, or raises ``ValueError`` with the
rule as a clause that ends no sentence and repeats no value: a token pasted into the wrong variable must not
end up on a terminal.
"""

import re
from collections.abc import Callable
from datetime import time, timedelta
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.domain.errors import InvalidInput
from bot.domain.query import parse
from bot.domain.rollouts.waves import DEFAULT_WAVES
from bot.domain.times.update_windows import Window, parse_window
from bot.network import is_this_machine, names_a_server

# So many gateways, and a share of the fleet: either may be missing.
Threshold = tuple[int | None, float | None]
# A count of gateways is an int, a share of them a float: 5 and 0.05.
Waves = tuple[int | float, ...]

HIDDEN = "••••••"

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_LONGEST = timedelta(days=3660)


def duration(text: str) -> timedelta:
    """``90s``, ``5m``, ``2h``, ``1h30m``, ``1d`` or plain seconds."""
    match = _DURATION.fullmatch(text.lower().replace(" ", ""))
    if not match:
        raise ValueError("a duration is written 90s, 5m, 2h, 1h30m, 1d or as plain seconds")
    amounts = (float(amount or 0) for amount in match.groups())
    seconds = sum(amount * unit for amount, unit in zip(amounts, _UNITS.values(), strict=True))
    if seconds > _LONGEST.total_seconds():
        raise ValueError("a duration is at most ten years")
    return timedelta(seconds=seconds)


def positive_duration(text: str) -> timedelta:
    value = duration(text)
    if not value:
        raise ValueError("the duration must be longer than nothing")
    return value


def durations_or_off(text: str) -> tuple[timedelta, ...]:
    """``1d,1h``, the longest first; none for ``off``."""
    if text.lower() == "off":
        return ()
    return tuple(sorted({positive_duration(part.strip()) for part in text.split(",")}, reverse=True))


def show_durations(values: tuple[timedelta, ...]) -> str:
    return ",".join(map(show_duration, values)) or "off"


def show_duration(value: timedelta) -> str:
    rest, parts = value.total_seconds(), []
    for unit, seconds in _UNITS.items():
        amount, rest = divmod(rest, seconds) if unit != "s" else (rest, 0)
        if amount:
            parts.append(f"{amount:g}{unit}")
    return "".join(parts) or "0s"


def share(text: str) -> float:
    """``20%`` is 0.2."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", text)
    if not match or not 0 < float(match[1]) <= 100:
        raise ValueError("a share is written like 20%, above 0% and at most 100%")
    return float(match[1]) / 100


def show_share(value: float) -> str:
    return f"{value * 100:g}%"


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """A reader of whole numbers within these bounds, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"it must be a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def port_or_none(text: str) -> int | None:
    return whole(1, 65535)(text) if text else None


def flag(text: str) -> bool:
    word = text.lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("it must be true or false")


def show_flag(value: bool) -> str:
    return "true" if value else "false"


def one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"it must be one of {', '.join(words)}")
        return text.lower()

    return parse


def url(text: str) -> str:
    """An ``https`` address, or an ``http`` one of this machine, without a slash at its end."""
    if not re.match(r"(?i)https?://", text):
        raise ValueError("it must be an address that begins with https://")
    _check_way(text)
    if re.search("[@?#]", text):
        raise ValueError("it must be an address without a user name, a query and a #")
    return text.rstrip("/")


def base_url(text: str) -> str:
    """An address that others are joined to, hence with a slash at its end."""
    return url(text) + "/"


def url_template(needed: str, *others: str) -> Callable[[str], str]:
    """An address with ``{needed}`` in its path or behind it, and maybe ``{others}``; empty: none."""
    names = [f"{{{name}}}" for name in (needed, *others)]

    def parse(text: str) -> str:
        if not text:
            return ""
        plain = text
        for name in names:
            plain = plain.replace(name, "x")
        if names[0] not in text or re.search(r"[{}<>|\"\\]", plain):
            rest = f"; it may hold {' and '.join(names[1:])} too" if others else ""
            raise ValueError(f"it must hold {names[0]} where the address has it, and no other braces{rest}")
        if not re.match(r"(?i)https?://", plain):
            raise ValueError("it must be an address that begins with https://")
        _check_way(plain)
        if "@" in urlsplit(plain).netloc or "{" in urlsplit(text).netloc:
            raise ValueError(f"it must be an address without a user name, with {names[0]} behind its host")
        return text

    return parse


def _check_way(address: str) -> None:
    """Passwords and tokens go there, so nobody in between may read them."""
    if not names_a_server(address):
        raise ValueError("its host and port must be ones that can be: a port is between 1 and 65535")
    parts = urlsplit(address)
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise ValueError(
            "it must begin with https://, since secrets go there; http:// is for a server on this machine"
        )


def database_url(text: str) -> str:
    """A SQLite file or a PostgreSQL database, as ``sqlite:///…`` or ``postgresql://…``."""
    text = re.sub("^postgres:", "postgresql:", text)
    if not re.match(r"(sqlite:///|postgresql://).", text):
        raise ValueError("it must be sqlite:/// and a file, or postgresql:// and a host and database")
    if "\0" in unquote(text):
        raise ValueError("it must not hold a NUL (%00): what follows it would be lost")
    if text.startswith("sqlite:") and ("?" in text or unquote(text) == "sqlite:///:memory:"):
        raise ValueError("it must be sqlite:/// and the path of a file, with nothing after it")
    if text.startswith("postgresql:"):
        _check_server(text.removeprefix("postgresql://"))
    return text


# Of psycopg, which takes each from the address as a text; everything else goes to the server's own library.
_THE_DRIVERS_OWN = {
    *("autocommit", "context", "cursor_factory", "cursor_name", "plugin", "prepare_threshold", "row_factory")
}


def _check_server(text: str) -> None:
    """Libraries disagree about where user info ends, so a reserved character in it is refused here: one of
    them would take a part of the password for the host, and say so."""
    before, _, query = text.partition("?")
    address, _, _ = before.partition("/")
    user_info, _, host = address.rpartition("@")
    if re.search(r"[@\[\]]", user_info) or "#" in text or text.count("@") > address.count("@"):
        raise ValueError(
            "reserved characters in a name or password are written like %40 for @, %23 for # and %2F for /"
        )
    asked = parse_qs(query, keep_blank_values=True)
    hosts = [host, *asked.get("host", []), *asked.get("hostaddr", [])]
    if any("," in one for one in hosts) or len(asked.get("host", [])) > 1:
        raise ValueError("it names several hosts: name the primary, or what leads to it")
    if twice := [name for name, given in asked.items() if len(given) > 1]:
        raise ValueError(f"it has {twice[0]} more than once")
    server = host if host and not host.startswith(":") else f"localhost{host}"
    if not all(
        names_a_server(f"//{one}") for one in (server, *(f"h:{port}" for port in asked.get("port", [])))
    ):
        raise ValueError("its host must be one that can be, and its port, a number, from 1 to 65535")
    for name in sorted(_THE_DRIVERS_OWN & set(asked)):
        raise ValueError(f"leave {name} out, which the bot decides by itself")


def show_url(value: str) -> str:
    """Without user info and query, where passwords and keys stand.

    Libraries disagree about where user info ends: with an ``@`` behind a ``?`` nothing is shown.
    """
    if re.search(r"\?.*@", value):
        return re.sub(r"(?<=://).*", HIDDEN, value)
    value = re.sub(r"(?<=://).*@", f"{HIDDEN}@", value)
    return re.sub(r"\?.*", f"?{HIDDEN}", value)


def database_passwords(value: str) -> set[str]:
    """Its password as written, and as meant."""
    parts = urlsplit(value)
    query = parse_qs(parts.query)
    written = {parts.password or "", *query.get("password", []), *query.get("sslpassword", [])}
    return {form for password in written if password for form in (password, unquote(password))}


def token(prefix: str, kind: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.startswith("xoxe"):
            raise ValueError(
                f"{kind} begins with {prefix}, and this one with xoxe: the app rotates its tokens, each of "
                "which lasts twelve hours. Make an app without that from the output of `meshbot manifest`"
            )
        if not text.startswith(prefix) or len(text) == len(prefix) or re.search(r"\s", text):
            raise ValueError(f"{kind} begins with {prefix}")
        return text

    return parse


def command(text: str) -> str:
    if not re.fullmatch(r"/[a-z0-9_-]{1,31}", text):
        raise ValueError("a slash command is a slash and up to 31 small letters, digits, - or _, like /mesh")
    return text


def channel(text: str) -> str | None:
    if text and not re.fullmatch(r"[CG][A-Z0-9]{2,}", text):
        raise ValueError(
            "a channel is named by its id, like C0123456789 (at the end of the channel's details)"
        )
    return text or None


def people(text: str) -> tuple[str, ...]:
    return _ids(text, "UWS", "it must be a comma-separated list of user ids (U…) and user-group ids (S…)")


def scopes(text: str) -> tuple[tuple[str, str], ...]:
    """``S0123=tag:oslo,U0456=site:bergen``: an id and a query. A comma inside a query stays in it."""
    found = [part.partition("=") for part in re.split(r",\s*(?=[UWS][A-Z0-9]{2,}=)", text) if part.strip()]
    pairs = tuple((one.strip(), query.strip()) for one, _, query in found)
    if not all(re.fullmatch(r"[UWS][A-Z0-9]{2,}", one) and query for one, query in pairs):
        raise ValueError("it is written id=query, with commas between, like S0123456789=tag:oslo")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("an id stands in it twice")
    for _, query in pairs:
        try:
            parse(query)
        except InvalidInput as error:
            raise ValueError(f"a query in it cannot be understood: {str(error).rstrip('.')}") from None
    return pairs


def show_scopes(value: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{one}={query}" for one, query in value)


def groups(text: str) -> tuple[str, ...]:
    return _ids(text, "S", "it must be a comma-separated list of user-group ids (S…)")


def _ids(text: str, first_letters: str, rule: str) -> tuple[str, ...]:
    ids = tuple(dict.fromkeys(_items(text)))
    if not all(re.fullmatch(rf"[{first_letters}][A-Z0-9]{{2,}}", one) for one in ids):
        raise ValueError(rule)
    return ids


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def threshold(text: str) -> Threshold | None:
    """``100,25%`` is (100, 0.25), ``100`` and ``25%`` are one of them alone; ``off`` is None."""
    if text.lower() == "off":
        return None
    items = _items(text)
    shares, counts = [item for item in items if "%" in item], [item for item in items if "%" not in item]
    if (
        not items
        or len(shares) > 1
        or len(counts) > 1
        or not all(re.fullmatch(r"\d{1,9}", n) for n in counts)
    ):
        raise ValueError("it must be a number of gateways, a share or both, like 100,25%, or off")
    return (int(counts[0]) if counts else None, share(shares[0]) if shares else None)


def show_threshold(value: Threshold | None) -> str:
    if value is None:
        return "off"
    count, part = value
    shown = ["" if count is None else str(count), "" if part is None else show_share(part)]
    return ",".join(filter(None, shown))


def time_of_day(text: str) -> time | None:
    """``08:00``; ``off`` is None."""
    if text.lower() == "off":
        return None
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text, re.ASCII)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError("it must be a time of the day between 00:00 and 23:59, like 08:00, or off")
    return time(int(match[1]), int(match[2]))


def show_time_of_day(value: time | None) -> str:
    return "off" if value is None else f"{value:%H:%M}"


def waves(text: str) -> Waves | None:
    """``5,25%,100%`` is (5, 0.25, 1.0); nothing is None: as many as suit the fleet's size."""
    sizes: list[int | float] = []
    for item in _items(text):
        if item.endswith("%"):
            sizes.append(share(item))
        elif re.fullmatch(r"\d{1,9}", item) and int(item):
            sizes.append(int(item))
        else:
            raise ValueError("waves are numbers of gateways and shares, growing, like 5,5%,25%,50%,100%")
    for kind in (int, float):
        same = [size for size in sizes if isinstance(size, kind)]
        if same != sorted(set(same)):
            raise ValueError("waves are cumulative, so each must be larger than the one before")
    return tuple(sizes) or None


def show_waves(value: Waves | None) -> str:
    if value is None:
        value = DEFAULT_WAVES  # of many gateways
    return ",".join(show_share(size) if isinstance(size, float) else str(size) for size in value)


def window(text: str) -> Window | None:
    """``Mo-Fr 22:00-05:00``; the days may be left out or be a list; nothing is None: always."""
    try:
        return parse_window(text) if text else None
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def timezone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("it must be an IANA time zone, like Europe/Oslo or UTC") from None


def route(text: str) -> str:
    """``METHOD path`` or ``METHOD absolute-URL``, where ``{id}`` and ``{label}`` may stand for themselves."""
    method, _, target = " ".join(text.split()).partition(" ")
    method = method.upper()
    placeholders = set(re.findall(r"\{[^}]*\}?|\}", target))
    if (
        method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}
        or not re.fullmatch(r"(?!//)(https?://[^\s/]+)?/\S*", target)
        or placeholders - {"{id}", "{label}"}
    ):
        raise ValueError("a route is a method and a path or an address, like GET /api/v1/jobs/{id}")
    if not target.startswith("/"):
        _check_way(target)
    return f"{method} {target}"


def field_names(text: str) -> dict[str, str]:
    """``ours=theirs,…``"""
    pairs = [item.partition("=") for item in _items(text)]
    names = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
    if not all(ours and theirs for ours, theirs in names.items()) or len(names) != len(pairs):
        raise ValueError("field names are written ours=theirs, with commas between, like deviceIds=things")
    return names


def show_field_names(value: dict[str, str]) -> str:
    return ",".join(f"{ours}={theirs}" for ours, theirs in value.items())


Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]
