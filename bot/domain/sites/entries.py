"""The site book: whom to call for a site, when somebody gets in, what to know, and where to look.

Decides what an entry may say. It is text by field, in the one form in which it is kept, shown for editing and
exported; what is empty is not there.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from bot.domain.errors import InvalidInput
from bot.domain.subscriptions import parse_zone
from bot.domain.times.update_windows import Window, open_now, parse_window, show_window

LONGEST: Final = 500  # characters of a field
MOST_WINDOWS: Final = 7  # of access hours
_PLACES: Final = ("{site}", "{gateway}")  # that a link may hold
_CALLED = re.compile(r"(?P<name>.*?)\s*\((?P<id>[SUW][A-Z0-9]{2,30})\)")
_IN_ZONE = re.compile(r"(?P<windows>.+?)(?:\s+in\s+(?P<zone>\S+))?", re.IGNORECASE)
_BETWEEN_WINDOWS = re.compile(r"(?<=\d),\s*|;\s*")
_NO_LINK = re.compile(r"[\s{}<>|\"\\]")
_HOURS = "Mo-Fr 07:00-16:00, Sa 09:00-12:00 in Europe/Oslo"


class SiteField(StrEnum):
    """What an entry may say; the value is its word in commands and its column in a file."""

    OWNER = "owner"
    CALL = "call"  # a user group or a person, as ``@oslo-field (S0OSLO0001)``
    HOURS = "hours"  # when somebody gets in, as ``Mo-Fr 07:00-16:00 in Europe/Oslo``
    NOTE = "note"
    RUNBOOK = "runbook"
    MAP = "map"
    PORTAL = "portal"


LINKS: Final = (SiteField.RUNBOOK, SiteField.MAP, SiteField.PORTAL)
Entry = Mapping[SiteField, str]


@dataclass(frozen=True, slots=True)
class Site:
    """A site with what the book says of it. One without gateways is there for its entry alone."""

    name: str
    gateways: int
    offline: int
    entry: Entry
    version: int = 0  # rises with each change of the entry

    @property
    def has_vanished(self) -> bool:
        return not self.gateways


def checked(field: SiteField, text: str, zone: str) -> str:
    """What a field says, in the form in which it is kept; empty takes it out. Raises InvalidInput.

    ``zone`` is that of access hours where none is named. Whom to call is looked up elsewhere.
    """
    said = " ".join(unicodedata.normalize("NFC", text).split())
    if len(said) > LONGEST:
        raise InvalidInput(f"That has {len(said)} characters; {LONGEST} is the most.")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in said):
        raise InvalidInput("That holds a control character: leave it out.")
    if not said or said == "-":
        return ""
    if field in LINKS:
        return _link(said)
    return _hours(said, zone) if field is SiteField.HOURS else said


def called(entry: Entry) -> tuple[str, str] | None:
    """Whom to call: the id of a user group or a person, and the name."""
    match = _CALLED.fullmatch(entry.get(SiteField.CALL, ""))
    return (match["id"], match["name"] or match["id"]) if match else None


def access(entry: Entry, now: datetime) -> tuple[bool, datetime | None] | None:
    """Whether somebody gets in now, and until when that stays so; None where the book has no hours."""
    if (hours := entry.get(SiteField.HOURS)) is None:
        return None
    windows, zone = _windows(hours, "UTC")
    return open_now(windows, ZoneInfo(zone), now)


def _hours(text: str, zone: str) -> str:
    windows, zone = _windows(text, zone)
    return f"{', '.join(show_window(one) for one in windows)} in {zone}"


def _windows(text: str, zone: str) -> tuple[list[Window], str]:
    """``Mo-Fr 07:00-16:00, Sa 09:00-12:00 in Europe/Oslo``. Raises InvalidInput."""
    match = _IN_ZONE.fullmatch(text)
    assert match is not None, "something is said"
    parts = _BETWEEN_WINDOWS.split(match["windows"])
    if len(parts) > MOST_WINDOWS:
        raise InvalidInput(f"That has {len(parts)} windows; {MOST_WINDOWS} are the most.")
    try:
        return [parse_window(one) for one in parts], parse_zone(match["zone"] or zone)
    except InvalidInput as error:
        raise InvalidInput(f"These hours cannot be read: {error}. Write {_HOURS}.") from error


def _link(text: str) -> str:
    plain = text
    for place in _PLACES:
        plain = plain.replace(place, "x")
    try:
        parts = urlsplit(plain)
        parts.port  # noqa: B018 - it raises for one that cannot be
    except ValueError as error:
        raise InvalidInput(f"“{text[:60]}” is no address.") from error
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise InvalidInput("A link begins with https://, and names no user.")
    if _NO_LINK.search(plain) or any(place in urlsplit(text).netloc for place in _PLACES):
        raise InvalidInput("Behind its host a link may hold {site} or {gateway}, and no other braces.")
    return text
