"""When gateways may be started: weekly windows, in an IANA zone.

A window is written in local time, and local time is what counts on the two days of the year on which a clock
change makes a night an hour shorter or longer.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.domain.errors import InvalidInput
from bot.domain.times.written_times import WEEK, WEEKDAY, utc_of

STOP_BEFORE_END = timedelta(minutes=30)  # what is started later would still be flashing when the window ends


@dataclass(frozen=True, slots=True)
class Window:
    """``Mo-Fr 22:00-05:00`` is five windows that begin on those days; one may end on the next day."""

    days: frozenset[int]  # 0 is Monday
    begins: time
    ends: time


_WINDOW = re.compile(r"(?:(?P<days>[A-Za-z,-]+) )?(?P<begins>\d\d?:\d\d)-(?P<ends>\d\d?:\d\d)", re.ASCII)
_SHORT_DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")


def parse_window(text: str) -> Window:
    """``Mo-Fr 22:00-05:00``; the days may be a list, or be left out. Raises InvalidInput."""
    match = _WINDOW.fullmatch(" ".join(text.split()))
    if match is None:
        raise InvalidInput("a window is written like Mo-Fr 22:00-05:00")
    ends = "00:00" if match["ends"] == "24:00" else match["ends"]
    return Window(_window_days(match["days"] or "Mo-Su"), _window_time(match["begins"]), _window_time(ends))


def show_window(window: Window) -> str:
    """As it may be written."""
    return f"{_show_days(sorted(window.days))} {window.begins:%H:%M}-{window.ends:%H:%M}"


def _show_days(days: Sequence[int]) -> str:
    """``Mo-Fr`` of days that follow one another, else ``Mo,We``."""
    first, last = (_SHORT_DAYS[day].title() for day in (days[0], days[-1]))
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{first}-{last}"
    return ",".join(_SHORT_DAYS[day].title() for day in days)


def _window_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for item in filter(None, text.split(",")):
        first, _, last = item.partition("-")
        start, end = _window_day(first), _window_day(last or first)
        days.update((start + offset) % WEEK for offset in range((end - start) % WEEK + 1))
    return frozenset(days)


def _window_day(text: str) -> int:
    short = text[:2].lower()
    if short not in _SHORT_DAYS or not (len(text) == 2 or re.fullmatch(WEEKDAY, text, re.IGNORECASE)):
        raise InvalidInput("a day of a window is one of Mo, Tu, We, Th, Fr, Sa, Su")
    return _SHORT_DAYS.index(short)


def _window_time(text: str) -> time:
    hour, minute = map(int, text.split(":"))
    if hour > 23 or minute > 59:
        raise InvalidInput("a time of a window is between 00:00 and 23:59, or 24:00 at its end")
    return time(hour, minute)


@dataclass(frozen=True, slots=True)
class MaintenanceOpening:
    """The opening of a maintenance window that is open or comes next, in which alone some update starts
    gateways; ``comes_again`` says that others may follow.
    """

    number: int
    begins: datetime
    ends: datetime
    comes_again: bool

    @property
    def title(self) -> str:
        return f"M-{self.number}"

    def has_time_left(self, now: datetime) -> bool:
        return now < _last_start(self.begins, self.ends)

    def blocker(self, now: datetime, zone: ZoneInfo) -> str | None:
        """Why no gateway is started now, in words; None while some may be."""
        if now >= self.begins:
            return None if self.has_time_left(now) else f"too little time is left in {self.title}"
        opens = self.begins.astimezone(zone)
        return f"{self.title} is not open; it opens {opens:%A %d %B %H:%M} ({zone.key})"


def may_start(window: Window | None, zone: ZoneInfo, now: datetime) -> bool:
    """Whether a gateway may be started now: inside a window, and not shortly before its end."""
    return window is None or any(begin <= now < last for begin, last in _around(window, zone, now))


def next_start(window: Window | None, zone: ZoneInfo, now: datetime) -> datetime:
    """The first moment from now on at which gateways may be started."""
    if window is None:
        return now
    return min(max(begin, now) for begin, last in _around(window, zone, now) if last > now)


def open_now(windows: Iterable[Window], zone: ZoneInfo, now: datetime) -> tuple[bool, datetime | None]:
    """Whether one of the windows is open now, and until when that stays so; None: always, or for ever."""
    for begin, end in _openings(windows, zone, now):
        if begin <= now < end:
            return True, end if end < now + timedelta(days=WEEK) else None
        if begin > now:
            return False, begin
    return False, None


def _around(window: Window, zone: ZoneInfo, now: datetime) -> list[tuple[datetime, datetime]]:
    """The windows near a moment, each up to the last moment at which something may be started."""
    return [(begin, _last_start(begin, end)) for begin, end in _openings([window], zone, now)]


def _openings(windows: Iterable[Window], zone: ZoneInfo, now: datetime) -> list[tuple[datetime, datetime]]:
    """From when until when some windows are open near a moment, in order.

    Windows that touch are one: nothing ends where the next begins.
    """
    today = now.astimezone(zone).date()
    days = [today + timedelta(days=shift) for shift in range(-1, 2 * WEEK + 2)]
    all_of = [
        opening_of(day, one.begins, one.ends, zone)
        for one in windows
        for day in days
        if day.weekday() in one.days
    ]
    near: list[tuple[datetime, datetime]] = []
    # One that a clock change leaves out is none: the next is a week later.
    for begin, end in sorted(opening for opening in all_of if opening is not None):
        if near and begin <= near[-1][1]:
            near[-1] = (near[-1][0], max(near[-1][1], end))
        else:
            near.append((begin, end))
    return near


def _last_start(begin: datetime, end: datetime) -> datetime:
    """A window of less than an hour is not eaten up by what is kept free at its end."""
    return end - min(STOP_BEFORE_END, (end - begin) / 2)


def opening_of(day: date, begins: time, ends: time, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """The window that begins on this day, in UTC; None where a clock change leaves it out.

    One that does not end after it begins ends on the next day.
    """
    last = day if ends > begins else day + timedelta(days=1)
    begin, end = utc_of(day, begins, zone), utc_of(last, ends, zone)
    return (begin, end) if begin < end else None
